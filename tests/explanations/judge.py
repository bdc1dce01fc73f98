"""The judge of explanations: why each entry of a gradient is zero, by enumerating every path. The
definition, executable.

A program is a list of steps on small arrays. Its derivative, taken apart as far as it goes, is a graph of
single entries: a *link* is one entry of one step's local Jacobian (step, argument, output entry, input
entry), or one entry of the upstream v (`ZeroUpstream` where it is zero). A link is *dead* where its
derivative is exactly zero, or where autograd was told not to follow it (`Stopped`); else it is live.

For one entry of one input, `Judge.verdict` walks every path from the entry to the upstream and says:

    Flows       the gradient is not zero (the engine's own number decides; another test checks that number)
    NoPath      no path at all, dead or alive
    Dead        paths, but each has a dead link. Let D(p) be the dead links of the path p. Reviving a set S
                of links gives a live path exactly if S contains some D(p); so the inclusion-minimal sets
                that do are the inclusion-minimal D(p), and the true causes are the links in any of them.
    Cancelled   live paths whose products are not all zero, and the sum is zero
    Underflow   live paths, and every product is zero in floating point

`definition` is the same in the words of the definition, by trying all subsets: the judge's own judge.
Values come from NumPy and derivatives from the closed forms of `judge_rules`: nothing here calls pullback.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from explanations.judge_rules import RULES

MOST_PATHS = 2000
# arguments that decide which entries pass and carry nothing themselves: a path through one counts only where
# no other path is there
CHOOSING = {"where": 0, "masked_fill": 0, "index": 1, "gather": 1, "greater": 0}
SATURATING = ("sigmoid", "tanh", "softmax", "log_softmax")


class Discard(Exception):
    """The program is outside of what the judge decides (too many paths, two readings of the definition)."""


class Step(NamedTuple):
    """`target = rule(*args, **params)`; inside `with pb.no_grad():` if told so."""

    target: str
    rule: str
    args: tuple[str, ...]
    params: dict[str, Any]
    no_grad: bool = False

    def expression(self):
        shown = {k: "" if v is None else repr(v) for k, v in self.params.items()}
        return RULES[self.rule].source.format(*self.args, **shown)


class Program(NamedTuple):
    """leaves and constants by name, the steps, the names of the outputs, an upstream array per output."""

    leaves: dict[str, Any]
    constants: dict[str, Any]
    steps: list[Step]
    outputs: list[str]
    upstream: list[Any]

    def source(self):
        """The text of a module with `program(*leaves, *constants)`, one step a line."""
        lines = [
            "import pullback as pb",
            "",
            "",
            f"def program({', '.join([*self.leaves, *self.constants])}):",
        ]
        inside = False
        for step in self.steps:
            if step.no_grad and not inside:
                lines.append("    with pb.no_grad():")
            inside = step.no_grad
            lines.append("    " * (2 if inside else 1) + f"{step.target} = {step.expression()}")
        outputs = self.outputs[0] if len(self.outputs) == 1 else ", ".join(self.outputs)
        return "\n".join([*lines, f"    return {outputs}", ""])

    def line_numbers(self):
        """The line of each step in `source()`."""
        return [
            next(
                i
                for i, text in enumerate(self.source().split("\n"), 1)
                if text.lstrip().startswith(f"{s.target} = ")
            )
            for s in self.steps
        ]

    def __str__(self):
        given = {**self.leaves, **self.constants}
        data = "".join(f"# {k} = {v.dtype} {v.tolist()}\n" for k, v in given.items())
        return f"{data}# upstream {[v.tolist() for v in self.upstream]}\n{self.source()}"


class Link(NamedTuple):
    """One entry of one local Jacobian; `step` is None for an entry of the upstream (`argument`: of which
    output)."""

    step: int | None
    argument: int
    output: int
    input: int
    value: float
    kinds: frozenset[str]  # what a dead link may be called; empty for a live one
    chooses: bool = False

    @property
    def dead(self):
        return bool(self.kinds)


class Path(NamedTuple):
    """Links from the entry to the upstream, and their product: exact, and as a reverse sweep multiplies
    it."""

    links: tuple[Link, ...]
    exact: Fraction | None  # None where a derivative is not finite
    value: float


class Verdict(NamedTuple):
    """kind is one of "Flows", "NoPath", "Dead", "Cancelled", "Underflow", "NonFinite"; causes for "Dead"."""

    kind: str
    causes: frozenset[Link]
    paths: tuple[Path, ...]
    minimal: frozenset[frozenset[Link]]

    @property
    def magnitude(self):
        return math.fsum(abs(p.value) for p in self.paths)

    def may_follow(self, earlier, later):
        """False if `later` lies before `earlier` on some path, as seen from the input."""
        for path in self.paths:
            if earlier in path.links and later in path.links:
                return path.links.index(earlier) < path.links.index(later)
        return True


class Judge:
    """Everything about one program that needs no engine."""

    def __init__(self, program: Program, *, finite: bool = True) -> None:
        self.program = program
        self.values: dict[str, Any] = {**program.leaves, **program.constants}
        # an array's place with autograd: it follows leaves, it lost sight of shadows, constants it never saw
        self.status = {
            **dict.fromkeys(program.leaves, "followed"),
            **dict.fromkeys(program.constants, "constant"),
        }
        self.forward: dict[tuple[str, int], list[tuple[Link, tuple[str, int] | None]]] = {}
        for i, step in enumerate(program.steps):
            self._run(i, step, finite)
        self._upstream()

    def _run(self, i, step, finite):
        rule = RULES[step.rule]
        arrays = [self.values[a] for a in step.args]
        if step.rule in ("softmax", "log_softmax") and arrays[0].shape[step.params["dim"]] == 1:
            raise Discard("the share of one entry alone is 1: saturated, or no dependence at all")
        with np.errstate(all="ignore"):
            out = np.asarray(rule.forward(*arrays, **step.params))
        if finite and not np.isfinite(out).all():
            raise Discard("a value is not finite")
        if np.isnan(out).any():
            raise Discard("a value is undefined, and whatever follows from it")
        self.values[step.target] = out
        statuses = {self.status[a] for a in step.args} - {"constant"}
        stops = bool(rule.cut) or step.no_grad
        if stops and len(statuses) > 1:
            raise Discard("a cut of what is followed and of what is not: one link, two readings")
        self.status[step.target] = (
            "constant" if not statuses else "shadow" if stops or statuses == {"shadow"} else "followed"
        )
        cut_here = stops and "followed" in statuses
        if rule.cut and statuses == {"shadow"}:
            raise Discard("a cut of what was cut before: one path, two readings")
        self._choices(i, step, arrays, out)
        for argument, pairs in enumerate(rule.pairs(out, *arrays, **step.params)):
            name = step.args[argument]
            if pairs is None or self.status[name] == "constant" or argument == CHOOSING.get(step.rule):
                continue
            for o, k, value, kind in zip(*pairs, strict=True):
                value = float(value)  # noqa: PLW2901
                if finite and not math.isfinite(value):
                    raise Discard("a derivative is not finite")
                _refuse_borderline(step.rule, value, out.dtype)
                kinds = _names(step, name, value, kind, cut_here)
                link = Link(i, argument, int(o), int(k), value, kinds)
                self.forward.setdefault((name, int(k)), []).append((link, (step.target, int(o))))

    def _choices(self, i, step, arrays, out):
        """The links of a condition, mask or index that was itself computed."""
        argument = CHOOSING.get(step.rule)
        if argument is None or self.status[step.args[argument]] == "constant":
            return
        ids = np.arange(arrays[argument].size).reshape(arrays[argument].shape)
        if argument == 0:
            pairs = enumerate(np.broadcast_to(ids, out.shape).reshape(-1).tolist())
        else:
            pairs = itertools.product(range(out.size), range(ids.size))
        for o, k in pairs:
            link = Link(i, argument, o, k, 0.0, frozenset({"Discrete"}), True)
            self.forward.setdefault((step.args[argument], k), []).append((link, (step.target, o)))

    def _upstream(self):
        for place, (name, v) in enumerate(zip(self.program.outputs, self.program.upstream, strict=True)):
            # an output that autograd does not follow is reached, if at all, through what was cut
            for k, value in enumerate(v.reshape(-1)):
                kinds = frozenset({"ZeroUpstream"} if value == 0 else ())
                link = Link(None, place, k, k, float(value), kinds)
                self.forward.setdefault((name, k), []).append((link, None))

    # ------------------------------------------------------------------ paths

    def count(self, entry, known=None):
        """How many paths lead from an entry to the upstream."""
        known = {} if known is None else known
        if entry not in known:
            known[entry] = sum(
                1 if target is None else self.count(target, known)
                for _, target in self.forward.get(entry, [])
            )
        return known[entry]

    def paths(self, entry):
        """All of them, each a tuple of links from the entry to the upstream."""
        if self.count(entry) > MOST_PATHS:
            raise Discard("too many paths")
        complete = []
        stack: list[Any] = [(entry, ())]
        while stack:
            at, links = stack.pop()
            for link, target in self.forward.get(at, []):
                if target is None:
                    complete.append((*links, link))
                else:
                    stack.append((target, (*links, link)))
        return complete

    def verdict(self, name, k, gradient):
        """The truth about entry k of a leaf, whose gradient the engine says is `gradient`."""
        walks = self.paths((name, k))
        carried = [walk for walk in walks if not any(link.chooses for link in walk)]
        walks = carried or walks
        dead = {walk: frozenset(link for link in walk if link.dead) for walk in walks}
        alive = tuple(_path(walk) for walk in walks if not dead[walk])
        if not math.isfinite(gradient):
            return Verdict("NonFinite", frozenset(), alive, frozenset())
        if gradient != 0:
            return Verdict("Flows", frozenset(), alive, frozenset())
        if not walks:
            return Verdict("NoPath", frozenset(), (), frozenset())
        if alive:
            kind = "Cancelled" if any(p.value for p in alive) else "Underflow"
            return Verdict(kind, frozenset(), alive, frozenset())
        minimal = smallest(dead.values())
        all_paths = tuple(Path(walk, None, 0.0) for walk in walks)
        return Verdict("Dead", frozenset().union(*minimal), all_paths, minimal)

    # ------------------------------------------------------------------ where a gradient stops being finite

    def first_nonfinite(self, name, k):
        """The links at which a finite cotangent becomes non-finite on its way down to the entry."""
        cotangents: dict[tuple[str, int], float] = {}

        def cotangent(entry):
            if entry not in cotangents:
                with np.errstate(all="ignore"):
                    cotangents[entry] = float(
                        sum(carried(link, target) for link, target in self.forward.get(entry, []))
                    )
            return cotangents[entry]

        def carried(link, target):
            above = 1.0 if target is None else cotangent(target)
            return 0.0 if link.dead or above == 0 else above * link.value

        found, seen, stack = set(), set(), [(name, k)]
        while stack:
            entry = stack.pop()
            if entry in seen:
                continue
            seen.add(entry)
            for link, target in self.forward.get(entry, []):
                if link.dead or target is None:
                    continue
                if math.isfinite(cotangent(target)) and not math.isfinite(carried(link, target)):
                    found.add(link)
                stack.append(target)
        return found


def _names(step, argument, value, kind, cut):
    """What a link may be called if it is dead: nothing if it lives."""
    names = set(kind.split("|")) if value == 0 else set()
    if "Annihilated" in names and step.args.count(argument) > 1:
        names.add("Stationary")  # x * x at 0: a factor is zero, and it is a square at its lowest point
    return frozenset(names | {"Stopped"} if cut else names)


def _path(walk):
    value = 1.0
    for link in reversed(walk):
        value *= link.value
    finite = all(math.isfinite(link.value) for link in walk)
    exact = math.prod((Fraction(link.value) for link in walk), start=Fraction(1)) if finite else None
    return Path(walk, exact, value)


def _refuse_borderline(rule, value, dtype):
    """1 - y at saturation is a few roundings from zero: which side the engine is on is its own business."""
    if rule in SATURATING and 0 < abs(value) < 64 * np.finfo(dtype).eps:
        raise Discard("nearly saturated")
    if dtype.kind == "f" and 0 < abs(value) < 64 * np.finfo(dtype).tiny:
        raise Discard("nearly underflowed")


def smallest(sets):
    """The inclusion-minimal ones."""
    distinct = sorted(set(sets), key=len)
    kept: list[Any] = []
    for s in distinct:
        if not any(m <= s for m in kept):
            kept.append(s)
    return frozenset(kept)


def above(judge: Judge, start):
    """The dead links on the way from an entry to the upstream."""
    dead, seen, stack = set(), {start}, [start]
    while stack:
        for link, target in judge.forward.get(stack.pop(), []):
            if link.dead:
                dead.add(link)
            if target is not None and target not in seen:
                seen.add(target)
                stack.append(target)
    return dead


def lives(judge: Judge, start, revived):
    """Is there a live path once these dead links are alive?"""
    seen, stack = {start}, [start]
    while stack:
        for link, target in judge.forward.get(stack.pop(), []):
            if link.dead and link not in revived:
                continue
            if target is None:
                return True
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return False


def flows_with(judge: Judge, start, revived):
    """Is the gradient there after a revival? The exact sum of path products says so, with a value in general
    position for each revived link. A sum at the level of the derivatives' own rounding is cancelled."""
    values = {link: Fraction(2 * i + 3, 7 + i * i) for i, link in enumerate(sorted(revived, key=repr))}
    products = [
        math.prod((values.get(link, Fraction(link.value)) for link in walk), start=Fraction(1))
        for walk in judge.paths(start)
        if all(not link.dead or link in revived for link in walk)
    ]
    return abs(sum(products)) > Fraction(1, 10**9) * sum(map(abs, products))


def revivers(judge: Judge, name, k, most=7):
    """The dead links that would bring back a gradient whose live paths cancel: all sets are tried.

    Links that would only add paths which cancel again are not among them.
    """
    start = (name, k)
    dead = above(judge, start)
    if len(dead) > most:
        raise Discard("too many dead links for all their subsets")
    found = set()
    for size in range(len(dead)):
        for others in itertools.combinations(sorted(dead, key=repr), size):
            if not flows_with(judge, start, frozenset(others)):
                rest = dead - set(others)
                found.update(c for c in rest if flows_with(judge, start, frozenset({*others, c})))
    return found


def definition(judge: Judge, name, k, most=10):
    """The true causes in the words of the definition: try every set of dead links, follow what is then alive.

    A dead link is a true cause if there are others with which its revival makes a live path, and without it
    not.
    """
    start = (name, k)
    dead = above(judge, start)
    if len(dead) > most:
        raise Discard("too many dead links for all their subsets")
    causes = set()
    for size in range(len(dead)):
        for others in itertools.combinations(sorted(dead, key=repr), size):
            if not lives(judge, start, others):
                causes.update(c for c in dead - set(others) if lives(judge, start, {*others, c}))
    return causes
