"""erf, erfc, erfinv on vectors and scalars; float32 by way of float64 with short polynomials.

erf is an odd polynomial up to 1, and 1 - erfc beyond; erfc is exp(-x^2) / (1 + 2 x) times a polynomial in
(x - 2) / (x + 2), after a form that W. J. Cody (1969) and M. M. Shepherd and J. G. Laframboise (1981) made
known; erfinv follows M. Giles, "Approximating the erfinv function" (2012), with polynomials of our own.
Read `erfc`. May import `exponential`, `kit`, `tables` and `compiler.text`.
"""

from __future__ import annotations

from pullback.compiler.functions import tables
from pullback.compiler.functions.exponential import clamped, exp_split, log
from pullback.compiler.functions.kit import absolute, polynomial, scaled, sign_bit, with_sign
from pullback.compiler.text import V

_FAR = 28.0  # erfc is 0 beyond


def _wide(x: V) -> tuple[V, bool]:
    """x in float64, and whether it was float32."""
    return x.to("f8"), x.t == "f4"


def _near(x: V, single: bool) -> V:
    """erf(x) for |x| <= 1."""
    return x * polynomial(x * x, tables.ERF4 if single else tables.ERF8)


def _tail(size: V, single: bool) -> V:
    """erfc(size) for 0 <= size <= 28."""
    code = size.code
    square = size * size
    lost = code.fma(size, size, -square)
    q = (size - 2.0) / (size + 2.0)
    factor = polynomial(q, tables.ERFC4 if single else tables.ERFC8) / (1.0 + 2.0 * size)
    y, k = exp_split(-square, -lost)
    return scaled(y * factor, k)


def erf(x: V) -> V:
    """Error function; keeps -0."""
    wide, single = _wide(x)
    size = absolute(wide)
    near = size.le(1.0)
    inside = near.select(wide, 0.0)
    far = 1.0 - _tail(clamped(near.select(1.0, size), 1.0, 7.0), single)
    y = near.select(_near(inside, single), with_sign(far, sign_bit(wide)))
    return wide.ne(wide).select(wide, y).to(x.t)


def erfc(x: V) -> V:
    """1 - erf(x), without loss where erf is near 1."""
    wide, single = _wide(x)
    size = absolute(wide)
    near = size.le(0.25)
    small = 1.0 - _near(near.select(wide, 0.0), single)
    tail = _tail(clamped(size, 0.0, _FAR), single)
    far = wide.lt(0.0).select(2.0 - tail, tail)
    y = near.select(small, far)
    return wide.ne(wide).select(wide, y).to(x.t)


def erfinv(x: V) -> V:
    """The inverse of erf; +-inf at +-1, NaN beyond; keeps -0."""
    wide, single = _wide(x)
    code = wide.code
    outside = absolute(wide).ge(1.0)
    inside = outside.select(0.0, wide)
    w = -log(code.fma(-inside, inside, 1.0))
    root = code.intrinsic("sqrt", w)
    middle = w.lt(6.0)
    a = tables.ERFINV4A if single else tables.ERFINV8A
    b = tables.ERFINV4B if single else tables.ERFINV8B
    y = middle.select(polynomial(w - 3.0, a), polynomial(root - 3.25, b))
    if not single:
        y = w.lt(16.0).select(y, polynomial(root - 5.0, tables.ERFINV8C))
    y = y * inside
    edge = absolute(wide).eq(1.0).select(wide * float("inf"), float("nan"))
    return outside.select(edge, wide.ne(wide).select(wide, y)).to(x.t)


TABLE = {"erf": erf, "erfc": erfc, "erfinv": erfinv}
