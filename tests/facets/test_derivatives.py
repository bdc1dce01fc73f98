"""vjp and jvp of every op against judges that share no rule with them, and against each other (the adjoint identity)."""

from __future__ import annotations

import numpy as np
import pytest

from facets import judge, run




def tolerance(sample, judged):
    return max(sample.rtol, judged)


@pytest.mark.parametrize(("op", "sample"), [c[:2] for c in judge.cases("vjp", smooth=True)], ids=[c[2] for c in judge.cases("vjp", smooth=True)])
def test_vjp(op, sample):
    if not op.differentiable:
        pytest.skip("not differentiable")
    for i, found in run.vjp_rows(op, sample).items():
        expected, judged = judge.jacobian(op, sample, i)
        assert judge.close(found, expected, tolerance(sample, judged)), (
            f"{op.name}, argument {i}: largest difference {np.max(np.abs(found - expected), initial=0):.3g}\n{found}\n{expected}"
        )


@pytest.mark.parametrize(("op", "sample"), [c[:2] for c in judge.cases("jvp", smooth=True)], ids=[c[2] for c in judge.cases("jvp", smooth=True)])
def test_jvp(op, sample):
    if not op.differentiable:
        pytest.skip("not differentiable")
    for i, found in run.jvp_columns(op, sample).items():
        expected, judged = judge.jacobian(op, sample, i)
        assert judge.close(found, expected, tolerance(sample, judged)), (
            f"{op.name}, argument {i}: largest difference {np.max(np.abs(found - expected), initial=0):.3g}"
        )


@pytest.mark.parametrize(("op", "sample"), [c[:2] for c in judge.cases("jvp")], ids=[c[2] for c in judge.cases("jvp")])
def test_adjoint_identity(op, sample):
    """<v, J t> = <J^T v, t>, also at kinks and ties: both modes take the same branch."""
    if not op.differentiable:
        pytest.skip("not differentiable")
    rows, columns = run.vjp_rows(op, sample), run.jvp_columns(op, sample)
    for i in rows:
        assert judge.close(columns[i], rows[i], 1e-12), f"{op.name}, argument {i}"
