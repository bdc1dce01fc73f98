"""Every backward pass of the example programs is explained, and no explanation says anything false.

Read `Explained`: it stands beside `Tensor.backward` while an example runs. What is checked of each leaf: the
gradient is the one that backward then adds; an entry has a cause exactly if it is zero; and each cause is a
dead link in truth, which the op's own vjp says (one cotangent of a single entry at a time), not the
rules that the explanation was made with.
"""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import pullback as pb
from explanations.asking import forgotten, index_of
from pullback.compat.rooms import torch_replaced
from pullback.graph.history import leaves_behind
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.transform.forward import reachable
from pullback.transform.pattern import output_shapes

FOLDER = Path(__file__).resolve().parents[2] / "examples"
OPTIONS = {"01_vjp_relu": ["--repeats", "200"], "07_sensitivity_sweep": ["--samples", "64"]}
NAMES = [*sorted(p.stem for p in FOLDER.glob("0[1-6]_*.py")), "09_why_is_it_zero"]
MOST = 40  # passes explained in one program


def local_derivative(node, arg, row, col, shape, dtype):
    """d output[row] / d argument[col] of one node, by its vjp of one unit cotangent."""
    unit = np.zeros(shape, dtype)
    unit.reshape(-1)[row] = 1
    found = node.op.pull(node, unit, False)[arg]
    found = found.value if isinstance(found, Tensor) else found
    return 0.0 if found is None else np.asarray(found).reshape(-1)[col]


class Explained:
    """Explains before each backward; afterwards compares. `entries` counts the zeros it checked."""

    def __init__(self, inner):
        self.inner = inner
        self.passes = self.entries = 0

    def __call__(self, out, gradient=None, *args, **options):
        if self.passes >= MOST or out.node is None or (gradient is None and out.numel() != 1):
            return self.inner(out, gradient, *args, **options)
        self.passes += 1
        leaves = leaves_behind(edge_of(out))
        told = pb.explain(out, leaves, upstream=gradient)
        nodes = {n.number: n for n in reachable([out])}
        for one in told:
            self.causes(one, nodes, output_shapes([out]))
        before = [np.array(t.grad.numpy()) if t.grad is not None else 0.0 for t in leaves]
        self.inner(out, gradient, *args, **options)
        for leaf, one, was in zip(leaves, told, before, strict=True):
            np.testing.assert_allclose(leaf.grad.numpy(), was + one.gradient, rtol=1e-6, atol=1e-6)
        return None

    def causes(self, told, nodes, shapes):
        zero = told.gradient == 0
        assert ((told.causes == "Flows") == ~zero).all(), told
        for flat in np.flatnonzero(zero)[:20].tolist():
            self.entries += 1
            why = told.why(index_of(flat, told.shape))
            for cause in why.causes:
                if cause.kind in ("Cancelled", "ZeroUpstream", "Underflow", "Stopped", "Discrete"):
                    continue
                node = nodes[cause.node]
                made = shapes[node]
                found = local_derivative(node, cause.arg, cause.output, cause.input, made.shape, made.dtype)
                assert found == 0, (str(told), cause)
                assert cause.line is not None
                assert Path(cause.line.file).parent == FOLDER


@pytest.mark.parametrize("name", NAMES)
def test_no_false_cause_in_an_example(name, monkeypatch):
    forgotten()
    beside = Explained(Tensor.backward)
    monkeypatch.setattr(Tensor, "backward", lambda t, *a, **k: beside(t, *a, **k))
    monkeypatch.setattr(sys, "argv", [name, *OPTIONS.get(name, [])])
    monkeypatch.syspath_prepend(str(FOLDER))
    with (
        torch_replaced(),
        pb.record_lines(),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert beside.passes
    if name in ("01_vjp_relu", "05_none_and_zero", "09_why_is_it_zero"):
        assert beside.entries


def test_a_false_cause_is_seen():
    x = pb.tensor([-1.0, 2.0], requires_grad=True)
    with pb.record_lines():
        y = pb.relu(x)
    dead, alive = (local_derivative(y.node, 0, k, k, (2,), np.float32) for k in (0, 1))
    assert (dead, alive) == (0.0, 1.0)
    told = pb.explain(y, x, upstream=wrap(np.ones(2, np.float32)))
    assert told.why(0).causes[0].output == 0
