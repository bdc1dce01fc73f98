"""The ops behind gather and scatter, and what their relatives share: places, checks, batching, patterns.

Read `along` first: gather reads at places, scatter writes there, and each is the other's derivative. May
import `families`, `graph`, `errors`, `ops.index`, `ops.shape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.structural import structural
from pullback.graph.tensor import Tensor
from pullback.ops.axes import movedim
from pullback.ops.broadcasting import expand
from pullback.ops.index_entries import unslice_op
from pullback.ops.shape import reshape


def along(index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    """The flat places in `shape` that an index names.

    Its own position, with the coordinate `dim` replaced by its entry.
    """
    if not shape:
        return index.reshape(-1)
    ids = np.zeros(index.shape, np.int64)
    step = 1
    for d in range(len(shape) - 1, -1, -1):
        here = index if d == dim else np.arange(index.shape[d]).reshape((-1,) + (1,) * (index.ndim - 1 - d))
        ids = ids + here * step
        step *= shape[d]
    return ids


def in_range(index: Any, n: int, dim: int) -> Any:
    """The index itself. RuntimeError for entries that are not in 0 to n - 1."""
    if index.size and (index.min() < 0 or index.max() >= n):
        bad = next(int(i) for i in index.reshape(-1) if not 0 <= i < n)
        raise RuntimeError(
            message(
                f"index {bad} is out of bounds for dimension {dim} with size {n}",
                "",
                f"entries of the index lie in 0 to {n - 1}",
            )
        )
    return index


def places_of(index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    """The checked flat places that an index names."""
    index = np.asarray(index)
    return along(in_range(index, shape[dim] if shape else 1, dim), dim, shape)


def _gather(x: Any, index: Any, *, dim: int) -> Any:
    x = np.asarray(x)
    return x.reshape(-1)[places_of(index, dim, x.shape)].reshape(np.shape(index))


def corner(src: Any, shape: tuple[int, ...]) -> Any:
    """The part of a source that an index of this shape reads."""
    return src if src.shape == shape else src[tuple(slice(0, n) for n in shape)] if src.ndim else src


def _scatter(x: Any, index: Any, src: Any, *, dim: int) -> Any:
    out = np.array(x, order="C")
    ids = places_of(index, dim, out.shape)
    out.reshape(-1)[ids] = corner(src, np.shape(index)) if np.ndim(src) else src
    return out


def _scatter_add(x: Any, index: Any, src: Any, *, dim: int) -> Any:
    out = np.array(x, order="C")
    ids = places_of(index, dim, out.shape)
    np.add.at(
        out.reshape(-1), ids.reshape(-1), np.broadcast_to(corner(src, np.shape(index)), ids.shape).reshape(-1)
    )
    return out


def zeros_for(shape: Any, like: Any) -> Any:
    """Zeros in the dtype of another array or tensor."""
    return np.zeros(tuple(shape), like.value.dtype if isinstance(like, Tensor) else like.dtype)


def _gather_padded(g: Any, index: Any, aval: Any, dim: int) -> Any:
    """The cotangent of a source.

    What was read where it was written, zero where the source was larger than the index.
    """
    if not aval.shape and aval.ndim != len(index.shape):
        return gather_op(g, index, dim=dim).sum()
    c = gather_op(g, index, dim=dim)
    if tuple(c.shape) == tuple(aval.shape):
        return c

    return unslice_op(c, index=tuple(slice(0, n) for n in c.shape), shape=tuple(aval.shape))


# ---------------------------------------------------------------------- batching


def _front(a: Tensor, d: Any, size: int) -> Tensor:
    return expand(a, (size, *a.value.shape)) if d is None else movedim(a, d, 0)


def lifted(op: Any) -> Any:
    """Lanes in front of every argument, the dimension one further.

    Exact for ops whose index has the data's rank.
    """

    def batch(size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
        ranks = [a.value.ndim - (d is not None) for a, d in zip(args, dims, strict=True)]
        made = [_front(a, d, size) for a, d in zip(args, dims, strict=True)]
        if ranks[0] == 0:  # a 0-d tensor counts as having one dimension
            made = [reshape(a, (size, 1)) if r == 0 else a for a, r in zip(made, ranks, strict=True)]
            out = op(*made, **{**params, "dim": 1})
            return (reshape(out, (size,)) if op is not gather_op or ranks[1] == 0 else out), 0
        return op(*made, **{**params, "dim": params["dim"] + 1}), 0

    return batch


def pairs_of_added(op: Any) -> Any:
    """The pattern of x + (src added at places): the identity for x, the places for src."""

    def pairs(avals: Any, params: dict[str, Any], values: Any) -> list[Any]:
        shape = tuple(avals[0].shape)
        n, m = int(np.prod(shape)), int(np.prod(tuple(avals[2].shape)))
        numbers = np.arange(n).reshape(shape)
        back = op.places(numbers, values[1], params)
        cols = np.broadcast_to(corner(np.arange(m).reshape(tuple(avals[2].shape)), back.shape), back.shape)
        return [(np.arange(n), np.arange(n)), None, (back.reshape(-1), cols.reshape(-1))]

    return pairs


# ---------------------------------------------------------------------- loop bodies
# for indices whose entries may depend on values: one place per dimension, no flat numbers


def reached(x: Any, index: Any, dim: int) -> Any:
    """The part of x that an index along dim can name (a view)."""
    return x[tuple(slice(None) if k == dim else slice(0, n) for k, n in enumerate(index.shape))]


def place_arrays(index: Any, dim: int) -> tuple[Any, ...]:
    """NumPy's index of the places that an index along dim names."""
    places: list[Any] = list(np.indices(tuple(index.shape), sparse=True))
    places[dim] = index
    return tuple(places)


def _gather_entries(x: Any, index: Any, *, dim: int) -> Any:
    if not x.ndim:
        return np.broadcast_to(x, index.shape)
    return np.take_along_axis(reached(x, index, dim), index, dim)


def _written_entries(ufunc: Any = None) -> Any:
    """Write a source at the places that an index names along a dimension, or join it with a ufunc."""

    def lower(x: Any, index: Any, src: Any, *, dim: int) -> Any:
        out = np.atleast_1d(x).copy()
        index = np.atleast_1d(index)
        part = reached(out, index, dim)
        places = place_arrays(index, dim)
        src = corner(src, tuple(index.shape)) if src.ndim else src
        if ufunc is None:
            part[places] = src
        else:
            ufunc.at(part, places, src)
        return out.reshape(x.shape)

    return lower


_filled_entries = _written_entries()


# ---------------------------------------------------------------------- entries: gather and scatter

INDEX = np.array([[0, 1, 1], [1, 0, 0]])
gather_op = structural(
    "gather",
    _gather,
    vjp=[lambda g, _out, _x, index, *, dim: scatter_add_op(zeros_for(_x.shape, g), index, g, dim=dim), None],
    facets={"lower": _gather_entries},
    samples=[((2, 3), INDEX, {"dim": 0}), ((2, 3), INDEX[:, :2], {"dim": 1}), ((), np.array(0), {"dim": 0})],
)
scatter_op = structural(
    "scatter",
    _scatter,
    vjp=[
        lambda g, _out, _x, index, _src, *, dim: scatter_value_op(g, index, dim=dim, value=0),
        None,
        lambda g, _out, _x, index, _src, *, dim: _gather_padded(g, index, _src, dim),
    ],
    data=(0, 2),
    samples=[
        ((2, 3), INDEX[:1], (1, 3), {"dim": 0}),
        ((2, 3), np.array([[2, 0], [1, 0]]), (2, 3), {"dim": 1}),
    ],
    facets={"lower": _written_entries()},
)
scatter_value_op = structural(
    "scatter_value",
    lambda x, index, *, dim, value: _scatter(x, index, np.asarray(value).astype(x.dtype), dim=dim),
    vjp=[lambda g, _out, _x, index, *, dim, value: scatter_value_op(g, index, dim=dim, value=0), None],  # noqa: ARG005
    constants={"value": 0},
    backward="ScatterBackward1",
    samples=[((2, 3), INDEX, {"dim": 0, "value": 2.5})],
    facets={"lower": lambda x, index, *, dim, value: _filled_entries(x, index, np.asarray(value), dim=dim)},
)
scatter_add_op = structural(
    "scatter_add",
    _scatter_add,
    vjp=[
        lambda g, _out, _x, _index, _src, *, dim: g,  # noqa: ARG005
        None,
        lambda g, _out, _x, index, _src, *, dim: _gather_padded(g, index, _src, dim),
    ],
    data=(0, 2),
    samples=[((2, 3), INDEX, (2, 3), {"dim": 0}), ((2, 3), INDEX[:, :1], (3, 2), {"dim": 1})],
    facets={"lower": _written_entries(np.add)},
)
scatter_add_op.places = lambda numbers, index, params: _gather(numbers, index, dim=params["dim"])
scatter_add_op.pairs = pairs_of_added(scatter_add_op)


def in_shape(c: Any, shape: tuple[int, ...]) -> Any:
    """Reshaped, where the shape differs."""
    return c if tuple(c.shape) == shape else reshape(c, shape) if isinstance(c, Tensor) else c.reshape(shape)


# ---------------------------------------------------------------------- public


def check_index(name: str, index: Any) -> None:
    """RuntimeError for an index that is not int64 (or int32 where PyTorch takes it)."""
    if not isinstance(index, Tensor) or index.value.dtype not in (np.int64, np.int32):
        if not isinstance(index, Tensor):
            raise TypeError(
                message(f"{name}(): argument 'index' (position 2) must be Tensor, not {type(index).__name__}")
            )
        raise RuntimeError(
            message(
                f"{name}(): Expected dtype int32/int64 for index",
                f"got {index.dtype!r}",
                "convert it: index.long()",
            )
        )


def rank_of(x: Tensor) -> int:
    """The number of dimensions; a 0-d tensor counts as having one."""
    return max(x.value.ndim, 1)


def sizes_of(x: Tensor) -> tuple[int, ...]:
    """The shape; a 0-d tensor counts as having one entry along one dimension."""
    return x.value.shape or (1,)


def check_scatter(name: str, x: Tensor, d: int, index: Tensor, src: Tensor) -> None:
    """PyTorch's errors for an index and a source that do not fit."""
    check_index(name, index)
    if rank_of(x) != rank_of(index):
        raise RuntimeError(
            message(
                "Index tensor must have the same number of dimensions as self tensor",
                f"index {list(index.value.shape)}, self {list(x.value.shape)}",
            )
        )
    if rank_of(src) != rank_of(index):
        raise RuntimeError(
            message(
                "Index tensor must have the same number of dimensions as src tensor",
                f"index {list(index.value.shape)}, src {list(src.value.shape)}",
            )
        )
    small = all(n <= m for k, (n, m) in enumerate(zip(sizes_of(index), sizes_of(x), strict=True)) if k != d)
    if not small or any(n > m for n, m in zip(sizes_of(index), sizes_of(src), strict=True)):
        raise RuntimeError(
            message(
                f"Expected index {list(index.value.shape)} to be no larger than self "
                f"{list(x.value.shape)} apart from dimension {d} and "
                f"to be no larger size than src {list(src.value.shape)}"
            )
        )
    if src.value.dtype != x.value.dtype:
        raise RuntimeError(
            message(
                f"{name}(): Expected self.dtype to be equal to src.dtype",
                f"{x.dtype!r} and {src.dtype!r}",
                "convert src: src.to(self.dtype)",
            )
        )


for _op in (gather_op, scatter_op, scatter_value_op, scatter_add_op):
    _op.batch = lifted(_op)
