"""Covariance and correlation, composed of means and matrix products. May import `families` and `graph`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import public
from pullback.graph.tensor import wrap


def _weights(name: str, w: Any, observations: int, integral: bool) -> None:
    kind = "integral" if integral else "floating point"
    if (w.dtype.category == 1) is not integral:
        raise RuntimeError(
            message(f"cov(): expected {name} to have {kind} dtype but got {name} with {w.dtype.word} dtype")
        )
    if w.numel() != observations:
        raise RuntimeError(
            message(
                f"cov(): expected {name} to have the same numel as there are observations in the input "
                "but got "
                f"{w.numel()} != {observations}"
            )
        )
    if bool((w.value < 0).any()):
        raise RuntimeError(message(f"cov(): {name} cannot be negative"))


@public("cov")
def cov(input: Any, *, correction: float = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariance matrix of variables in rows, observations in columns; a 1-D tensor is one variable.

    >>> import pullback as torch
    >>> torch.cov(torch.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    if input.ndim > 2:
        raise RuntimeError(
            message(
                "cov(): expected input to have two or fewer dimensions but got an input with "
                f"{input.ndim} dimensions"
            )
        )
    if input.dtype.category == 0:
        raise RuntimeError(message("cov(): bool dtype is not supported for input", "", "use x.float()"))
    x = input.reshape((1, -1)) if input.ndim < 2 else input
    if x.dtype.category < 2:
        x = x.float()
    n = x.shape[1]
    weights = None
    if fweights is not None:
        _weights("fweights", fweights, n, True)
        weights = fweights
    if aweights is not None:
        _weights("aweights", aweights, n, False)
        weights = aweights if weights is None else weights * aweights
    total = n if weights is None else weights.sum()
    mean = (x if weights is None else x * weights).sum(1, keepdim=True) / total
    if weights is None:
        free: Any = n - correction
    elif aweights is not None and correction:
        free = total - correction * (weights * aweights).sum() / total
    else:
        free = total - correction
    if float(free) <= 0:
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of "
            "observations.",
            UserWarning,
            stacklevel=3,
        )
        free = wrap(np.array(0, x.dtype.to_real().numpy))
    centred = x - mean
    right = (centred if weights is None else centred * weights).t()
    product = centred @ (right.conj() if x.dtype.is_complex else right)
    return (product / free).squeeze()


@public("corrcoef")
def corrcoef(input: Any) -> Any:
    """The matrix of correlation coefficients of variables in rows, clipped to [-1, 1]."""
    if input.ndim > 2:
        raise RuntimeError(
            message(
                "corrcoef(): expected input to have two or fewer dimensions but got an input with "
                f"{input.ndim} dimensions"
            )
        )
    c = cov(input)
    if c.ndim == 0:
        return c / c
    deviations = c.diagonal().sqrt()
    r = c / deviations.unsqueeze(1) / deviations.unsqueeze(0)
    return r.real.clamp(-1, 1) + r.imag.clamp(-1, 1) * 1j if r.dtype.is_complex else r.clamp(-1, 1)


PUBLIC: dict[str, Any] = {"cov": cov, "corrcoef": corrcoef}
METHODS: dict[str, Any] = dict(PUBLIC)
IN_PLACE: dict[str, Any] = {}
