"""Grad modes: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`, as context managers and
decorators, per thread.

Read `Mode` first. May import `graph.modes`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any

from pullback.graph.modes import OFF, ON, state

GENERATOR = 0x20  # inspect.CO_GENERATOR; importing inspect costs a tenth of importing all of this package


class Mode:
    """A context manager that is also a decorator (of functions and generator functions), each use a fresh
    entry.
    """

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Run every call of the function (every step of a generator's body) inside the mode."""
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & GENERATOR:
            return self._wrap_generator(function)

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return inside

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator = function(*args, **kwargs)
            with self.clone():
                try:
                    item = next(generator)
                except StopIteration as stop:
                    return stop.value
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    with self.clone():
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - handed to the generator, which decides
                    item = yield from self._step(generator.throw, error)
                else:
                    item = yield from self._step(generator.send, sent)
                if isinstance(item, _Stop):
                    return item.value

        return steps

    def _step(self, advance: Callable[[Any], Any], value: Any) -> Generator[Any, Any, Any]:
        try:
            with self.clone():
                return advance(value)
        except StopIteration as stop:
            return _Stop(stop.value)
        yield  # a generator, so that `yield from` can return its value

    def clone(self) -> Any:
        """A fresh entry of the same mode."""
        return type(self)()

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError


class _Stop:
    def __init__(self, value: Any) -> None:
        self.value = value


def set_grad(flag: bool) -> None:
    """Switch recording on or off in this thread."""
    mode = state.mode
    if mode not in (OFF, ON):
        state.update(grad=flag)
        return
    if state.anomaly or state.lines or state.saved_hooks:
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
