"""In-place ops: the out-of-place op on the old value, then a checked write into the same memory.

Read `in_place` first. A recorded write re-roots the tensor (its node becomes the op's), its base and its views; the version counter
is bumped so that saved values that were overwritten are noticed. May import `graph`, `families.op`, `families.structural`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.elementwise import Elementwise
from pullback.families.structural import reroot_base, reroot_views
from pullback.graph.modes import QUIET, loud, quiet, state
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor, wrap

LEAF_WRITE = "a leaf Variable that requires grad is being used in an in-place operation."
LEAF_VIEW_WRITE = "a view of a leaf Variable that requires grad is being used in an in-place operation."
NO_GRAD_VIEW = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case is "
    "ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both "
    "inside the no_grad block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be "
    "tracked)."
)
CUSTOM_VIEW = (
    "Output {k} of {name} is a view and is being modified inplace. This view was created inside a custom Function (or because an "
    "input was returned as-is) and the autograd logic to handle view+inplace would override the custom backward associated "
    "with the custom Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the "
    "output of the custom Function."
)
MULTI_VIEW = (
    "Output {k} of {name} is a view and is being modified inplace. This view is the output of a function that returns multiple "
    "views. Such functions do not allow the output views to be modified inplace. You should replace the inplace operation by "
    "an out-of-place one."
)
INFERENCE_WRITE = (
    "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a normal tensor before "
    "doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
)


def in_place(call: Callable[..., Any], name: str, op: Any = None) -> Callable[..., Any]:
    """The in-place method `name` (such as add_) of an out-of-place function.

    `op`, where given and elementwise with a ufunc, lets unrecorded writes on large arrays go straight into the memory.
    """
    ufunc = op.eval if isinstance(op, Elementwise) and isinstance(op.eval, np.ufunc) else None

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if type(self) is not Tensor and self.foreign is not None:
            return self.foreign_write(call, name, args, kwargs)
        check_writable(self, recording_matters=_any_followed(self, args, kwargs))
        v = self.value
        if ufunc is not None and not state.grad and _direct(v, args, kwargs):
            token = quiet(QUIET)
            try:
                ufunc(v, args[0].value, out=v)
            finally:
                loud(token)
            _bump(self)
            return self
        return write(self, call(old_value(self), *args, **kwargs), name)

    method.__name__ = method.__qualname__ = name
    return method


def _direct(v: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return (
        not kwargs
        and len(args) == 1
        and type(args[0]) is Tensor
        and isinstance(v, np.ndarray)
        and args[0].value.dtype is v.dtype
        and args[0].value.shape == v.shape
        and v.dtype.kind == "f"
    )


def _any_followed(self: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return self.node is not None or any(isinstance(a, Tensor) and a.node is not None for a in (*args, *kwargs.values()))


def old_value(t: Tensor) -> Tensor:
    """The tensor as it is before the write, for the out-of-place op: rules that read it get this copy."""
    if t.node is None or not state.grad:
        old = wrap(t.value)
        if state.grad:
            old.value = np.array(t.value) if isinstance(t.value, np.ndarray) else t.value
        return old
    v = t.value
    old = wrap(v.copy() if isinstance(v, np.ndarray) else v, t.node)
    if t.node is LEAF:
        old.node = None
    return old


def check_writable(t: Tensor, *, recording_matters: bool = True) -> None:
    """Raise PyTorch's error where a tensor must not be written in place; nothing has been changed then."""
    if t.from_inference and not state.inference:
        raise RuntimeError(INFERENCE_WRITE)
    v = t.value
    if isinstance(v, np.ndarray) and v.ndim and 0 in v.strides and any(
        s == 0 and n > 1 for s, n in zip(v.strides, v.shape, strict=True)
    ):
        raise RuntimeError(
            message(
                "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please "
                "clone() the tensor before performing the operation.",
                f"the tensor of shape {list(v.shape)} is an expanded view",
                "write into x.clone()",
            )
        )
    if not state.grad:
        return
    if t.view_kind is not None:
        _check_view(t, recording_matters)
    if t.node is LEAF and t.base is None:
        raise RuntimeError(
            message(
                LEAF_WRITE,
                f"the leaf of shape {list(v.shape)} requires grad; overwriting it would lose the value that gradients refer to",
                "update it under torch.no_grad(), or use the out-of-place form",
            )
        )
    base = t.base
    if base is not None and base.node is LEAF:
        raise RuntimeError(
            message(
                LEAF_VIEW_WRITE,
                f"the view of shape {list(v.shape)} shares memory with a leaf of shape {list(base.value.shape)}",
                "write under torch.no_grad(), or build a new tensor (torch.where, torch.cat, clone())",
            )
        )


def _check_view(t: Tensor, recording_matters: bool) -> None:
    kind, _, rest = (t.view_kind or "").partition(":")
    if kind == "no_grad":
        if recording_matters:
            raise RuntimeError(NO_GRAD_VIEW)
        return
    k, _, name = rest.partition(":")
    if kind == "multi" and (t.node is not None or recording_matters):
        raise RuntimeError(MULTI_VIEW.format(k=k, name=name))
    if kind == "custom":
        raise RuntimeError(CUSTOM_VIEW.format(k=k, name=name))


def write(t: Tensor, result: Tensor, name: str) -> Tensor:
    """Put an op's result into t's memory and re-root what autograd follows."""
    v, r = t.value, result.value
    if r.shape != v.shape:
        raise RuntimeError(
            message(
                f"output with shape {list(v.shape)} doesn't match the broadcast shape {list(r.shape)}",
                f"{name} writes into the tensor, so the result must have its shape",
                f"use the out-of-place form ({name.rstrip('_')})",
            )
        )
    if r.dtype != v.dtype:
        if "biufc".index(r.dtype.kind) // 1 > 2 >= "biufc".index(v.dtype.kind) or (r.dtype.kind == "c" and v.dtype.kind != "c") or (
            r.dtype.kind != "b" and v.dtype.kind == "b"
        ):
            raise RuntimeError(
                message(
                    f"result type {result.dtype.word} can't be cast to the desired output type {t.dtype.word}",
                    f"{name} writes into a tensor of dtype {t.dtype!r}",
                    "convert the tensor first, for example x = x.float()",
                )
            )
        result = result.to(t.dtype)
        r = result.value
    if isinstance(v, np.ndarray):
        v[...] = r
    else:
        t.value = r
    adopt(t, result)
    return t


def adopt(t: Tensor, result: Tensor) -> None:
    """After the memory holds the result's value: bump the version and make the result's node t's own."""
    _bump(t)
    if not state.grad:
        return
    node = result.node
    if node is None and t.node is None and (t.base is None or t.base.node is None):
        return
    if t.base is not None:
        reroot_base(t, node)
        return
    t.node = None if node is LEAF else node
    t.retains, t.stored_grad = False, None if t.retains else t.stored_grad
    t.note_output()
    reroot_views(t)


def _bump(t: Tensor) -> None:
    (t.counter or t.shared_counter()).bump()
