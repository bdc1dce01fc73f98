"""What two arrays have to do with each other: noise, a factor, a transpose, a sum too few, a missing shape.

Read `Pair`, then `fitted` (shapes first) and `verdict`. Only arrays are compared here; which rule made the
difference is `mutations`' question. Everything is stated to rounding: each entry has its own bound. May
import NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations, permutations
from typing import Any, NamedTuple

import numpy as np

Array = Any
Shape = tuple[int, ...]


class Verdict(NamedTuple):
    """What the comparison found: the kind in two words, and the sentence."""

    kind: str
    text: str


class Pair(NamedTuple):
    """A candidate beside the gradient, of one shape, with the rounding bound of every entry."""

    candidate: Array
    gradient: Array
    bound: Array

    def same(self, a: Array, b: Array, scale: float = 1.0) -> bool:
        """Are two arrays the same to rounding? NaN equals NaN."""
        with np.errstate(all="ignore"):
            near = np.abs(a - b) <= self.bound * scale
        return bool(np.all(near | (a == b) | (np.isnan(a) & np.isnan(b))))


class Slip(NamedTuple):
    """A candidate brought to the gradient's shape, and what was wrong with its own."""

    values: Array
    text: str
    kind: str


def shown(shape: Sequence[int]) -> str:
    """A shape as people say it: 1x2x2; "a number" for none."""
    return "x".join(map(str, shape)) if len(shape) else "a number"


# ---------------------------------------------------------------------- shapes


def fitted(c: Array, g: Array, bound: Array) -> Slip | None:
    """The candidate in the gradient's shape, with what had to be done; None where shapes cannot fit."""
    if c.shape == g.shape:
        return Slip(c, "", "")
    what = f"the candidate has shape {shown(c.shape)}, the gradient {shown(g.shape)}"
    if c.size == g.size:
        return _reshaped(c, g, what, bound)
    if c.size > g.size:
        return _unreduced(c, g, what, bound)
    return _reduced(c, g, what, bound)


def _reshaped(c: Array, g: Array, what: str, bound: Array) -> Slip:
    if [n for n in c.shape if n != 1] == [n for n in g.shape if n != 1]:
        where = "leading " if len(c.shape) > len(g.shape) and c.shape[0] == 1 else ""
        word = (
            "a " + where + "dimension of size 1 too many"
            if c.ndim > g.ndim
            else "a dimension of size 1 is missing"
        )
        return Slip(
            c.reshape(g.shape),
            f"{what}: {word if c.ndim != g.ndim else 'size-1 dimensions misplaced'}",
            "shape slip",
        )
    ways = list(_axes_to(c, g.shape))
    for text, r in ways:
        if Pair(r, g, bound).same(r, g):
            return Slip(r, f"{what}: {text}", "transposed")
    if ways:
        return Slip(ways[0][1], f"{what}: {ways[0][0]}", "transposed")
    return Slip(c.reshape(g.shape), f"{what}: the same number of entries in another shape", "reshaped")


def _axes_to(c: Array, shape: Shape) -> Iterator[tuple[str, Array]]:
    if c.ndim <= 4:
        for p in permutations(range(c.ndim)):
            if p != tuple(range(c.ndim)) and tuple(c.shape[k] for k in p) == shape:
                text = (
                    "it is transposed"
                    if c.ndim == 2
                    else f"its axes are permuted: .transpose{p} puts them right"
                )
                yield text, c.transpose(p)


def _subsets(n: int) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(range(n), k) for k in range(1, n + 1))


def _unreduced(c: Array, g: Array, what: str, bound: Array) -> Slip | None:
    """A candidate with the broadcast (or batch) dimensions still in it."""
    first: Slip | None = None
    for axes in _subsets(min(c.ndim, 6)):
        total = c.sum(axes)
        if total.size != g.size or [n for n in total.shape if n > 1] != [n for n in g.shape if n > 1]:
            continue
        total = total.reshape(g.shape)
        n = c.size // max(g.size, 1)
        over = f"dimension {axes[0]}" if len(axes) == 1 else f"dimensions {axes}"
        text = (
            f"{what}: the sum over {over} is missing (what broadcasting copied {n} times adds up in the vjp)"
        )
        slip = Slip(total, text, "broadcast sum missing")
        wide = Pair(total, g, bound * n)
        if wide.same(total, g):
            return slip
        if wide.same(total / n, g):
            return Slip(total / n, f"{what}: the mean over {over} gives the gradient", "mean missing")
        first = first or slip
    return first


def _reduced(c: Array, g: Array, what: str, bound: Array) -> Slip | None:
    """A candidate that was summed or averaged too far, or that was not expanded."""
    for axes in _subsets(min(g.ndim, 6)):
        total = g.sum(axes, keepdims=True)
        if total.size != c.size:
            continue
        mine = c.reshape(total.shape)
        noise = np.broadcast_to(bound, g.shape).sum(axes, keepdims=True)
        n = g.size // max(c.size, 1)
        over = f"dimension {axes[0]}" if len(axes) == 1 else f"dimensions {axes}"
        if Pair(mine, total, noise).same(mine, total):
            return Slip(g, f"{what}: it is the sum of the gradient over {over}, a sum too many", "extra sum")
        if Pair(mine, total, noise).same(mine * n, total):
            return Slip(g, f"{what}: it is the mean of the gradient over {over}", "averaged")
        if Pair(g, g, bound).same(np.broadcast_to(mine, g.shape), g):
            return Slip(g, f"{what}: the values are right, but not expanded along {over}", "shape slip")
    return None


# ---------------------------------------------------------------------- values


def factor_of(pair: Pair) -> tuple[float, float] | None:
    """The constant f with candidate = f gradient, and its uncertainty; None where there is none."""
    c, g = pair.candidate, pair.gradient
    norm = float(np.sum(np.abs(g) ** 2))
    if not np.isfinite(norm) or norm <= 1e4 * float(np.sum(pair.bound**2)):
        return None  # a gradient that is rounding itself is no measure
    f = float(np.sum(g * c) / norm)
    if f == 0 or not np.isfinite(f) or not pair.same(c, f * g, 1 + abs(f)):
        return None
    return f, float(np.sum(np.abs(g) * pair.bound) / norm) * (1 + abs(f)) + 4e-16 * abs(f)


def named_factor(f: float, error: float, names: Sequence[tuple[float, str]]) -> str:
    """What a factor is in the program's sizes and constants, up to two readings; "" where it is none."""
    found = [text for value, text in names if abs(f - value) <= max(error, 1e-14 * abs(value))]
    known = [text for text in found if ":" in text]  # a size or constant says more than the bare number
    return " or ".join(dict.fromkeys((known or found)[:2]))


def row_factors(pair: Pair) -> Verdict | None:
    """A factor of its own for every row, column, or slice along some axis."""
    c, g = pair.candidate, pair.gradient
    for axis in range(g.ndim):
        others = tuple(k for k in range(g.ndim) if k != axis)
        norm = np.sum(g * g, others, keepdims=True)
        telling = np.count_nonzero(g, others)
        if (
            g.shape[axis] < 2
            or np.any(norm <= 1e4 * np.sum(pair.bound**2, others, keepdims=True))
            or np.count_nonzero(telling > 1) < 2
        ):
            continue
        f = np.sum(g * c, others, keepdims=True) / norm
        if pair.same(c, f * g, 1 + float(np.max(np.abs(f)))):
            word = (
                {0: "row", 1: "column"}.get(axis, f"slice along dimension {axis}")
                if g.ndim == 2
                else f"slice along dimension {axis}"
            )
            values = ", ".join(f"{v:.4g}" for v in f.reshape(-1)[:6])
            more = ", ..." if f.size > 6 else ""
            return Verdict(
                "row factors", f"each {word} of the gradient is multiplied by its own factor: {values}{more}"
            )
    return None


def arrangements(shape: Shape) -> Iterator[tuple[str, str, Callable[[Array], Array]]]:
    """Rearrangements that keep a shape: kind, words, and what undoes them."""
    n = len(shape)
    if n <= 4:
        for p in permutations(range(n)):
            if p != tuple(range(n)) and tuple(shape[k] for k in p) == shape:
                text = (
                    "the transpose of the gradient"
                    if n == 2
                    else f"the gradient with its axes permuted to {p}"
                )
                yield "transposed", text, lambda c, p=p: c.transpose(np.argsort(p))
        for axes in _subsets(n):
            if all(shape[a] > 1 for a in axes):
                over = f"dimension {axes[0]}" if len(axes) == 1 else f"dimensions {axes}"
                yield "flipped", f"the gradient flipped along {over}", lambda c, axes=axes: np.flip(c, axes)
    if n == 2 and min(shape) > 1:
        yield (
            "reshaped",
            "the gradient's entries in column order (reshaped where it should be transposed)",
            (lambda c: c.reshape(-1).reshape(shape, order="F")),
        )
        yield "reshaped", "the gradient transposed and then reshaped", lambda c: c.reshape(shape[::-1]).T


def rearranged(pair: Pair) -> Verdict | None:
    """A transpose, a flip, a reshape, or the same entries in another order."""
    c, g = pair.candidate, pair.gradient
    if np.unique(g).size < 2:
        return None
    for kind, text, undo in arrangements(g.shape):
        if pair.same(undo(c), g):
            return Verdict(kind, f"the candidate is {text}")
    flat, other = np.sort(c, axis=None), np.sort(g, axis=None)
    slack = float(np.max(pair.bound))
    if g.size < 3 or np.unique(other).size < 3 or np.any(np.abs(flat - other) > slack):
        return None
    if float(np.max(np.abs(c - g))) < 100 * slack:
        return None  # as far off as rounding may be: no order to speak of
    for axis in range(g.ndim if g.ndim > 1 else 0):
        order = _matching(np.moveaxis(c, axis, 0), np.moveaxis(g, axis, 0), np.moveaxis(pair.bound, axis, 0))
        if order is not None:
            return Verdict("permuted", f"slices along dimension {axis} are in the order {order}")
    return Verdict("permuted", "the candidate has the gradient's entries in another order")


def _matching(c: Array, g: Array, bound: Array) -> list[int] | None:
    """Which slice of g each slice of c is; None unless it is one to one."""
    order: list[int] = []
    for row in c:
        fits = [k for k in range(len(g)) if k not in order and np.all(np.abs(row - g[k]) <= bound[k])]
        if not fits:
            return None
        order.append(fits[0])
    return order


def spread(pair: Pair) -> Verdict | None:
    """The gradient summed or averaged along some dimensions and broadcast back."""
    c, g = pair.candidate, pair.gradient
    for axes in _subsets(min(g.ndim, 4)):
        n = int(np.prod([g.shape[a] for a in axes]))
        if n < 2:
            continue
        total = np.broadcast_to(g.sum(axes, keepdims=True), g.shape)
        noise = np.broadcast_to(pair.bound.sum(axes, keepdims=True), g.shape)
        if not np.any(np.abs(total) > noise):
            continue
        over = f"dimension {axes[0]}" if len(axes) == 1 else f"dimensions {axes}"
        if Pair(c, total, noise).same(c, total):
            return Verdict(
                "extra sum",
                f"the candidate is the gradient summed over {over} and copied back: a sum too many",
            )
        if Pair(c, total, noise).same(c * n, total):
            return Verdict("averaged", f"the candidate is the gradient averaged over {over} and copied back")
    return None


def extra_term(pair: Pair, x: Array) -> Verdict | None:
    """A multiple of x added: the gradient of a penalty that the program does not have."""
    if x.size < 3 or not np.any(x):
        return None
    rest = pair.candidate - pair.gradient
    for text, t in (("x, as of a penalty k |x|^2 / 2", x), ("sign(x), as of a penalty k |x|", np.sign(x))):
        if np.unique(t).size < 2:
            continue
        k = float(np.sum(rest * t) / np.sum(t * t))
        if k and bool(np.all(np.abs(rest - k * t) <= pair.bound + 1e-15 * np.abs(k * t))):
            return Verdict(
                "extra term", f"the candidate has {k:.6g} times {text}, which the program does not have"
            )
    return None


def largest(c: Array, g: Array, count: int = 4) -> str:
    """The entries that differ most: index, candidate, gradient."""
    with np.errstate(all="ignore"):
        d = np.abs(c - g)
    d = np.where(np.isnan(d), np.inf, d).reshape(-1)
    rows: list[str] = []
    for k in np.argsort(-d, kind="stable")[:count]:
        if not d[k]:
            break
        index = tuple(int(i) for i in np.unravel_index(k, g.shape))
        rows.append(
            f"[{', '.join(map(str, index))}]: {c.reshape(-1)[k]:.6g} where {g.reshape(-1)[k]:.6g} belongs"
        )
    return "; ".join(rows)


__all__ = [
    "Pair",
    "Slip",
    "Verdict",
    "arrangements",
    "extra_term",
    "factor_of",
    "fitted",
    "largest",
    "named_factor",
    "rearranged",
    "row_factors",
    "shown",
    "spread",
]
