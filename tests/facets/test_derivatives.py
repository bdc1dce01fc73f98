"""vjp, jvp and second derivatives of every op against judges that share no rule with them, and against each
other."""

from __future__ import annotations

import pytest

from facets import checks, judge


@pytest.mark.parametrize("op", judge.ops_with("vjp"))
def test_reverse_mode(op):
    checks.check_op("vjp", op)


@pytest.mark.parametrize("op", judge.ops_with("jvp"))
def test_forward_mode(op):
    checks.check_op("jvp", op)


@pytest.mark.parametrize("op", judge.ops_with("jvp"))
def test_adjoint_identity(op):
    checks.check_op("adjoint", op)


@pytest.mark.parametrize("op", judge.ops_with("vjp"))
def test_second_derivatives(op):
    checks.check_op("second", op)
