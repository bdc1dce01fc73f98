"""The error about a graph whose saved values are gone: which pass freed them, and what shares the graph.

Read `second_time` first. The latest passes are looked up where `autograd.passes` keeps them. May import
`stories`, `graph`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from pullback.autograd.stories import FEW, HOW, op_at, producer, quoted, reached, told
from pullback.graph.lines import line_of
from pullback.graph.node import Node

SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have "
    "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
    "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or "
    "if you need to access saved tensors after calling backward."
)
RETAIN = "retain_graph=True in the earlier call keeps the values, if both passes are meant to go through them"


def second_time(node: Node, roots: Sequence[tuple[Any, Any]] = ()) -> RuntimeError:
    """The error for a node whose saved values are gone; `roots` are those of the sweep that met it."""
    earlier = freed_by(node)
    if earlier is None:
        facts = [f"{op_at(node)} gave its saved values back in an earlier backward pass"]
        facts.append("which pass that was is not known: it is not among the latest of this thread")
        todo = [
            "compute the shared part of the graph anew before each backward; detach() what is carried over "
            "from one iteration to the next",
            RETAIN,
        ]
        return RuntimeError(told(SECOND_TIME, facts, todo))
    facts = [f"{op_at(node)} gave its saved values back in an earlier backward pass{quoted(earlier.line)}"]
    if earlier.line is None:
        facts.append(f"its line was not recorded: {HOW} to see it")
    edges = [e for e, _ in roots]
    if not edges:
        return RuntimeError(told(SECOND_TIME, facts, [RETAIN]))
    carried = _carried(edges, node, earlier.number)
    shared, todo = _carried_over(carried, earlier.number, edges) if carried else _same(edges, earlier)
    return RuntimeError(told(SECOND_TIME, facts + shared, [*todo, RETAIN]))


def freed_by(node: Node) -> Any:
    """The latest pass that freed what this node had saved, or None where it is not known."""
    passes: Any = sys.modules.get("pullback.autograd.passes")  # the engine loads it
    recent: list[Any] = [] if passes is None else list(passes.recent)
    for p in reversed(recent):
        if p.values is not None and any(n is node for n, _, _ in p.values):
            return p
    return None


def _carried(edges: Sequence[Any], node: Node, number: int) -> list[tuple[Node, Node]]:
    """(user, maker): ops recorded after a pass that use what was made before it, the freed node behind."""
    found: list[tuple[Node, Node]] = []
    leading = {node}
    for user in sorted(reached(edges)[0], key=lambda n: n.number):
        makers = [producer(e) for e in user.edges]
        if not any(m in leading for m in makers):
            continue
        leading.add(user)
        if user.number > number:
            found += [(user, m) for m in makers if m is not None and m in leading and m.number < number]
    return sorted(found, key=lambda pair: -pair[1].number)


def _carried_over(
    carried: list[tuple[Node, Node]], number: int, edges: Sequence[Any]
) -> tuple[list[str], list[str]]:
    """The graph of this pass was recorded after the earlier one, on top of a result from before it."""
    facts = [
        f"the graph is truly shared: {op_at(user)} was recorded after that pass and uses the result of "
        f"{op_at(maker)}, which was recorded before it"
        for user, maker in carried[:FEW]
    ]
    lines = {line_of(n) for n in reached(edges)[0] if n.number > number} - {None}
    if any(line_of(maker) in lines for _, maker in carried):
        facts.append(
            "the same line has run again since: a state is carried over from one iteration to the next"
        )
        return facts, ["cut the state off where the next iteration takes it over: state = state.detach()"]
    return facts, [
        "if it is a state carried over from one iteration to the next, cut it off there: state = "
        "state.detach()",
        "if it is a part that every iteration needs, compute it again before each backward "
        f"({carried[0][1].op.name})",
    ]


def _same(edges: Sequence[Any], earlier: Any) -> tuple[list[str], list[str]]:
    """The whole graph of this pass is older than the earlier pass."""
    before = [e for e, _ in earlier.roots]
    if len(before) == len(edges) and all(a is b for a, b in zip(before, edges, strict=True)):
        fact = "both passes start at the same output, which was not computed again in between"
        return [fact], ["compute the output again before the second backward, or call backward once"]
    fact = "both outputs were computed before that pass, and share this part of the graph"
    return [fact], ["call backward once for both: (a + b).backward(), or torch.autograd.backward([a, b])"]
