"""What a record tells of one node: local derivatives entry by entry, forward values, and where these begin.

Read `links` first, then `value_of` and `behind`. A forward value is one that the record kept, or that the op
gives again on values that the record kept; where neither is so, the answer is None. May import `graph`,
`families`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pullback.families.elementwise_facets import compute_dtype
from pullback.graph.modes import QUIET, loud, quiet
from pullback.graph.node import Aval, Node, Slot
from pullback.graph.tensor import Tensor

LIMIT = 1_000_000  # links of one argument that are ever listed
ENTRYWISE = ("elementwise", "selection")
AGAIN = ("elementwise", "selection", "contraction", "reduction", "structural")  # families without chance


class Link(NamedTuple):
    """The links that meet one input entry: output entries, upstream values, local derivatives, reason."""

    rows: Any
    upstream: Any
    local: Any
    why: str


class Forward(NamedTuple):
    """The first non-finite value of the forward pass behind a node.

    node      the node that made it, or None for a leaf or a constant
    arg       for a leaf or constant: the argument of `user` that it is
    user      the node that reads it
    entries   flat indices of its non-finite entries
    values    the values there
    inputs    per argument of the op, the value that meets the first of these entries, or None if not known
    complete  were all of the op's inputs known, and finite?
    followed  for an argument: is it a leaf that autograd follows?
    """

    node: Node | None
    arg: int
    user: Node
    entries: Any
    values: Any
    inputs: list[Any]
    complete: bool
    followed: bool


def links(node: Node, i: int, g: Any, entry: int) -> Link | None:
    """The links of one entry of argument i, or None where the op does not list them or they are too many."""
    found = local(node, i, g)
    if found is None:
        return None
    at = np.flatnonzero(np.asarray(found.cols) == entry)
    rows = np.asarray(found.rows)[at]
    every = np.broadcast_to(np.asarray(found.values), np.shape(found.rows))
    up = np.concatenate([flat(c) for c in g if c is not None]) if isinstance(g, list) else flat(g)
    if rows.size and int(rows.max()) >= up.size:
        return None  # an output that received no cotangent: the numbering has gaps
    return Link(rows, up[rows], every[at], found.why_nonfinite)


def local(node: Node, i: int, g: Any) -> Any:
    """The node's `Local` of argument i, or None."""
    op, zero = node.op, getattr(node.op, "zero", None)
    if not zero or node.args is None or node.lanes or (isinstance(g, list) and any(c is None for c in g)):
        return None
    args = known_arguments(node, g)
    if args is None or not hasattr(args[i], "shape"):
        return None
    size_out = sum(c.size for c in g) if isinstance(g, list) else int(np.size(g))
    if op.family not in ENTRYWISE:
        if size_out * _size(args[i].shape) > LIMIT:
            return None
        args = [np.zeros(a.shape, a.dtype) if isinstance(a, Aval) else a for a in args]
    out = node.out
    if out is None:
        out = (
            tuple(np.zeros_like(c) for c in g)
            if isinstance(g, list)
            else np.zeros(np.shape(g), np.asarray(g).dtype)
        )
    token = quiet(QUIET)
    try:
        return zero(i, out, args, node.params)
    finally:
        loud(token)


def known_arguments(node: Node, g: Any) -> list[Any] | None:
    """Values of the arguments where the node kept them, avals elsewhere (None: not even these are known)."""
    found: list[Any] = []
    for k, a in enumerate(node.args):
        if isinstance(a, Tensor):
            found.append(a.value)
        elif a is None and node.edges[k] is not None:
            meta = node.meta[k] if node.meta is not None else None
            if meta is None and isinstance(g, list):
                return None
            found.append(Aval(*meta) if meta is not None else Aval(np.shape(g), np.asarray(g).dtype))
        else:
            found.append(a)
    return found


# ---------------------------------------------------------------------- forward values


def behind(node: Node, i: int, entry: int) -> Forward | None:
    """The first non-finite forward value that this node's derivative for an entry of argument i reads.

    None where the values it reads are finite, or not known.
    """
    reads = range(len(node.args))
    user, place = node, None
    for k in reads:
        v = value_of(node, k)
        if v is not None and not finite(v) and _meets(node, v, i, entry):
            place = k
            break
    if place is None:
        out = node.out
        if out is None or isinstance(out, tuple) or finite(out) or not _reads_out(node, i):
            return None
        return _made(node, out, _same(node, i, entry, out))
    return _walk(user, place)


def _reads_out(node: Node, i: int) -> bool:
    partial = getattr(node.op, "partial_reads", None)
    reads = partial if partial is not None else node.op.reads
    return node.op.keeps_out and (reads is None or i >= len(reads) or bool(reads[i] and reads[i][0]))


def _meets(node: Node, v: Any, i: int, entry: int) -> bool:
    """Does a non-finite entry of an argument v meet this entry of argument i? (Entrywise ops: exactly.)"""
    if node.op.family not in ENTRYWISE:
        return True
    shape = _shape_of(node, i)
    if shape is None:
        return True
    wide = wide_shape(node)
    if wide is None:
        return True
    outs = np.broadcast_to(np.arange(_size(shape)).reshape(shape), wide).reshape(-1) == entry
    return bool((~np.isfinite(np.broadcast_to(v, wide).reshape(-1)[outs])).any())


def wide_shape(node: Node) -> tuple[int, ...] | None:
    """The output's shape of an entrywise node."""
    shapes = [_shape_of(node, k) for k in range(len(node.args))]
    known = [s for s in shapes if s is not None]
    return tuple(np.broadcast_shapes(*known)) if known else None


def _shape_of(node: Node, k: int) -> tuple[int, ...] | None:
    a = node.args[k]
    if isinstance(a, Tensor):
        return tuple(a.value.shape)
    if isinstance(a, Aval):
        return tuple(a.shape)
    if a is None and node.meta is not None and node.meta[k] is not None:
        return tuple(node.meta[k][0])
    if node.out is not None and not isinstance(node.out, tuple) and a is None:
        return tuple(np.shape(node.out))
    return tuple(np.shape(a)) if isinstance(a, np.ndarray | np.generic) else None


def _walk(user: Node, k: int) -> Forward:
    """From argument k of a node, back to the op, leaf or constant where its inf or NaN began."""
    while True:
        edge = user.edges[k]
        value = value_of(user, k)
        at = bad_entries(value)
        if type(edge) is not Node or edge.args is None or edge.op.family not in AGAIN:
            producer = edge if type(edge) is Node else edge.node if type(edge) is Slot else None
            return Forward(producer, k, user, at, flat(value)[at], [], False, isinstance(edge, Tensor))
        before = None
        for j in range(len(edge.args)):
            v = value_of(edge, j)
            if v is not None and not finite(v):
                before = j
                break
        if before is None:
            return _made(edge, value, int(at[0]))
        user, k = edge, before


def _made(node: Node, value: Any, entry: int) -> Forward:
    """The node's inputs are finite as far as they are known."""
    at = bad_entries(value)
    entry = entry if entry in at else int(at[0])
    inputs = [_input(node, k, np.shape(value), entry) for k in range(len(node.args))]
    known = all(value_of(node, k) is not None for k in range(len(node.args)) if _is_array(node, k))
    return Forward(node, 0, node, at, flat(value)[at], inputs, known, False)


def _input(node: Node, k: int, shape: tuple[int, ...], entry: int) -> Any:
    """The value of argument k at an output entry of an entrywise op; None where that is not known."""
    v = value_of(node, k)
    if node.op.family not in ENTRYWISE or v is None:
        return None
    if not isinstance(v, np.ndarray | np.generic):
        return v
    return np.broadcast_to(v, shape).reshape(-1)[entry] if _size(shape) else None


def _same(node: Node, i: int, entry: int, out: Any) -> int:
    """An output entry that meets an entry of argument i."""
    shape = _shape_of(node, i)
    if node.op.family in ENTRYWISE and shape is not None:
        ids = np.broadcast_to(np.arange(_size(shape)).reshape(shape), np.shape(out)).reshape(-1)
        meets = np.flatnonzero((ids == entry) & ~np.isfinite(flat(out)))
        if meets.size:
            return int(meets[0])
    return int(bad_entries(out)[0])


def value_at(node: Node, k: int, i: int, entry: int, g: Any) -> Any:
    """The value of argument k that meets an entry of argument i, for entrywise ops; else None."""
    if node.op.family not in ENTRYWISE or isinstance(g, list):
        return None
    shape, wide = _shape_of(node, i), np.shape(g)
    if shape is None:
        shape = wide
    ids = np.broadcast_to(np.arange(_size(shape)).reshape(shape), wide).reshape(-1)
    at = np.flatnonzero(ids == entry)
    return _input(node, k, wide, int(at[0])) if at.size else None


def value_of(node: Node, k: int, depth: int = 12) -> Any:
    """The value of argument k when the node ran, or None where the record does not tell it.

    Kept by the node, or a leaf that was not written since, or what the producer kept or gives again.
    """
    a, edge = node.args[k], node.edges[k]
    if isinstance(a, Tensor):
        written = a.counter is not None and a.counter.written_since(node.number)
        return None if written else a.value
    if edge is None:
        return None if isinstance(a, Aval) else a
    if isinstance(edge, Tensor):
        written = edge.counter is not None and edge.counter.written_since(node.number)
        return None if written else edge.value
    return made_by(edge, depth) if type(edge) is Node else None


def made_by(node: Node, depth: int = 12) -> Any:
    """The output of a node: what it kept, or what the op gives again on known arguments; None otherwise."""
    if node.args is None:
        return None
    if node.out is not None:
        written = node.out_versions and any(c.version != v for c, v in node.out_versions.values())
        return None if isinstance(node.out, tuple) or written else node.out
    if depth == 0 or node.op.family not in AGAIN or node.count is not None or node.lanes:
        return None
    args = [value_of(node, k, depth - 1) for k in range(len(node.args))]
    if any(a is None and _is_array(node, k) for k, a in enumerate(args)):
        return None
    if node.op.family in ENTRYWISE and any(hasattr(a, "dtype") for a in args):
        d = compute_dtype(node.op, args).numpy
        args = [_promoted(a, d) if k >= node.op.skip else a for k, a in enumerate(args)]
    token = quiet(QUIET)
    try:
        return node.op.eval(*args, **node.params)
    finally:
        loud(token)


def _promoted(a: Any, d: Any) -> Any:
    return a.astype(d) if hasattr(a, "dtype") and a.dtype != d and a.dtype.kind in "iufc" else a


def _is_array(node: Node, k: int) -> bool:
    return node.edges[k] is not None or isinstance(node.args[k], Tensor | Aval)


# ---------------------------------------------------------------------- arrays


def plain(c: Any) -> Any:
    """A cotangent as an array."""
    return c.value if isinstance(c, Tensor) else c


def flat(v: Any) -> Any:
    """The entries in row-major order."""
    return np.asarray(plain(v)).reshape(-1)


def finite(v: Any) -> bool:
    """Are all entries (of all outputs) finite? Integers and None are."""
    if isinstance(v, list | tuple):
        return all(finite(c) for c in v)  # pyright: ignore[reportUnknownVariableType]
    v = plain(v)
    return v is None or isinstance(v, int | bool) or bool(np.isfinite(v).all())


def bad_entries(v: Any) -> Any:
    """The flat indices of the entries that are inf or NaN."""
    return np.flatnonzero(~np.isfinite(flat(v)))


def _size(shape: Any) -> int:
    n = 1
    for s in shape:
        n *= s
    return n
