"""Matrix products: matmul and its cases (mm, mv, dot, bmm), vdot, outer, inner.

Read `matmul` first. Each node that PyTorch names is one contraction; matmul chooses by the ranks.
Products do not promote: operands of different dtypes are an error. `contract_sums` holds sums with
products (addmm, ...), `contract_more` tensordot, kron, cross and chains. May import `families`, `graph`,
other ops modules.
"""

from __future__ import annotations

from functools import lru_cache
from string import ascii_letters
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.calls import from_array, write_out
from pullback.families.contraction import Contraction, conj, fast_ok, named, product, record
from pullback.families.facets import Sample
from pullback.graph.modes import CAREFUL, LINES, QUIET, loud, quiet, state
from pullback.graph.node import Node
from pullback.graph.record import lined
from pullback.graph.tensor import Parameter, Tensor
from pullback.ops.contract_checks import (
    check_inner,
    check_matmul,
    check_pair,
    need_tensor,
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
    if (
        (type(input) is Tensor or type(input) is Parameter)
        and (type(other) is Tensor or type(other) is Parameter)
        and out is None
    ):
        v, w = input.value, other.value
        d = v.dtype
        if d is w.dtype and (d is F32 or d is F64) and state.mode < CAREFUL:
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
        if state.mode == LINES and d is w.dtype and 0 < v.ndim <= 2 and 0 < w.ndim <= 2:
            return lined(_by_rank(v.ndim, w.ndim), matmul, (input, other), (input, other), {})
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
}
METHODS: dict[str, Any] = {
    **PUBLIC,
    "__matmul__": _matmul_operator,
    "__rmatmul__": _matmul_reflected,
}
IN_PLACE: dict[str, Any] = {}
