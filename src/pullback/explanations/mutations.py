"""Which wrong rules reproduce a hand-made gradient: the search.

Read `single`, then `reproduced`. Every local rule between out and x is changed, one at a time, as people get
it wrong (`mutations_trials`); a change counts only if the gradient that it makes is the candidate to
rounding. Then changes together with a constant factor or a rearrangement, then pairs. May import
`explanations.mutations_engine`, `explanations.mutations_trials`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pullback.autograd.engine import key_of
from pullback.explanations.cotangents import pull
from pullback.explanations.mutations_engine import Change, Missing, Program, arrived
from pullback.explanations.mutations_trials import Trial, trials
from pullback.graph.lines import line_of
from pullback.graph.modes import QUIET, loud, quiet

Array = Any
PAIRS = 160  # single changes of which pairs are tried
LARGE = 2e7  # pairs times entries of which pairs are tried
MANY = 40_000  # single changes that are tried at all


class Target(NamedTuple):
    """An array to reproduce: the candidate itself, or with a factor or a rearrangement taken out of it.

    before   what was taken out, in words; "" for the candidate itself
    """

    before: str
    values: Array


@dataclass(frozen=True, slots=True)
class Mutation:
    """One wrong rule (or two) that makes the candidate of autograd's gradient, to rounding.

    op       the op whose rule is changed, by PyTorch's name
    name     the slip in two or three words
    text     the slip in a sentence, with the right formula in shapes where there is one
    line     where the op ran, if lines were recorded, else None
    node     the op's record number
    arg      the argument whose gradient the rule gives
    changes  how many things are wrong at once: 1, or 2 for pairs
    second   the other change of a pair, or None
    """

    op: str
    name: str
    text: str
    line: Any
    node: int
    arg: int
    changes: int = 1
    second: Mutation | None = None

    def __str__(self) -> str:
        where = f" ({self.line})" if self.line is not None else ""
        more = "" if self.second is None else f"; and {self.second}"
        return f"{self.op}{where}: {self.text}{more}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "op": self.op,
            "name": self.name,
            "text": self.text,
            "line": None if self.line is None else str(self.line),
            "node": self.node,
            "arg": self.arg,
            "changes": self.changes,
            "second": None if self.second is None else self.second.to_dict(),
        }


@dataclass
class Search:
    """What is known while searching."""

    program: Program
    targets: Sequence[Target]
    eps: float
    bound: Array  # rounding of the gradient itself
    direction: Array = field(default=None)
    tangents: dict[Any, Any] = field(default_factory=dict[Any, Any])
    wanted: Array = field(default=None)
    slack: Array = field(default=None)
    tried: list[Trial] = field(default_factory=list[Trial])
    paired: bool = True  # False where the program is too large to try pairs

    def prepare(self) -> None:
        """One random direction: a change that fits must fit along it."""
        p = self.program
        r = np.random.default_rng(12345).uniform(0.5, 1.5, p.gradient.shape)
        r *= np.random.default_rng(54321).choice([-1.0, 1.0], p.gradient.shape)
        self.direction = r
        self.tangents = p.tangents(r)
        self.wanted = np.array([float(np.sum(r * (t.values - p.gradient))) for t in self.targets])
        # roundings of many entries add up like random steps
        sizes = [p.depth * self.eps * (np.abs(t.values) + np.abs(p.gradient)) for t in self.targets]
        self.slack = np.array([32 * float(np.sqrt(np.sum(np.square(r * (self.bound + s))))) for s in sizes])

    def effect(self, differences: dict[Any, Array]) -> tuple[float, float] | None:
        """What differences do along the direction, and the rounding of it; None where it is not known."""
        total = noise = 0.0
        for key, d in differences.items():
            t = self.tangents.get(key)
            if t is None:
                if key in self.tangents:
                    return None
                continue
            total += float(np.sum(d * t))
            noise += float(np.sum(np.square(d * t)))
        return total, 64 * self.program.depth * self.eps * noise**0.5


# ---------------------------------------------------------------------- one trial


def differences(program: Program, trial: Trial) -> dict[Any, Array] | None:
    """By how much a trial changes the cotangents; None where it cannot be made or changes nothing."""
    found: dict[Any, Array] = {}
    for change in trial.changes:
        d = _difference(
            change, program.base.arriving[change.node], program.base.sent[change.node][change.arg]
        )
        if d is None:
            return None
        key = key_of(change.node.edges[change.arg])
        found[key] = found[key] + d if key in found else d
    return found if any(np.any(d) for d in found.values()) else None


def _difference(change: Change, g: Array, right: Array) -> Array | None:
    if right is None:
        return None
    try:
        with np.errstate(all="ignore"):
            wrong = change.wrong(g)
            right = np.asarray(right)
            if np.shape(wrong) not in ((), right.shape):
                return None
            d = np.asarray(wrong - right, right.dtype)
    except (Missing, ValueError, IndexError, TypeError, RecursionError):
        return None  # a value that is not to be had, or shapes that do not fit: nobody can have written it
    return d if np.all(np.isfinite(d)) else None


def reproduced(search: Search, given: dict[Any, Array], which: Iterable[int]) -> list[int]:
    """Which of these targets the gradient with these differences is, to rounding, entry by entry."""
    p = search.program
    sent = p.send(given).get(p.key)
    made = p.gradient if sent is None else p.gradient + sent
    near = [k for k in which if _near(made, search.targets[k].values, search.eps)]
    if not near:
        return []
    magnitude = p.magnitude_of(given) + np.abs(made)
    found: list[int] = []
    for k in near:
        values = search.targets[k].values
        noise = p.depth * search.eps * 4 * (magnitude + np.abs(values))
        with np.errstate(all="ignore"):
            if np.all(np.abs(made - values) <= search.bound + noise):
                found.append(k)
    return found


def _near(made: Array, values: Array, eps: float) -> bool:
    """Close in norm, too: where more digits are lost no rule can be told from another."""
    size = float(np.max(np.abs(values), initial=0.0))
    return float(np.max(np.abs(made - values), initial=0.0)) <= min(1e-3, 1e6 * eps) * size


# ---------------------------------------------------------------------- the search


def begin(program: Program, targets: Sequence[Target], eps: float, bound: Array) -> Search:
    """Get ready to look for the mutations that make one of the targets.

    eps    the rounding unit of the coarser of candidate and program
    bound  rounding of the gradient, entry by entry
    """
    work = Search(program, targets, eps, bound)
    token = quiet(QUIET)
    try:
        work.prepare()
    finally:
        loud(token)
    return work


def single(work: Search) -> tuple[int, list[Mutation]]:
    """The mutations that make the first target that any one mutation makes, ranked, and its place.

    Common slips come first, then ops nearer to x. An empty list where no single change makes a target.
    """
    token = quiet(QUIET)
    try:
        hits = _singles(work)
    finally:
        loud(token)
    if not hits:
        return 0, []
    best = min(hits)
    return best, _ranked([(_mutation(t), t.lead.rank) for t in hits[best]])


def double(work: Search) -> list[Mutation]:
    """Pairs of mutations that together make the candidate; run `single` before."""
    token = quiet(QUIET)
    try:
        return _ranked(_pairs(work, work.tried))
    finally:
        loud(token)


def _singles(work: Search) -> dict[int, list[Trial]]:
    hits: dict[int, list[Trial]] = {}
    program = work.program
    for count, trial in enumerate(trials(program)):
        if count > MANY:
            break
        given = differences(program, trial)
        if given is None:
            continue
        work.tried.append(trial)
        seen = work.effect(given)
        if seen is None:
            fitting = range(len(work.targets))
        else:
            fitting = np.flatnonzero(np.abs(seen[0] - work.wanted) <= work.slack + seen[1])
        first = min(hits, default=len(work.targets))
        wanted = [int(k) for k in fitting if k <= first]
        for k in reproduced(work, given, wanted) if wanted else ():
            hits.setdefault(k, []).append(trial)
    return hits


def _enough(work: Search, tried: int) -> bool:
    """Can a fit hardly be chance? Each entry of the gradient lets one wrong fit through in 1/eps."""
    entries = min(int(np.count_nonzero(work.program.gradient)), 8)
    digits = -np.log10(1000 * work.program.depth * work.eps)
    return entries * digits > np.log10(max(tried, 1)) + 3


def _pairs(work: Search, singles: list[Trial]) -> list[tuple[Mutation, int]]:
    # a branch that is left out counts where it begins
    begun = [t for t in singles if t.lead.name != "path missing" or not t.lead.rank]
    chosen = sorted(begun, key=lambda t: t.lead.rank)[:PAIRS]
    nodes = len(work.program.nodes)
    entries = (
        sum(np.size(work.program.base.arriving[n]) for n in work.program.nodes if n.count is None) / nodes
    )
    if len(chosen) * (len(chosen) + nodes) * max(entries, 50) > LARGE:
        work.paired = False
        return []
    if not _enough(work, len(chosen) ** 2):
        return []
    found: list[tuple[Mutation, int]] = []
    known = [differences(work.program, t) or {} for t in chosen]
    effects = [work.effect(d) for d in known]
    for a, first in enumerate(chosen):
        below = work.program.send(known[a])
        for b, second in enumerate(chosen):
            if a == b or not _ordered(first, second, a < b):
                continue
            given = known[b]
            touched = _touched(second, below)
            if touched:
                made = _after(work.program, second, below)
                if made is None:
                    continue
                given = made
            fa, fb = effects[a], effects[b] if not touched else work.effect(given)
            if (
                fa is None
                or fb is None
                or abs(fa[0] + fb[0] - work.wanted[0]) > work.slack[0] + fa[1] + fb[1]
            ):
                continue
            if reproduced(work, _added(known[a], given), [0]):
                found.append((_mutation(first, _mutation(second)), first.lead.rank + second.lead.rank))
    return found


def _ordered(first: Trial, second: Trial, earlier: bool) -> bool:
    """Take each pair once: the change nearer to out first; not two of one place."""
    a, b = first.lead, second.lead
    if len(first.changes) > 1 or len(second.changes) > 1 or (a.node is b.node and a.arg == b.arg):
        return False
    return a.node.number > b.node.number or (a.node is b.node and earlier)


def _touched(trial: Trial, below: dict[Any, Array]) -> bool:
    node = trial.lead.node
    keys = [node] if node.count is None else [(node, k) for k in range(node.count)]
    return any(k in below for k in keys)


def _after(program: Program, trial: Trial, below: dict[Any, Array]) -> dict[Any, Array] | None:
    """The differences of a change whose upstream was changed already."""
    change = trial.lead
    node = change.node
    base, more = program.base.arriving[node], arrived(node, below)
    if node.count is None:
        g = base + more
    else:
        g = [m if b is None else b if m is None else b + m for b, m in zip(base, more, strict=True)]
    d = _difference(change, g, pull(node, g)[change.arg])
    return None if d is None else {key_of(node.edges[change.arg]): d}


def _added(a: dict[Any, Array], b: dict[Any, Array]) -> dict[Any, Array]:
    found = dict(a)
    for key, d in b.items():
        found[key] = found[key] + d if key in found else d
    return found


def _mutation(trial: Trial, second: Mutation | None = None) -> Mutation:
    change = trial.lead
    node = change.node
    return Mutation(
        getattr(node.op, "torch_name", node.op.name),
        change.name,
        change.text,
        line_of(node),
        node.number,
        change.arg,
        1 if second is None else 2,
        second,
    )


def _ranked(found: list[tuple[Mutation, int]]) -> list[Mutation]:
    """Fewer changes first, then common slips, then ops nearer to x; each wording once.

    A branch that is left out is named where it begins: its later ops are no causes of their own.
    """
    if any(m.name == "path missing" and not rank for m, rank in found):
        found = [(m, rank) for m, rank in found if m.name != "path missing" or m.changes > 1 or not rank]
    kept: dict[Any, Mutation] = {}
    for m, _ in sorted(found, key=lambda row: (row[0].changes, row[1], row[0].node)):
        kept.setdefault((m.node, m.text, m.second and (m.second.node, m.second.text)), m)
    return list(kept.values())


__all__ = ["Mutation", "Search", "Target", "begin", "double", "single"]
