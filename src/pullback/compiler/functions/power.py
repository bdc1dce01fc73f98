"""pow and hypot on vectors and scalars.

pow is exp(y log x) with the logarithm as an unevaluated sum of two numbers, because its error is multiplied
by up to 700; float32 goes by way of float64, where one number is enough. Read `_log_two`, then `pow`. May
import `exponential`, `kit`, `tables` and `compiler.text`.
"""

from __future__ import annotations

from pullback.compiler.functions.exponential import clamped, exp_split, floating, log, split
from pullback.compiler.functions.kit import absolute, format_of, polynomial, scaled, sign_bit, with_sign
from pullback.compiler.functions.tables import POW8
from pullback.compiler.text import V

_INF = float("inf")
# 2/3 and what its rounding lost
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


def _sum(a: V, b: V) -> tuple[V, V]:
    """a + b and its rounding error, for |a| >= |b| (Dekker)."""
    s = a + b
    return s, (a - s) + b


def _product(a: V, b: V) -> tuple[V, V]:
    """a * b and its rounding error."""
    p = a * b
    return p, a.code.fma(a, b, -p)


def _log_two(x: V) -> tuple[V, V]:
    """log(x) for positive finite x as a sum of two numbers, good to 1 part in 2^64 or so; float64 only."""
    code, f = x.code, format_of(x)
    k, m = split(x)
    e = floating(k, x.t)
    g, d = m - 1.0, m + 1.0
    d_low = m - (d - 1.0)
    s = g / d
    s_low = (code.fma(-s, d, g) - s * d_low) / d
    z, z_low = _product(s, s)
    z_low = z_low + 2.0 * s * s_low
    # log m = 2 s + s z (2/3 + z (2/5 + ...)): the second term in two parts, from there on in one
    q = z * polynomial(z, POW8)
    c, c_low = _sum(code.const(_TWO_THIRDS[0], x.t, x.n), q)
    c_low = c_low + _TWO_THIRDS[1]
    w, w_low = _product(z, c)
    w_low = w_low + (z * c_low + z_low * c)
    t, t_low = _product(s, w)
    t_low = t_low + (s * w_low + s_low * w)
    h, h_low = _sum(2.0 * s, t)
    h_low = h_low + (2.0 * s_low + t_low)
    # add the exponent's part
    a, a_low = _sum(e * f.ln2[0], h)
    whole = e.eq(0.0)
    a, a_low = whole.select(h, a), whole.select(0.0, a_low)
    return _sum(a, a_low + (h_low + e * f.ln2[1]))


def _magnitude(size: V, y: V) -> V:
    """size^y for positive finite size and any y, in float64."""
    high, low = _log_two(size)
    y = clamped(y, -(2.0**100), 2.0**100)
    p, p_low = _product(y, high)
    p_low = p_low + y * low
    total, rest = _sum(p, p_low)
    beyond = absolute(total).gt(760.0)
    return scaled(*exp_split(clamped(total, -760.0, 760.0), beyond.select(0.0, rest)))


def _short_magnitude(size: V, y: V) -> V:
    """The same where a result in float32 is wanted."""
    return scaled(*exp_split(clamped(clamped(y, -1e30, 1e30) * log(size), -760.0, 760.0)))


def pow(x: V, y: V) -> V:
    """x^y with C99's special cases; the sign of x counts where y is an odd whole number."""
    code, t = x.code, x.t
    a, b = x.to("f8"), y.to("f8")
    size = absolute(a)
    strange = size.eq(0.0) | ~size.lt(_INF)
    inner = strange.select(1.0, size)
    value = _short_magnitude(inner, b) if t == "f4" else _magnitude(inner, b)
    # 0 and infinity: 0 or infinity, whichever way y points
    upwards = ~(size.eq(0.0) ^ b.lt(0.0))
    value = strange.select(upwards.select(code.const(_INF, "f8", x.n), 0.0), value)
    is_whole = code.intrinsic("trunc", b).eq(b)
    half = b * 0.5
    odd = is_whole & code.intrinsic("trunc", half).ne(half) & absolute(b).lt(_INF)
    value = with_sign(value, odd.select(sign_bit(a), 0))
    value = (a.lt(0.0) & ~is_whole & size.lt(_INF)).select(float("nan"), value)
    value = (a.ne(a) | b.ne(b)).select(float("nan"), value)
    one = b.eq(0.0) | a.eq(1.0) | (a.eq(-1.0) & absolute(b).eq(_INF))
    return one.select(1.0, value).to(t)


def hypot(x: V, y: V) -> V:
    """sqrt(x^2 + y^2) without overflow or underflow on the way; inf if either is."""
    code, t = x.code, x.t
    a, b = absolute(x), absolute(y)
    if t == "f4":
        a8, b8 = a.to("f8"), b.to("f8")
        value = code.intrinsic("sqrt", code.fma(a8, a8, b8 * b8)).to(t)
    else:
        top = a.gt(b).select(a, b)
        scale = top.gt(2.0**500).select(code.const(2.0**-600, t, x.n), 1.0)
        scale = top.lt(2.0**-450).select(2.0**600, scale)
        back = top.gt(2.0**500).select(code.const(2.0**600, t, x.n), 1.0)
        back = top.lt(2.0**-450).select(2.0**-600, back)
        p, q = top * scale, a.gt(b).select(b, a) * scale
        value = code.intrinsic("sqrt", code.fma(p, p, q * q)) * back
    return (a.eq(_INF) | b.eq(_INF)).select(_INF, value)


TABLE = {"pow": pow, "hypot": hypot}
