"""Splitting: unbind, split, chunk, tensor_split and their relatives.

Read `split` first. The parts are views that may not be written in place, as in PyTorch. May import
`families`, `graph`, `errors`, `ops.shape`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.sizes import dim_of, ints_of, need_tensor, shape_of
from pullback.families.structural import several_views, structural
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.axes import movedim
from pullback.ops.join import cat_op, part_along, stack_op


def _filled(gs: Any, avals: Sequence[Any]) -> list[Any]:
    like = next(g for g in gs if g is not None)
    zeros = [None if g is not None else np.zeros(a.shape, a.dtype) for g, a in zip(gs, avals, strict=True)]
    if isinstance(like, Tensor):
        return [wrap(z) if g is None else g for g, z in zip(gs, zeros, strict=True)]
    return [z if g is None else g for g, z in zip(gs, zeros, strict=True)]


def _unbind_back(g: Any, _out: Any, _x: Any, *, dim: int) -> Any:
    shape = _x.shape[:dim] + _x.shape[dim + 1 :]
    return stack_op(*_filled(g, [Aval(shape, _x.dtype)] * len(g)), dim=dim)


unbind_op = structural(
    "unbind",
    lambda x, *, dim: tuple(np.moveaxis(x, dim, 0)[i, ...] for i in range(x.shape[dim])),
    vjp=_unbind_back,
    is_view=True,
    outputs=2,
    facets={
        "batch": lambda _size, dims, args, params: _batch_parts(
            unbind_op, args[0], dims[0], {"dim": params["dim"] + 1}
        )
    },
    samples=[((2, 3), {"dim": 1}), ((2,), {"dim": 0})],
)


def _split_eval(x: Any, *, sizes: tuple[int, ...], dim: int) -> Any:
    ends = list(itertools.accumulate(sizes))
    return tuple(part_along(x, dim, e - n, e) for n, e in zip(sizes, ends, strict=True))


def _split_back(g: Any, _out: Any, _x: Any, *, sizes: tuple[int, ...], dim: int) -> Any:
    avals = [Aval((*_x.shape[:dim], n, *_x.shape[dim + 1 :]), _x.dtype) for n in sizes]
    return cat_op(*_filled(g, avals), dim=dim)


split_op = structural(
    "split",
    _split_eval,
    vjp=_split_back,
    is_view=True,
    outputs=2,
    facets={
        "batch": lambda _size, dims, args, params: _batch_parts(
            split_op, args[0], dims[0], {**params, "dim": params["dim"] + 1}
        )
    },
    samples=[((5, 2), {"sizes": (2, 3), "dim": 0}), ((2, 3), {"sizes": (1, 0, 2), "dim": 1})],
)


def _batch_parts(op: Any, x: Tensor, dim: int, params: dict[str, Any]) -> Any:
    parts = several_views(op, movedim(x, dim, 0), params)
    return parts, (0,) * len(parts)


# ---------------------------------------------------------------------- splitting


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along a dimension, which disappears, as views."""
    need_tensor("unbind", input)
    shape = shape_of(input)
    if not shape:
        raise IndexError(
            message("Dimension specified as 0 but tensor has no dimensions", "unbind of a 0-d tensor")
        )
    return several_views(unbind_op, input, {"dim": dim_of(dim, len(shape), "unbind")})


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along a dimension: of one size (the last may be smaller), or of the sizes listed."""
    shape = shape_of(tensor)
    if not shape:
        raise RuntimeError(message("split expects at least a 1-dimensional tensor", "the tensor is 0-d"))
    d = dim_of(dim, len(shape), "split", 2)
    n = shape[d]
    if isinstance(split_size_or_sections, tuple | list):
        sizes = ints_of("split", "split_size", 1, tuple(split_size_or_sections))
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise RuntimeError(
                message(
                    f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
                    f"dimension {d}), but got "
                    f"split_sizes={list(sizes)}",
                    "",
                    "the sizes must add up to the dimension",
                )
            )
        parts = several_views(split_op, tensor, {"sizes": sizes, "dim": d})
        _name_split(parts, "SplitWithSizesBackward0")
        return parts
    (step,) = ints_of("split", "split_size", 1, (split_size_or_sections,))
    if step < 0:
        raise RuntimeError(message(f"split expects split_size be non-negative, but got split_size={step}"))
    if step == 0 and n:
        raise RuntimeError(
            message(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
        )
    sizes = tuple(min(step, n - a) for a in range(0, n, step)) if n else (0,)
    return several_views(split_op, tensor, {"sizes": sizes, "dim": d})


def _name_split(parts: Sequence[Tensor], name: str) -> None:
    for p in parts[:1]:
        if p.node is not None and hasattr(p.node, "node"):
            p.node.node.label = name


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along a dimension (the last may be smaller)."""
    shape = shape_of(input)
    if not shape:
        raise RuntimeError(message("chunk expects at least a 1-dimensional tensor", "the tensor is 0-d"))
    if chunks <= 0:
        raise RuntimeError(message(f"chunk expects `chunks` to be greater than 0, got: {chunks}"))
    d = dim_of(dim, len(shape), "chunk", 2)
    step = -(-shape[d] // chunks)
    if step == 0:
        return split(input, [0] * chunks, d)
    return split(input, step, d)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of nearly equal pieces, or of the pieces between the given places."""
    shape = shape_of(input)
    if not shape:
        raise RuntimeError(
            message("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
        )
    d = dim_of(dim, len(shape), "tensor_split", 2)
    n = shape[d]
    if isinstance(indices_or_sections, Tensor):
        found = indices_or_sections.value.tolist()
        indices_or_sections = found
    if isinstance(indices_or_sections, tuple | list):
        places = [0, *indices_or_sections, n]
    else:
        k = int(indices_or_sections)
        if k <= 0:
            raise RuntimeError(message(f"number of sections must be larger than 0, got {k}"))
        whole, extra = divmod(n, k)
        places = [i * whole + min(i, extra) for i in range(k + 1)]
    front = (slice(None),) * d
    return tuple(input[(*front, slice(a, b))] for a, b in itertools.pairwise(places))


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """tensor_split along the second dimension (the first for 1-d tensors)."""
    return tensor_split(input, indices_or_sections, 0 if len(shape_of(input)) == 1 else 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """tensor_split along the first dimension."""
    return tensor_split(input, indices_or_sections, 0)


PUBLIC: dict[str, Any] = {f.__name__: f for f in (unbind, split, chunk, tensor_split, hsplit, vsplit)}
METHODS: dict[str, Any] = {**PUBLIC}
