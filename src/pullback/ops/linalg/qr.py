"""The QR decomposition: linalg.qr, torch.qr.

Tall A = Q R: the cotangent is (gQ + Q W) R^-H with M = triu(gR R^H - Q^H gQ), W = M + M^H, its diagonal
counted once (Seeger et al. 2017; Walter and Lehmann 2010). Wide A = [X Y]: X = Q U is square, V = Q^H Y; the
cotangent of Q grows by Y gV^H (Roberts and Roberts 2020). May import `families`, `linalg.common`,
`linalg.triangular`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.op import absent
from pullback.families.structural import structural
from pullback.ops.linalg.common import (
    add,
    diagonal,
    from_diagonal,
    matrices,
    mH,
    noise,
    real,
    same_params,
    sample,
    triangle,
)
from pullback.ops.linalg.triangular import triangular_op

NEEDS_Q = (
    "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
    "linalg.qr(A, mode='reduced') if you are "
    "going to differentiate through linalg.qr."
)
NOT_COMPLETE = "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."


def _place(x: Any, *, start: int, total: int) -> Any:
    r = np.zeros((*x.shape[:-1], total), x.dtype)
    r[..., start : start + x.shape[-1]] = x
    return r


def _unplace(g: Any, _out: Any, _x: Any, *, start: int, total: int) -> Any:  # noqa: ARG001 - the op's parameter
    return g[..., start : start + _x.shape[-1]]


# a block of columns inside a wider matrix of zeros
columns = structural(
    "place_columns",
    _place,
    vjp=_unplace,
    lift=same_params,
    samples=[((2, 2), {"start": 1, "total": 4}), ((2, 2, 1), {"start": 0, "total": 1})],
)


def _qr(a: Any, *, mode: str = "reduced") -> Any:
    if mode == "r":
        return np.zeros(0, a.dtype), np.linalg.qr(a, mode="r")
    decompose: Any = np.linalg.qr  # its stubs want literal modes
    q, r = decompose(a, mode=mode)
    return q, r


def _pull(g: Any, out: Any, a: Any, *, mode: str = "reduced") -> Any:
    gq, gr = g
    q, r = out
    m, n = a.shape[-2], a.shape[-1]
    if mode == "r":
        raise RuntimeError(message(NEEDS_Q, f"the matrix is {m} by {n}", "torch.linalg.qr(A)"))
    if mode == "complete" and m > n:
        raise RuntimeError(message(NOT_COMPLETE, f"the matrix is {m} by {n}", "use mode='reduced'"))
    if m >= n:
        return _tall(gq, gr, q, r)
    y, u = a[..., m:], r[..., :m]
    gv = None if gr is None else gr[..., m:]
    gx = _tall(add(gq, None if gv is None else y @ mH(gv)), None if gr is None else gr[..., :m], q, u)
    found = columns(gx, start=0, total=n)
    return found if gv is None else found + columns(q @ gv, start=m, total=n)


def _tall(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    inner = add(None if gr is None else gr @ mH(r), None if gq is None else -(mH(q) @ gq))
    strict = triangle(inner, upper=True, k=1)
    w = strict + mH(strict) + from_diagonal(real(diagonal(inner)))
    return triangular_op(mH(r), add(gq, q @ w), upper=False, left=False)


def _couples(avals: Any, params: dict[str, Any]) -> list[Any]:
    """Column j of Q sees the columns of A up to j, entry (i, j) of R those up to i and column j."""
    m, n = (int(s) for s in avals[0].shape)
    rows = m if params.get("mode") == "complete" else min(m, n)
    upto = np.arange(n)[None, :] <= np.arange(rows)[:, None]  # [column of Q or row of R, column of A]
    entries = upto[:, None, :] | np.eye(n, dtype=bool)[None]
    entries = entries & np.triu(np.ones((rows, n), bool))[:, :, None]
    by_q = np.broadcast_to(upto[None, :, None, :], (m, rows, m, n)).reshape(m * rows, m * n)
    by_r = np.broadcast_to(entries[:, :, None, :], (rows, n, m, n)).reshape(rows * n, m * n)
    return [by_r if params.get("mode") == "r" else np.concatenate([by_q, by_r])]


qr_op = by_hand(
    "linalg_qr",
    _qr,
    vjp=[_pull],
    keeps=(True,),
    keeps_out=True,
    outputs=2,
    core=((2,), (2, 2)),
    facets={"lower": absent("LAPACK chooses the reflections; they are not unrolled")},
    couples=_couples,
    samples=lambda: [
        sample(noise(2, 2), mode="reduced"),
        sample(noise(4, 2), mode="reduced"),
        sample(noise(2, 4), mode="reduced"),
        sample(noise(2, 3, 2), mode="reduced"),
        sample(noise(2, 3), mode="complete"),
    ],
)

_result = named_result("linalg_qr", "Q", "R")
_old_result = named_result("qr", "Q", "R")


def qr(A: Any, mode: str = "reduced", *, out: Any = None) -> Any:  # noqa: ARG001 - PyTorch's signature
    """Q with orthonormal columns and upper triangular R with A = Q R, (..., m, n).

    mode   "reduced": k = min(m, n) columns of Q; "complete": m columns; "r": only R (Q is empty, no gradient)

    >>> import pullback as torch
    >>> qr(torch.eye(3)[:, :2]).R.shape
    torch.Size([2, 2])
    """
    matrices("qr", A, loop="geqrf_cpu")
    if mode not in ("reduced", "complete", "r"):
        first = (
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or "
            "'complete'"
        )
        raise RuntimeError(message(first, "", "leave mode out for 'reduced'"))
    return _result(qr_op(A, mode=mode))


def torch_qr(input: Any, some: bool = True, *, out: Any = None) -> Any:  # noqa: ARG001 - PyTorch's signature
    """`linalg.qr` under its old name; deprecated in PyTorch with a warning."""
    warnings.warn(
        "torch.qr is deprecated in favor of torch.linalg.qr and will be removed in a future PyTorch "
        "release.\n"
        "The boolean parameter 'some' has been replaced with a string parameter 'mode'.\nQ, R = "
        "torch.qr(A, some)\n"
        "should be replaced with\nQ, R = torch.linalg.qr(A, 'reduced' if some else 'complete')",
        UserWarning,
        stacklevel=2,
    )
    matrices("qr", input, loop="geqrf_cpu")
    return _old_result(qr_op(input, mode="reduced" if some else "complete"))
