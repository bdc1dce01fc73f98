"""NumPy's functions on cells: selection, creation, contraction, order, and what only moves entries.

Each is declared with `implements` and has the signature of its namesake behind a builder. Read `where`, then
`MOVING`. May import `compiler.cells` and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.compiler import picks
from pullback.compiler.build import Builder
from pullback.compiler.cells import (
    BOOL,
    FUNCTIONS,
    INDEX,
    Cells,
    as_cells,
    code_of,
    implements,
    joined,
    mapped,
    truth,
)
from pullback.compiler.cells_ufuncs import matmul, reduce_lines, total
from pullback.compiler.program import Value
from pullback.compiler.scalars import NotLowered, is_nan, tree

# ---------------------------------------------------------------------- selection


@implements(np.where)
def where(b: Builder, condition: Any, x: Any = None, y: Any = None) -> Cells:
    """np.where with three arguments."""
    if x is None or y is None:
        raise NotLowered("where with one argument")
    dtype = joined(x, y)
    choose = truth(b, condition).grid
    return Cells(mapped(b.select, choose, as_cells(x, dtype, b).grid, as_cells(y, dtype, b).grid), dtype, b)


@implements(np.clip)
def clip(_b: Builder, x: Any, low: Any = None, high: Any = None, **_kwargs: Any) -> Any:
    """np.clip."""
    r = x if low is None else np.maximum(x, low)
    return r if high is None else np.minimum(r, high)


@implements(np.nan_to_num)
def nan_to_num(
    b: Builder, x: Cells, nan: Any = 0.0, posinf: Any = None, neginf: Any = None, **_kwargs: Any
) -> Cells:
    """np.nan_to_num."""
    top = np.finfo(x.dtype).max
    high, low = (top if posinf is None else posinf), (-top if neginf is None else neginf)

    def entry(v: Value) -> Value:
        r = b.select(b.op("eq", v, np.inf), high, b.select(b.op("eq", v, -np.inf), low, v))
        return b.select(is_nan(b, v), nan, r)

    return x.like(mapped(entry, x.grid))


@implements(np.copyto)
def copyto(_b: Builder, target: Any, source: Any, casting: Any = None, where: Any = True) -> None:
    """np.copyto."""
    del casting
    if not isinstance(target, Cells):
        raise NotLowered("values written into a NumPy array")
    target.grid[...] = target.cast_in(source if where is True else np.where(where, source, target)).grid


# ---------------------------------------------------------------------- creation


def filled(number: Any, like: bool) -> Callable[..., Cells]:
    """zeros and ones, of a shape or of an array's shape."""

    def rule(b: Builder, x: Any, dtype: Any = None, shape: Any = None, **_kwargs: Any) -> Cells:
        if like:
            dtype, shape = dtype or x.dtype, x.shape if shape is None else shape
        return as_cells(np.full(x if shape is None else shape, number), dtype or np.dtype("f8"), b)

    return rule


for _number, _functions in ((0, (np.zeros, np.empty)), (1, (np.ones,))):
    implements(*_functions)(filled(_number, like=False))
implements(np.zeros_like, np.empty_like)(filled(0, like=True))
implements(np.ones_like)(filled(1, like=True))


@implements(np.full_like)
def full_like(b: Builder, x: Any, value: Any, dtype: Any = None, **_kwargs: Any) -> Cells:
    """np.full_like."""
    kind = x.dtype if dtype is None else np.dtype(dtype)
    return Cells(np.broadcast_to(as_cells(value, kind, b).grid, x.shape).copy(), kind, b)


@implements(np.full)
def full(b: Builder, shape: Any, value: Any, dtype: Any = None, **_kwargs: Any) -> Cells:
    """np.full(..., like=cells)."""
    kind = joined(value) if dtype is None else np.dtype(dtype)
    return Cells(np.broadcast_to(as_cells(value, kind, b).grid, shape).copy(), kind, b)


@implements(np.array, np.asarray, np.ascontiguousarray)
def array(b: Builder, x: Any, dtype: Any = None, **_kwargs: Any) -> Cells:
    """A copy as cells."""
    return as_cells(x, (x.dtype if isinstance(x, Cells) else joined(x)) if dtype is None else dtype, b).copy()


@implements(np.eye)
def eye(b: Builder, n: int, m: int | None = None, k: int = 0, dtype: Any = float, **_kw: Any) -> Cells:
    """np.eye(..., like=cells)."""
    return as_cells(np.eye(n, m, k), dtype, b)


# ---------------------------------------------------------------------- contraction and sums

implements(np.dot)(lambda b, x, y: x * y if not (np.ndim(x) and np.ndim(y)) else matmul(b, x, y))


@implements(np.outer)
def outer(_b: Builder, x: Any, y: Any) -> Any:
    """np.outer."""
    return x.reshape(-1, 1) * y.reshape(1, -1)


@implements(np.einsum)
def einsum(b: Builder, spec: str, *operands: Any, **_kwargs: Any) -> Cells:
    """np.einsum, entry by entry."""
    dtype = joined(*operands)
    left, arrow, right = spec.partition("->")
    terms = left.split(",")
    if "." in spec or not arrow:
        raise NotLowered("einsum with an ellipsis")
    grids: list[Any] = [as_cells(x, dtype, b).grid for x in operands]
    sizes = {c: n for t, g in zip(terms, grids, strict=True) for c, n in zip(t, g.shape, strict=True)}
    summed = [c for c in dict.fromkeys("".join(terms)) if c not in right]
    out = np.empty([sizes[c] for c in right], object)
    for place in np.ndindex(*out.shape):
        at = dict(zip(right, place, strict=True))
        found: list[Value] = []
        for more in np.ndindex(*[sizes[c] for c in summed]):
            at.update(zip(summed, more, strict=True))
            found.append(tree("mul", [g[tuple(at[c] for c in t)] for t, g in zip(terms, grids, strict=True)]))
        out[place] = total(b, found, dtype)
    return Cells(out, dtype, b)


@implements(np.cumsum)
def cumsum(_b: Builder, x: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """np.cumsum."""
    return np.add.accumulate(x.ravel() if axis is None else x, axis or 0, dtype, out)


@implements(np.cumprod)
def cumprod(_b: Builder, x: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """np.cumprod."""
    return np.multiply.accumulate(x.ravel() if axis is None else x, axis or 0, dtype, out)


@implements(np.count_nonzero)
def count_nonzero(b: Builder, x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """np.count_nonzero."""
    return truth(b, x).sum(axis, keepdims=keepdims)


@implements(np.bincount)
def bincount(b: Builder, x: Cells, weights: Any = None, minlength: int = 0) -> Cells:
    """np.bincount for numbers below minlength."""
    if weights is not None or not minlength:
        raise NotLowered("a histogram of unknown length")
    return as_cells(np.stack([(x == k).sum() for k in range(minlength)]), INDEX, b)


# ---------------------------------------------------------------------- order and indices


def along(x: Cells, axis: Any, line: Callable[[list[Value]], list[Value]]) -> Cells:
    """line(values) -> indices, along an axis."""
    moved = np.moveaxis(x.grid, axis, -1)
    out = np.empty(moved.shape, object)
    for place in np.ndindex(*moved.shape[:-1]):
        out[place] = line(list(moved[place]))
    return Cells(np.moveaxis(out, -1, axis), INDEX, x.builder)


@implements(np.argsort)
def argsort(b: Builder, x: Cells, axis: Any = -1, kind: Any = None, **_kwargs: Any) -> Cells:
    """np.argsort, always stable."""
    del kind
    return along(x, axis, lambda line: picks.order(b, line))


@implements(np.sort)
def sort(_b: Builder, x: Any, axis: Any = -1, **_kwargs: Any) -> Any:
    """np.sort."""
    return np.take_along_axis(x, np.argsort(x, axis), axis)


def place_of(op: str) -> Callable[..., Cells]:
    """argmax and argmin."""

    def rule(b: Builder, x: Cells, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Cells:
        del out
        picks.bounded("the place of an extreme", x.size if axis is None else x.shape[axis])
        found = reduce_lines(x, axis, keepdims, lambda line: picks.extreme(b, line, op))
        return Cells(found.grid, INDEX, b)

    return rule


implements(np.argmax)(place_of("gt"))
implements(np.argmin)(place_of("lt"))


@implements(np.take_along_axis)
def take_along_axis(b: Builder, x: Any, indices: Any, axis: Any = -1) -> Cells:
    """np.take_along_axis, for indices that may depend on values."""
    cells = as_cells(x, x.dtype, b)
    if not isinstance(indices, Cells) or indices.known:
        return cells.like(np.take_along_axis(cells.grid, np.asarray(indices), axis))
    lines: Any = np.moveaxis(cells.grid, axis, -1)
    places: Any = np.moveaxis(indices.grid, axis, -1)
    lead = np.broadcast_shapes(lines.shape[:-1], places.shape[:-1])
    lines = np.broadcast_to(lines, lead + lines.shape[-1:])
    places = np.broadcast_to(places, lead + places.shape[-1:])
    out = np.empty(places.shape, object)
    for place in np.ndindex(*out.shape):
        out[place] = picks.pick(b, list(lines[place[:-1]]), places[place])
    return cells.like(np.moveaxis(out, -1, axis))


@implements(np.take)
def take(b: Builder, x: Any, indices: Any, axis: Any = None, **_kwargs: Any) -> Any:
    """np.take, for indices that may depend on values."""
    cells = as_cells(x, x.dtype, b)
    if axis is None:
        return cells.ravel()[indices]
    if not isinstance(indices, Cells) or indices.known:
        return cells.like(np.take(cells.grid, np.asarray(indices), axis))
    first = cells.like(np.moveaxis(cells.grid, axis, 0))[indices]
    n = indices.ndim
    order = [*range(n, n + axis % cells.ndim), *range(n), *range(n + axis % cells.ndim, first.ndim)]
    return first.transpose(order)


@implements(np.put_along_axis)
def put_along_axis(_b: Builder, target: Any, indices: Any, values: Any, axis: int) -> None:
    """np.put_along_axis, for indices that may depend on values."""
    if not isinstance(target, Cells):
        raise NotLowered("values written into a NumPy array")
    shape = tuple(indices.shape)
    places: list[Any] = list(np.indices(shape, sparse=True))
    places[axis] = indices
    target.write(tuple(places), values)


# ---------------------------------------------------------------------- names that are methods or answers


def method(name: str) -> Callable[..., Any]:
    """A NumPy function that is a method of the array."""
    return lambda _b, x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


for _function, _name in (
    (np.sum, "sum"), (np.mean, "mean"), (np.prod, "prod"), (np.max, "max"), (np.min, "min"), (np.any, "any"),
    (np.all, "all"), (np.copy, "copy"), (np.astype, "astype"),
):  # fmt: skip
    implements(_function)(method(_name))
implements(np.shape)(lambda _b, x: x.shape)
implements(np.ndim)(lambda _b, x: x.ndim)
implements(np.size)(lambda _b, x: x.size)
implements(np.result_type)(lambda _b, *xs: joined(*xs))
implements(np.iscomplexobj)(lambda _b, _x: False)
implements(np.real, np.conj)(lambda _b, x: x)
implements(np.imag)(lambda b, x: as_cells(np.zeros(x.shape), x.dtype, b))
implements(np.shares_memory, np.may_share_memory)(lambda _b, *_xs: False)

# ---------------------------------------------------------------------- functions that only move entries

MOVING = (
    np.reshape, np.transpose, np.moveaxis, np.swapaxes, np.rollaxis, np.squeeze, np.expand_dims, np.ravel,
    np.broadcast_to, np.concatenate, np.stack, np.flip, np.roll, np.rot90, np.repeat, np.tile, np.diagonal,
    np.atleast_1d, np.atleast_2d, np.pad, np.fliplr, np.flipud, np.split, np.array_split, np.delete, np.diag,
    np.append, np.insert, np.broadcast_arrays,
)  # fmt: skip


def moving(function: Any) -> Callable[..., Any]:
    """Run a function that moves entries on object arrays; inserted constants take the dtype."""

    def rule(b: Builder, *args: Any, **kwargs: Any) -> Any:
        found = list[Any]()

        def bare(a: Any) -> Any:
            if isinstance(a, Cells):
                found.append(a)
                return a.grid
            if isinstance(a, list | tuple):
                return [bare(x) for x in a]  # pyright: ignore[reportUnknownVariableType]
            return a

        out: Any = function(*[bare(a) for a in args], **{k: bare(v) for k, v in kwargs.items()})
        dtype = np.result_type(*[c.dtype for c in found])
        if isinstance(out, list | tuple):
            return [wrapped(o, dtype, b) for o in out]  # pyright: ignore[reportUnknownVariableType]
        return wrapped(out, dtype, b)

    return rule


def wrapped(grid: Any, dtype: Any, b: Builder) -> Cells:
    """Moved entries; a view stays a view."""
    return Cells(grid, dtype, b) if all(isinstance(v, Value) for v in grid.flat) else as_cells(grid, dtype, b)


for _function in MOVING:
    implements(_function)(moving(_function))


def triangle(function: Any) -> Callable[..., Any]:
    """tril and triu: zeros on one side of a diagonal."""

    def rule(b: Builder, x: Cells, k: int = 0) -> Cells:
        kept = function(np.ones(x.shape[-2:], bool), k)
        zero = b.const(0, code_of(x.dtype))
        return x.like(mapped(lambda keep, v: v if keep else zero, np.asarray(kept, object), x.grid))

    return rule


for _function in (np.tril, np.triu):
    implements(_function)(triangle(_function))

__all__ = ["BOOL", "FUNCTIONS", "MOVING"]
