"""A straight line through points with errors, for the figure of ratios.

Read `fit_line` first. May import: NumPy and `pullback.plot.style`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.plot.style import quantile


@dataclass(frozen=True)
class Line:
    """y = slope x + intercept, the standard errors of both, and the share of variance that is explained."""

    slope: float
    intercept: float
    slope_stderr: float
    intercept_stderr: float
    r2: float

    def slope_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The interval of the slope, from the normal distribution.

        >>> line = fit_line([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], [0.1, 0.1, 0.1])
        >>> [round(end, 3) for end in line.slope_interval(0.95)]
        [1.861, 2.139]
        """
        half = quantile(confidence) * self.slope_stderr
        return self.slope - half, self.slope + half


def fit_line(x: Any, y: Any, stderr: Any, *, independent: bool = True) -> Line:
    """Least squares through the points (x, y), whose standard errors are `stderr`; arrays of one shape (n,).

    `independent` errors: each point is weighted by 1 / stderr^2, which gives the smallest error of the slope,
    and errors are added in quadrature. Otherwise (several points from the same draws) the fit is unweighted,
    and the errors of slope and intercept are the upper bounds that hold for any correlation (triangle
    inequality): their intervals are not too short, and may be too long. Points with a standard error of zero
    are exact; the fit is unweighted as soon as there is one.

    >>> line = fit_line([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], [0.1, 0.1, 0.1])
    >>> round(line.slope, 12), round(line.intercept, 12), line.r2
    (2.0, 1.0, 1.0)
    """
    x, y, stderr = (np.asarray(v, dtype=np.float64) for v in (x, y, stderr))
    if x.size < 2 or np.ptp(x) == 0.0:
        raise ValueError(
            f"a line needs points at two different x at least, got {x.size} points\n"
            "  try:  a sweep in which the ratio of the weights changes"
        )
    weight = 1.0 / stderr**2 if independent and np.all(stderr > 0.0) else np.ones_like(x)
    weight = weight / weight.sum()
    mean_x, mean_y = weight @ x, weight @ y
    # slope and intercept are linear in y: the coefficients carry the errors of y over
    to_slope = weight * (x - mean_x) / (weight @ (x - mean_x) ** 2)
    to_intercept = weight - to_slope * mean_x
    slope, intercept = float(to_slope @ y), float(to_intercept @ y)
    total = float(weight @ (y - mean_y) ** 2)
    rest = float(weight @ (y - slope * x - intercept) ** 2)
    return Line(
        slope,
        intercept,
        _error(to_slope * stderr, independent),
        _error(to_intercept * stderr, independent),
        1.0 - rest / total if total > 0.0 else math.nan,
    )


def _error(parts: np.ndarray[Any, Any], independent: bool) -> float:
    """The standard error of a sum of terms with these standard errors."""
    return float(np.sqrt(parts @ parts) if independent else np.abs(parts).sum())
