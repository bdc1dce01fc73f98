"""The record between an output and x, swept again with something changed: what mutations are tried on.

Read `Program` first: one base sweep, then `send`, which carries the *difference* that a changed rule makes
on to x (the sweep is linear in the cotangent), and `tangents`, which tell by one inner product what a
difference would do to a random projection of the gradient, so that most mutations are ruled out without a
sweep. `Step` is one node as the tables of wrong rules see it. May import `graph`, `families`, `transform`,
`autograd`, `explanations.cotangents`, `explanations.links`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np

from pullback.autograd.context import context_type
from pullback.autograd.engine import key_of
from pullback.autograd.function import separate_setup
from pullback.errors import message
from pullback.explanations.cotangents import Cotangents, cotangents, pull
from pullback.explanations.links import TooMany
from pullback.explanations.magnitudes import pull_magnitudes
from pullback.explanations.values import Facts
from pullback.families.elementwise import fit
from pullback.graph.modes import QUIET, loud, quiet, state
from pullback.graph.node import Aval, Node, Slot
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.transform.pattern import arguments, output_shapes

Array = Any
# families whose eval may be run again to recover a value that no node kept
NEIGHBOURS = 5  # values upstream of an operand that are tried in its place
REPEATABLE = frozenset({"elementwise", "selection", "structural", "reduction", "contraction", "by hand"})


class Missing(Exception):  # noqa: N818 - a reason to leave a mutation out, never shown as an error
    """A value that a wrong rule would read and that the record does not hold."""


class Change(NamedTuple):
    """One local rule as people get it wrong.

    node, arg  whose cotangent it changes
    rank       how likely: 0 a classic slip of this very op, 1 of its family, 2 of any op
    name       the slip in two or three words; `text` says it in full
    wrong      g -> the wrong cotangent of the argument; g is the cotangent of the node's output
    """

    node: Node
    arg: int
    rank: int
    name: str
    text: str
    wrong: Callable[[Array], Array]


class Program:
    """A recorded computation of out from x, with one reverse sweep of it."""

    def __init__(self, out: Tensor, x: Tensor, upstream: Any) -> None:
        """Sweep once. RuntimeError as `backward` raises it, and where nothing leads from x to out."""
        self.out, self.x = out, x
        self.key = key_of(edge_of(x)) if x.node is not None else x
        self.base: Cotangents = cotangents(out, upstream)
        self.shapes = Facts()
        self.shapes.update(output_shapes([out]))
        self.nodes = self._between()
        self.inside = set(self.nodes)
        self.uses: dict[Any, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for i, e in enumerate(node.edges):
                if e is not None and (same_key(key_of(e), self.key) or _maker(e) in self.inside):
                    self.uses.setdefault(key_of(e), []).append((node, i))
        found = None if x.node is None else self.base.at(edge_of(x))
        if found is None:
            raise _unreached(x)
        self.gradient = np.asarray(found)
        self.steps = {node: Step(self, node) for node in self.nodes}
        self.depth = self._depth()
        self.magnitude = self._magnitude(None)

    def _between(self) -> list[Node]:
        """The nodes on a way from x to out, newest first."""
        reaches: set[Node] = set()
        for node in reversed(self.base.nodes):
            if any(
                e is not None and (same_key(key_of(e), self.key) or _maker(e) in reaches) for e in node.edges
            ):
                reaches.add(node)
        # what lies below an intermediate x is not on the way
        own = self.key[0] if isinstance(self.key, tuple) else self.key
        return [n for n in self.base.nodes if n in reaches and (n is not own or isinstance(own, Tensor))]

    def _depth(self) -> int:
        """The number of nodes on the longest way, with the lengths of sums counted by their roots."""
        longest: dict[Any, float] = {}
        best = 1.0
        for node in reversed(self.nodes):
            below = max((longest.get(_maker(e), 0.0) for e in node.edges if e is not None), default=0.0)
            longest[node] = below + 1 + self.steps[node].summed ** 0.5 / 4
            best = max(best, longest[node])
        return int(best) + 1

    # ------------------------------------------------------------------ sweeps

    def carry(self, given: dict[Any, Array], each: Callable[[Node, Array], Sequence[Any]]) -> dict[Any, Any]:
        """Carry what waits at some edges towards x; returns everything that arrived, by key."""
        waiting = dict(given)
        heap = [(-n.number, n) for n in {_maker_of_key(k) for k in given} if n in self.inside]
        heap.sort()
        queued = {n for _, n in heap}
        while heap:
            node = heappop(heap)[1]
            g = arrived(node, waiting)
            for e, c in zip(node.edges, each(node, g), strict=False):
                if e is None or c is None:
                    continue
                key, maker = key_of(e), _maker(e)
                if not same_key(key, self.key) and maker not in self.inside:
                    continue
                waiting[key] = waiting[key] + c if key in waiting else c
                if maker in self.inside and maker not in queued:
                    queued.add(maker)
                    heappush(heap, (-maker.number, maker))
        return waiting

    def send(self, differences: dict[Any, Array]) -> dict[Any, Any]:
        """What differences at some edges make of the cotangents below, x's included."""
        return self.carry(differences, pull)

    def _magnitude(self, differences: dict[Any, Array] | None) -> Array | None:
        """The sum over all paths of |product|: of the whole gradient, or of what differences bring.

        None where a local Jacobian is too large to list.
        """
        if differences is None:
            edge, v = self.base.roots[0]
            differences = {key_of(edge): np.abs(v)}
        given = {k: np.abs(np.asarray(d)) for k, d in differences.items()}

        def each(node: Node, m: Array) -> Sequence[Any]:
            live = [e is not None for e in node.edges]
            return pull_magnitudes(node, m, live, self.shapes)

        try:
            with np.errstate(all="ignore"):
                found = self.carry(given, each).get(self.key)
        except TooMany:
            return None
        return np.zeros(self.gradient.shape) if found is None else np.asarray(found)

    def magnitude_of(self, differences: dict[Any, Array]) -> Array:
        """The magnitude of what differences bring to x; that of the result where it cannot be had."""
        found = self._magnitude(differences)
        return np.abs(np.asarray(self.send(differences).get(self.key, 0.0))) if found is None else found

    def tangents(self, direction: Array) -> dict[Any, Any]:
        """The tangent of every node's output when x moves in `direction`; None where a jvp is missing."""
        found: dict[Any, Any] = {self.key: wrap(np.asarray(direction, self.x.value.dtype))}
        before = state.grad
        state.update(grad=False)
        try:
            for node in reversed(self.nodes):
                self._push(node, found)
        finally:
            state.update(grad=before)
        return {k: None if t is None else np.asarray(t.value) for k, t in found.items()}

    def _push(self, node: Node, found: dict[Any, Any]) -> None:
        keys = [None if e is None else key_of(e) for e in node.edges]
        outs = [node] if node.count is None else [(node, k) for k in range(node.count)]
        if any(k in found and found[k] is None for k in keys):
            found.update(dict.fromkeys(outs))
            return
        try:
            made = node.op.push(node, [found.get(k) if k is not None else None for k in keys])
        except Exception:  # noqa: BLE001 - a user's jvp that is missing or broken: then without the shortcut
            found.update(dict.fromkeys(outs))
            return
        if node.count is None:
            found[node] = made
        else:
            found.update({(node, k): t for k, t in enumerate(made) if t is not None})

    # ------------------------------------------------------------------ values

    def value_at(self, edge: Any) -> Array:
        """The value of a followed tensor: kept by a node, a leaf's, or computed again; else `Missing`."""
        if isinstance(edge, Tensor):
            return edge.value
        node, index = (edge.node, edge.index) if type(edge) is Slot else (edge, None)
        if node.out is None:
            for user, i in self.uses.get(key_of(edge), ()):
                if isinstance(user.args[i], Tensor):
                    return user.args[i].value
            return self._again(node, index)
        return node.out if index is None else node.out[index]

    def _again(self, node: Node, index: int | None) -> Array:
        step = self.steps.get(node) or Step(self, node)
        out = step.__dict__.get("computed")
        if out is None and "function" in node.__dict__:
            made = forward_again(node, forward_arguments(node, step.every_value(), False))
            out = step.computed = tuple(getattr(t, "value", None) for t in made)
            out = step.computed = out if node.count is not None else out[0]
        if out is None:
            if node.op.family not in REPEATABLE or node.args is None:
                raise Missing
            token = quiet(QUIET)
            try:
                out = step.computed = node.op.eval(*step.every_value(), **node.params)
            finally:
                loud(token)
        return out if index is None else out[index]


class Step:
    """One node as the tables of wrong rules see it: shapes, values where they can be had, the right rule."""

    computed: Any

    def __init__(self, program: Program, node: Node) -> None:
        """Note the shapes; values are looked for when a rule asks for them."""
        self.program, self.node = program, node
        self.op, self.params = node.op, node.params
        self.avals = arguments(node, program.shapes.get(node))

    def __repr__(self) -> str:
        return f"Step({self.node!r})"

    @property
    def live(self) -> list[int]:
        """The arguments that lead to x."""
        p = self.program
        return [
            i
            for i, e in enumerate(self.node.edges)
            if e is not None and (same_key(key_of(e), p.key) or _maker(e) in p.inside)
        ]

    @property
    def summed(self) -> int:
        """How many terms the sums of the rule have: 0 for entrywise rules."""
        sizes = [a.size for a in self.avals if isinstance(a, Aval)]
        lengths = [n for a in self.avals if isinstance(a, Aval) for n in a.shape]
        if self.op.family in ("elementwise", "selection"):
            return max(sizes, default=0) // max(min(sizes, default=1), 1) - 1
        return max((sizes if self.op.family == "reduction" else lengths), default=0)

    def shape(self, i: int) -> tuple[int, ...]:
        """The shape of argument i; () for a Python number."""
        return tuple(getattr(self.avals[i], "shape", ()))

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of the output (of the first of several)."""
        known = self.program.shapes.get(self.node) or (self.node.out_avals or [None])[0]
        if known is None:
            raise Missing
        return tuple(known.shape)

    def value(self, i: int) -> Array:
        """The value of argument i; `Missing` where the record does not hold it."""
        a = self.node.args[i]
        if isinstance(a, Tensor):
            return a.value
        e = self.node.edges[i]
        if e is not None:
            if isinstance(e, Tensor) and e.counter is not None and e.counter.written_since(self.node.number):
                raise Missing  # the leaf has another value now
            return self.program.value_at(e)
        if isinstance(a, Aval) or (a is None and isinstance(self.avals[i], Aval)):
            raise Missing
        return a

    def every_value(self) -> list[Array]:
        """All arguments; `Missing` where one is not to be had."""
        return [self.value(i) for i in range(len(self.node.args))]

    @property
    def value_out(self) -> Array:
        """The value of the output."""
        return self.program.value_at(self.node)

    def right(self, i: int, g: Array) -> Array:
        """The cotangent of argument i by the op's own rule."""
        return pull(self.node, g)[i]

    def change(self, i: int, rank: int, name: str, text: str, wrong: Callable[[Array], Array]) -> Change:
        """A wrong rule of this node."""
        return Change(self.node, i, rank, name, text, wrong)

    def times(self, i: int, f: float) -> Callable[[Array], Array]:
        """The right rule times a factor."""
        return lambda g: np.asarray(self.right(i, g)) * f

    def neighbours(self, j: int) -> Iterator[tuple[str, Callable[[], Array]]]:
        """Values of operand j's shape that it may be confused with: what it was made of, what it made."""
        edge, shape = self.node.edges[j], self.shape(j)
        if edge is None or not shape:
            return
        p = self.program
        for node, _ in p.uses.get(key_of(edge), ()):
            if node is not self.node and node.count is None and p.steps[node].out_shape == shape:
                yield f"what came out of {node.op.name}", lambda n=node: p.value_at(n)
        queue, found = [_maker(edge)], 0
        while queue and found < NEIGHBOURS:
            node = queue.pop(0)
            if not isinstance(node, Node) or node.count is not None or node.args is None:
                continue
            step = p.steps.get(node) or Step(p, node)
            for k, e in enumerate(node.edges):
                if step.shape(k) == shape and (e is not None or isinstance(node.args[k], Tensor)):
                    found += 1
                    yield f"what went into {node.op.name}", lambda s=step, k=k: s.value(k)
                    queue.append(_maker(e))

    def fitted(self, i: int, c: Array) -> Array:
        """A cotangent summed over what broadcasting stretched, in the argument's shape and dtype."""
        a = self.avals[i]
        return fit(np.asarray(c), tuple(a.shape), a.dtype)


def forward_again(node: Node, args: list[Any]) -> tuple[Any, ...]:
    """Run a custom Function's forward without recording the Function."""
    cls = node.__dict__["function"]
    out = cls.forward(*args) if separate_setup(cls) else cls.forward(context_type("Backward")(), *args)
    return out if isinstance(out, tuple) else (out,)


def forward_arguments(node: Node, values: list[Any], double: bool) -> list[Any]:
    """The arguments of a custom Function's forward as unfollowed tensors of their own memory."""
    made: list[Any] = []
    for a, v in zip(node.args, values, strict=True):
        if not isinstance(a, Aval | Tensor):
            made.append(v)
            continue
        own = np.array(v)
        made.append(wrap(own.astype(float) if double and own.dtype.kind == "f" else own))
    return made


def unchanged(g: Array) -> Array:
    """The rule of the identity."""
    return np.asarray(g)


def same_key(a: Any, b: Any) -> bool:
    """Are two edges' keys the same? (Tensors compare entry by entry, so by identity.)"""
    return a is b or (isinstance(a, tuple) and isinstance(b, tuple) and a[0] is b[0] and a[1] == b[1])


def arrived(node: Node, waiting: dict[Any, Any]) -> Any:
    """What waits at a node's output, as its rule takes it."""
    if node.count is None:
        return waiting[node]
    return [waiting.get((node, k)) for k in range(node.count)]


def _maker(edge: Any) -> Any:
    return edge.node if type(edge) is Slot else edge


def _maker_of_key(key: Any) -> Any:
    return key[0] if isinstance(key, tuple) else key


def _unreached(x: Tensor) -> RuntimeError:
    return RuntimeError(
        message(
            "One of the differentiated Tensors appears to not have been used in the graph",
            f"no recorded op leads from x (shape {list(x.value.shape)}) to the output",
            "pb.explain(out, x) says where the path is cut",
        )
    )


__all__ = [
    "Change",
    "Missing",
    "Program",
    "Step",
    "arrived",
    "forward_again",
    "forward_arguments",
    "same_key",
    "unchanged",
]
