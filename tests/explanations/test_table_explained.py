"""Every op of the table, explained at its samples, against its own evaluation.

The judge moves one entry at a time, a little and a lot: an entry that "no op carries to the output" must not
move it, and a slope that is "too small for the dtype" must belong to a function that does move, and that
moves next to nothing under a small step. Read `doubtful`.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import pullback as torch
from facets.judge import cases, evaluate, ops_with, refuses
from facets.run import call, floating, tensors
from pullback.families.op import TABLE

STEPS = (1e-4, 0.3, -0.3, 3.0, -3.0, 1e3, -1e3)
MOST = 6  # entries of a row that are moved


def recorded(case):
    """The outputs that autograd follows, their upstreams, and the leaves; None where there are none."""
    args = tensors(case)
    outs = [o for o in floating(call(case.op, args, case.params)) if o.node is not None]
    rng = np.random.default_rng(0)
    ups = [torch.tensor(rng.uniform(0.5, 1.5, o.value.shape).astype(o.value.dtype)) for o in outs]
    return outs, ups, [args[i] for i in case.places]


def moved(case, i, flat):
    """Do the outputs move with this entry: (under some step, by how much under the smallest)."""
    base = evaluate(case.op, case.sample.args, case.params)
    any_step, small = False, 0.0
    for step in STEPS:
        entry = np.array(case.sample.args[i])
        entry.reshape(-1)[flat] += step
        try:
            args = [entry if k == i else a for k, a in enumerate(case.sample.args)]
            found = evaluate(case.op, args, case.params)
        except (ArithmeticError, ValueError, np.linalg.LinAlgError):
            continue  # outside of where it is defined
        if found.shape != base.shape or not np.array_equal(found, base, equal_nan=True):
            any_step = True
            if step == STEPS[0] and found.shape == base.shape:
                small = float(np.nanmax(np.abs(found - base), initial=0.0))
    return any_step, small


def doubtful(case, told, i):
    """What the evaluation contradicts in an explanation of argument i."""
    for row in told.rows:
        for flat in row.entries[:MOST]:
            if row.kind == "NoPath" and moved(case, i, flat)[0]:
                yield f"{case.name}: entry {flat} of argument {i} does reach the output: {row.text}"
            if row.kind in ("Saturated", "Underflow"):
                somewhere, small = moved(case, i, flat)
                if not somewhere or small > 1e-9:
                    yield f"{case.name}: entry {flat} of argument {i} ({somewhere}, {small}): {row.text}"


@pytest.mark.parametrize(
    "name", [n for n in ops_with("vjp") if not refuses(n) and TABLE[n].family != "control"]
)
def test_explanations_of_an_op_are_true(name):
    for case in cases(name):
        if not case.has("vjp"):
            continue
        outs, ups, leaves = recorded(case)
        if not outs:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gradients = torch.autograd.grad(outs, leaves, ups, allow_unused=True, retain_graph=True)
        explained = torch.explain(outs, leaves, upstream=ups if len(ups) > 1 else ups[0])
        for told, g, i in zip(explained, gradients, case.places, strict=True):
            assert str(told)
            if g is not None:
                np.testing.assert_allclose(told.gradient, g.value, rtol=1e-4, atol=1e-6)
                zero = np.asarray(g.value) == 0
                assert (zero | (told.causes == "Flows") | (told.causes == "NonFinite")).all()
            assert list(doubtful(case, told, i)) == []
