"""What every distribution answers: shapes, values from standard numbers, moments, score, and DGSM constants.

Read `Distribution` first, then `Univariate`; the laws themselves stand in `continuous`, `shaped`, `discrete`
and `multivariate`. Parameters are NumPy float64 arrays: a sensitivity study differentiates with respect to
*values*, never with respect to a distribution's parameters. May import `errors`, `dtypes`, `graph`,
`methods`.

A distribution maps *standard numbers* (independent normals, or uniforms on (0, 1)) to a value. `transform`
does so with tensors, so that the map can be recorded and fused into a kernel; it is None where the map has no
cheap closed form, and then `values` (NumPy, SciPy's special functions) is the only one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from pullback.dtypes import Size
from pullback.errors import message
from pullback.graph.tensor import wrap
from pullback.methods import Tensor

# constraint -> (PyTorch's name of it, the test, what to do)
CONSTRAINTS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "real": ("Real()", np.isfinite, "use finite numbers"),
    "positive": (
        "GreaterThan(lower_bound=0.0)",
        lambda x: (x > 0) & np.isfinite(x),
        "use positive, finite numbers",
    ),
    "unit": ("Interval(lower_bound=0.0, upper_bound=1.0)", lambda x: (x >= 0) & (x <= 1), "use 0 to 1"),
}


def parameter(kind: str, name: str, value: Any) -> Any:
    """A distribution's parameter as a float64 array; TypeError for what is not numbers.

    A tensor that requires grad is refused: derivatives with respect to parameters need the pathwise form.
    """
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise ValueError(
                message(
                    f"{kind}: {name} requires grad, but a distribution's parameters are constants",
                    f"{name} has shape {tuple(value.shape)}",
                    f"pass {name} as an input of its own and write the map inside the function, "
                    "for instance loc + scale * z with z from Normal(0, 1)",
                )
            )
        value = value.value
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            message(
                f"{kind}: {name} must be a number, an array or a tensor, not {type(value).__name__}",
                f"{name} is {value!r}",
                f"pass {name} as a float, a list of floats or an array",
            )
        ) from None


def broadcast(kind: str, params: dict[str, Any]) -> tuple[int, ...]:
    """The common shape of a distribution's parameters; RuntimeError where they do not broadcast."""
    try:
        return np.broadcast_shapes(*(p.shape for p in params.values()))
    except ValueError:
        shapes = ", ".join(f"{k} {p.shape}" for k, p in params.items())
        raise RuntimeError(
            message(
                f"{kind}: the shapes of the parameters do not broadcast",
                shapes,
                "give parameters of one shape, or scalars",
            )
        ) from None


def as_shape(shape: Any) -> tuple[int, ...]:
    """A shape from an int, or a sequence of ints."""
    return (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)


class Distribution:
    """A random input: `batch_shape` independent copies of something of shape `event_shape`.

    `shape` is the shape of one sample (batch_shape + event_shape); `slot_shape` that of the standard numbers
    that one sample consumes, `slots` how many these are; `base` says which: "normal" or "uniform".
    """

    base: str
    closed: bool = True  # is the map from standard numbers written with tensor ops?
    discrete: bool = False

    batch_shape: tuple[int, ...]
    event_shape: tuple[int, ...] = ()

    def __init__(self, params: dict[str, Any], batch_shape: Sequence[int]) -> None:
        self.params = params
        self.batch_shape = Size(batch_shape)

    # ------------------------------------------------------------------ shapes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return Size((*self.batch_shape, *self.event_shape))

    @property
    def slot_shape(self) -> tuple[int, ...]:
        """Shape of the standard numbers of one sample."""
        return self.shape

    @property
    def slots(self) -> int:
        """How many standard numbers one sample consumes."""
        return math.prod(self.slot_shape)

    def expand(self, batch_shape: Any) -> Self:
        """Independent copies: the same law with a larger `batch_shape` (a shape or an int), as in PyTorch.

        >>> from pullback.sampling.distributions import Normal
        >>> Normal(0.0, [1.0, 2.0]).expand((3, 2)).shape
        torch.Size([3, 2])
        """
        new = as_shape(batch_shape)
        try:
            fits = np.broadcast_shapes(tuple(self.batch_shape), new) == new
        except ValueError:
            fits = False
        if not fits:
            raise RuntimeError(
                message(
                    f"The expanded size {list(new)} must match the existing size {list(self.batch_shape)}",
                    f"{type(self).__name__} with batch_shape {tuple(self.batch_shape)}",
                    "keep the trailing sizes, or start from scalar parameters",
                )
            )
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.batch_shape = Size(new)
        return copy

    # ------------------------------------------------------------------ values

    @property
    def transform(self) -> Callable[[Tensor], Tensor] | None:
        """The map from standard numbers (..., *slot_shape) to values (..., *shape), written with tensor ops;
        None where there is no closed form (use `values`).
        """
        return self._map if self.closed else None

    def _map(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def values(self, z: Any) -> Any:
        """The same map in NumPy float64: standard numbers (..., *slot_shape) to values (..., *shape)."""
        raise NotImplementedError

    def ppf(self, u: Any) -> Any:
        """Values (..., *shape) from uniforms u (..., *slot_shape) by the quantile function."""
        if self.base == "uniform":
            return self.values(u)
        from scipy.special import ndtri

        return self.values(ndtri(np.asarray(u, np.float64)))

    # ------------------------------------------------------------------ moments and derivatives

    @property
    def mean(self) -> Any:
        """Expectation, shape `shape`."""
        raise NotImplementedError

    @property
    def variance(self) -> Any:
        """Variance of each entry, shape `shape`."""
        raise NotImplementedError

    @property
    def stddev(self) -> Any:
        """Standard deviation of each entry, shape `shape`."""
        return np.sqrt(self.variance)

    @property
    def independent(self) -> bool:
        """Whether the entries of a sample are independent of each other (what DGSM bounds need)."""
        return True

    @property
    def open_ended(self) -> bool:
        """Whether the density vanishes at both ends of its support, so that E[f'] = E[f score] needs no
        boundary term.
        """
        return False

    def score(self, x: Any) -> Any:  # noqa: ARG002 - there is none
        """-d/dx log p(x), shape (..., *shape): the weight of the likelihood-ratio estimator
        E[d f/d x] = E[f score].
        """
        raise ValueError(
            message(
                f"{type(self).__name__} has no density with a derivative, so the likelihood-ratio estimator "
                "does not apply",
                repr(self),
                "use a continuous distribution, or leave this argument out of wrt",
            )
        )

    @property
    def poincare(self) -> Any:
        """Poincare constants C, shape `shape`: Var f <= C E[f'^2] for every smooth f of that entry.

        inf where no finite constant exists or none is known (heavy tails: use `stein`), nan where there is
        none by nature (discrete laws, entries that depend on each other).
        """
        return np.full(self.shape, np.nan)

    def stein(self, x: Any) -> Any:
        """Stein kernel tau(x), shape (..., *shape): Cov(x, f) = E[tau f'], and Var f <= E[tau f'^2].

        tau(x) p(x) = integral of (y - mean) p(y) over y > x. Cacoullos & Papathanasiou 1985,
        doi.org/10.1016/0167-7152(85)90014-8.
        """
        return np.full(np.shape(x), np.nan)

    # ------------------------------------------------------------------ as a value

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}: {self._shown(v)}" for k, v in self.params.items())
        return f"{type(self).__name__}({shown})"

    def _shown(self, p: Any) -> str:
        if not self.shape and not p.ndim:
            return repr(float(p))
        return str(Size(np.broadcast_shapes(p.shape, tuple(self.batch_shape))))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, Distribution):
            return NotImplemented
        return self.shape == other.shape and all(
            np.array_equal(p, q, equal_nan=True)
            for p, q in zip(self.params.values(), other.params.values(), strict=True)
        )

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.shape), *(p.tobytes() for p in self.params.values())))


class Univariate(Distribution):
    """Independent entries, each with a law on the line; `constraints` names the test of each parameter."""

    constraints: tuple[tuple[str, str], ...]

    def __init__(self, **params: Any) -> None:
        kind = type(self).__name__
        arrays = {k: parameter(kind, k, v) for k, v in params.items()}
        super().__init__(arrays, broadcast(kind, arrays))
        for name, constraint in self.constraints:
            text, test, todo = CONSTRAINTS[constraint]
            self._require(name, text, test(arrays[name]), todo)

    def _require(self, name: str, text: str, good: Any, todo: str) -> None:
        if np.all(good):
            return
        p = self.params[name]
        wrong = np.broadcast_to(p, np.broadcast_shapes(p.shape, np.shape(good)))[~np.asarray(good)]
        raise ValueError(
            message(
                f"Expected parameter {name} (Tensor of shape {p.shape}) of distribution {self!r} to satisfy "
                f"the constraint {text}, but found invalid values:\n{float(p) if not p.ndim else p}",
                f"{wrong.size} of {max(p.size, wrong.size)} values break it, the first is {wrong.flat[0]}",
                todo,
            )
        )

    def _full(self, value: Any) -> Any:
        """An array of shape `shape` from something that broadcasts to it."""
        return np.array(np.broadcast_to(np.asarray(value, np.float64), tuple(self.shape)))


def constant(p: Any, z: Tensor) -> Any:
    """A parameter beside z in tensor code: a Python float if it is one number, else a tensor of z's dtype."""
    return float(p) if not p.ndim else wrap(p.astype(z.dtype.numpy))
