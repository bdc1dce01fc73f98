"""Differences of neighbours and the trapezoid rule: composites over slices, sums and products.

May import `families`, `graph`, `errors` and `ops.scans`, `ops.join`.
"""

from __future__ import annotations

from typing import Any

from pullback.errors import message
from pullback.families.arguments import one_dim, public, write_outs
from pullback.families.reduction import labelled
from pullback.graph.tensor import Tensor
from pullback.ops.join import cat
from pullback.ops.scans import cumsum, cumsum_


def _cut(x: Any, dim: int, start: int, stop: int | None) -> Any:
    return x[(slice(None),) * dim + (slice(start, stop),)]


@public("diff")
def diff(
    input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None, *, out: Any = None
) -> Any:
    """The n-th differences of neighbours along a dimension; truth values give "are they different".

    RuntimeError for 0-d tensors and negative n.
    """
    if input.ndim == 0:
        raise RuntimeError(message("diff expects input to be at least one-dimensional", "the tensor is 0-d"))
    if n < 0:
        raise RuntimeError(message(f"order must be non-negative but got {n}"))
    d = one_dim("diff", dim, input.ndim)
    parts = [p for p in (prepend, input, append) if p is not None]
    x = cat(parts, dim=d) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[d])):
        after, before = _cut(x, d, 1, None), _cut(x, d, 0, max(x.shape[d] - 1, 0))
        x = after.logical_xor(before) if x.dtype.category == 0 else after - before
    if out is None:
        return x
    return write_outs(cumsum_, (out,), (x,), (input,))[0]


def _check_areas(name: str, y: Tensor, x: Any, dim: int) -> None:
    if y.ndim == 0:
        raise IndexError(
            message(f"Dimension specified as {dim} but tensor has no dimensions", f"{name} of a 0-d tensor")
        )
    if y.dtype.category == 0 or (x is not None and x.dtype.category == 0):
        which = "`y`" if x is None else "`x` or `y`"
        raise RuntimeError(
            message(
                f"{name}: received a bool input for {which}, but bool is not supported", "", "use y.float()"
            )
        )


def _doubled_areas(y: Any, x: Any, dim: int) -> Any:
    """Twice the area of each strip, for spacing 1 or sample points x."""
    left, right = _cut(y, dim, 0, max(y.shape[dim] - 1, 0)), _cut(y, dim, 1, None)
    if x is None:
        return left + right
    along = dim if x.ndim == y.ndim else 0
    if x.shape[along] != y.shape[dim]:
        raise RuntimeError(
            message(
                "trapezoid: There must be one `x` value for each sample point"
                if x.ndim == 1
                else "The sample points `x` must have as many entries as y along the dimension",
                f"x has {x.shape[along]} entries, y has {y.shape[dim]} along dimension {dim}",
            )
        )
    width = diff(x, dim=along)
    if x.ndim == 1 and y.ndim > 1:
        width = width.reshape((-1,) + (1,) * (y.ndim - 1 - dim))
    return (left + right) * width


@public("trapezoid")
def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The trapezoid rule along a dimension, for sample points x or spacing dx.

    >>> import pullback as torch
    >>> torch.trapezoid(torch.tensor([1.0, 3.0]))
    tensor(2.)
    """
    _check_areas("trapezoid", y, x, dim)
    d = one_dim("trapezoid", dim, y.ndim)
    doubled = _doubled_areas(y, x, d).sum(d)
    if x is None:
        return labelled(doubled * (dx / 2.0), "MulBackward1")
    return labelled(doubled / 2.0, "DivBackward1")


@public("cumulative_trapezoid")
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The running integral by the trapezoid rule; one entry less than y along the dimension."""
    _check_areas("cumulative_trapezoid", y, x, dim)
    d = one_dim("cumulative_trapezoid", dim, y.ndim)
    doubled = _doubled_areas(y, x, d)
    return cumsum(doubled * (dx / 2.0) if x is None else doubled / 2.0, d)


PUBLIC: dict[str, Any] = {
    "diff": diff,
    "trapezoid": trapezoid,
    "trapz": trapezoid,
    "cumulative_trapezoid": cumulative_trapezoid,
}
METHODS: dict[str, Any] = {"diff": diff}
IN_PLACE: dict[str, Any] = {}
