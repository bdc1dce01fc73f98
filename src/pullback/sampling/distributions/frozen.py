"""SciPy's frozen distributions as inputs.

Read `from_scipy`: laws that this package has itself become those; any other becomes a `Frozen`, which asks
the SciPy object. May import the distributions of this package; SciPy's objects come in from the user.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.sampling.distributions.base import Distribution
from pullback.sampling.distributions.continuous import Exponential, LogNormal, Normal, Uniform
from pullback.sampling.distributions.discrete import Bernoulli
from pullback.sampling.distributions.multivariate import MultivariateNormal
from pullback.sampling.distributions.shaped import Beta, Gamma, StudentT
from pullback.sampling.poincare import spectral, stein_table


def is_frozen(item: object) -> bool:
    """Whether `item` is a distribution of SciPy with its parameters: `scipy.stats.norm(0, 1)`."""
    module = type(item).__module__
    return module.startswith("scipy.stats") and "frozen" in type(item).__name__


# SciPy's name -> ours from (shape parameters, loc, scale); None where loc or scale make it another law
_KNOWN: dict[str, Callable[[Any, Any, Any], Distribution | None]] = {
    "norm": lambda _, loc, scale: Normal(loc, scale),
    "uniform": lambda _, loc, scale: Uniform(loc, np.add(loc, scale)),
    "lognorm": lambda s, loc, scale: LogNormal(np.log(scale), s[0]) if not np.any(loc) else None,
    "expon": lambda _, loc, scale: Exponential(np.divide(1, scale)) if not np.any(loc) else None,
    "gamma": lambda s, loc, scale: Gamma(s[0], np.divide(1, scale)) if not np.any(loc) else None,
    "beta": lambda s, loc, scale: Beta(*s) if not np.any(loc) and np.all(scale == 1) else None,
    "t": lambda s, loc, scale: StudentT(s[0], loc, scale),
    "bernoulli": lambda s, loc, _: Bernoulli(s[0]) if not np.any(loc) else None,
}


def from_scipy(rv: Any) -> Distribution:
    """The distribution that a frozen SciPy one stands for.

    TypeError for multivariate ones other than `multivariate_normal`: they have no quantile function.

    >>> import scipy.stats
    >>> from_scipy(scipy.stats.norm(6, 1))
    Normal(loc: 6.0, scale: 1.0)
    """
    if type(rv).__name__ == "multivariate_normal_frozen":
        return MultivariateNormal(np.atleast_1d(rv.mean), np.atleast_2d(rv.cov))
    if not hasattr(rv, "ppf"):
        raise TypeError(
            message(
                f"{type(rv).__name__} has no quantile function, so it cannot be an input",
                "of SciPy's multivariate distributions, multivariate_normal is known",
                "draw samples yourself and pass pullback.given(samples) or Empirical(samples)",
            )
        )
    shapes, loc, scale = rv.dist._parse_args(*rv.args, **rv.kwds)
    known = _KNOWN.get(rv.dist.name, lambda *_: None)(shapes, loc, scale)
    return Frozen(rv) if known is None else known


class Frozen(Distribution):
    """Any other frozen distribution of SciPy, `rv`; its shape is that of its broadcast parameters.

    >>> import scipy.stats
    >>> d = Frozen(scipy.stats.triang(0.5))
    >>> float(d.mean), bool(np.allclose(d.score(0.25), -4.0))
    (0.5, True)
    """

    base = "uniform"
    closed = False

    def __init__(self, rv: Any) -> None:
        super().__init__({}, np.shape(rv.ppf(0.5)))
        self.rv = rv
        self.discrete = not hasattr(rv, "pdf")

    def values(self, z: Any) -> Any:
        """The SciPy object's ppf."""
        return np.asarray(self.rv.ppf(np.asarray(z, np.float64)), np.float64)

    def _full(self, value: Any) -> Any:
        return np.array(np.broadcast_to(np.asarray(value, np.float64), tuple(self.shape)))

    @property
    def mean(self) -> Any:
        """The SciPy object's mean."""
        return self._full(self.rv.mean())

    @property
    def variance(self) -> Any:
        """The SciPy object's variance."""
        return self._full(self.rv.var())

    @property
    def open_ended(self) -> bool:
        """Whether the density is below 1e-8 of the middle one at the outermost quantiles."""
        if self.discrete:
            return False
        ends = np.maximum(self.rv.pdf(self.rv.ppf(1e-14)), self.rv.pdf(self.rv.ppf(1 - 1e-14)))
        return bool(np.all(ends <= 1e-8 * self.rv.pdf(self.rv.ppf(0.5))))

    def score(self, x: Any) -> Any:
        """-d/dx log p by a central difference of fourth order over 1/1000 of the standard deviation, or what
        the distance to the ends of the support allows.
        """
        if self.discrete:
            return super().score(x)
        low, high = self.rv.support()
        h = np.minimum(1e-3 * self.rv.std(), np.minimum(x - low, high - x) / 4)
        p = self.rv.logpdf
        return -(8 * (p(x + h) - p(x - h)) - (p(x + 2 * h) - p(x - 2 * h))) / (12 * h)

    @property
    def poincare(self) -> Any:
        """By the spectral problem on a bounded support; inf (use `stein`) on an unbounded one."""
        if self.discrete:
            return self._full(np.nan)
        return self._full(self._constants)

    @cached_property
    def _constants(self) -> Any:
        return self._by_entry(_constant)

    @cached_property
    def _kernels(self) -> Any:
        return self._by_entry(lambda rv: stein_table(rv.pdf, rv.ppf, float(rv.mean())), object)

    def _by_entry(self, f: Callable[[Any], Any], dtype: Any = np.float64) -> Any:
        """f of the scalar distribution of each entry, in an array of the parameters' shape."""
        shapes, loc, scale = self.rv.dist._parse_args(*self.rv.args, **self.rv.kwds)
        parameters = np.broadcast_arrays(*shapes, loc, scale)
        out = np.empty(parameters[0].shape, dtype)
        for index in np.ndindex(out.shape):
            *s, a, b = (p[index] for p in parameters)
            out[index] = f(self.rv.dist(*s, loc=a, scale=b))
        return out

    def stein(self, x: Any) -> Any:
        """By integrating the density numerically."""
        if self.discrete:
            return super().stein(x)
        kernels: Any = np.broadcast_to(self._kernels, tuple(self.shape))
        out = np.empty(np.shape(x))
        for index in np.ndindex(kernels.shape):
            out[..., *index] = kernels[index](np.asarray(x)[..., *index])
        return out

    def __getstate__(self) -> dict[str, Any]:
        # the tables are closures, and are made again when asked for
        return {k: v for k, v in self.__dict__.items() if k not in ("_kernels", "_constants")}

    def __repr__(self) -> str:
        parts = [repr(a) for a in self.rv.args] + [f"{k}={v!r}" for k, v in self.rv.kwds.items()]
        return f"Frozen(scipy.stats.{self.rv.dist.name}({', '.join(parts)}))"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frozen) and (repr(self), self.shape) == (repr(other), other.shape)

    def __hash__(self) -> int:
        return hash((repr(self), tuple(self.shape)))


def _constant(rv: Any) -> float:
    low, high = rv.support()
    if not np.isfinite(low) or not np.isfinite(high):
        return np.inf
    return spectral(rv.cdf, rv.sf, rv.ppf, float(low), float(high))
