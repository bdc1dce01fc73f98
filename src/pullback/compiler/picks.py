"""Entries chosen by values: an index that is a lane value, the order of a line, the place of an extreme.

All of it is selects, so it costs as much as the line is long; lines are bounded by `MOST`. Read `pick`, then
`order`. May import `compiler.scalars` and what it may import.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.compiler.build import Builder
from pullback.compiler.program import Value
from pullback.compiler.scalars import NotLowered, is_nan

MOST = 64


def bounded(what: str, n: int) -> None:
    """NotLowered for a line of more than MOST entries."""
    if n > MOST:
        raise NotLowered(f"{what} over {n} entries: at most {MOST} are unrolled")


def from_front(b: Builder, index: Value, n: int) -> Value:
    """A negative index counts from the end."""
    if index.lo >= 0:
        return index
    return b.select(b.op("lt", index, 0), b.op("add", index, n), index)


def reach(index: Value, n: int) -> range:
    """The places of n that an index can mean."""
    return range(int(max(index.lo, 0)), int(min(index.hi, n - 1)) + 1)


def pick(b: Builder, line: Sequence[Value], index: Value) -> Value:
    """line[index]; a value that was sorted or found together with its index is known already."""
    n = len(line)
    known = b.scopes[0].get(provenance(line, index)) if len(b.scopes) == 1 else None
    if known is not None:
        return known
    index = from_front(b, index, n)
    places = reach(index, n)
    bounded("an index that depends on values", len(places))
    if not places:
        raise NotLowered("an index out of range")
    v = line[places[-1]]
    for k in reversed(places[:-1]):
        v = b.select(b.op("eq", index, k), line[k], v)
    return v


def provenance(line: Sequence[Value], index: Value) -> Any:
    """The key under which line[index] is kept."""
    return ("pick", index.number, *[v.number for v in line])


def remember(b: Builder, line: Sequence[Value], index: Value, value: Value) -> None:
    """Keep line[index], for `pick`."""
    if index.op != "const" and len(b.scopes) == 1:
        b.scopes[0][provenance(line, index)] = value


def gather(b: Builder, grid: Any, indices: Sequence[Value]) -> Any:
    """grid[indices] for one index per leading axis: a Value, or an object array of the axes that are left."""
    if not indices:
        return grid
    first, *rest = indices
    if first.op == "const":
        return gather(b, grid[first.data], rest)
    subs = [gather(b, part, rest) for part in grid]
    if isinstance(subs[0], Value):
        return pick(b, subs, first)
    lines = [s.reshape(-1) for s in subs]
    found = np.empty(lines[0].shape, object)
    for i in range(len(found)):
        found[i] = pick(b, [line[i] for line in lines], first)
    return found.reshape(subs[0].shape)


def scatter(b: Builder, grid: Any, indices: Sequence[Value], value: Any, pair: Any = None) -> None:
    """grid[indices] = value (or pair(b, old, value)) for one index per leading axis.

    A select at every place in reach.
    """
    places = [[i.data % n] if i.op == "const" else reach(from_front(b, i, n), n)
              for i, n in zip(indices, grid.shape, strict=False)]  # fmt: skip
    bounded("a write at an index that depends on values", int(np.prod([len(p) for p in places])))
    fronts = [from_front(b, i, n) for i, n in zip(indices, grid.shape, strict=False)]
    rest = grid.shape[len(indices) :]
    for place in np.ndindex(*[len(p) for p in places]):
        at = tuple(p[k] for p, k in zip(places, place, strict=True))
        here = b.const(True, "b1")
        for index, k in zip(fronts, at, strict=True):
            if index.op != "const":
                here = b.op("and", here, b.op("eq", index, k))
        for more in np.ndindex(*rest):
            old, new = grid[at + more], value[more] if rest else value
            new = new if pair is None else pair(b, old, new)
            grid[at + more] = b.select(here, new, old)


# ---------------------------------------------------------------------- order


def before(b: Builder, x: tuple[Value, Value], y: tuple[Value, Value]) -> Value:
    """Does y come strictly before x in a stable ascending order, NaN last?"""
    (v, i), (w, j) = x, y
    bad, worse = is_nan(b, v), is_nan(b, w)
    lower = b.op("and", v, b.op("not", w)) if v.type == "b1" else b.op("lt", w, v)
    less = b.op("or", lower, b.op("and", bad, b.op("not", worse)))
    tie = b.op("or", b.op("eq", w, v), b.op("and", bad, worse))
    return b.op("or", less, b.op("and", tie, b.op("lt", j, i)))


def order(b: Builder, line: Sequence[Value]) -> list[Value]:
    """The indices that sort a line: stable, ascending, NaN last (K. Batcher's odd-even merge sort, 1968)."""
    n = len(line)
    bounded("a sort", n)
    pairs = [(v, b.const(i, "i8")) for i, v in enumerate(line)]
    for i, j in comparators(n):
        swap = before(b, pairs[i], pairs[j])
        (v, p), (w, q) = pairs[i], pairs[j]
        pairs[i] = b.select(swap, w, v), within(b.select(swap, q, p), n)
        pairs[j] = b.select(swap, v, w), within(b.select(swap, p, q), n)
    for v, i in pairs:
        remember(b, line, i, v)
    return [i for _, i in pairs]


def within(index: Value, n: int) -> Value:
    """An index into n entries: its bounds are known."""
    if index.op != "const":
        index.lo, index.hi = max(index.lo, 0.0), min(index.hi, n - 1.0)
    return index


def comparators(n: int) -> list[tuple[int, int]]:
    """The compare-exchanges of Batcher's network for n entries.

    >>> comparators(3)
    [(0, 1), (0, 2), (1, 2)]
    """
    found: list[tuple[int, int]] = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                ends = ((i + j, i + j + k) for i in range(min(k, n - j - k)))
                found += [(i, m) for i, m in ends if i // (2 * p) == m // (2 * p)]
            k //= 2
        p *= 2
    return found


def extreme(b: Builder, line: Sequence[Value], op: str) -> Value:
    """The index of the first largest ("gt") or smallest ("lt") entry of a line; the first NaN wins."""
    best, where = line[0], b.const(0, "i8")
    for k, v in enumerate(line[1:], 1):
        if v.type == "b1":
            takes = b.op("and", v, b.op("not", best)) if op == "gt" else b.op("and", best, b.op("not", v))
        else:
            takes = b.op("and", b.op("or", b.op(op, v, best), is_nan(b, v)), b.op("not", is_nan(b, best)))
        best, where = b.select(takes, v, best), b.select(takes, k, where)
    remember(b, line, where, best)
    return where
