"""Limiting gradients before an optimiser's step. Read `clip_grad_norm_` first.

May import `graph`, `errors`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pullback.dtypes import get_default_dtype
from pullback.errors import message
from pullback.graph.tensor import Tensor, wrap


def _gradients(parameters: Any) -> list[Tensor]:
    found = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.stored_grad for p in found if p.stored_grad is not None]


def get_total_norm(
    tensors: Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,  # noqa: ARG001
) -> Tensor:
    """The norm of all tensors as one vector: the norm of their norms, as PyTorch adds them up."""
    norms = [_norm(np.asarray(t.value), norm_type) for t in tensors]
    if not norms:
        return wrap(np.zeros((), get_default_dtype().numpy))
    total = _norm(np.stack(norms), norm_type)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            message(
                f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it "
                "cannot be clipped. To "
                "disable this error and scale the gradients by the non-finite norm anyway, set "
                "`error_if_nonfinite=False`"
            )
        )
    return wrap(total)


def _norm(a: Any, p: float) -> Any:
    flat = np.abs(a).ravel()
    if p == np.inf:
        return flat.max(initial=0)
    if p == 2:
        return np.sqrt(flat @ flat)
    return (flat**p).sum() ** (1.0 / p)


def clip_grads_with_norm_(
    parameters: Any,
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,  # noqa: ARG001 - a hint
) -> None:
    """Scale the gradients in place by min(1, max_norm / (total_norm + 1e-6))."""
    for g in _gradients(parameters):
        memory = g.storage()
        factor = np.minimum(memory.dtype.type(max_norm) / (total_norm.value + memory.dtype.type(1e-6)), 1.0)
        memory *= factor.astype(memory.dtype)
        g.shared_counter().bump()


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients in place so that their common norm is at most max_norm; returns the norm before.

    RuntimeError for a norm that is not finite, where error_if_nonfinite is set.
    """
    found = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(found), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(found, max_norm, total)
    return total


clip_grad_norm = clip_grad_norm_


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:  # noqa: ARG001
    """Clip every entry of the gradients to [-clip_value, clip_value], in place."""
    for g in _gradients(parameters):
        memory = g.storage()
        np.clip(memory, -float(clip_value), float(clip_value), out=memory)
        g.shared_counter().bump()
