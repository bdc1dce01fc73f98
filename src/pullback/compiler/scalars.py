"""What NumPy's ufuncs do to one entry: rules from lane values to a lane value.

`UFUNCS` maps each ufunc to a `Rule`; SciPy's ufuncs are found by name in `NAMED`, so that SciPy is not
imported. Every rule keeps NumPy's answer for NaN, infinities and zeros (the sign of a zero aside). Read
`Rule`, then `UFUNCS`. May import `compiler.build` and `compiler.program`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pullback.compiler.build import COMPARE, FLOATS, Builder
from pullback.compiler.program import Value

Scalar = Callable[..., Value]
LOG2E = 1.4426950408889634


class NotLowered(Exception):  # noqa: N818 - not an error of the user: the op runs through NumPy instead
    """An op's function does something that lanes cannot do."""


class Rule(NamedTuple):
    """function(builder, *values) -> value, and the operands it wants.

    operands   "same": of their common dtype; "float": integers in float64; "wide": all in float64; "truth":
               asked whether they differ from zero
    boolean    is the result a truth value?
    """

    function: Scalar
    operands: str = "same"
    boolean: bool = False


def one(op: str) -> Scalar:
    """A rule that is one op of the program."""
    return lambda b, *values: b.op(op, *values)


# ---------------------------------------------------------------------- folds


def tree(op: str, values: Sequence[Value]) -> Value:
    """A fold of an associative op over halves, so that chains are short."""
    n = len(values)
    if n > 8:
        half = n // 2
        return values[0].builder.op(op, tree(op, values[:half]), tree(op, values[half:]))
    v = values[0]
    for w in values[1:]:
        v = v.builder.op(op, v, w)
    return v


def fold_pairs(values: Sequence[Value], pair: Scalar) -> Value:
    """A fold from the left."""
    v = values[0]
    for w in values[1:]:
        v = pair(v.builder, v, w)
    return v


# ---------------------------------------------------------------------- arithmetic


def add(b: Builder, x: Value, y: Value) -> Value:
    """The sum; of truth values their "or"."""
    return b.op("or" if x.type == "b1" else "add", x, y)


def negative(b: Builder, x: Value) -> Value:
    """The negative."""
    return b.op("neg", x)


def largest(b: Builder, x: Value, y: Value) -> Value:
    """NumPy's maximum: NaN wins."""
    if x.type == "b1":
        return b.op("or", x, y)
    r = b.select(b.op("ge", x, y), x, y)
    return b.select(b.op("ne", x, x), x, r) if x.nan else r


def smallest(b: Builder, x: Value, y: Value) -> Value:
    """NumPy's minimum: NaN wins."""
    if x.type == "b1":
        return b.op("and", x, y)
    r = b.select(b.op("le", x, y), x, y)
    return b.select(b.op("ne", x, x), x, r) if x.nan else r


def unlike(b: Builder, x: Value, y: Value) -> Value:
    """Is x not zero and of the other sign than y?"""
    return b.op("and", b.op("ne", x, 0), b.op("xor", b.op("lt", x, 0), b.op("lt", y, 0)))


def floor_divide(b: Builder, x: Value, y: Value) -> Value:
    """Floor division; for floats NumPy's definition through fmod."""
    if x.type in FLOATS:
        return floor_quotient(b, x, y)
    q = b.op("div", x, y)  # by zero it is 0, as in NumPy
    off = b.op("and", b.op("ne", y, 0), unlike(b, b.op("sub", x, b.op("mul", q, y)), y))
    return b.select(off, b.op("sub", q, 1), q)


def modulus(b: Builder, x: Value, y: Value) -> Value:
    """Python's modulus: the divisor's sign."""
    r = b.op("rem", x, y)
    fixed = b.select(unlike(b, r, y), b.op("add", r, y), r)
    return b.select(b.op("eq", r, 0), b.op("copysign", r, y), fixed) if x.type in FLOATS else fixed


def floor_quotient(b: Builder, x: Value, y: Value) -> Value:
    """NumPy's floor_divide of floats: exact quotients stay exact."""
    mod = b.op("rem", x, y)
    q = b.op("div", b.op("sub", x, mod), y)
    q = b.select(unlike(b, mod, y), b.op("sub", q, 1), q)
    down = b.op("floor", q)
    down = b.select(b.op("gt", b.op("sub", q, down), 0.5), b.op("add", down, 1), down)
    zero = b.op("copysign", b.const(0, x.type), b.op("div", x, y))
    result = b.select(b.op("ne", q, 0), down, zero)
    return b.select(b.op("eq", y, 0), b.op("div", x, y), result)


def sign(b: Builder, x: Value) -> Value:
    """-1, 0 or 1; NaN stays."""
    down = b.select(b.op("lt", x, 0), b.const(-1, x.type), x)
    return b.select(b.op("gt", x, 0), b.const(1, x.type), down)


def absolute(b: Builder, x: Value) -> Value:
    """|x|."""
    if x.type in FLOATS:
        return b.op("abs", x)
    return x if x.type == "b1" else b.select(b.op("lt", x, 0), b.op("neg", x), x)


def power(b: Builder, x: Value, y: Value) -> Value:
    """x**y; integers to a known power only."""
    if y.op == "const" and y.data in POWERS:
        return POWERS[y.data](b, x)
    if x.type in FLOATS:
        return b.op("pow", x, y)
    if y.op == "const" and 0 <= y.data <= 64:
        return tree("mul", [x] * int(y.data))
    raise NotLowered("an integer power that depends on values")


POWERS: dict[float, Callable[[Builder, Value], Value]] = {
    0: lambda b, x: b.const(1, x.type),
    1: lambda _b, x: x,
    2: lambda b, x: b.op("mul", x, x),
    3: lambda b, x: b.op("mul", b.op("mul", x, x), x),
}  # fmt: skip


def heaviside(b: Builder, x: Value, y: Value) -> Value:
    """0 below zero, y at zero, 1 above; NaN stays."""
    above = b.select(b.op("gt", x, 0), b.const(1, x.type), x)
    return b.select(b.op("eq", x, 0), y, b.select(b.op("lt", x, 0), b.const(0, x.type), above))


def log_add(base: int) -> Scalar:
    """logaddexp (base 0) and logaddexp2: the larger one plus the logarithm of 1 + exp(-distance)."""

    def rule(b: Builder, x: Value, y: Value) -> Value:
        d = b.op("abs", b.op("sub", x, y))
        low = b.op("exp2" if base else "exp", b.op("neg", d))
        more = b.op("log1p", low)
        r = b.op("add", largest(b, x, y), b.op("mul", more, LOG2E) if base else more)
        # equal infinities have no distance
        return b.select(b.op("eq", x, y), b.op("add", x, 1.0 if base else float(np.log(2))), r)

    return rule


def fmax(b: Builder, x: Value, y: Value) -> Value:
    """The larger one; a number beats NaN."""
    return b.select(b.op("or", b.op("ge", x, y), is_nan(b, y)), x, y)


def fmin(b: Builder, x: Value, y: Value) -> Value:
    """The smaller one; a number beats NaN."""
    return b.select(b.op("or", b.op("le", x, y), is_nan(b, y)), x, y)


# ---------------------------------------------------------------------- questions


def is_inf(b: Builder, x: Value) -> Value:
    """Is it infinite?"""
    return b.op("eq", b.op("abs", x), np.inf) if x.type in FLOATS else b.const(False, "b1")


def is_finite(b: Builder, x: Value) -> Value:
    """Is it neither infinite nor NaN?"""
    if x.type not in FLOATS or x.finite:
        return b.const(True, "b1")
    return b.op("lt", b.op("abs", x), np.inf)


def is_nan(b: Builder, x: Value) -> Value:
    """Is it NaN?"""
    return b.op("ne", x, x) if x.nan else b.const(False, "b1")


def sign_bit(b: Builder, x: Value) -> Value:
    """Is the sign bit set?"""
    return b.op("lt", b.op("copysign", b.const(1, x.type), x) if x.type in FLOATS else x, 0)


# ---------------------------------------------------------------------- the table

FLOATING = {
    np.exp: "exp", np.exp2: "exp2", np.expm1: "expm1", np.log: "log", np.log2: "log2", np.log10: "log10",
    np.log1p: "log1p", np.sqrt: "sqrt", np.sin: "sin", np.cos: "cos", np.tan: "tan", np.arcsin: "asin",
    np.arccos: "acos", np.arctan: "atan", np.sinh: "sinh", np.cosh: "cosh", np.tanh: "tanh",
    np.arcsinh: "asinh", np.arccosh: "acosh", np.arctanh: "atanh", np.arctan2: "atan2", np.hypot: "hypot",
    np.true_divide: "div", np.copysign: "copysign", np.rint: "rint",
}  # fmt: skip
COMPARING = {
    np.equal: "eq", np.not_equal: "ne", np.less: "lt", np.less_equal: "le", np.greater: "gt",
    np.greater_equal: "ge",
}  # fmt: skip
PLAIN = {
    np.subtract: "sub", np.multiply: "mul", np.negative: "neg", np.bitwise_and: "and", np.bitwise_or: "or",
    np.bitwise_xor: "xor", np.invert: "not", np.left_shift: "shl", np.right_shift: "shr",
}  # fmt: skip
LOGICAL = {np.logical_and: "and", np.logical_or: "or", np.logical_not: "not", np.logical_xor: "xor"}
ROUNDING = {np.floor: "floor", np.ceil: "ceil", np.trunc: "trunc"}
# SciPy's ufuncs, by name
NAMED = {"erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "gammaln": "lgamma", "psi": "digamma"}


def rounding(op: str) -> Scalar:
    """floor, ceil, trunc: integers stay."""
    return lambda b, x: b.op(op, x) if x.type in FLOATS else x


def same(_b: Builder, x: Value) -> Value:
    """x."""
    return x


UFUNCS: dict[Any, Rule] = {
    **{u: Rule(one(op), "float") for u, op in FLOATING.items()},
    **{u: Rule(one(op)) for u, op in PLAIN.items()},
    **{u: Rule(one(op), boolean=True) for u, op in COMPARING.items()},
    **{u: Rule(one(op), "truth", boolean=True) for u, op in LOGICAL.items()},
    **{u: Rule(rounding(op)) for u, op in ROUNDING.items()},
    np.add: Rule(add), np.absolute: Rule(absolute), np.fabs: Rule(absolute, "float"), np.sign: Rule(sign),
    np.positive: Rule(same), np.conjugate: Rule(same),
    np.square: Rule(lambda b, x: b.op("mul", x, x)), np.reciprocal: Rule(lambda b, x: b.op("div", 1, x)),
    np.maximum: Rule(largest), np.minimum: Rule(smallest), np.fmax: Rule(fmax), np.fmin: Rule(fmin),
    np.power: Rule(power), np.float_power: Rule(power, "wide"), np.fmod: Rule(one("rem")),
    np.floor_divide: Rule(floor_divide), np.remainder: Rule(modulus), np.heaviside: Rule(heaviside, "float"),
    np.logaddexp: Rule(log_add(0), "float"), np.logaddexp2: Rule(log_add(2), "float"),
    np.isnan: Rule(is_nan, boolean=True), np.isinf: Rule(is_inf, boolean=True),
    np.isfinite: Rule(is_finite, boolean=True), np.signbit: Rule(sign_bit, boolean=True),
    np.deg2rad: Rule(lambda b, x: b.op("mul", x, np.pi / 180), "float"),
    np.rad2deg: Rule(lambda b, x: b.op("mul", x, 180 / np.pi), "float"),
}  # fmt: skip


def rule_of(ufunc: Any) -> Rule:
    """The rule of a ufunc; NotLowered where there is none."""
    found = UFUNCS.get(ufunc)
    if found is not None:
        return found
    name = NAMED.get(ufunc.__name__)
    if name is None:
        raise NotLowered(f"NumPy's {ufunc.__name__}")
    return Rule(one(name), "float")


# what folding a line with a ufunc gives; the value for an empty line, where there is one
REDUCTIONS: dict[Any, tuple[Callable[[Sequence[Value]], Value], Any]] = {
    np.add: (lambda vs: tree("add", vs), 0),
    np.multiply: (lambda vs: tree("mul", vs), 1),
    np.maximum: (lambda vs: fold_pairs(vs, largest), None),
    np.minimum: (lambda vs: fold_pairs(vs, smallest), None),
    np.logical_or: (lambda vs: tree("or", vs), False),
    np.logical_and: (lambda vs: tree("and", vs), True),
    np.bitwise_or: (lambda vs: tree("or", vs), 0),
    np.logaddexp: (lambda vs: fold_pairs(vs, log_add(0)), -np.inf),
}
__all__ = ["COMPARE", "REDUCTIONS", "UFUNCS", "NotLowered", "Rule", "fold_pairs", "rule_of", "tree"]
