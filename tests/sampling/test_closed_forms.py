"""Averages against closed forms.

Every comparison allows FIVE standard errors: a right estimator fails one with probability 5.7e-7 over the
choice of the seed, so a run of all of them (about 120 numbers) gives a false alarm for one seed in 15,000.
Seeds are fixed.
"""

import math

import numpy as np
import pytest
from scipy.stats import norm

import pullback as torch
from pullback.sampling.distributions import Exponential, LogNormal, MultivariateNormal, Normal, Uniform
from pullback.sampling.inputs import each, given
from pullback.sampling.study import sensitivity
from sampling.functions import call_option, digital, geometric_asian, ishigami, workshop

FIVE = 5.0


def close(mean, stderr, truth):
    mean, stderr, truth = np.broadcast_arrays(mean, stderr, truth)
    assert np.isfinite(mean).all()
    assert np.isfinite(stderr).all()
    assert (np.abs(mean - truth) <= FIVE * stderr + 1e-12).all(), (mean, stderr, truth)


@pytest.mark.parametrize("common", [True, False])
def test_the_workshop_sweep(common):
    v = np.random.default_rng(3).normal(size=(5, 4))
    v[:, :2] = 0
    r = sensitivity(workshop, Normal(0.0, 1.0).expand(6), upstream=v, common_draws=common, samples=50_000)
    truth = np.zeros((5, 6))
    truth[:, 2], truth[:, 3] = v[:, 2], 1.5 * v[:, 3]
    close(r.mean, r.stderr, truth)
    assert (r.mean[:, [0, 1, 4, 5]] == 0).all()
    close(r.active[:, 2:4], np.full((5, 2), math.sqrt(0.25 / 50_000)), 0.5)
    # the standard error: v W_ii sqrt(1/4 / n)
    np.testing.assert_allclose(r.stderr[:, 2], np.abs(v[:, 2]) / math.sqrt(50_000), rtol=1e-3)
    np.testing.assert_allclose(r.second_moment[:, 3], 4.5 * v[:, 3] ** 2, rtol=0.03)
    # values: E relu(2 z) = 2 / sqrt(2 pi)
    truth = (2 * v[:, 2] + 3 * v[:, 3]) / math.sqrt(2 * math.pi)
    close(r.value_mean, r.value_stderr, truth)
    # draws anew: different numbers for each v
    same = r.active[0, 2] == r.active[1, 2]
    assert same == common


def test_derivative_moments_of_ishigami():
    n = 100_000
    r = sensitivity(ishigami, Uniform(-math.pi, math.pi).expand(3), samples=n, dtype=torch.float64)
    pi4 = math.pi**4
    nu = np.array(
        [
            0.5 * (1 + 0.2 * pi4 / 5 + 0.01 * pi4**2 / 9),
            49 / 2,
            8 * 0.01 * math.pi**6 / 7,
        ]
    )
    squares = np.concatenate([g**2 for _, g, _ in r._rows(0)])
    assert squares.shape == (n, 3)
    np.testing.assert_allclose(squares.mean(0), r.second_moment, rtol=1e-12)
    close(r.second_moment, squares.std(0) / math.sqrt(n), nu)
    close(r.mean, r.stderr, 0.0)
    close(r.value_mean, r.value_stderr, 3.5)


def black_scholes(s, sigma, rate, strike=105.0, t=1.5):
    d1 = (np.log(s / strike) + (rate + 0.5 * sigma**2) * t) / (sigma * math.sqrt(t))
    d2 = d1 - sigma * math.sqrt(t)
    price = s * norm.cdf(d1) - strike * np.exp(-rate * t) * norm.cdf(d2)
    greeks = norm.cdf(d1), s * norm.pdf(d1) * math.sqrt(t), strike * t * np.exp(-rate * t) * norm.cdf(d2)
    return price, greeks


def test_black_scholes_delta_vega_rho():
    spots = np.array([90.0, 100.0, 120.0])
    inputs = (Normal(0.0, 1.0), each(spots), torch.tensor(0.2), torch.tensor(0.03))
    r = sensitivity(call_option, inputs, wrt=("spot", "sigma", "rate"), samples=60_000, dtype=torch.float64)
    price, greeks = black_scholes(spots, 0.2, 0.03)
    close(r.value_mean, r.value_stderr, price)
    for mean, stderr, truth in zip(r.mean, r.stderr, greeks, strict=True):
        assert mean.shape == (3,)
        close(mean, stderr, truth)


def test_geometric_asian_by_given_normals():
    n, s, sigma, rate, strike = 12, 102.0, 0.25, 0.04, 100.0
    z = np.random.default_rng(11).standard_normal((30_000, n))
    inputs = (given(z), *map(torch.tensor, (s, sigma, rate)))
    r = sensitivity(geometric_asian, inputs, wrt=1, dtype=torch.float64)
    assert r.samples == 30_000
    mu = math.log(s) + (rate - sigma**2 / 2) * (n + 1) / (2 * n)
    v = sigma**2 * (n + 1) * (2 * n + 1) / (6 * n**2)
    d1 = (mu - math.log(strike) + v) / math.sqrt(v)
    forward = math.exp(mu + v / 2 - rate)
    close(r.mean, r.stderr, forward / s * norm.cdf(d1))
    close(
        r.value_mean,
        r.value_stderr,
        forward * norm.cdf(d1) - math.exp(-rate) * strike * norm.cdf(d1 - math.sqrt(v)),
    )


def test_likelihood_ratio_sees_jumps_that_the_pathwise_average_misses():
    law = Normal(0.2, 2.0)
    truth = norm.pdf(0.5, 0.2, 2.0)
    r = sensitivity(digital, law, method="likelihood_ratio", samples=50_000)
    close(r.mean, r.stderr, truth)
    assert r.stderr < 0.01 * 2
    assert sensitivity(digital, law, samples=2000).mean == 0


@pytest.mark.parametrize(
    ("law", "density"),
    [
        (Uniform(-1.0, 3.0), 0.25),
        (Exponential(2.0), 2 * math.exp(-1.0)),
        (LogNormal(0.1, 0.7), norm.pdf((math.log(0.5) - 0.1) / 0.7) / (0.5 * 0.7)),
    ],
    ids=["uniform", "exponential", "lognormal"],
)
def test_likelihood_ratio_at_the_ends_of_the_support(law, density):
    """A jump, plus a smooth part whose derivative is 2, so that boundary terms matter."""
    r = sensitivity(lambda x: digital(x) + 2 * x, law, method="likelihood_ratio", samples=50_000)
    close(r.mean, r.stderr, density + 2)


def test_likelihood_ratio_agrees_with_pathwise_on_smooth_vector_functions():
    law = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.6], [0.6, 2.0]]))
    a = sensitivity(workshop2, law, upstream=[1.0, -2.0], samples=40_000)
    b = sensitivity(workshop2, law, upstream=[1.0, -2.0], samples=40_000, method="likelihood_ratio", seed=5)
    close(a.mean - b.mean, np.hypot(a.stderr, b.stderr), 0.0)
    assert (b.stderr > 0).all()


def workshop2(x):
    return torch.stack([torch.sin(x[0]) * x[1], x[0] * x[1] ** 2])


def test_smoothing_a_jump():
    """E over x and noise of the derivative of a step: the density of x + h z at the threshold."""
    r = sensitivity(digital, Normal(0.0, 1.0), smooth=0.3, samples=50_000)
    close(r.mean, r.stderr, norm.pdf(0.5, 0.0, math.hypot(1.0, 0.3)))
    assert r.stderr < 0.02
    close(r.value_mean, r.value_stderr, norm.sf(0.5))


def test_smoothing_a_parameter():
    """A digital option's delta: the derivative with respect to a fixed argument, which has no density."""

    def payoff(z, s):
        return digital(s + z)

    r = sensitivity(payoff, (Normal(0.0, 1.0), torch.tensor(0.7)), wrt="s", smooth=0.2, samples=50_000)
    close(r.mean, r.stderr, norm.pdf(0.2, 0.0, math.hypot(1.0, 0.2)))


def test_constant_gradients_have_no_error_at_all():
    r = sensitivity(lambda x: (0.1 * x).sum(), Normal(0.0, 3.0).expand(2), samples=20_000)
    np.testing.assert_array_equal(r.stderr, 0.0)
    np.testing.assert_array_equal(r.mean, np.float64(np.float32(0.1)))
    np.testing.assert_array_equal(r.active, 1.0)
