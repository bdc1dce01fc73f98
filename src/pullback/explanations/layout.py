"""The layout of a drawing: boxes on ranks, edges as curves around them. Pure Python, no external program.

Read `lay_out`. `ranks` chooses the ranks, `crossings` the order within them, `coordinates` the places. May
import these three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pullback.explanations.coordinates import positions
from pullback.explanations.crossings import ordered
from pullback.explanations.ranks import Edge, Layered, layered

GAP = 22.0  # between boxes of one rank
LINE = 10.0  # the room a passing edge takes
NEAR, FAR = 34.0, 84.0  # between ranks: the more, the further edges travel sideways there
PORT = 16.0  # between edges at one side of a box, at most

Point = tuple[float, float]


@dataclass(frozen=True)
class Laid:
    """Where everything is; x to the right, y downwards, everything at 0 or more.

    centres  of the boxes
    curves   per edge its points: from the producer's lower side on, each pair of points is joined by a curve
             with vertical ends across the gap between two ranks, or by a straight line along a rank
    size     width and height
    ranks    of the boxes
    """

    centres: list[Point]
    curves: list[list[Point]]
    size: Point
    ranks: list[int]


def lay_out(sizes: Sequence[Point], edges: Sequence[Edge]) -> Laid:
    """Place boxes of these sizes so that every edge (producer, consumer) runs downwards.

    No two boxes overlap and no edge crosses a box. ValueError if the edges have a cycle.

    >>> lay_out([(40.0, 20.0), (40.0, 20.0)], [(0, 1)]).centres
    [(20.0, 10.0), (20.0, 64.0)]
    """
    graph = layered(len(sizes), edges)
    dummies = len(graph.ranks) - graph.boxes
    widths = [w for w, _ in sizes] + [LINE] * dummies
    rows = ordered(graph, [w + GAP for w in widths])
    x = positions(graph, rows, widths, GAP)
    left = min((x[v] - widths[v] / 2 for v in range(len(x))), default=0.0)
    x = [a - left for a in x]
    tops, bottoms = _bands(graph, rows, x, sizes)
    centres = [(x[v], (tops[graph.ranks[v]] + bottoms[graph.ranks[v]]) / 2) for v in range(graph.boxes)]
    curves = _curves(graph, x, centres, sizes, (tops, bottoms))
    width = max((x[v] + widths[v] / 2 for v in range(len(x))), default=0.0)
    return Laid(centres, curves, (width, bottoms[-1] if bottoms else 0.0), graph.ranks[: graph.boxes])


def _bands(
    graph: Layered, rows: Sequence[Sequence[int]], x: Sequence[float], sizes: Sequence[Point]
) -> tuple[list[float], list[float]]:
    """The upper and lower end of each rank."""
    tops: list[float] = []
    bottoms: list[float] = []
    at = 0.0
    for row in rows:
        high = max((sizes[v][1] for v in row if v < graph.boxes), default=0.0)
        tops.append(at)
        bottoms.append(at + high)
        sideways = max((abs(x[v] - x[w]) for v in row for w in graph.downs[v]), default=0.0)
        at += high + min(FAR, NEAR + 0.07 * max(0.0, sideways - 60.0))
    return tops, bottoms


def _curves(
    graph: Layered,
    x: Sequence[float],
    centres: Sequence[Point],
    sizes: Sequence[Point],
    bands: tuple[list[float], list[float]],
) -> list[list[Point]]:
    tops, bottoms = bands
    lower = _ports(graph, x, sizes, [(p[0], p[1], 0) for p in graph.paths])
    twins: dict[Edge, int] = {}
    entries: list[tuple[int, int, int]] = []
    for p in graph.paths:  # several edges between the same places arrive side by side
        key = (p[-1], p[-2])
        entries.append((*key, twins.get(key, 0)))
        twins[key] = twins.get(key, 0) + 1
    upper = _ports(graph, x, sizes, entries)
    curves: list[list[Point]] = []
    for p, entry in zip(graph.paths, entries, strict=True):
        u, v = p[0], p[-1]
        rank = graph.ranks[u]
        start = lower[u, p[1], 0]
        points = [(start, centres[u][1] + sizes[u][1] / 2), (start, bottoms[rank])]
        for d in p[1:-1]:
            points += [(x[d], tops[graph.ranks[d]]), (x[d], bottoms[graph.ranks[d]])]
        end = upper[entry]
        points += [(end, tops[graph.ranks[v]]), (end, centres[v][1] - sizes[v][1] / 2)]
        curves.append(points)
    return curves


def _ports(
    graph: Layered,
    x: Sequence[float],
    sizes: Sequence[Point],
    wanted: Sequence[tuple[int, int, int]],
) -> dict[tuple[int, int, int], float]:
    """Where edges touch a side of a box: (box, neighbour, which of several) -> x, in their order."""
    sides: dict[int, list[tuple[int, int, int]]] = {}
    for port in dict.fromkeys(wanted):
        sides.setdefault(port[0], []).append(port)
    found: dict[tuple[int, int, int], float] = {}
    for box, ports in sides.items():
        ports.sort(key=lambda p: (x[p[1]], p))
        step = min(PORT, (sizes[box][0] - 12.0) / len(ports)) if box < graph.boxes else 0.0
        for k, port in enumerate(ports):
            found[port] = x[box] + step * (k - (len(ports) - 1) / 2)
    return found


__all__ = ["Laid", "Point", "lay_out"]
