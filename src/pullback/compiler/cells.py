"""`Cells`: an array of lane values with NumPy's interface, so that an op's own NumPy function lowers it.

`np.exp(cells)` emits an exp for every entry, `np.where` a select, `np.sum` additions; reshaping and indexing
move entries and emit nothing. What has no meaning for values that are not known yet (a Python branch on an
entry, a function that is not in the tables) raises `NotLowered`, and the op then runs through NumPy. A
function that makes an array of its own must make it like its argument: `np.zeros(shape, dtype, like=x)`.
Ufuncs are in `cells_ufuncs`, NumPy's functions in `cells_numpy` and `cells_linalg`. Read `Cells`. May import
`compiler.picks` and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from pullback.compiler import picks
from pullback.compiler.build import CODES, Builder
from pullback.compiler.program import Value
from pullback.compiler.scalars import NotLowered

Function = TypeVar("Function", bound=Callable[..., Any])
# what functions of NumPy and methods of ufuncs do on cells: rule(builder, *args, **kwargs), filled by the
# modules `cells_...`
FUNCTIONS: dict[Any, Callable[..., Any]] = {}
METHODS: dict[str, Callable[..., Any]] = {}
BOOL, INDEX = np.dtype(bool), np.dtype("i8")
NUMPY: Any = np  # NumPy's functions as cells see them: they take and return cells


def implements(*functions: Any) -> Callable[[Function], Function]:
    """Declare what functions of NumPy do on cells."""

    def keep(rule: Function) -> Function:
        FUNCTIONS.update(dict.fromkeys(functions, rule))
        return rule

    return keep


def code_of(dtype: Any) -> str:
    """The type code of a NumPy dtype; NotLowered where lanes have no such type."""
    code = CODES.get(np.dtype(dtype))
    if code is None:
        raise NotLowered(f"no lane type for {dtype}")
    return code


class Cells(NDArrayOperatorsMixin):
    """An array whose entries are Values: `grid` is the object array, `dtype` NumPy's dtype of the entries."""

    __slots__ = ("builder", "dtype", "grid")
    __array_priority__ = 100

    def __init__(self, grid: Any, dtype: Any, builder: Builder) -> None:
        """Wrap an object array (or one Value)."""
        self.grid: np.ndarray = grid if isinstance(grid, np.ndarray) else held(grid)
        self.dtype = np.dtype(dtype)
        self.builder = builder

    # ------------------------------------------------------------------ shape

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.grid.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.grid.ndim

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.grid.size

    @property
    def T(self) -> Cells:  # noqa: N802 - NumPy's name
        """The transpose."""
        return self.like(self.grid.T)

    @property
    def real(self) -> Cells:
        """Itself: entries are real."""
        return self

    @property
    def flat(self) -> Any:
        """The Values in order."""
        return self.grid.flat

    def __len__(self) -> int:
        return len(self.grid)

    def like(self, grid: Any) -> Cells:
        """Other entries of the same dtype."""
        return Cells(grid, self.dtype, self.builder)

    def __getitem__(self, index: Any) -> Cells:
        if not depends(index):
            return self.like(self.grid[plain_index(index)])
        places, view, target = self._places(index)
        out = np.empty((*places[0].shape, *view.shape[len(places) :]), object)
        for place in np.ndindex(*places[0].shape):
            out[place] = picks.gather(self.builder, view, [p[place] for p in places])
        n = places[0].ndim
        return self.like(np.moveaxis(out, range(n), range(target, target + n)))

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, Cells) and index.dtype == BOOL:
            if index.shape == self.shape and np.ndim(value) == 0:
                self.grid[...] = NUMPY.where(index, self.cast_in(value), self).grid
                return
            raise NotLowered("a write where a mask holds")
        if not depends(index):
            # a 0-d object array would become an entry itself
            grid = self.cast_in(value).grid
            self.grid[plain_index(index)] = grid if grid.ndim else grid[()]
            return
        self.write(index, value)

    def write(self, index: Any, value: Any, pair: Any = None) -> None:
        """Write (or join with pair) at places that may depend on values."""
        places, view, target = self._places(index)
        n, rest = places[0].ndim, view.shape[len(places) :]
        shape = (*rest[:target], *places[0].shape, *rest[target:])
        values = np.broadcast_to(self.cast_in(value).grid, shape)
        values = np.moveaxis(values, range(target, target + n), range(n))
        for place in np.ndindex(*places[0].shape):
            picks.scatter(self.builder, view, [p[place] for p in places], values[place], pair)

    def _places(self, index: Any) -> tuple[list[Any], Any, int]:
        """An index of integers and full slices, as NumPy takes it.

        The broadcast object arrays of its places, the entries with the indexed dimensions in front, and where
        the places' dimensions stand in the result.
        """
        parts = list(index) if isinstance(index, tuple) else [index]
        parts += [slice(None)] * (self.ndim - len(parts))
        axes = [i for i, p in enumerate(parts) if not isinstance(p, slice)]
        if any(p is None or p is Ellipsis or (isinstance(p, slice) and p != slice(None)) for p in parts):
            raise NotLowered("an index that depends on values next to slices")
        cells = [as_cells(p, joined(p), self.builder) for p in (parts[i] for i in axes)]
        if any(c.dtype.kind not in "iu" for c in cells):
            raise NotLowered("a mask that depends on values")
        places = np.broadcast_arrays(*[c.astype(INDEX).grid for c in cells])
        side_by_side = axes[-1] - axes[0] == len(axes) - 1
        view = np.moveaxis(self.grid, axes, range(len(axes)))
        return list(places), view, axes[0] if side_by_side else 0

    @property
    def known(self) -> bool:
        """Are all entries constants?"""
        return all(v.op == "const" for v in self.grid.flat)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        del copy
        if not self.known:
            raise NotLowered("a NumPy array made of values")
        array = np.array([v.data for v in self.grid.flat], self.dtype).reshape(self.shape)
        return array if dtype is None else array.astype(dtype)

    def cast_in(self, value: Any) -> Cells:
        """Another operand as cells of this dtype."""
        return as_cells(value, self.dtype, self.builder)

    def reshape(self, *shape: Any) -> Cells:
        """The same entries in another shape."""
        return self.like(self.grid.reshape(*shape))

    def transpose(self, *axes: Any) -> Cells:
        """Axes in another order."""
        return self.like(self.grid.transpose(*axes))

    def swapaxes(self, a: int, b: int) -> Cells:
        """Two axes exchanged."""
        return self.like(self.grid.swapaxes(a, b))

    def squeeze(self, axis: Any = None) -> Cells:
        """Without axes of length 1."""
        return self.like(self.grid.squeeze(axis))

    def ravel(self) -> Cells:
        """One dimension."""
        return self.like(self.grid.reshape(-1))

    def copy(self, *_args: Any, **_kwargs: Any) -> Cells:
        """The same entries in an array of their own."""
        return self.like(self.grid.copy())

    def fill(self, value: Any) -> None:
        """Every entry this number."""
        self[...] = value

    def view(self, *_args: Any) -> Cells:
        """Refused: entries have no bit pattern yet."""
        raise NotLowered("a view of the bits")

    def astype(self, dtype: Any, copy: bool = True) -> Cells:
        """The entries in another dtype."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self.copy() if copy else self
        code, b = code_of(dtype), self.builder
        return Cells(mapped(lambda v: b.cast(v, code), self.grid), dtype, b)

    def conj(self) -> Cells:
        """Itself: entries are real."""
        return self

    conjugate = conj

    def entry(self, op: str, *others: Any) -> Cells:
        """One op of the lane program on every entry, in this dtype: for an entry's own `lower`."""
        grids = [self.cast_in(o).grid for o in others]
        return self.like(mapped(lambda *vs: self.builder.op(op, *vs), self.grid, *grids))

    def __bool__(self) -> bool:
        if self.size == 1 and self.known:
            return bool(self.grid.flat[0].data)
        raise NotLowered("a Python branch on a value")

    def __float__(self) -> float:
        raise NotLowered("a Python number made of a value")

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    # ------------------------------------------------------------------ methods that NumPy functions have too

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Sums along axes."""
        return NUMPY.add.reduce(self, axis, dtype, out, keepdims)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Means along axes."""
        s = self.sum(axis, dtype, out, keepdims)
        return s / s.dtype.type(self.size / max(s.size, 1))

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Products along axes."""
        return NUMPY.multiply.reduce(self, axis, dtype, out, keepdims)

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """The largest along axes (NaN wins)."""
        return NUMPY.maximum.reduce(self, axis, None, out, keepdims)

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """The smallest along axes (NaN wins)."""
        return NUMPY.minimum.reduce(self, axis, None, out, keepdims)

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Is one true along axes?"""
        return NUMPY.logical_or.reduce(self, axis, None, out, keepdims)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Are all true along axes?"""
        return NUMPY.logical_and.reduce(self, axis, None, out, keepdims)

    def cumsum(self, axis: Any = None) -> Any:
        """Running sums."""
        return np.cumsum(self, axis)

    def take(self, indices: Any, axis: Any = None) -> Any:
        """The entries at indices along an axis."""
        return np.take(self, indices, axis)

    def dot(self, other: Any) -> Any:
        """The product of matrices or vectors."""
        return np.dot(self, other)

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        """The place of the first largest entry along an axis."""
        del out
        return np.argmax(self, axis, keepdims=keepdims)

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        """The place of the first smallest entry along an axis."""
        del out
        return np.argmin(self, axis, keepdims=keepdims)

    # ------------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = (kwargs.pop("out", None) or (None,))[0]
        where = kwargs.pop("where", True)
        if method not in METHODS:
            raise NotLowered(f"NumPy's {ufunc.__name__}.{method}")
        got = METHODS[method](self.builder, ufunc, *inputs, **kwargs)
        if where is not True:
            if out is None:
                raise NotLowered(f"NumPy's {ufunc.__name__} with where=")
            got = NUMPY.where(where, got, out)
        if out is None or got is None:
            return got
        if not isinstance(out, Cells):
            raise NotLowered("values written into a NumPy array")
        out.grid[...] = got.astype(out.dtype).grid
        return out

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        del types
        rule = FUNCTIONS.get(func)
        if rule is None and all(a.known for a in args if isinstance(a, Cells)):
            return func(*[np.asarray(a) if isinstance(a, Cells) else a for a in args], **kwargs)
        if rule is None:
            raise NotLowered(f"NumPy's {getattr(func, '__name__', func)}")
        return rule(self.builder, *args, **kwargs)


# ---------------------------------------------------------------------- entries


def held(x: Any) -> np.ndarray:
    """One object in an array without dimensions."""
    grid = np.empty((), object)
    grid[()] = x
    return grid


def mapped(function: Callable[..., Any], *grids: Any) -> np.ndarray:
    """The object array of function over broadcast object arrays."""
    wide: Any = np.broadcast_arrays(*grids) if len(grids) > 1 else grids
    out = np.empty(wide[0].shape, object)
    flat = [w.reshape(-1) for w in wide]
    lines = out.reshape(-1)
    for i in range(lines.size):
        lines[i] = function(*[f[i] for f in flat])
    return out


def depends(index: Any) -> bool:
    """Does an index have cells that are no constants?"""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(p, Cells) and not p.known for p in parts)


def plain_index(index: Any) -> Any:
    """An index whose cells are constants, as NumPy takes it."""
    if isinstance(index, tuple):
        return tuple(map(plain_index, index))  # pyright: ignore[reportUnknownArgumentType]
    return np.asarray(index) if isinstance(index, Cells) else index


def scalar(x: Cells) -> Value:
    """The one Value of cells without dimensions."""
    v: Any = x.grid[()]
    return v


def as_cells(x: Any, dtype: Any, b: Builder) -> Cells:
    """Cells, an array or a number as cells of a dtype."""
    if isinstance(x, Cells):
        return x.astype(dtype, copy=False)
    array = np.asarray(x)
    code = code_of(dtype)
    if array.dtype == object:
        return Cells(mapped(lambda v: _entry(b, v, code), array), dtype, b)
    with np.errstate(all="ignore"):
        array = array.astype(np.dtype(dtype))
    return Cells(mapped(lambda v: b.const(v, code), array.astype(object)), dtype, b)


def _entry(b: Builder, v: Any, code: str) -> Value:
    """An entry of an object array: a Value, a number, or a 0-d array that NumPy put in whole."""
    if isinstance(v, np.ndarray):
        v = v[()]
    return v if isinstance(v, Value) else b.const(v, code)


def joined(*inputs: Any) -> Any:
    """The dtype NumPy computes in: of arrays and cells together, Python numbers follow."""
    kinds = [x.dtype if isinstance(x, Cells | np.ndarray | np.generic) else x for x in inputs]
    return np.result_type(*kinds)


def truth(b: Builder, x: Any) -> Cells:
    """x != 0."""
    if not isinstance(x, Cells):
        return as_cells(np.asarray(x) != 0, BOOL, b)
    return x if x.dtype == BOOL else Cells(mapped(lambda v: b.op("ne", v, 0), x.grid), BOOL, b)


__all__ = ["FUNCTIONS", "METHODS", "Cells", "NotLowered", "as_cells", "code_of", "implements", "joined"]
