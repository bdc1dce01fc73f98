"""The Cholesky factor: linalg.cholesky, cholesky_ex, torch.cholesky.

A = L L^H: the cotangent is L^-H sym(Phi(L^H gL)) L^-1, Phi taking the lower triangle with half the diagonal
(Murray 2016). One triangle is read; the gradient is that of the symmetric matrix. May import `families`,
`linalg.common`, `linalg.triangular`.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.calls import write_out
from pullback.families.contraction import named
from pullback.graph.tensor import wrap
from pullback.ops.linalg.common import (
    Sample,
    each_matrix,
    failed,
    matrices,
    mH,
    scipy_linalg,
    spd,
    triangle,
    which,
)
from pullback.ops.linalg.triangular import triangular_op

NOT_POSITIVE = (
    "{name}: {where}The factorization could not be completed because the input is not positive-definite "
    "(the leading minor of order "
    "{k} is not positive-definite)."
)


def _minor(a: Any) -> int:
    """The order of the first leading minor that is not positive; 0 where there is none (LAPACK's info)."""
    return _potrf(a)[1]


def _potrf(a: Any) -> tuple[Any, int]:
    if not a.size:
        return a, 0
    routine = scipy_linalg().get_lapack_funcs("potrf", (a,))
    factor, info = routine(a, lower=1, clean=1)
    undefined = np.isnan(np.diagonal(factor))
    return factor, int(np.argmax(undefined)) + 1 if not info and undefined.any() else int(info)


def _lower(a: Any, check: str) -> Any:
    try:
        low: Any = np.linalg.cholesky(a)
        if not np.isnan(low).any():
            return low
    except np.linalg.LinAlgError:
        pass
    if check:
        info = each_matrix(_minor, a)
        k = int(info.reshape(-1)[np.argmax(info.reshape(-1) > 0)])
        todo = "a covariance needs more samples than dimensions, or A + 1e-6 * torch.eye(n)"
        raise failed(NOT_POSITIVE.format(name=check, where=which(info > 0), k=k), a, todo)
    flat = a.reshape((math.prod(a.shape[:-2]), *a.shape[-2:]))
    return np.array([np.tril(_potrf(m)[0]) for m in flat], a.dtype).reshape(a.shape)


def _cholesky(a: Any, *, upper: bool = False, check: str = "linalg.cholesky") -> Any:
    return mH(_lower(mH(a), check)) if upper else _lower(a, check)


def _cholesky_entries(a: Any, *, upper: bool = False, **_params: Any) -> Any:
    """The loop body: NaN instead of the error, which needs the values."""
    return np.linalg.cholesky(a.swapaxes(-1, -2)).swapaxes(-1, -2) if upper else np.linalg.cholesky(a)


def _pull(g: Any, out: Any, _a: Any, *, upper: bool = False, **_params: Any) -> Any:
    low, gl = (mH(out), mH(g)) if upper else (out, g)
    p = mH(low) @ gl
    below = triangle(p, upper=False, k=0) + triangle(p, upper=False, k=-1)
    middle = (below + mH(below)) * 0.25
    half = triangular_op(mH(low), middle, upper=True)
    return triangular_op(low, half, upper=False, left=False)


def _push(tangents: Any, out: Any, _a: Any, *, upper: bool = False, **_params: Any) -> Any:
    low = mH(out) if upper else out
    t = tangents[0]
    t = (t + mH(t)) * 0.5
    p = triangular_op(mH(low), triangular_op(low, t, upper=False), upper=True, left=False)
    below = (triangle(p, upper=False, k=0) + triangle(p, upper=False, k=-1)) * 0.5
    return mH(low @ below) if upper else low @ below


cholesky_op = by_hand(
    "linalg_cholesky_ex",
    _cholesky,
    vjp=[_pull],
    jvp=_push,
    keeps=(False,),
    keeps_out=True,
    core=((2,), (2,)),
    facets={"lower": _cholesky_entries},
    samples=lambda: [
        Sample((a,), {"upper": upper}, smooth=False, note="one triangle is read, the gradient is symmetrised")
        for a, upper in ((spd(3, 3), False), (spd(2, 2, 2), False), (spd(3, 3), True))
    ],
)


def cholesky(A: Any, *, upper: bool = False, out: Any = None) -> Any:
    """The lower triangular L with A = L L^H (or U with A = U^H U) of a positive definite matrix.

    One triangle is read.

    LinAlgError where the matrix is not positive definite.

    >>> import pullback as torch
    >>> cholesky(torch.tensor([[4., 2.], [2., 5.]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    matrices("cholesky", A, square=True, loop="cholesky_cpu", argument="input")
    t = cholesky_op(A, upper=upper)
    return t if out is None else write_out(cholesky_op, out, t, (A,))


_result = named_result("linalg_cholesky_ex", "L", "info")


def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False) -> Any:
    """`cholesky` and LAPACK's info (0, or the order of the minor that fails) instead of an error.

    Such a factor is unfinished.
    """
    matrices("cholesky", A, square=True, loop="cholesky_cpu", argument="input", called="cholesky_ex")
    factor = cholesky_op(A, upper=upper, check="linalg.cholesky_ex" if check_errors else "")
    read = A.detach().numpy()
    info = np.asarray(each_matrix(_minor, mH(read) if upper else read)).astype(np.int32)
    return _result((factor, wrap(info)))


def torch_cholesky(input: Any, upper: bool = False, *, out: Any = None) -> Any:
    """`linalg.cholesky` under its old name; deprecated in PyTorch with a warning."""
    warnings.warn(
        "torch.cholesky is deprecated in favor of torch.linalg.cholesky and will be removed in a future "
        "PyTorch release.\n"
        "L = torch.cholesky(A)\nshould be replaced with\nL = torch.linalg.cholesky(A)\nand\nU = "
        "torch.cholesky(A, upper=True)\n"
        "should be replaced with\nU = torch.linalg.cholesky(A).mH\n"
        "This transform will produce equivalent results for all valid (symmetric positive definite) inputs.",
        UserWarning,
        stacklevel=2,
    )
    matrices("cholesky", input, square=True, loop="cholesky_cpu", argument="input")
    t = named(cholesky_op(input, upper=upper, check="cholesky"), "CholeskyBackward0")
    return t if out is None else write_out(cholesky_op, out, t, (input,))
