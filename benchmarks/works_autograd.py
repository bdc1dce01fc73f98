"""The works of works.py as one would write them for autograd: NumPy functions, differentiated as they run.

Random numbers are NumPy's, so the result of "workshop" is not compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as np
from autograd import grad, jacobian, make_vjp
from autograd.scipy.special import expit, logsumexp
from works import RATE, Task, batch, layers, maps, normal, weights


def workshop(n: int) -> Task:
    """Draw, make_vjp, apply, add up."""
    W, v = weights(), np.array([0.0, 0.0, 0.3, 0.7], "f4")

    def run(_: None) -> Any:
        rng = np.random.default_rng(0)
        total = np.zeros(6)
        for _ in range(n):
            back, _ = make_vjp(lambda x: np.maximum(W @ x, 0.0))(rng.standard_normal(6, dtype="f4"))
            total += back(v)
        return total

    return Task(run)


def descent(n: int) -> Task:
    """Gradient descent with the stopping rule."""
    gradient = grad(lambda w: (w[0] - 2) ** 2 + (w[1] + 3) ** 2)

    def run(_: None) -> Any:
        w, norm, k = np.zeros(2, "f4"), float("inf"), 0
        while k < n and norm > 1e-12:
            g = gradient(w)
            w = w - RATE * g
            norm = float(np.linalg.norm(g))
            k += 1
        return w

    return Task(run)


def scalars(n: int) -> Task:
    """The graph as a Python loop."""

    def last(w: Any, b: Any) -> Any:
        y = 0.5
        for _ in range(n // 5):
            y = np.tanh(np.sin(y * w + b) * w)
        return y

    gradient = grad(last, argnum=(0, 1))
    return Task(lambda _: gradient(0.9, 0.1)[0])


def chain(n: int) -> Task:
    """Backward through a chain of n multiplications."""

    def power(x: Any) -> Any:
        for _ in range(n):
            x = x * 1.00001
        return x

    return Task(lambda back: back(1.0), lambda: make_vjp(power)(1.0)[0])


def network(n: int) -> Task:
    """n training steps, the loss written with logsumexp."""
    inputs, labels = batch()
    rows = np.arange(len(labels))

    def loss(parameters: list[Any]) -> Any:
        W1, b1, W2, b2 = parameters
        z = np.maximum(inputs @ W1 + b1, 0.0) @ W2 + b2
        return np.mean(logsumexp(z, axis=1) - z[rows, labels])

    gradient = grad(loss)

    def run(parameters: list[Any]) -> Any:
        for _ in range(n):
            parameters = [
                p - np.float32(RATE) * g for p, g in zip(parameters, gradient(parameters), strict=True)
            ]
        return parameters[2]

    return Task(run, layers)


def elementwise(function: Callable[..., Any], arguments: int, *, backward: bool) -> Callable[[int], Task]:
    """Return the work on n float32 numbers, with or without all its gradients."""

    def work(n: int) -> Task:
        xs = tuple(normal(n, seed=seed) for seed in range(arguments))
        upstream = np.ones(n, "f4")
        if not backward:
            return Task(lambda _: function(*xs))
        forward = make_vjp(lambda xs: function(*xs))
        return Task(lambda _: forward(xs)[0](upstream)[0])

    return work


def jacobian_of_map(n: int) -> Task:
    """The Jacobian, row by row."""
    x, A, B = maps(n)
    function = jacobian(lambda x: np.tanh(np.dot(B, np.tanh(np.dot(A, x)))))
    return Task(lambda _: function(x))


WORKS: dict[str, Callable[[int], Task]] = {
    "workshop": workshop,
    "descent": descent,
    "scalars": scalars,
    "network": network,
    "xy+z": elementwise(lambda x, y, z: x * y + z, 3, backward=False),
    "xy+z back": elementwise(lambda x, y, z: x * y + z, 3, backward=True),
    "exp": elementwise(np.exp, 1, backward=False),
    "exp back": elementwise(np.exp, 1, backward=True),
    "sigmoid": elementwise(expit, 1, backward=False),
    "sigmoid back": elementwise(expit, 1, backward=True),
    "jacobian": jacobian_of_map,
    "chain": chain,
}
