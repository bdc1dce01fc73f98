"""Reading an index: what x[...] was given, as basic items and index tensors, all checked.

Read `parsed` first. May import `graph`, `errors`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import warnings
from collections.abc import Sequence
from operator import index as as_index
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import Tensor, wrap

FULL = slice(None)

Parsed = tuple[tuple[Any, ...], tuple[int, ...], tuple[Tensor, ...]]


def _as_items(index: Any) -> tuple[Any, ...]:
    if isinstance(index, tuple):
        return index
    if isinstance(index, str) or (
        isinstance(index, list)
        and len(index) < 32
        and any(
            i is None or i is Ellipsis or isinstance(i, slice | list | tuple | Tensor | np.ndarray | str)
            for i in index
        )
    ):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed "
            "in pytorch 2.9; use "
            "x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, "
            "x[torch.tensor(seq)], which "
            "will result either in an error or a different result",
            UserWarning,
            stacklevel=4,
        )
        return tuple(index)
    return (index,)


def _as_tensor(item: Any) -> Tensor:
    """A list, range or array as an index tensor; IndexError for dtypes that cannot index."""
    if not isinstance(item, Tensor):
        values = (
            [i.value.item() if isinstance(i, Tensor) else i for i in item] if isinstance(item, list) else item
        )
        if isinstance(values, list) and any(isinstance(i, str) for i in values):
            raise TypeError(
                message(
                    "new(): invalid data type 'str'",
                    "a text cannot index a tensor",
                    "index with integers, slices, masks or integer tensors",
                )
            )
        made = np.asarray(values)
        item = wrap(made.astype(np.int64) if not made.size and made.dtype.kind == "f" else made)
    kind = item.value.dtype
    if kind.kind == "u" and kind.itemsize == 1:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
            UserWarning,
            stacklevel=5,
        )
        return wrap(item.value.astype(bool))
    if kind.kind not in "iub":
        raise IndexError(
            message(
                "tensors used as indices must be long, int, byte or bool tensors",
                f"got dtype {item.dtype!r}",
                "convert it: index.long()",
            )
        )
    return item


def _int_item(item: Any) -> int | None:
    """An integer index (a Python or NumPy integer, or a 0-d integer tensor), else None."""
    if type(item) is int:
        return item
    if isinstance(item, bool | np.bool_):
        return None
    if isinstance(item, Tensor):
        v = item.value
        return (
            int(v)
            if v.ndim == 0
            and v.dtype.kind in "iu"
            and v.dtype.itemsize + (v.dtype.kind == "i") > 1
            and item.foreign is None
            else None
        )
    if isinstance(item, np.ndarray):
        return int(item) if item.ndim == 0 and item.dtype.kind in "iu" else None
    return as_index(item) if hasattr(item, "__index__") else None


def _consumed(item: Any) -> int:
    """How many dimensions of the tensor an item stands for."""
    if item is None or item is Ellipsis or isinstance(item, bool | np.bool_):
        return 0
    if isinstance(item, Tensor) and item.value.dtype.kind == "b":
        return item.value.ndim
    return 1


def parsed(shape: tuple[int, ...], index: Any) -> Parsed:
    """An index as (basic items, places of index tensors in the basic result, index tensors), all checked.

    IndexError, TypeError and ValueError as PyTorch words them.
    """
    items = [_prepared(i) for i in _as_items(index)]
    ndim = len(shape)
    used = sum(map(_consumed, items))
    if used > ndim:
        raise _too_many(ndim, items)
    basic: list[Any] = []
    places: list[int] = []
    tensors: list[Tensor] = []
    d = r = 0
    for item in items:
        number = _int_item(item)
        if number is not None:
            basic.append(_checked(number, d, shape))
            d += 1
        elif item is None:
            basic.append(None)
            r += 1
        elif item is Ellipsis:
            n = ndim - used
            basic.extend([FULL] * n)
            d, r, used = d + n, r + n, ndim
        elif isinstance(item, slice):
            basic.append(_slice(item))
            d, r = d + 1, r + 1
        elif isinstance(item, bool | np.bool_) or (
            isinstance(item, Tensor) and not item.value.ndim and item.value.dtype.kind == "b"
        ):
            basic.append(None)
            places.append(r)
            tensors.append(
                wrap(np.zeros(int(bool(item.value if isinstance(item, Tensor) else item)), np.int64))
            )
            r += 1
        else:
            found = _masked(item, d, shape) if item.value.dtype.kind == "b" else [_in_range(item, d, shape)]
            for i in found:
                basic.append(FULL)
                places.append(r)
                tensors.append(i)
                d, r = d + 1, r + 1
    _check_together(tensors)
    return tuple(basic), tuple(places), tuple(tensors)


def _prepared(item: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, int | slice | bool | np.bool_ | np.integer):
        return item
    if isinstance(item, Tensor | list | range | np.ndarray | tuple):
        return item if isinstance(item, np.ndarray) and _int_item(item) is not None else _as_tensor(item)
    if hasattr(item, "__index__"):
        return as_index(item)
    if isinstance(item, str):
        raise TypeError(
            message(
                "new(): invalid data type 'str'",
                "a text cannot index a tensor",
                "index with integers, slices, masks or integer tensors",
            )
        )
    raise IndexError(
        message(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
            "indices (got "
            f"{type(item).__name__})",
            "",
            "convert a float index with int()",
        )
    )


def _too_many(ndim: int, items: Sequence[Any]) -> IndexError:
    if ndim == 0 and len(items) == 1:
        if isinstance(items[0], slice):
            return IndexError(
                message("slice() cannot be applied to a 0-dim tensor.", "", "x[None] makes it 1-d")
            )
        return IndexError(
            message(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in "
                "C++ to convert a 0-dim "
                "tensor to a number"
            )
        )
    return IndexError(
        message(f"too many indices for tensor of dimension {ndim}", f"{len(items)} indices were given")
    )


def _checked(i: int, d: int, shape: tuple[int, ...]) -> int:
    n = shape[d]
    if not -n <= i < n:
        raise IndexError(
            message(
                f"index {i} is out of bounds for dimension {d} with size {n}",
                f"the tensor has shape {list(shape)}",
                f"valid: {-n} to {n - 1}",
            )
        )
    return i + n if i < 0 else i


def _slice(s: slice) -> slice:
    start, stop, step = (
        None if e is None else _int_item(e) if _int_item(e) is not None else as_index(e)
        for e in (s.start, s.stop, s.step)
    )
    if step == 0:
        raise ValueError(message("slice step cannot be zero", "", "use a positive step"))
    if step is not None and step < 0:
        raise ValueError(
            message("step must be greater than zero", f"got step {step}", "x.flip(0) reverses a dimension")
        )
    return slice(start, stop, step)


def _masked(mask: Tensor, d: int, shape: tuple[int, ...]) -> list[Tensor]:
    if mask.foreign is not None:
        raise dynamic_shape("indexing with a mask")
    m = mask.value
    if m.shape != shape[d : d + m.ndim]:
        k = next(k for k, (a, b) in enumerate(zip(m.shape, shape[d:], strict=False)) if a != b)
        raise IndexError(
            message(
                f"The shape of the mask {list(m.shape)} at index {k} does not match the shape of the "
                f"indexed tensor {list(shape)} at "
                f"index {d + k}",
                "a mask must have the sizes of the dimensions it stands for",
            )
        )
    return [wrap(i) for i in np.nonzero(m)]


def dynamic_shape(what: str) -> RuntimeError:
    """PyTorch's error for a result whose size differs from sample to sample inside vmap."""
    first = (
        "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch "
        "over indexing with a boolean mask."
        if what == "indexing with a mask"
        else "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap "
        f"over aten::{what}. "
        "Please file an issue at https://github.com/pytorch/pytorch/issues if you need this feature."
    )
    return RuntimeError(
        message(
            first,
            f"{what}: every sample would have another number of entries",
            "choose with torch.where, which keeps the shape",
        )
    )


def _in_range(item: Tensor, d: int, shape: tuple[int, ...]) -> Tensor:
    if item.foreign is not None:
        return item
    v, n = item.value, shape[d]
    if v.size and (v.min() < -n or v.max() >= n):
        bad = next(int(i) for i in v.reshape(-1) if not -n <= i < n)
        raise IndexError(
            message(
                f"index {bad} is out of bounds for dimension {d} with size {n}",
                f"the tensor has shape {list(shape)}",
                f"valid: {-n} to {n - 1}",
            )
        )
    if not isinstance(v, np.ndarray):
        item.storage()
    return item


def _check_together(tensors: Sequence[Tensor]) -> None:
    if len(tensors) > 1:
        try:
            np.broadcast_shapes(*(t.value.shape for t in tensors))
        except ValueError:
            shapes = ", ".join(str(list(t.value.shape)) for t in tensors)
            raise IndexError(
                message(
                    f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}",
                    "",
                    "give them one shape",
                )
            ) from None


__all__ = ["FULL", "dynamic_shape", "parsed"]
