"""`Parameter` and `Buffer`: tensors that a module registers when they are assigned to it.

May import `graph`, `ops`.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from pullback.dtypes import get_default_dtype
from pullback.errors import message
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor


class Parameter(Tensor):
    """A leaf that a module's `parameters()` lists; shares memory with `data`.

    RuntimeError for an integer tensor with requires_grad=True.

    >>> import pullback as torch
    >>> torch.nn.Parameter(torch.tensor([1.0]))
    Parameter containing:
    tensor([1.], requires_grad=True)
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Self:
        """A leaf around data's memory (an empty vector without data)."""
        t = object.__new__(cls)
        if data is None:
            t.value = np.empty(0, get_default_dtype().numpy)
        else:
            t.value = data.storage()
            if isinstance(data, Tensor) and data.counter is not None:
                t.counter = data.counter
        if requires_grad:
            if t.value.dtype.kind not in "fc":
                raise RuntimeError(
                    message(
                        "Only Tensors of floating point and complex dtype can require gradients",
                        f"the data has dtype {t.dtype!r}",
                        "pass requires_grad=False, or floating data",
                    )
                )
            t.node = LEAF
        return t

    def __repr__(self) -> str:
        return "Parameter containing:\n" + Tensor.__repr__(self)

    __str__ = __repr__

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return Parameter, (_plain(self), self.node is LEAF)


class Buffer(Tensor):
    """A tensor that a module registers as a buffer: part of its state, not a parameter."""

    persistent: bool = True

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Self:
        """A tensor around data's memory."""
        t = object.__new__(cls)
        t.value = np.empty(0, get_default_dtype().numpy) if data is None else data.storage()
        t.persistent = persistent
        return t


def _plain(t: Tensor) -> Tensor:
    plain = object.__new__(Tensor)
    plain.value = t.storage()
    return plain


def replace_memory(t: Tensor, value: Any) -> None:
    """Give a tensor other memory (of another dtype, say), keeping the object and its requires_grad."""
    t.value = value
    t.counter = None
    t.base = None
