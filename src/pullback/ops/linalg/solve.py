"""Linear systems: linalg.solve, solve_ex. A X = B: dX = A^-1 (dB - dA X) (Giles 2008, 2.3.1).

May import `families`, `linalg.common`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.contraction import named
from pullback.families.calls import write_out
from pullback.families.op import unbroadcast
from pullback.graph.tensor import wrap
from pullback.ops.contract_checks import check_broadcast
from pullback.ops.linalg.common import (
    add,
    each_matrix,
    failed,
    guarded,
    matrices,
    mH,
    mT,
    noise,
    sample,
    well,
    which,
    zero_pivot,
)


def _solve(a: Any, b: Any, *, left: bool = True) -> Any:
    return np.linalg.solve(a, b) if left else mT(np.linalg.solve(mT(a), mT(b)))


def _singular(a: Any, _b: Any = None, **_params: Any) -> Exception:
    where = which(each_matrix(zero_pivot, a) > 0)
    first = f"torch.linalg.solve: {where}The solver failed because the input matrix is singular."
    return failed(first, a, "torch.linalg.lstsq solves in the least-squares sense")


def _vjp(g: Any, x: Any, a: Any, b: Any, *, needs: Any, left: bool = True) -> Any:
    gb = solve_op(mH(a), g, left=left)
    ga = (gb @ mH(x) if left else mH(x) @ gb) if needs[0] else None
    return None if ga is None else unbroadcast(-ga, tuple(a.shape)), unbroadcast(gb, tuple(b.shape)) if needs[
        1
    ] else None


def _jvp(tangents: Any, x: Any, a: Any, b: Any, *, left: bool = True) -> Any:  # noqa: ARG001 - the facet's arguments
    da, db = tangents
    return solve_op(a, add(None if da is None else -(da @ x if left else x @ da), db), left=left)


solve_op = by_hand(
    "linalg_solve_ex",
    guarded(_solve, _singular),
    vjp=_vjp,
    jvp=_jvp,
    keeps=(True, False),
    keeps_out=True,
    linear=(1,),
    core=((2, 2), (2,)),
    samples=lambda: [
        sample(well(3, 3), noise(3, 2)),
        sample(well(3, 3), noise(2, 3), left=False),
        sample(well(2, 2, 2), noise(2, 1), note="one right-hand side for a stack"),
        sample(well(2, 2), noise(2, 2, 1), note="one matrix for a stack"),
        sample(noise(2, 2) + 1j * noise(2, 2, seed=4), noise(2, 1) + 1j, note="complex"),
    ],
)


def _vector_rhs(a: Any, b: Any) -> bool:
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape)[:-1])


def check_system(name: str, a: Any, b: Any, *, left: bool, vector: bool) -> None:
    """PyTorch's errors for a system's shapes and dtypes."""
    if a.dtype is not b.dtype:
        first = f"linalg.{name}: Expected A and B to have the same dtype, but found A of type {a.dtype.word} and B of type {b.dtype.word} instead"
        raise RuntimeError(message(first, "", "convert one of them, for example b.to(a.dtype)"))
    m, n = tuple(a.shape)[-2:]
    p, q = (b.shape[-1], 1) if vector else tuple(b.shape)[-2:]
    if (left and m != p) or (not left and m != q):
        equation = "AX = B" if left else "XA = B"
        first = (
            f"linalg.{name}: Incompatible shapes of A and B for the equation {equation} ({m}x{n} and {p}x{q})"
        )
        raise RuntimeError(
            message(
                first,
                f"A has shape {list(a.shape)}, B {list(b.shape)}",
                "the sizes next to each other must agree",
            )
        )
    check_broadcast(f"linalg.{name}", tuple(a.shape)[:-2], tuple(b.shape)[: -1 if vector else -2])


def solve(A: Any, B: Any, *, left: bool = True, out: Any = None) -> Any:
    """X of A X = B (or X A = B with left=False) for square A, (..., n, n) and (..., n, k) or (..., n).

    LinAlgError for an exactly singular matrix.

    >>> import pullback as torch
    >>> solve(torch.tensor([[2., 0.], [0., 4.]]), torch.tensor([1., 1.]))
    tensor([0.5000, 0.2500])
    """
    matrices("solve", A, square=True)
    vector = _vector_rhs(A, B)
    check_system("solve", A, B, left=left, vector=vector)
    x = solve_op(A, B.unsqueeze(-1) if vector else B, left=left)
    if vector:
        x = named(x.squeeze(-1), "LinalgSolveExBackward0")
    return x if out is None else write_out(solve_op, out, x, (A, B))


_result = named_result("linalg_solve_ex", "result", "info")


def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    """`solve` and LAPACK's info (0, or which pivot is zero) instead of an error; a singular matrix gives NaN."""
    matrices("solve", A, square=True)
    info = np.asarray(each_matrix(zero_pivot, A.value)).astype(np.int32)
    if not info.any() or check_errors:
        return _result((solve(A, B, left=left), wrap(info)))
    bad = wrap((info > 0).reshape((*info.shape, 1, 1)))
    safe = A.masked_fill(bad, 0.0) + wrap(np.where(bad.value, np.eye(A.shape[-1]), 0).astype(A.value.dtype))
    x = solve(safe, B, left=left)
    spread = bad.squeeze(-1) if _vector_rhs(A, B) else bad
    return _result((x.masked_fill(spread, float("nan")), wrap(info)))
