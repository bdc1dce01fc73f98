"""Writing by an index: x[...] = y and index_put.

Read `setitem` first. A write goes to memory at once; where autograd follows, the record is that of a copy
into a view (basic indices) or of `index_put` (index tensors). May import `families`, `graph`, `errors`,
`ops.memory`, `ops.index_entries`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.inplace import (
    adopt,
    bump,
    came_from,
    check_expanded,
    check_recorded,
    check_writable,
    old_value,
    overlap_error,
    set_node,
    write,
)
from pullback.families.op import apply
from pullback.families.regions import Region, copy_slices, reroot_views
from pullback.families.structural import view
from pullback.graph.modes import CAREFUL, state
from pullback.graph.node import Aval, Node
from pullback.graph.record import annotate
from pullback.graph.shadows import connected, cut_off
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.ops.broadcasting import expand, expanded_shape
from pullback.ops.index_entries import entries_at, full_index, index_put_op, layout_of, slice_op
from pullback.ops.indices import FULL, dynamic_shape, parsed
from pullback.ops.memory import check_number, copy_, copy_op, fill_
from pullback.ops.shape import reshape


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """x[index] = value: writes into x's memory; recorded where x or the value is followed."""
    kind = type(value)
    if (
        type(index) is int
        and type(self) is Tensor
        and self.node is None
        and self.base is None
        and (kind is float or kind is int)
        and state.tracer is None
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
        or (state.tracer is None and isinstance(value, Tensor) and value.foreign is not None)
        or (state.tracer is None and any(t.foreign is not None for t in tensors))
    ):
        _set_batched(self, basic, places, tensors, value)
    elif state.mode >= CAREFUL and state.tracer is not None:
        state.tracer.write(assigned, self, (index, value), {})
    elif tensors:
        _set_advanced(self, basic, places, tensors, value)
    elif all(b == FULL for b in basic):
        _set_all(self, value)
    else:
        _set_basic(self, basic, value)


def assigned(t: Tensor, index: Any, value: Any) -> Tensor:
    """The tensor after t[index] = value."""
    t[index] = value
    return t


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
        _write_part(t, part, source, value)
        return
    if t.view_kind is not None:
        check_recorded(view(slice_op, t, {"index": basic}), (value,))
    check_as_view(t, (value,))
    root = t if t.base is None else t.base
    if root.node is None and edge is None and t.node is None:
        _write_part(t, part, source, value)
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
    if state.mode >= CAREFUL:
        annotate(node, (root, value))
    part[...] = source
    t.shared_counter().bump()
    if v.dtype.kind in "fc":
        adopt_base(root, node)


def _write_part(t: Tensor, part: Any, source: Any, value: Any) -> None:
    """t[index] = value where autograd does not follow it; where the entries came from, with lines."""
    part[...] = source
    bump(t)
    if not state.lines:
        return
    made = wrap(np.array(part))
    cut_off(copy_op, made, (Aval(part.shape, part.dtype), value), {})
    written = wrap(part)
    written.base = t if t.base is None else t.base
    came_from(written, made.origin)


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
        ids = entries_at(numbers, *(i.value for i in tensors), places=places) if tensors else numbers
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
    front = layout_of(places)
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
    if state.mode >= CAREFUL and state.tracer is not None:
        return state.tracer.write(index_put_, self, (indices, values, accumulate), {})
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
    followed = state.grad and (self.node is not None or values.node is not None or self.base is not None)
    if not followed and not (state.lines and connected((self, values))):
        v = self.storage()
        if not accumulate:
            v[full_index(v.ndim, places, [i.value for i in tensors])] = values.value
            adopt(self, None)
            return self
    old = old_value(x, reads_old=False)
    return write(
        self,
        apply(index_put_op, (old, values, *tensors), {"places": places, "accumulate": accumulate}),
        "index_put_",
    )


PUBLIC: dict[str, Any] = {"index_put": index_put, "index_put_": index_put_}
METHODS: dict[str, Any] = {**PUBLIC, "__setitem__": setitem}
