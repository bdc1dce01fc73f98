"""pullback: gradients with PyTorch's semantics, and the reason why each one is what it is.

`import pullback as torch` runs programs written for torch. Read `pullback.graph.node` and `pullback.ops.pointwise` first.
"""

from __future__ import annotations

from pullback import dtypes as _dtypes
from pullback.autograd.public import tensor_backward as _tensor_backward
from pullback.dtypes import Size, device, dtype
from pullback.tensor import Tensor, public_names

for _d in _dtypes.ALL:
    globals()[_d.name] = _d
globals().update(public_names())
Tensor.backward = _tensor_backward  # pyright: ignore[reportAttributeAccessIssue]

__version__ = "0.1.0"
__all__ = ["Size", "Tensor", "device", "dtype"]
