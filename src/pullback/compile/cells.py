"""`Cells`: an array of lane values with NumPy's interface, so that an op's own NumPy function lowers it.

`np.exp(cells)` emits an exp for every entry, `np.where` a select, `np.sum` additions; reshaping and indexing
move entries and emit nothing. What has no meaning for values that are not known yet (a Python branch on an
entry, a function that is not in the tables) raises `NotLowered`, and the op then runs through NumPy. A
function that makes an array of its own must make it like its argument: `np.zeros(shape, dtype, like=x)`.
Ufuncs are in `scalars`, NumPy's functions in `cells_numpy` and `cells_linalg`. Read `Cells`. May import
`compile.picks` and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from pullback.compile import picks
from pullback.compile.build import CODES, Builder
from pullback.compile.program import Value
from pullback.compile.scalars import REDUCTIONS, NotLowered, fold_pairs, rule_of

Function = TypeVar("Function", bound=Callable[..., Any])
# NumPy's functions on cells, rule(builder, *args, **kwargs); `cells_numpy` and `cells_linalg` fill the table
FUNCTIONS: dict[Any, Callable[..., Any]] = {}
BOOL, INDEX = np.dtype(bool), np.dtype("i8")


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
        dynamic = self._dynamic(index)
        if dynamic is None:
            return self.like(self.grid[plain_index(index)])
        found = mapped(lambda *at: held(picks.gather(self.builder, self.grid, at)), *dynamic)
        rest = self.shape[len(dynamic) :]
        out = np.empty((*found.shape, *rest), object)
        for place in np.ndindex(*found.shape):
            out[place] = found[place] if rest else found[place][()]
        return self.like(out)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, Cells) and index.dtype == BOOL:
            if index.shape == self.shape and np.ndim(value) == 0:
                self.grid[...] = np.where(index, self.cast_in(value), self).grid
                return
            raise NotLowered("a write where a mask holds")
        dynamic = self._dynamic(index)
        if dynamic is None:
            # a 0-d object array would become an entry itself
            grid = self.cast_in(value).grid
            self.grid[plain_index(index)] = grid if grid.ndim else grid[()]
            return
        self.write(dynamic, value)

    def write(self, index: Sequence[Any], value: Any, pair: Any = None) -> None:
        """Write (or join with pair) at places that may depend on values.

        index: object arrays, one per leading dimension.
        """
        wide = np.broadcast_arrays(*index)
        rest = self.shape[len(index) :]
        values = np.broadcast_to(self.cast_in(value).grid, (*wide[0].shape, *rest))
        for place in np.ndindex(*wide[0].shape):
            picks.scatter(self.builder, self.grid, [w[place] for w in wide], values[place], pair)

    def _dynamic(self, index: Any) -> list[Any] | None:
        """An index that depends on values as object arrays, one per leading dimension; None for another."""
        parts = index if isinstance(index, tuple) else (index,)
        if not any(isinstance(p, Cells) and not p.known for p in parts):
            return None
        if any(isinstance(p, slice) or p is None or p is Ellipsis for p in parts):
            raise NotLowered("an index that depends on values next to slices")
        cells = [p if isinstance(p, Cells) else as_cells(p, INDEX, self.builder) for p in parts]
        if any(c.dtype.kind not in "iu" for c in cells):
            raise NotLowered("a mask that depends on values")
        return [c.astype(INDEX).grid for c in cells]

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
        """One op of the lane program on every entry, in this dtype: what an entry's own `lower` is made of."""
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
        return np.add.reduce(self, axis, dtype, out, keepdims)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Means along axes."""
        s = self.sum(axis, dtype, out, keepdims)
        return s / s.dtype.type(self.size / max(s.size, 1))

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Products along axes."""
        return np.multiply.reduce(self, axis, dtype, out, keepdims)

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """The largest along axes (NaN wins)."""
        return np.maximum.reduce(self, axis, None, out, keepdims)

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """The smallest along axes (NaN wins)."""
        return np.minimum.reduce(self, axis, None, out, keepdims)

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Is one true along axes?"""
        return np.logical_or.reduce(self, axis, None, out, keepdims)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Are all true along axes?"""
        return np.logical_and.reduce(self, axis, None, out, keepdims)

    def cumsum(self, axis: Any = None) -> Any:
        """Running sums."""
        return np.cumsum(self, axis)

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
        if method == "at" and isinstance(inputs[0], Cells):
            return at(ufunc, *inputs)
        if method not in METHODS:
            raise NotLowered(f"NumPy's {ufunc.__name__}.{method}")
        got = METHODS[method](self.builder, ufunc, *inputs, **kwargs)
        if where is not True:
            if out is None:
                raise NotLowered(f"NumPy's {ufunc.__name__} with where=")
            got = np.where(where, got, out)
        if out is None:
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
    wide = np.broadcast_arrays(*grids) if len(grids) > 1 else grids
    out = np.empty(wide[0].shape, object)
    flat = [w.reshape(-1) for w in wide]
    lines = out.reshape(-1)
    for i in range(lines.size):
        lines[i] = function(*[f[i] for f in flat])
    return out


def plain_index(index: Any) -> Any:
    """An index whose cells are constants, as NumPy takes it."""
    parts = [np.asarray(p) if isinstance(p, Cells) else p for p in index] if isinstance(index, tuple) else index
    return tuple(parts) if isinstance(parts, list) else np.asarray(parts) if isinstance(parts, Cells) else parts


def as_cells(x: Any, dtype: Any, b: Builder) -> Cells:
    """Cells, an array or a number as cells of a dtype."""
    if isinstance(x, Cells):
        return x.astype(dtype, copy=False)
    array = np.asarray(x)
    code = code_of(dtype)
    if array.dtype == object:
        return Cells(mapped(lambda v: v if isinstance(v, Value) else b.const(v, code), array), dtype, b)
    with np.errstate(all="ignore"):
        array = array.astype(np.dtype(dtype))
    return Cells(mapped(lambda v: b.const(v, code), array.astype(object)), dtype, b)


def joined(*inputs: Any) -> Any:
    """The dtype NumPy computes in: of arrays and cells together, Python numbers follow."""
    kinds = [x.dtype if isinstance(x, Cells | np.ndarray | np.generic) else x for x in inputs]
    return np.result_type(*kinds)


def truth(b: Builder, x: Any) -> Cells:
    """x != 0."""
    if not isinstance(x, Cells):
        return as_cells(np.asarray(x) != 0, BOOL, b)
    return x if x.dtype == BOOL else Cells(mapped(lambda v: b.op("ne", v, 0), x.grid), BOOL, b)


# ---------------------------------------------------------------------- ufuncs and their methods


def call(b: Builder, ufunc: Any, *inputs: Any, dtype: Any = None, **_options: Any) -> Cells:
    """A ufunc entry by entry."""
    if ufunc is np.matmul:
        return matmul(b, *inputs)
    rule = rule_of(ufunc)
    if rule.operands == "truth":
        grids = [truth(b, x).grid for x in inputs]
        kind: Any = BOOL
    else:
        kind = np.dtype(dtype) if dtype is not None else joined(*inputs)
        if (rule.operands == "float" and kind.kind != "f") or rule.operands == "wide":
            kind = np.dtype("f8")
        grids = [as_cells(x, kind, b).grid for x in inputs]
    found = mapped(lambda *vs: rule.function(b, *vs), *grids)
    return Cells(found, BOOL if rule.boolean else kind, b)


def reduce(
    b: Builder, ufunc: Any, x: Cells, axis: Any = 0, dtype: Any = None, keepdims: bool = False, **more: Any
) -> Cells:
    """A ufunc folded along axes."""
    if ufunc not in REDUCTIONS:
        raise NotLowered(f"NumPy's {ufunc.__name__}.reduce")
    fold, nothing = REDUCTIONS[ufunc]
    first = more.get("initial")
    start = [] if first is None else [b.const(first, code_of(folding_dtype(ufunc, x.dtype, dtype)))]
    if ufunc in {np.logical_or, np.logical_and}:
        x = truth(b, x)
    else:
        x = x.astype(folding_dtype(ufunc, x.dtype, dtype), copy=False)

    def line(vs: list[Value]) -> Value:
        if vs or start:
            return fold(start + vs)
        if nothing is None:
            raise NotLowered("an extreme of nothing")
        return b.const(nothing, code_of(x.dtype))

    return reduce_lines(x, axis, keepdims, line)


def folding_dtype(ufunc: Any, have: Any, wanted: Any) -> Any:
    """The dtype that a sum or product runs in: short integers and truth values in int64."""
    if wanted is not None:
        return np.dtype(wanted)
    return INDEX if ufunc in {np.add, np.multiply} and have.kind in "biu" else have


def reduce_lines(x: Cells, axis: Any, keepdims: bool, fold: Callable[[list[Value]], Value]) -> Cells:
    """One value per line along axes."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(a % x.ndim for a in axes) if x.ndim else ()
    kept = [i for i in range(x.ndim) if i not in axes]
    lines = x.grid.transpose([*kept, *axes])
    shape = tuple(lines.shape[: len(kept)])
    out = np.empty(shape, object)
    for place in np.ndindex(*shape):
        out[place] = fold(list(lines[place].reshape(-1) if kept else lines.reshape(-1)))
    if keepdims:
        out = out.reshape([1 if i in axes else s for i, s in enumerate(x.shape)])
    return x.like(out)


def accumulate(b: Builder, ufunc: Any, x: Cells, axis: int = 0, dtype: Any = None) -> Cells:
    """Running folds along an axis."""
    rule = rule_of(ufunc)
    out = np.moveaxis(x.astype(folding_dtype(ufunc, x.dtype, dtype)).grid, axis, 0)
    for i in range(1, len(out)):
        for place in np.ndindex(*out.shape[1:]):
            out[(i, *place)] = rule.function(b, out[(i - 1, *place)], out[(i, *place)])
    return Cells(np.moveaxis(out, 0, axis), folding_dtype(ufunc, x.dtype, dtype), b)


METHODS: dict[str, Callable[..., Cells]] = {"__call__": call, "reduce": reduce, "accumulate": accumulate}


def at(ufunc: Any, target: Cells, index: Any, values: Any) -> None:
    """np.add.at and its kind: additions (...) at places, which may repeat."""
    parts = index if isinstance(index, tuple) else (index,)
    cells = [as_cells(p, INDEX, target.builder) for p in parts]
    target.write([c.grid for c in cells], values, rule_of(ufunc).function)


def matmul(b: Builder, x: Any, y: Any) -> Cells:
    """NumPy's matmul, entry by entry; known zeros drop out."""
    dtype = joined(x, y)
    p, q = as_cells(x, dtype, b).grid, as_cells(y, dtype, b).grid
    one, other = p.ndim == 1, q.ndim == 1
    p, q = p[None, :] if one else p, q[:, None] if other else q
    lead = np.broadcast_shapes(p.shape[:-2], q.shape[:-2])
    p = np.broadcast_to(p, lead + p.shape[-2:])
    q = np.broadcast_to(q, lead + q.shape[-2:])
    out = np.empty((*lead, p.shape[-2], q.shape[-1]), object)
    for place in np.ndindex(*out.shape):
        *front, i, j = place
        out[place] = inner(b, p[(*front, i)], q[(*front, slice(None), j)], dtype)
    out = out[..., 0, :] if one else out
    return Cells(out[..., 0] if other else out, dtype, b)


def inner(b: Builder, xs: Any, ys: Any, dtype: Any) -> Value:
    """A sum of products, without the products that are known to be zero."""
    return total(b, [b.op("mul", x, y) for x, y in zip(xs, ys, strict=True)], dtype)


def total(b: Builder, terms: list[Value], dtype: Any) -> Value:
    """A sum without the terms that are known to be zero."""
    terms = [t for t in terms if not (t.op == "const" and t.data == 0)]
    return REDUCTIONS[np.add][0](terms) if terms else b.const(0, code_of(dtype))


__all__ = ["FUNCTIONS", "Cells", "NotLowered", "as_cells", "code_of", "fold_pairs", "implements", "joined"]
