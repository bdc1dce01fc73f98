"""depend, zero and type of every op against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from facets import judge, run


def both(facet):
    found = judge.cases(facet)
    return {"argvalues": [c[:2] for c in found], "ids": [c[2] for c in found]}


@pytest.mark.parametrize(("op", "sample"), **both("type"))
def test_type(op, sample):
    with np.errstate(all="ignore"):
        out = op.eval(*sample.args, **sample.params)
    said = op.type(*run.avals(sample.args), **sample.params)
    outs = out if isinstance(out, tuple) else (out,)
    saids = said if isinstance(said, tuple) else (said,)
    assert [(tuple(s.shape), np.dtype(s.dtype)) for s in saids] == [(np.shape(o), np.asarray(o).dtype) for o in outs]


@pytest.mark.parametrize(("op", "sample"), **both("depend"))
def test_pattern_covers_every_derivative(op, sample):
    if not op.differentiable:
        pytest.skip("not differentiable")
    said = op.depend(run.avals(sample.args), sample.params, sample.args)
    for i, rows in run.vjp_rows(op, sample).items():
        pairs = said.first[i]
        pattern = np.zeros(rows.shape, bool)
        if pairs is not None and rows.size:
            pattern[pairs[0], pairs[1]] = True
        assert not np.any((rows != 0) & ~pattern), f"{op.name}, argument {i}: a non-zero derivative outside the pattern"


@pytest.mark.parametrize(("op", "sample"), **both("zero"))
def test_local_derivative_is_exact(op, sample):
    if not op.differentiable:
        pytest.skip("not differentiable")
    args = run.tensors(op, sample)
    values = [a.value if hasattr(a, "value") else a for a in args]
    with np.errstate(all="ignore"):
        out = op.eval(*values, **sample.params)
    for i, rows in run.vjp_rows(op, sample).items():
        local = op.zero(i, out, values, dict(sample.params))
        dense = np.zeros(rows.shape)
        np.add.at(dense, (np.asarray(local.rows, int), np.asarray(local.cols, int)), np.asarray(local.values, float))
        finite = np.isfinite(dense)
        assert judge.close(np.where(finite, dense, 0), np.where(finite, rows, 0), 1e-12), f"{op.name}, argument {i}"
        if np.any(dense == 0) and len(local.values) and np.any(np.asarray(local.values) == 0):
            assert local.why_zero, f"{op.name}, argument {i}: a zero derivative without a reason"
