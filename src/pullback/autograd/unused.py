"""The error about an input that no output depends on: dropped on the way, another tensor, or never used.

Read `unused` first. May import `cuts`, `stories`, `graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pullback.autograd.cuts import cut_fact, origins_of, remedy, whole_program
from pullback.autograd.stories import (
    FEW,
    HOW,
    leaf_words,
    made_by,
    maker,
    op_at,
    plural,
    producer,
    quoted,
    reached,
    shape_of,
    told,
)
from pullback.graph import leaks
from pullback.graph.lines import line_of
from pullback.graph.node import LEAF, Aval, Node
from pullback.graph.tensor import Tensor, edge_of

Words = tuple[list[str], list[str]]  # facts, and what to do


class Used(NamedTuple):
    """The outputs' edges, the nodes and leaves behind them, and whether these are all."""

    outs: tuple[Any, ...]
    nodes: set[Node]
    leaves: list[Tensor]
    complete: bool


def unused(i: int, t: Any, outs: Sequence[Any]) -> RuntimeError:
    """The error for an input that nothing leads from to the outputs.

    t      a tensor or a `GradientEdge`
    outs   the edges of the outputs
    """
    first = (
        f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
        "allow_unused=True if this is the desired behavior."
    )
    if not isinstance(t, Tensor) or t.foreign is not None:
        return RuntimeError(told(first, [f"no recorded op leads from input {i} to the outputs"], _CHECK))
    what = "a leaf" if t.node is LEAF else "a tensor" + made_by(t)
    facts = [f"input {i} is {what}, of shape {shape_of(t)}; no recorded op leads from it to the outputs"]
    used = Used(tuple(outs), *reached(outs))
    for look in (_swapped, _dropped, _rewritten, _behind, _alias, _twin, _left):
        found = look(t, used)
        if found is not None:
            break
    else:
        found = [_never(used)], _CHECK
    return RuntimeError(told(first, facts + found[0], found[1]))


_CHECK = [
    "check that the outputs were computed from this very tensor, not from a copy, a detach() or a "
    "reassigned name",
    "pass allow_unused=True to get None for it",
]


def _swapped(t: Tensor, used: Used) -> Words | None:
    """Was the input computed from an output?"""
    if maker(t) is None:
        return None
    behind, leaves, _ = reached([edge_of(t)])
    if not {producer(e) or e for e in used.outs} & (behind | set(leaves)):
        return None
    todo = "swap them: grad(outputs=what was computed last, inputs=what it was computed from)"
    return ["it is the other way round: this input was computed from an output"], [todo]


def _dropped(t: Tensor, used: Used) -> Words | None:
    """Is it used on a path that was cut?"""
    place = producer(edge_of(t)) or t
    cuts: list[Node] = []
    for node in reached(used.outs, origins_of)[0]:
        if node.cut:
            behind, leaves, _ = reached([e for e in node.edges if e is not None], origins_of)
            if place in behind or any(place is x for x in leaves):
                cuts.append(node)
    if not cuts:
        return None
    cuts.sort(key=lambda n: n.number)  # the earliest cut is the nearest to the input
    facts = [f"it was used, but {cut_fact(node)}" for node in cuts[:FEW]]
    return facts, list(dict.fromkeys(remedy(node) for node in cuts[:FEW]))


def _rewritten(t: Tensor, used: Used) -> Words | None:
    """Do the outputs use the value that it had before it was written in place?"""
    mine = maker(t)
    if mine is None or t.base is not None or not mine.edges or producer(mine.edges[0]) not in used.nodes:
        return None
    noted = (mine.out_versions or {}).get(
        0
    )  # a node that a write put in the place of the old one knows its version
    if noted is None or noted[0] is not t.counter or not noted[1]:
        return None
    fact = (
        f"it was written in place{quoted(line_of(mine))}, and the outputs were computed from the value "
        "before, which this tensor no longer stands for"
    )
    return [fact], ["write out of place and keep both: y = x + 1 instead of x += 1"]


def _behind(t: Tensor, used: Used) -> Words | None:
    """Do the outputs use what this input was computed from, but not the input itself?"""
    mine = maker(t)
    if mine is None:
        return None
    _, sources, complete = reached([mine])
    shared = [x for x in sources if any(x is y for y in used.leaves)]
    if not shared or not complete:
        return None
    if t.base is not None and any(t.base is x for x in shared):
        fact = f"it is a view ({op_at(mine)}) of {leaf_words([t.base])}, and the outputs use that leaf itself"
    else:
        fact = f"it was computed from {leaf_words(shared)}, which the outputs use too, but not through it"
    return [fact], ["differentiate with respect to the leaf, or compute the outputs from this tensor"]


def _alias(t: Tensor, used: Used) -> Words | None:
    """Is another leaf over the same memory used?"""
    v = t.value
    for x in used.leaves:
        w = x.value
        if x is t or not isinstance(v, np.ndarray) or not isinstance(w, np.ndarray):
            continue
        if v.size and _start(v) == _start(w) and v.size == w.size and v.strides == w.strides:
            todo = (
                "pass that tensor itself: detach(), .data, view() and Parameter(x) make new tensors over "
                "the same memory"
            )
            return [f"{leaf_words([x])} that the outputs use has the same memory, but is another tensor"], [
                todo
            ]
    return None


def _start(v: Any) -> int:
    return v.__array_interface__["data"][0]


def _twin(t: Tensor, used: Used) -> Words | None:
    """Is a leaf of the same shape and entries used?"""
    for x in used.leaves:
        if x is not t and x.value.dtype == t.value.dtype and np.array_equal(x.value, t.value):
            fact = f"the outputs use another leaf of shape {shape_of(x)} with equal entries: a copy, perhaps"
            todo = (
                "pass the very tensor that the outputs were computed from: clone() and tensor(x) make copies"
            )
            return [fact], [todo]
    return None


def _left(t: Tensor, _used: Used) -> Words | None:
    """Did a value computed from it leave the record?"""
    place = producer(edge_of(t)) or t
    for event in reversed(leaks.log):
        behind, leaves, _ = reached([event.node], origins_of)
        if place in behind or any(place is x for x in leaves):
            fact = (
                f"a value computed from it left the record through {event.kind}(){quoted(event.line)}; "
                "whether the outputs were made of that is not known"
            )
            return [fact], ["compute with the tensor itself instead of the plain value", *_CHECK]
    return None


def _never(used: Used) -> str:
    """Nothing was found: how much that says depends on what was recorded."""
    every, _, complete = reached(used.outs, origins_of)
    if not (complete and used.complete and all(line_of(n) is not None for n in every)):
        return f"whether it was used on a path that was cut is not recorded: {HOW} to see that"
    count = plural(len(every), "op")
    sure = leaks.first is None or (whole_program() and len(leaks.log) < leaks.MOST)
    if sure and (whole_program() or not any(_outside(n) for n in every)):
        return f"it was never used: none of the {count} behind the outputs reads it, on no path, whole or cut"
    return (
        f"none of the {count} recorded behind the outputs reads it; whether a constant in them was computed "
        "from it, before lines were recorded or by way of plain values, is not known"
    )


def _outside(node: Node) -> bool:
    """Does the node read a tensor that is neither followed nor known to come from one?"""
    if node.args is None:
        return True
    origins = node.origins or (None,) * len(node.args)
    return any(
        e is None and o is None and isinstance(a, Tensor | Aval)
        for e, o, a in zip(node.edges, origins, node.args, strict=False)
    )
