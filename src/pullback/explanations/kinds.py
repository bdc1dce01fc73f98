"""What kind of cause a dead link is: found from the op's family and from what nudging the arguments changes.

Read `of_links`. A link that is zero here but not beside this value of its own argument is *stationary*; one
that another argument holds at zero is *annihilated*; one that stays zero whichever argument is nudged is
*saturated* (its true derivative is below what the dtype can hold) or has *underflowed*. May import `graph`,
`families`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.explanations.nodes import counted, is_shadow, outputs_of, split
from pullback.explanations.values import Facts, argument
from pullback.families.elementwise_facets import compute_dtype
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import wrap

KINDS = (
    "Flows", "NoPath", "Stopped", "ZeroUpstream", "Unselected", "GateClosed", "Saturated", "Underflow",
    "Annihilated", "Cancelled", "Stationary", "Discrete", "NonFinite", "NotDetermined",
)  # fmt: skip
NUDGE = 1e-6
FEW = 64  # links of an op without independent entries that are nudged one by one


# a draw jumps or stays as its parameters move; of a custom Function only what its backward returns is known
KNOWN = {"random": "Discrete", "custom": "NotDetermined"}
CLIPPED = frozenset({"hardsigmoid", "hardswish"})


def of_entry(node: Node, i: int, shapes: Facts) -> str:
    """The kind of the dead link of a node of numbers."""
    zero = np.zeros(1, np.int64)
    return str(of_links(node, i, zero, zero, shapes)[0])


def of_links(node: Node, i: int, rows: Any, cols: Any, shapes: Facts) -> Any:
    """The kinds of dead links of argument i, as an array of str.

    rows, cols  flat output and input entries of the links, all of which are exactly zero
    """
    op = node.op
    if op.family in KNOWN:
        return _all(rows, KNOWN[op.family])
    if op.family == "selection":
        return _all(rows, _selection(op, i))
    if op.family == "elementwise":
        if op.partials[i] is None:
            return _all(rows, "Discrete")
        return _elementwise(node, i, rows, shapes)
    if not getattr(op, "differentiable", True) or (is_shadow(node) and not _all_float(node, shapes)):
        return _all(rows, "Discrete")
    if op.family == "structural" or op.multilinear:
        return _all(rows, "Annihilated")
    if getattr(op, "picks", False) or op.name in ("pick_winners", "place_winners"):
        return _all(rows, "Unselected")
    return _listed(node, i, rows, cols, shapes)


def _all_float(node: Node, shapes: Facts) -> bool:
    return all(a.dtype.kind in "fc" for a in outputs_of(node, shapes))


def _all(rows: Any, kind: str) -> Any:
    return np.full(len(rows), kind, object)


def _selection(op: Any, i: int) -> str:
    if op.partials[i] is None:
        return "Discrete"
    # with one argument there is no other to choose; a clamp's bounds close a gate on the first
    return "GateClosed" if op.arity == 1 or (op.torch_name.startswith("clamp") and i == 0) else "Unselected"


# ---------------------------------------------------------------------- independent entries


def _elementwise(node: Node, i: int, rows: Any, shapes: Facts) -> Any:
    """All entries at once: each output entry has one entry of each argument."""
    op = node.op
    reads = op.partial_reads[i]
    if reads is None:
        return _all(rows, "Annihilated")
    own = reads[0] or (len(reads) > i + 1 and reads[i + 1])
    if not own:  # the derivative is another argument, or a parameter, alone
        e = node.edges[i]
        same = e is not None and sum(other is e for other in node.edges) > 1
        return _all(rows, "Stationary" if same else "Annihilated")
    found = _at(node, rows, shapes)
    if any(v is None for v in found):
        return _all(rows, _flat_kind(node, i, None))  # the derivative is a function of the output alone
    d = compute_dtype(op, found).numpy
    values = [np.asarray(v).astype(d) if hasattr(v, "dtype") and v.dtype.kind in "iuf" else v for v in found]
    with np.errstate(all="ignore"):
        stationary = np.zeros(len(rows), bool)
        annihilated = np.zeros(len(rows), bool)
        for sign in (1, -1):
            stationary |= _lives(_partial_at(node, i, values, (i,), sign))
            others = tuple(k for k in range(len(values)) if k != i)
            if others:
                annihilated |= _lives(_partial_at(node, i, values, others, sign))
    held = _held_by_parameter(node, i, values)
    kinds = _all(rows, "")
    kinds[:] = _flat_kind(node, i, values)
    kinds[annihilated] = "Annihilated"
    kinds[stationary] = "Stationary"
    kinds[held] = "Annihilated"
    if op.name == "pow" and i == 0:
        kinds[np.broadcast_to(np.asarray(values[1]) == 0, kinds.shape)] = "Annihilated"  # by its exponent
    return kinds


def _held_by_parameter(node: Node, i: int, values: list[Any]) -> Any:
    """Where a parameter that is 0 (a slope, a scale) holds the derivative at 0."""
    zeros = {k: v for k, v in node.params.items() if isinstance(v, int | float) and v == 0 and v is not False}
    if not zeros:
        return False
    params = {**node.params, **dict.fromkeys(zeros, NUDGE)}
    with np.errstate(all="ignore"):
        out = node.op.eval(*values, **params)
        moved = np.asarray(node.op.partials[i](out, *values, **params))
    return np.broadcast_to(moved, np.shape(out)) != 0


def _at(node: Node, rows: Any, shapes: Facts) -> list[Any]:
    """The arguments' entries at some output entries; None where unknown."""
    shape = shapes[node].shape
    found: list[Any] = []
    for i in range(len(node.args)):
        v = argument(node, i, shapes)
        if isinstance(v, np.ndarray | np.generic):
            v = np.broadcast_to(v, shape).reshape(-1)[rows]
        found.append(v)
    return found


def _nudged(v: Any, sign: float) -> Any:
    """A little beside: relative to the value, so that what underflows here does so there."""
    if np.asarray(v).dtype.kind not in "fc":
        return v
    return np.where(v == 0, v + sign * NUDGE, v * (1 + sign * NUDGE)).astype(np.asarray(v).dtype)


def _lives(v: Any) -> Any:
    """Is a derivative not zero? One that is undefined proves nothing."""
    return (v != 0) & (v == v)  # not nan


def _partial_at(node: Node, i: int, values: list[Any], moved: tuple[int, ...], sign: float) -> Any:
    """The partial of argument i with some arguments nudged; a derivative that is not finite is not zero."""
    op = node.op
    changed = [_nudged(v, sign) if k in moved else v for k, v in enumerate(values)]
    out = op.eval(*changed, **node.params)
    return np.broadcast_to(np.asarray(op.partials[i](out, *changed, **node.params)), np.shape(out))


def _flat_kind(node: Node, i: int, values: list[Any] | None) -> Any:
    """Flat beside this value too: clipped, saturated, out of the exponent's range, or constant in pieces?

    That the number only underflows is proven by the wider exponent of a long double.
    """
    op = node.op
    if op.name in CLIPPED:
        return "GateClosed"
    known = op.why_zero or ""
    if "saturated" in known or values is None:
        return "Saturated" if "saturated" in known else "Underflow"
    if "underflow" in known:
        return "Underflow"
    ended = ~np.isfinite(np.asarray(values[i], float)) if np.asarray(values[i]).dtype.kind == "f" else False
    wide = [np.asarray(v, np.longdouble) if np.asarray(v).dtype.kind == "f" else v for v in values]
    try:
        with np.errstate(all="ignore"):
            out = op.eval(*wide, **node.params)
            slope = np.asarray(op.partials[i](out, *wide, **node.params))
    except TypeError:
        return "Underflow"
    return np.where((np.broadcast_to(slope, np.shape(out)) != 0) | ended, "Underflow", "Discrete")


# ---------------------------------------------------------------------- entries that share a rule


def _listed(node: Node, i: int, rows: Any, cols: Any, shapes: Facts) -> Any:
    """Reductions and ops by hand: each link is looked at with its own entry nudged, then with all others."""
    flat = _flat_by_hand(node)
    kinds = _all(rows, flat)
    values = [argument(node, k, shapes) for k in range(len(node.args))]
    if any(
        v is None and (a is not None or e is not None)
        for v, a, e in zip(values, node.args, node.edges, strict=True)
    ):
        return kinds  # the slope is a function of the output alone
    if node.op.family == "reduction":
        # in a wider exponent it is seen whether a factor is zero, or only the product of small ones
        values = [_widened(v) for v in values]
    if len(rows) > FEW:
        return _together(node, i, rows, cols, values, kinds)
    for n, (row, col) in enumerate(zip(rows.tolist(), cols.tolist(), strict=True)):
        kinds[n] = _one(node, i, row, col, values) or flat
    return kinds


def _flat_by_hand(node: Node) -> str:
    """What it means that no small move of any argument makes a link of this op live."""
    op = node.op
    if op.name in ("softmax", "log_softmax"):
        return "Saturated"
    if op.name == "linalg_vector_norm":
        return "Unselected" if np.isinf(node.params.get("ord", 2.0)) else "Underflow"
    return "Underflow" if op.family == "reduction" else "NotDetermined"


def _widened(v: Any) -> Any:
    wide = isinstance(v, np.ndarray | np.generic) and v.dtype.kind == "f"
    return v.astype(np.longdouble) if wide else v


def _alive_when_wide(node: Node, i: int, row: int, col: int, values: list[Any]) -> bool:
    """Is the link zero only because the dtype's exponent ends? (Saturation is another matter.)"""
    if node.op.name in ("softmax", "log_softmax"):
        return False
    try:
        return bool(_link(node, i, row, col, [_widened(v) for v in values]) != 0)
    except (TypeError, ValueError, RuntimeError):
        return False  # an op without a long double


def _one(node: Node, i: int, row: int, col: int, values: list[Any]) -> str:
    if _alive_when_wide(node, i, row, col, values):
        return "Underflow"
    for sign in (1, -1):
        own = np.array(values[i])
        flat = own.reshape(-1)
        flat[col] = _nudged(flat[col], sign)
        if _link(node, i, row, col, [own if k == i else v for k, v in enumerate(values)]) != 0:
            return "Stationary"
    for sign in (1, -1):
        others = [_spread(v, sign) if isinstance(v, np.ndarray | np.generic) else v for v in values]
        others[i] = np.array(others[i])
        others[i].reshape(-1)[col] = np.asarray(values[i]).reshape(-1)[col]
        if _link(node, i, row, col, others) != 0:
            return "Annihilated"
    return ""


def _spread(v: Any, sign: float) -> Any:
    """Every entry nudged by another amount, so that no symmetry hides a change."""
    v = np.asarray(v)
    if v.dtype.kind not in "fc":
        return v
    steps = (1 + np.arange(v.size) % 7).reshape(v.shape) * sign * NUDGE
    return np.where(v == 0, steps, v * (1 + steps)).astype(v.dtype)


def _together(node: Node, i: int, rows: Any, cols: Any, values: list[Any], kinds: Any) -> Any:
    """Too many links to nudge singly: only what one nudge of everything proves is told apart."""
    moved = [_spread(v, 1) if isinstance(v, np.ndarray | np.generic) else v for v in values]
    found = _links(node, i, moved)
    if found is None:
        return kinds
    lookup = {(int(r), int(c)): v for r, c, v in zip(*found, strict=True)}
    for n, pair in enumerate(zip(rows.tolist(), cols.tolist(), strict=True)):
        if lookup.get(pair, 0) != 0:
            kinds[n] = "Stationary"
    return kinds


def _links(node: Node, i: int, values: list[Any]) -> Any:
    op = node.op
    with np.errstate(all="ignore"):
        out = op.eval(*values, **node.params)
        found = op.zero(i, out, values, node.params)
    return found.rows, found.cols, np.broadcast_to(found.values, np.shape(found.rows))


def _link(node: Node, i: int, row: int, col: int, values: list[Any]) -> Any:
    """One link at other values: the rule with a one-hot cotangent."""
    with np.errstate(all="ignore"):
        out = node.op.eval(*values, **node.params)
        args = tuple(wrap(v) if isinstance(v, np.ndarray | np.generic) else v for v in values)
        edges = tuple(node if k == i else None for k in range(len(node.edges)))
        probe = Node(node.op, args, edges, out, node.params, node.meta)
        probe.count, probe.out_avals = node.count, node.out_avals
        parts = [out] if node.count is None else [o for o, yes in zip(out, counted(node), strict=True) if yes]
        avals = [Aval(np.shape(o), np.asarray(o).dtype) for o in parts]
        one = np.zeros(sum(a.size for a in avals))
        one[row] = 1
        c = node.op.pull(probe, split(probe, one, avals), False)[i]
    found = 0 if c is None else np.asarray(c).reshape(-1)[col]
    return found if found == found else 0  # nan proves nothing
