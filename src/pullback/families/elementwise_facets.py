"""How the elementwise and selection families derive the facets from an entry's function and partials.

Read `facets` first: one function per facet. May import `graph`, `dtypes`, `families.op`, `families.facets`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.families.facets import Dependence, Local, Sample, broadcast_pairs
from pullback.families.op import cast
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap

# the open intervals that smooth samples are drawn from
DOMAINS: dict[str, tuple[float, float]] = {
    "real": (-2.3, 2.6),
    "positive": (0.15, 3.1),
    "unit": (-0.93, 0.88),
    "above one": (1.07, 4.2),
    "above minus one": (-0.85, 2.4),
    "probability": (0.06, 0.94),
    "quarter turn": (-1.4, 1.3),
}
NO_PAIRS = (np.zeros(0, np.int64), np.zeros(0, np.int64))
DISCRETE = "piecewise constant in this argument: zero wherever the derivative exists; no input changes that"


def facets(op: Any) -> dict[str, Any]:
    """All derived facets of an entry."""
    return {
        "type": lambda *avals, **params: type_of(op, avals, params),
        "jvp": lambda tangents, out, *args, **params: push(op, tangents, out, args, params),
        "batch": lambda size, dims, args, params: batch(op, size, dims, args, params),
        "depend": lambda avals, params, values=None: depend(op, avals, params, values),
        "zero": lambda i, out, args, params: local(op, i, out, args, params),
        "samples": lambda: samples(op),
    }


def compute_dtype(op: Any, avals: Sequence[Any]) -> dtypes.dtype:
    """The dtype that arguments (avals, arrays, tensors or numbers) are promoted to."""
    joined = avals[op.skip :]
    arrays = [(dtypes.from_numpy_dtype(_aval(a).dtype), _aval(a).ndim) for a in joined if hasattr(a, "dtype")]
    dtype = dtypes.result_dtype(arrays, [a for a in joined if not hasattr(a, "dtype")])
    return dtypes.get_default_dtype() if op.result == "float" and dtype.category < 2 else dtype


def _aval(a: Any) -> Any:
    return a.value if isinstance(a, Tensor) else a


def type_of(op: Any, avals: Sequence[Any], _params: dict[str, Any]) -> Aval:
    """Broadcast shapes; the promoted dtype, or what `result` makes of it."""
    shape = np.broadcast_shapes(*(tuple(a.shape) for a in avals if hasattr(a, "dtype")))
    if op.result == "bool":
        return Aval(shape, dtypes.bool_.numpy)
    dtype = compute_dtype(op, avals)
    if op.result == "real":
        dtype = dtype.to_real()
    if op.result == "complex":
        dtype = dtype.to_complex()
    return Aval(shape, dtype.numpy)


def push(op: Any, tangents: Sequence[Any], out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """The sum of partial * tangent over the arguments that have one; zeros where there is none."""
    total: Any = None
    for i, (t, p) in enumerate(zip(tangents, op.partials, strict=False)):
        if t is None or p is None:
            continue
        term = op.push_term(i, t, out, args, params)
        total = term if total is None else total + term
    shape, dtype = tuple(out.shape), out.value.dtype if isinstance(out, Tensor) else out.dtype
    if total is None:
        t = next(t for t in tangents if t is not None)
        return t * 0 if t.foreign is not None else wrap(np.zeros(shape, dtype))
    total = cast(total, dtype)
    return total if tuple(total.shape) == shape else total.expand(shape)


def batch(op: Any, _size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any,
int]:
    """Batch dimensions go first, with as many others as the widest argument has; then the op broadcasts."""
    logical = [
        Aval(tuple(np.delete(a.value.shape, d)) if d is not None else a.value.shape, a.value.dtype)
        if isinstance(a, Tensor)
        else a
        for a, d in zip(args, dims, strict=True)
    ]
    rank = max(a.ndim for a in logical if isinstance(a, Aval))
    same = len({a.dtype for a in logical[op.skip :] if isinstance(a, Aval)}) <= 1
    dtype = compute_dtype(op, logical)
    moved: list[Any] = []
    for i, (a, d) in enumerate(zip(args, dims, strict=True)):
        if not isinstance(a, Tensor):
            moved.append(a)
            continue
        b = a
        if d is not None:
            b = b.movedim(d, 0)
            missing = rank - (b.value.ndim - 1)
            if missing:
                b = b.reshape((b.value.shape[0],) + (1,) * missing + tuple(b.value.shape[1:]))
        if not same and i >= op.skip and b.value.dtype != dtype.numpy:
            b = b.to(dtype)  # a 0-d argument gained a dimension and with it a say in promotion
        moved.append(b)
    return op.run_again(tuple(moved), params), 0


def depend(op: Any, avals: Sequence[Any], params: dict[str, Any], _values: Any) -> Dependence:
    """Entry to entry, through broadcasting; second order where a partial reads an argument or the output."""
    out = type_of(op, avals, params)
    live = [hasattr(a, "dtype") and a.dtype.kind in "fc" for a in avals]
    first = [
        None if not ok else NO_PAIRS if p is None else broadcast_pairs(out.shape, tuple(a.shape))
        for a, p, ok in zip(avals, op.partials, live, strict=True)
    ]
    return Dependence(first, frozenset((i, j) for i, j in second_pairs(op) if live[i] and live[j]))


def second_pairs(op: Any) -> frozenset[tuple[int, int]]:
    """The pairs (i, j) where the partial of argument i changes with argument j."""
    if op.second is not None:
        return op.second
    active = [j for j, p in enumerate(op.partials) if p is not None]
    pairs = {
        (i, j)
        for i, r in enumerate(op.partial_reads)
        if r is not None
        for j in active
        if r[0] or (len(r) > j + 1 and r[j + 1])
    }
    return frozenset(pairs | {(j, i) for i, j in pairs})


def local(op: Any, i: int, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Local:
    """The partial of argument i, entry by entry, with the entry's reasons for zeros and infinities."""
    plain = [_aval(a) for a in args]
    shapes = [tuple(a.shape) for a in plain if hasattr(a, "shape")]
    shape = np.broadcast_shapes(*shapes)
    rows, cols = broadcast_pairs(shape, tuple(plain[i].shape))
    p = op.partials[i]
    margin = None
    with np.errstate(all="ignore"):
        if p is None:
            values: Any = 0.0
        elif isinstance(p, int):
            values = float(p)
        else:
            d = compute_dtype(op, plain).numpy
            values = p(_aval(out), *(_promote(a, d) for a in plain), **params)
            margin = _margin(op, _aval(out), plain, params, shape)
    values = np.broadcast_to(np.asarray(values), shape).reshape(-1)
    why = DISCRETE if p is None else op.why_zero
    return Local(rows, cols, values, why, op.why_nonfinite, margin)


def _promote(a: Any, d: Any) -> Any:
    if isinstance(a, Aval) or (hasattr(a, "dtype") and a.dtype.kind == "b"):
        return a
    return np.asarray(a).astype(d)[()]


def _margin(op: Any, out: Any, plain: Sequence[Any], params: dict[str, Any], shape: tuple[int, ...]) -> Any:
    rule = getattr(op, "margin", None)
    if rule is None or any(isinstance(a, Aval) for a in plain):
        return None
    return np.broadcast_to(np.asarray(rule(out, *plain, **params)), shape).reshape(-1)


# ---------------------------------------------------------------------- samples


def samples(op: Any) -> list[Sample]:
    """0-d, vectors, broadcasting, nothing at all, numbers and every kink, for each parameter set."""
    found: list[Sample] = []
    for params in op.variants:
        for shapes, note in _shapes(op.arity):
            found.append(Sample(tuple(_draw(op, k, s) for k, s in enumerate(shapes)), dict(params),
            note=note))
        if op.scalars and op.arity == 2:
            found.append(Sample((_draw(op, 0, (4,)), _draw(op, 1, (3,))[1].item()), dict(params),
            note="a number"))
        for kink in op.kinks:
            points = kink if isinstance(kink, tuple) else (kink,) * op.arity
            args = tuple(np.array([p], bool if op.domain_of(k) == "bool" else float) for k,
            p in enumerate(points))
            found.append(Sample(args, dict(params), smooth=False, note="kink, jump or pole"))
    return found


def _shapes(arity: int) -> list[tuple[tuple[tuple[int, ...], ...], str]]:
    plain: list[tuple[tuple[tuple[int, ...], ...], str]] = [
        (((),) * arity, "0-d"),
        (((5,),) * arity, "vector"),
        (((0, 3),) * arity, "empty"),
    ]
    if arity == 1:
        return [*plain, (((2, 3),), "matrix")]
    wide: tuple[tuple[int, ...], ...] = ((2, 1), (3,), (2, 3))
    return [*plain, (wide[:arity], "broadcast"), (((), (4,), (4,))[:arity], "0-d with a vector")]


def _draw(op: Any, k: int, shape: tuple[int, ...]) -> Any:
    """Fixed points inside the domain of argument k, different for each argument, none of them special."""
    domain = op.domain_of(k)
    n = int(np.prod(shape))
    # multiples of an irrational number, modulo 1: spread evenly, no ties
    u = np.mod((np.arange(n) + 1) * 0.6180339887498949 + 0.2347 * (k + 1), 1.0)
    if domain == "bool":
        return (u > 0.5).reshape(shape)
    if domain == "integer":
        return (u * 6).astype(np.int64).reshape(shape)
    low, high = DOMAINS[domain] if isinstance(domain, str) else domain
    return (low + (high - low) * u).reshape(shape)
