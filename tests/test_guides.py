"""The guides in docs/ show what really happens: every block of code is run, every output is compared.

In a guide, a `text` block is the output of the `python` block before it (an exception ends it as
`Type: message`), and a `console` block is a session: `$ cat FILE` gives a file's content, `$ pullback ...` is
run. "..." in an output stands for anything. Blocks of one guide share their names. Nothing else may stand in
fences, so that nothing in a guide can be wrong unnoticed. Read `outcomes`.
"""

from __future__ import annotations

import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
GUIDES = ["compile.md", "explain.md", "sensitivity.md", "minimize.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its line in the guide, its language, its text, and what it should print."""

    line: int
    kind: str
    text: str
    shown: str | None = None


def blocks_of(guide: str) -> list[Block]:
    """The blocks of a guide in order; a `text` block belongs to the `python` block just before it."""
    found: list[Block] = []
    end = 0
    for match in FENCE.finditer(guide):
        block = Block(guide.count("\n", 0, match.start()) + 1, match[1], match[2])
        apart = bool(guide[end : match.start()].strip())
        end = match.end()
        if block.kind == "text":
            assert not apart, f"line {block.line}: this output belongs to no code"
            assert found, f"line {block.line}: this output belongs to no code"
            assert found[-1].kind == "python", f"line {block.line}: this output belongs to no code"
            found[-1] = replace(found[-1], shown=block.text)
        else:
            assert block.kind in {"python", "console"}, f"line {block.line}: what is {block.kind!r}?"
            found.append(block)
    return found


def printed(block: Block, names: dict[str, Any]) -> str:
    """What a block prints, and the exception that ends it, if its output shows one."""
    out = io.StringIO()
    with redirect_stdout(out):
        try:
            exec(compile(block.text, "guide.py", "exec", dont_inherit=True), names)
        except Exception as error:
            if not re.search(r"^\w+(Error|Exception): ", block.shown or "", re.MULTILINE):
                raise
            name, text = type(error).__name__, str(error)
            out.write(f"{name}: {text}\n")
    return out.getvalue()


def commands_of(session: str) -> Iterator[tuple[str, str]]:
    """(command, what it shows) of a console block."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def performed(command: str, shown: str, folder: Path) -> str:
    """What a command prints, the files it writes go to `folder`; `cat` writes the file that is shown."""
    words = shlex.split(command)
    if words[0] == "cat":
        (folder / words[1]).write_text(shown, encoding="utf-8")
        return shown
    assert words[0] == "pullback", f"cannot run {command!r}"
    done = subprocess.run(
        [sys.executable, "-m", "pullback", *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def outcomes(guide: str, folder: Path) -> Iterator[tuple[int, str, str]]:
    """(line, what the guide shows, what really comes out) of every block, run one after the other."""
    names: dict[str, Any] = {"__name__": "guide"}
    for block in blocks_of(guide):
        if block.kind == "python":
            try:
                yield block.line, block.shown or "", printed(block, names)
            except Exception as error:
                where = "".join(traceback.format_exception(error))
                raise AssertionError(f"the code at line {block.line} fails:\n{where}") from error
        else:
            for command, shown in commands_of(block.text):
                yield block.line, shown, performed(command, shown, folder)


def same(shown: str, got: str) -> bool:
    """Are they equal but for spaces at line ends, where "..." stands for anything?"""
    trimmed = ["\n".join(line.rstrip() for line in text.strip().split("\n")) + "\n" for text in (shown, got)]
    return doctest.OutputChecker().check_output(*trimmed, doctest.ELLIPSIS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and kernels that are kept nowhere else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PULLBACK_CACHE", str(tmp_path / "kernels"))
    source = str(DOCS.parent / "src")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])]))
    return tmp_path


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_shows_what_happens(name: str, folder: Path) -> None:
    guide = (DOCS / name).read_text(encoding="utf-8")
    wrong = [
        f"docs/{name}, block at line {line}\n--- shown\n{shown}\n--- real\n{got}"
        for line, shown, got in outcomes(guide, folder)
        if not same(shown, got)
    ]
    assert wrong == [], "\n\n".join(wrong)


def test_every_guide_with_code_is_run() -> None:
    with_code = [p.name for p in DOCS.glob("*.md") if "```python" in p.read_text(encoding="utf-8")]
    assert sorted(with_code) == sorted(GUIDES)


def test_the_readme_explains_as_it_says(folder: Path) -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    sessions = re.findall(r"^```\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (session,) = (s for s in sessions if "$ pullback explain" in s)
    for command, shown in commands_of(session):
        got = performed(command, shown, folder)
        assert same(shown, got), got


PYTHON = "```python\n{}\n```\n"
TEXT = "\n```text\n{}\n```\n"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("print(1)", "2"),
        ("print(1)", ""),
        ("x = 1", "1"),
        ("raise ValueError('a')", "ValueError: b"),
        ("print(10)", "1"),
        ("x = 1", "ValueError: x"),
    ],
)
def test_a_wrong_output_is_seen(code: str, shown: str, folder: Path) -> None:
    ((_, want, got),) = outcomes(PYTHON.format(code) + TEXT.format(shown), folder)
    assert not same(want, got)


def test_output_that_no_guide_shows_is_seen(folder: Path) -> None:
    ((_, want, got),) = outcomes(PYTHON.format("print(1)"), folder)
    assert not same(want, got)


def test_an_exception_that_no_guide_shows_is_seen(folder: Path) -> None:
    with pytest.raises(AssertionError, match=r"line 1 fails(.|\n)*ValueError: a"):
        list(outcomes(PYTHON.format("raise ValueError('a')"), folder))


def test_names_are_shared_and_dots_stand_for_anything(folder: Path) -> None:
    guide = PYTHON.format("x = 12345") + PYTHON.format("print(x, 'end')") + TEXT.format("1...5 end")
    assert all(same(shown, got) for _, shown, got in outcomes(guide, folder))


def test_an_output_without_code_is_refused() -> None:
    with pytest.raises(AssertionError, match="line 5: this output belongs to no code"):
        blocks_of(PYTHON.format("x = 1") + "words\n" + "```text\n1\n```\n")
