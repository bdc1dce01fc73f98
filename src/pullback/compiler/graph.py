"""The graph that tracing records: `Graph`, a list of `Eqn`s over `Var`s.

An equation is one op of the table applied to variables and plain values; its params are the op's. A graph is
data: passes, the printer, the lowering and the interpreter `evaluate` all read it with one loop and one
environment. Read `Graph`, then `evaluate`. May import `families.op`,
`graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pullback.families.op import Op
from pullback.graph.node import Aval


class Var(Aval):
    """A value of a graph: shape and NumPy dtype; what makes it is found in the graph."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Var({self.dtype}{list(self.shape)})"


@dataclass(slots=True)
class Eqn:
    """One op: outs = op(*args, **params); args are Vars or plain values; line is where the user wrote it."""

    op: Op
    args: tuple[Any, ...]
    params: dict[str, Any]
    outs: tuple[Var, ...]
    line: tuple[str, int] | None = None

    def inputs(self) -> Iterator[Var]:
        """The variables that it reads."""
        return (a for a in self.args if isinstance(a, Var))


@dataclass
class Graph:
    """A function: inputs -> outputs.

    consts   variables with known values: what the function took from its surroundings
    """

    inputs: list[Var] = field(default_factory=list[Var])
    consts: dict[Var, Any] = field(default_factory=dict[Var, Any])
    eqns: list[Eqn] = field(default_factory=list[Eqn])
    outputs: list[Var] = field(default_factory=list[Var])

    def const(self, value: Any) -> Var:
        """A new variable with a known value."""
        value = np.asarray(value)
        v = Var(value.shape, value.dtype)
        self.consts[v] = value
        return v

    def entries(self) -> int:
        """How many entries its equations compute; of a loop those of one round and of what it collects."""
        own = sum(v.size for v in self.inputs) + sum(v.size for v in self.consts)
        inner = sum(g.entries() for e in self.eqns for g in e.params.values() if isinstance(g, Graph))
        return own + inner + sum(v.size for e in self.eqns for v in e.outs)

    def makers(self) -> dict[Var, Eqn]:
        """Which equation makes each variable."""
        return {v: e for e in self.eqns for v in e.outs}


def evaluate(
    graph: Graph,
    inputs: Sequence[Any],
    run: Callable[[Eqn, list[Any]], Any],
    const: Callable[[Any], Any] = lambda value: value,
) -> list[Any]:
    """Interpret a graph: run(eqn, args) gives the output, a tuple for several, in any kind of value."""
    env: dict[Var, Any] = dict(zip(graph.inputs, inputs, strict=True))
    for v, value in graph.consts.items():
        env[v] = const(value)
    for e in graph.eqns:
        out = run(e, [env[a] if isinstance(a, Var) else a for a in e.args])
        if len(e.outs) == 1 and not isinstance(out, tuple):
            env[e.outs[0]] = out
        else:
            env.update(zip(e.outs, out, strict=True))
    return [env[v] for v in graph.outputs]
