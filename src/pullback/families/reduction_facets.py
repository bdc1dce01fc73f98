"""What the reduction family derives: type, jvp, batch, depend, zero and samples of an op on fibers.

Read `derive` first, then `geometry`: which flat positions belong to which fiber; everything about dependence
follows from it. Several outputs are numbered one after another, integer outputs left out. May import
`graph`, `families.facets`, `families.fibers`, `families.op`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.families.facets import Dependence, Local, Sample
from pullback.families.fibers import take_along
from pullback.families.op import absent
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap

NO_GRADIENT = "the outputs are integers or truth values: they have no derivative"


def derive(op: Any) -> dict[str, Any]:
    """The facets of a fiber op that its entry need not give."""
    facets: dict[str, Any] = {
        "type": lambda x, **params: type_of(op, x, params),
        "batch": lambda size, in_dims, args, params: batch(op, size, in_dims, args, params),
        "samples": lambda: standard_samples(op),
    }
    if not op.differentiable:
        return {**facets, **dict.fromkeys(("jvp", "depend", "zero"), absent(NO_GRADIENT))}
    return {
        **facets,
        "jvp": jvp_of(op),
        "depend": lambda avals, params, values=None: depend(op, avals[0], params),  # noqa: ARG005
        "zero": lambda i, out, args, params: local(op, i, out, args, params),
    }


def fiber_axes(params: dict[str, Any], ndim: int) -> tuple[int, ...]:
    """The dimensions along which the op works, counted from the front."""
    dim = params["dim"]
    if dim is None:
        return tuple(range(ndim))
    dims: Any = dim if isinstance(dim, tuple) else (dim,)
    return tuple(sorted(d % ndim for d in dims)) if ndim else ()


# ---------------------------------------------------------------------- type


def type_of(op: Any, x: Any, params: dict[str, Any]) -> Any:
    """The output's shape and dtype: the op on one fiber of ones, its other dimensions put back."""
    dims = fiber_axes(params, x.ndim)
    one = np.ones(tuple(n if i in dims else 1 for i, n in enumerate(x.shape)), x.dtype)
    with np.errstate(all="ignore"):
        out = op.eval(one, **params)

    def whole(r: Any) -> Aval:
        if r.ndim == x.ndim:
            return Aval(tuple(r.shape[i] if i in dims else n for i, n in enumerate(x.shape)), r.dtype)
        return Aval(tuple(n for i, n in enumerate(x.shape) if i not in dims), r.dtype)

    return tuple(map(whole, out)) if isinstance(out, tuple) else whole(out)


# ---------------------------------------------------------------------- jvp


def jvp_of(op: Any) -> Any:
    """The tangent: the op itself if linear, the picked tangents, or a sum of gradient times tangent."""
    if op.linear:
        return lambda tangents, _out, _x, **params: op(tangents[0], **params)
    if op.layout == "select":
        return lambda tangents, out, _x, **params: (picked(tangents[0], out[1], params), None)
    if op.layout == "reduce":

        def jvp(tangents: Any, out: Any, x: Any, **params: Any) -> Any:
            ones = (
                wrap(np.ones(tuple(out.shape), out.dtype.numpy))
                if isinstance(out, Tensor)
                else _ones(op, x, params)
            )
            field = op.vjp[0](ones, out, x, **params)
            t = tangents[0]
            if field is None:
                return None
            product = (field.conj() if field.is_complex() else field) * t
            dims = fiber_axes(params, t.ndim)
            total = product.sum(dims, keepdim=params.get("keepdim", False)) if dims else product
            real = ones.dtype.is_floating_point and total.is_complex()
            return total.real if real else total

        return jvp
    return absent("the entry has to give it")


def _ones(op: Any, x: Any, params: dict[str, Any]) -> Tensor:
    aval = x if isinstance(x, Aval) else Aval(tuple(x.shape), x.dtype.numpy)
    made = type_of(op, aval, params)
    return wrap(np.ones(made.shape, made.dtype))


def picked(t: Any, index: Any, params: dict[str, Any]) -> Any:
    """The entries of a tangent at the indices that a selection returned."""
    if t.ndim == 0:
        return t
    dim = params["dim"] % t.ndim
    if params.get("keepdim", True):
        return take_along(t, index, dim)
    lifted = tuple(1 if i == dim else n for i, n in enumerate(t.shape))
    return take_along(t, index.reshape(lifted), dim).reshape(tuple(index.shape))


# ---------------------------------------------------------------------- batch


def batch(op: Any, size: int, in_dims: Any, args: Any, params: dict[str, Any]) -> Any:
    """One more axis, in front: the same op with its dimensions counted one further."""
    x, d = args[0], in_dims[0]
    if d:
        x = x.movedim(d, 0)
    ndim = x.ndim - 1
    dim = params["dim"]
    narrow = ndim == 0 and isinstance(dim, int)  # PyTorch lets a 0-d tensor be scanned along dimension 0
    if narrow:
        x, dim = x.reshape((size, 1)), 1
    elif isinstance(dim, int):
        dim = dim % ndim + 1
    else:
        dim = tuple(i + 1 for i in fiber_axes(params, ndim))
    out = op(x, **{**params, "dim": dim})
    if isinstance(out, tuple):
        parts: tuple[Any, ...] = out
        return tuple(r.reshape((size,)) if narrow else r for r in parts), (0,) * len(parts)
    return (out.reshape((size,)) if narrow else out), 0


# ---------------------------------------------------------------------- dependence


def geometry(op: Any, x: Any, params: dict[str, Any]) -> tuple[Any, list[tuple[int, Any, tuple[int, ...]]]]:
    """Which flat positions belong to which fiber.

    Returns the input's (fibers, length) and, per floating output, (its index, the (fibers, length) of its
    flat positions counted through the floating outputs, its shape).
    """
    dims = fiber_axes(params, x.ndim)
    inside = _lines(tuple(x.shape), dims)
    made = type_of(op, x, params)
    outs: list[tuple[int, Any, tuple[int, ...]]] = []
    start = 0
    for i, aval in enumerate(made if isinstance(made, tuple) else (made,)):
        if aval.dtype.kind in "fc":
            kept = dims if aval.ndim == x.ndim else ()
            outs.append((i, start + _lines(aval.shape, kept), aval.shape))
            start += aval.size
    return inside, outs


def _lines(shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    size = int(np.prod(shape))
    ids = np.arange(size).reshape(shape)
    length = int(np.prod([shape[d] for d in dims])) if dims else 1
    last = np.moveaxis(ids, dims, tuple(range(len(shape) - len(dims), len(shape))))
    return last.reshape(int(np.prod([n for i, n in enumerate(shape) if i not in dims])), length)


def depend(op: Any, x: Any, params: dict[str, Any]) -> Dependence:
    """Every output with every entry of its fiber (or those up to it), whatever the values: picks change."""
    inside, outs = geometry(op, x, params)
    rows, cols = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for _, positions, _ in outs:
        r, c = _pairs(op, positions, inside)
        rows.append(r)
        cols.append(c)
    second: frozenset[tuple[int, int]] = frozenset() if op.linear or op.picks else frozenset({(0, 0)})
    return Dependence([(np.concatenate(rows), np.concatenate(cols))], second)


def _pairs(op: Any, positions: Any, inside: Any) -> tuple[Any, Any]:
    shape = (inside.shape[0], positions.shape[1], inside.shape[1])
    r = np.broadcast_to(positions[:, :, None], shape)
    c = np.broadcast_to(inside[:, None, :], shape)
    if op.pattern == "below":
        keep: Any = np.broadcast_to(np.arange(shape[1])[:, None] >= np.arange(shape[2]), shape)
        return r[keep], c[keep]
    return r.reshape(-1), c.reshape(-1)


# ---------------------------------------------------------------------- zero


def local(op: Any, _i: int, out: Any, args: Any, params: dict[str, Any]) -> Local:
    """The local derivative on `depend`'s pairs: one vjp per position of an output fiber."""
    x = np.asarray(args[0])
    plain = Aval(x.shape, x.dtype)
    inside, outs = geometry(op, plain, params)
    parts: list[tuple[Any, Any, Any, Any]] = []
    results: Any = out if isinstance(out, tuple) else (out,)
    for k, positions, shape in outs:
        start = positions.min() if positions.size else 0
        made: Any = np.asarray(results[k]).reshape(-1)
        values: Any = np.zeros((inside.shape[0], positions.shape[1], inside.shape[1]), made.dtype)
        for place in range(positions.shape[1]):
            g: Any = np.zeros(int(np.prod(shape)), made.dtype)
            g[positions[:, place] - start] = 1
            g = g.reshape(shape)
            upstream = [None] * len(results) if isinstance(out, tuple) else g
            if isinstance(out, tuple):
                upstream[k] = g
            with np.errstate(all="ignore"):
                c = op.vjp[0](upstream, out, x, **params)
            if c is not None:
                values[:, place] = np.conj(np.asarray(c)).reshape(-1)[inside]
        rows, cols = _pairs(op, positions, inside)
        below = np.arange(values.shape[1])[:, None] >= np.arange(values.shape[2])
        chosen: Any = values[np.broadcast_to(below if op.pattern == "below" else True, values.shape)]
        margin = (
            np.abs(made[rows - start] - x.reshape(-1)[cols]) if op.picks and x.size else np.zeros(rows.size)
        )
        parts.append((rows, cols, chosen, margin))
    joined = [np.concatenate([p[j] for p in parts]) if parts else np.zeros(0) for j in range(4)]
    return Local(
        *joined[:3],
        why_zero=op.notes.get("why_zero", ""),
        why_nonfinite=op.notes.get("why_nonfinite", ""),
        margin=joined[3] if op.picks else None,
    )


# ---------------------------------------------------------------------- samples


def standard_samples(
    op: Any,
    extra: dict[str, Any] | None = None,
    *,
    positive: bool = False,
    empty: bool = True,
    dims: bool = True,
) -> list[Sample]:
    """0-d, vector, matrix, negative, several and kept dimensions, empty fibers; distinct entries.

    extra      the op's other parameters
    positive   entries above 0.5 only
    empty      does the op have a value for an empty fiber?
    dims       may several dimensions be reduced at once?
    """
    rng = np.random.default_rng(7)
    more = extra or {}

    def draw(*shape: int) -> Any:
        x = rng.standard_normal(shape)
        return np.abs(x) + 0.5 if positive else x

    if op.layout != "reduce":
        one = [((), 0), ((5,), 0), ((2, 3), -1), ((3, 2, 2), 1), ((2, 0), 0), ((0, 3), 1)]
        return [Sample((draw(*s),), {"dim": d, **more}) for s, d in one]
    cases: list[tuple[tuple[int, ...], Any, bool]] = [
        ((), None, False),
        ((), (), False),
        ((5,), None, False),
        ((2, 3), None, False),
        ((2, 3), (0,), False),
        ((2, 3), (-1,), True),
        ((0, 3), (1,), False),
    ]
    if dims:
        cases += [((2, 3, 2), (0, 2), False), ((2, 3, 2), (-1, -2), True)]
    if empty:
        cases += [((0, 3), None, False), ((0, 3), (0,), True)]
    return [Sample((draw(*s),), {"dim": d, "keepdim": k, **more}) for s, d, k in cases]
