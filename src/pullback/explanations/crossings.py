"""The order of the places within each rank: few crossings, by barycentre sweeps.

Read `ordered`. May import `ranks`.

Source of the method: Sugiyama, Tagawa and Toda (1981), "Methods for visual understanding of hierarchical
system structures", with barycentres taken of widths rather than of positions, so that a rank with few wide
boxes and one with many narrow ones are compared on one scale.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence

from pullback.explanations.ranks import Layered

WORK = 60_000  # segments looked at in all sweeps together: more sweeps for small graphs
SWEEPS = 12
PATIENCE = 4  # sweeps without fewer crossings after which no more are made


def ordered(graph: Layered, widths: Sequence[float]) -> list[list[int]]:
    """The places of each rank from left to right.

    widths  the room that each place takes
    The same graph always gives the same order.
    """
    rows = _first(graph)
    total = sum(map(len, graph.downs))
    sweeps = max(2, min(SWEEPS, WORK // max(total, 1)))
    centre = [0.0] * len(graph.ranks)
    for row in rows:
        _pack(row, widths, centre)
    best, fewest, last = [list(row) for row in rows], crossings(graph, rows), 0
    for k in range(sweeps):
        if not fewest or k - last >= PATIENCE:
            break
        towards = graph.ups if k % 2 == 0 else graph.downs
        for row in rows if k % 2 == 0 else reversed(rows):
            _sort(row, towards, centre, widths)
        now = crossings(graph, rows)
        if now < fewest:
            best, fewest, last = [list(row) for row in rows], now, k
    return best


def _first(graph: Layered) -> list[list[int]]:
    """An order by a walk from the lowest places upwards: trees come out without a crossing."""
    rows: list[list[int]] = [[] for _ in range(max(graph.ranks, default=-1) + 1)]
    seen = [False] * len(graph.ranks)
    sinks = [v for v in range(len(graph.ranks)) if not graph.downs[v]]
    stack = sinks[::-1]
    while stack:
        v = stack.pop()
        if seen[v]:
            continue
        seen[v] = True
        rows[graph.ranks[v]].append(v)
        stack.extend(u for u in reversed(graph.ups[v]) if not seen[u])
    return rows


def _sort(
    row: list[int], towards: Sequence[Sequence[int]], centre: list[float], widths: Sequence[float]
) -> None:
    """Sort a rank by the mean place of its neighbours; places without any keep theirs."""
    wish = {
        v: sum(centre[u] for u in towards[v]) / len(towards[v]) if towards[v] else centre[v] for v in row
    }
    row.sort(key=wish.__getitem__)
    _pack(row, widths, centre)


def _pack(row: Sequence[int], widths: Sequence[float], centre: list[float]) -> None:
    at = -0.5 * sum(widths[v] for v in row)
    for v in row:
        centre[v] = at + 0.5 * widths[v]
        at += widths[v]


def crossings(graph: Layered, rows: Sequence[Sequence[int]]) -> int:
    """How many pairs of segments cross."""
    place = [0] * len(graph.ranks)
    for row in rows:
        for k, v in enumerate(row):
            place[v] = k
    found = 0
    for row in rows:
        ends: list[int] = []
        for v in row:
            mine = sorted(place[w] for w in graph.downs[v])
            found += sum(len(ends) - bisect_right(ends, e) for e in mine)
            for e in mine:
                insort(ends, e)
    return found


__all__ = ["crossings", "ordered"]
