"""The judgement on two arrays of one shape: noise, a factor, a rearrangement, a wrong rule, or none.

Read `judge`: the order in which the questions are asked. Every answer reproduces the candidate to rounding.
May import `explanations.mutations`, `explanations.mutations_factors`, `explanations.verdicts`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pullback.explanations import verdicts
from pullback.explanations.mutations import Mutation, begin, double, single
from pullback.explanations.mutations_engine import Program
from pullback.explanations.mutations_factors import factor_names, targets
from pullback.explanations.verdicts import Pair, Verdict

NO_PAIRS = (
    "no factor, transpose, missing sum or path and no single wrong rule of an op on the way gives the "
    "candidate (pairs of wrong rules were not tried: the program is too large)"
)


class Found(NamedTuple):
    """The verdict, and the wrong rules that reproduce the candidate."""

    verdict: Verdict
    mutations: tuple[Mutation, ...] = ()


def with_slip(verdict: Verdict, slip: verdicts.Slip) -> Verdict:
    """The verdict on the values together with what is wrong with the shape."""
    if not slip.text:
        return verdict
    if verdict.kind in ("agrees", "float noise"):
        tail = "" if slip.kind in ("extra sum", "averaged") else "; the values agree"
        return Verdict(slip.kind, slip.text + tail)
    return Verdict(verdict.kind, f"{slip.text}; then, of the values: {verdict.text}")


def judge(pair: Pair, program: Program, eps: float, slip: str) -> Found:
    """What the candidate has to do with the gradient, both of one shape.

    eps   the rounding unit of the coarser of the two
    slip  the kind of a slip in shape that was taken out before, or ""
    First what needs no search; then a named factor or a rearrangement; then one wrong rule; then what can be
    said of the two arrays alone; then two things at once.
    """
    plain = _plain(pair)
    if plain is not None:
        return Found(plain)
    names = factor_names(program)
    work = begin(program, targets(pair, names), eps, pair.bound)
    place, rules = single(work)
    alone = tuple(rules) if place == 0 else ()
    factor = verdicts.factor_of(pair)
    named = verdicts.named_factor(*factor, names) if factor else ""
    if alone and alone[0].name == "custom backward":
        return Found(_misapplied(alone), alone)
    if factor and named:
        return Found(_factor_verdict(factor[0], named, alone), alone)
    arranged = None if slip else verdicts.rearranged(pair)
    if arranged is not None and not (alone and arranged.kind == "permuted"):
        return Found(_and_rule(arranged, alone), alone)
    if alone:
        return Found(_misapplied(alone), alone)
    other = _arrays_alone(pair, program, factor)
    if other is not None:
        return Found(other)
    if rules:
        return Found(_misapplied(tuple(rules), work.targets[place].before), tuple(rules))
    pairs = tuple(double(work))
    if pairs:
        return Found(_misapplied(pairs), pairs)
    return Found(_coarser(pair, eps) or undetermined(pair, "" if work.paired else NO_PAIRS))


def _plain(pair: Pair) -> Verdict | None:
    """Equal, noise, zero, not finite, complex: what needs no search."""
    c, g = pair.candidate, pair.gradient
    if np.array_equal(c, g, equal_nan=True):
        return Verdict("agrees", "the two are equal, bit by bit")
    if pair.same(c, g):
        return Verdict("float noise", _noise_text(pair))
    if not np.all(np.isfinite(c)) or not np.all(np.isfinite(g)):
        return undetermined(pair, "entries that are not finite are compared as they are")
    if not np.any(c):
        return Verdict("zero", "the candidate is zero everywhere, the gradient is not: no path was followed")
    if c.dtype.kind == "f" == g.dtype.kind:
        return None
    if pair.same(np.conj(c), g):
        return Verdict("conjugate", "the candidate is the complex conjugate of the gradient")
    return undetermined(pair, "wrong rules are not tried on complex gradients")


def _arrays_alone(pair: Pair, program: Program, factor: tuple[float, float] | None) -> Verdict | None:
    """What two arrays have to do with each other where no single wrong rule makes the one of the other."""
    if factor and np.count_nonzero(pair.gradient) > 1:
        return _factor_verdict(factor[0], "no size or constant of the program", ())
    return verdicts.row_factors(pair) or verdicts.spread(pair) or verdicts.extra_term(pair, program.x.value)


# ---------------------------------------------------------------------- texts


def _noise_text(pair: Pair) -> str:
    with np.errstate(all="ignore"):
        d = np.abs(pair.candidate - pair.gradient)
        worst = float(np.nanmax(np.where(pair.bound > 0, d / pair.bound, 0.0)))
    return (
        f"the values agree: every difference is rounding, at most {worst:.2g} of what eps times the sum of "
        "magnitudes over all paths allows"
    )


def _factor_verdict(f: float, named: str, rules: tuple[Mutation, ...]) -> Verdict:
    text = f"the candidate is {f:.6g} times the gradient ({named})"
    return _and_rule(Verdict("constant factor", text), rules)


def _and_rule(verdict: Verdict, rules: tuple[Mutation, ...]) -> Verdict:
    if not rules:
        return verdict
    return Verdict(verdict.kind, f"{verdict.text}, as it comes of {rules[0]}")


def _misapplied(rules: tuple[Mutation, ...], before: str = "") -> Verdict:
    first = rules[0]
    kind = "rule misapplied"
    if first.changes == 1 and not before:
        kind = {"path missing": "term missing", "custom backward": "custom backward"}.get(first.name, kind)
    text = str(first)
    if before:
        text = f"two things at once: {before}, and {text}"
    elif first.changes == 2:
        text = f"no single wrong rule does it, these two together do: {text}"
    if len(rules) > 1:
        more = "one other wrong rule gives" if len(rules) == 2 else f"{len(rules) - 1} other wrong rules give"
        text += f" ({more} the same array here and cannot be told apart on these values)"
    return Verdict(kind, text)


def _coarser(pair: Pair, eps: float) -> Verdict | None:
    """Differences as a computation in a coarser precision has them."""
    coarse = float(np.finfo(np.float32).eps)
    if eps < coarse and pair.same(pair.candidate, pair.gradient, coarse / eps):
        return Verdict(
            "lower precision",
            "every difference is within the rounding of float32: computed in float32, or by finite "
            f"differences? The largest: {verdicts.largest(pair.candidate, pair.gradient, 1)}",
        )
    return None


def undetermined(pair: Pair, why: str = "") -> Verdict:
    """What is left to say: where the two differ most, and that nothing was found that makes it."""
    reason = why or (
        "no factor, transpose, missing sum or path, no wrong rule of an op on the way and no pair of them "
        "that was tried gives the candidate"
    )
    return Verdict(
        "not determined",
        f"{reason}; the largest differences: {verdicts.largest(pair.candidate, pair.gradient)}",
    )


__all__ = ["judge", "undetermined", "with_slip"]
