"""Shared memory while recording: a traced tensor has none, so a write must be told to its views and its base.

Every view op on a traced tensor is noted (`link`). A write into one of them makes the whole anew, and every
tensor that shares it reads its entries from there (`spread`); what nobody reads later drops out as dead code.
Read `spread`. May import `families`, `graph` and NumPy.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from pullback.families.op import TABLE, Op
from pullback.graph.modes import state
from pullback.graph.tensor import Tensor


class Memory:
    """What several traced tensors share: the whole as it is now, and who reads it."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole
        self.members: list[weakref.ref[Any]] = []


class View:
    """The part of a memory that a traced tensor is: how it was taken from another part, or all of it.

    cut   autograd does not follow this one (a detached view)
    """

    __slots__ = ("cut", "found", "k", "memory", "op", "params", "parent")

    def __init__(
        self, memory: Memory, parent: View | None = None, op: Any = None, params: Any = None, k: Any = None
    ) -> None:
        self.memory, self.parent, self.op, self.params, self.k = memory, parent, op, params, k
        self.cut = parent is not None and parent.cut
        self.found: Any = None

    @property
    def places(self) -> Any:
        """Where its entries lie in the flattened whole."""
        if self.found is None:
            if self.parent is None:
                shape = self.memory.whole.value.shape
                self.found = np.arange(int(np.prod(shape))).reshape(shape)
            elif self.op is None:
                self.found = self.parent.places
            else:
                parts = self.op.eval(self.parent.places, **self.params)
                self.found = parts if self.k is None else parts[self.k]
        return self.found


def view_of(x: Any) -> View:
    """A traced tensor's place in its memory, which begins with itself."""
    if x.view_of is None:
        memory = Memory(x.snapshot())
        x.view_of = View(memory)
        memory.members.append(weakref.ref(x))
    return x.view_of


def link(x: Any, out: Any, op: Op, params: dict[str, Any]) -> None:
    """Note what a view op made of a traced tensor."""
    parent = view_of(x)
    outs: tuple[Any, ...] = out if isinstance(out, tuple) else (out,)
    if not getattr(op, "is_view", False):  # a reshape: a view where the strides allow it
        child = View(parent.memory, parent, op, params)
        if not np.may_share_memory(child.places, parent.places):
            return
    for k, o in enumerate(outs):
        o.view_of = View(parent.memory, parent, op, params, k if isinstance(out, tuple) else None)
        parent.memory.members.append(weakref.ref(o))


def link_detached(x: Any, out: Any) -> None:
    """Note that `out` is x without its history."""
    parent = view_of(x)
    out.view_of = View(parent.memory, parent)
    out.view_of.cut = True
    parent.memory.members.append(weakref.ref(out))


def spread(t: Any) -> None:
    """After a write into t: its base and the views of it read the new entries."""
    view: View = t.view_of
    memory = view.memory
    alive = [m for m in (r() for r in memory.members) if m is not None]
    memory.members = [weakref.ref(m) for m in alive]
    followed = state.grad and not view.cut  # else all keep their places in the graph
    node = memory.whole.node
    memory.whole = t.snapshot() if view.parent is None else _written(memory.whole, t, view.places)
    if not followed:
        memory.whole.node = node
    touched = np.zeros(memory.whole.value.size, bool)
    touched[view.places] = True
    flat: Any = None
    for m in alive:
        places = m.view_of.places
        if m is t or not touched[places].any():
            continue
        if m.view_of.parent is None:
            new = memory.whole
        else:
            flat = _reshaped(memory.whole, (-1,)) if flat is None else flat
            new = _taken(flat, places)
        m.value = new.value
        if followed and not m.view_of.cut:
            m.node = new.node


def _written(whole: Any, part: Any, places: Any) -> Any:
    """The whole with some entries replaced."""
    source = np.arange(whole.value.size)
    source[places.reshape(-1)] = source.size + np.arange(places.size)
    both: Any = TABLE["cat"](_reshaped(whole, (-1,)), _reshaped(part, (-1,)), dim=0)
    return _taken(both, source.reshape(whole.value.shape))


def _taken(flat: Any, places: Any) -> Any:
    taken: Any = TABLE["take_ids"](flat, ids=np.ascontiguousarray(places))
    return taken


def _reshaped(x: Tensor, shape: tuple[int, ...]) -> Any:
    size = int(np.prod(x.value.shape))
    reshaped: Any = TABLE["unsafe_view"](x.snapshot(), shape=(size,) if shape == (-1,) else shape)
    return reshaped


__all__ = ["link", "link_detached", "spread"]
