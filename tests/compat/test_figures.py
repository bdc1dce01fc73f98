"""Figures of programs and notebooks, without a screen."""

import pytest

pytest.importorskip("matplotlib")

PROGRAM = """
import matplotlib
matplotlib.use("TkAgg")
import matplotlib.pyplot as plt
plt.figure(figsize=(1, 1))
plt.figure(figsize=(2, 1))
plt.show()
print(plt.get_fignums())
left = plt.figure(figsize=(3, 1))
left.show()
plt.show(block=False)
print(plt.get_fignums())
left.set_size_inches(4, 1)
"""


def widths(folder):
    """Width in pixels of each picture, by name: from the header of the PNG."""
    return {path.name: int.from_bytes(path.read_bytes()[16:20]) for path in sorted(folder.iterdir())}


def test_shown_and_left_open(place):
    place.write("prog.py", PROGRAM)
    done = place.run("--figures", "out/figs", "prog.py")
    assert (done.stdout, done.returncode) == ("[]\n[1]\n", 0)
    # the last one was shown, changed and left open: the file has what it was at the end
    assert widths(place.folder / "out" / "figs") == {
        "figure-001.png": 100,
        "figure-002.png": 200,
        "figure-003.png": 400,
    }
    assert done.stderr.count("pullback run: figure ") == 3


def test_without_a_folder_nothing_is_written_and_nothing_waits(place):
    place.write("prog.py", PROGRAM)
    done = place.run("prog.py")
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n[1]\n", "", 0)
    assert [path.name for path in place.folder.iterdir()] == ["prog.py"]


def test_a_program_that_fails_keeps_its_figures(place):
    place.write("prog.py", "import matplotlib.pyplot as plt\nplt.figure()\n1 / 0\n")
    done = place.run("--figures", "figs", "prog.py")
    assert done.returncode == 1
    assert list(widths(place.folder / "figs")) == ["figure-001.png"]


def test_each_cell_shows_its_figures(place):
    place.notebook(
        "sub/a.ipynb",
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1));",
        "print(plt.get_fignums())\nplt.figure(figsize=(2, 1)); plt.show()",
    )
    done = place.run("--figures", "figs", "sub/a.ipynb")
    assert done.stdout == "[]\n"
    assert widths(place.folder / "figs") == {"figure-001.png": 100, "figure-002.png": 200}


def test_a_program_without_figures_makes_no_folder(place):
    place.write("prog.py", "import sys; print('matplotlib' in sys.modules)")
    assert place.run("--figures", "figs", "prog.py").stdout == "False\n"
    assert not (place.folder / "figs").exists()


def test_no_half_written_file(place):
    place.write(
        "prog.py",
        """
        import matplotlib.pyplot as plt
        figure = plt.figure()
        figure.savefig = lambda file, **_: (file.write(b"half"), 1 / 0)
        plt.show()
        """,
    )
    done = place.run("--figures", "figs", "prog.py")
    assert "ZeroDivisionError" in done.stderr
    assert list((place.folder / "figs").iterdir()) == []


def test_the_programs_own_savefig_works(place):
    place.write("prog.py", "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.savefig('own.png')\n")
    assert place.run("prog.py").returncode == 0
    assert (place.folder / "own.png").stat().st_size > 1000
