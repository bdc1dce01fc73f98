"""The structural family: ops that move entries (reshape, transpose, index, cat, pad, gather).

Run the op on `arange` and the answer is its index map: from it follow the vjp (scatter back), the jvp (the op itself), batching
and the exact dependency pattern. Entries may give a faster vjp. Read `structural` first, then `view`, then `take_ids` and
`put_ids`, the two transposed primitives that everything else can fall back on. May import `graph`, `families.op`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.families.op import Op, Rule, apply, finish
from pullback.graph.modes import CAREFUL, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Aval, Node
from pullback.graph.record import annotate
from pullback.graph.tensor import InferenceTensor, Tensor, edge_of, wrap

_new = object.__new__


class Structural(Op):
    """An op of one tensor argument whose outputs are copies of input entries (-1 in the index map: a constant)."""

    def __init__(
        self,
        name: str,
        eval: Rule,  # noqa: A002 - the facet's name
        *,
        vjp: Rule | None = None,
        is_view: bool = False,
        backward: Any = None,
        torch_name: str | None = None,
        facets: dict[str, Any] | None = None,
    ) -> None:
        """See `structural`."""
        self.is_view = is_view
        self.torch_name = torch_name or name
        super().__init__(
            name,
            "structural",
            eval,
            vjp=[vjp or self._scatter_back],
            backward=backward,
            keeps=(False,),
            keeps_out=False,
            facets={"jvp": self._push, **(facets or {})},
        )

    def ids(self, shape: tuple[int, ...], params: dict[str, Any]) -> Any:
        """The index map: for each output entry the flat index of the input entry it copies, -1 for a constant."""
        n = int(np.prod(shape))
        return self.eval(np.arange(1, n + 1).reshape(shape), **params) - 1

    def _scatter_back(self, g: Any, _out: Any, x: Any, **params: Any) -> Any:
        return put_ids(g, ids=self.ids(tuple(x.shape), params), shape=tuple(x.shape))

    def _push(self, tangents: Any, _out: Any, _x: Any, **params: Any) -> Any:
        return self(tangents[0], **params)

    def run(self, x: Tensor, **params: Any) -> Tensor:
        """Run on a tensor: as a view where the op is one."""
        return view(self, x, params) if self.is_view else apply(self, (x,), params)

    def __call__(self, x: Any, **params: Any) -> Any:
        """Run on a tensor (recorded) or a plain array."""
        return self.run(x, **params) if isinstance(x, Tensor) else self.eval(x, **params)


def structural(name: str, eval: Rule, **options: Any) -> Structural:  # noqa: A002 - the facet's name
    """Declare a structural op: eval(x, **params) must only move entries (and pad with zeros).

    vjp      a faster rule than scattering through the index map: vjp(g, out, x, **params) with x an Aval (shape, dtype)
    is_view  the NumPy function returns a view, and so does PyTorch's
    """
    return Structural(name, eval, **options)


# ---------------------------------------------------------------------- views


def view(op: Op, x: Tensor, params: dict[str, Any], kind: str | None = None) -> Tensor:
    """Run a view op: the result shares x's memory and version counter, and knows its base."""
    if x.foreign is not None:
        return x.foreign(op, (x,), params)
    v = x.storage()
    t = _new(Tensor) if not x.from_inference else _new(InferenceTensor)
    t.value = op.eval(v, **params)
    mode = state.mode
    node = x.node
    if node is not None:
        if mode and state.grad:
            t.node = made = Node(op, (Aval(v.shape, v.dtype),), (x if node is LEAF else node,), None, params, None)
            if mode == CAREFUL:
                annotate(made)
        else:
            # PyTorch: a view taken under no_grad still says requires_grad, as a leaf
            t.node, t.view_kind = LEAF, "no_grad"
    share(x, t)
    if kind is not None:
        t.view_kind = kind
    return t


def share(x: Tensor, t: Tensor) -> None:
    """Make t a view of x's base: same counter, registered so that writes through either re-root the other."""
    t.base = x if x.base is None else x.base
    t.counter = counter = x.counter if x.counter is not None else x.shared_counter()
    if t.node is not None and t.node is not LEAF:
        t.note_output()
    counter.track(weakref.ref(t))


def region_ids(base: Any, part: Any) -> Any:
    """The flat indices of `base`'s entries that the array `part` (a view into the same memory) covers, in part's shape."""
    item = base.itemsize
    start = base.__array_interface__["data"][0]
    low = start + sum(min(0, (n - 1) * s) for n, s in zip(base.shape, base.strides, strict=True))
    high = start + sum(max(0, (n - 1) * s) for n, s in zip(base.shape, base.strides, strict=True))
    slots = np.full((high - low) // item + 1, -1, np.int64)
    as_strided = np.lib.stride_tricks.as_strided

    def window(a: Any) -> Any:
        offset = (a.__array_interface__["data"][0] - low) // item
        strides = [s // item * 8 for s in a.strides]
        return as_strided(slots[offset:] if a.size else slots[:0], a.shape, strides)

    window(base)[...] = np.arange(base.size).reshape(base.shape)
    return window(part).copy()


# ---------------------------------------------------------------------- the two primitives


def _take(x: Any, *, ids: Any, shape: Any = None) -> Any:
    flat = np.asarray(x).reshape(-1)
    if flat.size == 0:
        return np.zeros(ids.shape, flat.dtype)
    r = flat[ids]
    return np.where(ids < 0, flat.dtype.type(0), r) if ids.size and ids.min() < 0 else r


def _put(x: Any, *, ids: Any, shape: tuple[int, ...]) -> Any:
    n = int(np.prod(shape))
    x, ids = np.asarray(x).reshape(-1), ids.reshape(-1)
    if ids.size and ids.min() < 0:
        x, ids = x[ids >= 0], ids[ids >= 0]
    out = np.zeros(n, x.dtype)
    if ids.size <= n and not _repeats(ids, n):
        out[ids] = x
    else:
        np.add.at(out, ids, x)
    return out.reshape(shape)


def _repeats(ids: Any, n: int) -> bool:
    seen = np.zeros(n, bool)
    seen[ids] = True
    return int(seen.sum()) != ids.size


take_ids = Op(
    "take_ids",
    "structural",
    _take,
    vjp=[lambda g, _out, x, *, ids, shape=None: put_ids(g, ids=ids, shape=tuple(x.shape))],
    keeps=(False,),
    keeps_out=False,
    backward="AsStridedBackward0",
    facets={"jvp": lambda tangents, _out, _x, **params: take_ids(tangents[0], **params)},
)
put_ids = Op(
    "put_ids",
    "structural",
    _put,
    vjp=[lambda g, _out, _x, *, ids, shape: take_ids(g, ids=ids)],
    keeps=(False,),
    keeps_out=False,
    backward="PutBackward0",
    facets={"jvp": lambda tangents, _out, _x, **params: put_ids(tangents[0], **params)},
)


def _overwrite(base: Any, part: Any, *, ids: Any) -> Any:
    out = np.array(base)
    out.reshape(-1)[ids] = part
    return out


copy_slices = Op(
    "copy_slices",
    "structural",
    _overwrite,
    vjp=[
        lambda g, _out, _base, _part, *, ids: g - put_ids(take_ids(g, ids=ids), ids=ids, shape=tuple(g.shape)),
        lambda g, _out, _base, _part, *, ids: take_ids(g, ids=ids),
    ],
    keeps=(False, False),
    keeps_out=False,
    backward="CopySlices",
    facets={
        "jvp": lambda tangents, _out, base, part, *, ids: copy_slices(
            _or_zeros(tangents[0], base), _or_zeros(tangents[1], part), ids=ids
        )
    },
)


def _or_zeros(t: Any, like: Any) -> Any:
    return t if t is not None else wrap(np.zeros(like.shape, like.dtype))


def reroot_base(written: Tensor, node: Any) -> None:
    """After a recorded write through a view: the base becomes the output of CopySlices, every live view a slice of it."""
    base = written.base
    assert base is not None
    array = base.storage()
    ids = region_ids(array, written.value)
    base.node = Node(
        copy_slices,
        (Aval(array.shape, array.dtype), Aval(written.value.shape, array.dtype)),
        (edge_of(base), node),
        None,
        {"ids": ids},
        None,
    )
    base.note_output()
    reroot_views(base)


def reroot_views(base: Tensor) -> None:
    """Make every live view of a re-rooted base a slice of its new value."""
    counter, node = base.counter, base.node
    if counter is None or node is None or node is LEAF:
        return
    array = base.storage()
    for reference in counter.views:
        t = reference()
        if t is None or t is base or t.base is not base:
            continue
        params = {"ids": region_ids(array, t.value)}
        t.node = Node(take_ids, (Aval(array.shape, array.dtype),), (node,), None, params, None)
        if t.view_kind == "no_grad":
            t.view_kind = None
        t.note_output()


def run_plain(function: Callable[..., Any], *values: Any, **params: Any) -> Any:
    """Call a NumPy function with floating-point warnings off."""
    token = quiet(QUIET)
    try:
        return function(*values, **params)
    finally:
        loud(token)


__all__ = ["Structural", "copy_slices", "finish", "put_ids", "region_ids", "reroot_base", "reroot_views", "structural", "take_ids", "view"]
