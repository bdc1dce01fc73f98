"""Ufuncs on cells: entry by entry, along axes, running, at places; and the matrix product.

Read `call`, then `reduce`. May import `compiler.cells` and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.compiler.build import Builder
from pullback.compiler.cells import BOOL, INDEX, METHODS, Cells, as_cells, code_of, joined, mapped, truth
from pullback.compiler.program import Value
from pullback.compiler.scalars import REDUCTIONS, NotLowered, rule_of


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


def at(_b: Builder, ufunc: Any, target: Any, index: Any, values: Any) -> None:
    """np.add.at and its kind: additions (...) at places, which may repeat."""
    if not isinstance(target, Cells):
        raise NotLowered("values written into a NumPy array")
    target.write(index, values, rule_of(ufunc).function)


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


METHODS.update({"__call__": call, "reduce": reduce, "accumulate": accumulate, "at": at})
