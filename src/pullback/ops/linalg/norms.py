"""Norms and conditioning of matrices: linalg.norm, matrix_norm, cond, matrix_rank.

Read `matrix_norm` first. Vector norms are those of `ops.norms`. May import `families`, `ops.norms`, `linalg`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import dims_of
from pullback.families.calls import write_out
from pullback.families.contraction import named
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.linalg.common import matrices, need_square, tensor_argument
from pullback.ops.linalg.eigh import eigh_op
from pullback.ops.linalg.inv import inv_ex
from pullback.ops.linalg.pinv import tolerance
from pullback.ops.linalg.svd import svd_op, values
from pullback.ops.norms import vector_norm

INF = float("inf")


def _order(name: str, ord: Any) -> Any:
    """A supported order: "fro", "nuc", or one of 2, -2, 1, -1, inf, -inf."""
    if ord in ("fro", "nuc") or (not isinstance(ord, str) and ord in (2, -2, 1, -1, INF, -INF)):
        return ord
    raise RuntimeError(
        message(
            f"linalg.{name}: Order {ord} not supported.", "", "use 'fro', 'nuc', 1, 2, inf or their negatives"
        )
    )


def _pair(dim: Any, ndim: int) -> tuple[int, int]:
    if isinstance(dim, int) or len(dim) != 2:
        shown = dim if isinstance(dim, int) else " ".join(map(str, dim))
        raise RuntimeError(
            message(
                f"linalg.matrix_norm: dim must be a 2-tuple. Got {shown}",
                "",
                "name the two matrix dimensions",
            )
        )
    found = [d % ndim if -ndim <= d < ndim else d for d in dim]
    if found[0] == found[1]:
        raise RuntimeError(message(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})"))
    rows, cols = dims_of("linalg_matrix_norm", tuple(dim), ndim) or (0, 1)
    return rows, cols


def matrix_norm(
    A: Any,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """The norm of matrices.

    "fro" takes the entries, "nuc" the sum of the singular values, 2 and -2 the largest and smallest of them.
    1 is the largest sum of absolute values of a column, inf that of a row. Ties share the gradient evenly.

    >>> import pullback as torch
    >>> matrix_norm(torch.tensor([[3., 0.], [4., 0.]]), 2)
    tensor(5.)
    """
    tensor_argument("matrix_norm", A, "input")
    if A.ndim < 2:
        raise RuntimeError(
            message(
                "linalg.matrix_norm: The input tensor A must have at least 2 dimensions.",
                f"its shape is {list(A.shape)}",
            )
        )
    if A.dtype.category < 2:
        first = (
            f"linalg.matrix_norm: Expected a floating point or complex tensor as input. Got {A.dtype.word}"
        )
        raise RuntimeError(message(first, "", "convert it first: x.float()"))
    a = _converted(A, dtype)
    if isinstance(dim, int):
        first = (
            "linalg_matrix_norm() received an invalid combination of arguments - got (Tensor, dim=int), "
            "but expected one of:"
        )
        raise TypeError(message(first, "", "dim is a pair of dimensions"))
    t = _matrix_norm(a, _order("matrix_norm", ord), *_pair(dim, a.ndim), keepdim)
    return t if out is None else write_out(svd_op, out, t, (A,))


def _converted(a: Tensor, dtype: Any) -> Tensor:
    if dtype is None:
        return a
    if dtype.category < 2:
        raise RuntimeError(
            message(f"linalg.matrix_norm: dtype should be floating point or complex, but got {dtype.word}")
        )
    if dtype.itemsize // (1 + (dtype.category == 3)) < a.dtype.itemsize // (1 + (a.dtype.category == 3)):
        first = (
            f"linalg.matrix_norm: the dtype of the input ({a.dtype.word}) should be convertible without "
            "narrowing to the specified "
            f"dtype ({dtype.word})"
        )
        raise RuntimeError(message(first))
    return a.to(dtype)


def _matrix_norm(a: Tensor, ord: Any, rows: int, cols: int, keepdim: bool) -> Any:
    if ord == "fro":
        return vector_norm(a, 2, (rows, cols), keepdim)
    if ord in ("nuc", 2, -2):
        s = values(a if (rows, cols) == (a.ndim - 2, a.ndim - 1) else a.movedim((rows, cols), (-2, -1)))
        r = s.sum(-1) if ord == "nuc" else s.amax(-1) if ord == 2 else s.amin(-1)
        for d in sorted((rows, cols)) if keepdim else ():
            r = r.unsqueeze(d)
        return r
    summed, picked = (rows, cols) if abs(ord) == 1 else (cols, rows)
    sums = vector_norm(a, 1, summed, keepdim)
    if not keepdim and summed < picked:
        picked -= 1
    return sums.amax(picked, keepdim) if ord > 0 else sums.amin(picked, keepdim)


def norm(
    A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, out: Any = None, dtype: Any = None
) -> Any:
    """A vector norm, or a matrix norm where two dimensions are meant.

    Without ord: the 2-norm of all entries. With a 2-tuple `dim`, or a 2-D input without `dim`, ord names a
    matrix norm.

    >>> import pullback as torch
    >>> norm(torch.tensor([3., 4.]))
    tensor(5.)
    """
    tensor_argument("norm", A, "input")
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if dims is not None and len(dims) not in (1, 2):
        first = f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}"
        raise RuntimeError(message(first))
    if dims is None and ord is not None and not isinstance(ord, str) and A.ndim not in (1, 2):
        first = f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D."
        raise RuntimeError(message(first, f"its shape is {list(A.shape)}", "name the dimensions with dim="))
    if isinstance(ord, str):
        t = matrix_norm(A, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype)
    elif ord is not None and ((dims is not None and len(dims) == 2) or (dims is None and A.ndim == 2)):
        t = matrix_norm(A, ord, (0, 1) if dims is None else dims, keepdim, dtype=dtype)
    else:
        t = vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype)
    return t if out is None else write_out(svd_op, out, t, (A,))


def cond(A: Any, p: Any = None, *, out: Any = None) -> Any:
    """norm(A) * norm(A^-1): how much a linear system amplifies relative errors; inf for a singular matrix.

    p is a matrix norm's order; None and 2 take the ratio of the extreme singular values.

    >>> import pullback as torch
    >>> cond(torch.tensor([[4., 0.], [0., 2.]]))
    tensor(2.)
    """
    tensor_argument("cond", A, "input")
    if A.ndim < 2:
        raise RuntimeError(
            message(
                "linalg.cond: The input tensor must have at least 2 dimensions.",
                f"its shape is {list(A.shape)}",
            )
        )
    if p is not None and p not in ("fro", "nuc", 2, -2, 1, -1, INF, -INF):
        raise RuntimeError(
            message(
                f"linalg.cond got an invalid norm type: {p}",
                "",
                "use None, 'fro', 'nuc', 1, 2, inf or negatives",
            )
        )
    t = _cond(A, p)
    return t if out is None else write_out(svd_op, out, t, (A,))


def _cond(a: Tensor, p: Any) -> Any:
    if a.numel() == 0:
        return a.new_zeros(tuple(a.shape)[:-2])
    if p in (None, 2, -2):
        matrices("svd", a, loop="linalg_svd_cpu")
        s = values(a)
        return named(s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1], "SqueezeBackward1")
    need_square(f"linalg.cond(ord={p})", a)
    inverse, info = inv_ex(a)
    r = matrix_norm(a, p) * matrix_norm(inverse.masked_fill((info > 0)[..., None, None], 0.0), p)
    return named(r.masked_fill(info > 0, INF), "NanToNumBackward0")


def matrix_rank(
    A: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None
) -> Any:
    """How many singular values exceed max(atol, rtol * largest), as int64; tol is an absolute limit.

    >>> import pullback as torch
    >>> matrix_rank(torch.tensor([[1., 2.], [2., 4.]]))
    tensor(1)
    """
    if not isinstance(A, Tensor):
        first = (
            "linalg_matrix_rank() received an invalid combination of arguments - got "
            f"({type(A).__name__}), but expected one of:"
        )
        raise TypeError(message(first, "", "pass a tensor"))
    if A.ndim < 2:
        first = "torch.linalg.matrix_rank: The input tensor input must have at least 2 dimensions."
        raise RuntimeError(message(first, f"its shape is {list(A.shape)}"))
    if A.dtype.category < 2 or A.dtype.name == "float16":
        raise RuntimeError(
            message("This function doesn't handle types other than float and double", f"got {A.dtype!r}")
        )
    a = A.detach()
    s = eigh_op(a, upper=False)[0].value if hermitian else values(a).value
    s = np.abs(s)
    low, share = (tol, 0.0) if tol is not None else (atol, rtol)
    low, share = (
        x.value if isinstance(x, Tensor) else x for x in tolerance(tuple(a.shape), s.dtype, low, share)
    )
    top = s.max(-1, keepdims=True) if s.shape[-1] else np.zeros((*s.shape[:-1], 1))
    cut = np.maximum(np.asarray(low)[..., None], np.asarray(share)[..., None] * top)
    t = wrap(np.asarray((s > cut).sum(-1), dtype=np.int64))
    return t if out is None else write_out(svd_op, out, t, (A,))
