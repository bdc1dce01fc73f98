"""What all differential transforms share: run a function on fresh starting points and read its record.

Read `Recorded` first. Inside a transform recording is on (an outer no_grad does not stop it); results stay
connected to whatever the
function or its arguments were connected to before, and to nothing else. May import `transform`,
`autograd.public`, `graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

from pullback.autograd.public import run as run_sweep
from pullback.families.op import strip
from pullback.func.pytree import Spec, flatten, unflatten
from pullback.graph.modes import state
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.transform.batch import lift_all
from pullback.transform.forward import fresh, leads_outside, push, zeros_like
from pullback.transform.shown import Track


@contextmanager
def transforming() -> Any:
    """Recording on, and the count of running transforms one higher."""
    before, depth = state.grad, state.transforms
    state.update(grad=True, transforms=depth + 1)
    try:
        yield
    finally:
        state.update(grad=before, transforms=depth)


def start(x: Any) -> Tensor:
    """A fresh starting point for differentiation; inside vmap one per lane."""
    if not isinstance(x, Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
    if x.value.dtype.kind not in "fc":
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    return fresh(lift_all(x) if state.levels else x)


class Recorded:
    """A function's run on fresh starting points: its outputs, and vjp and jvp read from the record."""

    def __init__(self, function: Callable[[Sequence[Tensor]], Any], inputs: Sequence[Any]) -> None:
        """function(list of started inputs) -> any pytree."""
        before = state.tracking
        with transforming():
            state.tracking = (*before, Track())
            try:
                self.inputs = [start(x) for x in inputs]
                self.nodes: list[Node] = [t.node for t in self.inputs]
                self.result = function(self.inputs)
            finally:
                state.tracking = before

    def outputs(self, tree: Any) -> tuple[list[Tensor], Spec]:
        """The tensors of (part of) the result."""
        return flatten(tree)

    def connected(self, outs: Sequence[Tensor]) -> bool:
        """Would a derivative of these outputs be connected to something outside?"""
        return leads_outside(outs, set(self.nodes))

    def clean(self, t: Any) -> Any:
        """An output as the caller sees it: connected to the outside only."""
        if isinstance(t, Tensor) and t.node is not None and not self.connected([t]):
            return strip(t)
        return t

    def clean_tree(self, aux: Any) -> Any:
        """The second result of a function with has_aux; RuntimeError unless it holds tensors only."""
        items, spec = flatten(aux)
        for a in items:
            if not isinstance(a, Tensor):
                raise RuntimeError(f"Expected tensors, got unsupported type {type(a)}")
        return unflatten([self.clean(a) for a in items], spec)

    def pull(
        self, outs: Sequence[Tensor], cotangents: Sequence[Tensor], record: bool | None = None
    ) -> list[Tensor]:
        """The vector-Jacobian product: one cotangent per input, zeros where nothing depends on it."""
        graph = (
            record
            if record is not None
            else self.connected(outs) or any(c.node is not None for c in cotangents)
        )
        roots = [(edge_of(t), c) for t, c in zip(outs, cotangents, strict=True) if t.node is not None]
        with transforming():
            _, captured = run_sweep(
                roots_for(roots, graph), keep=True, create_graph=graph, wanted=set(self.nodes)
            )
        return [
            self._finished(captured.get(node), t, graph)
            for node, t in zip(self.nodes, self.inputs, strict=True)
        ]

    def _finished(self, c: Any, t: Tensor, graph: bool) -> Tensor:
        if c is None:
            return zeros_like(t)
        if not isinstance(c, Tensor):
            return wrap(c)
        return c if graph else strip(c)

    def push(self, outs: Sequence[Tensor], tangents: Sequence[Tensor]) -> list[Tensor]:
        """The Jacobian-vector product: one tangent per output, zeros where it depends on no input."""
        graph = self.connected(outs) or any(t.node is not None for t in tangents)
        before = state.grad
        state.update(grad=graph)
        try:
            found = push(outs, dict(zip(self.nodes, tangents, strict=True)))
        finally:
            state.update(grad=before)
        return [
            zeros_like(o) if t is None else (t if t.dtype is o.dtype else t.to(o.dtype))
            for t, o in zip(found, outs, strict=True)
        ]


def roots_for(roots: list[tuple[Any, Tensor]], graph: bool) -> list[tuple[Any, Any]]:
    """Roots in the form the sweep wants: tensors where it runs on tensors, plain values elsewhere."""
    if graph or state.levels or any(c.foreign is not None for _, c in roots):
        return list(roots)
    return [(e, c.value) for e, c in roots]


def rebuild(values: Sequence[Any], spec: Spec) -> Any:
    """A pytree from leaves."""
    return unflatten(values, spec)
