"""scatter_reduce: several entries written to one place are reduced (sum, prod, mean, amax, amin).

Read `_scatter_reduce` first. May import `families`, `graph`, `ops.scatter`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.facets import Dependence
from pullback.families.op import absent, apply
from pullback.families.sizes import dim_of, need_tensor
from pullback.families.structural import structural
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.memory import written
from pullback.ops.scatter_entries import (
    INDEX,
    check_scatter,
    corner,
    gather_op,
    lifted,
    place_arrays,
    places_of,
    reached,
    scatter_add_op,
    scatter_value_op,
    zeros_for,
)
from pullback.ops.select import choose

_REDUCERS = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}
_NO_SUM = ("amax", "amin")
_NEUTRAL = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "amax": -np.inf, "amin": np.inf}


def _scatter_reduce(x: Any, index: Any, src: Any, *, dim: int, reduce: str, include_self: bool = True) -> Any:
    flat = x.reshape(-1).copy()
    ids = places_of(index, dim, x.shape).reshape(-1)
    values = corner(src, np.shape(index)).reshape(-1)
    if not include_self:
        flat[ids] = _neutral(reduce, flat.dtype)
    _REDUCERS[reduce].at(flat, ids, values)
    if reduce == "mean":
        count = np.full(flat.shape, int(include_self))
        np.add.at(count, ids, 1)
        count = np.maximum(count, 1)
        flat[...] = flat / count if flat.dtype.kind in "fc" else np.floor_divide(flat, count)
    return flat.reshape(x.shape)


def _reduce_entries(
    x: Any, index: Any, src: Any, *, dim: int, reduce: str, include_self: bool = True
) -> Any:
    """The loop body: indices may depend on values."""
    out, index = np.atleast_1d(x).copy(), np.atleast_1d(index)
    part, ufunc = reached(out, index, dim), _REDUCERS[reduce]
    places = place_arrays(index, dim)
    if not include_self:
        part[places] = _neutral(reduce, out.dtype)
    ufunc.at(part, places, corner(src, tuple(index.shape)) if src.ndim else src)
    if reduce == "mean":
        count = np.full(tuple(out.shape), int(include_self), like=out)
        np.add.at(reached(count, index, dim), places, 1)
        count = np.maximum(count, 1)
        out = (out / count).astype(x.dtype) if x.dtype.kind in "fc" else np.floor_divide(out, count)
    return out.reshape(x.shape)


def _neutral(reduce: str, dtype: Any) -> Any:
    """What changes nothing."""
    neutral = _NEUTRAL[reduce]
    if dtype.kind in "fc" or np.isfinite(neutral):
        return neutral
    return np.iinfo(dtype).min if neutral < 0 else np.iinfo(dtype).max


def _reduce_back(
    g: Any, out: Any, x: Any, index: Any, src: Any, *, dim: int, reduce: str, include_self: bool = True
) -> Any:
    """The cotangents of x and src: for extremes the gradient is split evenly over ties, x included."""
    if reduce in ("sum", "mean"):
        share = g
        if reduce == "mean":
            ones = zeros_for(src.shape, g) + 1
            share = g / _at_least_one(
                scatter_add_op(zeros_for(x.shape, g) + int(include_self), index, ones, dim=dim)
            )
        gx, gs = share, gather_op(share, index, dim=dim)
    elif reduce == "prod":
        gx, gs = _others(g, out, x, index, src, dim, include_self)
    else:
        same, hit = (x == out) * _one(g), (src == gather_op(out, index, dim=dim)) * _one(g)
        count = scatter_add_op(same if include_self else same * 0, index, hit, dim=dim)
        part = g / _at_least_one(count)
        gx, gs = part * same, gather_op(part, index, dim=dim) * hit
    if not include_self:
        gx = scatter_value_op(gx, index, dim=dim, value=0)
    return gx, gs


def _others(g: Any, out: Any, x: Any, index: Any, src: Any, dim: int, include_self: bool) -> tuple[Any, Any]:
    """The cotangents of a product: g times the product of the other factors, also where a factor is zero.

    A zero is replaced by one where it is the only one among the sources of its place.
    """
    keep = {"dim": dim, "reduce": "prod", "include_self": include_self}
    x1 = x + (x == 0) * _one(g)
    gx = g * scatter_reduce_op(x1, index, src, **keep) / x1
    zero = (src == 0) * _one(g)
    number = gather_op(scatter_add_op(zeros_for(x.shape, g), index, zero, dim=dim), index, dim=dim)
    single = (zero == 1) & (number == 1)
    others = gather_op(g * scatter_reduce_op(x, index, choose(single, 1.0, src), **keep), index, dim=dim)
    return gx, choose(single, others, gather_op(g * out, index, dim=dim) / (src + zero))


def _one(g: Any) -> Any:
    return (
        np.ones((), g.value.dtype if isinstance(g, Tensor) else g.dtype)
        if not isinstance(g, Tensor)
        else wrap(np.ones((), g.value.dtype))
    )


def _at_least_one(count: Any) -> Any:
    return count + (count == 0) * _one(count)


scatter_reduce_op = structural(
    "scatter_reduce",
    _scatter_reduce,
    vjp=[
        lambda g, out, x, index, src, **params: _reduce_back(g, out, x, index, src, **params)[0],
        None,
        lambda g, out, x, index, src, **params: _reduce_back(g, out, x, index, src, **params)[1],
    ],
    data=(0, 2),
    samples=[
        ((2, 3), INDEX, (2, 3), {"dim": 0, "reduce": "sum"}),
        ((2, 3), INDEX, (2, 3), {"dim": 0, "reduce": "mean", "include_self": False}),
        ((2, 3), INDEX, (2, 3), {"dim": 0, "reduce": "prod"}),
        ((2, 3), INDEX, (2, 3), {"dim": 0, "reduce": "amax"}),
        ((2, 3), INDEX, (2, 3), {"dim": 0, "reduce": "amin", "include_self": False}),
    ],
    facets={
        "lower": _reduce_entries,
        "kink": lambda *, reduce, **_: "whether entries tie is not looked at" if reduce in _NO_SUM else "",
        "jvp": absent("no forward rule: PyTorch has none for its reductions either; scatter_add has one"),
        "zero": absent(
            "its local derivative depends on the reduction; the composite of gather and where says more"
        ),
        "depend": lambda avals, params, values: Dependence(
            _reduce_pairs(avals, params, values),
            frozenset({(0, 2), (2, 0), (2, 2)} if params["reduce"] == "prod" else ()),
        ),
    },
)
scatter_reduce_op.keeps_out = True
scatter_reduce_op.batch = lifted(scatter_reduce_op)


def _reduce_pairs(avals: Any, params: dict[str, Any], values: Any) -> list[Any]:
    first = scatter_add_op.pairs(avals, {"dim": params["dim"]}, values)
    if not params.get("include_self", True):
        rows = np.setdiff1d(np.arange(int(np.prod(tuple(avals[0].shape)))), first[2][0])
        first[0] = (rows, rows)
    return first


def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Any = None,
) -> Tensor:
    """A copy with src combined at the places the index names: reduce is sum, prod, mean, amax or amin."""
    need_tensor("scatter_reduce", input)
    d = dim_of(dim, input.value.ndim, "scatter_reduce")
    if reduce not in _REDUCERS:
        raise RuntimeError(
            message(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
        )
    check_scatter("scatter_reduce", input, d, index, src)
    params = {"dim": d, "reduce": reduce, "include_self": include_self}
    args = (input, index, src)
    return written(scatter_reduce_op, out, apply(scatter_reduce_op, args, params), args)


PUBLIC: dict[str, Any] = {"scatter_reduce": scatter_reduce}
METHODS: dict[str, Any] = {**PUBLIC}
IN_PLACE: dict[str, Any] = {"scatter_reduce_": scatter_reduce}
