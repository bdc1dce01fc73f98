"""Determinants: linalg.det, slogdet, torch.logdet.

d det = det tr(A^-1 dA), d log|det| = Re tr(A^-1 dA) (Giles 2008, 2.2.4).
At a singular matrix the derivative of det is the cofactor matrix. PyTorch returns zero there at first order
and the cofactors where the backward pass is itself recorded; so does `det`. May import `families`,
`linalg.common`, `linalg.svd`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.calls import write_out
from pullback.families.contraction import conj, named
from pullback.families.op import is_plain
from pullback.graph.tensor import wrap
from pullback.ops.linalg.common import (
    cells,
    diagonal,
    is_complex,
    matrices,
    mH,
    noise,
    row,
    sample,
    triangle,
    unchecked_solve,
    well,
)
from pullback.ops.linalg.inv import inv_op
from pullback.ops.linalg.solve import solve_op
from pullback.ops.linalg.svd import svd_op


def _pull_det(g: Any, d: Any, a: Any) -> Any:
    if is_plain(a):
        regular = np.where(np.asarray(d == 0)[..., None, None], np.eye(a.shape[-1], dtype=a.dtype), a)
        return cells(np.asarray(g * np.conj(d))) * mH(np.linalg.inv(regular))
    if a.foreign is None and bool(np.any(np.asarray(d.value) == 0)):
        return cells(g) * conj(_cofactors(a))
    return cells(g * conj(d)) * mH(inv_op(a))


def _cofactors(a: Any) -> Any:
    """The cofactors: det(U V^H) conj(U) diag(products of the other singular values) conj(V^H).

    Exact for singular matrices too, and differentiable where the singular values are distinct.
    """
    u, s, vh = svd_op(a, full_matrices=False)
    n = int(a.shape[-1])
    others = s.unsqueeze(-2).expand(*tuple(s.shape)[:-1], n, n)
    others = triangle(others, upper=True, k=1) + triangle(others, upper=False, k=-1)
    p = (others + wrap(np.eye(n, dtype=s.value.dtype))).prod(-1)
    return cells(det_op(u @ vh)) * ((conj(u) * row(p)) @ conj(vh))


def _push_det(tangents: Any, d: Any, a: Any) -> Any:
    if a.foreign is None and bool(np.any(np.asarray(d.value) == 0)):
        return (_cofactors(a) * tangents[0]).sum((-2, -1))
    return d * diagonal(inv_op(a) @ tangents[0]).sum(-1)


det_op = by_hand(
    "linalg_det",
    np.linalg.det,
    vjp=[_pull_det],
    jvp=_push_det,
    core=((2,), (0,)),
    samples=lambda: [
        sample(well(3, 3)),
        sample(well(2, 2, 2)),
        sample(noise(2, 2) + 1j * noise(2, 2, seed=4), note="complex"),
        sample(np.zeros((0, 0))),
    ],
)


def _pull_slogdet(g: Any, out: Any, a: Any) -> Any:
    by_sign, by_log = g
    factor = by_log
    if by_sign is not None and is_complex(a):  # sign = exp(i angle): a turn by d angle = Im tr(A^-1 dA)
        turn = -1j * (conj(by_sign) * out[0]).imag
        factor = turn if factor is None else factor + turn
    if factor is None:
        return (a * 0) if is_plain(a) else a.detach() * 0
    if is_plain(a):
        return cells(np.asarray(factor)) * _inverse_adjoint(a)
    return cells(factor) * solve_op(mH(a), np.eye(a.shape[-1], dtype=a.value.dtype))


def _inverse_adjoint(a: Any) -> Any:
    """A^-H; for a singular matrix what a substitution that divides by the zero pivot gives, as in PyTorch."""
    try:
        return mH(np.linalg.inv(a))
    except np.linalg.LinAlgError:
        return np.conj(unchecked_solve(a.swapaxes(-1, -2), np.eye(a.shape[-1], dtype=a.dtype)))


def _push_slogdet(tangents: Any, out: Any, a: Any) -> Any:
    t = diagonal(inv_op(a) @ tangents[0]).sum(-1)
    if not is_complex(a):
        return t.detach() * 0, t
    return out[0] * t.imag * 1j, t.real


def _couples(avals: Any, _params: dict[str, Any]) -> list[Any]:
    # the sign of a real determinant is constant
    m = np.ones((2, avals[0].size), bool)
    m[0] = avals[0].dtype.kind == "c"
    return [m]


slogdet_op = by_hand(
    "linalg_slogdet",
    lambda a: tuple(np.linalg.slogdet(a)),
    vjp=[_pull_slogdet],
    jvp=_push_slogdet,
    outputs=2,
    core=((2,), (0, 0)),
    couples=_couples,
    samples=lambda: [
        sample(well(3, 3)),
        sample(-well(2, 3, 3)),
        sample(noise(2, 2) + 1j * noise(2, 2, seed=4), note="complex"),
    ],
)


def det(A: Any, *, out: Any = None) -> Any:
    """The determinant of a square matrix or of each of a stack, (..., n, n) -> (...).

    >>> import pullback as torch
    >>> det(torch.tensor([[2., 0.], [0., 4.]]))
    tensor(8.)
    """
    matrices("det", A, square=True, loop="lu_cpu")
    t = det_op(A)
    return t if out is None else write_out(det_op, out, t, (A,))


_result = named_result("linalg_slogdet", "sign", "logabsdet")
_old_result = named_result("slogdet", "sign", "logabsdet")


def linalg_slogdet(A: Any) -> Any:
    """Sign and log |det|: (0, -inf) for a singular matrix, whose gradient is not finite."""
    matrices("slogdet", A, square=True)
    return _result(slogdet_op(A))


def slogdet(input: Any) -> Any:
    """`linalg.slogdet` under its torch-level name."""
    matrices("slogdet", input, square=True)
    return _old_result(slogdet_op(input))


def logdet(input: Any) -> Any:
    """log(det), NaN for a negative determinant (with gradient zero there), -inf for zero.

    >>> import pullback as torch
    >>> logdet(torch.eye(2))
    tensor(0.)
    """
    matrices("logdet", input, square=True)
    sign, log = slogdet_op(input)
    if input.dtype.is_complex:
        return log + sign.log()
    return named(log.masked_fill(sign == -1, float("nan")), "WhereBackward0")
