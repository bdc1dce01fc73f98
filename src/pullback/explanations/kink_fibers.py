"""Kinks of ops on fibers, and of ops that pick entries: ties, and the tips of norms and spreads.

Read `picked` and `fibers`. May import `graph`, `families`, `transform`, `colouring`,
`kink_sides`, `links`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.explanations.colouring import colour_rows
from pullback.explanations.kink_sides import Sites, Unknown, by_kind, differ, vertical
from pullback.explanations.nodes import split
from pullback.families.fibers import axes, count
from pullback.families.reduction import FiberOp
from pullback.families.reduction_facets import geometry
from pullback.graph.node import Aval, Node
from pullback.transform.pattern import Pattern

PAIRS = 4_000_000  # pairs of output and input entries that are looked through at most for one op
MOST = 1000  # pulls that it may take to see which of the tied entries get what

# ---------------------------------------------------------------------- ops that pick entries


def picked(node: Node, args: Sequence[Any], out: Any, within: float) -> list[Sites]:
    """Ties: output entries that more than one entry of the arguments could have given."""
    op: Any = node.op
    if out is None:
        raise Unknown("what it returned is not kept")
    flat = _floating(out)
    avals = [Aval(np.shape(a), a.dtype) if hasattr(a, "dtype") else a for a in args]
    pairs = op.depend(avals, node.params, list(args)).first
    parts: list[tuple[int, Any, Any, Any]] = []
    tied = np.zeros(flat.size, np.int64)
    for i, p in enumerate(pairs):
        if p is None:
            continue
        if len(p[0]) > PAIRS:
            raise Unknown("it has too many pairs of entries to look through")
        x = np.asarray(args[i]).reshape(-1)
        gap = np.where(flat[p[0]] == x[p[1]], 0, np.abs(flat[p[0]] - x[p[1]]))
        near = np.flatnonzero((gap <= within) & np.isfinite(x[p[1]]))
        rows, cols = np.asarray(p[0])[near], np.asarray(p[1])[near]
        np.add.at(tied, rows, 1)
        parts.append((i, rows, cols, gap[near]))
    found: list[Sites] = []
    for i, rows, cols, gap in ((i, r[tied[r] > 1], c[tied[r] > 1], g[tied[r] > 1]) for i, r, c, g in parts):
        if not len(rows):
            continue
        used = _used(node, i, out, rows, cols)
        zero, one = np.zeros(len(rows)), np.ones(len(rows))
        x = np.asarray(args[i])
        left, right = _passed(node, x, flat, rows, cols) if isinstance(op, FiberOp) else (zero, one)
        values = x.reshape(-1)[cols]
        found.append(Sites(node, i, "tie", rows, cols, values, gap, used, left, right, zero, one, zero))
    return found


def _passed(node: Node, x: Any, flat: Any, rows: Any, cols: Any) -> tuple[Any, Any]:
    """Is the entry passed on when it is moved down, and when it is moved up, alone?

    An op that picks entries copies them, so the output tells. Equal entries behave alike: one of each tie is
    moved.
    """
    rows, first, back = np.unique(rows, return_index=True, return_inverse=True)
    cols = cols[first]
    op: Any = node.op
    inside, outs = geometry(op, Aval(x.shape, x.dtype), node.params)
    places = np.concatenate([np.tile(np.arange(p.shape[1]), (p.shape[0], 1)).reshape(-1) for _, p, _ in outs])
    places[np.concatenate([p.reshape(-1) for _, p, _ in outs])] = places.copy()
    spot = np.zeros(x.size, np.int64)
    spot[inside.reshape(-1)] = np.arange(x.size)
    fiber, place = np.divmod(spot[cols], max(inside.shape[1], 1))
    if inside.shape[1] * len(rows) > PAIRS:
        raise Unknown("it has too many tied entries to look at each")
    lines = x.reshape(-1)[inside[fiber]]
    whole = isinstance(node.params["dim"], tuple) or node.params["dim"] is None
    p = {**node.params, "dim": (1,) if whole else 1}
    p.update({"keepdim": True} if "keepdim" in p else {})
    each = np.arange(len(rows))
    step = np.maximum(np.abs(flat[rows]), np.finfo(x.dtype).tiny) * (8 * np.finfo(x.dtype).eps)

    def moved(by: Any) -> Any:
        new = lines.copy()
        new[each, place] = flat[rows] + by
        out = op.eval(new, **p)
        return (out[0] if isinstance(out, tuple) else out)[each, places[rows]] == new[each, place]

    down, up = moved(-step.astype(x.dtype)), moved(step.astype(x.dtype))
    return down[back].astype(float), up[back].astype(float)


def _floating(out: Any) -> Any:
    """The floating outputs, flat, one after another (as `depend` numbers them)."""
    several: Sequence[Any] = out if isinstance(out, tuple) else (out,)
    parts = [np.asarray(v).reshape(-1) for v in several if np.asarray(v).dtype.kind in "fc"]
    return np.concatenate(parts)


def _used(node: Node, i: int, out: Any, rows: Any, cols: Any) -> Any:
    """The derivatives at these pairs in use: rows that share no tied entry are pulled together."""
    names, r = np.unique(rows, return_inverse=True)
    order = np.lexsort((cols, r))
    width = int(cols.max()) + 1
    colouring = colour_rows(Pattern((len(names), width), r[order], cols[order]))
    if colouring is None or colouring.count > MOST:
        raise Unknown("it has too many tied entries to look at each")
    several: Sequence[Any] = out if isinstance(out, tuple) else (out,)
    outs = [Aval(np.shape(v), np.asarray(v).dtype) for v in several if np.asarray(v).dtype.kind in "fc"]
    used = np.zeros(len(rows))
    for colour in range(colouring.count):
        mine = colouring.colours == colour
        g = np.zeros(sum(a.size for a in outs))
        g[names[mine]] = 1
        pulled = node.op.pull(node, split(node, g, outs), False)[i]
        at = np.flatnonzero(mine[r])
        if pulled is not None:
            used[at] = np.asarray(pulled, dtype=float).reshape(-1)[cols[at]]
    return used


# ---------------------------------------------------------------------- norms and spreads of fibers


def fibers(node: Node, x: Any, out: Any, within: float) -> list[Sites]:
    """Entries of fibers where a norm bends: each is moved alone, the others stay."""
    op: Any = node.op
    x = np.asarray(x)
    distance = np.broadcast_to(op.kink(out, x, **node.params), x.shape)
    at = np.flatnonzero((distance <= within).reshape(-1))
    length = count(x.shape, node.params["dim"])
    if not at.size:
        return []
    if at.size * length > PAIRS:
        raise Unknown("it has too many entries on kinks to look at each")
    lines, fiber, place = _lines(x, node.params["dim"], at)
    here = lines[fiber]
    each = np.arange(len(at))
    scale = np.abs(here).max(axis=1)
    scale = np.where(scale == 0, 1, scale)
    eps = np.finfo(x.dtype).eps

    def moved(step: Any) -> Any:
        new = here.copy()
        new[each, place] += step
        return _fiber_gradient(op, new, node.params)[each, place]

    used = moved(0 * scale)
    here = _fiber_onto(op, here, place, distance.reshape(-1)[at], node.params)
    # norms and spreads are homogeneous: steps need not be tiny, and larger ones cancel fewer digits
    far, near = (scale * eps**0.125).astype(x.dtype), (scale * np.sqrt(eps)).astype(x.dtype)
    left, right, far_left, far_right = moved(-near), moved(near), moved(-far), moved(far)
    left, right = vertical(far_left, left, used), vertical(far_right, right, used)
    bent = np.flatnonzero(differ(left, right, far_left, far_right, eps) & ~np.isnan(here[each, place]))
    values = x.reshape(-1)[at]
    zeros = np.zeros(len(at))
    low, high = np.fmin(left, right), np.fmax(left, right)
    gap = distance.reshape(-1)[at]
    sites = Sites(node, 0, "kink", fiber, at, values, gap, used, left, right, low, high, zeros)
    return by_kind(sites.take(bent)) if bent.size else []


def _fiber_onto(op: Any, here: Any, place: Any, distance: Any, params: dict[str, Any]) -> Any:
    """The lines with one entry moved onto its kink; NaN where moving it alone does not lead there."""
    if not np.any(distance):
        return here
    each = np.arange(len(here))
    p = {**params, "dim": (1,), "keepdim": False}
    found = np.full(here.shape, np.nan)
    for way in (-1.0, 1.0):
        new = here.copy()
        new[each, place] += way * np.sign(here[each, place]) * distance
        left = np.broadcast_to(op.kink(op.eval(new, **p), new, **p), new.shape)[each, place]
        arrived = left <= 4 * np.finfo(here.dtype).eps * np.abs(here).max(axis=1)
        found[arrived] = new[arrived]
    return found


def _lines(x: Any, dim: Any, at: Any) -> tuple[Any, Any, Any]:
    """The fibers as rows, and of each chosen entry its fiber and its place in it."""
    dims = axes(dim, x.ndim)
    order = [i for i in range(x.ndim) if i not in dims] + list(dims)
    length = count(x.shape, dim)
    ids = np.arange(x.size).reshape(x.shape).transpose(order).reshape(-1, length)
    where = np.zeros(x.size, np.int64)
    where[ids.reshape(-1)] = np.arange(x.size)
    fiber, place = np.divmod(where[at], length)
    return x.reshape(-1)[ids], fiber, place


def _fiber_gradient(op: Any, lines: Any, params: dict[str, Any]) -> Any:
    """The gradient of each line's output, by the op's own rule."""
    p = {**params, "dim": (1,), "keepdim": False}
    out = op.eval(lines, **p)
    c = op.vjp[0](np.ones(out.shape, out.dtype), out, lines, **p)
    return np.zeros(lines.shape) if c is None else np.asarray(c, dtype=float)


__all__ = ["fibers", "picked"]
