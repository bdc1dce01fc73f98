"""Whether a missing path proves anything: could a value have left the record and come back as a constant?

Read `doubt_of`. May import `graph`, `sweeps`, `transform.forward`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.autograd.engine import key_of
from pullback.explanations.places import at
from pullback.explanations.sweeps import Analysis, edges_of, key_edge, leading_to, producers
from pullback.graph import leaks
from pullback.graph.node import Aval, Node, Slot
from pullback.graph.tensor import Tensor
from pullback.transform.forward import reachable

HOW = "record with pb.record_lines() (or PULLBACK_LINES=1) from the start to know"


def doubt_of(work: Analysis, x: Tensor) -> str:
    """Why an entry of x without a recorded path may still have been used; "" where it certainly was not."""
    nodes = reachable(work.outs)
    if not nodes and all(t.node is None and t.origin is None for t in work.outs):
        return f"the output is a constant, and how it was made was not recorded; {HOW}"
    unlined = [n for n in nodes if n.line is None]
    if unlined:
        return _without_lines(unlined)
    if _forgotten(work.outs):
        return "an earlier part of what was cut off the record was forgotten, to bound the memory it takes"
    key = key_of(key_edge(x)) if x.node is not None else None
    newest = max((n.number for n in nodes), default=0)
    for event in leaks.log:
        if event.number > newest:
            break  # it left after the output was made
        t = event.tensor
        if t is not None and key is not None and leading_to([t], {key}):
            return (
                f"{event.kind}() at {event.line} took a value computed from it out of the record; whether "
                "that came back is not known"
            )
    return ""


def _forgotten(outs: tuple[Tensor, ...]) -> bool:
    """Does a cut path lead to a place that was forgotten?"""
    seen: set[Node] = set()
    stack = producers([key_edge(t) for t in outs])
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        if node.cut == "forgotten":
            return True
        seen.add(node)
        stack += producers(edges_of(node))
    return False


def _without_lines(nodes: list[Node]) -> str:
    for node in nodes:
        for i, (a, e) in enumerate(zip(node.args, node.edges, strict=True)):
            if e is not None:
                continue
            dropped = a is None and node.op.family in ("elementwise", "selection")
            if (dropped or isinstance(a, Tensor | Aval)) and not (
                node.origins is not None and node.origins[i] is not None
            ):
                return (
                    f"{node.op.name}{at(node)} also takes a constant tensor, which may have been computed "
                    f"from it (detach, no_grad); {HOW}"
                )
            if isinstance(a, np.floating | float) and _leaked_before(node):
                return f"{node.op.name} also takes a number, and item() was called before; {HOW}"
    return ""


def _leaked_before(node: Any) -> bool:
    return leaks.first is not None and leaks.first < (node.node if type(node) is Slot else node).number


__all__ = ["doubt_of"]
