"""L-BFGS (Nocedal and Wright 2006, algorithm 7.5), with fixed steps or a strong Wolfe line search.

Read `LBFGS.step` first. All parameters of the one group are one vector. May import `optim.optimizer`,
`optim.line_search`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.graph.modes import state as modes
from pullback.graph.tensor import wrap
from pullback.optim.line_search import strong_wolfe
from pullback.optim.optimizer import Optimizer, check_rate, number


class LBFGS(Optimizer):
    """A quasi-Newton method: step(closure) evaluates the closure up to max_eval times.

    history_size    how many past steps approximate the inverse Hessian
    line_search_fn  None for steps of lr, or "strong_wolfe"
    ValueError for several groups or a negative rate.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_rate(lr)
        options = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, options)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    # ------------------------------------------------------------------ the parameters as one vector

    def _gradient(self) -> Any:
        parts = [
            np.zeros(p.value.size, p.value.dtype) if p.stored_grad is None else np.ravel(p.stored_grad.value)
            for p in self.param_groups[0]["params"]
        ]
        return np.concatenate(parts)

    def _position(self) -> list[Any]:
        return [p.storage().copy() for p in self.param_groups[0]["params"]]

    def _move(self, t: Any, direction: Any, start: list[Any] | None = None) -> None:
        """Add t * direction to the parameters (from `start`, where given)."""
        at = 0
        for i, p in enumerate(self.param_groups[0]["params"]):
            v = p.storage()
            part = direction[at : at + v.size].reshape(v.shape)
            v[...] = (v if start is None else start[i]) + t * part
            p.shared_counter().bump()
            at += v.size

    # ------------------------------------------------------------------ the step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to max_iter iterations; returns the loss at the start."""
        if closure is None:
            raise TypeError("LBFGS.step() missing 1 required positional argument: 'closure'")
        evaluate = _with_grad(closure)
        before = modes.grad
        modes.update(grad=False)
        try:
            with np.errstate(all="ignore"):
                return self._iterate(evaluate)
        finally:
            modes.update(grad=before)

    def _iterate(self, evaluate: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[group["params"][0]]
        first = evaluate()
        loss, evaluations = float(number(first)), 1
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)
        g = self._gradient()
        if np.abs(g).max() <= group["tolerance_grad"]:
            return first
        memory = _Memory(state, group["history_size"])
        last_loss = loss
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = memory.direction(g, fresh=state["n_iter"] == 1)
            last_loss = loss
            slope = g.dot(d)
            t = number(group["lr"])
            if state["n_iter"] == 1:
                t = min(1.0, 1.0 / np.abs(g).sum()) * t
            memory.step = t
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is None:
                self._move(t, d)
                used = 0
                if iteration != group["max_iter"]:
                    loss, g, used = float(number(evaluate())), self._gradient(), 1
            else:
                loss, g, t, used = self._search(
                    evaluate, t, d, loss, g, slope, group["max_eval"] - evaluations
                )
                memory.step = t
            evaluations += used
            state["func_evals"] += used
            if iteration == group["max_iter"] or evaluations >= group["max_eval"]:
                break
            if np.abs(g).max() <= group["tolerance_grad"] or np.abs(d * t).max() <= group["tolerance_change"]:
                break
            if abs(loss - last_loss) < group["tolerance_change"]:
                break
        memory.save(state, last_loss)
        return first

    def _search(
        self, evaluate: Callable[[], Any], t: Any, d: Any, loss: float, g: Any, slope: Any, most: int
    ) -> tuple[Any, Any, Any, int]:
        if self.param_groups[0]["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        start = self._position()

        def at(step: Any) -> tuple[float, Any]:
            self._move(step, d, start)
            return float(number(evaluate())), self._gradient()

        loss, g, t, used = strong_wolfe(at, t, d, loss, g, slope, most=most)
        self._move(t, d, start)
        return loss, g, t, used


def _with_grad(closure: Callable[[], Any]) -> Callable[[], Any]:
    def call() -> Any:
        before = modes.grad
        modes.update(grad=True)
        try:
            return closure()
        finally:
            modes.update(grad=before)

    return call


class _Memory:
    """The past steps and changes of the gradient, which approximate the inverse Hessian."""

    def __init__(self, state: dict[str, Any], size: int) -> None:
        self.size = size
        self.changes = [t.value for t in state.get("old_dirs", [])]
        self.steps = [t.value for t in state.get("old_stps", [])]
        self.inverse = [t.value for t in state.get("ro", [])]
        self.scale: Any = _value(state.get("H_diag", 1))
        self.d: Any = _value(state.get("d"))
        self.step: Any = _value(state.get("t"))
        self.g: Any = _value(state.get("prev_flat_grad"))

    def direction(self, g: Any, *, fresh: bool) -> Any:
        """The quasi-Newton direction for the gradient g; remembers the step that led to it."""
        if fresh:
            self.changes, self.steps, self.inverse, self.scale = [], [], [], 1
            self.d = -g
        else:
            self._remember(g - self.g, self.d * self.step)
            self.d = self._two_loops(g)
        self.g = g.copy()
        return self.d

    def _remember(self, y: Any, s: Any) -> None:
        curvature = y.dot(s)
        if curvature > 1e-10:
            if len(self.changes) == self.size:
                for kept in (self.changes, self.steps, self.inverse):
                    kept.pop(0)
            self.changes.append(y)
            self.steps.append(s)
            self.inverse.append(1.0 / curvature)
            self.scale = curvature / y.dot(y)

    def _two_loops(self, g: Any) -> Any:
        q = -g
        weights: list[Any] = []
        for y, s, r in zip(reversed(self.changes), reversed(self.steps), reversed(self.inverse), strict=True):
            weights.append(s.dot(q) * r)
            q -= weights[-1] * y
        q = q * self.scale
        for y, s, r, a in zip(self.changes, self.steps, self.inverse, reversed(weights), strict=True):
            q += (a - y.dot(q) * r) * s
        return q

    def save(self, state: dict[str, Any], loss: float) -> None:
        """Put everything into the optimiser's state, as tensors."""
        state.update(
            d=wrap(self.d),
            t=self.step,
            old_dirs=list(map(wrap, self.changes)),
            old_stps=list(map(wrap, self.steps)),
            ro=list(map(wrap, self.inverse)),
            H_diag=self.scale,
            prev_flat_grad=wrap(self.g),
            prev_loss=loss,
        )


def _value(x: Any) -> Any:
    return getattr(x, "value", x)
