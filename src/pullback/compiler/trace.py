"""Tracing: run a function once on symbols, and keep the ops it called as a graph.

Read `trace` first, then `TracedTensor`, the kind of tensor that a traced function sees: it has a shape and a
dtype and no values, and every op on it becomes an equation. Autograd records on top of it as on any tensor,
so derivatives are traced by tracing the function that computes them. May import `compiler.graph`, `transform`
and what stands below.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pullback.compiler import aliases
from pullback.compiler.graph import Eqn, Graph, Var
from pullback.errors import message, user_frame
from pullback.families.calls import NUMBER, number_value
from pullback.families.op import Absent, Op, make_node
from pullback.families.structural import Structural
from pullback.graph.modes import state
from pullback.graph.node import Aval, Node, Slot
from pullback.graph.tensor import Tensor, wrap
from pullback.random.streams import default_generator
from pullback.transform.batch import BatchedTensor
from pullback.transform.batch import run as run_batched


class TraceError(RuntimeError):
    """A function cannot be recorded once for all values; the text says which line and what to use instead."""


class NoValueError(TraceError, AttributeError):
    """Something looked at the value of a traced tensor (also an AttributeError, so that `hasattr` works)."""


class Symbol:
    """The value of a traced tensor: a variable of the graph that is being recorded."""

    __slots__ = ("tracer", "var")

    def __init__(self, var: Var, tracer: Tracer) -> None:
        self.var, self.tracer = var, tracer

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.var.shape

    @property
    def dtype(self) -> Any:
        """NumPy's dtype."""
        return self.var.dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.var.shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.var.size

    @property
    def itemsize(self) -> int:
        """Bytes per entry."""
        return self.var.dtype.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of a contiguous array: symbols have no memory of their own."""
        steps = [self.itemsize]
        for n in reversed(self.var.shape[1:]):
            steps.append(steps[-1] * n)
        return tuple(reversed(steps)) if self.var.shape else ()

    def __getattr__(self, name: str) -> Any:
        raise NoValueError(
            message(
                "a compiled function cannot look at values while it is recorded",
                f"the value's {name} was asked for, of a tensor of shape {list(self.var.shape)}",
                "keep to tensor operations, or call this part outside of the compiled function",
            )
        )


class Tracer:
    """One running recording: the graph so far, and the outside tensors that it met.

    captured     outside tensors and arrays that ops read, with their variables
    substitutes  for an outside tensor (by id) the traced tensor that stands for it: a write replaced it, or
                 it
                 is differentiated
    shadows      for an outside tensor (by id) itself and what takes its place once it is written
    grads        the .grad that outside tensors (by id) had
    written      the outside tensors that were written into
    """

    def __init__(self, lines: bool = True) -> None:
        """An empty graph."""
        self.graph = Graph()
        self.captured: dict[int, tuple[Any, Var]] = {}
        self.substitutes: dict[int, TracedTensor] = {}
        self.shadows: dict[int, tuple[Tensor, TracedTensor]] = {}
        self.written: list[Tensor] = []
        self.grads: dict[int, Tensor] = {}
        self.lines = lines

    @contextmanager
    def running(self) -> Generator[None]:
        """While recording, every op comes here, also one on tensors of the surroundings only."""
        before = state.tracer
        state.update(tracer=self)
        try:
            yield
        except BaseException:
            for t, _ in self.captured.values():
                if isinstance(t, Tensor) and isinstance(t.stored_grad, TracedTensor):
                    t.stored_grad = self.grads.get(id(t))
            raise
        finally:
            state.update(tracer=before)

    @contextmanager
    def standing_for(self, outside: Sequence[Tensor], inside: Sequence[Any]) -> Generator[None]:
        """Let traced tensors stand for outside ones."""
        before = {id(t): self.substitutes.get(id(t)) for t in outside}
        self.substitutes.update((id(t), x) for t, x in zip(outside, inside, strict=True))
        try:
            yield
        finally:
            for key, x in before.items():
                if x is None:
                    del self.substitutes[key]
                else:
                    self.substitutes[key] = x

    def input(self, shape: Sequence[int], dtype: Any) -> TracedTensor:
        """A new input of the graph."""
        v = Var(tuple(shape), np.dtype(dtype))
        self.graph.inputs.append(v)
        return self.tensor(v)

    def tensor(self, var: Var) -> TracedTensor:
        """The tensor that the function sees for a variable."""
        t = object.__new__(TracedTensor)
        t.value = Symbol(var, self)
        return t

    def variable(self, a: Any) -> Any:
        """An argument of an op as an equation has it: variables for tensors and arrays."""
        if isinstance(a, TracedTensor):
            if a.value.tracer is not self:
                raise TraceError(
                    message(
                        "a traced tensor was used after its function had been recorded",
                        f"a tensor of shape {list(a.value.shape)} left the function that was compiled",
                        "return it from the function instead of storing it elsewhere",
                    )
                )
            return a.value.var
        if isinstance(a, Tensor | np.ndarray):
            found = self.substitutes.get(id(a))
            return self.capture(a) if found is None else found.value.var
        return a

    def capture(self, a: Any) -> Var:
        """The variable for a tensor or array of the surroundings, one for each object."""
        known = self.captured.get(id(a))
        if known is None:
            grad = a.stored_grad if isinstance(a, Tensor) else None
            if grad is not None and not isinstance(grad, TracedTensor):
                self.grads[id(a)] = grad
            v = Var(tuple(a.shape), a.value.dtype if isinstance(a, Tensor) else a.dtype)
            self.graph.consts[v] = a
            known = self.captured[id(a)] = (a, v)
        return known[1]

    def take(self, op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """An op called while recording: an equation, and a node where autograd follows an argument."""
        if self.substitutes:
            args = tuple(self.substitutes.get(id(a), a) if isinstance(a, Tensor) else a for a in args)
        if any(isinstance(a, BatchedTensor) for a in args):
            return run_batched(op, args, params)
        out = self.record(op, args, params)
        followed = any(isinstance(a, Tensor) and a.node is not None for a in args)
        if state.grad and op.differentiable and followed:
            return follow(op, args, params, out, self.outer)
        return out

    def outer(self, edge: Any) -> Any:
        """Where a cotangent goes: for the shadow of an outside leaf it is the leaf itself."""
        if not isinstance(edge, TracedTensor):
            return edge
        return next((t for t, inside in self.shadows.values() if inside is edge), edge)

    def write(
        self, call: Callable[..., Any], t: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """An in-place op on an outside tensor: from here on its result stands for the tensor."""
        inside = self.substitutes.get(id(t))
        if inside is None:
            inside = self.shadow(t)
            inside.node = t.node
            self.written.append(t)
        result = call(inside.snapshot(), *args, **kwargs)
        self.substitutes[id(t)] = inside.become(result, "an in-place op")
        return t

    def record(self, op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Add an equation; its output(s) as traced tensors."""
        avals = [Aval(a.value.shape, a.value.dtype) if isinstance(a, Tensor) else a for a in args]
        out = self.types(op, avals, params)
        several = isinstance(out, tuple)
        outs = tuple(Var(tuple(o.shape), np.dtype(o.dtype)) for o in (out if several else (out,)))
        shares = op.is_view if isinstance(op, Structural) else False
        frame = user_frame() if self.lines else None
        line = None if frame is None else (frame.f_code.co_filename, frame.f_lineno)
        self.graph.eqns.append(Eqn(op, tuple(map(self.variable, args)), params, outs, line))
        made = tuple(map(self.tensor, outs)) if several else self.tensor(outs[0])
        if (shares or op.name == "unsafe_view") and isinstance(args[0], Tensor):
            aliases.link(
                args[0] if isinstance(args[0], TracedTensor) else self.shadow(args[0]), made, op, params
            )
        return made

    def shadow(self, t: Tensor) -> TracedTensor:
        """What stands for an outside tensor where its memory is written to."""
        if id(t) not in self.shadows:
            self.shadows[id(t)] = (t, self.tensor(self.capture(t)))
        return self.shadows[id(t)][1]

    def notice(self) -> None:
        """After a write through a view: the outside tensors whose memory it reached are replaced too."""
        for key, (t, inside) in self.shadows.items():
            if key not in self.substitutes and inside.value.var is not self.captured[key][1]:
                inside.node = t.node
                self.substitutes[key] = inside
                self.written.append(t)

    def types(self, op: Op, avals: list[Any], params: dict[str, Any]) -> Any:
        """Shape and dtype of the output(s)."""
        if isinstance(op.type, Absent):
            raise TraceError(
                message(
                    f"{op.name} cannot be recorded: its result has no shape before it runs",
                    op.type.reason,
                    "compute it outside the compiled function and pass the result in",
                )
            )
        return op.type(*avals, **params)


class TracedTensor(Tensor):
    """A tensor without values inside a function that is being recorded.

    view_of   its part of the memory that it shares with others (`aliases`), where there are any
    """

    view_of: Any = None

    def foreign(self, op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Record an op that has a traced argument; below a running vmap it goes through its batch rule."""
        return (state.tracer or self.value.tracer).take(op, args, params)

    def foreign_write(
        self, call: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """An in-place op: run the out-of-place one and take its result over."""
        return self.become(call(self.snapshot(), *args, **kwargs), name)

    def become(self, result: Tensor, name: str) -> TracedTensor:
        """Take over the value of a write, in this tensor's dtype."""
        if tuple(result.value.shape) != self.value.shape:
            raise RuntimeError(
                message(
                    f"output with shape {list(self.value.shape)} doesn't match the broadcast shape "
                    f"{list(result.value.shape)}",
                    f"{name} in a compiled function",
                )
            )
        if result.value.dtype != self.value.dtype:
            result = result.to(self.dtype)
        tracer = self.value.tracer
        traced = isinstance(result, TracedTensor)
        self.value = result.value if traced else Symbol(tracer.variable(result), tracer)
        # as in eager code, a write that is not recorded leaves a tensor's place in the graph as it is
        if state.grad or self.node is None:
            self.node = result.node
        if self.view_of is not None:
            aliases.spread(self)
            tracer.notice()
        return self

    def foreign_function(self, function: Any, _args: tuple[Any, ...]) -> Any:
        """Custom Functions run Python code on values."""
        raise TraceError(
            message(
                f"the custom Function {function.__name__} cannot be recorded",
                "its forward is Python code on values",
                "write it with pullback's ops, or call it outside the compiled function",
            )
        )

    def detach(self) -> Tensor:
        """The same entries, followed by nobody; a write to them reaches this tensor too."""
        t = self.snapshot()
        t.node = None
        aliases.link_detached(self, t)
        return t

    def snapshot(self) -> TracedTensor:
        """The tensor as it is now, which a later write does not change."""
        t = object.__new__(TracedTensor)
        t.value, t.node = self.value, self.node
        return t

    def refuse(self, what: str) -> None:
        """Raise the error for reading a value that does not exist yet."""
        if what == "bool":
            raise TraceError(
                message(
                    "a compiled function cannot branch in Python on a traced value",
                    f"if, while, and, or, not or bool() on a tensor of shape {list(self.value.shape)}, whose "
                    f"value is not known when the function is recorded",
                    "choose entries with torch.where, branches with pullback.func.cond, and loop with "
                    "pullback.func.while_loop or pullback.func.scan",
                )
            )
        raise TraceError(
            message(
                "a compiled function cannot read a traced value as a Python number",
                f"item(), float(), int() or tolist() on a tensor of shape {list(self.value.shape)}",
                "keep it a tensor; print and convert outside the compiled function",
            )
        )

    def storage(self) -> Any:
        """Refused: a traced tensor has no memory."""
        self.refuse("storage")

    def text(self) -> str:
        """How it prints."""
        return f"traced({self.dtype!r}, shape {list(self.value.shape)})"

    def new_filled(self, number: float) -> Tensor:
        """A constant of this tensor's shape and dtype."""
        return wrap(np.full(self.value.shape, number, self.value.dtype))

    def new_ones_like(self) -> Tensor:
        """Ones of this tensor's shape and dtype."""
        return self.new_filled(1)


def follow(
    op: Op,
    args: tuple[Any, ...],
    params: dict[str, Any],
    out: Any,
    outer: Callable[[Any], Any] = lambda edge: edge,
) -> Any:
    """Record a node on traced tensors: its rules will run on tensors, and be traced."""
    outs: tuple[Any, ...] = out if isinstance(out, tuple) else (out,)
    node = make_node(op, args, params, out if isinstance(out, tuple) else outs[0])
    node.lanes = node.special = True
    node.edges = tuple(map(outer, node.edges))
    # rules read what the arguments are now: a later write in place makes new values
    node.args = tuple(a.snapshot() if isinstance(a, TracedTensor) else a for a in node.args)
    if hasattr(op, "partials"):
        node.meta = tuple((a.value.shape, a.value.dtype) if isinstance(a, Tensor) else None for a in args)
        node.args = tuple(
            number_value(a, outs[0].value.dtype) if isinstance(a, NUMBER) else a for a in node.args
        )
    if op.keeps_out:
        kept = tuple(o.snapshot() for o in outs)
        node.out = kept if isinstance(out, tuple) else kept[0]
    if isinstance(out, tuple):
        node.count = len(outs)
        node.out_avals = tuple(Aval(o.value.shape, o.value.dtype) for o in outs)
    for i, o in enumerate(outs):
        if o.value.dtype.kind in "fc":
            o.node = Slot(node, i) if isinstance(out, tuple) else node
    return out


def trace(function: Callable[..., Any], avals: Sequence[Any], lines: bool = True) -> Tracer:
    """Record function(*inputs) for inputs of these shapes and dtypes; it returns a flat list of tensors.

    avals   anything with `shape` and `dtype` (NumPy's)
    The tracer's graph has its outputs set. TraceError where the function draws random numbers: they would be
    the same in every later call.
    """
    tracer = Tracer(lines)
    inputs = [tracer.input(a.shape, a.dtype) for a in avals]
    before = default_generator.place()
    with tracer.running():
        outs = function(*inputs)
    if default_generator.place() != before:
        raise TraceError(
            message(
                "a compiled function cannot draw random numbers",
                "the draw would be made once, when the function is recorded, and repeated in every call",
                "draw outside and pass the numbers in; for averages over random inputs see "
                "pullback.sensitivity",
            )
        )
    for out in outs:
        if not isinstance(out, Tensor):
            raise TraceError(message(f"a compiled function returns tensors, not {type(out).__name__}"))
        tracer.graph.outputs.append(tracer.variable(out))
    return tracer


__all__ = ["Node", "Symbol", "TraceError", "TracedTensor", "Tracer", "follow", "trace"]
