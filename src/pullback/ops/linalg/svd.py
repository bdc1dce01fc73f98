"""Singular values: linalg.svd, svdvals, torch.svd.

With A = U S V^H, skew(X) = X - X^H and E_jk = S_k^2 - S_j^2 (1 on the diagonal), the cotangent of A is
U [(skew(U^H gU)/E) S + S (skew(V^H gV)/E) + diag(gS)] V^H + (I - U U^H) gU S^-1 V^H + U S^-1 gV^H (I - V V^H)
(Giles 2008, 3.3; Townsend 2016; for complex matrices Wan and Zhang 2019, whose phase term stands on the
diagonal). Repeated singular values make the vectors undefined: NaN. May import `families`, `linalg.common`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import LinAlgError, message
from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.calls import write_out
from pullback.families.op import absent
from pullback.graph.tensor import Tensor
from pullback.ops.linalg.common import (
    add,
    column,
    diagonal,
    from_diagonal,
    is_complex,
    matrices,
    mH,
    noise,
    phase_free,
    row,
    sample,
    well,
)

NOT_FINITE = (
    "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values."
)


def failure(a: Any) -> Exception:
    """The error for a matrix without singular values."""
    here = (
        f"the matrix has shape {list(a.shape)} and {int((~np.isfinite(a)).sum())} entries that are not finite"
    )
    return LinAlgError(
        message(NOT_FINITE, here, "look for the first op that made them: torch.isfinite(x).all()")
    )


def _svd(a: Any, *, full_matrices: bool = True) -> Any:
    if not np.isfinite(a).all():
        raise failure(a)
    u, s, vh = np.linalg.svd(a, full_matrices=full_matrices)
    return u, s, vh


def _skew(x: Any) -> Any:
    return x - mH(x)


def gaps(v: Any) -> Any:
    """v_k - v_j in row j and column k, with ones on the diagonal."""
    n = int(v.shape[-1])
    d = row(v) - column(v)
    return d + from_diagonal(v * 0 + 1) if n else d


def _pull(g: Any, out: Any, a: Any, *, full_matrices: bool = True) -> Any:  # noqa: ARG001 - the facet's parameter
    gu, gs, gvh = g
    u, s, vh = out
    m, n, k = u.shape[-2], vh.shape[-1], s.shape[-1]
    if gu is None and gvh is None:
        return (u[..., :k] * row(gs)) @ vh[..., :k, :]
    # of full matrices only the first k columns are determined by A
    u, vh = u[..., :k], vh[..., :k, :]
    e = gaps(s * s)
    middle: Any = None
    total = add(
        None if gu is None else mH(u) @ gu[..., :k], None if gvh is None else vh @ mH(gvh[..., :k, :])
    )
    phase_free(total, "svd")
    if gu is not None:
        gu = gu[..., :k]
        turn = _skew(mH(u) @ gu)
        middle = (turn / e) * row(s)
        if is_complex(a):
            middle = middle + from_diagonal(diagonal(turn) / (2 * s))
    if gvh is not None:
        gvh = gvh[..., :k, :]
        middle = add(middle, column(s) * (_skew(vh @ mH(gvh)) / e))
    if gs is not None:
        middle = middle + from_diagonal(gs)
    r = u @ middle @ vh
    if gu is not None and m > k:
        scaled = gu / row(s)
        r = r + (scaled - u @ (mH(u) @ scaled)) @ vh
    if gvh is not None and n > k:
        scaled = gvh / column(s)
        r = r + u @ (scaled - (scaled @ mH(vh)) @ vh)
    return r


def _distinct(m: int, n: int, seed: int = 0) -> Any:
    k = min(m, n)
    return noise(m, n, seed=seed) + np.eye(m, n) * (1.0 + np.arange(k)[-1] + np.arange(n) * 1.5)


svd_op = by_hand(
    "linalg_svd",
    _svd,
    vjp=[_pull],
    keeps=(False,),
    keeps_out=True,
    outputs=3,
    core=((2,), (2, 1, 2)),
    facets={
        "lower": absent("an iterative decomposition: the number of its sweeps depends on the values"),
        "kink": absent("whether singular values are equal or zero is not looked at"),
    },
    samples=lambda: [
        sample(_distinct(3, 3), full_matrices=False),
        sample(_distinct(4, 2), full_matrices=False),
        sample(_distinct(2, 4), full_matrices=False),
        sample(np.stack([_distinct(2, 2), well(2, 2)]), full_matrices=False),
    ],
)

_result = named_result("linalg_svd", "U", "S", "Vh")
_old_result = named_result("svd", "U", "S", "V")


def _driver(driver: Any) -> None:
    if driver is not None:
        first = (
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER "
            "backend."
        )
        raise RuntimeError(message(first, "", "leave driver out"))


def svd(A: Any, full_matrices: bool = True, *, driver: Any = None, out: Any = None) -> Any:  # noqa: ARG001
    """U, S, Vh with A = U diag(S) Vh, S in descending order; (..., m, n), reduced with full_matrices=False.

    The gradients of U and Vh need distinct singular values (NaN otherwise), and do not see the extra columns
    of full matrices. LinAlgError where entries are not finite.

    >>> import pullback as torch
    >>> svd(torch.tensor([[0., 2.], [1., 0.]])).S
    tensor([2., 1.])
    """
    matrices("svd", A, loop="linalg_svd_cpu")
    _driver(driver)
    return _result(svd_op(A, full_matrices=full_matrices))


def values(a: Tensor) -> Tensor:
    """The singular values of a checked stack of matrices."""
    return svd_op(a, full_matrices=False)[1]


def svdvals(A: Any, *, driver: Any = None, out: Any = None) -> Any:
    """The singular values in descending order, (..., m, n) -> (..., min(m, n)).

    Repeated ones are differentiable too.

    >>> import pullback as torch
    >>> svdvals(torch.eye(2) * 3)
    tensor([3., 3.])
    """
    if not isinstance(A, Tensor):
        raise TypeError(
            message(
                f"linalg_svdvals(): argument 'A' (position 1) must be Tensor, not {type(A).__name__}",
                "",
                "torch.tensor(value)",
            )
        )
    matrices("svd", A, loop="linalg_svd_cpu")
    _driver(driver)
    t = values(A)
    return t if out is None else write_out(svd_op, out, t, (A,))


def torch_svd(input: Any, some: bool = True, compute_uv: bool = True) -> Any:
    """`linalg.svd` under its old name: U, S and V (not its conjugate transpose), reduced where `some`."""
    matrices("svd", input, loop="linalg_svd_cpu")
    u, s, vh = svd_op(input, full_matrices=not some)
    if compute_uv:
        return _old_result((u, s, mH(vh)))
    m, n = tuple(input.shape)[-2:]
    lead = tuple(input.shape)[:-2]
    return _old_result((input.new_zeros((*lead, m, m)), s, input.new_zeros((*lead, n, n))))
