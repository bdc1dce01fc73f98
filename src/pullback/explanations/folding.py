"""Scenes that are too long to read: the ops in the middle become one box that says what they are.

Read `middle` and `folded`. May import `scene`, `flow_text`, `graph`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pullback.explanations.flow_text import plural
from pullback.explanations.scene import Box, Link, Scene
from pullback.graph.node import Node

KEPT = 60  # ops that stay at each end
MORE = "more"


def middle(nodes: Sequence[Node], most: int) -> set[Node]:
    """The nodes (oldest first) that are folded if there are more than `most`.

    Ops are recorded in order, so one box can stand for all that lie between an early and a late one.
    """
    if len(nodes) <= most:
        return set()
    ends = max(1, min(KEPT, most // 2))
    return set(nodes[ends:-ends])


def folded(scene: Scene, hidden: set[str]) -> Scene:
    """The scene with one box for the ops with these keys.

    Leaves and constants that only folded ops read go with them.
    """
    if not hidden:
        return scene
    ops = [b for b in scene.boxes if b.kind in ("op", "cut")]
    middle = [b for b in ops if b.key in hidden]
    gone = set(hidden)
    readers: dict[str, set[str]] = {}
    for k in scene.links:
        readers.setdefault(k.source, set()).add(k.target)
    for b in scene.boxes:
        if b.kind in ("leaf", "constant") and not b.output and readers.get(b.key, set()) <= gone:
            gone.add(b.key)
    leaves = sum(b.kind == "leaf" and b.key in gone for b in scene.boxes)
    boxes = [b for b in scene.boxes if b.key not in gone]
    first = next(k for k, b in enumerate(scene.boxes) if b.key in hidden)
    place = sum(b.key not in gone for b in scene.boxes[:first])
    boxes.insert(place, _box(middle, leaves))
    note = f"{plural(len(middle), 'op')} in the middle of {len(ops):,} are drawn as one box"
    return Scene(tuple(boxes), tuple(_links(scene.links, gone)), (*scene.notes, note))


def _box(middle: list[Box], leaves: int) -> Box:
    counts = Counter(b.title for b in middle)
    lines = [f"{plural(len(middle), 'op')}", *(f"{n:,} x {title}" for title, n in counts.most_common(4))]
    if len(counts) > 4:
        lines.append("...")
    if leaves:
        lines.append(plural(leaves, "leaf", "leaves"))
    tip = "\n".join(f"{n:,} x {title}" for title, n in counts.most_common(40))
    return Box(MORE, MORE, "folded", tuple(lines), tip)


def _links(links: tuple[Link, ...], gone: set[str]) -> list[Link]:
    """The edges that stay; of several between the fold and one box the widest."""
    kept: list[Link] = []
    border: dict[tuple[str, str], Link] = {}
    for k in links:
        source, target = (MORE if key in gone else key for key in (k.source, k.target))
        if source == target == MORE:
            continue
        if MORE not in (source, target):
            kept.append(k)
            continue
        have = border.get((source, target))
        if have is None or k.norm > have.norm:
            border[source, target] = Link(source, target, k.argument, k.kind, k.norm, k.tip)
    return kept + list(border.values())


__all__ = ["folded"]
