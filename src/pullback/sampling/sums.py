"""Sums over blocks of samples: what every kernel returns, and how they become averages.

Read `Sums`, then `fold`, then `averages`. Blocks of a fixed number of samples are the unit of everything that
must not depend on threads or chunks: a block's sums are always computed in the same way, and blocks are added
one after the other in their order, in float64. Imports NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 8192  # samples of a block; the last one of a study may be shorter
NEVER = np.iinfo(np.int64).max  # the "first invalid sample" of a block that has none


@dataclass
class Sums:
    """The sums of some cells over some blocks; g is a gradient entry, f the value, c and d their centres.

    table   float64 (cells, blocks, 4 + 4 m): valid samples, invalid samples, sum(f - d), sum((f - d)^2), and
            m entries each of sum(g - c), sum((g - c)^2), sum|g|, count(g != 0)
    first   int64 (cells, blocks): number of the first invalid sample, or `NEVER`
    """

    table: Any
    first: Any

    @classmethod
    def zeros(cls, cells: int, blocks: int, entries: int) -> Sums:
        """Nothing summed yet."""
        return cls(np.zeros((cells, blocks, 4 + 4 * entries)), np.full((cells, blocks), NEVER, np.int64))

    @property
    def counts(self) -> Any:
        """(cells, blocks, 2): valid and invalid samples."""
        return self.table[..., :2]

    @property
    def values(self) -> Any:
        """(cells, blocks, 2): sum(f - d) and sum((f - d)^2)."""
        return self.table[..., 2:4]

    @property
    def entries(self) -> Any:
        """(cells, blocks, 4, m): sum(g - c), sum((g - c)^2), sum|g|, count(g != 0)."""
        t = self.table
        return t[..., 4:].reshape(*t.shape[:2], 4, (t.shape[2] - 4) // 4)


def fold(total: Sums, cells: range, new: Sums) -> None:
    """Add blocks to the totals (one block per cell) of the cells, one after the other in their order."""
    at = slice(cells.start, cells.stop)
    steps = np.concatenate([total.table[at], new.table], axis=1)
    # accumulate adds in order; reduce might add in pairs
    total.table[at, 0] = np.add.accumulate(steps, axis=1)[:, -1]
    np.minimum(total.first[at, 0], new.first.min(axis=1), out=total.first[at, 0])


def sums_of(values: Any, gradients: Any, centre: tuple[Any, Any], first_sample: int, omit: bool) -> Sums:
    """The sums of one block of one cell, from its samples.

    values     float64 (n,)
    gradients  float64 (n, m)
    centre     (d, c): a number and (m,)
    omit       leave samples with a non-finite value or gradient entry out of all sums but the invalid count

    >>> import numpy as np
    >>> s = sums_of(np.array([1.0, 3.0]), np.array([[2.0], [np.inf]]), (1.0, np.zeros(1)), 100, omit=True)
    >>> s.table.tolist(), s.first.tolist()
    ([[[1.0, 1.0, 0.0, 0.0, 2.0, 4.0, 2.0, 1.0]]], [[101]])
    """
    out = Sums.zeros(1, 1, gradients.shape[1])
    good = np.isfinite(values) & np.isfinite(gradients).all(axis=1)
    wrong = len(good) - int(np.count_nonzero(good))
    if wrong:
        out.first[0, 0] = first_sample + int(np.argmin(good))
        if omit:
            values, gradients = values[good], gradients[good]
    row = out.table[0, 0]
    row[0], row[1] = len(good) - wrong, wrong
    d, c = centre
    with np.errstate(all="ignore"):
        off = values - d
        row[2], row[3] = off.sum(), (off * off).sum()
        part = out.entries[0, 0]
        off = gradients - c
        part[0], part[1] = off.sum(axis=0), (off * off).sum(axis=0)
        part[2] = np.abs(gradients).sum(axis=0)
        part[3] = np.count_nonzero(gradients, axis=0)
    return out


def centre_of(value: Any, gradient: Any) -> tuple[Any, Any]:
    """The centres from the first sample: its finite part. With them constant gradients have variance 0."""
    return (
        np.float64(value if np.isfinite(value) else 0.0),
        np.where(np.isfinite(gradient), gradient, 0.0).astype(np.float64),
    )


@dataclass(frozen=True)
class Averages:
    """What totals say: arrays (cells, m) for gradients, (cells,) for values and sample counts."""

    mean: Any
    stderr: Any
    abs_mean: Any
    second_moment: Any
    active: Any
    value_mean: Any
    value_stderr: Any
    valid: Any


def averages(total: Sums, centres: Any, propagate: bool = False) -> Averages:
    """Means and standard errors from totals.

    centres    (d (cells,), c (cells, m))
    propagate  invalid samples are part of the sums, so they count as samples
    Standard errors divide by n - 1 and are NaN for fewer than two samples.
    """
    n = total.counts[:, 0, 0] + (total.counts[:, 0, 1] if propagate else 0.0)
    d, c = centres
    with np.errstate(all="ignore"):
        value_mean, value_stderr = _moments(total.values[:, 0, 0], total.values[:, 0, 1], n, d)
        first, second, magnitude, active = (total.entries[:, 0, i] for i in range(4))
        k = n[:, None]
        mean, stderr = _moments(first, second, k, c)
        moment = (second + 2 * c * first) / k + c * c
        return Averages(
            mean, stderr, magnitude / k, np.maximum(moment, 0.0), active / k, value_mean, value_stderr, n
        )


def _moments(first: Any, second: Any, n: Any, centre: Any) -> tuple[Any, Any]:
    """Mean, and standard error of the mean."""
    shift = first / n
    variance = np.maximum(second - shift * first, 0.0) / np.where(n > 1, n - 1, np.nan)
    return centre + shift, np.sqrt(variance / n)
