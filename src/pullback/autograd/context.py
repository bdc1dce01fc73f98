"""The context of a custom `Function`: what its forward and backward share, and the tensors it saves.

Read `FunctionCtx` first. An output that is saved is kept without a reference to its own node. May import
`graph`, `autograd.handles`, `autograd.trouble`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from pullback.autograd.handles import GradFn
from pullback.autograd.trouble import SECOND_TIME
from pullback.autograd.written import modified
from pullback.errors import message
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor, wrap


class FunctionCtx(GradFn):
    """What forward and backward share: saved tensors, which inputs need gradients, and the user's own
    attributes.
    """

    needs_input_grad: tuple[bool, ...] = ()
    materialize_grads = True
    _to_save: tuple[Any, ...] = ()
    _for_forward: tuple[Any, ...] = ()
    _dirty: tuple[Any, ...] = ()
    _no_gradient: tuple[Any, ...] = ()
    _entries: list[Any] | None = None
    _node: Any = None
    _pushing = False  # while jvp runs, saved_tensors are those of save_for_forward

    def __init__(self) -> None:
        """Empty; `Function.apply` fills it in."""

    @property
    def node(self) -> Node:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The node this context belongs to."""
        node = self._node() if self._node is not None else None
        if node is None:
            raise RuntimeError("the graph that this context belongs to no longer exists")
        return node

    def save_for_backward(self, *tensors: Any) -> None:
        """Save inputs or outputs for backward; other tensors too. TypeError for anything but tensors and
        None.
        """
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    message(
                        f"save_for_backward can only save variables, but argument {i} is of type "
                        f"{type(t).__name__}",
                        "",
                        "keep other values as attributes: ctx.value = ...",
                    )
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Save tensors for the jvp."""
        self._for_forward = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs forward changed in place; they must be returned."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no gradient."""
        self._no_gradient = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """False: backward gets None instead of zeros for unused outputs."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The saved tensors; RuntimeError once freed, or where one was written in place since."""
        if self._pushing and self._for_forward:
            return self._for_forward
        if self._entries is None:
            if self._node is None:
                return self._to_save or self._for_forward
            raise RuntimeError(
                message(SECOND_TIME, f"the context of {self.name()} gave its saved tensors back")
            )
        return tuple(e if e is None else e.open(self) for e in self._entries)

    saved_variables = saved_tensors


class _Saved:
    """One saved tensor with the version it had; outputs are kept without a reference to their own node."""

    __slots__ = ("counter", "index", "tensor", "version")

    def __init__(self, t: Tensor, index: int | None) -> None:
        self.index = index
        self.tensor = again(t) if index is not None else t
        self.counter = t.shared_counter()
        self.version = self.counter.version

    def open(self, ctx: FunctionCtx) -> Tensor:
        """The tensor; RuntimeError where it was written since."""
        node = ctx.node
        if self.counter.version != self.version:
            owner = self.tensor if self.index is None else (self.counter.base() or self.tensor)
            raise modified(node, owner, self.version, self.counter)
        if self.index is None:
            return self.tensor
        return again(self.tensor, Slot(node, self.index) if node.count is not None else node)


def again(t: Tensor, node: Any = None) -> Tensor:
    """A tensor with the same value and another place in the graph (batched ones stay batched)."""
    if t.foreign is None:
        return wrap(t.value, node)
    new = object.__new__(type(t))
    new.value = t.value
    if node is not None:
        new.node = node
    return new


@functools.cache
def context_type(name: str) -> type[FunctionCtx]:
    """The class of a Function's contexts: its name is the node's."""
    return type(name, (FunctionCtx,), {"__module__": "torch.autograd.function"})


def save(ctx: FunctionCtx, results: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Move what the user saved into the context's entries, outputs by their place, each with its version."""
    places = {id(r): i for i, r in enumerate(results) if isinstance(r, Tensor)}
    places.update({id(o): i for i, o in enumerate(outputs) if isinstance(o, Tensor) and id(o) not in places})
    dirty = {id(t) for t in ctx._dirty}
    ctx._entries = [
        None
        if t is None
        else _Saved(t, places.get(id(t)) if t.is_leaf is False or id(t) in dirty or id(t) in places else None)
        for t in ctx._to_save
    ]
    ctx._to_save = ()
