"""Where one recorded op sits on a kink, a tie or a jump, and what its derivative is there and beside it.

Read `sites_of`. Nothing is looked up: the op's entry says how far each entry is from a kink (`kink`) or that
it picks entries (`picks`); the derivative that the engine uses, the one-sided ones and the kind are found by
evaluating the entry's own rules at the point and beside it. May import `graph`, `families`,
`explanations.watched`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.explanations.kink_fibers import fibers, picked
from pullback.explanations.kink_sides import Sites, Unknown, by_kind, differ, ends, jumped, vertical
from pullback.explanations.watched import Values, in_compute_dtype
from pullback.families.elementwise import Elementwise
from pullback.families.op import Absent
from pullback.families.reduction import FiberOp
from pullback.graph.modes import QUIET, loud, quiet
from pullback.graph.node import Node

# ops whose first argument says which of the other two is passed on
CHOICES = ("where", "masked_fill")


def has_kinks(op: Any) -> bool:
    """Does the table say where this op has kinks?"""
    return getattr(op, "kink", None) is not None or bool(getattr(op, "picks", False)) or op.name in CHOICES


def sites_of(node: Node, values: Values, within: float) -> list[Sites]:
    """The kinks of a node, at most `within` away. `Unknown` where they cannot be found."""
    op = node.op
    rule = getattr(op, "kink", None)
    if isinstance(rule, Absent):
        raise Unknown(rule.reason)
    if callable(rule) and op.family in ("by hand", "structural"):
        reason = rule(**node.params)
        if reason:
            raise Unknown(reason)
        return []
    args = values.arguments(node)
    if args is None:
        raise Unknown("the values that it saw are not kept")
    if any(getattr(a, "dtype", None) is not None and a.dtype.kind == "c" for a in args):
        raise Unknown("its arguments are complex")
    live = [i for i, e in enumerate(node.edges) if e is not None]
    token = quiet(QUIET)
    try:
        if op.name in CHOICES:
            return _chosen(node, args, values)
        if isinstance(op, Elementwise):
            return _elementwise(node, args, live, within)
        if getattr(op, "picks", False):
            return picked(node, args, values.output(node, args), within)
        if isinstance(op, FiberOp):
            return fibers(node, args[0], values.output(node, args), within)
    finally:
        loud(token)
    raise Unknown("the table does not describe its kinks")


# ---------------------------------------------------------------------- entry by entry


def _elementwise(node: Node, args: Sequence[Any], live: Sequence[int], within: float) -> list[Sites]:
    op: Any = node.op
    given = in_compute_dtype(op, args)
    shape = np.broadcast_shapes(*(np.shape(a) for a in given))
    out = op.eval(*given, **node.params)
    distance = np.broadcast_to(np.asarray(op.kink(out, *given, **node.params)), shape).reshape(-1)
    rows = np.flatnonzero(np.isfinite(np.broadcast_to(out, shape).reshape(-1)) & (distance <= within))
    if not rows.size:
        return []
    here = [_at(a, shape, rows) for a in given]
    every = range(op.skip, len(given)) if op.family == "selection" else live
    found = [_beside(node, i, here, rows, distance[rows], shape, given[i]) for i in every]
    # of the arguments that are not followed only those matter that tie with one that is
    return [s for sites in found for s in by_kind(sites) if s.arg in live or s.kind == "tie"]


def _at(a: Any, shape: tuple[int, ...], rows: Any) -> Any:
    """An argument's values for these output entries, as a vector (numbers stay numbers)."""
    return np.broadcast_to(a, shape).reshape(-1)[rows] if np.ndim(a) else a


def _beside(
    node: Node, i: int, here: list[Any], rows: Any, distance: Any, shape: tuple[int, ...], argument: Any
) -> Sites:
    """Argument i at the kink and on both sides of it, the other arguments as they are."""
    op: Any = node.op
    dtype = np.asarray(here[i]).dtype
    x = np.broadcast_to(here[i], rows.shape).astype(dtype)
    onto = _onto(op, i, here, x, distance, node.params)
    scale = np.abs(onto)
    for a in here:
        if getattr(a, "dtype", None) is not None and a.dtype.kind == "f":
            scale = np.maximum(scale, np.abs(a))
    scale = np.where(scale == 0, 1, scale)
    eps = np.finfo(dtype).eps

    def moved(step: Any) -> tuple[Any, Any]:
        new = [*here[:i], (onto + step).astype(dtype), *here[i + 1 :]]
        new = [np.broadcast_to(a, rows.shape) if np.ndim(a) else a for a in new]
        out = np.broadcast_to(op.eval(*new, **node.params), rows.shape)
        return out, slope(op, i, out, new, node.params)

    far, near = scale * np.sqrt(eps), scale * (8 * eps)
    (f1, d1), (f2, d2) = moved(-far), moved(far)
    (f3, left), (f4, right) = moved(-near), moved(near)
    middle = moved(onto * 0)
    used = slope(op, i, op.eval(*here, **node.params), here, node.params)
    used = np.broadcast_to(used, rows.shape).astype(float)
    left, right = vertical(d1, left, middle[1]), vertical(d2, right, middle[1])
    jump = jumped((f1, f2), (f3, f4), middle[0], eps)
    ids = np.arange(int(np.prod(np.shape(argument)))).reshape(np.shape(argument))
    cols = np.broadcast_to(ids, shape).reshape(-1)[rows]
    low, high = np.fmin(left, right), np.fmax(left, right)
    sites = Sites(node, i, "", rows, cols, x, distance, used, left, right, low, high, jump)
    bent = differ(left, right, d1, d2, eps) | ends(left, right, d1, d2, middle[1], eps) | (jump != 0)
    return sites.take(np.flatnonzero(bent))


def slope(op: Any, i: int, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """The partial derivative that the engine uses, for vectors of values, in float64."""
    p = op.partials[i]
    if p is None:
        d: Any = 0.0
    elif isinstance(p, int):
        d = float(p)
    else:
        d = p(out, *args, **params)
    return np.broadcast_to(np.asarray(d, dtype=float), np.shape(out))


def _onto(op: Any, i: int, here: list[Any], x: Any, distance: Any, params: dict[str, Any]) -> Any:
    """Argument i moved by the distance, up or down, to where the kink is."""
    if not np.any(distance):
        return x

    def left_over(to: Any) -> Any:
        new = [*here[:i], to, *here[i + 1 :]]
        return np.broadcast_to(np.asarray(op.kink(op.eval(*new, **params), *new, **params)), x.shape)

    up, down = (x + distance).astype(x.dtype), (x - distance).astype(x.dtype)
    return np.where(left_over(up) <= left_over(down), up, down)


def _chosen(node: Node, args: Sequence[Any], values: Values) -> list[Sites]:
    """Where a comparison that made the condition compares equal numbers: the other branch lies next door.

    Equal branches make a tie there, others a jump. The op itself has no kink: its condition is given.
    """
    distance = values.switch(node)
    if distance is None:
        raise Unknown("how its condition was made, and how close it is to switching, is not known")
    given = [np.asarray(args[0]), *in_compute_dtype(node.op, args)[1:]]
    shape = np.broadcast_shapes(*(np.shape(a) for a in given), distance.shape)
    rows = np.flatnonzero(np.broadcast_to(distance, shape).reshape(-1) == 0)
    taken, x, y = (np.broadcast_to(a, shape).reshape(-1)[rows] for a in given)
    taken = taken != (node.op.name == "masked_fill")
    equal = np.abs(x - y) <= 64 * np.finfo(x.dtype).eps * np.maximum(np.abs(x), np.abs(y))
    found: list[Sites] = []
    for i, v, used in ((1, x, taken.astype(float)), (2, y, (~taken).astype(float))):
        cols = np.broadcast_to(np.arange(np.size(args[i])).reshape(np.shape(args[i])), shape).reshape(-1)[
            rows
        ]
        zero, one = np.zeros(len(rows)), np.ones(len(rows))
        nothing = np.full(len(rows), np.nan)
        jump = np.where(equal, 0.0, np.where(taken, x - y, y - x))
        whole = Sites(node, i, "tie", rows, cols, v, zero, used, nothing, nothing, zero, one, jump)
        for kind, at in (("tie", equal), ("jump", ~equal)):
            part = whole.take(np.flatnonzero(at))
            part.kind = kind
            if part.rows.size and (kind == "tie" or node.edges[i] is not None):
                found.append(part)
    return found


__all__ = ["CHOICES", "has_kinks", "sites_of"]
