"""What can go wrong in a sweep: freed graphs, modified values, non-finite cotangents, bad hooks.

Called off the hot path only; `written`, `second` and `anomalies` word what is a longer story. May
import them, `graph`, `errors`.
"""

from __future__ import annotations

from typing import Any

from pullback.autograd.anomalies import Sweep, check_finite
from pullback.autograd.second import SECOND_TIME, second_time
from pullback.autograd.written import check_versions
from pullback.dtypes import from_numpy_dtype
from pullback.errors import message
from pullback.graph.tensor import Tensor


def check_hook(function: Any, old: Tensor, new: Any) -> None:
    """Raise PyTorch's errors for a hook's return value that cannot stand for the gradient."""
    name = getattr(function, "__name__", repr(function))
    if not isinstance(new, Tensor):
        raise TypeError(
            message(
                f"expected Variable, but hook returned '{type(new).__name__}'", "", "return a tensor or None"
            )
        )
    if new.value.shape != old.value.shape:
        raise RuntimeError(
            message(
                f"hook '{name}' has changed the size of value",
                f"from {list(old.value.shape)} to {list(new.value.shape)}",
                "return a tensor of the gradient's shape",
            )
        )
    if new.value.dtype != old.value.dtype:
        had, got = from_numpy_dtype(old.value.dtype).word, from_numpy_dtype(new.value.dtype).word
        raise RuntimeError(
            message(
                f"hook '{name}' has changed the type of value (was torch.{had}Tensor got torch.{got}Tensor)",
                "",
                "return a tensor of the gradient's dtype",
            )
        )


def check_none(returned: Any) -> None:
    """A post-accumulate hook must return None."""
    if returned is not None:
        raise TypeError(
            message(
                f"expected Variable, but hook returned '{type(returned).__name__}'",
                "a post-accumulate-grad hook must return None",
                "change param.grad inside the hook instead of returning a value",
            )
        )


__all__ = [
    "SECOND_TIME",
    "Sweep",
    "check_finite",
    "check_hook",
    "check_none",
    "check_versions",
    "second_time",
]
