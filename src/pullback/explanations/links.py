"""One node's local Jacobians: magnitudes pulled back, dead links, and the links of single entries.

A *link* is one entry of the local Jacobian of one argument: (node, argument, output entry, input entry) and
its value; it is dead where the value is exactly zero. Read `pull_magnitudes`, then `columns`. Output entries
of nodes with several outputs are numbered through the floating ones, as the `zero` facet does. May import
`graph`, `families`, `transform.pattern`.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any, NamedTuple

import numpy as np

from pullback.explanations.values import Facts
from pullback.families.contraction_facets import sizes_of, spec_parts
from pullback.families.elementwise_facets import compute_dtype
from pullback.families.facets import broadcast_pairs, dense_pairs
from pullback.families.op import unbroadcast
from pullback.families.reduction_facets import fiber_axes
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import Tensor
from pullback.transform.pattern import arguments

LIMIT = 4_000_000  # links of one argument that are ever listed
FLOAT = "fc"
Arrays = list[Any]
EMPTY = np.zeros(0, np.int64)
NUMBERS = (np.float32, np.float64)
ONE_ENTRY = np.zeros(1, np.int64)


class TooMany(Exception):  # noqa: N818 - a reason to say "not determined", never shown as an error
    """A local Jacobian with more links than can be listed."""


class Links(NamedTuple):
    """Links of one argument: flat output entries, flat input entries, the local derivatives."""

    rows: Any
    cols: Any
    values: Any


def avals_of(node: Node, out: Aval | None) -> list[Any]:
    """What is known of the arguments: values where kept, avals elsewhere, plain values as they are."""
    known = arguments(node, out)
    return [a.value if isinstance(a, Tensor) else k for a, k in zip(node.args, known, strict=True)]


def is_shadow(node: Node) -> bool:
    """Was the op not recorded, so that no gradient passes through it?"""
    return node.cut is not None or all(e is None for e in node.edges)


def counted(node: Node) -> list[bool]:
    """Which outputs of a node with several are numbered: the floating ones, of shadows all."""
    every = is_shadow(node)
    return [a is not None and (every or a.dtype.kind in FLOAT) for a in node.out_avals]


def outputs_of(node: Node, shapes: Facts) -> list[Aval]:
    """The numbered outputs in order."""
    if node.count is None:
        return [shapes[node]]
    return [a for a, yes in zip(node.out_avals, counted(node), strict=True) if yes]


def filled(values: Sequence[Any]) -> list[Any]:
    """Stand-ins for what no rule reads, so that facets which take arrays can run."""
    return [np.zeros(v.shape, v.dtype) if isinstance(v, Aval) else v for v in values]


# ---------------------------------------------------------------------- local derivatives


def local(node: Node, i: int, shapes: Facts) -> Links:
    """All links of argument i. `TooMany` where there are more than LIMIT of them."""
    found = node.__dict__.get("links")
    if found is None:
        found = node.__dict__["links"] = {}
    if i not in found:
        found[i] = _local(node, i, shapes)
    return found[i]


def forget(node: Node) -> None:
    """Drop the links kept by `local`."""
    node.__dict__.pop("links", None)


def _local(node: Node, i: int, shapes: Facts) -> Links:
    op = node.op
    outs = outputs_of(node, shapes)
    values = avals_of(node, shapes.get(node))
    arg = values[i]
    if is_shadow(node) and any(a.dtype.kind not in FLOAT for a in (*outs, _aval(arg))):
        return _discrete_links(node, i, values, outs)
    size_in, size_out = (
        int(np.size(arg) if not isinstance(arg, Aval) else arg.size),
        sum(a.size for a in outs),
    )
    zero = getattr(op, "zero", None)
    if not zero or not getattr(op, "differentiable", True):
        return _by_pulls(node, i, outs, size_in, size_out)
    if op.family in ("contraction", "by hand") and size_in * size_out > 64 * LIMIT:
        raise TooMany
    out = node.out
    if out is None:
        made = [np.zeros(a.shape, a.dtype) for a in outs]
        out = tuple(made) if node.count is not None else made[0]
    given = values if op.family in ("elementwise", "selection") else filled(values)
    with np.errstate(all="ignore"):
        found = zero(i, out, given, node.params)
    rows, cols = np.asarray(found.rows), np.asarray(found.cols)
    if len(rows) > LIMIT:
        raise TooMany
    return Links(rows, cols, np.broadcast_to(np.asarray(found.values), rows.shape))


def _aval(a: Any) -> Aval:
    return a if isinstance(a, Aval) else Aval(np.shape(a), np.asarray(a).dtype)


def _discrete_links(node: Node, i: int, values: Sequence[Any], outs: Sequence[Aval]) -> Links:
    """Through an op that was not recorded and takes or gives integers or truth values.

    Entries that are only moved or converted keep their derivative 1; results that jump have the derivative 0.
    """
    op, arg = node.op, _aval(values[i])
    total = sum(a.size for a in outs)
    if op.name == "to_copy" or (total == arg.size and node.label is not None):
        ids = np.arange(arg.size)
        return Links(ids, ids, np.ones(arg.size))
    if op.family in ("elementwise", "selection"):
        wide = [np.asarray(v, np.float64) if isinstance(v, np.ndarray | np.generic) else v for v in values]
        made = None if node.out is None else np.asarray(node.out, np.float64)
        with np.errstate(all="ignore"):
            found = op.zero(i, made, wide, node.params)
        rows = np.asarray(found.rows)
        return Links(rows, np.asarray(found.cols), np.broadcast_to(np.asarray(found.values), rows.shape))
    if op.family == "structural":
        found = op.zero(i, node.out, filled(values), node.params)
        return Links(np.asarray(found.rows), np.asarray(found.cols), np.asarray(found.values))
    rows, cols = _fibers(node, arg, outs) if op.family == "reduction" else dense_pairs(total, arg.size)
    if len(rows) > LIMIT:
        raise TooMany
    return Links(rows, cols, np.zeros(len(rows)))


def _fibers(node: Node, arg: Aval, outs: Sequence[Aval]) -> tuple[Any, Any]:
    """Each output entry of a reduction with all input entries of its fiber."""
    dims = fiber_axes(node.params, arg.ndim) if "dim" in node.params else tuple(range(arg.ndim))
    ids = np.arange(arg.size).reshape(arg.shape)
    kept = [k for k in range(arg.ndim) if k not in dims]
    fibers = ids.transpose([*kept, *dims]).reshape(int(np.prod([arg.shape[k] for k in kept])), -1)
    rows: list[Any] = []
    cols: list[Any] = []
    start = 0
    for a in outs:
        if a.size and a.size % len(fibers) == 0:
            places = np.arange(a.size).reshape(a.shape)
            if a.ndim == arg.ndim:
                places = places.transpose([*kept, *dims])
            each = start + places.reshape(len(fibers), -1)
            shape = (len(fibers), each.shape[1], fibers.shape[1])
            rows.append(np.broadcast_to(each[:, :, None], shape).reshape(-1))
            cols.append(np.broadcast_to(fibers[:, None, :], shape).reshape(-1))
        else:
            r, c = dense_pairs(a.size, arg.size)
            rows.append(r + start)
            cols.append(c)
        start += a.size
    return np.concatenate([EMPTY, *rows]), np.concatenate([EMPTY, *cols])


def _by_pulls(node: Node, i: int, outs: Sequence[Aval], size_in: int, size_out: int) -> Links:
    """The local Jacobian of an op without a `zero` facet (custom Functions): one pull per output entry."""
    if node.edges[i] is None or not node.op.differentiable:
        rows, cols = dense_pairs(size_out, size_in)
        return Links(rows, cols, np.zeros(len(rows)))
    if size_out > 512 or size_in * size_out > LIMIT:
        raise TooMany
    matrix = np.zeros((size_out, size_in))
    for k in range(size_out):
        one = np.zeros(size_out)
        one[k] = 1
        c = node.op.pull(node, split(node, one, outs), False)[i]
        if c is not None:
            matrix[k] = np.asarray(c.value if isinstance(c, Tensor) else c).reshape(-1)
    rows, cols = np.nonzero(matrix)
    return Links(rows, cols, matrix[rows, cols])


def split(node: Node, flat: Any, outs: Sequence[Aval]) -> Any:
    """A flat vector over the floating outputs as the cotangent(s) that `op.pull` takes."""
    parts: list[Any] = []
    start = 0
    for a in outs:
        parts.append(flat[start : start + a.size].reshape(a.shape).astype(a.dtype))
        start += a.size
    if node.count is None:
        return parts[0]
    every = iter(parts)
    return [next(every) if yes else None for yes in counted(node)]


def flat_of(g: Any, outs: Sequence[Aval], node: Node) -> Any:
    """The inverse of `split`: the outputs' arrays (None: zeros) as one vector."""
    if node.count is None:
        return np.asarray(g).reshape(-1)
    parts = [c for c, yes in zip(g, counted(node), strict=True) if yes]
    made = [
        np.zeros(a.size, a.dtype) if c is None else np.asarray(c).reshape(-1)
        for c, a in zip(parts, outs, strict=True)
    ]
    return np.concatenate(made) if made else np.zeros(0)


# ---------------------------------------------------------------------- magnitudes


def multilinear(op: Any) -> bool:
    """Is every local derivative a product of entries of the other arguments?"""
    return op.family == "contraction" or op.name in MULTILINEAR


MULTILINEAR = frozenset({"linear", "convolution", "convolution_input", "convolution_weight"})
# reductions whose output entries share input entries with derivatives of both signs
SIGNED_SCANS = frozenset({"cumprod"})


def pull_magnitudes(node: Node, m: Any, live: Sequence[bool], shapes: Facts) -> Arrays:
    """|local Jacobian|^T m per argument where `live`, None elsewhere; m has the output's shape(s).

    `TooMany` where that needs more links than can be listed.
    """
    op = node.op
    family = op.family
    with np.errstate(all="ignore"):
        if family in ("elementwise", "selection"):
            return _entrywise(node, m, live, shapes)
        if multilinear(op):
            return _with_absolute_arguments(node, m, live)
        if family == "structural" or (family == "reduction" and op.name not in SIGNED_SCANS):
            return _absolute_pull(node, m, live)
        rule = MAGNITUDES.get(op.name)
        if rule is not None and node.count is None:
            return [rule(m, node.out, **node.params) if ok else None for ok in live]
        return _by_links(node, m, live, shapes)


def _entrywise(node: Node, m: Any, live: Sequence[bool], shapes: Facts) -> Arrays:
    found: Arrays = []
    values: Any = None
    for i, ok in enumerate(live):
        if not ok:
            found.append(None)
            continue
        p = node.op.partials[i]
        if p is None:
            r: Any = m * 0
        elif isinstance(p, int):
            r = m
        else:
            if values is None:
                values = promoted_values(node, shapes.get(node))
            r = m * np.abs(p(node.out, *values, **node.params)).astype(m.dtype, copy=False)
            if np.isnan(r).any():
                r = np.where(np.asarray(m) == 0, 0, r)
        shape = arg_shape(node, i, shapes)
        found.append(np.abs(r) if np.shape(r) == shape else unbroadcast(np.asarray(np.abs(r)), shape))
    return found


def promoted_values(node: Node, out: Aval | None) -> list[Any]:
    """The arguments of an elementwise node in the dtype that its partials compute in."""
    values = avals_of(node, out)
    if node.meta is None:
        return values
    d = compute_dtype(node.op, values).numpy
    return [
        v.astype(d)
        if isinstance(v, np.ndarray | np.generic) and v.dtype != d and v.dtype.kind in "iuf"
        else v
        for v in values
    ]


def arg_shape(node: Node, i: int, shapes: Facts) -> tuple[int, ...]:
    """The shape of argument i."""
    if node.meta is not None and node.meta[i] is not None:
        return tuple(node.meta[i][0])
    a = node.args[i]
    if a is None:
        return tuple(shapes[node].shape)
    return (
        tuple(a.value.shape)
        if isinstance(a, Tensor)
        else tuple(np.shape(a) if not isinstance(a, Aval) else a.shape)
    )


def _absolute_pull(node: Node, m: Any, live: Sequence[bool]) -> Arrays:
    """Where each input entry meets derivatives of one sign only: the pull itself."""
    pulled = node.op.pull(node, m, False)
    return [np.abs(c) if ok and c is not None else None for c, ok in zip(pulled, live, strict=False)]


def _with_absolute_arguments(node: Node, m: Any, live: Sequence[bool]) -> Arrays:
    return [
        None if c is None or not ok else c for c, ok in zip(pull_with(node, m, np.abs), live, strict=False)
    ]


def pull_with(node: Node, g: Any, change: Any) -> Arrays:
    """The pull of a node whose saved arrays are `change`d; the node is left as it was."""
    kept = node.args
    made: list[Any] = []
    for a in kept:
        if isinstance(a, Tensor) and a.value.dtype.kind in FLOAT:
            t = object.__new__(Tensor)
            t.value = change(a.value)
            made.append(t)
        else:
            made.append(a)
    node.args = tuple(made)
    try:
        return list(node.op.pull(node, g, False))
    finally:
        node.args = kept


def _by_links(node: Node, m: Any, live: Sequence[bool], shapes: Facts) -> Arrays:
    outs = outputs_of(node, shapes)
    flat = flat_of(m, outs, node)
    found: Arrays = []
    for i, ok in enumerate(live):
        if not ok:
            found.append(None)
            continue
        rows, cols, values = local(node, i, shapes)
        shape = arg_shape(node, i, shapes)
        r: Any = np.zeros(int(np.prod(shape)), flat.dtype)
        product = flat[rows] * np.abs(values)
        product = np.where(flat[rows] == 0, 0, product)
        np.add.at(r, cols, product)
        found.append(r.reshape(shape))
    return found


def _others(m: Any, dim: int) -> Any:
    """The sum of all other entries along `dim`: from both sides, since a difference would lose small ones."""
    return _before(m, dim) + np.flip(_before(np.flip(m, dim), dim), dim)


def _before(m: Any, dim: int) -> Any:
    """The sum of the entries before each one along `dim`."""
    total = np.zeros_like(m)
    run, shifted = np.moveaxis(np.cumsum(m, axis=dim), dim, -1), np.moveaxis(total, dim, -1)
    shifted[..., 1:] = run[..., :-1]
    return total


def _softmax_magnitude(m: Any, p: Any, dim: int, **_: Any) -> Any:
    # |dp_k/dx_j| is p_k p_j off the diagonal and p_j (1 - p_j) on it
    if not p.shape:
        return np.zeros_like(m)
    return p * ((1 - p) * m + _others(m * p, dim))


def _log_softmax_magnitude(m: Any, out: Any, dim: int, **_: Any) -> Any:
    # |d out_k/dx_j| is p_j off the diagonal and 1 - p_j on it
    if not out.shape:
        return np.zeros_like(m)
    p = np.exp(out)
    return (1 - p) * m + p * _others(m, dim)


MAGNITUDES: dict[str, Any] = {"softmax": _softmax_magnitude, "log_softmax": _log_softmax_magnitude}


# ---------------------------------------------------------------------- links of single entries


def columns(node: Node, i: int, entries: Any, shapes: Facts, most: int = LIMIT) -> Links:
    """The links of argument i that leave these input entries (a sorted array of flat indices).

    `TooMany` where they cannot be listed, or are more than `most`.
    """
    op = node.op
    if node.meta is None and op.pull_number and not node.params and not shapes[node].shape:
        one = shapes[node].dtype.type(1)
        if type(one) in NUMBERS:
            return Links(ONE_ENTRY, ONE_ENTRY, np.asarray(op.pull_number(node, one)[i]).reshape(1))
    if op.family == "contraction" and node.edges[1 - i] is None and isinstance(node.args[1 - i], Aval):
        raise TooMany
    if op.family == "contraction":
        return _contraction_columns(node, i, entries, shapes, most)
    if op.name == "linear":
        return _linear_columns(node, i, entries, shapes, most)
    rows, cols, values = local(node, i, shapes)
    at = np.flatnonzero(np.isin(cols, entries))
    if len(at) > most:
        raise TooMany
    return Links(rows[at], cols[at], values[at])


def _contraction_columns(node: Node, i: int, entries: Any, shapes: Facts, most: int) -> Links:
    values = avals_of(node, shapes.get(node))
    (a, b), out = spec_parts(node.op, values, node.params)
    sizes = sizes_of(node.op, values, node.params)
    return _einsum_columns((a, b), out, i, values[1 - i], sizes, entries, most)


def _einsum_columns(
    operands: tuple[str, str], out: str, i: int, other: Any, sizes: dict[str, int], entries: Any, most: int
) -> Links:
    """Links of chosen entries of operand i of einsum: the other operand's entries, over the free labels."""
    mine, theirs = operands[i], operands[1 - i]
    free = [c for c in out if c not in mine]
    count = int(np.prod([sizes[c] for c in free])) if free else 1
    if count * len(entries) > most:
        raise TooMany
    place: dict[str, Any] = {}
    for c, ids in zip(mine, np.unravel_index(entries, [sizes[c] for c in mine]) if mine else (), strict=True):
        place[c] = np.repeat(ids, count)
    for c, ids in zip(
        free, np.unravel_index(np.arange(count), [sizes[c] for c in free]) if free else (), strict=True
    ):
        place[c] = np.tile(ids, len(entries))
    y = np.asarray(other)
    y = y.sum(axis=tuple(k for k, c in enumerate(theirs) if c not in place))
    left = [c for c in theirs if c in place]
    total = count * len(entries)
    values = y[tuple(place[c] for c in left)] if left else np.broadcast_to(y, (total,))
    rows: Any = np.zeros(total, np.int64)
    for c in out:
        rows = rows * sizes[c] + place[c]
    return Links(rows, np.repeat(entries, count), values)


def _linear_columns(node: Node, i: int, entries: Any, shapes: Facts, most: int) -> Links:
    """linear(bias (k,), x (..., n), weight (k, n)); the bias has the constant link 1 to every row."""
    values = avals_of(node, shapes.get(node))
    x, w = values[1], values[2]
    lead = ascii_letters[: len(x.shape) - 1]
    sizes = {**dict(zip(lead, x.shape, strict=False)), "Y": w.shape[1], "Z": w.shape[0]}
    if i == 0:
        return _einsum_columns(("Z", ""), lead + "Z", 0, np.ones(()), sizes, entries, most)
    return _einsum_columns((lead + "Y", "ZY"), lead + "Z", i - 1, values[3 - i], sizes, entries, most)


def carries(node: Node, i: int) -> bool:
    """Is argument i's value carried on, rather than used as an index, mask or condition?"""
    a = node.args[i]
    dtype = a.value.dtype if isinstance(a, Tensor) else getattr(a, "dtype", None)
    if dtype is None or dtype.kind in "fc":
        return True
    partials = getattr(node.op, "partials", None)
    if not node.op.differentiable:
        return True
    if partials is not None:
        return partials[i] is not None or node.op.name not in ("where", "masked_fill")
    if node.op.family == "structural":
        return node.op.is_data(i)
    return node.op.name == "to_copy"


def chosen_pairs(node: Node, i: int, shapes: Facts) -> tuple[Any, Any]:
    """Which output entries the entries of an index, mask or condition decide."""
    outs = outputs_of(node, shapes)
    shape = arg_shape(node, i, shapes)
    if node.op.family in ("elementwise", "selection"):
        return broadcast_pairs(tuple(outs[0].shape), shape)
    total, size = sum(a.size for a in outs), int(np.prod(shape))
    if total * size > LIMIT:
        raise TooMany
    return dense_pairs(total, size)
