"""Matrix products: matmul and its cases, sums with them (addmm, ...), tensordot, kron, cross, chains.

Read `matmul` first. Each node that PyTorch names is one contraction; matmul chooses by the ranks. Products do
not promote: operands of different dtypes are an error. May import `families`, `graph`, other ops modules.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from string import ascii_letters
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.calls import from_array, write_out
from pullback.families.contraction import Contraction, conj, fast_ok, named, product, record
from pullback.families.facets import Sample
from pullback.graph.modes import CAREFUL, QUIET, loud, quiet, state
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor
from pullback.ops.contract_checks import (
    check_add,
    check_chain,
    check_cross,
    check_expand,
    check_inner,
    check_matmul,
    check_pair,
    need_tensor,
    tensordot_dims,
)

F16, F32, F64 = np.dtype("f2"), np.dtype("f4"), np.dtype("f8")
Shape = tuple[int, ...]

# ---------------------------------------------------------------------- the table entries


def _normal(*shapes: Shape) -> Sample:
    rng = np.random.default_rng(len(shapes) + sum(map(sum, shapes)))
    return Sample(tuple(rng.normal(size=s) for s in shapes), note=" @ ".join(map(str, shapes)))


def _dot(v: Any, w: Any) -> Any:
    if v.dtype == F16:  # half precision accumulates in single
        return np.asarray(v.astype(F32).dot(w.astype(F32))).astype(F16)
    return v.dot(w)


def _outer(a: Any, b: Any) -> Any:
    return a.reshape(-1, 1).dot(b.reshape(1, -1))


dot = Contraction(
    "dot",
    "i,i->",
    _dot,
    fast=(lambda g, y: g * y, lambda g, x: g * x),
    samples=lambda: [_normal((3,), (3,)), _normal((0,), (0,)), _normal((1,), (1,))],
)
mv = Contraction(
    "mv",
    "ij,j->i",
    _dot,
    fast=(_outer, lambda g, x: g.dot(x)),
    samples=lambda: [_normal((2, 3), (3,)), _normal((2, 0), (0,)), _normal((1, 3), (3,))],
)
vm = Contraction(
    "vm",
    "i,ij->j",
    _dot,
    fast=(lambda g, y: y.dot(g), lambda g, x: _outer(x, g)),
    # PyTorch multiplies the vector as a matrix of one row and squeezes the result
    backward="SqueezeBackward4",
    samples=lambda: [_normal((3,), (3, 2)), _normal((0,), (0, 2))],
)
mm = Contraction(
    "mm",
    "ij,jk->ik",
    _dot,
    fast=(lambda g, y: g.dot(y.T), lambda g, x: x.T.dot(g)),
    samples=lambda: [
        _normal((2, 3), (3, 4)),
        _normal((2, 0), (0, 3)),
        _normal((0, 3), (3, 2)),
        _normal((1, 1), (1, 1)),
    ],
)


def _batched(v: Any, w: Any) -> Any:
    if v.dtype == F16:
        return np.matmul(v.astype(F32), w.astype(F32)).astype(F16)
    return np.matmul(v, w)


bmm = Contraction(
    "bmm",
    "bij,bjk->bik",
    _batched,
    fast=(lambda g, y: np.matmul(g, y.swapaxes(1, 2)), lambda g, x: np.matmul(x.swapaxes(1, 2), g)),
    samples=lambda: [_normal((2, 3, 4), (2, 4, 2)), _normal((0, 3, 4), (0, 4, 2))],
)


@lru_cache(maxsize=4096)
def matmul_spec(x: Shape, y: Shape) -> str:
    """The specification of matmul for these shapes; a stretched size-1 dimension has a label of its own."""
    fresh = iter(ascii_letters)
    n = max(len(x), len(y)) - 2
    i, j, k = next(fresh), next(fresh), next(fresh)
    a, b, out = "", "", ""
    for d in range(max(n, 0)):
        c = next(fresh)
        out += c
        p, q = d - n + len(x) - 2, d - n + len(y) - 2
        stretched = p >= 0 and q >= 0 and x[p] != y[q]
        if p >= 0:
            a += next(fresh) if stretched and x[p] == 1 else c
        if q >= 0:
            b += next(fresh) if stretched and y[q] == 1 else c
    a, out = (a + i + j, out + i) if len(x) > 1 else (j, out)
    b, out = (b + j + k, out + k) if len(y) > 1 else (j, out)
    return f"{a},{b}->{out}"


def _matmul_name(node: Node) -> str:
    # a matrix times a batch that is followed is computed as one product of the transposes, then transposed
    # back
    x, y = (tuple(a.shape) for a in node.args)
    left_matrix = node.edges[0] is not None and (len(x) == 2 or (len(x) == 3 and x[0] == 1 < y[0]))
    return "CloneBackward0" if left_matrix else "UnsafeViewBackward0"


batch_matmul = Contraction(
    "matmul",
    matmul_spec,
    backward=_matmul_name,
    samples=lambda: [
        _normal((2, 3, 4), (4, 2)),
        _normal((2, 3, 4), (4,)),
        _normal((3,), (2, 3, 4)),
        _normal((2, 3), (2, 3, 4)),
        _normal((2, 1, 2, 3), (3, 3, 2)),
        _normal((2, 2, 3), (1, 3, 2)),
        _normal((0, 2, 3), (3, 2)),
    ],
)


# ---------------------------------------------------------------------- public: products of two


def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """The matrix product of two tensors, by their ranks as in `numpy.matmul`; leading dimensions broadcast.

    Both of one dtype. RuntimeError where the shapes do not fit or the dtypes differ.

    >>> import pullback as torch
    >>> torch.matmul(torch.ones(2, 3), torch.ones(3))
    tensor([3., 3.])
    """
    if type(input) is Tensor and type(other) is Tensor and out is None:
        v, w = input.value, other.value
        d = v.dtype
        if d is w.dtype and (d is F32 or d is F64) and state.mode != CAREFUL:
            p, q = v.ndim, w.ndim
            if p == 2 >= q > 0:
                op = mv if q == 1 else mm
            elif p == 1 and 0 < q <= 2:
                op = dot if q == 1 else vm
            else:
                return _run(None, input, other, None)
            token = quiet(QUIET)
            try:
                r = v.dot(w)
            except ValueError:
                check_matmul(input, other)
                raise
            finally:
                loud(token)
            return record(op, input, other, r) if state.mode else _plain(r)
    return _run(None, input, other, out)


_new = object.__new__


def _plain(r: Any) -> Tensor:
    t = _new(Tensor)
    t.value = r
    return t


def _by_rank(p: int, q: int) -> Contraction:
    if p <= 2 and q <= 2:
        return (dot if q == 1 else vm) if p == 1 else (mv if q == 1 else mm)
    return batch_matmul


def _run(op: Contraction | None, x: Any, y: Any, out: Any) -> Any:
    """Check everything, then run: the path for other dtypes, higher ranks, subclasses, modes and `out=`."""
    name = op.name if op is not None else "matmul"
    need_tensor(name, 1, "input", x)
    need_tensor(name, 2, "other", y)
    if op is None:
        check_matmul(x, y)
        op = _by_rank(len(x.shape), len(y.shape))
    t = op.run(x, y, {})
    return t if out is None else write_out(op, out, t, (x, y))


def _matmul_operator(self: Any, other: Any) -> Any:
    if isinstance(other, np.ndarray):
        return matmul(self, from_array(self, other))
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _matmul_reflected(self: Any, other: Any) -> Any:
    return matmul(other, self) if isinstance(other, Tensor) else NotImplemented


_SECOND = {"mm": "mat2", "bmm": "mat2", "mv": "vec", "dot": "tensor"}


def _pair(op: Contraction, p: int, q: int, x: Any, y: Any, out: Any) -> Any:
    if out is None and fast_ok(x, y) and x.value.ndim == p and y.value.ndim == q <= 2:
        return matmul(x, y)
    need_tensor(op.name, 1, "input", x)
    need_tensor(op.name, 2, _SECOND[op.name], y)
    check_pair(op.name, x, y)
    return _run(op, x, y, out)


def mm_call(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The product of two matrices, (n, m) and (m, p) -> (n, p), of one dtype; no broadcasting.

    >>> import pullback as torch
    >>> torch.mm(torch.ones(2, 3), torch.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    return _pair(mm, 2, 2, input, mat2, out)


def mv_call(input: Any, vec: Any, *, out: Any = None) -> Any:
    """The product of a matrix (n, m) and a vector (m) -> (n), of one dtype."""
    return _pair(mv, 2, 1, input, vec, out)


def dot_call(input: Any, tensor: Any, *, out: Any = None) -> Any:
    """The sum of the products of two vectors' entries, of one dtype; nothing is conjugated (see `vdot`)."""
    return _pair(dot, 1, 1, input, tensor, out)


def bmm_call(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The products of two stacks of matrices, (b, n, m) and (b, m, p) -> (b, n, p); no broadcasting."""
    return _pair(bmm, 3, 3, input, mat2, out)


def vdot(input: Any, other: Any, *, out: Any = None) -> Any:
    """The inner product of two vectors, the first one conjugated."""
    need_tensor("vdot", 1, "input", input)
    need_tensor("vdot", 2, "other", other)
    check_pair("dot", input, other)
    t = named(dot(conj(input), other), "VdotBackward0")
    return t if out is None else write_out(dot, out, t, (input, other))


def outer(input: Any, vec2: Any, *, out: Any = None) -> Any:
    """All products of the entries of two vectors, (n) and (m) -> (n, m); dtypes promote.

    >>> import pullback as torch
    >>> torch.outer(torch.tensor([1., 2.]), torch.tensor([3., 4.]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    for k, (name, a) in enumerate((("input", input), ("vec2", vec2))):
        need_tensor("outer", k + 1, name, a)
        if a.ndim != 1:
            first = f"outer: Expected 1-D argument {'self' if k == 0 else name}, but got {a.ndim}-D"
            raise RuntimeError(
                message(first, f"its shape is {list(a.shape)}", "flatten it, or broadcast: a[:, None] * b")
            )
    t = input.unsqueeze(1) * vec2
    return t if out is None else write_out(mm, out, t, (input, vec2))


def inner(input: Any, other: Any, *, out: Any = None) -> Any:
    """The sums of products over the last dimensions of both; with a 0-d operand the plain product."""
    need_tensor("inner", 1, "input", input)
    need_tensor("inner", 2, "other", other)
    check_inner(input, other)
    if input.ndim == 0 or other.ndim == 0:
        t = input * other
    else:
        a, b = ascii_letters[: input.ndim - 1], ascii_letters[input.ndim - 1 : input.ndim + other.ndim - 2]
        t = named(product(input, other, spec=f"{a}Z,{b}Z->{a}{b}"), "ViewBackward0")
    return t if out is None else write_out(mm, out, t, (input, other))


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


# ---------------------------------------------------------------------- public: sums with products


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (mat1 @ mat2), `input` broadcast; beta=0 ignores NaN and infinity in `input`."""
    return _add("addmm", input, mat1, mat2, beta, alpha, out)


def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (mat @ vec), `input` broadcast."""
    return _add("addmv", input, mat, vec, beta, alpha, out)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * outer(vec1, vec2), `input` broadcast; dtypes promote."""
    return _add("addr", input, vec1, vec2, beta, alpha, out)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * bmm(batch1, batch2), `input` broadcast."""
    return _add("baddbmm", input, batch1, batch2, beta, alpha, out)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (the products of the two stacks, added up over the stack), `input` broadcast."""
    return _add("addbmm", input, batch1, batch2, beta, alpha, out)


def _stack_sum(x: Any, y: Any) -> Any:
    check_pair("bmm", x, y)
    return product(x, y, spec="bij,bjk->ik")


_PRODUCTS: dict[str, Any] = {
    "addmm": mm_call,
    "addmv": mv_call,
    "addr": outer,
    "baddbmm": bmm_call,
    "addbmm": _stack_sum,
}


def _add(name: str, input: Any, x: Any, y: Any, beta: Any, alpha: Any, out: Any) -> Any:
    for k, a in enumerate((input, x, y)):
        need_tensor(name, k + 1, _ADD_NAMES[name][k], a)
    check_add(name, input, x, y)
    p = _PRODUCTS[name](x, y)
    check_expand(input, p)
    if alpha != 1:
        p = p * alpha
    if beta == 0:
        t = p + input.new_zeros(tuple(input.shape)) if input.dtype is not p.dtype else p
    else:
        t = (input if beta == 1 else input * beta) + p
    return named(t, _ADD_LABELS[name]) if out is None else write_out(mm, out, t, (input, x, y))


_ADD_NAMES = {
    "addmm": ("input", "mat1", "mat2"),
    "addmv": ("input", "mat", "vec"),
    "addr": ("input", "vec1", "vec2"),
    "baddbmm": ("input", "batch1", "batch2"),
    "addbmm": ("input", "batch1", "batch2"),
}
_ADD_LABELS = {n: n.capitalize() + "Backward0" for n in _ADD_NAMES}


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


_SMALL: dict[str, Any] = {"mm": mm_call, "mv": mv_call, "dot": dot_call, "bmm": bmm_call}
for _name, _function in _SMALL.items():
    _function.__name__ = _function.__qualname__ = _name
for _op, _call in (
    (mm, mm_call),
    (mv, mv_call),
    (dot, dot_call),
    (bmm, bmm_call),
    (vm, matmul),
    (batch_matmul, matmul),
):
    _op.call = _call

PUBLIC: dict[str, Any] = {
    **_SMALL,
    "matmul": matmul,
    "vdot": vdot,
    "outer": outer,
    "ger": outer,
    "inner": inner,
    "tensordot": tensordot,
    "kron": kron,
    "trace": trace,
    "cross": cross,
    "addmm": addmm,
    "addmv": addmv,
    "addr": addr,
    "addbmm": addbmm,
    "baddbmm": baddbmm,
    "chain_matmul": chain_matmul,
}
METHODS: dict[str, Any] = {
    **{n: f for n, f in PUBLIC.items() if n not in ("tensordot", "chain_matmul")},
    "__matmul__": _matmul_operator,
    "__rmatmul__": _matmul_reflected,
}
IN_PLACE: dict[str, Any] = {
    "addmm_": addmm,
    "addmv_": addmv,
    "addr_": addr,
    "addbmm_": addbmm,
    "baddbmm_": baddbmm,
}
