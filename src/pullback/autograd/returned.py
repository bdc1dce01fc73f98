"""What a custom backward gets and returns: cotangents as tensors, and the checks of its gradients.

Read `check_gradient` first. May import `graph`, `families`, `errors`, `autograd.context`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.autograd.context import FunctionCtx
from pullback.errors import message
from pullback.families.op import cast, unbroadcast
from pullback.graph.tensor import Tensor, wrap


def grad_output(ctx: FunctionCtx, c: Any, aval: Any, tensors: bool) -> Any:
    """What backward gets for an output's cotangent c: a tensor, zeros or None where there is none."""
    if c is not None:
        return c if tensors else wrap(c)
    return wrap(np.zeros(aval.shape, aval.dtype)) if ctx.materialize_grads and aval is not None else None


def check_count(name: Any, returned: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    """The gradients that backward returned, one per argument. RuntimeError for another number."""
    extra = returned[n:]
    if len(returned) < n or any(r is not None for r in extra):
        raise RuntimeError(
            message(
                f"function {name} returned an incorrect number of gradients (expected {n}, got "
                f"{len(returned)})",
                "",
                "return one value per argument of forward, None where there is no gradient",
            )
        )
    return returned[:n]


def check_gradient(name: Any, i: int, r: Any, aval: Any, tensors: bool) -> Any:
    """A returned gradient in its argument's shape and dtype. RuntimeError where it cannot have them."""
    if not isinstance(r, Tensor):
        raise RuntimeError(
            message(f"expected Variable or None (got {type(r).__name__})", "", "return tensors or None")
        )
    if tuple(r.shape) != tuple(aval.shape):
        if not _expandable(tuple(aval.shape), tuple(r.shape)):
            raise RuntimeError(
                message(
                    f"Function {name} returned an invalid gradient at index {i} - got {list(r.shape)} but "
                    "expected shape compatible "
                    f"with {list(aval.shape)}",
                    f"the gradient of argument {i} must have that argument's shape",
                    "sum over the broadcast dimensions, or reshape",
                )
            )
        r = unbroadcast(r, tuple(aval.shape))
    r = cast(r, aval.dtype)
    return r if tensors else r.value


def _expandable(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    if len(small) > len(large):
        return False
    return all(a in (1, b) for a, b in zip(reversed(small), reversed(large), strict=False))
