"""Programs with a question about their gradient: what they ask, and what the answer must say.

The programs in `questions/` are written for torch. What is asked stands at their top, in
comments of one line:

    # ask: explain(w)            an expression; `w` is the program's, `explain` is pullback's; `error` is the
                                 text of the exception that ended the program, `command()` what
                                 `pullback explain` prints of it
    # says: WORDS                the answer to the `ask` above contains these words
    # cause: NoPath              the nearest cause of some entry, where no line is at fault
    # error: RuntimeError        the program ends with this exception
    # differs: REASON            it prints something else under PyTorch
    # pending: REASON            a known defect: the answer is not yet right
    # blind: REASON              a known defect: without lines something false is said

Where a line of the program is to be named it carries the expectation itself:

    y = torch.relu(x)            # cause: GateClosed relu     the nearest cause of some entry
    z = y * 0.0                  # also: Annihilated mul      a true cause that is further away
    h = x.detach()               # named                      some answer cites this line

An explanation must give exactly the causes that are marked: one that is missing fails, and so does one too
many. Read `asked`, then `Answers`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pullback as pb
from pullback.autograd import passes
from pullback.compat.rooms import torch_replaced
from pullback.explanations.broadcasts import broadcast_slips
from pullback.explanations.per_sample import per_sample
from pullback.graph import leaks

HERE = Path(__file__).parent / "questions"
PROGRAMS = sorted(HERE.glob("[0-9]*.py"))
TOOLS = (
    "explain", "diagnose", "flow", "draw", "kinks", "plan_jacobian", "sensitivity", "given", "distributions",
)  # fmt: skip

ROOMS = {"per_sample": per_sample, "slips": broadcast_slips}


@dataclass
class Program:
    """A program and what is expected of the answers about it."""

    path: Path
    asks: list[tuple[str, list[str]]] = field(default_factory=list)  # (expression, words)
    causes: set = field(default_factory=set)  # (kind, op, line number or None)
    further: set = field(default_factory=set)
    named: set = field(default_factory=set)  # line numbers
    error: str = ""
    differs: str = ""
    pending: str = ""
    blind: str = ""

    @property
    def question(self):
        return int(self.path.name[:2])


def read(path):
    """The expectations that a program's comments state."""
    found = Program(path)
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        code, _, comment = text.partition("# ")
        line = number if code.strip() else None
        for mark in comment.split("  # "):
            _noted(found, line, mark.strip())
    return found


def _noted(found, line, mark):
    word, _, rest = mark.partition(": ")
    if mark == "named":
        found.named.add(line)
    elif word == "ask":
        found.asks.append((rest, []))
    elif word == "says":
        found.asks[-1][1].append(rest)
    elif word in ("cause", "also"):
        kind, _, op = rest.partition(" ")
        (found.causes if word == "cause" else found.further).add((kind, op, line))
    elif word in ("error", "differs", "pending", "blind"):
        setattr(found, word, rest)


@dataclass
class Answers:
    """What a program printed, how it ended, and the answers to its questions."""

    printed: str
    error: BaseException | None
    given: list[tuple[str, list[str], object, str]]  # expression, words, answer, its text

    @property
    def explanations(self):
        return [a for _, _, answer, _ in self.given for a in _explanations(answer)]


def _explanations(answer):
    if isinstance(answer, dict):
        answer = list(answer.values())
    several = answer if isinstance(answer, list | tuple) else [answer]
    return [a for a in several if isinstance(a, pb.Explanation)]


def forgotten():
    """Forget what ran before in this process: a program has a process of its own."""
    passes.recent.entries.clear()
    leaks.log.clear()
    leaks.first = None


def run(path):
    """Run a program; (its names, what it printed, the exception that ended it)."""
    forgotten()
    main = ModuleType("__main__")
    main.__file__ = str(path)
    out = io.StringIO()
    before, sys.modules["__main__"] = sys.modules["__main__"], main
    error = None
    try:
        with torch_replaced(), contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pb.manual_seed(0)
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(main))
    except Exception as raised:  # noqa: BLE001 - how a program ends is a part of the answer
        error = raised
    finally:
        sys.modules["__main__"] = before
    return vars(main), out.getvalue(), error


def command(path):
    """What `pullback explain` prints of a program, in a process of its own."""
    source = str(Path(pb.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "pullback", "explain", str(path)],
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


def asked(program, *, lines=True):
    """Run a program, with its lines recorded or not, and ask what it asks."""
    with pb.record_lines() if lines else contextlib.nullcontext():
        names, printed, error = run(program.path)
        names |= {tool: getattr(pb, tool) for tool in TOOLS} | ROOMS
        names |= {"error": str(error), "command": lambda: command(program.path)}
        given = []
        for expression, words in program.asks:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                answer = eval(expression, names)
                text = "\n".join([str(answer), *(str(w.message) for w in heard)])
            given.append((expression, words, answer, text))
    return Answers(printed, error, given)


def causes_of(explanation):
    """(nearest causes, all causes) as sets of (kind, op, line number)."""
    nearest, every = set(), set()
    for row in explanation.rows:
        if row.kind == "Flows" or explanation.work is None:  # no pass has run: there is nothing to be told
            continue
        nearest.add((row.kind, row.op, row.line and row.line.number))
        for entry in row.entries[:8]:
            for c in explanation.why(index_of(entry, explanation.shape)).causes:
                every.add((c.kind, c.op, c.line and c.line.number))
    return nearest, every


def index_of(flat, shape):
    found = []
    for n in reversed(shape):
        flat, k = divmod(flat, n)
        found.append(k)
    return tuple(reversed(found))


def lines_cited(text, path):
    """The line numbers of the program that a text names as `file.py:12` or `line 12`."""
    name = re.escape(path.name)
    return {int(n) for n in re.findall(rf"{name}(?::|\", line |, line )(\d+)", text)}
