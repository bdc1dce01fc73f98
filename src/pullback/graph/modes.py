"""Per-thread modes: is autograd recording, anomaly detection, inference; and the quiet floating-point state.

Read `State` first: the hot path of every op reads `state.mode`. May import NumPy only.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

OFF, ON, CAREFUL = 0, 1, 2


class State(threading.local):
    """What the current thread does with the ops it runs (class attributes are the defaults of a new thread).

    `mode` is what the hot path reads: OFF (record nothing), ON (record), CAREFUL (record with extras, or
    inference: take
    the slow path). It follows from the other flags; `update` keeps it so.
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
        careful = self.inference or self.tracer is not None or (self.grad and self.extras)
        self.inside = bool(self.levels) or self.transforms > 0
        self.mode = CAREFUL if careful else (ON if self.grad else OFF)


state = State()


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
