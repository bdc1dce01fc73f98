"""DGSM against closed forms, brute force and repetition."""

import numpy as np
import pytest

from pullback.sampling import distributions as D
from pullback.sampling.result import Sensitivity
from sampling.studies import (
    ISHIGAMI,
    ISHIGAMI_NU,
    ISHIGAMI_VARIANCE,
    ishigami,
    ishigami_gradient,
    result_of,
    study,
)

WAVE = D.Uniform(0.0, 100.0)


def wave(n, seed, **options):
    """sin(x / 10) of x ~ U(0, 100), whose C nu / Var is known."""
    return study(lambda x: np.sin(x[:, 0] / 10), lambda x: np.cos(x / 10) / 10, WAVE, n, seed).dgsm(**options)


def truth():
    mean = (1 - np.cos(10.0)) / 10
    variance = 0.5 - np.sin(20.0) / 40 - mean**2
    nu = (0.5 + np.sin(20.0) / 40) / 100
    return nu, 1e4 / np.pi**2 * nu / variance


def covered(interval, value):
    return (interval.low <= value) & (value <= interval.high)


def hits(repetitions, **options):
    """How often the intervals of (nu, upper bound) at N = 1000 hold the truth."""
    nu, upper = truth()
    out = np.zeros(2, int)
    for seed in range(repetitions):
        d = wave(1000, seed, **options)
        out += [covered(d.nu_interval, nu)[0], covered(d.upper_interval, upper)[0]]
    return out


def test_the_truth_of_the_wave():
    assert truth()[1] == pytest.approx(11.94825, abs=5e-6)


def test_intervals_cover_as_often_as_they_say():
    """600 repetitions at 95 %: below 93 % or above 97 % each with probability 0.02 (seeds are fixed)."""
    found = hits(600)
    assert np.all((found >= 558) & (found <= 582))


@pytest.mark.slow
def test_coverage_over_many_repetitions():
    """20,000 repetitions: the standard error of the coverage is 0.15 %."""
    share = hits(20_000) / 20_000
    assert np.all((share > 0.93) & (share < 0.97))


@pytest.mark.slow
def test_coverage_of_the_bootstrap():
    """1500 repetitions: the standard error of the coverage is 0.6 %."""
    share = hits(1500, method="bootstrap", num_resamples=600) / 1500
    assert np.all((share > 0.93) & (share < 0.97))


@pytest.mark.slow
def test_coverage_for_ishigami():
    """Heavier tails: nominal 95 %, and 5000 repetitions at N = 1000."""
    upper = 4 * ISHIGAMI_NU / ISHIGAMI_VARIANCE
    share = np.zeros((2, 3))
    for seed in range(5000):
        d = study(ishigami, ishigami_gradient, ISHIGAMI, 1000, seed).dgsm()
        share += np.array([covered(d.nu_interval, ISHIGAMI_NU), covered(d.upper_interval, upper)]) / 5000
    assert np.all((share > 0.93) & (share < 0.97))


def test_bootstrap_agrees_with_the_delta_method_and_repeats():
    a, b = wave(1000, 1), wave(1000, 1, method="bootstrap", num_resamples=4000)
    width = a.upper_interval.high - a.upper_interval.low
    for x, y in zip(a.upper_interval, b.upper_interval, strict=True):
        assert np.all(np.abs(x - y) < 0.15 * width)
    again = wave(1000, 1, method="bootstrap", num_resamples=4000)
    np.testing.assert_array_equal(again.upper_interval, b.upper_interval)
    assert not np.array_equal(a.upper_interval.low, b.upper_interval.low)


def test_bootstrap_by_groups_has_the_right_width():
    """With more samples than groups, the groups are resampled: the same interval to a few per cent."""
    a, b = wave(20_000, 1), wave(20_000, 1, method="bootstrap", num_resamples=4000)
    widths = [d.upper_interval.high[0] - d.upper_interval.low[0] for d in (a, b)]
    assert widths[1] == pytest.approx(widths[0], rel=0.08)


def test_ishigami():
    """One estimate of 9 numbers within 4.5 standard errors: false alarm 6e-5."""
    d = study(ishigami, ishigami_gradient, ISHIGAMI, 100_000, 0).dgsm(confidence=0.9999932)
    upper = 4 * ISHIGAMI_NU / ISHIGAMI_VARIANCE
    # corr(x, f)^2 by Cov(x_1, f) = E[x sin x] (1 + 0.1 E[x^4]); the others vanish by symmetry
    lower = np.array([(1 + 0.1 * np.pi**4 / 5) ** 2 / (np.pi**2 / 3 * ISHIGAMI_VARIANCE), 0.0, 0.0])
    assert np.all(covered(d.nu_interval, ISHIGAMI_NU))
    assert np.all(covered(d.upper_interval, upper))
    assert np.all(covered(d.lower_interval, lower))
    np.testing.assert_allclose(ISHIGAMI_NU, [7.71959, 24.5, 10.98731], atol=1e-5)
    np.testing.assert_allclose(upper, [2.2304, 7.0786, 3.1745], atol=1e-4)
    # the bracket holds the total indices
    total = [0.5576, 0.4424, 0.2437]
    assert np.all(d.lower_bound <= total)
    assert np.all(total <= d.upper_bound)
    assert d.var_y == pytest.approx(ISHIGAMI_VARIANCE, rel=0.03)


LAWS = [
    D.Normal([1.0, 2.0], [0.5, 2.0]),
    D.Exponential([1.0, 3.0]),
    D.Gamma([2.0, 5.0], 1.5),
    D.Beta([2.0, 1.0], [3.0, 4.0]),
    D.LogNormal([0.0, 0.5], 0.4),
    D.StudentT([8.0, 12.0]),
    D.Stacked([D.Normal(), D.Uniform(0.0, 2.0)]),
]


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_a_linear_function_is_bracketed_tightly(law):
    """f = 2 x + y: the lower bound is the share of variance, and the Stein bound equals it."""
    c = np.array([2.0, 1.0])
    d = study(lambda x: x @ c, lambda x: np.broadcast_to(c, x.shape), law, 40_000, 0).dgsm(confidence=0.9999)
    share = c**2 * law.variance / (c**2 * law.variance).sum()
    assert np.all(covered(d.lower_interval, share)), (d.lower_interval, share)
    if "stein" in d.bounds:
        assert np.all(covered(d.upper_interval, share))
    else:
        tight = c**2 * law.poincare / (c**2 * law.variance).sum()
        assert np.all(covered(d.upper_interval, tight))
        assert np.all(tight >= share * (1 - 1e-12))


def test_uniform_laws_meet_the_constant_on_their_worst_function():
    """f = cos(pi x) on (0, 1) has Var f = C E[f'^2]: the upper bound is exactly 1."""
    d = study(
        lambda x: np.cos(np.pi * x[:, 0]), lambda x: -np.pi * np.sin(np.pi * x), D.Uniform(), 50_000, 0
    ).dgsm(confidence=0.9999)
    assert covered(d.upper_interval, 1.0)[0]


def test_which_bound_an_input_gets():
    n = 2000
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(1, n, 6))) + 0.1
    laws = [
        D.Normal(),
        D.LogNormal(),
        D.Bernoulli(0.5),
        D.MultivariateNormal([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]]),
        None,
    ]
    d = result_of(x.sum(2), np.ones((1, n, 6)), x, laws, [(), (), (), (2,), ()], names=tuple("abcde")).dgsm()
    assert d.bounds == ("poincare", "stein", "none", "none", "none", "none")
    assert np.isfinite(d.upper_bound[:2]).all()
    assert np.isnan(d.upper_bound[2:]).all()
    assert np.isfinite(d.nu).all()
    assert d.labels == ("a", "b", "c", "d[0]", "d[1]", "e")


def test_no_bound_along_a_jump():
    r = study(ishigami, ishigami_gradient, ISHIGAMI, 500, 0)
    missed = Sensitivity(
        **{**r.state(), "stderr": np.array([1.0, np.inf, 1.0])},
        _rows=r._rows,
        _distributions=r._distributions,
    )
    assert missed.dgsm().bounds == ("poincare", "none", "poincare")


def test_every_cell_has_its_own():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 4000, 2)).repeat(2, 0)
    g = np.ones((2, 4000, 2)) * [[[1.0, 1.0]], [[1.0, 3.0]]]
    r = result_of((g * x).sum(2), g, x, [D.Normal().expand(2)], [(2,)], upstream=np.eye(2), stacked=True)
    d = r.dgsm()
    np.testing.assert_array_equal(d.nu, [[1.0, 1.0], [1.0, 9.0]])
    np.testing.assert_allclose(d.upper_bound, [[0.5, 0.5], [0.1, 0.9]], rtol=0.1)
    assert [r["cell"] for r in d.records()] == [(0,), (0,), (1,), (1,)]
    assert "2 cells" in repr(d)


def test_samples_that_are_not_finite_are_left_out():
    x = np.random.default_rng(0).normal(size=(1, 1000, 1))
    f = x[..., 0].copy()
    f[0, 10] = np.nan
    g = np.ones((1, 1000, 1))
    g[0, 20] = np.inf
    r = result_of(np.nan_to_num(f), np.ones_like(g), x, [D.Normal()], [()])
    broken = Sensitivity(
        **r.state(), _rows=lambda _: iter([(f[0], g[0], x[0])]), _distributions=r._distributions
    )
    keep = np.delete(x[0], [10, 20], 0)
    assert broken.dgsm().var_y == pytest.approx(keep.var(), rel=1e-12)


def test_names_of_other_libraries_and_plain_data():
    d = wave(500, 0)
    assert d.vi is d.nu
    assert d.dgsm is d.upper_bound
    assert d.names == ("x",)
    x = study(lambda x: x[:, 0], np.ones_like, WAVE, 500, 0).rows()[2]
    g2 = (np.cos(x / 10) / 10) ** 2
    assert d.vi_std[0] == pytest.approx(g2.std(ddof=1))
    assert d.sigma[0] == pytest.approx((np.cos(x / 10) / 10).std(ddof=1))
    assert d.to_dict()["upper_interval"]["low"] == d.upper_interval.low.tolist()
    assert repr(d).startswith("Dgsm(x: ")
    with pytest.raises(ValueError, match='"delta" or "bootstrap"'):
        wave(500, 0, method="jackknife")
