"""Slabs of a tensor by a vector of indices: index_select, index_add, index_copy, index_fill.

Read `index_select` first. May import `families`, `graph`, `errors`, `ops.scatter`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import apply
from pullback.families.sizes import dim_of, need_tensor
from pullback.families.structural import structural
from pullback.graph.tensor import Tensor
from pullback.ops.broadcasting import expand
from pullback.ops.memory import written
from pullback.ops.scatter_entries import check_index, in_range, pairs_of_added, zeros_for
from pullback.ops.shape import reshape

# indices


def _index_select(x: Any, index: Any, *, dim: int) -> Any:
    x, index = np.asarray(x), np.asarray(index).reshape(-1)
    n = x.shape[dim] if x.ndim else 1
    if index.size and (index.min() < 0 or index.max() >= n):
        raise IndexError(
            message("index out of range in self", f"index entries lie in 0 to {n - 1}, got {index.tolist()}")
        )
    return np.take(x, index, dim) if x.ndim else x.reshape(1)[index].reshape(())


def _slab(ndim: int, dim: int, index: Any) -> tuple[Any, ...]:
    return (slice(None),) * dim + (np.asarray(index).reshape(-1),) if ndim else ()


def _index_add(x: Any, index: Any, src: Any, *, dim: int, alpha: Any = 1) -> Any:
    out = np.array(x, order="C")
    in_range(np.asarray(index), out.shape[dim] if out.ndim else 1, dim)
    add = src if alpha == 1 else np.asarray(src) * np.asarray(alpha).astype(out.dtype)
    if not out.ndim:
        return out + np.asarray(add).sum()
    np.add.at(out, _slab(out.ndim, dim, index), add)
    return out


def _index_copy(x: Any, index: Any, src: Any, *, dim: int) -> Any:
    out = np.array(x, order="C")
    index = np.asarray(index)
    n = out.shape[dim] if out.ndim else 1
    if index.size and (index.min() < 0 or index.max() >= n):
        bad = next(int(i) for i in index.reshape(-1) if not 0 <= i < n)
        raise IndexError(
            message(f"index_copy_(): index {bad} is out of bounds for dimension {dim} with size {n}")
        )
    if out.ndim:
        out[_slab(out.ndim, dim, index)] = src
    elif index.size:
        out[...] = np.asarray(src).reshape(-1)[-1]
    return out


def _index_fill(x: Any, index: Any, *, dim: int, value: Any) -> Any:
    out = np.array(x, order="C")
    index = np.asarray(index)
    n = out.shape[dim] if out.ndim else 1
    if index.size and (index.min() < -n or index.max() >= n):
        bad = next(int(i) for i in index.reshape(-1) if not -n <= i < n)
        raise IndexError(message(f"index {bad} is out of bounds for dimension {dim} with size {n}"))
    if index.size:
        out[_slab(out.ndim, dim, index)] = value
    return out


def _slabs(x: Any, index: Any, src: Any, dim: int, ufunc: Any = None) -> Any:
    """The loop body: write slabs, or join them with a ufunc; indices may depend on values."""
    out = np.atleast_1d(x).copy()
    places = ((slice(None),) * dim) + (index.reshape(-1),)
    if ufunc is None:
        out[places] = src
    else:
        ufunc.at(out, places, src)
    return out.reshape(x.shape)


def _index_places(numbers: Any, index: Any, params: dict[str, Any]) -> Any:
    return _index_select(numbers, index, dim=params["dim"])


_I1 = np.array([2, 0, 0])
index_select_op = structural(
    "index_select",
    _index_select,
    vjp=[lambda g, _out, _x, index, *, dim: index_add_op(zeros_for(_x.shape, g), index, g, dim=dim), None],
    samples=[((3, 2), _I1, {"dim": 0}), ((2, 3), _I1, {"dim": 1})],
    facets={"lower": lambda x, index, *, dim: np.take(x, index.reshape(-1), dim)},
)
index_add_op = structural(
    "index_add",
    _index_add,
    vjp=[
        lambda g, _out, _x, _index, _src, *, dim, alpha=1: g,  # noqa: ARG005
        None,
        lambda g, _out, _x, index, _src, *, dim, alpha=1: _times(index_select_op(g, index, dim=dim), alpha),
    ],
    data=(0, 2),
    samples=[((3, 2), _I1, (3, 2), {"dim": 0}), ((2, 3), _I1, (2, 3), {"dim": 1, "alpha": 2.0})],
    facets={"lower": lambda x, index, src, *, dim, alpha=1: _slabs(x, index, src * alpha, dim, np.add)},
)
index_add_op.places = _index_places
index_add_op.pairs = pairs_of_added(index_add_op)
index_copy_op = structural(
    "index_copy",
    _index_copy,
    vjp=[
        lambda g, _out, _x, index, _src, *, dim: index_fill_op(g, index, dim=dim, value=0),
        None,
        lambda g, _out, _x, index, _src, *, dim: index_select_op(g, index, dim=dim),
    ],
    data=(0, 2),
    samples=[((3, 2), _I1[:2], (2, 2), {"dim": 0})],
    facets={"lower": lambda x, index, src, *, dim: _slabs(x, index, src, dim)},
)
index_fill_op = structural(
    "index_fill",
    _index_fill,
    vjp=[lambda g, _out, _x, index, *, dim, value: index_fill_op(g, index, dim=dim, value=0), None],  # noqa: ARG005
    constants={"value": 0},
    samples=[((3, 2), _I1, {"dim": 0, "value": 1.5})],
    facets={"lower": lambda x, index, *, dim, value: _slabs(x, index, value, dim)},
)


def _times(c: Any, alpha: Any) -> Any:
    return c if alpha == 1 else c * alpha


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along dim that a vector of indices names, in its order (a copy)."""
    need_tensor("index_select", input)
    d = dim_of(dim, input.value.ndim, "index_select")
    check_index("index_select", index)
    if index.value.ndim > 1:
        raise IndexError(
            message(
                "index_select(): Index is supposed to be a vector",
                f"got shape {list(index.value.shape)}",
                "flatten it, or use x[index]",
            )
        )
    return apply(index_select_op, (input, index), {"dim": d})


def _same_others(x: Tensor, src: Tensor, d: int) -> bool:
    a, b = list(x.value.shape), list(src.value.shape)
    return len(a) == len(b) and a[:d] + a[d + 1 :] == b[:d] + b[d + 1 :]


def _count_error(name: str, text: str, index: Tensor, src: Tensor, d: int, kind: type[Exception]) -> None:
    have = src.value.shape[d] if src.value.ndim else 1
    if index.value.size != have:
        raise kind(
            message(
                text.format(n=index.value.size, m=have, d=d),
                f"{name}: index {list(index.value.shape)}, source {list(src.value.shape)}",
            )
        )


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Any = None
) -> Tensor:
    """A copy with alpha * source added to the slices along dim that the index names; duplicates add up."""
    need_tensor("index_add", input)
    d = dim_of(dim, input.value.ndim, "index_add")
    if source.value.dtype != input.value.dtype:
        raise RuntimeError(
            message(
                f"index_add_(): self ({input.dtype.word}) and source ({source.dtype.word}) must have the "
                "same scalar type"
            )
        )
    check_index("index_add", index)
    _count_error(
        "index_add",
        "index_add_(): Number of indices ({n}) should be equal to source.size(dim): ({m}), for dim: {d}",
        index,
        source,
        d,
        RuntimeError,
    )
    if not _same_others(input, source, d):
        raise RuntimeError(
            message(
                "source tensor shape must match self tensor shape, excluding the specified dimension. "
                "Got self.shape = "
                f"{list(input.value.shape)} source.shape = {list(source.value.shape)}"
            )
        )
    params: dict[str, Any] = {"dim": d} if alpha == 1 else {"dim": d, "alpha": alpha}
    return written(
        index_add_op, out, apply(index_add_op, (input, index, source), params), (input, index, source)
    )


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Any = None) -> Tensor:
    """A copy with the slices along dim that the index names replaced by those of source."""
    need_tensor("index_copy", input)
    d = dim_of(dim, input.value.ndim, "index_copy")
    check_index("index_copy", index)
    _count_error(
        "index_copy",
        "index_copy_(): Number of indices ({n}) should be equal to source.size(dim) ({m})",
        index,
        source,
        d,
        IndexError,
    )
    if source.value.dtype != input.value.dtype:
        raise RuntimeError(
            message(
                f"index_copy_(): self and source expected to have the same dtype, but got (self) "
                f"{input.dtype.word} and (source) {source.dtype.word}"
            )
        )
    return written(
        index_copy_op, out, apply(index_copy_op, (input, index, source), {"dim": d}), (input, index, source)
    )


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with the slices along dim that the index names set to a number (or a 0-d tensor)."""
    need_tensor("index_fill", input)
    d = dim_of(dim, input.value.ndim, "index_fill")
    check_index("index_fill", index)
    if isinstance(value, Tensor):
        if value.value.ndim:
            raise RuntimeError(
                message(
                    f"Only supports 0-dimension value tensor but got tensor with {value.value.ndim} "
                    "dimensions."
                )
            )
        if value.node is not None or value.foreign is not None:
            shape = list(input.value.shape)
            shape[d] = index.value.size
            return index_copy(input, d, reshape(index, (-1,)), expand(value.to(input.dtype), shape))
        value = value.value.item()
    return apply(index_fill_op, (input, index), {"dim": d, "value": value})


IN_PLACE: dict[str, Any] = {f"{f.__name__}_": f for f in (index_add, index_copy, index_fill)}
PUBLIC: dict[str, Any] = {f.__name__: f for f in (index_select, index_add, index_copy, index_fill)}
METHODS: dict[str, Any] = {**PUBLIC}
