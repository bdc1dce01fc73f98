"""The sub-command `pullback explain`: run a program, and say at its end why its gradients are what they are.

Read `run` first; `explanations.ending` finds what is told, `ending_text` and `page` write it down. May
import: everything below the command line.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from pullback.compat import figures
from pullback.compat.notebook import run_notebook
from pullback.compat.program import BadInput, run_program
from pullback.explanations.ending import Ending, ended
from pullback.explanations.ending_text import text_of
from pullback.explanations.page import page_of
from pullback.explanations.standing import RULE
from pullback.explanations.witness import Witness, watching
from pullback.graph.modes import LINES, State, state
from pullback.sampling.files import write_whole

OPTIONS = frozenset({"--all", "--html", "--json", "--output", "--figures"})


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pullback explain`."""
    parser.epilog = RULE
    parser.add_argument("--all", action="store_true", help="explain healthy leaves too")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the report there, not to stdout")
    parser.add_argument("--html", metavar="FILE", type=Path, help="also write one self-contained page")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write everything as JSON")
    parser.add_argument("--figures", metavar="DIR", type=Path, help="write matplotlib figures into DIR")
    parser.add_argument("file", metavar="FILE", help="a .py or .ipynb file")
    parser.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="the program's own arguments")


def run(options: argparse.Namespace) -> int:
    """Run a program or a notebook written for torch, and explain its gradients when it ends.

    It runs as under `pullback run`; each op's source line is recorded, so it takes somewhat longer. At its
    end, or at its exception, a report follows: for every leaf that requires grad and whose gradient is None,
    zero, partly zero, not finite or extreme, why that is so, and every classic mistake that was seen:

        gradients that are never reset          graphs that are kept alive
        (N, 1) against (N,)                     steps without gradients
        parameters replaced, or left out        softmax before cross_entropy
        .grad of a tensor that is no leaf

    exit status: the program's; 2 if FILE cannot be run.
    """
    runner = _runner(options.file)
    for path in (options.output, options.html, options.json):
        _check(path)
    _hint(options.file, options.args)
    figures.attend(options.figures and options.figures.absolute())
    paths = _Places(options)
    stdout = sys.stdout
    with recorded() as seen:
        try:
            runner(options.file, options.args)
        except BadInput:
            raise
        except BaseException as error:
            figures.finish()
            _report(paths, stdout, options, seen, None if isinstance(error, SystemExit) else error)
            raise
        figures.finish()
        _report(paths, stdout, options, seen, None)
    return 0


class _Places:
    """Where the report goes, as absolute paths: a notebook changes the folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.output: Path | None = options.output and options.output.absolute()
        self.html: Path | None = options.html and options.html.absolute()
        self.json: Path | None = options.json and options.json.absolute()


def _runner(path: str) -> Callable[[str, list[str]], None]:
    """What runs this file."""
    suffix = Path(path).suffix
    if suffix not in (".py", ".ipynb") and not Path(path).is_dir():
        raise BadInput(f"{path} is neither a .py nor an .ipynb file")
    return run_notebook if suffix == ".ipynb" else run_program


def _check(path: Path | None) -> None:
    """Say before the program runs that a report could not be written."""
    if path is not None and not path.absolute().parent.is_dir():
        raise BadInput(f"cannot write {path}: there is no folder {path.parent}")
    if path is not None and path.is_dir():
        raise BadInput(f"cannot write {path}: it is a directory")


def _hint(path: str, args: list[str]) -> None:
    """Say where our options go, if the program's first argument is called like one of them."""
    if args and args[0].partition("=")[0] in OPTIONS:
        sys.stderr.write(
            f"pullback explain: {args[0]} goes to {path}; pullback's own options stand before FILE\n"
        )


@contextmanager
def recorded() -> Generator[Witness]:
    """Lines are recorded in all threads, and the program is watched, while the `with` lasts."""
    before = State.lines, State.extras, State.mode
    mine = state.lines
    State.lines = State.extras = True  # the default of every thread that the program starts
    State.mode = LINES
    state.update(lines=True)
    try:
        with watching() as seen:
            yield seen
    finally:
        State.lines, State.extras, State.mode = before
        state.update(lines=mine)


def _report(
    places: _Places, stdout: Any, options: argparse.Namespace, seen: Witness, error: BaseException | None
) -> None:
    """Write what is to be told; the program's output and its traceback stand before it."""
    state.update(lines=False)  # what the report computes is not the program's
    for stream in (sys.stdout, sys.stderr, stdout):
        _flush(stream)
    main = vars(sys.modules["__main__"])
    with _quiet():
        ending = ended(Path(options.file).name, seen, main, error, everything=options.all)
        text = text_of(ending)
        page = "" if places.html is None else page_of(ending)
    if places.output is None:
        _show(stdout, f"\n{text}")
    else:
        _write(places.output, text)
    if places.html is not None:
        _write(places.html, page)
    if places.json is not None:
        _write(places.json, json.dumps(_plain(ending.to_dict()), indent=1, allow_nan=False) + "\n")


@contextmanager
def _quiet() -> Generator[None]:
    """Swallow what the program's own rules (hooks, a custom `backward`) print in an explanation."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _show(stdout: Any, text: str) -> None:
    """Write to stdout; where nobody reads it any more (`| head`), that is no failure of the program."""
    try:
        stdout.write(text)
        _flush(stdout)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())  # the flush at the end must not fail too


def _flush(stream: Any) -> None:
    """Flush a stream that the program may have closed or replaced."""
    flush = getattr(stream, "flush", None)
    if flush is not None and not getattr(stream, "closed", False):
        flush()


def _write(path: Path, text: str) -> None:
    """Write a file in full or not at all; its absence is reported, and is not the program's failure."""
    try:
        write_whole(path, text.encode())
    except OSError as error:
        sys.stderr.write(f"pullback explain: cannot write {path}: {error.strerror}\n")


def _plain(value: Any) -> Any:
    """A value that JSON can hold: numbers that are not finite become words, complex ones pairs."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, complex):
        return [_plain(value.real), _plain(value.imag)]
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value.item() if isinstance(value, np.generic) else value


__all__ = ["Ending", "add", "recorded", "run"]
