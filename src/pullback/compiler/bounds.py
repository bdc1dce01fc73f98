"""What a value can be: interval bounds and "never NaN", kept while a program is built.

They decide which foldings are safe (0 * x is 0 for finite x) and which comparisons are known. Read `bound`
first. May import `compiler.program`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, inf
from typing import Any

import numpy as np

from pullback.compiler.program import Value

Interval = tuple[float, float, bool]  # lo, hi, may be NaN
LARGEST = {"f4": 3.4e38, "f8": 1.79e308}
SMALLEST = {"f4": 1.2e-38, "f8": 2.3e-308}
RISING: dict[str, Any] = {
    "exp": np.exp, "exp_inside": np.exp, "exp2": np.exp2, "expm1": np.expm1, "tanh": np.tanh,
    "sinh": np.sinh, "atan": np.arctan, "asinh": np.arcsinh, "floor": np.floor, "ceil": np.ceil,
    "trunc": np.trunc, "rint": np.rint,
}  # fmt: skip
# functions that rise where they are defined, and where that is
RISING_FROM: dict[str, tuple[Any, float]] = {
    "log": (np.log, 0.0), "log2": (np.log2, 0.0), "log10": (np.log10, 0.0), "sqrt": (np.sqrt, 0.0),
    "log1p": (np.log1p, -1.0),
}  # fmt: skip


def bound(v: Value) -> None:
    """Set lo, hi and nan of a new value from those of its arguments."""
    if v.type == "b1":
        v.lo, v.hi, v.nan = 0.0, 1.0, False
        return
    rule = INTERVALS.get(v.op)
    if rule is None or any(a.lo > a.hi for a in v.args):
        return
    with np.errstate(all="ignore"):
        lo, hi, nan = rule(v)
    if lo != lo or hi != hi or lo > hi:
        return
    if v.type in LARGEST:
        # a bound is rounded outwards; beyond the largest number a value may be infinite, below the smallest
        # one zero
        lo, hi = lo - 1e-6 * abs(lo), hi + 1e-6 * abs(hi)
        top, tiny = LARGEST[v.type], SMALLEST[v.type]
        lo, hi = (0.0 if 0 < lo < tiny else lo), (0.0 if -tiny < hi < 0 else hi)
        v.lo, v.hi, v.nan = (lo if lo > -top else -inf), (hi if hi < top else inf), nan
    elif v.type in {"i4", "i8"} and max(abs(lo), abs(hi)) < 2**31 and not nan:
        v.lo, v.hi, v.nan = float(floor(lo)), float(ceil(hi)), False  # a quotient is cut


def _add(v: Value) -> Interval:
    x, y = v.args
    clash = (x.hi == inf and y.lo == -inf) or (x.lo == -inf and y.hi == inf)
    return (x.lo + y.lo if -inf < x.lo and -inf < y.lo else -inf,
            x.hi + y.hi if x.hi < inf and y.hi < inf else inf, x.nan or y.nan or clash)  # fmt: skip


def _sub(v: Value) -> Interval:
    x, y = v.args
    clash = (x.hi == inf and y.hi == inf) or (x.lo == -inf and y.lo == -inf)
    return (x.lo - y.hi if -inf < x.lo and y.hi < inf else -inf,
            x.hi - y.lo if x.hi < inf and -inf < y.lo else inf, x.nan or y.nan or clash)  # fmt: skip


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _mul(v: Value) -> Interval:
    x, y = v.args
    ends = [_times(a, b) for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
    lo, hi = (0.0 if x is y else min(ends)), max(ends)
    wide = [_infinite(x) and y.lo <= 0 <= y.hi, _infinite(y) and x.lo <= 0 <= x.hi]
    return lo, hi, x.nan or y.nan or (any(wide) and x is not y)


def _infinite(x: Value) -> bool:
    return x.lo == -inf or x.hi == inf


def _div(v: Value) -> Interval:
    x, y = v.args
    if v.type not in LARGEST and y.lo <= 0 <= y.hi:  # division by zero gives 0
        size = max(abs(x.lo), abs(x.hi))
        return -size, size, False
    if y.lo <= 0 <= y.hi or y.nan or not x.finite or not y.finite:
        nan = x.nan or y.nan or (x.lo <= 0 <= x.hi and y.lo <= 0 <= y.hi) or (_infinite(x) and _infinite(y))
        return -inf, inf, nan
    ends = [a / b for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
    return min(ends), max(ends), False


def _abs(v: Value) -> Interval:
    (x,) = v.args
    low = 0.0 if x.lo <= 0 <= x.hi else min(abs(x.lo), abs(x.hi))
    return low, max(abs(x.lo), abs(x.hi)), x.nan


def _select(v: Value) -> Interval:
    c, x, y = v.args
    lo, hi = min(x.lo, y.lo), max(x.hi, y.hi)
    if c.op in {"le", "lt"} and c.args[0] is y and x.op == "const" and c.args[1].op == "const":
        lo = max(lo, min(x.data, c.args[1].data))  # where(y <= k, x, y): relu and its kin
    return lo, hi, x.nan or y.nan


def _round_wave(v: Value) -> Interval:
    (x,) = v.args
    return -1.0, 1.0, not x.finite


def _rising(function: Any) -> Callable[[Value], Interval]:
    return lambda v: (float(function(v.args[0].lo)), float(function(v.args[0].hi)), v.args[0].nan)


def _rising_from(function: Any, start: float) -> Callable[[Value], Interval]:
    def rule(v: Value) -> Interval:
        (x,) = v.args
        return float(function(max(x.lo, start))), float(function(max(x.hi, start))), x.nan or x.lo < start

    return rule


INTERVALS: dict[str, Callable[[Value], Interval]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "abs": _abs, "select": _select,
    "neg": lambda v: (-v.args[0].hi, -v.args[0].lo, v.args[0].nan),
    "cast": lambda v: (v.args[0].lo, v.args[0].hi, v.args[0].nan),
    "sin": _round_wave, "cos": _round_wave, "erf": lambda v: (-1.0, 1.0, v.args[0].nan),
    **{name: _rising(f) for name, f in RISING.items()},
    **{name: _rising_from(f, start) for name, (f, start) in RISING_FROM.items()},
}  # fmt: skip
