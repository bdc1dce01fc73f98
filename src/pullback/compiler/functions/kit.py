"""Tools of the elementary functions: polynomials, powers of two, signs, and what depends on the type.

Holds `Format` (the numbers of binary32 and binary64) and small helpers on LLVM values. Read `Format`. May
import `compiler.text` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pullback.compiler.text import V


@dataclass(frozen=True)
class Format:
    """A floating-point format: its integer type, mantissa bits, exponent bias and the splits of constants.

    ln2 and half_pi are constants in parts, each part with enough zeros at its end that k times it is exact
    for the k that occur, or (half_pi) full parts for fused multiply-adds.
    """

    whole: str
    mantissa: int
    bias: int
    ln2: tuple[float, float]
    half_pi: tuple[float, float, float]
    tiny: float  # smallest normal number
    huge: float  # largest finite number


FORMATS = {
    "f4": Format(
        "i4", 23, 127,
        (float.fromhex("0x1.62e4p-1"), float.fromhex("0x1.7f7d1cp-20")),
        (float.fromhex("0x1.921fb6p+0"), float.fromhex("-0x1.777a5cp-25"), float.fromhex("-0x1.ee59dap-50")),
        2.0**-126, float.fromhex("0x1.fffffep+127"),
    ),
    "f8": Format(
        "i8", 52, 1023,
        (float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")),
        (
            float.fromhex("0x1.921fb54442d18p+0"), float.fromhex("0x1.1a62633145c07p-54"),
            float.fromhex("-0x1.f1976b7ed8fbcp-110"),
        ),
        2.0**-1022, float.fromhex("0x1.fffffffffffffp+1023"),
    ),
}  # fmt: skip


def format_of(x: V) -> Format:
    """The format of a value."""
    return FORMATS[x.t]


def polynomial(x: V, coefficients: Sequence[float]) -> V:
    """c0 + c1 x + c2 x^2 + ... with fused steps, from the highest power down."""
    code = x.code
    y = code.const(coefficients[-1], x.t, x.n)
    for c in coefficients[-2::-1]:
        y = code.fma(y, x, c)
    return y


def paired(x: V, coefficients: Sequence[float]) -> V:
    """The same polynomial as two interleaved ones in x^2: half as deep, for long tables."""
    square = x * x
    even, odd = polynomial(square, coefficients[0::2]), polynomial(square, coefficients[1::2])
    return x.code.fma(odd, x, even)


def power_of_two(k: V, t: str) -> V:
    """2^k as type t for an integer k within the range of normal exponents."""
    f = FORMATS[t]
    return ((k + f.bias) << f.mantissa).bits(t)


def scaled(x: V, k: V) -> V:
    """x 2^k for any k that two steps can reach, rounded once where the result is denormal."""
    half = k >> 1
    return x * power_of_two(half, x.t) * power_of_two(k - half, x.t)


def sign_bit(x: V) -> V:
    """The sign of x, alone, as an integer."""
    f = format_of(x)
    return x.bits(f.whole) & -(1 << (f.mantissa + 8 if x.t == "f4" else 63))


def with_sign(x: V, sign: V) -> V:
    """x with its sign flipped where the integer `sign` has its top bit set (and no other)."""
    return (x.bits(format_of(x).whole) ^ sign).bits(x.t)


def absolute(x: V) -> V:
    """|x|."""
    return x.code.intrinsic("fabs", x)
