"""Entries by their places in the flattened tensor (take, put), and by one index per slice (take_along_dim).

Read `take` first. May import `families`, `graph`, `errors`, `ops.scatter`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import apply
from pullback.families.sizes import dim_of, need_tensor
from pullback.families.structural import structural
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.broadcasting import common_shape, expand
from pullback.ops.scatter import gather
from pullback.ops.scatter_entries import in_shape, pairs_of_added, zeros_for
from pullback.ops.shape import reshape


def _take(x: Any, index: Any) -> Any:
    flat, index = np.asarray(x).reshape(-1), np.asarray(index)
    n = flat.size
    if index.size and (index.min() < -n or index.max() >= n):
        bad = next(int(i) for i in index.reshape(-1) if not -n <= i < n)
        raise IndexError(message(f"out of range: tried to access index {bad} on a tensor of {n} elements."))
    return flat[index]


def _put(x: Any, index: Any, src: Any, *, accumulate: bool = False) -> Any:
    out = np.array(x, order="C")
    _take(out, index)
    flat, values = out.reshape(-1), np.asarray(src).reshape(-1)
    if accumulate:
        np.add.at(flat, np.asarray(index).reshape(-1), values)
    else:
        flat[np.asarray(index).reshape(-1)] = values
    return out


def _put_entries(x: Any, index: Any, src: Any, *, accumulate: bool = False) -> Any:
    """The loop body: indices may depend on values, so nothing checks them."""
    flat, values = x.reshape(-1).copy(), src.reshape(-1)
    if accumulate:
        np.add.at(flat, index.reshape(-1), values)
    else:
        flat[index.reshape(-1)] = values
    return flat.reshape(x.shape)


def _put_back_x(g: Any, _out: Any, _x: Any, index: Any, _src: Any, *, accumulate: bool = False) -> Any:
    return g if accumulate else put_op(g, index, zeros_for(index.shape, g))


take_op = structural(
    "take",
    _take,
    vjp=[lambda g, _out, _x, index: put_op(zeros_for(_x.shape, g), index, g, accumulate=True), None],
    samples=[((2, 3), np.array([[0, 5], [-1, 2]]), {})],
    facets={"lower": lambda x, index: x.reshape(-1)[index]},
)
put_op = structural(
    "put",
    _put,
    vjp=[
        _put_back_x,
        None,
        lambda g, _out, _x, index, _src, *, accumulate=False: in_shape(take_op(g, index), tuple(_src.shape)),  # noqa: ARG005
    ],
    data=(0, 2),
    samples=[((2, 3), np.array([0, 4]), (2,), {}), ((2, 3), np.array([0, 4, 4]), (3,), {"accumulate": True})],
    facets={"lower": _put_entries},
)
put_op.places = lambda numbers, index, _params: _take(numbers, index).reshape(-1)


def _put_pairs(avals: Any, params: dict[str, Any], values: Any) -> list[Any]:
    if params.get("accumulate"):
        flat = [avals[0], avals[1], wrap(np.empty(int(np.prod(tuple(avals[2].shape)))))]
        return pairs_of_added(put_op)([flat[0], flat[1], flat[2].value], params, values)
    return put_op._copied_pairs(avals, params, values)


put_op.pairs = _put_pairs


def take(input: Tensor, index: Tensor) -> Tensor:
    """The entries of the flattened tensor at the places the index names, in the index's shape."""
    need_tensor("take", input)
    if index.value.dtype != np.int64:
        raise RuntimeError(
            message(
                f"take(): Expected a long tensor for index, but got {index.dtype.word}",
                "",
                "convert it: index.long()",
            )
        )
    return apply(take_op, (input, index), {})


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """gather with indices that broadcast against the input; without dim over the flattened input."""
    need_tensor("take_along_dim", input)
    if dim is None:
        return gather(reshape(input, (-1,)), 0, reshape(indices, (-1,)))
    n, m = input.value.ndim, indices.value.ndim
    if n != m:
        raise RuntimeError(
            message(
                f"torch.take_along_dim(): input and indices should have the same number of dimensions, "
                f"but got {n} dimensions for "
                f"input, and {m} dimensions for indices"
            )
        )
    d = dim_of(dim, n, "take_along_dim")
    shape = common_shape(
        "take_along_dim", [(*s[:d], 1, *s[d + 1 :]) for s in (input.value.shape, indices.value.shape)]
    )
    wide = expand(input, (*shape[:d], input.value.shape[d], *shape[d + 1 :]))
    return gather(wide, d, expand(indices, (*shape[:d], indices.value.shape[d], *shape[d + 1 :])))


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with source written (or added) at places of the flattened tensor."""
    need_tensor("put", input)
    if index.value.size != source.value.size:
        raise IndexError(
            message(
                f"put_(): Expected source and index to have the same number of elements, but got "
                f"source.numel() = {source.value.size}, "
                f"index.numel() = {index.value.size}"
            )
        )
    return apply(put_op, (input, index, source), {"accumulate": accumulate})


PUBLIC: dict[str, Any] = {"take": take, "take_along_dim": take_along_dim}
METHODS: dict[str, Any] = {**PUBLIC, "put": put}
IN_PLACE: dict[str, Any] = {"put_": put}
