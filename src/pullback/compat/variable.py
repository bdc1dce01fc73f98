"""`torch.autograd.Variable`, which old programs wrap around tensors. Read it first. May import: pullback."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

pb: Any = importlib.import_module("pullback")  # its names are made at run time


class _AnyTensor(type):
    """Makes every tensor an instance of `Variable`."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, pb.Tensor)


class Variable(metaclass=_AnyTensor):
    """`Variable(data, requires_grad=False)` is a tensor: a leaf that shares the memory of `data`.

    TypeError for data that is no tensor.
    """

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool | None = None) -> Any:
        """A tensor, not a Variable."""
        if volatile is not None:
            text = "volatile was removed and now has no effect. Use `with torch.no_grad():` instead."
            warnings.warn(text, stacklevel=2)
        data = pb.empty(0) if data is None else data
        if not isinstance(data, pb.Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)
