"""Pseudo-inverse and least squares: linalg.pinv, lstsq, torch.pinverse.

P = A^+ of constant rank: dP = -P dA P + P P^H dA^H (I - A P) + (I - P A) dA^H P^H P (Golub and Pereyra 1973).
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
from pullback.families.op import absent, unbroadcast
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.linalg.common import mH, need_square, noise, sample, well
from pullback.ops.linalg.solve import by_columns
from pullback.ops.linalg.svd import failure


def tolerance(shape: tuple[int, ...], dtype: Any, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """The absolute and relative limits below which singular values count as zero.

    Rtol is max(m, n) eps unless atol is given.
    """
    if rtol is None:
        rtol = (
            0.0
            if atol is not None and np.all(np.asarray(atol) > 0)
            else max(shape[-2:]) * float(np.finfo(dtype).eps)
        )
    return 0.0 if atol is None else atol, rtol


def _plain(x: Any) -> Any:
    return x.value if isinstance(x, Tensor) else x


def _pinv(a: Any, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    if not np.isfinite(a).all():
        raise failure(a)
    if not a.size:
        return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    if hermitian:
        values, u = np.linalg.eigh(a)
        vh, s = mH(u), np.abs(values)
    else:
        u, s, vh = np.linalg.svd(a, full_matrices=False)
        values = s
    low, share = tolerance(a.shape, a.dtype, atol, rtol)
    cut = np.maximum(np.asarray(low)[..., None], np.asarray(share)[..., None] * s.max(-1, keepdims=True))
    kept = s > cut
    inverse = np.where(kept, 1, 0) / np.where(kept, values, 1)
    return (mH(vh) * inverse[..., None, :].astype(a.dtype)) @ mH(u)


def _pull(g: Any, p: Any, a: Any, **_params: Any) -> Any:
    ph, gh = mH(p), mH(g)
    side = gh @ p @ ph
    other = ph @ p @ gh
    return -(ph @ g @ ph) + (side - a @ (p @ side)) + (other - (other @ p) @ a)


def _push(tangents: Any, p: Any, a: Any, **_params: Any) -> Any:
    t, ph = tangents[0], mH(p)
    side = p @ ph @ mH(t)
    other = mH(t) @ ph @ p
    return -(p @ t @ p) + (side - (side @ a) @ p) + (other - p @ (a @ other))


pinv_op = by_hand(
    "linalg_pinv",
    _pinv,
    vjp=[_pull],
    jvp=_push,
    core=((2,), (2,)),
    facets={"lower": absent("made of the singular value decomposition, which is iterative")},
    samples=lambda: [sample(noise(4, 2)), sample(noise(2, 4)), sample(well(3, 3)), sample(noise(2, 3, 2))],
)


def _check(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        first = (
            f"linalg_{name}() received an invalid combination of arguments - got ({type(x).__name__}), but "
            "expected one of:"
        )
        raise TypeError(message(first, "", "pass a tensor"))
    if x.ndim < 2 or x.dtype.category < 2 or x.dtype.name == "float16":
        kind = f"{x.dtype.word}{{{list(x.shape)}}}"
        first = (
            f"linalg.{name}({kind}): expected a tensor with 2 or more dimensions of float, double, cfloat "
            "or cdouble types"
        )
        raise RuntimeError(message(first, "", "convert it first: x.double()"))


def pinv(
    A: Any, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None
) -> Any:
    """The pseudo-inverse, (..., m, n) -> (..., n, m).

    Singular values up to max(atol, rtol * largest) count as zero.

    The gradient holds while the rank does not change. rcond is the old name of rtol.

    >>> import pullback as torch
    >>> pinv(torch.tensor([[2., 0.], [0., 0.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    _check("pinv", A)
    if hermitian:
        need_square("linalg.pinv", A)
    limits = {"atol": _plain(atol), "rtol": _plain(rtol if rcond is None else rcond)}
    params = {k: v for k, v in limits.items() if v is not None}
    t = pinv_op(A, hermitian=True, **params) if hermitian else pinv_op(A, **params)
    return t if out is None else write_out(pinv_op, out, t, (A,))


def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """The pseudo-inverse under its torch-level name; singular values up to rcond * largest count as zero."""
    return pinv(input, rcond=rcond)


# ---------------------------------------------------------------------- least squares


def _lstsq(a: Any, b: Any, *, rtol: float) -> Any:
    return _pinv(a, rtol=rtol) @ b if max(a.ndim, b.ndim) > 2 else np.linalg.lstsq(a, b, rcond=rtol)[0]


def _pull_lstsq(g: Any, x: Any, a: Any, b: Any, *, needs: Any, rtol: float) -> Any:
    p = pinv_op(a, rtol=rtol)
    gb = mH(p) @ g
    ga = None
    if needs[0]:
        ga = -(gb @ mH(x)) + (b - a @ x) @ mH(p @ gb) + (mH(p) @ x) @ mH(g - mH(a) @ gb)
        ga = unbroadcast(ga, tuple(a.shape))
    return ga, unbroadcast(gb, tuple(b.shape)) if needs[1] else None


def _push_lstsq(tangents: Any, x: Any, a: Any, b: Any, *, rtol: float) -> Any:
    da, db = tangents
    p = pinv_op(a, rtol=rtol)
    r = None if db is None else p @ db
    if da is not None:
        side = mH(da) @ (mH(p) @ x)
        moved = -(p @ (da @ x)) + p @ (mH(p) @ (mH(da) @ (b - a @ x))) + (side - p @ (a @ side))
        r = moved if r is None else r + moved
    return r


lstsq_op = by_hand(
    "linalg_lstsq",
    _lstsq,
    vjp=_pull_lstsq,
    jvp=_push_lstsq,
    keeps=(True, True),
    keeps_out=True,
    linear=(1,),
    couples=by_columns,
    core=((2, 2), (2,)),
    facets={"lower": absent("the rank, and with it the method, depends on the values")},
    samples=lambda: [
        sample(noise(4, 2), noise(4, 3, seed=2), rtol=1e-15),
        sample(noise(2, 4), noise(2, 1, seed=2), rtol=1e-15),
        sample(noise(2, 3, 2), noise(2, 3, 1, seed=2), rtol=1e-15),
    ],
)

_result = named_result("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


def lstsq(A: Any, B: Any, rcond: Any = None, *, driver: str | None = None) -> Any:
    """X that minimises |A X - B|, (..., m, n) and (..., m, k) or (..., m).

    The one of least norm where several do.

    Returns solution, residuals (with driver "gels", "gelsd" or "gelss" where m > n and the rank is full),
    rank, and singular values (with "gelsd" or "gelss").
    """
    _check_lstsq(A, B, driver)
    driver = driver or "gelsy"
    rtol = (
        float(rcond) if rcond is not None else max(tuple(A.shape)[-2:]) * float(np.finfo(A.value.dtype).eps)
    )
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape)[:-1])
    b = B.unsqueeze(-1) if vector else B
    x = lstsq_op(A, b, rtol=rtol)
    m, n = tuple(A.shape)[-2:]
    s = np.linalg.svd(A.value, compute_uv=False)
    rank = np.asarray((s > rtol * s.max(-1, keepdims=True)).sum(-1), dtype=np.int64)
    empty = A.new_zeros((0,)) if not A.dtype.is_complex else A.new_zeros((0,)).real
    residuals = empty
    if driver != "gelsy" and m > n and bool((rank == n).all()):
        residuals = ((b - A @ x).abs() ** 2).sum(-2)
    solution = named(x.squeeze(-1), "LinalgLstsqBackward0") if vector else x
    ranks = wrap(np.zeros((0,), np.int64)) if driver == "gels" else wrap(rank)
    return _result((solution, residuals, ranks, wrap(s) if driver in ("gelsd", "gelss") else empty))


def _check_lstsq(a: Any, b: Any, driver: Any) -> None:
    if a.ndim < 2:
        raise RuntimeError(
            message(
                "torch.linalg.lstsq: input must have at least 2 dimensions.", f"A has shape {list(a.shape)}"
            )
        )
    if b.ndim < 1:
        raise RuntimeError(message("torch.linalg.lstsq: other must have at least 1 dimension."))
    if a.dtype is not b.dtype:
        first = (
            f"torch.linalg.lstsq: Expected input and other to have the same dtype, but got input's dtype "
            f"{a.dtype.word} and "
            f"other's dtype {b.dtype.word}"
        )
        raise RuntimeError(message(first, "", "convert one of them, for example b.to(a.dtype)"))
    rows = (
        b.shape[-1]
        if b.ndim == 1 or (a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape)[:-1])
        else b.shape[-2]
    )
    if a.shape[-2] != rows:
        side = "-1" if b.ndim == 1 else "-2"
        first = f"torch.linalg.lstsq: input.size(-2) should match other.size({side})"
        raise RuntimeError(message(first, f"A has shape {list(a.shape)}, B {list(b.shape)}"))
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            message("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
        )
