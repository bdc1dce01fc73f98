"""The works of works.py as one would write them for JAX: pure functions, compiled; compilation is not timed.

Random numbers are JAX's own, so the result of "workshop" is not compared. "chain" has no counterpart: JAX
keeps no graph between forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from works import RATE, Task, batch, layers, maps, normal, weights


def workshop(n: int) -> Task:
    """One compiled draw and gradient, called n times."""
    W, v = jnp.asarray(weights()), jnp.array([0.0, 0.0, 0.3, 0.7])

    @jax.jit
    def step(key: Any, total: Any) -> Any:
        key, draw = jax.random.split(key)
        _, back = jax.vjp(lambda x: jax.nn.relu(W @ x), jax.random.normal(draw, (6,)))
        return key, total + back(v)[0]

    def run(_: None) -> Any:
        key, total = jax.random.key(0), jnp.zeros(6)
        for _ in range(n):
            key, total = step(key, total)
        return total.block_until_ready()

    return Task(run)


def descent(n: int) -> Task:
    """One compiled step, called until the rule is met."""

    @jax.jit
    def step(w: Any) -> Any:
        g = jax.grad(lambda w: (w[0] - 2) ** 2 + (w[1] + 3) ** 2)(w)
        return w - RATE * g, jnp.linalg.norm(g)

    def run(_: None) -> Any:
        w, norm, k = jnp.zeros(2), float("inf"), 0
        while k < n and norm > 1e-12:
            w, norm = step(w)
            norm = float(norm)
            k += 1
        return w

    return Task(run)


def scalars(n: int) -> Task:
    """The graph as a scan: unrolled, 10,000 operations would compile for minutes."""

    @jax.jit
    def gradient(w: Any, b: Any) -> Any:
        def last(w: Any, b: Any) -> Any:
            y, _ = jax.lax.scan(lambda y, _: (jnp.tanh(jnp.sin(y * w + b) * w), None), 0.5, length=n // 5)
            return y

        return jax.grad(last, argnums=(0, 1))(w, b)

    return Task(lambda _: gradient(0.9, 0.1)[0].block_until_ready())


def network(n: int) -> Task:
    """One compiled training step, called n times."""
    inputs, labels = (jnp.asarray(a) for a in batch())

    def loss(parameters: list[Any]) -> Any:
        W1, b1, W2, b2 = parameters
        scores = jax.nn.log_softmax(jax.nn.relu(inputs @ W1 + b1) @ W2 + b2)
        return -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()

    @jax.jit
    def step(parameters: list[Any]) -> list[Any]:
        return [p - RATE * g for p, g in zip(parameters, jax.grad(loss)(parameters), strict=True)]

    def run(parameters: list[Any]) -> Any:
        for _ in range(n):
            parameters = step(parameters)
        return parameters[2].block_until_ready()

    return Task(run, lambda: [jnp.asarray(p) for p in layers()])


def elementwise(function: Callable[..., Any], arguments: int, *, backward: bool) -> Callable[[int], Task]:
    """Return the compiled work on n float32 numbers, with or without all its gradients."""

    def forward_and_back(upstream: Any, *xs: Any) -> Any:
        out, back = jax.vjp(function, *xs)
        return out, back(upstream)

    def work(n: int) -> Task:
        xs = [jnp.asarray(normal(n, seed=seed)) for seed in range(arguments)]
        upstream = jnp.ones(n, "float32")
        forward, both = jax.jit(function), jax.jit(forward_and_back)
        if backward:
            return Task(lambda _: jax.block_until_ready(both(upstream, *xs))[1][0])
        return Task(lambda _: forward(*xs).block_until_ready())

    return work


def jacobian(n: int) -> Task:
    """The Jacobian by jacrev, compiled."""
    x, A, B = (jnp.asarray(a) for a in maps(n))
    compiled = jax.jit(jax.jacrev(lambda x: jnp.tanh(B @ jnp.tanh(A @ x))))
    return Task(lambda _: compiled(x).block_until_ready())


WORKS: dict[str, Callable[[int], Task]] = {
    "workshop": workshop,
    "descent": descent,
    "scalars": scalars,
    "network": network,
    "xy+z": elementwise(lambda x, y, z: x * y + z, 3, backward=False),
    "xy+z back": elementwise(lambda x, y, z: x * y + z, 3, backward=True),
    "exp": elementwise(jnp.exp, 1, backward=False),
    "exp back": elementwise(jnp.exp, 1, backward=True),
    "sigmoid": elementwise(jax.nn.sigmoid, 1, backward=False),
    "sigmoid back": elementwise(jax.nn.sigmoid, 1, backward=True),
    "jacobian": jacobian,
}
