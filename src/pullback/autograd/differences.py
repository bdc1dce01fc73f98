"""Central differences of a function of tensors, taken by changing the tensors' memory: what `gradcheck`
compares with.

Read `directional` first. Matrices are input entries x output entries (the transposed Jacobian), as PyTorch's
gradcheck prints them.
May import `graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.graph.tensor import Tensor

Function = Callable[..., Any]


def as_tuple(x: Any) -> tuple[Any, ...]:
    """A function's result, or the user's inputs, as a tuple."""
    if isinstance(x, tuple | list):
        return tuple(x)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return (x,)


def values_of(out: Any) -> list[Any]:
    """Copies of the floating outputs' values (a function may return memory that the next perturbation
    changes).
    """
    tensors = [t for t in as_tuple(out) if isinstance(t, Tensor)]
    return [np.array(t.value) for t in tensors if t.value.dtype.kind in "fc"]


def directional(func: Function, inputs: Sequence[Any], x: Tensor, step: Any, eps: float) -> list[Any]:
    """(f(x + step) - f(x - step)) / (2 eps) per floating output; x's memory is restored, also after an
    error.
    """
    v = x.storage()
    kept = v.copy()
    try:
        v[...] = kept - step
        low = values_of(func(*inputs))
        v[...] = kept + step
        high = values_of(func(*inputs))
    finally:
        v[...] = kept
    return [(b - a) / (2 * eps) for a, b in zip(low, high, strict=True)]


def matrices(
    func: Function,
    inputs: Sequence[Any],
    x: Tensor,
    outs: Sequence[Tensor],
    eps: float,
    forward: bool = False,
) -> list[Any]:
    """The numerical matrix of each output with respect to x, one central difference per entry.

    For a complex x (reverse mode) the entries are d/d(real part) + i d/d(imaginary part): the conjugate
    Wirtinger convention.
    """
    n, shape = x.value.size, tuple(x.value.shape)
    wide = x.value.dtype.kind == "c" and not forward
    found = [
        np.zeros((n, o.value.size), np.result_type(o.value.dtype, 1j) if wide else o.value.dtype)
        for o in outs
    ]
    for j in range(n):
        step = np.zeros(n, x.value.dtype)
        step[j] = eps
        rows = directional(func, inputs, x, step.reshape(shape), eps)
        if wide:
            imaginary = directional(func, inputs, x, step.reshape(shape) * 1j, eps)
            rows = [a + 1j * b for a, b in zip(rows, imaginary, strict=True)]
        for table, row in zip(found, rows, strict=True):
            table[j] = row.reshape(-1)
    return found


def projected(func: Function, inputs: Sequence[Any], x: Tensor, u: Any, eps: float) -> list[Any]:
    """The derivative of each output along u (for a complex x: u = (real, imaginary) directions, conjugate
    Wirtinger).
    """
    shape = tuple(x.value.shape)
    if not isinstance(u, tuple):
        return [r.reshape(-1) for r in directional(func, inputs, x, (u * eps).reshape(shape), eps)]
    real, imaginary = (
        directional(func, inputs, x, (part * eps * unit).reshape(shape), eps)
        for part, unit in zip(u, (1, 1j), strict=True)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    )
    return [(a + 1j * b).reshape(-1) for a, b in zip(real, imaginary, strict=True)]


__all__ = ["as_tuple", "directional", "matrices", "projected", "values_of"]
