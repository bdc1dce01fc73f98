"""Every broken rule, pattern, type, batch rule and local derivative is noticed by the facet checks."""

from __future__ import annotations

import pytest

from facets import judge
from mutants import rules
from pullback.families.op import TABLE

WITH_SAMPLES = [n for n in sorted(TABLE) if judge.cases(n)]
SOME = WITH_SAMPLES[::5]

# mutants that nothing notices, each for a reason
EXCUSED: dict[tuple[str, str], str] = {}


def unnoticed(name):
    return [str(m) for m in rules.mutants(name) if rules.survives(m) and not excused(m)]


def excused(m):
    return any(m.op == op and m.what.startswith(what) for op, what in EXCUSED)


@pytest.mark.parametrize("name", SOME)
def test_mutants_are_noticed(name):
    assert unnoticed(name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in WITH_SAMPLES if n not in SOME])
def test_all_mutants_are_noticed(name):
    assert unnoticed(name) == []


def test_there_are_many():
    """A generator that yields nothing would make the tests above pass."""
    made = list(rules.mutants("mul"))
    assert len({m.check for m in made}) >= 7
    assert len(made) >= 24


def test_excuses_name_ops_that_exist():
    assert {op for op, _ in EXCUSED} <= set(TABLE)
