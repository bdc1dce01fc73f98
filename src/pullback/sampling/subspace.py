"""Active subspaces: the directions along which f varies, from the mean outer product of its gradient.

C = E[grad f grad f^T] = W diag(lambda) W^T. Along the first columns of W f varies most; sum_j lambda_j W_ij^2
over them is the activity score of input i, and over all columns E[(df/dx_i)^2] (Constantine, "Active
Subspaces", 2015; Constantine & Diaz 2017, doi.org/10.1016/j.ress.2017.01.013). Read `ActiveSubspace`, then
`subspace_of`. May import `statistics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.sampling.statistics import GROUPS, Groups, Interval, checked_confidence, clean_rows

_DISTANCES = 20  # subspaces of more directions than these get no error: each costs a decomposition
_MEMORY = 1 << 24  # float64 numbers that the groups of a bootstrap may take


@dataclass(frozen=True, eq=False, repr=False)
class ActiveSubspace:
    """Eigenvalues and eigenvectors of E[g g^T]; arrays have the result's leading axes in front.

    eigenvalues        (m,), largest first
    eigenvectors       (m, m), one per column; the largest component of each is positive
    activity_scores    (m,) for the first `dimension` directions
    eigenvalue_ranges  (low, high), each (m,): bootstrap percentiles at `confidence`
    score_ranges       (low, high), each (m,)
    subspace_errors    (min(m - 1, 20), 3): low, mean and high of the distance between the first k directions
                       and those of a resample, in row k - 1
    dimension          how many directions are kept: those before the widest gap, or as asked
    scale              (m,): what the gradient entries were multiplied by
    """

    eigenvalues: Any
    eigenvectors: Any
    activity_scores: Any
    eigenvalue_ranges: Interval
    score_ranges: Interval
    subspace_errors: Any
    dimension: Any
    scale: Any
    labels: tuple[str, ...]
    samples: int
    confidence: float
    n_boot: int

    @property
    def evals(self) -> Any:
        """The eigenvalues."""
        return self.eigenvalues

    @property
    def evects(self) -> Any:
        """The eigenvectors."""
        return self.eigenvectors

    def _single(self) -> int:
        if np.ndim(self.dimension):
            raise ValueError(
                message(
                    "this active subspace has several cells, each with its own dimension",
                    f"dimension {np.asarray(self.dimension).tolist()}",
                    "take eigenvectors[cell][:, :k]",
                )
            )
        return int(self.dimension)

    @property
    def W1(self) -> Any:  # noqa: N802 - the field's name
        """The active directions, (m, dimension)."""
        return self.eigenvectors[:, : self._single()]

    @property
    def W2(self) -> Any:  # noqa: N802 - the field's name
        """The inactive directions, (m, m - dimension)."""
        return self.eigenvectors[:, self._single() :]

    def reduce(self, x: Any) -> Any:
        """Active variables of inputs x (..., m): x W1, shape (..., dimension)."""
        return (np.asarray(x, np.float64) / self.scale) @ self.W1

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers and lists."""
        out: dict[str, Any] = {}
        for name, value in self.__dict__.items():
            if isinstance(value, Interval):
                out[name] = {"low": np.asarray(value.low).tolist(), "high": np.asarray(value.high).tolist()}
            else:
                out[name] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        return out

    def __repr__(self) -> str:
        if self.eigenvalues.ndim > 1:
            cells = "x".join(map(str, self.eigenvalues.shape[:-1]))
            return f"ActiveSubspace({cells} cells, {len(self.labels)} inputs, samples={self.samples:,})"
        shown = ", ".join(f"{v:.4g}" for v in self.eigenvalues[:6])
        more = ", ..." if len(self.eigenvalues) > 6 else ""
        head = f"dimension={int(self.dimension)}, eigenvalues=[{shown}{more}]"
        return f"ActiveSubspace({head}, samples={self.samples:,})"


def _eigen(C: Any) -> tuple[Any, Any]:
    """Eigenvalues (..., m), largest first and not negative, and eigenvectors (..., m, m) with fixed signs."""
    values, vectors = np.linalg.eigh(C)
    values, vectors = np.maximum(values[..., ::-1], 0.0), vectors[..., ::-1]
    largest = np.argmax(np.abs(vectors), axis=-2)[..., None, :]
    return values, vectors * np.where(np.take_along_axis(vectors, largest, -2) < 0, -1.0, 1.0)


def _gap(values: Any) -> int:
    """The number of eigenvalues before the largest ratio of neighbours; 1 where there is one."""
    if len(values) < 2 or not values[0] > 0:
        return 1
    floor = values[0] * 1e-16  # what rounding leaves of a zero
    v = np.maximum(values, floor)
    return int(np.argmax(v[:-1] / v[1:])) + 1


def _scores(values: Any, vectors: Any, k: int) -> Any:
    return np.einsum("...j,...ij->...i", values[..., :k], vectors[..., :k] ** 2)


def _distances(vectors: Any, resampled: Any) -> Any:
    """(resamples, most): sine of the largest angle between the first k directions, k = 1 ... most."""
    most = min(len(vectors) - 1, _DISTANCES)
    out = np.empty((len(resampled), most))
    for k in range(1, most + 1):
        cross = vectors[:, :k].T @ resampled[:, :, k:]
        out[:, k - 1] = np.linalg.norm(cross, ord=2, axis=(1, 2))
    return out


def _one_cell(
    result: Any, cell: int, scale: Any, dimension: int | None, n_boot: int, confidence: float, seed: int
) -> dict[str, Any]:
    m = len(scale)
    most = int(np.clip(_MEMORY // (m * m), 32, GROUPS))
    groups = Groups(result.samples, m * m, most)
    for _, g, _ in clean_rows(result.iterate(cell)):
        groups.add_outer(g * scale)
    sums, counts = groups.trimmed()
    values, vectors = _eigen((sums.sum(0) / counts.sum()).reshape(m, m))
    k = _gap(values) if dimension is None else dimension
    rng = np.random.default_rng(seed)
    drawn_values, drawn_vectors = np.empty((n_boot, m)), np.empty((n_boot, m, m))
    for r in range(n_boot):
        w = rng.multinomial(len(sums), np.full(len(sums), 1.0 / len(sums))).astype(np.float64)
        drawn_values[r], drawn_vectors[r] = _eigen((w @ sums / (w @ counts)).reshape(m, m))
    ends = (0.5 - confidence / 2, 0.5 + confidence / 2)
    ranges = np.quantile(drawn_values, ends, axis=0)
    scores = np.quantile(_scores(drawn_values, drawn_vectors, k), ends, axis=0)
    away = _distances(vectors, drawn_vectors)
    low, high = np.quantile(away, ends, axis=0)
    return {
        "eigenvalues": values,
        "eigenvectors": vectors,
        "activity_scores": _scores(values, vectors, k),
        "low": ranges[0],
        "high": ranges[1],
        "score_low": scores[0],
        "score_high": scores[1],
        "errors": np.stack([low, away.mean(0), high], -1),
        "dimension": np.int64(k),
    }


def _scale(result: Any, scale: Any) -> Any:
    m = sum(result.sizes)
    if scale is None:
        return np.ones(m)
    if not isinstance(scale, str):
        return np.array(np.broadcast_to(np.asarray(scale, np.float64), (m,)))
    laws = result._distributions
    if scale != "std" or any(law is None for law in laws):
        raise ValueError(
            message(
                'active_subspace: scale is None, an array, or "std" for inputs with distributions',
                f"scale={scale!r}",
                f"pass an array of {m} factors",
            )
        )
    return np.concatenate([law.stddev.ravel() for law in laws])


def subspace_of(
    result: Any,
    *,
    n_boot: int = 100,
    confidence: float = 0.95,
    dimension: int | None = None,
    scale: Any = None,
    seed: int = 0,
) -> ActiveSubspace:
    """The active subspace of a `Sensitivity` (see `Sensitivity.active_subspace`)."""
    factors = _scale(result, scale)
    m = len(factors)
    if dimension is not None and not 1 <= dimension <= m:
        raise ValueError(
            message(
                f"active_subspace: dimension must lie between 1 and {m}, but got {dimension}",
                f"the gradient has {m} entries",
                "leave it out to cut at the widest gap",
            )
        )
    if n_boot < 1:
        raise ValueError(message(f"active_subspace: n_boot must be at least 1, but got {n_boot}"))
    checked_confidence(confidence)
    cells = int(np.prod(result.leading, dtype=np.int64))
    found = [_one_cell(result, c, factors, dimension, n_boot, confidence, seed) for c in range(cells)]
    a = {k: np.reshape([c[k] for c in found], (*result.leading, *np.shape(found[0][k]))) for k in found[0]}
    return ActiveSubspace(
        eigenvalues=a["eigenvalues"],
        eigenvectors=a["eigenvectors"],
        activity_scores=a["activity_scores"],
        eigenvalue_ranges=Interval(a["low"], a["high"]),
        score_ranges=Interval(a["score_low"], a["score_high"]),
        subspace_errors=a["errors"],
        dimension=a["dimension"],
        scale=factors,
        labels=result.labels,
        samples=result.samples,
        confidence=confidence,
        n_boot=n_boot,
    )
