"""Records whose paths are too many to list: what the sweeps prove alone, held against the judge, and the
explainer's own mutants.

With the limits set to nothing every program takes the way of a large record, so the judge can see it. A
mutant is one wrong line of the explainer; the judge has to find it.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

import pullback as torch
from explanations.judge import Discard, Judge
from explanations.programs import programs
from explanations.running import gradients, load
from explanations.test_random_causes import CASES, explained
from pullback.explanations import classes, entry, kinds, report, why
from pullback.explanations.api import explain

QUIET = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}


def check_classes(program):
    """Each row's kind is that of a true cause, at its op; each kind without causes is the judge's."""
    try:
        judge = Judge(program)
        run = load(program, lines=True)
        truth = gradients(run)
        several = len(run.outputs) > 1
        outs = list(run.outputs) if several else run.outputs[0]
        upstream = run.upstream if several else run.upstream[0]
        for name, x in run.leaves.items():
            told = explain(outs, x, upstream=upstream)
            for row in told.rows:
                for k in row.entries:
                    verdict = judge.verdict(name, int(k), float(truth[name].reshape(-1)[k]))
                    if verdict.kind == "Dead":
                        numbers = program.line_numbers()
                        places = {
                            None if c.step is None else numbers[c.step]
                            for c in verdict.causes
                            if row.kind in c.kinds
                        }
                        at = None if row.line is None else row.line.number
                        assert at in places, f"{row.kind} at {at}, not one of {places}\n{program}"
                    else:
                        assert row.kind == verdict.kind, f"{row.kind}, not {verdict.kind}\n{program}"
    except Discard:
        assume(False)


@pytest.mark.parametrize("options", [{}, {"extreme": True}, {"outputs": 2, "steps": 8}], ids=str)
def test_classes_alone_name_true_causes(options, monkeypatch):
    monkeypatch.setattr(report, "SINGLY", 0)

    @settings(max_examples=60, **QUIET)
    @given(programs(**options))
    def each(program):
        check_classes(program)

    each()


def test_products_with_very_many_classes_take_one_run_each(monkeypatch):
    rng = np.random.default_rng(0)
    w = torch.tensor(rng.integers(-1, 2, (4, 5)).astype(float), requires_grad=True)
    v = torch.tensor(rng.integers(-1, 2, (3, 4)).astype(float), requires_grad=True)
    x = torch.tensor(rng.integers(-1, 2, (6, 5)).astype(float))
    out = torch.relu(torch.nn.functional.linear(torch.relu(x @ w.T), v))
    up = torch.tensor(rng.integers(0, 2, (6, 3)).astype(float))

    def chains():
        told = explain(out, [w, v], upstream=up)
        known = told[0].work.classify()
        return [
            [(kind, getattr(n, "number", n), i) for kind, n, i in known.chain(int(c))]
            for e in told
            for c in np.broadcast_to(e.found.classes, e.shape).reshape(-1)
        ]

    fast = chains()
    monkeypatch.setattr(classes, "MOST_BITS", 0)
    assert chains() == fast
    assert len({len(c) for c in fast}) > 1


# ---------------------------------------------------------------------- mutants


MUTANTS = {
    "every dead link is a cause": (
        entry, "_search", lambda _f, _a, _s, proven, c: bool(proven.update(c)) or True
    ),
    "gates are selections": (kinds, "_selection", lambda _op, _i: "Unselected"),
    "nothing is stationary": (kinds, "_nudged", lambda v, _sign: v),
    "conditions carry": (entry, "carries", lambda _node, _i: True),
    "cuts are recorded": (entry, "edges_of", lambda node: list(node.edges)),
    "only the first cause is told": (
        why, "true_causes", lambda paths: (entry.true_causes(paths)[0][:1], True)
    ),
    "the upstream is never zero": (
        why, "true_causes",
        lambda paths: ([d for d in entry.true_causes(paths)[0] if d.node is not None], True),
    ),
    "furthest first": (
        why, "true_causes", lambda paths: (entry.true_causes(paths)[0][::-1], True)
    ),
    "cancelled is underflow": (why, "_alive_zero", lambda p, i, g, m: why.Why(i, "Underflow", g, m)),
    "no path is a doubt": (report, "why", lambda *a: why.why(*a[:-1], lambda: "who knows")),
}  # fmt: skip
SEEN_BY = {"the upstream is never zero": "several", "cancelled is underflow": "several"}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_judge_finds_the_mutant(name, monkeypatch):
    where, what, wrong = MUTANTS[name]
    monkeypatch.setattr(where, what, wrong)
    options, how = CASES[SEEN_BY.get(name, "before")]

    @settings(max_examples=400, phases=[Phase.generate], **QUIET)
    @given(programs(**{"steps": 7, **options}))
    def each(program):
        explained(program, **how)

    with pytest.raises(BaseException):  # noqa: B017 - an assertion, alone or in hypothesis' group
        each()
