"""`pullback run --compare`."""

import importlib.util

import pytest

from pullback.compat.compare import Outcome, verdict

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="compares with PyTorch")


@pytest.mark.parametrize(
    ("ours", "theirs", "says"),
    [
        (b"", b"", ""),
        (b"a\n", b"a\n", ""),
        (
            b"ab\ncd\n",
            b"ab\nce\n",
            "differ at line 2, column 2\n  pullback: cd\n  PyTorch:  ce\n             ^\n",
        ),
        (b"ab\n", b"abc\n", "line 1, column 3\n  pullback: ab\n  PyTorch:  abc\n              ^\n"),
        (b"a\n", b"a\nb\n", "line 2, column 1: pullback stops after line 1\n  PyTorch: b\n"),
        (b"a\nb\n", b"a\n", "line 2, column 1: PyTorch stops after line 1\n  pullback: b\n"),
        (b"a\n", b"a", "the line break at their end"),
        (b"\xff", b"\xfe", "column 4"),
        (b"x" * 300 + b"a", b"x" * 300 + b"b", "column 301\n  pullback: " + "x" * 50 + "a\n"),
    ],
)
def test_the_first_difference(ours, theirs, says):
    text = verdict(Outcome(ours, 0), Outcome(theirs, 0))
    assert (says in text) if says else text == ""
    assert all(len(line) < 120 for line in text.splitlines())


def test_different_ends_are_a_difference():
    assert "pullback 1, PyTorch 0" in verdict(Outcome(b"a", 1), Outcome(b"a", 0))
    assert "pullback 1, PyTorch 0" in verdict(Outcome(b"a", 1), Outcome(b"b", 0))
    assert verdict(Outcome(b"a", 1), Outcome(b"a", 1)) == ""


def test_without_torch_it_says_so(place):
    # a torch that cannot be found: the finder is told that there is none
    place.write("prog.py", "print(1)")
    code = (
        "import sys, importlib.util as u; f = u.find_spec\n"
        "import pullback.compat.compare as c; c.find_spec = lambda n: n != 'torch' and f(n) or None\n"
        "from pullback.cli import main; sys.exit(main(['run', '--compare', 'prog.py']))"
    )
    done = place.python("-c", code)
    assert (done.stdout, done.returncode) == ("", 2)
    assert "torch is not installed" in done.stderr
    assert done.stderr.count("\n") == 1


@needs_torch
@pytest.mark.peers
def test_the_same_output(place):
    place.write("prog.py", "import sys, torch\nprint(sys.argv, {'a', 'b', 'c'}, input(), sys.stdin.read())\n")
    done = place.run("--compare", "prog.py", "x", stdin="one\ntwo\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("one two\n\n")
    assert "the same output" in done.stderr


@needs_torch
@pytest.mark.peers
def test_another_output_and_a_notebook(place):
    place.notebook("a.ipynb", "import torch\nprint('same')\n'+pullback' in torch.__version__")
    done = place.run("--compare", "a.ipynb")
    assert done.returncode == 1
    assert done.stdout == "same\nTrue\n"
    assert done.stderr.startswith("pullback run: the outputs differ at line 2, column 1\n")
    assert "  pullback: True\n  PyTorch:  False\n            ^\n" in done.stderr
