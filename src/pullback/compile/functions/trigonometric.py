"""sin, cos and tan on vectors and scalars.

The nearest multiple of pi/2 is taken off in three parts by fused multiply-adds; beyond `LIMIT` (where
that is no longer exact enough) a lane falls back to the C library. Read `_reduced`. May import `kit`,
`calls` and `compile.text`.
"""

from __future__ import annotations

from pullback.compile.functions.calls import lane_by_lane
from pullback.compile.functions.kit import absolute, format_of, polynomial, with_sign
from pullback.compile.text import V

SIN4 = (-0.1666665494369069, 0.008332178145579692, -0.00019517298915936422)
COS4 = (0.04166664686646532, -0.0013887367516614453, 2.443845167410315e-05)
SIN8 = (
    -0.16666666666666632, 0.008333333333322425, -0.00019841269829816977, 2.7557313695235133e-06,
    -2.5050758654497365e-08, 1.5896827993473603e-10,
)  # fmt: skip
COS8 = (
    0.0416666666666666, -0.0013888888888874138, 2.480158728949182e-05, -2.7557314355240513e-07,
    2.0875723684281063e-09, -1.135966986073904e-11,
)  # fmt: skip
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
    first = code.fma(-k, a, x)
    r = code.fma(-k, b, first)
    low = code.fma(-k, c, code.fma(-k, b, first - r))
    return k.to(f.whole), r, low


def _turned(x: V, quarter: int, name: str) -> V:
    """sin(x + quarter pi/2)."""
    f = format_of(x)
    big = absolute(x).gt(LIMIT[x.t])
    inside = big.select(0.0, x)
    q, r, low = _reduced(inside)
    q = q + quarter if quarter else q
    top = f.mantissa + (8 if x.t == "f4" else 11)
    value = (q & 1).ne(0).select(cosine(r, low), sine(r, low))
    value = with_sign(value, (q & 2) << (top - 1))
    return lane_by_lane(name, big, [x], value)


def sin(x: V) -> V:
    """Sine of x in radians; keeps -0."""
    return x.eq(0.0).select(x, _turned(x, 0, "sin"))


def cos(x: V) -> V:
    """Cosine of x in radians."""
    return _turned(x, 1, "cos")


TABLE = {"sin": sin, "cos": cos}
