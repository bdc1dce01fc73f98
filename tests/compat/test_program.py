"""`pullback run FILE.py` is `python FILE.py`, but for what `import torch` gives."""

import signal
import sys

import pytest

from pullback.compat.program import BadInput, process_kept, run_program

FACTS = """
import sys
print(sys.argv, sys.path[0], __name__, __file__, __spec__, __doc__, __package__)
print(sorted(globals()), sys.modules["__main__"].__dict__ is globals(), type(__loader__).__name__)
"""


@pytest.mark.parametrize("path", ["prog.py", "./sub/../prog.py", "sub/link.py"])
def test_the_program_finds_what_it_finds_under_python(place, path):
    target = place.write("prog.py", FACTS)
    (place.folder / "sub").mkdir()
    (place.folder / "sub" / "link.py").symlink_to(target)
    arguments = [path, "-x", "--", "--help", ""]
    assert place.run(*arguments).stdout == place.python(*arguments).stdout != ""


def test_torch_is_pullback_and_modules_beside_the_program_see_it(place):
    place.write("beside.py", "import torch\n")
    place.write(
        "prog.py",
        "import beside, torch, pullback\nprint(beside.torch.Tensor is torch.Tensor is pullback.Tensor)",
    )
    done = place.run("prog.py")
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('why')", 1, "why\n"),
        ("import os; os._exit(5)", 5, ""),
    ],
)
def test_exit_status(place, end, status, error):
    place.write(
        "prog.py", f"import sys, atexit\natexit.register(print, 'last')\nprint('first', flush=True)\n{end}\n"
    )
    done = place.run("prog.py")
    assert (done.returncode, done.stderr) == (status, error)
    assert done.stdout == ("first\n" if "_exit" in end else "first\nlast\n")


def test_a_traceback_is_pythons_to_the_letter(place):
    path = place.write(
        "prog.py",
        """
        import atexit
        atexit.register(print, "after")
        def f():
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise ValueError("caf\\u00e9") from error
        f()
        """,
    )
    ours, pythons = place.run(path), place.python(path)
    assert ours.stderr == pythons.stderr
    assert "ZeroDivisionError" in ours.stderr
    assert (ours.stdout, ours.returncode) == (pythons.stdout, 1)


@pytest.mark.parametrize("text", ["x = (\n", "def f():\nreturn 1\n", "x = 'a\n"])
def test_a_syntax_error_reads_as_under_python(place, text):
    path = place.write("prog.py", text)
    ours, pythons = place.run(path), place.python(path)
    assert ours.stderr == pythons.stderr != ""
    assert ours.returncode == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_an_interrupt_ends_the_process_by_its_signal(place):
    place.write(
        "prog.py", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(10**9): pass\n"
    )
    done = place.run("prog.py")
    assert done.returncode == -signal.SIGINT
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert "program.py" not in done.stderr


def test_a_hook_of_the_program_prints_its_exception_once(place):
    place.write(
        "prog.py", "import sys\nsys.excepthook = lambda kind, *_: print('hook', kind.__name__)\n1 / 0\n"
    )
    done = place.run("prog.py")
    assert (done.stdout, done.stderr, done.returncode) == ("hook ZeroDivisionError\n", "", 1)


def test_stdin_and_bytes_pass_unchanged(place):
    place.write(
        "prog.py", "import sys\nprint(input('? '))\nsys.stdout.buffer.write(b'\\xff\\r\\n') if 0 else None\n"
    )
    assert place.run("prog.py", stdin="line\n").stdout == "? line\n"


def test_a_missing_name_ends_at_the_line_that_used_it(place):
    path = place.write(
        "prog.py",
        """
        import torch
        from torch.jit import script
        print(hasattr(torch, "jit"))
        def train():
            return script(print)
        train()
        """,
    )
    done = place.run(path)
    assert done.stdout == "False\n"
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line for line in lines if "File" in line] == [
        f'  File "{path}", line 7, in <module>',
        f'  File "{path}", line 6, in train',
    ]
    assert "NotImplementedError: torch.jit.script is not in pullback, and was called" in lines
    assert f"imported at {path}:3 (line {path}:6)" in done.stderr


def test_a_missing_attribute_ends_at_the_line_that_used_it(place):
    path = place.write("prog.py", "import torch\ntorch.no_such_thing(1)\n")
    done = place.run(path)
    assert f'File "{path}", line 2, in <module>' in done.stderr
    assert "AttributeError: module 'torch' has no attribute 'no_such_thing'" in done.stderr
    assert "compat" not in done.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_worker_processes_see_pullback(place, method):
    if sys.platform == "win32" and method != "spawn":
        pytest.skip("spawn only")
    place.write(
        "prog.py",
        f"""
        import multiprocessing, warnings
        import torch
        warnings.simplefilter("ignore")
        def f(x):
            return x, torch.__version__
        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(1) as pool:
                print(pool.map(f, [1, 2]))
        """,
    )
    done = place.run("prog.py")
    assert done.stdout == "[(1, '2.13.0+pullback'), (2, '2.13.0+pullback')]\n", done.stderr


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("prog.py", b'x = "\xe9"', "is not UTF-8 text"),
        ("prog.py", b"# coding: nonsense\n", "is not UTF-8 text"),
        ("prog.py", b"x = 1\0", "null bytes"),
        ("prog.txt", b"x = 1", "is neither a .py nor an .ipynb file"),
        ("folder.py/x", b"", "is a directory"),
        ("absent", None, "is neither"),
        ("absent.py", None, "no such file: absent.py"),
        ("absent.ipynb", None, "no such file: absent.ipynb"),
    ],
)
def test_bad_input_is_one_line_and_status_2(place, name, content, says):
    if content is not None:
        path = place.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    done = place.run(name.partition("/")[0])
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.startswith("pullback run: ")
    assert done.stderr.count("\n") == 1


def test_another_encoding_is_honoured(place):
    (place.folder / "prog.py").write_bytes(b'# coding: latin-1\nprint(ord("\xe9"))\n')
    assert place.run("prog.py").stdout == f"{0xE9}\n"


# ---- in process


def test_in_process_leaves_nothing_behind(place, capsys):
    place.write("helper_of_prog.py", "import torch\n")
    path = place.write(
        "prog.py",
        """
        import os, sys
        import helper_of_prog
        sys.path.append("more"); sys.argv.append("more"); os.chdir("/")
        print(__name__, sys.argv)
        """,
    )
    before = (
        *(dict(sys.modules), list(sys.meta_path), list(sys.path), list(sys.argv), sys.excepthook),
        sys.modules["__main__"],
    )
    with process_kept():
        run_program(str(path), ["a"])
        assert sys.modules["__main__"].__file__ == str(path)
    assert capsys.readouterr().out == f"__main__ {[str(path), 'a', 'more']}\n"
    assert dict(sys.modules) == before[0]
    after = sys.meta_path, sys.path, sys.argv, sys.excepthook, sys.modules["__main__"]
    assert after == before[1:]


def test_in_process_an_exception_is_printed_and_raised(place, capsys):
    path = place.write("prog.py", "raise LookupError('lost')\n")
    hook = sys.excepthook
    with pytest.raises(LookupError, match="lost"), process_kept():
        run_program(str(path), [])
    assert sys.excepthook is hook
    assert capsys.readouterr().err.count("LookupError: lost") == 1


def test_bad_input_raises(place):
    with pytest.raises(BadInput, match="no such file"):
        run_program("nowhere.py", [])
