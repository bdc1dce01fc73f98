"""Reading by an index: x[...], select, narrow, len, iteration; nonzero and argwhere.

Read `getitem`; `indices` reads and checks an index, `index_entries` holds the ops, `index_write` the
writes. Integers, slices, None and Ellipsis give views (op `slice`); lists, masks and integer tensors copy
(op `index`). Integers next to index tensors are applied first, as in PyTorch and unlike NumPy. May import
`families`, `graph`, `errors`, other ops modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.calls import write_out
from pullback.families.op import apply
from pullback.families.sizes import an_int, dim_of, need_tensor
from pullback.families.structural import made_view, view
from pullback.graph.modes import state
from pullback.graph.shadows import unlisted
from pullback.graph.tensor import Parameter, Tensor, wrap
from pullback.ops.index_entries import index_op, slice_op
from pullback.ops.indices import FULL, dynamic_shape, parsed
from pullback.ops.splitting import unbind

# ---------------------------------------------------------------------- reading


_PLACES = [{"index": (i,)} for i in range(16)]
_PLAIN = (int, type(None))


def _simple(items: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Are these integers from the front and slices without a step that say something, one per dimension?"""
    if len(items) > len(shape):
        return False
    said = False
    for item, n in zip(items, shape):  # noqa: B905 - indices may leave out dimensions
        kind = type(item)
        if kind is int:
            if not 0 <= item < n:
                return False
            said = True
        elif kind is slice and item.step is None:
            if type(item.start) not in _PLAIN or type(item.stop) not in _PLAIN:
                return False
            said = said or item.start is not None or item.stop is not None
        else:
            return False
    return said


def getitem(self: Tensor, index: Any) -> Tensor:
    """x[index]: a view for integers, slices, None and Ellipsis; a copy for lists, masks and integer tensors.

    >>> import pullback as torch
    >>> x = torch.arange(6.).reshape(2, 3)
    >>> x[1], x[:, 0], x[x > 3]
    (tensor([3., 4., 5.]), tensor([0., 3.]), tensor([4., 5.]))
    """
    if (type(self) is Tensor or type(self) is Parameter) and state.tracer is None:  # numbers and plain slices
        v = self.storage()
        shape = v.shape
        if type(index) is int:
            if shape:
                i = index if index >= 0 else index + shape[0]
                if 0 <= i < shape[0]:
                    return made_view(slice_op, self, v[i, ...], _PLACES[i] if i < 16 else {"index": (i,)})
        else:
            items = (index,) if type(index) is slice else index
            if type(items) is tuple and _simple(items, shape):
                return made_view(slice_op, self, v[(*items, ...)], {"index": items})
    basic, places, tensors = parsed(self.value.shape, index)
    x = self
    if not isinstance(index, slice) and all(b == FULL for b in basic):
        basic = ()
    if not tensors or any(b != FULL for b in basic):
        x = view(slice_op, x, {"index": basic})
    return apply(index_op, (x, *tensors), {"places": places}) if tensors else x


def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """The slice at one place of a dimension, which disappears; a view."""
    need_tensor("select", input)
    shape = input.value.shape
    if not shape:
        raise IndexError(
            message("select() cannot be applied to a 0-dim tensor.", "", "x.item() gives its number")
        )
    d = dim_of(dim, len(shape), "select")
    i = an_int("select", "index", 2, index)
    if not -shape[d] <= i < shape[d]:
        raise IndexError(
            message(
                f"select(): index {i} out of range for tensor of size {list(shape)} at dimension {d}",
                "",
                f"valid: {-shape[d]} to {shape[d] - 1}",
            )
        )
    return view(slice_op, input, {"index": (*(FULL,) * d, i % shape[d])})


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` slices of a dimension from `start` on; a view."""
    need_tensor("narrow", input)
    shape = input.value.shape
    d = dim_of(dim, len(shape), "narrow")
    n, a = shape[d], an_int("narrow", "start", 2, start)
    if length < 0:
        raise RuntimeError(message("narrow(): length must be non-negative.", f"got length={length}"))
    if not -n <= a <= n:
        raise IndexError(message(f"start out of range (expected to be in range of [{-n}, {n}], but got {a})"))
    a = a + n if a < 0 else a
    if a + length > n:
        raise RuntimeError(
            message(
                f"start ({a}) + length ({length}) exceeds dimension size ({n}).",
                f"the tensor has shape {list(shape)}",
            )
        )
    return view(slice_op, input, {"index": (*(FULL,) * d, slice(a, a + length))})


def length(self: Tensor) -> int:
    """The size of the first dimension; TypeError for a 0-d tensor."""
    shape = self.value.shape
    if not shape:
        raise TypeError(
            message(
                "len() of a 0-d tensor",
                "a 0-d tensor holds one number",
                "x.item() gives it; x.numel() counts entries",
            )
        )
    return shape[0]


def iterate(self: Tensor) -> Iterator[Tensor]:
    """The slices along the first dimension; TypeError for a 0-d tensor."""
    if not self.value.shape:
        raise TypeError(
            message("iteration over a 0-d tensor", "a 0-d tensor holds one number", "x.item() gives it")
        )
    return iter(unbind(self, 0))


def contains(self: Tensor, element: Any) -> bool:
    """Is any entry equal to the number (or tensor)? RuntimeError for other types."""
    if isinstance(element, Tensor | int | float | complex | np.number | np.bool_):
        other = element.value if isinstance(element, Tensor) else element
        return bool((self.value == other).any())
    raise RuntimeError(
        message(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.",
            "",
            "compare entries with ==",
        )
    )


# ---------------------------------------------------------------------- where entries are not zero


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Any = None) -> Any:
    """The indices of the entries that are not zero: one a row, or one tensor per dimension."""
    need_tensor("nonzero", input)
    if input.foreign is not None:
        raise dynamic_shape("nonzero")
    v = np.asarray(input.value)
    if as_tuple:
        return unlisted("nonzero", tuple(wrap(i) for i in np.nonzero(v if v.ndim else v.reshape(1))), input)
    found = unlisted("nonzero", wrap(np.argwhere(v).astype(np.int64, copy=False)), input)
    return found if out is None else write_out(index_op, out, found, ())


def argwhere(input: Tensor) -> Tensor:
    """The indices of the entries that are not zero, one a row."""
    return nonzero(input)


PUBLIC: dict[str, Any] = {
    "select": select,
    "narrow": narrow,
    "nonzero": nonzero,
    "argwhere": argwhere,
}
METHODS: dict[str, Any] = {
    **PUBLIC,
    "__getitem__": getitem,
    "__len__": length,
    "__iter__": iterate,
    "__contains__": contains,
}
