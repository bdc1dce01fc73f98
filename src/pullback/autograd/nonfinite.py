"""Where the first inf or NaN arises: in a forward value, a local derivative, a product or a sum.

Read `first_nonfinite` first, then `origin` (one node) and `trace` (back along what carried the number). Works
on plain arrays, runs no hooks, frees nothing and touches no `.grad`. May import `known`, `graph`.

What is claimed holds entry by entry: a local derivative is listed by the op's `zero` facet, an upstream is
the array that the sweep brought, and a forward value is one that the record kept, or that the op gives
again on values that the record kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np

from pullback.autograd.began import Forward, behind
from pullback.autograd.known import (
    ENTRYWISE,
    Link,
    bad_entries,
    finite,
    flat,
    input_at,
    links,
    local,
    made_by,
    plain,
    wide_shape,
)
from pullback.graph.modes import QUIET, loud, quiet
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor


class Step(NamedTuple):
    """What one node did in a sweep: its upstream (a list for several outputs) and its cotangents."""

    node: Node
    upstream: Any
    cotangents: Sequence[Any]


class Found(NamedTuple):
    """Where a sweep met its first inf or NaN.

    node      the node, or None where an upstream given by the caller holds it
    arg       which argument's cotangent
    entries   flat indices of that argument's entries that became non-finite here
    values    the cotangent's values there
    upstream  the upstream values that meet the first of these entries, or None where they cannot be listed
    local     the local derivatives that meet it, or None
    inputs    per argument of the op, the value that meets the first entry, or None
    kind      "derivative" (a local derivative is inf or NaN), "zero times infinity" (the same where the
              upstream is zero), "overflow" (finite factors), "sum" (finite cotangents added up at `node`),
              "upstream" (given by the caller), "rule" (finite upstream; the factors cannot be listed)
    forward   the first non-finite forward value behind it, which then is the earliest cause, or None
    why       the op's own reason, or ""
    rows      the output entries of `upstream` and `local`, or None
    shape     the shape of that argument
    """

    node: Node | None
    arg: int
    entries: Any
    values: Any
    upstream: Any
    local: Any
    inputs: list[Any]
    kind: str
    forward: Forward | None
    why: str
    rows: Any = None
    shape: tuple[int, ...] = ()


def first_nonfinite(roots: Sequence[tuple[Any, Any]]) -> Found | None:
    """The first inf or NaN of the backward pass from these (edge, cotangent array) pairs, or None.

    Saved values must still be there. None too where what carries it was recorded inside vmap or packed.

    >>> import pullback as torch
    >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
    >>> y = x.sqrt()
    >>> found = first_nonfinite([(y.node, np.ones(2, np.float32))])
    >>> found.node.name, found.entries.tolist(), found.kind, found.local.tolist()
    ('SqrtBackward0', [0], 'derivative', [inf])
    """
    for _, c in roots:
        if not finite(c):
            return given(c)
    for step in steps(roots):
        for i in range(len(step.cotangents)):
            found = origin(step, i)
            if found is not None:
                return found
        if not finite(step.upstream):  # nothing before it was: the sum made it
            return summed(step)
    return None


def steps(roots: Sequence[tuple[Any, Any]]) -> Iterator[Step]:
    """The steps of a sweep over plain arrays, newest node first; what cannot be pulled is passed over."""
    heap: list[tuple[int, Node]] = []
    waiting: dict[Node, Any] = {}

    def deliver(edge: Any, c: Any) -> None:
        if edge is None or c is None or isinstance(edge, Tensor):
            return
        node, index = (edge.node, edge.index) if type(edge) is Slot else (edge, None)
        if node not in waiting:
            waiting[node] = None if index is None else [None] * (node.count or 0)
            heappush(heap, (-node.number, node))
        have = waiting[node]
        if index is None:
            waiting[node] = c if have is None else have + c
        else:
            have[index] = c if have[index] is None else have[index] + c

    token = quiet(QUIET)
    try:
        for edge, c in roots:
            deliver(edge, c)
        while heap:
            node = heappop(heap)[1]
            g = waiting.pop(node)
            if node.args is None or node.lanes or node.packed is not None:
                continue
            cotangents = [plain(c) for c in node.op.pull(node, g, False)]
            yield Step(node, g, cotangents)
            for edge, c in zip(node.edges, cotangents, strict=False):
                deliver(edge, c)
    finally:
        loud(token)


# ---------------------------------------------------------------------- one node


def origin(step: Step, i: int, only: Any = None) -> Found | None:
    """What became non-finite in argument i's cotangent although the upstream that it is made of is finite.

    only  if given, the entries that are asked about
    """
    node, g, cotangents = step
    c = cotangents[i]
    if c is None or i >= len(node.edges) or node.edges[i] is None or finite(c):
        return None
    at = bad_entries(c) if only is None else np.intersect1d(bad_entries(c), only)
    if not finite(g):
        if node.op.family == "custom" or node.lanes:
            return None  # a user's backward is not run twice
        token = quiet(QUIET)
        try:
            rest = plain(node.op.pull(node, _finite_part(g), False)[i])
        finally:
            loud(token)
        at = np.intersect1d(at, bad_entries(rest)) if rest is not None else at[:0]
        if not at.size:
            return None
    return _described(step, i, at)


def _described(step: Step, i: int, at: Any) -> Found:
    node, g, cotangents = step
    values = flat(cotangents[i])[at]
    first = np.argsort(~np.isnan(values), kind="stable")  # nan before inf: it is what stops the program
    at, values = at[first], values[first]
    link = links(node, i, g, int(at[0]))
    kind = "rule" if link is None else _kind(link)
    inputs: list[Any] = []
    forward = None
    if link is not None:
        odd = np.flatnonzero(~np.isfinite(link.local))
        row = int(link.rows[odd[0] if odd.size else 0])
        inputs = [
            input_at(node, k, row, np.shape(g))
            for k in range(len(node.args) if not isinstance(g, list) else 0)
        ]
        forward = behind(node, i, int(at[0]), row, g) if odd.size else None
    shape = np.shape(cotangents[i])
    if link is None:
        return Found(node, i, at, values, None, None, inputs, kind, forward, "", None, shape)
    up, d, why, rows = link.upstream, link.local, link.why, link.rows
    return Found(node, i, at, values, up, d, inputs, kind, forward, why, rows, shape)


def _kind(link: Link) -> str:
    odd = ~np.isfinite(link.local)
    if not odd.any():
        return "overflow" if np.isfinite(link.upstream).all() else "rule"
    return "zero times infinity" if not np.any(link.upstream[odd]) else "derivative"


def _finite_part(g: Any) -> Any:
    """g with zeros where it is inf or NaN."""
    if isinstance(g, list):
        return [_finite_part(c) for c in g]  # pyright: ignore[reportUnknownVariableType]
    if g is None:
        return None
    kept = np.where(np.isfinite(g), g, np.asarray(g).dtype.type(0))
    return kept if isinstance(g, np.ndarray) else kept[()]


# ---------------------------------------------------------------------- back along what carried it


def trace(made: dict[Node, Step], step: Step, i: int, roots: Sequence[tuple[Any, Any]]) -> Found | None:
    """The earliest cause of the non-finite entries of argument i's cotangent in this step.

    made   the steps so far whose cotangents are not all finite
    roots  the sweep's (edge, cotangent) pairs
    None where it cannot be followed: a hook changed a cotangent, or a step's links are not known.
    """
    order = sorted(made.values(), key=lambda s: -s.node.number)
    want = np.flatnonzero(np.isnan(flat(step.cotangents[i])))
    for _ in range(len(order) + 1):
        found = origin(step, i, want)
        if found is not None:
            return found
        node, g = step.node, step.upstream
        if finite(g) or node.hooks is not None or node.node_prehooks is not None:
            return None
        rows = _carried(step, i, int(want[0]))
        for edge, c in roots:
            if node_of(edge) is node and _bad_at(c, rows).size:
                return given(c)
        before = _carrier(order, node, rows)
        if before is None:
            return summed(step)
        step, i = before
        want = _bad_at(step.cotangents[i], rows)
    return None


def _carried(step: Step, i: int, entry: int) -> Any:
    """The output entries whose non-finite upstream meets this entry, or None for all of them."""
    if step.node.count is not None:
        return None
    link = links(step.node, i, step.upstream, entry)
    if link is None:
        return None
    rows = link.rows[~np.isfinite(link.upstream)]
    return rows if rows.size else None


def _bad_at(c: Any, rows: Any) -> Any:
    at = bad_entries(c)
    return at if rows is None else np.intersect1d(at, rows)


def _carrier(order: Sequence[Step], node: Node, rows: Any) -> tuple[Step, int] | None:
    """The earliest step that delivered a non-finite cotangent to this node's rows, and for which argument."""
    for s in order:
        if s.node.number <= node.number:
            return None
        for j, (edge, c) in enumerate(zip(s.node.edges, s.cotangents, strict=False)):
            if c is not None and node_of(edge) is node and _bad_at(c, rows).size:
                return None if s.node.node_hooks is not None else (s, j)
    return None


def given(c: Any) -> Found:
    """An upstream of the caller's that is not finite."""
    c = plain(c)
    at = bad_entries(c)
    return Found(None, 0, at, flat(c)[at], None, None, [], "upstream", None, "", None, np.shape(c))


def summed(step: Step) -> Found:
    """The upstream of this step is the first non-finite number: finite cotangents whose sum overflows."""
    g = step.upstream
    c = next(c for c in g if c is not None and not finite(c)) if isinstance(g, list) else g
    at = bad_entries(c)
    return Found(step.node, 0, at, flat(c)[at], None, None, [], "sum", None, "", None, np.shape(c))


def node_of(edge: Any) -> Any:
    """The node of an edge, or the leaf."""
    return edge.node if type(edge) is Slot else edge


# ---------------------------------------------------------------------- why an upstream is zero


def unselected(roots: Sequence[tuple[Any, Any]], node: Node, row: int) -> Node | None:
    """The selection (where, masked_fill, relu, ...) that passes nothing on to this output entry, or None.

    Every consumer on the way is entrywise or structural; one that does pass something on gives None, as does
    an upstream that the caller gave.
    """
    if any(node_of(e) is node for e, _ in roots):
        return None
    using = _consumers([e for e, _ in roots], node)
    found: Node | None = None
    for user, k in using:
        if user.args is None or user.count is not None or user.op.family not in (*ENTRYWISE, "structural"):
            return None
        out = made_by(user)
        stand_in = out if out is not None else _blank(user)
        pairs = None if stand_in is None else local(user, k, stand_in)
        if pairs is None:
            return None
        at = np.flatnonzero(np.asarray(pairs.cols) == row)
        values = np.broadcast_to(np.asarray(pairs.values), np.shape(pairs.rows))[at]
        if user.op.family == "selection" and not np.any(values):
            found = found or user
            continue
        gates = {unselected(roots, user, int(r)) for r in np.asarray(pairs.rows)[at[values != 0]]}
        if len(gates) != 1 or None in gates:
            return None
        found = found or gates.pop()
    return found


def _blank(node: Node) -> Any:
    """Zeros of an entrywise node's output shape, where that is known."""
    shape = wide_shape(node) if node.op.family in ENTRYWISE else None
    return None if shape is None else np.zeros(shape)


def _consumers(edges: Sequence[Any], node: Node) -> list[tuple[Node, int]]:
    found: list[tuple[Node, int]] = []
    seen: set[Node] = set()
    stack = [node_of(e) for e in edges if not isinstance(e, Tensor)]
    while stack:
        n = stack.pop()
        if n in seen or n.number <= node.number:
            continue
        seen.add(n)
        for k, e in enumerate(n.edges):
            before = node_of(e)
            if before is node:
                found.append((n, k))
            elif type(before) is Node:
                stack.append(before)
    return found
