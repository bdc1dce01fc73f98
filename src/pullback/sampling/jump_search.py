"""Finding jumps of f that the pathwise average misses: moved a little, f must change as its gradient says.

Read `find_jumps`. Only functions that call a discrete op on what is random or differentiated (a comparison,
floor, sign, a conversion to integers) are searched. For a few thousand samples the difference of f over a
short segment is compared with the integral of its gradient along it; where they disagree, bisection tells a
jump, whose size stays, from a kink, whose effect vanishes with the length. May import `estimators`,
`suspects`, `problem`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.graph.tensor import Tensor, wrap
from pullback.sampling.estimators import pathwise, values_only
from pullback.sampling.inputs import Given, Random
from pullback.sampling.jumps import Jump
from pullback.sampling.problem import PILOT, Problem, remembered
from pullback.sampling.suspects import Watch, run_watched

PROBE = 4096  # samples that are moved
STEP = 0.05  # half-width of the segments, in standard deviations of the argument
CANDIDATES = 12  # samples, of those that disagree most, that are bisected
HALVINGS = 14
MOST_ENTRIES = 64  # entries that are moved one by one for the report
FEW = 20  # with fewer samples near a jump, its mean effect cannot be judged
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)

# ops with floating-point results that jump; ops with boolean or integer results are recognised by their dtype
DISCRETE = frozenset(
    {"floor", "ceil", "round", "trunc", "frac", "sign", "sgn", "heaviside", "fmod", "remainder"}
    | {"floor_divide", "copysign", "atan2", "angle"}
)


class Discrete(Watch):
    """Collects the results of discrete ops, in the order in which they ran."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, Any]] = []

    def see(self, name: str, line: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Keep the outputs of an op that can jump."""
        del inputs
        for out in outputs:
            value = np.asarray(out.value)
            if name in DISCRETE or value.dtype.kind in "biu":
                self.events.append((name, line, value))


@dataclass
class _Probe:
    """Samples of one combination of `each` values, and the direction in which they are moved."""

    problem: Problem
    args: list[Tensor]
    steps: list[Any]  # per wrt argument, of its shape: the half-width of its segment, signed
    vs: list[Any]
    count: int

    def moved(self, t: Any, at: Any = slice(None), steps: Sequence[Any] | None = None) -> list[Tensor]:
        """The arguments of some of the samples, moved t times the half-width; t is one number per sample."""
        out = [self._part(i, a, at) for i, a in enumerate(self.args)]
        n = len(range(self.count)[at]) if isinstance(at, slice) else len(at)
        for i, h in zip(self.problem.wrt, self.steps if steps is None else steps, strict=True):
            x = np.asarray(out[i].value)
            shape = self.problem.shape(i)
            full = np.broadcast_to(x, (n, *shape))
            scale = np.broadcast_to(t, (n,)).reshape(n, *(1,) * len(shape))
            out[i] = wrap((full + scale * h).astype(x.dtype))
        return out

    def _part(self, i: int, a: Tensor, at: Any) -> Tensor:
        return wrap(np.asarray(a.value)[at]) if self.problem.batched(i) else a

    def slopes(self, t: Any, at: Any = slice(None)) -> tuple[Any, Any]:
        """v . f and its derivative by t, each (k, n)."""
        values, gradients = pathwise(self.problem, self.moved(t, at), self.vs, native=True)
        flat = np.concatenate([np.reshape(h, -1) for h in self.steps])
        return values, gradients @ flat


def find_jumps(problem: Problem, labels: Sequence[str]) -> tuple[tuple[Jump, ...], Any]:
    """(jumps, missed): a record for each op and line at which v . f jumps along a differentiated argument.

    missed   bool (k, m): the mean gradients, per upstream vector, that miss part of the derivative by more
             than chance explains
    Samples come from a stream of their own, for the first, middle and last of the `each` values. Jumps that
    fewer than one in about 4,000 samples come near may be overlooked, and so are those smaller than a
    thousandth of the spread of f.
    """
    missed = np.zeros((problem.sweep, problem.entries), bool)
    if problem.method != "pathwise" or not _may_jump(problem):
        return (), missed
    found: dict[tuple[str, str], Jump] = {}
    n = int(np.prod(problem.each_shape))
    for each in sorted({0, n // 2, n - 1}):
        jumps, here = _search(_probe(problem, each), labels)
        missed |= here
        for jump in jumps:
            found.setdefault((jump.op, jump.line), jump)
    return tuple(found.values()), missed


_watched: OrderedDict[str, bool] = OrderedDict()


def _may_jump(problem: Problem) -> bool:
    """Does the first sample meet a discrete op on the way? True where f refuses to be watched."""
    return remembered(_watched, problem.signature, lambda: _meets_discrete(problem))


def _meets_discrete(problem: Problem) -> bool:
    args = problem.values(0, problem.stream(0), 0, 1)
    first = [_row(problem, i, a, 0) for i, a in enumerate(args)]
    events = _events(problem, first)
    return events is None or bool(events)


def _row(problem: Problem, i: int, a: Tensor, s: int) -> Tensor:
    has_rows = a.value.ndim > len(problem.shape(i))
    return wrap(np.asarray(np.asarray(a.value)[s])) if has_rows else a


def _events(problem: Problem, args: Sequence[Tensor]) -> list[tuple[str, str, Any]] | None:
    watch = Discrete()
    moving = [i for i in range(len(args)) if problem.batched(i) or i in problem.wrt]
    return watch.events if run_watched(problem.f, args, moving, watch) else None


def _probe(problem: Problem, each: int) -> _Probe:
    count = min(PROBE, *(a.samples for a in problem.arguments if isinstance(a, Given)), PROBE)
    args = problem.values(each, PILOT, 0, count)
    steps = [_step(problem, i, args[i]) for i in problem.wrt]
    vs = [None] if problem.upstream is None else list(problem.upstream)
    return _Probe(problem, args, steps, vs, count)


def _step(problem: Problem, i: int, x: Tensor) -> Any:
    """Half-widths of an argument's entries; unequal ones of both signs, so that no jump is moved along."""
    a = problem.arguments[i]
    shape = problem.shape(i)
    if isinstance(a, Random | Given):
        spread = STEP * np.std(np.asarray(x.value, np.float64), axis=0)
    else:
        spread = STEP / 5 * np.maximum(np.abs(np.asarray(x.value, np.float64)), STEP)
    k = np.arange(int(np.prod(shape))).reshape(shape)
    uneven = np.where(k == 0, 1.0, (0.6 + 0.4 * np.modf(k * 0.6180339887)[0]) * (-1.0) ** k)
    return np.where(np.isfinite(spread), spread, 0.0) * uneven


def _search(probe: _Probe, labels: Sequence[str]) -> tuple[list[Jump], Any]:
    """The jumps, and (k, m): which mean gradients miss something."""
    rest, spread = _disagreement(probe)
    candidates = [divmod(int(c), probe.count) for c in np.argsort(-np.abs(rest), axis=None)[:CANDIDATES]]
    candidates = [(k, s) for k, s in candidates if abs(rest[k, s]) > 1e-3 * spread[k]]
    groups: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for (k, s), (size, low, high) in zip(candidates, _bisect(probe, candidates), strict=True):
        if abs(size) >= 0.2 * abs(rest[k, s]):
            groups.setdefault(_culprit(probe, s, low, high), []).append((k, size))
    if not groups:
        return [], np.zeros((len(probe.vs), probe.problem.entries), bool)
    every = [hit for hits in groups.values() for hit in hits]
    # half the smallest jump tells a sample that crossed one from curvature and rounding
    least = np.array([0.5 * min([abs(z) for j, z in every if j == k] or [np.inf]) for k in range(len(rest))])
    alone = _alone(probe, least)
    few = np.count_nonzero(np.abs(rest) > least[:, None], axis=1) < FEW
    bound = np.where(few[:, None], 0.0, 4.0) * alone.gap_error
    # entries that were not moved alone, and jumps that were met too rarely to judge, count as missed
    missed = np.isfinite(least)[:, None] & (alone.width > 0) & ~(np.abs(alone.gap) <= bound)
    return [_report(alone, where, hits, rest, labels) for where, hits in groups.items()], missed


def _disagreement(probe: _Probe) -> tuple[Any, Any]:
    """f(x + h) - f(x - h) less the integral of the gradient, (k, n); and the spread of f, (k,)."""
    with np.errstate(all="ignore"):
        rest = _values(probe, 1.0) - _values(probe, -1.0)
        values: Any = None
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            values, slope = probe.slopes(node)
            rest -= weight * slope
        rest[~np.isfinite(rest)] = 0.0
        clean = np.where(np.isfinite(values), values, 0.0)
    return rest, np.maximum(clean.std(axis=1), 1e-6 * np.abs(clean).max(axis=1))


def _values(probe: _Probe, t: float, steps: Sequence[Any] | None = None) -> Any:
    """v . f of all samples moved t times the half-width, (k, n)."""
    return values_only(probe.problem, probe.moved(t, steps=steps), probe.vs, native=True)


def _bisect(probe: _Probe, candidates: Sequence[tuple[int, int]]) -> list[tuple[float, float, float]]:
    """Per candidate (f(high) - f(low), low, high): the part of its segment with most of the disagreement.

    All candidates are halved together: one call of f for all of them.
    """
    n = len(candidates)
    rows = np.array([k for k, _ in candidates])
    at = np.repeat([s for _, s in candidates], 3)
    low, high, size = np.full(n, -1.0), np.full(n, 1.0), np.zeros(n)
    good = np.ones(n, bool)
    for _ in range(HALVINGS if n else 0):
        middle = (low + high) / 2
        values, slopes = probe.slopes(np.stack([low, middle, high], axis=1).reshape(-1), at)
        f, d = (a.reshape(len(a), n, 3)[rows, np.arange(n)] for a in (values, slopes))
        rise = np.diff(f, axis=1)
        rest = rise - (d[:, :-1] + d[:, 1:]) / 2 * (middle - low)[:, None]
        good &= np.isfinite(rest).all(axis=1)
        left = np.abs(rest[:, 0]) >= np.abs(rest[:, 1])
        size = np.where(left, rise[:, 0], rise[:, 1])
        low, high = np.where(left, low, middle), np.where(left, middle, high)
    return [(float(size[i]) if good[i] else 0.0, float(low[i]), float(high[i])) for i in range(n)]


def _culprit(probe: _Probe, s: int, low: float, high: float) -> tuple[str, str]:
    """(op, line) of the first discrete op whose result differs on the two sides; empty where not known."""
    sides: list[list[tuple[str, str, Any]]] = []
    for t in (low, high):
        args = probe.moved(t, np.array([s]))
        events = _events(probe.problem, [_row(probe.problem, i, a, 0) for i, a in enumerate(args)])
        if events is None:
            return "", ""
        sides.append(events)
    for (op, line, a), (_, _, b) in zip(*sides, strict=False):
        if a.shape == b.shape and not np.allclose(a, b, rtol=1e-3, atol=1e-3, equal_nan=True):
            return op, line
    return "", ""


@dataclass
class _Alone:
    """What moving each entry alone says, arrays (k, m); NaN for entries that were not moved.

    difference, error   mean finite difference over +-width, and its standard error
    slope               mean of the pathwise gradient over the same samples
    gap, gap_error      mean of the difference of the two over all samples, where it is that of a jump (0
                        where it is smaller), and its standard error
    gap_size            mean of that difference without its sign
    """

    width: Any
    difference: Any
    error: Any
    slope: Any
    gap: Any
    gap_error: Any
    gap_size: Any


def _alone(probe: _Probe, least: Any) -> _Alone:
    """Move the entries with the largest steps one by one; least (k,) is the smallest jump that counts."""
    p = probe.problem
    _, gradients = pathwise(p, probe.moved(0.0), probe.vs, native=True)
    flat = np.concatenate([np.reshape(h, -1) for h in probe.steps])
    width = np.abs(flat)
    edges = np.cumsum(p.wrt_sizes)[:-1]
    found = _Alone(width, *(np.full((len(probe.vs), p.entries), np.nan) for _ in range(6)))
    for e in np.argsort(-width, kind="stable")[:MOST_ENTRIES]:
        if not width[e]:
            break
        parts = np.split(np.where(np.arange(len(flat)) == e, width, 0.0), edges)
        steps = [part.reshape(p.shape(i)) for part, i in zip(parts, p.wrt, strict=True)]
        sides = [_values(probe, t, steps) for t in (1.0, -1.0)]
        for k in range(len(probe.vs)):
            quotient = (sides[0][k] - sides[1][k]) / (2 * width[e])
            good = np.isfinite(quotient) & np.isfinite(gradients[k, :, e])
            quotient, slope = quotient[good], gradients[k, good, e]
            gap, root = quotient - slope, np.sqrt(max(len(quotient), 1))
            gap[2 * width[e] * np.abs(gap) < least[k]] = 0.0
            found.difference[k, e], found.error[k, e] = quotient.mean(), quotient.std() / root
            found.slope[k, e], found.gap_size[k, e] = slope.mean(), np.abs(gap).mean()
            found.gap[k, e], found.gap_error[k, e] = gap.mean(), gap.std() / root
    return found


def _report(
    alone: _Alone, where: tuple[str, str], hits: list[tuple[int, float]], rest: Any, labels: Sequence[str]
) -> Jump:
    """The record of one op: how often it was near, and finite difference and pathwise mean side by side."""
    k = hits[0][0]
    share = float(np.mean(np.abs(rest[k]) > 0.5 * min(abs(z) for j, z in hits if j == k)))
    e = int(np.nanargmax(alone.gap_size[k] * alone.width))
    width, mean = float(alone.width[e]), float(alone.slope[k, e])
    difference, error = float(alone.difference[k, e]), float(alone.error[k, e])
    op, line = where
    at = f"`{op}`" + (f" at {line}" if line else "") if op else "an op that is not known"
    text = (
        f"f jumps at {at} as {labels[e]} moves: {100 * share:.2g} % of samples lie within {width:.3g} of "
        f"the jump. The pathwise mean gradient ({mean:.4g}) misses it; a finite difference over "
        f'+-{width:.3g} gives {difference:.4g} +- {error:.2g}. Use method="likelihood_ratio", or '
        f"smooth={width:.2g}."
    )
    return Jump(op, line, share, width, difference, error, mean, labels[e], text)
