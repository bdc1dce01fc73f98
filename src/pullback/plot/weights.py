"""Which number a sweep runs along: a component of the upstream vectors, or the values of `pb.each`.

Read `horizontal` first. May import: NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Horizontal:
    """The values along a sweep, shape (k,), what they are, and the name of the component that is 1 minus
    them.
    """

    values: np.ndarray[Any, Any]
    label: str
    complement: str | None = None


def horizontal(result: Any, weights: Any = None) -> Horizontal:
    """The horizontal axis of a sweep.

    `weights` is the number of a component of the (flattened) upstream vectors, an array of shape (k,) to take
    as it is, or None: the first component that changes, or the values of the only `pb.each`.
    """
    if result.stacked:
        stack = np.asarray(result.upstream, dtype=np.float64)
        shape, flat = stack.shape[1:], stack.reshape(len(stack), -1)
        if weights is None or np.ndim(weights) == 0:
            column = _first_that_changes(flat) if weights is None else _component(weights, flat)
            partner = _partner(flat, column)
            return Horizontal(
                flat[:, column],
                f"upstream weight {component_name(column, shape)}",
                None if partner is None else f"upstream weight {component_name(partner, shape)}",
            )
        return Horizontal(_checked(weights, len(stack)), "upstream weight")
    if not result.each:
        raise ValueError(
            "a sweep needs a result with a leading axis; this one was computed for one upstream vector\n"
            "  try:  upstream=V with V of shape (k, *output), or pb.each(values) for an argument"
        )
    values = np.asarray(result.each[-1], dtype=np.float64) if weights is None else weights
    if np.ndim(values) > 1:
        raise ValueError(
            f"the values of pb.each have shape {np.shape(values)}: which number is on the horizontal axis?\n"
            f"  try:  weights=array of shape ({len(values)},)"
        )
    return Horizontal(_checked(values, result.leading[-1]), "value of the parameter")


def component_name(column: int, shape: tuple[int, ...]) -> str:
    """A component of the upstream vector in mathtext.

    >>> component_name(5, (2, 3)), component_name(0, ())
    ('$v_{1,2}$', '$v$')
    """
    index = ",".join(str(i) for i in np.unravel_index(column, shape)) if shape else ""
    return f"$v_{{{index}}}$" if index else "$v$"


def _first_that_changes(flat: np.ndarray[Any, Any]) -> int:
    """The first component that is not the same in all upstream vectors; the first one if none is."""
    return int(np.argmax(np.ptp(flat, axis=0) > 0.0))


def _component(weights: Any, flat: np.ndarray[Any, Any]) -> int:
    """A component by its number, checked."""
    count = flat.shape[1]
    if not -count <= int(weights) < count:
        raise IndexError(f"weights={weights} is out of range for upstream vectors of {count} components")
    return int(weights) % count


def _partner(flat: np.ndarray[Any, Any], column: int) -> int | None:
    """Another component that changes, and is 1 minus this one throughout."""
    if np.ptp(flat[:, column]) == 0.0:
        return None
    close = np.all(np.isclose(flat, 1.0 - flat[:, [column]], rtol=0.0, atol=1e-6), axis=0)
    close[column] = False
    return int(np.argmax(close)) if close.any() else None


def _checked(weights: Any, count: int) -> np.ndarray[Any, Any]:
    """`weights` as float64, after a look at their number."""
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (count,):
        raise ValueError(f"weights has shape {values.shape}, the sweep has {count} points: shape ({count},)")
    return values
