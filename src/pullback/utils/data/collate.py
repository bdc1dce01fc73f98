"""From samples to a batch: tensors are stacked, numbers become tensors, containers keep their form.

Read `default_collate` first. May import: pullback.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

pb: Any = importlib.import_module("pullback")  # its names are made at run time

_REFUSED = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"


def default_collate(batch: Any) -> Any:
    """A list of samples as one batch: one more dimension in front, or a container of such.

    Arrays keep their dtype, floats become float64, ints int64; text stays a list.
    TypeError for other things, RuntimeError for samples of different length.
    """
    first = batch[0]
    if _is(first, pb.Tensor):
        return pb.stack(list(batch), 0)
    if _is(first, np.ndarray | np.generic):
        return _stack_arrays(batch)
    if _is(first, float):
        return pb.tensor(batch, dtype=pb.float64)
    if _is(first, int):
        return pb.tensor(batch)
    if _is(first, str | bytes):
        return batch
    if _is(first, Mapping):
        return _mapping(first, lambda key: default_collate([sample[key] for sample in batch]))
    if _is(first, Sequence):
        return _collate_sequences(first, batch)
    raise TypeError(_REFUSED.format(first.__class__))


def default_convert(data: Any) -> Any:
    """A sample that is its own batch: arrays become tensors, the rest stays what it is."""
    if _is(data, (pb.Tensor, str, bytes)):
        return data
    if _is(data, np.ndarray | np.generic):
        return data if data.dtype.kind in "SUOMm" else pb.as_tensor(data)
    if _is(data, Mapping):
        return _mapping(data, lambda key: default_convert(data[key]))
    if _is(data, Sequence):
        return _sequence(data, [default_convert(item) for item in data])
    return data


def _is(value: Any, kinds: Any) -> bool:
    """`isinstance` that leaves the value Any."""
    return isinstance(value, kinds)


def _stack_arrays(batch: Sequence[Any]) -> Any:
    """NumPy arrays or scalars as one tensor."""
    first = batch[0]
    if first.dtype.kind in "SUOMm":
        raise TypeError(_REFUSED.format(first.dtype))
    if first.shape == ():
        return pb.as_tensor(np.asarray(batch))
    return pb.stack([pb.as_tensor(item) for item in batch], 0)


def _collate_sequences(first: Any, batch: Sequence[Any]) -> Any:
    """Samples that are tuples or lists: collated position by position."""
    if any(len(sample) != len(first) for sample in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = [default_collate(column) for column in zip(*batch, strict=True)]
    return _sequence(first, columns)


def _sequence(like: Any, items: list[Any]) -> Any:
    """Items in a container like `like`; a tuple becomes a list."""
    if hasattr(like, "_fields"):  # a named tuple
        return type(like)(*items)
    if _is(like, tuple):
        return items
    try:
        if _is(like, MutableSequence):  # keeps what a subclass carries
            return _filled(like, items)
        return type(like)(items)
    except TypeError:  # a range cannot hold tensors
        return items


def _filled(like: Any, items: list[Any]) -> Any:
    """A copy of a mutable sequence with other items."""
    clone = copy.copy(like)
    for i, item in enumerate(items):  # not a slice: a deque has none
        clone[i] = item
    return clone


def _mapping(like: Mapping[Any, Any], value: Callable[[Any], Any]) -> Any:
    """A mapping like `like` whose values are `value(key)`."""
    items = {key: value(key) for key in like}
    try:
        if _is(like, MutableMapping):  # keeps what a subclass carries (a default factory, an order)
            clone: Any = copy.copy(like)
            clone.update(items)
            return clone
        make: Any = type(like)
        return make(items)
    except TypeError:
        return items
