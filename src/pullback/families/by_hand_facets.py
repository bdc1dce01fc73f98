"""What follows from the eval and vjp of an op written by hand: type, jvp, batch, pattern, local derivative.

Read `derive` first, then `transposed`, which turns a recorded linear rule around. May import `graph`,
`families.op`, `families.facets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from pullback.families.facets import Dependence, Local
from pullback.families.op import TABLE
from pullback.graph.modes import QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Aval, Node, Slot
from pullback.graph.tensor import Tensor, edge_of, wrap

WHY_NONFINITE = "the derivative has a pole at these values, or an input is not finite"


def derive(op: Any) -> dict[str, Any]:
    """The facets that the family can say without the entry's help."""

    def type_(*avals: Any, **params: Any) -> Any:
        return type_of(op, avals, params)

    def jvp(tangents: Any, out: Any, *args: Any, **params: Any) -> Any:
        return push(op, tangents, out, args, params)

    def batch(size: int, dims: Any, args: Any, params: dict[str, Any]) -> Any:
        rule = over_leading if op.core is not None else one_by_one
        return rule(op, size, dims, args, params)

    def depend(avals: Any, params: dict[str, Any], _values: Any = None) -> Dependence:
        return pattern(op, avals, params)

    def zero(i: int, out: Any, args: Any, params: dict[str, Any]) -> Local:
        return local(op, i, out, args, params)

    facets = {"type": type_, "batch": batch, "depend": depend, "lower": op.eval}
    if not op.differentiable:
        return {**facets, "jvp": op.vjp, "zero": op.vjp}
    return {**facets, "jvp": jvp, "zero": zero}


# ---------------------------------------------------------------------- type


def stand_in(a: Any) -> Any:
    """A value of this shape and dtype that every op accepts.

    A well-conditioned matrix, ones, or zeros for integers.
    """
    if not hasattr(a, "shape") or not hasattr(a, "dtype"):
        return a
    shape, dtype = tuple(a.shape), np.dtype(getattr(a.dtype, "numpy", a.dtype))
    if dtype.kind not in "fc":
        return np.zeros(shape, dtype)
    if len(shape) < 2:
        return np.ones(shape, dtype)
    # positive definite where square, of full rank where not, no entry zero
    i, j = np.indices(shape[-2:])
    grid = 0.5 ** np.abs(i - j)
    return np.broadcast_to(grid, shape).astype(dtype)


def type_of(op: Any, avals: Sequence[Any], params: dict[str, Any]) -> Any:
    """Shape and dtype of the output(s), found by running eval on stand-in values."""
    token = quiet(QUIET)
    try:
        out = op.eval(*map(stand_in, avals), **params)
    finally:
        loud(token)
    return tuple(map(_aval, out)) if isinstance(out, tuple) else _aval(out)


def _aval(v: Any) -> Aval:
    return Aval(tuple(v.shape), np.dtype(getattr(v.dtype, "numpy", v.dtype)))


def _outputs(op: Any, out: Any, args: Sequence[Any], params: dict[str, Any]) -> tuple[Aval, ...]:
    if out is None:
        out = op.type(*(_aval(a) if hasattr(a, "shape") else a for a in args), **params)
    return tuple(map(_aval, out)) if isinstance(out, tuple) else (_aval(out),)


# ---------------------------------------------------------------------- jvp: the vjp turned around


def push(op: Any, tangents: Sequence[Any], out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """The tangent(s) of the output. The vjp is linear in g, so transposing it in g gives the jvp."""
    avals = _outputs(op, out, args, params)
    several = isinstance(out, tuple) or op.outputs > 1 or len(avals) > 1
    guests = [t for t in (*tangents, *args) if isinstance(t, Tensor) and t.foreign is not None]
    leaves = [_leaf(a, guests) if a.dtype.kind in "fc" else None for a in avals]
    before = state.grad
    state.update(grad=True)
    try:
        g: Any = leaves if several else leaves[0]
        wanted = [t is not None for t in tangents]
        if op.variadic:
            back = op.vjp(g, out, *args, needs=wanted, **params)
        else:
            back = [
                rule(g, out, *args, **params) if want and rule is not None else None
                for want, rule in zip(wanted, op.vjp, strict=False)
            ]
    finally:
        state.update(grad=before)
    pairs = [(h, t) for h, t in zip(back, tangents, strict=False) if h is not None and t is not None]
    found = transposed(pairs, [u for u in leaves if u is not None])
    made = iter(found)
    result = tuple(None if u is None else _or_zeros(next(made), u) for u in leaves)
    return result if several else result[0]


def _leaf(a: Aval, guests: Sequence[Tensor]) -> Tensor:
    u = wrap(np.zeros(a.shape, a.dtype))
    for guest in guests:  # inside vmap the stand-in is batched too, or samples would be added up
        u = (u + guest.new_filled(0).sum()).to(u.dtype)
    u.node = LEAF
    return u


def _or_zeros(t: Any, u: Tensor) -> Any:
    return t if t is not None else u.detach()


def transposed(pairs: Sequence[tuple[Tensor, Any]], leaves: Sequence[Tensor]) -> list[Any]:
    """The seeds of recorded tensors that are linear in the leaves, swept back to each leaf.

    None where none arrives.
    """
    wanted = set(leaves)
    reach = _reaching([h for h, _ in pairs], wanted)
    grads: dict[Any, Any] = {}
    heap: list[tuple[int, Node]] = []

    def deliver(edge: Any, c: Any) -> None:
        node, index = (edge.node, edge.index) if type(edge) is Slot else (edge, None)
        if c is None or (node not in reach and node not in wanted):
            return
        if node not in grads and type(node) is Node:
            heappush(heap, (-node.number, node))
        if index is None:
            grads[node] = c if node not in grads else grads[node] + c
        else:
            empty: list[Any] = [None] * (node.count or 1)
            slots = grads.setdefault(node, empty)
            slots[index] = c if slots[index] is None else slots[index] + c

    for h, seed in pairs:
        deliver(edge_of(h), seed)
    while heap:
        node = heappop(heap)[1]
        for edge, c in zip(node.edges, node.op.pull(node, grads.pop(node), True), strict=False):
            deliver(edge, c)
    return [grads.get(u) for u in leaves]


def _reaching(outputs: Sequence[Tensor], wanted: set[Tensor]) -> set[Node]:
    """The nodes from which a wanted leaf can be reached."""
    seen: set[Node] = set()
    stack: list[Any] = [edge_of(t) for t in outputs]
    while stack:
        e = stack.pop()
        node = e.node if type(e) is Slot else e
        if type(node) is Node and node not in seen:
            seen.add(node)
            stack.extend(node.edges)
    reach: set[Any] = set()
    for node in sorted(seen, key=lambda n: n.number):
        ends = [e.node if type(e) is Slot else e for e in node.edges if e is not None]
        if any(e in reach or (isinstance(e, Tensor) and e in wanted) for e in ends):
            reach.add(node)
    return reach


# ---------------------------------------------------------------------- batch


def over_leading(op: Any, size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    """One call: the batch goes first, and eval broadcasts over leading dimensions."""
    cores = op.core[0]
    ranks = [
        a.ndim - (d is not None) - (cores[i] or 0) if hasattr(a, "ndim") else 0
        for i, (a, d) in enumerate(zip(args, dims, strict=True))
    ]
    most = max(ranks)
    moved: list[Any] = []
    for a, d, rank in zip(args, dims, ranks, strict=True):
        if d is None:
            moved.append(a)
            continue
        b = a.movedim(d, 0)
        fill = most - rank
        moved.append(b.reshape((size, *(1,) * fill, *tuple(b.shape)[1:])) if fill else b)
    r = op(*moved, **params)
    return (r, (0,) * len(r)) if isinstance(r, tuple) else (r, 0)


def one_by_one(op: Any, size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    """One call per sample, the results stacked."""
    runs = [
        op(*(a if d is None else a.select(d, k) for a, d in zip(args, dims, strict=True)), **params)
        for k in range(size)
    ]
    if isinstance(runs[0], tuple):
        return tuple(map(_stacked, zip(*runs, strict=True))), (0,) * len(runs[0])
    return _stacked(runs), 0


def _stacked(parts: Sequence[Any]) -> Any:
    # the op stands in a module above this one: it is found in the table
    return TABLE["stack"](*parts, dim=0)


# ---------------------------------------------------------------------- pattern


def joined(rows: Any, row_ids: Any, cols: Any, col_ids: Any) -> tuple[Any, Any]:
    """All pairs of a row and a column with the same id."""
    o, i = np.argsort(row_ids, kind="stable"), np.argsort(col_ids, kind="stable")
    sorted_ids = col_ids[i]
    start: Any = np.searchsorted(sorted_ids, row_ids[o], "left")
    count: Any = np.searchsorted(sorted_ids, row_ids[o], "right") - start
    first = np.repeat(np.cumsum(count) - count, count)
    at = np.arange(int(count.sum())) - first + np.repeat(start, count)
    return np.repeat(rows[o], count), cols[i][at]


def _ids(op: Any, avals: Sequence[Any], params: dict[str, Any]) -> tuple[list[Any], Any]:
    """Per argument (flat indices, group ids), and the output's group ids."""
    if op.groups is not None:
        per_arg, out_ids = op.groups(avals, params)
        return [None if k is None else (np.arange(k.size), k.reshape(-1)) for k in per_arg], out_ids.reshape(
            -1
        )
    outs = _outputs(op, None, avals, params)
    shaped = [hasattr(a, "shape") for a in avals]
    if op.core is None:
        total = sum(a.size for a in outs)
        ids = [
            (np.arange(a.size), np.zeros(a.size, np.int64)) if s else None
            for a, s in zip(
                (_aval(a) if s else a for a, s in zip(avals, shaped, strict=True)), shaped, strict=True
            )
        ]
        return ids, np.zeros(total, np.int64)
    cores, out_cores = op.core
    lead = max((_lead(a, c) for a, c in zip(outs, out_cores, strict=False)), key=len)
    out_ids = np.concatenate([_core_ids(a, c, lead)[1] for a, c in zip(outs, out_cores, strict=False)])
    return [
        _core_ids(_aval(a), c, lead) if s else None for a, c, s in zip(avals, cores, shaped, strict=False)
    ], out_ids


def _lead(a: Any, core: int) -> tuple[int, ...]:
    return a.shape[: len(a.shape) - core]


def _core_ids(a: Aval, core: int, lead: tuple[int, ...]) -> tuple[Any, Any]:
    """Flat indices and the number of the leading position, broadcast to the output's leading shape."""
    shape = lead + a.shape[len(a.shape) - core :]
    flat = np.broadcast_to(np.arange(a.size).reshape(a.shape), shape)
    n = int(np.prod(lead))
    groups = np.broadcast_to(np.arange(n).reshape(lead + (1,) * core), shape)
    return flat.reshape(-1), groups.reshape(-1)


def pattern(op: Any, avals: Sequence[Any], params: dict[str, Any]) -> Dependence:
    """Every output entry of a group with every input entry of it; what the rules read says what is linear."""
    if op.couples is not None:
        first = _lifted(op, avals, params)
        return Dependence(first, second(op, [i for i, k in enumerate(first) if k is not None]))
    ids, out_ids = _ids(op, avals, params)
    rows: Any = np.arange(out_ids.size)
    first = [
        None if k is None or not _followed(op, i, avals) else joined(rows, out_ids, *k)
        for i, k in enumerate(ids)
    ]
    return Dependence(first, second(op, [i for i, k in enumerate(first) if k is not None]))


def _lifted(op: Any, avals: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    """The pattern of one sample, repeated over the leading dimensions."""
    cores, out_cores = op.core
    args, outs = [_aval(a) for a in avals], _outputs(op, None, avals, params)
    lead = max((_lead(a, c) for a, c in zip(outs, out_cores, strict=False)), key=len)
    samples = [Aval(a.shape[len(a.shape) - c :], a.dtype) for a, c in zip(args, cores, strict=False)]
    found: list[Any] = []
    for a, core, one, m in zip(args, cores, samples, op.couples(samples, params), strict=False):
        flat = _core_ids(a, core, lead)[0].reshape((-1, one.size))
        rows: list[Any] = []
        cols: list[Any] = []
        start = low = 0
        for out, out_core in zip(outs, out_cores, strict=False):
            size = Aval(out.shape[len(out.shape) - out_core :], None).size
            r, c = np.nonzero(m[low : low + size] if m is not None else np.ones((size, one.size), bool))
            rows.append((start + np.arange(len(flat))[:, None] * size + r).reshape(-1))
            cols.append(flat[:, c].reshape(-1))
            start, low = start + out.size, low + size
        found.append((np.concatenate(rows), np.concatenate(cols)))
    return found


def _followed(op: Any, i: int, avals: Sequence[Any]) -> bool:
    if not op.differentiable or np.dtype(getattr(avals[i].dtype, "numpy", avals[i].dtype)).kind not in "fc":
        return False
    return op.variadic or (i < len(op.vjp) and op.vjp[i] is not None)


def second(op: Any, args: Sequence[int]) -> frozenset[tuple[int, int]]:
    """Pairs of arguments whose mixed second derivative can be non-zero.

    The rule of one reads the other, or the output.
    """
    found: set[tuple[int, int]] = set()
    for i in args:
        if op.reads is None:
            found |= {(i, j) for j in args if i != j or i not in op.linear}
            continue
        reads = op.reads[i] or ()
        by_out = bool(reads) and reads[0]
        found |= {(i, j) for j in args if by_out or (j + 1 < len(reads) and reads[j + 1])}
    return frozenset(found | {(j, i) for i, j in found})


# ---------------------------------------------------------------------- local derivative


def local(op: Any, i: int, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Local:
    """The local derivative on the pattern.

    One vjp serves the first entries of all groups, one the second entries, and so on.
    """
    avals = [_aval(a) if hasattr(a, "shape") else a for a in args]
    why = f"{op.name} does not move this output with this input at these values: other inputs change that"
    pairs = op.depend(avals, params, args).first[i]
    if pairs is None:
        empty = np.zeros(0, np.int64)
        return Local(empty, empty, np.zeros(0), why, WHY_NONFINITE)
    rows, cols = pairs
    outs = _outputs(op, out, args, params)
    values = np.zeros(len(rows), np.result_type(*(a.dtype for a in outs if a.dtype.kind in "fc")))
    for chosen in _colours(op, avals, params, rows, cols):
        here = np.isin(rows, chosen)
        c = _pulled(op, i, out, args, params, outs, chosen)
        if c is not None:
            values[here] = np.conj(np.asarray(c).reshape(-1)[cols[here]])
    return Local(rows, cols, values, why, WHY_NONFINITE)


def _colours(op: Any, avals: Sequence[Any], params: dict[str, Any], rows: Any, cols: Any) -> list[Any]:
    """Sets of output entries that share no input entry."""
    _, out_ids = _ids(op, avals, params)
    order = np.argsort(out_ids, kind="stable")
    sorted_ids = out_ids[order]
    position = np.empty(out_ids.size, np.int64)
    position[order] = np.arange(out_ids.size) - np.searchsorted(sorted_ids, sorted_ids, "left")
    entries: Any = np.arange(out_ids.size)
    found: list[Any] = []
    for k in range(int(position.max()) + 1 if position.size else 0):
        chosen = entries[position == k]
        reached = cols[np.isin(rows, chosen)]
        shared = np.unique(reached).size != reached.size
        found += [chosen[j : j + 1] for j in range(chosen.size)] if shared else [chosen]
    return found


def _pulled(
    op: Any, i: int, out: Any, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Aval], chosen: Any
) -> Any:
    g: list[Any] = []
    start = 0
    for a in outs:
        mine = chosen[(chosen >= start) & (chosen < start + a.size)] - start
        one = None
        if mine.size and a.dtype.kind in "fc":
            one = np.zeros(a.size, a.dtype)
            one[mine] = 1
            one = one.reshape(a.shape)
        g.append(one)
        start += a.size
    if all(x is None for x in g):
        return None
    token = quiet(QUIET)
    try:
        upstream: Any = g if isinstance(out, tuple) or len(outs) > 1 or op.outputs > 1 else g[0]
        if op.variadic:
            return op.vjp(upstream, out, *args, needs=[j == i for j in range(len(args))], **params)[i]
        return op.vjp[i](upstream, out, *args, **params)
    finally:
        loud(token)
