"""Entries by a mask: masked_select, masked_scatter.

Read `masked_select` first. May import `families`, `graph`, `errors`, `ops.scatter`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import absent, apply, unbroadcast
from pullback.families.sizes import need_tensor
from pullback.families.structural import structural
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor
from pullback.ops.broadcasting import broadcast_tensors, common_shape
from pullback.ops.index_entries import unslice_op
from pullback.ops.indices import dynamic_shape
from pullback.ops.memory import written
from pullback.ops.scatter_entries import in_shape


def _masked_scatter(x: Any, mask: Any, src: Any) -> Any:
    out = np.array(np.broadcast_to(x, np.broadcast_shapes(np.shape(x), np.shape(mask))))
    mask = np.broadcast_to(mask, out.shape)
    out[mask] = np.asarray(src).reshape(-1)[: int(mask.sum())]
    return out


def _spread_mask(g: Any, mask: Any, *, shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, g.dtype)
    out[np.broadcast_to(mask, shape)] = g
    return out


def _in_turn(src: Any, mask: Any) -> Any:
    """The entries of src one after the other at the places of the mask; at the others something else."""
    turn = np.cumsum(mask.reshape(-1)).reshape(mask.shape)
    return src.reshape(-1)[np.minimum(np.maximum(turn, 1), src.size) - 1]


def _scatter_entries(x: Any, mask: Any, src: Any) -> Any:
    """The loop body of masked_scatter."""
    shape = np.broadcast_shapes(x.shape, mask.shape)
    mask = np.broadcast_to(mask, shape)
    return np.where(mask, _in_turn(src, mask), np.broadcast_to(x, shape))


def _spread_entries(g: Any, mask: Any, *, shape: tuple[int, ...]) -> Any:
    """The loop body of spread_mask."""
    mask = np.broadcast_to(mask, shape)
    return np.where(mask, _in_turn(g, mask), g.dtype.type(0))


def _first_of(c: Any, shape: tuple[int, ...]) -> Any:
    """A cotangent of the first entries of a source, padded with zeros to its shape."""
    n = int(np.prod(shape))

    return in_shape(unslice_op(c, index=(slice(0, int(c.shape[0])),), shape=(n,)), shape)


_M = np.array([[True, False, True], [False, False, True]])
masked_select_op = structural(
    "masked_select",
    lambda x, mask: np.broadcast_to(x, np.broadcast_shapes(np.shape(x), np.shape(mask)))[
        np.broadcast_to(mask, np.broadcast_shapes(np.shape(x), np.shape(mask)))
    ],
    vjp=[
        lambda g, _out, _x, mask: unbroadcast(
            spread_mask_op(g, mask, shape=np.broadcast_shapes(tuple(_x.shape), tuple(mask.shape))),
            tuple(_x.shape),
        ),
        None,
    ],
    samples=[((2, 3), _M, {}), ((3,), _M, {})],
    facets={
        "type": absent("how many entries come out depends on the values of the mask"),
        "lower": absent("how many entries come out depends on the values of the mask"),
        "batch": lambda size, dims, args, params: _refuse_batch("masked_select"),  # noqa: ARG005
    },
)
spread_mask_op = structural(
    "spread_mask",
    _spread_mask,
    vjp=[lambda g, _out, _x, mask, *, shape: masked_select_op(g, mask), None],  # noqa: ARG005
    backward="MaskedScatterBackward0",
    facets={"type": lambda g, _mask, *, shape: Aval(tuple(shape), g.dtype), "lower": _spread_entries},
    samples=[((3,), _M, {"shape": (2, 3)})],
)
masked_scatter_op = structural(
    "masked_scatter",
    _masked_scatter,
    vjp=[
        lambda g, _out, _x, mask, _src: unbroadcast(
            g.masked_fill(mask, 0) if isinstance(g, Tensor) else np.where(mask, g.dtype.type(0), g),
            tuple(_x.shape),
        ),
        None,
        lambda g, _out, _x, mask, _src: _first_of(masked_select_op(g, mask), tuple(_src.shape)),
    ],
    data=(0, 2),
    samples=[((2, 3), _M, (4,), {})],
    facets={"lower": _scatter_entries},
)


def _refuse_batch(what: str) -> Any:
    raise dynamic_shape(what)


def masked_select(input: Tensor, mask: Tensor, *, out: Any = None) -> Tensor:
    """The entries where the mask (broadcast) is True, in one dimension."""
    need_tensor("masked_select", input)
    if mask.value.dtype != np.bool_:
        raise RuntimeError(
            message(
                "masked_select: expected BoolTensor for mask", f"got {mask.dtype!r}", "compare first: x > 0"
            )
        )
    common_shape("masked_select", [mask.value.shape, input.value.shape])
    return written(masked_select_op, out, apply(masked_select_op, (input, mask), {}), (input, mask))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy with the entries where the mask is True replaced by the first entries of source, in order."""
    need_tensor("masked_scatter", input)
    if mask.value.dtype != np.bool_:
        raise RuntimeError(
            message(
                f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype.word}",
                "",
                "compare first: x > 0",
            )
        )
    x, m = broadcast_tensors(input, mask)
    if m.foreign is None and int(np.sum(m.value)) > source.value.size:
        raise RuntimeError(
            message(
                "Number of elements of source < number of ones in mask",
                f"{source.value.size} < {int(np.sum(m.value))}",
            )
        )
    if source.value.dtype != input.value.dtype:
        raise RuntimeError(
            message(
                f"masked_scatter: expected self and source to have same dtypes but got {input.dtype.word} "
                f"and {source.dtype.word}"
            )
        )
    return apply(masked_scatter_op, (x, m, source), {})


PUBLIC: dict[str, Any] = {"masked_select": masked_select, "masked_scatter": masked_scatter}
METHODS: dict[str, Any] = {**PUBLIC}
IN_PLACE: dict[str, Any] = {"masked_scatter_": masked_scatter}
