"""`pullback explain`: the program runs as always, and the report behind it says why its gradients are so."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import pullback as torch
from pullback.cli import main
from pullback.compat.program import process_kept
from pullback.explanations.standing import judged

SRC = Path(__file__).resolve().parents[2] / "src"
ZEROS = """
import torch
x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
b = torch.zeros(3, requires_grad=True)
c = torch.ones(2, requires_grad=True)
y = torch.relu(x) + b
loss = y.sum() + c.detach().sum()
loss.backward()
print("loss", loss.item())
"""


LEAF = "import torch\nx = torch.ones(3, requires_grad=True)\n"
ASKED = "torch.autograd.grad((x * x).sum(), x)\n"


@pytest.fixture
def explain(tmp_path, monkeypatch, capsys):
    """Write a program, explain it in this process: (status or exception, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def go(source, *options, name="prog.py", args=()):
        if source is not None:
            Path(name).write_text(source, encoding="utf-8")
        with process_kept():
            try:
                status = main(["explain", *options, name, *args])
            except (SystemExit, Exception) as error:  # noqa: BLE001 - what the program raised
                status = error
        return status, *capsys.readouterr()

    return go


def outside(folder, *arguments):
    """Run the command in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(SRC), "MPLBACKEND": "Agg"}
    env.pop("PYTHONWARNINGS", None)
    return subprocess.run(
        [sys.executable, "-m", "pullback", *arguments],
        cwd=folder, env=env, capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip


# ---------------------------------------------------------------------- the report


def test_leaves_are_explained_in_the_program_s_order_and_healthy_ones_counted(explain):
    status, out, err = explain(ZEROS)
    assert (status, err) == (0, "")
    printed, _, rest = out.partition("\npullback explain: prog.py: ")
    assert printed == "loss 7.0\n"
    assert rest.startswith("3 leaves require grad, 2 with something to explain; 1 backward pass\n")
    x, c, healthy = rest.split("\n\n")[1:]
    assert x.startswith(
        "x [3]: 1 of 3 entries of its gradient is 0\n  GateClosed   [0]\n"
        "    relu at prog.py:6: y = torch.relu(x)"
    )
    assert "its input is -1" in x
    assert c.startswith("c [2]: .grad is None: ")
    assert "Stopped" in c
    assert "detach() gave a copy" in c
    assert "prog.py:7: loss =" in c
    assert healthy == "healthy: b (1, |g| from 1 to 1)\n"


def test_all_explains_healthy_leaves_too(explain):
    _, out, _ = explain(ZEROS, "--all")
    assert "b [3]: |g| from 1 to 1\n  Flows        all 3 entries 1\n" in out
    assert "healthy:" not in out


def test_what_training_overwrote_is_read_as_it_was(explain):
    source = """
import torch
w = torch.tensor([-0.5, 1.0], requires_grad=True)
optimizer = torch.optim.SGD([w], lr=10.0)
optimizer.zero_grad()
(torch.relu(w) * w).sum().backward()
optimizer.step()
with torch.no_grad():
    w[0] = 77.0
print(w.tolist())
"""
    _, out, _ = explain(source)
    assert out.startswith("[77.0, -19.0]\n")
    assert "its input is -0.5, 0.5 from the switch" in out


def test_a_gradient_that_was_reset_is_judged_by_the_last_pass(explain):
    reset = ZEROS + "x.grad = None\nb.grad.zero_()\n"
    _, out, _ = explain(reset)
    assert (
        "x [3]: 1 of 3 entries of its gradient is 0 (judged by the last backward pass; .grad was reset" in out
    )
    assert "healthy: b (1, |g| from 1 to 1)" in out


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("print(1)", "no tensor requires grad and no backward pass ran, so there is no gradient to explain"),
        ("import torch\nx = torch.ones(3)", "no tensor requires grad and no backward pass ran"),
        (LEAF, "not asked for: x (.grad is None: no backward pass ran)"),
        (f"{LEAF}u = x.detach().clone().requires_grad_()\n{ASKED}", "asked for: u (.grad is None"),
        (LEAF + ASKED, "healthy: x (1, |g| from 2 to 2)"),
        ("import torch\ntorch.func.grad(torch.square)(torch.ones(()))", "no gradient to explain"),
    ],
)  # fmt: skip
def test_programs_with_nothing_to_explain_say_so(explain, source, text):
    status, out, err = explain(source)
    assert (status, err) == (0, "")
    assert text in out


def test_names_are_the_program_s(explain):
    source = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.zeros(1))
    def forward(self, x):
        return self.first(x) * self.scale
class Box:
    pass
box = Box()
box.w = torch.zeros(1, requires_grad=True)
net = Net()
items = [torch.ones(1), torch.zeros(1, requires_grad=True)]
table = {"u": torch.zeros(1, requires_grad=True)}
_hidden = torch.zeros(1, requires_grad=True)
def inside():
    v = torch.zeros(1, requires_grad=True)
    (net(torch.ones(1, 2)).sum() * box.w * items[1] * table["u"] * v * _hidden).sum().backward()
inside()
"""
    _, out, _ = explain(source)
    named = [line.split(" [")[0] for line in out.splitlines() if "its gradient" in line]
    assert named[:6] == ["box.w", "net.scale", "net.first.weight", "net.first.bias", "items[1]", "table['u']"]
    assert named[6] == "v (in inside)"
    assert named[7].startswith("leaf of shape")
    assert len(named) == 8


def test_a_report_is_bounded(explain):
    source = """
import torch
ws = [torch.zeros(40, 40, requires_grad=True) for _ in range(30)]
x = torch.linspace(-1, 1, 40)
sum(torch.relu(torch.sigmoid(w @ x) - 0.5 + x).sum() for w in ws).backward()
"""
    _, out, _ = explain(source)
    assert "... and 10 further leaves like these" in out
    assert "ws[19] [40, 40]" in out
    assert "ws[20] [40, 40]" not in out
    parts = out.split("\n\n")
    assert max(part.count("\n") for part in parts) < 40


def test_a_report_is_the_same_each_time(explain):
    first, second = explain(ZEROS)[1], explain(None)[1]
    assert first == second


# ---------------------------------------------------------------------- standing


@pytest.mark.parametrize(
    ("gradient", "kind"),
    [
        (None, "None"), ([0.0, 0.0], "zero"), ([0.0, 1.0], "partly zero"), ([np.nan, 1.0], "non-finite"),
        ([np.inf, 0.0], "non-finite"), ([1e-13, 1e-14], "extreme"), ([1e9, 1.0], "extreme"),
        ([1e-3, 1.0], "healthy"),
    ],
)  # fmt: skip
def test_standing(gradient, kind):
    leaf = torch.ones(2, requires_grad=True)
    g = None if gradient is None else np.array(gradient)
    assert [s.kind for s in judged([("w", leaf, g, False)])] == [kind]


def test_faint_beside_the_rest_of_its_module():
    model = torch.nn.Linear(2, 2)
    g = np.full((2, 2), 1e-9)
    rows = [("model.weight", model.weight, g, False), ("model.bias", model.bias, np.ones(2), False)]
    assert [s.kind for s in judged(rows)] == ["extreme", "healthy"]
    assert [s.kind for s in judged([("w", model.weight, g, False), rows[1]])] == ["healthy", "healthy"]


# ---------------------------------------------------------------------- as `pullback run` does


def test_an_exception_is_printed_as_python_prints_it_and_the_report_follows(tmp_path):
    source = """
import torch
w = torch.zeros(2, requires_grad=True)
def train(x):
    scale = torch.tensor(3.0, requires_grad=True)
    y = torch.relu(x * w) * scale
    y.backward()
train(torch.ones(2))
"""
    (tmp_path / "prog.py").write_text(source, encoding="utf-8")
    ran, explained = outside(tmp_path, "run", "prog.py"), outside(tmp_path, "explain", "prog.py")
    assert explained.returncode == ran.returncode == 1
    frames = ran.stderr.partition("RuntimeError")[0]
    assert "in train" in frames
    assert explained.stderr.partition("RuntimeError")[0] == frames
    assert "grad can be implicitly created only for scalar outputs" in explained.stderr
    assert "; ended by RuntimeError" in explained.stdout
    assert "w [2]: .grad is None" in explained.stdout
    assert "as backward from y (in train).sum() would give it" in explained.stdout
    assert "GateClosed" in explained.stdout
    assert "prog.py:6: y = torch.relu(x * w) * scale" in explained.stdout
    assert "scale (in train) []" in explained.stdout


@pytest.mark.parametrize(
    ("end", "status"),
    [("sys.exit(3)", 3), ("sys.exit()", 0), ("sys.exit('no')", 1), ("raise KeyError(1)", 1)],
)
def test_the_status_is_the_program_s(tmp_path, end, status):
    (tmp_path / "prog.py").write_text(
        f"import sys\nimport torch\nprint(sys.argv[1:])\n{end}\n", encoding="utf-8"
    )
    done = outside(tmp_path, "explain", "prog.py", "a", "--all")
    assert done.returncode == status
    assert done.stdout.startswith("['a', '--all']\n\npullback explain: prog.py: no tensor requires grad")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere.py"], "no such file: nowhere.py"),
        (["notes.txt"], "neither a .py nor an .ipynb file"),
        (["--html", "no/where.html", "prog.py"], "there is no folder no"),
        (["--json", ".", "prog.py"], "it is a directory"),
    ],
)
def test_what_cannot_be_run_or_written_is_status_2(explain, arguments, text, capsys):
    Path("prog.py").write_text("print('ran')", encoding="utf-8")
    assert main(["explain", *arguments]) == 2
    out, err = capsys.readouterr()
    assert text in err
    assert err.startswith("pullback explain: ")
    assert "ran" not in out


def test_options_behind_the_file_belong_to_the_program(explain):
    _, out, err = explain("import sys; print(sys.argv[1:])", args=["--html", "x"])
    assert out.startswith("['--html', 'x']\n")
    assert "stand before FILE" in err


def test_notebooks_are_explained_too(explain):
    cells = [
        "import torch\nw = torch.tensor([-1.0, 1.0], requires_grad=True)",
        "y = torch.relu(w).sum()\ny.backward()\ny",
    ]
    book = {
        "nbformat": 4, "nbformat_minor": 5, "metadata": {},
        "cells": [{"cell_type": "code", "source": c, "metadata": {}, "outputs": []} for c in cells],
    }  # fmt: skip
    status, out, _ = explain(json.dumps(book), name="book.ipynb")
    assert status == 0
    assert out.startswith(
        "tensor(1., grad_fn=<SumBackward0>)\n\npullback explain: book.ipynb: 1 leaf requires grad, 1 with"
    )
    assert "relu at book.ipynb, cell 2:1: y = torch.relu(w).sum()" in out


def test_threads_are_recorded_too(explain):
    source = """
import threading
import torch
w = torch.tensor([-1.0, 1.0], requires_grad=True)
losses = []
worker = threading.Thread(target=lambda: losses.append(torch.relu(w).sum()))
worker.start()
worker.join()
losses[0].backward()
"""
    _, out, _ = explain(source)
    assert "relu at prog.py:6" in out


def test_lines_are_off_again_afterwards(explain):
    explain(ZEROS)
    x = torch.ones(1, requires_grad=True)
    assert (x * 2).node.line is None


# ---------------------------------------------------------------------- files


def test_the_report_can_go_to_a_file(explain):
    _, out, _ = explain(ZEROS, "--output", "report.txt")
    assert out == "loss 7.0\n"
    assert Path("report.txt").read_text(encoding="utf-8").startswith("pullback explain: prog.py: 3 leaves")


def test_json_holds_everything(explain):
    explain(
        ZEROS + "z = torch.zeros(1, requires_grad=True)\n(z.sqrt() * torch.ones(1)).sum().backward()\n",
        "--json",
        "report.json",
    )
    found = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert [leaf["name"] for leaf in found["leaves"]] == ["x", "c", "z"]
    assert found["leaves"][0]["explanation"]["rows"][0]["line"] == "prog.py:6"
    assert found["leaves"][2]["explanation"]["gradient"] == ["Infinity"]
    assert found["healthy"][0]["name"] == "b"
    assert found["passes"] == 2
    assert found["mistakes"] == []
    assert found["error"] is None


class _Page(HTMLParser):
    """What a page holds: opened and closed tags, addresses, text."""

    VOID = frozenset({"meta", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.words, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [
            v for k, v in attrs if k in ("src", "href", "action") and not (v or "").startswith("#")
        ]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def page_of(text):
    page = _Page()
    page.feed(text)
    assert page.open == []
    return page, " ".join("".join(page.words).split())


def test_the_page_needs_nothing_else_and_escapes_what_it_quotes(explain):
    source = ZEROS + 'print("<b>&amp;")\nfound = {"<i>": torch.tensor([-1.0], requires_grad=True)}\n'
    explain(source + 'torch.relu(found["<i>"]).sum().backward()  # <script>\n', "--html", "page.html")
    text = Path("page.html").read_text(encoding="utf-8")
    page, words = page_of(text)
    assert page.addresses == []
    assert "@import" not in text
    assert "url(" not in text
    assert "script" not in page.tags
    assert "svg" in page.tags
    assert "details" in page.tags
    assert "prefers-color-scheme" in text
    assert "width=device-width" in text
    for part in (
        "prog.py",
        "GateClosed",
        "Stopped",
        "found['<i>']",
        "y = torch.relu(x) + b",
        "entry [0] in full",
    ):
        assert part in words, part


def test_the_page_lists_mistakes_and_the_error(tmp_path):
    source = (
        ZEROS
        + "losses = []\nfor _ in range(4):\n    l = (x * x).sum()\n    l.backward()\n    losses.append(l)\n"
        "losses[0].backward()\n"
    )
    (tmp_path / "prog.py").write_text(source, encoding="utf-8")
    done = outside(tmp_path, "explain", "--html", "page.html", "prog.py")
    assert done.returncode == 1
    _, words = page_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "graph kept alive" in words
    assert "RuntimeError: Trying to backward through the graph a second time" in words
