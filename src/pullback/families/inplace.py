"""In-place ops: the out-of-place op on the old value, then a checked write into the same memory.

Read `in_place` first. A recorded write re-roots the tensor (its node becomes the op's), its base and its
views (`regions`); the
version counter is bumped so that saved values that were overwritten are noticed. Everything that can fail
happens before the first
change. May import `graph`, `families.op`, `families.elementwise`, `families.regions`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.elementwise import Elementwise
from pullback.families.op import Op
from pullback.families.regions import Region, copy_slices, read_region, reroot_base, reroot_views, view_error
from pullback.graph.modes import CAREFUL, LINES, ON, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Aval, Node, Slot
from pullback.graph.record import annotate, unconnected, without_lines
from pullback.graph.shadows import cut_off, shadow
from pullback.graph.tensor import Parameter, Tensor, edge_of, wrap

LEAF_WRITE = "a leaf Variable that requires grad is being used in an in-place operation."
LEAF_VIEW_WRITE = "a view of a leaf Variable that requires grad is being used in an in-place operation."
CUSTOM_VIEW = (
    "Output {k} of {name} is a view and is being modified inplace. This view was created inside a custom "
    "Function (or because an "
    "input was returned as-is) and the autograd logic to handle view+inplace would override the custom "
    "backward associated "
    "with the custom Function, leading to incorrect gradients. This behavior is forbidden. You can fix "
    "this by cloning the "
    "output of the custom Function."
)
INFERENCE_WRITE = (
    "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get "
    "a normal tensor before "
    "doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
)
VMAP_WRITE = (
    "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` "
    "in extra_args that has "
    "more elements than `self`. This happened due to `other` being vmapped over but `self` not being "
    "vmapped over in a vmap. "
    "Please try to use out-of-place operators instead of inplace arithmetic. If said operator is being "
    "called inside the "
    "PyTorch framework, please file a bug report instead."
)


def in_place(  # noqa: C901 - the common write is written out, flat
    call: Callable[..., Any], name: str, op: Any = None
) -> Callable[..., Any]:
    """The in-place method `name` (such as add_) of an out-of-place function.

    `op`, where given, tells whether a rule reads the old value, and, with a ufunc, lets unrecorded writes go
    straight into the memory.
    """
    ufunc = _ufunc_of(op)
    reads_old = op is None or op.keeps_arg(0)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: C901, PLR0912 - the same
        if (
            ufunc is not None
            and (type(self) is Tensor or type(self) is Parameter)
            and len(args) == 1
            and not kwargs
        ):
            o, v = args[0], self.value
            if (
                (type(o) is Tensor or type(o) is Parameter)
                and type(v) is np.ndarray
                and _alike(v, o.value)
                and v.flags.c_contiguous
                and (
                    not (mode := state.mode)
                    or (mode == ON and self.node is None and o.node is None and self.base is None)
                )
            ):
                # the common update: nothing to record, one memory, one dtype, no alias
                counter = self.counter or self.shared_counter()
                if o.counter is not counter or o is self:
                    token = quiet(QUIET)
                    try:
                        ufunc(v, o.value, v)
                    finally:
                        loud(token)
                    if counter.views:
                        bump(self)
                    else:
                        counter.bump()
                    return self
        if type(self) is Tensor or type(self) is Parameter:
            if (
                ufunc is not None
                and not state.mode
                and len(args) == 1
                and not kwargs
                and _quick(ufunc, self, args[0])
            ):
                return self
            if state.mode == LINES and len(args) == 1 and not kwargs and unconnected(self, args[0]):
                return without_lines(method, self, args[0])
        elif not isinstance(self.value, np.ndarray | np.generic):
            return self.foreign_write(call, name, args, kwargs)
        if state.mode >= CAREFUL and state.tracer is not None:
            return state.tracer.write(call, self, args, kwargs)
        check_writable(self, args, kwargs)
        v = self.value
        if self.counter is not None:
            check_operands(self, args)
        plain = ufunc is not None and not state.grad and not state.lines
        if plain and len(args) == 1 and not kwargs and _direct(v, args[0]):
            _into(ufunc, self, args[0])
            return self
        return write(self, call(old_value(self, reads_old), *args, **kwargs), name)

    method.__name__ = method.__qualname__ = name
    return method


# entries written with Python operators, which are faster on NumPy scalars, and the ufuncs that they stand for
_UFUNCS: dict[str, Any] = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}


def _alike(v: Any, w: Any) -> bool:
    d = v.dtype
    return d is w.dtype and d.kind == "f" and v.shape == w.shape


def _ufunc_of(op: Any) -> Any:
    """The ufunc that computes an elementwise op, or None."""
    if not isinstance(op, Elementwise):
        return None
    return op.eval if isinstance(op.eval, np.ufunc) else _UFUNCS.get(op.name)


def _quick(ufunc: Any, t: Tensor, other: Any) -> bool:
    """The common update under no_grad, p.sub_(step): done here if both are plain float arrays alike."""
    v = t.value
    if type(other) is not Tensor or type(v) is not np.ndarray:
        return False
    w = other.value
    if w.dtype is not v.dtype or w.shape != v.shape or v.dtype.kind != "f" or not v.flags.c_contiguous:
        return False
    if other.counter is not None and other.counter is t.counter:
        return False
    _into(ufunc, t, other)
    return True


def _into(ufunc: Any, t: Tensor, other: Any) -> None:
    v = t.value
    token = quiet(QUIET)
    try:
        ufunc(v, other.value if isinstance(other, Tensor) else other, v)
    finally:
        loud(token)
    bump(t)


def check_operands(t: Tensor, args: tuple[Any, ...]) -> None:
    """RuntimeError where an operand lies partly in t's memory."""
    for a in args:
        if isinstance(a, Tensor) and a.counter is t.counter and a is not t:
            check_overlap(t.value, a.value)


def _direct(v: Any, other: Any) -> bool:
    """True where a ufunc may write v op other into v: same float dtype and shape, or a Python number."""
    if type(v) is not np.ndarray or v.dtype.kind != "f":
        return False
    if type(other) is Tensor:
        w = other.value
        return w.dtype is v.dtype and w.shape == v.shape
    return type(other) is float or type(other) is int


def old_value(t: Tensor, reads_old: bool = True) -> Tensor:
    """The tensor as it is before the write, for the out-of-place op.

    Where rules read it, they get this copy.
    """
    v = t.value
    old = wrap(v)
    if state.grad:
        if (reads_old or state.lines) and isinstance(v, np.ndarray):
            old.value = v.copy()
        if t.node is not LEAF and t.node is not None:
            old.node = t.node
    elif state.lines:
        if isinstance(v, np.ndarray):
            old.value = v.copy()
        if t.node is not LEAF and t.node is not None:
            old.node = t.node  # what is written under no_grad is cut off from it
    if t.origin is not None:
        old.origin = t.origin
    return old


# ---------------------------------------------------------------------- what may be written


def check_writable(t: Tensor, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> None:
    """Raise PyTorch's error where a tensor must not be written in place; nothing has been changed then."""
    if t.from_inference and not state.inference:
        raise RuntimeError(message(INFERENCE_WRITE))
    if state.grad and (t.node is not None or t.base is not None):
        check_recorded(t, args, kwargs)
    v = t.value
    if isinstance(v, np.ndarray) and 0 in v.strides:
        check_expanded(v)


def check_expanded(v: Any) -> None:
    """RuntimeError where several entries are one memory location."""
    if any(s == 0 and n > 1 for s, n in zip(v.strides, v.shape, strict=True)) and v.size:
        raise RuntimeError(
            message(
                "unsupported operation: more than one element of the written-to tensor refers to a "
                "single memory location. Please "
                "clone() the tensor before performing the operation.",
                f"the tensor of shape {list(v.shape)} is an expanded view",
                "write into x.clone()",
            )
        )


def check_overlap(v: Any, w: Any) -> None:
    """RuntimeError where an operand lies partly in the memory that is written; the same entries are fine."""
    dense = all(x.flags.c_contiguous or x.flags.f_contiguous for x in (v, w))
    if not dense or not v.size or not w.size:
        return
    if v.__array_interface__["data"][0] == w.__array_interface__["data"][0] and v.size == w.size:
        return
    if np.may_share_memory(v, w):
        raise overlap_error()


def overlap_error() -> RuntimeError:
    """PyTorch's error for an operand in the memory that is being written."""
    return RuntimeError(
        message(
            "unsupported operation: some elements of the input tensor and the written-to tensor refer to "
            "a single memory location. "
            "Please clone() the tensor before performing the operation.",
            "an operand is a view of the tensor that is written",
            "x.add_(x[0].clone())",
        )
    )


def check_recorded(t: Tensor, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> None:
    """The checks that matter in grad mode: views of unknown history, leaves and views of leaves."""
    base = t.base
    if t.view_kind is not None:
        _check_view(t, args, kwargs)
    if t.node is LEAF and base is None:
        raise RuntimeError(
            message(
                LEAF_WRITE,
                f"the leaf of shape {list(t.value.shape)} requires grad; overwriting it would lose the "
                "value that gradients refer to",
                "update it under torch.no_grad(), or use the out-of-place form",
            )
        )
    if base is not None and (base.node is LEAF or t.node is LEAF):
        raise RuntimeError(
            message(
                LEAF_VIEW_WRITE,
                f"the view of shape {list(t.value.shape)} shares memory with a leaf of shape "
                f"{list(base.value.shape)}",
                "write under torch.no_grad(), or build a new tensor (torch.where, torch.cat, clone())",
            )
        )


def _check_view(t: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> None:
    values = (*args, *(kwargs or {}).values())
    if t.node is None and not any(isinstance(a, Tensor) and a.node is not None for a in values):
        return
    kind, _, rest = (t.view_kind or "").partition(":")
    if kind == "custom":
        k, _, name = rest.partition(":")
        raise RuntimeError(message(CUSTOM_VIEW.format(k=k, name=name)))
    raise view_error(t, t.node, "is being modified inplace")


# ---------------------------------------------------------------------- writing


def write(t: Tensor, result: Tensor, name: str) -> Tensor:
    """Put an op's result into t's memory and re-root what autograd follows."""
    if result.foreign is not None:
        raise RuntimeError(message(VMAP_WRITE))
    result = fitted(t, result, name)
    v, r = t.value, result.value
    if isinstance(v, np.ndarray):
        v[...] = r
    else:
        t.value = r if isinstance(r, np.generic) else r[()]
    adopt(t, edge_of(result))
    if state.lines or t.origin is not None:
        came_from(t, result.origin)
    return t


def came_from(t: Tensor, origin: Any) -> None:
    """After a write that autograd does not follow: where the new value came from.

    The same for its base and the views of it, as `regions.reroot_base` does for recorded writes. A leaf that
    is updated under no_grad stays the start of every path.
    """
    if t.node is LEAF and not t.cut:
        return
    base = t.base
    if base is None or (origin is None and base.origin is None):
        t.origin = origin
    elif base.node is not LEAF or base.cut:
        array, part = base.storage(), t.storage()
        params = {"region": Region(array, part)}
        written = wrap(part)
        written.origin = origin
        base_before = Aval(array.shape, array.dtype)
        node = shadow(copy_slices, (base_before, written), array, params, "no_grad")
        node.origins = (base.origin, origin)
        t.origin, base.origin = origin, node
    views_came_from(t if base is None else base)


def views_came_from(base: Tensor) -> None:
    """The views of a tensor whose origin changed: regions of its new value."""
    counter = base.counter
    if counter is None:
        return
    array = base.storage()
    for reference in counter.views:
        view = reference()
        if view is None or view.base is not base or view.node is not None:
            continue
        view.origin = None
        if base.origin is not None:
            cut_off(read_region, view, (base,), {"region": Region(array, view.storage())})


def fitted(t: Tensor, result: Tensor, name: str) -> Tensor:
    """The result in t's shape and dtype; RuntimeError where it cannot have them."""
    v, r = t.value, result.value
    if r.shape != v.shape:
        raise RuntimeError(
            message(
                f"output with shape {list(v.shape)} doesn't match the broadcast shape {list(r.shape)}",
                f"{name} writes into the tensor, so the result must have its shape",
                f"use the out-of-place form ({name.rstrip('_')})",
            )
        )
    if r.dtype == v.dtype:
        return result
    if result.dtype.category > t.dtype.category:
        raise RuntimeError(
            message(
                f"result type {result.dtype.word} can't be cast to the desired output type {t.dtype.word}",
                f"{name} writes into a tensor of dtype {t.dtype!r}",
                "convert the tensor first, for example x = x.float()",
            )
        )
    cast = result.to(t.dtype)
    if type(cast.node) is Node and type(result.node) is Node:
        cast.node.label = result.node.name
    return cast


def adopt(t: Tensor, edge: Any) -> None:
    """After the memory holds the new value.

    Bump the version and make `edge` (or a tensor's place) what t and its base come from.
    """
    if isinstance(edge, Tensor):
        edge = edge_of(edge)
    base = t.base
    if not state.grad or (edge is None and t.node is None and (base is None or base.node is None)):
        bump(t)
        return
    (t.counter or t.shared_counter()).bump()
    if base is not None:
        if type(edge) is Node and edge.op.keeps_out:
            edge.out_versions = {0: (t.counter, t.shared_counter().version)}
        reroot_base(t, edge)
    else:
        set_node(t, edge)
        reroot_views(t)
    owner = t.shared_counter().base()
    if owner is not None and owner is not t and owner is not base:
        reroot_views(owner)  # t was a detached alias: views of the tensor it came from start anew too


def set_node(t: Tensor, node: Any) -> None:
    """Give a tensor that was written its new place in the record; a retained gradient moves along."""
    if t.retains:
        _forget_retained(t)
    t.node = node
    if t.retains:
        t.retains = False
        t.retain_grad()
    t.note_output()


def _forget_retained(t: Tensor) -> None:
    node, index = (t.node.node, t.node.index) if type(t.node) is Slot else (t.node, 0)
    if isinstance(node, Node) and node.retained is not None:
        found = node.retained.get(index)
        if found is not None and found() is t:
            del node.retained[index]


def bump(t: Tensor) -> None:
    """Count a write to t's memory that is not recorded.

    Views of it that are followed start from the base anew.
    """
    counter = t.counter or t.shared_counter()
    counter.bump()
    if counter.views:
        base = counter.base()
        if base is not None:
            reroot_views(base)


# ---------------------------------------------------------------------- in-place changes of the geometry


def reshaped_in_place(t: Tensor, op: Op, params: dict[str, Any], label: str) -> Tensor:
    """t_, unsqueeze_ and the like: the same memory seen in another shape.

    The version counts it as a write.
    """
    if t.foreign is not None:
        return t.foreign_write(lambda x: op(x, **params), label, (), {})
    check_writable(t)
    v = t.storage()
    part = op.eval(v, **params)
    t.value = part
    t.shared_counter().bump()
    if t.node is not None and state.grad:
        node = Node(op, (Aval(v.shape, v.dtype),), (edge_of(t),), None, params, None)
        node.label = label
        if state.mode >= CAREFUL:
            annotate(node, (t,))
        set_node(t, node)
    elif t.origin is not None:
        old = wrap(v)
        old.origin, t.origin = t.origin, None
        cut_off(op, t, (old,), params)
    return t


__all__ = [
    "adopt",
    "bump",
    "came_from",
    "check_expanded",
    "check_recorded",
    "check_writable",
    "in_place",
    "old_value",
    "reshaped_in_place",
    "write",
]
