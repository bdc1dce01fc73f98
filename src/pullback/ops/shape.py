"""Views in another shape: reshape, view, flatten, unflatten; and how a tensor lies in memory (stride, ...).

Read `reshape` first. `axes` holds what moves, adds and drops dimensions, `broadcasting` what repeats
entries without copying. May import `families`, `graph`, `dtypes`, `errors`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.op import apply
from pullback.families.sizes import dim_of, given, ints_of, need_tensor, out_of_range, shape_of
from pullback.families.structural import made_view, share, structural
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor, wrap

# ---------------------------------------------------------------------- entries

_SHAPES = [((2, 3), {"shape": (3, 2)}), ((), {"shape": (1, 1)}), ((0, 2), {"shape": (2, 0)})]

view_op = structural(
    "view",
    lambda x, *, shape: x.reshape(shape),
    vjp=lambda g, _out, _x, *, shape: reshape_plain(g, _x.shape),  # noqa: ARG005
    is_view=True,
    lift=lambda params, _n: {"shape": (-1, *params["shape"])} if 0 not in params["shape"] else None,
    samples=_SHAPES,
)
unsafe_view = structural(
    "unsafe_view",
    lambda x, *, shape: x.reshape(shape),
    vjp=lambda g, _out, _x, *, shape: reshape_plain(g, _x.shape),  # noqa: ARG005
    samples=_SHAPES,
)


def reshape_plain(g: Any, shape: tuple[int, ...]) -> Any:
    """A cotangent in its argument's shape, for arrays and tensors (which record it)."""
    return reshape(g, shape) if isinstance(g, Tensor) else g.reshape(shape)


def labelled(t: Tensor, name: str) -> Tensor:
    """Give the node that made t another grad_fn name."""
    node = t.node
    if node is not None and node is not LEAF:
        node.label = name
    return t


# ---------------------------------------------------------------------- reshape


def resolved(name: str, shape: tuple[int, ...], have: tuple[int, ...]) -> tuple[int, ...]:
    """A target shape with -1 filled in; RuntimeError where it does not fit the number of entries."""
    n, known, hole = math.prod(have), 1, -1
    for i, s in enumerate(shape):
        if s >= 0:
            known *= s
        elif s < -1:
            raise RuntimeError(
                message(
                    f"invalid shape dimension {s} at index {i} of shape {list(shape)}",
                    "",
                    "use sizes >= 0 and one -1",
                )
            )
        elif hole >= 0:
            raise RuntimeError(
                message("only one dimension can be inferred", f"{name} got {list(shape)}", "leave one -1")
            )
        else:
            hole = i
    if hole < 0:
        if known == n:
            return shape
    elif known == 0 and n == 0:
        raise RuntimeError(
            message(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified "
                "dimension size -1 can be "
                "any value and is ambiguous",
                "",
                "write the size out",
            )
        )
    elif known and n % known == 0:
        return (*shape[:hole], n // known, *shape[hole + 1 :])
    raise RuntimeError(
        message(
            f"shape '{list(shape)}' is invalid for input of size {n}",
            f"the tensor has shape {list(have)}",
            f"the sizes must multiply to {n}; one of them may be -1",
        )
    )


def fitted_view(name: str, v: Any, sizes: tuple[int, ...]) -> Any:
    """The array in another shape; PyTorch's error where it does not fit (looked for only then)."""
    if not sizes or min(sizes) >= -1:
        try:
            return v.reshape(sizes)
        except ValueError:
            pass
    return v.reshape(resolved(name, sizes, v.shape))


def reshape(input: Tensor, *shape: Any, **kwargs: Any) -> Tensor:
    """The same entries, in row-major order, in another shape; one size may be -1.

    A view of the same memory where the strides allow it, else a copy. RuntimeError if the number of entries
    differs.

    >>> import pullback as torch
    >>> torch.arange(6).reshape(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    need_tensor("reshape", input)
    if kwargs or not shape:
        shape = given("reshape", "shape", shape, kwargs)
    sizes = ints_of("reshape", "shape", 1, shape)
    if input.foreign is not None:
        return input.foreign(unsafe_view, (input,), {"shape": resolved("reshape", sizes, tuple(input.shape))})
    v = input.storage()
    part = fitted_view("reshape", v, sizes)
    params = {"shape": part.shape}
    if v.flags.c_contiguous:
        return made_view(view_op, input, part, params)
    if np.may_share_memory(part, v):
        return labelled(made_view(view_op, input, part, params), "ReshapeAliasBackward0")
    return apply(unsafe_view, (input,), params)


def view_method(self: Tensor, *shape: Any, **kwargs: Any) -> Tensor:
    """The same memory in another shape, or, for a dtype, its bits read as that dtype.

    RuntimeError where the strides do not allow it: `reshape` copies then.
    """
    if "dtype" in kwargs:
        shape = (kwargs.pop("dtype"),)
    if len(shape) == 1 and isinstance(shape[0], dtypes.dtype):
        return _view_dtype(self, shape[0])
    sizes = ints_of("view", "size", 1, given("view", "size", shape, kwargs))
    if self.foreign is not None:
        return self.foreign(view_op, (self,), {"shape": resolved("view", sizes, shape_of(self))})
    v = self.storage()
    part = fitted_view("view", v, sizes)
    params = {"shape": part.shape}
    if not v.flags.c_contiguous and not np.may_share_memory(part, v) and v.size:
        raise RuntimeError(
            message(
                "view size is not compatible with input tensor's size and stride (at least one dimension "
                "spans across two "
                "contiguous subspaces). Use .reshape(...) instead.",
                f"shape {list(v.shape)}, strides {list(stride(self))}, target {list(params['shape'])}",
                "reshape copies where a view is impossible; contiguous() copies first",
            )
        )
    return made_view(view_op, self, part, params)


def _view_dtype(x: Tensor, d: dtypes.dtype) -> Tensor:
    v = x.storage()
    have, want = v.dtype.itemsize, d.itemsize
    here, there = x.dtype.word, d.word
    if d is x.dtype:
        return made_view(view_op, x, v.reshape(v.shape), {"shape": v.shape})
    if have != want:
        if not v.ndim:
            raise RuntimeError(
                message(f"self.dim() cannot be 0 to view {here} as {there} (different element sizes)")
            )
        if v.shape[-1] * have % want:
            raise RuntimeError(
                message(
                    f"self.size(-1) must be divisible by {want // have} to view {here} as {there} "
                    "(different element sizes), but "
                    f"got {v.shape[-1]}",
                    "the bytes of the last dimension must fill whole entries",
                    "x.to(dtype) converts the values instead of reading the bits anew",
                )
            )
        if v.strides[-1] != have:
            raise RuntimeError(
                message(
                    f"self.stride(-1) must be 1 to view {here} as {there} (different element sizes), but "
                    f"got {v.strides[-1] // have}"
                )
            )
    t = wrap(v.view(d.numpy))
    share(x, t)
    if x.node is not None:
        t.base = None  # reading bits is not differentiable: autograd does not know this view
    return t


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """A view in another tensor's shape."""
    return view_method(self, shape_of(other))


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """Reshaped to another tensor's shape."""
    return reshape(self, shape_of(other))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim to end_dim merged into one (a view where possible)."""
    need_tensor("flatten", input)
    shape = shape_of(input)
    a, b = dim_of(start_dim, len(shape), "flatten"), dim_of(end_dim, len(shape), "flatten", 2)
    if a > b:
        raise RuntimeError(
            message(
                "flatten() has invalid args: start_dim cannot come after end_dim",
                f"start_dim={start_dim}, end_dim={end_dim}",
                "swap them",
            )
        )
    if not shape:
        return reshape(input, (1,))
    if a == b:
        return input
    return reshape(input, (*shape[:a], math.prod(shape[a : b + 1]), *shape[b + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """All entries in one dimension."""
    need_tensor("ravel", input)
    return reshape(input, (math.prod(shape_of(input)),))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Dimension dim split into several of the given sizes (one may be -1)."""
    shape = shape_of(input)
    if not shape:
        raise RuntimeError(
            message("unflatten got an unexpected error:", "the tensor is 0-d: it has no dimension to split")
        )
    d = dim_of(dim, len(shape), "unflatten")
    new = ints_of("unflatten", "sizes", 2, (tuple(sizes) if isinstance(sizes, tuple | list) else sizes,))
    if not new:
        raise RuntimeError(message("unflatten: sizes must be non-empty", "", "give at least one size"))
    try:
        new = resolved("unflatten", new, (shape[d],))
    except RuntimeError:
        raise RuntimeError(
            message(
                f"unflatten: Provided sizes {list(new)} don't multiply up to the size of dim {d} "
                f"({shape[d]}) in the input tensor",
                f"the tensor has shape {list(shape)}",
                "one of the sizes may be -1",
            )
        ) from None
    return view_method(input, (*shape[:d], *new, *shape[d + 1 :]))


# ---------------------------------------------------------------------- layout


def stride(self: Tensor, dim: Any = None) -> Any:
    """How many entries apart neighbours are in memory, per dimension."""
    v = self.storage()
    strides = _strides(v)
    if dim is None:
        return strides
    if not strides:
        raise IndexError(message("Dimension specified as 0 but tensor has no dimensions"))
    n = len(strides)
    if not -n <= dim < n:
        raise out_of_range(dim, n)
    return strides[dim]


def _strides(v: Any) -> tuple[int, ...]:
    if not v.size:  # NumPy's strides are arbitrary then; PyTorch's are the row-major ones
        found: list[int] = []
        step = 1
        for n in reversed(v.shape):
            found.append(step)
            step *= max(n, 1)
        return tuple(reversed(found))
    found = [s // v.itemsize for s in v.strides]
    for i in range(v.ndim - 1, -1, -1):
        if v.shape[i] == 1 and not found[i]:  # NumPy gives a new dimension the stride 0
            found[i] = found[i + 1] * v.shape[i + 1] if i + 1 < v.ndim else 1
    return tuple(found)


def storage_offset(self: Tensor) -> int:
    """Where the first entry lies in the memory of the tensor this is a view of, in entries."""
    v = self.storage()
    base = v if self.base is None else self.base.storage()
    return (v.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // v.itemsize


def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:  # noqa: ARG001 - PyTorch's argument
    """True where the entries lie in memory in row-major order, without gaps."""
    return self.foreign is not None or bool(self.storage().flags.c_contiguous)


PUBLIC: dict[str, Any] = {f.__name__: f for f in (reshape, flatten, ravel, unflatten)}
METHODS: dict[str, Any] = {
    **PUBLIC,
    "view": view_method,
    "view_as": view_as,
    "reshape_as": reshape_as,
    "stride": stride,
    "storage_offset": storage_offset,
    "is_contiguous": is_contiguous,
}
