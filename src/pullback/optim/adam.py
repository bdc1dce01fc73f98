"""Optimisers with a rate per entry: Adam, AdamW, RMSprop, Adagrad. May import `optim.optimizer`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.graph.tensor import wrap
from pullback.optim.optimizer import Optimizer, buffer, check_rate, count, gradients, not_negative, number


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), with bias-corrected running means m of g, v of g^2 (Kingma and Ba 2015).

    amsgrad divides by the largest v so far; decoupled_weight_decay shrinks the parameters instead of adding
    to g. ValueError for
    options out of range.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_rate(lr)
        not_negative("epsilon value", eps)
        for i, b in enumerate(betas):
            if not 0.0 <= b < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {b}")
        not_negative("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def update(self, group: dict[str, Any]) -> None:
        """One step of a group."""
        lr, eps = number(group["lr"]), group["eps"]
        b1, b2 = (number(b) for b in group["betas"])
        shrink = 1 - lr * group["weight_decay"] if group["decoupled_weight_decay"] else 1
        for p, v, g in gradients(group):
            state = self.state[p]
            n = count(state)
            m, s = buffer(state, "exp_avg", v), buffer(state, "exp_avg_sq", v)
            if shrink != 1:
                v *= shrink  # noqa: PLW2901 - in place
            m += (1 - b1) * (g - m)
            s *= b2
            square = g * g
            square *= 1 - b2
            s += square
            if group["amsgrad"]:
                top = buffer(state, "max_exp_avg_sq", v)
                np.maximum(top, s, out=top)
                s = top
            scale = np.sqrt(s, out=np.empty_like(s))
            scale /= (1 - b2**n) ** 0.5
            scale += eps
            np.divide(m, scale, out=scale)
            scale *= lr / (1 - b1**n)
            v -= scale  # noqa: PLW2901 - in place


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(v) + eps) with a running mean v of g^2 (centered: of its variance), and momentum.

    ValueError for negative options.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate(lr)
        not_negative("epsilon value", eps)
        not_negative("momentum value", momentum)
        not_negative("weight_decay value", weight_decay)
        not_negative("alpha value", alpha)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def update(self, group: dict[str, Any]) -> None:
        """One step of a group."""
        lr, alpha, momentum = number(group["lr"]), group["alpha"], group["momentum"]
        for p, v, g in gradients(group):
            state = self.state[p]
            count(state)
            s = buffer(state, "square_avg", v)
            s *= alpha
            s += (1 - alpha) * g * g
            if group["centered"]:
                mean = buffer(state, "grad_avg", v)
                mean += (1 - alpha) * (g - mean)
                scale = np.sqrt(s - mean * mean)
            else:
                scale = np.sqrt(s)
            step = g / (scale + group["eps"])
            if momentum > 0:
                buf = buffer(state, "momentum_buffer", v)
                buf *= momentum
                buf += step
                step = buf
            v -= lr * step  # noqa: PLW2901 - in place


class Adagrad(Optimizer):
    """p -= lr / (1 + (step - 1) lr_decay) * g / (sqrt(sum of g^2) + eps) (Duchi et al. 2011).

    ValueError for negative options.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_rate(lr)
        not_negative("lr_decay value", lr_decay)
        not_negative("weight_decay value", weight_decay)
        not_negative("initial_accumulator_value value", initial_accumulator_value)
        not_negative("epsilon value", eps)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        for p in self._all():
            v = p.storage()
            self.state[p]["step"] = wrap(np.zeros((), np.float32))
            buffer(self.state[p], "sum", v, initial_accumulator_value)

    def update(self, group: dict[str, Any]) -> None:
        """One step of a group."""
        for p, v, g in gradients(group):
            state = self.state[p]
            n = count(state)
            s = buffer(state, "sum", v, group["initial_accumulator_value"])
            s += g * g
            rate = number(group["lr"]) / (1 + (n - 1) * group["lr_decay"])
            v -= rate * (g / (np.sqrt(s) + group["eps"]))  # noqa: PLW2901 - in place
