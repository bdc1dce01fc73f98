"""Triangular systems: linalg.solve_triangular, torch.triangular_solve, cholesky_solve, cholesky_inverse.

The rules are those of `solve`, restricted to the triangle that is read. May import `families`,
`linalg.common`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.calls import write_out
from pullback.families.contraction import named
from pullback.families.op import unbroadcast
from pullback.ops.linalg.common import (
    add,
    matrices,
    mH,
    mT,
    need_square,
    noise,
    sample,
    scipy_linalg,
    substitute,
    tensor_argument,
    triangle,
    well,
)
from pullback.ops.linalg.solve import check_system


def _solve_triangular(a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    if not left:
        return mT(_solve_triangular(mT(a), mT(b), upper=not upper, unitriangular=unitriangular))
    n = a.shape[-1]
    if unitriangular:
        t = (np.triu(a, 1) if upper else np.tril(a, -1)) + np.eye(n, dtype=a.dtype)
    else:
        t = np.triu(a) if upper else np.tril(a)
    if a.ndim == 2 and b.ndim == 2 and n > 128:
        routine = scipy_linalg().get_blas_funcs("trsm", (t, b))
        return routine(1.0, t, b, lower=int(not upper))
    return substitute(t, b, upper=upper)


def _vjp(
    g: Any, x: Any, a: Any, b: Any, *, needs: Any, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    gb = triangular_op(mH(a), g, upper=not upper, left=left, unitriangular=unitriangular)
    ga = None
    if needs[0]:
        full = gb @ mH(x) if left else mH(x) @ gb
        k = (1 if upper else -1) if unitriangular else 0
        ga = unbroadcast(-triangle(full, upper=upper, k=k), tuple(a.shape))
    return ga, unbroadcast(gb, tuple(b.shape)) if needs[1] else None


def _jvp(tangents: Any, x: Any, a: Any, b: Any, **params: Any) -> Any:  # noqa: ARG001 - the facet's arguments
    da, db = tangents
    moved = None
    if da is not None:
        k = (1 if params["upper"] else -1) if params.get("unitriangular") else 0
        da = triangle(da, upper=params["upper"], k=k)
        moved = -(da @ x if params.get("left", True) else x @ da)
    return triangular_op(a, add(moved, db), **params)


def _couples(avals: Any, params: dict[str, Any]) -> list[Any]:
    """Row i of X sees the rows of the triangle and of B that substitution has used before it."""
    n = int(avals[0].shape[-1])
    left, upper = params.get("left", True), params["upper"]
    k = int(avals[1].shape[-1 if left else -2])
    i, j = np.indices((n, n))
    down = upper != left  # does substitution run from the first row to the last?
    used = j <= i if down else j >= i  # [row of X, row used]
    strict = params.get("unitriangular", False)
    read = (
        (j < i if strict else j <= i) if down else (j > i if strict else j >= i)
    )  # [row, column] of the triangle
    own = np.eye(k, dtype=bool)
    if left:
        by_a = np.broadcast_to((used[:, None, :, None] & read[None, None]), (n, k, n, n))
        by_b = used[:, None, :, None] & own[None, :, None, :]
    else:  # the same system, transposed
        by_a = np.broadcast_to((used[None, :, None, :] & read.T[None, None]), (k, n, n, n))
        by_b = own[:, None, :, None] & used[None, :, None, :]
    return [by_a.reshape(n * k, n * n), by_b.reshape(n * k, n * k)]


triangular_op = by_hand(
    "linalg_solve_triangular",
    _solve_triangular,
    vjp=_vjp,
    jvp=_jvp,
    keeps=(True, False),
    keeps_out=True,
    linear=(1,),
    couples=_couples,
    core=((2, 2), (2,)),
    samples=lambda: [
        sample(well(3, 3), noise(3, 2), upper=True),
        sample(well(3, 3), noise(3, 2), upper=False),
        sample(well(3, 3), noise(2, 3), upper=True, left=False),
        sample(well(3, 3), noise(3, 1), upper=False, unitriangular=True),
        sample(well(2, 2, 2), noise(2, 1), upper=True, note="one right-hand side for a stack"),
    ],
)


def solve_triangular(
    A: Any, B: Any, *, upper: Any = None, left: bool = True, unitriangular: bool = False, out: Any = None
) -> Any:
    """X of A X = B (or X A = B) where only one triangle of A is read, (..., n, n) and (..., n, k).

    A zero on the diagonal gives infinities, not an error. With unitriangular=True the diagonal is taken as
    ones.

    >>> import pullback as torch
    >>> solve_triangular(torch.tensor([[2., 1.], [9., 4.]]), torch.ones(2, 1), upper=True)
    tensor([[0.3750],
            [0.2500]])
    """
    if upper is None:
        first = 'linalg_solve_triangular() missing 1 required positional arguments: "upper"'
        raise TypeError(message(first, "", "say which triangle of A is read: upper=True or upper=False"))
    matrices("solve_triangular", A, square=True)
    tensor_argument("solve_triangular", B, "B", 2)
    if B.ndim < 2:
        first = "linalg.solve_triangular: The input tensor B must have at least 2 dimensions."
        raise RuntimeError(
            message(first, f"its shape is {list(B.shape)}", "b[:, None] makes a vector one column")
        )
    check_system("solve_triangular", A, B, left=left, vector=False)
    x = triangular_op(A, B, upper=upper, left=left, unitriangular=unitriangular)
    return x if out is None else write_out(triangular_op, out, x, (A, B))


_solution = named_result("triangular_solve", "solution", "cloned_coefficient")


def triangular_solve(
    b: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    """`solve_triangular` under its old name: the solution and a copy of A.

    Deprecated in PyTorch with a warning.
    """
    warnings.warn(
        "torch.triangular_solve is deprecated in favor of torch.linalg.solve_triangularand will be removed "
        "in a future PyTorch "
        "release.",
        UserWarning,
        stacklevel=2,
    )
    a, up = (mH(A), not upper) if transpose else (A, upper)
    x = solve_triangular(a, b, upper=up, unitriangular=unitriangular)
    return _solution((named(x, "TriangularSolveBackward0"), named(A.clone(), "TriangularSolveBackward0")))


def cholesky_solve(B: Any, L: Any, upper: bool = False, *, out: Any = None) -> Any:
    """X of A X = B where L is the Cholesky factor of A (A = L L^H, or U^H U with upper=True)."""
    for which, a in (("b", B), ("u", L)):
        if a.ndim < 2:
            raise RuntimeError(
                message(f"{which} should have at least 2 dimensions, but has {a.ndim} dimensions instead")
            )
    need_square("cholesky_solve", L)
    if B.shape[-2] != L.shape[-1]:
        n, (p, q) = L.shape[-1], tuple(B.shape)[-2:]
        first = (
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {n} by {n} but each b matrix "
            f"is {p} by {q}"
        )
        raise RuntimeError(message(first))
    half = triangular_op(mH(L) if upper else L, B, upper=False)
    x = named(triangular_op(L if upper else mH(L), half, upper=True), "CholeskySolveBackward0")
    return x if out is None else write_out(triangular_op, out, x, (B, L))


def cholesky_inverse(L: Any, upper: bool = False, *, out: Any = None) -> Any:
    """The inverse of A from its Cholesky factor L (A = L L^H, or U^H U with upper=True)."""
    need_square("cholesky_inverse", L)
    identity = L.new_zeros(tuple(L.shape)) + L.new_tensor(np.eye(L.shape[-1]))
    x = named(cholesky_solve(identity, L, upper), "CholeskyInverseBackward0")
    return x if out is None else write_out(triangular_op, out, x, (L,))
