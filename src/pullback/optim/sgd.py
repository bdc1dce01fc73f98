"""Stochastic gradient descent. May import `optim.optimizer`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.graph.tensor import wrap
from pullback.optim.optimizer import Optimizer, buffer, check_rate, gradients, not_negative, number


class SGD(Optimizer):
    """p -= lr * g, with momentum v = momentum * v + (1 - dampening) * g in the place of g.

    The first v is g. nesterov steps along g + momentum * v. ValueError for negative options.

    >>> import pullback as torch
    >>> x = torch.tensor([2.0], requires_grad=True)
    >>> opt = torch.optim.SGD([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> opt.step()
    >>> x
    tensor([1.], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Any = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_rate(lr)
        not_negative("momentum value", momentum)
        not_negative("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def update(self, group: dict[str, Any]) -> None:
        """One step of a group."""
        lr, momentum = number(group["lr"]), group["momentum"]
        for p, v, g in gradients(group):
            step = g
            if momentum != 0:
                state = self.state[p]
                if state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = wrap(np.array(g))
                    buf = g
                else:
                    buf = buffer(state, "momentum_buffer", v)
                    buf *= momentum
                    buf += (1 - group["dampening"]) * g
                step = g + momentum * buf if group["nesterov"] else buf
            v -= lr * step  # noqa: PLW2901 - in place
