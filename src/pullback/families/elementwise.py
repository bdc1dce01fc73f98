"""The elementwise family: one NumPy function, one partial derivative per argument; all facets follow.

Read `elementwise` first, then `_pull` and the fast calls. An entry gives

    exp = elementwise("exp", np.exp, d=[lambda out, _x: out])

A partial is a function (out, *args) -> array, or the constant 1 or -1, or None where the derivative is zero everywhere (the
output is discrete in that argument). The vjp is g * partial with a strong zero, summed over broadcast dimensions; the jvp is the sum
of partial * tangent. May import `graph`, `dtypes` and `families.op`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.op import (
    Op,
    Rule,
    apply,
    cast,
    finish,
    reads,
    strong,
    unbroadcast,
)
from pullback.families.parallel import BIG, split
from pullback.graph.modes import CAREFUL, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Node
from pullback.graph.tensor import Tensor, wrap

F32, F64 = np.dtype("f4"), np.dtype("f8")
Partial = Rule | int | None
_new = object.__new__
ndarray = np.ndarray


class Elementwise(Op):
    """An op whose entry i depends on the entries i of its (broadcast) arguments only."""

    def __init__(  # noqa: PLR0913 - the entry's fields
        self,
        name: str,
        function: Rule,
        d: Sequence[Partial],
        *,
        result: str = "same",
        backward: Any = None,
        torch_name: str | None = None,
        scalars: bool = True,
        facets: dict[str, Any] | None = None,
        notes: dict[str, Any] | None = None,
    ) -> None:
        """See `elementwise`."""
        self.partials = tuple(d)
        self.arity = len(self.partials)
        self.result = result
        self.torch_name = torch_name or name
        self.scalars = scalars
        self.notes = notes or {}
        rules = [p if callable(p) else None for p in self.partials]
        keeps = [any(r is not None and _reads(r, i + 1) for r in rules) for i in range(self.arity)]
        keeps_out = any(r is not None and _reads(r, 0) for r in rules)
        super().__init__(
            name,
            "elementwise",
            function,
            vjp=[_vjp_rule(p) for p in self.partials],
            backward=backward,
            keeps=keeps,
            keeps_out=keeps_out,
            facets=facets,
        )
        # what each partial reads: which second derivatives can be non-zero follows from it
        self.partial_reads = [reads(r) if r is not None else None for r in rules]
        self.call = (_unary, _binary, _nary)[min(self.arity, 3) - 1](self)
        self.call.__name__ = self.call.__qualname__ = self.torch_name

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """g times each partial, with the strong zero, summed over what broadcasting stretched."""
        if tensors:
            return _pull_tensors(self, node, g)
        return _pull(self, node, g)


def elementwise(name: str, function: Rule, d: Sequence[Partial], **options: Any) -> Elementwise:
    """Declare an elementwise op.

    function   NumPy ufunc or operator on promoted arrays
    d          one partial per argument
    result     "same": the promoted dtype; "float": ints become the default float; "bool": comparisons
    backward   grad_fn's name if it is not the op's name in capitals + Backward0
    scalars    may a Python number stand for the second argument?
    notes      what the zero facet says: kinks, poles, flat, saturates (text per reason)
    facets     facets given instead of derived
    """
    return Elementwise(name, function, d, **options)


def _reads(rule: Rule, i: int) -> bool:
    names = reads(rule)
    return i < len(names) and names[i]


def _vjp_rule(p: Partial) -> Rule | None:
    """The facet as a plain rule (the hot path uses `_pull`)."""
    if p is None:
        return lambda g, _out, *_args, **_params: g * 0
    if isinstance(p, int):
        return lambda g, _out, *_args, **_params: g if p == 1 else -g
    return lambda g, out, *args, **params: strong(g, p(out, *args, **params))


# ---------------------------------------------------------------------- backward


def _cotangent(g: Any, p: Partial, out: Any, values: list[Any], params: dict[str, Any]) -> Any:
    if p is None:
        return g * 0
    if isinstance(p, int):
        return g if p == 1 else -g
    d = p(out, *values, **params) if params else p(out, *values)
    r = g * _conj(d)
    if type(r) is ndarray:
        if r.ndim and r.dtype.kind == "f":
            flat = r.ravel()
            s = np.dot(flat, flat)
            clash = s != s
        else:
            clash = np.isnan(r).any()
        return np.where(g == 0, r.dtype.type(0), r) if clash else r
    if r != r and g == 0:
        return r.dtype.type(0)
    return r


def _conj(d: Any) -> Any:
    """The conjugate of a complex partial: gradients are conjugate Wirtinger derivatives."""
    return np.conj(d) if isinstance(d, ndarray | np.generic) and d.dtype.kind == "c" else d


def _pull(op: Elementwise, node: Node, g: Any) -> list[Any]:
    out, params, meta = node.out, node.params, node.meta
    values = [a.value if isinstance(a, Tensor) else a for a in node.args]
    result: list[Any] = []
    for i, e in enumerate(node.edges):
        if e is None:
            result.append(None)
            continue
        c = _cotangent(g, op.partials[i], out, values, params)
        if meta is not None:
            shape, dtype = meta[i]
            if c.shape != shape:
                c = unbroadcast(c, shape)
            if c.dtype is not dtype:
                c = cast(c, dtype)
        result.append(c)
    return result


def _pull_tensors(op: Elementwise, node: Node, g: Any) -> list[Any]:
    from pullback.families.op import saved_values  # noqa: PLC0415

    args, out = saved_values(node, True)
    result: list[Any] = []
    for i, e in enumerate(node.edges):
        p = op.partials[i]
        if e is None:
            result.append(None)
            continue
        if p is None:
            c = g * 0
        elif isinstance(p, int):
            c = g if p == 1 else -g
        else:
            d = p(out, *args, **node.params)
            if isinstance(d, Tensor) and d.value.dtype.kind == "c":
                d = d.conj()
            c = strong(g, d)
        if node.meta is not None:
            shape, dtype = node.meta[i]
            c = cast(unbroadcast(c, shape), dtype)
        result.append(c)
    return result


# ---------------------------------------------------------------------- forward, hot paths


def _unary(op: Elementwise) -> Callable[..., Any]:
    function = op.eval
    keep = op.keeps_arg(0)
    keeps_out = op.keeps_out
    none = (None,)
    no_params: dict[str, Any] = {}

    def call(input: Any, *, out: Any = None) -> Any:  # noqa: A002 - PyTorch's name
        if type(input) is Tensor and out is None:
            v = input.value
            d = v.dtype
            mode = state.mode
            if (d is F32 or d is F64) and mode != CAREFUL:
                token = quiet(QUIET)
                try:
                    r = split(function, (v,)) if type(v) is ndarray and v.size > BIG else function(v)
                finally:
                    loud(token)
                t = _new(Tensor)
                t.value = r
                e = input.node
                if e is not None and mode:
                    t.node = Node(
                        op,
                        (input,) if keep else none,
                        (input if e is LEAF else e,),
                        r if keeps_out else None,
                        no_params,
                        None,
                    )
                return t
        return general(op, (input,), {}, out)

    return call


def _binary(op: Elementwise) -> Callable[..., Any]:
    function = op.eval
    keeps_out = op.keeps_out
    keep = op.keeps_arg(0) or op.keeps_arg(1)
    keep_with_number = op.partial_reads[0] is not None and op.partial_reads[0][1]
    none = (None, None)
    no_params: dict[str, Any] = {}
    number = float if op.scalars else complex  # a type test that never succeeds where numbers are not allowed

    def call(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: A002 - PyTorch's name
        if type(input) is Tensor and out is None:
            v = input.value
            d = v.dtype
            mode = state.mode
            if (d is F32 or d is F64) and mode != CAREFUL:
                kind = type(other)
                if kind is Tensor:
                    w = other.value
                    if w.dtype is d:
                        token = quiet(QUIET)
                        try:
                            r = split(function, (v, w)) if type(v) is ndarray and v.size > BIG else function(v, w)
                        finally:
                            loud(token)
                        t = _new(Tensor)
                        t.value = r
                        e, f = input.node, other.node
                        if mode and (e is not None or f is not None):
                            t.node = Node(
                                op,
                                (input, other) if keep else none,
                                (input if e is LEAF else e, other if f is LEAF else f),
                                r if keeps_out else None,
                                no_params,
                                None if v.shape == w.shape else ((v.shape, d), (w.shape, d)),
                            )
                        return t
                elif kind is number or kind is int:
                    other = float(other)
                    token = quiet(QUIET)
                    try:
                        r = function(v, other)
                    finally:
                        loud(token)
                    t = _new(Tensor)
                    t.value = r
                    e = input.node
                    if mode and e is not None:
                        t.node = Node(
                            op,
                            (input if keep_with_number else None, other),
                            (input if e is LEAF else e, None),
                            r if keeps_out else None,
                            no_params,
                            None,
                        )
                    return t
        return general(op, (input, other), {}, out)

    return call


def _nary(op: Elementwise) -> Callable[..., Any]:
    def call(*args: Any, out: Any = None) -> Any:
        return general(op, args, {}, out)

    return call


# ---------------------------------------------------------------------- forward, every case


def general(op: Elementwise, args: tuple[Any, ...], params: dict[str, Any], out: Any = None) -> Any:
    """Check, promote, run and record: the path for mixed dtypes, numbers first, subclasses, modes and `out=`."""
    for i, a in enumerate(args):
        if not isinstance(a, Tensor):
            check_number(op, i, a)
    for a in args:
        if isinstance(a, Tensor) and a.foreign is not None:
            return a.foreign(op, args, params)
    values, dtype = promoted(op, args)
    token = quiet(QUIET)
    try:
        r = run(op, values, params)
    finally:
        loud(token)
    if op.result == "bool" and r.dtype.kind != "b":
        r = r.astype(bool)
    followed = any(isinstance(a, Tensor) and a.node is not None for a in args)
    t = finish(op, args, params, r, followed)
    node = t.node
    if type(node) is Node:
        node.meta = tuple((a.value.shape, a.value.dtype) if isinstance(a, Tensor) else None for a in args)
        _save_promoted(op, node, args, values, dtype)
    return t if out is None else write_out(op, out, t, args)


def run(op: Elementwise, values: list[Any], params: dict[str, Any]) -> Any:
    """The NumPy function on promoted values; PyTorch's error where shapes do not broadcast."""
    try:
        return op.eval(*values, **params)
    except ValueError as error:
        shapes = [v.shape for v in values if hasattr(v, "shape")]
        raise broadcast_error(op.torch_name, shapes) or error from None


def _save_promoted(op: Elementwise, node: Node, args: tuple[Any, ...], values: list[Any], dtype: Any) -> None:
    # rules compute in the promoted dtype: a saved argument of another dtype enters them through a recorded cast
    if op.saves:
        node.args = tuple(
            a.to(dtype) if isinstance(k, Tensor) and k.value.dtype != v.dtype else (k if isinstance(k, Tensor) else a_or(k, v))
            for a, k, v in zip(args, node.args, values, strict=True)
        )


def a_or(kept: Any, value: Any) -> Any:
    """What stands for an argument in the record: its aval, or the number in the dtype the rules compute in."""
    return kept if not isinstance(value, np.generic | ndarray) or hasattr(kept, "shape") else value


def check_number(op: Elementwise, i: int, a: Any) -> None:
    """TypeError as PyTorch words it where an argument is neither a tensor nor an allowed number."""
    allowed = (i > 0 and op.scalars) or op.name in ("where",)
    if isinstance(a, int | float | complex | np.number | np.bool_) and allowed:
        return
    names = ("input", "other", "value")
    kind = type(a).__name__
    raise TypeError(
        message(
            f"{op.torch_name}(): argument '{names[min(i, 2)]}' (position {i + 1}) must be Tensor, not {kind}",
            "",
            "wrap the value: torch.tensor(value)",
        )
    )


def promoted(op: Elementwise, args: tuple[Any, ...]) -> tuple[list[Any], dtypes.dtype]:
    """The arguments' values in the dtype PyTorch computes in, and that dtype."""
    dims = [(a.dtype, a.value.ndim) for a in args if isinstance(a, Tensor)]
    scalars = [a for a in args if not isinstance(a, Tensor)]
    dtype = dtypes.result_dtype(dims, scalars)
    if op.result == "float" and dtype.category < 2:
        dtype = dtypes.get_default_dtype()
    d = dtype.numpy
    values = [
        (a.value if a.value.dtype == d else a.value.astype(d)) if isinstance(a, Tensor) else d.type(a) for a in args
    ]
    return values, dtype


def broadcast_error(name: str, shapes: Sequence[tuple[int, ...]]) -> RuntimeError | None:
    """PyTorch's error for shapes that do not broadcast, or None where they do."""
    rank = max(map(len, shapes), default=0)
    for dim in range(rank - 1, -1, -1):
        sizes = [s[dim - rank + len(s)] for s in shapes if dim - rank + len(s) >= 0]
        wide = [n for n in sizes if n != 1]
        if len(set(wide)) > 1:
            a, b = wide[0], next(n for n in wide if n != wide[0])
            return RuntimeError(
                message(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {dim}",
                    f"{name} of shapes {' and '.join(str(list(s)) for s in shapes)}",
                    "sizes are compared from the last dimension; each pair must be equal or contain a 1: "
                    "insert a dimension with unsqueeze or indexing by None",
                )
            )
    return None


def write_out(op: Op, out: Tensor, result: Tensor, args: Sequence[Any]) -> Tensor:
    """Copy a result into `out=`; RuntimeError where autograd would have to follow it."""
    if out.node is not None or any(isinstance(a, Tensor) and a.node is not None for a in args) and state.grad:
        raise RuntimeError(
            message(
                f"{op.name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
                "arguments requires grad.",
                "",
                "drop out=, or compute under torch.no_grad()",
            )
        )
    target = out.storage()
    if target.shape != result.value.shape:
        out.value = np.array(result.value, dtype=target.dtype)
    else:
        target[...] = result.value
    out.shared_counter().bump()
    return out


__all__ = ["Elementwise", "apply", "broadcast_error", "elementwise", "general", "wrap", "write_out"]
