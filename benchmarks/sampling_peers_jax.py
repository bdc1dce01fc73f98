"""The works of sampling_works.py for JAX: everything compiled, 64-bit numbers where the work has them.

The scalar graph is left out: compiled as straight-line code with its gradient, twice the operations take XLA
five times as long (a minute for 1,000 on two cores), so 10,000 would take hours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sampling_works import (
    LONGEST,
    RATE,
    SEED,
    STRIKE,
    TOLERANCE,
    Contender,
    Run,
    Size,
    normals,
    times,
    trades,
    upstream,
)
from works import weights

jax.config.update("jax_enable_x64", True)  # the sweep's arrays are float32 all the same


def swept(samples: int) -> Callable[[Any], Any]:
    """Return the compiled sweep: key -> mean gradients, shape (20, 6)."""
    W = jnp.asarray(weights())

    def mean(row: tuple[Any, Any]) -> Any:
        key, v = row

        def pull(x: Any) -> Any:
            return jax.vjp(lambda x: jax.nn.relu(W @ x), x)[1](v)[0]

        return jax.vmap(pull)(jax.random.normal(key, (samples, 6), jnp.float32)).mean(0)

    vectors = jnp.asarray(upstream())
    return jax.jit(lambda key: jax.lax.map(mean, (jax.random.split(key, len(vectors)), vectors)))


def sweep(size: Size) -> Run:
    """One compiled call."""
    compiled = swept(size[0])
    return lambda: np.asarray(compiled(jax.random.key(SEED)))


def scanned(z: Any) -> Callable[[Any], Any]:
    """Return price(p) of one trade by a scan over the steps; z has shape (paths, steps)."""
    steps, rows = z.shape[1], z.T

    def price(p: Any) -> Any:
        spot, rate, volatility = p
        drift, scale = (rate - volatility**2 / 2) / steps, volatility / steps**0.5

        def step(carry: tuple[Any, Any], row: Any) -> tuple[tuple[Any, Any], None]:
            path = carry[0] * jnp.exp(drift + scale * row)
            return (path, carry[1] + path), None

        start = (jnp.full(z.shape[0], spot), jnp.zeros(z.shape[0]))
        (_, total), _ = jax.lax.scan(step, start, rows)
        return jnp.exp(-rate) * jax.nn.relu(total / steps - STRIKE).mean()

    return price


def cumulated(z: Any) -> Callable[[Any], Any]:
    """Return price(p) of one trade by cumsum, which is made once for all trades."""
    t, brownian = jnp.asarray(times(z.shape[1])), jnp.cumsum(z, 1) / z.shape[1] ** 0.5

    def price(p: Any) -> Any:
        spot, rate, volatility = p
        path = spot * jnp.exp((rate - volatility**2 / 2) * t + volatility * brownian)
        return jnp.exp(-rate) * jax.nn.relu(path.mean(1) - STRIKE).mean()

    return price


def asian(
    make: Callable[[Any], Callable[[Any], Any]], mode: Callable[..., Any], batch: Callable[..., Any]
) -> Callable[[Size], Run]:
    """Return a work: `batch` (vmap, or map one after the other) over the trades of `mode` of the price."""

    def work(size: Size) -> Run:
        parameters, z = jnp.asarray(trades(size[0])), jnp.asarray(normals(*size[1:]))
        compiled = jax.jit(lambda p, z: batch(mode(make(z)), p))

        def run() -> np.ndarray:
            found = compiled(parameters, z)
            if isinstance(found, tuple):
                return np.column_stack([np.asarray(found[0]), np.asarray(found[1])])
            return np.asarray(found)[:, None]

        return run

    return work


def each(function: Callable[[Any], Any], rows: Any) -> Any:
    """All rows at once."""
    return jax.vmap(function)(rows)


def alone(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The price without its gradients."""
    return function


def descent(_: Size) -> Run:
    """The whole loop as one compiled while_loop."""

    def loss(w: Any) -> Any:
        return (w[0] - 2) ** 2 + (w[1] + 3) ** 2

    def step(carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        w, _, k = carry
        g = jax.grad(loss)(w)
        return w - RATE * g, jnp.linalg.norm(g), k + 1

    def going(carry: tuple[Any, Any, Any]) -> Any:
        return (carry[2] < LONGEST) & (carry[1] > TOLERANCE)

    compiled = jax.jit(lambda w: jax.lax.while_loop(going, step, (w, jnp.inf, 0)))

    def run() -> np.ndarray:
        w, _, k = compiled(jnp.zeros(2))
        return np.array([*w.tolist(), int(k)])

    return run


WORKS = {
    "sweep": {"jax.jit": Contender(sweep)},
    "asian": {
        "jax scan": Contender(asian(scanned, jax.value_and_grad, each)),
        "jax scan, trade by trade": Contender(asian(scanned, jax.value_and_grad, jax.lax.map)),
        "jax cumsum": Contender(asian(cumulated, jax.value_and_grad, jax.lax.map)),
        "jax cumsum, price only": Contender(asian(cumulated, alone, jax.lax.map), "part"),
        "jax scan, price only": Contender(asian(scanned, alone, each), "part"),
    },
    "descent": {"jax while_loop": Contender(descent)},
}
