"""What a drawing shows, before anything has a place: boxes and the edges between them.

Read `Box` and `Link`, then `scene_of`. `scene_values` words the values, `layout` finds the places, `svg` and
`markup` write them down. May import `cotangents`, `flow`, `scene_values`, `places`, `tensor_names`, `graph`,
`transform`.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.explanations.cotangents import Cotangents
from pullback.explanations.flow import Flow, FlowRow, norm
from pullback.explanations.flow_text import number, percent, shape
from pullback.explanations.places import line_of
from pullback.explanations.scene_values import Values, call_of, parameters, summary
from pullback.explanations.tensor_names import Names
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor, edge_of


@dataclass(frozen=True)
class Box:
    """One box.

    key     unique: "n12" for the op with record number 12, "x1" for a leaf, "c1" for a constant, "more" for
            what was folded away
    kind    "op", "leaf", "constant", "cut" (computed, but not followed) or "more"
    title   the op or the name;  lines  what stands below it
    tip     the tooltip
    closed  share of closed gates, None where it has none
    output  is it one of the drawing's outputs?
    """

    key: str
    kind: str
    title: str
    lines: tuple[str, ...]
    tip: str
    closed: float | None = None
    output: bool = False


@dataclass(frozen=True)
class Link:
    """One edge, from the box that made a value to the box that reads it.

    kind  "flow": a gradient flows back along it, of 2-norm `norm`; "zero": it is exactly zero;
          "unread": the op's rule sends none; "empty": a tensor without entries; "constant": not followed;
          "cut": followed up to here
    """

    source: str
    target: str
    argument: int
    kind: str
    norm: float
    tip: str


@dataclass(frozen=True)
class Scene:
    """Boxes (producers before consumers), edges, and notes for the reader."""

    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    notes: tuple[str, ...] = ()


def scene_of(
    outs: Sequence[Tensor],
    nodes: Sequence[Node],
    found: Cotangents | None,
    flow: Flow | None,
    names: Names,
    *,
    constants: bool = True,
    hidden: Container[Node] = (),
) -> Scene:
    """The boxes and edges behind some outputs.

    nodes        what `behind` gave for the outputs
    found, flow  what a sweep carried; None where no output is followed
    constants    show tensors that are not followed
    hidden       nodes whose boxes need no more than a title
    """
    return _Builder(outs, nodes, found, flow, names, constants).scene(hidden)


class _Builder:
    def __init__(
        self,
        outs: Sequence[Tensor],
        nodes: Sequence[Node],
        found: Cotangents | None,
        flow: Flow | None,
        names: Names,
        constants: bool,
    ) -> None:
        self.found, self.names, self.constants = found, names, constants
        self.rows: dict[int, FlowRow] = {} if flow is None else {r.node: r for r in flow.rows}
        self.places = [_place(t) for t in outs]
        self.nodes = nodes
        self.shadows = {n for n in self.nodes if _is_shadow(n)}
        self.values = Values(outs, self.nodes)
        self.sources: dict[Any, Box] = {}  # leaves and constants, by what they are
        self.made: list[Box] = []
        self.links: list[Link] = []
        self.notes = () if flow is None else flow.notes

    def scene(self, hidden: Container[Node]) -> Scene:
        boxes: list[Box] = []
        for node in self.nodes:
            self._edges(node)
            if node in hidden:
                boxes.append(Box(f"n{node.number}", "op", call_of(node), (), ""))
            else:
                boxes.append(self._op(node))
        for t, place in zip(self.values.outs, self.places, strict=True):
            if isinstance(place, Tensor) and place not in self.sources:
                self._leaf(t)
        return Scene((*self.made, *boxes), tuple(self.links), self.notes)

    # ------------------------------------------------------------------ boxes

    def _op(self, node: Node) -> Box:
        row = self.rows.get(node.number)
        form, title = self.values.shape(node), call_of(node)
        name = self.names.of(node)
        second = f"{name} {form}".strip()
        lines = [second] if second else []
        if node.cut:
            lines.append("cut here" if node.cut == title else f"cut: {node.cut}")
        closed = row.closed if row is not None else None
        if row is not None and row.closed:
            lines.append(f"{percent(row.closed)} closed")
        if row is not None and row.saturated:
            lines.append(f"{percent(row.saturated)} saturated")
        return Box(
            f"n{node.number}",
            "cut" if node in self.shadows else "op",
            title,
            tuple(lines),
            self._tip(node, row, form, name),
            closed,
            any(place is node for place in self.places),
        )

    def _tip(self, node: Node, row: FlowRow | None, form: str, name: str) -> str:
        parts = [f"{call_of(node)}  ({node.name})", parameters(node), line_of(node)]
        parts.append(f"{name + ' = ' if name else ''}{self.values.words(node)}" or form)
        if row is not None:
            zeros = f", {percent(row.zero)} exactly zero" if row.zero else ""
            parts.append(f"gradient that arrives: norm {number(row.arriving)}{zeros}")
            gains = [f"x {number(x)}" for x in row.gains if x is not None and not math.isnan(x)]
            if gains:
                parts.append(f"gain: {', '.join(gains)}")
            if row.closed is not None:
                parts.append(f"local derivatives: {percent(row.closed)} exactly zero (closed)")
            if row.nonfinite:
                parts.append(f"{percent(row.nonfinite)} of what it sends is not finite")
        return "\n".join(p for p in parts if p)

    def _leaf(self, t: Tensor) -> Box:
        box = self.sources.get(t)
        if box is None:
            name = self.names.of(t)
            c = None if self.found is None else self.found.leaves.get(t)
            lines = (shape(t.value.shape),)
            tip = f"leaf {name}\n{summary(t.value)}"
            if c is not None:
                tip += f"\ngradient: norm {number(norm([c]))}; {summary(c)}"
            output = any(place is t for place in self.places)
            box = Box(f"x{len(self.sources) + 1}", "leaf", name or "leaf", lines, tip, None, output)
            self.sources[t] = box
            self.made.append(box)
        return box

    def _constant(self, a: Any) -> Box:
        """A tensor that is not followed; one box however often it is read, where the record kept it."""
        box = self.sources.get(a)
        if box is None:
            kept = isinstance(a, Tensor)
            name = self.names.of(a) if kept else ""
            lines = [shape(a.value.shape if kept else a.shape)]
            if kept and a.value.size == 1:
                lines.append(summary(a.value).rpartition(": ")[2])
            tip = f"constant {name}\n" + (summary(a.value) if kept else "its value was not kept")
            box = Box(f"c{len(self.sources) + 1}", "constant", name or "constant", tuple(lines), tip)
            self.sources[a] = box
            self.made.append(box)
        return box

    # ------------------------------------------------------------------ edges

    def _edges(self, node: Node) -> None:
        sent = None if self.found is None else self.found.sent.get(node)
        origins = node.origins or ()
        for i, e in enumerate(node.edges):
            target = f"n{node.number}"
            if e is not None:
                source = self._leaf(e).key if isinstance(e, Tensor) else f"n{_node(e).number}"
                if node in self.shadows:
                    kind, n, tip = "cut", 0.0, f"followed up to here, not beyond{_at(node)}"
                else:
                    kind, n, tip = _flowing(None if sent is None else sent[i])
                self.links.append(Link(source, target, i, kind, n, tip))
                continue
            origin = origins[i] if i < len(origins) else None
            if origin is not None:
                source = f"n{_node(origin).number}"
                self.links.append(Link(source, target, i, "constant", 0.0, "not followed"))
                continue
            a = self.values.argument(node, i)
            if self.constants and a is not None:
                tip = "not followed: no gradient is computed"
                self.links.append(Link(self._constant(a).key, target, i, "constant", 0.0, tip))


def _at(node: Node) -> str:
    line = line_of(node)
    return f" ({line})" if line else ""


def _flowing(c: Any) -> tuple[str, float, str]:
    if c is None:
        return "unread", 0.0, "no gradient is sent along here"
    if not np.size(c):
        return "empty", 0.0, "no entries"
    n = norm([c])
    if n == 0.0:
        return "zero", 0.0, "the gradient is exactly zero"
    return "flow", n, f"gradient: norm {number(n)}"


def _place(t: Tensor) -> Any:
    """The node or leaf that an output comes from; the tensor itself if it is neither."""
    place = edge_of(t) if t.node is not None else t.origin
    return _node(place) if place is not None else t


def _node(edge: Any) -> Any:
    return edge.node if type(edge) is Slot else edge


def _is_shadow(node: Node) -> bool:
    """Was it computed without being followed? (A followed node has at least one edge.)"""
    return bool(node.cut) or all(e is None for e in node.edges)


def behind(outs: Sequence[Tensor]) -> list[Node]:
    """All nodes behind the outputs, also those on paths that were cut; oldest first."""
    seen: set[Node] = set()
    stack = [_place(t) for t in outs]
    while stack:
        node = stack.pop()
        if not isinstance(node, Node) or node in seen:
            continue
        seen.add(node)
        stack.extend(_node(e) for e in (*node.edges, *(node.origins or ())))
    return sorted(seen, key=lambda n: n.number)


__all__ = ["Box", "Link", "Scene", "behind", "scene_of"]
