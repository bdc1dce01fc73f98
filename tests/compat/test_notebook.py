"""`pullback run FILE.ipynb`: cells in order, and what they would show."""

import json

import pytest

from pullback.compat.magics import to_python
from pullback.compat.notebook import read_notebook
from pullback.compat.program import BadInput


def test_output_and_last_values(place):
    place.notebook(
        "a.ipynb",
        {"cell_type": "markdown", "source": "# not code"},
        "import torch\nprint('printed')\n[1, 2]",
        "x = 'text'\nx",
        "x;",
        "x; # quiet",
        "'a;b'",
        "None",
        "",
        "# only a comment",
        "def f():\n    return 1",
        "if True:\n    5",
        "_ + '!', f()",
        "display(3, 'd')",
        "torch.__version__",
        {"source": ["y = 1\n", "y\n"]},
    )
    done = place.run("a.ipynb")
    shown = ["printed", "[1, 2]", "'text'", "'a;b'", "('a;b!', 1)", "3", "'d'", "'2.13.0+pullback'", "1"]
    assert done.stdout.splitlines() == shown
    assert (done.stderr, done.returncode) == ("", 0)


def test_where_a_notebook_runs(place):
    place.write("sub/beside.py", "word = 'beside'\n")
    place.write("sub/data.txt", "data\n")
    place.notebook(
        "sub/a.ipynb",
        "import sys, beside\nprint(beside.word, open('data.txt').read().strip(), sys.argv, __name__)",
        "'__file__' in globals()",
    )
    done = place.run("sub/a.ipynb", "arg")
    assert done.stdout == "beside data ['sub/a.ipynb', 'arg'] __main__\nFalse\n"


def test_a_failing_cell_stops_the_run(place):
    place.notebook(
        "a.ipynb", "def f():\n    return 1 / 0  # here", "print('second')\n\nf()", "print('never')"
    )
    done = place.run("a.ipynb")
    assert (done.stdout, done.returncode) == ("second\n", 1)
    assert done.stderr.splitlines()[:5] == [
        "Traceback (most recent call last):",
        '  File "a.ipynb, cell 2", line 3, in <module>',
        "    f()",
        '  File "a.ipynb, cell 1", line 2, in f',
        "    return 1 / 0  # here",
    ]
    assert done.stderr.endswith(
        "ZeroDivisionError: division by zero\npullback run: a.ipynb: stopped in cell 2 of 3\n"
    )


def test_a_cell_may_be_allowed_to_fail(place):
    place.notebook(
        "a.ipynb",
        {"source": "1 / 0", "metadata": {"tags": ["raises-exception"]}},
        "print('next')",
        "import sys; sys.exit(4)",
    )
    done = place.run("a.ipynb")
    assert (done.stdout, done.returncode) == ("next\n", 4)
    assert "ZeroDivisionError" in done.stderr
    assert "stopped" not in done.stderr


def test_a_syntax_error_names_the_cell(place):
    place.notebook("a.ipynb", "x = 1", "y = (")
    done = place.run("a.ipynb")
    assert done.returncode == 1
    assert 'File "a.ipynb, cell 2", line 1' in done.stderr
    assert "SyntaxError" in done.stderr
    assert "stopped in cell 2 of 2" in done.stderr


def test_future_imports_hold_for_later_cells(place):
    place.notebook(
        "a.ipynb", "from __future__ import annotations", "def f(x: nowhere): ...\nf.__annotations__"
    )
    assert place.run("a.ipynb").stdout == "{'x': 'nowhere'}\n"


def test_magics_are_noted_and_nothing_else_runs(place):
    place.notebook(
        "a.ipynb",
        "%matplotlib inline\nx = 7\n!touch was-run\n%time y = x",
        "%%time\ny + 1",
        "%%bash\ntouch was-run",
        "from IPython.display import display, HTML\ndisplay(HTML('<b>'))",
        "from IPython import get_ipython as outer\nouter()",
        "get_ipython().run_line_magic('matplotlib', 'inline')\nget_ipython().system('touch was-run')",
    )
    done = place.run("a.ipynb")
    assert done.stdout == "8\n<IPython.core.display.HTML object>\n"
    assert done.returncode == 0
    assert not (place.folder / "was-run").exists()
    notes = done.stderr.splitlines()
    assert len(notes) == 7
    assert all(line.startswith("pullback run: a.ipynb") for line in notes)
    assert "cell 1, line 3: !touch was-run: shell commands are not run" in done.stderr


def translated(source):
    notes = []
    return to_python(source, lambda line, text: notes.append(line)), sorted(notes)


@pytest.mark.parametrize(
    ("source", "python", "lines"),
    [
        ("x = 1\n", "x = 1\n", []),
        ("s = '''\n%not a magic\n!nor this\n'''", "s = '''\n%not a magic\n!nor this\n'''", []),
        ("y = (7\n  % 4)", "y = (7\n  % 4)", []),
        ("y = (7\n  % 4)\n%who", "y = (7\n  % 4)\npass", [3]),
        ("if x:\n    !ls\n", "if x:\n    pass\n", [2]),
        ("!echo it's\nx = 1", "pass\nx = 1", [1]),
        ("!ls \\\n  -l \\\n  -a\nx", "pass\npass\npass\nx", [1]),
        ("files = !ls", "pass", [1]),
        ("t = %time f(1)", "t = f(1)", [1]),
        ("x?", "pass", [1]),
        ("?x", "pass", [1]),
        ("x.y??", "pass", [1]),
        ("%timeit f()", "pass", [1]),
        ("%%time\nf()", "\nf()", [1]),
        ("%%capture out\nf()", "\nf()", [1]),
        ("%%writefile x.py\nf(", "pass", [1]),
        ("%%timeit\nf()", "pass", [1]),
        ("x = (", "x = (", []),
        ("print 'x'", "print 'x'", []),
        ("x = 5 %", "x = 5 %", []),
        ("", "", []),
    ],
)
def test_what_a_cell_becomes(source, python, lines):
    assert translated(source) == (python, lines)


def test_format_3(place):
    cells = [{"cell_type": "code", "input": ["1 +\\\n", " 1"]}, {"cell_type": "heading", "source": "h"}]
    place.write("a.ipynb", json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}))
    assert place.run("a.ipynb").stdout == "2\n"


def test_cells_are_numbered_among_the_code_cells(place):
    path = place.notebook("a.ipynb", "1", {"cell_type": "raw", "source": "no"}, "2")
    assert [(cell.number, cell.source) for cell in read_notebook(str(path))] == [(1, "1"), (2, "2")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "broken JSON"),
        (b"", "broken JSON"),
        (b"[]", "it holds no cells"),
        (b'"text"', "it holds no cells"),
        (b"{}", "cells cannot be read"),
        (b'{"cells": [{}]}', "cells cannot be read"),
        (b'{"cells": 3}', "cells cannot be read"),
        (b'{"cells": [{"cell_type": "code", "source": 5}]}', "cells cannot be read"),
        (b'{"cells": [], "metadata": 4}', "metadata cannot be read"),
        (b'{"cells": [], "metadata": {"kernelspec": {"language": "R"}}}', "a notebook in R, not in Python"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_files_that_are_no_notebooks(tmp_path, content, says):
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=says) as caught:
        read_notebook(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_name_in_a_cell(place):
    place.notebook("a.ipynb", "import torch\nfrom torch.jit import script", "script(print)")
    done = place.run("a.ipynb")
    assert "imported at a.ipynb, cell 1:2 (line a.ipynb, cell 2:1)" in done.stderr
    assert done.stderr.count("File ") == 1
