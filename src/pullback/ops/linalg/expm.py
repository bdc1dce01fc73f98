"""The matrix exponential: linalg.matrix_exp, torch.matrix_exp.

The derivative of exp at A in direction D is the upper right block of exp([[A, D], [0, A]]) (Mathias 1996;
Higham, Functions of Matrices, 2008, 3.6). May import `families`, `linalg.common`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.by_hand import by_hand
from pullback.families.op import absent
from pullback.families.structural import structural
from pullback.ops.linalg.common import matrices, mH, noise, same_params, sample, scipy_linalg


def _expm(a: Any) -> Any:
    expm = scipy_linalg().expm
    if a.dtype.char not in "efdFD":
        raise TypeError(message(f"linalg.matrix_exp: no exponential for entries of type {a.dtype}"))
    if not a.size:
        return a.copy()
    if a.dtype == np.float16:
        return expm(a.astype(np.float32)).astype(a.dtype)
    if not np.isfinite(a).all():
        return np.full_like(a, np.nan)
    return np.asarray(expm(a)).astype(a.dtype)


def _blocks(a: Any, d: Any) -> Any:
    n = a.shape[-1]
    r = np.zeros((*np.broadcast_shapes(a.shape[:-2], d.shape[:-2]), 2 * n, 2 * n), a.dtype, like=a)
    r[..., :n, :n] = a
    r[..., n:, n:] = a
    r[..., :n, n:] = d
    return r


def _pull_a(g: Any, _out: Any, _a: Any, _d: Any) -> Any:
    n = _a.shape[-1]
    return g[..., :n, :n] + g[..., n:, n:]


def _pull_d(g: Any, _out: Any, _a: Any, _d: Any) -> Any:
    n = _a.shape[-1]
    return g[..., :n, n:]


def _couples(avals: Any, _params: dict[str, Any]) -> list[Any]:
    n = int(avals[0].shape[-1])
    number = np.arange(1, n * n + 1)
    a, none = number.reshape(n, n), np.zeros((n, n), np.int64)
    return [_blocks(*pair).reshape(-1, 1) == number for pair in ((a, none), (none, a))]


# the block matrix with A on the diagonal, D in the upper right corner and zero below
blocks = by_hand(
    "matrix_blocks",
    _blocks,
    vjp=[_pull_a, _pull_d],
    core=((2, 2), (2,)),
    couples=_couples,
    samples=lambda: [sample(noise(2, 2), noise(2, 2, seed=2))],
)


def _corner(x: Any) -> Any:
    n = x.shape[-1] // 2
    return x[..., :n, n:].copy()


corner = structural("matrix_corner", _corner, lift=same_params, samples=[((4, 4), {}), ((2, 2, 2), {})])


def _directional(a: Any, d: Any) -> Any:
    return corner(expm_op(blocks(a, d)))


expm_op = by_hand(
    "linalg_matrix_exp",
    _expm,
    vjp=[lambda g, _out, a: _directional(mH(a), g)],
    jvp=lambda tangents, _out, a: _directional(a, tangents[0]),
    core=((2,), (2,)),
    facets={"lower": absent("the number of squarings depends on the norm of the matrix")},
    samples=lambda: [
        sample(noise(3, 3)),
        sample(noise(2, 2, 2)),
        sample(noise(2, 2) * 3),
    ],
)


def matrix_exp(A: Any) -> Any:
    """exp(A) = I + A + A A / 2 + ... of a square matrix or a stack of them.

    >>> import pullback as torch
    >>> matrix_exp(torch.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    half = getattr(getattr(A, "dtype", None), "name", "") == "float16"
    if not half:
        matrices("matrix_exp", A, square=True, argument="input")
    return expm_op(A)


def linalg_matrix_exp(A: Any) -> Any:
    """`matrix_exp` in the linalg room."""
    return matrix_exp(A)
