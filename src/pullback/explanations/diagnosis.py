"""`diagnose`: a gradient derived by hand beside autograd's, and what went wrong in it.

Read `diagnose`, then `_judged`: shapes first (`verdicts`), then `diagnosis_judge`: what the two arrays
have to do with each other, and which wrong rule makes the one of the other (`mutations`). Nothing is guessed:
every statement is one that reproduces the candidate to rounding. May import `explanations`, `graph`.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.explanations import verdicts
from pullback.explanations.diagnosis_judge import judge, undetermined, with_slip
from pullback.explanations.diagnosis_noise import forward_noise
from pullback.explanations.mutations import Mutation
from pullback.explanations.mutations_custom import FunctionCheck, function_checks
from pullback.explanations.mutations_engine import Program
from pullback.explanations.verdicts import Pair, Verdict, shown
from pullback.graph.lines import record_lines
from pullback.graph.tensor import Tensor, wrap

Array = Any


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Diagnosis:
    """What a hand-made gradient has to do with autograd's.

    name       whose gradient it is, with its shape
    verdict    kind ("agrees", "float noise", "shape slip", "constant factor", "row factors", "transposed",
               "flipped", "reshaped", "permuted", "broadcast sum missing", "mean missing", "extra sum",
               "averaged", "extra term", "zero", "term missing", "rule misapplied", "custom backward" (the
               candidate is right, a custom Function's backward is not), "lower precision", "conjugate",
               "not determined") and text
    mutations  the wrong rules that reproduce the candidate to rounding, the likeliest first; where there are
               several, they give the same array and cannot be told apart on these values
    exact      the same shape and bits
    approximate  within 1e-5 relative and 1e-8 absolute of each other, once the shapes are made to fit
    maxdiff    the largest difference; NaN where the shapes do not fit
    slip       what is wrong with the candidate's shape, or ""
    candidate, gradient  the two arrays, in their own shapes
    notes      what else is worth knowing
    parts      one Diagnosis per custom Function where no candidate was given
    """

    name: str
    verdict: Verdict
    mutations: tuple[Mutation, ...]
    exact: bool
    approximate: bool
    maxdiff: float
    slip: str
    candidate: Array
    gradient: Array
    notes: tuple[str, ...] = ()
    parts: tuple[Diagnosis, ...] = ()

    @property
    def line(self) -> str:
        """One line: exact, approximate, and the largest difference."""
        same = f"exact: {self.exact} | approximate: {self.approximate}"
        return f"{self.name} | {same} | maxdiff: {self.maxdiff:.6g}"

    def __bool__(self) -> bool:
        """Is the candidate right, rounding apart?"""
        return self.verdict.kind in ("agrees", "float noise")

    def __repr__(self) -> str:
        first = f", {self.mutations[0].op}: {self.mutations[0].name}" if self.mutations else ""
        return f"Diagnosis({self.verdict.kind}{first}; maxdiff {self.maxdiff:.3g})"

    def __str__(self) -> str:
        lines = [self.line, f"  {self.verdict.kind}: {self.verdict.text}"]
        lines += [f"  also possible: {m}" for m in self.mutations[1:5]]
        lines += [f"  note: {n}" for n in self.notes]
        for part in self.parts:
            lines += ["  " + row for row in str(part).splitlines()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(f"<li>{html.escape(str(m))}</li>" for m in self.mutations)
        notes = "".join(f"<p>{html.escape(n)}</p>" for n in self.notes)
        inner = "".join(part._repr_html_() for part in self.parts)
        return (
            f"<div><code>{html.escape(self.line)}</code><p><b>{html.escape(self.verdict.kind)}</b>: "
            f"{html.escape(self.verdict.text)}</p><ol>{rows}</ol>{notes}{inner}</div>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, arrays as nested lists."""
        return {
            "name": self.name,
            "kind": self.verdict.kind,
            "text": self.verdict.text,
            "mutations": [m.to_dict() for m in self.mutations],
            "exact": self.exact,
            "approximate": self.approximate,
            "maxdiff": self.maxdiff,
            "slip": self.slip,
            "candidate": np.asarray(self.candidate).tolist(),
            "gradient": np.asarray(self.gradient).tolist(),
            "notes": list(self.notes),
            "parts": [p.to_dict() for p in self.parts],
        }


def diagnose(candidate: Any, out: Any, x: Any, upstream: Any = None) -> Any:
    """Compare a gradient derived by hand with autograd's, and name what is wrong with it.

    candidate  an array, tensor or nested list: the hand-made gradient of out (v . out for an upstream v) with
               respect to x, of x's shape; None: check the backward of every custom Function between x and
               out against central differences of its own forward
    out        a tensor computed from x; or a function, which is run on x with source lines recorded
    x          a tensor that requires grad; or several, with as many candidates (then a tuple of results); for
               a function also arrays, and a tuple of its arguments
    upstream   of out's shape; None for an out with one element
    Returns a `Diagnosis`. Nothing is freed and no `.grad` is touched. RuntimeError as `backward` raises it,
    and where nothing leads from x to out; ValueError for another number of candidates than tensors.

    >>> import pullback as torch
    >>> w = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    >>> loss = (w**2).mean()
    >>> print(diagnose([1.0, 2.0, 4.0], loss, w))  # doctest: +ELLIPSIS
    gradient of x (3) | exact: False | approximate: False | maxdiff: 1.33333
      constant factor: the candidate is 1.5 times the gradient...
    >>> diagnose([2 / 3, 4 / 3, 8 / 3], loss, w).verdict.kind
    'float noise'
    """
    if callable(out) and not isinstance(out, Tensor):
        return _of_function(candidate, out, x, upstream)
    if isinstance(x, Tensor):
        return _one(candidate, out, x, upstream)
    return _several(candidate, out, list(x), upstream)


def _several(candidates: Any, out: Tensor, xs: Sequence[Any], upstream: Any) -> tuple[Any, ...]:
    given = [None] * len(xs) if candidates is None else list(candidates)
    if len(given) != len(xs):
        raise ValueError(f"{len(xs)} inputs need {len(xs)} candidates, not {len(given)}")
    return tuple(_one(c, out, x, upstream) for c, x in zip(given, xs, strict=True) if isinstance(x, Tensor))


def _of_function(candidate: Any, f: Callable[..., Any], x: Any, upstream: Any) -> Any:
    several = isinstance(x, tuple)
    leaves = [_leaf(a) for a in (x if several else (x,))]
    with record_lines():
        out = f(*leaves)
    followed = [a for a in leaves if isinstance(a, Tensor) and a.node is not None]
    if not several:
        return _one(candidate, out, leaves[0], upstream)
    if len(followed) == 1 and not isinstance(candidate, tuple | list):
        return _one(candidate, out, followed[0], upstream)
    return _several(candidate, out, followed, upstream)


def _leaf(a: Any) -> Any:
    """A followed copy of a floating tensor or array; other arguments as they are."""
    if isinstance(a, np.ndarray | float):
        a = wrap(np.array(a))
    if not isinstance(a, Tensor) or a.value.dtype.kind not in "fc":
        return a
    return wrap(np.array(a.value)).requires_grad_()


def _one(candidate: Any, out: Tensor, x: Tensor, upstream: Any) -> Diagnosis:
    if candidate is None:
        return _functions(function_checks(Program(out, x, upstream)))
    program = Program(out, x, upstream)
    notes = ("hooks on the way are not run here; backward runs them",) if program.base.hooked else ()
    c = _array(candidate)
    return _judged(c, program, f"gradient of x ({shown(program.gradient.shape)})", notes)


def _array(candidate: Any) -> Array:
    value = candidate.value if isinstance(candidate, Tensor) else candidate
    if hasattr(value, "detach"):
        value = value.detach()
    c = np.asarray(value)
    return c.astype(float) if c.dtype.kind in "biu" else c


# ---------------------------------------------------------------------- the judgement


def rounding(c: Array, g: Array) -> float:
    """The rounding unit of the coarser of two floating arrays."""
    return max(float(np.finfo(a.dtype).eps) if a.dtype.kind in "fc" else 0.0 for a in (c, g))


def _judged(c: Array, program: Program, name: str, notes: tuple[str, ...]) -> Diagnosis:
    g = program.gradient
    eps = rounding(c, g)
    magnitude = program.magnitude if program.magnitude is not None else np.abs(g) + np.abs(g).mean()
    bound = 4 * program.depth * eps * np.asarray(magnitude)
    slip = verdicts.fitted(c, g, bound)
    if slip is None:
        text = f"shapes do not fit: {shown(c.shape)} for {shown(g.shape)}, and no sum or transpose makes them"
        return Diagnosis(
            name, Verdict("not determined", text), (), False, False, float("nan"), text, c, g, notes
        )
    values = slip.values
    pair = Pair(values, g, bound + 4 * eps * np.abs(values))
    if not pair.same(values, g):
        pair = Pair(values, g, pair.bound + 4 * forward_noise(program, eps))
    found = judge(pair, program, eps, slip.kind)
    verdict = with_slip(found.verdict, slip)
    with np.errstate(all="ignore"):
        maxdiff = float(np.max(np.abs(values - g))) if g.size else 0.0
        near = bool(np.allclose(values, g, rtol=1e-5, atol=1e-8, equal_nan=True))
    exact = c.shape == g.shape and bool(np.array_equal(c, g, equal_nan=True))
    return Diagnosis(name, verdict, found.mutations, exact, near, maxdiff, slip.text, c, g, notes)


# ---------------------------------------------------------------------- custom Functions


def _functions(checks: Sequence[FunctionCheck]) -> Diagnosis:
    """One diagnosis per custom Function and argument; the first that disagrees speaks for all."""
    parts = tuple(_checked(check) for check in checks)
    wrong = [p for p in parts if not p]
    first = wrong[0] if wrong else max(parts, key=lambda p: p.maxdiff)
    if len(parts) == 1:
        return first
    return Diagnosis(
        first.name,
        first.verdict,
        first.mutations,
        all(p.exact for p in parts),
        all(p.approximate for p in parts),
        max(p.maxdiff for p in parts),
        first.slip,
        first.candidate,
        first.gradient,
        (),
        parts,
    )


def _checked(check: FunctionCheck) -> Diagnosis:
    if check.program is not None:
        return _judged(check.candidate, check.program, check.name, check.notes)
    c, g = check.candidate, check.numerical
    pair = Pair(c, g, check.bound + 4e-16 * np.abs(c))
    near = bool(np.allclose(c, g, rtol=1e-5, atol=1e-8))
    found = _numerical_verdict(pair)
    maxdiff = float(np.max(np.abs(c - g))) if g.size else 0.0
    return Diagnosis(check.name, found, (), bool(np.array_equal(c, g)), near, maxdiff, "", c, g, check.notes)


def _numerical_verdict(pair: Pair) -> Verdict:
    """Beside central differences only what the two arrays have to do with each other can be said."""
    if pair.same(pair.candidate, pair.gradient):
        return Verdict("agrees", "backward agrees with central differences of forward, to their own error")
    factor = verdicts.factor_of(pair)
    if factor is not None and pair.gradient.size > 1:
        n = pair.gradient.size
        names = [
            (-1.0, "the sign"),
            (2.0, "2"),
            (0.5, "1/2"),
            (float(n), f"{n}, the entries"),
            (1 / n, f"1/{n}"),
        ]
        named = verdicts.named_factor(factor[0], 1e-6 * abs(factor[0]), names)
        return Verdict(
            "constant factor",
            f"backward gives {factor[0]:.6g} times the gradient" + (f" ({named})" if named else ""),
        )
    found = verdicts.rearranged(pair) or verdicts.row_factors(pair) or verdicts.spread(pair)
    return found or undetermined(pair, "forward is not made of recorded ops, so its rules cannot be changed")


__all__ = ["Diagnosis", "diagnose"]
