"""exp, exp2, expm1, log, log2, log10, log1p on vectors and scalars.

Each splits off a power of two and uses a minimax polynomial on what is left. Read `exp`, then `log`. May
import `kit`, `tables` and `compiler.text`.
"""

from __future__ import annotations

from pullback.compiler.functions.kit import absolute, format_of, polynomial, power_of_two, scaled
from pullback.compiler.functions.tables import EXP4, EXP8, LOG4, LOG8
from pullback.compiler.text import V

LOG2E = 1.4426950408889634
_INF = float("inf")


def clamped(x: V, low: float, high: float) -> V:
    """x in [low, high]; NaN stays NaN."""
    x = x.gt(high).select(high, x)
    return x.lt(low).select(low, x)


def reduced(x: V) -> tuple[V, V, V]:
    """The integer k, and r + low = x - k ln 2 with |r| <= ln(2)/2 (and a hair)."""
    code, f = x.code, format_of(x)
    k = code.intrinsic("roundeven", x * LOG2E)
    h = code.fma(-k, f.ln2[0], x)  # exact
    r = code.fma(-k, f.ln2[1], h)
    return whole(k), r, code.fma(-k, f.ln2[1], h - r)


def whole(k: V) -> V:
    """A small integer-valued float as an integer; by way of 32 bits, which AVX2 converts."""
    return k.to("i4").to(format_of(k).whole)


def exp_tail(r: V) -> V:
    """exp(r) - 1 - r for |r| <= ln(2)/2."""
    return r * r * polynomial(r, EXP4 if r.t == "f4" else EXP8)


def exp_split(x: V, low: V | None = None) -> tuple[V, V]:
    """y in [0.7, 1.5] and k with exp(x + low) = y 2^k, for x within exp's range (and a factor of 2)."""
    k, r, rest = reduced(x)
    if low is not None:
        total = r + low
        r, rest = total, rest + ((r - total) + low)
    return 1.0 + (r + (exp_tail(r) + rest)), k


def exp(x: V) -> V:
    """e^x; overflow gives inf, underflow denormals and 0."""
    low, high = (-104.0, 89.0) if x.t == "f4" else (-746.0, 710.0)
    return scaled(*exp_split(clamped(x, low, high)))


def exp_inside(x: V) -> V:
    """e^x for x whose result is a normal number: no clamps, and one step of scaling."""
    f = format_of(x)
    code, magic = (
        x.code,
        1.5 * 2.0**f.mantissa,
    )  # added to a small number, it leaves the nearest integer below
    t = code.fma(x, LOG2E, magic)
    k = t - magic
    r = code.fma(-k, f.ln2[1], code.fma(-k, f.ln2[0], x))
    square = r * r
    c = EXP4 if x.t == "f4" else EXP8
    even, odd = polynomial(square, c[0::2]), polynomial(square, c[1::2])
    y = code.fma(square, code.fma(odd, r, even), r) + 1.0
    return (y.bits(f.whole) + (t.bits(f.whole) << f.mantissa)).bits(x.t)


def exp2(x: V) -> V:
    """2^x; exact for whole x."""
    code = x.code
    low, high = (-151.0, 129.0) if x.t == "f4" else (-1076.0, 1025.0)
    x = clamped(x, low, high)
    k = code.intrinsic("roundeven", x)
    d = x - k
    r = d * 0.6931471805599453
    hi, lo = _LN2[x.t]
    rest = code.fma(d, lo, code.fma(d, hi, -r))
    return scaled(1.0 + (r + (exp_tail(r) + rest)), whole(k))


def expm1(x: V) -> V:
    """e^x - 1 without loss near 0; keeps -0."""
    high = 89.0 if x.t == "f4" else 710.0
    k, r, rest = reduced(clamped(x, -60.0, high))
    tail = exp_tail(r) + rest
    # with half the power, so that it cannot overflow before the result does
    s = power_of_two(k - 1, x.t)
    y = (x.code.fma(s, r, s - 0.5) + s * tail) * 2.0
    small = absolute(x).lt(2.0**-26 if x.t == "f4" else 2.0**-54)
    return small.select(x, y)


# ln 2 and 1 / ln 2, 1 / ln 10, log10(2) as rounded numbers and what was lost
_LN2 = {
    "f4": (0.6931471824645996, -1.9046542121259336e-09),
    "f8": (0.6931471805599453, 2.3190468138462996e-17),
}
_PER_LN2 = {
    "f4": (1.4426950216293335, 1.925963033500011e-08),
    "f8": (1.4426950408889634, 2.0355273740931033e-17),
}
_PER_LN10 = {
    "f4": (0.4342944920063019, -1.0103049952192578e-08),
    "f8": (0.4342944819032518, 1.098319650216765e-17),
}
# log10(2) with enough zeros at the end for an exact product with an exponent
_LOG10_2 = {"f4": (0.301025390625, 4.605039066518657e-06), "f8": (0.30102999566383914, 1.42050232272661e-13)}


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
    rest = ((moved & ((1 << f.mantissa) - 1)) + start).bits(x.t)
    if x.t == "f4":
        return moved >> f.mantissa, rest
    # AVX2 has no arithmetic shift of 64-bit integers: shift the exponent with a bias
    return (moved + (1 << 62)).lsr(f.mantissa) - (1 << (62 - f.mantissa)), rest


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
    y = x.lt(_INF).select(y, x)
    y = x.eq(0.0).select(-_INF, y)
    return x.lt(0.0).select(float("nan"), y)


def floating(k: V, t: str) -> V:
    """A small integer as a float; by way of 32 bits, which AVX2 converts."""
    return k.to("i4").to(t)


def log_inside(x: V, k: V, m: V) -> V:
    """log(x) for x = 2^k m as `split` gives them."""
    f = format_of(x)
    e = floating(k, x.t)
    high, low = log_parts(m - 1.0)
    low = x.code.fma(e, f.ln2[1], low)
    return x.code.fma(e, f.ln2[0], high + low)


def log(x: V) -> V:
    """Natural logarithm; log(0) = -inf, NaN below 0."""
    return _edges(x, log_inside(x, *split(x)))


def _log_base(x: V, per: tuple[float, float], step: tuple[float, float]) -> V:
    """log(x) times `per` (in two parts), `step` (in two parts) for each power of two."""
    code = x.code
    k, m = split(x)
    e = floating(k, x.t)
    g, low = log_parts(m - 1.0)
    h = g + low
    rest = (g - h) + low
    y = h * per[0]
    y_low = code.fma(h, per[0], -y) + (rest * per[0] + h * per[1])
    base = e * step[0]
    total = base + y
    lost = (base - total) + y  # |base| >= |y| or base = 0
    return _edges(x, total + (lost + (y_low + e * step[1])))


def log2(x: V) -> V:
    """Logarithm to base 2; exact for powers of 2."""
    return _log_base(x, _PER_LN2[x.t], (1.0, 0.0))


def log10(x: V) -> V:
    """Logarithm to base 10."""
    return _log_base(x, _PER_LN10[x.t], _LOG10_2[x.t])


def log1p(x: V) -> V:
    """log(1 + x) without loss near 0; keeps -0; -inf at -1, NaN below."""
    code, f = x.code, format_of(x)
    u = 1.0 + x
    # what the sum has lost, from the larger of its two terms
    lost = absolute(x).lt(1.0).select(x - (u - 1.0), 1.0 - (u - x))
    k, m = split_normal(u)
    e = floating(k, x.t)
    g = m - 1.0
    high, low = log_parts(g)
    low = low + code.fma(e, f.ln2[1], lost / u)
    y = code.fma(e, f.ln2[0], high + low)
    y = u.lt(_INF).select(y, u)
    y = x.eq(-1.0).select(-_INF, y)
    y = x.lt(-1.0).select(float("nan"), y)
    return absolute(x).lt(2.0**-25 if x.t == "f4" else 2.0**-54).select(x, y)


TABLE = {
    "exp": exp,
    "exp_inside": exp_inside,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log2": log2,
    "log10": log10,
    "log1p": log1p,
}
