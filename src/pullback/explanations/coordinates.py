"""Where the places of each rank stand: in their order, apart, and as near to their neighbours as that allows.

Read `positions`, then `spread`. May import `ranks`.

Each rank is a least-squares problem with an exact solution: the places wish to stand at the weighted mean of
their neighbours, subject to their order and distances. Substituting the distances away leaves an isotonic
regression, which pooling adjacent violators solves in linear time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import sub

from pullback.explanations.ranks import Layered

WORK = 40_000  # segments looked at in all sweeps together
STILL = 0.5  # when no place moves by more in a sweep, the others are not made
SWEEPS = 40
STRAIGHT, BENT, PLAIN, SIDE = 8.0, 3.0, 1.0, 0.25


def spread(wishes: Sequence[float], weights: Sequence[float], distances: Sequence[float]) -> list[float]:
    """The positions that minimise the sum of weight * (position - wish) ** 2.

    Neighbours are at least the given distances apart (one fewer than wishes).

    >>> spread([0.0, 0.0, 9.0], [1.0, 1.0, 1.0], [2.0, 2.0])
    [-1.0, 1.0, 9.0]
    """
    offset, offsets = 0.0, [0.0]
    for d in distances:
        offset += d
        offsets.append(offset)
    # blocks that stand together: mean wish, weight, how many places
    means: list[float] = []
    sums: list[float] = []
    sizes: list[int] = []
    for wish, weight, o in zip(wishes, weights, offsets, strict=False):
        mean, total, size = wish - o, weight, 1
        while means and means[-1] >= mean:
            before, other = means.pop(), sums.pop()
            mean = (mean * total + before * other) / (total + other)
            total += other
            size += sizes.pop()
        means.append(mean)
        sums.append(total)
        sizes.append(size)
    flat = [m for m, n in zip(means, sizes, strict=True) for _ in range(n)]
    return [m + o for m, o in zip(flat, offsets, strict=False)]


def positions(
    graph: Layered, rows: Sequence[Sequence[int]], widths: Sequence[float], gap: float
) -> list[float]:
    """The centre of each place across the ranks.

    widths  of the places;  gap  the least room between neighbours
    Long edges want to be straight most, then chains; a weight or a constant gives way to the op it feeds.
    """
    x = [0.0] * len(graph.ranks)
    distances = [[(widths[a] + widths[b]) / 2 + gap for a, b in pairwise(row)] for row in rows]
    for row, apart in zip(rows, distances, strict=True):
        at = -0.5 * sum(apart)
        for k, v in enumerate(row):
            x[v] = at
            at += apart[k] if k < len(apart) else 0.0
    pull = _weights(graph)
    total = sum(map(len, graph.downs))
    sweeps = max(3, min(SWEEPS, WORK // max(total, 1)))
    for k in range(sweeps):
        both = 3 * k >= 2 * sweeps  # towards the end between both neighbours
        downwards = k % 2 == 0
        before = list(x)
        for r in range(len(rows)) if downwards else range(len(rows) - 1, -1, -1):
            sides = (graph.ups, graph.downs) if both else (graph.ups if downwards else graph.downs,)
            _place(rows[r], distances[r], sides, pull, x)
        if k and max(map(abs, map(sub, x, before)), default=0.0) < STILL:
            break
    return x


def _place(
    row: Sequence[int],
    distances: Sequence[float],
    sides: Sequence[Sequence[Sequence[int]]],
    pull: dict[tuple[int, int], float],
    x: list[float],
) -> None:
    wishes: list[float] = []
    weights: list[float] = []
    for v in row:
        weight, moment = 0.01, 0.01 * x[v]
        for side in sides:
            for u in side[v]:
                w = pull[u, v]
                weight += w
                moment += w * x[u]
        wishes.append(moment / weight)
        weights.append(weight)
    if len(row) == 1:
        x[row[0]] = wishes[0]
        return
    for v, at in zip(row, spread(wishes, weights, distances), strict=True):
        x[v] = at


def _weights(graph: Layered) -> dict[tuple[int, int], float]:
    """How much each segment wants to be straight, under both orders of its ends."""
    found: dict[tuple[int, int], float] = {}
    for a, below in enumerate(graph.downs):
        for b in below:
            dummies = (a >= graph.boxes) + (b >= graph.boxes)
            if dummies == 2:
                w = STRAIGHT
            elif dummies:
                w = BENT
            elif not graph.ups[a] and len(graph.ups[b]) > 1:
                w = SIDE  # a leaf beside something computed
            else:
                w = PLAIN if len(below) > 1 else BENT
            found[a, b] = found[b, a] = w
    return found


__all__ = ["positions", "spread"]
