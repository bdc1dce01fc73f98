"""Ranges of numbers: arange, linspace, logspace.

Read `arange` first. May import `graph`, `dtypes`, `errors`, `ops.create`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.graph.tensor import Tensor
from pullback.ops.create import MISSING, finished, into, numpy_dtype, options


def _number(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.value.item()
    return x.item() if isinstance(x, np.generic) else x


def arange(
    *args: Any, dtype: Any = None, requires_grad: bool = False, out: Any = None, **kwargs: Any
) -> Tensor:
    """start, start + step, ... below end: arange(end), arange(start, end), arange(start, end, step).

    int64 if all are integers, else the default dtype. RuntimeError if the step leads away from end.
    """
    names = ("end",) if len(args) == 1 else ("start", "end", "step")
    given: dict[str, Any] = dict(zip(names, args, strict=False))
    given.update({k: kwargs.pop(k) for k in ("start", "end", "step") if k in kwargs})
    options("arange", kwargs)
    if "end" not in given:
        raise TypeError(
            message(
                "arange() received an invalid combination of arguments - got ()",
                "",
                "arange(end) or arange(start, end, step)",
            )
        )
    start, end, step = (
        _number(given.get(k, default)) for k, default in (("start", 0), ("end", 0), ("step", 1))
    )
    if step == 0:
        raise RuntimeError(message("step must be nonzero"))
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(message(f"unsupported range: {start} -> {end}", "both ends must be finite"))
    if (end - start) * step < 0:
        raise RuntimeError(
            message(
                "upper bound and lower bound inconsistent with step sign",
                f"from {start} to {end} with step {step}",
            )
        )
    d = numpy_dtype("arange", dtype)
    if d is None:
        whole = all(isinstance(x, int) for x in (start, end, step))
        d = dtypes.int64.numpy if whole else dtypes.get_default_dtype().numpy
    n = (
        -((start - end) // step)
        if all(isinstance(x, int) for x in (start, end, step))
        else math.ceil((end - start) / step)
    )
    wide = (
        np.arange(n)
        if d.kind in "iu" and isinstance(start, int) and isinstance(step, int)
        else np.arange(n, dtype=np.float64)
    )
    if d == np.float64:  # PyTorch multiplies and adds with one rounding
        wide = wide.astype(np.longdouble)
    value = (start + wide * step).astype(d)
    return finished(value, requires_grad) if out is None else into(out, value)


def linspace(
    start: Any,
    end: Any,
    steps: Any = MISSING,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    **kwargs: Any,
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included.

    As in PyTorch, the second half is counted back from end, in the dtype of the result.
    """
    options("linspace", kwargs)
    value = _linspace("linspace", start, end, steps, numpy_dtype("linspace", dtype))
    return finished(value, requires_grad) if out is None else into(out, value)


def _linspace(name: str, start: Any, end: Any, steps: Any, d: np.dtype[Any] | None) -> Any:
    if steps is MISSING:
        raise TypeError(
            message(
                f"{name}() received an invalid combination of arguments - got (int, int)",
                "",
                "give the number of steps",
            )
        )
    start, end = _number(start), _number(end)
    if steps < 0:
        raise RuntimeError(message("number of steps must be non-negative", f"steps={steps}"))
    complex_ends = isinstance(start, complex) or isinstance(end, complex)
    d = d or (dtypes.default_complex() if complex_ends else dtypes.get_default_dtype()).numpy
    if steps == 1:
        return np.array([start]).astype(d)
    kind = np.dtype(np.float32) if d.kind in "iu" else d  # PyTorch steps integers in float
    a, b = (np.asarray(e).astype(kind)[()] for e in (start, end))
    step = (b - a) / kind.type(max(steps - 1, 1))
    k = np.arange(steps)
    up, down = k.astype(kind), (steps - 1 - k).astype(kind)
    wider = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}.get(kind, kind.type)
    a, b, step = wider(a), wider(b), wider(step)  # a fused multiply-add: one rounding
    return np.where(k < steps // 2, a + step * up, b - step * down).astype(kind).astype(d)


def logspace(
    start: Any,
    end: Any,
    steps: Any = MISSING,
    base: float = 10.0,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    **kwargs: Any,
) -> Tensor:
    """base to the power of `steps` evenly spaced exponents from start to end."""
    options("logspace", kwargs)
    d = numpy_dtype("logspace", dtype) or dtypes.get_default_dtype().numpy
    exponents = _linspace("logspace", start, end, steps, np.dtype(np.float64))
    return finished((np.float64(base) ** exponents).astype(d), requires_grad)


PUBLIC: dict[str, Any] = {
    "arange": arange,
    "linspace": linspace,
    "logspace": logspace,
}
METHODS: dict[str, Any] = {}
