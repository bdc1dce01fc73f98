"""`pb.explain` on programs nobody prepared, held against the judge: true causes only, lines and entries
included.

Read `judge` for the definition and `claims` for what is checked. A failure prints the program, the truth
and the claim. The long run is marked slow.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

import pullback as pb
from explanations.claims import check
from explanations.judge import Discard, Judge
from explanations.programs import programs
from explanations.running import gradients, load

SHORT, LONG = 40, 1000
QUIET = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}


def before(run):
    """From the recorded outputs, without a backward pass."""
    several = len(run.outputs) > 1
    outs = list(run.outputs) if several else run.outputs[0]
    upstream = run.upstream if several else run.upstream[0]
    return {k: pb.explain(outs, x, upstream=upstream) for k, x in run.leaves.items()}


def after(run):
    """After a backward pass has filled `.grad`."""
    live = [(o, v) for o, v in zip(run.outputs, run.upstream, strict=True) if o.requires_grad]
    assume(len(live) == len(run.outputs))
    pb.autograd.backward([o for o, _ in live], [v for _, v in live])
    return {k: pb.explain(x) for k, x in run.leaves.items()}


def called(run):
    """From the function, which `pb.explain` runs itself."""
    several = len(run.outputs) > 1
    upstream = run.upstream if several else run.upstream[0]
    leaves = tuple(run.leaves.values())
    found = pb.explain(lambda *xs: run.function(*xs, *run.constants), leaves, upstream=upstream)
    return dict(zip(run.leaves, found, strict=True))


FORMS = {"before": before, "after": after, "function": called}


def explained(program, form, *, lines=True, finite=True):
    """(complete, zero entries) of a program whose every entry was explained rightly."""
    try:
        judge = Judge(program, finite=finite)
        run = load(program, lines=lines)
        truth = gradients(run)
        explanations = FORMS[form](run)
        found = [check(explanations[k], k, run, judge, truth[k], lines=lines) for k in program.leaves]
    except Discard:
        assume(False)
        raise
    return np.sum(found, axis=0)


def runs(count, strategy, **how):
    """Explain `count` programs; in at least 95 of 100 zero entries all the causes are listed."""
    tally = np.zeros(2, int)

    @settings(max_examples=count, **QUIET)
    @given(strategy)
    def each(program):
        tally[:] += explained(program, **how)

    each()
    assert tally[1] > count / 4, "hardly a zero was explained"
    if how.get("lines", True):
        assert tally[0] >= 0.95 * tally[1], f"{tally[0]} of {tally[1]} lists of causes are complete"


CASES = {
    "before": ({}, {"form": "before"}),
    "after": ({}, {"form": "after"}),
    "function": ({}, {"form": "function"}),
    "extreme": ({"extreme": True}, {"form": "before"}),
    "single": ({"extreme": True, "dtype": np.float32}, {"form": "before"}),
    "several": ({"outputs": 2, "steps": 8}, {"form": "before"}),
    "long": ({"steps": 10}, {"form": "before"}),
    "no_lines": ({}, {"form": "before", "lines": False}),
    "no_lines_after": ({}, {"form": "after", "lines": False}),
    "singular": ({"singular": True}, {"form": "before", "finite": False}),
}


@pytest.mark.parametrize("name", CASES)
def test_random_programs(name):
    options, how = CASES[name]
    runs(SHORT, programs(**options), **how)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_random_programs(name):
    options, how = CASES[name]
    runs(LONG, programs(**{"steps": 7, **options}), **how)
