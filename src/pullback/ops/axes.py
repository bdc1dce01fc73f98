"""Views with other dimensions: squeeze, unsqueeze, permute, transpose, movedim, t, T, H and adjoint.

Read `permute` first. May import `families`, `graph`, `errors`, `ops.shape`.
"""

from __future__ import annotations

import warnings
from typing import Any

from pullback.errors import message
from pullback.families.inplace import reshaped_in_place
from pullback.families.sizes import dim_of, given, ints_of, need_tensor, shape_of
from pullback.families.structural import structural, view
from pullback.graph.tensor import Tensor
from pullback.ops.shape import labelled, reshape_plain

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


def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    inverse = [0] * len(dims)
    for i, d in enumerate(dims):
        inverse[d] = i
    return tuple(inverse)


def _batch_t(x: Tensor, dim: int) -> tuple[Tensor, int]:
    x = movedim(x, dim, 0)
    return (transpose(x, 1, 2) if len(shape_of(x)) == 3 else x), 0


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


PUBLIC: dict[str, Any] = {
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
}
METHODS: dict[str, Any] = {
    **PUBLIC,
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
