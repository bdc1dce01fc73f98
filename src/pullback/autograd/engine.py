"""The reverse sweep: one loop over the record, newest node first.

Read `sweep` first. Producers always have lower record numbers than their consumers, so a heap on the number
visits every node after all its consumers, without a sort, a recursion or a second pass. `sweep` works on
plain arrays; with `tensors=True` the cotangents are tensors and the rules record themselves (create_graph,
vmap). May import `graph`, `families.op`, `errors`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from pullback.autograd import trouble
from pullback.autograd.passes import contributed, contributions, remember
from pullback.families.op import cast
from pullback.graph.modes import QUIET, loud, quiet, state
from pullback.graph.node import Node, Slot, writes
from pullback.graph.record import unpack
from pullback.graph.tensor import Tensor, wrap

Key = Any  # a leaf Tensor, a Node, or (Node, index) of a Slot


def key_of(edge: Any) -> Key:
    """The dictionary key of an edge."""
    return (edge.node, edge.index) if type(edge) is Slot else edge


def sweep(  # noqa: C901, PLR0912, PLR0915 - one flat loop: every call in it would be paid per node
    roots: Sequence[tuple[Any, Any]],
    *,
    keep: bool,
    tensors: bool,
    wanted: set[Key] | None = None,
    named: str | None = None,
) -> tuple[dict[Tensor, Any], dict[Key, Any]]:
    """Push cotangents from the roots back to the leaves.

    roots    (edge, cotangent) pairs; cotangents are plain values, or tensors if `tensors`
    keep     keep what the nodes saved (retain_graph)
    wanted   if given, only these edges matter: nodes that do not lead to one are not visited
    named    if given, the pass is remembered (`passes`) under this name
    Returns the leaves' cotangents and those of the wanted nodes, hooks applied. Nothing is freed and no
    `.grad` is touched
    before the last rule has run, so a sweep that fails leaves everything as it was.
    """
    heap: list[tuple[int, Node]] = []
    grads: dict[Any, Any] = {}
    leaves: dict[Tensor, Any] = {}
    allowed = None if wanted is None else _leading_to([e for e, _ in roots], wanted)
    extras = _Extras(tensors, wanted, roots) if wanted is not None or state.anomaly else None
    careful = extras is not None
    plain = not tensors and not careful
    done: list[Node] = []
    following: Any = (
        None  # the next node where only one waits, and its cotangent: chains never touch the heap
    )
    waiting: Any = None
    node: Any = None
    size = 0  # bytes of the cotangents that are arrays
    token = quiet(QUIET)
    try:
        if len(roots) == 1 and type(roots[0][0]) is Node and allowed is None:
            following, waiting = roots[0]
        else:
            for edge, c in roots:
                _deliver(edge, c, heap, grads, leaves, allowed)
        while True:
            if following is not None:
                node, g, following = following, waiting, None
            elif heap:
                node = heappop(heap)[1]
                g = grads.pop(node)
            else:
                break
            op = node.op
            if node.args is None:
                raise trouble.second_time(node, roots)
            if node.number < writes.last:
                trouble.check_versions(node)
            if careful or node.special:
                if extras is None:
                    extras = _Extras(tensors, wanted, roots)
                cotangents = extras.pull(node, g)
                size += g.nbytes if type(g) is _array else 0
            elif type(g) in _SCALARS and plain and node.meta is None and not node.params and op.pull_number:
                cotangents = op.pull_number(node, g)
            else:
                cotangents = op.pull(node, g, tensors)
                if type(g) is _array:
                    size += g.nbytes
            if op.saves and not keep:
                done.append(node)
            for edge, c in zip(node.edges, cotangents):  # noqa: B905 - equal lengths; the keyword costs time here
                if c is None or edge is None:
                    continue
                kind = type(edge)
                if kind is not Node:
                    if kind is Slot:
                        _deliver(edge, c, heap, grads, leaves, allowed)
                    else:
                        leaves[edge] = leaves[edge] + c if edge in leaves else c
                elif edge is following:
                    waiting = waiting + c
                elif edge in grads:
                    grads[edge] = grads[edge] + c
                elif allowed is None or edge in allowed:
                    if following is None and not heap:
                        following, waiting = edge, c
                    else:
                        grads[edge] = c
                        heappush(heap, (-edge.number, edge))
            if following is not None and heap:
                grads[following] = waiting
                heappush(heap, (-following.number, following))
                following = None
    finally:
        loud(token)
    if named is not None:
        small = not keep and not tensors and (extras is None or not extras.packed)
        remember(named, roots, done, leaves, size, node, small)
    for node in done:
        if node.meta is None and node.op.pull_number:
            node.args = node.out = None  # a family without a second look at what a node saved
        else:
            node.op.free(node)
    if extras is None:
        return leaves, {}
    for holder, c in extras.retained:
        before = contributions(holder) if state.lines else 0
        accumulate(holder, c, tensors or isinstance(c, Tensor))
        if state.lines:
            contributed(holder, before)
    return leaves, extras.captured


def _deliver(
    edge: Any,
    c: Any,
    heap: list[Any],
    grads: dict[Any, Any],
    leaves: dict[Tensor, Any],
    allowed: set[Node] | None,
) -> None:
    """Add a cotangent to what waits at an edge of any kind."""
    kind = type(edge)
    if kind is not Node and kind is not Slot:
        have = leaves.get(edge)
        leaves[edge] = c if have is None else have + c
        return
    node = edge if kind is Node else edge.node
    if node not in grads:
        if allowed is not None and node not in allowed:
            return
        grads[node] = None if kind is Node else [None] * node.count
        heappush(heap, (-node.number, node))
    if kind is Node:
        have = grads[node]
        grads[node] = c if have is None else have + c
    else:
        slots = grads[node]
        have = slots[edge.index]
        slots[edge.index] = c if have is None else have + c


class _Extras:
    """What only some sweeps need.

    Hooks, captures, retained gradients, packed values, lanes, anomaly checks.
    """

    __slots__ = ("captured", "odd", "packed", "retained", "tensors", "wanted")

    def __init__(self, tensors: bool, wanted: set[Key] | None, roots: Sequence[tuple[Any, Any]]) -> None:
        self.captured: dict[Key, Any] = {}
        self.retained: list[tuple[Tensor, Any]] = []
        self.tensors, self.wanted, self.packed = tensors, wanted, False
        self.odd = trouble.Sweep(roots)

    def pull(self, node: Node, g: Any) -> Any:
        """One step with everything that a node or a mode may ask for."""
        tensors = self.tensors or node.lanes
        if tensors and not self.tensors:
            g = _wrapped(g)  # a plain root of a sweep that starts at a node of a vmap or a trace
        g = self._outputs(node, g, tensors)
        if node.packed is not None:
            unpack(node)
        if node.packed is not None or node.lanes:
            self.packed = True
        cotangents = node.op.pull(node, g, tensors)
        if state.anomaly:
            trouble.check_finite(node, g, cotangents, self.odd)
        return cotangents if node.node_hooks is None else _run_node_hooks(node, cotangents, g)

    def _outputs(self, node: Node, g: Any, tensors: bool) -> Any:
        """Run prehooks and tensor hooks, note retained gradients, capture wanted ones."""
        several = node.count is not None
        outputs = list(g) if several else [g]
        if node.node_prehooks is not None:
            outputs = _run_prehooks(node, outputs, tensors)
        for i, c in enumerate(outputs):
            if c is None:
                continue
            hooks = node.hooks.get(i) if node.hooks is not None else None
            if hooks:
                outputs[i] = c = run_hooks(hooks, c, tensors)  # noqa: PLW2901
            if node.retained is not None and i in node.retained:
                holder = node.retained[i]()
                if holder is not None:
                    self.retained.append((holder, c))
            if self.wanted is not None:
                key = (node, i) if several else node
                if key in self.wanted:
                    self.captured[key] = c
        return outputs if several else outputs[0]


def _wrapped(g: Any) -> Any:
    if isinstance(g, list):
        return [_wrapped(c) for c in g]  # pyright: ignore[reportUnknownVariableType]
    return g if g is None or isinstance(g, Tensor) else wrap(g)


def _leading_to(edges: Sequence[Any], wanted: set[Key]) -> set[Node]:
    """The nodes from which a wanted edge can be reached (wanted nodes themselves included)."""
    seen: set[Node] = set()
    stack = [e.node if type(e) is Slot else e for e in edges if not isinstance(e, Tensor)]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        for e in node.edges:
            if type(e) is Slot:
                e = e.node  # noqa: PLW2901
            if type(e) is Node and e not in seen:
                stack.append(e)
    nodes = {k[0] if isinstance(k, tuple) else k for k in wanted if not isinstance(k, Tensor)}
    leaves = {k for k in wanted if isinstance(k, Tensor)}
    allowed: set[Node] = set()
    for node in sorted(seen, key=_number):
        if node in nodes or any(
            (e in leaves) if isinstance(e, Tensor) else ((e.node if type(e) is Slot else e) in allowed)
            for e in node.edges
            if e is not None
        ):
            allowed.add(node)
    return allowed


def _number(node: Node) -> int:
    return node.number


def run_hooks(hooks: Sequence[Any], c: Any, tensors: bool) -> Any:
    """Run tensor hooks in order; each may replace the gradient for the next."""
    t = c if tensors else wrap(np.array(c) if not isinstance(c, np.ndarray) else c)
    for hook in list(hooks):
        r = hook.function(t)
        if r is None:
            continue
        trouble.check_hook(hook.function, t, r)
        t = r
    return t if tensors else t.value


def _run_prehooks(node: Node, outputs: list[Any], tensors: bool) -> list[Any]:
    for hook in list(node.node_prehooks or ()):
        given = tuple(_as_tensor(c, tensors) for c in outputs)
        r = hook.function(given)
        if r is not None:
            r = r if isinstance(r, tuple) else (r,)
            outputs = [_as_value(c, tensors) for c in r]
    return outputs


def _run_node_hooks(node: Node, cotangents: Any, g: Any) -> Any:
    tensors = any(isinstance(c, Tensor) for c in cotangents if c is not None)
    outs = tuple(_as_tensor(c, isinstance(c, Tensor)) for c in (g if node.count is not None else [g]))
    result = list(cotangents)
    for hook in list(node.node_hooks or ()):
        places = [i for i, e in enumerate(node.edges) if e is not None or len(node.edges) > 1]
        given = tuple(_as_tensor(result[i], tensors) for i in places)
        r = hook.function(given, outs)
        if r is not None:
            for i, c in zip(places, r if isinstance(r, tuple) else (r,), strict=False):
                result[i] = _as_value(c, tensors)
    return result


def _as_tensor(c: Any, tensors: bool) -> Any:
    return c if c is None or tensors else wrap(c)


def _as_value(c: Any, tensors: bool) -> Any:
    return c if c is None or tensors else c.value


# ---------------------------------------------------------------------- leaves


def accumulate(leaf: Tensor, c: Any, tensors: bool) -> None:
    """Add a cotangent to `.grad`: in place into the same tensor, or out of place where a graph is kept."""
    have = leaf.stored_grad
    traced: Any = getattr(c, "foreign", None)
    if traced is not None:
        leaf.stored_grad = c if have is None else have + c
        return
    if tensors:
        leaf.stored_grad = (
            (_copied(c) if c.node is not None else wrap(owned(c.value))) if have is None else have + c
        )
        return
    if have is None:
        leaf.stored_grad = g = _new(Tensor)
        g.value = c if type(c) is not _array else owned(c)
    elif have.node is not None:
        leaf.stored_grad = have + wrap(c)
    else:
        v = have.value
        if type(v) is _array:
            np.add(v, c, out=v)
        else:
            have.value = v + c
        if have.counter is not None:
            have.counter.bump()


def _copied(c: Tensor) -> Tensor:
    """A recorded copy: two leaves may have got one cotangent."""
    t = c.clone()
    if type(t.node) is Node:
        t.node.label = "CopyBackwards"
    return t


_new = object.__new__
_array = np.ndarray
_SCALARS = (np.float32, np.float64)


def owned(c: Any) -> Any:
    """The array itself if nobody else holds it, else a copy: `.grad` never shares memory with anything."""
    if type(c) is not _array:
        return c
    if c.base is None and c.flags.c_contiguous and c.flags.writeable and sys.getrefcount(c) <= UNSHARED:
        return c
    return np.array(c, order="C")


def _calibrate() -> int:
    """How many references an unshared cotangent has in `owned`, seen through the same calls (it differs
    between Pythons).
    """
    leaves = {0: np.zeros(1)}
    count = 0
    for leaf in list(leaves):
        c = leaves.pop(leaf)
        count = _like_accumulate(leaf, c, False)
    return count


def _like_accumulate(leaf: Any, c: Any, tensors: bool) -> int:  # noqa: ARG001 - the shape of `accumulate`
    return _like_owned(c)


def _like_owned(c: Any) -> int:
    return sys.getrefcount(c)


UNSHARED = _calibrate()


def finish_leaves(leaves: dict[Tensor, Any], tensors: bool, only: set[Key] | None) -> None:
    """Run the leaves' hooks and add up `.grad`."""
    counting = state.lines
    for leaf in list(leaves):
        c = leaves.pop(leaf)
        if only is not None and leaf not in only:
            continue
        if leaf.cut:
            continue
        if leaf.hooks is not None:
            c = run_hooks(leaf.hooks, c, tensors)
        if leaf.node is None and only is None:
            continue  # requires_grad was switched off after the graph was built
        before = contributions(leaf) if counting else 0
        accumulate(leaf, c, tensors)
        if counting:
            contributed(leaf, before)
        if leaf.accumulate_hooks is not None:
            for hook in list(leaf.accumulate_hooks):
                trouble.check_none(hook.function(leaf))


def seed_like(t: Tensor, tensors: bool) -> Any:
    """The implicit upstream of a one-element output: ones of its shape."""
    v = t.value
    if tensors:
        return t.new_ones_like() if t.foreign is not None else wrap(np.ones(v.shape, v.dtype))
    return v.dtype.type(1) if type(v) is not _array else np.ones(v.shape, v.dtype)


def seed_from(g: Tensor, t: Tensor, tensors: bool) -> Any:
    """A user's upstream in the output's dtype, never written to afterwards."""
    if tensors:
        if t.foreign is not None and g.foreign is None:
            g = t.new_filled(1) * g  # the same upstream in every lane
        return g if g.value.dtype == t.value.dtype else g.to(t.dtype)
    return cast(g.value, t.value.dtype)
