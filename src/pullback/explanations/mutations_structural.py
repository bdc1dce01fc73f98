"""Wrong rules of structural ops: an index map that is not undone, undone twice, or that overwrites.

Read `structural_changes`, then `scatter_changes` (repeated indices). May import
`explanations.mutations_engine`, `explanations.verdicts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback.explanations.mutations_engine import Change, Step, unchanged
from pullback.explanations.verdicts import shown

Array = Any
# ops that write over part of their first argument: what was there gets no gradient
WRITES = frozenset(
    {
        "copy_slices",
        "index_put",
        "index_copy",
        "index_fill",
        "scatter",
        "scatter_value",
        "masked_scatter",
        "put",
    }
)


def structural_changes(step: Step) -> Iterator[Change]:
    """An index map that is not undone, undone twice, or that overwrites where it should add."""
    node, op, name = step.node, step.op, step.op.name
    several = node.count is not None
    for i in step.live:
        shape = step.shape(i)
        if step.avals[i].dtype.kind != "f":
            continue
        if not several:
            yield from _undone(step, i, name)
            if name in ("index", "gather", "index_select", "take", "take_ids"):
                yield from _scattered(step, i)
            if name == "expand":
                yield from _expanded(step, i)
            if name in ("cat", "stack"):
                yield from _exchanged(step, i)
            if name in WRITES and step.out_shape == shape and len(step.node.args) > 1:
                text = f"entries that {name} wrote over still pass their gradient to the old values"
                yield step.change(i, 0, "write ignored", text, unchanged)
            if name in ("tril", "triu") and step.out_shape == shape:
                yield step.change(i, 0, "mask dropped", f"the mask of {name} is dropped", unchanged)
        yield step.change(i, 2, "sign flipped", f"a minus sign too many at {op.name}", step.times(i, -1.0))


def _undone(step: Step, i: int, name: str) -> Iterator[Change]:
    shape, wide = step.shape(i), step.out_shape
    size = int(np.prod(shape))
    if len(step.live) > 1 or int(np.prod(wide)) != size or size < 2 or name in ("cat", "stack", "where"):
        return
    yield step.change(
        i,
        0,
        "not undone",
        f"the gradient is reshaped to {shown(shape)} where {name} must be undone",
        (lambda g: np.asarray(g).reshape(shape)),
    )
    if len(shape) > 1:
        yield step.change(
            i,
            1,
            "order of entries",
            f"the entries are taken in column order where {name} is undone",
            (lambda g: np.asarray(g).reshape(shape, order="F")),
        )
        yield step.change(
            i,
            1,
            "order of entries",
            f"transposed, then reshaped, where {name} is undone",
            (lambda g: np.asarray(g).T.reshape(shape)),
        )
    if wide == shape and len(step.node.args) == 1:
        yield step.change(
            i,
            0,
            "applied again",
            f"{name} is applied to the gradient again where it must be undone",
            (lambda g: np.asarray(step.op.eval(np.asarray(g), **step.params))),
        )


def _scattered(step: Step, i: int) -> Iterator[Change]:
    """Indices that occur several times: their cotangents add up; people overwrite or average them."""
    shape = step.shape(i)
    size = int(np.prod(shape))

    def places() -> Array:
        others = [step.value(k) if k != i else None for k in range(len(step.node.args))]
        others[i] = np.arange(size).reshape(shape)
        return np.asarray(step.op.eval(*others, **step.params))

    yield from scatter_changes(step, i, places, step.op.name)


def scatter_changes(step: Step, i: int, places: Any, name: str) -> Iterator[Change]:
    """Overwritten, first one kept, or averaged, for cotangents that meet in one entry of argument i."""
    shape = step.shape(i)
    size = int(np.prod(shape))

    def last(g: Array) -> Array:
        r = np.zeros(size, np.asarray(g).dtype)
        r[places().reshape(-1)] = np.asarray(g).reshape(-1)
        return r.reshape(shape)

    def first(g: Array) -> Array:
        r = np.zeros(size, np.asarray(g).dtype)
        r[places().reshape(-1)[::-1]] = np.asarray(g).reshape(-1)[::-1]
        return r.reshape(shape)

    def averaged(g: Array) -> Array:
        n = np.maximum(np.bincount(places().reshape(-1), minlength=size), 1).reshape(shape)
        return step.right(i, g) / n

    yield step.change(
        i,
        0,
        "overwritten",
        f"repeated indices of {name} overwrite each other where their "
        "gradients add up: x[i] = g where x[i] += g belongs",
        last,
    )
    yield step.change(i, 1, "overwritten", f"of repeated indices of {name} only the first one counts", first)
    yield step.change(
        i, 1, "mean for sum", f"repeated indices of {name} are averaged where they add up", averaged
    )


def _expanded(step: Step, i: int) -> Iterator[Change]:
    shape, wide = step.shape(i), step.out_shape
    n = int(np.prod(wide)) // max(int(np.prod(shape)), 1)
    if n > 1:
        yield step.change(
            i,
            0,
            "mean for sum",
            f"the {n} copies of expand are averaged where they add up",
            step.times(i, 1 / n),
        )


def _exchanged(step: Step, i: int) -> Iterator[Change]:
    for j in range(len(step.node.args)):
        if j != i and step.shape(j) == step.shape(i):
            yield step.change(
                i,
                0,
                "parts exchanged",
                f"part {i} of {step.op.name} gets the gradient of part {j}",
                (lambda g, j=j: _part(step, j, g)),
            )


def _part(step: Step, j: int, g: Array) -> Array:
    dim = step.params.get("dim", 0)
    if step.op.name == "stack":
        return np.take(np.asarray(g), j, axis=dim)
    start = sum(step.shape(k)[dim] for k in range(j))
    return np.take(np.asarray(g), range(start, start + step.shape(j)[dim]), axis=dim)


__all__ = ["scatter_changes", "structural_changes"]
