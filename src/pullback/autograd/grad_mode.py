"""Grad modes: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`, as context managers and
decorators, per thread.

Read `set_grad` first. May import `graph.modes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.graph.modes import LINES, OFF, ON, Mode, state


def set_grad(flag: bool) -> None:
    """Switch recording on or off in this thread."""
    mode = state.mode
    if mode == LINES and not state.anomaly and not state.saved_hooks:
        state.grad = flag  # the mode of recorded lines is one for both
        return
    if mode not in (OFF, ON) or state.extras:
        state.update(grad=flag)
        return
    state.grad = flag
    state.mode = ON if flag else OFF


class _Switch(Mode):
    """no_grad and enable_grad: remember, set, restore; usable as a bare decorator."""

    flag = False

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        if function is None:
            return _new(cls)
        return Mode.__call__(_new(cls), function)

    def __enter__(self) -> None:
        self.before = state.grad
        set_grad(self.flag)

    def __exit__(self, *_: object) -> None:
        set_grad(self.before)


_new = object.__new__


class no_grad(_Switch):  # noqa: N801 - PyTorch's name
    """Record nothing inside: results do not require grad. Works as a context manager and as a decorator.

    >>> import pullback as torch
    >>> x = torch.tensor(1.0, requires_grad=True)
    >>> with torch.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    flag = False

    def __enter__(self) -> None:
        if state.mode == ON:  # the common case, without the call: training loops enter here once a step
            self.before = True
            state.mode, state.grad = OFF, False
        else:
            self.before = state.grad
            set_grad(False)

    def __exit__(self, *_: object) -> None:
        if self.before and state.mode == OFF and not state.extras:
            state.mode, state.grad = ON, True
        else:
            set_grad(self.before)


class enable_grad(_Switch):  # noqa: N801 - PyTorch's name
    """Record inside, also within `no_grad`."""

    flag = True


class set_grad_enabled(Mode):  # noqa: N801 - PyTorch's name
    """Switch recording at once; as a context manager, restore it at the end."""

    def __init__(self, mode: bool) -> None:
        """Acts on construction, as PyTorch's does."""
        self.before = state.grad
        self.mode = mode
        set_grad(mode)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """As a decorator: the mode holds inside the function only."""
        set_grad(self.before)
        return super().__call__(function)

    def clone(self) -> Any:
        """A fresh entry of the same mode."""
        return _Set(self.mode)

    def __enter__(self) -> None:
        set_grad(self.mode)

    def __exit__(self, *_: object) -> None:
        set_grad(self.before)


class _Set(_Switch):
    def __new__(cls, flag: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        made = object.__new__(cls)
        made.flag = bool(flag)
        return made

    def __init__(self, flag: Any = None) -> None:
        pass


class inference_mode(Mode):  # noqa: N801 - PyTorch's name
    """Record nothing and mark results as inference tensors, which autograd refuses to save later."""

    mode: bool

    def __new__(cls, mode: Any = True) -> Any:
        """Usable as a bare decorator."""
        made = object.__new__(cls)
        if callable(mode):
            made.mode = True
            return Mode.__call__(made, mode)
        made.mode = bool(mode)
        return made

    def clone(self) -> Any:
        """A fresh entry of the same mode."""
        return type(self)(self.mode)

    def __enter__(self) -> None:
        self.before = (state.inference, state.grad)
        if self.mode:
            state.update(inference=True, grad=False)
        else:
            state.update(inference=False, grad=True if state.inference else state.grad)

    def __exit__(self, *_: object) -> None:
        state.update(inference=self.before[0], grad=self.before[1])


def is_grad_enabled() -> bool:
    """Is this thread recording?"""
    return state.grad


def is_inference_mode_enabled() -> bool:
    """Is this thread in inference mode?"""
    return state.inference
