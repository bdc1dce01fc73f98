"""Poincare constants and Stein kernels of densities on the line, solved numerically.

A Poincare constant of a density p is the smallest C with Var f <= C E[f'^2] for all smooth f. 1 / C is the
smallest positive eigenvalue of -(p f')' = lambda p f with f' = 0 at both ends (Roustant, Barthe & Iooss 2017,
doi.org/10.1214/17-EJS1310). Read `spectral`, then `stein_table`. Imports NumPy only; SciPy inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

_POINTS = 300  # per family of nodes
_GAUSS = np.polynomial.legendre.leggauss(8)


def _panels(nodes: Any) -> tuple[Any, Any]:
    """Gauss-Legendre points and weights of every interval between nodes, each of shape (intervals, 8)."""
    half = np.diff(nodes)[:, None] / 2
    middle = (nodes[1:] + nodes[:-1])[:, None] / 2
    return middle + half * _GAUSS[0], half * _GAUSS[1]


def _mesh(low: float, high: float, ppf: Callable[[Any], Any]) -> Any:
    """Nodes spread evenly over the interval and over the probability, and graded towards both ends."""
    even = np.linspace(0, 1, _POINTS)
    graded = np.geomspace(1e-12, 1e-2, _POINTS // 4)
    u = np.concatenate([even[1:-1], graded, 1 - graded])
    nodes = np.unique(np.clip(np.concatenate([low + (high - low) * even, ppf(u)]), low, high))
    # intervals at the level of rounding carry nothing
    return nodes[np.concatenate([[True], np.diff(nodes) > 1e-12 * (high - low)])]


def _running() -> Any:
    """The matrix that takes values at the Gauss points of (-1, 1) to the integrals from -1 to each point."""
    leg = np.polynomial.legendre
    coefficients = np.linalg.inv(leg.legvander(_GAUSS[0], len(_GAUSS[0]) - 1))
    return leg.legval(_GAUSS[0], leg.legint(coefficients, lbnd=-1, axis=0)).T


def spectral(
    cdf: Callable[[Any], Any], sf: Callable[[Any], Any], ppf: Callable[[Any], Any], low: float, high: float
) -> float:
    """The Poincare constant of a law on the bounded interval (low, high).

    cdf, sf = 1 - cdf and ppf map arrays to arrays; a density is not needed: it may be infinite at the ends.
    Var f is the double integral of f'(x) f'(y) cdf(min(x, y)) sf(max(x, y)) (Hoeffding 1940), so C is the
    largest eigenvalue of that kernel against the density. Here f' is constant on each of some 700 intervals:
    the result is a lower bound of C, with a relative error of about 1e-5.

    >>> C = spectral(lambda x: x, lambda x: 1 - x, lambda u: u, 0.0, 1.0)
    >>> abs(C * np.pi**2 - 1) < 1e-5
    True
    """
    from scipy.linalg import eigh

    nodes = _mesh(low, high, ppf)
    x, w = _panels(nodes)
    F, S = cdf(x), sf(x)
    below, above = (F * w).sum(1), (S * w).sum(1)
    kernel = np.triu(np.outer(below, above), 1)
    half = np.diff(nodes)[:, None] / 2
    inside = 2 * (S * w * half * (F @ _running().T)).sum(1)
    kernel = kernel + kernel.T + np.diag(inside)
    # differences of whichever tail is the smaller number
    at_low, at_high = np.diff(cdf(nodes)), -np.diff(sf(nodes))
    mass = np.where(cdf(nodes[1:]) < 0.5, at_low, at_high)
    live = mass > 0
    root = np.sqrt(mass[live])
    matrix = kernel[np.ix_(live, live)] / np.outer(root, root)
    last = len(matrix) - 1
    return float(eigh(matrix, eigvals_only=True, subset_by_index=[last, last])[0])


@lru_cache(maxsize=256)
def beta_constant(a: float, b: float) -> float:
    """The Poincare constant of the Beta density x^(a-1) (1-x)^(b-1).

    >>> round(beta_constant(1.0, 1.0) * np.pi**2, 4)
    1.0
    """
    from scipy.special import betainc, betaincinv

    return spectral(
        lambda x: betainc(a, b, x), lambda x: betainc(b, a, 1 - x), lambda u: betaincinv(a, b, u), 0.0, 1.0
    )


def stein_table(pdf: Callable[[Any], Any], ppf: Callable[[Any], Any], mean: float) -> Callable[[Any], Any]:
    """The Stein kernel of any density as a function of x: integrated between quantiles, then interpolated.

    The relative error is about 1e-6 between the quantiles of 1e-9 and 1 - 1e-9 (1e-4 next to a kink of the
    density); outside the value stays that of the last quantile.
    """
    from scipy.interpolate import CubicSpline

    graded = np.geomspace(1e-9, 1e-2, 100)
    u = np.unique(np.concatenate([graded, np.linspace(1e-2, 1 - 1e-2, 1600), 1 - graded]))
    nodes = np.unique(ppf(u))
    x, w = _panels(nodes)
    part = ((x - mean) * pdf(x) * w).sum(1)
    # each tail is summed from its own end, so that the small numbers there keep their digits
    above = np.concatenate([np.cumsum(part[::-1])[::-1], [0.0]])
    below = np.concatenate([[0.0], -np.cumsum(part)])
    middle = len(nodes) // 2
    integral = np.where(np.arange(len(nodes)) > middle, above + _tail(ppf, mean, top=True), 0.0)
    integral = np.where(np.arange(len(nodes)) <= middle, below + _tail(ppf, mean, top=False), integral)
    spline = CubicSpline(nodes, integral / pdf(nodes))

    def tau(values: Any) -> Any:
        return spline(np.clip(values, nodes[0], nodes[-1]))

    return tau


def _tail(ppf: Callable[[Any], Any], mean: float, *, top: bool) -> float:
    """The integral of |y - mean| p(y) beyond the outermost node, in the variable log u."""
    t, w = _panels(np.linspace(np.log(1e-15), np.log(1e-9), 9))
    u = np.exp(t)
    distance = ppf(1 - u) - mean if top else mean - ppf(u)
    return float((distance * u * w).sum())
