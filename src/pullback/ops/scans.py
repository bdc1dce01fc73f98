"""Running sums, products, extremes and logsumexp.

Read `decay` first: the backward recurrence that the products and logcumsumexp are transposed with, exact
where entries are zero. May import `families`, `graph`, `dtypes`, `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import (
    named_result,
    one_dim,
    public,
    refuse_complex,
    refuse_complex_grad,
    write_outs,
)
from pullback.families.by_hand import by_hand
from pullback.families.facets import Dependence, Local, Sample
from pullback.families.fibers import conj, flipped, no_zero, put_along, shifted, take_along
from pullback.families.op import apply, strong
from pullback.families.reduction import FiberOp, run, scan
from pullback.graph.tensor import Tensor
from pullback.ops.pointwise import exp

CONSTANT = {"why_zero": "the derivative is a constant that is not zero", "why_nonfinite": ""}


def _line(x: Any) -> Any:
    """An array with at least one dimension: a 0-d tensor is scanned along its only place."""
    return x.reshape(-1) if x.ndim == 0 else x


def _accumulated(ufunc: Any) -> Any:
    def run_ufunc(x: Any, *, dim: int) -> Any:
        dtype = np.int64 if x.dtype.kind in "biu" else None
        return ufunc.accumulate(_line(x), dim, dtype).reshape(x.shape)

    return run_ufunc


# ---------------------------------------------------------------------- sums and products

cumsum_ = scan(
    "cumsum",
    _accumulated(np.add),
    lambda g, _out, _x, *, dim: cumsum_vjp(g, dim),
    linear=True,
    pattern="below",
    notes=CONSTANT,
)


def _decay(g: Any, a: Any, *, dim: int) -> Any:
    """s_i = g_i + a_i * s_(i+1) from the last place to the first, with nothing after the last."""
    g, a = np.moveaxis(_line(g), dim, 0), np.moveaxis(_line(a), dim, 0)
    s = np.array(g, dtype=np.result_type(g, a), like=g)
    for i in range(len(s) - 2, -1, -1):
        s[i] += a[i] * s[i + 1]
    return np.moveaxis(s, 0, dim)


def _rise(t: Any, a: Any, dim: int) -> Any:
    """The transposed recurrence: r_i = t_i + conj(a_(i-1)) * r_(i-1)."""
    return flipped(decay(flipped(t, dim), flipped(shifted(conj(a), dim, 0.0), dim), dim=dim), dim)


def _next(x: Any, dim: int) -> Any:
    """The entry after each one; zero after the last."""
    return flipped(shifted(flipped(x, dim), dim, 0.0), dim)


def _decay_groups(avals: Any, params: dict[str, Any]) -> Any:
    """One group of coupled entries per line along the dimension."""
    shape = avals[0].shape
    lines = [1 if i == params["dim"] % len(shape) else n for i, n in enumerate(shape)]
    ids = np.broadcast_to(np.arange(int(np.prod(lines))).reshape(lines), shape)
    return [ids, ids], ids


def _decay_batch(size: int, dims: Any, args: Any, params: dict[str, Any]) -> Any:
    """One more axis, in front of both arguments."""
    ndim = next(a.ndim - (d is not None) for a, d in zip(args, dims, strict=True))
    moved = [a if d is None else a.movedim(d, 0) for a, d in zip(args, dims, strict=True)]
    whole = [a if d is not None else a.expand((size, *a.shape)) for a, d in zip(moved, dims, strict=True)]
    return decay(*whole, dim=params["dim"] % ndim + 1), 0


def _decay_samples() -> list[Sample]:
    rng = np.random.default_rng(3)
    shapes = (((4,), 0), ((2, 3), -1), ((3, 2), 0), ((1,), 0), ((0, 2), 0))
    return [Sample((rng.standard_normal(n), rng.standard_normal(n)), {"dim": d}) for n, d in shapes]


decay = by_hand(
    "decay",
    _decay,
    vjp=[
        lambda t, _out, _g, a, *, dim: _rise(t, a, dim),
        lambda t, out, _g, a, *, dim: _rise(t, a, dim) * conj(_next(out, dim)),
    ],
    samples=_decay_samples,
    groups=_decay_groups,
    linear=(0,),
    backward="DecayBackward0",
    facets={"batch": _decay_batch},
)


def _reaching(avals: Any, params: dict[str, Any], i: int, rows: Any, cols: Any) -> Any:
    """Which pairs of places are connected: from a place on, without the coefficient of the last."""
    shape = avals[0].shape
    dim = params["dim"] % len(shape)
    out, place = (np.unravel_index(ids, shape)[dim] for ids in (rows, cols))
    return (out <= place) & ((place < shape[dim] - 1) if i == 1 else True)


_dense, _dense_local = decay.depend, decay.zero


def _decay_depend(avals: Any, params: dict[str, Any], values: Any = None) -> Dependence:
    whole = _dense(avals, params, values)
    pairs: list[Any] = []
    for i, (rows, cols) in enumerate(whole.first):
        keep = _reaching(avals, params, i, rows, cols)
        pairs.append((rows[keep], cols[keep]))
    return Dependence(pairs, whole.second)


def _decay_local(i: int, out: Any, args: Any, params: dict[str, Any]) -> Local:
    found = _dense_local(i, out, args, params)
    keep = _reaching(args, params, i, found.rows, found.cols)
    return Local(
        found.rows[keep], found.cols[keep], found.values[keep], "a coefficient on the way is zero", ""
    )


decay.depend, decay.zero = _decay_depend, _decay_local


def _cumprod_vjp(g: Any, out: Any, x: Any, *, dim: int) -> Any:
    if not x.shape:
        return g
    if no_zero(out):
        return cumsum_vjp(g * conj(out), dim) / conj(x)
    before = cumprod_(shifted(x, dim, 1.0), dim=dim)
    return conj(before) * decay(g, conj(_next(x, dim)), dim=dim)


def cumsum_vjp(g: Any, dim: int) -> Any:
    """The sums of g from each place to the end."""
    return flipped(cumsum_(flipped(g, dim), dim=dim), dim)


def _cumprod_jvp(tangents: Any, _out: Any, x: Any, *, dim: int) -> Any:
    # u_k = x_k * u_(k-1) + t_k * out_(k-1): the recurrence of the transposed rule, forwards
    before = cumprod_(shifted(x, dim, 1.0), dim=dim) if x.ndim else 1.0
    if not x.ndim:
        return tangents[0]
    coefficient = flipped(x, dim)
    return flipped(decay(flipped(tangents[0] * before, dim), coefficient, dim=dim), dim)


cumprod_ = scan(
    "cumprod",
    _accumulated(np.multiply),
    _cumprod_vjp,
    pattern="below",
    notes={
        "why_zero": "another factor of the running product is zero",
        "why_nonfinite": "the product of the other factors overflows",
    },
    facets={"jvp": _cumprod_jvp},
)


def _logcumsumexp(x: Any, *, dim: int) -> Any:
    return np.logaddexp.accumulate(_line(x), dim).reshape(x.shape)


def _logcumsumexp_vjp(g: Any, out: Any, x: Any, *, dim: int) -> Any:
    if not x.shape:
        return g
    # shares never exceed 1: out grows along the dimension
    return strong(decay(g, exp(_step(out, dim)), dim=dim), exp(x - out))


def _step(out: Any, dim: int) -> Any:
    """out_i - out_(i+1) <= 0; nothing is carried from after the last place."""
    return out - _next(out, dim)


def _logcumsumexp_jvp(tangents: Any, out: Any, x: Any, *, dim: int) -> Any:
    if not x.ndim:
        return tangents[0]
    # u_k = exp(out_(k-1) - out_k) u_(k-1) + exp(x_k - out_k) t_k
    carried = flipped(exp(shifted(out, dim, 0.0) - out), dim)
    return flipped(decay(flipped(exp(x - out) * tangents[0], dim), carried, dim=dim), dim)


logcumsumexp_ = scan(
    "logcumsumexp",
    _logcumsumexp,
    _logcumsumexp_vjp,
    pattern="below",
    notes={
        "why_zero": "the entry is so far below the running logsumexp that its share underflows",
        "why_nonfinite": "every entry so far is -inf, or one is +inf",
    },
    facets={"jvp": _logcumsumexp_jvp},
)


def _cumulative(name: str, op: FiberOp) -> Any:
    @public(name)
    def call(input: Any, dim: Any, *, dtype: Any = None, out: Any = None) -> Any:
        d = one_dim(name, dim, input.ndim, 1)
        return run(op, input if dtype is None else input.to(dtype), {"dim": d}, out)

    return call


def _typed(function: Any) -> Any:
    # integer dtypes asked for by name: the running sum itself is in int64
    def call(*args: Any, **kwargs: Any) -> Any:
        dtype = kwargs.get("dtype")
        r = function(*args, **kwargs)
        return r.to(dtype) if dtype is not None and dtype.category < 2 else r

    call.__name__ = call.__qualname__ = function.__name__
    return call


cumsum = _typed(_cumulative("cumsum", cumsum_))
cumsum.__doc__ = "The running sum along a dimension; integers give int64."
cumprod = _typed(_cumulative("cumprod", cumprod_))
cumprod.__doc__ = "The running product along a dimension; its gradient is exact where entries are zero."


@public("logcumsumexp")
def logcumsumexp(input: Any, dim: Any, *, out: Any = None) -> Any:
    """The running log(sum(exp(x))) along a dimension, without overflow."""
    d = one_dim("logcumsumexp", dim, input.ndim, 1)
    if input.dtype.category != 2:
        raise NotImplementedError(
            message(
                f"\"logcumsumexp_out_cpu\" not implemented for '{input.dtype.word}'",
                "",
                "convert it first: x.float()",
            )
        )
    return run(logcumsumexp_, input, {"dim": d}, out)


# ---------------------------------------------------------------------- running extremes


def _running(better: Any, best: Any) -> Any:
    """Values and indices of the running extreme: the last of equal entries; NaN from its first place on."""

    def eval_(x: Any, *, dim: int) -> Any:
        line = np.moveaxis(_line(x), dim, 0)
        values = best.accumulate(line, 0)
        # an entry takes over where it is at least as good as everything before it
        takes = better(line, values) | (line != line)
        places = np.arange(len(line)).reshape((-1,) + (1,) * (line.ndim - 1))
        index = np.maximum.accumulate(np.where(takes, places, 0), 0)
        return np.moveaxis(values, 0, dim).reshape(x.shape), np.moveaxis(index, 0, dim).reshape(x.shape)

    return eval_


def _extreme_jvp(tangents: Any, out: Any, _x: Any, *, dim: int) -> Any:
    return take_along(tangents[0], out[1], dim) if tangents[0].ndim else tangents[0], None


def _running_op(name: str, better: Any, best: Any) -> FiberOp:
    return FiberOp(
        name,
        _running(better, best),
        lambda g, out, _x, *, dim: put_along(g[0], out[1], dim, tuple(_x.shape)),
        layout="scan",
        outputs=2,
        pattern="below",
        picks=True,
        notes={
            "why_zero": "an entry further on or before is the running extreme; this one has to pass it",
            "why_nonfinite": "",
        },
        facets={"jvp": _extreme_jvp},
    )


cummax_ = _running_op("cummax", np.greater_equal, np.maximum)
cummin_ = _running_op("cummin", np.less_equal, np.minimum)
_cummax_result = named_result("cummax", "values", "indices")
_cummin_result = named_result("cummin", "values", "indices")


@public("cummax")
def cummax(input: Any, dim: Any, *, out: Any = None) -> Any:
    """The running maximum and where it is (the last of several); the gradient goes there.

    >>> import pullback as torch
    >>> torch.tensor([2.0, 1.0, 2.0]).cummax(0).indices
    tensor([0, 0, 2])
    """
    return _extremes(cummax_, _cummax_result, input, dim, out)


@public("cummin")
def cummin(input: Any, dim: Any, *, out: Any = None) -> Any:
    """The running minimum and where it is (the last of several); the gradient goes there."""
    return _extremes(cummin_, _cummin_result, input, dim, out)


def _extremes(op: FiberOp, kind: Any, x: Tensor, dim: Any, out: Any) -> Any:
    d = one_dim(op.name, dim, x.ndim, 1)
    if x.ndim:
        refuse_complex(op.name, x, f"{op.name}_cpu")
    refuse_complex_grad(op.name, x)
    results = apply(op, (x,), {"dim": d})
    return kind(results if out is None else write_outs(op, out, results, (x,)))


PUBLIC: dict[str, Any] = {
    "cumsum": cumsum,
    "cumprod": cumprod,
    "logcumsumexp": logcumsumexp,
    "cummax": cummax,
    "cummin": cummin,
}
METHODS: dict[str, Any] = dict(PUBLIC)
IN_PLACE: dict[str, Any] = {"cumsum_": cumsum, "cumprod_": cumprod}
