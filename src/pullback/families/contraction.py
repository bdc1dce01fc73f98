"""The contraction family: one einsum specification; everything follows by swapping operands.

Read `Contraction` first, then `product`, the op that all rules are written with, and `evaluate`, which runs
any specification through BLAS. For out = einsum("A,B->C", x, y) the cotangent of x is einsum("C,B->A", g,
conj(y)), likewise for y; labels of A that neither C nor B has are stretched to their size, so that
specifications are closed under differentiation. A label occurs once per operand. May import `graph`,
`families.op`, `families.facets`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from string import ascii_letters
from typing import Any

import numpy as np

from pullback.families.contraction_facets import derive, spec_parts
from pullback.families.facets import Sample
from pullback.families.op import Op, finish
from pullback.graph.modes import CAREFUL, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Aval, Node
from pullback.graph.tensor import Parameter, Tensor, edge_of

F16, F32, F64 = np.dtype("f2"), np.dtype("f4"), np.dtype("f8")
Shape = tuple[int, ...]
Fast = tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]
_new = object.__new__


class Contraction(Op):
    """A sum of products of two operands over the labels that the output lacks."""

    multilinear = True

    def __init__(
        self,
        name: str,
        spec: str | Callable[[Shape, Shape], str] | None,
        eval: Callable[..., Any] | None = None,
        *,
        fast: Fast | None = None,
        backward: Any = None,
        samples: Callable[[], list[Any]] | None = None,
    ) -> None:
        """Declare a contraction.

        spec      "ij,jk->ik", a function of the operands' shapes, or None: a parameter `spec` says it
        eval      a faster evaluation than through the specification
        fast      the two cotangents on plain real arrays, (g, y) -> of x and (g, x) -> of y, where they can
                  be faster
        """
        self.spec = spec
        self.fast = fast

        def left(g: Any, _out: Any, _x: Any, y: Any, **params: Any) -> Any:
            shapes = (tuple(_x.shape), tuple(y.shape))
            return _swap(g, conj(y), self.spec_for(*shapes, params), 0, shapes[0])

        def right(g: Any, _out: Any, x: Any, _y: Any, **params: Any) -> Any:
            shapes = (tuple(x.shape), tuple(_y.shape))
            return _swap(g, conj(x), self.spec_for(*shapes, params), 1, shapes[1])

        super().__init__(
            name,
            "contraction",
            eval or self._through_spec,
            vjp=[left, right],
            backward=backward,
            facets={**derive(self, samples), "batch": self._batch, "lower": self._lower},
        )

    def spec_for(self, x: Shape, y: Shape, params: dict[str, Any]) -> str:
        """The specification for operands of these shapes."""
        spec = self.spec
        return params["spec"] if spec is None else spec if isinstance(spec, str) else spec(x, y)

    def _through_spec(self, x: Any, y: Any, **params: Any) -> Any:
        return evaluate(x, y, spec=self.spec_for(x.shape, y.shape, params))

    def _lower(self, x: Any, y: Any, **params: Any) -> Any:
        a, b, out = labels(self.spec_for(x.shape, y.shape, params))
        r = np.einsum(f"{a},{b}->{''.join(c for c in out if c in a + b)}", x, y)
        missing = {c: n for c, n in (params.get("sizes") or {}).items() if c in out and c not in a + b}
        if not missing:
            return r
        sizes = {**dict(zip(a + b, (*x.shape, *y.shape), strict=True)), **missing}
        r = r[tuple(None if c in missing else slice(None) for c in out)]
        return np.broadcast_to(r, [sizes[c] for c in out])

    def __call__(self, x: Any, y: Any, **params: Any) -> Any:
        """Run on tensors (recorded) or on plain arrays."""
        if isinstance(x, Tensor) or isinstance(y, Tensor):
            return self.run(x, y, params)
        return self.eval(x, y, **params)

    def run(self, x: Any, y: Any, params: dict[str, Any]) -> Any:
        """Run and record.

        An operand is kept only where the other one is followed, since only its rule reads it.
        """
        for a in (x, y):
            if isinstance(a, Tensor) and a.foreign is not None:
                return a.foreign(self, (x, y), params)
        if state.mode >= CAREFUL and state.tracer is not None:
            return state.tracer.take(self, (x, y), params)
        v, w = (a.value if isinstance(a, Tensor) else a for a in (x, y))
        token = quiet(QUIET)
        try:
            r = self.eval(v, w, **params)
        finally:
            loud(token)
        e, f = (edge_of(a) if isinstance(a, Tensor) else None for a in (x, y))
        t = finish(self, (x, y), params, r, e is not None or f is not None)
        node = t.node
        if type(node) is Node and (e is None or f is None) and node.packed is None and node.origins is None:
            node.args = (
                x if f is not None else Aval(v.shape, v.dtype),
                y if e is not None else Aval(w.shape, w.dtype),
            )
        return t

    def _batch(self, _size: int, dims: Any, args: Any, params: dict[str, Any]) -> tuple[Any, int]:
        """One more label, first in the output."""
        inner = [
            Aval(tuple(n for k, n in enumerate(a.shape) if k != d), None)
            for a, d in zip(args, dims, strict=True)
        ]
        operands, out = spec_parts(self, inner, params)
        used = set("".join(operands) + out)
        extra = next(c for c in ascii_letters if c not in used)
        a, b = (p if d is None else p[:d] + extra + p[d:] for p, d in zip(operands, dims, strict=True))
        return product(*args, spec=f"{a},{b}->{extra}{out}", sizes=params.get("sizes")), 0

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """The cotangents by swapping operands; by the entry's own formula on plain real arrays."""
        fast = self.fast
        d = g.dtype
        if tensors or fast is None or (d is not F32 and d is not F64 and d.kind == "c"):
            return super().pull(node, g, tensors)
        (e, f), (x, y) = node.edges, node.args
        return (
            None if e is None else fast[0](g, y.value if isinstance(y, Tensor) else y),
            None if f is None else fast[1](g, x.value if isinstance(x, Tensor) else x),
        )


def conj(x: Any) -> Any:
    """The conjugate of a complex array or tensor; real ones as they are."""
    d = x.value.dtype if isinstance(x, Tensor) else x.dtype
    return x.conj() if d.kind == "c" else x


def labels(spec: str) -> tuple[str, str, str]:
    """The labels of x, of y and of the output."""
    operands, out = spec.split("->")
    a, b = operands.split(",")
    return a, b, out


def _swap(g: Any, other: Any, spec: str, i: int, shape: Shape) -> Any:
    """The cotangent of operand i, of the given shape: contract g with the other operand."""
    a, b, out = labels(spec)
    mine, theirs = (a, b) if i == 0 else (b, a)
    stretched = {c: n for c, n in zip(mine, shape, strict=True) if c not in out and c not in theirs}
    if i == 0:
        return product(g, other, spec=f"{out},{theirs}->{mine}", sizes=stretched)
    return product(other, g, spec=f"{theirs},{out}->{mine}", sizes=stretched)


# ---------------------------------------------------------------------- any specification, through BLAS


class Plan:
    """How a specification runs.

    Sum what only one operand has, then put the rest in the order of a (batched) matrix product.
    """

    def __init__(self, spec: str) -> None:
        """Sort the labels into batch, left, contracted and right ones."""
        a, b, out = labels(spec)
        batch = [c for c in out if c in a and c in b]
        left = [c for c in out if c in a and c not in b]
        right = [c for c in out if c in b and c not in a]
        inner = [c for c in a if c in b and c not in out]
        self.sum_x = tuple(i for i, c in enumerate(a) if c not in b and c not in out)
        self.sum_y = tuple(i for i, c in enumerate(b) if c not in a and c not in out)
        rest_a = [c for i, c in enumerate(a) if i not in self.sum_x]
        rest_b = [c for i, c in enumerate(b) if i not in self.sum_y]
        self.perm_x = _order(rest_a, batch + left + inner)
        self.perm_y = _order(rest_b, batch + inner + right)
        self.batch, self.left, self.inner, self.right = len(batch), len(left), len(inner), len(right)
        made = batch + left + right
        new = [c for c in out if c not in made]
        self.perm_out = _order(made, [c for c in out if c in made])
        self.new = tuple((out.index(c), c) for c in new)
        self.out = out


def _order(have: Sequence[str], want: Sequence[str]) -> tuple[int, ...] | None:
    order = tuple(have.index(c) for c in want)
    return None if order == tuple(range(len(order))) else order


plan = lru_cache(maxsize=4096)(Plan)


def evaluate(x: Any, y: Any, *, spec: str, sizes: dict[str, int] | None = None) -> Any:
    """einsum(spec, x, y) on arrays; `sizes` gives the size of output labels that no operand has."""
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype == F16:  # half precision accumulates in single, as BLAS libraries do
        return evaluate(x.astype(F32), y.astype(F32), spec=spec, sizes=sizes).astype(F16)
    p = plan(spec)
    if p.sum_x:
        x = _summed(x, p.sum_x)
    if p.sum_y:
        y = _summed(y, p.sum_y)
    if p.perm_x:
        x = x.transpose(p.perm_x)
    if p.perm_y:
        y = y.transpose(p.perm_y)
    nb, xs, ys = p.batch, x.shape, y.shape
    b, left, inner, right = xs[:nb], xs[nb : nb + p.left], xs[nb + p.left :], ys[nb + p.inner :]
    if not p.inner:
        r = x.reshape(b + left + (1,) * p.right) * y.reshape(b + (1,) * p.left + right)
    else:
        m, k, n = _size(left), _size(inner), _size(right)
        if nb:
            r = np.matmul(x.reshape((*b, m, k)), y.reshape((*b, k, n)))
        else:
            r = x.reshape(m, k).dot(y.reshape(k, n))
        r = r.reshape(b + left + right)
    if p.perm_out:
        r = r.transpose(p.perm_out)
    return _stretched(r, p, sizes) if p.new else r


def _summed(x: Any, axes: tuple[int, ...]) -> Any:
    if all(x.shape[i] == 1 for i in axes):  # what broadcasting stretched: nothing to add up, so no copy
        return x.reshape([n for i, n in enumerate(x.shape) if i not in axes])
    return np.add.reduce(x, axis=axes, dtype=x.dtype)


def _stretched(r: Any, p: Plan, sizes: dict[str, int] | None) -> Any:
    shape = list(r.shape)
    for i, _ in p.new:
        shape.insert(i, 1)
    r = r.reshape(shape)
    for i, c in p.new:
        shape[i] = (sizes or {})[c]
    return np.broadcast_to(r, shape).copy()


def _size(shape: Shape) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def _name(node: Node) -> str:
    # PyTorch multiplies where nothing is summed, and else ends with a view of a batched matrix product
    p = plan(node.params["spec"])
    return "ViewBackward0" if p.inner or p.sum_x or p.sum_y else "MulBackward0"


def _product_samples() -> list[Any]:
    shapes = {"i": 2, "j": 3, "k": 4, "b": 2, "c": 1}
    specs = (
        "ij,jk->ik",
        "i,i->",
        "i,j->ij",
        "bij,bjk->bik",
        "ij,ij->ij",
        "ij,k->j",
        "ij,jk->kbi",
        "ji,i->j",
        ",i->i",
        "bci,ij->bj",
    )
    rng = np.random.default_rng(3)
    return [
        Sample(
            tuple(rng.normal(size=[shapes[c] for c in part]) for part in labels(s)[:2]),
            {"spec": s, "sizes": {"b": 2}} if "kb" in s else {"spec": s},
            note=s,
        )
        for s in specs
    ]


# the op that all rules of the family are written with: any specification, chosen by a parameter
product = Contraction("einsum", None, evaluate, backward=_name, samples=_product_samples)


def named(t: Any, label: str) -> Any:
    """Give a composite's result the grad_fn name that PyTorch's single op has."""
    node = getattr(t, "node", None)
    if type(node) is Node:
        node.label = label
    return t


# ---------------------------------------------------------------------- the eager call


def record(op: Contraction, x: Tensor, y: Tensor, r: Any) -> Tensor:
    """The result of a fast call as a tensor, recorded where an operand is followed (mode ON only)."""
    t = _new(Tensor)
    t.value = r
    e, f = x.node, y.node
    if e is not None:
        if f is not None:
            t.node = Node(op, (x, y), (x if e is LEAF else e, y if f is LEAF else f), None, NO_PARAMS, None)
        else:
            v = x.value
            t.node = Node(
                op, (Aval(v.shape, v.dtype), y), (x if e is LEAF else e, None), None, NO_PARAMS, None
            )
    elif f is not None:
        w = y.value
        t.node = Node(op, (x, Aval(w.shape, w.dtype)), (None, y if f is LEAF else f), None, NO_PARAMS, None)
    return t


NO_PARAMS: dict[str, Any] = {}


def fast_ok(x: Any, y: Any) -> bool:
    """Whether the fast call may run: plain tensors of one floating dtype, no mode but recorded lines."""
    if not (type(x) is Tensor or type(x) is Parameter) or not (type(y) is Tensor or type(y) is Parameter):
        return False
    d = x.value.dtype
    return d is y.value.dtype and (d is F32 or d is F64) and state.mode != CAREFUL


__all__ = ["Contraction", "conj", "evaluate", "product", "record"]
