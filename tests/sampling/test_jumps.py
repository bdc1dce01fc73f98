"""A jump of f along a differentiated argument is never silent, and what is no jump raises no alarm."""

import math

import numpy as np
import pytest
from scipy.stats import norm

import pullback as torch
from pullback.sampling.distributions import Exponential, Normal, Uniform
from pullback.sampling.inputs import each, given
from pullback.sampling.study import sensitivity
from sampling.functions import call_option, digital, mixed, workshop

N = Normal(0.0, 1.0)
N3 = N.expand(3)
SMALL = {"samples": 5000}


def test_a_digital_payoff_is_not_zero_with_a_tight_interval():
    r = sensitivity(digital, N, **SMALL)
    assert r.mean == 0
    assert np.isinf(r.stderr)
    (jump,) = r.jumps
    assert jump.op == "gt"
    assert "functions.py:" in jump.line
    assert jump.argument == "x"
    # 2 h p(0.5) of the samples lie within h; the finite difference is the density there
    assert abs(jump.hits - 2 * jump.width * norm.pdf(0.5)) < 5 * math.sqrt(0.035 / 4096)
    assert abs(jump.difference - norm.pdf(0.5)) < 5 * jump.difference_stderr + 0.01
    assert jump.pathwise == 0
    for part in ("f jumps at `gt`", 'method="likelihood_ratio"', "smooth="):
        assert part in jump.message
    assert jump.message in r.message


@pytest.mark.parametrize(
    ("f", "law", "op"),
    [
        (lambda x: torch.where(x > 0, x + 1, 0.0), N, "gt"),
        (lambda x: torch.floor(3 * x) + x, N, "floor"),
        (lambda x: torch.sign(x - 0.3), N, "sign"),
        (lambda x: x * (x < 0.2), N, "lt"),
        (lambda x: torch.round(x) * 0.1 + torch.sin(x), Uniform(0.0, 5.0), "round"),
        (lambda x: torch.remainder(x, 1.0), Exponential(1.0), "remainder"),
        (lambda x: torch.where(x > 3.0, 1.0, 0.0), N, "gt"),
    ],
    ids=["where", "floor", "sign", "mask", "round", "remainder", "tail"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_jumps_are_found(f, law, op, dtype):
    r = sensitivity(f, law, dtype=dtype, **SMALL)
    assert len(r.jumps) == 1
    assert r.jumps[0].op == op
    assert "test_jumps.py" in r.jumps[0].line
    assert np.isinf(r.stderr)


@pytest.mark.parametrize(
    ("f", "law"),
    [
        (lambda x: torch.where(x > 0, x, 0.0), N),
        (lambda x: torch.where(x > 0, x**2, -3 * x), N),
        (lambda x: torch.sign(x) * x, N),
        (lambda x: (x - torch.floor(x)) * (1 - (x - torch.floor(x))), N),
        (lambda x: torch.relu(x).sum() + torch.clamp(x, -1, 1).abs().sum(), N3),
        (lambda x: x.max() + torch.sort(x).values[0], N3),
        (lambda x: torch.where(torch.tensor(True), x, -x), N),
        (lambda x: torch.exp(8 * x) * (x < 100), N),
        (lambda x: torch.where(x > 0, torch.sqrt(x), 0.0), N),
    ],
    ids=["relu", "kink", "abs", "saw", "relu op", "sort", "constant", "steep", "sqrt"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kinks_raise_no_alarm(f, law, dtype):
    r = sensitivity(f, law, dtype=dtype, on_invalid="omit", **SMALL)
    assert r.jumps == ()
    assert np.isfinite(r.stderr).all()


def test_only_the_entries_that_miss_something_lose_their_error():
    """Moving x[2] crosses nothing; along x[0] and x[1] the mean derivative is +-p(0) of N(0, 2)."""
    r = sensitivity(lambda x: torch.where(x[0] > x[1], 1.0, 0.0) + x[2] ** 2, N3, **SMALL)
    assert np.isinf(r.stderr).tolist() == [True, True, False]
    (jump,) = r.jumps
    assert jump.argument in ("x[0]", "x[1]")
    truth = norm.pdf(0, 0, math.sqrt(2)) * (1 if jump.argument == "x[0]" else -1)
    assert abs(jump.difference - truth) < 5 * jump.difference_stderr + 0.01


def test_a_jump_along_a_parameter():
    inputs = (N, each([90.0, 100.0, 110.0]))
    r = sensitivity(lambda z, s: digital((s * torch.exp(0.2 * z) - 105.0) / 10), inputs, wrt="s", **SMALL)
    assert np.isinf(r.stderr).all()
    assert r.jumps[0].argument == "s"
    # a jump along z does not bias the derivative with respect to a
    r = sensitivity(lambda z, a: a * digital(z), (N, torch.tensor(2.0)), wrt="a", **SMALL)
    assert r.jumps == ()


def test_upstream_vectors_that_do_not_see_the_jump():
    def f(x):
        return torch.stack([digital(x), torch.sin(x)])

    r = sensitivity(f, N, upstream=np.eye(2), **SMALL)
    assert np.isinf(r.stderr).tolist() == [True, False]


def test_given_samples():
    z = np.random.default_rng(0).normal(size=500)
    assert len(sensitivity(digital, given(z)).jumps) == 1


def test_other_methods_have_nothing_to_report():
    for options in ({"method": "likelihood_ratio"}, {"smooth": 0.1}):
        r = sensitivity(digital, N, **SMALL, **options)
        assert r.jumps == ()
        assert np.isfinite(r.stderr)


def test_smooth_programs_pay_nothing(monkeypatch):
    """No comparison, no search."""
    monkeypatch.setattr("pullback.sampling.jump_search._search", lambda *_: 1 / 0)
    sensitivity(workshop, N.expand(6), upstream=[1.0] * 4, samples=100)
    sensitivity(mixed, (N.expand(6), N), samples=100)
    sensitivity(call_option, (N, *map(torch.tensor, (100.0, 0.2, 0.03))), samples=100)
