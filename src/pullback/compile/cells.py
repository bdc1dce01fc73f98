"""`Cells`: an array of lane values with NumPy's interface, so that an op's own NumPy function lowers it.

`np.exp(cells)` emits an exp for every entry, `np.where` a select, `np.sum` additions; reshaping and indexing
move entries and emit nothing. What has no meaning for values that are not known yet (a Python branch on an
entry, a function that is not in the tables) raises `NotLowered`, and the op then runs through NumPy. Read
`Cells`, then `UFUNCS` and `FUNCTIONS`. May import `compile.build`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from pullback.compile.build import CODES, FLOATS, Builder
from pullback.compile.program import Value


class NotLowered(Exception):  # noqa: N818 - not an error of the user: the op runs through NumPy instead
    """An op's function does something that lanes cannot do."""


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
        if not isinstance(grid, np.ndarray):
            held = np.empty((), object)
            held[()] = grid
            grid = held
        self.grid: np.ndarray = grid
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
        if isinstance(index, Cells):
            raise NotLowered("an index that depends on values")
        got = self.grid[index]
        return self.like(got)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, Cells):
            if index.dtype == np.bool_:
                self.grid[...] = np.where(index, self.cast_in(value), self).grid
                return
            raise NotLowered("an index that depends on values")
        self.grid[index] = self.cast_in(value).grid

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

    def view(self, *_args: Any) -> Cells:
        """Refused: entries have no bit pattern yet."""
        raise NotLowered("a view of the bits")

    def astype(self, dtype: Any, copy: bool = True) -> Cells:
        """The entries in another dtype."""
        del copy
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self
        code, b = code_of(dtype), self.builder
        return Cells(mapped(lambda v: b.cast(v, code), self.grid), dtype, b)

    def conj(self) -> Cells:
        """Itself: entries are real."""
        return self

    conjugate = conj

    def __bool__(self) -> bool:
        raise NotLowered("a Python branch on a value")

    def __float__(self) -> float:
        raise NotLowered("a Python number made of a value")

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    # ------------------------------------------------------------------ methods that NumPy functions have too

    def sum(self, axis: Any = None, keepdims: bool = False, **_kwargs: Any) -> Cells:
        """Sums along axes."""
        return reduce_axes(self, axis, keepdims, total)

    def mean(self, axis: Any = None, keepdims: bool = False, **_kwargs: Any) -> Cells:
        """Means along axes."""
        s = self.sum(axis, keepdims)
        return s / (self.size / max(s.size, 1))

    def prod(self, axis: Any = None, keepdims: bool = False, **_kwargs: Any) -> Cells:
        """Products along axes."""
        return reduce_axes(self, axis, keepdims, lambda vs: tree("mul", vs))

    def max(self, axis: Any = None, keepdims: bool = False, **_kwargs: Any) -> Cells:
        """The largest along axes (NaN wins)."""
        return reduce_axes(self, axis, keepdims, lambda vs: fold_pairs(vs, largest))

    def min(self, axis: Any = None, keepdims: bool = False, **_kwargs: Any) -> Cells:
        """The smallest along axes (NaN wins)."""
        return reduce_axes(self, axis, keepdims, lambda vs: fold_pairs(vs, smallest))

    def any(self, axis: Any = None, keepdims: bool = False, **_kwargs: Any) -> Cells:
        """Is one true along axes?"""
        return reduce_axes(self.astype(bool), axis, keepdims, lambda vs: tree("or", vs))

    def all(self, axis: Any = None, keepdims: bool = False, **_kwargs: Any) -> Cells:
        """Are all true along axes?"""
        return reduce_axes(self.astype(bool), axis, keepdims, lambda vs: tree("and", vs))

    def cumsum(self, axis: Any = None, **_kwargs: Any) -> Cells:
        """Running sums."""
        return np.add.accumulate(self, axis=axis)

    def dot(self, other: Any) -> Cells:
        """The product of matrices or vectors."""
        return np.matmul(self, other)

    # ------------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None or kwargs.get("where", True) is not True:
            raise NotLowered(f"{ufunc.__name__} with out= or where=")
        if method == "__call__":
            if ufunc is np.matmul:
                return matmul(self.builder, *inputs)
            rule = UFUNCS.get(ufunc)
            if rule is None:
                raise NotLowered(f"NumPy's {ufunc.__name__}")
            return rule(self.builder, *inputs)
        if method == "reduce" and ufunc in REDUCTIONS:
            axis = kwargs.get("axis", 0)
            return getattr(inputs[0], REDUCTIONS[ufunc])(axis, kwargs.get("keepdims", False))
        if method == "accumulate" and ufunc in ACCUMULATIONS:
            return accumulate(inputs[0], kwargs.get("axis", 0), ACCUMULATIONS[ufunc])
        raise NotLowered(f"NumPy's {ufunc.__name__}.{method}")

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        del types
        rule = FUNCTIONS.get(func)
        if rule is not None:
            return rule(self.builder, *args, **kwargs)
        if func in MOVING:
            return moved(self, func, args, kwargs)
        raise NotLowered(f"NumPy's {getattr(func, '__name__', func)}")


# ---------------------------------------------------------------------- entries


def mapped(function: Callable[..., Value], *grids: Any) -> np.ndarray:
    """The object array of function over broadcast object arrays."""
    if all(g.ndim == 0 for g in grids):
        held = np.empty((), object)
        held[()] = function(*[g[()] for g in grids])
        return held
    wide = np.broadcast_arrays(*grids)
    out = np.empty(wide[0].shape, object)
    flat = [w.reshape(-1) for w in wide]
    out.reshape(-1)[:] = [function(*vs) for vs in zip(*flat, strict=True)]
    return out


def as_cells(x: Any, dtype: Any, b: Builder) -> Cells:
    """Cells, an array or a number as cells of a dtype."""
    if isinstance(x, Cells):
        return x.astype(dtype)
    array = np.asarray(x)
    if array.dtype == object:
        return Cells(mapped(lambda v: v if isinstance(v, Value) else b.const(v, code_of(dtype)), array), dtype, b)
    code = code_of(dtype)
    with np.errstate(all="ignore"):
        array = array.astype(np.dtype(dtype))
    return Cells(mapped(lambda v: b.const(v, code), array.astype(object)), dtype, b)


def joined(*inputs: Any) -> Any:
    """The dtype NumPy computes in: of arrays and cells together, Python numbers follow."""
    kinds = [x.dtype if isinstance(x, Cells | np.ndarray | np.generic) else x for x in inputs]
    return np.result_type(*kinds)


def total(values: Sequence[Value]) -> Value:
    """A sum in pairs of runs: accurate, and with short chains."""
    return tree("add", values)


def tree(op: str, values: Sequence[Value]) -> Value:
    """A fold of an associative op over halves, so that chains are short."""
    n = len(values)
    if n == 1:
        return values[0]
    if n <= 8:  # noqa: PLR2004
        v = values[0]
        for w in values[1:]:
            v = v.builder.op(op, v, w)
        return v
    half = n // 2
    return values[0].builder.op(op, tree(op, values[:half]), tree(op, values[half:]))


def fold_pairs(values: Sequence[Value], pair: Callable[[Any, Value, Value], Value]) -> Value:
    """A fold from the left."""
    v = values[0]
    for w in values[1:]:
        v = pair(v.builder, v, w)
    return v


def largest(b: Builder, x: Value, y: Value) -> Value:
    """NumPy's maximum: NaN wins."""
    r = b.select(b.op("ge", x, y), x, y)
    return b.select(b.op("ne", x, x), x, r) if x.nan else r


def smallest(b: Builder, x: Value, y: Value) -> Value:
    """NumPy's minimum: NaN wins."""
    r = b.select(b.op("le", x, y), x, y)
    return b.select(b.op("ne", x, x), x, r) if x.nan else r


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The reduced axes."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))) if ndim else ()


def reduce_axes(x: Cells, axis: Any, keepdims: bool, fold: Callable[[Sequence[Value]], Value]) -> Cells:
    """One value per line along axes."""
    axes = axes_of(axis, x.ndim)
    kept = [i for i in range(x.ndim) if i not in axes]
    lines = x.grid.transpose([*kept, *axes])
    shape = tuple(lines.shape[: len(kept)])
    n = int(np.prod(lines.shape[len(kept) :]))
    if n == 0:
        raise NotLowered("a reduction of nothing")
    out = np.empty(shape, object)
    flat = lines.reshape(-1, n)
    out.reshape(-1)[:] = [fold(list(line)) for line in flat]
    if keepdims:
        out = out.reshape([1 if i in axes else s for i, s in enumerate(x.shape)])
    first = out.flat[0] if out.size else None
    dtype = np.dtype(bool) if first is not None and first.type == "b1" else x.dtype
    return Cells(out, dtype, x.builder)


def accumulate(x: Cells, axis: int, op: Callable[[Builder, Value, Value], Value]) -> Cells:
    """Running folds along an axis."""
    out = np.moveaxis(x.grid.copy(), axis, 0)
    for i in range(1, len(out)):
        out[i] = mapped(lambda v, w: op(x.builder, v, w), np.asarray(out[i - 1], object), np.asarray(out[i], object))
    return x.like(np.moveaxis(out, 0, axis))


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
    terms = [b.op("mul", x, y) for x, y in zip(xs, ys, strict=True)]
    terms = [t for t in terms if not (t.op == "const" and t.data == 0)]
    return total(terms) if terms else b.const(0, code_of(dtype))


# ---------------------------------------------------------------------- NumPy's functions


def plain(op: str, floats: bool = False) -> Callable[..., Cells]:
    """A ufunc that is one op on operands of their common dtype; floats: integers are converted first."""

    def rule(b: Builder, *inputs: Any) -> Cells:
        dtype = joined(*inputs)
        if floats and dtype.kind != "f":
            dtype = np.dtype("f8")
        grids = [as_cells(x, dtype, b).grid for x in inputs]
        found = mapped(lambda *vs: b.op(op, *vs), *grids)
        return Cells(found, np.dtype(bool) if op in {"eq", "ne", "lt", "le", "gt", "ge"} else dtype, b)

    return rule


def written(function: Callable[..., Value], result: Any = None) -> Callable[..., Cells]:
    """A ufunc written as function(builder, *values) on operands of their common dtype."""

    def rule(b: Builder, *inputs: Any) -> Cells:
        dtype = joined(*inputs)
        grids = [as_cells(x, dtype, b).grid for x in inputs]
        return Cells(mapped(lambda *vs: function(b, *vs), *grids), result or dtype, b)

    return rule


def logical(op: str) -> Callable[..., Cells]:
    """A logical ufunc: operands are asked whether they differ from zero."""

    def rule(b: Builder, *inputs: Any) -> Cells:
        grids = [as_cells(x, np.dtype(bool), b).grid for x in (truth(b, x) for x in inputs)]
        return Cells(mapped(lambda *vs: b.op(op, *vs), *grids), np.dtype(bool), b)

    return rule


def truth(b: Builder, x: Any) -> Any:
    """x != 0."""
    if not isinstance(x, Cells):
        return np.asarray(x) != 0
    return x if x.dtype == np.bool_ else Cells(mapped(lambda v: b.op("ne", v, 0), x.grid), np.dtype(bool), b)


def integer_division(b: Builder, x: Value, y: Value) -> Value:
    """Floor division; for floats NumPy's definition through fmod."""
    if x.type in FLOATS:
        return floor_quotient(b, x, y)
    q = b.op("div", x, y)
    r = b.op("sub", x, b.op("mul", q, y))
    off = b.op("and", b.op("ne", r, 0), b.op("ne", b.op("lt", r, 0), b.op("lt", y, 0)))
    return b.select(off, b.op("sub", q, 1), q)


def modulus(b: Builder, x: Value, y: Value) -> Value:
    """Python's modulus: the divisor's sign."""
    r = b.op("rem", x, y)
    wrong = b.op("and", b.op("ne", r, 0), b.op("ne", b.op("lt", r, 0), b.op("lt", y, 0)))
    fixed = b.select(wrong, b.op("add", r, y), r)
    return b.select(b.op("eq", r, 0), b.op("copysign", r, y), fixed) if x.type in FLOATS else fixed


def floor_quotient(b: Builder, x: Value, y: Value) -> Value:
    """NumPy's floor_divide of floats: exact quotients stay exact."""
    mod = b.op("rem", x, y)
    q = b.op("div", b.op("sub", x, mod), y)
    off = b.op("and", b.op("ne", mod, 0), b.op("ne", b.op("lt", mod, 0), b.op("lt", y, 0)))
    q = b.select(off, b.op("sub", q, 1), q)
    down = b.op("floor", q)
    down = b.select(b.op("gt", b.op("sub", q, down), 0.5), b.op("add", down, 1), down)
    zero = b.op("copysign", b.const(0, x.type), b.op("div", x, y))
    result = b.select(b.op("ne", q, 0), down, zero)
    return b.select(b.op("eq", y, 0), b.op("div", x, y), result)


def sign(b: Builder, x: Value) -> Value:
    """-1, 0 or 1; NaN stays."""
    one = b.const(1, x.type)
    down = b.select(b.op("lt", x, 0), b.const(-1, x.type), x)
    return b.select(b.op("gt", x, 0), one, down)


def absolute(b: Builder, x: Value) -> Value:
    """|x|."""
    if x.type in FLOATS:
        return b.op("abs", x)
    return b.select(b.op("lt", x, 0), b.op("neg", x), x)


def power(b: Builder, x: Value, y: Value) -> Value:
    """x**y."""
    if x.type not in FLOATS:
        raise NotLowered("integer powers")
    if y.op == "const" and y.data in POWERS:
        return POWERS[y.data](b, x)
    return b.op("pow", x, y)


POWERS: dict[float, Callable[[Builder, Value], Value]] = {
    0: lambda b, x: b.const(1, x.type),
    1: lambda _b, x: x,
    2: lambda b, x: b.op("mul", x, x),
    3: lambda b, x: b.op("mul", b.op("mul", x, x), x),
    -1: lambda b, x: b.op("div", 1, x),
    0.5: lambda b, x: b.op("sqrt", x),
}


def is_inf(b: Builder, x: Value) -> Value:
    """Is it infinite?"""
    return b.op("eq", b.op("abs", x), np.inf) if x.type in FLOATS else b.const(False, "b1")


def is_finite(b: Builder, x: Value) -> Value:
    """Is it neither infinite nor NaN?"""
    if x.type not in FLOATS or x.finite:
        return b.const(True, "b1")
    return b.op("lt", b.op("abs", x), np.inf)


def is_nan(b: Builder, x: Value) -> Value:
    """Is it NaN?"""
    return b.op("ne", x, x) if x.nan else b.const(False, "b1")


def sign_bit(b: Builder, x: Value) -> Value:
    """Is the sign bit set?"""
    one = b.op("copysign", b.const(1, x.type), x) if x.type in FLOATS else x
    return b.op("lt", one, 0)


FLOATING = {
    np.exp: "exp", np.exp2: "exp2", np.expm1: "expm1", np.log: "log", np.log2: "log2", np.log10: "log10",
    np.log1p: "log1p", np.sqrt: "sqrt", np.sin: "sin", np.cos: "cos", np.tan: "tan", np.arcsin: "asin",
    np.arccos: "acos", np.arctan: "atan", np.sinh: "sinh", np.cosh: "cosh", np.tanh: "tanh",
    np.arcsinh: "asinh", np.arccosh: "acosh", np.arctanh: "atanh", np.arctan2: "atan2", np.hypot: "hypot",
    np.true_divide: "div", np.copysign: "copysign", np.rint: "rint",
}  # fmt: skip
PLAIN = {
    np.add: "add", np.subtract: "sub", np.multiply: "mul", np.negative: "neg", np.equal: "eq",
    np.not_equal: "ne", np.less: "lt", np.less_equal: "le", np.greater: "gt", np.greater_equal: "ge",
    np.bitwise_and: "and", np.bitwise_or: "or", np.bitwise_xor: "xor", np.invert: "not", np.fmod: "rem",
    np.left_shift: "shl", np.right_shift: "shr",
}  # fmt: skip


def rounding(op: str) -> Callable[..., Cells]:
    """floor, ceil, trunc: integers stay."""
    return written(lambda b, x: b.op(op, x) if x.type in FLOATS else x)


UFUNCS: dict[Any, Callable[..., Any]] = {
    **{u: plain(op, floats=True) for u, op in FLOATING.items()},
    **{u: plain(op) for u, op in PLAIN.items()},
    np.logical_and: logical("and"), np.logical_or: logical("or"), np.logical_not: logical("not"),
    np.logical_xor: logical("xor"),
    np.floor: rounding("floor"), np.ceil: rounding("ceil"), np.trunc: rounding("trunc"),
    np.absolute: written(absolute), np.fabs: written(absolute), np.sign: written(sign),
    np.positive: written(lambda _b, x: x), np.square: written(lambda b, x: b.op("mul", x, x)),
    np.reciprocal: written(lambda b, x: b.op("div", 1, x)),
    np.maximum: written(largest), np.minimum: written(smallest),
    np.fmax: written(lambda b, x, y: b.select(b.op("or", b.op("ge", x, y), is_nan(b, y)), x, y)),
    np.fmin: written(lambda b, x, y: b.select(b.op("or", b.op("le", x, y), is_nan(b, y)), x, y)),
    np.power: written(power), np.float_power: written(power),
    np.floor_divide: written(integer_division), np.remainder: written(modulus),
    np.isnan: written(is_nan, np.dtype(bool)), np.isinf: written(is_inf, np.dtype(bool)),
    np.isfinite: written(is_finite, np.dtype(bool)), np.signbit: written(sign_bit, np.dtype(bool)),
    np.deg2rad: written(lambda b, x: b.op("mul", x, np.pi / 180)),
    np.rad2deg: written(lambda b, x: b.op("mul", x, 180 / np.pi)),
    np.conjugate: written(lambda _b, x: x),
}  # fmt: skip
REDUCTIONS = {
    np.add: "sum", np.multiply: "prod", np.maximum: "max", np.minimum: "min", np.logical_or: "any",
    np.logical_and: "all",
}  # fmt: skip
ACCUMULATIONS: dict[Any, Callable[[Builder, Value, Value], Value]] = {
    np.add: lambda b, x, y: b.op("add", x, y), np.multiply: lambda b, x, y: b.op("mul", x, y),
    np.maximum: largest, np.minimum: smallest,
}  # fmt: skip


def where(b: Builder, condition: Any, x: Any = None, y: Any = None) -> Cells:
    """np.where with three arguments."""
    if x is None or y is None:
        raise NotLowered("where with one argument")
    dtype = joined(x, y)
    choose = as_cells(truth(b, condition), np.dtype(bool), b).grid
    return Cells(mapped(b.select, choose, as_cells(x, dtype, b).grid, as_cells(y, dtype, b).grid), dtype, b)


def clip(b: Builder, x: Any, low: Any = None, high: Any = None, **_kwargs: Any) -> Any:
    """np.clip."""
    del b
    r = x if low is None else np.maximum(x, low)
    return r if high is None else np.minimum(r, high)


def filled(number: Any) -> Callable[..., Cells]:
    """zeros_like and ones_like."""

    def rule(b: Builder, x: Cells, dtype: Any = None, **_kwargs: Any) -> Cells:
        return as_cells(np.full(x.shape, number), x.dtype if dtype is None else dtype, b)

    return rule


def full_like(b: Builder, x: Cells, value: Any, dtype: Any = None, **_kwargs: Any) -> Cells:
    """np.full_like."""
    kind = x.dtype if dtype is None else np.dtype(dtype)
    return Cells(np.broadcast_to(as_cells(value, kind, b).grid, x.shape).copy(), kind, b)


def method(name: str) -> Callable[..., Any]:
    """A NumPy function that is a method of the array."""
    return lambda _b, x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def nan_to_num(b: Builder, x: Cells, nan: Any = 0.0, posinf: Any = None, neginf: Any = None, **_kw: Any) -> Cells:
    """np.nan_to_num."""
    top = np.finfo(x.dtype).max
    high, low = (top if posinf is None else posinf), (-top if neginf is None else neginf)

    def entry(v: Value) -> Value:
        r = b.select(b.op("eq", v, np.inf), high, b.select(b.op("eq", v, -np.inf), low, v))
        return b.select(is_nan(b, v), nan, r)

    return Cells(mapped(entry, x.grid), x.dtype, b)


def einsum(b: Builder, spec: str, *operands: Any, **_kwargs: Any) -> Cells:
    """np.einsum, entry by entry."""
    dtype = joined(*operands)
    left, _, right = spec.partition("->")
    terms = left.split(",")
    if "." in spec or not _:
        raise NotLowered("einsum with an ellipsis")
    grids = [as_cells(x, dtype, b).grid for x in operands]
    sizes = {c: n for t, g in zip(terms, grids, strict=True) for c, n in zip(t, g.shape, strict=True)}
    summed = [c for c in dict.fromkeys("".join(terms)) if c not in right]
    out = np.empty([sizes[c] for c in right], object)
    for place in np.ndindex(*out.shape):
        at = dict(zip(right, place, strict=True))
        found: list[Value] = []
        for more in np.ndindex(*[sizes[c] for c in summed]):
            at.update(zip(summed, more, strict=True))
            product = tree("mul", [g[tuple(at[c] for c in t)] for t, g in zip(terms, grids, strict=True)])
            if not (product.op == "const" and product.data == 0):
                found.append(product)
        out[place] = total(found) if found else b.const(0, code_of(dtype))
    return Cells(out, dtype, b)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: where, np.clip: clip, np.zeros_like: filled(0), np.ones_like: filled(1), np.full_like: full_like,
    np.empty_like: filled(0), np.sum: method("sum"), np.mean: method("mean"), np.prod: method("prod"),
    np.max: method("max"), np.amax: method("max"), np.min: method("min"), np.amin: method("min"),
    np.any: method("any"), np.all: method("all"), np.cumsum: method("cumsum"), np.copy: method("copy"),
    np.cumprod: lambda _b, x, axis=None, **_kw: np.multiply.accumulate(x, axis=axis),
    np.dot: lambda b, x, y: matmul(b, x, y), np.nan_to_num: nan_to_num, np.einsum: einsum,
    np.shape: lambda _b, x: x.shape, np.ndim: lambda _b, x: x.ndim, np.size: lambda _b, x: x.size,
    np.result_type: lambda _b, *xs: joined(*xs),
    np.isscalar: lambda _b, _x: False, np.iscomplexobj: lambda _b, _x: False,
    np.real: lambda _b, x: x, np.outer: lambda _b, x, y: x.reshape(-1, 1) * y.reshape(1, -1),
}  # fmt: skip
# functions that only move entries: they run on the object array as they are
MOVING = {
    np.reshape, np.transpose, np.moveaxis, np.swapaxes, np.rollaxis, np.squeeze, np.expand_dims, np.ravel,
    np.broadcast_to, np.concatenate, np.stack, np.flip, np.roll, np.rot90, np.repeat, np.tile, np.take,
    np.take_along_axis, np.diagonal, np.atleast_1d, np.atleast_2d, np.ascontiguousarray, np.pad,
    np.fliplr, np.flipud, np.split, np.array_split, np.delete, np.diag, np.tril, np.triu,
}  # fmt: skip


def moved(x: Cells, func: Any, args: Any, kwargs: Any) -> Any:
    """Run a moving function on object arrays; inserted constants take the dtype."""
    b, found = x.builder, list[Cells]()

    def bare(a: Any) -> Any:
        if isinstance(a, Cells):
            found.append(a)
            return a.grid
        return type(a)(map(bare, a)) if isinstance(a, list | tuple) else a  # pyright: ignore

    given = [bare(a) for a in args]
    dtype = np.result_type(*[c.dtype for c in found]) if found else x.dtype
    out = func(*given, **{k: bare(v) for k, v in kwargs.items()})
    return [as_cells(o, dtype, b) for o in out] if isinstance(out, list) else as_cells(out, dtype, b)
