"""The works of sampling_works.py by hand for NumPy: gradients worked out on paper."""

from __future__ import annotations

import numpy as np
from sampling_works import SEED, STRIKE, Contender, Run, Size, normals, times, trades, upstream
from works import weights


def sweep(size: Size) -> Run:
    """Draw, W x, mask, W^T (mask v), mean; one upstream vector at a time."""
    W, vectors = weights(), upstream()

    def run() -> np.ndarray:
        rng = np.random.default_rng(SEED)
        out = np.empty((len(vectors), 6))
        for k, v in enumerate(vectors):
            x = rng.standard_normal((size[0], 6), dtype=np.float32)
            out[k] = (
                (x @ W.T > 0).mean(axis=0) * v
            ) @ W  # the mean of the mask: everything after it is linear
        return out

    return run


def asian(size: Size) -> Run:
    """Paths of one trade at a time; the derivatives of the mean are means over the dates themselves."""
    count, paths, steps = size
    t, parameters = times(steps), trades(count)
    z = normals(paths, steps)

    def run() -> np.ndarray:
        brownian, out = np.cumsum(z, axis=1) / np.sqrt(steps), np.empty((count, 4))
        for k, (spot, rate, volatility) in enumerate(parameters):
            path = spot * np.exp((rate - volatility**2 / 2) * t + volatility * brownian)
            mean, discount = path.mean(axis=1), np.exp(-rate)
            paid = mean > STRIKE
            by_rate = path @ t / steps
            by_volatility = np.einsum("pt,pt->p", path, brownian) / steps - volatility * by_rate
            payoff = (mean - STRIKE) * paid
            terms = (payoff, paid * mean / spot, paid * by_rate - payoff, paid * by_volatility)
            out[k] = [discount * term.mean() for term in terms]
        return out

    return run


def price_only(size: Size) -> Run:
    """The same paths without gradients."""
    count, paths, steps = size
    t, parameters = times(steps), trades(count)
    z = normals(paths, steps)

    def run() -> np.ndarray:
        brownian, out = np.cumsum(z, axis=1) / np.sqrt(steps), np.empty((count, 1))
        for k, (spot, rate, volatility) in enumerate(parameters):
            path = spot * np.exp((rate - volatility**2 / 2) * t + volatility * brownian)
            out[k] = np.exp(-rate) * np.maximum(path.mean(axis=1) - STRIKE, 0).mean()
        return out

    return run


WORKS = {
    "sweep": {"numpy by hand": Contender(sweep)},
    "asian": {
        "numpy by hand": Contender(asian),
        "numpy by hand, price only": Contender(price_only, "part"),
    },
}
