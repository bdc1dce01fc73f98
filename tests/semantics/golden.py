"""Golden cases: what PyTorch does, kept as text, so that the tests need no PyTorch; where it is installed,
they check the texts against it.

A file under golden/ starts with a preamble (lines that begin with `! `); each case is lines of code (`> `)
and the outcome below them:
what was printed, warnings, and the value of the last expression or the error. A line that ends in ` …` states
only how the line begins.
`python tests/semantics/golden.py` (with PyTorch installed) fills in the outcomes of cases that have none.
Read `Case.outcome` first.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "golden"
MORE = " …"


@dataclass
class Case:
    """One case of a file: where it is, its code, and the lines that are expected."""

    name: str
    preamble: str
    code: str
    expected: list[str]

    def outcome(self, torch: Any) -> list[str]:
        """What the code does when `torch` is this module: printed lines, warnings, value or error."""
        printed = io.StringIO()
        names: dict[str, Any] = {"torch": torch, "__name__": "golden"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(self.preamble, names)
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
            warnings.simplefilter("always")
            warnings.filterwarnings(
                "ignore", message=".*(torch.jit|get_attr Node|tensor parameter that requires grad).*"
            )
            try:
                result = repr_of_last(self.code, names)
            except Exception as error:  # noqa: BLE001 - the error is the outcome
                result = f"{type(error).__name__}: {own_words_cut(str(error))}"
        lines = printed.getvalue().split("\n")[:-1]
        lines += [f"{w.category.__name__}: {own_words_cut(str(w.message))}" for w in caught]
        return [] if result is None and not lines else lines + ([] if result is None else result.split("\n"))


def repr_of_last(code: str, names: dict[str, Any]) -> str | None:
    """Run code; the repr of its last expression, None where that is None or there is no expression."""
    tree = ast.parse(code)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(code, names)
        return None
    tree.body.pop()
    exec(compile(tree, "<golden>", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "<golden>", "eval"), names)
    return None if value is None else repr(value)


def own_words_cut(text: str) -> str:
    """An error text without what pullback adds to PyTorch's sentence and without a C++ source line."""
    for mark in ("\n  here:", "\n  try:"):
        text = text.split(mark, maxsplit=1)[0]
    return re.sub(r" \(Triggered internally[^)]*\)", "", text).rstrip()


def matches(found: list[str], expected: list[str]) -> bool:
    """Equal line by line; an expected line that ends in an ellipsis is a beginning."""
    if len(found) < len(expected) or (
        len(found) > len(expected) and not (expected and expected[-1].endswith(MORE))
    ):
        return False
    return all(
        f.startswith(e.removesuffix(MORE)) if e.endswith(MORE) else f == e
        for f, e in zip(found, expected, strict=False)
    )


def cases(file: str) -> list[Case]:  # noqa: C901 - one small reader
    """The cases of a file."""
    preamble, found, code, expected = "", [], [], []  # type: ignore[var-annotated]

    def done() -> None:
        if code:
            found.append(Case(f"{file}-{len(found)}", preamble, "\n".join(code), list(expected)))
        code.clear()
        expected.clear()

    for line in (HERE / f"{file}.txt").read_text().split("\n"):
        if line.startswith("! "):
            preamble += line[2:] + "\n"
        elif line.startswith("> "):
            if expected:
                done()
            code.append(line[2:])
        elif line.strip() == "" and not expected:
            done()
        elif code:
            expected.append(line)
    done()
    for c in found:
        while c.expected and c.expected[-1] == "":
            c.expected.pop()
        if c.expected == ["(nothing)"]:
            c.expected = []
    return found


def fill(file: str, torch: Any) -> None:
    """Write the outcomes of the cases that have none."""
    path = HERE / f"{file}.txt"
    out = [line for line in path.read_text().split("\n") if line.startswith("! ")]
    for c in cases(file):
        lines = c.expected or c.outcome(torch) or ["(nothing)"]
        out += ["", *("> " + line for line in c.code.split("\n")), *lines]
    path.write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    import torch as real

    for name in sys.argv[1:]:
        fill(name, real)
