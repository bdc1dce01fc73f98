"""A line search for the strong Wolfe conditions: bracket, then zoom (Nocedal and Wright 2006, ch. 3).

Read `strong_wolfe` first. The order of trials and the safeguards are PyTorch's, so both visit the same
points. May import NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

At = Callable[[Any], tuple[float, Any]]
ARMIJO, CURVATURE, SMALLEST = 1e-4, 0.9, 1e-9


@dataclass(slots=True)
class Point:
    """A trial: the step, the loss there, its gradient, and its slope along the direction."""

    t: Any
    f: float
    g: Any
    slope: Any


def cubic_minimum(a: Point, b: Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic through two points with their slopes is smallest within the bounds, or their middle."""
    low, high = bounds if bounds is not None else (min(a.t, b.t), max(a.t, b.t))
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = np.sqrt(square)
    if a.t > b.t:
        a, b = b, a
    best = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(best, low), high)


def strong_wolfe(
    at: At, t: Any, d: Any, f: float, g: Any, slope: Any, *, most: int = 25
) -> tuple[float, Any, Any, int]:
    """A step along d that lowers the loss enough and flattens the slope enough.

    at  step -> (loss, gradient) there. Returns loss, gradient, step, and how often `at` was called.
    """
    origin = Point(0, f, g, slope)
    new, count = _trial(at, t, d), 1
    bracket, done, tries = None, False, 0
    before = origin
    while tries < most:
        if new.f > f + ARMIJO * new.t * slope or (tries > 1 and new.f >= before.f) or _rising(new, slope):
            bracket = [before, new]
            break
        if abs(new.slope) <= -CURVATURE * slope:
            bracket, done = [new], True
            break
        step = cubic_minimum(before, new, (new.t + 0.01 * (new.t - before.t), new.t * 10))
        before = new
        new = _trial(at, step, d)
        count += 1
        tries += 1
    if bracket is None:
        bracket = [origin, new]
    if not done:
        count += _zoom(at, d, bracket, origin, most - tries)
    best = bracket[0] if bracket[0].f <= bracket[-1].f else bracket[1]
    return best.f, best.g, best.t, count


def _rising(new: Point, slope: Any) -> bool:
    """Past a minimum (and not flat enough to stop)."""
    return bool(abs(new.slope) > -CURVATURE * slope and new.slope >= 0)


def _trial(at: At, t: Any, d: Any) -> Point:
    f, g = at(t)
    return Point(t, f, g, g.dot(d))


def _zoom(at: At, d: Any, bracket: list[Point], origin: Point, most: int) -> int:
    """Shrink the bracket around a point that satisfies the conditions; the number of trials."""
    widest = np.abs(d).max()
    stuck = False
    low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
    for tries in range(most):
        if abs(bracket[1].t - bracket[0].t) * widest < SMALLEST:
            return tries
        t, stuck = _inside(cubic_minimum(bracket[0], bracket[1]), bracket, stuck)
        new = _trial(at, t, d)
        if new.f > origin.f + ARMIJO * t * origin.slope or new.f >= bracket[low].f:
            bracket[high] = new
            low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
            continue
        done = bool(abs(new.slope) <= -CURVATURE * origin.slope)
        if not done and new.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = new
        if done:
            return tries + 1
    return max(most, 0)


def _inside(t: Any, bracket: list[Point], stuck: bool) -> tuple[Any, bool]:
    """Keep a trial away from the bracket's ends where the last one already was close to them."""
    low, high = min(p.t for p in bracket), max(p.t for p in bracket)
    margin = 0.1 * (high - low)
    if min(high - t, t - low) >= margin:
        return t, False
    if stuck or t >= high or t <= low:
        return (high - margin if abs(t - high) < abs(t - low) else low + margin), False
    return t, True
