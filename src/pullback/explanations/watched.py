"""Every argument that ops saw while a function ran, also those that their nodes do not keep.

A node keeps only what its rules read. Read `watched`, which remembers the rest during a run, then `Values`,
which finds the arguments of a node: seen on the way, kept, or worked out again (`values`). May import
`graph`, `families`, `values`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pullback.explanations.values import Facts, argument
from pullback.families.elementwise_facets import compute_dtype
from pullback.graph.modes import state
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor

Made = dict[int, tuple[Tensor, Any, tuple[Any, ...]]]


class Seen(dict[Node, tuple[Any, ...]]):
    """The arguments of nodes; `made`: the truth values that were computed, by their tensors' identity."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Made = {}


# a comparison is about to switch where its arguments are equal; the others pass on what they were given
COMPARED = frozenset({"lt", "gt", "le", "ge", "eq", "ne"})
COMBINED = frozenset(
    {
        "logical_and",
        "logical_or",
        "logical_not",
        "logical_xor",
        "bitwise_and",
        "bitwise_or",
        "bitwise_not",
        "bitwise_xor",
    }
)


class _Watcher:
    """Runs every op as it is and remembers its arguments; as `state.tracer` it is handed every op."""

    def __init__(self, seen: Seen, made: Made) -> None:
        self.seen, self.made = seen, made

    def take(self, op: Any, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run one op."""
        before = tuple(np.array(a.value) if _written_to(a) else a for a in args)
        with _without_tracer():
            out = op(*args, **params)
        for t in out if isinstance(out, tuple) else (out,):
            node = t.node.node if type(t.node) is Slot else t.node
            if type(node) is Node and node.op is op:
                self.seen[node] = before
            elif t.node is None and t.value.dtype.kind == "b":
                self.made[id(t)] = (t, op, before)
        return out

    def write(self, call: Any, target: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an in-place op; its arguments are not remembered."""
        with _without_tracer():
            return call(target, *args, **kwargs)


def _written_to(a: Any) -> bool:
    """Is the memory shared or written to, so that it may change again? (Then there is a version counter.)"""
    return isinstance(a, Tensor) and type(a.value) is np.ndarray and a.counter is not None


@contextmanager
def _without_tracer() -> Generator[None]:
    tracer = state.tracer
    state.update(tracer=None)
    try:
        yield
    finally:
        state.update(tracer=tracer)


@contextmanager
def watched() -> Generator[Seen]:
    """Remember the arguments of every op that is recorded inside; nothing else changes.

    Remembers nothing inside a transform or while a function is compiled.

    >>> import pullback as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with watched() as seen:
    ...     y = x - torch.tensor([1.0, 3.0])
    >>> [v.tolist() for v in Values(seen).arguments(y.node)]
    [[1.0, 2.0], [1.0, 3.0]]
    """
    seen = Seen()
    if state.tracer is not None or state.inside:
        yield seen
        return
    state.update(tracer=_Watcher(seen, seen.made))
    try:
        yield seen
    finally:
        state.update(tracer=None)


class Values:
    """The values that nodes saw; None where one is not known any more."""

    def __init__(self, seen: Seen | None = None) -> None:
        """seen: what `watched` remembered."""
        self.seen = Seen() if seen is None else seen
        self.facts = Facts()

    def arguments(self, node: Node) -> list[Any] | None:
        """The arguments as arrays, NumPy numbers and plain values; None where one of them is lost."""
        if node.args is None or node.lanes:
            return None
        seen = self.seen.get(node)
        found: list[Any] = []
        for i, e in enumerate(node.edges):
            a = seen[i] if seen is not None else node.args[i]
            if seen is not None and isinstance(a, Tensor):
                a = None if a.counter is not None and a.counter.written_since(node.number) else a.value
                if a is None:
                    return None
            elif seen is None and (isinstance(a, Tensor) or e is not None or hasattr(a, "dtype")):
                a = argument(node, i, self.facts)
                if a is None:
                    return None
            found.append(a)
        return found

    def switch(self, node: Node) -> Any:
        """How far the condition of a `where` is from switching: the least distance of the numbers compared.

        An array that broadcasts to the condition; None where it is not known how the condition was made.
        """
        args = self.seen.get(node)
        if args is None:
            return None
        waiting, found = [args[0]], np.asarray(np.inf)
        while waiting:
            known = self.seen.made.get(id(waiting.pop()))
            if known is None:
                return None
            _, op, given = known
            if op.name in COMBINED:
                waiting += [a for a in given if isinstance(a, Tensor)]
                continue
            if op.name not in COMPARED:
                return None
            a, b = (np.asarray(v.value if isinstance(v, Tensor) else v, dtype=float) for v in given)
            with np.errstate(invalid="ignore"):
                found = np.minimum(found, np.where(a == b, 0.0, np.abs(a - b)))
        return found

    def output(self, node: Node, args: Sequence[Any]) -> Any:
        """What the op returned for these arguments (a tuple for several)."""
        if node.out is not None:
            return node.out
        return node.op.eval(*args, **node.params)


def in_compute_dtype(op: Any, args: Sequence[Any]) -> list[Any]:
    """The arguments of an elementwise op, promoted as its call promotes them."""
    d = compute_dtype(op, args).numpy
    return [
        a if i < op.skip or (hasattr(a, "dtype") and a.dtype.kind == "b") else np.asarray(a).astype(d)[()]
        for i, a in enumerate(args)
    ]


__all__ = ["Seen", "Values", "in_compute_dtype", "watched"]
