"""Hand-made gradients, wrong as people get them wrong: the slip is named, and right ones are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from explanations.mutants import PROGRAMS
from explanations.mutants_table import RIGHT, WRONG
from pullback.explanations.diagnosis import diagnose


def formula(source, names):
    return np.asarray(eval(source, {"np": np, **names}))


def test_the_table_is_large_and_says_each_thing_once():
    assert len(WRONG) >= 100
    assert len({row[:3] for row in WRONG}) == len(WRONG)
    assert {(p, leaf) for p, leaf, *_ in WRONG} <= {(p, leaf) for p, leaf, _ in RIGHT}


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize(("program", "leaf", "right"), RIGHT, ids=[f"{p}-{x}" for p, x, _ in RIGHT])
def test_a_right_gradient_agrees(program, leaf, right, dtype):
    loss, tensors, names = PROGRAMS[program](dtype)
    found = diagnose(formula(right, names), loss, tensors[leaf])
    assert found, str(found)
    assert found.verdict.kind in ("agrees", "float noise")
    assert not found.mutations


@pytest.mark.parametrize(
    ("program", "leaf", "wrong", "op", "name"), WRONG, ids=[f"{r[0]}-{r[1]}-{k}" for k, r in enumerate(WRONG)]
)
def test_a_wrong_gradient_is_traced_to_its_rule(program, leaf, wrong, op, name):
    loss, tensors, names = PROGRAMS[program](np.float64)
    found = diagnose(formula(wrong, names), loss, tensors[leaf])
    assert not found
    first_two = [(m.op, m.name) for m in found.mutations[:2]]
    assert any(o == op and name in n for o, n in first_two), f"{first_two}\n{found}"


@pytest.mark.parametrize("row", range(0, len(WRONG), 3))
def test_wrong_gradients_in_single_precision(row):
    program, leaf, wrong, op, name = WRONG[row]
    loss, tensors, names = PROGRAMS[program](np.float32)
    found = diagnose(formula(wrong, names).astype(np.float32), loss, tensors[leaf])
    assert any(m.op == op and name in m.name for m in found.mutations[:2]), str(found)


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_arbitrary_array_is_not_explained(program):
    loss, tensors, _ = PROGRAMS[program](np.float64)
    for k, (leaf, x) in enumerate(tensors.items()):
        c = np.random.default_rng(100 + k).normal(size=tuple(x.shape))
        found = diagnose(c, loss, x)
        assert found.verdict.kind == "not determined", f"{leaf}: {found}"
        assert not found.mutations


@pytest.mark.parametrize("program", PROGRAMS)
def test_one_wrong_entry_is_not_explained_by_a_rule_that_changes_others(program):
    """Whatever is claimed must reproduce every entry: a single entry that is off fits no rule."""
    loss, tensors, _ = PROGRAMS[program](np.float64)
    for x in tensors.values():
        g = np.array(diagnose(np.zeros(tuple(x.shape)), loss, x).gradient)
        if g.size < 3:
            continue
        g.flat[0] += 0.12345
        assert diagnose(g, loss, x).verdict.kind == "not determined"
