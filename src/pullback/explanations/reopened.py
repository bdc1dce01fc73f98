"""Read a record that a backward pass has freed: what the pass kept aside is put back for the time of reading.

Read `reopened`. May import `autograd.passes`, `graph`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from typing import Any

from pullback.autograd import passes
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor


def producer(t: Tensor) -> Node | None:
    """The node that made a tensor, None for leaves and constants."""
    made: Any = t.node
    made = made.node if type(made) is Slot else made
    return made if isinstance(made, Node) else None


def freed(outs: Iterable[Any]) -> bool:
    """Has a backward pass freed a node behind these outputs?"""
    stack = [n for n in (producer(t) for t in outs if isinstance(t, Tensor)) if n is not None]
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        if node.args is None:
            return True
        seen.add(node)
        for e in node.edges:
            behind = e.node if type(e) is Slot else e
            if type(behind) is Node:
                stack.append(behind)
    return False


@contextlib.contextmanager
def reopened(outs: Iterable[Any]) -> Generator[None]:
    """Inside, nodes behind `outs` that the latest passes freed hold what they saved, where it was kept."""
    with contextlib.ExitStack() as stack:
        if len(passes.recent) and freed(outs):
            for p in passes.recent:
                stack.enter_context(p.restored())
        yield


__all__ = ["freed", "producer", "reopened"]
