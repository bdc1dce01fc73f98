"""The line through points with errors, against closed forms and repetition."""

import numpy as np
import pytest

from pullback.plot.fit import fit_line
from pullback.plot.ratio import fit_ratio


def test_weighted_fit_solves_the_normal_equations():
    rng = np.random.default_rng(0)
    x, y, s = rng.standard_normal(9), rng.standard_normal(9), rng.uniform(0.5, 2.0, 9)
    design = np.column_stack([x, np.ones(9)]) / s[:, None]
    expected = np.linalg.solve(design.T @ design, design.T @ (y / s))
    covariance = np.linalg.inv(design.T @ design)
    found = fit_line(x, y, s)
    assert [found.slope, found.intercept] == pytest.approx(expected, rel=1e-12)
    assert found.slope_stderr**2 == pytest.approx(covariance[0, 0], rel=1e-12)
    assert found.intercept_stderr**2 == pytest.approx(covariance[1, 1], rel=1e-12)


def test_unweighted_fit_is_polyfit():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(12), rng.standard_normal(12)
    found = fit_line(x, y, np.zeros(12))
    slope, intercept = np.polyfit(x, y, 1)
    rest = y - slope * x - intercept
    assert [found.slope, found.intercept] == pytest.approx([slope, intercept], rel=1e-10)
    assert found.r2 == pytest.approx(1 - rest @ rest / np.sum((y - y.mean()) ** 2))
    assert found.slope_stderr == 0.0


def test_error_of_correlated_points_is_an_upper_bound_and_sharp():
    x = np.array([1.0, 2.0, 4.0, 8.0])
    # y = c x with a common error of c: slope error is that of c, whatever the weights
    assert fit_line(x, 3 * x, 0.1 * x, independent=False).slope_stderr >= 0.1
    # errors with the signs of the coefficients reach the bound
    s = np.array([0.1, 0.2, 0.1, 0.3])
    bound = fit_line(x, x, s, independent=False)
    moved = fit_line(x, x + s * np.sign(x - x.mean()), s, independent=False)
    assert moved.slope - bound.slope == pytest.approx(bound.slope_stderr, rel=1e-12)


def test_ratio_fit_has_no_bias_where_errors_follow_the_estimates():
    # 400 repetitions of 20 ratios with 10 % error each; the mean slope of the plain weighted fit is 2.5 % low
    rng = np.random.default_rng(2)
    x = np.linspace(1, 10, 20)
    plain, better, inside = [], [], 0
    for _ in range(400):
        y = 1.5 * x * (1 + 0.1 * rng.standard_normal(20))
        plain.append(fit_line(x, y, 0.1 * y).slope)
        fit = fit_ratio(x, y, 0.1 * y, independent=True)
        better.append(fit.slope)
        low, high = fit.slope_interval(0.95)
        inside += low < 1.5 < high
    assert abs(np.mean(better) / 1.5 - 1) < 0.4 * abs(np.mean(plain) / 1.5 - 1)
    assert 0.90 < inside / 400 < 0.985  # 4 standard deviations around 95 %


@pytest.mark.parametrize("x", [[1.0], [2.0, 2.0, 2.0]])
def test_a_line_needs_two_places(x):
    with pytest.raises(ValueError, match="two different x"):
        fit_line(x, x, np.ones(len(x)))


def test_constant_points_have_no_r2():
    assert np.isnan(fit_line([0.0, 1.0], [2.0, 2.0], [0.1, 0.1]).r2)
