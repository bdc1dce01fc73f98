"""Hooks around a module's forward and backward.

Read `run_hooked` first. Backward hooks see all gradients of a module's inputs at once, so inputs and outputs
pass through an identity
op (`crossing`) whose cotangent calls them. May import `families`, `graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from pullback.families.op import Op, absent, apply
from pullback.graph.modes import state
from pullback.graph.tensor import Tensor, wrap

KINDS = ("before", "after", "backward_pre", "backward")


class Handle:
    """Removes a hook: handle.remove(), or at the end of a with block."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self.hooks, self.id = hooks, key

    def remove(self) -> None:
        """Remove the hook (once more has no effect)."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        self.remove()


class Hooks:
    """The hooks of one module, in the order in which they run."""

    def __init__(self) -> None:
        self.count = 0
        self.before: dict[int, Any] = {}
        self.after: dict[int, Any] = {}
        self.backward_pre: dict[int, Any] = {}
        self.backward: dict[int, Any] = {}

    def add(
        self, kind: str, hook: Any, *, prepend: bool, with_kwargs: bool = False, always: bool = False
    ) -> Handle:
        """Register a hook; prepend runs it before the others."""
        found: dict[int, Any] = getattr(self, kind)
        self.count += 1
        entry = (hook, with_kwargs, always)
        if prepend:
            old = dict(found)
            found.clear()
            found[self.count] = entry
            found.update(old)
        else:
            found[self.count] = entry
        return Handle(found, self.count)


def run_hooked(module: Any, every: Sequence[Hooks], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """forward with the hooks of all modules and of this one around it."""
    hooks = [*every, *([module._hooks] if module._hooks is not None else [])]
    for h in hooks:
        for hook, with_kwargs, _ in list(h.before.values()):
            args, kwargs = _before(module, hook, with_kwargs, args, kwargs)
    backward = any(h.backward or h.backward_pre for h in hooks) and state.grad
    crossing_point = Crossing(module, hooks) if backward else None
    if crossing_point is not None:
        args = crossing_point.enter(args)
    try:
        result = module.forward(*args, **kwargs)
    except Exception:
        for h in hooks:
            for hook, with_kwargs, always in list(h.after.values()):
                if always:
                    hook(module, args, *((kwargs,) if with_kwargs else ()), None)
        raise
    for h in hooks:
        for hook, with_kwargs, _ in list(h.after.values()):
            r = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            result = result if r is None else r
    return result if crossing_point is None else crossing_point.leave(result)


def _before(
    module: Any, hook: Callable[..., Any], with_kwargs: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if with_kwargs:
        r = hook(module, args, kwargs)
        if r is None:
            return args, kwargs
        if isinstance(r, tuple) and len(r) == 2:  # pyright: ignore[reportUnknownArgumentType]
            return r  # pyright: ignore[reportUnknownVariableType]
        raise RuntimeError(
            f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {r}."
        )
    r = hook(module, args)
    if r is None:
        return args, kwargs
    return (r if isinstance(r, tuple) else (r,)), kwargs  # pyright: ignore[reportUnknownVariableType]


class Crossing:
    """One call of a module with backward hooks: what crosses its border on the way back."""

    def __init__(self, module: Any, hooks: Sequence[Hooks]) -> None:
        self.module = module
        self.hooks = hooks
        self.grad_output: tuple[Any, ...] = ()
        self.places: list[int] = []
        self.inputs = 0

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments behind an identity whose cotangent calls the backward hooks."""
        self.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        self.inputs = len(args)
        tensors = tuple(args[i] for i in self.places)
        if not any(t.node is not None for t in tensors):
            self.places = []
            return args
        made = apply(crossing, tensors, {"cross": self.on_input})
        fresh = list(args)
        for i, t in zip(self.places, made, strict=True):
            fresh[i] = t
        return tuple(fresh)

    def leave(self, result: Any) -> Any:
        """The result behind an identity whose cotangent calls the pre-hooks and remembers grad_output."""
        several = isinstance(result, tuple)
        outs: tuple[Any, ...] = result if several else (result,)
        if not all(isinstance(t, Tensor) for t in outs) or not any(t.node is not None for t in outs):
            return result
        made = apply(crossing, outs, {"cross": self.on_output})
        return made if several else made[0]

    def on_output(self, g: tuple[Any, ...]) -> tuple[Any, ...]:
        """Cotangents arrive at the output."""
        for h in self.hooks:
            for hook, _, _ in list(h.backward_pre.values()):
                r = hook(self.module, g)
                if r is not None:
                    g = r if isinstance(r, tuple) else (r,)  # pyright: ignore[reportUnknownVariableType]
        self.grad_output = g
        if not self.places:
            self._call((None,) * self.inputs)
        return g

    def on_input(self, g: tuple[Any, ...]) -> tuple[Any, ...]:
        """All cotangents of the inputs are known."""
        full: list[Any] = [None] * self.inputs
        for i, c in zip(self.places, g, strict=True):
            full[i] = c
        found = self._call(tuple(full))
        return tuple(found[i] for i in self.places)

    def _call(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for h in self.hooks:
            for hook, _, _ in list(h.backward.values()):
                r = hook(self.module, grad_input, self.grad_output)
                if r is not None:
                    grad_input = r if isinstance(r, tuple) else (r,)  # pyright: ignore[reportUnknownVariableType]
        return grad_input


def _cross_back(g: Any, _out: Any, *args: Any, needs: Any, cross: Callable[..., Any]) -> tuple[Any, ...]:  # noqa: ARG001
    tensors = any(isinstance(c, Tensor) for c in g)
    full = [c if c is not None else _zeros(a, tensors) for c, a in zip(g, args, strict=True)]
    if tensors:
        return cross(tuple(full))
    found = cross(tuple(wrap(c if isinstance(c, np.ndarray) else np.array(c)) for c in full))
    return tuple(None if t is None else t.value for t in found)


def _zeros(a: Any, tensors: bool) -> Any:
    z = np.zeros(a.shape, a.dtype)
    return wrap(z) if tensors else z


def _identity(*values: Any, cross: Callable[..., Any]) -> tuple[Any, ...]:  # noqa: ARG001 - the cotangent's parameter
    return tuple(np.asarray(v) for v in values)


_BORDER = absent("a border that calls Python hooks on the way back; it computes nothing of its own")
crossing = Op(
    "module_border",
    "hooks",
    _identity,
    vjp=_cross_back,
    keeps=(),
    keeps_out=False,
    outputs=2,
    backward="BackwardHookFunctionBackward",
    facets={
        **dict.fromkeys(("depend", "lower", "zero", "samples"), _BORDER),
        "type": lambda *avals, cross: tuple(avals),  # noqa: ARG005
        "jvp": lambda tangents, _out, *args, cross: tuple(  # noqa: ARG005
            wrap(np.zeros(a.shape, a.dtype)) if t is None else t for t, a in zip(tangents, args, strict=True)
        ),
        "batch": lambda _size, dims, args, params: (  # noqa: ARG005
            tuple(args),
            tuple(dims),
        ),
    },
)
