"""NumPy's linear algebra on cells: elimination and Cholesky of small matrices, unrolled.

Rows are exchanged by selects (partial pivoting), up to `MOST` rows. What cannot be seen before the values are
known is no error here: a singular matrix gives infinities and NaN (determinant 0), one that is not positive
definite gives NaN. Read `eliminated`. May import `compiler.cells_ufuncs` and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.compiler.build import Builder
from pullback.compiler.cells import Cells, as_cells, code_of, implements, joined
from pullback.compiler.cells_ufuncs import total
from pullback.compiler.program import Value
from pullback.compiler.scalars import NotLowered, tree

MOST = 4
Rows = list[list[Value]]


def eliminated(b: Builder, rows: Rows, n: int, dtype: Any) -> Value:
    """Gaussian elimination with partial pivoting of the first n columns, in place; the permutation's sign.

    The rows are the matrix with right-hand sides behind it. A pivot that is zero eliminates nothing.
    """
    sign = b.const(1, code_of(dtype))
    for k in range(n):
        for i in range(k + 1, n):
            larger = b.op("gt", b.op("abs", rows[i][k]), b.op("abs", rows[k][k]))
            sign = b.select(larger, b.op("neg", sign), sign)
            pairs = list(zip(rows[k], rows[i], strict=True))
            rows[k] = [b.select(larger, y, x) for x, y in pairs]
            rows[i] = [b.select(larger, x, y) for x, y in pairs]
        pivot = rows[k][k]
        for i in range(k + 1, n):
            factor = b.select(b.op("eq", pivot, 0), 0, b.op("div", rows[i][k], pivot))
            rows[i] = [
                x if j <= k else b.op("sub", x, b.op("mul", factor, y))
                for j, (x, y) in enumerate(zip(rows[i], rows[k], strict=True))
            ]
    return sign


def solved(b: Builder, a: Any, rhs: Any, dtype: Any) -> Any:
    """x of a x = rhs for object arrays of shapes (n, n) and (n, m)."""
    n = len(a)
    rows = [[*a[i], *rhs[i]] for i in range(n)]
    eliminated(b, rows, n, dtype)
    x = np.empty(rhs.shape, object)
    for j in range(rhs.shape[1]):
        for i in reversed(range(n)):
            v = rows[i][n + j]
            for k in range(i + 1, n):
                v = b.op("sub", v, b.op("mul", rows[i][k], x[k, j]))
            x[i, j] = b.op("div", v, rows[i][i])
    return x


def stacked(function: Callable[..., Any], dtype: Any, b: Builder, *grids: Any) -> Cells:
    """function of every matrix of broadcast stacks."""
    if grids[0].shape[-1] > MOST:
        raise NotLowered(f"a matrix of {grids[0].shape[-1]} rows: at most {MOST} are unrolled")
    lead = np.broadcast_shapes(*[g.shape[:-2] for g in grids])
    wide = [np.broadcast_to(g, lead + g.shape[-2:]) for g in grids]
    found = {place: function(*[w[place] for w in wide]) for place in np.ndindex(*lead)}
    core = np.shape(next(iter(found.values()))) if found else ()
    out = np.empty((*lead, *core), object)
    for place, value in found.items():
        out[place] = value
    return Cells(out, dtype, b)


def floats(x: Any, *others: Any) -> Any:
    """The dtype that linear algebra runs in."""
    dtype = joined(x, *others)
    return dtype if dtype.kind == "f" else np.dtype("f8")


@implements(np.linalg.solve)
def solve(b: Builder, a: Any, rhs: Any) -> Cells:
    """np.linalg.solve."""
    dtype = floats(a, rhs)
    left, right = as_cells(a, dtype, b).grid, as_cells(rhs, dtype, b).grid
    vector = right.ndim == 1
    x = stacked(lambda m, r: solved(b, m, r, dtype), dtype, b, left, right[:, None] if vector else right)
    return x[..., 0] if vector else x


@implements(np.linalg.inv)
def inv(b: Builder, a: Any) -> Cells:
    """np.linalg.inv."""
    dtype = floats(a)
    one = as_cells(np.eye(a.shape[-1]), dtype, b).grid
    return stacked(lambda m, r: solved(b, m, r, dtype), dtype, b, as_cells(a, dtype, b).grid, one)


def diagonal(b: Builder, a: Any, dtype: Any) -> tuple[Value, list[Value]]:
    """The sign of the permutation and the pivots."""
    rows = [list(row) for row in a]
    sign = eliminated(b, rows, len(a), dtype)
    return sign, [rows[i][i] for i in range(len(a))]


@implements(np.linalg.det)
def det(b: Builder, a: Any) -> Cells:
    """np.linalg.det."""
    dtype = floats(a)

    def one(m: Any) -> Value:
        sign, pivots = diagonal(b, m, dtype)
        return tree("mul", [sign, *pivots])

    return stacked(one, dtype, b, as_cells(a, dtype, b).grid)


@implements(np.linalg.slogdet)
def slogdet(b: Builder, a: Any) -> tuple[Cells, Cells]:
    """np.linalg.slogdet."""
    dtype = floats(a)
    zero = b.const(0, code_of(dtype))

    def sign_of(m: Any) -> Value:
        sign, pivots = diagonal(b, m, dtype)
        for p in pivots:
            turned = b.select(b.op("lt", p, 0), b.op("neg", sign), sign)
            sign = b.select(b.op("eq", p, 0), zero, turned)
        return sign

    def logarithm(m: Any) -> Value:
        return tree("add", [zero, *[b.op("log", b.op("abs", p)) for p in diagonal(b, m, dtype)[1]]])

    grid = as_cells(a, dtype, b).grid
    return stacked(sign_of, dtype, b, grid), stacked(logarithm, dtype, b, grid)


@implements(np.linalg.cholesky)
def cholesky(b: Builder, a: Any) -> Cells:
    """np.linalg.cholesky: the lower triangle is read; NaN where the matrix is not positive definite."""
    dtype = floats(a)

    def one(m: Any) -> Any:
        low = np.full(m.shape, b.const(0, code_of(dtype)), object)
        for j in range(len(m)):
            rest = b.op("sub", m[j, j], total(b, [b.op("mul", v, v) for v in low[j, :j]], dtype))
            # zero is no positive pivot either
            low[j, j] = b.select(b.op("gt", rest, 0), b.op("sqrt", rest), np.nan)
            for i in range(j + 1, len(m)):
                known = [b.op("mul", x, y) for x, y in zip(low[i, :j], low[j, :j], strict=True)]
                low[i, j] = b.op("div", b.op("sub", m[i, j], total(b, known, dtype)), low[j, j])
        return low

    return stacked(one, dtype, b, as_cells(a, dtype, b).grid)
