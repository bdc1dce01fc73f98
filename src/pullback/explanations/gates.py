"""Shares of a node's local derivative: closed (exactly zero), saturated (nearly so), and entries newly zero.

Read `closed_saturated`, then `newly_zero`. Each says None where it would have to guess. May import
`families`, `graph`, `transform.pattern`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.families.elementwise import Elementwise, in_dtype
from pullback.families.facets import broadcast_pairs
from pullback.families.reduction import FiberOp
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import Tensor
from pullback.transform.pattern import arguments

LITTLE = 1e-3  # a local derivative below this share of the function's largest one counts as saturated
PAIRS = 2_000_000  # dependence pairs that are looked through at most


# the largest absolute slope of the functions that flatten out: sup |f'|, over the reals (elu's and its
# relatives' follow from their parameters)
STEEPEST = {
    "sigmoid": 0.25,
    "tanh": 1.0,
    "erf": 2 / math.sqrt(math.pi),
    "erfc": 2 / math.sqrt(math.pi),
    "atan": 1.0,
    "softplus": 1.0,
    "log_sigmoid": 1.0,
    # steepest where the second derivative is zero
    "silu": 1.09984,
    "mish": 1.08850,
    "gelu": 1.12890,
}


def _steepest(node: Node) -> float | None:
    if node.op.name in ("elu", "celu", "selu"):
        given = node.params
        below = given.get("alpha", 1.0) * given.get("input_scale", 1.0)
        return float(abs(given.get("scale", 1.0)) * max(1.0, abs(below)))
    return STEEPEST.get(node.op.name)


def local(node: Node, g: Any) -> list[Any] | None:
    """The local derivative per argument, in the output's shape, of an op that works entry by entry.

    g is any cotangent of the output (its shape and dtype count). None for other ops and where nothing is
    known; None for arguments that are not followed.
    """
    op = node.op
    if not isinstance(op, Elementwise) or node.count is not None:
        return None
    ones = np.ones(np.shape(g), g.dtype)
    values = [a.value if isinstance(a, Tensor) else a for a in node.args]
    if node.meta is not None:
        values = in_dtype(values, ones.dtype)
    found: list[Any] = []
    for i, (e, p) in enumerate(zip(node.edges, op.partials, strict=True)):
        if e is None:
            found.append(None)
        elif p is None or isinstance(p, int):
            found.append(ones * (p or 0))
        else:
            found.append(np.broadcast_to(op.term(i, ones, node.out, values, node.params), ones.shape))
    return found


def closed_saturated(node: Node, g: Any) -> tuple[float | None, float | None]:
    """(share closed, share saturated) of the local derivatives of the followed arguments.

    Entrywise ops and selections: of all pairs of an output entry and the argument entry it is made of.
    Reductions to one entry per fiber: of all input entries. Both None for other ops, where a local
    derivative has no entry of its own; the second is None for functions that do not flatten out.
    Run it with NumPy's warnings off.
    """
    found = local(node, g)
    if found is not None:
        followed = [d for d in found if d is not None]
        total = sum(d.size for d in followed)
        if not total:
            return None, None
        closed = sum(int(np.count_nonzero(d == 0)) for d in followed)
        steepest = _steepest(node)
        if steepest is None:
            return closed / total, None
        low = sum(int(np.count_nonzero((d != 0) & (np.abs(d) < LITTLE * steepest))) for d in followed)
        return closed / total, low / total
    if isinstance(node.op, FiberOp) and node.op.layout == "reduce" and node.count is None:
        (sent, *_) = node.op.pull(node, np.ones(np.shape(g), g.dtype)[()], False)
        if sent is not None and np.size(sent):
            return float(np.mean(np.asarray(sent) == 0)), None
    return None, None


def newly_zero(node: Node, out: Aval | None, g: Any, sent: Sequence[Any]) -> float | None:
    """The share of the entries sent that became exactly zero here.

    An entry counts if it is zero although not every arriving entry that it is tied to was: the gate is
    closed, the factor is zero, the terms cancel, or the op reads the entry for no output at all. `out` is
    what is known of the output. None where there are too many ties to look through.
    """
    arriving = _flat(node, g)
    live = arriving != 0
    zero = total = 0
    for i, c in enumerate(sent):
        if c is None or node.edges[i] is None:
            continue
        flat = np.reshape(np.asarray(c), -1)
        total += flat.size
        if live.all():
            zero += int(np.count_nonzero(flat == 0))
            continue
        passed = _passed_on(node, out, i, np.shape(c), live)
        if passed is None:
            return None
        zero += int(np.count_nonzero((flat == 0) & ~passed))
    return zero / total if total else None


def _flat(node: Node, g: Any) -> Any:
    """All arriving entries, the floating outputs one after the other; zero where nothing arrived."""
    if node.count is None:
        return np.reshape(np.asarray(g), -1)
    parts = [
        np.zeros(a.size) if c is None else np.reshape(np.asarray(c), -1)
        for c, a in zip(g, node.out_avals, strict=True)
        if a is not None and a.dtype.kind in "fc"
    ]
    return np.concatenate([np.zeros(0), *parts])


def _passed_on(node: Node, out: Aval | None, i: int, shape: tuple[int, ...], live: Any) -> Any:
    """Per entry of argument i: is it tied to arriving entries, and were all of them zero?"""
    size = math.prod(shape)
    if isinstance(node.op, Elementwise) and out is not None:
        if out.shape == shape:
            return ~live
        rows, cols = broadcast_pairs(out.shape, shape)
    else:
        depend = getattr(node.op, "depend", None)
        linear = node.op.family == "structural"
        if not depend or (not linear and live.size * size > PAIRS):
            return None
        values = [a.value if isinstance(a, Tensor) else a for a in node.args]
        pairs = depend(arguments(node, out), node.params, values).first[i]
        if pairs is None:
            return np.zeros(size, bool)
        rows, cols = (np.asarray(p, np.int64) for p in pairs)
    tied, fed = np.zeros(size, bool), np.zeros(size, bool)
    tied[cols] = True
    fed[cols[live[rows]]] = True
    return tied & ~fed


__all__ = ["LITTLE", "STEEPEST", "closed_saturated", "local", "newly_zero"]
