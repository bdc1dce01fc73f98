"""vmap of every op, and of its gradient, against a loop over the lanes."""

from __future__ import annotations

import pytest

from facets import checks, judge


@pytest.mark.parametrize("op", judge.ops_with("batch"))
def test_vmap(op):
    checks.check_op("batch", op)


@pytest.mark.parametrize("op", judge.ops_with("batch"))
def test_vmap_of_the_gradient(op):
    checks.check_op("batch_gradient", op)
