"""`autograd.grad(..., is_grads_batched=True)`: one sweep for a batch of upstreams. May import
`func.mapping`, `autograd.public`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.autograd.public import grad
from pullback.errors import message
from pullback.func.mapping import vmap
from pullback.graph.tensor import Tensor


def batched_grad(
    outs: Sequence[Tensor],
    ins: Sequence[Tensor],
    grads: Sequence[Any],
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool | None,
    materialize: bool,
) -> tuple[Any, ...]:
    """Gradients with a leading batch dimension, one per entry of the upstreams' first dimension."""
    for i, (o, g) in enumerate(zip(outs, grads, strict=True)):
        if g is not None and tuple(g.shape[1:]) != tuple(o.shape):
            raise RuntimeError(
                message(
                    "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as "
                    "the batch dimension. The "
                    "sizes of the remaining dimensions are expected to match the shape of corresponding "
                    "output, but a mismatch was "
                    f"detected: grad_output[{i}] has a shape of {g.shape[1:]!r} and output[{i}] has a shape "
                    f"of {o.shape!r}. If you only want some "
                    "tensors in `grad_output` to be considered batched, consider using vmap.",
                    f"each upstream must have shape (batch, {', '.join(map(str, o.shape))})",
                )
            )
    missing: list[int] = []

    def vjp(*vs: Any) -> tuple[Any, ...]:
        found = grad(outs, ins, vs, retain_graph, create_graph, True, allow_unused, False, materialize)
        missing[:] = [i for i, g in enumerate(found) if g is None]
        return tuple(g for g in found if g is not None)

    results = list(vmap(vjp)(*grads))
    for i in missing:
        results.insert(i, None)
    return tuple(results)
