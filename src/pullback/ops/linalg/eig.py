"""Eigenvalues of general matrices: linalg.eig, eigvals. The results are complex.

With A V = V diag(L), columns of V of norm 1 and phase free: the cotangent is V^-H [(V^H gV - V^H V diag(Re
V^H gV)) / conj(E) + diag(gL)] V^H, E_jk = L_k - L_j (Boeddeker et al. 2017, with the normalisation of the
columns). May import `families`, `linalg.common`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.calls import write_out
from pullback.families.contraction import conj
from pullback.families.facets import Sample
from pullback.families.op import absent, cast
from pullback.ops.linalg.common import (
    add,
    diagonal,
    from_diagonal,
    matrices,
    mH,
    phase_free,
    real,
    row,
    triangle,
    well,
)
from pullback.ops.linalg.solve import solve_op
from pullback.ops.linalg.svd import gaps


def _eig(a: Any) -> Any:
    if not np.isfinite(a).all():
        first = "torch.linalg.eig: input tensor should not contain infs or NaNs."
        raise RuntimeError(message(first, f"{int((~np.isfinite(a)).sum())} entries are not finite"))
    values, vectors = np.linalg.eig(a)
    c = np.result_type(a.dtype, np.complex64)
    return values.astype(c), vectors.astype(c)


def _pull(g: Any, out: Any, _a: Any) -> Any:
    gl, gv = g
    values, v = out
    middle: Any = None
    if gv is not None:
        turned = mH(v) @ gv
        phase_free(turned, "eig")
        turned = turned - (mH(v) @ v) * row(real(diagonal(turned)))
        e = conj(gaps(values))
        # the diagonal is the phase, which is free
        middle = triangle(turned / e, upper=True, k=1) + triangle(turned / e, upper=False, k=-1)
    middle = add(middle, None if gl is None else from_diagonal(gl))
    return cast(solve_op(mH(v), middle @ mH(v)), _a.dtype if not hasattr(_a, "value") else _a.value.dtype)


eig_op = by_hand(
    "linalg_eig",
    _eig,
    vjp=[_pull],
    keeps=(False,),
    keeps_out=True,
    outputs=2,
    core=((2,), (1, 2)),
    facets={"lower": absent("an iterative decomposition with complex results")},
    samples=lambda: [
        Sample(
            (a,), diff=(), note="complex results of a real matrix: their derivatives have a test of their own"
        )
        for a in (well(3, 3) + np.diag([0.0, 2.0, 5.0]), np.array([[1.0, 2.0], [-3.0, 1.5]]))
    ],
)

_result = named_result("linalg_eig", "eigenvalues", "eigenvectors")


def _check(name: str, a: Any) -> None:
    if hasattr(a, "dtype") and hasattr(a, "ndim") and a.ndim >= 2 and a.dtype.category < 2:
        raise RuntimeError(
            message(f"Unknown Complex ScalarType for {a.dtype.word}", "", "convert it first: x.double()")
        )
    matrices(name, a, square=True, loop="linalg_eig_out_cpu", argument="input")


def eig(A: Any, *, out: Any = None) -> Any:  # noqa: ARG001 - PyTorch's signature
    """Complex eigenvalues and eigenvectors (columns of norm 1) of a square matrix.

    A loss must not depend on the phase of the eigenvectors, which is arbitrary; their gradient needs distinct
    eigenvalues.
    """
    _check("eig", A)
    return _result(eig_op(A))


def eigvals(A: Any, *, out: Any = None) -> Any:
    """The complex eigenvalues of a square matrix, in no particular order.

    >>> import pullback as torch
    >>> eigvals(torch.tensor([[2., 1.], [0., 3.]]))
    tensor([2.+0.j, 3.+0.j])
    """
    _check("eigvals", A)
    t = eig_op(A)[0]
    return t if out is None else write_out(eig_op, out, t, (A,))
