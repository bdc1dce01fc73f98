"""Programs written for torch print the same text under pullback; PyTorch's text stands beside each program.

A program is added by writing `NN_name.py` here and running `python tests/programs/test_programs.py`
with PyTorch installed, which records what is missing. Read `printed` first.
"""

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
PROGRAMS = sorted(HERE.glob("[0-9]*.py"))
# A child runs programs one after the other and answers with what each printed: importing torch takes longest.
MARK = "\x1e"


def printed(path):
    """What a program prints; every program starts from PyTorch's defaults."""
    import torch

    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    torch.set_printoptions(profile="default")
    main = ModuleType("__main__")
    main.__file__ = str(path)
    before, sys.modules["__main__"] = sys.modules["__main__"], main
    out = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(main))
    finally:
        sys.modules["__main__"] = before
    return out.getvalue()


def child(mode):
    """Print what each program prints, in one process: `mode` says whose torch answers."""
    if mode == "pullback":
        from pullback.compat.program import arrive

        arrive()
    for path in PROGRAMS:
        try:
            text = printed(path)
        except Exception as error:  # noqa: BLE001 - the report of a failed program is its error
            text = f"{type(error).__name__}: {error}\n"
        sys.stdout.write(f"{path.stem}\n{text}{MARK}")


def outputs(mode):
    source = HERE.parents[1] / "src"
    paths = [str(source), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "Agg",
    }
    done = subprocess.run(
        [sys.executable, __file__, mode],
        env=env,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(part.split("\n", 1) for part in done.stdout.split(MARK) if part)


@pytest.fixture(scope="module")
def under_pullback():
    return outputs("pullback")


@pytest.fixture(scope="module")
def under_torch():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    return outputs("torch")


def recorded(path):
    return path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_prints_what_torch_prints(path, under_pullback):
    assert under_pullback[path.stem] == recorded(path)


@pytest.mark.peers
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_the_recorded_text_is_torchs(path, under_torch):
    assert under_torch[path.stem] == recorded(path)


def test_every_recorded_text_has_a_program_that_talks():
    assert sorted(p.stem for p in HERE.glob("*.txt")) == [p.stem for p in PROGRAMS]
    assert all(recorded(p).count("\n") > 3 for p in PROGRAMS)


if __name__ == "__main__":
    if sys.argv[1:]:
        child(sys.argv[1])
    else:
        for name, text in outputs("torch").items():
            file = HERE / f"{name}.txt"
            if not file.exists():
                file.write_text(text, encoding="utf-8")
