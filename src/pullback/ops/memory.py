"""Copies and memory: clone, contiguous, detach, data, and the in-place writes copy_, fill_, zero_.

Read `detach` and `data` first: they share memory and differ in the version counter. May import `families`,
`graph`, `errors`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.calls import write_out
from pullback.families.inplace import adopt, bump, came_from, check_recorded, check_writable, set_node
from pullback.families.op import Op, apply, cast, strip, unbroadcast
from pullback.families.sizes import need_tensor, shape_of
from pullback.families.structural import structural
from pullback.graph.modes import CAREFUL, state
from pullback.graph.node import LEAF, Aval, Node
from pullback.graph.record import annotate
from pullback.graph.shadows import basic, cut_off, shadow
from pullback.graph.tensor import InferenceTensor, Tensor, edge_of, wrap
from pullback.ops.broadcasting import common_shape

VIEW_DETACH = (
    "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) "
    "for training, and "
    "gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence detach_() "
    "cannot be called on these "
    "gradients. To fix this error, please refer to the Optimizer.zero_grad() function in "
    "torch/optim/optimizer.py as the solution."
)

clone_op = basic.identity = structural(
    "clone",
    lambda x: x.copy("K") if isinstance(x, np.ndarray) else x,
    vjp=lambda g, _out, _x: g,
    lift=lambda params, _n: params,
    samples=[((2, 3), {}), ((), {}), ((0,), {})],
)
contiguous_op = structural(
    "contiguous",
    lambda x: np.array(x, order="C"),
    vjp=lambda g, _out, _x: g,
    backward="CloneBackward0",
    lift=lambda params, _n: params,
    samples=[((2, 3), {})],
)
# the new value of a tensor that was overwritten: nothing flows to the old one
copy_op = structural(
    "copy",
    lambda old, src: np.broadcast_to(src, old.shape).astype(old.dtype),
    vjp=[
        lambda g, _out, _old, _src: g * 0,
        lambda g, _out, _old, _src: cast(unbroadcast(g, tuple(_src.shape)), _src.dtype),
    ],
    data=(1,),
    keeps=(False, False),
    backward="CopyBackwards",
    samples=[((2, 3), (3,), {}), ((), (), {})],
)
fill_op = structural(
    "fill",
    lambda old, value: np.broadcast_to(value, old.shape).astype(old.dtype),
    vjp=[
        lambda g, _out, _old, _value: g * 0,
        lambda g, _out, _old, _value: cast(unbroadcast(g, ()), _value.dtype),
    ],
    data=(1,),
    keeps=(False, False),
    backward=lambda node: (
        "FillBackward3" if isinstance(node.args[1] if node.args else None, Aval) else "FillBackward2"
    ),
    samples=[((2, 3), (), {}), ((), (), {})],
)
zero_op = structural(
    "zero",
    lambda old: np.zeros(old.shape, old.dtype),
    vjp=lambda g, _out, _old: g * 0,
    lift=lambda params, _n: params,
    samples=[((2, 3), {}), ((), {})],
)


def written(op: Op, out: Tensor | None, made: Tensor, args: tuple[Any, ...]) -> Tensor:
    """An op's result, copied into out= where one was given."""
    return made if out is None else write_out(op, out, made, args)


# ---------------------------------------------------------------------- copies


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:  # noqa: ARG001 - PyTorch's argument
    """A copy with its own memory; gradients flow through to the input."""
    need_tensor("clone", input)
    if input.foreign is not None:
        return input.foreign(clone_op, (input,), {})
    return apply(clone_op, (input,), {})


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if its memory is in row-major order, else a copy that is."""
    if memory_format is not None and "channels_last" in str(memory_format):
        need = 5 if "3d" in str(memory_format) else 4
        if len(shape_of(self)) != need:
            raise RuntimeError(
                message(
                    f"required rank {need} tensor to use channels_last{'_3d' if need == 5 else ''} format"
                )
            )
    if self.foreign is not None or self.storage().flags.c_contiguous:
        return self
    return apply(contiguous_op, (self,), {})


# ---------------------------------------------------------------------- without the graph


def detach(self: Tensor) -> Tensor:
    """The same memory, followed by nobody.

    Writes to it are counted, so saved values that they change are noticed.
    """
    if not isinstance(self.value, np.ndarray | np.generic):
        return strip(self)
    t = object.__new__(Tensor) if not self.from_inference else object.__new__(InferenceTensor)
    t.value = self.storage()
    if not self.from_inference:
        t.counter = self.counter or self.shared_counter()
    if state.lines:
        cut_off(clone_op, t, (self,), {}, "detach")
    return t


def detach_(self: Tensor) -> Tensor:
    """Cut the tensor itself off its history: it becomes a leaf that is not followed.

    RuntimeError for views, whose base would stay connected.
    """
    if self.base is not None:
        raise RuntimeError(message(VIEW_DETACH))
    node = _stopped(self, "detach") if state.lines and self.node is not None else self.origin
    set_node(self, None)
    self.retains = False
    self.origin = node
    return self


def _stopped(t: Tensor, cut: str) -> Node:
    """The origin of a followed tensor that autograd stops to follow."""
    before = t if t.node is LEAF else wrap(t.value, t.node)
    return shadow(clone_op, (before,), t.value, {}, cut)


def _get_data(self: Tensor) -> Tensor:
    """The same memory without history and without the version counter: changes through it are not noticed."""
    if not isinstance(self.value, np.ndarray | np.generic):
        return strip(self)
    t = wrap(self.storage())
    if state.lines:
        cut_off(clone_op, t, (self,), {}, "data")
    return t


def _set_data(self: Tensor, new: Any) -> None:
    if not isinstance(new, Tensor):
        raise TypeError(
            message(
                f"Variable data has to be a tensor, but got {type(new).__name__}",
                "",
                "x.data = torch.tensor(value)",
            )
        )
    if self.node is not None and new.value.dtype.kind not in "fc":
        raise RuntimeError(
            message(
                "data set to a tensor that requires gradients must be floating point or complex dtype",
                f"the new data has dtype {new.dtype!r}",
                "convert it: new.float()",
            )
        )
    self.value = new.storage()


# ---------------------------------------------------------------------- writes


def overwrite(t: Tensor, op: Op, args: tuple[Any, ...], value: Any) -> Tensor:
    """Write `value` over all of t, as what `op` makes of (t, *args).

    The common part of copy_, fill_ and zero_.
    """
    followed = state.grad and any(isinstance(a, Tensor) and a.node is not None for a in (t, *args))
    node = None
    if followed and t.value.dtype.kind in "fc":
        every = (t, *args)
        node = Node(
            op,
            tuple(Aval(a.value.shape, a.value.dtype) if isinstance(a, Tensor) else a for a in every),
            tuple(edge_of(a) if isinstance(a, Tensor) else None for a in every),
            None,
            {},
            None,
        )
        if state.mode >= CAREFUL:
            annotate(node, every)
    t.storage()[...] = value
    adopt(t, node)
    if state.lines or t.origin is not None:
        made = wrap(np.broadcast_to(value, t.value.shape).astype(t.value.dtype, copy=False))
        if node is None:
            cut_off(op, made, (Aval(made.value.shape, made.value.dtype), *args), {})
        came_from(t, made.origin)
    return t


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:  # noqa: ARG001 - PyTorch's argument
    """Overwrite the entries with those of src (broadcast, converted to self's dtype).

    Gradients flow to src.
    """
    if not isinstance(src, Tensor):
        src = wrap(np.asarray(src, self.value.dtype))
    if self.foreign is not None or (src.foreign is not None and state.tracer is None):
        return _foreign_copy(self, src)
    if state.mode >= CAREFUL and state.tracer is not None:
        return state.tracer.write(copy_, self, (src,), {})
    check_writable(self, (src,))
    v, s = self.value, src.value
    if s.shape != v.shape:
        _check_fits(v.shape, s.shape)
    return overwrite(self, copy_op, (src,), s)


def _foreign_copy(t: Tensor, src: Tensor) -> Tensor:
    if t.foreign is None:
        raise RuntimeError(
            message(
                "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a "
                "Tensor `other` in extra_args "
                "that has more elements than `self`.",
                "copy_ of a batched tensor into one that vmap does not batch",
                "build a new tensor instead, or make the target from a batched one (x.new_zeros, "
                "zeros_like(x))",
            )
        )
    return t.foreign_write(lambda old, new: apply(copy_op, (old, new), {}), "copy_", (src,), {})


def _check_fits(target: tuple[int, ...], have: tuple[int, ...]) -> None:
    wide = common_shape("copy_", [target, have])
    if wide != target:
        raise RuntimeError(
            message(
                f"output with shape {list(target)} doesn't match the broadcast shape {list(wide)}",
                "copy_ cannot enlarge its target",
            )
        )


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every entry to a number or a 0-d tensor."""
    if isinstance(value, Tensor):
        if value.value.ndim:
            raise RuntimeError(
                message(
                    f"fill_ only supports 0-dimension value tensor but got tensor with {value.value.ndim} "
                    "dimensions.",
                    "",
                    "copy_ writes the entries of a larger tensor",
                )
            )
    elif not isinstance(value, int | float | complex | np.number | np.bool_):
        raise TypeError(
            message(
                f"fill_() received an invalid combination of arguments - got ({type(value).__name__})",
                "",
                "fill with a number",
            )
        )
    if self.foreign is not None:
        return self.foreign_write(lambda old, new: apply(fill_op, (old, new), {}), "fill_", (value,), {})
    if state.mode >= CAREFUL and state.tracer is not None:
        return state.tracer.write(fill_, self, (value,), {})
    if state.grad:
        check_recorded(self, (value,))
    number = value.value if isinstance(value, Tensor) else value
    check_number(self, number)
    if isinstance(number, complex) and self.value.dtype.kind != "c":
        number = number.real
    return overwrite(self, fill_op, (value,), number)


def check_number(t: Tensor, number: Any) -> None:
    """RuntimeError where a number has an imaginary part that the dtype cannot hold."""
    if isinstance(number, complex) and number.imag and t.value.dtype.kind != "c":
        word = {"Half": "c10::Half", "Float": "float", "Double": "double"}.get(t.dtype.word, t.dtype.name)
        raise RuntimeError(
            message(
                f"value cannot be converted to type {word} without overflow",
                f"{number} has an imaginary part",
            )
        )


def zero_(self: Tensor) -> Tensor:
    """Set every entry to zero."""
    if self.foreign is not None:
        return self.foreign_write(lambda old: apply(zero_op, (old,), {}), "zero_", (), {})
    if state.mode >= CAREFUL and state.tracer is not None:
        return state.tracer.write(zero_, self, (), {})
    if self.from_inference and not state.inference:
        check_writable(self)
    if state.grad:
        check_recorded(self)
    if self.node is None and self.base is None and self.origin is None:  # the common case: x.grad.zero_()
        self.storage().fill(0)
        bump(self)
        return self
    return overwrite(self, zero_op, (), 0)


def _is_view(self: Tensor) -> bool:
    """True where the tensor shares memory with a base that autograd knows."""
    return self.base is not None


def resize_(self: Tensor, *size: Any, memory_format: Any = None) -> Tensor:  # noqa: ARG001 - PyTorch's argument
    """Another shape for the same memory (longer: with new, unspecified entries).

    RuntimeError where autograd follows it.
    """
    if self.node is not None:
        raise RuntimeError(
            message("cannot resize variables that require grad", "", "use reshape, or make a new tensor")
        )
    sizes = tuple(size[0]) if len(size) == 1 and isinstance(size[0], tuple | list) else size
    v = self.storage()
    n = int(np.prod(sizes))
    self.value = v.reshape(-1)[:n].reshape(sizes) if n <= v.size else np.resize(v, sizes)
    return self


PUBLIC: dict[str, Any] = {
    "clone": clone,
    "detach": detach,
    "detach_": detach_,
    "fill_": fill_,
    "zero_": zero_,
}
METHODS: dict[str, Any] = {
    **PUBLIC,
    "contiguous": contiguous,
    "copy_": copy_,
    "resize_": resize_,
    "_is_view": _is_view,
    "data": property(_get_data, _set_data),
    "_switched_off": lambda self: _stopped(self, "requires_grad_(False)"),
}

__all__ = ["LEAF", "METHODS", "PUBLIC", "check_number", "clone", "copy_", "detach", "fill_", "overwrite"]
