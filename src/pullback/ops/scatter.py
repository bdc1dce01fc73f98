"""Moving entries by index tensors: gather, scatter, index_select, index_add, take, put, masked_select.

Read `gather_op` and `scatter_add_op` first: they are each other's transposes, and most rules here are made
of them. Index tensors are
arguments (they may be batched), never parameters. May import `families`, `graph`, `errors`, `ops.shape`,
`ops.index`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.facets import Dependence
from pullback.families.op import absent, apply, unbroadcast
from pullback.families.sizes import dim_of, need_tensor
from pullback.families.structural import structural
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.index import dynamic_shape, unslice_op
from pullback.ops.memory import written
from pullback.ops.select import choose
from pullback.ops.shape import broadcast_tensors, common_shape, expand, movedim, reshape

# ---------------------------------------------------------------------- places


def along(index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    """The flat places in `shape` that an index names.

    Its own position, with the coordinate `dim` replaced by its entry.
    """
    if not shape:
        return index.reshape(-1)
    ids = np.zeros(index.shape, np.int64)
    step = 1
    for d in range(len(shape) - 1, -1, -1):
        here = index if d == dim else np.arange(index.shape[d]).reshape((-1,) + (1,) * (index.ndim - 1 - d))
        ids = ids + here * step
        step *= shape[d]
    return ids


def _checked(index: Any, n: int, dim: int) -> Any:
    if index.size and (index.min() < 0 or index.max() >= n):
        bad = next(int(i) for i in index.reshape(-1) if not 0 <= i < n)
        raise RuntimeError(
            message(
                f"index {bad} is out of bounds for dimension {dim} with size {n}",
                "",
                f"entries of the index lie in 0 to {n - 1}",
            )
        )
    return index


def _places(index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    index = np.asarray(index)
    return along(_checked(index, shape[dim] if shape else 1, dim), dim, shape)


def _gather(x: Any, index: Any, *, dim: int) -> Any:
    x = np.asarray(x)
    return x.reshape(-1)[_places(index, dim, x.shape)].reshape(np.shape(index))


def _cut(src: Any, shape: tuple[int, ...]) -> Any:
    src = np.asarray(src)
    return src if src.shape == shape else src[tuple(slice(0, n) for n in shape)] if src.ndim else src


def _scatter(x: Any, index: Any, src: Any, *, dim: int) -> Any:
    out = np.array(x, order="C")
    ids = _places(index, dim, out.shape)
    out.reshape(-1)[ids] = _cut(src, np.shape(index)) if np.ndim(src) else src
    return out


def _scatter_add(x: Any, index: Any, src: Any, *, dim: int) -> Any:
    out = np.array(x, order="C")
    ids = _places(index, dim, out.shape)
    np.add.at(
        out.reshape(-1), ids.reshape(-1), np.broadcast_to(_cut(src, np.shape(index)), ids.shape).reshape(-1)
    )
    return out


def _zeros(shape: Any, like: Any) -> Any:
    return np.zeros(tuple(shape), like.value.dtype if isinstance(like, Tensor) else like.dtype)


def _gather_padded(g: Any, index: Any, aval: Any, dim: int) -> Any:
    """The cotangent of a source.

    What was read where it was written, zero where the source was larger than the index.
    """
    if not aval.shape and aval.ndim != len(index.shape):
        return gather_op(g, index, dim=dim).sum()
    c = gather_op(g, index, dim=dim)
    if tuple(c.shape) == tuple(aval.shape):
        return c

    return unslice_op(c, index=tuple(slice(0, n) for n in c.shape), shape=tuple(aval.shape))


# ---------------------------------------------------------------------- batching


def _front(a: Tensor, d: Any, size: int) -> Tensor:
    return expand(a, (size, *a.value.shape)) if d is None else movedim(a, d, 0)


def _lifted(op: Any) -> Any:
    """Lanes in front of every argument, the dimension one further.

    Exact for ops whose index has the data's rank.
    """

    def batch(size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
        ranks = [a.value.ndim - (d is not None) for a, d in zip(args, dims, strict=True)]
        made = [_front(a, d, size) for a, d in zip(args, dims, strict=True)]
        if ranks[0] == 0:  # a 0-d tensor counts as having one dimension
            made = [reshape(a, (size, 1)) if r == 0 else a for a, r in zip(made, ranks, strict=True)]
            out = op(*made, **{**params, "dim": 1})
            return (reshape(out, (size,)) if op is not gather_op or ranks[1] == 0 else out), 0
        return op(*made, **{**params, "dim": params["dim"] + 1}), 0

    return batch


def _pairs_of_added(op: Any) -> Any:
    """The pattern of x + (src added at places): the identity for x, the places for src."""

    def pairs(avals: Any, params: dict[str, Any], values: Any) -> list[Any]:
        shape = tuple(avals[0].shape)
        n, m = int(np.prod(shape)), int(np.prod(tuple(avals[2].shape)))
        numbers = np.arange(n).reshape(shape)
        back = op.places(numbers, values[1], params)
        cols = np.broadcast_to(_cut(np.arange(m).reshape(tuple(avals[2].shape)), back.shape), back.shape)
        return [(np.arange(n), np.arange(n)), None, (back.reshape(-1), cols.reshape(-1))]

    return pairs


# ---------------------------------------------------------------------- entries: gather and scatter

_I2 = np.array([[0, 1, 1], [1, 0, 0]])
gather_op = structural(
    "gather",
    _gather,
    vjp=[lambda g, _out, _x, index, *, dim: scatter_add_op(_zeros(_x.shape, g), index, g, dim=dim), None],
    samples=[((2, 3), _I2, {"dim": 0}), ((2, 3), _I2[:, :2], {"dim": 1}), ((), np.array(0), {"dim": 0})],
)
scatter_op = structural(
    "scatter",
    _scatter,
    vjp=[
        lambda g, _out, _x, index, _src, *, dim: scatter_value_op(g, index, dim=dim, value=0),
        None,
        lambda g, _out, _x, index, _src, *, dim: _gather_padded(g, index, _src, dim),
    ],
    data=(0, 2),
    samples=[((2, 3), _I2[:1], (1, 3), {"dim": 0}), ((2, 3), np.array([[2, 0], [1, 0]]), (2, 3), {"dim": 1})],
)
scatter_value_op = structural(
    "scatter_value",
    lambda x, index, *, dim, value: _scatter(x, index, np.asarray(value).astype(x.dtype), dim=dim),
    vjp=[lambda g, _out, _x, index, *, dim, value: scatter_value_op(g, index, dim=dim, value=0), None],  # noqa: ARG005
    constants={"value": 0},
    backward="ScatterBackward1",
    samples=[((2, 3), _I2, {"dim": 0, "value": 2.5})],
)
scatter_add_op = structural(
    "scatter_add",
    _scatter_add,
    vjp=[
        lambda g, _out, _x, _index, _src, *, dim: g,  # noqa: ARG005
        None,
        lambda g, _out, _x, index, _src, *, dim: _gather_padded(g, index, _src, dim),
    ],
    data=(0, 2),
    samples=[((2, 3), _I2, (2, 3), {"dim": 0}), ((2, 3), _I2[:, :1], (3, 2), {"dim": 1})],
)
scatter_add_op.places = lambda numbers, index, params: _gather(numbers, index, dim=params["dim"])
scatter_add_op.pairs = _pairs_of_added(scatter_add_op)
for _op in (gather_op, scatter_op, scatter_value_op, scatter_add_op):
    _op.batch = _lifted(_op)


# ---------------------------------------------------------------------- entries: whole slices by a vector of
# indices


def _index_select(x: Any, index: Any, *, dim: int) -> Any:
    x, index = np.asarray(x), np.asarray(index).reshape(-1)
    n = x.shape[dim] if x.ndim else 1
    if index.size and (index.min() < 0 or index.max() >= n):
        raise IndexError(
            message("index out of range in self", f"index entries lie in 0 to {n - 1}, got {index.tolist()}")
        )
    return np.take(x, index, dim) if x.ndim else x.reshape(1)[index].reshape(())


def _slab(ndim: int, dim: int, index: Any) -> tuple[Any, ...]:
    return (slice(None),) * dim + (np.asarray(index).reshape(-1),) if ndim else ()


def _index_add(x: Any, index: Any, src: Any, *, dim: int, alpha: Any = 1) -> Any:
    out = np.array(x, order="C")
    _checked(np.asarray(index), out.shape[dim] if out.ndim else 1, dim)
    add = src if alpha == 1 else np.asarray(src) * np.asarray(alpha).astype(out.dtype)
    if not out.ndim:
        return out + np.asarray(add).sum()
    np.add.at(out, _slab(out.ndim, dim, index), add)
    return out


def _index_copy(x: Any, index: Any, src: Any, *, dim: int) -> Any:
    out = np.array(x, order="C")
    index = np.asarray(index)
    n = out.shape[dim] if out.ndim else 1
    if index.size and (index.min() < 0 or index.max() >= n):
        bad = next(int(i) for i in index.reshape(-1) if not 0 <= i < n)
        raise IndexError(
            message(f"index_copy_(): index {bad} is out of bounds for dimension {dim} with size {n}")
        )
    if out.ndim:
        out[_slab(out.ndim, dim, index)] = src
    elif index.size:
        out[...] = np.asarray(src).reshape(-1)[-1]
    return out


def _index_fill(x: Any, index: Any, *, dim: int, value: Any) -> Any:
    out = np.array(x, order="C")
    index = np.asarray(index)
    n = out.shape[dim] if out.ndim else 1
    if index.size and (index.min() < -n or index.max() >= n):
        bad = next(int(i) for i in index.reshape(-1) if not -n <= i < n)
        raise IndexError(message(f"index {bad} is out of bounds for dimension {dim} with size {n}"))
    if index.size:
        out[_slab(out.ndim, dim, index)] = value
    return out


def _index_places(numbers: Any, index: Any, params: dict[str, Any]) -> Any:
    return _index_select(numbers, index, dim=params["dim"])


_I1 = np.array([2, 0, 0])
index_select_op = structural(
    "index_select",
    _index_select,
    vjp=[lambda g, _out, _x, index, *, dim: index_add_op(_zeros(_x.shape, g), index, g, dim=dim), None],
    samples=[((3, 2), _I1, {"dim": 0}), ((2, 3), _I1, {"dim": 1})],
)
index_add_op = structural(
    "index_add",
    _index_add,
    vjp=[
        lambda g, _out, _x, _index, _src, *, dim, alpha=1: g,  # noqa: ARG005
        None,
        lambda g, _out, _x, index, _src, *, dim, alpha=1: _times(index_select_op(g, index, dim=dim), alpha),
    ],
    data=(0, 2),
    samples=[((3, 2), _I1, (3, 2), {"dim": 0}), ((2, 3), _I1, (2, 3), {"dim": 1, "alpha": 2.0})],
)
index_add_op.places = _index_places
index_add_op.pairs = _pairs_of_added(index_add_op)
index_copy_op = structural(
    "index_copy",
    _index_copy,
    vjp=[
        lambda g, _out, _x, index, _src, *, dim: index_fill_op(g, index, dim=dim, value=0),
        None,
        lambda g, _out, _x, index, _src, *, dim: index_select_op(g, index, dim=dim),
    ],
    data=(0, 2),
    samples=[((3, 2), _I1[:2], (2, 2), {"dim": 0})],
)
index_fill_op = structural(
    "index_fill",
    _index_fill,
    vjp=[lambda g, _out, _x, index, *, dim, value: index_fill_op(g, index, dim=dim, value=0), None],  # noqa: ARG005
    constants={"value": 0},
    samples=[((3, 2), _I1, {"dim": 0, "value": 1.5})],
)


def _times(c: Any, alpha: Any) -> Any:
    return c if alpha == 1 else c * alpha


# ---------------------------------------------------------------------- entries: flat places and masks


def _take(x: Any, index: Any) -> Any:
    flat, index = np.asarray(x).reshape(-1), np.asarray(index)
    n = flat.size
    if index.size and (index.min() < -n or index.max() >= n):
        bad = next(int(i) for i in index.reshape(-1) if not -n <= i < n)
        raise IndexError(message(f"out of range: tried to access index {bad} on a tensor of {n} elements."))
    return flat[index]


def _put(x: Any, index: Any, src: Any, *, accumulate: bool = False) -> Any:
    out = np.array(x, order="C")
    _take(out, index)
    flat, values = out.reshape(-1), np.asarray(src).reshape(-1)
    if accumulate:
        np.add.at(flat, np.asarray(index).reshape(-1), values)
    else:
        flat[np.asarray(index).reshape(-1)] = values
    return out


def _put_back_x(g: Any, _out: Any, _x: Any, index: Any, _src: Any, *, accumulate: bool = False) -> Any:
    return g if accumulate else put_op(g, index, _zeros(index.shape, g))


take_op = structural(
    "take",
    _take,
    vjp=[lambda g, _out, _x, index: put_op(_zeros(_x.shape, g), index, g, accumulate=True), None],
    samples=[((2, 3), np.array([[0, 5], [-1, 2]]), {})],
)
put_op = structural(
    "put",
    _put,
    vjp=[
        _put_back_x,
        None,
        lambda g, _out, _x, index, _src, *, accumulate=False: _in_shape(take_op(g, index), tuple(_src.shape)),  # noqa: ARG005
    ],
    data=(0, 2),
    samples=[((2, 3), np.array([0, 4]), (2,), {}), ((2, 3), np.array([0, 4, 4]), (3,), {"accumulate": True})],
)
put_op.places = lambda numbers, index, _params: _take(numbers, index).reshape(-1)


def _put_pairs(avals: Any, params: dict[str, Any], values: Any) -> list[Any]:
    if params.get("accumulate"):
        flat = [avals[0], avals[1], wrap(np.empty(int(np.prod(tuple(avals[2].shape)))))]
        return _pairs_of_added(put_op)([flat[0], flat[1], flat[2].value], params, values)
    return put_op._copied_pairs(avals, params, values)


put_op.pairs = _put_pairs


def _in_shape(c: Any, shape: tuple[int, ...]) -> Any:
    return c if tuple(c.shape) == shape else reshape(c, shape) if isinstance(c, Tensor) else c.reshape(shape)


def _masked_scatter(x: Any, mask: Any, src: Any) -> Any:
    out = np.array(np.broadcast_to(x, np.broadcast_shapes(np.shape(x), np.shape(mask))))
    mask = np.broadcast_to(mask, out.shape)
    out[mask] = np.asarray(src).reshape(-1)[: int(mask.sum())]
    return out


def _spread_mask(g: Any, mask: Any, *, shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, g.dtype)
    out[np.broadcast_to(mask, shape)] = g
    return out


def _first_of(c: Any, shape: tuple[int, ...]) -> Any:
    """A cotangent of the first entries of a source, padded with zeros to its shape."""
    n = int(np.prod(shape))

    return _in_shape(unslice_op(c, index=(slice(0, int(c.shape[0])),), shape=(n,)), shape)


_M = np.array([[True, False, True], [False, False, True]])
masked_select_op = structural(
    "masked_select",
    lambda x, mask: np.broadcast_to(x, np.broadcast_shapes(np.shape(x), np.shape(mask)))[
        np.broadcast_to(mask, np.broadcast_shapes(np.shape(x), np.shape(mask)))
    ],
    vjp=[
        lambda g, _out, _x, mask: unbroadcast(
            spread_mask_op(g, mask, shape=np.broadcast_shapes(tuple(_x.shape), tuple(mask.shape))),
            tuple(_x.shape),
        ),
        None,
    ],
    samples=[((2, 3), _M, {}), ((3,), _M, {})],
    facets={
        "type": absent("how many entries come out depends on the values of the mask"),
        "batch": lambda size, dims, args, params: _refuse_batch("masked_select"),  # noqa: ARG005
    },
)
spread_mask_op = structural(
    "spread_mask",
    _spread_mask,
    vjp=[lambda g, _out, _x, mask, *, shape: masked_select_op(g, mask), None],  # noqa: ARG005
    backward="MaskedScatterBackward0",
    facets={"type": lambda g, _mask, *, shape: Aval(tuple(shape), g.dtype)},
    samples=[((3,), _M, {"shape": (2, 3)})],
)
masked_scatter_op = structural(
    "masked_scatter",
    _masked_scatter,
    vjp=[
        lambda g, _out, _x, mask, _src: unbroadcast(
            g.masked_fill(mask, 0) if isinstance(g, Tensor) else np.where(mask, g.dtype.type(0), g),
            tuple(_x.shape),
        ),
        None,
        lambda g, _out, _x, mask, _src: _first_of(masked_select_op(g, mask), tuple(_src.shape)),
    ],
    data=(0, 2),
    samples=[((2, 3), _M, (4,), {})],
)


def _refuse_batch(what: str) -> Any:
    raise dynamic_shape(what)


# ---------------------------------------------------------------------- scatter_reduce

_REDUCERS = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}
_NEUTRAL = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "amax": -np.inf, "amin": np.inf}


def _scatter_reduce(x: Any, index: Any, src: Any, *, dim: int, reduce: str, include_self: bool = True) -> Any:
    out = np.array(x, order="C")
    ids = _places(index, dim, out.shape).reshape(-1)
    flat, values = out.reshape(-1), _cut(src, np.shape(index)).reshape(-1)
    if not include_self:
        neutral = _NEUTRAL[reduce]
        flat[ids] = (
            neutral
            if out.dtype.kind in "fc" or np.isfinite(neutral)
            else (np.iinfo(out.dtype).min if neutral < 0 else np.iinfo(out.dtype).max)
        )
    _REDUCERS[reduce].at(flat, ids, values)
    if reduce == "mean":
        count = np.full(flat.shape, int(include_self))
        np.add.at(count, ids, 1)
        count = np.maximum(count, 1)
        flat[...] = flat / count if out.dtype.kind in "fc" else np.floor_divide(flat, count)
    return out


def _reduce_back(
    g: Any, out: Any, x: Any, index: Any, src: Any, *, dim: int, reduce: str, include_self: bool = True
) -> Any:
    """The cotangents of x and src: for extremes the gradient is split evenly over ties, x included."""
    if reduce in ("sum", "mean"):
        share = g
        if reduce == "mean":
            ones = _zeros(src.shape, g) + 1
            share = g / _at_least_one(
                scatter_add_op(_zeros(x.shape, g) + int(include_self), index, ones, dim=dim)
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
    number = gather_op(scatter_add_op(_zeros(x.shape, g), index, zero, dim=dim), index, dim=dim)
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
        ((2, 3), _I2, (2, 3), {"dim": 0, "reduce": "sum"}),
        ((2, 3), _I2, (2, 3), {"dim": 0, "reduce": "mean", "include_self": False}),
        ((2, 3), _I2, (2, 3), {"dim": 0, "reduce": "prod"}),
        ((2, 3), _I2, (2, 3), {"dim": 0, "reduce": "amax"}),
        ((2, 3), _I2, (2, 3), {"dim": 0, "reduce": "amin", "include_self": False}),
    ],
    facets={
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
scatter_reduce_op.batch = _lifted(scatter_reduce_op)


def _reduce_pairs(avals: Any, params: dict[str, Any], values: Any) -> list[Any]:
    first = scatter_add_op.pairs(avals, {"dim": params["dim"]}, values)
    if not params.get("include_self", True):
        rows = np.setdiff1d(np.arange(int(np.prod(tuple(avals[0].shape)))), first[2][0])
        first[0] = (rows, rows)
    return first


# ---------------------------------------------------------------------- public


def _index_dtype(name: str, index: Any) -> None:
    if not isinstance(index, Tensor) or index.value.dtype not in (np.int64, np.int32):
        if not isinstance(index, Tensor):
            raise TypeError(
                message(f"{name}(): argument 'index' (position 2) must be Tensor, not {type(index).__name__}")
            )
        raise RuntimeError(
            message(
                f"{name}(): Expected dtype int32/int64 for index",
                f"got {index.dtype!r}",
                "convert it: index.long()",
            )
        )


def _rank(x: Tensor) -> int:
    return max(x.value.ndim, 1)


def _sizes(x: Tensor) -> tuple[int, ...]:
    return x.value.shape or (1,)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None) -> Tensor:  # noqa: ARG001 - PyTorch's arguments
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on: one entry per entry of the index."""
    need_tensor("gather", input)
    d = dim_of(dim, input.value.ndim, "gather")
    _index_dtype("gather", index)
    if _rank(input) != _rank(index):
        raise RuntimeError(
            message(
                "Index tensor must have the same number of dimensions as input tensor",
                f"index {list(index.value.shape)}, input {list(input.value.shape)}",
            )
        )
    for k, (n, m) in enumerate(zip(_sizes(index), _sizes(input), strict=True)):
        if k != d and n > m:
            raise RuntimeError(
                message(
                    f"Size does not match at dimension {k} expected index {list(index.value.shape)} to be "
                    "no larger than self "
                    f"{list(input.value.shape)} apart from dimension {d}"
                )
            )
    return written(gather_op, out, apply(gather_op, (input, index), {"dim": d}), (input, index))


def _check_scatter(name: str, x: Tensor, d: int, index: Tensor, src: Tensor) -> None:
    _index_dtype(name, index)
    if _rank(x) != _rank(index):
        raise RuntimeError(
            message(
                "Index tensor must have the same number of dimensions as self tensor",
                f"index {list(index.value.shape)}, self {list(x.value.shape)}",
            )
        )
    if _rank(src) != _rank(index):
        raise RuntimeError(
            message(
                "Index tensor must have the same number of dimensions as src tensor",
                f"index {list(index.value.shape)}, src {list(src.value.shape)}",
            )
        )
    small = all(n <= m for k, (n, m) in enumerate(zip(_sizes(index), _sizes(x), strict=True)) if k != d)
    if not small or any(n > m for n, m in zip(_sizes(index), _sizes(src), strict=True)):
        raise RuntimeError(
            message(
                f"Expected index {list(index.value.shape)} to be no larger than self "
                f"{list(x.value.shape)} apart from dimension {d} and "
                f"to be no larger size than src {list(src.value.shape)}"
            )
        )
    if src.value.dtype != x.value.dtype:
        raise RuntimeError(
            message(
                f"{name}(): Expected self.dtype to be equal to src.dtype",
                f"{x.dtype!r} and {src.dtype!r}",
                "convert src: src.to(self.dtype)",
            )
        )


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
    out: Any = None,
) -> Tensor:
    """A copy with src (or one value) written at the places the index names along dim.

    With reduce "add" or "multiply" combined.
    """
    need_tensor("scatter", input)
    d = dim_of(dim, input.value.ndim, "scatter")
    src = value if src is None else src
    if isinstance(src, Tensor):
        _check_scatter("scatter", input, d, index, src)
        if reduce is not None:
            return scatter_reduce(input, d, index, src, {"add": "sum", "multiply": "prod"}[reduce])
        return written(
            scatter_op, out, apply(scatter_op, (input, index, src), {"dim": d}), (input, index, src)
        )
    _check_scatter("scatter", input, d, index, wrap(np.zeros(index.value.shape, input.value.dtype)))
    if reduce is not None:
        full = wrap(np.full(index.value.shape, src, input.value.dtype))
        return scatter_reduce(input, d, index, full, {"add": "sum", "multiply": "prod"}[reduce])
    return written(
        scatter_value_op,
        out,
        apply(scatter_value_op, (input, index), {"dim": d, "value": src}),
        (input, index),
    )


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Any = None) -> Tensor:
    """A copy with src added at the places the index names along dim; duplicates add up."""
    need_tensor("scatter_add", input)
    d = dim_of(dim, input.value.ndim, "scatter_add")
    _check_scatter("scatter_add", input, d, index, src)
    return written(
        scatter_add_op, out, apply(scatter_add_op, (input, index, src), {"dim": d}), (input, index, src)
    )


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
    _check_scatter("scatter_reduce", input, d, index, src)
    params = {"dim": d, "reduce": reduce, "include_self": include_self}
    args = (input, index, src)
    return written(scatter_reduce_op, out, apply(scatter_reduce_op, args, params), args)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along dim that a vector of indices names, in its order (a copy)."""
    need_tensor("index_select", input)
    d = dim_of(dim, input.value.ndim, "index_select")
    _index_dtype("index_select", index)
    if index.value.ndim > 1:
        raise IndexError(
            message(
                "index_select(): Index is supposed to be a vector",
                f"got shape {list(index.value.shape)}",
                "flatten it, or use x[index]",
            )
        )
    return apply(index_select_op, (input, index), {"dim": d})


def _same_others(x: Tensor, src: Tensor, d: int) -> bool:
    a, b = list(x.value.shape), list(src.value.shape)
    return len(a) == len(b) and a[:d] + a[d + 1 :] == b[:d] + b[d + 1 :]


def _count_error(name: str, text: str, index: Tensor, src: Tensor, d: int, kind: type[Exception]) -> None:
    have = src.value.shape[d] if src.value.ndim else 1
    if index.value.size != have:
        raise kind(
            message(
                text.format(n=index.value.size, m=have, d=d),
                f"{name}: index {list(index.value.shape)}, source {list(src.value.shape)}",
            )
        )


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Any = None
) -> Tensor:
    """A copy with alpha * source added to the slices along dim that the index names; duplicates add up."""
    need_tensor("index_add", input)
    d = dim_of(dim, input.value.ndim, "index_add")
    if source.value.dtype != input.value.dtype:
        raise RuntimeError(
            message(
                f"index_add_(): self ({input.dtype.word}) and source ({source.dtype.word}) must have the "
                "same scalar type"
            )
        )
    _index_dtype("index_add", index)
    _count_error(
        "index_add",
        "index_add_(): Number of indices ({n}) should be equal to source.size(dim): ({m}), for dim: {d}",
        index,
        source,
        d,
        RuntimeError,
    )
    if not _same_others(input, source, d):
        raise RuntimeError(
            message(
                "source tensor shape must match self tensor shape, excluding the specified dimension. "
                "Got self.shape = "
                f"{list(input.value.shape)} source.shape = {list(source.value.shape)}"
            )
        )
    params: dict[str, Any] = {"dim": d} if alpha == 1 else {"dim": d, "alpha": alpha}
    return written(
        index_add_op, out, apply(index_add_op, (input, index, source), params), (input, index, source)
    )


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Any = None) -> Tensor:
    """A copy with the slices along dim that the index names replaced by those of source."""
    need_tensor("index_copy", input)
    d = dim_of(dim, input.value.ndim, "index_copy")
    _index_dtype("index_copy", index)
    _count_error(
        "index_copy",
        "index_copy_(): Number of indices ({n}) should be equal to source.size(dim) ({m})",
        index,
        source,
        d,
        IndexError,
    )
    if source.value.dtype != input.value.dtype:
        raise RuntimeError(
            message(
                f"index_copy_(): self and source expected to have the same dtype, but got (self) "
                f"{input.dtype.word} and (source) {source.dtype.word}"
            )
        )
    return written(
        index_copy_op, out, apply(index_copy_op, (input, index, source), {"dim": d}), (input, index, source)
    )


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with the slices along dim that the index names set to a number (or a 0-d tensor)."""
    need_tensor("index_fill", input)
    d = dim_of(dim, input.value.ndim, "index_fill")
    _index_dtype("index_fill", index)
    if isinstance(value, Tensor):
        if value.value.ndim:
            raise RuntimeError(
                message(
                    f"Only supports 0-dimension value tensor but got tensor with {value.value.ndim} "
                    "dimensions."
                )
            )
        if value.node is not None or value.foreign is not None:
            shape = list(input.value.shape)
            shape[d] = index.value.size
            return index_copy(input, d, reshape(index, (-1,)), expand(value.to(input.dtype), shape))
        value = value.value.item()
    return apply(index_fill_op, (input, index), {"dim": d, "value": value})


def take(input: Tensor, index: Tensor) -> Tensor:
    """The entries of the flattened tensor at the places the index names, in the index's shape."""
    need_tensor("take", input)
    if index.value.dtype != np.int64:
        raise RuntimeError(
            message(
                f"take(): Expected a long tensor for index, but got {index.dtype.word}",
                "",
                "convert it: index.long()",
            )
        )
    return apply(take_op, (input, index), {})


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """gather with indices that broadcast against the input; without dim over the flattened input."""
    need_tensor("take_along_dim", input)
    if dim is None:
        return gather(reshape(input, (-1,)), 0, reshape(indices, (-1,)))
    n, m = input.value.ndim, indices.value.ndim
    if n != m:
        raise RuntimeError(
            message(
                f"torch.take_along_dim(): input and indices should have the same number of dimensions, "
                f"but got {n} dimensions for "
                f"input, and {m} dimensions for indices"
            )
        )
    d = dim_of(dim, n, "take_along_dim")
    shape = common_shape(
        "take_along_dim", [(*s[:d], 1, *s[d + 1 :]) for s in (input.value.shape, indices.value.shape)]
    )
    wide = expand(input, (*shape[:d], input.value.shape[d], *shape[d + 1 :]))
    return gather(wide, d, expand(indices, (*shape[:d], indices.value.shape[d], *shape[d + 1 :])))


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with source written (or added) at places of the flattened tensor."""
    need_tensor("put", input)
    if index.value.size != source.value.size:
        raise IndexError(
            message(
                f"put_(): Expected source and index to have the same number of elements, but got "
                f"source.numel() = {source.value.size}, "
                f"index.numel() = {index.value.size}"
            )
        )
    return apply(put_op, (input, index, source), {"accumulate": accumulate})


def masked_select(input: Tensor, mask: Tensor, *, out: Any = None) -> Tensor:
    """The entries where the mask (broadcast) is True, in one dimension."""
    need_tensor("masked_select", input)
    if mask.value.dtype != np.bool_:
        raise RuntimeError(
            message(
                "masked_select: expected BoolTensor for mask", f"got {mask.dtype!r}", "compare first: x > 0"
            )
        )
    common_shape("masked_select", [mask.value.shape, input.value.shape])
    return written(masked_select_op, out, apply(masked_select_op, (input, mask), {}), (input, mask))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy with the entries where the mask is True replaced by the first entries of source, in order."""
    need_tensor("masked_scatter", input)
    if mask.value.dtype != np.bool_:
        raise RuntimeError(
            message(
                f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype.word}",
                "",
                "compare first: x > 0",
            )
        )
    x, m = broadcast_tensors(input, mask)
    if m.foreign is None and int(np.sum(m.value)) > source.value.size:
        raise RuntimeError(
            message(
                "Number of elements of source < number of ones in mask",
                f"{source.value.size} < {int(np.sum(m.value))}",
            )
        )
    if source.value.dtype != input.value.dtype:
        raise RuntimeError(
            message(
                f"masked_scatter: expected self and source to have same dtypes but got {input.dtype.word} "
                f"and {source.dtype.word}"
            )
        )
    return apply(masked_scatter_op, (x, m, source), {})


_out_of_place: dict[str, Any] = {
    "scatter": scatter,
    "scatter_add": scatter_add,
    "scatter_reduce": scatter_reduce,
    "index_add": index_add,
    "index_copy": index_copy,
    "index_fill": index_fill,
    "put": put,
    "masked_scatter": masked_scatter,
}
_only: dict[str, Any] = {
    "gather": gather,
    "index_select": index_select,
    "take": take,
    "take_along_dim": take_along_dim,
    "masked_select": masked_select,
}
PUBLIC: dict[str, Any] = {k: v for k, v in {**_out_of_place, **_only}.items() if k != "put"}
METHODS: dict[str, Any] = {**_out_of_place, **_only}
IN_PLACE: dict[str, Any] = {f"{name}_": function for name, function in _out_of_place.items()}

__all__ = ["IN_PLACE", "METHODS", "PUBLIC", "gather_op", "scatter_add_op"]
