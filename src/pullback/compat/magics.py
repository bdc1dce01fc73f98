"""Notebook lines that are not Python: magics (`%time f(x)`), shell commands (`!ls`), help (`f?`).

Read `to_python` first. Nothing is run that is not Python: such a line becomes `pass`, and a note says so.
May import: the standard library.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

Note = Callable[[int, str], None]  # (line number in the cell, text)

_TARGET = r"(?:(?P<target>[\w., ()\[\]]+?)\s*=\s*)?"
_LINE = re.compile(rf"(?P<indent>\s*){_TARGET}(?P<sign>%%?|!!?|\?\??)(?P<rest>.*)")
_HELP = re.compile(r"(?P<indent>\s*)[\w.%*]+\?\??\s*$")
# magics whose argument, or cell, is Python that leaves its names behind
_RUNS = ("time", "prun", "memit")
_RUNS_CELL = (*_RUNS, "capture")
_WHY = {
    "matplotlib": "not needed; --figures DIR writes the figures",
    "pip": "not run; install packages before",
    "conda": "not run; install packages before",
    "timeit": "not run; it only measures",
    "load_ext": "not run; there are no extensions here",
    "autoreload": "not run; files are read once",
}


def to_python(source: str, note: Note) -> str:
    r"""The cell as Python, line for line; `note` hears of every line that is left out.

    A line is only taken for a magic where Python cannot read it, so text in strings and `%` at the start of a
    continued line stay what they are. A cell that is wrong Python comes back as it is: compiling it tells.

    >>> print(to_python("%matplotlib inline\nx = 7\n%time y = x", lambda line, text: print(line, text)))
    1 %matplotlib inline: not needed; --figures DIR writes the figures
    3 %time: the statement runs, its time is not measured
    pass
    x = 7
    y = x
    """
    lines = _without_cell_magic(source.split("\n"), note)
    for _ in lines:
        bad = _unreadable(lines)
        if bad is None or not _replace(lines, bad, note):
            break
    return "\n".join(lines)


def _unreadable(lines: list[str]) -> int | None:
    """Index of the line at which Python stops reading, None if it reads all of them."""
    try:
        ast.parse("\n".join(lines))
    except SyntaxError as error:
        at = (error.lineno or 1) - 1
        return min(at, len(lines) - 1)
    except ValueError:  # null bytes: compiling the cell says so
        return None
    return None


def _without_cell_magic(lines: list[str], note: Note) -> list[str]:
    """Handle `%%name` on the first line that says anything."""
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None or not lines[first].startswith("%%"):
        return lines
    name, _, argument = lines[first][2:].strip().partition(" ")
    if name == "time" and not argument:
        note(first + 1, "%%time: the cell runs, its time is not measured")
    elif name in _RUNS_CELL:
        note(first + 1, f"{lines[first].strip()}: the cell runs as if this line were not there")
    else:
        note(first + 1, f"%%{name}: the cell is not run; {_WHY.get(name, 'only Python is')}")
        return ["pass"]
    return [*lines[:first], "", *lines[first + 1 :]]


def _replace(lines: list[str], at: int, note: Note) -> bool:
    """Turn the line into Python; False if it is no magic."""
    match = _LINE.fullmatch(lines[at])
    if match is None and not _HELP.fullmatch(lines[at]):
        return False
    if match is None:
        indent, said, code = lines[at][: -len(lines[at].lstrip())], lines[at].strip(), "pass"
        note(at + 1, f"{said}: help is not shown")
    else:
        indent = match["indent"]
        code = _statement(match, lines[at].strip(), lambda text: note(at + 1, text))
    while lines[at].endswith("\\") and at + 1 < len(lines) and code == "pass":  # the command goes on
        lines[at] = f"{indent}pass"
        at += 1
    lines[at] = f"{indent}{code}"
    return True


def _statement(match: re.Match[str], said: str, note: Callable[[str], None]) -> str:
    """What stands in for a magic, and the note about it."""
    name, _, argument = match["rest"].strip().partition(" ")
    if match["sign"] == "%" and name in _RUNS and argument:
        note(f"%{name}: the statement runs, its time is not measured")
        return f"{match['target']} = {argument}" if match["target"] else argument
    if match["sign"].startswith("!"):
        note(f"{said}: shell commands are not run")
    elif match["sign"].startswith("?"):
        note(f"{said}: help is not shown")
    else:
        note(f"{said}: {_WHY.get(name, 'not run; only Python is')}")
    return "pass"
