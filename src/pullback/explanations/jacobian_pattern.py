"""The pattern of a Jacobian where it can be afforded, and what it proves about a batch.

Read `affordable_pattern`. May import `graph`, `families`, `transform.pattern`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.explanations.jacobian_passes import looped
from pullback.families.contraction_facets import sizes_of
from pullback.graph.node import Leaf, Node, Slot
from pullback.graph.tensor import Tensor, edge_of
from pullback.transform.forward import reachable
from pullback.transform.pattern import Pattern, arguments, output_shapes, pattern

PAIRS = 20_000_000  # pairs that may be composed at one node at most


def affordable_pattern(out: Tensor, x: Tensor) -> tuple[Pattern | None, str]:
    """The pattern of d out / d x, or None and why not."""
    nodes = reachable([out])
    why = looped(nodes)
    if why:
        return None, why
    pairs = _pairs(nodes, out, x)
    if pairs > PAIRS:
        return None, f"working out the pattern would compose about {pairs:.2g} pairs of entries at one op"
    # the leaves behind x count as inputs, too: `pattern` starts at leaves, and meets x on the way from them
    leaves = {id(e): e for n in nodes for e in n.edges if isinstance(e, Tensor) and e.node is not None}
    return pattern(out, [x, *(e for e in leaves.values() if e is not x and type(x.node) is not Leaf)])[0], ""


def _pairs(nodes: list[Node], out: Tensor, x: Tensor) -> float:
    """A bound of the pairs that composing the pattern meets at one node."""
    shapes = output_shapes([out])
    n = x.value.size
    reached: dict[Any, float] = {_key(edge_of(x)): float(n)}
    most = 0.0
    for node in nodes:
        behind = [None if e is None else reached.get(_key(e)) for e in node.edges]
        if all(b is None for b in behind):
            continue
        keys = [node] if node.count is None else [(node, k) for k in range(node.count)]
        sizes = [shapes[k].size for k in keys if k in shapes]
        size = sum(sizes)
        total = 0.0
        for i, b in enumerate(behind):
            if b is not None:
                middle = max(shapes[_key(node.edges[i])].size, 1)
                total += _own_pairs(node, i, size, middle, shapes) * max(b / middle, 1.0)
        most = max(most, total)
        for key in keys:
            if key in shapes:
                own = min(total * shapes[key].size / max(size, 1), float(shapes[key].size) * n)
                reached[key] = max(reached.get(key, 0.0), own)
    return most


def _own_pairs(node: Node, i: int, size: int, middle: int, shapes: dict[Any, Any]) -> float:
    """How many pairs the node's own pattern has with argument i, at most."""
    op = node.op
    if op.family in ("elementwise", "selection", "structural"):
        return float(max(size, middle))
    if op.family == "contraction":
        return float(
            np.prod([float(s) for s in sizes_of(op, arguments(node, shapes.get(node)), node.params).values()])
        )
    if op.family == "reduction":
        fiber = middle / max(size, 1) if op.layout == "reduce" else _length(node, i, shapes)
        return float(size) * max(fiber, 1.0)
    if op.name == "linear":
        weight = arguments(node, shapes.get(node))[1]
        return float(size) * weight.shape[-1] if i < 2 else float(size)
    return float(size) * middle


def _length(node: Node, i: int, shapes: dict[Any, Any]) -> float:
    shape = shapes[_key(node.edges[i])].shape
    dim = node.params.get("dim")
    return float(shape[dim]) if isinstance(dim, int) and shape else float(np.prod(shape))


def _key(edge: Any) -> Any:
    return (edge.node, edge.index) if type(edge) is Slot else edge


def batch_of(p: Pattern | None, out: Any, x: Any) -> tuple[int | None, bool | None]:
    """(B, is the Jacobian block-diagonal over a leading dimension of B entries?); None where not known.

    out, x  their shapes. Proven pair by pair: entry (b, i) of the output depends on (c, j) only if b == c.
    """
    if not out or not x or out[0] != x[0] or out[0] < 2:
        return None, False if p is not None else None
    b = int(out[0])
    if p is None:
        return b, None
    m, n = p.shape[0] // b, p.shape[1] // b
    if not m or not n:
        return b, False
    return b, bool(np.array_equal(p.rows // m, p.cols // n))


__all__ = ["affordable_pattern", "batch_of"]
