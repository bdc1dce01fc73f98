"""The works that eager.py times, written once for every library with PyTorch's interface.

A work is a function (lib, n) -> Task; `lib` is the module `torch` or `pullback`, `n` the size. Read `Task`,
then `workshop`. The same works for other interfaces are in works_jax.py and works_autograd.py, under the
same names. Imports NumPy only: inputs are made by it, so that every library starts from the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

RATE = 0.01


@dataclass(frozen=True)
class Task:
    """What is timed: run(prepare()); only `run` is on the clock. The result is compared between libraries."""

    run: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None


def weights() -> np.ndarray:
    """Return the 4 x 6 matrix with the rows e0, e1, 2 e2, 3 e3."""
    return np.diag([1.0, 1.0, 2.0, 3.0, 0.0, 0.0])[:4].astype(np.float32)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Return float32 standard normal numbers, the same for every library."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def layers() -> list[np.ndarray]:
    """Return the parameters of the 784 -> 256 -> 10 network: W1, b1, W2, b2."""
    return [
        normal(784, 256, seed=1) * 0.05,
        np.zeros(256, "f4"),
        normal(256, 10, seed=2) * 0.05,
        np.zeros(10, "f4"),
    ]


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Return 256 inputs and their class indices."""
    return normal(256, 784, seed=3), np.random.default_rng(4).integers(0, 10, 256)


def maps(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x and two matrices for the n -> n map tanh(B tanh(A x))."""
    return normal(n, seed=5), normal(n, n, seed=6) / n**0.5, normal(n, n, seed=7) / n**0.5


# ---- eager loops


def workshop(lib: Any, n: int) -> Task:
    """Draw, relu(W x), backward(v), add up: n times."""
    W = lib.tensor(weights())
    v = lib.tensor([0.0, 0.0, 0.3, 0.7])

    def run(_: None) -> Any:
        lib.manual_seed(0)
        total = lib.zeros(6)
        for _ in range(n):
            x = lib.randn(6, requires_grad=True)
            out = lib.relu(W @ x)
            out.backward(v)
            with lib.no_grad():
                total += x.grad
        return total

    return Task(run)


def descent(lib: Any, n: int) -> Task:
    """Gradient descent on two parameters with a stopping rule that is not met: n steps."""

    def run(_: None) -> Any:
        w = lib.zeros(2, requires_grad=True)
        norm, step = float("inf"), 0
        while step < n and norm > 1e-12:
            if w.grad is not None:
                w.grad.zero_()
            loss = (w[0] - 2) ** 2 + (w[1] + 3) ** 2
            loss.backward()
            with lib.no_grad():
                w -= RATE * w.grad
            norm = w.grad.norm().item()
            step += 1
        return w.detach()

    return Task(run)


def scalars(lib: Any, n: int) -> Task:
    """A graph of n operations on 0-d tensors, five kinds in turn, forward and backward."""

    def run(_: None) -> Any:
        w = lib.tensor(0.9, requires_grad=True)
        b = lib.tensor(0.1, requires_grad=True)
        y = lib.tensor(0.5)
        for _ in range(n // 5):
            y = lib.tanh(lib.sin(y * w + b) * w)
        y.backward()
        return w.grad

    return Task(run)


def chain(lib: Any, n: int) -> Task:
    """Backward through a chain of n multiplications; building the chain is not timed."""

    def prepare() -> Any:
        x = lib.tensor(1.0, requires_grad=True)
        y = x
        for _ in range(n):
            y = y * 1.00001
        return x, y

    def run(pair: Any) -> Any:
        x, y = pair
        y.backward()
        return x.grad

    return Task(run, prepare)


# ---- arrays


def network(lib: Any, n: int) -> Task:
    """n training steps of a 784 -> 256 -> 10 network on 256 inputs: cross entropy, SGD."""
    inputs, labels = (lib.tensor(a) for a in batch())
    F = lib.nn.functional

    def run(parameters: list[Any]) -> Any:
        W1, b1, W2, b2 = parameters
        for _ in range(n):
            loss = F.cross_entropy(F.relu(inputs @ W1 + b1) @ W2 + b2, labels)
            loss.backward()
            with lib.no_grad():
                for p in parameters:
                    p.sub_(RATE * p.grad)
                    p.grad = None
        return W2.detach()

    return Task(run, lambda: [lib.tensor(p, requires_grad=True) for p in layers()])


def elementwise(
    function: Callable[..., Any], arguments: int, *, backward: bool
) -> Callable[[Any, int], Task]:
    """Return the work `function(lib, x, ...)` on n float32 numbers, with or without its backward."""

    def work(lib: Any, n: int) -> Task:
        given = [lib.tensor(normal(n, seed=seed)) for seed in range(arguments)]
        upstream = lib.ones(n)

        def run(leaves: list[Any]) -> Any:
            out = function(lib, *leaves)
            if not backward:
                return out
            out.backward(upstream)
            return leaves[0].grad

        return Task(run, lambda: [x.detach().requires_grad_(backward) for x in given])

    return work


def jacobian(lib: Any, n: int) -> Task:
    """The Jacobian of an n -> n map by torch.autograd.functional."""
    x, A, B = (lib.tensor(a) for a in maps(n))
    function = lib.autograd.functional.jacobian

    def run(_: None) -> Any:
        return function(lambda x: lib.tanh(B @ lib.tanh(A @ x)), x)

    return Task(run)


def fused(_: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z."""
    return x * y + z


def exponential(lib: Any, x: Any) -> Any:
    """exp x."""
    return lib.exp(x)


def sigmoid(lib: Any, x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return lib.sigmoid(x)


WORKS: dict[str, Callable[[Any, int], Task]] = {
    "workshop": workshop,
    "descent": descent,
    "scalars": scalars,
    "network": network,
    "xy+z": elementwise(fused, 3, backward=False),
    "xy+z back": elementwise(fused, 3, backward=True),
    "exp": elementwise(exponential, 1, backward=False),
    "exp back": elementwise(exponential, 1, backward=True),
    "sigmoid": elementwise(sigmoid, 1, backward=False),
    "sigmoid back": elementwise(sigmoid, 1, backward=True),
    "jacobian": jacobian,
    "chain": chain,
}
