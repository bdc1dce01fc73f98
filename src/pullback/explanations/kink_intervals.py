"""The interval of each entry of a gradient when the derivative at every kink may be any of its subgradients.

Read `intervals`. One reverse sweep carries, beside the gradient itself: the gradient for each choice of a
corner at all kinks at once, an interval (centre and radius), and three sums by which it is told whether
one kink or several act on an entry. Where one acts, the gradient is linear in its derivative, so the
corners give the exact ends; where several do, the interval is a bound. May import `graph`, `autograd`,
`links`, `kink_sites`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.autograd import trouble
from pullback.autograd.engine import key_of
from pullback.explanations.kink_sides import Sites, Unknown
from pullback.explanations.links import TooMany
from pullback.explanations.magnitudes import pull_magnitudes
from pullback.explanations.values import Facts
from pullback.graph.modes import QUIET, loud, quiet
from pullback.graph.node import Node, Slot, writes
from pullback.transform.forward import reachable
from pullback.transform.pattern import output_shapes

CORNERS = 16  # tied entries up to which a tie counts as one kink with a corner for each of them
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Interval:
    """Of one input: the gradient that is used, the ends, and where they are exact (arrays of its shape)."""

    gradient: Any
    low: Any
    high: Any
    exact: Any


@dataclass
class Carried:
    """What travels back to one output of a node, arrays of its shape.

    corners         the gradient for each choice of corners; the first is the one that is used
    centre, radius  of the interval
    sums            over all kinks that act, of their weight times 1, their number and its square
    """

    corners: list[Any]
    centre: Any
    radius: Any
    sums: list[Any]

    def plus(self, other: Carried) -> Carried:
        """What arrives along two ways."""
        return Carried(
            [a + b for a, b in zip(self.corners, other.corners, strict=True)],
            self.centre + other.centre,
            self.radius + other.radius,
            [a + b for a, b in zip(self.sums, other.sums, strict=True)],
        )


def intervals(
    outs: Sequence[Any], upstream: Sequence[Any], edges: Sequence[Any], sites: Sequence[Sites]
) -> Any:
    """One `Interval` per edge (a leaf or the edge of a followed tensor).

    outs, upstream  the outputs and their cotangents (arrays of the same shapes)
    Raises `Unknown` where a node on the way cannot be read, `TooMany` where it has too many links.
    """
    at: dict[Node, list[Sites]] = {}
    for s in sites:
        at.setdefault(s.node, []).append(s)
    number = _corner_count(at)
    facts = Facts()
    facts.update(output_shapes(outs))
    sweep = _Sweep(at, facts, number)
    for t, v in zip(outs, upstream, strict=True):
        if t.node is not None:
            zero = np.zeros_like(v)
            sweep.add(_edge(t), Carried([v] * (number + 1), v, zero, [zero.astype(float)] * 3))
    token = quiet(QUIET)
    try:
        for node in reversed(reachable(outs)):
            sweep.through(node)
    finally:
        loud(token)
    return [sweep.result(e) for e in edges]


def _edge(t: Any) -> Any:
    return t if not isinstance(t.node, Node | Slot) else t.node


def _corner_count(at: dict[Node, list[Sites]]) -> int:
    most = 2
    for found in at.values():
        rows = np.concatenate([s.rows for s in found if s.kind == "tie"] or [np.zeros(0, np.int64)])
        if rows.size:
            counts = np.unique(rows, return_counts=True)[1]
            counts = counts[counts <= CORNERS]
            most = max(most, int(counts.max()) if counts.size else 2)
    return most


class _Sweep:
    def __init__(self, at: dict[Node, list[Sites]], shapes: Facts, corners: int) -> None:
        self.at, self.shapes, self.corners = at, shapes, corners
        self.waiting: dict[Any, Carried] = {}
        self.numbered = 0

    def add(self, edge: Any, c: Carried) -> None:
        key = key_of(edge)
        have = self.waiting.get(key)
        self.waiting[key] = c if have is None else have.plus(c)

    def result(self, edge: Any) -> Interval | None:
        c = self.waiting.get(key_of(edge))
        if c is None:
            return None
        one, number, square = c.sums
        with np.errstate(all="ignore"):
            none = one == 0
            alone = ~none & (one * square - number * number <= 1e-9 * number * number)
            low, high = c.centre - c.radius, c.centre + c.radius
            choices = np.stack([np.asarray(g, dtype=float) for g in c.corners[1:]])
            used = np.asarray(c.corners[0], dtype=float)
            low = np.where(none, used, np.where(alone, choices.min(axis=0), low))
            high = np.where(none, used, np.where(alone, choices.max(axis=0), high))
            lost = np.isnan(low) | np.isnan(high)
        low, high = np.where(lost & ~none, -np.inf, low), np.where(lost & ~none, np.inf, high)
        return Interval(used, low, high, none | (alone & ~lost))

    def through(self, node: Node) -> None:
        """Pull what waits at a node to its arguments."""
        c = self._arrived(node)
        if c is None:
            return
        if node.args is None:
            raise trouble.second_time(node)
        if node.lanes or node.op.family == "control":
            raise Unknown(f"{node.name} was recorded for one lane of vmap or inside a loop")
        if node.number < writes.last:
            trouble.check_versions(node)
        live = [e is not None for e in node.edges]
        corners = [self._pull(node, g) for g in c.corners]
        centre = self._pull(node, c.centre)
        radius = self._magnitude(node, c.radius, live)
        sums = [self._magnitude(node, s, live) for s in c.sums]
        number = self._identify(self.at.get(node, []))
        for i, e in enumerate(node.edges):
            if e is None or corners[0][i] is None:
                continue
            made = Carried([p[i] for p in corners], centre[i], radius[i], [p[i] for p in sums])
            for s in self.at.get(node, []):
                if s.arg == i:
                    made = _bent(made, c, s, number[id(s)])
            self.add(e, made)

    def _arrived(self, node: Node) -> Carried | None:
        """What waits at the node's outputs: lists of arrays where it has several."""
        if node.count is None:
            return self.waiting.get(node)
        parts = [self.waiting.get((node, k)) for k in range(node.count)]
        first = next((p for p in parts if p is not None), None)
        if first is None:
            return None

        def listed(get: Any) -> list[Any]:
            return [None if p is None else get(p) for p in parts]

        return Carried(
            [listed(lambda p, j=j: p.corners[j]) for j in range(len(first.corners))],
            listed(lambda p: p.centre),
            listed(lambda p: p.radius),
            [listed(lambda p, j=j: p.sums[j]) for j in range(3)],
        )

    def _pull(self, node: Node, g: Any) -> list[Any]:
        return list(node.op.pull(node, g, False))

    def _magnitude(self, node: Node, m: Any, live: Sequence[bool]) -> list[Any]:
        """|J|^T m; zeros at once where m is zero."""
        if not any(np.any(v) for v in (m if isinstance(m, list) else [m]) if v is not None):
            return [np.zeros(_shape(node, i, self.shapes)) if ok else None for i, ok in enumerate(live)]
        found = pull_magnitudes(node, m, live, self.shapes)
        return [None if r is None else np.where(np.isnan(r), np.inf, r) for r in found]

    def _identify(self, sites: Sequence[Sites]) -> dict[int, tuple[Any, Any, Any]]:
        """Per group of sites: the number in [1, 2) of each one's kink, which corner it is, of how many.

        The entries of one tie are corners of one kink; every other site is a kink of its own (corner -1).
        """
        found: dict[int, tuple[Any, Any, Any]] = {}
        ties = [s for s in sites if s.kind == "tie"]
        rows = np.concatenate([s.rows for s in ties] or [np.zeros(0, np.int64)])
        names, inverse, counts = np.unique(rows, return_inverse=True, return_counts=True)
        order = np.argsort(inverse, kind="stable")
        rank = np.empty(len(rows), np.int64)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        rank[order] = np.arange(len(rows)) - starts[inverse[order]]
        start = 0
        for s in ties:
            part = slice(start, start + len(s.rows))
            few = counts[inverse[part]] <= CORNERS
            own = self.numbered + len(names) + np.arange(start, start + len(s.rows))
            ids = np.where(few, self.numbered + inverse[part], own)
            found[id(s)] = (_spread(ids), np.where(few, rank[part], -1), counts[inverse[part]])
            start += len(s.rows)
        self.numbered += len(names) + len(rows)
        for s in sites:
            if s.kind != "tie":
                ids = self.numbered + np.arange(len(s.rows))
                self.numbered += len(s.rows)
                found[id(s)] = (_spread(ids), np.full(len(s.rows), -1), np.ones(len(s.rows), np.int64))
        return found


def _spread(ids: Any) -> Any:
    """Numbers in [1, 2), far apart for neighbours."""
    return 1.0 + np.mod((ids + 1) * GOLDEN, 1.0)


def _shape(node: Node, i: int, shapes: dict[Any, Any]) -> tuple[int, ...]:
    return tuple(shapes[key_of(node.edges[i])].shape)


def _flat(v: Any, node: Node) -> Any:
    """The arriving arrays as one vector over the floating outputs."""
    if node.count is None:
        return np.asarray(v, dtype=float).reshape(-1)
    parts = [
        np.zeros(a.size) if p is None else np.asarray(p, dtype=float).reshape(-1)
        for p, a in zip(v, node.out_avals, strict=True)
        if a.dtype.kind in "fc"
    ]
    return np.concatenate(parts)


def _added(to: Any, cols: Any, by: Any) -> Any:
    r = np.array(to, dtype=float)
    np.add.at(r.reshape(-1), cols, by)
    return r


def _bent(made: Carried, c: Carried, s: Sites, kink: tuple[Any, Any, Any]) -> Carried:
    """What an argument gets, corrected at its kinks: the pull took the derivative that is used there."""
    ids, corner, several = kink
    rows, cols, node = s.rows, s.cols, s.node
    used = s.used
    low, high = np.where(np.isnan(s.low), used, s.low), np.where(np.isnan(s.high), used, s.high)
    corners: list[Any] = [made.corners[0]]
    for j, (g, arrived) in enumerate(zip(made.corners[1:], c.corners[1:], strict=True)):
        choice = np.where(corner >= 0, (corner == j % several).astype(float), high if j % 2 else low)
        corners.append(_added(g, cols, _times(_flat(arrived, node)[rows], choice - used)))
    m, r = _flat(c.centre, node)[rows], _flat(c.radius, node)[rows]
    ends = np.stack([_times(a, b) for a in (m - r, m + r) for b in (low, high)])
    bottom, top = ends.min(axis=0), ends.max(axis=0)
    centre = _added(made.centre, cols, (bottom + top) / 2 - _times(m, used))
    radius = np.maximum(_added(made.radius, cols, (top - bottom) / 2 - _times(r, np.abs(used))), 0)
    largest = np.maximum(np.abs(low), np.abs(high))
    own = _times(np.abs(m) + r, np.minimum(high - low, 1e300))
    sums: list[Any] = []
    for k, (total, arrived) in enumerate(zip(made.sums, c.sums, strict=True)):
        before = _times(_flat(arrived, node)[rows], largest - np.abs(used))
        sums.append(_added(total, cols, before + own * ids**k))
    return Carried(corners, centre, radius, sums)


def _times(a: Any, b: Any) -> Any:
    """A product in which zero wins over an infinity."""
    return np.where((a == 0) | (b == 0), 0.0, a * b)


__all__ = ["Interval", "TooMany", "intervals"]
