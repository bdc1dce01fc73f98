"""vmap's machinery: batched tensors, how ops run on them, and how tensors cross the border of a vmap.

Read `BatchedTensor` first (`lanes` holds its value), then `run`. A batched tensor is a tensor of the
level below with one more dimension in front; an op runs through its `batch` facet on those, so levels
nest. Autograd's record sits on top: nodes recorded inside vmap hold batched tensors, and `enter` and
`leave`, which cross the border, are each other's transposes. May import `families`, `graph`,
`transform.lanes`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.calls import NUMBER, number_value
from pullback.families.op import Absent, Op, absent, make_node, strip
from pullback.graph.modes import state
from pullback.graph.node import Aval, Node, Slot
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.ops.join import stack
from pullback.transform.lanes import INPLACE, Lanes, write_through
from pullback.transform.shown import text

_number = itertools.count(1).__next__


class Level:
    """One running vmap: its number (inner ones are higher), size, how random ops behave, and its nesting
    depth.
    """

    def __init__(self, size: int, randomness: str, custom: Callable[..., Any]) -> None:
        """Open a level of `size` lanes; `custom` runs custom Functions on batched tensors."""
        self.custom = custom
        self.number = _number()
        self.size = size
        self.randomness = randomness
        self.depth = len(state.levels) + len(state.tracking) + 1

    def batched(self, inner: Tensor) -> Tensor:
        """A tensor inside this level from one whose first dimension runs over the lanes."""
        return batched(inner, self)


class BatchedTensor(Tensor):
    """A tensor inside vmap."""

    def foreign(self, op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run an op that has a batched argument."""
        if state.tracer is not None:  # a loop body takes tensors from outside of it in as they are
            return state.tracer.take(op, args, params)
        return run(op, args, params)

    def foreign_write(
        self, call: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """An in-place op: run the out-of-place one and take its result over."""
        result = call(snapshot(self), *args, **kwargs)
        if tuple(result.value.shape) != self.value.shape:
            raise RuntimeError(
                message(
                    f"output with shape {list(self.value.shape)} doesn't match the broadcast shape "
                    f"{list(result.value.shape)}",
                    f"{name} inside vmap",
                )
            )
        if result.dtype.category > self.dtype.category:
            raise RuntimeError(
                message(
                    f"result type {result.dtype.word} can't be cast to the desired output type "
                    f"{self.dtype.word}",
                    f"{name} writes into a tensor of dtype {self.dtype!r}",
                    "convert the tensor first, for example x = x.float()",
                )
            )
        if result.value.dtype != self.value.dtype:
            result = result.to(self.dtype)
        if not write_through(self, result):
            self._take_over(result)
        return self

    def _take_over(self, result: Tensor) -> None:
        """Become the result of a recorded write; tensors that shared this one's memory would not see it, so
        views are refused.
        """
        inner: Tensor = self
        while isinstance(inner, BatchedTensor):
            inner = inner.value.inner
        counter = inner.counter
        if inner.base is not None or (counter is not None and any(r() is not None for r in counter.views)):
            raise RuntimeError(
                message(
                    "vmap: a write that autograd follows cannot go into memory that is shared with a view "
                    "inside the mapped function",
                    f"a tensor of shape {list(self.value.shape)} per sample",
                    "use the out-of-place form, or write before taking the view",
                )
            )
        if not isinstance(result, BatchedTensor):
            result = lift(result, self.value.level)
        if result.value.level.number > self.value.level.number:
            raise RuntimeError(message(INPLACE))
        self.value = result.value
        self.node = result.node

    def foreign_function(self, function: Any, args: tuple[Any, ...]) -> Any:
        """Run a custom Function on batched arguments."""
        return self.value.level.custom(function, args)

    def refuse(self, what: str) -> None:
        """Raise PyTorch's error for reading a value, which has one per lane."""
        if what == "bool":
            raise RuntimeError(
                message(
                    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control "
                    "flow. We don't support "
                    "that yet, please file an issue at https://github.com/pytorch/pytorch/issues .",
                    f"the tensor has one value for each of the {self.value.level.size} samples",
                    "choose with torch.where, which works sample by sample",
                )
            )
        raise RuntimeError(
            message(
                "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over "
                "calling .item() on a Tensor, "
                "please try to rewrite what you're doing with other operations. If error is occurring "
                "somewhere inside PyTorch "
                "internals, please file a bug report.",
                f"the tensor has one value for each of the {self.value.level.size} samples",
                "keep it a tensor inside the mapped function",
            )
        )

    def storage(self) -> Any:
        """Refused: the lanes have no memory of their own shape."""
        raise RuntimeError(
            message(
                "Cannot access data pointer of Tensor that doesn't have storage",
                f"a tensor of shape {list(self.value.shape)} per sample",
                "use operations on tensors instead of NumPy or raw memory",
            )
        )

    def text(self) -> str:
        """PyTorch's printed form of a tensor inside vmap."""
        return text(self)

    def new_filled(self, number: float) -> Tensor:
        """A constant of this tensor's shape and dtype, lane by lane."""
        inner = self.value.inner
        filled = (
            inner.new_filled(number)
            if isinstance(inner, BatchedTensor)
            else wrap(np.full(inner.value.shape, number, inner.value.dtype))
        )
        return batched(filled, self.value.level)

    def new_ones_like(self) -> Tensor:
        """Ones of this tensor's shape and dtype."""
        return self.new_filled(1)


def batched(inner: Tensor, level: Level, node: Any = None) -> BatchedTensor:
    """A batched tensor around a tensor of the level below whose first dimension runs over the lanes.

    Newer levels are always outside older ones. Sweeps over the record of a vmap that has ended, inside a
    newer one, cross the older
    border while the newer lanes are there: the two lane dimensions then change places.
    """
    if isinstance(inner, BatchedTensor) and inner.value.level.number > level.number:
        return batched(batched(inner.value.inner.transpose(0, 1), level), inner.value.level, node)
    t = object.__new__(BatchedTensor)
    t.value = Lanes(inner, level)
    if node is not None:
        t.node = node
    return t


def snapshot(t: Tensor) -> Tensor:
    """The tensor as it is now, which a later write to t does not change."""
    if isinstance(t, BatchedTensor):
        return batched(t.value.inner, t.value.level, t.node)
    return wrap(t.value, t.node) if t.foreign is None else t.snapshot()


def level_of(t: Any) -> Level | None:
    """The innermost level a tensor is batched at."""
    return t.value.level if isinstance(t, BatchedTensor) else None


# ---------------------------------------------------------------------- running an op


def run(op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Run an op through its batch facet at the innermost level among its arguments, and record it on top."""
    levels = [a.value.level for a in args if isinstance(a, BatchedTensor)]
    level = max(levels, key=lambda x: x.number)
    inner: list[Any] = []
    dims: list[int | None] = []
    for a in args:
        if isinstance(a, BatchedTensor) and a.value.level is level:
            inner.append(a.value.inner)
            dims.append(0)
        else:
            # an index that a rule kept as an array is a tensor to batch rules
            inner.append(wrap(a) if isinstance(a, np.ndarray) else strip(a))
            dims.append(None)
    before = state.grad
    state.update(grad=False)
    try:
        out = batch_rule(op)(level.size, dims, inner, params)
    finally:
        state.update(grad=before)
    return _record(op, args, params, _wrap(out, level), level)


def _wrap(out: tuple[Any, Any], level: Level) -> Any:
    values, out_dims = out
    if isinstance(values, tuple):
        several = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(values)
        return tuple(_lane_front(v, d, level) for v, d in zip(values, several, strict=True))
    return _lane_front(values, out_dims, level)


def _lane_front(v: Tensor, dim: int | None, level: Level) -> Tensor:
    if dim is None:
        return v
    if dim != 0:
        v = v.movedim(dim, 0)
    return batched(v, level)


def _record(op: Op, args: tuple[Any, ...], params: dict[str, Any], out: Any, level: Level) -> Any:
    followed = any(isinstance(a, Tensor) and a.node is not None for a in args)
    if not (followed and state.grad and op.differentiable):
        return out
    lifted = tuple(
        lift(a, level) if isinstance(a, Tensor) and a.node is not None and level_of(a) is not level else a
        for a in args
    )
    outs: tuple[Any, ...] = out if isinstance(out, tuple) else (out,)
    node = make_node(op, lifted, params, tuple(outs) if isinstance(out, tuple) else out)
    node.lanes = node.special = True
    if hasattr(op, "partials"):
        node.meta = tuple((a.value.shape, a.value.dtype) if isinstance(a, Tensor) else None for a in lifted)
        node.args = tuple(
            number_value(a, outs[0].value.dtype) if isinstance(a, NUMBER) else a for a in node.args
        )
    if op.keeps_out:
        node.out = tuple(map(snapshot, outs)) if isinstance(out, tuple) else snapshot(out)
    if isinstance(out, tuple):
        node.count = len(out)
        node.out_avals = tuple(Aval(o.value.shape, o.value.dtype) for o in outs)
        for i, o in enumerate(outs):
            if o.value.dtype.kind in "fc":
                o.node = Slot(node, i)
    elif out.value.dtype.kind in "fc":
        out.node = node
    return out


def batch_rule(op: Op) -> Callable[..., Any]:
    """An op's batch facet, or one call per lane where it has none."""
    rule = op.batch
    if isinstance(rule, Absent):
        return lambda size, dims, args, params: one_by_one(op, size, dims, args, params)
    return rule


def one_by_one(
    op: Op, size: int, dims: Sequence[int | None], args: Sequence[Any], params: dict[str, Any]
) -> Any:
    """Run an op lane by lane and stack: correct for every op, with a cost that grows with the number of
    lanes.
    """
    results = [
        op(*(a if d is None else a.select(d, i) for a, d in zip(args, dims, strict=True)), **params)
        for i in range(max(size, 1))
    ]
    if size == 0:
        results = [op(*(_lane_of_none(a, d) for a, d in zip(args, dims, strict=True)), **params)]
    if isinstance(results[0], tuple):
        several = tuple(stack([r[k] for r in results])[:size] for k in range(len(results[0])))
        return several, (0,) * len(several)
    return stack(results)[:size], 0


def _lane_of_none(a: Any, d: int | None) -> Any:
    if d is None:
        return a
    shape = tuple(n for i, n in enumerate(a.value.shape) if i != d)
    return wrap(np.ones(shape, a.value.dtype))


# ---------------------------------------------------------------------- crossing the border


class Enter(Op):
    """From the level below into the lanes: the first dimension becomes the lane."""

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """The transpose: leave."""
        r = leave(g, node.params["level"])
        return [_plain(r, tensors)]

    def push(self, node: Node, tangents: Sequence[Any]) -> Any:
        """The same crossing for the tangent."""
        return enter(tangents[0], node.params["level"])


class Leave(Op):
    """Out of the lanes: they become the first dimension of a tensor of the level below."""

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """The transpose: enter."""
        del tensors  # inside the lanes rules always run on tensors
        t = g if isinstance(g, Tensor) else wrap(g)
        return [enter(t, node.params["level"])]

    def push(self, node: Node, tangents: Sequence[Any]) -> Any:
        """The same crossing for the tangent."""
        return leave(tangents[0], node.params["level"])


def _plain(r: Tensor, tensors: bool) -> Any:
    return r if tensors or r.foreign is not None else r.value


_BORDER = absent("the border of vmap: the same values, seen with or without their lanes; nothing is computed")
_options: dict[str, Any] = {
    "keeps": (False,),
    "keeps_out": False,
    "facets": dict.fromkeys(("type", "jvp", "batch", "depend", "lower", "zero", "samples"), _BORDER),
}
_enter = Enter(
    "vmap_enter",
    "control",
    lambda x, **_level: x,
    vjp=[lambda g, _out, _x, *, level: leave(g, level)],
    **_options,
)
_leave = Leave(
    "vmap_leave",
    "control",
    lambda x, **_level: x,
    vjp=[lambda g, _out, _x, *, level: enter(g, level)],
    **_options,
)


def enter(x: Tensor, level: Level) -> Tensor:
    """A tensor whose first dimension runs over the lanes, seen from inside the level."""
    inner = strip(x)
    if inner is not x and x.foreign is None:
        inner.counter = x.shared_counter()  # writes inside are seen by those who saved x outside
    t = batched(inner, level)
    if x.node is not None and state.grad:
        t.node = Node(
            _enter, (Aval(t.value.shape, t.value.dtype),), (edge_of(x),), None, {"level": level}, None
        )
    return t


def leave(t: Tensor, level: Level) -> Tensor:
    """A tensor from inside the level with its lanes as first dimension; one that has no lanes is repeated."""
    own = level_of(t)
    if own is None or own.number < level.number:
        return t.expand(level.size, *t.value.shape)
    if own is not level and own not in state.levels:
        raise RuntimeError(
            message("vmap: a tensor escaped from an inner vmap", "", "return it from the mapped function")
        )
    r = _without(strip(t), level)
    if t.node is not None and state.grad:
        v = r.value
        r.node = Node(_leave, (Aval(v.shape, v.dtype),), (edge_of(t),), None, {"level": level}, None)
        r.node.lanes = r.node.special = isinstance(r, BatchedTensor)
    return r


def _without(t: Tensor, level: Level) -> Tensor:
    """The lanes of a level, also from below newer ones, as first dimension."""
    own = level_of(t)
    if own is level:
        return snapshot(t.value.inner)
    if own is None or own.number < level.number:
        return t.expand(level.size, *t.value.shape)
    return batched(_without(t.value.inner, level).transpose(0, 1), own)


def lift(a: Tensor, level: Level) -> Tensor:
    """A tensor from outside, repeated in every lane; its cotangent is the sum over the lanes."""
    return enter(a.expand(level.size, *a.value.shape), level)


def lift_all(a: Tensor) -> Tensor:
    """A tensor repeated in the lanes of every running level it does not have yet: what differentiation
    inside vmap starts from.
    """
    for level in state.levels:
        if not _has_level(a, level):
            a = lift(a, level)
    return a


def _has_level(a: Tensor, level: Level) -> bool:
    while isinstance(a, BatchedTensor):
        if a.value.level is level:
            return True
        a = a.value.inner
    return False


__all__ = [
    "BatchedTensor",
    "Level",
    "batched",
    "enter",
    "leave",
    "lift",
    "lift_all",
    "run",
    "snapshot",
]
