"""Layers of a drawing: which rank each box stands on, and the dummies that carry long edges across ranks.

Read `ranks_of`, then `layered`. Imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Edge = tuple[int, int]


@dataclass(frozen=True)
class Layered:
    """A graph in which every segment joins neighbouring ranks.

    ranks     the rank of every place: the boxes first (0, 1, ...), then the dummies
    boxes     how many places are boxes
    ups       per place, the places one rank above that it hangs on;  downs  the other way round
    paths     per edge the places it runs through, both ends included
    """

    ranks: list[int]
    boxes: int
    ups: list[list[int]]
    downs: list[list[int]]
    paths: list[list[int]]


def topological(count: int, edges: Sequence[Edge]) -> list[int]:
    """An order in which every edge points forward; ValueError if the edges have a cycle.

    >>> topological(3, [(2, 0), (0, 1)])
    [2, 0, 1]
    """
    downs: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for u, v in edges:
        downs[u].append(v)
        waiting[v] += 1
    ready = [v for v in range(count) if not waiting[v]]
    for u in ready:  # grows while it is read
        for v in downs[u]:
            waiting[v] -= 1
            if not waiting[v]:
                ready.append(v)
    if len(ready) < count:
        raise ValueError("the edges have a cycle")
    return ready


def ranks_of(count: int, edges: Sequence[Edge]) -> list[int]:
    """The rank of each box: every edge goes down by one or more, and few edges are long.

    Boxes stand as low as they can, so that a weight stands just above the op that reads it. A box with
    more producers than consumers is then raised to its producers: that shortens more edges than it
    stretches (one step of the network simplex, in one pass).

    >>> ranks_of(4, [(0, 1), (1, 2), (3, 2)])
    [0, 1, 2, 1]
    """
    ups: list[list[int]] = [[] for _ in range(count)]
    downs: list[list[int]] = [[] for _ in range(count)]
    for u, v in dict.fromkeys(edges):
        ups[v].append(u)
        downs[u].append(v)
    order = topological(count, edges)
    height = [0] * count
    for v in reversed(order):
        height[v] = 1 + max((height[w] for w in downs[v]), default=-1)
    for v in order:
        inner = [u for u in ups[v] if ups[u]]  # sources follow their consumers anyway
        if len(inner) > len(downs[v]):
            height[v] = max(height[v], min(height[u] for u in inner) - 1)
    for v in order:
        if not ups[v] and downs[v]:
            height[v] = 1 + max(height[w] for w in downs[v])
    top = max(height, default=0)
    return [top - h for h in height]


def layered(count: int, edges: Sequence[Edge]) -> Layered:
    """Ranks, and a chain of dummies for each box with a consumer more than one rank below.

    All long edges of a box share one chain and leave it where their consumers stand: fewer lines, fewer
    crossings, and no more than one dummy per box and rank.
    """
    ranks = ranks_of(count, edges)
    chains: dict[int, list[int]] = {}
    total = list(ranks)
    longest: dict[int, int] = {}
    for u, v in edges:
        longest[u] = max(longest.get(u, 0), ranks[v] - ranks[u])
    for u, span in longest.items():
        chains[u] = [u]
        for k in range(1, span):
            chains[u].append(len(total))
            total.append(ranks[u] + k)
    ups: list[list[int]] = [[] for _ in total]
    downs: list[list[int]] = [[] for _ in total]
    paths: list[list[int]] = []
    segments: dict[Edge, None] = {}
    for u, v in edges:
        path = [*chains[u][: ranks[v] - ranks[u]], v]
        paths.append(path)
        segments.update(dict.fromkeys(pairwise(path)))
    for a, b in segments:
        downs[a].append(b)
        ups[b].append(a)
    return Layered(total, count, ups, downs, paths)


__all__ = ["Edge", "Layered", "layered", "ranks_of", "topological"]
