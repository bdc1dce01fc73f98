"""The loader: batches of a data set. Read `DataLoader` first. May import: the other files of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pullback.utils.data.collate import default_collate, default_convert
from pullback.utils.data.datasets import IterableDataset, fetch
from pullback.utils.data.samplers import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    batches,
    check_batch_size,
    draw_seed,
)

_FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class DataLoader:
    """Goes through a data set in batches.

    dataset: anything with `__getitem__` and `__len__`, or an IterableDataset; batch_size: samples in a batch,
    None for single samples; shuffle, sampler, batch_sampler: the order; collate_fn: makes a batch of a list
    of samples.

    Samples are always read in this process, whatever `num_workers` is: the batches and their order are the
    same, `worker_init_fn` is never called, and random draws inside the data set come from the one stream of
    the process. Each iteration draws one seed from the stream (`generator`, or the default), as torch's
    loader does.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self.generator = generator
        self.persistent_workers = persistent_workers
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        if sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None:
            check_batch_size(batch_size)
            if not self._iterable and sampler is not None:
                batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        batched = batch_sampler is not None or batch_size is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and getattr(self, "_ready", False):
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        if self._iterable:
            keys: Iterator[Any] = iter(())
            samples = iter(self.dataset)
        else:
            order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
            keys = iter(order)
            samples = iter(())
        draw_seed(self.generator)  # torch's workers would start from it
        return _Batches(self, keys, samples)

    def __len__(self) -> int:
        items: Any = self.dataset if self._iterable else self.batch_sampler or self.sampler
        count = len(items)
        if not self._iterable or self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


class _Batches(Iterator[Any]):
    """One pass of a loader."""

    def __init__(self, loader: DataLoader, keys: Iterator[Any], samples: Iterator[Any]) -> None:
        self._loader = loader
        self._parts = self._from_stream(samples) if loader._iterable else self._from_keys(keys)

    def __next__(self) -> Any:
        return next(self._parts)

    def __len__(self) -> int:
        return len(self._loader)

    def _from_keys(self, keys: Iterator[Any]) -> Iterator[Any]:
        loader = self._loader
        for key in keys:
            one = loader.batch_sampler is None
            yield loader.collate_fn(loader.dataset[key] if one else fetch(loader.dataset, key))

    def _from_stream(self, samples: Iterator[Any]) -> Iterator[Any]:
        loader = self._loader
        if loader.batch_size is None:
            yield from map(loader.collate_fn, samples)
        else:
            yield from map(loader.collate_fn, batches(samples, loader.batch_size, loader.drop_last))


def get_worker_info() -> None:
    """None: samples are read in the main process."""


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool) -> None:
    """The errors that torch raises for options of its worker processes."""
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_iterable(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    """An IterableDataset chooses its own order."""
    wrong = {"sampler": sampler, "batch_sampler": batch_sampler}
    given = {"shuffle": shuffle} if shuffle else {k: v for k, v in wrong.items() if v is not None}
    for name, value in given.items():
        raise ValueError(
            f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
        )
