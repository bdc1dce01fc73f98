"""Per-thread modes: is autograd recording, anomaly detection, inference; and the quiet floating-point state.

Read `State` first: the hot path of every op reads `state.mode`. `Mode` is what the switches that programs
enter (`no_grad`, `record_lines`) are made of. May import NumPy only.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

OFF, ON, CAREFUL, LINES = 0, 1, 2, 3


class Ever:
    """What some thread has switched on at some time: a plain attribute, for paths too hot to ask `state`."""

    extras = False


ever = Ever()


class State(threading.local):
    """What the current thread does with the ops it runs (class attributes are the defaults of a new thread).

    `mode` is what the hot path reads: OFF (record nothing), ON (record), CAREFUL (record with extras, or
    inference: take the slow path), LINES (nothing but lines is recorded beside the ops, whether grad is on or
    not: hot paths may run through `record.lined`, everything else treats it as CAREFUL; so the question is
    `mode >= CAREFUL`, and `grad` says whether to record). It follows from the other flags; `update` keeps it
    so.
    """

    mode: int = ON
    grad: bool = True
    inference: bool = False
    anomaly: bool = False
    anomaly_check_nan: bool = True
    lines: bool = False
    # the stack of running vmap levels, innermost last; empty outside vmap
    levels: tuple[Any, ...] = ()
    # the running differential transforms, innermost last: how tensors print inside them
    tracking: tuple[Any, ...] = ()
    # how many func transforms (grad, vjp, jvp, ...) are running
    transforms: int = 0
    # is any vmap or transform running? (follows from the two above)
    inside: bool = False
    # does recording do more than record? (follows from anomaly, lines and saved_hooks)
    extras: bool = False
    # the running recording of a compiled function: it takes in every op, also on tensors of the surroundings
    tracer: Any = None
    # pack and unpack hooks of autograd.graph.saved_tensors_hooks, innermost last
    saved_hooks: tuple[tuple[Callable[..., Any], Callable[..., Any]], ...] = ()

    def update(self, **flags: Any) -> None:
        """Set flags and derive `mode` from them."""
        for name, value in flags.items():
            setattr(self, name, value)
        self.extras = self.anomaly or self.lines or bool(self.saved_hooks)
        if self.extras:
            ever.extras = True
        packed = self.anomaly or bool(self.saved_hooks)
        careful = self.inference or self.tracer is not None or (self.grad and packed)
        self.inside = bool(self.levels) or self.transforms > 0
        self.mode = CAREFUL if careful else LINES if self.lines else (ON if self.grad else OFF)


state = State()


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


def _quiet_state() -> tuple[contextvars.ContextVar[Any] | None, Any]:
    """NumPy's floating-point state variable and its value with all warnings off.

    Entering `np.errstate` costs as much as a small op; setting the context variable behind it costs a tenth.
    The variable is found by looking at which one `errstate` changes, so nothing private is imported.
    """
    before = dict(contextvars.copy_context().items())
    with np.errstate(all="ignore"):
        for variable, value in contextvars.copy_context().items():
            if before.get(variable) is not value:
                return variable, value
    return None, None


class _ErrstateStack:
    """The fallback where NumPy keeps its state elsewhere: the same two methods on top of `np.errstate`."""

    def set(self, _value: Any) -> Any:
        entered = np.errstate(all="ignore")
        entered.__enter__()
        return entered

    def reset(self, token: Any) -> None:
        token.__exit__(None, None, None)


_variable, QUIET = _quiet_state()
_holder: Any = _variable if _variable is not None else _ErrstateStack()
# PyTorch is silent about overflow, division by zero and invalid operations; so is every op here:
# token = quiet(QUIET); try: ... finally: loud(token)
quiet: Callable[[Any], Any] = _holder.set
loud: Callable[[Any], None] = _holder.reset
