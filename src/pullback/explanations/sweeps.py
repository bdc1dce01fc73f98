"""The reverse sweeps behind an explanation: gradient, magnitudes and classes of chosen tensors, in one loop.

Read `analyse`, then `_visit_arrays`. Three quantities travel from the outputs back to the entries asked
about:

gradient   the cotangent, by the very rules that backward runs;
magnitude  |v| |J1| |J2| ...: the sum over all paths of the size of their products, nothing cancels in it;
class      how an entry is connected to the non-zero upstream entries: ALIVE (a path of links that are not
           zero), NONE (no path at all), or the shortest chain of dead links that stands between.

A positive magnitude proves a live path, so classes are worked out only where the magnitude is zero, and only
when somebody asks about such entries (`Analysis.classify`). May import
`graph`, `autograd`, `links`, `classes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from pullback.autograd import trouble
from pullback.autograd.engine import key_of
from pullback.errors import message
from pullback.explanations import kinds
from pullback.explanations.classes import ALIVE, NONE, Classes, behind
from pullback.explanations.links import TooMany, local
from pullback.explanations.magnitudes import pull_magnitudes
from pullback.explanations.nodes import arg_shape
from pullback.explanations.values import Facts
from pullback.graph.modes import QUIET, loud, quiet
from pullback.graph.node import Aval, Node, Slot, writes
from pullback.graph.tensor import Tensor

NUMBERS = (np.float32, np.float64)
MOST_WATCHED = 1 << 16  # entries of an elementwise op up to which 0 x inf is looked for


@dataclass(slots=True)
class Reading:
    """What the sweeps found for one tensor."""

    gradient: Any = None  # None: no recorded op leads here
    magnitude: Any = None
    classes: Any = NONE  # an int where all entries agree; NONE until `classify` has run


class Analysis:
    """The sweeps' results and what was noticed on the way.

    outs, upstreams  the outputs and their weights
    nodes            the nodes between the outputs and the tensors asked about, oldest first
    found            per key of a tensor its `Reading`
    unknown          nodes whose links could not be listed, and why
    clashes          (node, argument, entries) where 0 x inf was set to zero
    bad              (node, argument) where non-finite cotangents arose
    hooked           a hook may have changed the gradients that backward gave
    """

    def __init__(self, outs: Sequence[Tensor], upstreams: Sequence[Any], keys: dict[Any, Tensor]) -> None:
        self.outs, self.upstreams, self.keys = tuple(outs), tuple(upstreams), keys
        self.nodes = leading_to(outs, keys)
        self.classes: Classes | None = None
        self.found: dict[Any, Reading] = {}
        self.unknown: list[tuple[Node, str]] = []
        self.clashes: list[tuple[Node, int, int]] = []
        self.bad: list[tuple[Node, int]] = []
        self.hooked = False
        self.kept: dict[tuple[Node, int], tuple[Any, bool]] = {}  # magnitudes with zeros, for the classes
        self._shapes: Facts | None = None

    @property
    def shapes(self) -> Facts:
        """Shape and dtype of the output of every node with one output."""
        if self._shapes is None:
            self._shapes = shapes_of(self.nodes, self.outs)
        return self._shapes

    def sweep(self) -> None:
        """Gradient and magnitude of every key (and its classes, if `classes` is set)."""
        waiting: dict[Any, list[Any]] = {}
        token = quiet(QUIET)
        try:
            for n, (t, v) in enumerate(zip(self.outs, self.upstreams, strict=True)):
                _begin(self, waiting, n, t, v)
            _run(self, waiting)
        finally:
            loud(token)
        for key, t in self.keys.items():
            self.found[key] = _reading(waiting.get(key), t)

    def classify(self) -> Classes:
        """Work out the classes, on first use."""
        if self.classes is None:
            self.classes = Classes()
            readings, self.found = self.found, {}
            self.sweep()
            for key, r in readings.items():
                r.classes = self.found[key].classes
            self.found = readings
            self.kept.clear()
        return self.classes


def producers(edges: Iterable[Any]) -> list[Node]:
    """The nodes among some edges."""
    return [e.node if type(e) is Slot else e for e in edges if e is not None and not isinstance(e, Tensor)]


def edges_of(node: Node) -> list[Any]:
    """Where each argument comes from: its edge, else the origin of a value that autograd did not follow."""
    if node.origins is None:
        return list(node.edges)
    return [e if e is not None else o for e, o in zip(node.edges, node.origins, strict=True)]


def same_key(a: Any, b: Any) -> bool:
    """Are two keys the same place? (Tensors compare entry by entry, so `==` will not do.)"""
    return a is b or (type(a) is tuple and type(b) is tuple and a[0] is b[0] and a[1] == b[1])


def leading_to(outs: Sequence[Tensor], keys: Iterable[Any]) -> list[Node]:
    """The nodes from which a key can be reached, cut paths included, oldest first."""
    seen: set[Node] = set()
    stack = producers([key_edge(t) for t in outs])
    push = stack.append
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        for e in node.edges if node.origins is None else edges_of(node):
            kind = type(e)
            if kind is Node:
                push(e)
            elif kind is Slot:
                push(e.node)
    allowed: set[Any] = {k[0] if isinstance(k, tuple) else k for k in keys}
    found: list[Node] = []
    for node in sorted(seen, key=_number):
        if node in allowed:
            found.append(node)
            continue
        for e in node.edges if node.origins is None else edges_of(node):
            if e is not None and (e.node if type(e) is Slot else e) in allowed:
                allowed.add(node)
                found.append(node)
                break
    return found


_number = attrgetter("number")


def key_edge(t: Tensor) -> Any:
    """The edge of an output: where its cotangent goes, or where its value came from."""
    if t.node is None:
        return t.origin
    return t.node if isinstance(t.node, Node | Slot) else t


def shapes_of(nodes: Sequence[Node], outs: Sequence[Tensor]) -> Facts:
    """Shape and dtype of the output of every node with one output."""
    found = Facts()
    for t in outs:
        e = key_edge(t)
        if isinstance(e, Node):
            found[e] = Aval(t.value.shape, t.value.dtype)
    for node in reversed(nodes):
        args, meta = node.args, node.meta
        for k, e in enumerate(edges_of(node)):
            if type(e) is not Node or e in found:
                continue
            a = args[k]
            if isinstance(a, Tensor):
                v = a.value
                found[e] = Aval(v.shape, v.dtype)
            elif isinstance(a, Aval):
                found[e] = a
            elif meta is not None and meta[k] is not None:
                found[e] = Aval(*meta[k])
            else:
                found[e] = found[node]
    return found


def analyse(outs: Sequence[Tensor], upstreams: Sequence[Any], xs: Sequence[Tensor]) -> Analysis:
    """Gradient and magnitude of the entries of `xs`, for v . out summed over the outputs; classes on demand.

    upstreams  one array of the output's shape per output
    Nothing is freed, no `.grad` touched, no hook run. RuntimeError where a backward pass freed the record,
    where a saved value was written in place since, and for records made inside vmap.
    """
    work = Analysis(outs, upstreams, {key_of(t if t.node is None else key_edge(t)): t for t in xs})
    work.sweep()
    return work


def _begin(work: Analysis, waiting: dict[Any, list[Any]], n: int, t: Tensor, v: Any) -> None:
    """The upstream: an entry that is exactly zero is a dead link."""
    v = np.asarray(v, t.value.dtype)
    m = np.abs(v)
    c: Any = ALIVE
    if work.classes is not None:
        dead = m == 0
        closed = work.classes.step("ZeroUpstream", n, 0, ALIVE)
        c = ALIVE if not dead.any() else closed if dead.all() else np.where(dead, closed, ALIVE)
    edge = key_edge(t)
    if edge is None:
        edge = t
    if t.node is None:
        # a shadow output: nothing flows, its classes still do
        _deliver(waiting, edge, None, np.zeros_like(m), c)
        return
    number = v.ndim == 0 and t.value.dtype.type in NUMBERS
    _deliver(waiting, edge, v[()] if number else v, m[()] if number else m, c)


def _deliver(waiting: dict[Any, list[Any]], edge: Any, g: Any, m: Any, c: Any) -> None:
    """Add to what waits at an edge."""
    key: Any = (edge.node, edge.index) if type(edge) is Slot else edge
    have = waiting.get(key)
    if have is None:
        waiting[key] = [g, m, c]
        return
    have[0] = g if have[0] is None else have[0] if g is None else have[0] + g
    have[1] = have[1] + m
    b = have[2]
    have[2] = min(b, c) if type(b) is int and type(c) is int else np.minimum(b, c)


def _reading(have: list[Any] | None, t: Tensor) -> Reading:
    if have is None:
        return Reading()
    g, m, c = have
    shape = t.value.shape
    if isinstance(c, np.ndarray) and c.shape != shape:
        c = np.broadcast_to(c, shape)
    if g is None and type(m) is float:
        return Reading(classes=c)  # on the way of the classes, magnitudes are not carried along
    return Reading(None if g is None else np.asarray(g).reshape(shape), np.asarray(m).reshape(shape), c)


# ---------------------------------------------------------------------- one node


def _run(work: Analysis, waiting: dict[Any, list[Any]]) -> None:  # noqa: C901 - one flat loop, once per node
    """All nodes, newest first; nodes of numbers take the short way."""
    keys = work.keys
    last = writes.last
    for node in reversed(work.nodes):
        if node.count is None:
            have = waiting.get(node) if node in keys else waiting.pop(node, None)
            if have is None:
                continue
            if node.args is None:
                raise trouble.second_time(node)
            flowing = have[0] is not None or work.classes is not None
            number = flowing and type(have[1]) in NUMBERS and node.meta is None
            if number and not node.params and node.op.pull_number:
                if node.number < last:
                    trouble.check_versions(node)
                if node.origins is None and node.cut is None and not node.special:
                    _visit_number(work, waiting, node, *have)
                    continue
            g, m, c = have
        else:
            slots = [waiting.get((node, k)) for k in range(node.count)]
            if all(s is None for s in slots):
                continue
            if node.args is None:
                raise trouble.second_time(node)
            g, m = ([None if s is None else s[k] for s in slots] for k in (0, 1))
            c = [NONE if s is None else s[2] for s in slots]
        _check(work, node)
        if work.classes is None:
            _visit_arrays(work, waiting, node, g, m)
        else:
            _classify_arrays(work, waiting, node, c)


def _check(work: Analysis, node: Node) -> None:
    if node.op.family == "control" and node.op.name not in ("vmap_enter", "vmap_leave"):
        raise RuntimeError(
            message(
                "explain() cannot look into scan, while_loop and cond",
                f"{node.name} is one op for many steps, whose bodies were recorded once",
                "explain the loop written out in Python, or the body of one step",
            )
        )
    if node.lanes or node.op.family == "control":
        raise RuntimeError(
            message(
                "explain() cannot look into vmap",
                f"{node.name} was recorded for one lane, which stands for all of them",
                "explain the function applied to the batch directly, or to one sample of it",
            )
        )
    if node.number < writes.last:
        trouble.check_versions(node)
    if node.special and (node.hooks or node.node_hooks or node.node_prehooks):
        work.hooked = True


def _visit_number(work: Analysis, waiting: dict[Any, list[Any]], node: Node, g: Any, m: Any, c: Any) -> None:
    """A node of NumPy numbers: its partials are what it makes of the cotangent 1."""
    pull = node.op.pull_number
    partials = pull(node, ONE[type(m)])
    if work.classes is not None:
        _classify_number(work, waiting, node, partials, m, c)
        return
    pulled = pull(node, g)
    k = -1
    for e, p, h in zip(node.edges, partials, pulled):  # noqa: B905 - equal lengths; this runs per scalar op
        k += 1
        if e is None:
            continue
        if p == 0:
            r = p
        elif m != 0:
            r = m * abs(p)
        else:  # a zero magnitude meeting an infinite partial stays zero, as the cotangent does
            r = m
            if p - p != 0 and g == 0:
                work.clashes.append((node, k, 1))
        if h - h != 0 and g - g == 0:
            work.bad.append((node, k))
        if type(e) is Node and e not in waiting:
            waiting[e] = [h, r, c]
        else:
            _deliver(waiting, e, h, r, c)


def _classify_number(
    work: Analysis, waiting: dict[Any, list[Any]], node: Node, partials: Any, m: Any, c: Any
) -> None:
    """The same without the gradient, and with classes."""
    if m != 0:
        c = ALIVE
    for k, (e, p) in enumerate(zip(node.edges, partials)):  # noqa: B905 - equal lengths; runs per scalar op
        if e is None:
            continue
        b, r = c, m
        if p == 0:
            b, r = classes_of(work).step(kinds.of_entry(node, k, work.shapes), node, k, c), p
        elif m != 0:
            r = m * abs(p)
        if type(e) is Node and e not in waiting:
            waiting[e] = [None, r, b]
        else:
            _deliver(waiting, e, None, r, b)


def classes_of(work: Analysis) -> Classes:
    """The classes being worked out."""
    assert work.classes is not None
    return work.classes


ONE = {t: t(1) for t in NUMBERS}


def _visit_arrays(work: Analysis, waiting: dict[Any, list[Any]], node: Node, g: Any, m: Any) -> None:
    """Any other node."""
    every = edges_of(node)
    live = [e is not None and not node.cut for e in node.edges]
    n = len(every)
    # a shadow node: nothing flows through it, its links are still there
    flowing = any(live) and any(x is not None for x in (m if isinstance(m, list) else [m]))
    pulling = any(live) and any(x is not None for x in (g if isinstance(g, list) else [g]))
    pulled: list[Any] = list(node.op.pull(node, g, False)) if pulling else [None] * n
    magnitudes: list[Any] = [None] * n
    if flowing:
        try:
            magnitudes = pull_magnitudes(node, m, live, work.shapes)
        except TooMany:
            work.unknown.append((node, "its local Jacobian has too many entries to list"))
    for i, e in enumerate(every):
        if e is None:
            continue
        h = pulled[i] if i < len(pulled) and live[i] else None
        h = h.value if isinstance(h, Tensor) else h
        r: Any = magnitudes[i] if i < len(magnitudes) else None
        known = r is not None
        if not known:
            r = np.zeros(arg_shape(node, i, work.shapes))
        if not (known and np.all(r > 0)) or not np.ndim(r):
            work.kept[node, i] = r, known
        if h is not None:
            _notice(work, node, i, g, h)
        _deliver(waiting, e, h, r, ALIVE)


def _classify_arrays(work: Analysis, waiting: dict[Any, list[Any]], node: Node, c: Any) -> None:
    """Any other node, on the way of the classes: entries with a positive magnitude are alive."""
    for i, e in enumerate(edges_of(node)):
        if e is None:
            continue
        r, known = work.kept.get((node, i), POSITIVE)
        b: Any = ALIVE
        if not (known and np.all(r > 0)):
            b = behind(classes_of(work), work.shapes, node, i, c, np.shape(r))
            if known:
                b = np.where(r > 0, ALIVE, b)
        # only nodes of numbers look at the magnitude that is handed on
        _deliver(waiting, e, None, r if not np.ndim(r) else 1.0, b)


POSITIVE = (1.0, True)  # stands for magnitudes that are positive everywhere


def _notice(work: Analysis, node: Node, i: int, g: Any, h: Any) -> None:
    """Remember where a number that is not finite arose, and where one was kept away by a zero."""
    arrived = [x for x in (g if isinstance(g, list) else [g]) if x is not None]
    if not np.isfinite(h).all() and all(np.isfinite(x).all() for x in arrived):
        work.bad.append((node, i))
    if node.op.family != "elementwise" or not callable(node.op.partials[i]) or np.size(g) > MOST_WATCHED:
        return
    if not np.all(g):
        values = local(node, i, work.shapes).values
        zero = np.broadcast_to(np.asarray(g), work.shapes[node].shape).reshape(-1) == 0
        count = int((~np.isfinite(values) & zero).sum())
        if count:
            work.clashes.append((node, i, count))


__all__ = ["Analysis", "Reading", "analyse", "edges_of", "key_edge", "same_key"]
