"""Random programs of random inputs: the native kernel against the batched one, then whole studies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import pullback as torch
from graphs.programs import programs
from pullback.sampling import kernel
from pullback.sampling.batched import Batched
from pullback.sampling.distributions import Beta, Exponential, Gamma, LogNormal, Normal, StudentT, Uniform
from pullback.sampling.inputs import each
from pullback.sampling.inputs import given as given_samples
from pullback.sampling.study import sensitivity
from sampling.test_fused import compare, problem

SMOOTH = [Normal(0.2, 0.7), Uniform(-1.2, 1.1), LogNormal(-0.5, 0.4), Exponential(2.0)]
LAWS = [*SMOOTH, Gamma(2.0, 3.0), Beta(2.0, 2.0), StudentT(9.0)]
SHORT, LONG = 14, 300


@st.composite
def studies(draw, steps=7):
    """A program, and what each of its inputs is; at least one differs from sample to sample."""
    program = draw(programs(kinks=True, steps=steps))
    kinds = [draw(st.sampled_from(("law", "law", "given", "each", "fixed"))) for _ in program.inputs]
    kinds[draw(st.integers(0, len(kinds) - 1))] = "law"
    r = np.random.default_rng(draw(st.integers(0, 1000)))
    samples = draw(st.sampled_from((1, 61, 200, 8192, 8250)))
    inputs = []
    for kind, a in zip(kinds, program.inputs, strict=True):
        if kind == "law":
            inputs.append(draw(st.sampled_from(LAWS)).expand(a.shape))
        elif kind == "given":
            inputs.append(given_samples(r.uniform(-1, 1, (8300, *a.shape))))
        elif kind == "each":
            inputs.append(each(r.uniform(-1, 1, (2, *a.shape))))
        else:
            inputs.append(torch.from_numpy(np.array(a)))
    wrt = tuple(i for i in range(len(kinds)) if draw(st.booleans())) or (kinds.index("law"),)
    rows = draw(st.sampled_from((1, 3)))
    seed, common, omit = draw(st.integers(0, 2**64 - 1)), draw(st.booleans()), draw(st.booleans())
    return (
        program,
        tuple(inputs),
        wrt,
        rows,
        {"samples": samples, "seed": seed, "common_draws": common, "omit": omit},
    )


def function(program):
    return lambda *xs: program.run(*xs)[-1] * 1.0


def check(study):
    program, inputs, wrt, rows, options = study
    f = function(program)
    shape = np.shape(program.run(*program.inputs)[-1])
    v = np.random.default_rng(0).uniform(-1, 1, (rows, *shape))
    p = problem(f, inputs, wrt=wrt, upstream=v, **options)
    # sin(exp(exp(x))) has no digit that two correct engines share: only tame programs are compared
    judge = Batched(p)
    judge.prepare()
    for cell in {0, p.cells - 1}:
        value, gradient, _ = judge.rows(cell, 0, p.samples)
        assume(np.isfinite(value).all() and np.isfinite(gradient).all())
        assume(np.abs(gradient).max(initial=0) < 1e4 and np.abs(value).max(initial=0) < 1e4)
    # they lose digits in products and sums of many terms; a wrong rule loses all of them
    compare(p, 1e-9, exact_counts=False)


def bounded(n):
    skip = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(
        max_examples=n, derandomize=True, deadline=None, database=None, suppress_health_check=skip
    )


def test_random_functions():
    bounded(SHORT)(given(studies())(check))()


@pytest.mark.slow
def test_many_random_functions():
    bounded(LONG)(given(studies(steps=9))(check))()


def parts(x):
    return x if isinstance(x, tuple) else (x,)


def total(study):
    """The whole study twice, by the native kernel and by the batched one."""
    program, inputs, wrt, _, options = study
    f = lambda *xs: function(program)(*xs).sum()
    common = {"wrt": wrt, "samples": options["samples"], "seed": options["seed"], "dtype": torch.float64}
    fast = sensitivity(f, inputs, on_invalid="omit", **common)
    makers, kernel.MAKERS[:] = list(kernel.MAKERS), []
    try:
        plain = sensitivity(f, inputs, on_invalid="omit", **common)
    finally:
        kernel.MAKERS[:] = makers
    assert fast.kernel == "fused", program
    assert plain.kernel == "batched"
    for name in ("mean", "stderr", "abs_mean", "second_moment", "value_mean", "value_stderr"):
        for got, want in zip(parts(getattr(fast, name)), parts(getattr(plain, name)), strict=True):
            size = np.abs(np.where(np.isfinite(want), want, 0)).max(initial=1.0)
            # standard errors are roots: a variance of rounding errors alone has half the digits
            atol = (1e-7 if "err" in name else 1e-9) * size
            np.testing.assert_allclose(got, want, rtol=1e-7, atol=atol, err_msg=f"{name} of {program}")


def test_whole_studies():
    bounded(8)(given(studies())(total))()
