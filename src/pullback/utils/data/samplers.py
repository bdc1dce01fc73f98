"""Samplers: in which order a data set is read. Read `RandomSampler` first. May import: pullback, `datasets`.

The numbers of draws, and from which generator, are torch's: the same seed gives the same order.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

from pullback.utils.data.datasets import Subset

T_co = TypeVar("T_co", covariant=True)
pb: Any = importlib.import_module("pullback")  # its names are made at run time

_BLOCK = 32  # with replacement torch draws this many indices at a time


class Sampler(Generic[T_co]):
    """An order: a subclass gives `__iter__`, and usually `__len__`."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """First to last."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A shuffled order, or indices drawn with replacement.

    Without `generator`, a seed is drawn from the default stream and the order from a new generator with that
    seed.

    data_source: anything with a length n; num_samples: how many indices (n).
    ValueError for a `num_samples` that is not positive, TypeError for a `replacement` that is no bool.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(self.replacement, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"replacement should be a boolean value, but got replacement={self.replacement}")
        _positive_count(self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices are drawn."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, count = len(self.data_source), self.num_samples
        generator = self.generator
        if generator is None:
            generator = pb.Generator()
            generator.manual_seed(draw_seed())
        if self.replacement:
            for start in range(0, count, _BLOCK):
                size = (min(_BLOCK, count - start),)
                yield from pb.randint(high=n, size=size, dtype=pb.int64, generator=generator).tolist()
        else:
            for start in range(0, count + 1, n):  # one permutation more than needed, if n divides count
                yield from pb.randperm(n, generator=generator).tolist()[: count - start]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices, shuffled."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in pb.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices 0 .. len(weights)-1, drawn with probabilities proportional to `weights`."""

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        _positive_count(num_samples)
        if not isinstance(replacement, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"replacement should be a boolean value, but got {replacement=}")
        self.weights = pb.as_tensor(weights, dtype=pb.double)
        if len(self.weights.shape) != 1:
            shape = tuple(self.weights.shape)
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {shape}")
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = pb.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[Any]]):
    """The indices of another sampler, `batch_size` at a time; `drop_last` leaves out a short last batch."""

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        check_batch_size(batch_size)
        if not isinstance(drop_last, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        return batches(self.sampler, self.batch_size, self.drop_last)

    def __len__(self) -> int:
        sampler: Any = self.sampler
        full, rest = divmod(len(sampler), self.batch_size)
        return full + (rest > 0 and not self.drop_last)


def batches(items: Iterable[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    """Lists of `size` items, the last one shorter or left out.

    >>> list(batches("abcde", 2, False))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    stream = iter(items)
    while batch := list(islice(stream, size)):
        if len(batch) == size or not drop_last:
            yield batch


def check_batch_size(batch_size: Any) -> None:
    """ValueError unless `batch_size` is a positive int."""
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
        raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")


def _positive_count(num_samples: Any) -> None:
    """ValueError unless `num_samples` is a positive int."""
    if not isinstance(num_samples, int) or num_samples <= 0:
        raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")


def draw_seed(generator: Any = None) -> int:
    """A seed from a stream (the default one if `generator` is None), as torch draws it."""
    return int(pb.empty((), dtype=pb.int64).random_(generator=generator).item())


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset[Any]]:
    """Disjoint random subsets of the given lengths, or of the given fractions that sum to 1.

    Lengths from fractions are rounded down; what is left goes to the subsets one by one, from the first.
    """
    counts = _counts(len(dataset), lengths)
    if sum(counts) != len(dataset):
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = iter(pb.randperm(sum(counts), generator=generator).tolist())
    return [Subset(dataset, list(islice(order, count))) for count in counts]


def _counts(total: int, lengths: Sequence[float]) -> list[Any]:
    """Lengths from fractions; lengths stay as they are."""
    if not (math.isclose(sum(lengths), 1) and sum(lengths) <= 1):
        return list(lengths)
    for i, fraction in enumerate(lengths):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {i} is not between 0 and 1")
    counts = [math.floor(total * fraction) for fraction in lengths]
    for i in range(total - sum(counts)):
        counts[i % len(counts)] += 1
    for i, count in enumerate(counts):
        if count == 0:
            text = f"Length of split at index {i} is 0. This might result in an empty dataset."
            warnings.warn(text, stacklevel=3)
    return counts
