"""Where a view lies in its base, and what a recorded write through a view does to the record.

Read `Region` first, then `reroot_base`. After a write through a view the base becomes the output of
CopySlices and every live
view a strided region of the new base. Nothing is computed at write time: a region is six numbers until
backward reads it.
May import `graph`, `families.op`, `families.structural`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.dtypes import get_default_dtype
from pullback.errors import message
from pullback.families.structural import Structural, prune, structural
from pullback.graph.modes import state
from pullback.graph.node import LEAF, Aval, Node, Slot
from pullback.graph.tensor import Tensor, edge_of
from pullback.printing import tensor_text


class Region:
    """The entries of a base that a view covers, in the view's shape.

    offset, strides   in entries of the base laid out in row-major order; where the base's memory is not
    row-major they refer to its
                      memory and `ids` translates
    """

    __slots__ = ("_ids", "base_shape", "base_strides", "offset", "shape", "strides")

    def __init__(self, base: Any, part: Any) -> None:
        """Read the geometry off two arrays that share memory."""
        item = base.itemsize
        self.shape, self.base_shape = part.shape, base.shape
        self.strides = tuple(s // item for s in part.strides)
        self.base_strides = tuple(s // item for s in base.strides)
        self.offset = (part.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // item
        self._ids: Any = None if base.flags.c_contiguous else self._translate()

    def _translate(self) -> Any:
        low = sum(min(0, (n - 1) * s) for n, s in zip(self.base_shape, self.base_strides, strict=True))
        high = sum(max(0, (n - 1) * s) for n, s in zip(self.base_shape, self.base_strides, strict=True))
        slots = np.full(max(high - low + 1, 1), -1, np.int64)
        n = int(np.prod(self.base_shape))
        whole = np.ndarray(self.base_shape, slots.dtype, slots, -8 * low, [8 * s for s in self.base_strides])
        whole[...] = np.arange(n).reshape(self.base_shape)
        return self._window(slots, self.offset - low).copy()

    def _window(self, flat: Any, offset: int) -> Any:
        if 0 in self.shape:
            return np.zeros(self.shape, flat.dtype)
        item = flat.itemsize
        return np.ndarray(self.shape, flat.dtype, flat, item * offset, [item * s for s in self.strides])

    @property
    def ids(self) -> Any:
        """The flat row-major indices of the base's entries, in the view's shape."""
        if self._ids is None:
            self._ids = self._window(np.arange(int(np.prod(self.base_shape))), self.offset).copy()
        return self._ids

    def overlaps(self) -> bool:
        """True where two entries of the view may be one entry of the base."""
        reach = 0
        for n, s in sorted(zip(self.shape, self.strides, strict=True), key=_stride):
            if n > 1:
                if abs(s) <= reach:
                    return True
                reach += (n - 1) * abs(s)
        return False

    def read(self, x: Any) -> Any:
        """The region's entries of an array of the base's shape."""
        flat = np.ascontiguousarray(x).reshape(-1)
        if self._ids is not None:
            return flat[self._ids] if self._ids.size else np.zeros(self.shape, flat.dtype)
        return self._window(flat, self.offset).copy()

    def overwrite(self, x: Any, part: Any) -> Any:
        """A copy of an array of the base's shape with the region replaced."""
        out = np.array(x, order="C")
        if out.size:
            if self._ids is not None:
                out.reshape(-1)[self._ids] = part
            else:
                self._window(out.reshape(-1), self.offset)[...] = part
        return out

    def spread(self, part: Any) -> Any:
        """Zeros of the base's shape with the region's entries added in: the transpose of `read`."""
        out = np.zeros(self.base_shape, part.dtype)
        if self.overlaps():
            np.add.at(out.reshape(-1), self.ids.reshape(-1), part.reshape(-1))
            return out
        return self.overwrite(out, part)


def _stride(pair: tuple[int, int]) -> int:
    return abs(pair[1])


def _numbers() -> Region:
    base = np.zeros((2, 3))
    return Region(base, base[:, 1:])


read_region = structural(
    "read_region",
    lambda x, *, region: region.read(x),
    vjp=lambda g, _out, _x, *, region: spread_region(g, region=region),
    backward="AsStridedBackward0",
    samples=[((2, 3), {"region": _numbers()})],
)
spread_region = structural(
    "spread_region",
    lambda x, *, region: region.spread(x),
    vjp=lambda g, _out, _x, *, region: read_region(g, region=region),
    backward="AsStridedBackward0",
    samples=[((2, 2), {"region": _numbers()})],
)
copy_slices = Structural(
    "copy_slices",
    lambda base, part, *, region: region.overwrite(base, part),
    vjp=[
        lambda g, _out, _base, _part, *, region: copy_slices(
            g, np.zeros(region.shape, g.value.dtype if isinstance(g, Tensor) else g.dtype), region=region
        ),
        lambda g, _out, _base, _part, *, region: read_region(g, region=region),
    ],
    data=(0, 1),
    keeps=(False, False),
    backward="CopySlices",
    samples=[((2, 3), (2, 2), {"region": _numbers()})],
)


# ---------------------------------------------------------------------- re-rooting


def reroot_base(written: Tensor, edge: Any) -> None:
    """After a recorded write through a view, whose new value is made at `edge`.

    The base becomes the output of CopySlices.
    """
    base = written.base
    if base is None:
        return
    array = base.storage()
    part = written.storage()
    base.node = Node(
        copy_slices,
        (Aval(array.shape, array.dtype), Aval(part.shape, part.dtype)),
        (edge_of(base), edge),
        None,
        {"region": Region(array, part)},
        None,
    )
    base.note_output()
    reroot_views(base)


def reroot_views(base: Tensor) -> None:
    """Make every live view of a re-rooted base a region of its new value."""
    counter, node = base.counter, edge_of(base)
    if counter is None or node is None or not counter.views:
        return
    prune(counter)
    array = base.storage()
    aval = Aval(array.shape, array.dtype)
    for reference in counter.views:
        t = reference()
        if t is None or t.base is not base:
            continue
        if t.view_kind is not None:
            spoil(t)
            continue
        part = t.value
        t.node = Node(read_region, (aval,), (node,), None, {"region": Region(array, part)}, None)
        t.note_output()


def spoil(t: Tensor) -> None:
    """A view of unknown history whose base was written.

    PyTorch refuses its next use, and so does this class.
    """
    if t.view_kind != "custom":
        t.__dict__["before"] = t.node
        t.__class__ = SpoiledView


NO_GRAD_TAIL = (
    "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code "
    "by moving both the view "
    "and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) "
    "or both outside (if you "
    "want the inplace to be tracked)."
)
MULTI_TAIL = (
    "This view is the output of a function that returns multiple views. Such functions do not allow the "
    "output views to be "
    "modified inplace. You should replace the inplace operation by an out-of-place one."
)


def short_name(name: str) -> str:
    """SelectBackward0 -> Select: the spelling of these error texts."""
    return name.replace("Backward0", "").replace("Backward", "")


def view_error(t: Tensor, node: Any, verb: str) -> RuntimeError:
    """PyTorch's error for writing, directly or through the base, a view of unknown history."""
    if node is None or node is LEAF:
        who = "A view was created in no_grad mode and "
        extra = " with grad mode enabled"
    else:
        k = node.index if type(node) is Slot else 0
        maker: Any = node.node if type(node) is Slot else node
        who, extra = f"Output {k} of {short_name(maker.name)} is a view and ", ""
        if t.view_kind == "no_grad":
            who, extra = (
                who.replace("is a view and", "is a view of a view which was created in no_grad mode and"),
                " with grad mode enabled",
            )
    tail = NO_GRAD_TAIL if t.view_kind == "no_grad" else MULTI_TAIL
    todo = (
        "clone() the view before writing, or move view and write into the same grad mode"
        if t.view_kind == "no_grad"
        else "clone() the part before writing, or take it by indexing (x[i], x[a:b]), which may be written"
    )
    return RuntimeError(
        message(f"{who}{verb}{extra}. {tail}", f"the view has shape {list(t.value.shape)}", todo)
    )


class SpoiledView(Tensor):
    """A view from unbind or split, or made under no_grad, whose base was written with grad mode on."""

    def _refuse(self) -> RuntimeError:
        return view_error(
            self, self.__dict__["before"], "its base or another view of its base has been modified inplace"
        )

    @property
    def foreign(self) -> Any:
        """Raise where an op uses the view in grad mode; its value may still be read under no_grad."""
        if state.grad:
            raise self._refuse()
        return None

    def __repr__(self) -> str:
        return tensor_text(self.value, default_float=get_default_dtype().numpy, grad_fn="Invalid")

    __str__ = __repr__

    @property
    def grad_fn(self) -> Any:
        """Raise as PyTorch does: there is no record that this view could be part of."""
        raise self._refuse()


__all__ = [
    "Region",
    "SpoiledView",
    "copy_slices",
    "read_region",
    "reroot_base",
    "reroot_views",
    "spoil",
    "spread_region",
    "view_error",
]
