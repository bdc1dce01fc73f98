"""The latest backward passes of a thread: what they started from and what they freed, to be explained.

Read `remember` first: every plain `backward()` and `autograd.grad()` ends there. A pass frees what its record
saved; where that is little, it is kept here instead, and `Pass.restored` puts it back for reading. Freed
nodes look freed all the same. Of a pass over a large record only weak references to its outputs remain, so a
program keeps at most a few small records alive. `contributions` counts the passes that `.grad` is the sum of,
while lines are recorded. May import `graph`.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator
from operator import attrgetter
from typing import Any

import numpy as np

from pullback.graph.lines import Line, here, line_at
from pullback.graph.modes import state
from pullback.graph.node import LEAF, Node, Slot, next_number
from pullback.graph.tensor import Parameter, Tensor

MOST = 4  # passes that a thread remembers while lines are recorded; else only the latest
# of a pass whose values are kept: nodes that saved something, bytes, record numbers from its first op to it
FEW, BYTES, SPAN = 200, 1 << 24, 2_000
# the same while lines are recorded
LINED_FEW, LINED_BYTES = 20_000, 1 << 26
_TENSORS = frozenset((Tensor, Parameter))

TINY = 1 << 14  # bytes of cotangents and leaves: a factor of theirs is below 2 KiB x 2 KiB
_saved = attrgetter("args", "out")
_family = attrgetter("op.family")


class Pass:
    """One backward pass.

    kind       "backward" or "grad"
    number     its record number: what ran later has a higher one
    too_large  True where what it freed was too much to keep; `values` is None then
    """

    __slots__ = ("_contexts", "_done", "_place", "_roots", "_saved", "kind", "number")

    def __init__(
        self,
        kind: str,
        number: int,
        roots: Any,
        done: list[Node] | None,
        saved: Any,
        contexts: Any,
        place: Any,
    ) -> None:
        """See `remember`."""
        self.kind = kind
        self.number = number
        self._roots, self._done, self._saved = roots, done, saved
        self._contexts, self._place = contexts, place

    @property
    def roots(self) -> list[tuple[Any, Any]]:
        """(edge, cotangent) of the outputs it started from; where nothing was kept, of those that live."""
        found: list[tuple[Any, Any]] = []
        for edge, c in self._roots:
            e = edge() if type(edge) is _Weak else edge
            if e is not None:
                found.append((e, c))
        return found

    @property
    def too_large(self) -> bool:
        """Whether what it freed was too much to keep."""
        return self._done is None

    @property
    def values(self) -> list[tuple[Node, Any, Any]] | None:
        """(node, args, out) of the nodes that it freed; None where that was too much to keep."""
        if self._done is None:
            return None
        return [(node, args, out) for node, (args, out) in zip(self._done, self._saved, strict=True)]

    @property
    def line(self) -> Line | None:
        """The line that called it, while lines are recorded."""
        return line_at(self._place)

    @property
    def leaves(self) -> list[Tensor]:
        """The leaves that its record leads to, in the order in which they are met."""
        found: dict[Tensor, None] = {}
        seen: set[Any] = set()
        stack = [e for e, _ in self.roots]
        while stack:
            e = stack.pop()
            node = e.node if type(e) is Slot else e
            if isinstance(node, Tensor):
                found[node] = None
            elif node is not None and node not in seen:
                seen.add(node)
                stack.extend(node.edges)
        return list(found)

    @contextlib.contextmanager
    def restored(self) -> Generator[None]:
        """Put what the pass freed back into its nodes for reading, and take it away again at the end.

        While lines are recorded, values that share memory with leaves or views are copies from the time of
        the pass; else they are the arrays themselves, which may have been written since.
        """
        kept = self.values or []
        before = [_saved(node) for node, _, _ in kept]
        entries = [(ctx, ctx._entries) for ctx, _ in self._contexts]
        for node, args, out in kept:
            node.args, node.out = args, out
        for ctx, saved in self._contexts:
            ctx._entries = saved
        try:
            yield
        finally:
            for (node, _, _), (args, out) in zip(kept, before, strict=True):
                node.args, node.out = args, out
            for ctx, saved in entries:
                ctx._entries = saved

    def __repr__(self) -> str:
        return f"<Pass {self.number} {self.kind}>"


class Recent(threading.local):
    """The latest passes of this thread as a sequence, newest last."""

    def __init__(self) -> None:
        """None yet."""
        self.entries: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, i: int) -> Pass:
        return Pass(*self.entries[i])

    def __iter__(self) -> Iterator[Pass]:
        return iter([Pass(*e) for e in self.entries])

    def clear(self) -> None:
        """Forget them all."""
        self.entries = []


recent = Recent()


class _Weak:
    """A weak reference to an edge."""

    __slots__ = ("index", "node")

    def __init__(self, edge: Any) -> None:
        several = type(edge) is Slot
        self.node = weakref.ref(edge.node if several else edge)
        self.index = edge.index if several else None

    def __call__(self) -> Any:
        node = self.node()
        return node if node is None or self.index is None else Slot(node, self.index)


def remember(  # noqa: C901 - one flat function: every backward ends here
    kind: str, roots: Any, done: list[Node], leaves: Iterable[Tensor], size: int, last: Any, small: bool
) -> None:
    """Keep a pass that has just run, before its nodes are freed. (Written flat: every backward ends here.)

    done    the nodes that will be freed
    leaves  the leaves that it reached
    size    bytes of the cotangents that its nodes saw
    last    the node that it visited last, which is the oldest
    small   False where nothing may be kept: the record was retained, or holds what hooks packed
    """
    number = next_number()
    if state.lines:
        _remember_lined(kind, number, roots, done, leaves, size, small)
        return
    if small and size <= TINY and len(done) <= FEW and (last is None or number - last.number <= SPAN):
        # so little that what the nodes saved need not be looked at one by one
        for leaf in leaves:
            size += leaf.value.nbytes
        if size <= TINY and "custom" not in map(_family, done):
            recent.entries = [(kind, number, roots, done, list(map(_saved, done)), (), None)]
            return
    if small and size <= BYTES and len(done) <= FEW and (last is None or number - last.number <= SPAN):
        saved: list[Any] = []
        contexts: Any = ()
        for leaf in leaves:
            size += leaf.value.nbytes
        for node in done:
            args, op = node.args, node.op
            saved.append((args, node.out))
            if not op.pull_number or node.meta is not None:  # else all values have the cotangent's size
                for a in args:
                    if type(a) in _TENSORS:
                        size += a.value.nbytes
                if op.family == "custom":
                    contexts = (*contexts, _context(node))
        if size <= BYTES:
            recent.entries = [(kind, number, roots, done, saved, contexts, None)]
            return
    recent.entries = [_emptied(kind, number, roots, done, None)]


def _emptied(kind: str, number: int, roots: Any, done: list[Node], place: Any) -> tuple[Any, ...]:
    """The entry of a pass of which nothing is kept."""
    nothing = None if done else []
    return (kind, number, [(_Weak(e), c) for e, c in roots], nothing, nothing, (), place)


def _context(node: Node) -> tuple[Any, Any]:
    ctx = node.__dict__["context"]
    return ctx, ctx._entries


def _remember_lined(
    kind: str, number: int, roots: Any, done: list[Node], leaves: Iterable[Tensor], size: int, small: bool
) -> None:
    """The same while lines are recorded: more is kept, of more passes, and safe from later writes."""
    place = here(4)
    entries = recent.entries = recent.entries[1 - MOST :]
    size += sum(leaf.value.nbytes for leaf in leaves)
    size += sum(a.value.nbytes for node in done for a in node.args if type(a) in _TENSORS)
    if not small or size > LINED_BYTES or len(done) > LINED_FEW:
        entries.append(_emptied(kind, number, roots, done, place))
        return
    contexts = [_context(node) for node in done if node.op.family == "custom"]
    saved = _copied([(node.args, node.out) for node in done])
    roots = [(e, np.array(c)) for e, c in roots]
    entries.append((kind, number, roots, done, saved, contexts, place))


def _copy(v: Any) -> Any:
    """The value in memory of its own; dimensions that were expanded stay so."""
    if not np.ndim(v):
        return np.array(v)[()]
    if 0 not in v.strides:
        return v.copy()
    compact = v[tuple(slice(0, 1) if s == 0 else slice(None) for s in v.strides)]
    return np.broadcast_to(compact.copy(), v.shape)


def _copied(saved: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Saved arguments with copies of those whose memory a later in-place write may reach."""
    copies: dict[int, Tensor] = {}

    def fixed(a: Any) -> Any:
        if not isinstance(a, Tensor) or not (a.node is LEAF or a.counter is not None):
            return a
        made = copies.get(id(a))
        if made is None:
            made = copies[id(a)] = object.__new__(Tensor)
            made.value, made.node = _copy(a.value), a.node
        return made

    return [(args if args is None else tuple(map(fixed, args)), out) for args, out in saved]


# ---------------------------------------------------------------------- what .grad is the sum of


def _version(g: Tensor) -> int:
    return 0 if g.counter is None else g.counter.version


def contributions(x: Tensor) -> int | None:
    """How many backward passes x.grad is the sum of since it was last None or zero; None where it is unknown.

    It is known where lines were recorded in all of those passes and nothing else wrote to x.grad.

    >>> import pullback as torch
    >>> x = torch.tensor(1.0, requires_grad=True)
    >>> with torch.record_lines():
    ...     for _ in range(3):
    ...         (x * 2).backward()
    >>> contributions(x)
    3
    """
    g = x.stored_grad
    if g is None:
        return 0
    count, version = g.__dict__.get("passes", (None, -1))
    if version == _version(g):
        return count
    return None if np.any(g.value) else 0


def contributed(x: Tensor, before: int | None) -> None:
    """Note that a pass was added to x.grad, of which `contributions` said `before` until then."""
    g = x.stored_grad
    if g is not None:
        g.shared_counter()  # a pass without lines adds to it unseen, but not without a new version
        g.__dict__["passes"] = (None if before is None else before + 1, _version(g))


__all__ = ["Pass", "contributed", "contributions", "recent", "remember"]
