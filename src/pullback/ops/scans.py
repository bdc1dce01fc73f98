"""Running sums, products, extremes and logsumexp; differences and the trapezoid rule.

Read `decay` first: the backward recurrence that the products and logcumsumexp are transposed with, exact
where entries are zero. May import `families`, `graph`, `dtypes`, `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import named_result, one_dim, public, write_outs
from pullback.families.by_hand import by_hand
from pullback.families.facets import Sample
from pullback.families.fibers import conj, flipped, no_zero, put_along, shifted, take_along
from pullback.families.op import absent, apply, strong
from pullback.families.reduction import FiberOp, labelled, run, scan
from pullback.graph.tensor import Tensor
from pullback.ops.join import cat
from pullback.ops.pointwise import exp

CONSTANT = {"why_zero": "the derivative is a constant that is not zero", "why_nonfinite": ""}


def _line(x: Any) -> Any:
    """An array with at least one dimension: a 0-d tensor is scanned along its only place."""
    return np.asarray(x).reshape(-1) if x.ndim == 0 else x


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
    s = np.array(g, dtype=np.result_type(g, a))
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
    facets={
        "batch": _decay_batch,
        "lower": absent("lowered by the compiler, which does not exist yet"),
    },
)


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
    if input.dtype.category != 2:
        raise NotImplementedError(
            message(
                f"\"logcumsumexp_out_cpu\" not implemented for '{input.dtype.word}'",
                "",
                "convert it first: x.float()",
            )
        )
    return run(logcumsumexp_, input, {"dim": one_dim("logcumsumexp", dim, input.ndim, 1)}, out)


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
    if x.dtype.is_complex:
        raise NotImplementedError(
            message(
                f"\"{op.name}_cpu\" not implemented for '{x.dtype.word}'", "complex numbers have no order"
            )
        )
    results = apply(op, (x,), {"dim": one_dim(op.name, dim, x.ndim, 1)})
    return kind(results if out is None else write_outs(op, out, results, (x,)))


# ---------------------------------------------------------------------- differences and integrals


def _cut(x: Any, dim: int, start: int, stop: int | None) -> Any:
    return x[(slice(None),) * dim + (slice(start, stop),)]


@public("diff")
def diff(
    input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None, *, out: Any = None
) -> Any:
    """The n-th differences of neighbours along a dimension; truth values give "are they different".

    RuntimeError for 0-d tensors and negative n.
    """
    if input.ndim == 0:
        raise RuntimeError(message("diff expects input to be at least one-dimensional", "the tensor is 0-d"))
    if n < 0:
        raise RuntimeError(message(f"order must be non-negative but got {n}"))
    d = one_dim("diff", dim, input.ndim)
    parts = [p for p in (prepend, input, append) if p is not None]
    x = cat(parts, dim=d) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[d])):
        after, before = _cut(x, d, 1, None), _cut(x, d, 0, max(x.shape[d] - 1, 0))
        x = after.logical_xor(before) if x.dtype.category == 0 else after - before
    if out is None:
        return x
    return write_outs(cumsum_, (out,), (x,), (input,))[0]


def _check_areas(name: str, y: Tensor, x: Any, dim: int) -> None:
    if y.ndim == 0:
        raise IndexError(
            message(f"Dimension specified as {dim} but tensor has no dimensions", f"{name} of a 0-d tensor")
        )
    if y.dtype.category == 0 or (x is not None and x.dtype.category == 0):
        which = "`y`" if x is None else "`x` or `y`"
        raise RuntimeError(
            message(
                f"{name}: received a bool input for {which}, but bool is not supported", "", "use y.float()"
            )
        )


def _doubled_areas(y: Any, x: Any, dim: int) -> Any:
    """Twice the area of each strip, for spacing 1 or sample points x."""
    left, right = _cut(y, dim, 0, max(y.shape[dim] - 1, 0)), _cut(y, dim, 1, None)
    if x is None:
        return left + right
    along = dim if x.ndim == y.ndim else 0
    if x.shape[along] != y.shape[dim]:
        raise RuntimeError(
            message(
                "trapezoid: There must be one `x` value for each sample point"
                if x.ndim == 1
                else "The sample points `x` must have as many entries as y along the dimension",
                f"x has {x.shape[along]} entries, y has {y.shape[dim]} along dimension {dim}",
            )
        )
    width = diff(x, dim=along)
    if x.ndim == 1 and y.ndim > 1:
        width = width.reshape((-1,) + (1,) * (y.ndim - 1 - dim))
    return (left + right) * width


@public("trapezoid")
def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The trapezoid rule along a dimension, for sample points x or spacing dx.

    >>> import pullback as torch
    >>> torch.trapezoid(torch.tensor([1.0, 3.0]))
    tensor(2.)
    """
    _check_areas("trapezoid", y, x, dim)
    d = one_dim("trapezoid", dim, y.ndim)
    doubled = _doubled_areas(y, x, d).sum(d)
    if x is None:
        return labelled(doubled * (dx / 2.0), "MulBackward1")
    return labelled(doubled / 2.0, "DivBackward1")


@public("cumulative_trapezoid")
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The running integral by the trapezoid rule; one entry less than y along the dimension."""
    _check_areas("cumulative_trapezoid", y, x, dim)
    d = one_dim("cumulative_trapezoid", dim, y.ndim)
    doubled = _doubled_areas(y, x, d)
    return cumsum(doubled * (dx / 2.0) if x is None else doubled / 2.0, d)


PUBLIC: dict[str, Any] = {
    "cumsum": cumsum,
    "cumprod": cumprod,
    "logcumsumexp": logcumsumexp,
    "cummax": cummax,
    "cummin": cummin,
    "diff": diff,
    "trapezoid": trapezoid,
    "trapz": trapezoid,
    "cumulative_trapezoid": cumulative_trapezoid,
}
METHODS: dict[str, Any] = {
    k: PUBLIC[k] for k in ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin", "diff")
}
IN_PLACE: dict[str, Any] = {"cumsum_": cumsum, "cumprod_": cumprod}
