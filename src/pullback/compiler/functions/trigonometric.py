"""sin, cos and tan on vectors and scalars.

The nearest multiple of pi/2 is taken off in three parts by fused multiply-adds; beyond `LIMIT` (where
that is no longer exact enough) a lane falls back to the C library. Read `_reduced`. May import `kit`,
`calls` and `compiler.text`.
"""

from __future__ import annotations

from pullback.compiler.functions.calls import lane_by_lane
from pullback.compiler.functions.kit import absolute, format_of, polynomial, with_sign
from pullback.compiler.functions.tables import COS4, COS8, SIN4, SIN8
from pullback.compiler.text import V

LIMIT = {"f4": 2.0**16, "f8": 2.0**21}


def sine(r: V, low: V | None = None) -> V:
    """sin(r + low) for |r| <= pi/4."""
    z = r * r
    tail = z * r * polynomial(z, SIN4 if r.t == "f4" else SIN8)
    if low is not None:
        tail = tail + low * (1.0 - z * 0.5)
    return r + tail


def cosine(r: V, low: V | None = None) -> V:
    """cos(r + low) for |r| <= pi/4."""
    z = r * r
    tail = z * z * polynomial(z, COS4 if r.t == "f4" else COS8)
    if low is not None:
        tail = tail - r * low
    half = z * 0.5
    w = 1.0 - half
    return w + (((1.0 - w) - half) + tail)


def _reduced(x: V) -> tuple[V, V, V]:
    """The quadrant (an integer) and r + low = x - quadrant pi/2."""
    code, f = x.code, format_of(x)
    k = code.intrinsic("roundeven", x * 0.6366197723675814)
    a, b, c = f.half_pi
    first = code.fma(-k, a, x)  # exact
    product = k * b
    r = first - product
    back = r - first
    lost = (first - (r - back)) - (product + back)  # exact, also where most of `first` has cancelled
    low = lost - code.fma(k, b, -product) - k * c
    return k.to(f.whole), r, low


def _turned(x: V, quarter: int, name: str) -> V:
    """sin(x + quarter pi/2)."""
    big, inside = _within(x)
    q, r, low = _reduced(inside)
    q = q + quarter if quarter else q
    value = (q & 1).ne(0).select(cosine(r, low), sine(r, low))
    value = with_sign(value, (q & 2) << (_top(x) - 1))
    return lane_by_lane(name, big, [x], value)


def _within(x: V) -> tuple[V, V]:
    """Where x is beyond the limit (or NaN), and x with 0 in these places."""
    big = ~absolute(x).le(LIMIT[x.t])
    return big, big.select(0.0, x)


def _top(x: V) -> int:
    """The number of the sign bit."""
    return 31 if x.t == "f4" else 63


def sin(x: V) -> V:
    """Sine of x in radians; keeps -0."""
    return x.eq(0.0).select(x, _turned(x, 0, "sin"))


def cos(x: V) -> V:
    """Cosine of x in radians."""
    return _turned(x, 1, "cos")


def tan(x: V) -> V:
    """Tangent of x in radians; keeps -0."""
    big, inside = _within(x)
    q, r, low = _reduced(inside)
    s, c = sine(r, low), cosine(r, low)
    odd = (q & 1).ne(0)
    value = with_sign(odd.select(c, s), (q & 1) << _top(x)) / odd.select(s, c)
    return x.eq(0.0).select(x, lane_by_lane("tan", big, [x], value))


TABLE = {"sin": sin, "cos": cos, "tan": tan}
