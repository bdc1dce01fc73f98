"""Gradients: `backward`, `grad`, modes, hooks, custom `Function`s, `functional`, `gradcheck`. Read `engine`
first.
"""

from __future__ import annotations

import importlib
from typing import Any

from pullback.autograd import function, grad_mode, graph
from pullback.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from pullback.autograd.function import Function
from pullback.autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from pullback.autograd.public import backward, grad

# rooms that are imported on first use, so that `import pullback` stays light (gradcheck is a module that can
# be called)
_ROOMS = ("anomaly_mode", "forward_ad", "functional", "gradcheck")


def __getattr__(name: str) -> Any:
    """Import a room on first use."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "gradgradcheck":
        return importlib.import_module(f"{__name__}.gradcheck").gradgradcheck
    raise AttributeError(f"module 'torch.autograd' has no attribute '{name}'")


__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "function",
    "grad",
    "grad_mode",
    "graph",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
