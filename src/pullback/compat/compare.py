"""Run a program twice, with pullback and with PyTorch, and say where the outputs part.

Read `compare` first. Both runs are processes of this Python with the same arguments, environment, hash seed
and standard input; pullback's output is passed on as it comes, PyTorch's is only compared. May import:
`pullback.compat.program` and the standard library.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Thread
from typing import IO

from pullback.compat.program import BadInput

_WIDTH = 100  # columns of a line that are shown


@dataclass(frozen=True)
class Outcome:
    """What a run printed and its exit status."""

    printed: bytes
    status: int


def compare(path: str, arguments: list[str], options: list[str]) -> int:
    """Run both ways; 0 if they print the same and end alike, else 1. The verdict goes to stderr.

    `options` are those of `pullback run` for the first run. BadInput where PyTorch is not installed.
    """
    if find_spec("torch") is None:
        raise BadInput(f"--compare needs PyTorch, and torch is not installed for {sys.executable}")
    stdin = _Stdin()
    notebook = ["-m", "pullback.compat.notebook"] if path.endswith(".ipynb") else []
    ours = _run(["-m", "pullback", "run", *options, path, *arguments], stdin)
    theirs = _run([*notebook, path, *arguments], stdin, quiet=True)
    text = verdict(ours, theirs)
    sys.stdout.flush()
    sys.stderr.write(text or "pullback run: the same output and exit status as with PyTorch\n")
    return 1 if text else 0


def verdict(ours: Outcome, theirs: Outcome) -> str:
    r"""The first difference in words; empty if there is none.

    >>> print(verdict(Outcome(b"a\n1.25\n", 0), Outcome(b"a\n1.50\n", 0)), end="")
    pullback run: the outputs differ at line 2, column 3
      pullback: 1.25
      PyTorch:  1.50
                  ^
    """
    text = _difference(_lines(ours.printed), _lines(theirs.printed))
    if not text and ours.printed != theirs.printed:  # the last line ends in one of them
        text = "the outputs differ in the line break at their end\n"
    if ours.status != theirs.status:
        text += f"  exit status: pullback {ours.status}, PyTorch {theirs.status}\n"
        text = text if text.startswith("the ") else f"the runs end differently\n{text}"
    return f"pullback run: {text}" if text else ""


def _difference(ours: list[str], theirs: list[str]) -> str:
    """The first line that differs, both sides, and a caret below the first character that does."""
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if mine != other:
            column = _shared(mine, other)
            start = max(0, column - _WIDTH // 2) if max(len(mine), len(other)) > _WIDTH else 0
            shown = [line[start : start + _WIDTH] for line in (mine, other)]
            return (
                f"the outputs differ at line {number}, column {column + 1}\n"
                f"  pullback: {shown[0]}\n  PyTorch:  {shown[1]}\n            {' ' * (column - start)}^\n"
            )
    both = min(len(ours), len(theirs))
    for longer, name, short in ((ours, "pullback", "PyTorch"), (theirs, "PyTorch", "pullback")):
        if len(longer) > both:
            return (
                f"the outputs differ at line {both + 1}, column 1: {short} stops after line {both}\n"
                f"  {name}: {longer[both][:_WIDTH]}\n"
            )
    return ""


def _shared(mine: str, other: str) -> int:
    """How many characters two different lines share at their start."""
    pairs = enumerate(zip(mine, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(mine), len(other)))


def _lines(printed: bytes) -> list[str]:
    """The lines of an output, whatever its bytes are."""
    text = printed.decode("utf-8", "backslashreplace")
    return text.removesuffix("\n").split("\n") if text else []


class _Stdin:
    """Standard input for two processes: passed on to the first, remembered for the second."""

    def __init__(self) -> None:
        self._seen = b""
        self._feeder: Thread | None = None

    def feed(self, pipe: IO[bytes]) -> None:
        """Give a process what there is to read; a process that does not read is not waited for."""
        if self._feeder is None:
            self._feeder = Thread(target=self._pass_on, args=(pipe,), daemon=True)
            self._feeder.start()
        else:
            _give(pipe, self._seen)
            _close(pipe)

    def _pass_on(self, pipe: IO[bytes]) -> None:
        with suppress(OSError):  # no standard input at all
            while part := os.read(0, 65536):
                self._seen += part
                _give(pipe, part)
        _close(pipe)


def _give(pipe: IO[bytes], data: bytes) -> None:
    """Write to a process that may have ended."""
    with suppress(OSError, ValueError):
        pipe.write(data)
        pipe.flush()


def _close(pipe: IO[bytes]) -> None:
    """Close a pipe whose other end may be closed."""
    with suppress(OSError):
        pipe.close()


def _run(command: list[str], stdin: _Stdin, *, quiet: bool = False) -> Outcome:
    """Run this Python with `command`; `quiet` keeps its output from being seen."""
    env = {"PYTHONHASHSEED": "0", **os.environ}  # sets print in the same order in both
    if quiet:
        env["MPLBACKEND"] = "Agg"  # no windows
    process = subprocess.Popen(  # noqa: S603 - the user's own program
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        env=env,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("subprocess gave no pipes")
    stdin.feed(process.stdin)
    printed = b""
    while part := os.read(process.stdout.fileno(), 65536):
        printed += part
        if not quiet:
            os.write(1, part)
    return Outcome(printed, process.wait())
