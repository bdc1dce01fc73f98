"""Variances and standard deviations.

Read `_var_vjp` first. n - correction divides the sum of squares; the gradient of a standard deviation is 0
where it is 0. May import `families`, `graph`, `errors`, `ops.reduce`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import dims_of, invalid_combination, public
from pullback.families.fibers import choose, count, over
from pullback.families.parallel import long_floats, long_squares, long_sum
from pullback.families.reduction import UNSET, labelled, reduction, run
from pullback.families.reduction_facets import standard_samples
from pullback.ops.reduce import along_mean, mean_

_reduce: Any = np.add.reduce


def _var(x: Any, *, dim: Any, keepdim: bool = False, correction: float = 1) -> Any:
    if dim is None and long_floats(x):
        flat = x.reshape(-1)
        free = x.dtype.type(max(0.0, x.size - correction))
        r = long_squares(flat, long_sum(flat) / x.dtype.type(x.size)) / free
        return r.reshape((1,) * x.ndim) if keepdim else r
    wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    centred = wide - along_mean(wide, dim=dim, keepdim=True)
    squares = (centred * centred.conj()).real if x.dtype.kind == "c" else centred * centred
    free = squares.dtype.type(max(0.0, count(x.shape, dim) - correction))
    r = _reduce(squares, dim, None, None, keepdim) / free
    return r.astype(x.dtype) if x.dtype.itemsize == 2 else r


def _std(x: Any, *, dim: Any, keepdim: bool = False, correction: float = 1) -> Any:
    return np.sqrt(_var(x, dim=dim, keepdim=keepdim, correction=correction))


def _var_vjp(g: Any, _out: Any, x: Any, *, dim: Any, keepdim: bool = False, correction: float = 1) -> Any:
    del keepdim  # g arrives in either shape
    free = count(x.shape, dim) - correction
    factor = 2 / free if free > 0 else float("inf")
    return (x - mean_(x, dim=dim, keepdim=True)) * (over(g, x.shape, dim) * factor)


def _std_vjp(g: Any, out: Any, x: Any, **params: Any) -> Any:
    return _var_vjp(choose(out != 0, g / (out * 2)), None, x, **params)


_var_notes = {
    "why_zero": "the entry equals the mean of its fiber; moving it away from the mean brings the "
    "derivative to life",
    "why_nonfinite": "a fiber has no degrees of freedom: it needs more entries than `correction`",
}
var_ = reduction(
    "var",
    _var,
    _var_vjp,
    notes=_var_notes,
    samples=lambda: (
        standard_samples(var_, {"correction": 0}, empty=False)[2:6]
        + standard_samples(var_, {"correction": 1}, empty=False)[2:6]
    ),
)
std_ = reduction(
    "std",
    _std,
    _std_vjp,
    notes=_var_notes,
    samples=lambda: (
        standard_samples(std_, {"correction": 0}, empty=False)[2:6]
        + standard_samples(std_, {"correction": 1}, empty=False)[2:6]
    ),
    facets={"kink": lambda out, x, *, dim, **_params: np.broadcast_to(over(out, x.shape, dim), x.shape)},
)


def _spread_of(name: str, op: Any, args: tuple[Any, ...], correction: Any, out: Any = None) -> Any:
    """var and std: sort out PyTorch's forms (unbiased or correction), warn, run."""
    x, dim, unbiased, keepdim = args
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not UNSET:
        raise invalid_combination(name, (x, unbiased, correction), "pass either unbiased= or correction=")
    if unbiased is not None:
        correction = int(unbiased)
    elif correction is UNSET or correction is None:
        correction = 1
    if x.dtype.category < 2:
        raise RuntimeError(
            message(
                f"{name if 'mean' in name else 'std and var'} only support floating point and complex dtypes",
                f"{name} of a tensor of dtype {x.dtype!r}",
                "convert it first: x.float()",
            )
        )
    dims = dims_of(name, dim, x.ndim)
    if count(x.shape, dims) - correction <= 0:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction "
            "factor (input "
            "numel divided by output numel).",
            UserWarning,
            stacklevel=4,
        )
    return run(op, x, {"dim": dims, "keepdim": keepdim, "correction": correction}, out)


@public("var")
def var(
    input: Any,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = UNSET,
    out: Any = None,
) -> Any:
    """The variance; the sum of squares is divided by n - correction (1 unless given).

    UserWarning and NaN or infinity where n - correction is not positive.
    """
    return _spread_of("var", var_, (input, dim, unbiased, keepdim), correction, out)


@public("std")
def std(
    input: Any,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = UNSET,
    out: Any = None,
) -> Any:
    """The square root of the variance; its gradient is 0 where the variance is 0.

    >>> import pullback as torch
    >>> torch.tensor([1.0, 3.0]).std()
    tensor(1.4142)
    """
    return _spread_of("std", std_, (input, dim, unbiased, keepdim), correction, out)


@public("var_mean")
def var_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = UNSET
) -> Any:
    """The variance and the mean, as a tuple."""
    return _with_mean("var_mean", var_, (input, dim, unbiased, keepdim), correction)


@public("std_mean")
def std_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = UNSET
) -> Any:
    """The standard deviation and the mean, as a tuple."""
    return _with_mean("std_mean", std_, (input, dim, unbiased, keepdim), correction)


def _with_mean(name: str, op: Any, args: tuple[Any, ...], correction: Any) -> tuple[Any, Any]:
    x, dim, _, keepdim = args
    first = _spread_of(name, op, args, correction)
    dims = None if isinstance(dim, bool) else dims_of(name, dim, x.ndim)
    second = run(mean_, x, {"dim": dims, "keepdim": keepdim})
    label = "VarMeanBackward0" if op is var_ else "StdMeanBackward0"
    return labelled(first, label), labelled(second, label)


PUBLIC: dict[str, Any] = {"var": var, "std": std, "var_mean": var_mean, "std_mean": std_mean}
METHODS: dict[str, Any] = {"var": var, "std": std}
IN_PLACE: dict[str, Any] = {}
