"""`backward` and `grad`: PyTorch's checks and conventions around the sweep.

Read `backward` first. May import `engine`, `grad_mode`, `trouble`, `graph`.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.autograd.cuts import no_grad_fn, not_followed
from pullback.autograd.engine import finish_leaves, key_of, run_hooks, seed_from, seed_like, sweep
from pullback.autograd.grad_mode import set_grad
from pullback.autograd.handles import GradientEdge, output_aval
from pullback.autograd.unused import unused
from pullback.autograd.upstreams import mismatch, not_scalar
from pullback.errors import message
from pullback.graph.modes import OFF, ON, state
from pullback.graph.node import LEAF, Node, Slot
from pullback.graph.tensor import Parameter, Tensor, edge_of, wrap

CREATE_GRAPH_WARNING = (
    "Using backward() with create_graph=True will create a reference cycle between the parameter and its "
    "gradient which can "
    "cause a memory leak. We recommend using autograd.grad when creating the graph to avoid this. If you "
    "have to use this "
    "function, make sure to reset the .grad fields of your parameters to None after use to break the cycle "
    "and avoid the leak."
)


def tensor_backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add d(gradient . self)/d(leaf) to `.grad` of every leaf that self depends on (a vector-Jacobian
    product).

    gradient      the upstream, of exactly self's shape; may be left out for one-element outputs
    retain_graph  keep what the graph saved for another pass (default: create_graph)
    create_graph  record the sweep itself, for higher derivatives
    inputs        only these tensors accumulate
    RuntimeError if self is not followed, if the upstream is missing or has another shape, or if the graph was
    freed.
    """
    if (
        inputs is None
        and not create_graph
        and (type(self) is Tensor or type(self) is Parameter)
        and not state.inside
    ):
        # the common call, without the lists
        node = self.node
        if node is not None and (gradient is None or type(gradient) is Tensor or type(gradient) is Parameter):
            if gradient is None:
                if self.value.size != 1 or self.value.dtype.kind == "c":
                    raise not_scalar(self)
                c = seed_like(self, False)
            else:
                v, c = self.value, gradient.value
                if c.dtype is not v.dtype or c.shape != v.shape:
                    check_gradient(0, self, gradient)
                    c = seed_from(gradient, self, False)
            _grad_off_sweep(((self if node is LEAF else node, c),), bool(retain_graph))
            return
    backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def _grad_off_sweep(roots: Any, keep: bool) -> None:
    mode = state.mode
    if mode == ON:
        state.mode, state.grad = OFF, False
        try:
            leaves, _ = sweep(roots, keep=keep, tensors=False, named="backward")
        finally:
            state.mode, state.grad = ON, True
    else:
        leaves, _ = run(roots, keep=keep, create_graph=False, wanted=None, named="backward")
    finish_leaves(leaves, False, None)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Sum of vector-Jacobian products of several outputs, added to the leaves' `.grad` (see
    `Tensor.backward`).
    """
    if state.transforms:
        raise RuntimeError(
            "backward() called inside a functorch transform. This is not supported, please use "
            "functorch.grad or "
            "functorch.vjp instead or call backward() outside of functorch transforms."
        )
    if grad_variables is not None:
        warnings.warn(
            "`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2
        )
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. "
                "Please only use "
                "`grad_tensors`."
            )
        grad_tensors = grad_variables
    if create_graph:
        warnings.warn(CREATE_GRAPH_WARNING, UserWarning, stacklevel=2)
    outs = _as_tuple(tensors)
    keep = create_graph if retain_graph is None else retain_graph
    targets = None if inputs is None else _as_tuple(inputs)
    if targets is not None and not targets:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = make_roots(outs, _as_grads(grad_tensors, len(outs)), create_graph)
    wanted = None
    if targets is not None:
        for t in targets:
            if isinstance(t, Tensor):
                t.retain_grad()
        wanted = {key_of(place(t)) for t in targets}
    leaves, _ = run(roots, keep=keep, create_graph=create_graph, wanted=wanted, named="backward")
    finish_leaves(leaves, create_graph, wanted)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The vector-Jacobian products of outputs with respect to inputs, as a tuple (a dict for a dict); `.grad`
    stays untouched.

    outputs, inputs    a tensor or a sequence (inputs also a dict); inputs may be leaves or intermediates
    grad_outputs       the upstream of each output, of its shape; None for one-element outputs
    retain_graph       keep the graph for another pass (default: create_graph)
    create_graph       record the sweep, so the result can be differentiated
    allow_unused       None instead of an error for inputs that no output depends on
    is_grads_batched   the first dimension of each upstream is a batch; so is the results'
    materialize_grads  zeros instead of None
    RuntimeError for outputs or inputs that are not followed, for unused inputs, for upstreams of another
    shape.
    """
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate "
            "gradient for other parts "
            "of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    if isinstance(inputs, dict):
        names = list(inputs)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        found = grad(
            outputs,
            tuple(inputs.values()),
            grad_outputs,
            retain_graph,
            create_graph,
            True,
            allow_unused,  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
            is_grads_batched,
            materialize_grads,
        )
        return dict(zip(names, found, strict=True))  # pyright: ignore[reportUnknownArgumentType]
    outs, ins = _as_tuple(outputs), _as_tuple(inputs)
    if not ins:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    if is_grads_batched:
        batched_grad = importlib.import_module("pullback.func.batched_grad").batched_grad  # a room above
        return batched_grad(
            outs,
            ins,
            _as_grads(grad_outputs, len(outs)),
            retain_graph,
            create_graph,
            allow_unused,
            materialize_grads,
        )
    keep = create_graph if retain_graph is None else retain_graph
    roots = make_roots(outs, _as_grads(grad_outputs, len(outs)), create_graph)
    for i, t in enumerate(ins):
        if not isinstance(t, Tensor | GradientEdge):
            raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(t).__name__}")
        if isinstance(t, Tensor) and t.node is None:
            raise not_followed(i, t)
    found = captured_cotangents(roots, ins, keep=keep, create_graph=create_graph, named="grad")
    return tuple(
        _result(i, t, c, roots, allow_unused, materialize_grads)
        for i, (t, c) in enumerate(zip(ins, found, strict=True))
    )


def captured_cotangents(
    roots: Any, ins: Sequence[Tensor], *, keep: bool, create_graph: bool = False, named: str | None = None
) -> list[Any]:
    """One sweep: the cotangent of each input, hooks applied, None where nothing arrives; plain values unless
    a graph is made. `named`: remember the pass under this name.
    """
    keys = [key_of(place(t)) for t in ins]
    leaves, captured = run(roots, keep=keep, create_graph=create_graph, wanted=set(keys), named=named)
    tensors = create_graph or bool(state.levels)
    found: list[Any] = []
    for key in keys:
        if isinstance(key, Tensor) and key in leaves and not key.cut:
            c = leaves.pop(key)
            captured[key] = run_hooks(key.hooks, c, tensors) if key.hooks is not None else c
        found.append(captured.get(key))
    return found


def place(t: Any) -> Any:
    """The edge of a tensor or of a `GradientEdge`."""
    return edge_of(t) if isinstance(t, Tensor) else t.edge


def _result(i: int, t: Any, c: Any, roots: Any, allow_unused: bool | None, materialize: bool) -> Any:
    if c is not None:
        return c if isinstance(c, Tensor) else wrap(c)
    if materialize:
        if not isinstance(t, Tensor):
            raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
        return t.new_filled(0) if t.foreign is not None else wrap(np.zeros(t.value.shape, t.value.dtype))
    if allow_unused:
        return None
    raise unused(i, t, [e for e, _ in roots])


def run(
    roots: Any, *, keep: bool, create_graph: bool, wanted: set[Any] | None, named: str | None = None
) -> Any:
    """One sweep in the right modes: recording if a graph is wanted, tensors inside vmap."""
    tensors = create_graph or bool(state.levels)
    before = state.grad
    set_grad(create_graph)
    try:
        named = None if state.inside else named
        return sweep(roots, keep=keep, tensors=tensors, wanted=wanted, named=named)
    finally:
        set_grad(before)


def make_roots(outs: Sequence[Tensor], grads: Sequence[Any], create_graph: bool) -> list[tuple[Any, Any]]:
    """Check outputs and upstreams; the sweep's starting points."""
    tensors = create_graph or bool(state.levels)
    roots: list[tuple[Any, Any]] = []
    for i, (t, g) in enumerate(zip(map(_output, outs), grads, strict=True)):
        if g is None:
            if t.node is None:
                raise no_grad_fn(i, t)
            if t.numel() != 1 or t.value.dtype.kind == "c":
                raise not_scalar(t)
            roots.append((edge_of(t), seed_like(t, tensors)))
            continue
        if not isinstance(g, Tensor):
            raise TypeError(
                message(
                    f"gradients can be either Tensors or None, but got {type(g).__name__}",
                    "",
                    "pass a tensor of the output's shape",
                )
            )
        check_gradient(i, t, g)
        if t.node is None:
            raise no_grad_fn(i, t)
        roots.append((edge_of(t), seed_from(g, t, tensors)))
    return roots


def check_gradient(i: int, t: Tensor, g: Tensor) -> None:
    """RuntimeError unless an upstream has exactly the output's shape and a matching kind."""
    v, w = t.value, g.value
    if v.shape == w.shape and v.dtype is w.dtype:
        return
    if tuple(v.shape) != tuple(w.shape):
        raise mismatch(i, t, g)
    if (g.value.dtype.kind == "c") != (t.value.dtype.kind == "c"):
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. "
            "Mismatch in dtype: "
            f"grad_output[{i}] has a dtype of {g.dtype!r} and output[{i}] has a dtype of {t.dtype!r}."
        )


def _output(t: Any) -> Tensor:
    """An output as a tensor: for a `GradientEdge`, a stand-in of the same shape at the same place in the
    graph.
    """
    if isinstance(t, Tensor):
        return t
    if not isinstance(t, GradientEdge):
        raise AssertionError("Expected output to be a torch.Tensor")
    edge = t.edge
    if isinstance(edge, Tensor):
        return edge
    aval = edge.node.out_avals[edge.index] if type(edge) is Slot else output_aval(edge)
    return wrap(np.broadcast_to(aval.dtype.type(0), aval.shape), edge)


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return (x,) if isinstance(x, Tensor | GradientEdge) else tuple(x)


def _as_grads(grads: Any, n: int) -> tuple[Any, ...]:
    if grads is None:
        return (None,) * n
    found = (grads,) if isinstance(grads, Tensor) else tuple(grads)
    if len(found) < n:
        raise RuntimeError(
            message(
                f"got {n} tensors and {len(found)} gradients", "", "give one upstream (or None) per output"
            )
        )
    return found[:n]  # PyTorch ignores further ones


__all__ = ["Node", "backward", "captured_cotangents", "grad", "tensor_backward"]
