"""What a function of random inputs is called with: every argument as a descriptor.

`resolve` turns what the user passes (one item, or a tuple of items) into a list of `Random`, `Given`, `Each`
and `Fixed`, one for each argument of the function; `given` and `each` mark arrays. Read `resolve` last. May
import `sampling.distributions` and `graph`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pullback.dtypes import Size
from pullback.errors import message
from pullback.graph.tensor import wrap
from pullback.methods import Tensor, public_names
from pullback.sampling.distributions import Distribution, from_scipy, is_frozen
from pullback.sampling.distributions.continuous import Normal, Uniform
from pullback.sampling.distributions.multivariate import Stacked

_as_tensor = public_names()["as_tensor"]


@dataclass(frozen=True, eq=False)
class Random:
    """An argument drawn from a distribution; its standard numbers are slots first_slot ... of the sample."""

    distribution: Distribution
    first_slot: int = 0
    labels: tuple[str, ...] | None = None  # names of the entries, in row-major order

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.distribution.shape

    @property
    def slots(self) -> int:
        """How many standard numbers one sample consumes."""
        return self.distribution.slots


@dataclass(frozen=True, eq=False)
class Given:
    """An argument whose samples the user brings: sample s is array[s]."""

    array: Any
    labels: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return Size(self.array.shape[1:])

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.array)


@dataclass(frozen=True, eq=False)
class Each:
    """A parameter that takes each of the values values[0], values[1] ... in turn."""

    values: Any
    labels: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one value."""
        return Size(self.values.shape[1:])

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Fixed:
    """An argument that is the same for every sample."""

    tensor: Tensor
    labels: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.tensor.shape


Argument = Random | Given | Each | Fixed


def _rows(caller: str, array: Any) -> Any:
    """A numeric array with at least one entry along a first axis."""
    data = array.value if isinstance(array, Tensor) else array
    try:
        data = np.asarray(data)
        numeric = data.dtype.kind in "fiub"
    except ValueError:
        numeric = False
    if not numeric:
        raise TypeError(
            message(
                f"{caller}: expected an array of real numbers, but got {type(array).__name__}",
                "" if not isinstance(data, np.ndarray) else f"dtype {data.dtype}",
                "pass a NumPy array or a tensor whose rows have one shape",
            )
        )
    if not data.ndim or not len(data):
        raise ValueError(
            message(
                f"{caller}: the first axis must hold at least one entry",
                f"the array has shape {data.shape}",
                "pass an array of shape (n,) or (n, ...)",
            )
        )
    return data if data.dtype.kind == "f" else data.astype(np.float64)


def given(array: Any) -> Given:
    """Samples that you have: sample s of the argument is array[s].

    `array` has shape (samples, ...), NumPy or tensor, real; integers become float64. ValueError if it is
    empty, TypeError if it is not numeric.

    >>> given([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).shape
    torch.Size([2])
    """
    return Given(_rows("given", array))


def each(array: Any) -> Each:
    """A parameter that takes each of these values: every field of the result gains a leading axis for it.

    `array` has shape (values, ...). ValueError if it is empty, TypeError if it is not numeric.

    >>> each([1.0, 2.0, 3.0]).count
    3
    """
    return Each(_rows("each", array))


# ---------------------------------------------------------------------- SALib's problem


def _frozen(name: str, *args: Any, **kwargs: Any) -> Distribution:
    import scipy.stats

    return from_scipy(getattr(scipy.stats, name)(*args, **kwargs))


def _salib_entry(kind: str, bounds: Sequence[float]) -> Distribution:
    """One input of a SALib problem; `bounds` means what SALib 1.6 documents for each kind."""
    b = [float(x) for x in bounds]
    if kind == "unif":
        return Uniform(*b)
    if kind == "norm":
        return Normal(*b)
    if kind == "lognorm":  # the mean and sd are those of the logarithm
        return _frozen("lognorm", b[1], scale=float(np.exp(b[0])))
    if kind == "logunif":
        return _frozen("loguniform", *b)
    if kind == "triang":  # low, high, and where the peak is, as a share of the range
        return _frozen("triang", b[2], loc=b[0], scale=b[1] - b[0])
    if kind == "truncnorm":
        low, high, mean, sd = b
        return _frozen("truncnorm", (low - mean) / sd, (high - mean) / sd, loc=mean, scale=sd)
    raise ValueError(
        message(
            f"a SALib problem's dists may be unif, logunif, triang, norm, truncnorm, lognorm, not {kind!r}",
            f"bounds {b}",
            "pass a frozen SciPy distribution instead of the problem",
        )
    )


def _from_salib(problem: Mapping[str, Any]) -> Random:
    """One vector argument from a SALib problem: its entries carry the problem's names."""
    names, bounds = problem.get("names"), problem.get("bounds")
    if names is None or bounds is None or len(names) != len(bounds):
        raise ValueError(
            message(
                "a SALib problem needs names and bounds, one pair of bounds for each name",
                f"keys {sorted(problem)}",
                "pass {'names': ['x', 'y'], 'bounds': [[0, 1], [0, 2]]}",
            )
        )
    groups = problem.get("groups")
    if groups is not None and list(groups) != list(names):
        raise ValueError(
            message(
                "a SALib problem with groups is not an input: results here are per entry",
                f"groups {list(groups)}",
                "leave groups out, and add the entries of a group afterwards",
            )
        )
    kinds = problem.get("dists") or ["unif"] * len(names)
    labels = tuple(str(n) for n in names)
    if set(kinds) == {"unif"}:
        low, high = np.asarray(bounds, np.float64).T
        return Random(Uniform(low, high), labels=labels)
    entries = [_salib_entry(k, b) for k, b in zip(kinds, bounds, strict=True)]
    return Random(Stacked(entries), labels=labels)


# ---------------------------------------------------------------------- the door


def _is_random(item: object) -> bool:
    return isinstance(item, Distribution | Random | Given | Each | Fixed | Mapping) or is_frozen(item)


def describe(item: Any, position: int = 0) -> Argument:
    """The descriptor of one item; `position` is the argument's place, for errors."""
    if isinstance(item, Random | Given | Each | Fixed):
        return item
    if isinstance(item, Distribution):
        return Random(item)
    if isinstance(item, Mapping):
        return _from_salib(item)
    if is_frozen(item):
        return Random(from_scipy(item))
    if isinstance(item, Tensor):
        return Fixed(item.detach())
    if isinstance(item, np.ndarray | np.generic) and item.dtype.kind in "fiub":
        return Fixed(wrap(np.array(item)))
    if isinstance(item, int | float | list):
        return Fixed(_as_tensor(item))
    raise TypeError(
        message(
            f"inputs: argument {position} is a {type(item).__name__}, which is no input",
            f"{item!r}"[:200],
            "pass a distribution, a frozen SciPy distribution, a SALib problem, given(array), each(array), "
            "or a fixed tensor",
        )
    )


def resolve(inputs: Any) -> list[Argument]:
    """The descriptors of a function's arguments, in order, from one item or a tuple (or list) of items.

    Slots of the random arguments are numbered one after the other. Raises TypeError for what is no input,
    ValueError where given arrays differ in length.

    >>> import pullback as torch
    >>> a, b = resolve((Normal(0.0, 1.0).expand(3), Uniform(0.0, 1.0)))
    >>> a.first_slot, b.first_slot, b.slots
    (0, 3, 1)
    """
    several = isinstance(inputs, tuple) or (isinstance(inputs, list) and any(map(_is_random, inputs)))
    items = list(inputs) if several else [inputs]
    arguments = [describe(item, i) for i, item in enumerate(items)]
    slot = 0
    for i, argument in enumerate(arguments):
        if isinstance(argument, Random):
            arguments[i] = replace(argument, first_slot=slot)
            slot += argument.slots
    lengths = {i: a.samples for i, a in enumerate(arguments) if isinstance(a, Given)}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            message(
                "given: all given arrays must hold the same number of samples",
                ", ".join(f"argument {i}: {n}" for i, n in lengths.items()),
                "sample s of the study is entry s of each of them",
            )
        )
    return arguments


def total_slots(arguments: Sequence[Argument]) -> int:
    """How many standard numbers one sample of all arguments consumes.

    >>> total_slots(resolve((Normal().expand(3), Uniform(), 2.0)))
    4
    """
    return sum(a.slots for a in arguments if isinstance(a, Random))
