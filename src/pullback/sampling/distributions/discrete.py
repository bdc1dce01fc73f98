"""Laws without a density: Bernoulli, and Empirical (draws from a sample that you have).

May import `base`. They have no score, no Poincare constant and no Stein kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.methods import Tensor
from pullback.sampling.distributions.base import Distribution, Univariate, constant, parameter


class Bernoulli(Univariate):
    """1 with probability `probs`, else 0.

    >>> float(Bernoulli(0.25).variance)
    0.1875
    """

    base = "uniform"
    discrete = True
    constraints = (("probs", "unit"),)

    def __init__(self, probs: Any) -> None:
        super().__init__(probs=probs)
        self.probs = self.params["probs"]

    def _map(self, z: Tensor) -> Tensor:
        return (z > constant(1 - self.probs, z)).to(z.dtype)

    def values(self, z: Any) -> Any:
        """1 where z > 1 - probs."""
        return (np.asarray(z) > 1 - self.probs).astype(np.float64)

    @property
    def mean(self) -> Any:
        """probs."""
        return self._full(self.probs)

    @property
    def variance(self) -> Any:
        """probs (1 - probs)."""
        return self._full(self.probs * (1 - self.probs))


class Empirical(Distribution):
    """One of the given samples, all equally likely; `samples` has them along its first axis.

    A sample is drawn whole, so the entries of `samples[i]` keep their dependence; `event_shape` is
    `samples.shape[1:]`. Raises ValueError for no samples or values that are not finite.

    >>> Empirical([[1.0, 10.0], [2.0, 20.0]]).mean
    array([ 1.5, 15. ])
    """

    base = "uniform"
    closed = False
    discrete = True

    def __init__(self, samples: Any) -> None:
        data = parameter("Empirical", "samples", samples)
        if not data.ndim or not len(data) or not np.isfinite(data).all():
            raise ValueError(
                message(
                    "Empirical: samples must hold at least one sample along the first axis, all of it finite",
                    f"shape {data.shape}, {np.sum(~np.isfinite(data))} values not finite",
                    "pass an array of shape (n,) or (n, ...), without nan and inf",
                )
            )
        super().__init__({"samples": data}, ())
        self.samples, self.event_shape = data, data.shape[1:]

    @property
    def slot_shape(self) -> tuple[int, ...]:
        """One number picks a whole sample: the batch shape."""
        return self.batch_shape

    def values(self, z: Any) -> Any:
        """Sample number floor(n z)."""
        n = len(self.samples)
        return self.samples[np.minimum((np.asarray(z, np.float64) * n).astype(np.int64), n - 1)]

    @property
    def mean(self) -> Any:
        """The samples' mean."""
        return np.array(np.broadcast_to(self.samples.mean(0), tuple(self.shape)))

    @property
    def variance(self) -> Any:
        """The samples' variance (divided by n)."""
        return np.array(np.broadcast_to(self.samples.var(0), tuple(self.shape)))

    @property
    def independent(self) -> bool:
        """Whether a sample is one number: the entries of a longer one are drawn together."""
        return int(np.prod(self.event_shape)) <= 1

    def __repr__(self) -> str:
        return f"Empirical({len(self.samples)} samples of shape {tuple(self.event_shape)})"
