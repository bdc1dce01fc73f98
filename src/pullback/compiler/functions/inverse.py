"""asin, acos, atan, atan2 on vectors and scalars.

atan is a quotient turned into [-tan(pi/8), tan(pi/8)], with what the division lost; asin and acos use
sqrt((1 - |x|) / 2) beyond 1/2. Read `_arc`, then `_near` and `_far`. May import `kit`, `tables` and
`compiler.text`.
"""

from __future__ import annotations

from pullback.compiler.functions.kit import absolute, format_of, polynomial, sign_bit, with_sign
from pullback.compiler.functions.tables import ASIN4, ASIN8, ATAN4, ATAN8
from pullback.compiler.text import V

_TAN_PI_8 = 0.41421356237309503
_INF = float("inf")


def _half_pi(x: V) -> tuple[float, float]:
    """pi/2 and what its rounding lost."""
    parts = format_of(x).half_pi
    return parts[0], parts[1]


def _arc(num: V, den: V) -> V:
    """atan(num / den) for 0 <= num <= den: finite, den > 0 and far from overflow."""
    code = num.code
    turned = num.gt(den * _TAN_PI_8)
    top = turned.select(num - den, num)
    bottom = turned.select(num + den, den)
    # what the sum and the difference lost
    top_low = turned.select((num - (top + den)), 0.0)
    bottom_low = turned.select(num - (bottom - den), 0.0)
    t = top / bottom
    lost = (code.fma(-t, bottom, top) + (top_low - t * bottom_low)) / bottom
    z = t * t
    tail = t * z * polynomial(z, ATAN4 if t.t == "f4" else ATAN8)
    high, low = _half_pi(t)
    y = t + (tail + lost)
    return turned.select(high * 0.5 + (t + (tail + (lost + low * 0.5))), y)


def _quotient(y: V, x: V) -> V:
    """atan(y / x) for y, x >= 0, with infinities and zeros."""
    f = format_of(x)
    high, low = _half_pi(x)
    both = y.eq(_INF) & x.eq(_INF)
    y, x = both.select(1.0, y), both.select(1.0, x)
    swapped = y.gt(x)
    num, den = swapped.select(x, y), swapped.select(y, x)
    large = den.gt(f.huge / 16.0)
    scale = large.select(x.code.const(1.0 / 16.0, x.t, x.n), 1.0)
    small = den.lt(f.tiny * 2.0**f.mantissa)
    scale = small.select(2.0 ** (2 * f.mantissa), scale)
    num, den = num * scale, den * scale
    flat = num.eq(0.0) | den.eq(_INF)  # the angle is 0 up to the turn, and 0/0 and inf/inf do not occur
    arc = flat.select(0.0, _arc(flat.select(0.0, num), flat.select(1.0, den)))
    return swapped.select((high - arc) + low, arc)


def atan(x: V) -> V:
    """Inverse tangent in (-pi/2, pi/2); keeps -0."""
    size = absolute(x)
    one = x.code.const(1.0, x.t, x.n)
    y = _quotient(x.ne(x).select(0.0, size), one)
    y = with_sign(y, sign_bit(x))
    return x.ne(x).select(x, size.lt(2.0**-30).select(x, y))


def atan2(y: V, x: V) -> V:
    """The angle of the point (x, y) in [-pi, pi], signs of zeros as in C99."""
    high, low = _half_pi(x)
    bad = x.ne(x) | y.ne(y)
    arc = _quotient(bad.select(1.0, absolute(y)), bad.select(1.0, absolute(x)))
    left = sign_bit(x).ne(0)
    arc = left.select((2.0 * high - arc) + 2.0 * low, arc)
    return bad.select(float("nan"), with_sign(arc, sign_bit(y)))


def _tail(x: V, z: V) -> V:
    """asin(x) - x for |x| <= 1/2, z = x^2."""
    return x * z * polynomial(z, ASIN4 if x.t == "f4" else ASIN8)


def _far(size: V) -> tuple[V, V]:
    """s + low = asin(sqrt((1 - size) / 2)) for 1/2 < size <= 1."""
    code = size.code
    z = (1.0 - size) * 0.5
    s = code.intrinsic("sqrt", z)
    lost = s.eq(0.0).select(0.0, code.fma(-s, s, z) / (s + s))
    return s, _tail(s, z) + lost


def asin(x: V) -> V:
    """Inverse sine in [-pi/2, pi/2]; NaN beyond 1."""
    high, low = _half_pi(x)
    size = absolute(x)
    near = size.le(0.5)
    inside = near.select(x, 0.0)
    s, rest = _far(near.select(1.0, size))
    far = high - (2.0 * (s + rest) - low)
    quarter = high * 0.5  # subtracting from it loses less than from pi/2
    mid = quarter - ((2.0 * rest - low) - (quarter - 2.0 * s))
    far = size.lt(0.9).select(mid, far)
    y = near.select(inside + _tail(inside, inside * inside), with_sign(far, sign_bit(x)))
    return size.lt(2.0**-28).select(x, y)


def acos(x: V) -> V:
    """Inverse cosine in [0, pi]; NaN beyond 1."""
    high, low = _half_pi(x)
    size = absolute(x)
    near = size.le(0.5)
    inside = near.select(x, 0.0)
    s, rest = _far(near.select(1.0, size))
    right = 2.0 * (s + rest)
    left = 2.0 * (high - (s + (rest - low)))
    middle = high - (inside - (low - _tail(inside, inside * inside)))
    return near.select(middle, sign_bit(x).ne(0).select(left, right))


TABLE = {"asin": asin, "acos": acos, "atan": atan, "atan2": atan2}
