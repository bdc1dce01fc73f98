"""Run a Python file as `python FILE` would, with pullback in torch's place.

Read `run_program` first. `BadInput` is what the command line reports in one line; `print_uncaught` and
`end_with` end the process as Python ends a failed program; `process_kept` undoes everything, for callers that
go on living. May import: `pullback.compat.*` and the standard library.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
import tokenize
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from io import BytesIO
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

from pullback.compat.after import AfterImport
from pullback.compat.rooms import Replacement

_HERE = Path(__file__).parent
_PLACEHOLDERS = tuple(str(_HERE / name) for name in ("absent.py", "rooms.py"))


class BadInput(Exception):  # noqa: N818 - not an error of the package: a sentence for the command line
    """A file that cannot be run; the text is one line for the user."""


def run_program(path: str, arguments: list[str]) -> None:
    """Run a `.py` file as `__main__`; its exceptions leave this function, printed."""
    source = read_python(path)
    main = become_main(path, arguments)
    main.__file__ = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118 - as Python does: ".." stays
    main.__loader__ = SourceFileLoader("__main__", main.__file__)
    vars(main)["__cached__"] = None
    try:
        exec(compile(source, main.__file__, "exec", dont_inherit=True), vars(main))  # noqa: S102 - the job
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt too
        print_uncaught(error)
        end_with(error)


def read_bytes(path: str) -> bytes:
    """The content of a file; BadInput if it is not there or cannot be read."""
    file = Path(path)
    if file.is_dir():
        raise BadInput(f"{path} is a directory; name a .py or .ipynb file in it")
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"no such file: {path}") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def read_python(path: str) -> bytes:
    """The source of a program, as bytes: Python itself reads the encoding line."""
    source = read_bytes(path)
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(source).readline)
        source.decode(encoding)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not UTF-8 text, nor in an encoding that it names: {error}") from None
    if b"\0" in source:
        raise BadInput(f"{path} is not text that Python can read: it holds null bytes")
    return source


def become_main(path: str, arguments: list[str], *, replace: bool = True) -> ModuleType:
    """A fresh `__main__`, the program's `sys.argv` and `sys.path[0]`.

    Pullback answers `import torch` from here on, unless `replace` is False.
    """
    main = ModuleType("__main__")
    vars(main).update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = main
    sys.argv[:] = [path, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))  # noqa: PTH120 - text, as Python puts it there
    if replace:
        arrive()
        AfterImport({"multiprocessing.spawn": _tell_children}).install()
    return main


def arrive() -> None:
    """Put pullback in torch's place, until the process ends."""
    Replacement(importlib.import_module("pullback")).install()


def print_uncaught(error: BaseException, *, cell: bool = False) -> None:
    """Print an exception that the program did not catch, the way Python would.

    The traceback starts at the program's own first line and ends where a missing name was used. If the
    program set `sys.excepthook`, that prints. `cell`: the program is a notebook.
    """
    for one in _chain(error):
        one.__traceback__ = _without_placeholders(one.__traceback__)
    error.__traceback__ = _from_user_code(error.__traceback__)
    if cell and sys.excepthook is sys.__excepthook__:
        traceback.print_exception(error)  # the built-in hook reads lines from files only, not from cells
    else:
        sys.excepthook(type(error), error, error.__traceback__)


def end_with(error: BaseException) -> NoReturn:
    """End the process with an exception that has been printed.

    It travels on, so that the interpreter chooses the exit status (1, or death by SIGINT for
    KeyboardInterrupt) and runs what is registered for the end.
    """
    sys.excepthook = _printed_already
    raise error


def _printed_already(*_: object) -> None:
    """`print_uncaught` has been there."""


def _from_user_code(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without our frames at its start."""
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).parent == _HERE:
        trace = trace.tb_next
    return trace


def _without_placeholders(trace: TracebackType | None) -> TracebackType | None:
    """A traceback that ends at the line that used a missing name, not inside the placeholder."""
    last, step = None, trace
    while step is not None:
        if step.tb_frame.f_code.co_filename not in _PLACEHOLDERS:
            last = step
        step = step.tb_next
    if last is not None:
        last.tb_next = None
    return trace


def _chain(error: BaseException | None) -> list[BaseException]:
    """An exception, its causes and its contexts."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__]
    return found


class _Passenger:
    """Goes with what multiprocessing sends to a new process; unpickled there, it puts pullback in place."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return arrive, ()


def _tell_children(spawn: ModuleType) -> Callable[[], None]:
    """Make spawned processes import the program's `__main__` with pullback in torch's place, too."""
    module: Any = spawn
    prepare: Callable[[str], dict[str, Any]] = module.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        data = prepare(name)
        if name == "ignore":  # the fork server itself must not import the program: it has no passenger
            data.pop("init_main_from_path", None)
        return {**data, "pullback": _Passenger()}

    module.get_preparation_data = get_preparation_data

    def undo() -> None:
        module.get_preparation_data = prepare

    return undo


@contextmanager
def process_kept() -> Generator[None]:
    """Run programs inside the `with`, and find the process as it was after it.

    `sys.argv`, `sys.path`, `sys.modules["__main__"]`, `sys.excepthook`, the working directory and the import
    hooks are restored, and modules that came from the program's own folder are forgotten.
    """
    argv, path, hook, folder = sys.argv[:], sys.path[:], sys.excepthook, Path.cwd()
    main, finders, modules = sys.modules["__main__"], sys.meta_path[:], set(sys.modules)
    try:
        yield
    finally:
        home = sys.path[0]
        for finder in sys.meta_path[:]:
            if isinstance(finder, Replacement | AfterImport) and finder not in finders:
                finder.remove()
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and path[:1] != [home] and Path(file).is_relative_to(home):
                del sys.modules[name]
        sys.modules["__main__"] = main
        sys.argv[:], sys.path[:], sys.excepthook = argv, path, hook
        os.chdir(folder)
