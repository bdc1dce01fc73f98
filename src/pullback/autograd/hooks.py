"""Hooks: on tensors, after accumulation, on several tensors, and on what nodes save.

Read `register_hook` first. May import `graph`, `autograd.handles`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

from pullback.errors import message
from pullback.graph.modes import state
from pullback.graph.node import LEAF, Slot
from pullback.graph.tensor import Tensor


class RemovableHandle:
    """What registering a hook returns; `remove()` takes the hook off again."""

    def __init__(self, hooks: list[Any], function: Callable[..., Any]) -> None:
        """Append the function to the list of hooks."""
        self.function = function
        self.hooks = hooks
        hooks.append(self)

    def remove(self) -> None:
        """Take the hook off; a second call does nothing."""
        if self in self.hooks:
            self.hooks.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call hook(gradient) whenever this tensor's gradient is complete; a returned tensor replaces it.

    RuntimeError for a tensor that autograd does not follow.
    """
    node = self.node
    if node is None:
        raise RuntimeError(
            message(
                "cannot register a hook on a tensor that doesn't require gradient",
                f"the tensor of shape {list(self.shape)} has requires_grad=False",
                "set requires_grad=True on it, or on the leaf it is computed from",
            )
        )
    if node is LEAF:
        if self.hooks is None:
            self.hooks = []
        return RemovableHandle(self.hooks, hook)
    node, index = (node.node, node.index) if type(node) is Slot else (node, 0)
    if node.hooks is None:
        node.hooks = {}
    node.special = True
    return RemovableHandle(node.hooks.setdefault(index, []), hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call hook(leaf) after `.grad` of this leaf was updated; it must return None."""
    if self.node is None:
        raise RuntimeError(message("cannot register a hook on a tensor that doesn't require gradient"))
    if self.node is not LEAF:
        raise RuntimeError(
            message(
                "post accumulate grad hooks cannot be registered on non-leaf tensors",
                f"this tensor was made by {self.grad_fn.name()}",
                "register it on the leaf, or use register_hook",
            )
        )
    if self.accumulate_hooks is None:
        self.accumulate_hooks = []
    return RemovableHandle(self.accumulate_hooks, hook)


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., Any], *, mode: str = "all") -> Any:
    """Call fn once the gradients of all (or any) of these tensors are complete in a backward pass.

    mode "all": fn(list of gradients, None where a tensor got none); "any": fn(the first gradient).
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    found: dict[int, Any] = {}
    handles: list[RemovableHandle] = []

    def collect(i: int) -> Callable[[Tensor], None]:
        def hook(g: Tensor) -> None:
            found[i] = g
            if mode == "any":
                if len(found) == 1:
                    fn(g)
            elif len(found) == len(tensors):
                grads = [found.get(k) for k in range(len(tensors))]
                found.clear()
                fn(grads)

        return hook

    handles.extend(register_hook(t, collect(i)) for i, t in enumerate(tensors))
    return _Handles(handles)


class _Handles(RemovableHandle):
    def __init__(self, handles: list[RemovableHandle]) -> None:
        self.handles = handles

    def remove(self) -> None:
        for h in self.handles:
            h.remove()


class saved_tensors_hooks:  # noqa: N801 - PyTorch's name
    """Context manager: nodes recorded inside save pack_hook(tensor); backward calls unpack_hook on it."""

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        """pack_hook(tensor) -> anything; unpack_hook(that) -> tensor."""
        self.pair = (pack_hook, unpack_hook)

    def __enter__(self) -> None:
        self.before = state.saved_hooks
        state.update(saved_hooks=(*state.saved_hooks, self.pair))

    def __exit__(self, *_: object) -> None:
        state.update(saved_hooks=self.before)
