"""The same derivatives whatever the form of the values: NumPy scalars, column order, expanded upstreams,
single precision."""

from __future__ import annotations

import pytest

from facets import checks, judge

OPS = judge.ops_with("vjp")


@pytest.mark.parametrize("op", OPS)
def test_numpy_scalars(op):
    checks.check_op("scalars", op)


@pytest.mark.parametrize("op", OPS)
def test_plain_numbers(op):
    checks.check_op("numbers", op)


@pytest.mark.parametrize("op", OPS)
def test_layout(op):
    checks.check_op("layout", op)


@pytest.mark.parametrize("op", OPS)
def test_single_precision(op):
    checks.check_op("single", op)
