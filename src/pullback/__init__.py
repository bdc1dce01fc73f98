"""pullback: gradients with PyTorch's semantics, and the reason why each one is what it is.

`import pullback as torch` runs programs written for torch. Read `pullback.graph.node` and
`pullback.ops.pointwise` first.
"""

from __future__ import annotations

import math as _math
from typing import Any

from pullback import dtypes as _dtypes
from pullback.autograd import methods as _methods
from pullback.autograd.anomaly_mode import is_anomaly_check_nan_enabled, is_anomaly_enabled
from pullback.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from pullback.dtypes import (
    Size,
    cdouble,
    cfloat,
    device,
    double,
    dtype,
    finfo,
    get_default_dtype,
    half,
    iinfo,
    long,
    promote_types,
    set_default_dtype,
    short,
)
from pullback.methods import Tensor, attach, public_names
from pullback.printing import set_printoptions

attach(_methods)
for _d in _dtypes.ALL:
    globals()[_d.name] = _d
float = _dtypes.float32
int = _dtypes.int32
globals().update(public_names())

pi, e, inf, nan = _math.pi, _math.e, _math.inf, _math.nan
newaxis = None
__version__ = "0.1.0"

from pullback import autograd  # noqa: E402 - the rooms come after the names they use

# rooms, and single names in them, that are imported on first use, so that `import pullback` stays light
_ROOMS = (
    "compat", "compiler", "distributions", "explanations", "func", "linalg", "nn", "optim", "plot", "random",
    "sampling", "special", "utils",
)  # fmt: skip
_IN_ROOMS = {
    "vmap": "func", "dropout": "nn.functional", "save": "serialization", "load": "serialization",
    "compile": "compiler.api", "minimize": "descent", "sensitivity": "sampling.study",
    "given": "sampling.inputs", "each": "sampling.inputs", "Sensitivity": "sampling.result",
    "explain": "explanations.api", "Explanation": "explanations.report", "record_lines": "graph.lines",
    "diagnose": "explanations.diagnosis", "flow": "explanations.flow", "draw": "explanations.drawing",
    "kinks": "explanations.kinks", "plan_jacobian": "explanations.jacobian_plan",
    "per_sample": "explanations.per_sample",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a room on first use; for unknown names, an error that names the nearest thing that exists."""
    import importlib

    if name in _ROOMS:
        return importlib.import_module(f"pullback.{name}")
    if name in _IN_ROOMS:
        return getattr(importlib.import_module(f"pullback.{_IN_ROOMS[name]}"), name)
    from pullback.compat import missing

    raise missing("torch", name)


__all__ = [
    "Size",
    "Tensor",
    "autograd",
    "cdouble",
    "cfloat",
    "device",
    "double",
    "dtype",
    "enable_grad",
    "finfo",
    "get_default_dtype",
    "half",
    "iinfo",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "long",
    "no_grad",
    "promote_types",
    "set_default_dtype",
    "set_grad_enabled",
    "set_printoptions",
    "short",
]
