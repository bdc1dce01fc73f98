"""Derivative-based global sensitivity measures (DGSM), with intervals.

For independent inputs x_i and nu_i = E[(df/dx_i)^2] the total Sobol' index S_i of x_i is bracketed by

    E[tau_i df/dx_i]^2 / (Var x_i Var f)  <=  S_i  <=  C_i nu_i / Var f

with C_i the Poincare constant and tau_i the Stein kernel of x_i's density (Sobol' & Kucherenko 2009,
doi.org/10.1016/j.matcom.2009.01.023; Lamboni, Iooss, Popelin & Gamboa 2013,
doi.org/10.1016/j.matcom.2013.02.002). The lower bound is the squared correlation of x_i and f. Where no
finite C_i exists, E[tau_i (df/dx_i)^2] / Var f is the upper bound (Cacoullos & Papathanasiou 1985).

Read `Dgsm`, then `dgsm_of`. May import `statistics`, `distributions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.sampling.distributions import Distribution
from pullback.sampling.statistics import (
    Groups,
    Interval,
    Joint,
    bca,
    checked_confidence,
    clean_rows,
    quantile,
)


@dataclass(frozen=True, eq=False, repr=False)
class Dgsm:
    """Brackets of the total Sobol' indices. Arrays have the result's leading axes and one for the entries.

    nu, nu_std          E[g^2], and the standard deviation of g^2, for the gradient entry g
    sigma               standard deviation of g
    upper_bound         C nu / Var f, or the Stein bound (see `bounds`)
    lower_bound         the squared correlation of the input and f
    *_interval          (low, high) at `confidence`
    var_y               Var f, leading axes only
    constants           Poincare constants (entries,): inf where none is finite, nan where none exists
    bounds              which upper bound each entry has: "poincare", "stein", or "none" (then nan)
    """

    nu: Any
    nu_interval: Interval
    nu_std: Any
    sigma: Any
    upper_bound: Any
    upper_interval: Interval
    lower_bound: Any
    lower_interval: Interval
    var_y: Any
    constants: Any
    bounds: tuple[str, ...]
    labels: tuple[str, ...]
    samples: int
    confidence: float
    method: str

    @property
    def names(self) -> tuple[str, ...]:
        """The entries' labels, under SALib's name."""
        return self.labels

    @property
    def vi(self) -> Any:
        """nu, under SALib's name."""
        return self.nu

    @property
    def vi_std(self) -> Any:
        """Standard deviation of g^2, under SALib's name."""
        return self.nu_std

    @property
    def dgsm(self) -> Any:
        """The upper bound, under SALib's name (its dgsm_conf is a half-width; see `upper_interval`)."""
        return self.upper_bound

    def records(self) -> list[dict[str, Any]]:
        """One dict per cell and entry, ready for a data frame."""
        out: list[dict[str, Any]] = []
        for cell in np.ndindex(self.nu.shape[:-1]):
            for i, label in enumerate(self.labels):
                at = (*cell, i)
                row: dict[str, Any] = {"cell": cell} if cell else {}
                row["entry"] = label
                for name in ("nu", "upper_bound", "lower_bound"):
                    low, high = getattr(self, f"{name.removesuffix('_bound')}_interval")
                    row[name] = float(getattr(self, name)[at])
                    row[f"{name}_low"], row[f"{name}_high"] = float(low[at]), float(high[at])
                row["bound"] = self.bounds[i]
                out.append(row)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers and lists."""
        out: dict[str, Any] = {}
        for name, value in self.__dict__.items():
            if isinstance(value, Interval):
                out[name] = {"low": np.asarray(value.low).tolist(), "high": np.asarray(value.high).tolist()}
            else:
                out[name] = value.tolist() if isinstance(value, np.ndarray) else value
        return out

    def __repr__(self) -> str:
        if self.nu.ndim > 1:
            cells = "x".join(map(str, self.nu.shape[:-1]))
            return f"Dgsm({cells} cells, {len(self.labels)} inputs, samples={self.samples:,})"
        parts = [
            f"{r['entry']}: {r['lower_bound']:.3g} <= ST <= {r['upper_bound']:.3g}"
            for r in self.records()[:6]
        ]
        more = f", ... {len(self.labels) - 6} more" if len(self.labels) > 6 else ""
        return f"Dgsm({', '.join(parts)}{more}; samples={self.samples:,})"


@dataclass(frozen=True)
class _Laws:
    """The differentiated arguments' laws, entry by entry; m entries in all."""

    items: tuple[tuple[Distribution | None, int, int], ...]  # law, first entry, one past the last
    constants: Any
    variances: Any
    bounds: tuple[str, ...]

    def stein(self, x: Any) -> Any:
        """tau (n, m): nan for entries without a law."""
        out = np.full(x.shape, np.nan)
        for law, start, stop in self.items:
            if law is not None and law.independent:
                rows = x[:, start:stop].reshape(-1, *law.shape)
                out[:, start:stop] = law.stein(rows).reshape(len(x), -1)
        return out


def _laws(distributions: Sequence[Distribution | None], sizes: Sequence[int], missed: Any) -> _Laws:
    """`missed` (m,): entries whose derivative is not all there, since f jumps; they get no bounds."""
    items: list[tuple[Distribution | None, int, int]] = []
    constants, variances, start = [], [], 0
    for law, size in zip(distributions, sizes, strict=True):
        items.append((law, start, start + size))
        start += size
        known = law is not None and law.independent
        constants.append(law.poincare.ravel() if known and law is not None else np.full(size, np.nan))
        variances.append(law.variance.ravel() if known and law is not None else np.full(size, np.nan))
    C, V = (np.where(missed, np.nan, np.concatenate(a)) for a in (constants, variances))
    kinds = np.where(np.isfinite(C), "poincare", np.where(np.isinf(C) & np.isfinite(V), "stein", "none"))
    return _Laws(tuple(items), C, V, tuple(str(k) for k in kinds))


def _columns(laws: _Laws, f: Any, g: Any, x: Any, shift: float) -> tuple[Any, Any]:
    """X: g^2, g^2 weighted for the upper bound, tau g, g (n, 4 m); Y: f - shift and its square (n, 2)."""
    tau = laws.stein(x)
    squares = g * g
    weight = np.where([b == "stein" for b in laws.bounds], tau, laws.constants)
    weight = np.where([b == "none" for b in laws.bounds], np.nan, weight)
    b = f - shift
    return np.concatenate([squares, weight * squares, tau * g, g], 1), np.stack([b, b * b], 1)


def _bounds(x: Any, y: Any, laws: _Laws) -> Any:
    """(..., 3 m): nu, upper bound, correlation of input and f, from the columns' means."""
    m = len(laws.constants)
    variance = (y[..., 1] - y[..., 0] ** 2)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = x[..., m : 2 * m] / variance
        correlation = x[..., 2 * m : 3 * m] / np.sqrt(laws.variances * variance)
    return np.concatenate([x[..., :m], upper, correlation], -1)


def _squared(low: Any, high: Any) -> Interval:
    """The interval of r^2 from that of r: it starts at 0 where r may be 0, and r^2 <= 1."""
    inside = (low <= 0) & (high >= 0)
    ends = np.minimum(np.abs(low), np.abs(high)), np.maximum(np.abs(low), np.abs(high))
    return Interval(np.minimum(np.where(inside, 0.0, ends[0]) ** 2, 1.0), np.minimum(ends[1] ** 2, 1.0))


def _delta(joint: Joint, laws: _Laws, confidence: float) -> Interval:
    """Interval of nu, upper bound and correlation by the delta method, (3 m,) each end."""
    m = len(laws.constants)
    values = _bounds(joint.x, joint.y, laws)
    centre = joint.y[0]
    variance = joint.y[1] - centre**2
    with np.errstate(divide="ignore", invalid="ignore"):
        along_x = np.concatenate(
            [np.ones(m), np.full(m, 1 / variance), 1 / np.sqrt(laws.variances * variance)]
        )
        of_variance = np.concatenate(
            [np.zeros(m), -values[m : 2 * m] / variance, -values[2 * m :] / (2 * variance)]
        )
    # d Var = d mean(b^2) - 2 mean(b) d mean(b)
    along_y = of_variance[:, None] * np.array([-2 * centre, 1.0])
    reach = quantile(confidence, joint.n - 1) * joint.stderr(along_x, along_y)
    return Interval(values - reach, values + reach)


def _one_cell(
    rows: Iterator[Any], laws: _Laws, shift: float, samples: int, confidence: float, resampling: Any
) -> dict[str, Any]:
    m = len(laws.constants)
    joint, groups = Joint(), Groups(samples, 4 * m + 2)
    for f, g, x in clean_rows(rows):
        X, Y = _columns(laws, f, g, x, shift)
        joint.add(X, Y)
        if resampling:
            groups.add(np.concatenate([X, Y], 1))
    values = _bounds(joint.x, joint.y, laws)
    if resampling:
        sums, counts = groups.trimmed()
        low, high = bca(
            sums, counts, lambda c: _bounds(c[..., : 4 * m], c[..., 4 * m :], laws), confidence, *resampling
        )
    else:
        low, high = _delta(joint, laws, confidence)
    square = _squared(low[2 * m :], high[2 * m :])
    return {
        "nu": values[:m],
        "nu_low": np.maximum(low[:m], 0.0),
        "nu_high": high[:m],
        "nu_std": np.sqrt(joint.xx[:m]),
        "sigma": np.sqrt(joint.xx[3 * m :]),
        "upper": values[m : 2 * m],
        "upper_low": np.maximum(low[m : 2 * m], 0.0),
        "upper_high": high[m : 2 * m],
        "lower": np.minimum(values[2 * m :] ** 2, 1.0),
        "lower_low": square.low,
        "lower_high": square.high,
        "var_y": joint.y[1] - joint.y[0] ** 2,
    }


def dgsm_of(
    result: Any, *, confidence: float, method: str = "delta", num_resamples: int = 1000, seed: int = 0
) -> Dgsm:
    """DGSM of a `Sensitivity` (see `Sensitivity.dgsm`)."""
    if method not in ("delta", "bootstrap"):
        raise ValueError(
            message(f'dgsm: method must be "delta" or "bootstrap", but got {method!r}', "", "leave it out")
        )
    missed = np.isinf(result.flat(result.stderr)).reshape(-1, len(result.labels)).any(0)
    laws = _laws(result._distributions, result.sizes, missed)
    resampling = (num_resamples, seed) if method == "bootstrap" else None
    shifts = np.ravel(np.broadcast_to(result.value_mean, result.leading or ()))
    found = [
        _one_cell(
            result.iterate(cell),
            laws,
            float(np.nan_to_num(shift)),
            result.samples,
            checked_confidence(confidence),
            resampling,
        )
        for cell, shift in enumerate(shifts)
    ]
    a = {k: np.reshape([c[k] for c in found], (*result.leading, *np.shape(found[0][k]))) for k in found[0]}
    return Dgsm(
        nu=a["nu"],
        nu_interval=Interval(a["nu_low"], a["nu_high"]),
        nu_std=a["nu_std"],
        sigma=a["sigma"],
        upper_bound=a["upper"],
        upper_interval=Interval(a["upper_low"], a["upper_high"]),
        lower_bound=a["lower"],
        lower_interval=Interval(a["lower_low"], a["lower_high"]),
        var_y=a["var_y"],
        constants=laws.constants,
        bounds=laws.bounds,
        labels=result.labels,
        samples=result.samples,
        confidence=confidence,
        method=method,
    )
