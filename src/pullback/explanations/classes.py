"""How entries are connected to the outputs: alive, not at all, or behind a chain of dead links.

Read `Classes`, then `behind`, which takes the classes of a node's output entries to those of one argument.
May import `graph`, `links`, `kinds`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.explanations import kinds
from pullback.explanations.links import TooMany, carries, chosen_pairs, local
from pullback.explanations.magnitudes import partial_of, pull_with
from pullback.explanations.nodes import counted, outputs_of, split
from pullback.explanations.values import Facts
from pullback.graph.node import Node

ALIVE = 0
NONE = 1 << 62
COST = 1 << 40  # the unit of the number of dead links in a class; below it stands the class's own number
SERIAL = 1 << 12
RANGE = (1 << 27) - 1  # record numbers are compared within this range
MOST_BITS = 900  # of a float64's exponent
CHOICE = 1000  # a link through an index or a condition counts as this many: a path of last resort


class Classes:
    """The classes that were met: each one dead step in front of another class.

    `step` makes the class "a dead link of this kind at this argument of this node, then `after`"; smaller
    numbers have fewer dead links, so the minimum of two classes is the better connected one.
    """

    def __init__(self) -> None:
        self.steps: dict[int, tuple[str, Any, int, int]] = {}
        self.known: dict[Any, int] = {}

    def step(self, kind: str, node: Any, i: int, after: int, weight: int = 1) -> int:
        """The class of a dead link in front of `after`; NONE stays NONE."""
        if after == NONE:
            return NONE
        key = (kind, id(node), i, after)
        made = self.known.get(key)
        if made is None:
            # among classes of one cost the nearest to the input, whose op ran first, is the smallest
            ran = (node.number & RANGE) if isinstance(node, Node) else RANGE
            made = (after // COST + weight) * COST + ran * SERIAL + len(self.steps) % SERIAL
            while made in self.steps:
                made += 1
            self.known[key], self.steps[made] = made, (kind, node, i, after)
        return made

    def chain(self, c: int) -> list[tuple[str, Any, int]]:
        """The dead steps of a class, nearest to the input first."""
        found: list[tuple[str, Any, int]] = []
        while c in self.steps:
            kind, node, i, after = self.steps[c]
            found.append((kind, node, i))
            c = after
        return found

    def mapped(self, kind: str, node: Any, i: int, after: Any, weight: int = 1) -> Any:
        """`step` for an array of classes."""
        if not isinstance(after, np.ndarray):
            return self.step(kind, node, i, int(after), weight)
        if after.size and (after == after.flat[0]).all():
            return np.full(after.shape, self.step(kind, node, i, int(after.flat[0]), weight))
        distinct, where = np.unique(after, return_inverse=True)
        made = np.array([self.step(kind, node, i, int(c), weight) for c in distinct], np.int64)
        return made[where].reshape(after.shape)


# ---------------------------------------------------------------------- through one node


def behind(classes: Classes, shapes: Facts, node: Node, i: int, c: Any, shape: tuple[int, ...]) -> Any:
    """The classes of argument i's entries (its shape is `shape`), given those of the node's output entries.

    c  an array or an int for one output, a list of them for several
    """
    flat = _flat(c, node, shapes)
    cut = _cut_kind(node, i)
    try:
        if not carries(node, i):
            rows, cols = chosen_pairs(node, i, shapes)
            return _least(cols, classes.mapped("Discrete", node, i, flat, CHOICE)[rows], shape)
        if cut:
            return _all_dead(classes, shapes, node, i, flat, cut, shape)
        if node.op.family in ("elementwise", "selection") and shape == tuple(shapes[node].shape):
            return _entrywise(classes, shapes, node, i, flat, shape)
        if node.op.multilinear and node.edges[i] is not None:
            return _multilinear(classes, shapes, node, i, flat, shape)
        return _listed(classes, shapes, node, i, flat, shape)
    except TooMany:
        return np.full(shape, classes.step("NotDetermined", node, i, _best(flat)))


def _cut_kind(node: Node, i: int) -> str:
    """The kind of cause where a followed tensor enters a node that was not recorded."""
    if not node.cut or node.edges[i] is None:
        return ""
    return "Discrete" if node.cut == "discrete" else "Stopped"


def _flat(c: Any, node: Node, shapes: Facts) -> Any:
    """The classes of a node's output entries as one vector."""
    outs = outputs_of(node, shapes)
    if node.count is None:
        return np.broadcast_to(np.asarray(c, np.int64), outs[0].shape).reshape(-1)
    floats = [x for x, yes in zip(c, counted(node), strict=True) if yes]
    wide = [np.broadcast_to(np.asarray(x, np.int64), a.shape) for x, a in zip(floats, outs, strict=True)]
    return np.concatenate([w.reshape(-1) for w in wide])


def _best(flat: Any) -> int:
    return int(flat.min()) if flat.size else NONE


def _least(cols: Any, there: Any, shape: tuple[int, ...]) -> Any:
    """Per input entry the best class among its links."""
    b = np.full(int(np.prod(shape)), NONE)
    np.minimum.at(b, cols, there)
    return b.reshape(shape)


def _all_dead(
    classes: Classes, shapes: Facts, node: Node, i: int, flat: Any, kind: str, shape: tuple[int, ...]
) -> Any:
    """Every link of this argument is dead for one reason."""
    rows, cols, _ = local(node, i, shapes)
    return _least(cols, classes.mapped(kind, node, i, flat)[rows], shape)


def _listed(classes: Classes, shapes: Facts, node: Node, i: int, flat: Any, shape: tuple[int, ...]) -> Any:
    """Through the list of links."""
    rows, cols, values = local(node, i, shapes)
    there = flat[rows]
    dead = np.flatnonzero(values == 0)
    if len(dead):
        why = kinds.of_links(node, i, rows[dead], cols[dead], shapes)
        for kind in set(why.tolist()):
            here = dead[why == kind]
            there[here] = classes.mapped(kind, node, i, there[here])
    return _least(cols, there, shape)


def _entrywise(classes: Classes, shapes: Facts, node: Node, i: int, flat: Any, shape: tuple[int, ...]) -> Any:
    """Entry to entry: no list of links is needed."""
    values = partial_of(node, i, shapes).reshape(-1)
    dead = np.flatnonzero(values == 0)
    if not len(dead):
        return flat.reshape(shape)
    b = flat.copy()
    why = kinds.of_links(node, i, dead, dead, shapes)
    for kind in set(why.tolist()):
        here = dead[why == kind]
        b[here] = classes.mapped(kind, node, i, b[here])
    return b.reshape(shape)


def _multilinear(
    classes: Classes, shapes: Facts, node: Node, i: int, flat: Any, shape: tuple[int, ...]
) -> Any:
    """Where links are products of other entries: the rule itself says which outputs an entry reaches.

    So no list of links is needed, however large the product is. Each class gets a weight, and a zero factor
    one more; every weight is so much smaller than the one before it that a sum of all links shows the best
    one by its size alone. So one run of the rule serves all classes.
    """
    known = [k for k in np.unique(flat).tolist() if k != NONE]
    step = int(np.ceil(np.log2(4.0 * flat.size)))  # bits between weights: no sum of smaller ones reaches up
    groups: dict[int, list[int]] = {}
    for k in known:
        groups.setdefault(k // COST, []).append(k)
    widest = max((len(g) for g in groups.values()), default=0)
    if 2 * widest * len(groups) * step > MOST_BITS:
        return _multilinear_singly(classes, shapes, node, i, flat, shape)
    weights = np.zeros(flat.size)
    met: dict[int, int] = {}
    for n, cost in enumerate(sorted(groups)):
        for j, k in enumerate(groups[cost]):
            level = 2 * widest * n + j
            weights[flat == k] = 2.0 ** (-step * level)
            met[level], met[level + widest] = k, classes.step("Annihilated", node, i, k)
    zero = 2.0 ** (-step * widest)
    pulled = pull_with(node, weights.reshape(shapes[node].shape), lambda a: np.where(a != 0, 1.0, zero), i)[i]
    levels = np.full(shape, -1, np.int64)
    there = pulled > 0
    levels[there] = np.ceil(-np.log2(pulled[there]) / step).astype(np.int64)
    lookup = np.full(2 * widest * len(groups) + 1, NONE)
    for level, k in met.items():
        lookup[level] = k
    return np.where(there, lookup[np.maximum(levels, 0)], NONE)


def _multilinear_singly(
    classes: Classes, shapes: Facts, node: Node, i: int, flat: Any, shape: tuple[int, ...]
) -> Any:
    """The same with one run per class, where there are very many."""
    outs = outputs_of(node, shapes)
    b = np.full(shape, NONE)
    for k in np.unique(flat).tolist():
        if k == NONE:
            continue
        mark = split(node, (flat == k).astype(float), outs)
        alive = pull_with(node, mark, lambda a: (a != 0).astype(a.dtype), i)[i] > 0
        there = pull_with(node, mark, np.ones_like, i)[i] > 0
        dead = classes.step("Annihilated", node, i, k)
        b = np.minimum(b, np.where(alive, k, np.where(there, dead, NONE)))
    return b
