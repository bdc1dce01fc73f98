"""The links of one node: the entries of its local Jacobians.

A *link* is one entry of the local Jacobian of one argument: (node, argument, output entry, input entry) and
its value; it is dead where the value is exactly zero. Read `local`, then `columns`. May import `graph`,
`families`, `nodes`, `discrete_links`.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from pullback.explanations.discrete_links import (
    LIMIT,
    Links,
    TooMany,
    aval_of,
    carries,
    chosen_pairs,
    discrete_links,
)
from pullback.explanations.nodes import (
    FLOAT,
    avals_of,
    filled,
    is_shadow,
    outputs_of,
    split,
)
from pullback.explanations.values import Facts, argument
from pullback.families.contraction_facets import sizes_of, spec_parts
from pullback.families.facets import dense_pairs
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import Tensor

NUMBERS = (np.float32, np.float64)
ONE_ENTRY = np.zeros(1, np.int64)


def local(node: Node, i: int, shapes: Facts) -> Links:
    """All links of argument i. `TooMany` where there are more than LIMIT of them."""
    found = shapes.links.get((node, i))
    if found is None:
        found = shapes.links[node, i] = _local(node, i, shapes)
    return found


def _recalled(node: Node, i: int, shapes: Facts) -> Any:
    """The value of an operand that the node did not keep. `TooMany` where it cannot be known."""
    found = argument(node, i, shapes)
    if found is None:
        raise TooMany
    return found


def _local(node: Node, i: int, shapes: Facts) -> Links:
    op = node.op
    outs = outputs_of(node, shapes)
    values = avals_of(node, shapes.get(node))
    arg = values[i]
    if op.family == "contraction" and isinstance(values[1 - i], Aval):
        values[1 - i] = _recalled(node, 1 - i, shapes)
    if is_shadow(node) and any(a.dtype.kind not in FLOAT for a in (*outs, aval_of(arg))):
        return discrete_links(node, i, values, outs)
    size_in, size_out = (
        int(np.size(arg) if not isinstance(arg, Aval) else arg.size),
        sum(a.size for a in outs),
    )
    zero = getattr(op, "zero", None)
    if op.family == "random":
        rows, cols = dense_pairs(size_out, size_in) if size_in != size_out else (np.arange(size_in),) * 2
        return Links(rows, cols, np.zeros(len(rows)))  # a draw says nothing of its parameters
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
    rows, cols = dense_pairs(size_out, size_in)
    return Links(rows, cols, matrix.reshape(-1))


def columns(node: Node, i: int, entries: Any, shapes: Facts, most: int = LIMIT) -> Links:
    """The links of argument i that leave these input entries (a sorted array of flat indices).

    `TooMany` where they cannot be listed, or are more than `most`.
    """
    op = node.op
    if node.meta is None and op.pull_number and not node.params and not shapes[node].shape:
        one = shapes[node].dtype.type(1)
        if type(one) in NUMBERS:
            with np.errstate(all="ignore"):
                value = op.pull_number(node, one)[i]
            return Links(ONE_ENTRY, ONE_ENTRY, np.asarray(value).reshape(1))
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
    if isinstance(values[1 - i], Aval):
        values[1 - i] = _recalled(node, 1 - i, shapes)
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


__all__ = ["LIMIT", "Links", "TooMany", "carries", "chosen_pairs", "columns", "local"]
