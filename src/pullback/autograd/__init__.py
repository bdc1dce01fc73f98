"""Gradients: `backward`, `grad`, modes, hooks, custom `Function`s, `functional`, `gradcheck`. Read `engine` first."""

from __future__ import annotations

from pullback.autograd import graph
from pullback.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from pullback.autograd.function import Function
from pullback.autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from pullback.autograd.public import backward, grad
from pullback.graph.tensor import Tensor as Variable

__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "graph",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
