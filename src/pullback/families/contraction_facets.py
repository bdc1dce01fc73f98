"""Facets of contractions, read off the einsum specification.

Type, jvp, exact pattern, and when a product is zero.

Read `derive` first. May import `graph`, `families.facets`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.families.facets import Dependence, Local
from pullback.graph.node import Aval

WHY_ZERO = (
    "the entry of the other operand that multiplies it is exactly zero (a constant, or a weight that is "
    "zero): a non-zero value "
    "there brings it to life"
)
WHY_NONFINITE = "the entry of the other operand that multiplies it is infinite or not a number"


def derive(op: Any, samples: Callable[[], list[Any]] | None) -> dict[str, Any]:
    """The facets of a contraction, as functions that ask `op.spec_for` for the specification."""

    def type_(x: Any, y: Any, **params: Any) -> Aval:
        sizes = sizes_of(op, (x, y), params)
        return Aval(tuple(sizes[c] for c in _out(op, (x, y), params)), x.dtype)

    def jvp(tangents: Any, _out_value: Any, x: Any, y: Any, **params: Any) -> Any:
        dx, dy = tangents
        if dx is None:
            return op(x, dy, **params)
        return op(dx, y, **params) if dy is None else op(dx, y, **params) + op(x, dy, **params)

    def depend(avals: Any, params: dict[str, Any], _values: Any = None) -> Dependence:
        return Dependence([pairs(op, i, avals, params) for i in (0, 1)], frozenset({(0, 1), (1, 0)}))

    def zero(i: int, _out_value: Any, args: Any, params: dict[str, Any]) -> Local:
        rows, cols = pairs(op, i, args, params)
        return Local(rows, cols, _factor(op, i, args, params), WHY_ZERO, WHY_NONFINITE)

    found: dict[str, Any] = {"type": type_, "jvp": jvp, "depend": depend, "zero": zero}
    if samples is not None:
        found["samples"] = samples
    return found


def spec_parts(op: Any, args: Any, params: dict[str, Any]) -> tuple[tuple[str, str], str]:
    """The operands' labels and the output's."""
    spec = op.spec_for(tuple(args[0].shape), tuple(args[1].shape), params)
    operands, out = spec.split("->")
    a, b = operands.split(",")
    return (a, b), out


def _out(op: Any, args: Any, params: dict[str, Any]) -> str:
    return spec_parts(op, args, params)[1]


def sizes_of(op: Any, args: Any, params: dict[str, Any]) -> dict[str, int]:
    """The size of every label."""
    operands, _ = spec_parts(op, args, params)
    sizes = dict(params.get("sizes") or {})
    for part, a in zip(operands, args, strict=True):
        sizes.update(zip(part, a.shape, strict=True))
    return sizes


def _space(op: Any, i: int, args: Any, params: dict[str, Any]) -> str:
    """The labels of the pairs (output entry, entry of operand i).

    Each combination of their values is one pair.
    """
    operands, out = spec_parts(op, args, params)
    return out + "".join(c for c in operands[i] if c not in out)


def pairs(op: Any, i: int, args: Any, params: dict[str, Any]) -> tuple[Any, Any]:
    """Which entries of operand i reach which output entries: those that agree in the labels they share."""
    operands, out = spec_parts(op, args, params)
    sizes = sizes_of(op, args, params)
    space = _space(op, i, args, params)
    if 0 in sizes.values():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    shape = [sizes[c] for c in space]
    return _flat(out, space, sizes, shape), _flat(operands[i], space, sizes, shape)


def _flat(part: str, space: str, sizes: dict[str, int], shape: list[int]) -> Any:
    """The flat index into an array with labels `part`, for every point of the space."""
    ids: Any = np.arange(int(np.prod([sizes[c] for c in part]))).reshape([sizes[c] for c in part])
    return np.broadcast_to(_aligned(ids, part, space), shape).reshape(-1)


def _aligned(x: Any, part: str, space: str) -> Any:
    """x with its axes in the order of `space`, size 1 where it has none."""
    x = x.transpose([part.index(c) for c in space if c in part])
    for k, c in enumerate(space):
        if c not in part:
            x = np.expand_dims(x, k)
    return x


def _factor(op: Any, i: int, args: Any, params: dict[str, Any]) -> Any:
    """The local derivative on the pairs of operand i.

    The other operand's entry, summed over labels that only it has.
    """
    operands, _ = spec_parts(op, args, params)
    sizes = sizes_of(op, args, params)
    space = _space(op, i, args, params)
    theirs, y = operands[1 - i], np.asarray(args[1 - i])
    if 0 in sizes.values():
        return np.zeros(0, y.dtype)
    y = y.sum(axis=tuple(k for k, c in enumerate(theirs) if c not in space))
    part = "".join(c for c in theirs if c in space)
    return np.broadcast_to(_aligned(y, part, space), [sizes[c] for c in space]).reshape(-1)
