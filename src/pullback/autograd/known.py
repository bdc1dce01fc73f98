"""What a record tells of one node: local derivatives entry by entry, and forward values.

Read `links` first, then `value_of`. A forward value is one that the record kept, or that the op
gives again on values that the record kept; where neither is so, the answer is None. May import `graph`,
`families`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pullback.families.elementwise_facets import compute_dtype
from pullback.graph.modes import QUIET, loud, quiet
from pullback.graph.node import Aval, Node
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


def local(node: Node, i: int, g: Any, swap: dict[int, Any] | None = None) -> Any:
    """The node's `Local` of argument i, or None.

    swap  values in the place of arguments (-1: of the result)
    """
    op, zero = node.op, getattr(node.op, "zero", None)
    if not zero or node.args is None or node.lanes or (isinstance(g, list) and any(c is None for c in g)):
        return None
    args = known_arguments(node, g)
    if args is None or not hasattr(args[i], "shape"):
        return None
    size_out = sum(c.size for c in g) if isinstance(g, list) else int(np.size(g))
    if op.family not in ENTRYWISE:
        if size_out * size_of(args[i].shape) > LIMIT:
            return None
        args = [np.zeros(a.shape, a.dtype) if isinstance(a, Aval) else a for a in args]
    out = node.out
    if swap is not None:
        args = [swap.get(k, a) for k, a in enumerate(args)]
        out = swap.get(-1, out)
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


def wide_shape(node: Node) -> tuple[int, ...] | None:
    """The output's shape of an entrywise node, or None where the node does not tell it."""
    shapes = [shape_of(node, k) for k in range(len(node.args))]
    if any(s is None and is_array(node, k) for k, s in enumerate(shapes)):
        return None
    return tuple(np.broadcast_shapes(*(s for s in shapes if s is not None)))


def shape_of(node: Node, k: int) -> tuple[int, ...] | None:
    """The shape of argument k, or None where the node does not tell it."""
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


def input_at(node: Node, k: int, row: int, wide: tuple[int, ...]) -> Any:
    """The value of argument k at an output entry of an entrywise op, whose output has the shape `wide`.

    None where that is not known.
    """
    v = value_of(node, k)
    if node.op.family not in ENTRYWISE or v is None:
        return None
    if not isinstance(v, np.ndarray | np.generic):
        return v
    return np.broadcast_to(v, wide).reshape(-1)[row] if size_of(wide) else None


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
    if depth == 0 or not repeatable(node.op) or node.count is not None or node.lanes:
        return None
    args = [value_of(node, k, depth - 1) for k in range(len(node.args))]
    if any(a is None and is_array(node, k) for k, a in enumerate(args)):
        return None
    return run_again(node, args)


def run_again(node: Node, args: list[Any]) -> Any:
    """The op of a node on these values."""
    if node.op.family in ENTRYWISE and any(hasattr(a, "dtype") for a in args):
        d = compute_dtype(node.op, args).numpy
        args = [_promoted(a, d) if k >= node.op.skip else a for k, a in enumerate(args)]
    token = quiet(QUIET)
    try:
        return node.op.eval(*args, **node.params)
    finally:
        loud(token)


def repeatable(op: Any) -> bool:
    """Does the op give the same again on the same values, without an error on any?"""
    return op.family in AGAIN or (op.family == "by hand" and not op.name.startswith("linalg"))


def _promoted(a: Any, d: Any) -> Any:
    return a.astype(d) if hasattr(a, "dtype") and a.dtype != d and a.dtype.kind in "iufc" else a


def is_array(node: Node, k: int) -> bool:
    """Is argument k a tensor (and not a Python value)?"""
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


def size_of(shape: Any) -> int:
    """The number of entries of a shape."""
    n = 1
    for s in shape:
        n *= s
    return n
