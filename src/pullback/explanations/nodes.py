"""What is known of one node: its arguments and outputs, and how the entries of several outputs are numbered.

Output entries of nodes with several outputs are numbered through the floating ones, as the `zero` facet does
(of nodes that were not recorded, through all). Read `outputs_of`. May import `graph`, `families`,
`transform.pattern`, `values`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.explanations.values import Facts
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import Tensor
from pullback.transform.pattern import arguments

FLOAT = "fc"


def avals_of(node: Node, out: Aval | None) -> list[Any]:
    """What is known of the arguments: values where kept, avals elsewhere, plain values as they are."""
    known = arguments(node, out)
    return [a.value if isinstance(a, Tensor) else k for a, k in zip(node.args, known, strict=True)]


def is_shadow(node: Node) -> bool:
    """Was the op not recorded, so that no gradient passes through it?"""
    return node.cut is not None or all(e is None for e in node.edges)


def counted(node: Node) -> list[bool]:
    """Which outputs of a node with several are numbered: the floating ones, of shadows all."""
    every = is_shadow(node)
    return [a is not None and (every or a.dtype.kind in FLOAT) for a in node.out_avals]


def outputs_of(node: Node, shapes: Facts) -> list[Aval]:
    """The numbered outputs in order."""
    if node.count is None:
        return [shapes[node]]
    return [a for a, yes in zip(node.out_avals, counted(node), strict=True) if yes]


def filled(values: Sequence[Any]) -> list[Any]:
    """Stand-ins for what no rule reads, so that facets which take arrays can run."""
    return [np.zeros(v.shape, v.dtype) if isinstance(v, Aval) else v for v in values]


def arg_shape(node: Node, i: int, shapes: Facts) -> tuple[int, ...]:
    """The shape of argument i."""
    if node.meta is not None and node.meta[i] is not None:
        return tuple(node.meta[i][0])
    a = node.args[i]
    if a is None:
        return tuple(shapes[node].shape)
    return (
        tuple(a.value.shape)
        if isinstance(a, Tensor)
        else tuple(np.shape(a) if not isinstance(a, Aval) else a.shape)
    )


def split(node: Node, flat: Any, outs: Sequence[Aval]) -> Any:
    """A flat vector over the floating outputs as the cotangent(s) that `op.pull` takes."""
    parts: list[Any] = []
    start = 0
    for a in outs:
        parts.append(flat[start : start + a.size].reshape(a.shape).astype(a.dtype))
        start += a.size
    if node.count is None:
        return parts[0]
    every = iter(parts)
    return [next(every) if yes else None for yes in counted(node)]


def flat_of(g: Any, outs: Sequence[Aval], node: Node) -> Any:
    """The inverse of `split`: the outputs' arrays (None: zeros) as one vector."""
    if node.count is None:
        return np.asarray(g).reshape(-1)
    parts = [c for c, yes in zip(g, counted(node), strict=True) if yes]
    made = [
        np.zeros(a.size, a.dtype) if c is None else np.asarray(c).reshape(-1)
        for c, a in zip(parts, outs, strict=True)
    ]
    return np.concatenate(made) if made else np.zeros(0)
