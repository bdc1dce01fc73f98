"""torch.autograd.functional: values, nesting, strict mode and error texts against what PyTorch does."""

from __future__ import annotations

import pytest

import pullback
from semantics.golden import Case, cases, matches

CASES = [*cases("functional")]


def told(case: Case, found: list[str]) -> str:
    """What a failure shows."""
    return "\n".join(["", case.code, "expected:", *case.expected, "found:", *found])


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_outcome_is_pytorch_s(case: Case) -> None:
    """The same values, warnings and first sentences of errors."""
    found = case.outcome(pullback)
    assert matches(found, case.expected), told(case, found)


@pytest.mark.peers
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_texts_are_pytorch_s(case: Case) -> None:
    """The golden texts themselves, where PyTorch is installed."""
    torch = pytest.importorskip("torch")
    found = case.outcome(torch)
    assert matches(found, case.expected), told(case, found)
