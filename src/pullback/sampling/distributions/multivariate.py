"""Vectors: MultivariateNormal, and Stacked (entries with different laws, as in a SALib problem).

May import `base`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import wrap
from pullback.methods import Tensor, public_names
from pullback.sampling.distributions.base import Distribution, parameter

_stack = public_names()["stack"]


class MultivariateNormal(Distribution):
    """Normal vector with mean `loc` and one of `covariance_matrix`, `precision_matrix`, `scale_tril` (its
    lower triangular factor with positive diagonal).

    loc has shape (..., d), the matrix (..., d, d).

    >>> d = MultivariateNormal([0.0, 0.0], [[2.0, 1.0], [1.0, 2.0]])
    >>> d.shape, d.variance, d.independent
    (torch.Size([2]), array([2., 2.]), False)
    """

    base = "normal"

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
    ) -> None:
        given = {
            name: parameter("MultivariateNormal", name, value)
            for name, value in (
                ("covariance_matrix", covariance_matrix),
                ("precision_matrix", precision_matrix),
                ("scale_tril", scale_tril),
            )
            if value is not None
        }
        self.loc = parameter("MultivariateNormal", "loc", loc)
        if not self.loc.ndim:
            raise ValueError(
                message(
                    "loc must be at least one-dimensional.",
                    f"loc is {float(self.loc)}",
                    "use Normal, or [loc]",
                )
            )
        if len(given) != 1:
            raise ValueError(
                message(
                    "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.",
                    f"got {', '.join(given) or 'none'}",
                    "pass one of them",
                )
            )
        ((name, matrix),) = given.items()
        _check_matrix(name, matrix, self.loc.shape[-1])
        super().__init__({"loc": self.loc, name: matrix}, _batch(self.loc, matrix))
        self.event_shape = self.loc.shape[-1:]
        self.scale_tril = _factor(name, matrix)
        self.covariance_matrix = self.scale_tril @ np.swapaxes(self.scale_tril, -1, -2)

    def _map(self, z: Tensor) -> Tensor:
        loc = wrap(self.loc.astype(z.dtype.numpy))
        L = wrap(self.scale_tril.astype(z.dtype.numpy))
        return loc + (L @ z.unsqueeze(-1)).squeeze(-1)

    def values(self, z: Any) -> Any:
        """loc + scale_tril z."""
        return self.loc + (self.scale_tril @ np.asarray(z, np.float64)[..., None])[..., 0]

    @property
    def mean(self) -> Any:
        """loc."""
        return np.array(np.broadcast_to(self.loc, tuple(self.shape)))

    @property
    def variance(self) -> Any:
        """The diagonal of the covariance matrix."""
        diagonal = np.diagonal(self.covariance_matrix, axis1=-2, axis2=-1)
        return np.array(np.broadcast_to(diagonal, tuple(self.shape)))

    @property
    def independent(self) -> bool:
        """Whether the covariance matrix is diagonal."""
        return not np.any(np.tril(self.scale_tril, -1))

    @property
    def open_ended(self) -> bool:
        """True."""
        return True

    def score(self, x: Any) -> Any:
        """Inverse covariance times (x - loc)."""
        return np.linalg.solve(self.covariance_matrix, (x - self.loc)[..., None])[..., 0]

    @property
    def poincare(self) -> Any:
        """The variances where the entries are independent, else nan."""
        return self.variance if self.independent else np.full(self.shape, np.nan)

    def stein(self, x: Any) -> Any:
        """The variances where the entries are independent, else nan."""
        return np.array(np.broadcast_to(self.poincare, np.shape(x)))

    def _shown(self, p: Any) -> str:
        size = (*self.batch_shape, *self.event_shape, *self.event_shape[: p.ndim and int(p is not self.loc)])
        return f"torch.Size({list(size)})"


class Stacked(Distribution):
    """A vector whose entry i follows the scalar distribution `entries[i]`, all independent.

    >>> from pullback.sampling.distributions import Normal, Uniform
    >>> Stacked([Normal(0.0, 1.0), Uniform(0.0, 6.0)]).variance
    array([1., 3.])
    """

    base = "uniform"

    def __init__(self, entries: Sequence[Distribution]) -> None:
        wrong = next((d for d in entries if d.shape), None)
        if wrong is not None or not entries:
            raise ValueError(
                message(
                    "Stacked: every entry must be a scalar distribution",
                    f"{wrong!r}" if entries else "there are no entries",
                    "pass distributions of shape ()",
                )
            )
        super().__init__({}, ())
        self.entries = tuple(entries)
        self.event_shape = (len(entries),)
        bases = {d.base for d in entries}
        self.base = next(iter(bases)) if len(bases) == 1 else "uniform"
        self.closed = len(bases) == 1 and all(d.closed for d in entries)
        self.discrete = all(d.discrete for d in entries)

    def _map(self, z: Tensor) -> Tensor:
        parts = [d._map(z.select(-1, i)) for i, d in enumerate(self.entries)]
        return _stack(parts, -1)

    def values(self, z: Any) -> Any:
        """Each entry's own map; with mixed bases all start from uniforms."""
        z = np.asarray(z, np.float64)
        maps = [d.values if d.base == self.base else d.ppf for d in self.entries]
        return np.stack([f(z[..., i]) for i, f in enumerate(maps)], -1)

    def _each(self, answers: Sequence[Any]) -> Any:
        return np.array(np.broadcast_to(np.stack(answers, -1), tuple(self.shape)))

    @property
    def mean(self) -> Any:
        """The entries' means."""
        return self._each([d.mean for d in self.entries])

    @property
    def variance(self) -> Any:
        """The entries' variances."""
        return self._each([d.variance for d in self.entries])

    @property
    def open_ended(self) -> bool:
        """Whether every entry's density vanishes at its ends."""
        return all(d.open_ended for d in self.entries)

    def score(self, x: Any) -> Any:
        """The entries' scores."""
        return np.stack([d.score(x[..., i]) for i, d in enumerate(self.entries)], -1)

    @property
    def poincare(self) -> Any:
        """The entries' constants."""
        return self._each([d.poincare for d in self.entries])

    def stein(self, x: Any) -> Any:
        """The entries' kernels."""
        return np.stack([d.stein(x[..., i]) for i, d in enumerate(self.entries)], -1)

    def __repr__(self) -> str:
        return f"Stacked([{', '.join(map(repr, self.entries))}])"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stacked) and (self.entries, self.shape) == (other.entries, other.shape)

    def __hash__(self) -> int:
        return hash((Stacked, self.entries, tuple(self.shape)))


def _batch(loc: Any, matrix: Any) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(loc.shape[:-1], matrix.shape[:-2])
    except ValueError:
        raise RuntimeError(
            message(
                "MultivariateNormal: the batch shapes of loc and the matrix do not broadcast",
                f"loc {loc.shape}, matrix {matrix.shape}",
                "give them the same leading sizes, or none",
            )
        ) from None


def _check_matrix(name: str, matrix: Any, d: int) -> None:
    square = matrix.ndim >= 2 and matrix.shape[-2:] == (d, d)
    lower = name == "scale_tril"
    if square and lower:
        diagonal = np.diagonal(matrix, axis1=-2, axis2=-1)
        good = bool(np.all(np.isfinite(matrix)) and np.all(diagonal > 0) and not np.any(np.triu(matrix, 1)))
    else:
        # the tolerance of PyTorch's own test of symmetry
        good = square and bool(np.allclose(matrix, np.swapaxes(matrix, -1, -2), atol=1e-6))
        good = good and bool(np.all(np.linalg.eigvalsh(matrix) > 0))
    if not good:
        constraint = "LowerCholesky()" if lower else "PositiveDefinite()"
        raise ValueError(
            message(
                f"Expected parameter {name} (Tensor of shape {matrix.shape}) of distribution "
                f"MultivariateNormal to satisfy the constraint {constraint}, but found invalid values:\n"
                f"{matrix}",
                f"loc has {d} entries, so {name} must be (..., {d}, {d})",
                "use a symmetric matrix with positive eigenvalues, or pass its Cholesky factor as scale_tril",
            )
        )


def _factor(name: str, matrix: Any) -> Any:
    if name == "scale_tril":
        return matrix
    return np.linalg.cholesky(matrix if name == "covariance_matrix" else np.linalg.inv(matrix))
