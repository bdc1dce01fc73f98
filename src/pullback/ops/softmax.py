"""Softmax and log-softmax along one dimension.

Read `softmax_op` first. Both subtract the maximum before the exponential, so neither overflows; the cotangent
is written with the
output only. `sum_over` is the sum that rules of other modules use, too. May import `families`, `graph`,
`dtypes`, `errors`, `pointwise`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.by_hand import by_hand
from pullback.families.facets import Dependence, Sample
from pullback.families.op import apply
from pullback.graph.tensor import Tensor
from pullback.ops import special
from pullback.ops.activations import refuse_dtype


def sum_over(x: Any, dims: Any) -> Any:
    """The sum over dimensions, which stay with size 1: for rules, on arrays and on tensors."""
    if isinstance(x, Tensor):
        return x.sum(dims, keepdim=True)
    return np.add.reduce(x, axis=dims, keepdims=True)


def _shifted(x: Any, dim: int) -> Any:
    if not x.size:
        return x
    top = np.maximum.reduce(x, axis=dim, keepdims=True)
    return x - top


def _softmax(x: Any, *, dim: int) -> Any:
    e = np.exp(_shifted(x, dim))
    e /= np.add.reduce(e, axis=dim, keepdims=True)
    return e


def _log_softmax(x: Any, *, dim: int) -> Any:
    s = _shifted(x, dim)
    return s - np.log(np.add.reduce(np.exp(s), axis=dim, keepdims=True))


def _samples() -> list[Sample]:
    x = np.array([[0.3, -1.2, 2.1], [0.4, 0.4, -0.7]])
    return [
        Sample((x,), {"dim": 1}, note="last dimension"),
        Sample((x,), {"dim": -2}, note="first dimension, negative"),
        Sample((x[0],), {"dim": 0}, note="vector"),
        Sample((np.array(0.7),), {"dim": 0}, note="0-d"),
        Sample((x[0] * 300,), {"dim": 0}, note="saturated: entries underflow to 0"),
        Sample((np.zeros((0, 3)),), {"dim": 1}, note="empty"),
        Sample((np.arange(24.0).reshape(2, 3, 4) * 0.3 % 1.0,), {"dim": 1}, note="a middle dimension"),
    ]


def line_pairs(shape: tuple[int, ...], dim: int) -> tuple[Any, Any]:
    """The pairs of an op that mixes the entries along one dimension: all entries of a line."""
    size = int(np.prod(shape))
    ids = np.moveaxis(np.arange(size).reshape(shape), dim, -1) if shape else np.zeros((1, 1), int)
    lines = ids.reshape(-1, ids.shape[-1]) if size else np.zeros((0, 0), int)
    n = lines.shape[1]
    if n == 1:  # one entry alone: the output is constant
        return np.zeros(0, int), np.zeros(0, int)
    return np.repeat(lines, n, axis=1).reshape(-1), np.tile(lines, (1, n)).reshape(-1)


def _depend(avals: Any, params: Any, _values: Any = None) -> Dependence:
    return Dependence([line_pairs(tuple(avals[0].shape), params["dim"])], frozenset({(0, 0)}))


def _others(m: Any, dim: int) -> Any:
    """The sum of all other entries along `dim`: from both sides, since a difference would lose small ones."""
    return _before(m, dim) + np.flip(_before(np.flip(m, dim), dim), dim)


def _before(m: Any, dim: int) -> Any:
    """The sum of the entries before each one along `dim`."""
    total = np.zeros_like(m)
    run, shifted = np.moveaxis(np.cumsum(m, axis=dim), dim, -1), np.moveaxis(total, dim, -1)
    shifted[..., 1:] = run[..., :-1]
    return total


def _softmax_magnitude(m: Any, p: Any, dim: int, **_: Any) -> Any:
    # |dp_k/dx_j| is p_k p_j off the diagonal and p_j (1 - p_j) on it
    if not p.shape:
        return np.zeros_like(m)
    return p * ((1 - p) * m + _others(m * p, dim))


def _log_softmax_magnitude(m: Any, out: Any, dim: int, **_: Any) -> Any:
    # |d out_k/dx_j| is p_j off the diagonal and 1 - p_j on it
    if not out.shape:
        return np.zeros_like(m)
    p = np.exp(out)
    return (1 - p) * m + p * _others(m, dim)


softmax_op = by_hand(
    "softmax",
    lambda x, *, dim: np.asarray(_softmax(np.asarray(x), dim=dim)),
    vjp=[lambda g, out, _x, *, dim: (g - sum_over(g * out, dim)) * out],
    jvp=lambda tangents, out, _x, *, dim: (tangents[0] - sum_over(tangents[0] * out, dim)) * out,
    samples=_samples,
    facets={"depend": _depend, "lower": _softmax, "magnitude": _softmax_magnitude},
)
log_softmax_op = by_hand(
    "log_softmax",
    lambda x, *, dim: np.asarray(_log_softmax(np.asarray(x), dim=dim)),
    vjp=[lambda g, out, _x, *, dim: g - special.exp(out) * sum_over(g, dim)],
    jvp=lambda tangents, out, _x, *, dim: tangents[0] - sum_over(special.exp(out) * tangents[0], dim),
    samples=_samples,
    facets={"depend": _depend, "lower": _log_softmax, "magnitude": _log_softmax_magnitude},
)


def checked_dim(dim: Any, ndim: int) -> int:
    """The dimension counted from the front; IndexError where it is out of range."""
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(
            message(
                f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})",
                f"the tensor has {ndim} dimensions",
            )
        )
    return dim % n


def along(op: Any, name: str, x: Any, dim: Any, dtype: Any) -> Any:
    """Check and run softmax or log_softmax."""
    if not isinstance(x, Tensor):
        raise TypeError(
            message(
                f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}",
                "",
                "torch.tensor(x)",
            )
        )
    if dim is None:
        raise TypeError(
            message(f'{name}() missing 1 required positional arguments: "dim"', "", "dim=-1 for the last")
        )
    if dtype is not None:
        x = x.to(dtype)
    v = x.value
    dim = checked_dim(dim, v.ndim)
    if v.dtype.kind != "f":
        kernel = "softmax_lastdim_kernel_impl" if dim == max(v.ndim - 1, 0) else "softmax_kernel_impl"
        refuse_dtype(x, kernel if name == "softmax" else f"log_{kernel}")
    return apply(op, (x,), {"dim": dim})


def softmax(input: Any, dim: Any = None, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along `dim`: positive numbers that add up to 1, of input's shape.

    >>> import pullback as torch
    >>> torch.softmax(torch.tensor([0.0, 0.0]), 0)
    tensor([0.5000, 0.5000])
    """
    return along(softmax_op, "softmax", input, dim, dtype)


def log_softmax(input: Any, dim: Any = None, dtype: Any = None) -> Any:
    """log(softmax(x)) along `dim`, without underflow."""
    return along(log_softmax_op, "log_softmax", input, dim, dtype)


def implicit_dim(name: str, ndim: int, stacklevel: int = 4) -> int:
    """The dimension that PyTorch's old rule chooses where none is given, with its UserWarning."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
        "argument.",
        UserWarning,
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


softmax_op.call = softmax
log_softmax_op.call = log_softmax
PUBLIC: dict[str, Any] = {"softmax": softmax, "log_softmax": log_softmax}
METHODS: dict[str, Any] = dict(PUBLIC)
IN_PLACE: dict[str, Any] = {}
