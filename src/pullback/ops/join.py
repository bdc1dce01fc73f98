"""Joining and splitting: cat, stack; split, chunk, unbind; repeat, tile; meshgrid and products.

Read `cat` first. The parts that split and unbind return are views that may not be written in place, as in
PyTorch. May import
`families`, `graph`, `dtypes`, `errors`, `ops.shape`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.calls import write_out
from pullback.families.op import apply
from pullback.families.sizes import dim_of, given, ints_of, need_tensor, shape_of
from pullback.families.structural import several_views, structural
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.memory import contiguous_op
from pullback.ops.shape import expand, labelled, movedim, reshape, reshape_plain, unsqueeze

F32, F64 = np.dtype("f4"), np.dtype("f8")

# ---------------------------------------------------------------------- entries


def _cut(x: Any, dim: int, start: int, stop: int) -> Any:
    return x[(slice(None),) * dim + (slice(start, stop),)]


def _cat_back(g: Any, _out: Any, *_args: Any, needs: Any, dim: int) -> list[Any]:
    found: list[Any] = []
    start = 0
    for a, need in zip(_args, needs, strict=True):
        n = a.shape[dim]
        if need:
            c = _cut(g, dim, start, start + n)
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


stack_op = structural(
    "stack",
    lambda *parts, dim: _stacked(parts, dim),
    vjp=_stack_back,
    data=None,
    keeps=(),
    facets={
        "batch": lambda size, dims, args, params: (
            stack_op(*_batch_front(args, dims, size), dim=params["dim"] + 1),
            0,
        )
    },
    samples=[((2, 3), (2, 3), {"dim": 1}), ((), (), {"dim": 0}), ((2,), {"dim": 0})],
)


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
    return tuple(_cut(x, dim, e - n, e) for n, e in zip(sizes, ends, strict=True))


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
    if not isinstance(tensors, tuple | list) or not tensors or type(tensors[0]) is not Tensor:
        return False
    d = tensors[0].value.dtype
    for x in tensors:
        if type(x) is not Tensor or x.value.dtype is not d or not x.value.ndim or not x.value.size:
            return False
    return True


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


def _some(name: str, tensors: Any) -> list[Tensor]:
    parts = _tensors(name, tensors)
    if not parts:
        raise RuntimeError(message(f"{name} expects a non-empty TensorList", "", "give at least one tensor"))
    return parts


def hstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the second dimension (the first for 1-d tensors)."""
    parts = [reshape(p, (1,)) if not shape_of(p) else p for p in _some("hstack", tensors)]
    return cat(parts, 0 if len(shape_of(parts[0])) == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the first dimension; 1-d tensors are rows."""
    return cat([_rows(p) for p in _some("vstack", tensors)], 0, out=out)


def _rows(p: Tensor) -> Tensor:
    n = len(shape_of(p))
    return reshape(p, (1, 1)) if n == 0 else unsqueeze(p, 0) if n == 1 else p


def dstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the third dimension."""
    parts = [_rows(p) for p in _some("dstack", tensors)]
    return cat([unsqueeze(p, -1) if len(shape_of(p)) == 2 else p for p in parts], 2, out=out)


def column_stack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the second dimension; 0-d and 1-d tensors are columns."""
    parts = [
        reshape(p, (math.prod(shape_of(p)), 1)) if len(shape_of(p)) < 2 else p
        for p in _some("column_stack", tensors)
    ]
    return cat(parts, 1, out=out)


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


# ---------------------------------------------------------------------- products of vectors


def meshgrid(*tensors: Any, indexing: Any = None) -> tuple[Tensor, ...]:
    """Coordinate grids of 1-d tensors.

    "ij" keeps the order of the dimensions, "xy" exchanges the first two.
    """
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    parts = _some("meshgrid", tensors)
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
            UserWarning,
            stacklevel=2,
        )
    elif indexing not in ("ij", "xy"):
        raise RuntimeError(
            message(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
        )
    if any(len(shape_of(p)) > 1 for p in parts):
        bad = next(p for p in parts if len(shape_of(p)) > 1)
        raise RuntimeError(
            message(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got:",
                f"a tensor of shape {list(shape_of(bad))}",
                "flatten it first",
            )
        )
    if any(p.dtype is not parts[0].dtype for p in parts):
        raise RuntimeError(
            message("meshgrid expects all tensors to have the same dtype", f"got {[p.dtype for p in parts]}")
        )
    swap = indexing == "xy" and len(parts) > 1
    order = [parts[1], parts[0], *parts[2:]] if swap else list(parts)
    sizes = [math.prod(shape_of(p)) for p in order]
    grids = [
        expand(reshape(p, (1,) * i + (-1,) + (1,) * (len(order) - 1 - i)), sizes) for i, p in enumerate(order)
    ]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of entries of 1-d tensors, one a row."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, -1) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r entries of a 1-d tensor, one a row, in order."""
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(pick(range(shape_of(input)[0]), r)), np.int64).reshape(-1, r)
    return stack([input[wrap(rows[:, k].copy())] for k in range(r)], 1) if r else input[:0]


def block_diag(*tensors: Any) -> Tensor:
    """A matrix with the given blocks along its diagonal and zeros elsewhere."""
    blocks = [_rows(x) for x in tensors]
    width = sum(shape_of(b)[1] for b in blocks)
    rows: list[Tensor] = []
    left = 0
    for b in blocks:
        n, m = shape_of(b)
        rows.append(cat([b.new_zeros(n, left), b, b.new_zeros(n, width - left - m)], 1))
        left += m
    return labelled(cat(rows, 0), "BlockDiagBackward0")


_both = {
    "unbind": unbind,
    "split": split,
    "chunk": chunk,
    "tensor_split": tensor_split,
    "hsplit": hsplit,
    "vsplit": vsplit,
    "tile": tile,
    "repeat_interleave": repeat_interleave,
}
PUBLIC: dict[str, Any] = {
    **_both,
    "cat": cat,
    "concat": cat,
    "concatenate": cat,
    "stack": stack,
    "hstack": hstack,
    "vstack": vstack,
    "row_stack": vstack,
    "dstack": dstack,
    "column_stack": column_stack,
    "meshgrid": meshgrid,
    "cartesian_prod": cartesian_prod,
    "combinations": combinations,
    "block_diag": block_diag,
}
METHODS: dict[str, Any] = {**_both, "repeat": repeat}
