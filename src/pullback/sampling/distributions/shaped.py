"""Laws with shape parameters, whose quantiles are special functions: Gamma, Beta, StudentT.

May import `base` and `sampling.poincare`. Their values are computed in NumPy and SciPy per block of samples
(`transform` is None) and reach a kernel as an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.sampling.distributions.base import Univariate
from pullback.sampling.poincare import beta_constant


class Gamma(Univariate):
    """Gamma distribution with shape `concentration` and inverse scale `rate`; both broadcast.

    >>> float(Gamma(3.0, 2.0).mean)
    1.5
    """

    base = "uniform"
    closed = False
    constraints = (("concentration", "positive"), ("rate", "positive"))

    def __init__(self, concentration: Any, rate: Any = 1.0) -> None:
        super().__init__(concentration=concentration, rate=rate)
        self.concentration, self.rate = self.params["concentration"], self.params["rate"]

    def values(self, z: Any) -> Any:
        """The quantile function at z."""
        from scipy.special import gammaincinv

        return gammaincinv(self.concentration, np.asarray(z, np.float64)) / self.rate

    @property
    def mean(self) -> Any:
        """concentration / rate."""
        return self._full(self.concentration / self.rate)

    @property
    def variance(self) -> Any:
        """concentration / rate^2."""
        return self._full(self.concentration / self.rate**2)

    @property
    def open_ended(self) -> bool:
        """Whether every concentration is above 1, so that the density starts from 0."""
        return bool(np.all(self.concentration > 1))

    def score(self, x: Any) -> Any:
        """rate - (concentration - 1) / x."""
        return self.rate - (self.concentration - 1) / x

    @property
    def poincare(self) -> Any:
        """(k + 1)^2 / (k rate^2) for a concentration k > 1, else 4 / rate^2.

        1 / C is the first positive eigenvalue of -f'' - ((k - 1) / x - 1) f' (rate 1). Substituting
        f = x^(-(k-1)/2) e^(x/2) u gives the radial Coulomb equation, whose levels are
        1/4 - ((k - 1) / (4 (n + (k - 1) / 2)))^2; n = 1 is bound for k > 1, else the continuum from 1/4 on
        comes next.
        """
        k = self.concentration
        return self._full(np.where(k > 1, (k + 1) ** 2 / k, 4.0) / self.rate**2)

    def stein(self, x: Any) -> Any:
        """x / rate."""
        return x / self.rate


class Beta(Univariate):
    """Beta distribution on (0, 1) with shapes `concentration1` (at 1) and `concentration0` (at 0).

    >>> float(Beta(1.0, 3.0).mean)
    0.25
    """

    base = "uniform"
    closed = False
    constraints = (("concentration1", "positive"), ("concentration0", "positive"))

    def __init__(self, concentration1: Any, concentration0: Any) -> None:
        super().__init__(concentration1=concentration1, concentration0=concentration0)
        self.concentration1, self.concentration0 = self.params.values()

    def values(self, z: Any) -> Any:
        """The quantile function at z."""
        from scipy.special import betaincinv

        return betaincinv(self.concentration1, self.concentration0, np.asarray(z, np.float64))

    @property
    def mean(self) -> Any:
        """a / (a + b), a = concentration1, b = concentration0."""
        return self._full(self.concentration1 / (self.concentration1 + self.concentration0))

    @property
    def variance(self) -> Any:
        """a b / ((a + b)^2 (a + b + 1))."""
        a, b = self.concentration1, self.concentration0
        return self._full(a * b / ((a + b) ** 2 * (a + b + 1)))

    @property
    def open_ended(self) -> bool:
        """Whether both concentrations are above 1 everywhere."""
        return bool(np.all(self.concentration1 > 1) and np.all(self.concentration0 > 1))

    def score(self, x: Any) -> Any:
        """(b - 1) / (1 - x) - (a - 1) / x."""
        return (self.concentration0 - 1) / (1 - x) - (self.concentration1 - 1) / x

    @property
    def poincare(self) -> Any:
        """By the spectral problem of the density, solved numerically (`sampling.poincare`)."""
        a, b = np.broadcast_arrays(self.concentration1, self.concentration0)
        found = [beta_constant(float(p), float(q)) for p, q in zip(a.flat, b.flat, strict=True)]
        return self._full(np.reshape(found, a.shape))

    def stein(self, x: Any) -> Any:
        """x (1 - x) / (a + b)."""
        return x * (1 - x) / (self.concentration1 + self.concentration0)


class StudentT(Univariate):
    """Student's t with `df` degrees of freedom, location `loc` and scale `scale`; all broadcast.

    >>> float(StudentT(4.0).variance)
    2.0
    """

    base = "uniform"
    closed = False
    constraints = (("df", "positive"), ("loc", "real"), ("scale", "positive"))

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> None:
        super().__init__(df=df, loc=loc, scale=scale)
        self.df, self.loc, self.scale = self.params.values()

    def values(self, z: Any) -> Any:
        """The quantile function at z."""
        from scipy.special import stdtrit

        return self.loc + self.scale * stdtrit(self.df, np.asarray(z, np.float64))

    @property
    def mean(self) -> Any:
        """loc; nan where df <= 1."""
        return self._full(np.where(self.df > 1, self.loc, np.nan))

    @property
    def variance(self) -> Any:
        """scale^2 df / (df - 2); inf where 1 < df <= 2, nan where df <= 1, as in PyTorch."""
        df = np.asarray(self.df)
        with np.errstate(divide="ignore", invalid="ignore"):
            finite = self.scale**2 * df / (df - 2)
        return self._full(np.where(df > 2, finite, np.where(df > 1, np.inf, np.nan)))

    @property
    def open_ended(self) -> bool:
        """True."""
        return True

    def score(self, x: Any) -> Any:
        """(df + 1) r / (df scale^2 + r^2), r = x - loc."""
        r = x - self.loc
        return (self.df + 1) * r / (self.df * self.scale**2 + r**2)

    @property
    def poincare(self) -> Any:
        """inf: the tail is too heavy for a finite constant."""
        return self._full(np.inf)

    def stein(self, x: Any) -> Any:
        """(df scale^2 + (x - loc)^2) / (df - 1); nan where df <= 2, since the variance is not finite."""
        df = np.where(self.df > 2, self.df, np.nan)
        return (df * self.scale**2 + (x - self.loc) ** 2) / (df - 1)
