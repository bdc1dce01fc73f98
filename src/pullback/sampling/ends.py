"""The ends of densities: what integration by parts leaves there in the likelihood-ratio estimator.

Read `ends`. E[f'(x)] = E[f(x) score(x)] + f(high) p(high) - f(low) p(low): the last two terms are 0 for
densities that vanish at their ends, known for uniform and exponential laws, and refused for others. May
import `distributions`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.sampling.distributions import Distribution, Exponential, Uniform
from pullback.sampling.distributions.multivariate import Stacked

End = tuple[Any, Any, float]


def ends(argument: int, law: Distribution) -> list[End]:
    """(place, density, sign) of each end where the density is not 0; ValueError where that is not known.

    place and density have the law's shape; sign is -1 at the lower end, 1 at the upper one.

    >>> [(float(x), float(p), s) for x, p, s in ends(0, Uniform(0.0, 2.0))]
    [(0.0, 0.5, -1.0), (2.0, 0.5, 1.0)]
    """
    if isinstance(law, Stacked):
        return _stacked(argument, law)
    if isinstance(law, Uniform):
        p = _full(law, 1 / (law.high - law.low))
        return [(_full(law, law.low), p, -1.0), (_full(law, law.high), p, 1.0)]
    if isinstance(law, Exponential):
        return [(_full(law, 0.0), _full(law, law.rate), -1.0)]
    if law.open_ended:
        return []
    raise ValueError(
        message(
            'method="likelihood_ratio" needs a density that vanishes at the ends of its support',
            f"argument {argument} is {law!r}: integration by parts leaves a term there that is not known",
            "use smooth=width, or write the argument as a function of a normal or uniform one",
        )
    )


def _full(law: Distribution, value: Any) -> Any:
    return np.broadcast_to(np.asarray(value, np.float64), tuple(law.shape))


def _stacked(argument: int, law: Stacked) -> list[End]:
    """One law per entry: each end of an entry, with density 0 for the other entries."""
    found: list[End] = []
    for k, entry in enumerate(law.entries):
        for place, density, sign in ends(argument, entry):
            here = np.zeros(tuple(law.shape))
            there = np.zeros(tuple(law.shape))
            here[k], there[k] = place, density
            found.append((here, there, sign))
    return found
