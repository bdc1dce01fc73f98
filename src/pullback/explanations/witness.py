"""What a program does with its gradients while it runs: passes, resets, steps, reads of `.grad` in vain.

Read `watching`, which puts a `Witness` beside the calls that matter until the `with` ends: sweeps,
optimisers, and the warning about `.grad` of a non-leaf. It keeps numbers, weak references and copies for the
latest passes only, so being watched holds no long program in memory. May import `graph`, `autograd`, `optim`,
`naming`,
`pass_checks`, `remembered`, `seen`.
"""

from __future__ import annotations

import functools
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pullback.autograd import public
from pullback.errors import OURS, user_frame
from pullback.explanations.mistake import Mistake
from pullback.explanations.naming import named_in
from pullback.explanations.pass_checks import seen_in
from pullback.explanations.remembered import Snapshot
from pullback.explanations.seen import Asked, LeafStory, StepStory
from pullback.graph import tensor as tensors
from pullback.graph.lines import here, line_at, line_of
from pullback.graph.node import LEAF, Node, Slot, next_number
from pullback.graph.tensor import Tensor, wrap
from pullback.optim.optimizer import Optimizer

SAMPLE = 512  # entries of a leaf that are compared to see whether it was updated
MOST_PASSES = 1 << 17  # roots remembered
LARGE = 1 << 20  # entries of a gradient above which no copy is kept
MOST_LOOKS = 200  # how often the frames of the program are searched for a leaf's name
MOST_RECORDS = 64  # records that are looked at
MOST_STORIES = 64  # optimisers, and non-leaves whose `.grad` was read
KEPT = 8  # passes whose leaves are remembered
OLDEST = 6  # calls between the program's line and ours


class Witness:
    """What was seen; `watching` fills it."""

    def __init__(self) -> None:
        self.leaves: dict[int, LeafStory] = {}
        self.optimizers: dict[int, tuple[Any, StepStory]] = {}
        self.steps: list[StepStory] = []
        self.asked: dict[Any, Asked] = {}
        self.times = array("q")  # record numbers at which passes freed what they had read
        self.roots: dict[int, int] = {}  # record number of an output -> the freeing pass that started there
        self.passes = self.backwards = 0
        self.looks = 0
        self.records: set[Any] = set()
        self.found: list[Mistake] = []
        self.failures: list[str] = []
        self.snapshots: deque[Snapshot] = deque(maxlen=KEPT)
        self.clock = 0

    # ------------------------------------------------------------------ leaves

    def leaf(self, t: Tensor) -> LeafStory:
        """The story of a leaf; a new one on first sight."""
        found = self.leaves.get(id(t))
        if found is None:
            key, book = id(t), self.leaves
            found = book[key] = LeafStory(weakref.ref(t, lambda _: book.pop(key, None)))
            found.name = self._name(t)
        return found

    def known(self, t: Tensor) -> LeafStory | None:
        """The story of a leaf, if it has one."""
        return self.leaves.get(id(t))

    def _name(self, t: Tensor) -> str:
        """What the running functions call a tensor: `w (in train)`."""
        if self.looks >= MOST_LOOKS:
            return ""
        self.looks += 1
        for scope, where in _scopes():
            if not where:
                continue  # the program's own variables are looked at when it has ended
            for name, value in named_in(scope):
                if value is t:
                    return f"{name}{where}"
        return ""

    def added(self, leaves: Any, only: Any) -> None:
        """A pass is about to add these cotangents to `.grad`."""
        self.clock += 1
        self.backwards += 1
        place = here(3)
        for t in leaves:
            if (only is not None and t not in only) or t.node is not LEAF:
                continue
            story = self.leaf(t)
            have = t.stored_grad
            mark = _mark(t)
            if have is None or not np.any(have.value):
                story.reset = story.reset or story.passes > 0
                story.count = 0
            elif story.count and mark != story.mark:
                story.moved = True
            story.still = story.still and story.mark in (None, mark)
            story.mark = mark
            story.count += 1
            story.passes += 1
            story.first = story.first or self.clock
            story.last = self.clock
            story.latest = _copy(leaves[t])
            story.at = self.snapshots[-1].number if self.snapshots else 0
            if len(story.lines) < 4:
                story.lines[place] = None

    def looked(self, roots: Any) -> None:
        """A pass is about to run: its record is looked at once per line that made its outputs."""
        nodes = [edge.node if type(edge) is Slot else edge for edge, _ in roots]
        key = tuple((n.op.name, n.line) if type(n) is Node else None for n in nodes)
        if key in self.records or len(self.records) >= MOST_RECORDS:
            return
        self.records.add(key)
        outs = [wrap(_value(c), edge) for edge, c in roots if not isinstance(edge, Tensor)]
        try:
            found = seen_in(outs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not suffer
            self.failures.append(f"looking at a backward pass failed: {type(error).__name__}: {error}")
            return
        self.found += [m for m in found if m not in self.found]

    def swept(self, roots: Any, keep: bool, leaves: Any) -> None:
        """A pass has run; where it freed what it read, remember when."""
        self.passes += 1
        self.snapshots.append(Snapshot(roots, leaves, next_number()))
        if keep or len(self.times) >= MOST_PASSES:
            return
        for edge, _ in roots:
            node = edge.node if type(edge) is Slot else edge
            if type(node) is Node:
                self.roots.setdefault(node.number, len(self.times))
        self.times.append(next_number())

    def returned(self, wanted: Any, leaves: Any) -> None:
        """`autograd.grad` was asked for these leaves."""
        for key in wanted:
            if isinstance(key, Tensor) and key.node is LEAF:
                story = self.leaf(key)
                story.asks += 1
                story.asked_at = self.snapshots[-1].number
                c = leaves.get(key)
                story.asked = c.value if isinstance(c, Tensor) else c

    def read(self, t: Tensor) -> None:
        """`.grad` of a non-leaf was read."""
        node = t.node.node if type(t.node) is Slot else t.node
        made = line_of(node)
        place = line_at(here(3))
        key = (place, made, node.op.name)
        if len(self.asked) < MOST_STORIES and key not in self.asked:
            self.asked[key] = Asked(weakref.ref(t), tuple(t.value.shape), node.op.name, place, made)

    # ------------------------------------------------------------------ optimisers

    def made(self, optimizer: Any) -> StepStory:
        """The story of an optimiser; a new one on first sight."""
        known = self.optimizers.get(id(optimizer))
        if known is not None and known[0]() is optimizer:
            return known[1]
        story = StepStory(type(optimizer).__name__, here(3))
        key, book = id(optimizer), self.optimizers
        book[key] = (weakref.ref(optimizer, lambda _: book.pop(key, None)), story)
        if len(self.steps) < MOST_STORIES:
            self.steps.append(story)
        return story

    def grouped(self, optimizer: Any) -> None:
        """An optimiser got parameters: what are they called now?"""
        story = self.made(optimizer)
        have = {id(ref()) for ref, _ in story.names}
        fresh = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in have]
        called: dict[int, str] = {}
        for scope, where in _scopes():
            for name, value in named_in(scope):
                called.setdefault(id(value), f"{name}{where}")
        story.names += [(weakref.ref(p), called.get(id(p), "")) for p in fresh]

    def stepped(self, story: StepStory, optimizer: Any, empty: bool, place: Any) -> None:
        """An optimiser has stepped; `empty`: it found no gradient."""
        story.steps += 1
        story.latest = self.clock
        last = 0
        for group in optimizer.param_groups:
            for p in group["params"]:
                known = self.known(p)
                last = max(last, 0 if known is None else known.last)
        if not last:
            story.early += empty
            story.early_at = story.early_at or (place if empty else None)
        elif empty or story.zeroed > last:
            story.wiped += 1
            story.wiped_at = story.wiped_at or place


def _mark(t: Tensor) -> Any:
    """A fingerprint of a leaf's value."""
    flat = np.asarray(t.value).reshape(-1)
    return flat[:: max(1, flat.size // SAMPLE)].tobytes() if flat.size else b""


def _copy(c: Any) -> Any:
    """A cotangent as an array of its own; None for a large one."""
    if isinstance(c, Tensor) and c.foreign is not None:
        return None  # one lane of a vmap
    v = _value(c)
    return np.array(v) if v.size <= LARGE else None


def _value(c: Any) -> Any:
    return c.value if isinstance(c, Tensor) else c


def _scopes() -> Iterator[tuple[dict[str, Any], str]]:
    """The variables of the running functions of the program, innermost first, and of the program itself."""
    frame = user_frame()
    depth = 0
    while frame is not None and depth < OLDEST:
        code = frame.f_code
        if OURS[code.co_filename]:  # a function of the program that the package called back
            frame = frame.f_back
            continue
        top = code.co_name == "<module>"
        if not top or frame.f_globals.get("__name__") == "__main__":
            yield frame.f_locals, "" if top else f" (in {code.co_name})"
        if top:
            return
        frame, depth = frame.f_back, depth + 1


def _empty(optimizer: Any) -> bool:
    """Has no parameter of an optimiser a gradient?"""
    wanted = [p for group in optimizer.param_groups for p in group["params"] if p.node is not None]
    return bool(wanted) and all(p.stored_grad is None for p in wanted)


# ---------------------------------------------------------------------- beside the calls


@contextmanager
def watching() -> Generator[Witness]:
    """Watch every thread of the process while the `with` lasts.

    >>> import pullback as torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> with watching() as seen:
    ...     for _ in range(3):
    ...         w.sum().backward()
    >>> seen.known(w).count, seen.known(w).reset
    (3, False)
    """
    seen = Witness()
    kept: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, beside: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        original = vars(owner)[name]
        kept.append((owner, name, original))
        setattr(owner, name, functools.wraps(original)(beside(original)))

    patched: set[type] = set()

    def watch_class(kind: type) -> None:
        for one in kind.__mro__:
            if one not in patched and issubclass(one, Optimizer) and "step" in vars(one):
                patched.add(one)
                put(one, "step", functools.partial(_step, seen))

    watch_class(Optimizer)
    put(public, "run", functools.partial(_run, seen))
    put(public, "finish_leaves", functools.partial(_finish, seen))
    put(tensors, "non_leaf", functools.partial(_non_leaf, seen))
    put(Optimizer, "zero_grad", functools.partial(_zero_grad, seen))
    put(Optimizer, "add_param_group", lambda inner: _add_group(seen, watch_class, inner))
    try:
        yield seen
    finally:
        for owner, name, original in reversed(kept):
            setattr(owner, name, original)


def _run(seen: Witness, inner: Callable[..., Any]) -> Callable[..., Any]:
    def run(roots: Any, *, keep: bool, wanted: set[Any] | None, **options: Any) -> Any:
        seen.looked(roots)
        found = inner(roots, keep=keep, wanted=wanted, **options)
        seen.swept(roots, keep, found[0])
        if wanted is not None:
            seen.returned(wanted, found[0])
        return found

    return run


def _finish(seen: Witness, inner: Callable[..., Any]) -> Callable[..., Any]:
    def finish_leaves(leaves: dict[Any, Any], tensors: bool, only: Any) -> None:
        seen.added(leaves, only)
        inner(leaves, tensors, only)

    return finish_leaves


def _non_leaf(seen: Witness, inner: Callable[..., Any]) -> Callable[..., Any]:
    def non_leaf(t: Any) -> str:
        if t.foreign is None:
            seen.read(t)
        return inner(t)

    return non_leaf


def _zero_grad(seen: Witness, inner: Callable[..., Any]) -> Callable[..., Any]:
    def zero_grad(self: Any, *args: Any, **options: Any) -> None:
        story = seen.made(self)
        seen.clock += 1
        story.zeroed, story.reset_at = seen.clock, here()
        inner(self, *args, **options)

    return zero_grad


def _add_group(
    seen: Witness, watch_class: Callable[[type], None], inner: Callable[..., Any]
) -> Callable[..., Any]:
    def add_param_group(self: Any, *args: Any, **options: Any) -> None:
        inner(self, *args, **options)
        watch_class(type(self))
        seen.grouped(self)

    return add_param_group


def _step(seen: Witness, inner: Callable[..., Any]) -> Callable[..., Any]:
    def step(self: Any, *args: Any, **options: Any) -> Any:
        story = seen.made(self)
        if story.inside:  # a subclass that calls its parent's step
            return inner(self, *args, **options)
        place = here()
        story.inside = True
        try:
            found = inner(self, *args, **options)
        finally:
            story.inside = False
        seen.stepped(story, self, _empty(self), place)
        return found

    return step


__all__ = ["Witness", "watching"]
