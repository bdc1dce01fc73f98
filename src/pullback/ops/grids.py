"""Grids and products of tensors: meshgrid, cartesian_prod, combinations, block_diag.

Read `meshgrid` first. May import `families`, `graph`, `errors`, `ops.shape`, `ops.join`.
"""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.sizes import shape_of
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.broadcasting import expand
from pullback.ops.join import as_rows, cat, some_tensors, stack
from pullback.ops.shape import labelled, reshape


def meshgrid(*tensors: Any, indexing: Any = None) -> tuple[Tensor, ...]:
    """Coordinate grids of 1-d tensors.

    "ij" keeps the order of the dimensions, "xy" exchanges the first two.
    """
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    parts = some_tensors("meshgrid", tensors)
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
            UserWarning,
            stacklevel=2,
        )
    elif indexing not in ("ij", "xy"):
        raise RuntimeError(
            message(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
        )
    if any(len(shape_of(p)) > 1 for p in parts):
        bad = next(p for p in parts if len(shape_of(p)) > 1)
        raise RuntimeError(
            message(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got:",
                f"a tensor of shape {list(shape_of(bad))}",
                "flatten it first",
            )
        )
    if any(p.dtype is not parts[0].dtype for p in parts):
        raise RuntimeError(
            message("meshgrid expects all tensors to have the same dtype", f"got {[p.dtype for p in parts]}")
        )
    swap = indexing == "xy" and len(parts) > 1
    order = [parts[1], parts[0], *parts[2:]] if swap else list(parts)
    sizes = [math.prod(shape_of(p)) for p in order]
    grids = [
        expand(reshape(p, (1,) * i + (-1,) + (1,) * (len(order) - 1 - i)), sizes) for i, p in enumerate(order)
    ]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of entries of 1-d tensors, one a row."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, -1) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r entries of a 1-d tensor, one a row, in order."""
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(pick(range(shape_of(input)[0]), r)), np.int64).reshape(-1, r)
    return stack([input[wrap(rows[:, k].copy())] for k in range(r)], 1) if r else input[:0]


def block_diag(*tensors: Any) -> Tensor:
    """A matrix with the given blocks along its diagonal and zeros elsewhere."""
    blocks = [as_rows(x) for x in tensors]
    width = sum(shape_of(b)[1] for b in blocks)
    rows: list[Tensor] = []
    left = 0
    for b in blocks:
        n, m = shape_of(b)
        rows.append(cat([b.new_zeros(n, left), b, b.new_zeros(n, width - left - m)], 1))
        left += m
    return labelled(cat(rows, 0), "BlockDiagBackward0")


PUBLIC: dict[str, Any] = {f.__name__: f for f in (meshgrid, cartesian_prod, combinations, block_diag)}
METHODS: dict[str, Any] = {}
