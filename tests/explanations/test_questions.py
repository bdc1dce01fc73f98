"""The questions that people ask about a surprising gradient, as programs; each answer is checked.

`asking` says how the programs in `questions/` state what is expected. Read `test_the_answer_is_right`.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from explanations import asking

NAMES = [path.stem for path in asking.PROGRAMS]


@functools.cache
def known(name):
    return asking.read(asking.HERE / f"{name}.py")


def expected(name, *, lines=True):
    reason = known(name).pending if lines else known(name).blind
    return pytest.param(name, marks=pytest.mark.xfail(reason=reason)) if reason else name


@functools.cache
def answered(name, *, lines=True):
    return asking.asked(known(name), lines=lines)


def test_every_question_is_asked():
    assert set(range(1, 21)) <= {known(name).question for name in NAMES}
    assert all(known(name).asks for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_program_ends_as_it_should(name):
    error = answered(name).error
    assert (type(error).__name__ if error else "") == known(name).error, error


@pytest.mark.parametrize("name", [expected(name) for name in NAMES])
def test_the_answer_is_right(name):
    """The causes are those that are marked, at their lines, and none else; the words are there."""
    program, answers = known(name), answered(name)
    for expression, words, _, text in answers.given:
        missing = [w for w in words if w not in " ".join(text.split())]
        assert missing == [], f"{expression} answered\n{text}"
    nearest, every = set(), set()
    for explanation in answers.explanations:
        near, all_of_them = asking.causes_of(explanation)
        nearest |= near
        every |= all_of_them
    everything = "\n".join(text for *_, text in answers.given)
    assert nearest == program.causes, everything
    assert every - nearest == program.further, everything
    assert program.named <= asking.lines_cited(everything, program.path), everything


@pytest.mark.parametrize("name", [expected(name, lines=False) for name in NAMES])
def test_without_lines_nothing_else_is_claimed(name):
    """Entry by entry: the same kind of cause, or none."""
    told, blind = answered(name).explanations, answered(name, lines=False).explanations
    assert len(told) == len(blind)
    for a, b in zip(told, blind, strict=True):
        pairs = set(zip(a.causes.reshape(-1).tolist(), b.causes.reshape(-1).tolist(), strict=True))
        assert all(without in (kind, "NotDetermined") for kind, without in pairs), pairs


@pytest.mark.parametrize("name", NAMES)
def test_a_zero_is_explained_and_nothing_else(name):
    """A cause for each entry that is zero or not finite, and for no other."""
    for explanation in answered(name).explanations:
        if explanation.gradient is None:
            assert not (explanation.causes == "Flows").any()
            continue
        flows = (explanation.gradient != 0) & (abs(explanation.gradient) < float("inf"))
        assert ((explanation.causes == "Flows") == flows).all()


def test_a_missing_mark_and_a_wrong_one_are_seen(tmp_path):
    text = (asking.HERE / "07_dead_layer.py").read_text(encoding="utf-8")
    copy = tmp_path / "07_dead_layer.py"
    copy.write_text(text, encoding="utf-8")
    program = asking.read(copy)
    (cause,) = program.causes
    found = {c for e in asking.asked(program).explanations for c in asking.causes_of(e)[0]}
    assert found == {cause}
    kind, op, line = cause
    assert found != {(kind, op, line + 1)}
    assert found != {("Saturated", op, line)}


# ---------------------------------------------------------------------- the programs are programs for torch


def printed_under_torch():
    """What each program prints under PyTorch, run in one process."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from explanations import under_torch; "
        "print(json.dumps(under_torch.printed(sys.argv[2:])))"
    )
    tests = Path(__file__).resolve().parents[1]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tests), *map(str, asking.PROGRAMS)],
        env=environment, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.peers
def test_under_torch_they_print_the_same_and_end_the_same():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    theirs = printed_under_torch()
    for name in NAMES:
        text, error = theirs[name]
        if known(name).differs:
            continue
        assert (answered(name).printed, known(name).error) == (text, error), name
