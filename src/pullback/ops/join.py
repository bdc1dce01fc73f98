"""Joining: cat, stack, and their relatives for rows, columns and depth.

Read `cat` first. `splitting` holds the converse. May import `families`, `graph`, `dtypes`, `errors`,
`ops.shape`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.calls import write_out
from pullback.families.op import apply
from pullback.families.sizes import dim_of, shape_of
from pullback.families.structural import structural
from pullback.graph.shadows import basic
from pullback.graph.tensor import Parameter, Tensor
from pullback.ops.axes import movedim, unsqueeze
from pullback.ops.broadcasting import expand
from pullback.ops.shape import reshape

F32, F64 = np.dtype("f4"), np.dtype("f8")

# ---------------------------------------------------------------------- entries


def part_along(x: Any, dim: int, start: int, stop: int) -> Any:
    """The entries start to stop along a dimension."""
    return x[(slice(None),) * dim + (slice(start, stop),)]


def _cat_back(g: Any, _out: Any, *_args: Any, needs: Any, dim: int) -> list[Any]:
    found: list[Any] = []
    start = 0
    for a, need in zip(_args, needs, strict=True):
        n = a.shape[dim]
        if need:
            c = part_along(g, dim, start, start + n)
            found.append(c if c.dtype == a.dtype or isinstance(c, Tensor) else c.astype(a.dtype))
        else:
            found.append(None)
        start += n
    return found


def _batch_front(args: Sequence[Tensor], dims: Sequence[Any], size: int) -> list[Tensor]:
    return [
        expand(unsqueeze(a, 0), (size, *shape_of(a))) if d is None else movedim(a, d, 0)
        for a, d in zip(args, dims, strict=True)
    ]


cat_op = structural(
    "cat",
    lambda *parts, dim: np.concatenate(parts, dim),
    vjp=_cat_back,
    data=None,
    keeps=(),
    facets={
        "batch": lambda size, dims, args, params: (
            cat_op(*_batch_front(args, dims, size), dim=params["dim"] + 1),
            0,
        )
    },
    samples=[((2, 3), (1, 3), {"dim": 0}), ((2, 1), (2, 2), (2, 0), {"dim": 1}), ((3,), {"dim": 0})],
)


def _stacked(parts: Sequence[Any], dim: int) -> Any:
    if not parts[0].ndim:
        return np.array(parts)
    at = (*(slice(None),) * dim, None)
    return np.concatenate([p[at] for p in parts], dim)


def _stack_back(g: Any, _out: Any, *_args: Any, needs: Any, dim: int) -> list[Any]:
    front = (slice(None),) * dim
    return [g[(*front, i)] if need else None for i, need in enumerate(needs)]


stack_op = basic.stack = structural(
    "stack",
    lambda *parts, dim: _stacked(parts, dim),
    vjp=_stack_back,
    data=None,
    keeps=(),
    facets={
        "lower": lambda *parts, dim: np.stack(parts, dim),
        "batch": lambda size, dims, args, params: (
            stack_op(*_batch_front(args, dims, size), dim=params["dim"] + 1),
            0,
        ),
    },
    samples=[((2, 3), (2, 3), {"dim": 1}), ((), (), {"dim": 0}), ((2,), {"dim": 0})],
)


# ---------------------------------------------------------------------- joining


def _tensors(name: str, tensors: Any) -> list[Tensor]:
    if not isinstance(tensors, tuple | list):
        raise TypeError(
            message(
                f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not "
                f"{type(tensors).__name__}",
                "",
                f"{name}([x, y])",
            )
        )
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(
                message(
                    f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}",
                    "",
                    "wrap it: torch.tensor(value)",
                )
            )
    return list(tensors)


def _one_dtype(parts: list[Tensor]) -> list[Tensor]:
    d = parts[0].value.dtype
    if all(p.value.dtype is d for p in parts):
        return parts
    wide = dtypes.result_dtype([(p.dtype, len(shape_of(p))) for p in parts])
    return [p.to(wide) for p in parts]


def _joined(op: Any, parts: list[Tensor], params: dict[str, Any], out: Any) -> Tensor:
    made = apply(op, tuple(parts), params)
    return made if out is None else write_out(op, out, made, parts)


def _alike(tensors: Any) -> bool:
    """True for plain tensors of one dtype, none of them 0-d or the empty vector that cat skips."""
    if not isinstance(tensors, tuple | list):
        return False
    d = None
    for x in tensors:
        kind = type(x)
        if kind is not Tensor and kind is not Parameter:
            return False
        v = x.value
        d = d or v.dtype
        if v.dtype is not d or not v.ndim or not v.size:
            return False
    return d is not None


def cat(tensors: Any, dim: int = 0, *, out: Any = None, **kwargs: Any) -> Tensor:
    """The tensors one after the other along an existing dimension; other sizes agree, dtypes are promoted.

    >>> import pullback as torch
    >>> torch.cat([torch.tensor([1., 2.]), torch.tensor([3.])])
    tensor([1., 2., 3.])
    """
    dim = kwargs.pop("axis", dim)
    if out is None and _alike(tensors) and type(dim) is int:
        try:
            ndim = tensors[0].value.ndim
            return apply(cat_op, tuple(tensors), {"dim": dim + ndim if dim < 0 else dim})
        except ValueError:
            pass  # the sizes do not fit: PyTorch's error is found below
    parts = _tensors("cat", tensors)
    if not parts:
        raise ValueError(
            message("torch.cat(): expected a non-empty list of Tensors", "", "give at least one tensor")
        )
    shapes = [shape_of(p) for p in parts]
    # PyTorch lets an empty 1-d tensor stand next to tensors of any rank
    kept = [p for p, s in zip(parts, shapes, strict=True) if s != (0,)] or parts[:1]
    if len(kept) < len(parts):
        parts = _one_dtype(parts)
        kept = [p for p, s in zip(parts, shapes, strict=True) if s != (0,)] or parts[:1]
    found = [shape_of(p) for p in kept]
    for i, s in enumerate(shapes):
        if not s:
            raise RuntimeError(
                message(
                    f"zero-dimensional tensor (at position {i}) cannot be concatenated",
                    "",
                    "use stack for 0-d tensors",
                )
            )
    d = dim_of(dim, len(found[0]), "cat", 2)
    _check_sizes(found, d)
    return _joined(cat_op, _one_dtype(kept), {"dim": d}, out)


def _check_sizes(shapes: list[tuple[int, ...]], d: int) -> None:
    first = shapes[0]
    for i, s in enumerate(shapes):
        if len(s) != len(first):
            raise RuntimeError(
                message(
                    f"Tensors must have same number of dimensions: got {len(first)} and {len(s)}",
                    f"shapes {[list(x) for x in shapes]}",
                )
            )
        for k, n in enumerate(s):
            if k != d and n != first[k]:
                raise RuntimeError(
                    message(
                        f"Sizes of tensors must match except in dimension {d}. Expected size {first[k]} "
                        f"but got size {n} for tensor "
                        f"number {i} in the list.",
                        f"shapes {[list(x) for x in shapes]}",
                        "only the size along dim may differ",
                    )
                )


def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Tensor:
    """The tensors, all of one shape, side by side along a new dimension."""
    parts = _tensors("stack", tensors)
    if not parts:
        raise RuntimeError(message("stack expects a non-empty TensorList", "", "give at least one tensor"))
    first = shape_of(parts[0])
    for i, p in enumerate(parts):
        if shape_of(p) != first:
            raise RuntimeError(
                message(
                    f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                    f"{list(shape_of(p))} at entry {i}",
                    "",
                    "cat joins along an existing dimension, where sizes may differ",
                )
            )
    return _joined(stack_op, _one_dtype(parts), {"dim": dim_of(dim, len(first) + 1, "stack", 2)}, out)


def some_tensors(name: str, tensors: Any) -> list[Tensor]:
    """The tensors of a sequence. RuntimeError for none, TypeError for anything else."""
    parts = _tensors(name, tensors)
    if not parts:
        raise RuntimeError(message(f"{name} expects a non-empty TensorList", "", "give at least one tensor"))
    return parts


def hstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the second dimension (the first for 1-d tensors)."""
    parts = [reshape(p, (1,)) if not shape_of(p) else p for p in some_tensors("hstack", tensors)]
    return cat(parts, 0 if len(shape_of(parts[0])) == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the first dimension; 1-d tensors are rows."""
    return cat([as_rows(p) for p in some_tensors("vstack", tensors)], 0, out=out)


def as_rows(p: Tensor) -> Tensor:
    """At least two dimensions: a vector is one row."""
    n = len(shape_of(p))
    return reshape(p, (1, 1)) if n == 0 else unsqueeze(p, 0) if n == 1 else p


def dstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the third dimension."""
    parts = [as_rows(p) for p in some_tensors("dstack", tensors)]
    return cat([unsqueeze(p, -1) if len(shape_of(p)) == 2 else p for p in parts], 2, out=out)


def column_stack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the second dimension; 0-d and 1-d tensors are columns."""
    parts = [
        reshape(p, (math.prod(shape_of(p)), 1)) if len(shape_of(p)) < 2 else p
        for p in some_tensors("column_stack", tensors)
    ]
    return cat(parts, 1, out=out)


PUBLIC: dict[str, Any] = {
    "cat": cat,
    "concat": cat,
    "concatenate": cat,
    "stack": stack,
    "hstack": hstack,
    "vstack": vstack,
    "row_stack": vstack,
    "dstack": dstack,
    "column_stack": column_stack,
}
METHODS: dict[str, Any] = {}
