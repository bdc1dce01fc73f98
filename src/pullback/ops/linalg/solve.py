"""Linear systems: linalg.solve, solve_ex. A X = B: dX = A^-1 (dB - dA X) (Giles 2008, 2.3.1).

May import `families`, `linalg.common`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.calls import write_out
from pullback.families.contraction import named
from pullback.families.op import unbroadcast
from pullback.graph.tensor import wrap
from pullback.ops.contract_checks import check_broadcast
from pullback.ops.linalg.common import (
    add,
    each_matrix,
    failed,
    matrices,
    mH,
    mT,
    noise,
    sample,
    tensor_argument,
    unchecked_solve,
    well,
    which,
    zero_pivot,
)


def _solve(a: Any, b: Any, *, left: bool = True, check: bool = True) -> Any:
    if not left:
        return mT(_solve(mT(a), mT(b), check=check))
    try:
        x: Any = np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        if check:
            raise _singular(a) from None
        return unchecked_solve(a, b)
    return x


def _singular(a: Any) -> Exception:
    where = which(each_matrix(zero_pivot, a) > 0)
    first = f"torch.linalg.solve: {where}The solver failed because the input matrix is singular."
    return failed(first, a, "torch.linalg.lstsq solves in the least-squares sense")


def _vjp(g: Any, x: Any, a: Any, b: Any, *, needs: Any, left: bool = True, **_params: Any) -> Any:
    gb = solve_op(mH(a), g, left=left)
    ga = (gb @ mH(x) if left else mH(x) @ gb) if needs[0] else None
    return None if ga is None else unbroadcast(-ga, tuple(a.shape)), unbroadcast(gb, tuple(b.shape)) if needs[
        1
    ] else None


def _jvp(tangents: Any, x: Any, a: Any, b: Any, *, left: bool = True, **_params: Any) -> Any:  # noqa: ARG001 - the facet's arguments
    da, db = tangents
    return solve_op(a, add(None if da is None else -(da @ x if left else x @ da), db), left=left)


def by_columns(avals: Any, params: dict[str, Any]) -> list[Any]:
    """The pattern of a system: every column of X (row with left=False) sees its own right-hand side only."""
    a, b = avals
    p, q = (int(n) for n in b.shape)
    rows = int(a.shape[-1])
    if params.get("left", True):
        return [None, np.kron(np.ones((rows, p), bool), np.eye(q, dtype=bool))]
    return [None, np.kron(np.eye(p, dtype=bool), np.ones((rows, q), bool))]


solve_op = by_hand(
    "linalg_solve_ex",
    _solve,
    vjp=_vjp,
    jvp=_jvp,
    keeps=(True, False),
    keeps_out=True,
    linear=(1,),
    couples=by_columns,
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
        first = (
            f"linalg.{name}: Expected A and B to have the same dtype, but found A of type {a.dtype.word} "
            f"and B of type {b.dtype.word} instead"
        )
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
    check_broadcast(f"linalg.{name}", tuple(b.shape)[: -1 if vector else -2], tuple(a.shape)[:-2])


def solve(A: Any, B: Any, *, left: bool = True, out: Any = None) -> Any:
    """X of A X = B (or X A = B with left=False) for square A, (..., n, n) and (..., n, k) or (..., n).

    LinAlgError for an exactly singular matrix.

    >>> import pullback as torch
    >>> solve(torch.tensor([[2., 0.], [0., 4.]]), torch.tensor([1., 1.]))
    tensor([0.5000, 0.2500])
    """
    x = _run(A, B, left=left, check=True)
    return x if out is None else write_out(solve_op, out, x, (A, B))


def _run(a: Any, b: Any, *, left: bool, check: bool) -> Any:
    matrices("solve", a, square=True)
    tensor_argument("solve", b, "B", 2)
    vector = _vector_rhs(a, b)
    check_system("solve", a, b, left=left, vector=vector)
    params = {} if check else {"check": False}
    x = solve_op(a, b.unsqueeze(-1) if vector else b, left=left, **params)
    return named(x.squeeze(-1), "LinalgSolveExBackward0") if vector else x


_result = named_result("linalg_solve_ex", "result", "info")


def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    """`solve` and LAPACK's info (0, or which pivot is zero) instead of an error.

    A singular matrix gives infinities and NaN.
    """
    x = _run(A, B, left=left, check=check_errors)
    info = np.asarray(each_matrix(zero_pivot, A.detach().numpy())).astype(np.int32)
    return _result((x, wrap(info)))
