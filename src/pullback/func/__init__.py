"""PyTorch's room `torch.func`: derivatives and mapping of functions. Read `derivatives` first."""

from __future__ import annotations

from pullback.func.control import cond, scan, while_loop
from pullback.func.derivatives import grad, grad_and_value, jvp, linearize, vjp
from pullback.func.jacobians import hessian, jacfwd, jacrev
from pullback.func.mapping import vmap
from pullback.func.stateless import functional_call, stack_module_state

__all__ = [
    "cond",
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "scan",
    "stack_module_state",
    "vjp",
    "vmap",
    "while_loop",
]
