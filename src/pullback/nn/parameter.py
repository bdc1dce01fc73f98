"""`Parameter` and `Buffer`: tensors that a module registers when they are assigned to it.

`Parameter` itself stands next to `Tensor`, whose fast paths know it. May import `graph`, `dtypes`.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from pullback.dtypes import get_default_dtype
from pullback.graph.tensor import Parameter, Tensor


class Buffer(Tensor):
    """A tensor that a module registers as a buffer: part of its state, not a parameter."""

    persistent: bool = True

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Self:
        """A tensor around data's memory."""
        t = object.__new__(cls)
        t.value = np.empty(0, get_default_dtype().numpy) if data is None else data.storage()
        t.persistent = persistent
        return t


def replace_memory(t: Tensor, value: Any) -> None:
    """Give a tensor other memory (of another dtype, say), keeping the object and its requires_grad."""
    t.value = value
    t.counter = None
    t.base = None


__all__ = ["Buffer", "Parameter", "replace_memory"]
