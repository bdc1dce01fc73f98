"""Random inputs of `pullback.sensitivity`: the public names of `sampling.distributions`.

>>> from pullback.distributions import Normal
>>> Normal(0.0, 1.0).expand(3).shape
torch.Size([3])
"""

from __future__ import annotations

from pullback.sampling.distributions import (
    Bernoulli,
    Beta,
    Distribution,
    Empirical,
    Exponential,
    Gamma,
    LogNormal,
    MultivariateNormal,
    Normal,
    StudentT,
    Uniform,
    from_scipy,
)

__all__ = [
    "Bernoulli",
    "Beta",
    "Distribution",
    "Empirical",
    "Exponential",
    "Gamma",
    "LogNormal",
    "MultivariateNormal",
    "Normal",
    "StudentT",
    "Uniform",
    "from_scipy",
]
