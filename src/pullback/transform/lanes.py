"""The value of a tensor inside vmap: a stack of lanes, and how a write goes into the memory below them.

Read `Lanes` first. May import `graph`, `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import Tensor

INPLACE = (
    "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
    "extra_args that has more "
    "elements than `self`. This happened due to `other` being vmapped over but `self` not being vmapped "
    "over in a vmap. Please try "
    "to use out-of-place operators instead of inplace arithmetic. If said operator is being called inside "
    "the PyTorch framework, "
    "please file a bug report instead."
)


class Lanes:
    """The value of a batched tensor: a tensor of the level below whose first dimension runs over the lanes.

    Shape, dtype, ndim and size are those of one lane, so that code which only asks about them needs no case
    of its own.
    """

    __slots__ = ("inner", "level")

    def __init__(self, inner: Tensor, level: Any) -> None:
        self.inner = inner
        self.level = level

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one lane."""
        return tuple(self.inner.value.shape[1:])

    @property
    def dtype(self) -> Any:
        """NumPy's dtype."""
        return self.inner.value.dtype

    @property
    def ndim(self) -> int:
        """The dimensions of one lane."""
        return self.inner.value.ndim - 1

    @property
    def size(self) -> int:
        """The entries of one lane."""
        return int(np.prod(self.shape))

    @property
    def itemsize(self) -> int:
        """Bytes per entry."""
        return self.dtype.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides within one lane."""
        return tuple(self.inner.value.strides[1:])


def write_through(mine: Tensor, result: Tensor) -> bool:
    """Write into the memory below, which views and the caller's tensor share; False where autograd
    follows the write.
    """
    if mine.node is not None or result.node is not None:
        return False
    theirs: Tensor = result
    while isinstance(mine.value, Lanes):
        level = mine.value.level
        own = isinstance(theirs.value, Lanes)
        if own and theirs.value.level.number > level.number:
            raise RuntimeError(message(INPLACE))
        theirs = (
            theirs.value.inner
            if own and theirs.value.level is level
            else theirs.expand(level.size, *theirs.value.shape)
        )
        mine = mine.value.inner
    if isinstance(theirs.value, Lanes):
        raise RuntimeError(message(INPLACE))
    v = mine.storage()
    if any(s == 0 and n > 1 for s, n in zip(v.strides, v.shape, strict=True)):
        return False
    v[...] = theirs.value
    mine.shared_counter().bump()
    return True
