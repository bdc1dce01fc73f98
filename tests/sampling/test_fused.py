"""The native kernel against the batched one on the same problem: sums, rows, invalid samples, centres.

Both get the same random numbers, so what they compute per sample differs by rounding only. Sums are compared
after they are moved to the same centres (zero), relative to the sum of the magnitudes that went into them: in
float64 within 1e-11 (a few hundred operations of a sample, 1e4 terms), in float32 within 2e-5 (values there
have 6e-8 each, and a sample's rounding is amplified by its conditioning; samples' errors average out).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import pullback as torch
from pullback.sampling import kernel
from pullback.sampling.batched import Batched
from pullback.sampling.distributions import (
    Bernoulli,
    Beta,
    Empirical,
    Exponential,
    Gamma,
    LogNormal,
    MultivariateNormal,
    Normal,
    StudentT,
    Uniform,
)
from pullback.sampling.inputs import each, given, resolve
from pullback.sampling.native import Fused
from pullback.sampling.problem import Problem
from pullback.sampling.study import sensitivity
from pullback.sampling.sums import BLOCK, NEVER, Sums, fold

TOLERANCE = {"f4": 2e-5, "f8": 1e-11}
ODD = 2 * BLOCK + 1237


def problem(f, inputs, *, wrt=(0,), upstream=None, samples=ODD, seed=3, dtype="f8", **more):
    up = None if upstream is None else np.asarray(upstream, float)
    return Problem(f, tuple(resolve(inputs)), wrt, up, samples, seed, np.dtype(dtype), **more)


def totals(kernel, p):
    """Sums around zero, cell by cell: counts, first invalid, values (cells, 2), entries (cells, 4, m)."""
    total = Sums.zeros(p.cells, 1, p.entries)
    for group in kernel.groups:
        for first in range(0, p.blocks, 2):
            fold(total, group, kernel.blocks(group, first, min(2, p.blocks - first)))
    n = total.counts[:, 0].sum(axis=1) if not p.omit else total.counts[:, 0, 0]
    d = np.array([kernel.centre(c)[0] for c in range(p.cells)])
    c = np.array([kernel.centre(i)[1] for i in range(p.cells)]).reshape(p.cells, p.entries)
    values, entries = total.values[:, 0].copy(), total.entries[:, 0].copy()
    with np.errstate(all="ignore"):
        values[:, 1] += 2 * d * values[:, 0] + n * d * d
        values[:, 0] += n * d
        k = n[:, None]
        entries[:, 1] += 2 * c * entries[:, 0] + k * c * c
        entries[:, 0] += k * c
    return total.counts[:, 0], total.first[:, 0], values, entries


def compare(p, tolerance=None, exact_counts=True):
    """Both kernels on one problem."""
    tolerance = tolerance or TOLERANCE[p.dtype.str[1:]]
    fused, batched = Fused(p), Batched(p)
    batched.prepare()
    (n, first, f, g), (m, second, f0, g0) = totals(fused, p), totals(batched, p)
    np.testing.assert_array_equal(n, m)
    np.testing.assert_array_equal(first, second)
    count = np.maximum(n.sum(axis=1), 1)
    scale = np.sqrt(np.abs(f0[:, 1:]) * count[:, None]) + np.abs(f0[:, 1:]) + 1e-30
    close(f, f0, scale, tolerance)
    scale = (np.sqrt(np.abs(g0[:, 1]) * count[:, None]) + np.abs(g0[:, 1]) + 1e-30)[:, None]
    close(g[:, :3], g0[:, :3], scale, tolerance)
    if exact_counts:
        np.testing.assert_array_equal(g[:, 3], g0[:, 3])
    for cell, start, size in (
        (0, 0, 70),
        (p.cells - 1, max(p.samples - 333, 0), 300),
        (p.cells // 2, min(13, p.samples - 1), 1),
    ):
        span = (cell, start, min(size, p.samples - start))
        for got, want in zip(fused.rows(*span), batched.rows(*span), strict=True):
            assert got.shape == want.shape
            unit = np.maximum(1.0, np.abs(np.where(np.isfinite(want), want, 0)).max(initial=0))
            np.testing.assert_allclose(got, want, rtol=20 * tolerance, atol=20 * tolerance * unit)
    return n, first


def close(got, want, scale, tolerance):
    odd = ~np.isfinite(want)
    np.testing.assert_array_equal(np.isfinite(got), ~odd)
    np.testing.assert_array_equal(np.isnan(got[odd]), np.isnan(want[odd]))
    with np.errstate(all="ignore"):
        error = np.abs(np.where(odd, 0, got - want)) / np.where(np.isfinite(scale), scale, 1.0)
    assert error.max(initial=0) <= tolerance, (error.max(), got, want)


# ---------------------------------------------------------------------- functions

W = torch.from_numpy(np.array([[1.0, 0, 2, 0], [0, 3.0, 0, 0], [1, -1.0, 0.5, 0]]))
V = np.array([[1.0, 0, 2.0], [0.5, -1, 0], [0, 2.0, 0], [1, 1, 1]])


def relu_layer(x):
    return torch.relu(W.to(x.dtype) @ x)


def smooth_of_two(x, y):
    return (x.sin() * torch.exp(0.3 * y)).sum() + (x[0] * y).tanh()


def constant_slope(x):
    return 3.0 * x[0] - x[1] + 2.0


def two_slopes(x):
    return torch.where(x[0] > 0.2, 2.0 * x[0], -x[0]) + x.abs().sum() * 0.5


def clamped(x):
    return (x.clamp(-1.0, 1.0) * torch.tensor([1.0, -2.0, 0.0], dtype=x.dtype)).sum()


def logs(x):
    return (x + 0.5).log().sum()


def gaps(x):
    return torch.sqrt(x[0] - 0.2) * x[1] + 1.0 / (x[1] - x[1].detach().round())


def ordered(x):
    return (x.sort()[0] * torch.arange(3, dtype=x.dtype)).sum() + x.amax()


def option(p, z):
    spot, rate, sigma = p[0], p[1], p[2]
    end = spot * torch.exp((rate - 0.5 * sigma * sigma) + sigma * z)
    return torch.exp(-rate) * torch.relu(end - 100.0)


def three(x):
    return x.reshape(-1)[:3]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("common", [True, False])
class TestDraws:
    def test_a_sweep(self, dtype, common):
        p = problem(relu_layer, Normal(0.0, 1.0).expand(4), upstream=V, dtype=dtype, common_draws=common)
        compare(p)

    def test_two_random_arguments(self, dtype, common):
        law = (Uniform(-1.0, 2.0).expand(3), Normal(0.5, 0.2))
        compare(problem(smooth_of_two, law, wrt=(1, 0), dtype=dtype, common_draws=common))
        compare(problem(smooth_of_two, law, wrt=(1,), dtype=dtype, common_draws=common, samples=77))

    def test_counted_gradients(self, dtype, common):
        # constants, two values and signs: these sums are counted, not added
        law = Normal(0.1, 1.0).expand(3)
        for f in (constant_slope, two_slopes, clamped):
            compare(problem(f, law, dtype=dtype, common_draws=common), exact_counts=True)

    @pytest.mark.parametrize("omit", [True, False])
    def test_invalid_samples(self, dtype, common, omit):
        law = Normal(0.4, 0.6).expand(3)
        n, first = compare(problem(logs, law, dtype=dtype, common_draws=common, omit=omit))
        assert 0 < n[0, 1] < n[0, 0] * 3
        assert first[0] != NEVER
        compare(problem(gaps, law, dtype=dtype, common_draws=common, omit=omit), 10 * TOLERANCE[dtype] ** 0.5)


LAWS = {
    "normal": Normal(1.0, 0.5).expand(3),
    "normals": Normal([0.5, 1.0, 2.0], [0.1, 1.0, 0.3]),
    "uniform": Uniform(0.5, 2.0).expand(3),
    "lognormal": LogNormal(0.0, 0.4).expand(3),
    "exponential": Exponential(1.5).expand(3),
    "vector": MultivariateNormal(torch.zeros(3), torch.tensor([[1.0, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 2.0]])),
    "gamma": Gamma(2.0, 1.0).expand(3),
    "beta": Beta(2.0, 3.0).expand(3),
    "student": StudentT(6.0).expand(3),
    "empirical": Empirical([0.5, 1.0, 1.5, 4.0]).expand(3),
    "frozen": stats.weibull_min(1.7),
    "salib": {"num_vars": 3, "names": ["a", "b", "c"], "bounds": [[0, 1], [1, 3], [-2, 2]]},
}


@pytest.mark.parametrize("law", LAWS)
def test_laws(law):
    f = (lambda x: (x * x).sin()) if law == "frozen" else lambda x: (x * x).sin().sum() + three(x).prod()
    compare(problem(f, LAWS[law], samples=BLOCK + 37))
    compare(problem(f, LAWS[law], samples=501, dtype="f4"))


@pytest.mark.parametrize("samples", [1, 2, 7, 16, 63, 64, 65, BLOCK - 1, BLOCK, BLOCK + 1])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_numbers_of_samples(samples, dtype):
    compare(problem(ordered, Normal(0.0, 1.0).expand(3), samples=samples, dtype=dtype))
    compare(problem(logs, Uniform(-1.0, 1.0).expand(3), samples=samples, dtype=dtype))


def test_given_each_fixed_and_random_arguments():
    r = np.random.default_rng(0)
    z, rates = r.standard_normal(ODD), np.array([[100.0, 0.05, 0.2], [90.0, 0.01, 0.3], [110.0, 0.03, 0.1]])
    for dtype in ("f4", "f8"):
        compare(problem(option, (each(rates), Normal(0.0, 1.0)), dtype=dtype))
        compare(problem(option, (each(rates), given(z)), dtype=dtype, common_draws=False))
        compare(problem(option, (each(rates), Gamma(2.0, 1.0)), wrt=(0, 1), dtype=dtype))

    def all_kinds(a, b, c, d, e):
        return torch.stack([(a * b).sum() + d * c.sin(), (e @ a).sum() * c + b[0].exp()])

    inputs = (Normal(0, 1).expand(2), each(r.normal(size=(3, 2))), given(r.normal(size=5000)), Beta(2.0, 2.0))
    inputs = (*inputs, torch.ones(4, 2, dtype=torch.float64))
    compare(problem(all_kinds, inputs, wrt=(0, 2, 1, 3), upstream=V[:, :2], samples=5000))
    p = problem(
        lambda c, i: c.sin() * (c > i), (given(r.normal(size=900)), each(r.normal(size=4))), samples=801
    )
    compare(p)


def test_an_integer_and_a_boolean_input():
    f = lambda x, k, b: torch.where(b > 0.5, x * k, x.sin())
    inputs = (Normal(0.0, 1.0), torch.tensor(3), Bernoulli(0.3))
    compare(problem(f, inputs, samples=3001))


def test_upstream_that_is_zero_everywhere():
    p = problem(relu_layer, Normal(0.0, 1.0).expand(4), upstream=np.zeros((2, 3)), samples=500)
    compare(p)
    assert Fused(p).entries[1].constant == 0


@pytest.mark.parametrize("on_invalid", ["omit", "propagate"])
def test_the_study_uses_it(on_invalid):
    law = Normal(0.4, 0.6).expand(3)
    found = sensitivity(logs, law, samples=2001, dtype=torch.float64, on_invalid=on_invalid)
    p = problem(logs, law, samples=2001, seed=0, omit=on_invalid == "omit")
    v, g, _ = Batched(p).rows(0, 0, 2001)
    bad = ~(np.isfinite(v) & np.isfinite(g).all(axis=1))
    assert found.kernel == "fused"
    assert found.invalid.count == bad.sum() > 0
    assert found.invalid.first_index == np.argmax(bad)
    if on_invalid == "omit":
        np.testing.assert_allclose(found.mean, g[~bad].mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found.value_mean, v[~bad].mean(), rtol=1e-12)
    else:
        assert np.isnan(found.value_mean)


def test_masked_lanes_of_the_last_group_count_for_nothing():
    # a function that is not finite exactly where no sample is: the next sample of the stream
    p = problem(lambda x: x * 1.0, Normal(0.0, 1.0), samples=130)
    z = Batched(problem(lambda x: x * 1.0, Normal(0.0, 1.0), samples=140)).rows(0, 0, 140)[2][:, 0]
    beyond = float(z[130])
    f = lambda x: x + torch.where(x == beyond, 1e30, 0.0)
    for n, calm in ((130, True), (131, False)):
        q = problem(f, Normal(0.0, 1.0), samples=n)
        _, _, values, _ = totals(Fused(q), q)
        assert bool(abs(values[0, 0]) < 1e3) is calm
    n, _, _, g = totals(Fused(p), p)
    assert n.tolist() == [[130.0, 0.0]]
    assert g[0, 3, 0] == 130


@pytest.mark.parametrize("makers", [None, []])
def test_a_function_that_ignores_its_input(makers, monkeypatch):
    if makers is not None:
        monkeypatch.setattr(kernel, "MAKERS", makers)
    for f in (lambda x: torch.tensor(2.5), lambda x: x.detach() * 0 + 2.5):
        found = sensitivity(f, Normal(0.0, 1.0), samples=100)
        assert (found.mean, found.stderr, found.active) == (0.0, 0.0, 0.0)
        assert (found.value_mean, found.value_stderr) == (2.5, 0.0)
