"""Random inputs of a sensitivity study, with PyTorch's names for their parameters.

Read `base` first.

>>> from pullback.sampling.distributions import Normal
>>> Normal(0.0, 1.0).expand((2, 3)).shape
torch.Size([2, 3])
"""

from __future__ import annotations

from pullback.sampling.distributions.base import Distribution
from pullback.sampling.distributions.continuous import Exponential, LogNormal, Normal, Uniform
from pullback.sampling.distributions.discrete import Bernoulli, Empirical
from pullback.sampling.distributions.frozen import Frozen, from_scipy, is_frozen
from pullback.sampling.distributions.multivariate import MultivariateNormal, Stacked
from pullback.sampling.distributions.shaped import Beta, Gamma, StudentT

__all__ = [
    "Bernoulli",
    "Beta",
    "Distribution",
    "Empirical",
    "Exponential",
    "Frozen",
    "Gamma",
    "LogNormal",
    "MultivariateNormal",
    "Normal",
    "Stacked",
    "StudentT",
    "Uniform",
    "from_scipy",
    "is_frozen",
]
