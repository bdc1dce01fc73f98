"""Indexing of every kind: x[...] and x[...] = y, select, narrow, len, iteration; nonzero and argwhere.

Read `getitem`; `indices` reads and checks an index. Integers, slices, None and Ellipsis give views (op
`slice`); lists, masks and integer tensors copy (op
`index`). Integers next to index tensors are applied first, as in PyTorch and unlike NumPy. May import
`families`, `graph`, `errors`,
`ops.shape`, `ops.memory`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.calls import write_out
from pullback.families.inplace import (
    adopt,
    bump,
    check_expanded,
    check_recorded,
    check_writable,
    old_value,
    overlap_error,
    set_node,
    write,
)
from pullback.families.op import apply, unbroadcast
from pullback.families.regions import Region, copy_slices, reroot_views
from pullback.families.sizes import an_int, dim_of, need_tensor
from pullback.families.structural import Structural, made_view, structural, view
from pullback.graph.modes import CAREFUL, state
from pullback.graph.node import Aval, Node
from pullback.graph.record import annotate
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.ops.axes import movedim
from pullback.ops.broadcasting import expand, expanded_shape
from pullback.ops.indices import FULL, dynamic_shape, parsed
from pullback.ops.memory import check_number, copy_, fill_
from pullback.ops.shape import reshape
from pullback.ops.splitting import unbind

# ---------------------------------------------------------------------- entries: basic indices


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


def _full_index(ndim: int, places: tuple[int, ...], indices: Sequence[Any]) -> tuple[Any, ...]:
    items: list[Any] = [FULL] * ndim
    for p, i in zip(places, indices, strict=True):
        items[p] = i
    return tuple(items)


def _index(x: Any, *indices: Any, places: tuple[int, ...]) -> Any:
    if len(places) == 1 and indices[0].ndim == 1:
        return (
            x.take(indices[0], places[0])
            if x.shape[places[0]] or not indices[0].size
            else x[_full_index(x.ndim, places, indices)]
        )
    return x[_full_index(x.ndim, places, indices)]


def _spread(g: Any, *indices: Any, places: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, g.dtype)
    ids = np.arange(out.size).reshape(shape)[_full_index(len(shape), places, indices)]
    np.add.at(out.reshape(-1), ids.reshape(-1), np.broadcast_to(g, ids.shape).reshape(-1))
    return out


def _index_put(x: Any, values: Any, *indices: Any, places: tuple[int, ...], accumulate: bool = False) -> Any:
    out = np.array(x, order="C")
    items = _full_index(out.ndim, places, indices)
    if accumulate:
        ids = np.arange(out.size).reshape(out.shape)[items]
        np.add.at(out.reshape(-1), ids.reshape(-1), np.broadcast_to(values, ids.shape).reshape(-1))
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
    _index,
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
)
index_put_op.first = 2


def _spread_pairs(avals: Any, params: dict[str, Any], values: Any) -> list[Any]:
    shape = tuple(params["shape"])
    ids = np.arange(int(np.prod(shape))).reshape(shape)[
        _full_index(len(shape), params["places"], [np.asarray(v) for v in values[1:]])
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


def _layout(places: tuple[int, ...]) -> int | None:
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
    front = _layout(places)
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
    g = _common_front(g, rank, _layout(places))
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
    front = _layout(places)
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


# ---------------------------------------------------------------------- reading


_PLACES = [{"index": (i,)} for i in range(16)]
_PLAIN = (int, type(None))


def _simple(items: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Are these integers from the front and slices without a step that say something, one per dimension?"""
    if len(items) > len(shape):
        return False
    said = False
    for item, n in zip(items, shape):  # noqa: B905 - indices may leave out dimensions
        kind = type(item)
        if kind is int:
            if not 0 <= item < n:
                return False
            said = True
        elif kind is slice and item.step is None:
            if type(item.start) not in _PLAIN or type(item.stop) not in _PLAIN:
                return False
            said = said or item.start is not None or item.stop is not None
        else:
            return False
    return said


def getitem(self: Tensor, index: Any) -> Tensor:
    """x[index]: a view for integers, slices, None and Ellipsis; a copy for lists, masks and integer tensors.

    >>> import pullback as torch
    >>> x = torch.arange(6.).reshape(2, 3)
    >>> x[1], x[:, 0], x[x > 3]
    (tensor([3., 4., 5.]), tensor([0., 3.]), tensor([4., 5.]))
    """
    if type(self) is Tensor:  # the common calls: numbers and plain slices
        v = self.storage()
        shape = v.shape
        if type(index) is int:
            if shape:
                i = index if index >= 0 else index + shape[0]
                if 0 <= i < shape[0]:
                    return made_view(slice_op, self, v[i, ...], _PLACES[i] if i < 16 else {"index": (i,)})
        else:
            items = (index,) if type(index) is slice else index
            if type(items) is tuple and _simple(items, shape):
                return made_view(slice_op, self, v[(*items, ...)], {"index": items})
    basic, places, tensors = parsed(self.value.shape, index)
    x = self
    if not isinstance(index, slice) and all(b == FULL for b in basic):
        basic = ()
    if not tensors or any(b != FULL for b in basic):
        x = view(slice_op, x, {"index": basic})
    return apply(index_op, (x, *tensors), {"places": places}) if tensors else x


def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """The slice at one place of a dimension, which disappears; a view."""
    need_tensor("select", input)
    shape = input.value.shape
    if not shape:
        raise IndexError(
            message("select() cannot be applied to a 0-dim tensor.", "", "x.item() gives its number")
        )
    d = dim_of(dim, len(shape), "select")
    i = an_int("select", "index", 2, index)
    if not -shape[d] <= i < shape[d]:
        raise IndexError(
            message(
                f"select(): index {i} out of range for tensor of size {list(shape)} at dimension {d}",
                "",
                f"valid: {-shape[d]} to {shape[d] - 1}",
            )
        )
    return view(slice_op, input, {"index": (*(FULL,) * d, i % shape[d])})


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` slices of a dimension from `start` on; a view."""
    need_tensor("narrow", input)
    shape = input.value.shape
    d = dim_of(dim, len(shape), "narrow")
    n, a = shape[d], an_int("narrow", "start", 2, start)
    if length < 0:
        raise RuntimeError(message("narrow(): length must be non-negative.", f"got length={length}"))
    if not -n <= a <= n:
        raise IndexError(message(f"start out of range (expected to be in range of [{-n}, {n}], but got {a})"))
    a = a + n if a < 0 else a
    if a + length > n:
        raise RuntimeError(
            message(
                f"start ({a}) + length ({length}) exceeds dimension size ({n}).",
                f"the tensor has shape {list(shape)}",
            )
        )
    return view(slice_op, input, {"index": (*(FULL,) * d, slice(a, a + length))})


def length(self: Tensor) -> int:
    """The size of the first dimension; TypeError for a 0-d tensor."""
    shape = self.value.shape
    if not shape:
        raise TypeError(
            message(
                "len() of a 0-d tensor",
                "a 0-d tensor holds one number",
                "x.item() gives it; x.numel() counts entries",
            )
        )
    return shape[0]


def iterate(self: Tensor) -> Iterator[Tensor]:
    """The slices along the first dimension; TypeError for a 0-d tensor."""
    if not self.value.shape:
        raise TypeError(
            message("iteration over a 0-d tensor", "a 0-d tensor holds one number", "x.item() gives it")
        )
    return iter(unbind(self, 0))


def contains(self: Tensor, element: Any) -> bool:
    """Is any entry equal to the number (or tensor)? RuntimeError for other types."""
    if isinstance(element, Tensor | int | float | complex | np.number | np.bool_):
        other = element.value if isinstance(element, Tensor) else element
        return bool((self.value == other).any())
    raise RuntimeError(
        message(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.",
            "",
            "compare entries with ==",
        )
    )


# ---------------------------------------------------------------------- writing


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """x[index] = value: writes into x's memory; recorded where x or the value is followed."""
    kind = type(value)
    if (
        type(index) is int
        and type(self) is Tensor
        and self.node is None
        and self.base is None
        and (kind is float or kind is int)
    ):
        v = self.storage()  # the common call of a program that fills a table
        if v.ndim and 0 <= index < v.shape[0] and v.dtype.kind == "f" and 0 not in v.strides:
            v[index] = value
            bump(self)
            return
    if not isinstance(value, Tensor):
        if not isinstance(value, int | float | complex | np.number | np.bool_):
            if isinstance(value, np.ndarray):
                value = wrap(value)
            else:
                raise TypeError(
                    message(
                        f"can't assign a {type(value).__name__} to a torch.{self.dtype.word}Tensor",
                        "",
                        "assign a number or a tensor: torch.tensor(value)",
                    )
                )
        else:
            check_number(self, value)
    basic, places, tensors = parsed(self.value.shape, index)
    if (
        not isinstance(self.value, np.ndarray | np.generic)
        or (isinstance(value, Tensor) and value.foreign is not None)
        or any(t.foreign is not None for t in tensors)
    ):
        _set_batched(self, basic, places, tensors, value)
    elif tensors:
        _set_advanced(self, basic, places, tensors, value)
    elif all(b == FULL for b in basic):
        _set_all(self, value)
    else:
        _set_basic(self, basic, value)


def _fitting(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A tensor expanded to the shape it is assigned to; leading dimensions of size 1 are dropped."""
    have = value.value.shape
    if have == shape:
        return value
    extra = len(have) - len(shape)
    if extra > 0 and all(n == 1 for n in have[:extra]):
        value, have = reshape(value, have[extra:]), have[extra:]
    return expand(value, expanded_shape(have, shape, value.dtype.word))


def _set_all(t: Tensor, value: Any) -> None:
    if isinstance(value, Tensor) and value.value.ndim:
        copy_(t, _fitting(value, t.value.shape))
    else:
        fill_(t, value if isinstance(value, Tensor) else wrap(np.asarray(value, t.value.dtype)))


def _set_basic(t: Tensor, basic: tuple[Any, ...], value: Any) -> None:
    v = t.storage()
    part = v[(*basic, ...)]
    if isinstance(value, Tensor):
        value = _fitting(value, part.shape)
        source, edge = value.value, edge_of(value)
    else:
        source, edge = value.real if isinstance(value, complex) and v.dtype.kind != "c" else value, None
    if t.from_inference and not state.inference:
        check_writable(t, (value,))
    if 0 in part.strides:
        check_expanded(part)
    if not state.grad:
        part[...] = source
        bump(t)
        return
    if t.view_kind is not None:
        check_recorded(view(slice_op, t, {"index": basic}), (value,))
    check_as_view(t, (value,))
    root = t if t.base is None else t.base
    if root.node is None and edge is None and t.node is None:
        part[...] = source
        bump(t)
        return
    if isinstance(value, Tensor) and edge is not None and value.value.dtype != v.dtype:
        edge = edge_of(value.to(t.dtype)) if v.dtype.kind in "fc" else None
    array = root.storage()
    node = Node(
        copy_slices,
        (Aval(array.shape, array.dtype), Aval(part.shape, part.dtype)),
        (edge_of(root), edge),
        None,
        {"region": Region(array, part)},
        None,
    )
    if state.mode == CAREFUL:
        annotate(node)
    part[...] = source
    t.shared_counter().bump()
    if v.dtype.kind in "fc":
        adopt_base(root, node)


def check_as_view(t: Tensor, args: tuple[Any, ...]) -> None:
    """The checks of an in-place write through a view of t that is made for this write only."""
    if t.node is not None and t.base is None and t.is_leaf:
        probe = wrap(t.value)
        probe.base = t
        check_recorded(probe, args)
    else:
        check_recorded(t, args)


def adopt_base(root: Tensor, node: Node) -> None:
    """Make a node what a written base comes from, and its live views regions of it."""
    set_node(root, node)
    reroot_views(root)
    owner = root.shared_counter().base()
    if owner is not None and owner is not root:
        reroot_views(owner)


def _set_advanced(
    t: Tensor, basic: tuple[Any, ...], places: Any, tensors: tuple[Tensor, ...], value: Any
) -> None:
    target = t if all(b == FULL for b in basic) else view(slice_op, t, {"index": basic})
    source = value if isinstance(value, Tensor) else wrap(np.asarray(value).astype(t.value.dtype))
    index_put_(target, _spelled(target.value.ndim, places, tensors), source)


def _spelled(ndim: int, places: tuple[int, ...], tensors: tuple[Tensor, ...]) -> tuple[Any, ...]:
    items: list[Any] = [None] * ndim
    for p, i in zip(places, tensors, strict=True):
        items[p] = i
    return tuple(items)


def _set_batched(t: Tensor, basic: Any, places: Any, tensors: Any, value: Any) -> None:
    """x[index] = value inside vmap, as an out-of-place op that the tensor takes over."""
    shape = t.value.shape
    numbers = np.arange(int(np.prod(shape))).reshape(shape)[(*basic, ...)]

    def put(old: Tensor, new: Any) -> Tensor:
        if tensors and any(i.foreign is not None for i in tensors):
            if any(b != FULL for b in basic):
                raise dynamic_shape("writing through a slice and a batched index together")
            return apply(index_put_op, (old, new, *tensors), {"places": places, "accumulate": False})
        ids = _index(numbers, *(i.value for i in tensors), places=places) if tensors else numbers
        flat = reshape(old, (-1,))
        new = _fitting(new, ids.shape)
        out = apply(
            index_put_op,
            (flat, reshape(new, (-1,)), wrap(ids.reshape(-1))),
            {"places": (0,), "accumulate": False},
        )
        return reshape(out, shape)

    new = value if isinstance(value, Tensor) else wrap(np.asarray(value, t.value.dtype))
    if new.value.dtype != t.value.dtype:
        new = new.to(t.dtype)
    if t.foreign is None:
        write(t, put(t, new), "__setitem__")
    else:
        t.foreign_write(put, "__setitem__", (new,), {})


# ---------------------------------------------------------------------- index_put


def _put_arguments(name: str, x: Tensor, indices: Any, values: Tensor) -> tuple[Any, ...]:
    if not isinstance(indices, tuple | list):
        raise TypeError(
            message(
                f"{name}(): argument 'indices' (position 1) must be tuple of Tensors, not "
                f"{type(indices).__name__}"
            )
        )
    items = tuple(FULL if i is None else i for i in indices)
    _, places, tensors = parsed(
        x.value.shape,
        tuple(
            i if not (isinstance(i, Tensor) and not i.value.ndim and i.foreign is None) else reshape(i, (1,))
            for i in items
        ),
    )
    if values.value.dtype != x.value.dtype:
        if name != "__setitem__" and values.value.ndim:
            raise RuntimeError(
                message(
                    "Index put requires the source and destination dtypes match, got "
                    f"{x.dtype.word} for the destination and {values.dtype.word} for the source.",
                    "",
                    "convert the values: values.to(x.dtype)",
                )
            )
        values = values.to(x.dtype)
    common = np.broadcast_shapes(*(i.value.shape for i in tensors))
    rest = tuple(n for k, n in enumerate(x.value.shape) if k not in places)
    front = _layout(places)
    target = common + rest if front is None else (*rest[:front], *common, *rest[front:])
    _check_values(values.value.shape, target)
    have = values.value.shape
    if len(have) > len(target):
        values = reshape(values, have[len(have) - len(target) :])
    return x, values, tensors, places


def _check_values(have: tuple[int, ...], target: tuple[int, ...]) -> None:
    extra = len(have) - len(target)
    inner = have[extra:] if extra > 0 and all(n == 1 for n in have[:extra]) else have
    try:
        fits = np.broadcast_shapes(inner, target) == target
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            message(
                f"shape mismatch: value tensor of shape {list(inner)} cannot be broadcast to indexing "
                f"result of shape {list(target)}",
                "",
                "the values must have the shape that the same index reads",
            )
        )


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with values written (or added, if accumulate) at the places that index tensors name."""
    x, values, tensors, places = _put_arguments("index_put", input, indices, values)
    return apply(index_put_op, (x, values, *tensors), {"places": places, "accumulate": accumulate})


def index_put_(self: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """`index_put` that writes into the tensor itself."""
    if self.foreign is not None:
        return self.foreign_write(index_put, "index_put_", (indices, values, accumulate), {})
    check_writable(self, ())
    if (
        values.counter is not None
        and values.counter is self.counter
        and np.may_share_memory(self.value, values.value)
    ):
        raise overlap_error()
    x, values, tensors, places = _put_arguments(
        "__setitem__" if not values.value.ndim else "index_put_", self, indices, values
    )
    if not (state.grad and (self.node is not None or values.node is not None or self.base is not None)):
        v = self.storage()
        if not accumulate:
            v[_full_index(v.ndim, places, [i.value for i in tensors])] = values.value
            adopt(self, None)
            return self
    old = old_value(x, reads_old=False)
    return write(
        self,
        apply(index_put_op, (old, values, *tensors), {"places": places, "accumulate": accumulate}),
        "index_put_",
    )


# ---------------------------------------------------------------------- where entries are not zero


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Any = None) -> Any:
    """The indices of the entries that are not zero: one a row, or one tensor per dimension."""
    need_tensor("nonzero", input)
    if input.foreign is not None:
        raise dynamic_shape("nonzero")
    v = np.asarray(input.value)
    if as_tuple:
        return tuple(wrap(i) for i in np.nonzero(v if v.ndim else v.reshape(1)))
    found = wrap(np.argwhere(v).astype(np.int64, copy=False))
    return found if out is None else write_out(index_op, out, found, ())


def argwhere(input: Tensor) -> Tensor:
    """The indices of the entries that are not zero, one a row."""
    return nonzero(input)


PUBLIC: dict[str, Any] = {
    "select": select,
    "narrow": narrow,
    "index_put": index_put,
    "index_put_": index_put_,
    "nonzero": nonzero,
    "argwhere": argwhere,
}
METHODS: dict[str, Any] = {
    **PUBLIC,
    "__getitem__": getitem,
    "__setitem__": setitem,
    "__len__": length,
    "__iter__": iterate,
    "__contains__": contains,
}

__all__ = [
    "METHODS",
    "PUBLIC",
    "Indexed",
    "dynamic_shape",
    "getitem",
    "index_op",
    "index_put",
    "select",
    "setitem",
    "slice_op",
]
