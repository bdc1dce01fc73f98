"""Views that keep all entries: reshape, flatten, squeeze, permute, transpose, expand; and memory layout.

Read `reshape` first. Every op here shares memory with its input. May import `families`, `graph`, `errors`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.inplace import reshaped_in_place
from pullback.families.op import apply, unbroadcast
from pullback.families.sizes import dim_of, given, ints_of, need_tensor, out_of_range, shape_of
from pullback.families.structural import made_view, share, structural, view
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
squeeze_op = structural(
    "squeeze",
    lambda x, *, dims: x.reshape([n for i, n in enumerate(x.shape) if i not in dims]),
    vjp=lambda g, _out, _x, *, dims: reshape_plain(g, _x.shape),  # noqa: ARG005
    is_view=True,
    lift=lambda params, _n: {"dims": tuple(d + 1 for d in params["dims"])},
    samples=[((1, 3, 1), {"dims": (0, 2)}), ((1,), {"dims": (0,)}), ((2,), {"dims": ()})],
)
unsqueeze_op = structural(
    "unsqueeze",
    lambda x, *, dim: x.reshape((*x.shape[:dim], 1, *x.shape[dim:])),
    vjp=lambda g, _out, _x, *, dim: reshape_plain(g, _x.shape),  # noqa: ARG005
    is_view=True,
    lift=lambda params, _n: {"dim": params["dim"] + 1},
    samples=[((2, 3), {"dim": 1}), ((), {"dim": 0}), ((2,), {"dim": 1})],
)
t_op = structural(
    "t",
    lambda x: x.T,
    vjp=lambda g, _out, _x: t_op(g) if isinstance(g, Tensor) else g.T,
    is_view=True,
    facets={"batch": lambda size, dims, args, params: _batch_t(args[0], dims[0])},  # noqa: ARG005
    samples=[((2, 3), {}), ((3,), {}), ((), {})],
)
permute_op = structural(
    "permute",
    lambda x, *, dims: x.transpose(dims),
    vjp=lambda g, _out, _x, *, dims: permute_op(g, dims=_inverse(dims)),
    is_view=True,
    lift=lambda params, _n: {"dims": (0, *(d + 1 for d in params["dims"]))},
    samples=[((2, 3, 4), {"dims": (2, 0, 1)}), ((), {"dims": ()})],
)
transpose_op = structural(
    "transpose",
    lambda x, *, dim0, dim1: x.swapaxes(dim0, dim1) if x.ndim else x,
    vjp=lambda g, _out, _x, *, dim0, dim1: transpose_op(g, dim0=dim0, dim1=dim1),
    is_view=True,
    lift=lambda params, n: {k: v + 1 for k, v in params.items()} if n else {"dim0": 0, "dim1": 0},
    samples=[((2, 3, 4), {"dim0": 2, "dim1": 0}), ((2,), {"dim0": 0, "dim1": 0})],
)


def _expanded(x: Any, *, shape: tuple[int, ...]) -> Any:
    x = np.asarray(x)
    extra = len(shape) - x.ndim
    strides = (0,) * extra + tuple(
        0 if n == 1 and shape[i + extra] != 1 else s
        for i, (n, s) in enumerate(zip(x.shape, x.strides, strict=True))
    )
    if x.flags.c_contiguous and x.size:  # the same array, made in a fifth of the time
        return np.ndarray(shape, x.dtype, x, 0, strides)
    return np.lib.stride_tricks.as_strided(x, shape, strides)


expand_op = structural(
    "expand",
    _expanded,
    vjp=lambda g, _out, _x, *, shape: unbroadcast(g, tuple(_x.shape)),  # noqa: ARG005
    is_view=True,
    facets={"batch": lambda size, dims, args, params: _batch_expand(size, args[0], dims[0], params["shape"])},
    samples=[((2, 1), {"shape": (4, 2, 3)}), ((), {"shape": (2,)}), ((2,), {"shape": (2,)})],
)


def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    inverse = [0] * len(dims)
    for i, d in enumerate(dims):
        inverse[d] = i
    return tuple(inverse)


def _batch_t(x: Tensor, dim: int) -> tuple[Tensor, int]:
    x = movedim(x, dim, 0)
    return (transpose(x, 1, 2) if len(shape_of(x)) == 3 else x), 0


def _batch_expand(size: int, x: Tensor, dim: int, shape: tuple[int, ...]) -> tuple[Tensor, int]:
    x = movedim(x, dim, 0)
    have = shape_of(x)[1:]
    x = reshape(x, (size, *(1,) * (len(shape) - len(have)), *have))
    return expand_op(x, shape=(size, *shape)), 0


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


# ---------------------------------------------------------------------- squeeze


def _squeezed(x: Tensor, dim: Any) -> tuple[tuple[int, ...], str]:
    shape = shape_of(x)
    if dim is None:
        return tuple(i for i, n in enumerate(shape) if n == 1), "0"
    if isinstance(dim, tuple | list):
        dims: tuple[int, ...] = tuple(dim_of(d, len(shape), "squeeze") for d in dim)
        return tuple(d for d in dims if shape and shape[d] == 1), "2"
    d = dim_of(dim, len(shape), "squeeze")
    return ((d,) if shape and shape[d] == 1 else ()), "1"


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """A view without the dimensions of size 1 (all of them, or those named)."""
    need_tensor("squeeze", input)
    dims, form = _squeezed(input, dim)
    t = view(squeeze_op, input, {"dims": dims})
    return t if form == "0" or t.foreign is not None else labelled(t, f"SqueezeBackward{form}")


def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """`squeeze` that changes the tensor itself."""
    dims, form = _squeezed(self, dim)
    return reshaped_in_place(self, squeeze_op, {"dims": dims}, f"SqueezeBackward{int(form) + 3}")


def _place(x: Tensor, dim: Any) -> int:
    n = len(shape_of(x)) + 1
    return dim_of(dim, n, "unsqueeze")


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with one more dimension of size 1, at place dim."""
    need_tensor("unsqueeze", input)
    return view(unsqueeze_op, input, {"dim": _place(input, dim)})


def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """`unsqueeze` that changes the tensor itself."""
    return reshaped_in_place(self, unsqueeze_op, {"dim": _place(self, dim)}, "UnsqueezeBackward1")


# ---------------------------------------------------------------------- order of dimensions


def _at_most_two(x: Tensor) -> None:
    n = len(shape_of(x))
    if n > 2:
        raise RuntimeError(
            message(
                f"t() expects a tensor with <= 2 dimensions, but self is {n}D",
                f"shape {list(shape_of(x))}",
                "use mT or permute",
            )
        )


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix (0-d and 1-d tensors stay as they are), as a view."""
    need_tensor("t", input)
    _at_most_two(input)
    return view(t_op, input, {})


def t_(self: Tensor) -> Tensor:
    """`t` that changes the tensor itself."""
    _at_most_two(self)
    return reshaped_in_place(self, t_op, {}, "TBackward1")


def permute(input: Tensor, *dims: Any, **kwargs: Any) -> Tensor:
    """A view with the dimensions in another order."""
    need_tensor("permute", input)
    order = ints_of("permute", "dims", 1, given("permute", "dims", dims, kwargs))
    n = len(shape_of(input))
    if len(order) != n:
        raise RuntimeError(
            message(
                "permute(sparse_coo): number of dimensions in the tensor input does not match the length "
                "of the desired ordering of "
                f"dimensions i.e. input.dim() = {n} is not equal to len(dims) = {len(order)}",
                "",
                f"name all {n} dimensions",
            )
        )
    found = tuple(dim_of(d, n, "permute") for d in order)
    if len(set(found)) < n:
        raise RuntimeError(
            message(
                "permute(): duplicate dims are not allowed.",
                f"got dims {list(order)}",
                "name every dimension once",
            )
        )
    return view(permute_op, input, {"dims": found})


def _two(x: Tensor, dim0: Any, dim1: Any) -> dict[str, Any]:
    n = len(shape_of(x))
    return {"dim0": dim_of(dim0, n, "transpose"), "dim1": dim_of(dim1, n, "transpose", 2)}


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions exchanged."""
    need_tensor("transpose", input)
    return view(transpose_op, input, _two(input, dim0, dim1))


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose` that changes the tensor itself."""
    return reshaped_in_place(self, transpose_op, _two(self, dim0, dim1), "TransposeBackward1")


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """NumPy's name of `transpose`."""
    return transpose(input, axis0, axis1)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """A view with dimensions moved to new places; the others keep their order."""
    need_tensor("movedim", input)
    n = len(shape_of(input))
    if source == destination and type(source) is int and -n <= source < n:
        return input
    src = ints_of("movedim", "source", 1, (source,))
    dst = ints_of("movedim", "destination", 2, (destination,))
    if len(src) != len(dst):
        raise RuntimeError(
            message(
                f"movedim: Invalid source or destination dims: source ({list(src)} dims) should contain "
                "the same number of dims as "
                f"destination ({list(dst)} dims)"
            )
        )
    a = [dim_of(d, n, "movedim") for d in src]
    b = [dim_of(d, n, "movedim", 2) for d in dst]
    for dims, shown, which in ((a, src, "source"), (b, dst, "destination")):
        if len(set(dims)) < len(dims):
            raise RuntimeError(
                message(f"movedim: repeated dim in `{which}` ({list(shown)})", "", "name each dimension once")
            )
    order = [d for d in range(n) if d not in a]
    for d, s in sorted(zip(b, a, strict=True)):
        order.insert(d, s)
    return view(permute_op, input, {"dims": tuple(order)}) if n else input


def _reversed(self: Tensor) -> Tensor:
    """The transpose of a matrix.

    Of other ranks all dimensions reversed, which PyTorch deprecates with a warning.
    """
    n = len(shape_of(self))
    if n != 2:
        if n != 1:
            warnings.warn(
                "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is "
                "deprecated and it will throw an "
                "error in a future release. Consider `x.mT` to transpose batches of matrices or "
                "`x.permute(*torch.arange(x.ndim - "
                "1, -1, -1))` to reverse the dimensions of a tensor.",
                UserWarning,
                stacklevel=2,
            )
        return view(permute_op, self, {"dims": tuple(range(n - 1, -1, -1))})
    return view(permute_op, self, {"dims": (1, 0)})


def _matrices(self: Tensor, name: str) -> int:
    n = len(shape_of(self))
    if n < 2:
        raise RuntimeError(
            message(f"tensor.{name} is only supported on matrices or batches of matrices. Got {n}-D tensor.")
        )
    return n


def _mt(self: Tensor) -> Tensor:
    """The last two dimensions exchanged, as a view."""
    n = _matrices(self, "mT")
    return view(transpose_op, self, {"dim0": n - 2, "dim1": n - 1})


def _mh(self: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions."""
    _matrices(self, "mH")
    return adjoint(self)


def _h(self: Tensor) -> Tensor:
    """The conjugate transpose of a matrix."""
    n = len(shape_of(self))
    if n > 2:
        raise RuntimeError(
            message(
                f"tensor.H is only supported on matrices (2-D tensors). Got {n}-D tensor. For batches of "
                "matrices, consider using "
                "tensor.mH"
            )
        )
    return adjoint(self) if n == 2 else self


def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged, complex entries conjugated."""
    n = _matrices(input, "mH")
    found = view(transpose_op, input, {"dim0": n - 2, "dim1": n - 1})
    return found.conj() if input.dtype.is_complex else found


# ---------------------------------------------------------------------- expand


def expanded_shape(have: tuple[int, ...], sizes: tuple[int, ...], word: str = "") -> tuple[int, ...]:
    """The sizes of an expanded view, -1 filled in; RuntimeError where a dimension cannot be stretched."""
    extra = len(sizes) - len(have)
    if extra < 0:
        raise RuntimeError(
            message(
                f"expand(torch.{word}Tensor{{{list(have)}}}, size={list(sizes)}): the number of sizes "
                f"provided ({len(sizes)}) must be "
                f"greater or equal to the number of dimensions in the tensor ({len(have)})",
                "",
                "sizes are matched from the last dimension",
            )
        )
    if extra == 0 and sizes == have:
        return sizes
    found: list[int] = []
    for i in range(len(sizes) - 1, -1, -1):
        s = sizes[i]
        n = have[i - extra] if i >= extra else None
        if s == -1 and n is not None:
            found.append(n)
        elif n is None and s < 0:
            raise RuntimeError(
                message(
                    f"The expanded size of the tensor ({s}) isn't allowed in a leading, non-existing "
                    f"dimension {i}"
                )
            )
        elif n is not None and n not in (1, s):
            raise RuntimeError(
                message(
                    f"The expanded size of the tensor ({s}) must match the existing size ({n}) at "
                    f"non-singleton dimension {i}.  "
                    f"Target sizes: {list(sizes)}.  Tensor sizes: {list(have)}",
                    "only dimensions of size 1 can be stretched",
                    "repeat copies the entries, unsqueeze inserts a dimension of size 1",
                )
            )
        else:
            found.append(s)
    return tuple(reversed(found))


def expand(self: Tensor, *size: Any, implicit: bool = False, **kwargs: Any) -> Tensor:  # noqa: ARG001 - PyTorch's argument
    """A view in which dimensions of size 1 are stretched without copying; -1 keeps a size."""
    sizes = ints_of("expand", "size", 1, given("expand", "size", size, kwargs))
    return view(expand_op, self, {"shape": expanded_shape(shape_of(self), sizes, self.dtype.word)})


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Expanded to another tensor's shape."""
    return expand(self, shape_of(other))


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """NumPy's name of `expand`."""
    return expand(input, size)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    shape = common_shape("broadcast_tensors", [shape_of(x) for x in tensors])
    return tuple(x if shape_of(x) == shape else expand(x, shape) for x in tensors)


def common_shape(name: str, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """What shapes broadcast to; PyTorch's RuntimeError where they do not."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        rank = max(map(len, shapes))
        for dim in range(rank - 1, -1, -1):
            wide = [
                s[dim - rank + len(s)]
                for s in shapes
                if dim - rank + len(s) >= 0 and s[dim - rank + len(s)] != 1
            ]
            if len(set(wide)) > 1:
                a, b = wide[0], next(n for n in wide if n != wide[0])
                raise RuntimeError(
                    message(
                        f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                        f"non-singleton dimension {dim}",
                        f"{name} of shapes {' and '.join(str(list(s)) for s in shapes)}",
                    )
                ) from None
        raise


def _at_least(n: int, *tensors: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    made = tuple(_raised(x, n) for x in tensors)
    return made[0] if len(made) == 1 else made


def _raised(x: Tensor, n: int) -> Tensor:
    shape = shape_of(x)
    if len(shape) == 0:
        return reshape(x, (1,) * n)
    if len(shape) == 1 and n > 1:
        x = unsqueeze(x, 0)
    return unsqueeze(x, -1) if len(shape) < n == 3 else x


def atleast_1d(*tensors: Any) -> Any:
    """Tensors with at least one dimension (a tuple for several)."""
    return _at_least(1, *tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dimensions, new ones in front."""
    return _at_least(2, *tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three dimensions."""
    return _at_least(3, *tensors)


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


_both = {
    "reshape": reshape,
    "flatten": flatten,
    "ravel": ravel,
    "unflatten": unflatten,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "t": t,
    "permute": permute,
    "transpose": transpose,
    "swapaxes": swapaxes,
    "swapdims": swapaxes,
    "movedim": movedim,
    "moveaxis": movedim,
    "adjoint": adjoint,
    "broadcast_to": broadcast_to,
}
PUBLIC: dict[str, Any] = {
    **_both,
    "broadcast_tensors": broadcast_tensors,
    "broadcast_shapes": lambda *shapes: dtypes.Size(
        common_shape("broadcast_shapes", [(s,) if isinstance(s, int) else tuple(s) for s in shapes])
    ),
    "atleast_1d": atleast_1d,
    "atleast_2d": atleast_2d,
    "atleast_3d": atleast_3d,
}
METHODS: dict[str, Any] = {
    **_both,
    "view": view_method,
    "view_as": view_as,
    "reshape_as": reshape_as,
    "expand": expand,
    "expand_as": expand_as,
    "stride": stride,
    "storage_offset": storage_offset,
    "is_contiguous": is_contiguous,
    "squeeze_": squeeze_,
    "unsqueeze_": unsqueeze_,
    "t_": t_,
    "transpose_": transpose_,
    "swapaxes_": transpose_,
    "swapdims_": transpose_,
    "T": property(_reversed),
    "mT": property(_mt),
    "H": property(_h),
    "mH": property(_mh),
}
