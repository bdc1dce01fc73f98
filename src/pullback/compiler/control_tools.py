"""What the rules of `scan`, `while_loop` and `cond` share: parts of argument lists, derivatives and lanes.

Read `Cut`, then `pulled`. May import `compiler.body`, `func.core` and what stands below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.compiler.body import flow, interpret
from pullback.compiler.graph import Graph
from pullback.func.core import Recorded
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor

Tensors = list[Tensor]


def floating(v: Any) -> bool:
    """Has it derivatives?"""
    return v.dtype.kind in "fc"


def aval_of(a: Any) -> Aval:
    """Shape and dtype of an array or tensor."""
    v = a.value if isinstance(a, Tensor) else a
    return Aval(tuple(v.shape), np.dtype(v.dtype))


def like(a: Any, v: Any) -> Any:
    """A cotangent or tangent as it is, or zeros for one that is missing."""
    if v is not None:
        return v
    return np.zeros(a.shape, a.dtype)


def row(a: Any) -> Aval:
    """One round's part of something stacked."""
    a = aval_of(a)
    return Aval(a.shape[1:], a.dtype)


def picked(values: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The values whose flag is set."""
    return [v for v, f in zip(values, flags, strict=True) if f]


def spread(values: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The inverse of `picked`: None where the flag is not set."""
    rest = iter(values)
    return [next(rest) if f else None for f in flags]


class Cut:
    """Cuts a list of inputs into consecutive parts of given lengths (the last may be shorter).

    >>> from pullback.compiler.control_tools import Cut
    >>> Cut(2, 1)([1, 2, 3])
    [[1, 2], [3]]
    """

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths

    def __call__(self, values: Sequence[Any]) -> list[list[Any]]:
        """The parts."""
        parts: list[list[Any]] = []
        start = 0
        for n in self.lengths:
            parts.append(list(values[start : start + n]))
            start += n
        return parts


def pulled(
    graph: Graph, wanted: Sequence[bool], given: Sequence[bool], ins: Tensors, cts: Tensors
) -> Tensors:
    """The cotangents of the wanted inputs of a graph, for cotangents of the given outputs."""

    def function(xs: Sequence[Tensor]) -> Tensors:
        new = spread(xs, wanted)
        return interpret(graph, [x if n is None else n for x, n in zip(ins, new, strict=True)])

    run = Recorded(function, picked(ins, wanted))
    return run.pull(picked(run.result, given), cts)


def pushed(
    graph: Graph, moving: Sequence[bool], given: Sequence[bool], ins: Tensors, tangents: Tensors
) -> Any:
    """(the outputs of a graph, the tangents of the given ones), for tangents of the moving inputs."""

    def function(xs: Sequence[Tensor]) -> Tensors:
        new = spread(xs, moving)
        return interpret(graph, [x if n is None else n for x, n in zip(ins, new, strict=True)])

    run = Recorded(function, picked(ins, moving))
    return [run.clean(o) for o in run.result], run.push(picked(run.result, given), tangents)


def lanes_first(a: Any, dim: int | None) -> Any:
    """A value with its lanes, if it has any, in front."""
    return a if dim in (None, 0) else a.movedim(dim, 0)


def in_every_lane(a: Any, dim: int | None, size: int) -> Any:
    """A value with its lanes in front, repeated where it has none."""
    return a.expand(size, *a.value.shape) if dim is None else lanes_first(a, dim)


def settled(body: Graph, before: list[bool], carry: list[bool], after: list[bool]) -> list[bool]:
    """Which carries have lanes: those that start with them or get them in some round."""
    while True:
        found = [a or b for a, b in zip(carry, flow(body, [*before, *carry, *after]), strict=False)]
        if found == carry:
            return carry
        carry = found
