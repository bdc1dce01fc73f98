"""The works of sampling_works.py for pullback: sensitivity(), compile() and while_loop()."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sampling_works import (
    ADD,
    EXP,
    INPUTS,
    LONGEST,
    MUL,
    RATE,
    SEED,
    SIN,
    STRIKE,
    SUB,
    TANH,
    TOLERANCE,
    Contender,
    Run,
    Size,
    normals,
    points,
    tape,
    times,
    trades,
    upstream,
)
from works import weights

import pullback as pb


def averaged(samples: int, **options: Any) -> Any:
    """Return the sweep's Sensitivity."""
    W = pb.tensor(weights())
    return pb.sensitivity(
        lambda x: pb.relu(W @ x),
        pb.distributions.Normal(0.0, 1.0).expand((6,)),
        upstream=upstream(),
        samples=samples,
        seed=SEED,
        dtype=pb.float32,
        common_draws=False,
        **options,
    )


def averaged_once(samples: int, **options: Any) -> Any:
    """Return the Sensitivity of the sweep's function for one upstream vector."""
    W = pb.tensor(weights())
    return pb.sensitivity(
        lambda x: pb.relu(W @ x),
        pb.distributions.Normal(0.0, 1.0).expand((6,)),
        upstream=upstream()[0],
        samples=samples,
        seed=SEED,
        dtype=pb.float32,
        **options,
    )


def sweep(workers: int | None) -> Callable[[Size], Run]:
    """Return the work on some number of threads; the result has errors, shares and squares too."""
    return lambda size: lambda: averaged(size[0], workers=workers).mean


# ---- the Asian option


def scanned(steps: int) -> Callable[[Any, Any], Any]:
    """Return price(p, z) of one path, step by step."""

    def price(p: Any, z: Any) -> Any:
        spot, rate, volatility = p[0], p[1], p[2]
        drift, scale = (rate - volatility**2 / 2) / steps, volatility / steps**0.5

        def step(carry: tuple[Any, Any], normal: Any) -> tuple[tuple[Any, Any], None]:
            path = carry[0] * pb.exp(drift + scale * normal)
            return (path, carry[1] + path), None

        (_, total), _ = pb.func.scan(step, (spot, pb.zeros_like(spot)), z)
        return pb.exp(-rate) * pb.relu(total / steps - STRIKE)

    return price


def cumulated(steps: int) -> Callable[[Any, Any], Any]:
    """Return price(p, z) of one path by cumsum."""
    t = pb.tensor(times(steps))

    def price(p: Any, z: Any) -> Any:
        spot, rate, volatility = p[0], p[1], p[2]
        brownian = pb.cumsum(z, 0) / steps**0.5
        path = spot * pb.exp((rate - volatility**2 / 2) * t + volatility * brownian)
        return pb.exp(-rate) * pb.relu(path.mean() - STRIKE)

    return price


def asian(
    make: Callable[[int], Callable[[Any, Any], Any]], *, workers: int | None = None
) -> Callable[[Size], Run]:
    """Return the work: prices and gradients of all trades as one sensitivity."""

    def work(size: Size) -> Run:
        count, paths, steps = size
        price, given = make(steps), (pb.each(trades(count)), pb.given(normals(paths, steps)))

        def run() -> np.ndarray:
            found = pb.sensitivity(price, given, wrt=(0,), samples=paths, dtype=pb.float64, workers=workers)
            value, gradient = (np.asarray(a, dtype=float) for a in (found.value_mean, found.mean))
            return np.column_stack([value.reshape(count), gradient.reshape(count, 3)])

        return run

    return work


def price_only(make: Callable[[int], Callable[[Any, Any], Any]]) -> Callable[[Size], Run]:
    """Return the work without gradients: a compiled mean over the paths, for all trades."""

    def work(size: Size) -> Run:
        count, paths, steps = size
        price = make(steps)
        over_paths = pb.func.vmap(price, in_dims=(None, 0))
        compiled = pb.compile(pb.func.vmap(lambda p, z: over_paths(p, z).mean(), in_dims=(0, None)))
        p, z = pb.tensor(trades(count)), pb.tensor(normals(paths, steps))
        return lambda: compiled(p, z).numpy()[:, None]

    return work


# ---- the scalar graph


def graph(length: int) -> Callable[[Any], Any]:
    """Return the function that the operations of the tape make, of a tensor of the inputs."""
    drawn = tape(length)
    unary = {SIN: pb.sin, TANH: pb.tanh, EXP: pb.exp}

    def function(x: Any) -> Any:
        values = [x[i] for i in range(INPUTS)]
        for op, a, b in zip(drawn.op.tolist(), drawn.left.tolist(), drawn.right.tolist(), strict=True):
            left, right = values[a], values[b]
            if op == ADD:
                values.append(left + right)
            elif op == SUB:
                values.append(left - right)
            elif op == MUL:
                values.append(left * right)
            else:
                values.append(unary.get(op, pb.log1p)(left))
        return values[-1]

    return function


def one_by_one(size: Size) -> Run:
    """A compiled value and gradient, called once for each point."""
    compiled = pb.compile(pb.func.grad_and_value(graph(size[0])))
    rows = [pb.tensor(x) for x in points(size[1])]

    def run() -> np.ndarray:
        out = np.zeros(1 + INPUTS)
        for x in rows:
            gradient, value = compiled(x)
            out[0] += value.item()
            out[1:] += gradient.numpy()
        return out

    return run


def batched(size: Size) -> Run:
    """One compiled call for all points."""
    compiled = pb.compile(pb.func.vmap(pb.func.grad_and_value(graph(size[0]))))
    x = pb.tensor(points(size[1]))

    def run() -> np.ndarray:
        gradient, value = compiled(x)
        return np.concatenate([[value.numpy().sum()], gradient.numpy().sum(0)])

    return run


# ---- descent


def loss(w: Any) -> Any:
    """(w0 - 2)^2 + (w1 + 3)^2."""
    return (w[0] - 2) ** 2 + (w[1] + 3) ** 2


def descent(_: Size) -> Run:
    """The whole loop as one compiled call."""

    def step(carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        w, _, k = carry
        g = pb.func.grad(loss)(w)
        return w - RATE * g, (g * g).sum().sqrt(), k + 1

    def going(carry: tuple[Any, Any, Any]) -> Any:
        return (carry[2] < LONGEST) & (carry[1] > TOLERANCE)

    start = (
        pb.zeros(2, dtype=pb.float64),
        pb.tensor(float("inf"), dtype=pb.float64),
        pb.tensor(0),
    )
    compiled = pb.compile(lambda w, norm, k: pb.func.while_loop(going, step, (w, norm, k)))

    def run() -> np.ndarray:
        w, _, k = compiled(*start)
        return np.array([*w.tolist(), k.item()])

    return run


def minimized(_: Size) -> Run:
    """pullback.minimize, with the path recorded."""
    start = pb.zeros(2, dtype=pb.float64)

    def run() -> np.ndarray:
        found = pb.minimize(loss, start, method="gd", lr=RATE, tol=TOLERANCE, max_iter=LONGEST)
        # the loops above count gradients; the path has a point for each of them
        return np.array([*np.asarray(found.x, dtype=float), len(found.path)])

    return run


WORKS = {
    "sweep": {
        "pullback, 1 thread": Contender(sweep(1), "own"),
        "pullback": Contender(sweep(None), "own"),
    },
    "asian": {
        "pullback, 1 thread": Contender(asian(scanned, workers=1), "own"),
        "pullback": Contender(asian(scanned), "own"),
        "pullback, cumsum": Contender(asian(cumulated), "own"),
        "pullback, price only": Contender(price_only(scanned), "part"),
    },
    "scalars": {
        "pullback, call by call": Contender(one_by_one, "own"),
        "pullback, vmap": Contender(batched, "own"),
    },
    "descent": {
        "pullback": Contender(descent, "own"),
        "pullback.minimize": Contender(minimized, "own"),
    },
}
