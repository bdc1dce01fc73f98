"""Graphs as bodies of ops: recording one inside other transforms, running one on tensors.

A body is recorded by a `Body` tracer while the recording, the vmaps and the derivatives around it are still
going on. Everything that it takes from there, whatever kind of tensor it is, becomes an operand with its
place in autograd's record; inside, it is a plain input. Read `Body.take`, then `record_body`. May import
`compiler.graph`, `compiler.trace`, `transform` and what stands below.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pullback.compiler.graph import Eqn, Graph, Var, evaluate
from pullback.compiler.trace import TracedTensor, TraceError, Tracer, follow
from pullback.errors import message
from pullback.families.op import Op
from pullback.graph.modes import state
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap
from pullback.transform.batch import BatchedTensor, Level, enter, leave
from pullback.transform.batch import run as run_batched
from pullback.transform.custom import run_custom


class Body(Tracer):
    """The recording of a body.

    operands   the tensors of the surroundings that it reads
    seen       what stands for each of them inside
    arrays     a tensor for each NumPy array that it reads
    """

    def __init__(self) -> None:
        """An empty body; vmaps that start from now on are inside it."""
        super().__init__(lines=state.tracer.lines if state.tracer is not None else False)
        self.operands: list[Tensor] = []
        self.seen: dict[Any, TracedTensor] = {}
        self.arrays: dict[int, Tensor] = {}
        self.number = Level(1, "error", run_custom).number

    def own(self, a: Any) -> bool:
        """Does the tensor belong to this recording (or is it no tensor)?"""
        if isinstance(a, BatchedTensor):
            return a.value.level.number > self.number
        return not isinstance(a, Tensor) or (isinstance(a, TracedTensor) and a.value.tracer is self)

    def inside(self, a: Any) -> Any:
        """An argument as the body sees it: what comes from the surroundings becomes an input."""
        if isinstance(a, np.ndarray):
            a = self.arrays.setdefault(id(a), wrap(a))
        if self.own(a):
            return a
        # tensors that share a value but not a place in the record are different operands
        key = (id(a) if a.foreign is None else id(a.value), id(a.node))
        found = self.seen.get(key)
        if found is None:
            found = self.seen[key] = self.tensor(Var(tuple(a.value.shape), a.value.dtype))
            self.operands.append(a)
        return found

    def variable(self, a: Any) -> Any:
        """An argument of an op as an equation has it."""
        return super().variable(self.inside(a))

    def take(self, op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """An op called while recording; below vmaps that the body itself started it goes through its batch
        rule.
        """
        args = tuple(map(self.inside, args))
        if any(isinstance(a, BatchedTensor) for a in args):
            return run_batched(op, args, params)
        out = self.record(op, args, params)
        if (
            state.grad
            and op.differentiable
            and any(isinstance(a, Tensor) and a.node is not None for a in args)
        ):
            return follow(op, args, params, out)
        return out

    def write(
        self, call: Callable[..., Any], t: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """Refused: the write would happen once, not in every round."""
        del call, args, kwargs
        raise TraceError(
            message(
                "the body of a loop or branch cannot write into a tensor of its surroundings",
                f"a tensor of shape {list(t.value.shape)} was written in place",
                "make it part of the carry, and return the new value",
            )
        )

    def result(self, out: Any) -> Var:
        """An output of the body; refused where autograd would follow it out of the body unseen."""
        if self.own(out) and out.node is not None:
            raise TraceError(
                message(
                    "the body of a loop or branch uses a tensor that is being differentiated in a way that "
                    "cannot be recorded",
                    "it went straight into a vmap, or was made to require grad, inside the body",
                    "pass it to the loop as part of the carry, of xs or of the operands",
                )
            )
        return self.variable(out)


@contextmanager
def apart() -> Generator[None]:
    """Without the vmaps that are running: a body sees one sample."""
    before = state.levels
    state.update(levels=())
    try:
        yield
    finally:
        state.update(levels=before)


@contextmanager
def plainly() -> Generator[None]:
    """Ops run at once, on values, and nothing is recorded."""
    before = state.grad, state.tracer, state.levels
    state.update(grad=False, tracer=None, levels=())
    try:
        yield
    finally:
        state.update(grad=before[0], tracer=before[1], levels=before[2])


def record_body(
    function: Callable[..., Sequence[Tensor]], avals: Sequence[Any]
) -> tuple[Graph, list[Tensor]]:
    """(the graph of function, what it captured); the graph's inputs are the captured tensors, then those of
    `avals`.
    """
    body = Body()
    inputs = [body.tensor(Var(tuple(a.shape), np.dtype(a.dtype))) for a in avals]
    places = [t.value.var for t in inputs]
    with apart(), body.running():
        outs = function(*inputs)
    body.graph.outputs = [body.result(o) for o in outs]
    body.graph.inputs = [*(t.value.var for t in body.seen.values()), *places]
    # what is left of the body holds on to nothing
    operands, body.operands, body.arrays = body.operands, [], {}
    return body.graph, operands


def closed_body(function: Callable[..., Sequence[Tensor]], avals: Sequence[Any]) -> Graph:
    """The graph of a function that takes everything through its arguments; others are constants."""
    graph, operands = record_body(function, avals)
    n = len(operands)
    assert all(t.foreign is None and t.node is None for t in operands), "a rule captured a tensor"
    known = zip(graph.inputs[:n], (t.value for t in operands), strict=True)
    return Graph(graph.inputs[n:], {**graph.consts, **dict(known)}, graph.eqns, graph.outputs)


def constant(value: Any) -> Tensor:
    """A known value of a graph as a tensor."""
    return value if isinstance(value, Tensor) else wrap(np.asarray(value))


def interpret(graph: Graph, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of a graph on tensors of any kind; everything that runs on ops works on it."""
    return evaluate(graph, inputs, _call, constant)


def _call(e: Eqn, args: list[Any]) -> Any:
    out = e.op(*args, **e.params)
    if isinstance(out, tuple):
        return tuple(map(constant, out))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return constant(out)


def on_arrays(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    """The outputs of a graph on NumPy arrays."""
    with plainly():
        return [t.value for t in interpret(graph, [wrap(a) for a in arrays])]


def flow(graph: Graph, flags: Sequence[bool]) -> list[bool]:
    """Which outputs depend on a flagged input."""
    env = dict(zip(graph.inputs, flags, strict=True))
    for e in graph.eqns:
        env.update(dict.fromkeys(e.outs, any(env.get(v, False) for v in e.inputs())))
    return [env.get(v, False) for v in graph.outputs]


def typed(graph: Graph, avals: Sequence[Any]) -> list[Aval]:
    """Shapes and dtypes of the outputs, for inputs of these."""
    return evaluate(graph, avals, lambda e, args: e.op.type(*args, **e.params), _aval)


def _aval(value: Any) -> Aval:
    v = value.value if isinstance(value, Tensor) else value
    return Aval(tuple(v.shape), np.dtype(v.dtype))


def mapped(
    function: Callable[..., Sequence[Tensor]], size: int, flags: Sequence[bool], outs: Sequence[bool]
) -> Callable[..., list[Tensor]]:
    """The function over `size` lanes: flagged inputs and outputs have them as first dimension."""

    def run(*inputs: Tensor) -> list[Tensor]:
        level = Level(size, "different", run_custom)
        before = state.levels
        state.update(levels=(*before, level))
        try:
            found = function(*(enter(x, level) if f else x for x, f in zip(inputs, flags, strict=True)))
        finally:
            state.update(levels=before)
        return [leave(o, level) if f else o for o, f in zip(found, outs, strict=True)]

    return run


__all__ = [
    "Body",
    "closed_body",
    "flow",
    "interpret",
    "mapped",
    "on_arrays",
    "plainly",
    "record_body",
    "typed",
]
