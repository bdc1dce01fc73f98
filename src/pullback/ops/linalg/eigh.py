"""Eigenvalues of symmetric (Hermitian) matrices: linalg.eigh, eigvalsh.

A = Q diag(L) Q^H: the cotangent is Q [skew(Q^H gQ) / E + diag(gL)] Q^H with E_jk = L_k - L_j (Giles 2008,
3.1; Seeger et al. 2017). One triangle is read; the gradient is that of the symmetric matrix, so it fills
both. Repeated eigenvalues make the vectors undefined: NaN. May import `families`, `linalg.common`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import LinAlgError, message
from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.calls import write_out
from pullback.families.op import absent
from pullback.ops.linalg.common import Sample, add, from_diagonal, matrices, mH, phase_free, row, spd
from pullback.ops.linalg.svd import gaps


def _eigh(a: Any, *, upper: bool = False) -> Any:
    if not np.isfinite(a).all():
        first = (
            "linalg.eigh: The algorithm failed to converge because the input matrix is ill-conditioned or "
            "has too many repeated "
            f"eigenvalues (error code: {max(a.shape[-1] - 1, 1)})."
        )
        raise LinAlgError(
            message(
                first,
                f"{int((~np.isfinite(a)).sum())} entries are not finite",
                "check torch.isfinite(x).all()",
            )
        )
    values, vectors = np.linalg.eigh(a, UPLO="U" if upper else "L")
    return values, vectors


def _pull(g: Any, out: Any, _a: Any, *, upper: bool = False) -> Any:  # noqa: ARG001 - the facet's parameter
    gl, gq = g
    values, q = out
    if gq is None:
        return (q * row(gl)) @ mH(q)
    turned = mH(q) @ gq
    phase_free(turned, "eigh")
    middle = (turned - mH(turned)) * 0.5 / gaps(values)
    return q @ add(middle, None if gl is None else from_diagonal(gl)) @ mH(q)


def _symmetric(a: Any) -> Any:
    """Samples are perturbed entry by entry, but only one triangle is read.

    The derivative is that of (A + A^H) / 2.
    """
    return Sample(
        (a,), {"upper": False}, smooth=False, note="one triangle is read, the gradient is symmetrised"
    )


eigh_op = by_hand(
    "linalg_eigh",
    _eigh,
    vjp=[_pull],
    keeps=(False,),
    keeps_out=True,
    outputs=2,
    core=((2,), (1, 2)),
    facets={
        "lower": absent("an iterative decomposition: the number of its sweeps depends on the values"),
        "kink": absent("whether eigenvalues are equal is not looked at"),
    },
    samples=lambda: [_symmetric(spd(3, 3)), _symmetric(spd(2, 2, 2))],
)

_result = named_result("linalg_eigh", "eigenvalues", "eigenvectors")


def _upper(uplo: Any) -> bool:
    if not isinstance(uplo, str) or uplo.upper() not in ("L", "U"):
        first = f"Expected UPLO argument to be 'L' or 'U', but got {uplo}"
        raise RuntimeError(message(first, "", "'L' reads the lower triangle, 'U' the upper one"))
    return uplo.upper() == "U"


def eigh(A: Any, UPLO: str = "L", *, out: Any = None) -> Any:  # noqa: ARG001 - PyTorch's signature
    """Eigenvalues in ascending order and orthonormal eigenvectors (columns) of a symmetric matrix.

    One triangle is read.

    The gradient of the vectors needs distinct eigenvalues (NaN otherwise). It is symmetric, as the matrix is.

    >>> import pullback as torch
    >>> eigh(torch.tensor([[2., 0.], [0., 1.]])).eigenvalues
    tensor([1., 2.])
    """
    matrices("eigh", A, square=True, loop="!linalg_eigh_cpu", argument="input")
    return _result(eigh_op(A, upper=_upper(UPLO)))


def eigvalsh(A: Any, UPLO: str = "L", *, out: Any = None) -> Any:
    """The eigenvalues of a symmetric matrix in ascending order; repeated ones are differentiable too."""
    matrices("eigh", A, square=True, loop="!linalg_eigh_cpu", argument="input", called="eigvalsh")
    t = eigh_op(A, upper=_upper(UPLO))[0]
    return t if out is None else write_out(eigh_op, out, t, (A,))
