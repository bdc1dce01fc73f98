"""`Sites`: entries of one argument of one op that are on a kink; and what tells a kink from a smooth place.

Read `Sites`, then `differ`: the one-sided derivatives are looked at in two distances, because only what stays
when they come closer belongs to the point. May import `graph`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.graph.node import Node


class Unknown(Exception):  # noqa: N818 - a reason to say "not determined", never shown as an error
    """Why nothing can be said about a node."""


@dataclass
class Sites:
    """The entries of one argument of one node that are on (or near) a kink: arrays of equal length.

    rows, cols      flat output entry and flat entry of the argument
    values          the argument's entry
    distance        how far it is from the kink
    used            the derivative d out[row] / d arg[col] that the engine uses
    left, right     the derivatives beside the kink, below and above it, moving this entry alone; NaN where
                    the op is not defined
    low, high       the interval of the op's subgradients in this entry
    jump            by how much the output jumps there; 0 where it does not
    kind            "kink" | "tie" (which of several equal entries is passed on) | "jump" | "edge" (an
                    infinite derivative, or the end of the domain)
    """

    node: Node
    arg: int
    kind: str
    rows: Any
    cols: Any
    values: Any
    distance: Any
    used: Any
    left: Any
    right: Any
    low: Any
    high: Any
    jump: Any

    def take(self, at: Any) -> Sites:
        """Some of the entries."""
        names = ("rows", "cols", "values", "distance", "used", "left", "right", "low", "high", "jump")
        parts = {name: getattr(self, name)[at] for name in names}
        return Sites(self.node, self.arg, self.kind, **parts)


# ---------------------------------------------------------------------- both sides of a point


def vertical(far: Any, near: Any, here: Any) -> Any:
    """A one-sided derivative: infinite where it grows without bound towards the point."""
    steep = np.abs(near) > 8 * np.abs(far)
    steep &= (np.abs(near) > 1) | ~np.isfinite(here)
    grows = (~np.isfinite(here) & (np.abs(near) > np.abs(far))) | steep
    return np.where(grows, np.copysign(np.inf, near), near).astype(float)


def jumped(far: Any, near: Any, here: Any, eps: float) -> Any:
    """By how much the output differs on both sides of the point, where that does not go away close to it."""

    def step(pair: Any) -> Any:
        below, above = (np.where(np.isnan(v), here, v) for v in pair)
        return above - below

    wide, close = step(far), step(near)
    least = 64 * eps * np.maximum(np.abs(here), np.abs(close))
    stays = ((np.abs(close) > 0.7 * np.abs(wide)) & (np.abs(close) > least)) | np.isinf(close)
    return np.where(stays, close, 0.0).astype(float)


def differ(left: Any, right: Any, far_left: Any, far_right: Any, eps: float) -> Any:
    """Do the one-sided derivatives differ, and not only because the points are apart?"""
    both = np.isfinite(left) & np.isfinite(right)
    gap, wide = np.abs(right - left), np.abs(far_right - far_left)
    real = both & (gap > 0.3 * wide) & (gap > 64 * eps * np.maximum(np.abs(left), np.abs(right)))
    return real | np.isinf(left) | np.isinf(right)


def ends(left: Any, right: Any, far_left: Any, far_right: Any, here: Any, eps: float) -> Any:
    """Does the domain end here with another derivative than the one beside it?"""
    one = np.isnan(left) != np.isnan(right)
    beside, far = np.where(np.isnan(left), right, left), np.where(np.isnan(left), far_right, far_left)
    gap = np.abs(beside - here)
    real = (gap > 0.3 * np.abs(far - here)) & (gap > 64 * eps * np.maximum(np.abs(beside), np.abs(here)))
    return (one & real) | (one & ~np.isfinite(here)) | (~np.isfinite(here) & ~np.isnan(left))


def by_kind(sites: Sites) -> list[Sites]:
    """The sites of one argument apart by kind."""
    several = sum(e is not None for e in sites.node.edges) > 1 or len(sites.node.edges) > 1
    tie = sites.node.op.family == "selection" and several
    jumps = sites.jump != 0
    edges = ~jumps & ~(np.isfinite(sites.left) & np.isfinite(sites.right))
    found: list[Sites] = []
    for kind, at in (("jump", jumps), ("edge", edges), ("tie" if tie else "kink", ~jumps & ~edges)):
        part = sites.take(np.flatnonzero(at))
        part.kind = kind
        if part.rows.size:
            found.append(part)
    return found


__all__ = ["Sites", "Unknown", "by_kind", "differ", "ends", "jumped", "vertical"]
