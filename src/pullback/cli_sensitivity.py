"""The sub-command `pullback sensitivity`: average the gradients of a function in a file over random inputs.

Read `run` first; `cli_inputs` understands the words about arguments, `cli_outputs` writes. May import:
everything below the command line.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pullback import cli_inputs, cli_outputs, dtypes
from pullback.compat.program import BadInput, arrive, process_kept, read_python
from pullback.sampling.study import sensitivity

DTYPES = {"float32": dtypes.float32, "float64": dtypes.float64}
INTERRUPTED = 130  # what a shell reports for a program that ended by Ctrl-C


class _InFile(Exception):  # noqa: N818 - not an error of the package: says that the user's file raised
    """An exception of the user's code, as its cause."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pullback sensitivity`."""
    words = "a .py file, and a function in it, of one sample"
    parser.add_argument("target", metavar="FILE:FUNCTION", help=words)
    cli_inputs.add(parser)
    study = parser.add_argument_group("the study").add_argument
    study("--upstream", metavar="VALUES", help="one upstream vector, or a stack of k: (k, *output)")
    study("--wrt", metavar="NAMES", help="differentiated arguments; default: the random ones")
    study("--samples", metavar="N", type=_count, default=100_000, help="of each average; default 100000")
    study("--seed", metavar="N", type=int, default=0, help="default 0")
    study("--dtype", choices=sorted(DTYPES), help="of the draws; default: float32")
    study("--confidence", metavar="P", type=float, default=0.95, help="default 0.95")
    study("--fresh-draws", action="store_true", help="new draws for each upstream vector")
    study("--target-stderr", metavar="X", type=float, help="stop when all standard errors are below X")
    study("--method", choices=["pathwise", "likelihood-ratio"], default="pathwise")
    study("--smooth", metavar="WIDTH", type=float, help="average over normal noise of this width")
    study("--on-invalid", choices=["raise", "omit", "propagate"], default="raise")
    study("--workers", metavar="N", type=_count, help="how many threads; default: one for each core")
    study("--checkpoint", metavar="FILE", type=Path, help="keep progress there, and resume from it")
    out = parser.add_argument_group("what comes out").add_argument
    words = "write gradients.csv, values.csv, result.json and figures there"
    out("--out", metavar="DIR", type=Path, help=words)
    out("--dgsm", action="store_true", help="also bound the total Sobol' indices")
    out("--active-subspace", action="store_true", help="also the eigenvalues of E[grad grad^T]")
    out("--quiet", action="store_true", help="no table, no progress")


def run(options: argparse.Namespace) -> int:
    """Average the gradients of a function over random inputs, with error bars.

    FUNCTION takes one sample, and returns a tensor; its file may be written for torch or for pullback. Each
    of its arguments is said to be random, given, or fixed:

        pullback sensitivity model.py:features --normal x=6 --upstream v.npy --samples 100000 --out results

    The numbers of a seed are the same on every machine, for any number of workers, and after an interruption
    that is resumed with --checkpoint. Ctrl-C ends the draws; what is done so far is written.

    exit status: 0; 1 if the function fails; 2 for input that cannot be used; 130 after Ctrl-C.
    """
    with process_kept():
        try:
            return _run(options)
        except _InFile as error:
            _print(error.__cause__, _split(options.target)[0])
            return 1


def _run(options: argparse.Namespace) -> int:
    """The sub-command, in a process that may be changed."""
    function = load(options.target)
    dtype = DTYPES.get(options.dtype)
    inputs = cli_inputs.collect(function, options, dtype)
    upstream = None if options.upstream is None else cli_inputs.values(options.upstream, "--upstream")
    wrt = _wrt(options.wrt, inputs.names)
    if options.out is not None:
        _make(options.out)
    result = _guarded(
        options.target,
        lambda: sensitivity(
            function,
            inputs.items,
            upstream=upstream,
            wrt=wrt,
            samples=options.samples,
            seed=options.seed,
            dtype=dtype,
            common_draws=not options.fresh_draws,
            confidence=options.confidence,
            workers=options.workers,
            progress=True if sys.stderr.isatty() and not options.quiet else None,
            checkpoint=options.checkpoint,
            target_stderr=options.target_stderr,
            method=options.method.replace("-", "_"),
            smooth=options.smooth,
            on_invalid=options.on_invalid,
        ),
    )
    extras = _extras(options, result)
    if not options.quiet:
        _say(result, inputs.each_names, extras)
    if options.out is not None:
        written = cli_outputs.write(result, options.out, inputs.each_names)
        written += cli_outputs.draw(result, options.out, extras, fresh=options.fresh_draws)
        if not options.quiet:
            names = ", ".join(path.name for path in written)
            sys.stdout.write(f"written to {options.out}: {names}\n")
    if result.partial:
        return INTERRUPTED
    return 0


def load(target: str) -> Callable[..., Any]:
    """The function that FILE:FUNCTION names; `import torch` in its file gives pullback.

    Raises: BadInput if there is none; the file's own exceptions as `_InFile`.
    """
    path, name = _split(target)
    read_python(path)  # says what is wrong with the file, if anything is
    file = Path(path).resolve()
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} is not a .py file")
    arrive()
    if not sys.flags.safe_path:
        sys.path[0] = str(file.parent)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)  # where dataclasses and pickle look for it
    loader = spec.loader
    _guarded(target, lambda: loader.exec_module(module))
    function = getattr(module, name, None)
    if not callable(function):
        there = "is not a function" if hasattr(module, name) else "is not there"
        raise BadInput(f"{name} {there} in {path}; it has {', '.join(_functions(module)) or 'no functions'}")
    return function


def _split(target: str) -> tuple[str, str]:
    """FILE and FUNCTION."""
    path, colon, name = target.rpartition(":")
    if not (colon and path and name.isidentifier()):
        raise BadInput(f"{target}: write FILE:FUNCTION, as in model.py:features")
    return path, name


def _functions(module: ModuleType) -> list[str]:
    """The names of the functions that a module defines."""
    own = module.__name__
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == own
    ]


def _guarded(target: str, work: Callable[[], Any]) -> Any:
    """Do the work. An exception from the user's file is his, another one is about the words."""
    try:
        return work()
    except BadInput:
        raise
    except SystemExit as error:
        raise BadInput(
            f"{target} ended the program (status {error.code}) when it was loaded or called"
        ) from None
    except SyntaxError as error:
        raise _InFile from error
    except Exception as error:
        if _passed_through(error, _split(target)[0]):
            raise _InFile from error
        raise BadInput(str(error)) from error


def _passed_through(error: BaseException, path: str) -> bool:
    """Whether a frame of the file is in the traceback."""
    return any(
        Path(frame.f_code.co_filename) == Path(path).resolve()
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _print(error: BaseException | None, path: str) -> None:
    """Print an exception as Python would; the traceback starts in the user's file."""
    if error is None:
        return
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename) != Path(path).resolve():
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


def _wrt(text: str | None, names: tuple[str, ...]) -> tuple[int, ...] | None:
    """The numbers of the differentiated arguments."""
    if text is None:
        return None
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if name not in names:
            raise BadInput(f"--wrt {text}: there is no argument {name!r}; there are {', '.join(names)}")
    return tuple(names.index(name) for name in wanted)


def _make(folder: Path) -> None:
    """Make the folder of --out before anything is computed for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {folder}: {error.strerror}") from None


def _extras(options: argparse.Namespace, result: Any) -> dict[str, Any]:
    """What --dgsm and --active-subspace ask for."""
    asked = {"dgsm": options.dgsm, "active_subspace": options.active_subspace}
    return {name: _guarded(options.target, getattr(result, name)) for name, wanted in asked.items() if wanted}


def _say(result: Any, each_names: tuple[str, ...], extras: dict[str, Any]) -> None:
    """Print the result; warnings go to stderr."""
    sys.stdout.write(f"{result}\n{cli_outputs.screen(result, each_names)}\n")
    for found in extras.values():
        sys.stdout.write(f"{found}\n")
    for line in result.message.splitlines():
        sys.stderr.write(f"pullback sensitivity: {line}\n")


def _count(text: str) -> int:
    """A positive whole number, also written 1e6."""
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not (number >= 1 and number == int(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(number)
