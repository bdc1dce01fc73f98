"""What the rules of the reduction family are made of: fibers, spreading, picking along a dimension.

Every function takes plain arrays in the plain sweep and tensors under create_graph. Read `over` and `spread`
first. May import `graph`, `families.op`, `families.structural`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.families.op import cast
from pullback.families.structural import put_ids, take_ids
from pullback.graph.tensor import Tensor, wrap

ndarray = np.ndarray
# up to this many entries a filled array is faster than a broadcast view
SMALL = 4096


def axes(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dimensions that `dim` means, counted from the front.

    >>> axes(None, 2), axes(-1, 3), axes((), 0)
    ((0, 1), (2,), ())
    """
    if dim is None:
        return tuple(range(ndim))
    dims: Any = dim if isinstance(dim, tuple) else (dim,)
    return tuple(sorted(d % ndim for d in dims)) if ndim else ()


def count(shape: Sequence[int], dim: Any) -> int:
    """How many entries a fiber has."""
    n = 1
    for d in axes(dim, len(shape)):
        n *= shape[d]
    return n


def lifted_shape(shape: Sequence[int], dim: Any) -> tuple[int, ...]:
    """The input's shape with ones in the reduced dimensions."""
    dims = axes(dim, len(shape))
    return tuple(1 if i in dims else n for i, n in enumerate(shape))


def over(g: Any, shape: Sequence[int], dim: Any) -> Any:
    """A per-fiber value (cotangent or output) shaped so that it broadcasts against the input."""
    lifted = lifted_shape(shape, dim)
    return g if tuple(g.shape) == lifted else g.reshape(lifted)


def spread(g: Any, shape: Sequence[int]) -> Any:
    """Repeat g to `shape` without copying where that pays: the vjp of a sum."""
    shape = tuple(shape)
    if tuple(g.shape) == shape:
        return g
    if isinstance(g, Tensor):
        return g.expand(shape)
    if g.ndim == 0:
        return filled(g, shape)
    return np.broadcast_to(g, shape)


def filled(g: Any, shape: tuple[int, ...]) -> Any:
    """An array of this shape, every entry the 0-d g."""
    size = 1
    for n in shape:
        size *= n
    if size <= SMALL:
        r = np.empty(shape, g.dtype)
        r.fill(g)
        return r
    view = ndarray(shape, g.dtype, np.array(g), 0, (0,) * len(shape))  # np.broadcast_to, seven times faster
    view.flags.writeable = False
    return view


def choose(mask: Any, x: Any) -> Any:
    """x (broadcast) where the mask holds, exactly zero elsewhere: gradients are routed, not multiplied."""
    if isinstance(x, Tensor) or isinstance(mask, Tensor):
        if tuple(x.shape) != tuple(mask.shape):
            x = x.expand(tuple(mask.shape))
        return x.masked_fill(mask == False, 0)  # noqa: E712 - elementwise
    return np.where(mask, x, x.dtype.type(0))


def as_dtype(mask: Any, like: Any) -> Any:
    """A mask (or count) in the dtype of `like`."""
    dtype = like.value.dtype if isinstance(like, Tensor) else like.dtype
    return cast(mask, dtype)


def conj(x: Any) -> Any:
    """The complex conjugate of an array or tensor; x itself if it is real."""
    kind = x.value.dtype.kind if isinstance(x, Tensor) else x.dtype.kind
    return x.conj() if kind == "c" else x


def as_lines(x: Any, dim: Any) -> Any:
    """A NumPy array with the reduced dimensions flattened into a last one: each line is a fiber."""
    dims = axes(dim, x.ndim)
    kept = [i for i in range(x.ndim) if i not in dims]
    shape = tuple(x.shape[i] for i in kept)
    return x.transpose((*kept, *dims)).reshape((*shape, count(x.shape, dim)))


def rearranged(x: Any, order: Sequence[int]) -> Any:
    """The dimensions of an array or tensor in another order."""
    return x.permute(tuple(order)) if isinstance(x, Tensor) else x.transpose(tuple(order))


def no_zero(x: Any) -> bool:
    """Is no entry zero? False for the tensors of a running vmap, whose values rules must not look at."""
    if isinstance(x, Tensor):
        if x.foreign is not None:
            return False
        x = x.value
    return bool(np.all(x != 0))


def evenly(g: Any, out: Any, x: Any, *, dim: Any, keepdim: bool = False, nan: bool = True) -> Any:
    """The vjp of an extreme value: the cotangent is shared evenly by the entries that are equal to it.

    nan    a NaN is shared by the NaN entries (max()); else NaN goes to the whole fiber (amax)
    """
    del keepdim  # g and out arrive in either shape
    value = over(out, x.shape, dim)
    hit = x == value
    if nan:
        hit = hit | ((x != x) & (value != value))
    n = as_dtype(hit, g).sum(axes(dim, len(x.shape)), keepdims=True)
    g = over(g, x.shape, dim)
    if nan:
        return choose(hit, g / n)
    nobody = n == 0
    return choose(hit | nobody, choose(n != 0, g) / n)


def split_nan(g: Any, out: Any, x: Any, *, dim: Any, keepdim: bool = False) -> Any:
    """`evenly` with amax's convention for NaN."""
    return evenly(g, out, x, dim=dim, keepdim=keepdim, nan=False)


def flat_positions(index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    """The flat positions in `shape` that `index` (NumPy, entries along `dim`) names."""
    if not shape:
        return np.zeros(np.shape(index), np.int64)
    dim %= len(shape)
    places = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    places[dim] = index
    return (
        np.ravel_multi_index(tuple(np.broadcast_arrays(*places)), shape)
        if index.size
        else np.zeros(index.shape, np.int64)
    )


def put_along(g: Any, index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with g added at the indices along `dim`: the transpose of `take_along`."""
    if isinstance(index, Tensor):
        if index.foreign is not None or g.foreign is not None:
            return wrap(np.zeros(shape, g.dtype.numpy)).scatter_add(dim, index, g)
        index = index.value
    elif shape and index.shape[dim] == 1:
        out = np.zeros(shape, g.dtype)
        np.put_along_axis(out, index, g, dim)
        return out
    return put_ids(g, ids=flat_positions(index, dim, shape), shape=shape)


def take_along(x: Any, index: Any, dim: int) -> Any:
    """The entries of x at the indices along `dim`."""
    if isinstance(index, Tensor):
        if index.foreign is not None or x.foreign is not None:
            return x.gather(dim, index)
        index = index.value
    return take_ids(x, ids=flat_positions(index, dim, tuple(x.shape)))


def flipped(x: Any, dim: int) -> Any:
    """x in reverse order along a dimension."""
    shape = tuple(x.shape)
    if not isinstance(x, Tensor):
        return np.flip(x, dim) if shape else x
    return take_ids(x, ids=np.flip(np.arange(x.numel()).reshape(shape), dim)) if shape else x


def shifted(x: Any, dim: int, first: float) -> Any:
    """x moved one place up along a dimension, `first` in the place that becomes free."""
    shape = tuple(x.shape)
    ids = np.arange(int(np.prod(shape))).reshape(shape)
    moved = np.full(shape, -1)
    fill = np.zeros(shape, x.value.dtype if isinstance(x, Tensor) else x.dtype)
    if not shape:
        return x * 0 + first
    moved = np.moveaxis(moved, dim, 0)
    moved[1:] = np.moveaxis(ids, dim, 0)[:-1]
    np.moveaxis(fill, dim, 0)[:1] = first
    y = take_ids(x, ids=np.moveaxis(moved, 0, dim))
    if not first:
        return y
    return y + (wrap(fill) if isinstance(y, Tensor) else fill)
