"""Sorting, top-k and distinct values. The gradient of a sort is its permutation.

Read `_order` first. Sorts are stable: equal entries keep their order, also in descending order; NaN counts
as the largest. May import `families`, `graph`, `errors` and `ops.extremes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import is_int, named_result, one_dim, public
from pullback.families.op import Op, absent, apply
from pullback.families.reduction import picking
from pullback.families.reduction_facets import standard_samples
from pullback.graph.node import Slot
from pullback.graph.tensor import Tensor
from pullback.ops.extremes import NOTES, pick

# ---------------------------------------------------------------------- sort


def _order(x: Any, *, dim: int, descending: bool = False) -> Any:
    """The stable order of the entries along a dimension."""
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    back = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(back, dim)


def _top(x: Any, *, k: int, dim: int, largest: bool = True) -> Any:
    order = _order(x, dim=dim, descending=largest)
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(order, dim, 0)[:k], 0, dim), like=order)


SORT_NOTES = {
    "why_zero": "the entry is at another place of the order; its derivative of 1 is there",
    "why_nonfinite": "",
}
sort_ = picking(
    "sort",
    _order,
    backward="SortBackward0",
    notes=SORT_NOTES,
    samples=lambda: standard_samples(sort_) + standard_samples(sort_, {"descending": True}),
)
topk_ = picking(
    "topk",
    _top,
    backward="TopkBackward0",
    notes=NOTES,
    samples=lambda: (
        [
            s
            for largest in (True, False)
            for s in standard_samples(topk_, {"k": 1, "largest": largest})
            if s.args[0].ndim == 0 or s.args[0].shape[s.params["dim"]]
        ]
        + standard_samples(topk_, {"k": 2})[1:3]
    ),
)
_sort_result = named_result("sort", "values", "indices")
_topk_result = named_result("topk", "values", "indices")


def _refuse_complex(x: Tensor) -> None:
    if x.dtype.is_complex:
        raise RuntimeError(
            message(
                " Sort does not support complex dtypes on CPU",
                "complex numbers have no order",
                "sort x.abs() or x.real",
            )
        )


@public("sort")
def sort(
    input: Any,
    dim: Any = -1,
    descending: bool = False,
    *,
    stable: bool | None = None,
    out: Any = None,
) -> Any:
    """The entries in order along a dimension, and where they were, as (values, indices).

    >>> import pullback as torch
    >>> values, indices = torch.tensor([3.0, 1.0, 2.0]).sort()
    >>> values, indices
    (tensor([1., 2., 3.]), tensor([1, 2, 0]))
    """
    _refuse_complex(input)
    params = {"dim": one_dim("sort", dim, input.ndim, 1), "descending": bool(descending)}
    found = pick(sort_, _sort_result, input, params, out)
    if stable is not None and type(found[0].node) is Slot:
        found[0].node.node.label = "SortBackward1"
    return found


@public("argsort")
def argsort(input: Any, dim: Any = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """The indices that sort along a dimension; always stable, whatever `stable` says."""
    del stable
    return sort(input, dim, descending)[1]


@public("msort")
def msort(input: Any, *, out: Any = None) -> Any:  # noqa: ARG001 - PyTorch's names
    """The entries sorted along the first dimension."""
    return sort(input, 0)[0]


@public("topk")
def topk(
    input: Any,
    k: Any,
    dim: Any = -1,
    largest: bool = True,
    sorted: bool = True,  # noqa: ARG001 - PyTorch's name; the result is sorted either way
    *,
    out: Any = None,
) -> Any:
    """The k largest (or smallest) entries along a dimension in order, and where they were.

    >>> import pullback as torch
    >>> torch.tensor([3.0, 1.0, 2.0]).topk(2)
    torch.return_types.topk(
    values=tensor([3., 2.]),
    indices=tensor([0, 2]))
    """
    if not is_int(k):
        raise TypeError(message(f"topk(): argument 'k' (position 1) must be int, not {type(k).__name__}"))
    d = one_dim("topk", dim, input.ndim, 2)
    n = input.shape[d] if input.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError(
            message(
                "selected index k out of range",
                f"k={k}, and dimension {d} has {n} entries",
                "k is at most that",
            )
        )
    if input.dtype.category in (0, 3):
        word = "bool" if input.dtype.category == 0 else "complex"
        space = " " if word == "complex" else ""
        raise RuntimeError(
            message(f"{space}topk does not support {word} dtypes on CPU", "", "convert it first")
        )
    return pick(topk_, _topk_result, input, {"k": int(k), "dim": d, "largest": bool(largest)}, out)


# ---------------------------------------------------------------------- distinct values


def _no_derivative(name: str) -> Any:
    def vjp(_g: Any, _out: Any, _x: Any, **_params: Any) -> Any:
        raise NotImplementedError(
            message(
                f"the derivative for '{name}' is not implemented.",
                "the distinct values of a tensor are not a differentiable function of it where two of "
                "them meet",
                "index the tensor with positions of the distinct values instead",
            )
        )

    return vjp


def _groups(x: Any, dim: int | None, consecutive: bool) -> tuple[Any, Any, Any]:
    """The distinct values (or slices), the group of every entry, the sizes of the groups."""
    if dim is None:
        rows = x.reshape(-1, 1)
    else:
        rows = np.moveaxis(x, dim, 0)
        rows = rows.reshape(len(rows), int(np.prod(rows.shape[1:])))
    n = len(rows)
    order = np.arange(n)
    if not consecutive:
        order = np.lexsort(rows.T[::-1]) if rows.shape[1] else order
    ordered = rows[order]
    starts = np.ones(n, bool)
    if n:
        starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(starts) - 1
    inverse = np.zeros(n, np.int64)
    inverse[order] = group
    first = order[starts]
    counts = np.bincount(group, minlength=len(first)).astype(np.int64)
    values = x.reshape(-1)[first] if dim is None else np.take(x, first, axis=dim)
    return values, inverse.reshape(x.shape) if dim is None else inverse, counts


def _unique_op(name: str, torch_name: str, backward: str, consecutive: bool) -> Op:
    reason = "the number of distinct values depends on the values, so no rule for it exists"
    op = Op(
        name,
        "reduction",
        lambda x, *, dim=None: _groups(np.asarray(x), dim, consecutive),
        vjp=[_no_derivative(torch_name)],
        backward=backward,
        outputs=3,
    )
    for facet in ("type", "jvp", "batch", "depend", "lower", "zero", "samples"):
        setattr(op, facet, absent(reason))
    return op


unique_all = _unique_op("unique", "_unique2", "Unique2Backward0", False)
unique_dim = _unique_op("unique_dim", "unique_dim", "UniqueDimBackward0", False)
unique_consecutive_ = _unique_op(
    "unique_consecutive", "unique_consecutive", "UniqueConsecutiveBackward0", True
)


def _group_dim(name: str, x: Tensor, dim: Any) -> int | None:
    """The checked dimension of unique and unique_consecutive."""
    if x.dtype.is_complex:
        text = "unique" if dim is None else "unique_dim"
        raise NotImplementedError(
            message(f"\"{text}\" not implemented for '{x.dtype.word}'", "complex numbers have no order")
        )
    if dim is None:
        return None
    if x.ndim == 0:
        raise IndexError(
            message(f"Dimension specified as {dim} but tensor has no dimensions", f"{name} of a 0-d tensor")
        )
    d = one_dim(name, dim, x.ndim)
    if x.shape[d] and not x.numel():
        raise RuntimeError(
            message(
                "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied",
                f"the tensor has shape {list(x.shape)}",
            )
        )
    return d


def _chosen(found: tuple[Any, ...], inverse: bool, counts: bool) -> Any:
    wanted = (found[0], *(found[1:2] if inverse else ()), *(found[2:3] if counts else ()))
    return wanted if len(wanted) > 1 else wanted[0]


@public("unique")
def unique(
    input: Any,
    sorted: bool = True,  # noqa: ARG001 - PyTorch's name; the result is sorted either way
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
) -> Any:
    """The distinct values in order; where asked for also the group of every entry and the groups' sizes."""
    d = _group_dim("unique", input, dim)
    op = unique_all if d is None else unique_dim
    return _chosen(apply(op, (input,), {"dim": d}), return_inverse, return_counts)


@public("unique_consecutive")
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: Any = None
) -> Any:
    """The values with repeats of the one before left out."""
    d = _group_dim("unique_consecutive", input, dim)
    return _chosen(apply(unique_consecutive_, (input,), {"dim": d}), return_inverse, return_counts)


PUBLIC: dict[str, Any] = {
    "sort": sort,
    "argsort": argsort,
    "msort": msort,
    "topk": topk,
    "unique": unique,
    "unique_consecutive": unique_consecutive,
}
METHODS: dict[str, Any] = dict(PUBLIC)
IN_PLACE: dict[str, Any] = {}
