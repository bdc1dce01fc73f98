"""Intervals: of a mean, of a ratio of means (delta method or Fieller), and by bootstrap.

Read `Joint` (moments of many samples in one pass), then `ratio_interval`, then `Groups` and `bca`. Everything
takes and returns float64 arrays. Imports NumPy and `errors`; SciPy inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pullback.errors import message

GROUPS = 4096  # a bootstrap resamples at most this many groups of consecutive samples


class Interval(NamedTuple):
    """The two ends of a confidence interval (never a half-width)."""

    low: Any
    high: Any


def checked_confidence(confidence: float) -> float:
    """`confidence` if it lies between 0 and 1, else ValueError."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(
            message(
                f"confidence must lie between 0 and 1, but got {confidence}", "", "use 0.95 for 95 per cent"
            )
        )
    return float(confidence)


def quantile(confidence: float, freedom: Any) -> Any:
    """How many standard errors an interval reaches to either side: Student's t with `freedom` degrees.

    >>> round(float(quantile(0.95, 1e9)), 6), round(float(quantile(0.95, 9)), 6)
    (1.959964, 2.262157)
    """
    from scipy.special import stdtrit

    freedom = np.asarray(freedom, np.float64)
    return stdtrit(np.where(freedom > 0, freedom, np.nan), 0.5 + checked_confidence(confidence) / 2)


def clean_rows(rows: Iterator[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """(values (n,), gradients (n, m), inputs (n, m)) in float64, without samples that are not finite."""
    for chunk in rows:
        f, g, x = (np.asarray(a, np.float64) for a in chunk)
        f = f.reshape(len(f))
        good = np.isfinite(f) & np.isfinite(g).all(1)
        yield (f, g, x) if good.all() else (f[good], g[good], x[good])


class Joint:
    """Means of columns X (p) and Y (q), the variances of X's columns, Cov(X, Y) and Cov(Y), in one pass.

    Chunks are merged by the formula of Chan, Golub and LeVeque (1983), which keeps the digits of a small
    variance beside a large mean.
    """

    def __init__(self) -> None:
        self.n = 0
        self.x: Any = 0.0
        self.y: Any = 0.0
        self._xx: Any = 0.0
        self._xy: Any = 0.0
        self._yy: Any = 0.0

    def add(self, X: Any, Y: Any) -> None:
        """Take in a chunk: X (n, p), Y (n, q)."""
        k = len(X)
        if not k:
            return
        x, y = X.mean(0), Y.mean(0)
        dx, dy = X - x, Y - y
        n = self.n + k
        jump_x, jump_y, weight = x - self.x, y - self.y, self.n * k / n
        self._xx = self._xx + np.einsum("np,np->p", dx, dx) + weight * jump_x**2
        self._xy = self._xy + dx.T @ dy + weight * np.multiply.outer(jump_x, jump_y)
        self._yy = self._yy + dy.T @ dy + weight * np.multiply.outer(jump_y, jump_y)
        self.x, self.y, self.n = self.x + jump_x * k / n, self.y + jump_y * k / n, n

    def _over(self, sums: Any) -> Any:
        return sums / (self.n - 1) if self.n > 1 else sums * np.nan

    @property
    def xx(self) -> Any:
        """Variances of X's columns (p,), divided by n - 1."""
        return self._over(self._xx)

    @property
    def xy(self) -> Any:
        """Cov(X, Y), shape (p, q)."""
        return self._over(self._xy)

    @property
    def yy(self) -> Any:
        """Cov(Y), shape (q, q)."""
        return self._over(self._yy)

    def stderr(self, along_x: Any, along_y: Any) -> Any:
        """Standard error of along_x[i] mean(X_i) + along_y[i] . mean(Y) for the first columns i of X: the
        delta method, where along_x (k,) and along_y (k, q) are partial derivatives of functions of the means.
        """
        k = len(along_x)
        cross = np.einsum("pq,pq->p", self.xy[:k], along_y)
        own = np.einsum("pq,qr,pr->p", along_y, self.yy, along_y)
        variance = along_x**2 * self.xx[:k] + 2 * along_x * cross + own
        return np.sqrt(np.maximum(variance, 0.0) / self.n)


# ---------------------------------------------------------------------- ratio of two means


def ratio_interval(means: Any, covariance: Any, reach: float, method: str) -> tuple[float, float, Interval]:
    """means[0] / means[1] with its standard error (delta method) and interval.

    `covariance` (2, 2) is that *of the means*, `reach` the number of standard errors. method "delta" gives
    value -+ reach stderr, "fieller" Fieller's exact interval for jointly normal means (Fieller 1954); it is
    (-inf, inf) where the denominator is not significantly different from 0.

    >>> value, error, (low, high) = ratio_interval(np.array([1.0, 2.0]), np.diag([0.01, 0.0]), 2.0, "fieller")
    >>> value, round(error, 12), round(low, 12), round(high, 12)
    (0.5, 0.05, 0.4, 0.6)
    """
    if method not in ("delta", "fieller"):
        raise ValueError(
            message(f'ratio: method must be "fieller" or "delta", but got {method!r}', "", "leave it out")
        )
    a, b = float(means[0]), float(means[1])
    if b == 0.0:
        return np.nan, np.nan, Interval(-np.inf, np.inf)
    value = a / b
    (vaa, vab), (_, vbb) = covariance.tolist()
    error = float(np.sqrt(max(vaa - 2 * value * vab + value**2 * vbb, 0.0))) / abs(b)
    if method == "delta":
        return value, error, Interval(value - reach * error, value + reach * error)
    t2 = reach**2
    square = b * b - t2 * vbb
    if not square > 0.0:
        return value, error, Interval(-np.inf, np.inf)
    middle, last = a * b - t2 * vab, a * a - t2 * vaa
    root = np.sqrt(max(middle * middle - square * last, 0.0))
    return value, error, Interval(float((middle - root) / square), float((middle + root) / square))


# ---------------------------------------------------------------------- bootstrap


class Groups:
    """Sums of columns over groups of consecutive samples, at most `most` of them: what a bootstrap resamples.

    With no more samples than groups this is the ordinary bootstrap. With more, resampling the groups' sums
    has the same limit for functions of means (their variance is that of the sample), at fixed memory.
    """

    def __init__(self, samples: int, columns: int, most: int = GROUPS) -> None:
        self.size = max(1, -(-samples // most))
        self.sums = np.zeros((max(1, -(-samples // self.size)), columns))
        self.counts = np.zeros(len(self.sums))
        self._done = 0

    def _next(self, n: int) -> tuple[Any, Any]:
        """Of the next n samples: the groups that they meet, and where each one's part starts."""
        group = (self._done + np.arange(n)) // self.size
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        self.counts[group[starts]] += np.diff(starts, append=n)
        self._done += n
        return group[starts], starts

    def add(self, columns: Any) -> None:
        """Take in consecutive samples, (n, columns)."""
        if len(columns):
            met, starts = self._next(len(columns))
            self.sums[met] += np.add.reduceat(columns, starts, axis=0)

    def add_outer(self, g: Any) -> None:
        """Take in the outer products of consecutive vectors g (n, m), as m * m columns."""
        if len(g):
            met, starts = self._next(len(g))
            for group, start, stop in zip(met, starts, [*starts[1:], len(g)], strict=True):
                part = g[start:stop]
                self.sums[group] += (part.T @ part).ravel()

    def trimmed(self) -> tuple[Any, Any]:
        """(sums, counts) of the groups that got samples."""
        live = self.counts > 0
        return self.sums[live], self.counts[live]


def resampled_means(sums: Any, counts: Any, resamples: int, seed: int) -> Any:
    """Means of the columns in bootstrap resamples of the groups, shape (resamples, columns)."""
    k = len(sums)
    rng = np.random.default_rng(seed)
    out = np.empty((resamples, sums.shape[1]))
    step = max(1, (1 << 22) // k)  # bounds the memory of the weights
    for start in range(0, resamples, step):
        many = min(step, resamples - start)
        weights = rng.multinomial(k, np.full(k, 1.0 / k), size=many).astype(np.float64)
        out[start : start + many] = (weights @ sums) / (weights @ counts)[:, None]
    return out


def bca(
    sums: Any, counts: Any, statistic: Callable[[Any], Any], confidence: float, resamples: int, seed: int
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987) of a function of means.

    `statistic` maps means (..., columns) to (..., s); the ends have shape (s,). nan where the bootstrap
    distribution is degenerate.
    """
    from scipy.special import ndtr, ndtri

    total, n = sums.sum(0), counts.sum()
    value = statistic(total / n)
    drawn = statistic(resampled_means(sums, counts, resamples, seed))
    # ties count half, so that an exact constant gets no bias
    share = ((drawn < value).sum(0) + 0.5 * (drawn == value).sum(0)) / resamples
    bias = ndtri(np.clip(share, 0.5 / resamples, 1 - 0.5 / resamples))
    left_out = statistic((total - sums) / (n - counts)[:, None])
    spread = left_out.mean(0) - left_out
    with np.errstate(invalid="ignore", divide="ignore"):
        push = (spread**3).sum(0) / (6 * (spread**2).sum(0) ** 1.5)
    push = np.nan_to_num(push)
    ends: list[Any] = []
    for z in ndtri([0.5 - confidence / 2, 0.5 + confidence / 2]):
        level = ndtr(bias + (bias + z) / (1 - push * (bias + z)))
        ends.append(np.array([np.quantile(d, p) for d, p in zip(drawn.T, level, strict=True)]))
    return Interval(*ends)
