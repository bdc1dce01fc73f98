"""Mistakes that stand in the record of one backward pass: looked for once per line that is differentiated.

Read `seen_in`. May import `broadcasts`, `mistake`, `graph`, `transform`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pullback.explanations.broadcasts import broadcast_slips
from pullback.explanations.mistake import Mistake, known_lines
from pullback.graph.lines import Line, line_of
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor
from pullback.transform.forward import reachable


def seen_in(outs: Sequence[Tensor]) -> list[Mistake]:
    """The mistakes in the record behind these outputs, before a pass has freed it.

    >>> import pullback as torch
    >>> scores = torch.zeros(2, 3, requires_grad=True)
    >>> loss = torch.nn.functional.cross_entropy(scores.softmax(1), torch.tensor([0, 2]))
    >>> [m.kind for m in seen_in([loss])]
    ['softmax fed to cross_entropy']
    """
    return [*_crossed(outs), *_doubled(outs)]


def _crossed(outs: Sequence[Tensor]) -> Iterator[Mistake]:
    """(N, 1) against (N,): all pairs where one to one was meant."""
    for slip in broadcast_slips(outs):
        yield Mistake("(N, 1) against (N,)", slip.text, "", known_lines(slip.line))


def _doubled(outs: Sequence[Tensor]) -> Iterator[Mistake]:
    """Probabilities fed to a loss that makes probabilities itself."""
    told: set[tuple[str, Line | None]] = set()
    for node in reachable(outs):
        first = _producer(node) if node.op.name in TAKES else None
        if first is None or first.op.name != TAKES[node.op.name]:
            continue
        if node.params.get("dim") != first.params.get("dim"):
            continue
        user = "cross_entropy" if node.op.name == "log_softmax" else node.op.name
        line = line_of(node)
        if (user, line) in told:
            continue
        told.add((user, line))
        made = first.op.name
        yield Mistake(
            f"{made} fed to {user}",
            f"{user} takes raw scores and applies {made} itself; here it gets the result of {made}, so it is "
            "applied twice and gradients shrink",
            f"pass the scores, without {made}",
            known_lines(line_of(first), line),
        )


# ops that apply another one themselves (cross_entropy is log_softmax, then nll_loss)
TAKES = {"log_softmax": "softmax", "binary_cross_entropy_with_logits": "sigmoid"}


def _producer(node: Node) -> Node | None:
    """The op that made the first argument, slices looked through."""
    e = node.edges[0]
    while type(e) is Node and e.op.name == "slice":
        e = e.edges[0]
    return e if type(e) is Node else None


__all__ = ["seen_in"]
