"""Errors as products: PyTorch's exception type and first sentence, then what happened here, where, and what
to do.

Read `message` first; every error text of the package is built by it. `LinAlgError` and `GradcheckError` are
the two exception classes that PyTorch adds to Python's own. This module may import nothing of the package.
"""

from __future__ import annotations

import os
import sys
from types import FrameType

_PACKAGE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - pathlib takes 10 ms to import


class _LinAlgError(RuntimeError):  # PyTorch's name for it
    """A matrix that a decomposition or solver cannot handle (singular, not positive-definite)."""


LinAlgError = _LinAlgError


class GradcheckError(RuntimeError):
    """An analytical derivative that disagrees with the numerical one."""


class _Ours(dict[str, bool]):
    """Is a file of this package, or of Python's start-up code? Remembered, since it is asked per op."""

    def __missing__(self, file: str) -> bool:
        self[file] = ours = file.startswith((_PACKAGE + os.sep, "<frozen"))
        return ours


OURS = _Ours()


def user_frame() -> FrameType | None:
    """The innermost frame outside the package: the user's line that led here, if there is one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and OURS[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


def user_line() -> str:
    """`file.py:12` of the user's line that led here, or an empty string."""
    frame = user_frame()
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def message(first: str, here: str = "", todo: str = "") -> str:
    """Join the parts of an error text.

    `first` is PyTorch's sentence to the letter, `here` says what happened in this call (shapes, dtypes, op),
    `todo` what the reader can do. The user's line is added where it is known.

    >>> print(message("something failed", "x has shape (2,)", "reshape x"))  # doctest: +ELLIPSIS
    something failed
      here: x has shape (2,)...
      try:  reshape x
    """
    lines = [first]
    if here:
        where = user_line()
        lines.append(f"  here: {here}" + (f" (line {where})" if where else ""))
    if todo:
        lines.append(f"  try:  {todo}")
    return "\n".join(lines)
