"""The judge judged: its definition by brute force over subsets, its derivatives against the engine, hand-
made cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from explanations.judge import Discard, Judge, Program, Step, definition, revivers
from explanations.programs import programs
from explanations.running import gradients, load

QUIET = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}
A = np.array


def one_step(x, *steps, upstream=None):
    """The verdicts on the entries of x after a chain of unary steps (rule, params)."""
    names = ["x0", *(f"t{i}" for i in range(len(steps)))]
    chain = [Step(f"t{i}", rule, (names[i],), params) for i, (rule, params) in enumerate(steps)]
    x = A(x)
    program = Program({"x0": x}, {}, chain, [names[-1]], [np.ones(1)])
    judge = Judge(program)
    v = np.ones_like(judge.values[names[-1]]) if upstream is None else A(upstream)
    judge = Judge(program._replace(upstream=[v]))
    return [judge.verdict("x0", k, 0.0) for k in range(x.size)]


def found(verdict):
    """Verdict in short: the kind, and of each cause the step and its names."""
    return verdict.kind, sorted((c.step, "|".join(sorted(c.kinds))) for c in verdict.causes)


@pytest.mark.parametrize(
    ("x", "steps", "upstream", "expected"),
    [
        ([-1.0], [("relu", {})], [1.0], ("Dead", [(0, "GateClosed")])),
        ([-1.0], [("neg", {})], [0.0], ("Dead", [(None, "ZeroUpstream")])),
        ([0.0], [("square", {})], [1.0], ("Dead", [(0, "Stationary")])),
        (
            [0.0],
            [("cos", {}), ("scale", {"c": 0.0})],
            [1.0],
            ("Dead", [(0, "Stationary"), (1, "Annihilated")]),
        ),
        ([1e-200], [("pow", {"c": 3})], [1.0], ("Dead", [(0, "Underflow")])),
        ([-800.0], [("exp", {})], [1.0], ("Dead", [(0, "Underflow")])),
        ([800.0], [("sigmoid", {})], [1.0], ("Dead", [(0, "Saturated")])),
        ([1.5], [("detach", {}), ("square", {})], [1.0], ("Dead", [(0, "Stopped")])),
        ([1.5], [("scale", {"c": 1e-200}), ("scale", {"c": 1e-200})], [1.0], ("Underflow", [])),
    ],
)
def test_one_entry(x, steps, upstream, expected):
    (verdict,) = one_step(x, *steps, upstream=upstream)
    assert found(verdict) == expected


def test_two_ways_round_are_both_causes_and_longer_ones_are_not():
    # relu(x) + 0 * x: either link would do; x detached *and* multiplied by zero contains neither
    steps = [
        Step("t0", "relu", ("x0",), {}),
        Step("t1", "scale", ("x0",), {"c": 0.0}),
        Step("t2", "add", ("t0", "t1"), {}),
        Step("t3", "scale", ("t0",), {"c": 0.0}),
        Step("t4", "add", ("t2", "t3"), {}),
    ]
    judge = Judge(Program({"x0": A([-1.0])}, {}, steps, ["t4"], [A([1.0])]))
    verdict = judge.verdict("x0", 0, 0.0)
    assert found(verdict) == ("Dead", [(0, "GateClosed"), (1, "Annihilated")])
    assert len(verdict.paths) == 3
    assert definition(judge, "x0", 0) == verdict.causes


def test_cancellation_is_no_dead_link():
    judge = Judge(Program({"x0": A([3.0])}, {}, [Step("t0", "sub", ("x0", "x0"), {})], ["t0"], [A([1.0])]))
    verdict = judge.verdict("x0", 0, 0.0)
    assert verdict.kind == "Cancelled"
    assert verdict.magnitude == 2.0
    assert sum(p.exact for p in verdict.paths) == 0


def test_only_what_would_flow_brings_a_cancelled_gradient_back():
    # relu(x) + x - x: opening the gate helps; (relu(x) + x) - (relu(x) + x): its two paths cancel again
    once = [
        Step("t0", "relu", ("x0",), {}),
        Step("t1", "add", ("t0", "x0"), {}),
        Step("t2", "sub", ("t1", "x0"), {}),
        Step("t3", "sub", ("t1", "t1"), {}),
    ]
    helps, does_not = (Judge(Program({"x0": A([-1.0])}, {}, once, [out], [A([1.0])])) for out in ("t2", "t3"))
    assert helps.verdict("x0", 0, 0.0).kind == does_not.verdict("x0", 0, 0.0).kind == "Cancelled"
    assert [c.step for c in revivers(helps, "x0", 0)] == [0]
    assert revivers(does_not, "x0", 0) == set()


def test_unused_entry_has_no_path():
    judge = Judge(
        Program({"x0": A([3.0, 4.0])}, {}, [Step("t0", "row", ("x0",), {"i": 1})], ["t0"], [A(1.0)])
    )
    assert judge.verdict("x0", 0, 0.0).kind == "NoPath"


@settings(max_examples=150, **QUIET)
@given(programs(steps=4))
def test_minimal_sets_say_what_the_definition_says(program):
    try:
        judge = Judge(program)
        for name, leaf in program.leaves.items():
            for k in range(leaf.size):
                verdict = judge.verdict(name, k, 0.0)
                assert definition(judge, name, k) == verdict.causes, program
    except Discard:
        assume(False)


@settings(max_examples=200, **QUIET)
@given(programs(extreme=True, outputs=2))
def test_path_products_add_up_to_the_gradient(program):
    try:
        judge = Judge(program)
        run = load(program)
        for name, g in gradients(run).items():
            for k, value in enumerate(g.reshape(-1)):
                paths = judge.verdict(name, k, float(value)).paths
                total = sum(p.value for p in paths if not any(link.dead for link in p.links))
                scale = sum(abs(p.value) for p in paths)
                assert abs(total - value) <= 1e-11 * scale + 1e-290, (
                    f"{program}{name}[{k}]: {value} != {total}"
                )
    except Discard:
        assume(False)
