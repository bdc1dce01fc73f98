"""Links through ops that were not recorded and take or give integers and truth values, and through choices.

Read `discrete_links`, then `carries`. May import `graph`, `families`, `nodes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pullback.explanations.nodes import arg_shape, filled, outputs_of
from pullback.explanations.values import Facts
from pullback.families.facets import broadcast_pairs, dense_pairs
from pullback.families.reduction_facets import fiber_axes
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import Tensor

LIMIT = 4_000_000  # links of one argument that are ever listed
EMPTY = np.zeros(0, np.int64)


class TooMany(Exception):  # noqa: N818 - a reason to say "not determined", never shown as an error
    """A local Jacobian with more links than can be listed."""


class Links(NamedTuple):
    """Links of one argument: flat output entries, flat input entries, the local derivatives."""

    rows: Any
    cols: Any
    values: Any


def aval_of(a: Any) -> Aval:
    """Shape and dtype of an array, a number or what is already an aval."""
    return a if isinstance(a, Aval) else Aval(np.shape(a), np.asarray(a).dtype)


def discrete_links(node: Node, i: int, values: Sequence[Any], outs: Sequence[Aval]) -> Links:
    """Through an op that was not recorded and takes or gives integers or truth values.

    Entries that are only moved or converted keep their derivative 1; results that jump have the derivative 0.
    """
    op, arg = node.op, aval_of(values[i])
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


def carries(node: Node, i: int) -> bool:
    """Is argument i's value carried on, rather than used as an index, mask or condition?"""
    if _gives_truth_values(node):
        return False
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


def _gives_truth_values(node: Node) -> bool:
    """Does a comparison or the like only say what is to be chosen?"""
    return isinstance(node.out, np.ndarray | np.generic) and node.out.dtype.kind == "b"


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
