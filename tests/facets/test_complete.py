"""No op lacks a facet without saying why."""

from __future__ import annotations

import pytest

import pullback as torch  # noqa: F401 - fills the table
from pullback.families.op import FACETS, TABLE, Absent

ENGINE = "the family has not derived it"


@pytest.mark.parametrize("facet", FACETS)
@pytest.mark.parametrize("name", sorted(TABLE))
def test_present_or_refused_for_a_reason(name, facet):
    value = getattr(TABLE[name], facet)
    if isinstance(value, Absent):
        assert value.reason
        assert value.reason != ENGINE, f"{name} lacks {facet} and nobody said why"
        assert len(value.reason.split()) > 2, f"{name}.{facet}: '{value.reason}' is no reason"
        return
    assert callable(value) or isinstance(value, list | tuple), f"{name}.{facet} is {value!r}"


def test_the_table_is_large():
    assert len(TABLE) > 170


@pytest.mark.parametrize("name", sorted(TABLE))
def test_differentiable_ops_have_samples(name):
    op = TABLE[name]
    if op.differentiable and isinstance(op.samples, Absent):
        assert len(op.samples.reason.split()) > 4, f"{name} has derivatives that no sample exercises"
