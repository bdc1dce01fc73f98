"""type, depend and zero of every op against brute force."""

from __future__ import annotations

import pytest

from facets import checks, judge


@pytest.mark.parametrize("op", judge.ops_with("type"))
def test_type(op):
    checks.check_op("type", op)


@pytest.mark.parametrize("op", judge.ops_with("depend"))
def test_pattern_covers_every_derivative(op):
    checks.check_op("pattern", op)


@pytest.mark.parametrize("op", judge.ops_with("depend"))
def test_pattern_announces_nothing_else(op):
    checks.check_op("exact", op)


@pytest.mark.parametrize("op", judge.ops_with("zero"))
def test_local_derivative(op):
    checks.check_op("zero", op)
