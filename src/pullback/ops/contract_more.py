"""Products made of others: tensordot, kron, trace, cross, and chains of matrices.

Read `tensordot` first, then `multi_dot` (the cheapest order of a chain). May import `families`, `graph`,
`contract`.
"""

from __future__ import annotations

import warnings
from string import ascii_letters
from typing import Any

from pullback.errors import message
from pullback.families.calls import write_out
from pullback.families.contraction import named, product
from pullback.ops.contract import mm, mm_call
from pullback.ops.contract_checks import (
    check_chain,
    check_cross,
    need_tensor,
    tensordot_dims,
)


def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """Sum the products over several dimensions of both operands.

    dims   n: the last n of a with the first n of b; or two lists of equal length, the dimensions of a and
           those of b

    >>> import pullback as torch
    >>> torch.tensordot(torch.ones(2, 3), torch.ones(3, 4), dims=1).shape
    torch.Size([2, 4])
    """
    need_tensor("tensordot", 1, "a", a)
    need_tensor("tensordot", 2, "b", b)
    left, right = tensordot_dims(a, b, dims)
    p = list(ascii_letters[: a.ndim])
    q = list(ascii_letters[a.ndim : a.ndim + b.ndim])
    for i, j in zip(left, right, strict=True):
        q[j] = p[i]
        if a.shape[i] != b.shape[j]:  # a dimension of size 1 stretches: it is summed on its own
            a, b = (a.sum(i, keepdim=True), b) if b.shape[j] == 1 else (a, b.sum(j, keepdim=True))
    free = [c for i, c in enumerate(p) if i not in left] + [c for j, c in enumerate(q) if j not in right]
    t = named(product(a, b, spec=f"{''.join(p)},{''.join(q)}->{''.join(free)}"), "ViewBackward0")
    return t if out is None else write_out(mm, out, t, (a, b))


def kron(input: Any, other: Any, *, out: Any = None) -> Any:
    """The Kronecker product: every entry of `input` times the whole of `other`.

    Dtypes promote, ranks are filled up with ones.
    """
    need_tensor("kron", 1, "input", input)
    need_tensor("kron", 2, "other", other)
    n = max(input.ndim, other.ndim)
    p = (1,) * (n - input.ndim) + tuple(input.shape)
    q = (1,) * (n - other.ndim) + tuple(other.shape)
    wide = input.reshape([s for m in p for s in (m, 1)]) * other.reshape([s for m in q for s in (1, m)])
    t = named(wide.reshape([m * k for m, k in zip(p, q, strict=True)]), "UnsafeViewBackward0")
    return t if out is None else write_out(mm, out, t, (input, other))


# ---------------------------------------------------------------------- public: trace, cross, chains


def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal; integers add up in int64."""
    need_tensor("trace", 1, "input", input)
    if input.ndim != 2:
        first = f"trace: expected a matrix, but got tensor with dim {input.ndim}"
        raise RuntimeError(
            message(
                first,
                f"its shape is {list(input.shape)}",
                "x.diagonal(0, -2, -1).sum(-1) is the trace of a batch",
            )
        )
    return named(input.diagonal(0, 0, 1).sum(), "TraceBackward0")


def cross(input: Any, other: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """The vector product along a dimension of size 3, without `dim` the first such dimension.

    >>> import pullback as torch
    >>> torch.cross(torch.tensor([1., 0., 0.]), torch.tensor([0., 1., 0.]), dim=0)
    tensor([0., 0., 1.])
    """
    need_tensor("cross", 1, "input", input)
    need_tensor("cross", 2, "other", other)
    if dim is None:
        warnings.warn(
            "Using torch.cross without specifying the dim arg is deprecated.\nPlease either pass the dim "
            "explicitly or simply use "
            "torch.linalg.cross.\nThe default value of dim will change to agree with that of linalg.cross "
            "in a future release.",
            UserWarning,
            stacklevel=2,
        )
        dim = next((i for i, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError(
                message("no dimension of size 3 in input", f"its shape is {list(input.shape)}", "pass dim=")
            )
    return linalg_cross(input, other, dim=dim, out=out)


def linalg_cross(input: Any, other: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The vector product along `dim`, which has size 3; other dimensions broadcast."""
    dim = check_cross(input, other, dim)
    t = named(
        input.roll(-1, dim) * other.roll(-2, dim) - input.roll(-2, dim) * other.roll(-1, dim),
        "LinalgCrossBackward0",
    )
    return t if out is None else write_out(mm, out, t, (input, other))


def multi_dot(tensors: Any, *, out: Any = None) -> Any:
    """The product of a chain of matrices, in the order that costs the fewest multiplications.

    The first and the last may be vectors. (The order is found by the textbook recursion over sub-chains:
    Cormen et al., Introduction to Algorithms, section 15.2.)
    """
    chain = list(tensors)
    check_chain(chain)
    first, last = chain[0].ndim == 1, chain[-1].ndim == 1
    if first:
        chain[0] = chain[0].unsqueeze(0)
    if last:
        chain[-1] = chain[-1].unsqueeze(1)
    t = _chain(
        chain, _best_splits([int(a.shape[0]) for a in chain] + [int(chain[-1].shape[1])]), 0, len(chain) - 1
    )
    rows, cols = tuple(t.shape)
    t = named(
        t.reshape(() if first and last else (cols,) if first else (rows,) if last else (rows, cols)),
        "ViewBackward0",
    )
    return t if out is None else write_out(mm, out, t, chain)


def _best_splits(sizes: list[int]) -> dict[tuple[int, int], int]:
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for span in range(1, n):
        for i in range(n - span):
            j = i + span
            options = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            ]
            cost[i, j], split[i, j] = min(options)
    return split


def _chain(chain: list[Any], split: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = split[i, j]
    return mm_call(_chain(chain, split, i, k), _chain(chain, split, k + 1, j))


def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """`multi_dot` under its old name, with the matrices as arguments."""
    chain = (
        list(matrices[0]) if len(matrices) == 1 and isinstance(matrices[0], list | tuple) else list(matrices)
    )
    warnings.warn(
        "torch.chain_matmul is deprecated and will be removed in a future PyTorch release. Use "
        "torch.linalg.multi_dot instead, which "
        "accepts a list of two or more tensors rather than multiple parameters.",
        UserWarning,
        stacklevel=2,
    )
    return chain[0] if len(chain) == 1 else multi_dot(chain, out=out)


METHODS: dict[str, Any] = {"kron": kron, "trace": trace, "cross": cross}
PUBLIC: dict[str, Any] = {**METHODS, "tensordot": tensordot, "chain_matmul": chain_matmul}
IN_PLACE: dict[str, Any] = {}
