"""Rearranging entries: flip, roll, rot90, pad, diagonals, triangles, windows (unfold), strided views.

Read `flip` first. May import `families`, `graph`, `errors`, `ops.shape`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import apply
from pullback.families.regions import Region, read_region
from pullback.families.sizes import an_int, dim_of, given, ints_of, need_tensor
from pullback.families.structural import made_view, structural, view
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.memory import written

# ---------------------------------------------------------------------- entries


def _up(dims: Sequence[int]) -> tuple[int, ...]:
    return tuple(d + 1 for d in dims)


flip_op = structural(
    "flip",
    lambda x, *, dims: np.flip(x, dims).copy() if dims else np.array(x),
    vjp=lambda g, _out, _x, *, dims: flip_op(g, dims=dims),
    lift=lambda params, _n: {"dims": _up(params["dims"])},
    samples=[((2, 3), {"dims": (1,)}), ((2, 3), {"dims": (0, 1)}), ((), {"dims": ()})],
)
roll_op = structural(
    "roll",
    lambda x, *, shifts, dims: (
        np.roll(x, shifts if dims else shifts[0], dims or None) if x.ndim else np.array(x)
    ),
    vjp=lambda g, _out, _x, *, shifts, dims: roll_op(g, shifts=tuple(-s for s in shifts), dims=dims),
    lift=lambda params, n: (
        {"shifts": params["shifts"], "dims": _up(params["dims"])} if n and params["dims"] else None
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
    lift=lambda params, _n: {"k": params["k"], "dims": _up(params["dims"])},
    samples=[((2, 3), {"k": 1, "dims": (0, 1)}), ((2, 3), {"k": 2, "dims": (1, 0)})],
)


def _tri(function: Any) -> Any:
    return lambda x, *, diagonal: function(x, diagonal)


tril_op = structural(
    "tril",
    _tri(np.tril),
    vjp=lambda g, _out, _x, *, diagonal: tril_op(g, diagonal=diagonal),
    lift=lambda params, _n: params,
    samples=[((3, 3), {"diagonal": 0}), ((2, 4), {"diagonal": 1}), ((2, 3, 2), {"diagonal": -1})],
)
triu_op = structural(
    "triu",
    _tri(np.triu),
    vjp=lambda g, _out, _x, *, diagonal: triu_op(g, diagonal=diagonal),
    lift=lambda params, _n: params,
    samples=[((3, 3), {"diagonal": 0}), ((2, 4), {"diagonal": -1})],
)


def _diagonal(x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    rows, cols = x.shape[dim1], x.shape[dim2]
    n = max(0, min(rows, cols - offset) if offset >= 0 else min(rows + offset, cols))
    kept = [d for d in range(x.ndim) if d not in (dim1, dim2)]
    shape = [*(x.shape[d] for d in kept), n]
    strides = [*(x.strides[d] for d in kept), x.strides[dim1] + x.strides[dim2]]
    if not n:
        return np.zeros(shape, x.dtype)
    start: list[Any] = [slice(None)] * x.ndim
    start[dim2 if offset >= 0 else dim1] = slice(abs(offset), None)
    return np.lib.stride_tricks.as_strided(x[tuple(start)], shape, strides)


def _undiagonal(g: Any, *, offset: int, dim1: int, dim2: int, shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, g.dtype)
    if g.size:
        _diagonal(out, offset=offset, dim1=dim1, dim2=dim2)[...] = g
    return out


_DIAGONALS = [((3, 3), {"offset": 0, "dim1": 0, "dim2": 1}), ((2, 3, 4), {"offset": 1, "dim1": 0, "dim2": 2})]
diagonal_op = structural(
    "diagonal",
    _diagonal,
    vjp=lambda g, _out, _x, **params: undiagonal_op(g, shape=tuple(_x.shape), **params),
    is_view=True,
    lift=lambda params, _n: {**params, "dim1": params["dim1"] + 1, "dim2": params["dim2"] + 1},
    samples=_DIAGONALS,
)
undiagonal_op = structural(
    "undiagonal",
    _undiagonal,
    vjp=lambda g, _out, _x, *, shape, **params: diagonal_op(g, **params),  # noqa: ARG005
    backward="DiagEmbedBackward0",
    facets={"batch": lambda size, dims, args, params: _batch_undiagonal(size, args[0], dims[0], params)},
    samples=[
        ((3,), {"offset": 0, "dim1": 0, "dim2": 1, "shape": (3, 3)}),
        ((2,), {"offset": -1, "dim1": 0, "dim2": 1, "shape": (3, 3)}),
    ],
)


def _batch_undiagonal(size: int, x: Tensor, dim: int, params: dict[str, Any]) -> tuple[Tensor, int]:
    lifted = {
        **params,
        "dim1": params["dim1"] + 1,
        "dim2": params["dim2"] + 1,
        "shape": (size, *params["shape"]),
    }
    return undiagonal_op(x.movedim(dim, 0), **lifted), 0


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

# ---------------------------------------------------------------------- entries: padding


def _pad_constant(x: Any, *, widths: tuple[tuple[int, int], ...], value: Any = 0) -> Any:
    inner = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))]
    grown = tuple((max(a, 0), max(b, 0)) for a, b in widths)
    out = np.full([n + a + b for n, (a, b) in zip(inner.shape, grown, strict=True)], value, x.dtype)
    out[tuple(slice(a, a + n) for n, (a, _) in zip(inner.shape, grown, strict=True))] = inner
    return out


def _pad_mode(x: Any, *, widths: tuple[tuple[int, int], ...], mode: Any) -> Any:
    x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))]
    return np.pad(x, [(max(a, 0), max(b, 0)) for a, b in widths], mode=mode)


def _lift_widths(params: dict[str, Any], _n: int) -> dict[str, Any]:
    return {**params, "widths": ((0, 0), *params["widths"])}


constant_pad_op = structural(
    "constant_pad_nd",
    _pad_constant,
    vjp=lambda g, _out, _x, *, widths, value=0: constant_pad_op(g, widths=tuple((-a, -b) for a, b in widths)),  # noqa: ARG005
    constants={"value": 0},
    lift=_lift_widths,
    samples=[((2, 3), {"widths": ((0, 0), (1, 2))}), ((3,), {"widths": ((-1, 1),), "value": 2.5})],
)
_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_PAD_NAMES = {
    "reflect": "ReflectionPad{}DBackward0",
    "edge": "ReplicationPad{}DBackward0",
    "wrap": "CopySlices",
}
pad_mode_op = structural(
    "pad_mode",
    _pad_mode,
    backward=lambda node: _PAD_NAMES[node.params["mode"]].format(node.params.get("rank", 1)),
    lift=_lift_widths,
    samples=[
        ((2, 4), {"widths": ((0, 0), (2, 1)), "mode": "reflect"}),
        ((2, 4), {"widths": ((0, 0), (2, 1)), "mode": "edge"}),
        ((1, 4), {"widths": ((0, 0), (2, 1)), "mode": "wrap"}),
    ],
)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Entries added (or, for negative widths, removed) around a tensor.

    pad    widths from the last dimension backwards: (left, right), (left, right, top, bottom), ...
    mode   "constant" fills with value (0), "reflect" mirrors without the edge, "replicate" repeats the edge,
    "circular" wraps
    """
    need_tensor("pad", input)
    widths_given = ints_of("pad", "pad", 2, tuple(pad) if isinstance(pad, tuple | list) else (pad,))
    shape = input.value.shape
    if len(widths_given) % 2:
        raise RuntimeError(
            message(
                "Padding length must be divisible by 2",
                f"got {len(widths_given)} widths",
                "give (left, right) per dimension",
            )
        )
    k = len(widths_given) // 2
    if k > len(shape):
        raise RuntimeError(
            message(
                "Padding length should be less than or equal to two times the input dimension but got "
                "padding length "
                f"{len(widths_given)} and input of dimension {len(shape)}"
            )
        )
    pairs = tuple((widths_given[2 * i], widths_given[2 * i + 1]) for i in reversed(range(k)))
    widths = ((0, 0),) * (len(shape) - k) + pairs
    if mode == "constant":
        if any(n + a + b < 0 for n, (a, b) in zip(shape, widths, strict=True)):
            raise RuntimeError(
                message(
                    "narrow(): length must be non-negative.",
                    f"padding {list(widths_given)} removes more than there is in {list(shape)}",
                )
            )
        params: dict[str, Any] = {"widths": widths}
        return apply(constant_pad_op, (input,), params if not value else {**params, "value": value})
    _check_mode(mode, value, shape, widths_given)
    _check_widths(mode, shape, widths, k)
    return apply(pad_mode_op, (input,), {"widths": widths, "mode": _MODES[mode]})


def _check_mode(mode: str, value: Any, shape: tuple[int, ...], widths: tuple[int, ...]) -> None:
    if mode not in _MODES:
        raise NotImplementedError(
            message(f"Unrecognised padding mode {mode}", "", "constant, reflect, replicate or circular")
        )
    if value:
        raise RuntimeError(
            message(f'Padding mode "{mode}" doesn\'t take in value argument', f"got value={value}")
        )
    n, rank = len(widths), len(shape)
    if not ((n == 2 and rank in (2, 3)) or (n == 4 and rank in (3, 4)) or (n == 6 and rank in (4, 5))):
        raise NotImplementedError(
            message(
                f"Padding size {n} is not supported for {rank}D input tensor.\nSupported combinations for "
                "non-constant padding:\n"
                "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
                "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
                "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)",
                f"the tensor has shape {list(shape)}",
                "add a dimension in front with unsqueeze(0)",
            )
        )


def _check_widths(mode: str, shape: tuple[int, ...], widths: tuple[tuple[int, int], ...], k: int) -> None:
    for d in range(len(shape) - k, len(shape)):
        n, (a, b) = shape[d], widths[d]
        if mode == "circular" and (a > n or b > n):
            raise RuntimeError(
                message(
                    "Padding value causes wrapping around more than once.",
                    f"padding ({a}, {b}) at dimension {d} of size {n}",
                )
            )
        if mode == "reflect" and (a >= n or b >= n):
            place = 4 + 2 * (len(shape) - 1 - d)
            raise RuntimeError(
                message(
                    f"Argument #{place}: Padding size should be less than the corresponding input "
                    f"dimension, but got: padding ({a}, {b}) at "
                    f"dimension {d} of input {list(shape)}"
                )
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


# ---------------------------------------------------------------------- triangles and diagonals


def tril(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
    """The entries on and below a diagonal, zero above it."""
    need_tensor("tril", input)
    _matrix("tril", input)
    return written(
        tril_op,
        out,
        apply(tril_op, (input,), {"diagonal": an_int("tril", "diagonal", 2, diagonal)}),
        (input,),
    )


def triu(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
    """The entries on and above a diagonal, zero below it."""
    need_tensor("triu", input)
    _matrix("triu", input)
    return written(
        triu_op,
        out,
        apply(triu_op, (input,), {"diagonal": an_int("triu", "diagonal", 2, diagonal)}),
        (input,),
    )


def _matrix(name: str, x: Tensor) -> None:
    if x.value.ndim < 2:
        raise RuntimeError(
            message(
                f"{name}: input tensor must have at least 2 dimensions",
                f"the tensor has shape {list(x.value.shape)}",
            )
        )


def tril_indices(row: int, col: int, offset: int = 0, **_kwargs: Any) -> Tensor:
    """The coordinates (two rows: row and column numbers) of the entries that `tril` keeps."""
    return wrap(np.stack(np.tril_indices(row, offset, col)).astype(np.int64))


def triu_indices(row: int, col: int, offset: int = 0, **_kwargs: Any) -> Tensor:
    """The coordinates (two rows: row and column numbers) of the entries that `triu` keeps."""
    return wrap(np.stack(np.triu_indices(row, offset, col)).astype(np.int64))


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the matrices in two dimensions, as a view; it becomes the last dimension."""
    need_tensor("diagonal", input)
    n = input.value.ndim
    a, b = dim_of(dim1, n, "diagonal", 2), dim_of(dim2, n, "diagonal", 3)
    if a == b:
        raise RuntimeError(message(f"diagonal dimensions cannot be identical {dim1}, {dim2}"))
    return view(diagonal_op, input, {"offset": offset, "dim1": a, "dim2": b})


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last dimension on a diagonal and zeros elsewhere."""
    need_tensor("diag_embed", input)
    shape = input.value.shape
    if not shape:
        raise IndexError(message("Dimension specified as -1 but tensor has no dimensions"))
    rank = len(shape) + 1
    a, b = dim_of(dim1, rank, "diag_embed", 2), dim_of(dim2, rank, "diag_embed", 3)
    if a == b:
        raise RuntimeError(message(f"diagonal dimensions cannot be identical {dim1}, {dim2}"))
    n = shape[-1] + abs(offset)
    rest = iter(shape[:-1])
    full = tuple(n if d in (a, b) else next(rest) for d in range(rank))
    return apply(undiagonal_op, (input,), {"offset": offset, "dim1": a, "dim2": b, "shape": full})


def diag(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
    """A matrix's diagonal (a copy), or the matrix that has a vector on its diagonal."""
    need_tensor("diag", input)
    n = input.value.ndim
    if n not in (1, 2):
        raise RuntimeError(
            message(
                f"diag(): Supports 1D or 2D tensors. Got {n}D",
                f"shape {list(input.value.shape)}",
                "use diagonal or diag_embed",
            )
        )
    if n == 1:
        return written(undiagonal_op, out, diag_embed(input, diagonal), (input,))
    return written(
        diag_copy_op, out, apply(diag_copy_op, (input,), {"offset": diagonal, "dim1": 0, "dim2": 1}), (input,)
    )


diag_copy_op = structural(
    "diagonal_copy",
    lambda x, **params: _diagonal(x, **params).copy(),
    vjp=lambda g, _out, _x, **params: undiagonal_op(g, shape=tuple(_x.shape), **params),
    backward="DiagonalBackward0_copy",
    lift=lambda params, _n: {**params, "dim1": params["dim1"] + 1, "dim2": params["dim2"] + 1},
    samples=_DIAGONALS,
)

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


_both: dict[str, Any] = {
    "flip": flip,
    "fliplr": fliplr,
    "flipud": flipud,
    "roll": roll,
    "rot90": rot90,
    "tril": tril,
    "triu": triu,
    "diagonal": diagonal,
    "diag_embed": diag_embed,
    "diag": diag,
    "as_strided": as_strided,
}
PUBLIC: dict[str, Any] = {**_both, "tril_indices": tril_indices, "triu_indices": triu_indices}
METHODS: dict[str, Any] = {**_both, "unfold": unfold}
IN_PLACE: dict[str, Any] = {"tril_": (tril, tril_op), "triu_": (triu, triu_op)}
