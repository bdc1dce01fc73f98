"""What is to be told when a program has ended: its leaves, their explanations, and its mistakes.

Read `ended`, which collects an `Ending`; `ending_text` and `page` write it down. May import everything in
this room.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from pullback.autograd import passes
from pullback.errors import OURS
from pullback.explanations.api import explain
from pullback.explanations.mistake import Mistake
from pullback.explanations.mistakes import Scene, mistakes_of
from pullback.explanations.naming import named_in
from pullback.explanations.remembered import Remembered, explained, remembered
from pullback.explanations.report import Explanation
from pullback.explanations.seen import LeafStory
from pullback.explanations.standing import Standing, judged
from pullback.explanations.witness import Witness
from pullback.graph.lines import Line, line_of
from pullback.graph.node import LEAF, Node, Slot
from pullback.graph.tensor import Tensor, wrap
from pullback.transform.forward import reachable

GONE = "the record of its last pass is not among the latest, which alone are kept"
UNREACHED = "no recorded path leads from it to the output of any backward pass"
RESET = "it was reset after the last backward pass, or only autograd.grad returned it"
PASSED_OVER = "passes went through it, but were asked for other inputs only"
MOST_LEAVES = 20  # leaves explained
Scope = tuple[dict[str, Any], str]


@dataclass(frozen=True, eq=False)
class Told:
    """One leaf: how its gradient is, and why.

    standing     the name, the kind, the sentence
    explanation  None where there is nothing to explain it from
    note         what the explanation is of, where that is not plain; or why there is none
    """

    standing: Standing
    explanation: Explanation | None
    note: str = ""

    @property
    def name(self) -> str:
        """The name, or what is known of a leaf without one."""
        return self.standing.name

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        s = self.standing
        return {
            "name": s.name, "shape": list(s.leaf.value.shape), "kind": s.kind, "text": s.text,
            "note": self.note,
            "explanation": None if self.explanation is None else self.explanation.to_dict(),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Ending:
    """Everything that is told at a program's end.

    program   the file's name
    told      leaves whose gradient needs a word (all of them with `everything`), in the program's order
    more      how many further ones there are (only `MOST_LEAVES` are explained)
    healthy   the others
    unasked   names of leaves that no backward pass was run for
    mistakes  what was proven
    error     the first line of the exception that ended the program, or ""
    passes    how many backward passes ran
    last      the latest pass whose record can be read, if there is one
    failures  parts of the report that could not be made, and why
    """

    program: str
    told: tuple[Told, ...]
    more: int
    healthy: tuple[Standing, ...]
    unasked: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    error: str
    passes: int
    last: Remembered | None = None
    failures: tuple[str, ...] = ()

    @property
    def leaves(self) -> int:
        """How many leaves there are."""
        return len(self.told) + self.more + len(self.healthy) + len(self.unasked)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "program": self.program, "error": self.error or None, "passes": self.passes,
            "leaves": [t.to_dict() for t in self.told], "more": self.more,
            "healthy": [Told(s, None).to_dict() for s in self.healthy],
            "unasked": list(self.unasked), "mistakes": [m.to_dict() for m in self.mistakes],
            "failures": list(self.failures),
        }  # fmt: skip


def ended(
    program: str,
    seen: Witness,
    main: dict[str, Any],
    error: BaseException | None = None,
    *,
    everything: bool = False,
) -> Ending:
    """Collect what is to be told.

    main        the variables of the program
    error       the exception that ended it: the variables of its frames are looked at too
    everything  explain healthy leaves as well
    """
    scopes: list[Scope] = [(main, ""), *_frames(error)]
    failures = list(seen.failures)
    scene = Scene(seen, scopes)
    every = remembered(passes.recent, seen.snapshots)
    leaves = _leaves(scene, every)
    scene.leaves = [(name, t) for name, t, _ in leaves]
    last = every[0] if every else None
    mistakes = _guarded(failures, "looking for mistakes", lambda: mistakes_of(scene), [])
    found = _Leaves(scene, leaves, every, error is not None, failures).collect(everything)
    first = "" if error is None else _first_line(error)
    return Ending(program, *found, tuple(mistakes), first, seen.passes, last, tuple(failures))


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")


def _guarded(failures: list[str], what: str, work: Callable[[], Any], otherwise: Any) -> Any:
    """Do the work; a report that fails in one place is still a report, and says so."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever it is, the program's status and the rest must not suffer
        at = traceback.extract_tb(error.__traceback__)[-1]
        failures.append(f"{what} failed ({at.name}, {at.lineno}): {_first_line(error)}")
        return otherwise


def _frames(error: BaseException | None) -> Iterator[Scope]:
    """The variables of the functions that an exception passed through, outermost first."""
    step: TracebackType | None = None if error is None else error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_name != "<module>" and not OURS[code.co_filename]:
            yield step.tb_frame.f_locals, f" (in {code.co_name})"
        step = step.tb_next


# ---------------------------------------------------------------------- the leaves


Found = tuple[str, Tensor, LeafStory | None]


def _leaves(scene: Scene, every: Sequence[Remembered]) -> list[Found]:
    """Every leaf that requires grad and still exists, named ones first, in the program's order."""
    found: dict[int, Found] = {}
    for scope, where in scene.scopes:
        for name, t in named_in(scope):
            if t.node is LEAF and not t.cut and t.foreign is None and id(t) not in found:
                found[id(t)] = (name + where, t, scene.seen.known(t))
    taken = {name for name, _, _ in found.values()}
    users = _first_users(every)
    for story in list(scene.seen.leaves.values())[::-1]:  # of several with one name, the latest
        t = story.ref()
        if t is None or id(t) in found or t.node is not LEAF or not story.passes:
            continue
        name = story.name or f"leaf of shape {list(t.value.shape)}{users.get(id(t), '')}"
        if name not in taken:
            taken.add(name)
            found[id(t)] = (name, t, story)
    return list(found.values())


def _first_users(every: Sequence[Remembered]) -> dict[int, str]:
    """For each leaf of the remembered passes, the first op that took it."""
    found: dict[int, str] = {}
    for one in every:
        for node in reachable(one.outs):
            line = line_of(node)
            for e in node.edges:
                if isinstance(e, Tensor):
                    found.setdefault(
                        id(e), f", taken by {node.op.name}{f' at {line}' if line is not None else ''}"
                    )
    return found


class _Leaves:
    """Sorts the leaves into those that are told, healthy ones, and those nobody asked for."""

    def __init__(
        self,
        scene: Scene,
        leaves: Sequence[Found],
        every: Sequence[Remembered],
        failed: bool,
        failures: list[str],
    ) -> None:
        self.scene, self.found, self.every, self.failures = scene, leaves, every, failures
        self.explained: dict[int, Explanation | None] = {}
        self.reasons: dict[int, str] = {}
        self.ahead = self._ahead() if failed and not scene.seen.passes else None

    def collect(
        self, everything: bool
    ) -> tuple[tuple[Told, ...], int, tuple[Standing, ...], tuple[str, ...]]:
        """(told, more, healthy, unasked)"""
        asked = [f for f in self.found if self._asked(f)]
        unasked = tuple(name for name, t, story in self.found if not self._asked((name, t, story)))
        rows: list[tuple[str, Tensor, Any, bool]] = []
        since: set[int] = set()
        for name, t, story in asked:
            g, returned, reset = _gradient(t, story)
            if reset:
                since.add(id(t))
            if not (reset and g is None):  # nothing is known of a large gradient that was reset
                rows.append((name, t, g, returned))
        standings = judged(rows)
        chosen = [s for s in standings if everything or s.kind != "healthy"]
        for one in self.every:
            one.wanted = [s.leaf for s in chosen[:MOST_LEAVES] if one in self._candidates(s.leaf)[0]]
        told = tuple(self._told(s, id(s.leaf) in since) for s in chosen[:MOST_LEAVES])
        healthy = tuple(s for s in standings if s.kind == "healthy" and not everything)
        return told, max(0, len(chosen) - MOST_LEAVES), healthy, unasked

    def _asked(self, found: Found) -> bool:
        """Was a pass run that was to give this leaf a gradient?"""
        _, t, story = found
        if t.stored_grad is not None or (story is not None and (story.passes or story.asks)):
            return True
        return self.scene.seen.backwards > 0 or self.ahead is not None

    def _told(self, s: Standing, reset: bool) -> Told:
        explanation = self._explanation(s.leaf)
        note = ""
        if reset:
            note = "judged by the last backward pass; .grad was reset after it"
        elif self.ahead is not None:
            note = f"as backward from {self.ahead[0]} would give it"
        note = "; ".join(filter(None, (note, self.reasons.get(id(s.leaf), ""))))
        return Told(s, explanation, note)

    def _explanation(self, t: Tensor) -> Explanation | None:
        if id(t) not in self.explained:
            self.explained[id(t)] = _guarded(
                self.failures, "explaining a leaf", lambda: self._explain(t), None
            )
        return self.explained[id(t)]

    def _explain(self, t: Tensor) -> Explanation | None:
        found = self._found(t)
        if found is not None:
            _ = found.rows  # worked out here, where a failure is told as one
        return found

    def _found(self, t: Tensor) -> Explanation | None:
        if self.ahead is not None:
            _, out = self.ahead
            upstream = None if out.value.size == 1 else wrap(np.ones(out.value.shape, out.value.dtype))
            return explain(out, t, upstream=upstream)
        story = self.scene.seen.known(t)
        candidates, reached = self._candidates(t)
        found, reason = explained(t, candidates)
        if found is None or (reached and found.gradient is None):
            gone = GONE if reached else ""
            if reason or gone:
                self.reasons[id(t)] = f"not explained: {reason or gone}"
            return None
        if story is not None and t.stored_grad is not None:
            found.contributions = story.count
        if t.stored_grad is None:
            found.none_reason = RESET if reached else UNREACHED if found.gradient is None else PASSED_OVER
        return found

    def _candidates(self, t: Tensor) -> tuple[list[Remembered], bool]:
        """The passes that may explain a leaf: the one that reached it last, if one did, else all of them."""
        story = self.scene.seen.known(t)
        if story is None or not (story.passes or story.asked is not None):
            return list(self.every), False
        number = story.at or story.asked_at
        return [one for one in self.every if one.snapshot.number == number], True

    def _ahead(self) -> tuple[str, Tensor] | None:
        """Where no pass has run: the latest recorded tensor that has a name, as the output that was meant."""
        best: tuple[int, str, Tensor] | None = None
        for scope, where in self.scene.scopes:
            for name, t in named_in(scope):
                node = t.node.node if type(t.node) is Slot else t.node
                if type(node) is Node and t.foreign is None and (best is None or node.number > best[0]):
                    best = (node.number, name + where, t)
        if best is None:
            return None
        _, name, t = best
        return (name if t.value.size == 1 else f"{name}.sum()", t)


def _gradient(t: Tensor, story: LeafStory | None) -> tuple[Any, bool, bool]:
    """(what to judge, did `autograd.grad` return it, was `.grad` reset after the last pass)"""
    g = None if t.stored_grad is None else np.asarray(t.stored_grad.value)
    if g is None and story is not None and story.asks and not story.passes:
        return story.asked, True, False
    if story is not None and story.passes and (g is None or not g.any()):
        last = story.latest
        if g is None or (last is not None and last.any()):
            return last, False, True
    return g, False, False


def source_lines(ending: Ending) -> list[Line]:
    """The lines that the report names, each once, in the order of their numbers."""
    found: dict[Line, None] = {}
    for told in ending.told:
        for row in () if told.explanation is None else told.explanation.rows:
            if row.line is not None:
                found[row.line] = None
    for m in ending.mistakes:
        found.update(dict.fromkeys(m.lines))
    return sorted(found, key=lambda at: (at.file, at.number))


__all__ = ["Ending", "Told", "ended", "source_lines"]
