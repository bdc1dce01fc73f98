"""Repeating: repeat, tile, repeat_interleave.

Read `repeat` first. May import `families`, `graph`, `errors`, `ops.shape`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import apply
from pullback.families.sizes import dim_of, given, ints_of, need_tensor, shape_of
from pullback.families.structural import structural
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.axes import movedim, unsqueeze
from pullback.ops.broadcasting import expand
from pullback.ops.memory import contiguous_op
from pullback.ops.shape import reshape, reshape_plain


def _tiled(x: Any, *, times: tuple[int, ...]) -> Any:
    return np.tile(x, times) if times else np.array(x)


def _tile_back(g: Any, _out: Any, _x: Any, *, times: tuple[int, ...]) -> Any:
    shape = (1,) * (len(times) - len(_x.shape)) + tuple(_x.shape)
    folded = reshape_plain(g, tuple(k for r, n in zip(times, shape, strict=True) for k in (r, n)))
    axes = tuple(range(0, 2 * len(times), 2))
    if isinstance(g, Tensor):
        return reshape(folded.sum(axes) if axes else folded, _x.shape)
    return np.add.reduce(folded, axis=axes).reshape(_x.shape)


repeat_op = structural(
    "repeat",
    _tiled,
    vjp=_tile_back,
    facets={"batch": lambda size, dims, args, params: _batch_repeat(args[0], dims[0], params["times"])},  # noqa: ARG005
    samples=[((2, 3), {"times": (2, 1, 2)}), ((), {"times": (3,)}), ((2,), {"times": (0,)})],
)


def _batch_repeat(x: Tensor, dim: int, times: tuple[int, ...]) -> tuple[Tensor, int]:
    x = movedim(x, dim, 0)
    have = shape_of(x)[1:]
    x = reshape(x, (shape_of(x)[0], *(1,) * (len(times) - len(have)), *have))
    return repeat_op(x, times=(1, *times)), 0


# ---------------------------------------------------------------------- repeating


def repeat(self: Tensor, *repeats: Any, **kwargs: Any) -> Tensor:
    """The whole tensor repeated along each dimension.

    More repeats than dimensions add dimensions in front.
    """
    times = ints_of("repeat", "repeats", 1, given("repeat", "repeats", repeats, kwargs))
    shape = shape_of(self)
    if len(times) < len(shape):
        raise RuntimeError(
            message(
                "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor",
                f"shape {list(shape)}, repeats {list(times)}",
                "give one number per dimension; tile fills in ones",
            )
        )
    if min(times, default=0) < 0:
        new = [r * n for r, n in zip(times, (1,) * (len(times) - len(shape)) + shape, strict=True)]
        raise RuntimeError(message(f"Trying to create tensor with negative dimension {min(new)}: {new}"))
    return apply(repeat_op, (self,), {"times": times})


def tile(input: Tensor, *dims: Any, **kwargs: Any) -> Tensor:
    """`repeat` that fills missing repeats in front with ones (NumPy's tile)."""
    need_tensor("tile", input)
    times = ints_of("tile", "dims", 1, given("tile", "dims", dims, kwargs))
    return repeat(input, (1,) * (len(shape_of(input)) - len(times)) + times)


def repeat_interleave(
    input: Tensor,
    repeats: Any = None,
    dim: Any = None,
    *,
    output_size: Any = None,  # noqa: ARG001 - a hint that saves nothing here
) -> Tensor:
    """Each entry (or slice along dim) repeated in place, all as often or each as `repeats` says."""
    if repeats is None:
        return wrap(np.repeat(np.arange(len(input.value)), input.value))
    if dim is None:
        input, dim = reshape(input, -1), 0
    shape = shape_of(input)
    d = dim_of(dim, len(shape), "repeat_interleave", 2)
    counts = repeats.value if isinstance(repeats, Tensor) else np.asarray(repeats)
    if counts.size and counts.min() < 0:
        raise RuntimeError(message("Repeats must be non-negative"))
    if counts.ndim == 1 and counts.size not in (1, shape[d]):
        raise RuntimeError(
            message(
                f"repeats must have the same size as input along dim, but got repeats.size(0) = "
                f"{counts.size} and input.size({d}) = "
                f"{shape[d]}"
            )
        )
    if not counts.ndim:
        k = int(counts)
        wide = expand(unsqueeze(input, d + 1), (*shape[: d + 1], k, *shape[d + 1 :]))
        return reshape(apply(contiguous_op, (wide,), {}), (*shape[:d], shape[d] * k, *shape[d + 1 :]))
    places = np.repeat(np.arange(shape[d]), counts)
    return input.index_select(d, wrap(places))


PUBLIC: dict[str, Any] = {"tile": tile, "repeat_interleave": repeat_interleave}
METHODS: dict[str, Any] = {**PUBLIC, "repeat": repeat}
