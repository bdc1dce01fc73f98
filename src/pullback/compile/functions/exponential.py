"""exp, exp2, expm1, log, log2, log10, log1p on vectors and scalars.

Each splits off a power of two and uses a minimax polynomial on what is left; the coefficients come from
tests/compile/coefficients.py. Read `exp`, then `log`. May import `kit` and `compile.text`.
"""

from __future__ import annotations

from pullback.compile.functions.kit import format_of, polynomial, scaled
from pullback.compile.text import V

EXP4 = (
    0.5000000095125577,
    0.16666518898863322,
    0.041666205995781865,
    0.008368882230662547,
    0.0013950478228170894,
)
EXP8 = (
    0.5, 0.16666666666666685, 0.04166666666666673, 0.008333333333316751, 0.001388888888885857, 0.0001984126989702707,
    2.4801587373501717e-05, 2.7557234269364904e-06, 2.7557233553554905e-07, 2.5112228260302198e-08,
    2.092688601021319e-09,
)  # fmt: skip
LOG4 = (
    0.33333312604149057, -0.25000009598866907, 0.20002118651403178, -0.1666799588016364, 0.1421955252061492,
    -0.12405588494850943, 0.11888160734423152, -0.11675654132870102, 0.06746646881122086,
)  # fmt: skip
LOG8 = (
    0.6666666666666734, 0.3999999999941468, 0.2857142874238731, 0.22222198573210233, 0.1818356432500028,
    0.15314050576524083, 0.14795949490841825,
)  # fmt: skip
LOG2E = 1.4426950408889634


def _clamped(x: V, low: float, high: float) -> V:
    """x in [low, high]; NaN stays NaN."""
    x = x.gt(high).select(high, x)
    return x.lt(low).select(low, x)


def _reduced(x: V) -> tuple[V, V]:
    """The integer k and r = x - k ln 2 with |r| <= ln(2)/2 (and a hair)."""
    code, f = x.code, format_of(x)
    k = code.intrinsic("roundeven", x * LOG2E)
    r = code.fma(-k, f.ln2[0], x)
    return k.to(f.whole), code.fma(-k, f.ln2[1], r)


def exp_tail(r: V) -> V:
    """exp(r) - 1 - r for |r| <= ln(2)/2."""
    return r * r * polynomial(r, EXP4 if r.t == "f4" else EXP8)


def exp(x: V) -> V:
    """e^x; overflow gives inf, underflow denormals and 0."""
    low, high = (-104.0, 89.0) if x.t == "f4" else (-746.0, 710.0)
    k, r = _reduced(_clamped(x, low, high))
    return scaled(1.0 + (r + exp_tail(r)), k)


def split(x: V) -> tuple[V, V]:
    """k (an integer) and m in [sqrt(1/2), sqrt(2)) with x = 2^k m, for x > 0, denormals included."""
    f = format_of(x)
    small = x.lt(f.tiny)
    k, m = split_normal(small.select(x * 2.0 ** (f.mantissa + 2), x))
    return k - small.select(x.code.const(f.mantissa + 2, f.whole, x.n), 0), m


def split_normal(x: V) -> tuple[V, V]:
    """The same for numbers that are no denormals."""
    f = format_of(x)
    start = 0x3F3504F3 if x.t == "f4" else 0x3FE6A09E667F3BCD
    moved = x.bits(f.whole) - start
    if x.t == "f8":  # AVX2 has no arithmetic shift of 64-bit integers: shift the exponent with a bias
        k = (moved + (1 << 62)).lsr(f.mantissa) - (1 << (62 - f.mantissa))
    else:
        k = moved >> f.mantissa
    return k, ((moved & ((1 << f.mantissa) - 1)) + start).bits(x.t)


def log_parts(g: V) -> tuple[V, V]:
    """log(1 + g) as a sum high + low, for 1 + g in [sqrt(1/2), sqrt(2)): g, and what is to be added to it."""
    code = g.code
    half = g * g * 0.5
    if g.t == "f4":
        return g, code.fma(g * g * g, polynomial(g, LOG4), -half)
    s = g / (g + 2.0)
    z = s * s
    return g, code.fma(s, half + z * polynomial(z, LOG8), -half)


def _edges(x: V, y: V) -> V:
    """y, but -inf at 0, NaN below, inf at inf, NaN at NaN."""
    y = x.lt(float("inf")).select(y, x)
    y = x.eq(0.0).select(float("-inf"), y)
    return x.lt(0.0).select(float("nan"), y)


def log_inside(x: V, k: V, m: V) -> V:
    """log(x) for x = 2^k m as `split` gives them."""
    f = format_of(x)
    e = k.to(x.t) if x.t == "f4" else k.to("i4").to(x.t)  # AVX2 converts 32-bit integers only
    high, low = log_parts(m - 1.0)
    low = x.code.fma(e, f.ln2[1], low)
    return x.code.fma(e, f.ln2[0], high + low)


def log(x: V) -> V:
    """Natural logarithm; log(0) = -inf, NaN below 0."""
    return _edges(x, log_inside(x, *split(x)))


TABLE = {"exp": exp, "log": log}
