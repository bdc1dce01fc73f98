"""Every cotangent of one reverse sweep, kept: what arrives at each node and what it sends to each argument.

Read `cotangents` first. The sweep runs the rules that `backward` runs, on plain arrays, and looks only:
nothing is freed, no `.grad` changes, no hook is called. May import `graph`, `autograd`, `errors`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np

from pullback.autograd import trouble
from pullback.autograd.public import make_roots
from pullback.errors import message
from pullback.graph.modes import QUIET, loud, quiet, state
from pullback.graph.node import Node, Slot, writes
from pullback.graph.record import unpack
from pullback.graph.tensor import Tensor, wrap


@dataclass(frozen=True, eq=False, repr=False)
class Cotangents:
    """What one reverse sweep carried.

    roots     (edge, upstream) of each output; upstreams are arrays
    nodes     the nodes that it visited, consumers before producers (descending record numbers)
    arriving  per node the cotangent of its output: an array or NumPy scalar of the output's shape; for a node
              with several outputs a list, None for outputs at which nothing arrived
    sent      per node what its rule returned, one per argument: an array of the argument's shape, or None
              where the argument is not followed or the rule says that nothing depends on it
    leaves    the summed cotangent of each leaf that was reached, before any hook
    hooked    nodes and leaves with hooks, which a real backward pass would call
    """

    roots: tuple[tuple[Any, Any], ...]
    nodes: tuple[Node, ...]
    arriving: dict[Node, Any]
    sent: dict[Node, tuple[Any, ...]]
    leaves: dict[Tensor, Any]
    hooked: tuple[Any, ...]

    def at(self, edge: Any) -> Any:
        """The summed cotangent at an edge (a leaf, a node, a slot); None where nothing arrived."""
        if type(edge) is Slot:
            several = self.arriving.get(edge.node)
            return None if several is None else several[edge.index]
        return self.leaves.get(edge) if isinstance(edge, Tensor) else self.arriving.get(edge)

    def __repr__(self) -> str:
        return f"Cotangents({len(self.nodes)} nodes, {len(self.leaves)} leaves)"


def cotangents(outs: Tensor | Sequence[Tensor], upstreams: Any = None) -> Cotangents:
    """Run one reverse sweep from `outs` and keep every cotangent.

    outs       a tensor, or several whose gradients are added up
    upstreams  per output a tensor or array of its shape, or None for real outputs with one element; one
               alone may stand without the sequence
    RuntimeError as `backward` raises it: for an output that is not followed or needs an upstream, for
    mismatched shapes, for a record that an earlier pass has freed, for saved values that were written in
    place; and for records made inside `vmap`, where one node stands for all lanes.

    >>> import pullback as torch
    >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
    >>> y = torch.relu(x)
    >>> found = cotangents((3 * y).sum())
    >>> found.arriving[y.node], found.leaves[x], x.grad is None
    (array([3., 3.], dtype=float32), array([0., 3.], dtype=float32), True)
    """
    chosen = [outs] if isinstance(outs, Tensor) else list(outs)
    if state.levels:
        raise _inside_vmap("the call")
    roots = make_roots(chosen, given(chosen, upstreams), False)
    before, token = state.grad, quiet(QUIET)
    state.update(grad=False)
    try:
        return _swept(roots)
    finally:
        state.update(grad=before)
        loud(token)


def given(outs: Sequence[Tensor], upstreams: Any) -> list[Any]:
    """One upstream per output, as tensors or None; ValueError for another number of them."""
    if upstreams is None:
        return [None] * len(outs)
    one = isinstance(upstreams, Tensor | np.ndarray | np.generic | float | int)
    several = [upstreams] if one else list(upstreams)
    if len(several) != len(outs):
        if len(outs) == 1 and not any(isinstance(u, Tensor) for u in several):
            several = [np.asarray(several)]  # a plain list of numbers for the only output
        else:
            raise ValueError(f"{len(outs)} outputs need {len(outs)} upstreams, not {len(several)}")
    return [_upstream(u, t) for u, t in zip(several, outs, strict=True)]


def _upstream(u: Any, t: Tensor) -> Any:
    if u is None or isinstance(u, Tensor):
        return u
    return wrap(np.asarray(u).astype(t.value.dtype))


def _swept(roots: Sequence[tuple[Any, Any]]) -> Cotangents:
    waiting = _Waiting()
    for edge, c in roots:
        waiting.add(edge, c)
    order: list[Node] = []
    sent: dict[Node, tuple[Any, ...]] = {}
    while waiting.heap:
        node = heappop(waiting.heap)[1]
        order.append(node)
        sent[node] = found = tuple(pull(node, waiting.grads[node]))
        for edge, c in zip(node.edges, found, strict=True):
            if edge is not None and c is not None:
                waiting.add(edge, c)
    hooked = [n for n in order if n.hooks or n.node_hooks or n.node_prehooks]
    more = [t for t in waiting.leaves if t.hooks]
    return Cotangents(
        tuple(roots), tuple(order), waiting.grads, sent, waiting.leaves, (*hooked, *more)
    )


def pull(node: Node, g: Any) -> Sequence[Any]:
    """The cotangents that a node's rule sends for `g`, one per argument, with the checks of a real sweep.

    Run it with recording off and NumPy's warnings off. A node is left as it was found.
    """
    if node.args is None:
        raise trouble.second_time(node)
    if node.lanes or node.op.family == "control":
        raise _inside_vmap(node.name)
    if node.number < writes.last:
        trouble.check_versions(node)
    with opened(node):
        found = list(node.op.pull(node, g, False))
    # a rule of a variable number of arguments may leave trailing ones out
    return found + [None] * (len(node.edges) - len(found))


@contextmanager
def opened(node: Node) -> Generator[None]:
    """While it lasts, what `saved_tensors_hooks` packed away is back in the node."""
    args, out = node.args, node.out
    if node.packed is not None:
        unpack(node)
    try:
        yield
    finally:
        node.args, node.out = args, out


class _Waiting:
    """The cotangents that have arrived so far, and the nodes that wait for their turn, newest first."""

    def __init__(self) -> None:
        self.heap: list[tuple[int, Node]] = []
        self.grads: dict[Node, Any] = {}
        self.leaves: dict[Tensor, Any] = {}

    def add(self, edge: Any, c: Any) -> None:
        if isinstance(edge, Tensor):
            have = self.leaves.get(edge)
            self.leaves[edge] = c if have is None else have + c
            return
        node: Node = edge.node if type(edge) is Slot else edge
        if node not in self.grads:
            self.grads[node] = None if node.count is None else [None] * node.count
            heappush(self.heap, (-node.number, node))
        if type(edge) is Slot:
            slots = self.grads[node]
            have = slots[edge.index]
            slots[edge.index] = c if have is None else have + c
        else:
            have = self.grads[node]
            self.grads[node] = c if have is None else have + c


def _inside_vmap(what: str) -> RuntimeError:
    return RuntimeError(
        message(
            "a record made inside vmap cannot be looked into",
            f"{what} stands for all lanes at once",
            "apply the function to the batch directly, or look at the function for one lane",
        )
    )


__all__ = ["Cotangents", "cotangents", "given", "opened", "pull"]
