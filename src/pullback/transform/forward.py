"""Forward mode: push tangents along a record, oldest node first.

Read `push` first. The record is the one that reverse mode reads; each op's jvp facet does one step. May
import `graph`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pullback.autograd import trouble
from pullback.families.structural import share, structural
from pullback.graph.node import Aval, Node, Slot, writes
from pullback.graph.tensor import Tensor, edge_of, wrap

# a copy of the name only: the value and its memory are the argument's
alias = structural(
    "alias",
    lambda x: x,
    vjp=lambda g, _out, _x: g,
    lift=lambda params, _n: params,
    samples=[((2, 3), {}), ((), {})],
)


def fresh(x: Tensor) -> Tensor:
    """x as a starting point of its own: the same memory behind a new node, connected to x where x is
    followed.
    """
    if x.foreign is not None:
        t = object.__new__(type(x))
        t.value = x.value
    else:
        t = wrap(x.storage())
    v = x.value
    t.node = Node(alias, (Aval(v.shape, v.dtype),), (edge_of(x),), None, {}, None)
    if x.foreign is not None:
        t.node.lanes = t.node.special = True
    else:
        share(x, t)
        t.base = None
    return t


def reachable(outputs: Iterable[Tensor], stop: set[Node] | None = None) -> list[Node]:
    """The nodes behind these outputs, oldest first; nodes in `stop` are included but not looked behind."""
    seen: set[Node] = set()
    stack = [node for t in outputs for node in _producer(edge_of(t))]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if stop is None or node not in stop:
            for e in node.edges:
                stack.extend(_producer(e))
    return sorted(seen, key=lambda node: node.number)


def _producer(edge: Any) -> tuple[Node, ...]:
    if type(edge) is Slot:
        return (edge.node,)
    return (edge,) if type(edge) is Node else ()


def push(outputs: Sequence[Tensor], seeds: dict[Node, Tensor]) -> list[Tensor | None]:
    """The tangents of outputs when the outputs of the seed nodes have these tangents; None where nothing
    arrives.

    Runs the jvp facets on tensors, so the result can itself be differentiated if recording is on.
    """
    tangents: dict[Any, Any] = dict(seeds)
    for node in reachable(outputs, set(seeds)):
        if node in seeds:
            continue
        incoming = [tangents.get(_key(e)) if e is not None else None for e in node.edges]
        if all(t is None for t in incoming):
            continue
        if node.args is None:
            raise trouble.second_time(node)
        if node.number < writes.last:
            trouble.check_versions(node)
        out = node.op.push(node, incoming)
        if node.count is None:
            tangents[node] = out
        else:
            for i, t in enumerate(out):
                if t is not None:
                    tangents[(node, i)] = t
    return [tangents.get(_key(edge_of(t))) for t in outputs]


def _key(edge: Any) -> Any:
    return (edge.node, edge.index) if type(edge) is Slot else edge


def leads_outside(outputs: Iterable[Tensor], own: set[Node]) -> bool:
    """Does the record behind these outputs reach a followed tensor other than through the own starting
    points?
    """
    for node in reachable(outputs):
        for e in node.edges:
            if isinstance(e, Tensor):
                return True
        if node in own and node.edges[0] is not None:
            return True
    return False


def zeros_like(x: Tensor) -> Tensor:
    """A zero tangent or cotangent of x's shape and dtype (lane by lane inside vmap)."""
    if x.foreign is not None:
        return x.new_filled(0)
    return wrap(np.zeros(x.value.shape, x.value.dtype))
