"""Inverses: linalg.inv, inv_ex, torch.inverse. Y = A^-1: dY = -Y dA Y (Giles 2008, 2.2.3).

May import `families`, `linalg.common`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.families.arguments import named_result
from pullback.families.by_hand import by_hand
from pullback.families.calls import write_out
from pullback.graph.tensor import wrap
from pullback.ops.linalg.common import (
    each_matrix,
    failed,
    matrices,
    mH,
    noise,
    sample,
    unchecked_solve,
    well,
    which,
    zero_pivot,
)

SINGULAR = (
    "linalg.{name}: {where}The diagonal element {k} is zero, the inversion could not be completed because "
    "the input matrix is "
    "singular."
)


def singular(a: Any, name: str = "inv") -> Exception:
    """The error for a stack with a singular matrix."""
    info = each_matrix(zero_pivot, a)
    bad = info > 0
    k = int(info.reshape(-1)[np.argmax(bad.reshape(-1))])
    return failed(
        SINGULAR.format(name=name, where=which(bad), k=k), a, "torch.linalg.pinv gives the pseudo-inverse"
    )


def _inv(a: Any, *, check: str = "inv") -> Any:
    try:
        y: Any = np.linalg.inv(a)
    except np.linalg.LinAlgError:
        if check:
            raise singular(a, check) from None
        return unchecked_solve(a, np.eye(a.shape[-1], dtype=a.dtype))
    return y


inv_op = by_hand(
    "linalg_inv_ex",
    _inv,
    vjp=[lambda g, y, _a, **_params: -(mH(y) @ g @ mH(y))],
    jvp=lambda tangents, y, _a, **_params: -(y @ tangents[0] @ y),
    core=((2,), (2,)),
    samples=lambda: [
        sample(well(3, 3)),
        sample(well(2, 3, 3)),
        sample(well(1, 1)),
        sample(noise(2, 2) + 1j * noise(2, 2, seed=4), note="complex"),
        sample(np.zeros((0, 0))),
    ],
)


def inv(A: Any, *, out: Any = None) -> Any:
    """The inverse of a square matrix or a stack of them, (..., n, n) -> (..., n, n).

    LinAlgError for an exactly singular matrix.

    >>> import pullback as torch
    >>> inv(torch.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    matrices("inv", A, square=True)
    t = inv_op(A)
    return t if out is None else write_out(inv_op, out, t, (A,))


def inverse(input: Any, *, out: Any = None) -> Any:
    """The inverse, under its torch-level name."""
    return inv(input, out=out)


_result = named_result("linalg_inv_ex", "inverse", "info")


def inv_ex(A: Any, *, check_errors: bool = False) -> Any:
    """The inverse and LAPACK's info (0, or which pivot is zero) instead of an error.

    A singular matrix gives infinities and NaN.
    """
    matrices("inv", A, square=True, called="inv_ex")
    info = np.asarray(each_matrix(zero_pivot, A.detach().numpy())).astype(np.int32)
    return _result((inv_op(A, check="inv_ex" if check_errors else ""), wrap(info)))
