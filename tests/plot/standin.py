"""Results to draw, made with NumPy: what a figure reads of a result, and nothing else."""

from dataclasses import dataclass
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import numpy as np

SLOPES = np.array([1.0, 1.0, 2.0, 3.0])
WEIGHTS = np.linspace(0.01, 0.5, 20)


@dataclass
class Result:
    mean: Any
    stderr: Any
    value_mean: Any
    upstream: Any = None
    each: tuple = ()
    names: tuple = ("x",)
    wrt: tuple = (0,)
    confidence: float = 0.95
    samples: int = 1000
    common_draws: bool = False
    _rows: Any = None

    @property
    def stacked(self):
        return self.upstream is not None and np.ndim(self.upstream) > np.ndim(self.value_mean) - len(
            self.each
        )

    @property
    def leading(self):
        return (*map(len, self.each), *([len(self.upstream)] if self.stacked else []))

    @property
    def labels(self):
        fields = self.mean if isinstance(self.mean, tuple) else (self.mean,)
        skip = len(self.leading)
        return tuple(
            self.names[a] + (f"[{','.join(map(str, i))}]" if i else "")
            for a, f in zip(self.wrt, fields, strict=True)
            for i in np.ndindex(np.shape(f)[skip:])
        )

    def flat(self, field):
        parts = field if isinstance(field, tuple) else (field,)
        return np.concatenate([np.reshape(p, (*self.leading, -1)) for p in parts], -1)

    def iterate(self, cell=0):
        if self._rows is None:
            raise RuntimeError("it was loaded from a file")
        return self._rows(cell)

    def interval(self, confidence=None):
        z = NormalDist().inv_cdf(0.5 + (confidence or self.confidence) / 2)
        if isinstance(self.mean, tuple):
            ends = [(m - z * s, m + z * s) for m, s in zip(self.mean, self.stderr, strict=True)]
            return tuple(low for low, _ in ends), tuple(high for _, high in ends)
        return self.mean - z * self.stderr, self.mean + z * self.stderr

    def ratio(self, i, j, *, confidence):
        a, b = self.mean[..., i], self.mean[..., j]
        error = np.abs(a / b) * np.hypot(self.stderr[..., i] / a, self.stderr[..., j] / b)
        z = NormalDist().inv_cdf(0.5 + self.confidence / 2)
        return SimpleNamespace(value=a / b, low=a / b - z * error, high=a / b + z * error)


def relu_sweep(samples=2000, seed=0):
    """The mean gradient of v . relu(W x) over standard normal x, for 20 upstream vectors."""
    rng = np.random.default_rng(seed)
    upstream = np.zeros((20, 4))
    upstream[:, 2], upstream[:, 3] = WEIGHTS, 1 - WEIGHTS
    mean, stderr = np.zeros((20, 6)), np.zeros((20, 6))
    for k, v in enumerate(upstream):
        gradient = np.zeros((samples, 6))
        gradient[:, :4] = (rng.standard_normal((samples, 4)) > 0) * SLOPES * v
        mean[k], stderr[k] = gradient.mean(axis=0), gradient.std(axis=0, ddof=1) / np.sqrt(samples)
    return Result(mean, stderr, np.zeros(4), upstream, samples=samples)


def single(samples=20_000, seed=1, chunk=3000):
    """One upstream vector, with rows that can be made again: entries of different size, one of them zero."""
    rng = np.random.default_rng(seed)
    gradients = rng.standard_normal((samples, 4)) * [1.0, 2.0, 0.0, 0.5] + [1.0, -2.0, 0.0, 0.1]

    def rows(cell):
        assert cell == 0
        for start in range(0, samples, chunk):
            part = gradients[start : start + chunk]
            yield part[:, 0], part, part

    return Result(
        gradients.mean(axis=0),
        gradients.std(axis=0, ddof=1) / np.sqrt(samples),
        np.array(0.0),
        samples=samples,
        _rows=rows,
    )
