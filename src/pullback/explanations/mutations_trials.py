"""Everything that counts as one change: a wrong rule at one node, or contributions that were not added up.

Read `trials`. May import the tables of wrong rules, `explanations.mutations_engine`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pullback.explanations.mutations_by_hand import by_hand_changes
from pullback.explanations.mutations_contraction import contraction_changes
from pullback.explanations.mutations_custom import custom_changes
from pullback.explanations.mutations_elementwise import elementwise_changes
from pullback.explanations.mutations_engine import Change, Program, same_key
from pullback.explanations.mutations_reduction import reduction_changes
from pullback.explanations.mutations_structural import structural_changes
from pullback.graph.node import Node

Array = Any


class Trial(NamedTuple):
    """Changes that are made together and count as one."""

    changes: tuple[Change, ...]

    @property
    def lead(self) -> Change:
        """The change that names it."""
        return self.changes[0]


def changes_of(program: Program) -> Iterator[Change]:
    """The wrong rules of every node between out and x, newest node first."""
    for node in program.nodes:
        step = program.steps[node]
        family = node.op.family
        if family in ("elementwise", "selection"):
            yield from elementwise_changes(step)
        elif family == "contraction":
            yield from contraction_changes(step)
        elif family == "reduction":
            yield from reduction_changes(step)
        elif family == "structural":
            yield from structural_changes(step)
        elif family == "by hand":
            yield from by_hand_changes(step)
        elif family == "custom":
            yield from custom_changes(step)


def trials(program: Program) -> Iterator[Trial]:
    """Everything that counts as one change: wrong rules, and contributions that were not added up."""
    yield from paths(program)
    for change in changes_of(program):
        yield Trial((change,))


def _nothing(_g: Array) -> Array:
    return np.zeros(())


def paths(program: Program) -> Iterator[Trial]:
    """A use left out, counted twice, overwritten by another one, or averaged with the others."""
    for key, uses in program.uses.items():
        k, what = len(uses), _named(program, key)
        if k > 1:
            yield from _several(program, uses, what)
        for n, (node, i) in enumerate(sorted(uses, key=lambda u: u[0].number), 1):
            name = node.op.name
            if k > 1:
                text = (
                    f"the contribution through {name} is missing: {what} is used {k} times, this is use {n}, "
                    "and the gradients of all uses add up (accumulation forgotten, or detached there)"
                )
            else:
                text = f"the branch through {name} is missing: it was treated as a constant (detached)"
            yield Trial((Change(node, i, 0 if k > 1 else 1, "path missing", text, _nothing),))


def _named(program: Program, key: Any) -> str:
    if same_key(key, program.key):
        return "x"
    return f"the output of {(key[0] if isinstance(key, tuple) else key).op.name}"


def _several(program: Program, uses: list[tuple[Node, int]], what: str) -> Iterator[Trial]:
    k = len(uses)
    if k > 64:
        return
    ordered = sorted(uses, key=lambda u: -u[0].number)
    for n, (node, i) in enumerate(ordered):
        if k > 2:
            word = "last" if n == 0 else "first" if n == k - 1 else "one"
            text = (
                f"only the {word} of {k} uses of {what}, by {node.op.name}, is counted: the others are "
                "overwritten where gradients add up"
            )
            rest = [u for u in ordered if u != (node, i)]
            yield Trial(tuple(Change(m, j, 0, "one use only", text, _nothing) for m, j in rest))
        twice = f"the contribution through {node.op.name} is counted twice"
        yield Trial((Change(node, i, 2, "counted twice", twice, _scaled(program, node, i, 2.0)),))
    text = f"the gradients of the {k} uses of {what} are averaged where they add up"
    yield Trial(tuple(Change(m, j, 1, "mean for sum", text, _scaled(program, m, j, 1 / k)) for m, j in uses))


def _scaled(program: Program, node: Node, i: int, f: float) -> Any:
    return lambda g: f * np.asarray(program.steps[node].right(i, g))


__all__ = ["Trial", "trials"]
