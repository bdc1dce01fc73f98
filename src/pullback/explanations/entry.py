"""One entry's links: every path from it to the outputs, what its gradient is made of, why it is zero.

Read `Paths`, then `true_causes`. Vertices are entries of values, links lead from an input entry of an op to
an output entry; a last link per output entry is the upstream. Links are kept in the order in which their ops
ran, so one pass forward or backward over them visits everything in topological order. May import `graph`,
`links`, `kinds`, `sweeps`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.explanations import kinds
from pullback.explanations.links import TooMany, carries, chosen_pairs, columns, local
from pullback.explanations.nodes import counted
from pullback.explanations.sweeps import Analysis, edges_of, key_edge
from pullback.graph.node import Node, Slot

MOST = 60_000  # links of one entry's paths
MOST_NODES = 3_000  # of a record whose paths are listed
MOST_DEAD = 2_000
SAID = 64  # dead links of one op that are described where the paths behind it are too many to list
STEPS = 20_000  # of the search for minimal sets of dead links


@dataclass(slots=True)
class Stretch:
    """The links of one argument of one node, or of one output's upstream (node None)."""

    node: Node | None
    i: int
    tails: Any  # vertex numbers
    heads: Any
    values: Any
    rows: Any
    cols: Any
    dead: Any
    cut: str = ""  # every link is dead: "Stopped" or "Discrete"


@dataclass(slots=True)
class Step:
    """One link of a path: through argument `i` of `node` from its entry `col` to output entry `row`."""

    node: Node | None
    i: int
    row: int
    col: int
    value: float


@dataclass(slots=True)
class Dead:
    """One dead link, as (position in the links, node, argument, entries, kind)."""

    at: int
    node: Node | None
    i: int
    row: int
    col: int
    kind: str


class Paths:
    """All links between one entry of a tensor and the outputs.

    choices  count links through indices and conditions too
    until    only the links of nodes up to this record number
    `TooMany` where they cannot be listed.
    """

    def __init__(
        self, work: Analysis, key: Any, entry: int, choices: bool = False, until: int | None = None
    ) -> None:
        self.work = work
        self.choices = choices
        self.until = until
        self.stretches: list[Stretch] = []
        self.active: dict[Any, Any] = {key: np.array([entry], np.int64)}
        self.base: dict[Any, int] = {}
        self.count = 1  # vertex 0 is the entry
        self.start = 0
        self.base[key] = 0
        self._walk()
        self.sink = self.count
        self._finish()

    # ------------------------------------------------------------------ gathering

    def _walk(self) -> None:
        total = 0
        found: list[tuple[Node, int, Any, Any, str]] = []
        if len(self.work.nodes) > MOST_NODES and self.until is None:
            raise TooMany
        for node in self.work.nodes:
            if self.until is not None and node.number > self.until:
                break
            mine: list[tuple[Node, int, Any, Any, str]] = []
            for i, e in enumerate(edges_of(node)):
                key = (e.node, e.index) if type(e) is Slot else e
                if e is None or key not in self.active:
                    continue
                links, cut = self._links(node, i, self.active[key], MOST - total)
                total += len(links[0])
                mine.append((node, i, key, links, cut))
            if mine:
                self._open(node, mine)
                found += mine
        for node, i, key, (rows, cols, values), cut in found:
            if len(rows):
                self._add(node, i, key, rows, cols, values, cut)

    def _links(self, node: Node, i: int, entries: Any, most: int) -> tuple[Any, str]:
        work = self.work
        if not carries(node, i):
            if not self.choices:
                return (np.zeros(0, np.int64),) * 3, ""
            rows, cols = chosen_pairs(node, i, work.shapes)
            here = np.isin(cols, entries)
            if here.sum() > most:
                raise TooMany
            return (rows[here], cols[here], np.zeros(int(here.sum()))), "Discrete"
        if node.cut and node.edges[i] is not None:
            rows, cols, values = local(node, i, work.shapes)
            here = np.isin(cols, entries)
            return (
                rows[here],
                cols[here],
                values[here] * 0,
            ), "Discrete" if node.cut == "discrete" else "Stopped"
        return columns(node, i, entries, work.shapes, most), ""

    def _open(self, node: Node, mine: list[Any]) -> None:
        """Make vertices of the output entries that some link reaches."""
        rows = np.unique(np.concatenate([links[0] for _, _, _, links, _ in mine]))
        if not len(rows):
            return
        start = 0
        for key, size in output_keys(node, self.work.shapes):
            here = rows[(rows >= start) & (rows < start + size)] - start
            if len(here):
                self.active[key] = here
                self.base[key] = self.count
                self.count += len(here)
            start += size

    def _vertices(self, key: Any, entries: Any) -> Any:
        return self.base[key] + np.searchsorted(self.active[key], entries)

    def _add(self, node: Node, i: int, key: Any, rows: Any, cols: Any, values: Any, cut: str) -> None:
        heads = np.zeros(len(rows), np.int64)
        start = 0
        for out, size in output_keys(node, self.work.shapes):
            here = (rows >= start) & (rows < start + size)
            if here.any():
                heads[here] = self._vertices(out, rows[here] - start)
            start += size
        dead = np.ones(len(rows), bool) if cut else values == 0
        self.stretches.append(
            Stretch(node, i, self._vertices(key, cols), heads, values, rows, cols, dead, cut)
        )

    def _finish(self) -> None:
        """The upstream as last links, and one numbering of all links."""
        self._upstream()
        parts = self.stretches
        self.first = np.cumsum([0, *(len(s.tails) for s in parts)])
        empty = np.zeros(0, np.int64)
        self.tails = np.concatenate([empty, *(s.tails for s in parts)])
        self.heads = np.concatenate([empty, *(s.heads for s in parts)])
        self.values = np.concatenate([np.zeros(0), *(s.values for s in parts)])
        self.dead = np.concatenate([np.zeros(0, bool), *(s.dead for s in parts)])
        self.stops = np.concatenate(
            [np.zeros(0, bool), *(np.broadcast_to(stopping(s), s.dead.shape) for s in parts)]
        )

    def _upstream(self) -> None:
        for n, (t, v) in enumerate(zip(self.work.outs, self.work.upstreams, strict=True)):
            e = key_edge(t)
            key = (e.node, e.index) if type(e) is Slot else t if e is None else e
            entries = self.active.get(key)
            if entries is None:
                continue
            values = np.asarray(v, t.value.dtype).reshape(-1)[entries]
            tails = self._vertices(key, entries)
            heads = np.full(len(entries), self.sink)
            self.stretches.append(Stretch(None, n, tails, heads, values, entries, entries, values == 0))

    # ------------------------------------------------------------------ sums over paths

    def backward(self, start: float, combine: Any, extend: Any, empty: float) -> Any:
        """A quantity of every vertex: `combine` over its links of `extend`(links, the heads' quantity)."""
        found = np.full(self.sink + 1, empty, np.result_type(start, empty))
        found[self.sink] = start
        for s in reversed(self.stretches):
            combine.at(found, s.tails, extend(s, found[s.heads]))
        return found

    def connected(self) -> Any:
        """From which vertices is there any path to an output?"""
        return self.backward(1.0, np.maximum, lambda _s, h: h, 0.0) > 0

    def alive(self) -> Any:
        """From which vertices is there a path of live links?"""
        return self.backward(1.0, np.maximum, lambda s, h: np.where(s.dead, 0.0, h), 0.0) > 0

    def magnitudes(self) -> Any:
        """The sum over paths of the size of their products, per vertex."""
        with np.errstate(all="ignore"):
            return self.backward(
                1.0, np.add, lambda s, h: np.where(s.dead | (h == 0), 0.0, np.abs(s.values) * h), 0.0
            )

    def gradients(self) -> Any:
        """The sum over paths of their products, per vertex (an exact zero stops what is not finite)."""
        with np.errstate(all="ignore"):
            return self.backward(
                self.values.dtype.type(1),
                np.add,
                lambda s, h: np.where((h == 0) | stopping(s), 0.0, s.values * h),
                0.0,
            )

    def best(self) -> Any:
        """The logarithm of the largest product among the live paths, per vertex."""
        with np.errstate(all="ignore"):
            return self.backward(
                0.0, np.maximum, lambda s, h: np.where(s.dead, -np.inf, np.log(np.abs(s.values)) + h), -np.inf
            )

    # ------------------------------------------------------------------ single paths

    def shortest(self) -> list[int]:
        """The links of a path with as few dead ones as can be, nearest to the input first; [] for none."""
        fewest = self.backward(0.0, np.minimum, lambda s, h: h + s.dead, np.inf)
        if not np.isfinite(fewest[self.start]):
            return []
        order, starts = self.leaving()
        found: list[int] = []
        v = self.start
        while v != self.sink:
            links = order[starts[v] : starts[v + 1]]
            left = fewest[self.heads[links]] + self.dead[links]
            found.append(int(links[int(np.argmin(left))]))
            v = int(self.heads[found[-1]])
        return found

    def stretch(self, at: int) -> Stretch:
        """The stretch that link number `at` belongs to."""
        return self.stretches[int(np.searchsorted(self.first, at, "right")) - 1]

    def step(self, at: int) -> Step:
        """What link number `at` is."""
        k = int(np.searchsorted(self.first, at, "right")) - 1
        s = self.stretches[k]
        j = at - int(self.first[k])
        value = s.values[j]
        return Step(
            s.node, s.i, int(s.rows[j]), int(s.cols[j]), value.item() if hasattr(value, "item") else value
        )

    def leaving(self) -> tuple[Any, Any]:
        """Links sorted by their tail, and where each vertex's begin."""
        order = np.argsort(self.tails, kind="stable")
        return order, np.searchsorted(self.tails[order], np.arange(self.sink + 2))

    def largest(self, most: int) -> Iterator[tuple[list[int], float]]:
        """The live paths in the order of the size of their products: (links, product)."""
        best = self.best()
        order, starts = self.leaving()
        queue: list[Any] = [(-best[self.start], 0, self.start, (), 0.0)]
        serial, given = 1, 0
        while queue and given < most and serial < STEPS:
            _, _, v, links, size = heapq.heappop(queue)
            if v == self.sink:
                given += 1
                product = 1.0
                for at in reversed(links):
                    product = product * self.values[at].item()
                yield list(links), product
                continue
            for at in order[starts[v] : starts[v + 1]].tolist():
                h = int(self.heads[at])
                if self.dead[at] or best[h] == -np.inf:
                    continue
                longer = size + float(np.log(np.abs(self.values[at])))
                heapq.heappush(queue, (-(longer + best[h]), serial, h, (*links, at), longer))
                serial += 1


def stopping(s: Stretch) -> Any:
    """Which dead links stop even what is not finite: those that route, rather than multiply by 0."""
    if s.cut:
        return True
    op = None if s.node is None else s.node.op
    routes = op is not None and (
        op.family in ("selection", "structural", "random")
        or getattr(op, "picks", False)
        or (op.family == "elementwise" and op.partials[s.i] is None)
    )
    return s.dead if routes else False


def output_keys(node: Node, shapes: dict[Any, Any]) -> list[tuple[Any, int]]:
    """The keys and sizes of a node's floating outputs, in the order of its flat output entries."""
    if node.count is None:
        return [(node, shapes[node].size)]
    return [((node, k), node.out_avals[k].size) for k, yes in enumerate(counted(node)) if yes]


# ---------------------------------------------------------------------- why it is zero


def true_causes(paths: Paths) -> tuple[list[Dead], bool]:
    """The dead links that lie in a minimal set whose revival gives a live path; and whether these are all.

    A set is minimal exactly if its links follow one another on a path without a shortcut: from none of them a
    live stretch leads past the next one. The search lists such paths; `False` where it had to stop early.
    """
    numbers = np.flatnonzero(paths.dead & paths.connected()[paths.heads])
    if len(numbers) > MOST_DEAD:
        return _on_shortest(paths, numbers), False
    position = {int(at): k for k, at in enumerate(numbers)}
    reach = _reach(paths, position)
    sink = 1 << len(numbers)
    after = [reach[int(paths.heads[at])] for at in numbers]
    first = reach[paths.start]
    proven: set[int] = set()
    candidates = _between(first, after, sink)
    complete = _search(first, after, sink, proven, candidates)
    chosen = [int(numbers[k]) for k in sorted(proven)]
    return _described(paths, chosen), complete


def _reach(paths: Paths, position: dict[int, int]) -> list[int]:
    """Per vertex, as bits: the dead links whose tail a live path reaches; highest bit: the outputs."""
    found = [0] * (paths.sink + 1)
    found[paths.sink] = 1 << len(position)
    for k in range(len(paths.stretches) - 1, -1, -1):
        s = paths.stretches[k]
        base = int(paths.first[k])
        for j, (t, h, dead) in enumerate(
            zip(s.tails.tolist(), s.heads.tolist(), s.dead.tolist(), strict=True)
        ):
            if not dead:
                found[t] |= found[h]
            elif base + j in position:
                found[t] |= 1 << position[base + j]
    return found


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _between(first: int, after: list[int], sink: int) -> set[int]:
    """The dead links on any path at all: reached from the entry, and leading to an output."""
    forward: set[int] = set()
    stack = list(_bits(first & ~sink))
    while stack:
        k = stack.pop()
        if k not in forward:
            forward.add(k)
            stack += [j for j in _bits(after[k] & ~sink) if j not in forward]
    leads: set[int] = set()
    changed = True
    while changed:
        changed = False
        for k in forward - leads:
            if after[k] & sink or any(j in leads for j in _bits(after[k] & ~sink)):
                leads.add(k)
                changed = True
    return leads


def _search(first: int, after: list[int], sink: int, proven: set[int], candidates: set[int]) -> bool:
    """Depth first over paths without shortcuts; True if it came to its end or proved every candidate."""
    steps = 0
    stack: list[tuple[int, int, tuple[int, ...]]] = []  # next link, links no longer allowed, path before it
    for k in sorted(_bits(first & ~sink), key=lambda k: not after[k] & sink):
        if k in candidates:
            stack.insert(0, (k, first, ()))
    while stack:
        k, seen, before = stack.pop()
        steps += 1
        if steps > STEPS:
            return False
        if after[k] & sink:
            proven.update((*before, k))
            if len(proven) == len(candidates):
                return True
            continue  # going on would pass an output that is already reached
        onward = [j for j in _bits(after[k] & ~seen & ~sink) if j in candidates]
        stack += [(j, seen | after[k], (*before, k)) for j in onward]
    return True


def dead_at(paths: Paths, node: Node, i: int) -> list[Dead]:
    """The dead links at one argument of a node that this entry reaches."""
    numbers = np.flatnonzero(paths.dead)
    here = [int(at) for at in numbers if paths.stretch(int(at)).node is node]
    return [d for d in _described(paths, here[:SAID]) if d.i == i]


def _on_shortest(paths: Paths, numbers: Any) -> list[Dead]:
    """The dead links on paths with the fewest of them: true causes for certain, perhaps not all."""
    fewest = paths.backward(0.0, np.minimum, lambda s, h: h + s.dead, np.inf)
    so_far = np.full(paths.sink + 1, np.inf)
    so_far[paths.start] = 0
    for s in paths.stretches:
        np.minimum.at(so_far, s.heads, so_far[s.tails] + s.dead)
    total = fewest[paths.start]
    on = numbers[so_far[paths.tails[numbers]] + 1 + fewest[paths.heads[numbers]] == total]
    return _described(paths, [int(at) for at in on[:64]])


def _described(paths: Paths, chosen: list[int]) -> list[Dead]:
    """Dead links with their kinds, nearest to the input first (links are numbered in that order)."""
    found: list[Dead] = []
    for at in chosen:
        step = paths.step(at)
        found.append(Dead(at, step.node, step.i, step.row, step.col, _kind(paths, at, step)))
    return found


def _kind(paths: Paths, at: int, step: Step) -> str:
    if step.node is None:
        return "ZeroUpstream"
    cut = paths.stretch(at).cut
    if cut:
        return cut
    rows, cols = np.array([step.row]), np.array([step.col])
    return str(kinds.of_links(step.node, step.i, rows, cols, paths.work.shapes)[0])
