"""Rearranging entries: flip, roll, rot90, windows (unfold), strided views.

Read `flip` first. `diagonals` holds diagonals and triangles, `padding` holds pad. May import `families`,
`graph`, `errors`, `ops.memory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import apply
from pullback.families.regions import Region, read_region
from pullback.families.sizes import dim_of, given, ints_of, need_tensor
from pullback.families.structural import made_view, structural, view
from pullback.graph.tensor import Tensor

# ---------------------------------------------------------------------- entries


def up(dims: Sequence[int]) -> tuple[int, ...]:
    """The dimensions of a batch of lanes, which has one more in front."""
    return tuple(d + 1 for d in dims)


flip_op = structural(
    "flip",
    lambda x, *, dims: np.flip(x, dims).copy() if dims else np.array(x),
    vjp=lambda g, _out, _x, *, dims: flip_op(g, dims=dims),
    lift=lambda params, _n: {"dims": up(params["dims"])},
    samples=[((2, 3), {"dims": (1,)}), ((2, 3), {"dims": (0, 1)}), ((), {"dims": ()})],
)
roll_op = structural(
    "roll",
    lambda x, *, shifts, dims: (
        np.roll(x, shifts if dims else shifts[0], dims or None) if x.ndim else np.array(x)
    ),
    vjp=lambda g, _out, _x, *, shifts, dims: roll_op(g, shifts=tuple(-s for s in shifts), dims=dims),
    lift=lambda params, n: (
        {"shifts": params["shifts"], "dims": up(params["dims"])} if n and params["dims"] else None
    ),
    samples=[
        ((2, 3), {"shifts": (1, -1), "dims": (0, 1)}),
        ((4,), {"shifts": (2,), "dims": (0,)}),
        ((2, 3), {"shifts": (1,), "dims": ()}),
    ],
)
rot90_op = structural(
    "rot90",
    lambda x, *, k, dims: np.rot90(x, k, dims).copy(),
    vjp=lambda g, _out, _x, *, k, dims: rot90_op(g, k=-k, dims=dims),
    lift=lambda params, _n: {"k": params["k"], "dims": up(params["dims"])},
    samples=[((2, 3), {"k": 1, "dims": (0, 1)}), ((2, 3), {"k": 2, "dims": (1, 0)})],
)


def _unfold(x: Any, *, dim: int, size: int, step: int) -> Any:
    x = np.asarray(x)
    if not x.ndim:
        return np.lib.stride_tricks.as_strided(x, (size,), (x.itemsize,))
    n = (x.shape[dim] - size) // step + 1
    shape = (*x.shape[:dim], n, *x.shape[dim + 1 :], size)
    strides = (*x.strides[:dim], x.strides[dim] * step, *x.strides[dim + 1 :], x.strides[dim])
    return np.lib.stride_tricks.as_strided(x, shape, strides)


unfold_op = structural(
    "unfold",
    _unfold,
    is_view=True,
    lift=lambda params, n: {**params, "dim": params["dim"] + 1} if n else None,
    samples=[((5,), {"dim": 0, "size": 2, "step": 1}), ((2, 5), {"dim": 1, "size": 3, "step": 2})],
)


# ---------------------------------------------------------------------- flip, roll, rotate


def flip(input: Tensor, *dims: Any, **kwargs: Any) -> Tensor:
    """The entries in reverse order along the given dimensions (a copy)."""
    need_tensor("flip", input)
    wanted = ints_of("flip", "dims", 1, given("flip", "dims", dims, kwargs))
    found = tuple(dim_of(d, input.value.ndim, "flip") for d in wanted)
    for d in found:
        if found.count(d) > 1:
            raise RuntimeError(
                message(f"dim {d} appears multiple times in the list of dims", f"got {list(wanted)}")
            )
    return apply(flip_op, (input,), {"dims": found if input.value.ndim else ()})


def fliplr(input: Tensor) -> Tensor:
    """Columns in reverse order."""
    if input.value.ndim < 2:
        raise RuntimeError(
            message(
                "Input must be >= 2-d.", f"the tensor is {input.value.ndim}-d", "flip(0) reverses a vector"
            )
        )
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """Rows in reverse order."""
    if input.value.ndim < 1:
        raise RuntimeError(message("Input must be >= 1-d.", "the tensor is 0-d"))
    return flip(input, 0)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """The entries moved along dimensions, those that leave at the end entering at the front.

    Without dims over the flat tensor.
    """
    need_tensor("roll", input)
    moves = ints_of("roll", "shifts", 1, (shifts,))
    axes = () if dims is None else ints_of("roll", "dims", 2, (dims,))
    if not axes and len(moves) == 1:
        return apply(roll_op, (input,), {"shifts": moves, "dims": ()})
    if len(moves) != len(axes):
        raise RuntimeError(
            message(
                f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(axes)}",
                "",
                "one shift per dimension",
            )
        )
    found = tuple(dim_of(d, input.value.ndim, "roll") for d in axes)
    return apply(roll_op, (input,), {"shifts": moves, "dims": found})


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Rotated by k quarter turns in the plane of two dimensions, from the first towards the second."""
    need_tensor("rot90", input)
    plane = ints_of("rot90", "dims", 2, (tuple(dims),))
    if len(plane) != 2:
        raise RuntimeError(message(f"expected total rotation dims == 2, but got dims = {len(plane)}"))
    n = input.value.ndim
    if n < 2:
        raise RuntimeError(message(f"expected total dims >= 2, but got total dims = {n}"))
    a, b = (dim_of(d, n, "rot90") for d in plane)
    if a == b:
        raise RuntimeError(
            message(
                f"expected rotation dims to be different, but got dim0 = {plane[0]} and dim1 = {plane[1]}"
            )
        )
    return apply(rot90_op, (input,), {"k": k, "dims": (a, b)})


# ---------------------------------------------------------------------- windows


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` entries every `step` along a dimension, as a view.

    The window is the last dimension.
    """
    shape = self.value.shape
    d = dim_of(dimension, len(shape), "unfold")
    n = shape[d] if shape else 1
    if size < 0:
        raise RuntimeError(message(f"size is {size} but must be >= 0"))
    if size > n:
        raise RuntimeError(message(f"maximum size for tensor at dimension {d} is {n} but size is {size}"))
    if step <= 0:
        raise RuntimeError(message(f"step is {step} but must be > 0"))
    return view(unfold_op, self, {"dim": d, "size": size, "step": step})


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of the memory behind a tensor with the given sizes and strides (in entries).

    RuntimeError where it would reach outside. Entries outside the tensor itself get no gradient.
    """
    need_tensor("as_strided", input)
    v = input.storage()
    base = v if input.base is None else input.base.storage()
    item = v.itemsize
    here = (v.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // item
    offset = here if storage_offset is None else storage_offset
    sizes, strides = tuple(size), tuple(stride)
    reach = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) + 1
    if 0 not in sizes and reach > base.size:
        raise RuntimeError(
            message(
                f"setStorage: sizes {list(sizes)}, strides {list(strides)}, storage offset {offset}, and "
                f"itemsize {item} requiring a "
                f"storage size of {reach * item} are out of bounds for storage of size {base.size * item}"
            )
        )
    flat = np.lib.stride_tricks.as_strided(base, (base.size,), (item,))
    part = np.lib.stride_tricks.as_strided(
        flat[offset:] if offset < base.size else flat[:0], sizes, [s * item for s in strides]
    )
    return made_view(read_region, input, part, {"region": Region(v, part)})


def backwards(input: Tensor) -> Tensor:
    """reversed(x): flipped along its first dimension (a 0-d tensor is itself)."""
    return flip(input, 0) if input.value.ndim else input


PUBLIC: dict[str, Any] = {
    "flip": flip,
    "fliplr": fliplr,
    "flipud": flipud,
    "roll": roll,
    "rot90": rot90,
    "as_strided": as_strided,
}
METHODS: dict[str, Any] = {**PUBLIC, "unfold": unfold, "__reversed__": backwards}
IN_PLACE: dict[str, Any] = {}
