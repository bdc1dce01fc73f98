"""sinh, cosh, tanh, asinh, acosh, atanh on vectors and scalars, by way of exp, expm1, log and log1p.

Where a difference would lose digits, expm1 and log1p are used: below 1 (sinh), near 1 (acosh), near 0 (asinh,
atanh). Read `_half_exp`, then `sinh`. May import `exponential`, `kit`, `tables` and `compiler.text`.
"""

from __future__ import annotations

from pullback.compiler.functions.exponential import clamped, exp_split, expm1, log, log1p
from pullback.compiler.functions.kit import absolute, polynomial, power_of_two, scaled, sign_bit, with_sign
from pullback.compiler.functions.tables import TANH4, TANH8
from pullback.compiler.text import V

_LN2 = 0.6931471805599453


def _half_exp(size: V) -> V:
    """exp(size) / 2, which overflows later than exp."""
    y, k = exp_split(clamped(size, 0.0, 90.0 if size.t == "f4" else 711.0))
    return scaled(y, k - 1)


def cosh(x: V) -> V:
    """Hyperbolic cosine."""
    h = _half_exp(absolute(x))
    return h + 0.25 / h


def sinh(x: V) -> V:
    """Hyperbolic sine; keeps -0."""
    size = absolute(x)
    h = _half_exp(size)
    below = size.lt(1.0)
    t = expm1(below.select(size, 0.0))
    near = 0.5 * (t + t / (t + 1.0))
    y = with_sign(below.select(near, h - 0.25 / h), sign_bit(x))
    return size.lt(2.0**-28).select(x, y)


def tanh(x: V) -> V:
    """Hyperbolic tangent; keeps -0."""
    size = absolute(x)
    below = size.lt(0.625)
    z = x * x
    near = x + x * z * polynomial(z, TANH4 if x.t == "f4" else TANH8)
    y, k = exp_split(clamped(2.0 * size, 0.0, 60.0))
    far = with_sign(1.0 - 2.0 / (y * power_of_two(k, x.t) + 1.0), sign_bit(x))
    return size.lt(2.0**-28).select(x, below.select(near, far))


def asinh(x: V) -> V:
    """Inverse hyperbolic sine; keeps -0."""
    code, size = x.code, absolute(x)
    large = size.gt(2.0**26)
    s = large.select(1.0, size)
    root = code.intrinsic("sqrt", code.fma(s, s, 1.0))
    near = log1p(s + s * s / (1.0 + root))
    far = log(large.select(size, 1.0)) + _LN2
    y = with_sign(large.select(far, near), sign_bit(x))
    return size.lt(2.0**-28).select(x, y)


def acosh(x: V) -> V:
    """Inverse hyperbolic cosine; NaN below 1."""
    code = x.code
    large = x.gt(2.0**26)
    t = large.select(1.0, x) - 1.0
    near = log1p(t + code.intrinsic("sqrt", t * (t + 2.0)))
    far = log(large.select(x, 1.0)) + _LN2
    return x.lt(1.0).select(float("nan"), large.select(far, near))


def atanh(x: V) -> V:
    """Inverse hyperbolic tangent; +-inf at +-1, NaN beyond; keeps -0."""
    size = absolute(x)
    y = 0.5 * log1p(2.0 * size / (1.0 - size))
    y = with_sign(y, sign_bit(x))
    y = size.gt(1.0).select(float("nan"), y)
    return size.lt(2.0**-28).select(x, y)


TABLE = {"sinh": sinh, "cosh": cosh, "tanh": tanh, "asinh": asinh, "acosh": acosh, "atanh": atanh}
