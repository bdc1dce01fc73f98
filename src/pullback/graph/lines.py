"""Which line of the program recorded a node: `record_lines` switches it on, `line_of` answers.

Read `here` first: it runs once per recorded op, so it keeps only the code object and the place in it; files,
line numbers and source text are looked up when somebody asks (`Line`). `PULLBACK_LINES=1` in the environment
switches the recording on for all threads of the process. While lines are recorded, so are cut paths
(`graph.shadows`) and values that left the record (`graph.leaks`). May import `errors`, `modes` and `node`.
"""

from __future__ import annotations

import itertools
import linecache
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from types import CodeType
from typing import Any

from pullback.errors import OURS
from pullback.graph.modes import LINES, Mode, State, ever, state
from pullback.graph.node import Node, Slot

_frame = sys._getframe

Place = tuple[CodeType, int]


class Line:
    """A line of a program.

    file    the file's name as Python compiled it
    number  counted from 1
    text    the line's source without the spaces around it; "" where the source cannot be read

    >>> import pullback as torch
    >>> x = torch.tensor(1.0, requires_grad=True)
    >>> with torch.record_lines():
    ...     y = x.exp()
    >>> line = line_of(y.node)
    >>> line.number, line.text
    (2, 'y = x.exp()')
    """

    __slots__ = ("file", "number")

    def __init__(self, file: str, number: int) -> None:
        self.file = file
        self.number = number

    @property
    def text(self) -> str:
        """The source of the line, stripped."""
        return linecache.getline(self.file, self.number).strip()

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.number}"  # noqa: PTH119 - pathlib takes 10 ms to import

    def __repr__(self) -> str:
        return f"Line({self.file!r}, {self.number})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Line) and (self.file, self.number) == (other.file, other.number)

    def __hash__(self) -> int:
        return hash((self.file, self.number))


def here(depth: int = 2) -> Place | None:
    """The place in the program, outside this package, that is running; None where there is none.

    depth  how many callers at least are of the package: 2 is the caller of the caller
    """
    f = _frame(depth)
    while OURS[f.f_code.co_filename]:
        f = f.f_back
        if f is None:
            return None
    return f.f_code, f.f_lasti


def line_at(place: Place | None) -> Line | None:
    """The line of a place that `here` gave."""
    return None if place is None else _resolved(*place, place[0].co_filename)


def line_of(node: Any) -> Line | None:
    """The line that recorded a node (or the node of a slot); None where lines were not recorded then.

    >>> import pullback as torch
    >>> x = torch.tensor(1.0, requires_grad=True)
    >>> line_of((x * 2).node) is None
    True
    """
    if type(node) is Slot:
        node = node.node
    return line_at(node.line) if isinstance(node, Node) else None


@lru_cache(maxsize=4096)
def _resolved(code: CodeType, offset: int, file: str) -> Line:
    # the same code in two files is equal: the file's name tells them apart
    at = next(itertools.islice(code.co_positions(), max(offset, 0) // 2, None), (None,))
    return Line(file, at[0] or code.co_firstlineno)


class record_lines(Mode):  # noqa: N801 - beside no_grad and inference_mode
    """Record with every op the line of the program that ran it, and with it whatever cut a path.

    A context manager and a decorator, for the current thread; blocks may be nested, and the setting before is
    restored. An eager loop takes up to twice as long inside. `pb.explain` and error texts then
    name lines, and a tensor that autograd does not follow although it was computed from followed ones
    (detach, no_grad, an integer result) knows where it came from. The environment variable PULLBACK_LINES=1
    has the same effect for a whole program.

    >>> import pullback as torch
    >>> x = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> @torch.record_lines()
    ... def loss(x):
    ...     return torch.relu(x).sum()
    >>> line_of(loss(x).node).text
    'return torch.relu(x).sum()'
    """

    __module__ = "pullback"

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """Usable as a bare decorator."""
        made = object.__new__(cls)
        made.before = []
        return made if function is None else Mode.__call__(made, function)

    before: list[bool]

    def __enter__(self) -> None:
        self.before.append(state.lines)
        state.update(lines=True)

    def __exit__(self, *_: object) -> None:
        state.update(lines=self.before.pop())


if os.environ.get("PULLBACK_LINES", "0") not in ("", "0"):
    State.lines = State.extras = ever.extras = True  # the default of every thread
    State.mode = LINES
