"""Run a notebook's cells in order, without Jupyter: what they print, and the value of each last expression.

Read `run_notebook` first. Like `nbconvert --execute` it works in the notebook's own folder and stops at the
first cell that fails (cells tagged `raises-exception` may). `python -m pullback.compat.notebook FILE` runs
one with whatever torch is installed: the other side of `pullback run --compare`. May import:
`pullback.compat.*` and the standard library.
"""

from __future__ import annotations
import __future__

import ast
import io
import json
import linecache
import os
import sys
import tokenize
from dataclasses import dataclass
from typing import Any, cast

from pullback.compat import figures
from pullback.compat.display import stand_in
from pullback.compat.magics import to_python
from pullback.compat.program import BadInput, become_main, end_with, print_uncaught, read_bytes

# `from __future__ import ...` in one cell holds for the cells after it
_FUTURES: int = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})


@dataclass(frozen=True)
class Cell:
    """A code cell: its number among the code cells (as in `In [3]`), its text, and whether it may fail."""

    number: int
    source: str
    may_fail: bool


def run_notebook(path: str, arguments: list[str], *, replace: bool = True) -> None:
    """Run all code cells in one `__main__`; an exception leaves this function, printed.

    `replace=False` leaves torch as it is installed. BadInput if the file is no notebook with Python in it.
    """
    cells = read_notebook(path)
    main = become_main(path, arguments, replace=replace)
    title = os.path.basename(path)  # noqa: PTH119 - a name for tracebacks
    vars(main).update(stand_in(lambda text: _note(title, text)))
    os.chdir(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120 - where Jupyter starts a notebook
    flags = 0
    for cell in cells:
        try:
            flags = _run_cell(cell, f"{title}, cell {cell.number}", vars(main), flags)
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt too
            print_uncaught(error, cell=True)
            if not (cell.may_fail and isinstance(error, Exception)):
                _note(title, f"stopped in cell {cell.number} of {len(cells)}")
                end_with(error)
        figures.finish()  # a notebook shows the figures of a cell below it


def read_notebook(path: str) -> list[Cell]:
    """The code cells of a notebook of format 3 or 4; BadInput says what is wrong with the file."""
    try:
        content = json.loads(read_bytes(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text: {error}") from None
    except ValueError as error:
        raise BadInput(f"{path} is not a notebook: broken JSON, {error}") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path} is not a notebook: it holds no cells")
    document = cast("dict[str, Any]", content)
    _must_be_python(path, document)
    try:
        return _code_cells(document)
    except (KeyError, TypeError, AttributeError):
        raise BadInput(f"{path} is not a notebook of format 3 or 4: its cells cannot be read") from None


def _must_be_python(path: str, document: dict[str, Any]) -> None:
    """BadInput for a notebook in another language."""
    about: dict[str, dict[str, str]] = document.get("metadata") or {}
    try:
        named = about.get("language_info") or {}
        language = named.get("name") or (about.get("kernelspec") or {}).get("language")
    except AttributeError:
        raise BadInput(f"{path} is not a notebook: its metadata cannot be read") from None
    if language and str(language).lower() not in {"python", "ipython", "python3"}:
        raise BadInput(f"{path} is a notebook in {language}, not in Python")


def _code_cells(document: dict[str, Any]) -> list[Cell]:
    """Format 4 keeps cells at the top and text in `source`; format 3 has worksheets, and text in `input`."""
    raw: list[dict[str, Any]]
    if "cells" in document:
        raw = document["cells"]
    else:
        raw = [cell for sheet in document["worksheets"] for cell in sheet["cells"]]
    code = [cell for cell in raw if cell["cell_type"] == "code"]
    return [
        Cell(
            number=i,
            source="".join(cell["source"] if "source" in cell else cell["input"]),
            may_fail="raises-exception" in _tags(cell),
        )
        for i, cell in enumerate(code, 1)
    ]


def _tags(cell: dict[str, Any]) -> list[str]:
    """The tags of a cell."""
    about: dict[str, list[str]] = cell.get("metadata") or {}
    return about.get("tags", [])


def _run_cell(cell: Cell, name: str, namespace: dict[str, Any], flags: int) -> int:
    """Run one cell and print its value; the `__future__` flags that hold after it."""
    source = to_python(cell.source, lambda line, text: _note(f"{name}, line {line}", text))
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # for tracebacks
    tree = compile(source, name, "exec", ast.PyCF_ONLY_AST | flags, dont_inherit=True)
    end = tree.body[-1] if tree.body and not _ends_with_semicolon(source) else None
    last = end if isinstance(end, ast.Expr) else None
    tree.body[len(tree.body) - (last is not None) :] = []
    code = compile(tree, name, "exec", flags, dont_inherit=True)
    flags |= code.co_flags & _FUTURES
    exec(code, namespace)  # noqa: S102 - the job
    if last is not None:
        value = compile(ast.Expression(last.value), name, "eval", flags, dont_inherit=True)
        shown = eval(value, namespace)  # noqa: S307 - the job
        if shown is not None:
            namespace["_"] = shown
            print(repr(shown))  # noqa: T201 - what the notebook shows
    return flags


def _ends_with_semicolon(source: str) -> bool:
    """Whether the last thing in a cell, comments apart, is a semicolon: its value is not shown."""
    quiet = False
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            quiet = token.string == ";"
    return quiet


def _note(where: str, text: str) -> None:
    """One line for the reader, on stderr."""
    sys.stdout.flush()
    sys.stderr.write(f"pullback run: {where}: {text}\n")


if __name__ == "__main__":
    run_notebook(sys.argv[1], sys.argv[2:], replace=False)
