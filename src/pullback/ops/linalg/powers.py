"""Products and powers: linalg.matrix_power, vecdot, vander, tensorinv, tensorsolve.

May import `families`, `ops.contract`, `linalg`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.calls import write_out
from pullback.families.contraction import conj, named
from pullback.graph.tensor import wrap
from pullback.ops.contract import matmul, mm
from pullback.ops.contract_checks import check_broadcast
from pullback.ops.join import cat
from pullback.ops.linalg.common import need_square, tensor_argument
from pullback.ops.linalg.inv import inv
from pullback.ops.linalg.solve import solve


def matrix_power(A: Any, n: Any, *, out: Any = None) -> Any:
    """A multiplied n times with itself, by repeated squaring.

    A negative n inverts first, n = 0 gives the identity.

    >>> import pullback as torch
    >>> matrix_power(torch.tensor([[1., 1.], [0., 1.]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    tensor_argument("matrix_power", A, "input")
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        first = f"linalg_matrix_power(): argument 'n' (position 2) must be int, not {type(n).__name__}"
        raise TypeError(message(first, "", "fractional powers go through torch.linalg.eigh"))
    if A.ndim < 2:
        first = "linalg.matrix_power: The input tensor A must have at least 2 dimensions."
        raise RuntimeError(message(first, f"its shape is {list(A.shape)}"))
    need_square("linalg.matrix_power", A)
    t = _power(A, int(n))
    return t if out is None else write_out(mm, out, t, (A,))


def _power(a: Any, n: int) -> Any:
    if n == 0:  # a copy that was overwritten: followed, with gradient zero
        return a.clone().copy_(wrap(np.eye(a.shape[-1]).astype(a.value.dtype)).expand(tuple(a.shape)))
    if n < 0:
        a, n = inv(a), -n
        if n == 1:
            return a
    if n == 1:
        return a.clone()
    result: Any = None
    square = a
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        if n:
            square = matmul(square, square)
    return result


def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The inner products of vectors along a dimension, the first one conjugated.

    Other dimensions broadcast.
    """
    tensor_argument("vecdot", x, "x")
    tensor_argument("vecdot", y, "y", 2)
    if x.dtype is not y.dtype:
        first = (
            f"linalg.vecdot: Expected x and y to have the same dtype, but found x of type {x.dtype.word} "
            "and y of type "
            f"{y.dtype.word} instead"
        )
        raise RuntimeError(message(first, "", "convert one of them, for example y.to(x.dtype)"))
    check_broadcast("linalg.vecdot", tuple(x.shape), tuple(y.shape))
    t = (conj(x) * y).sum(dim)
    return t if out is None else write_out(mm, out, t, (x, y))


def linalg_diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of a stack of matrices, as a view."""
    tensor_argument("diagonal", A)
    return A.diagonal(offset, dim1, dim2)


def vander(x: Any, *, N: int | None = None) -> Any:
    """The Vandermonde matrix: the powers 0, 1, ..., N - 1 of each entry along a new last dimension."""
    tensor_argument("vander", x, "x")
    if x.ndim == 0:
        raise RuntimeError(
            message("linalg.vander: x must be at least 1D, but got a 0D tensor", "", "x.reshape(1)")
        )
    n = int(x.shape[-1]) if N is None else int(N)
    powers = x.unsqueeze(-1).expand(*tuple(x.shape), max(n - 1, 0)).cumprod(-1)
    if x.dtype.category < 2:
        powers = powers.to(x.dtype) if x.dtype.category else powers
    ones = powers.new_ones((*tuple(x.shape), min(n, 1)))
    return cat([ones, powers], dim=x.ndim)


def tensorinv(A: Any, ind: int = 2, *, out: Any = None) -> Any:
    """The inverse of the map from the last dimensions (from `ind` on) to the first `ind` ones."""
    if ind <= 0:
        raise RuntimeError(message(f"Expected a strictly positive integer for 'ind', but got {ind}"))
    head, tail = tuple(A.shape)[:ind], tuple(A.shape)[ind:]
    m, n = math.prod(head), math.prod(tail)
    if m != n:
        first = (
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), "
            "but got "
            f"{n} != {m}"
        )
        raise RuntimeError(message(first, f"the shape is {list(A.shape)}, ind is {ind}"))
    t = named(inv(A.reshape(m, n)).reshape(*tail, *head), "ReshapeAliasBackward0")
    return t if out is None else write_out(mm, out, t, (A,))


def tensorsolve(A: Any, B: Any, dims: Any = None, *, out: Any = None) -> Any:
    """X with tensordot(A, X, X.ndim) = B, where the first dimensions of A are those of B."""
    a = A if dims is None else A.movedim(tuple(dims), tuple(range(A.ndim - len(dims), A.ndim)))
    tail = tuple(a.shape)[B.ndim :]
    m, n = math.prod(tuple(a.shape)[: B.ndim]), math.prod(tail)
    if m != n:
        first = (
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            "prod(self.shape[:other.ndim]), but "
            f"got {n} != {m}"
        )
        raise RuntimeError(message(first, f"A has shape {list(A.shape)}, B {list(B.shape)}"))
    t = solve(a.reshape(m, n), B.reshape(-1)).reshape(tail)
    return t if out is None else write_out(mm, out, t, (A, B))
