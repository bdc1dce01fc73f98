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


@pytest.mark.parametrize(
    ("op", "name"), [(op, name) for op, names in checks.DYNAMIC.items() for name in names]
)
def test_dynamic_shapes_are_refused(op, name):
    with pytest.raises(RuntimeError, match="dynamic shape"):
        checks.CHECKS[name][0](judge.cases(op)[0])
