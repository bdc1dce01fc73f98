"""Diagonals and triangles of matrices: diagonal, diag, diag_embed, tril, triu and their indices.

Read `diagonal` first. May import `families`, `graph`, `errors`, `ops.arrange`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import apply
from pullback.families.sizes import an_int, dim_of, need_tensor
from pullback.families.structural import structural, view
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.memory import written


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


METHODS: dict[str, Any] = {
    "tril": tril,
    "triu": triu,
    "diagonal": diagonal,
    "diag_embed": diag_embed,
    "diag": diag,
}
PUBLIC: dict[str, Any] = {**METHODS, "tril_indices": tril_indices, "triu_indices": triu_indices}
IN_PLACE: dict[str, Any] = {"tril_": (tril, tril_op), "triu_": (triu, triu_op)}
