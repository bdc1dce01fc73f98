"""`pullback sensitivity`: numbers in files, figures, and one line for every wrong word."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pullback
from pullback.cli import main
from pullback.sampling.result import Sensitivity

MODEL = """
import torch

W = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])

def features(x):
    return torch.relu(W @ x)

def price(z, spot, rate=0.0):
    return spot * torch.exp(0.2 * z + rate)

def smooth(x):
    return torch.sin(x[0]) + x[1] ** 2

def broken(x):
    raise KeyError("inside the model")

def several(*x):
    return x[0]

constant = 3.0
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    return tmp_path


def rows(path):
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def run(line):
    return main(["sensitivity", *line.split()])


def test_a_sweep_is_written_as_numbers_and_figures(model, capsys):
    pytest.importorskip("matplotlib")
    np.save("v.npy", np.array([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]]))
    line = "model.py:features --normal x=3 --upstream v.npy --samples 20000 --seed 3 --fresh-draws --out res"
    assert run(line) == 0
    assert sorted(path.name for path in Path("res").iterdir()) == [
        "gradients.csv",
        "ratio.png",
        "result.json",
        "sweep.png",
        "values.csv",
    ]
    table = rows("res/gradients.csv")
    assert [row["entry"] for row in table[:3]] == ["x[0]", "x[1]", "x[2]"]
    result = Sensitivity.load("res/result.json")
    assert [float(row["mean"]) for row in table] == result.mean.ravel().tolist(), "all digits are written"
    for row in table:
        mean, stderr = float(row["mean"]), float(row["stderr"])
        expected = {"x[0]": 0.5 * float(row["v[0]"]), "x[1]": float(row["v[1]"]), "x[2]": 0.0}[row["entry"]]
        # 6 means with errors: P(any beyond 5 standard errors) is below 4e-6
        assert abs(mean - expected) <= 5 * stderr
        assert float(row["low"]) <= mean <= float(row["high"])
    assert len(rows("res/values.csv")) == 3
    said = capsys.readouterr()
    assert "exactly zero throughout: x[2]" in said.out
    assert said.err == ""


def test_the_numbers_are_those_of_the_function_in_python(model):
    line = "model.py:smooth --uniform x=2,-1,3 --samples 9000 --seed 7 --dtype float64 --quiet --out r"
    assert run(line) == 0
    direct = pullback.sensitivity(
        lambda x: pullback.sin(x[0]) + x[1] ** 2,
        pullback.distributions.Uniform(-1.0, 3.0).expand(2),
        samples=9000,
        seed=7,
        dtype=pullback.float64,
    )
    written = Sensitivity.load("r/result.json")
    assert written.mean.tolist() == direct.mean.tolist()
    assert written.stderr.tolist() == direct.stderr.tolist()


def test_one_cell_gives_bars_and_convergence_and_extras_what_they_say(model, capsys):
    pytest.importorskip("matplotlib")
    line = "model.py:smooth --uniform x=2 --samples 4000 --dgsm --active-subspace --out r"
    assert run(line) == 0
    figures = {path.stem for path in Path("r").glob("*.png")}
    assert figures == {"bars", "convergence", "dgsm", "active_subspace"}


def test_each_value_of_a_parameter_gets_its_rows(model):
    line = "model.py:price --normal z= --each spot=90,100,110 --wrt spot --samples 5000 --quiet --out r"
    assert run(line) == 0
    table = rows("r/gradients.csv")
    assert [float(row["spot"]) for row in table] == [90.0, 100.0, 110.0]
    # d price / d spot = exp(0.2 z) for every spot, with the same draws
    assert len({row["mean"] for row in table}) == 1
    assert abs(float(table[0]["mean"]) - np.exp(0.02)) < 5 * float(table[0]["stderr"])


def test_fixed_arguments_come_from_numbers_and_files(model):
    np.save("rate.npy", np.array(0.05))
    assert run("model.py:price --normal z= --fixed spot=100 --fixed rate=rate.npy --samples 100 --quiet") == 0


def test_given_samples_are_averaged(model):
    x = np.random.default_rng(0).standard_normal((500, 2))
    np.save("x.npy", x)
    assert run("model.py:smooth --given x=x.npy --samples 500 --dtype float64 --quiet --out r") == 0
    means = [float(row["mean"]) for row in rows("r/gradients.csv")]
    np.testing.assert_allclose(means, [np.cos(x[:, 0]).mean(), 2 * x[:, 1].mean()], rtol=1e-12)


def test_a_checkpoint_changes_no_bit(model):
    line = "model.py:smooth --normal x=2 --samples 40000 --quiet --out"
    assert run(f"{line} a") == 0
    assert run(f"{line} b --checkpoint c.bin --workers 1") == 0
    assert run(f"{line} c --checkpoint c.bin") == 0
    tables = [Path(name, "gradients.csv").read_bytes() for name in "abc"]
    assert tables[0] == tables[1] == tables[2]


WRONG = {
    "no-such.py:f --normal x=3": "no such file: no-such.py",
    "model.py --normal x=3": "write FILE:FUNCTION",
    "model.py:nothing --normal x=3": "nothing is not there in model.py; it has features, price, smooth",
    "model.py:constant --normal x=3": "constant is not a function in model.py",
    "model.py:features": "nothing says what the argument 'x' of features() is",
    "model.py:features --normal y=3": "features() has no argument 'y'; it has x",
    "model.py:features --normal x=3 --uniform x=3": "named twice",
    "model.py:features --normal =3": "write NAME=",
    "model.py:features --normal x=3,a": "SHAPE like 6 or 2x3",
    "model.py:features --normal x=0": "sizes of 1 and more",
    "model.py:features --normal x=3,0,-1": "constraint",
    "model.py:features --normal x=3,0,1,2": "Normal takes loc, scale; 3 numbers are given",
    "model.py:several --normal x=3": "takes *x",
    "model.py:features --given x=none.npy": "no such file: none.npy",
    "model.py:features --fixed x=model.npy": "is not a .npy file of numbers",
    "model.py:features --fixed x=a,b": "neither a .npy file nor numbers",
    "model.py:features --normal x=3 --wrt q": "there is no argument 'q'; there are x",
    "model.py:features --normal x=3 --upstream 1,2,3": "shape",
    "model.py:features --normal x=3 --out model.py": "--out model.py",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_word_is_status_2_and_says_what(line, model, capsys):
    Path("model.npy").write_text("not numbers")
    assert run(line) == 2
    said = capsys.readouterr()
    assert said.err.startswith("pullback sensitivity: ")
    assert WRONG[line] in said.err
    assert said.out == ""
    assert "Traceback" not in said.err


@pytest.mark.parametrize("number", ["0", "-5", "1.5", "many"])
def test_samples_are_a_positive_whole_number(number, model, capsys):
    with pytest.raises(SystemExit) as ended:
        run(f"model.py:smooth --normal x=2 --samples={number}")
    assert ended.value.code == 2
    assert "not a positive whole number" in capsys.readouterr().err


def test_the_functions_own_error_is_a_traceback_that_starts_in_its_file(model, capsys):
    assert run("model.py:broken --normal x=3") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "model.py" in lines[1]
    assert "inside the model" in lines[-1]


def test_a_file_that_python_cannot_read_is_status_1(model, capsys):
    Path("bad.py").write_text("def f(x:\n")
    assert run("bad.py:f --normal x=3") == 1
    assert "SyntaxError" in capsys.readouterr().err


def test_the_process_is_left_as_it_was(model):
    before = (list(sys.path), sys.modules.get("torch"), set(sys.meta_path))
    assert run("model.py:smooth --normal x=2 --samples 100 --quiet") == 0
    assert (list(sys.path), sys.modules.get("torch"), set(sys.meta_path)) == before
    assert "model" not in sys.modules


def test_as_a_command(model):
    source = str(Path(pullback.__file__).resolve().parents[1])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pullback",
            "sensitivity",
            "model.py:smooth",
            "--normal",
            "x=2",
            "--samples",
            "1e3",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert done.returncode == 0, done.stderr
    assert "samples=1,000" in done.stdout
    assert done.stderr == "", "no progress where nobody looks"


def test_a_jump_is_said_and_the_two_ways_around_it_work(model, capsys):
    Path("digital.py").write_text("import torch\ndef f(z):\n    return torch.where(z > 0.5, 1.0, 0.0)\n")
    line = "digital.py:f --normal z= --samples 20000 --dtype float64"
    assert run(f"{line} --out r") == 0
    said = capsys.readouterr()
    assert "f jumps" in said.err
    assert "digital.py:3" in said.err
    assert rows("r/gradients.csv")[0]["stderr"] == "inf"
    truth = np.exp(-0.125) / np.sqrt(2 * np.pi)
    for way, bias in (("--method likelihood-ratio", 0.0), ("--smooth 0.05", 0.002)):
        assert run(f"{line} {way} --quiet --out s") == 0
        (row,) = rows("s/gradients.csv")
        assert abs(float(row["mean"]) - truth) < 5 * float(row["stderr"]) + bias
