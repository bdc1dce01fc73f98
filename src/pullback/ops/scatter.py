"""Moving entries by index tensors of the data's rank: the public gather, scatter and scatter_add.

Read `gather` first, and `scatter_entries` for the ops. `scatter_reduce`, `slabs` (index_select, ...),
`take_put` and `masked` hold their relatives. May import `families`, `graph`, `errors`, other ops modules.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import apply
from pullback.families.sizes import dim_of, need_tensor
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.memory import written
from pullback.ops.scatter_entries import (
    check_index,
    check_scatter,
    gather_op,
    rank_of,
    scatter_add_op,
    scatter_op,
    scatter_value_op,
    sizes_of,
)
from pullback.ops.scatter_reduce import scatter_reduce


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None) -> Tensor:  # noqa: ARG001 - PyTorch's arguments
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on: one entry per entry of the index."""
    need_tensor("gather", input)
    d = dim_of(dim, input.value.ndim, "gather")
    check_index("gather", index)
    if rank_of(input) != rank_of(index):
        raise RuntimeError(
            message(
                "Index tensor must have the same number of dimensions as input tensor",
                f"index {list(index.value.shape)}, input {list(input.value.shape)}",
            )
        )
    for k, (n, m) in enumerate(zip(sizes_of(index), sizes_of(input), strict=True)):
        if k != d and n > m:
            raise RuntimeError(
                message(
                    f"Size does not match at dimension {k} expected index {list(index.value.shape)} to be "
                    "no larger than self "
                    f"{list(input.value.shape)} apart from dimension {d}"
                )
            )
    return written(gather_op, out, apply(gather_op, (input, index), {"dim": d}), (input, index))


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
    out: Any = None,
) -> Tensor:
    """A copy with src (or one value) written at the places the index names along dim.

    With reduce "add" or "multiply" combined.
    """
    need_tensor("scatter", input)
    d = dim_of(dim, input.value.ndim, "scatter")
    src = value if src is None else src
    if isinstance(src, Tensor):
        check_scatter("scatter", input, d, index, src)
        if reduce is not None:
            return scatter_reduce(input, d, index, src, {"add": "sum", "multiply": "prod"}[reduce])
        return written(
            scatter_op, out, apply(scatter_op, (input, index, src), {"dim": d}), (input, index, src)
        )
    check_scatter("scatter", input, d, index, wrap(np.zeros(index.value.shape, input.value.dtype)))
    if reduce is not None:
        full = wrap(np.full(index.value.shape, src, input.value.dtype))
        return scatter_reduce(input, d, index, full, {"add": "sum", "multiply": "prod"}[reduce])
    return written(
        scatter_value_op,
        out,
        apply(scatter_value_op, (input, index), {"dim": d, "value": src}),
        (input, index),
    )


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Any = None) -> Tensor:
    """A copy with src added at the places the index names along dim; duplicates add up."""
    need_tensor("scatter_add", input)
    d = dim_of(dim, input.value.ndim, "scatter_add")
    check_scatter("scatter_add", input, d, index, src)
    return written(
        scatter_add_op, out, apply(scatter_add_op, (input, index, src), {"dim": d}), (input, index, src)
    )


PUBLIC: dict[str, Any] = {f.__name__: f for f in (gather, scatter, scatter_add)}
METHODS: dict[str, Any] = {**PUBLIC}
IN_PLACE: dict[str, Any] = {"scatter_": scatter, "scatter_add_": scatter_add}
