"""Wrong rules of contractions: an operand untransposed, on the wrong side, exchanged, or left out.

Read `contraction_changes`: one specification gives every way in which people get a matrix product's vjp
wrong. May import `explanations.mutations_engine`, `explanations.mutations_formulas`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from pullback.explanations.mutations_engine import Change, Step, unchanged
from pullback.explanations.mutations_formulas import right_formula, wrong_formula
from pullback.families.contraction import evaluate

Array = Any


def spec_of(step: Step) -> tuple[tuple[int, int], tuple[str, str, str]]:
    """The places of the two operands, and the labels of both and of the output."""
    if step.op.name == "linear":
        lead = "abcdef"[: len(step.shape(1)) - 1]
        return (1, 2), (lead + "k", "nk", lead + "n")
    spec = step.op.spec_for(step.shape(0), step.shape(1), step.params)
    operands, out = spec.split("->")
    a, b = operands.split(",")
    return (0, 1), (a, b, out)


def contraction_changes(step: Step) -> Iterator[Change]:
    """An operand untransposed, on the wrong side, replaced by the other one, or left out."""
    places, (a, b, out) = spec_of(step)
    for i in step.live:
        if i not in places or step.avals[i].dtype.kind != "f":
            continue
        first = i == places[0]
        mine, theirs, other = (a, b, places[1]) if first else (b, a, places[0])
        if set(mine) - set(out) - set(theirs):
            continue  # a stretched label: nothing that is written by hand
        yield from _transposed(step, i, other, f"{out},{theirs}->{mine}")
        yield from _replaced(step, i, other, (mine, theirs, out))


def _flips(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs of axes whose exchange keeps the shape; of long shapes the last two."""
    pairs = (
        list(combinations(range(len(shape)), 2)) if len(shape) <= 3 else [(len(shape) - 2, len(shape) - 1)]
    )
    return [(p, q) for p, q in pairs if shape[p] == shape[q] > 1]


def _transposed(step: Step, i: int, other: int, spec: str) -> Iterator[Change]:
    g_shape, o_shape, r_shape = step.out_shape, step.shape(other), step.shape(i)
    none: list[Any] = [None]
    name = step.op.name
    for fg in none + _flips(g_shape):
        for fo in none + _flips(o_shape):
            for fr in none + _flips(r_shape):
                count = sum(f is not None for f in (fg, fo, fr))
                if not count:
                    continue

                def wrong(g: Array, fg: Any = fg, fo: Any = fo, fr: Any = fr) -> Array:
                    return _flip(
                        evaluate(_flip(np.asarray(g), fg), _flip(step.value(other), fo), spec=spec), fr
                    )

                slip, rank = "operand not transposed", 0 if fo and count == 1 else 1
                if fg and not fo and not fr:
                    slip = "cotangent transposed"
                elif fr and fo and not fg:
                    slip = "operand order"
                elif fr and not fo and not fg:
                    slip, rank = "result transposed", 1
                elif count > 1:
                    slip = "operand order"
                text = wrong_formula(step, i, (fg is not None, fo is not None, fr is not None))
                yield step.change(i, rank, slip, text or f"axes of an operand of {name} exchanged", wrong)


def _flip(v: Array, pair: tuple[int, int] | None) -> Array:
    return v if pair is None else np.swapaxes(v, *pair)


def _replaced(step: Step, i: int, other: int, labels: tuple[str, str, str]) -> Iterator[Change]:
    mine, theirs, out = labels
    spec = f"{out},{theirs}->{mine}"
    name, right = step.op.name, right_formula(step, i)
    m_shape, o_shape, g_shape = step.shape(i), step.shape(other), step.out_shape
    if m_shape == o_shape:
        yield step.change(
            i,
            0,
            "own operand",
            f"the operand of {name} itself where the other one belongs: {right}",
            (lambda g: evaluate(np.asarray(g), step.value(i), spec=spec)),
        )
    for words, value in step.neighbours(other):
        yield step.change(
            i,
            1,
            "wrong operand",
            f"{words} stands where an operand of {name} belongs: {right}",
            (lambda g, value=value: evaluate(np.asarray(g), value(), spec=spec)),
        )
    if set(theirs) & set(out + mine):
        yield step.change(
            i,
            1,
            "factor omitted",
            f"the other operand of {name} is left out: {right}",
            (lambda g: evaluate(np.asarray(g), np.ones(o_shape, np.asarray(g).dtype), spec=spec)),
        )
    if g_shape == m_shape:
        yield step.change(
            i, 1, "chain factor omitted", f"the cotangent passes {name} unchanged: {right}", unchanged
        )
        if o_shape == m_shape:
            yield step.change(
                i,
                1,
                "elementwise product",
                f"an elementwise product was used; the right formula is {right}",
                (lambda g: np.asarray(g) * step.value(other)),
            )
    summed = [c for c in out if c in theirs and c not in mine]
    n = int(np.prod([dict(zip(out, g_shape, strict=True))[c] for c in summed])) if summed else 1
    if n > 1:
        yield step.change(
            i,
            1,
            "mean for sum",
            f"averaged over {n} rows, where their sum belongs: {right}",
            step.times(i, 1 / n),
        )
    yield step.change(i, 2, "sign flipped", f"a minus sign too many at {name}", step.times(i, -1.0))


__all__ = ["contraction_changes"]
