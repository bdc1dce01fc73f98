"""Zeros along live paths: where contributions cancel, and where products underflow.

Read `cancelled`. May import `causes`, `entry`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.explanations.causes import Cause, name_of, number
from pullback.explanations.entry import Paths
from pullback.explanations.places import at
from pullback.graph.lines import line_of

ROUNDING = 64  # a sum this many units of rounding below its terms counts as cancelled


def cancelled(paths: Paths, sizes: Any) -> tuple[Cause, ...]:
    """Where terms of opposite sign meet: the first such entries on the way from the input."""
    sums = paths.gradients()
    order, starts = paths.leaving()
    waiting, seen, found = [paths.start], {paths.start}, list[Cause]()
    while waiting and len(found) < 16:
        v = waiting.pop(0)
        links = [link for link in order[starts[v] : starts[v + 1]].tolist() if not paths.dead[link]]
        with np.errstate(all="ignore"):
            products = paths.values[links] * sums[paths.heads[links]]
        terms = list(zip(links, products.tolist(), strict=True))
        bound = ROUNDING * np.finfo(np.float64).eps * sizes[v]
        meant = [(link, value) for link, value in terms if abs(value) > bound]
        if len(meant) > 1:
            found.append(_cancelled_at(paths, meant))
            continue
        for link in links:
            h = int(paths.heads[link])
            if h not in seen and h != paths.sink and sizes[h] > 0:
                seen.add(h)
                waiting.append(h)
    return tuple(found) or _rounded(paths)


def _rounded(paths: Paths) -> tuple[Cause, ...]:
    """The products do not sum to zero, but what the op's rule made of them rounded to zero."""
    for links, value in paths.largest(1):
        s = paths.step(links[0])
        name, line = ("", None) if s.node is None else (name_of(s.node), line_of(s.node))
        text = f"contributions as small as {number(value)} are lost to rounding beside larger terms in {name}"
        return (
            Cause(
                "Cancelled",
                name,
                line,
                0 if s.node is None else s.node.number,
                s.i,
                s.row,
                s.col,
                s.value,
                text,
            ),
        )
    return ()


def _cancelled_at(paths: Paths, terms: list[tuple[int, float]]) -> Cause:
    step = paths.step(terms[0][0])
    shown: list[str] = []
    for link, value in terms[:6]:
        s = paths.step(link)
        name = "the upstream" if s.node is None else name_of(s.node)
        shown.append(f"{value:+.6g} through {name}{'' if s.node is None else at(s.node)}")
    more = f" and {len(terms) - 6} more" if len(terms) > 6 else ""
    text = f"{len(terms)} contributions sum to exactly 0: {', '.join(shown)}{more}"
    node = step.node
    if node is None:
        return Cause("Cancelled", "", None, 0, step.i, step.row, step.col, step.value, text)
    return Cause(
        "Cancelled", name_of(node), line_of(node), node.number, step.i, step.row, step.col, step.value, text
    )


def underflowed(paths: Paths) -> tuple[Cause, ...]:
    """Where the product of non-zero links becomes too small, along the largest path."""
    for links, _ in paths.largest(1):
        product: Any = None
        for link in reversed(links):
            value = paths.stretch(link).values.dtype.type(paths.values[link])
            before, product = product, value if product is None else product * value
            if product == 0:
                s = paths.step(link)
                node = s.node
                name = "" if node is None else name_of(node)
                text = (
                    f"{number(float(before))} times the local derivative {number(s.value)} is below the "
                    f"smallest {value.dtype} number"
                )
                line = None if node is None else line_of(node)
                return (
                    Cause(
                        "Underflow",
                        name,
                        line,
                        0 if node is None else node.number,
                        s.i,
                        s.row,
                        s.col,
                        s.value,
                        text,
                    ),
                )
    return ()
