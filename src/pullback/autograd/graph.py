"""PyTorch's room `torch.autograd.graph`: nodes, edges and hooks on what is saved."""

from __future__ import annotations

from pullback.autograd.handles import GradFn as Node
from pullback.autograd.handles import GradientEdge, get_gradient_edge
from pullback.autograd.hooks import register_multi_grad_hook, saved_tensors_hooks

__all__ = ["GradientEdge", "Node", "get_gradient_edge", "register_multi_grad_hook", "saved_tensors_hooks"]
