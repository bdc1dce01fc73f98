"""The ops of indexing: slice (views) and index (copies), their transposes, and index_put.

Read `slice_op` first, then `Indexed`. `_layout` says where the index tensors' dimensions stand in the
result. May import `families`, `graph`, `ops.indices`, `ops.shape` and its neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.families.op import unbroadcast
from pullback.families.structural import Structural, structural
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.axes import movedim
from pullback.ops.broadcasting import expand
from pullback.ops.indices import FULL
from pullback.ops.shape import reshape


def _basic(x: Any, *, index: tuple[Any, ...]) -> Any:
    return x[(*index, ...)]


def _unbasic(g: Any, *, index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, g.dtype)
    out[index] = g
    return out


def _basic_name(node: Node) -> str:
    """The name of the last step that PyTorch would record for this index."""
    items = node.params["index"] if node.params else ()
    for item in reversed(items):
        if item is None:
            return "UnsqueezeBackward0"
        if isinstance(item, int):
            return "SelectBackward0"
        if item != FULL:
            return "SliceBackward0"
    return "SliceBackward0" if items else "AliasBackward0"  # x[:] and x[...]


slice_op = structural(
    "slice",
    _basic,
    vjp=lambda g, _out, _x, *, index: (
        unslice_op if isinstance(g, Tensor) else _unbasic  # the call of an op costs as much as this one
    )(g, index=index, shape=tuple(_x.shape)),
    is_view=True,
    backward=_basic_name,
    lift=lambda params, _n: {"index": (FULL, *params["index"])},
    samples=[
        ((3, 4), {"index": (1,)}),
        ((3, 4), {"index": (FULL, slice(1, None, 2))}),
        ((3, 4), {"index": (None, 2, None, slice(0, 0))}),
        ((), {"index": (None,)}),
    ],
)
unslice_op = structural(
    "unslice",
    _unbasic,
    vjp=lambda g, _out, _x, *, index, shape: slice_op(g, index=index),  # noqa: ARG005
    backward="SelectBackward0",
    facets={"batch": lambda size, dims, args, params: _batch_unslice(size, args[0], dims[0], params)},
    samples=[((4,), {"index": (1,), "shape": (3, 4)}), ((2,), {"index": (slice(1, 4, 2),), "shape": (5,)})],
)


def _batch_unslice(size: int, x: Tensor, dim: int, params: dict[str, Any]) -> tuple[Tensor, int]:
    return unslice_op(movedim(x, dim, 0), index=(FULL, *params["index"]), shape=(size, *params["shape"])), 0


# ---------------------------------------------------------------------- entries: index tensors


def full_index(ndim: int, places: tuple[int, ...], indices: Sequence[Any]) -> tuple[Any, ...]:
    """NumPy's index: the index arrays at their places, everything elsewhere."""
    items: list[Any] = [FULL] * ndim
    for p, i in zip(places, indices, strict=True):
        items[p] = i
    return tuple(items)


def entries_at(x: Any, *indices: Any, places: tuple[int, ...]) -> Any:
    """The entries that index arrays name, at these places among the dimensions."""
    if len(places) == 1 and indices[0].ndim == 1:
        return (
            x.take(indices[0], places[0])
            if x.shape[places[0]] or not indices[0].size
            else x[full_index(x.ndim, places, indices)]
        )
    return x[full_index(x.ndim, places, indices)]


def _spread(g: Any, *indices: Any, places: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, g.dtype)
    ids = np.arange(out.size).reshape(shape)[full_index(len(shape), places, indices)]
    np.add.at(out.reshape(-1), ids.reshape(-1), np.broadcast_to(g, ids.shape).reshape(-1))
    return out


def _index_put(x: Any, values: Any, *indices: Any, places: tuple[int, ...], accumulate: bool = False) -> Any:
    out = np.array(x, order="C")
    items = full_index(out.ndim, places, indices)
    if accumulate:
        ids = np.arange(out.size).reshape(out.shape)[items]
        np.add.at(out.reshape(-1), ids.reshape(-1), np.broadcast_to(values, ids.shape).reshape(-1))
    else:
        out[items] = values
    return out


def _spread_entries(g: Any, *indices: Any, places: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """The loop body of spread: indices may depend on values."""
    out = np.zeros(shape, g.dtype, like=g)
    np.add.at(out, full_index(len(shape), places, indices), g)
    return out


def _put_entries(
    x: Any, values: Any, *indices: Any, places: tuple[int, ...], accumulate: bool = False
) -> Any:
    """The loop body of index_put: indices may depend on values."""
    out, items = x.copy(), full_index(x.ndim, places, indices)
    if accumulate:
        np.add.at(out, items, values)
    else:
        out[items] = values
    return out


def _index_put_back_x(
    g: Any, _out: Any, _x: Any, _values: Any, *indices: Any, places: Any, accumulate: bool = False
) -> Any:
    return g if accumulate else index_put_op(g, _zero_of(g), *indices, places=places)


def _index_put_back_values(
    g: Any, _out: Any, _x: Any, _values: Any, *indices: Any, places: Any, **_accumulate: bool
) -> Any:
    return unbroadcast(index_op(g, *indices, places=places), tuple(_values.shape))


def _zero_of(g: Any) -> Any:
    return np.zeros((), g.value.dtype if isinstance(g, Tensor) else g.dtype)


class Indexed(Structural):
    """An op whose arguments from `first` on are index tensors, any number of them.

    The rules before are one per argument.
    """

    first = 1

    @property
    def rules(self) -> Any:
        """One rule per data argument."""
        return self.vjp

    def keeps_arg(self, i: int) -> bool:
        """The index tensors are what the rules read."""
        return i >= self.first

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """The rules of the data arguments; index tensors have no gradient."""
        args = node.args if tensors else [a.value if isinstance(a, Tensor) else a for a in node.args]
        return [
            rule(g, None, *args, **node.params) if e is not None else None
            for e, rule in zip(node.edges[: self.first], self.rules, strict=True)
        ]


_I, _J = np.array([0, 2, 2]), np.array([[1], [0]])
index_op = Indexed(
    "index",
    entries_at,
    vjp=[lambda g, _out, _x, *indices, places: spread_op(g, *indices, places=places, shape=tuple(_x.shape))],
    keeps=(),
    samples=[
        ((3, 4), _I, {"places": (0,)}),
        ((2, 3, 4), _I, _J, {"places": (1, 2)}),
        ((3, 4, 3), _I, _I, {"places": (0, 2)}),
    ],
)
spread_op = Indexed(
    "spread",
    _spread,
    vjp=[lambda g, _out, _x, *indices, places, shape: index_op(g, *indices, places=places)],  # noqa: ARG005
    keeps=(),
    backward="IndexPutBackward0",
    samples=[((3, 4), _I, {"places": (0,), "shape": (3, 4)})],
    facets={"lower": _spread_entries},
)
index_put_op = Indexed(
    "index_put",
    _index_put,
    vjp=[_index_put_back_x, _index_put_back_values],
    data=(0, 1),
    keeps=(),
    samples=[
        ((3, 4), (2, 4), _I[:2], {"places": (0,)}),
        ((3, 4), (), _I[:2], {"places": (0,)}),
        ((3, 4), (3, 4), _I, {"places": (0,), "accumulate": True}),
    ],
    facets={"lower": _put_entries},
)
index_put_op.first = 2


def _spread_pairs(avals: Any, params: dict[str, Any], values: Any) -> list[Any]:
    shape = tuple(params["shape"])
    ids = np.arange(int(np.prod(shape))).reshape(shape)[
        full_index(len(shape), params["places"], [np.asarray(v) for v in values[1:]])
    ]
    n = int(np.prod(tuple(avals[0].shape)))
    cols = np.broadcast_to(np.arange(n).reshape(tuple(avals[0].shape)), ids.shape)
    return [(ids.reshape(-1), cols.reshape(-1)), *(None for _ in values[1:])]


def _put_pairs(avals: Any, params: dict[str, Any], values: Any) -> list[Any]:
    if not params.get("accumulate"):
        return index_put_op._copied_pairs(avals, params, values)
    shape = tuple(avals[0].shape)
    n = int(np.prod(shape))
    back = _spread_pairs([avals[1]], {"places": params["places"], "shape": shape}, [None, *values[2:]])
    return [(np.arange(n), np.arange(n)), *back]


spread_op.pairs = _spread_pairs
index_put_op.pairs = _put_pairs


# ---------------------------------------------------------------------- batching index tensors


def layout_of(places: tuple[int, ...]) -> int | None:
    """Where the index dimensions appear in the result.

    The first place if the places are neighbours, else in front (None).
    """
    return places[0] if all(b - a == 1 for a, b in itertools.pairwise(places)) else None


def _lanes(size: int, dims: Sequence[Any], indices: Sequence[Any]) -> tuple[list[Tensor], int]:
    """Index tensors with the lanes in front, all of one shape, after the index that names the lane.

    And the rank of one.
    """
    ranks = [len(i.value.shape) - (d is not None) for i, d in zip(indices, dims, strict=True)]
    rank = max(ranks)
    made: list[Tensor] = [wrap(np.arange(size).reshape((size,) + (1,) * rank))]
    for i, d, r in zip(indices, dims, ranks, strict=True):
        front = i if d is None else movedim(i, d, 0)
        shape = front.value.shape
        made.append(
            reshape(front, (1 if d is None else size, *(1,) * (rank - r), *shape[0 if d is None else 1 :]))
        )
    return made, rank


def _batch_index(size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    x, places = args[0], params["places"]
    x = expand(x, (size, *x.value.shape)) if dims[0] is None else movedim(x, dims[0], 0)
    shifted = tuple(p + 1 for p in places)
    front = layout_of(places)
    if all(d is None for d in dims[1:]):
        rank = max(len(i.value.shape) for i in args[1:])
        return index_op(x, *args[1:], places=shifted), rank if front is None else 0
    indices, rank = _lanes(size, dims[1:], args[1:])
    out = index_op(x, *indices, places=(0, *shifted))
    # neighbours of place 0 stay where they are; else the lanes and index dimensions came to the front
    return (_common_to(out, rank, front) if front else out), 0


def _common_to(x: Tensor, rank: int, place: int) -> Tensor:
    """Dimensions 1..rank moved behind the `place` dimensions that follow them."""
    return movedim(x, tuple(range(1, rank + 1)), tuple(range(1 + place, 1 + place + rank))) if rank else x


def _common_front(x: Tensor, rank: int, place: int | None) -> Tensor:
    """The transpose of `_common_to`."""
    return (
        movedim(x, tuple(range(1 + place, 1 + place + rank)), tuple(range(1, rank + 1)))
        if rank and place
        else x
    )


def _batch_spread(size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    g, places = args[0], params["places"]
    g = expand(g, (size, *g.value.shape)) if dims[0] is None else movedim(g, dims[0], 0)
    indices, rank = _lanes(size, dims[1:], args[1:])
    g = _common_front(g, rank, layout_of(places))
    return spread_op(g, *indices, places=(0, *(p + 1 for p in places)), shape=(size, *params["shape"])), 0


def _batch_put(size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    x, values = (
        expand(a, (size, *a.value.shape)) if d is None else movedim(a, d, 0)
        for a, d in zip(args[:2], dims[:2], strict=True)
    )
    places = params["places"]
    indices, rank = _lanes(size, dims[2:], args[2:])
    common = np.broadcast_shapes(*(i.value.shape[1:] for i in indices))
    rest = tuple(n for k, n in enumerate(x.value.shape[1:]) if k not in places)
    front = layout_of(places)
    one = common + rest if front is None else (*rest[:front], *common, *rest[front:])
    have = values.value.shape[1:]
    values = expand(reshape(values, (size, *(1,) * (len(one) - len(have)), *have)), (size, *one))
    values = _common_front(values, rank, front)
    return index_put_op(
        x, values, *indices, places=(0, *(p + 1 for p in places)), accumulate=params.get("accumulate", False)
    ), 0


index_op.batch = _batch_index
spread_op.batch = _batch_spread
index_put_op.batch = _batch_put
