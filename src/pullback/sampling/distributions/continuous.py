"""Continuous laws whose map from standard numbers is one line: Normal, Uniform, LogNormal, Exponential.

May import `base`. Each class is its parameters, its map (`_map` with tensors, `values` in NumPy), moments,
score, Poincare constant and Stein kernel; sources are named where a formula is not a textbook's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.methods import Tensor
from pullback.sampling.distributions.base import Univariate, constant


class Normal(Univariate):
    """Normal distribution with mean `loc` and standard deviation `scale`; both broadcast.

    >>> d = Normal(6.0, 1.0)
    >>> d, float(d.mean), float(d.poincare)
    (Normal(loc: 6.0, scale: 1.0), 6.0, 1.0)
    """

    base = "normal"
    constraints = (("loc", "real"), ("scale", "positive"))

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0) -> None:
        super().__init__(loc=loc, scale=scale)
        self.loc, self.scale = self.params["loc"], self.params["scale"]

    def _map(self, z: Tensor) -> Tensor:
        return constant(self.loc, z) + constant(self.scale, z) * z

    def values(self, z: Any) -> Any:
        """loc + scale z."""
        return self.loc + self.scale * np.asarray(z, np.float64)

    @property
    def mean(self) -> Any:
        """loc."""
        return self._full(self.loc)

    @property
    def variance(self) -> Any:
        """scale^2."""
        return self._full(self.scale**2)

    @property
    def open_ended(self) -> bool:
        """True."""
        return True

    def score(self, x: Any) -> Any:
        """(x - loc) / scale^2."""
        return (x - self.loc) / self.scale**2

    @property
    def poincare(self) -> Any:
        """scale^2: linear functions reach the bound (Nash 1958; Chernoff 1981)."""
        return self.variance

    def stein(self, x: Any) -> Any:
        """scale^2, for every x: Stein's lemma."""
        return np.broadcast_to(self.scale**2, np.shape(x)).copy()


class Uniform(Univariate):
    """Uniform distribution on (low, high); both broadcast.

    >>> d = Uniform(0.0, [1.0, 2.0])
    >>> d.shape, d.mean, (d.poincare * np.pi**2).round(12)
    (torch.Size([2]), array([0.5, 1. ]), array([1., 4.]))
    """

    base = "uniform"
    constraints = (("low", "real"), ("high", "real"))

    def __init__(self, low: Any = 0.0, high: Any = 1.0) -> None:
        super().__init__(low=low, high=high)
        self.low, self.high = self.params["low"], self.params["high"]
        bound = float(self.high) if not self.high.ndim else self.high
        self._require(
            "low",
            f"LessThan(upper_bound={bound})",
            self.low < self.high,
            "swap low and high, or widen the range",
        )

    def _map(self, z: Tensor) -> Tensor:
        return constant(self.low, z) + constant(self.high - self.low, z) * z

    def values(self, z: Any) -> Any:
        """low + (high - low) z."""
        return self.low + (self.high - self.low) * np.asarray(z, np.float64)

    @property
    def mean(self) -> Any:
        """(low + high) / 2."""
        return self._full((self.low + self.high) / 2)

    @property
    def variance(self) -> Any:
        """(high - low)^2 / 12."""
        return self._full((self.high - self.low) ** 2 / 12)

    def score(self, x: Any) -> Any:
        """0 inside: all of the derivative of an expectation sits at the two ends (`open_ended` is False)."""
        return np.zeros(np.broadcast_shapes(np.shape(x), tuple(self.shape)))

    @property
    def poincare(self) -> Any:
        """(high - low)^2 / pi^2: the cosine of half a period reaches the bound (Payne & Weinberger 1960)."""
        return self._full((self.high - self.low) ** 2 / math.pi**2)

    def stein(self, x: Any) -> Any:
        """(x - low)(high - x) / 2."""
        return (x - self.low) * (self.high - x) / 2


class LogNormal(Univariate):
    """exp of a normal with mean `loc` and standard deviation `scale`; both broadcast.

    >>> float(LogNormal(0.0, 1.0).mean.round(6))
    1.648721
    """

    base = "normal"
    constraints = (("loc", "real"), ("scale", "positive"))

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0) -> None:
        super().__init__(loc=loc, scale=scale)
        self.loc, self.scale = self.params["loc"], self.params["scale"]

    def _map(self, z: Tensor) -> Tensor:
        return (constant(self.loc, z) + constant(self.scale, z) * z).exp()

    def values(self, z: Any) -> Any:
        """exp(loc + scale z)."""
        return np.exp(self.loc + self.scale * np.asarray(z, np.float64))

    @property
    def mean(self) -> Any:
        """exp(loc + scale^2 / 2)."""
        return self._full(np.exp(self.loc + self.scale**2 / 2))

    @property
    def variance(self) -> Any:
        """(exp(scale^2) - 1) exp(2 loc + scale^2)."""
        return self._full(np.expm1(self.scale**2) * np.exp(2 * self.loc + self.scale**2))

    @property
    def open_ended(self) -> bool:
        """True."""
        return True

    def score(self, x: Any) -> Any:
        """(1 + (log x - loc) / scale^2) / x."""
        return (1 + (np.log(x) - self.loc) / self.scale**2) / x

    @property
    def poincare(self) -> Any:
        """inf: the tail is too heavy for a finite constant (it is heavier than exponential)."""
        return self._full(np.inf)

    def stein(self, x: Any) -> Any:
        """mean (P(Z < t) - P(Z < t - scale)) / p(x), t = (log x - loc) / scale: by direct integration."""
        from scipy.special import ndtr

        t = (np.log(x) - self.loc) / self.scale
        # the difference of the two probabilities is taken in the tail where both are small
        side = np.where(t > self.scale / 2, -1.0, 1.0)
        difference = side * (ndtr(side * t) - ndtr(side * (t - self.scale)))
        density = np.exp(-(t**2) / 2) / (np.sqrt(2 * np.pi) * self.scale * x)
        return self.mean * difference / density


class Exponential(Univariate):
    """Exponential distribution with mean 1 / `rate`.

    >>> float(Exponential(2.0).mean), float(Exponential(2.0).poincare)
    (0.5, 1.0)
    """

    base = "uniform"
    constraints = (("rate", "positive"),)

    def __init__(self, rate: Any) -> None:
        super().__init__(rate=rate)
        self.rate = self.params["rate"]

    def _map(self, z: Tensor) -> Tensor:
        return (-z).log1p() * constant(-1 / self.rate, z)

    def values(self, z: Any) -> Any:
        """-log(1 - z) / rate."""
        return -np.log1p(-np.asarray(z, np.float64)) / self.rate

    @property
    def mean(self) -> Any:
        """1 / rate."""
        return self._full(1 / self.rate)

    @property
    def variance(self) -> Any:
        """1 / rate^2."""
        return self._full(self.rate**-2)

    def score(self, x: Any) -> Any:
        """rate; the density does not vanish at 0, so a boundary term is missing (`open_ended` is False)."""
        return np.broadcast_to(self.rate, np.shape(x)).copy()

    @property
    def poincare(self) -> Any:
        """4 / rate^2 (Bobkov & Ledoux 1997)."""
        return self._full(4 / self.rate**2)

    def stein(self, x: Any) -> Any:
        """x / rate."""
        return x / self.rate
