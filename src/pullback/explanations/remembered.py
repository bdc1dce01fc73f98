"""The latest backward passes of a program, with its leaves as they were then.

Read `Remembered`: training updates leaves in place right after a pass. `autograd.passes` copies what a pass
frees; where a record was retained, `Snapshot` puts the leaves back while it is read. May import `after`,
`api`, `report`, `graph`, `autograd`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pullback.autograd.engine import key_of
from pullback.explanations.after import outputs_of
from pullback.explanations.api import explain
from pullback.explanations.report import Explanation
from pullback.graph.node import Counter
from pullback.graph.tensor import Tensor, wrap

BYTES = 1 << 25  # of leaves that are copied per pass; larger ones are left as they are


class Snapshot:
    """The values of leaves at a pass.

    roots  the edges where the pass started: they say which pass it was
    """

    __slots__ = ("number", "roots", "values")

    def __init__(self, roots: Any, leaves: Iterable[Tensor], number: int) -> None:
        """number  of the record at that time"""
        self.roots = tuple(edge for edge, _ in roots)
        self.number = number
        self.values: list[tuple[Tensor, Any, Any]] = []
        size = 0
        for t in leaves:
            v = t.value
            size += v.nbytes
            if size > BYTES:
                break
            self.values.append((t, v, v.copy() if isinstance(v, np.ndarray) else v))

    def belongs_to(self, p: Any) -> bool:
        """Was this taken at that pass?"""
        keys = [key_of(edge) for edge, _ in p.roots]
        mine = map(key_of, self.roots)
        return len(keys) == len(self.roots) and all(map(_same, keys, mine))

    @contextmanager
    def restored(self) -> Generator[None]:
        """While it lasts, the leaves hold what they held at the pass, unwritten since."""
        undo: list[tuple[Tensor, Any, Any, Counter | None, list[int]]] = []
        for t, memory, old in self.values:
            now, counter = t.value, t.counter
            bumps = [] if counter is None else counter.bumps
            undo.append(
                (
                    t,
                    now,
                    now.copy() if now is memory and isinstance(now, np.ndarray) else None,
                    counter,
                    bumps,
                )
            )
            if now is memory and isinstance(now, np.ndarray):
                _fill(now, old)
            else:
                t.value = old
            if counter is not None:
                counter.bumps = [b for b in bumps if b <= self.number]
        try:
            yield
        finally:
            for t, now, new, counter, bumps in undo:
                t.value = now
                if new is not None:
                    _fill(now, new)
                if counter is not None:
                    counter.bumps = bumps


def _same(a: Any, b: Any) -> bool:
    """Are these the keys of one edge? (Tensors are compared by identity.)"""
    return a is b or (isinstance(a, tuple) and isinstance(b, tuple) and a[0] is b[0] and a[1] == b[1])


def _fill(memory: Any, values: Any) -> None:
    """Write values, also into memory that the program may only read."""
    if np.array_equal(memory, values, equal_nan=memory.dtype.kind in "fc"):
        return
    memory[...] = values


class Remembered:
    """One pass whose record can still be read.

    outs, weights  its outputs and upstreams
    wanted         tensors that will be explained
    """

    def __init__(self, p: Any, snapshot: Snapshot) -> None:
        self.p, self.snapshot = p, snapshot
        self.outs, self.weights = outputs_of([p])
        self.wanted: list[Tensor] = []
        self.known: dict[int, Explanation] = {}

    @contextmanager
    def opened(self) -> Generator[None]:
        """While it lasts, the record holds what the pass freed, and leaves what they held."""
        with self.p.restored(), self.snapshot.restored():
            yield

    def explain(self, t: Tensor) -> Explanation:
        """The explanation of a gradient in this pass; RuntimeError where the record cannot be read.

        All `wanted` tensors are explained by the same sweeps.
        """
        if id(t) not in self.known:
            together = self.wanted if any(w is t for w in self.wanted) else [t]
            upstream = [wrap(w) for w in self.weights] if len(self.outs) > 1 else wrap(self.weights[0])
            with self.opened():
                every: list[Explanation] = explain(self.outs, together, upstream=upstream)
            for one, found in zip(together, every, strict=True):
                found.opened = self.opened
                self.known[id(one)] = found
        return self.known[id(t)]


def remembered(recent: Iterable[Any], snapshots: Sequence[Snapshot]) -> list[Remembered]:
    """The passes that can be read, latest first."""
    found: list[Remembered] = []
    for p in reversed(list(recent)):
        if p.too_large:
            continue
        snapshot = next((s for s in reversed(snapshots) if s.belongs_to(p)), None)
        if snapshot is None:  # of another program in this process
            continue
        one = Remembered(p, snapshot)
        if any(t.node is not None for t in one.outs):
            found.append(one)
    return found


def proven(found: Explanation) -> bool:
    """Does an explanation name a cause beyond "nothing leads there"?"""
    return any(row.kind not in ("NoPath", "NotDetermined") for row in found.rows)


def explained(t: Tensor, every: Sequence[Remembered]) -> tuple[Explanation | None, str]:
    """The explanation by the latest pass that reached a leaf, else by one that shows what cut it off.

    Where there is none, the reason.
    """
    first: Explanation | None = None
    shown: Explanation | None = None
    reason = ""
    for one in every:
        try:
            found = one.explain(t)
        except RuntimeError as error:
            reason = reason or str(error).splitlines()[0]
            continue
        if found.gradient is not None:
            return found, ""
        first = first or found
        if shown is None and proven(found):
            shown = found
    return shown or first, reason


__all__ = ["Remembered", "Snapshot", "explained", "proven", "remembered"]
