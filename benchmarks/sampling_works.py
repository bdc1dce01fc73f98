"""What sampling.py times: the inputs of every work, made once, and the rows of its table.

A contender is a function size -> run; `run()` does the whole work once and returns a NumPy array that can be
compared with the others'. What happens before the first result (compilation, mostly) is shown apart. Read
`Row`, then `ROWS`. Imports NumPy only: every library starts from the same numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from works import weights

Size = tuple[int, ...]
Run = Callable[[], Any]
Make = Callable[[Size], Run]


@dataclass(frozen=True)
class Contender:
    """One way to do a work.

    `role` is "peer", "own", "bar" (no peer, but a figure to hold against) or "part" (part of the work only,
    such as the price without its gradients).
    """

    make: Make
    role: str = "peer"


@dataclass(frozen=True)
class Goal:
    """`own` takes at most `factor` times what `against` takes ("" stands for the best peer)."""

    own: str
    against: str
    factor: float


@dataclass(frozen=True)
class Row:
    """One work: name, what it is, how large (also with --quick), what to reach, how answers are compared.

    A hand-written bar draws our random numbers, so our answers are compared with its answer as well.
    """

    name: str
    what: str
    size: Size
    quick: Size
    goals: tuple[Goal, ...]
    wrong: Callable[[Size, np.ndarray, np.ndarray], str]  # (size, result, reference) -> complaint or ""
    twins: Callable[[Size, np.ndarray, np.ndarray], str] | None = None  # the same for "own" against "bar"


# ---- the sweep: mean gradients of relu(W x) for many upstream vectors

SEED = 0
VECTORS = 20


def upstream() -> np.ndarray:
    """Return the 20 upstream vectors (0, 0, v, 1 - v), float32, shape (20, 4)."""
    v = np.linspace(0.01, 0.50, VECTORS)
    return np.stack([0 * v, 0 * v, v, 1 - v], axis=1).astype(np.float32)


def sweep_truth() -> tuple[np.ndarray, np.ndarray]:
    """Return the expectation of the gradient, and its standard deviation per sample, both of shape (20, 6).

    Each entry is w v on half of all samples and 0 on the others: mean w v / 2, standard deviation w v / 2.
    """
    expected = upstream().astype(float) @ weights().astype(float) / 2
    return expected, np.abs(expected)


def sweep_differs(size: Size, result: np.ndarray, reference: np.ndarray) -> str:
    """Complain where means of the same draws differ by more than 2 samples on the other side of the kink."""
    allowed = 2 * 2 * sweep_truth()[1] / size[0] + 1e-6
    worst = np.max(np.abs(result - reference) - allowed)
    return "" if worst <= 0 else f"{worst} more off its twin than rounding allows"


def sweep_wrong(size: Size, result: np.ndarray, _: np.ndarray) -> str:
    """Complain where a mean is off by more than 5 standard errors (one false alarm in 40,000 runs)."""
    expected, deviation = sweep_truth()
    if result.shape != expected.shape:
        return f"shape {result.shape}, not {expected.shape}"
    # float32 running sums add a relative error of their own
    allowed = 5 * deviation / size[0] ** 0.5 + 1e-6 + 1e-5 * np.abs(expected)
    off = np.abs(result - expected) / allowed
    return (
        ""
        if off.max() <= 1
        else f"{result.flat[off.argmax()]} where {expected.flat[off.argmax()]} is expected"
    )


# ---- the Asian option: arithmetic mean of a geometric Brownian motion, strike 100, one year

PATHS, STEPS, STRIKE = 1000, 252, 100.0


@functools.cache
def trades(count: int) -> np.ndarray:
    """Return (spot, rate, volatility) of each trade, shape (count, 3)."""
    rng = np.random.default_rng(11)
    low, high = np.array([80.0, 0.01, 0.1]), np.array([120.0, 0.08, 0.4])
    return low + (high - low) * rng.random((count, 3))


@functools.cache
def normals(paths: int, steps: int) -> np.ndarray:
    """Return the given standard normals, shape (paths, steps); all trades share them."""
    return np.random.default_rng(12).standard_normal((paths, steps))


def times(steps: int) -> np.ndarray:
    """Return the dates of the average in years, shape (steps,)."""
    return np.arange(1, steps + 1) / steps


def close(_: Size, result: np.ndarray, reference: np.ndarray) -> str:
    """Complain where two results differ by more than rounding; a part is compared with that part."""
    reference = reference[..., : result.shape[-1]]
    if result.shape != reference.shape:
        return f"shape {result.shape}, not {reference.shape}"
    if np.allclose(result, reference, rtol=1e-7, atol=1e-9 * np.abs(reference).max()):
        return ""
    return f"{result.ravel()[:4]} where {reference.ravel()[:4]} is expected"


# ---- a graph of scalar operations, drawn at random

INPUTS, WINDOW = 16, 64
ADD, SUB, MUL, SIN, TANH, EXP, LOG1P = range(7)
BINARY = {ADD, SUB, MUL}


@dataclass(frozen=True)
class Tape:
    """A list of operations; the last value is the output.

    Value k + INPUTS is op[k] applied to the earlier values left[k] and, if it takes two, right[k].
    """

    op: np.ndarray
    left: np.ndarray
    right: np.ndarray


def bounds(op: int, a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Return an interval that holds the values of an operation on the intervals a and b."""
    if op == ADD:
        return a[0] + b[0], a[1] + b[1]
    if op == SUB:
        return a[0] - b[1], a[1] - b[0]
    if op == MUL:
        corners = [x * y for x in a for y in b]
        return min(corners), max(corners)
    if op == SIN:
        return -1.0, 1.0
    function = {TANH: np.tanh, EXP: np.exp, LOG1P: np.log1p}[op]
    return float(function(a[0])), float(function(a[1]))


def allowed(op: int, a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Say whether an operation is defined on the whole of a and b and keeps its value within 4 of zero."""
    if op == LOG1P and a[0] < -0.8:
        return False
    low, high = bounds(op, a, b)
    return max(-low, high) <= 4


@functools.cache
def tape(length: int) -> Tape:
    """Draw a graph of `length` operations in which every value reaches the output."""
    rng = np.random.default_rng(13)
    span: list[tuple[float, float]] = [(-1.0, 1.0)] * INPUTS
    unused = list(range(INPUTS))  # oldest first
    rows: list[tuple[int, int, int]] = []
    for k in range(INPUTS, INPUTS + length):
        left_over = length - (k - INPUTS)
        gather = len(unused) >= left_over or (bool(unused) and k - unused[0] >= WINDOW)
        left = unused[0] if gather else int(rng.integers(max(0, k - WINDOW), k))
        right = int(rng.integers(INPUTS)) if rng.random() < 0.1 else int(rng.integers(max(0, k - WINDOW), k))
        op = int(rng.integers(7))
        if len(unused) >= left_over and len(unused) > 1:  # the end: join what is left
            op, right = int(rng.choice([ADD, SUB])), unused[1]
        elif not allowed(op, span[left], span[right]):
            op = int(rng.choice([SIN, TANH]))
        used = {left, right} if op in BINARY else {left}
        unused = [u for u in unused if u not in used] + [k]
        rows.append((op, left, right))
        span.append(bounds(op, span[left], span[right]))
    columns = np.array(rows, dtype=np.int32).T
    return Tape(*columns)


@functools.cache
def points(count: int) -> np.ndarray:
    """Return where the graph is evaluated, shape (count, INPUTS): one pass for each row."""
    return np.random.default_rng(14).uniform(-1, 1, (count, INPUTS))


# ---- descent on (w0 - 2)^2 + (w1 + 3)^2 from 0 until the gradient's norm is at most the tolerance

RATE, TOLERANCE, LONGEST = 0.01, 1e-6, 100_000


ROWS = (
    Row(
        "sweep",
        "mean gradient of relu(W x), 20 upstream vectors x {0:,} fresh draws, float32",
        (100_000,),
        (2_000,),
        (
            Goal("pullback", "", 1 / 15),
            Goal("pullback, 1 thread", "", 1 / 15),
            Goal("pullback, 1 thread", "C by hand, 1 thread", 2.0),
        ),
        sweep_wrong,
        sweep_differs,
    ),
    Row(
        "asian",
        "Asian option, {0} trades x {1:,} paths x {2} steps: price, delta, rho, vega, float64, normals given",
        (100, PATHS, STEPS),
        (5, 100, 50),
        (
            Goal("pullback", "", 1 / 4),
            Goal("pullback, 1 thread", "", 1 / 4),
            Goal("pullback", "pullback, price only", 2.0),
        ),
        close,
    ),
    Row(
        "scalars",
        "graph of {0:,} scalar ops, {1:,} forward and backward passes, float64",
        (10_000, 10_000),
        (300, 20),
        (Goal("pullback, call by call", "C generated", 3.0), Goal("pullback, vmap", "C generated", 3.0)),
        close,
    ),
    Row(
        "descent",
        "gradient descent on 2 parameters to |gradient| <= 1e-6: w and the number of steps, float64",
        (),
        (),
        (Goal("pullback", "jax while_loop", 1 / 2), Goal("pullback", "torch loop", 1 / 1000)),
        close,
    ),
)
