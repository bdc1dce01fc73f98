"""`torch.autograd.functional`: Jacobians, Hessians and their products with vectors, of a function at a point.

Read `jacobian` first, then `Call`, which holds what all six functions do to inputs and outputs: inputs are
detached (or, with
create_graph, replaced by views of themselves), so that nobody's `.grad` changes. A Jacobian is one sweep per
output entry; sweeps run
on plain arrays straight into the result, so hooks run as often as in PyTorch and nothing is stacked. May
import `autograd.public`,
`graph`, `transform`, `func.mapping` (lazily), `functional_checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.autograd.functional_checks import (
    check_depends,
    check_single,
    check_strategy,
    check_v,
    filled,
    no_vector,
    refuse,
    tensors_of,
)
from pullback.autograd.grad_mode import enable_grad, set_grad_enabled
from pullback.autograd.public import captured_cotangents, grad
from pullback.families.op import cast
from pullback.func.mapping import vmap
from pullback.graph.modes import state
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.ops.join import stack
from pullback.transform.forward import fresh, leads_outside, push, zeros_like

Function = Callable[..., Any]


class Call:
    """One call of a function at a point: its inputs as fresh tensors, its outputs, and which of the two were
    tuples.
    """

    tuple_out: bool
    outputs: list[Tensor]

    def __init__(self, name: str, inputs: Any, create_graph: bool, strict: bool) -> None:
        """Take the inputs. TypeError for anything but a tensor or a tuple of them."""
        self.name, self.create_graph, self.strict = name, create_graph, strict
        self.tuple_in, given = tensors_of(inputs, "inputs", name)
        with enable_grad():
            self.inputs = [_fresh(x, create_graph) for x in given]

    def run(self, func: Function, single: bool = False) -> Call:
        """Run func on the inputs; `single` asks for one output of one element."""
        with enable_grad():
            self.tuple_out, self.outputs = tensors_of(
                func(*self.inputs), "outputs of the user-provided function", self.name
            )
        check_depends(self.outputs, "outputs", self.strict)
        if single:
            check_single(self.name, self.tuple_out, self.outputs)
        return self

    def vector(self, v: Any, like: Sequence[Tensor], is_tuple: bool) -> list[Tensor]:
        """v checked against the tensors it multiplies, detached unless a graph is kept."""
        found = tensors_of(v, "v", self.name)[1]
        found = [x if self.create_graph and x.requires_grad else x.detach() for x in found]
        check_v(found, like, is_tuple)
        return found

    def answer(self, product: Sequence[Tensor], is_tuple: bool) -> Any:
        """(outputs, product) as the user gets them: without a graph unless one was asked for."""
        outs = self.outputs if self.create_graph else [t.detach() for t in self.outputs]
        found = product if self.create_graph else [t.detach() for t in product]
        return (tuple(outs) if self.tuple_out else outs[0], tuple(found) if is_tuple else found[0])


def _fresh(x: Tensor, create_graph: bool) -> Tensor:
    if create_graph and x.requires_grad:
        return x.view_as(x)
    return x.detach().requires_grad_()


def _grad(
    outs: Sequence[Tensor], ins: Sequence[Tensor], grads: Any = None, create_graph: bool = False
) -> tuple[Any, ...]:
    """`autograd.grad` of the outputs that are followed: None where nothing depends on an input."""
    grads = grads if grads is not None else [None] * len(outs)
    pairs = [(t, g) for t, g in zip(outs, grads, strict=True) if t.requires_grad]
    if not pairs:
        return (None,) * len(ins)
    return grad(
        [t for t, _ in pairs], ins, [g for _, g in pairs], allow_unused=True, create_graph=create_graph
    )


# ---------------------------------------------------------------------- Jacobians


def jacobian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of func at inputs: shape output.shape + input.shape, entry [i, j] = d output[i] / d
    input[j].

    func          takes the inputs as positional arguments; returns a tensor or a tuple of tensors
    inputs        a tensor or a tuple of tensors of floating dtype; the result nests [output][input] where
                  tuples were used
    create_graph  the result can be differentiated again
    strict        RuntimeError, instead of zeros, where an output does not depend on an input
    vectorize     map one sweep over all output entries with vmap (hooks then see batched tensors)
    strategy      "reverse-mode": a sweep per output entry; "forward-mode": a push per input entry (needs
                  vectorize)

    >>> import pullback as torch
    >>> torch.autograd.functional.jacobian(lambda x: x.sin() * 2, torch.zeros(2))
    tensor([[2., 0.],
            [0., 2.]])
    """
    check_strategy(strategy, create_graph, strict, vectorize)
    if strategy == "forward-mode":
        return _forward_jacobian(func, inputs, keep=False)
    call = Call("jacobian", inputs, create_graph, strict).run(func)
    rows = _mapped_rows if vectorize else _recorded_rows if create_graph else _plain_rows
    table = [tuple(rows(call, i, out)) for i, out in enumerate(call.outputs)]
    return _nested(table, call.tuple_out, call.tuple_in)


def _nested(table: Sequence[tuple[Tensor, ...]], tuple_out: bool, tuple_in: bool) -> Any:
    rows = tuple(row if tuple_in else row[0] for row in table)
    return rows if tuple_out else rows[0]


def _plain_rows(call: Call, i: int, out: Tensor) -> list[Tensor]:
    """One plain sweep per entry of an output, written straight into the Jacobians."""
    _refuse_complex(out)
    shape, n = tuple(out.value.shape), out.value.size
    dtype = out.value.dtype
    tables = [np.zeros((n, *x.value.shape), x.value.dtype) for x in call.inputs]
    if not n:
        raise RuntimeError("stack expects a non-empty TensorList")
    if out.node is None:
        return [
            wrap(t.reshape(shape + tuple(x.value.shape))) for t, x in zip(tables, call.inputs, strict=True)
        ]
    edge = edge_of(out)
    for j in range(n):
        seed = np.zeros(n, dtype)
        seed[j] = 1
        found = captured_cotangents(
            [(edge, seed.reshape(shape) if shape else seed[0])], call.inputs, keep=True
        )
        for k, c in enumerate(found):
            if c is not None:
                tables[k][j] = c
            elif call.strict:
                raise _independent(i, k)
    return [wrap(t.reshape(shape + tuple(x.value.shape))) for t, x in zip(tables, call.inputs, strict=True)]


def _refuse_complex(out: Tensor) -> None:
    if out.value.dtype.kind == "c":
        raise RuntimeError(
            f"grad can be implicitly created only for real scalar outputs but got {out.dtype!r}"
        )


def _independent(i: int, k: int) -> RuntimeError:
    return refuse(
        f"Output {i} of the user-provided function is independent of input {k}. This is not allowed in "
        "strict mode."
    )


def _recorded_rows(call: Call, i: int, out: Tensor) -> list[Tensor]:
    """One recorded sweep per entry of an output, stacked, so that the Jacobian can be differentiated."""
    _refuse_complex(out)
    columns: list[list[Tensor]] = [[] for _ in call.inputs]
    basis = np.eye(out.value.size, dtype=out.value.dtype).reshape(-1, *out.value.shape)
    for seed in basis:
        found = _grad([out], call.inputs, [wrap(seed)], create_graph=True)
        for k, (c, x) in enumerate(zip(found, call.inputs, strict=True)):
            if c is None and call.strict:
                raise _independent(i, k)
            if c is not None and call.strict and not c.requires_grad:
                raise refuse(
                    f"The jacobian of the user-provided function is independent of input {k}. This is not "
                    "allowed in strict mode when "
                    "create_graph=True."
                )
            columns[k].append(c if c is not None else wrap(np.zeros(x.value.shape, x.value.dtype)))
    return [_stacked(c, out, x) for c, x in zip(columns, call.inputs, strict=True)]


def _stacked(rows: list[Tensor], out: Tensor, x: Tensor) -> Tensor:
    shape = tuple(out.value.shape) + tuple(x.value.shape)
    if len(rows) == 1:
        return rows[0].reshape(shape)
    return stack(rows).reshape(shape)


def _mapped_rows(call: Call, i: int, out: Tensor) -> list[Tensor]:  # noqa: ARG001 - the other ways need i
    """All rows in one sweep over a basis (vmap)."""
    n, shape = out.value.size, tuple(out.value.shape)
    if out.node is None:
        return [wrap(np.zeros(shape + tuple(x.value.shape), x.value.dtype)) for x in call.inputs]
    basis = wrap(np.eye(n, dtype=out.value.dtype).reshape(n, *shape))
    found = grad(
        [out],
        call.inputs,
        [basis],
        retain_graph=True,
        create_graph=call.create_graph,
        allow_unused=True,
        is_grads_batched=True,
    )
    made: list[Tensor] = []
    for c, x in zip(found, call.inputs, strict=True):
        full = shape + tuple(x.value.shape)
        made.append(wrap(np.zeros(full, x.value.dtype)) if c is None else c.reshape(full))
    return made if call.create_graph else [t.detach() for t in made]


def _forward_jacobian(func: Function, inputs: Any, *, keep: bool) -> Any:
    """One push per input entry, all mapped; connected to what lies outside, or as it is (keep)."""
    tuple_in, given = tensors_of(inputs, "inputs", "jacobian")
    with enable_grad():
        starts = [fresh(x) for x in given]
        tuple_out, outs = tensors_of(func(*starts), "outputs of the user-provided function", "jacobian")
    table: list[list[Any]] = [[] for _ in outs]
    for k, x in enumerate(given):

        def column(v: Tensor, k: int = k) -> tuple[Tensor, ...]:
            found = push(outs, {s.node: v if j == k else zeros_like(s) for j, s in enumerate(starts)})
            return tuple(zeros_like(o) if t is None else t for t, o in zip(found, outs, strict=True))

        n = x.value.size
        mapped = vmap(column)(wrap(np.eye(n, dtype=x.value.dtype).reshape(n, *x.value.shape)))
        for row, out, c in zip(table, outs, mapped, strict=True):
            row.append(_as_columns(c, out, x))
    if not keep and not leads_outside(outs, {s.node for s in starts}):
        table = [[t.detach() for t in row] for row in table]
    return _nested([tuple(r) for r in table], tuple_out, tuple_in)


def _as_columns(c: Tensor, out: Tensor, x: Tensor) -> Tensor:
    shape = tuple(out.value.shape) + tuple(x.value.shape)
    moved = c.reshape(c.value.shape[0], -1) if c.value.size else c.reshape(c.value.shape[0], out.value.size)
    return moved.movedim(0, 1).reshape(shape).to(out.dtype)


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function with a one-element output: the Jacobian of its gradient, nested
    [input][input].

    Arguments as in `jacobian`; with outer_jacobian_strategy "forward-mode" (needs vectorize) the outer
    derivative is pushed forward.

    >>> import pullback as torch
    >>> torch.autograd.functional.hessian(lambda x: x.sin() * x, torch.tensor(0.0))
    tensor(2.)
    """
    tuple_in, _ = tensors_of(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def scalar(*xs: Tensor) -> Tensor:
        is_tuple, outs = tensors_of(func(*xs), "outputs of the user-provided function", "hessian")
        check_depends(outs, "outputs", strict)
        check_single("hessian", is_tuple, outs)
        return outs[0].reshape(())

    def gradient(*xs: Tensor) -> Any:
        found = jacobian(scalar, xs, create_graph=True)
        check_depends(found, "jacobian", strict)
        return found

    if outer_jacobian_strategy == "forward-mode":
        check_strategy(outer_jacobian_strategy, create_graph, strict, vectorize)
        found = _forward_jacobian(gradient, inputs, keep=True)
    else:
        found = jacobian(gradient, inputs, create_graph, strict, vectorize)
    if tuple_in:
        return found
    while isinstance(found, tuple):
        found = found[0]  # pyright: ignore[reportUnknownVariableType]
    return found  # pyright: ignore[reportUnknownVariableType]


# ---------------------------------------------------------------------- products


def vjp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(inputs), v^T J): v has the outputs' structure and shapes; it may be left out for one output of
    one element.

    >>> import pullback as torch
    >>> torch.autograd.functional.vjp(lambda x: x.sin(), torch.zeros(2), torch.ones(2))
    (tensor([0., 0.]), tensor([1., 1.]))
    """
    call = Call("vjp", inputs, create_graph, strict).run(func)
    vector = None
    if v is not None:
        vector = call.vector(v, call.outputs, call.tuple_out)
    elif len(call.outputs) != 1 or call.outputs[0].numel() != 1:
        raise no_vector("the user-provided function returns")
    with _recording(create_graph):
        found = _grad(call.outputs, call.inputs, vector, create_graph)
        product = filled(found, call.inputs, strict, create_graph, "back")
    return call.answer(product, call.tuple_in)


def jvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(inputs), J v): v has the inputs' structure and shapes; it may be left out for one input of one
    element.

    Differentiates u^T J, which is linear in u, with respect to u, so that it needs no more than backward
    rules.
    """
    call = Call("jvp", inputs, create_graph, strict)
    vector = _input_vector(call, v)
    call.run(func)
    with enable_grad():
        dummies = [_zeros(t).requires_grad_() for t in call.outputs]
        pulled = _grad(call.outputs, call.inputs, dummies, create_graph=True)
        check_depends(pulled, "grad_inputs", strict)
    found = _through(pulled, dummies, vector, create_graph)
    product = filled(found, call.outputs, strict, create_graph, "back_trick")
    return call.answer(product, call.tuple_out)


def vhp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(inputs), v^T H) with H the Hessian of a function with a one-element output; v has the inputs'
    structure and shapes.
    """
    call = Call("vhp", inputs, create_graph, strict)
    vector = _input_vector(call, v)
    call.run(func, single=True)
    with enable_grad():
        gradient = _grad(call.outputs, call.inputs, create_graph=True)
        check_depends(gradient, "jacobian", strict)
    found = _through(gradient, call.inputs, vector, create_graph)
    product = filled(found, call.inputs, strict, create_graph, "double_back")
    return call.answer(product, call.tuple_in)


def hvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(inputs), H v): equal to `vhp` for functions with continuous second derivatives, but slower (one
    more pass).
    """
    call = Call("hvp", inputs, create_graph, strict)
    vector = _input_vector(call, v)
    call.run(func, single=True)
    with enable_grad():
        gradient = _grad(call.outputs, call.inputs, create_graph=True)
        check_depends(gradient, "jacobian", strict)
        dummies = [_zeros(x).requires_grad_() for x in call.inputs]
        twice = _through(gradient, call.inputs, dummies, True)
        check_depends(twice, "hessian", strict)
    found = _through(twice, dummies, vector, create_graph)
    product = filled(found, call.inputs, strict, create_graph, "double_back_trick")
    return call.answer(product, call.tuple_in)


def _input_vector(call: Call, v: Any) -> list[Tensor]:
    if v is not None:
        return call.vector(v, call.inputs, call.tuple_in)
    if len(call.inputs) != 1 or call.inputs[0].numel() != 1:
        raise no_vector("the input to the user-provided function is")
    return [wrap(np.ones(x.value.shape, x.value.dtype)) for x in call.inputs]


def _through(
    outs: Sequence[Any], ins: Sequence[Tensor], vectors: Sequence[Tensor], create_graph: bool
) -> tuple[Any, ...]:
    """v^T d outs / d ins where outs may hold None."""
    pairs = [(t, v) for t, v in zip(outs, vectors, strict=True) if t is not None]
    with _recording(create_graph):
        return _grad([t for t, _ in pairs], ins, [_like(v, t) for t, v in pairs], create_graph)


def _like(v: Tensor, t: Tensor) -> Tensor:
    return v if v.value.dtype == t.value.dtype else cast(v, t.value.dtype)


def _recording(create_graph: bool) -> Any:
    return set_grad_enabled(True if create_graph else state.grad)


def _zeros(t: Tensor) -> Tensor:
    return wrap(np.zeros(t.value.shape, t.value.dtype))


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
