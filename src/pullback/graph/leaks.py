"""Values that left the record as plain Python or NumPy values: `item()`, `tolist()`, `numpy()`, `float(x)`.

Read `leak` first. `first` is the record number of the first such value of the process, always known. While
lines are recorded, `log` lists the last `MOST` of them, with their lines; a tensor made from the very object
that left, or on the memory of an array that left, and an op that uses the very number, are then connected to
where it came from (`shadows.number_origin`, `connect`). Identity and shared memory prove it; equal numbers
prove nothing. May import `lines`, `modes`, `node`, `shadows`, `tensor`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from pullback.graph.lines import Line, line_of
from pullback.graph.modes import state
from pullback.graph.node import Node, next_number
from pullback.graph.shadows import Known, basic, connected, cut_off, known, shadow
from pullback.graph.tensor import Tensor, wrap

MOST = 256  # events in the log
ENTRIES = 4096  # entries of a list that are told apart
SMALL = range(-5, 257)  # integers that Python keeps one object of: their identity says nothing


class Leak:
    """A value that left the record.

    kind    "item", "tolist", "numpy", "float", "int" or "complex"
    value   the object that the program got
    node    the shadow node that stands for it; `node.args[0]` is the tensor
    """

    __slots__ = ("kind", "node", "value")

    def __init__(self, kind: str, value: Any, node: Node) -> None:
        self.kind = kind
        self.value = value
        self.node = node

    @property
    def line(self) -> Line | None:
        """The line that took the value out."""
        return line_of(self.node)

    @property
    def number(self) -> int:
        """The record number: ops with higher ones ran later."""
        return self.node.number

    @property
    def tensor(self) -> Tensor | None:
        """The tensor whose value left; None once it was forgotten."""
        return self.node.args[0] if self.node.args else None

    def __repr__(self) -> str:
        return f"<Leak {self.kind} at {self.line}>"


# the record number of the first value that left the record, None where none did
first: int | None = None
log: deque[Leak] = deque()


def leak(kind: str, t: Tensor, value: Any) -> Any:
    """Note that `value`, which is made of t, leaves the record; returns it.

    Called only for tensors that are followed or have an origin.
    """
    global first  # noqa: PLW0603 - one fact about the process
    if first is None:
        first = next_number()
    if state.lines and t.foreign is None:
        _note(kind, t, value)
    return value


def _note(kind: str, t: Tensor, value: Any) -> None:
    node = shadow(basic.identity, (t,), np.asarray(t.value), {}, kind)
    while len(log) >= MOST:
        old = log.popleft()
        for number in _numbers(old.value):
            found = known.get(id(number))
            if found is not None and found.node is old.node:
                del known[id(number)]
    log.append(Leak(kind, value, node))
    several = kind == "tolist" and isinstance(value, list)
    for k, number in enumerate(_numbers(value)):
        if type(number) is not int or number not in SMALL:
            known[id(number)] = Known(number, node, k if several else None)


def _numbers(value: Any) -> list[Any]:
    """The Python numbers of a value in row-major order (few enough ones; arrays hold none)."""
    if isinstance(value, float | int | complex):
        return [] if isinstance(value, bool) else [value]
    found: list[Any] = []
    if isinstance(value, list):
        for v in value:  # pyright: ignore[reportUnknownVariableType]
            found += _numbers(v)
            if len(found) > ENTRIES:
                return []
    return found


def array_leak(array: Any) -> Leak | None:
    """The latest event whose array shares memory with this one."""
    for event in reversed(log):
        if isinstance(event.value, np.ndarray) and np.may_share_memory(event.value, array):
            try:
                if np.shares_memory(event.value, array, max_work=100_000):  # pyright: ignore[reportArgumentType]
                    return event
            except np.exceptions.TooHardError:
                continue
    return None


def connect(made: Tensor, data: Any) -> None:
    """Give a tensor that was just made from a Python number, a flat list or a tensor its origin."""
    if made.node is not None:
        return
    if isinstance(data, Tensor):
        cut_off(basic.identity, made, (data,), {}, "torch.tensor")
    elif type(data) in (float, int, complex):
        _from_entries(made, [data])
    elif type(data) in (list, tuple):
        _from_entries(made, _flat(data))


def _flat(data: Any) -> list[Any]:
    """The numbers and tensors of nested lists in row-major order; empty where there are too many."""
    found: list[Any] = []
    for d in data:
        found += _flat(d) if type(d) in (list, tuple) else [d]
        if len(found) > ENTRIES:
            return []
    return found


def _from_entries(made: Tensor, entries: list[Any]) -> None:
    """The origin of a tensor whose entries are these numbers and one-element tensors."""
    if len(entries) != made.value.size or not connected(entries):
        return
    d = made.value.dtype.type
    if len(entries) == 1:
        cut_off(basic.identity, made, entries, {}, "torch.tensor")
        made.origin.args = tuple(e if isinstance(e, Tensor) else d(e) for e in entries)
        return
    places = [known.get(id(e)) for e in entries]
    first = places[0]
    if (
        first is not None
        and all(
            p is not None and p.node is first.node and p.index == k and p.value is e
            for k, (p, e) in enumerate(zip(places, entries, strict=True))
        )
        and first.node.out is not None
        and first.node.out.size == len(entries)
    ):
        stand_in = wrap(first.node.out)  # the whole list, in its order
        stand_in.origin = first.node
        cut_off(basic.identity, made, (stand_in,), {})
        return
    cut_off(basic.stack, made, entries, {"dim": 0}, "torch.tensor")
    made.origin.args = tuple(e if isinstance(e, Tensor) else d(e) for e in entries)
