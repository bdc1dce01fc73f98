"""Magnitudes pulled back through one node: |local Jacobian|^T m, in which nothing cancels.

Read `pull_magnitudes`. May import `graph`, `families`, `links`, `nodes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.explanations.links import local
from pullback.explanations.nodes import FLOAT, arg_shape, avals_of, flat_of, outputs_of
from pullback.explanations.values import Facts
from pullback.families.elementwise_facets import compute_dtype
from pullback.families.op import unbroadcast
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import Tensor

Arrays = list[Any]


# reductions whose output entries share input entries with derivatives of both signs


SIGNED_SCANS = frozenset({"cumprod"})


def pull_magnitudes(node: Node, m: Any, live: Sequence[bool], shapes: Facts) -> Arrays:
    """|local Jacobian|^T m per argument where `live`, None elsewhere; m has the output's shape(s).

    `TooMany` where that needs more links than can be listed.
    """
    op = node.op
    family = op.family
    with np.errstate(all="ignore"):
        if family in ("elementwise", "selection"):
            return _entrywise(node, m, live, shapes)
        if op.multilinear:
            return _with_absolute_arguments(node, m, live)
        if family == "structural" or (family == "reduction" and op.name not in SIGNED_SCANS):
            return _absolute_pull(node, m, live)
        rule = op.magnitude
        if rule is not None and node.count is None:
            return [rule(m, node.out, **node.params) if ok else None for ok in live]
        return _by_links(node, m, live, shapes)


def _entrywise(node: Node, m: Any, live: Sequence[bool], shapes: Facts) -> Arrays:
    found: Arrays = []
    values: Any = None
    for i, ok in enumerate(live):
        if not ok:
            found.append(None)
            continue
        p = node.op.partials[i]
        if p is None:
            r: Any = m * 0
        elif isinstance(p, int):
            r = m
        else:
            if values is None:
                values = promoted_values(node, shapes.get(node))
            r = m * np.abs(p(node.out, *values, **node.params)).astype(m.dtype, copy=False)
            if np.isnan(r).any():
                r = np.where(np.asarray(m) == 0, 0, r)
        shape = arg_shape(node, i, shapes)
        found.append(np.abs(r) if np.shape(r) == shape else unbroadcast(np.asarray(np.abs(r)), shape))
    return found


def partial_of(node: Node, i: int, shapes: Facts) -> Any:
    """The partial of argument i of an elementwise node as an array of the output's shape."""
    p = node.op.partials[i]
    shape = tuple(shapes[node].shape)
    if p is None or isinstance(p, int):
        return np.full(shape, 0.0 if p is None else float(p))
    with np.errstate(all="ignore"):
        found = p(node.out, *promoted_values(node, shapes.get(node)), **node.params)
    return np.broadcast_to(np.asarray(found), shape)


def promoted_values(node: Node, out: Aval | None) -> list[Any]:
    """The arguments of an elementwise node in the dtype that its partials compute in."""
    values = avals_of(node, out)
    if node.meta is None:
        return values
    d = compute_dtype(node.op, values).numpy
    return [
        v.astype(d)
        if isinstance(v, np.ndarray | np.generic) and v.dtype != d and v.dtype.kind in "iuf"
        else v
        for v in values
    ]


def _absolute_pull(node: Node, m: Any, live: Sequence[bool]) -> Arrays:
    """Where each input entry meets derivatives of one sign only: the pull itself."""
    pulled = node.op.pull(node, m, False)
    return [np.abs(c) if ok and c is not None else None for c, ok in zip(pulled, live, strict=False)]


def _with_absolute_arguments(node: Node, m: Any, live: Sequence[bool]) -> Arrays:
    return [
        None if c is None or not ok else c for c, ok in zip(pull_with(node, m, np.abs), live, strict=False)
    ]


def pull_with(node: Node, g: Any, change: Any, only: int | None = None) -> Arrays:
    """The pull of a node whose saved arrays are `change`d; the node is left as it was.

    only  the one argument whose cotangent is wanted
    """
    kept, edges = node.args, node.edges
    made: list[Any] = []
    for a in kept:
        if isinstance(a, Tensor) and a.value.dtype.kind in FLOAT:
            t = object.__new__(Tensor)
            t.value = change(a.value)
            made.append(t)
        else:
            made.append(a)
    node.args = tuple(made)
    if only is not None:
        node.edges = tuple(e if k == only else None for k, e in enumerate(edges))
    try:
        return list(node.op.pull(node, g, False))
    finally:
        node.args, node.edges = kept, edges


def _by_links(node: Node, m: Any, live: Sequence[bool], shapes: Facts) -> Arrays:
    outs = outputs_of(node, shapes)
    flat = flat_of(m, outs, node)
    found: Arrays = []
    for i, ok in enumerate(live):
        if not ok:
            found.append(None)
            continue
        rows, cols, values = local(node, i, shapes)
        shape = arg_shape(node, i, shapes)
        r: Any = np.zeros(int(np.prod(shape)), flat.dtype)
        product = flat[rows] * np.abs(values)
        product = np.where(flat[rows] == 0, 0, product)
        np.add.at(r, cols, product)
        found.append(r.reshape(shape))
    return found
