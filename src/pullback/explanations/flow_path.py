"""The main path of a sweep: from the output to the farthest leaf, with the norm at every step.

Read `Path`, then `path_of`. May import `cotangents`, `places`, `graph`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pullback.explanations.cotangents import Cotangents
from pullback.explanations.places import line_of
from pullback.graph.node import Node, Slot

LOST, BLOWN = 1e-6, 1e6  # of the norm at the start


@dataclass(frozen=True)
class Crossing:
    """Where the norm leaves a bound: after how many ops of the path, at which op and line."""

    depth: int
    node: int
    op: str
    line: str


@dataclass(frozen=True)
class Path:
    """The longest path from the output to a leaf (of several the one with the largest gradients).

    nodes      record numbers, from the output on
    arguments  (record number, argument on which the path goes on) of each of them
    norms      2-norm of the cotangent that arrives at each node and, last, at the leaf: one more than nodes.
               Where other paths join in, theirs is in it
    rate       geometric mean per op: (last norm / first norm) ** (1 / ops); NaN without ops or where an end
               is not finite
    lost       the first op after which the norm is under 1e-6 of the first one, or None
    blown      the first op after which it is over 1e6 of the first one, or None
    broken     the first op after which it is not finite, or None
    """

    nodes: tuple[int, ...] = ()
    arguments: tuple[tuple[int, int], ...] = ()
    norms: tuple[float, ...] = ()
    rate: float = math.nan
    lost: Crossing | None = None
    blown: Crossing | None = None
    broken: Crossing | None = None


def depths_of(found: Cotangents) -> tuple[dict[Any, int], dict[Any, list[tuple[Node, int]]]]:
    """Ops between the output and each node and leaf, on the longest way; the last steps of such ways."""
    depths: dict[Any, int] = {}
    before: dict[Any, list[tuple[Node, int]]] = {}
    for edge, _ in found.roots:
        depths[edge.node if type(edge) is Slot else edge] = 0
    for node in found.nodes:
        deeper = depths[node] + 1
        for i, (e, c) in enumerate(zip(node.edges, found.sent[node], strict=True)):
            if e is None or c is None:
                continue
            target = e.node if type(e) is Slot else e
            if deeper > depths.get(target, -1):
                depths[target], before[target] = deeper, [(node, i)]
            elif deeper == depths[target]:
                before[target].append((node, i))
    return depths, before


def path_of(found: Cotangents, norm: Callable[[list[Any]], float]) -> tuple[Path, dict[Any, int]]:
    """The main path, and the depth of every node and leaf."""
    depths, before = depths_of(found)
    reached = [t for t in found.leaves if depths[t] > 0]
    if not reached:
        return Path(), depths
    far = max(depths[t] for t in reached)
    leaf = _largest([t for t in reached if depths[t] == far], lambda t: norm([found.leaves[t]]))
    steps: list[tuple[Node, int]] = []
    place: Any = leaf
    while place in before:
        step = _largest(before[place], lambda s: norm([found.sent[s[0]][s[1]]]))
        steps.append(step)
        place = step[0]
    steps.reverse()
    norms = [norm(_outputs(found, node)) for node, _ in steps] + [norm([found.leaves[leaf]])]
    nodes = [node for node, _ in steps]
    path = Path(
        tuple(n.number for n in nodes),
        tuple((n.number, i) for n, i in steps),
        tuple(norms),
        _rate(norms),
        _crossing(nodes, norms, lambda x: x < LOST * norms[0]),
        _crossing(nodes, norms, lambda x: x > BLOWN * norms[0]),
        _crossing(nodes, norms, lambda x: not math.isfinite(x)),
    )
    return path, depths


def _outputs(found: Cotangents, node: Node) -> list[Any]:
    g = found.arriving[node]
    return [c for c in g if c is not None] if node.count is not None else [g]


def _largest(choices: list[Any], size: Callable[[Any], float]) -> Any:
    """The first of those with the largest size (a size that is not a number counts as the largest)."""
    if len(choices) == 1:
        return choices[0]
    sizes = [size(c) for c in choices]
    return choices[max(range(len(choices)), key=lambda k: math.inf if math.isnan(sizes[k]) else sizes[k])]


def _rate(norms: list[float]) -> float:
    first, last, steps = norms[0], norms[-1], len(norms) - 1
    if not (math.isfinite(first) and math.isfinite(last)) or first == 0.0:
        return math.nan
    return math.exp((math.log(last) - math.log(first)) / steps) if last else 0.0


def _crossing(nodes: list[Node], norms: list[float], test: Callable[[float], bool]) -> Crossing | None:
    for depth, value in enumerate(norms[1:], 1):
        if test(value):
            node = nodes[depth - 1]
            return Crossing(depth, node.number, node.op.name, line_of(node))
    return None


__all__ = ["BLOWN", "LOST", "Crossing", "Path", "depths_of", "path_of"]
