"""From words to floating-point numbers, rounded exactly as PyTorch's CPU kernels round.

Holds uniforms from words, fused multiply-add emulated in NumPy, the two Box-Muller rules (pairs for fewer
than 16 numbers, blocks of 16 otherwise) and the single-precision Cephes polynomials (S. L. Moshier) that
PyTorch's vectorised kernel evaluates. Read `words` first. May import NumPy only.

Exactness. PyTorch's double-precision draws call the C library's log, log1p, sin, cos, exp and tan, and so
must we; NumPy's own loops may differ in the last bit on processors with AVX-512. Most can be had from the C
library in bulk: NumPy's complex exp calls the library's sincos and exp, its complex log1p the library's
log. The other two (log1p, tan) are compared with `math` once, and replaced by it where NumPy has its own
version. PyTorch's kernels are compiled with fused multiply-adds for processors that have them (AVX2 and
newer): those values are reproduced.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

F32 = np.float32
F64 = np.float64
_CHUNK = 2048  # rows of 16 numbers: the temporaries of a chunk stay in cache


# ---- uniforms ------------------------------------------------------------------------------------


def uniform32(words: Any) -> Any:
    """One float32 in [0, 1) from the low 24 bits of each word."""
    out = (words & np.uint32(0xFFFFFF)).astype(F32)
    out *= F32(2.0**-24)
    return out


def uniform64(words: Any) -> Any:
    """One float64 in [0, 1) from the low 53 bits of each pair of words, the first being the upper half.

    >>> float(uniform64(np.array([1 << 20, 0], np.uint32))[0])
    0.5
    """
    out = (words[0::2] & np.uint32(0x1FFFFF)).astype(F64)
    out *= 2.0**32
    out += words[1::2]  # both parts are integers and the sum is below 2**53: nothing is rounded
    out *= 2.0**-53
    return out


def integers64(words: Any) -> Any:
    """One uint64 from each pair of words, the first being the upper half."""
    out = words[0::2].astype(np.uint64)
    out <<= np.uint64(32)
    out |= words[1::2]
    return out


# ---- rounding ------------------------------------------------------------------------------------


def round_to(x: Any, dtype: np.dtype[Any]) -> Any:
    """float64 values as `dtype`; float16 by way of float32, as a C++ Half is made."""
    if dtype == F64:
        return x
    single = x.astype(F32)
    return single if dtype == F32 else single.astype(dtype)


def fma64(a: Any, b: float, c: float) -> Any:
    """a*b + c rounded once, for float64 `a` of any shape (Dekker's splitting gives the product's error).

    >>> float(fma64(np.array([1 + 2.0**-30]), 1 + 2.0**-30, -1.0)[0]) == 2.0**-29 + 2.0**-60
    True
    """
    product = a * b
    if c == 0.0 or not (math.isfinite(b) and math.isfinite(c)):
        return product + c
    split = 134217729.0  # 2**27 + 1
    a_hi = split * a
    a_hi -= a_hi - a
    a_lo = a - a_hi
    b_hi = split * b
    b_hi -= b_hi - b
    b_lo = b - b_hi
    error = ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo
    total = product + c
    back = total - product
    lost = (product - (total - back)) + (c - back)
    return total + (lost + error)


def _r(x: Any) -> Any:
    """Round to float32, in place, a fresh float64 array; products of two such values are exact in float64."""
    x[...] = x.astype(F32)
    return x


# ---- the C library's functions, in bulk ----------------------------------------------------------


@functools.cache
def _library(name: str) -> Callable[[Any], Any]:
    """np.<name> where it agrees with math.<name> on 8192 numbers in (-1, 0), else math.<name> by entry."""
    ours: Callable[[Any], Any] = getattr(np, name)
    theirs: Callable[[float], float] = getattr(math, name)

    def entrywise(x: Any) -> Any:
        return np.fromiter(map(theirs, x.ravel().tolist()), F64, x.size).reshape(x.shape)

    probe = -(np.arange(8192) + 0.37) / 8192.0
    return ours if np.array_equal(ours(probe), entrywise(probe)) else entrywise


def log1p(x: Any) -> Any:
    """log(1 + x) of float64 in (-1, 0], as the C library rounds it."""
    return _library("log1p")(x)


def tan(x: Any) -> Any:
    """tan(x) of float64 in [-pi/2, pi/2], as the C library rounds it."""
    return _library("tan")(x)


def exp(x: Any) -> Any:
    """exp(x) of float64, as the C library rounds it."""
    z: Any = np.exp(x.astype(np.complex128))
    return z.real


def log(u: Any) -> Any:
    """log(u) of float64 multiples of 2**-53 in [0, 1], as the C library rounds it; log(0) = -inf."""
    z: Any = (u - 1.0).astype(np.complex128)  # u - 1 is exact, and so is adding the 1 that log1p adds
    with np.errstate(divide="ignore"):
        return np.log1p(z).real


def sincos(theta: Any) -> tuple[Any, Any]:
    """(sin, cos) of float64 angles, as the C library rounds them."""
    z: Any = np.zeros(theta.shape, np.complex128)
    z.imag = theta
    z = np.exp(z)
    return z.imag, z.real


# ---- normals: pairs ------------------------------------------------------------------------------


def normal_pairs(u: Any) -> Any:
    """Standard normals from float64 uniforms u1, u2, u1, u2, ...; a pair gives two, the cosine first."""
    theta = u[0::2] * (2.0 * math.pi)
    r = np.sqrt(-2.0 * log1p(-u[1::2]))
    sin, cos = sincos(theta)
    out = np.empty(2 * r.size)
    np.multiply(r, cos, out=out[0::2])
    np.multiply(r, sin, out=out[1::2])
    return out


# ---- normals: blocks of 16 -----------------------------------------------------------------------


def _block64(u: Any) -> Any:
    r = np.sqrt(-2.0 * log(1.0 - u[:, :8]))
    sin, cos = sincos(u[:, 8:] * (2.0 * math.pi))
    out = np.empty_like(u)
    np.multiply(r, cos, out=out[:, :8])
    np.multiply(r, sin, out=out[:, 8:])
    out += 0.0  # the kernel's own last step: -0.0 becomes 0.0
    return out


def _polynomial32(x: Any, coefficients: tuple[float, ...]) -> Any:
    """Horner's rule with every step fused: c0*x^n + ... + cn in single precision."""
    y = coefficients[0] * x
    for c in coefficients[1:-1]:
        y += c
        _r(y)
        y *= x
    y += coefficients[-1]
    return _r(y)


def _single(*values: float) -> tuple[float, ...]:
    return tuple(float(F32(v)) for v in values)


_LOG = _single(
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LN2 = _single(0.693359375, -2.12194440e-4)
_SIN = _single(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS = _single(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_QUARTER_PI = _single(0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)
_FOUR_OVER_PI, _TWO_PI, _SQRT_HALF = _single(4.0 / math.pi, 2.0 * math.pi, math.sqrt(0.5))


def _log32(x: Any) -> Any:
    """Single-precision log on (0, 1]: mantissa to [sqrt(1/2), sqrt(2)), then Cephes' polynomial."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < _SQRT_HALF
    e = exponent - small.astype(F64)
    x = mantissa - 1.0 + np.where(small, mantissa, 0.0)  # exact in single precision
    z = _r(x * x)
    y = _r(_r(_polynomial32(x, _LOG) * x) * z + _r(e * _LN2[1]))
    y = _r(x + _r(y - 0.5 * z))
    return _r(e * _LN2[0] + y)


def _sincos32(x: Any) -> tuple[Any, Any]:
    """Single-precision (sin, cos) on [0, 2 pi]: reduce by multiples of pi/4, then Cephes' polynomials."""
    octant = (_r(x * _FOUR_OVER_PI).astype(np.int64) + 1) & ~1
    y = octant.astype(F64)
    for part in _QUARTER_PI:
        x = _r(x - y * part)
    z = _r(x * x)
    cos = _r(_r(_r(_polynomial32(z, _COS) * z) * z - 0.5 * z) + 1.0)
    sin = _r(_r(_polynomial32(z, _SIN) * z) * x + x)
    swap = (octant & 2) != 0
    sin_sign: Any = np.where((octant & 4) != 0, -1.0, 1.0)
    cos_sign: Any = np.where(((octant - 2) & 4) != 0, 1.0, -1.0)
    where: Any = np.where
    return where(swap, cos, sin) * sin_sign, where(swap, sin, cos) * cos_sign


def _block32(u: Any) -> Any:
    # a product, sum or square root of singles, computed in double and then rounded, is the correctly rounded
    # single; so is a fused multiply-add, but for one in about 2**29 that double rounding sends the other way
    wide = u.astype(F64)
    r = _r(np.sqrt(-2.0 * _log32(1.0 - wide[:, :8])))
    sin, cos = _sincos32(_r(wide[:, 8:] * _TWO_PI))
    out = np.empty_like(u)
    out[:, :8] = r * cos
    out[:, 8:] = r * sin
    out += F32(0.0)  # the kernel's own last step: -0.0 becomes 0.0
    return out


def normal_blocks(u: Any) -> Any:
    """Standard normals from uniforms of shape (k, 16), float32 or float64: entries j and j + 8 pair up."""
    rule = _block64 if u.dtype == F64 else _block32
    if len(u) <= _CHUNK:
        return rule(u)
    out = np.empty_like(u)
    for i in range(0, len(u), _CHUNK):
        out[i : i + _CHUNK] = rule(u[i : i + _CHUNK])
    return out


def scaled(z: Any, mean: float, std: float) -> Any:
    """z*std + mean in one rounding, for float32 or float64 `z`; float32 rounds mean and std first."""
    if mean == 0.0 and std == 1.0:
        return z
    if z.dtype == F64:
        return fma64(z, std, mean)
    mean, std = _single(mean, std)
    return (z.astype(F64) * std + mean).astype(F32)
