"""The slips that only one elementwise op has: the 2 of a square root, the square in a quotient's denominator.

Read `Facts`, what a wrong partial may read, then `SLIPS`. May import `explanations.mutations_engine`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.explanations.mutations_engine import Missing, Step

Array = Any
Wrong = Callable[["Facts"], Array]


class Facts:
    """What a wrong partial may read; `Missing` where the record does not hold it."""

    def __init__(self, step: Step, i: int) -> None:
        self.step, self.i = step, i
        self.params = step.params

    @property
    def x(self) -> Array:
        """The first operand."""
        return np.asarray(self.step.value(0))

    @property
    def y(self) -> Array:
        """The second operand."""
        return np.asarray(self.step.value(1))

    @property
    def mine(self) -> Array:
        """The operand whose cotangent is asked for."""
        return np.asarray(self.step.value(self.i))

    @property
    def out(self) -> Array:
        """The op's output."""
        return np.asarray(self.step.value_out)

    @property
    def p(self) -> Array:
        """The right partial, in the output's shape."""
        return partial(self.step, self.i)


def partial(step: Step, i: int, out: Any = None, swap: dict[int, Array] | None = None) -> Array:
    """The table's partial for argument i, with other values put in for the output or some operands."""
    op, node = step.op, step.node
    p = op.partials[i]
    ones = np.ones(step.out_shape, step.avals[i].dtype)
    if p is None:
        return ones * 0
    if isinstance(p, int):
        return ones * p
    values = [a.value if hasattr(a, "value") else a for a in node.args]
    for k, v in (swap or {}).items():
        values[k] = v
    return np.asarray(op.term(i, ones, node.out if out is None else out, values, step.params))


def _rows(*rows: tuple[int | None, str, str, Wrong]) -> tuple[tuple[int | None, str, str, Wrong], ...]:
    return rows


def _normal_cdf(x: Array) -> Array:
    from math import erf

    return np.vectorize(lambda v: 0.5 * (1 + erf(v / 2**0.5)), otypes=[float])(x)


def _normal_pdf(x: Array) -> Array:
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _slope_alone(f: Facts) -> Array:
    slope = f.params.get("negative_slope")
    if slope is None:
        raise Missing
    return np.asarray(slope)


DROP = "factor dropped"
SIGN = "sign dropped"
SLIPS: dict[str, tuple[tuple[int | None, str, str, Wrong], ...]] = {
    "pow": _rows(
        (0, DROP, "the exponent n in front of x^(n-1) is dropped", lambda f: f.x ** (f.y - 1)),
        (0, "exponent not lowered", "n x^n: the exponent is not lowered by one", lambda f: f.y * f.x**f.y),
        (
            0,
            "exponent lowered twice",
            "n x^(n-2): the exponent is lowered by two",
            lambda f: f.y * f.x ** (f.y - 2),
        ),
        (
            0,
            "factor n - 1",
            "(n-1) x^(n-1): the lowered exponent in front",
            lambda f: (f.y - 1) * f.x ** (f.y - 1),
        ),
        (
            0,
            "second derivative",
            "n (n-1) x^(n-2): differentiated twice",
            lambda f: f.y * (f.y - 1) * f.x ** (f.y - 2),
        ),
        (1, "logarithm dropped", "d x^n / dn without the factor log x", lambda f: f.out),
        (
            1,
            "power rule for exponential",
            "n x^(n-1) where x^n log x belongs",
            lambda f: f.y * f.x ** (f.y - 1),
        ),
    ),
    "mul": _rows(
        (0, "own operand", "the operand itself where the other one belongs", lambda f: f.x + 0 * f.y),
        (1, "own operand", "the operand itself where the other one belongs", lambda f: f.y + 0 * f.x),
    ),
    "div": _rows(
        (
            0,
            "denominator dropped",
            "the denominator is dropped: d(x/y)/dx = 1/y",
            lambda f: f.x * 0 + 1 + 0 * f.y,
        ),
        (
            0,
            "multiplied by denominator",
            "multiplied by the denominator instead of divided",
            lambda f: f.y + 0 * f.x,
        ),
        (0, "denominator squared", "1/y^2 where 1/y belongs", lambda f: 1 / f.y**2 + 0 * f.x),
        (1, SIGN, "x/y^2 without the minus sign: d(x/y)/dy = -x/y^2", lambda f: f.x / f.y**2),
        (1, "denominator not squared", "-x/y where -x/y^2 belongs", lambda f: -f.x / f.y),
        (1, "numerator dropped", "-1/y^2 where -x/y^2 belongs", lambda f: -1 / f.y**2 + 0 * f.x),
        (1, "numerator dropped", "1/y^2 without sign and numerator", lambda f: 1 / f.y**2 + 0 * f.x),
        (
            1,
            "numerator's rule",
            "1/y, the rule of the numerator, for the denominator",
            lambda f: 1 / f.y + 0 * f.x,
        ),
        (1, "numerator's rule", "-1/y for the denominator", lambda f: -1 / f.y + 0 * f.x),
        (1, "product rule for quotient", "x where -x/y^2 belongs", lambda f: f.x + 0 * f.y),
    ),
    "reciprocal": _rows(
        (0, SIGN, "1/x^2 without the minus sign: d(1/x)/dx = -1/x^2", lambda f: 1 / f.x**2),
        (0, "denominator not squared", "-1/x where -1/x^2 belongs", lambda f: -1 / f.x),
        (0, "logarithm's rule", "1/x where -1/x^2 belongs", lambda f: 1 / f.x),
    ),
    "sqrt": _rows(
        (0, DROP, "the factor 1/2 of 1/(2 sqrt(x)) is dropped", lambda f: 1 / f.out),
        (0, "factor 2", "2/sqrt(x) where 1/(2 sqrt(x)) belongs", lambda f: 2 / f.out),
        (0, "root dropped", "1/(2x) where 1/(2 sqrt(x)) belongs", lambda f: 0.5 / f.x),
        (0, "exponent", "sqrt(x)/2: the exponent is not lowered", lambda f: 0.5 * f.out),
        (0, SIGN, "a minus sign too many: -1/(2 sqrt(x))", lambda f: -0.5 / f.out),
        (0, "exponent lowered twice", "-1/2 x^(-3/2), the rule of 1/sqrt(x)", lambda f: -0.5 * f.x**-1.5),
    ),
    "rsqrt": _rows(
        (0, DROP, "the factor 1/2 of -1/2 x^(-3/2) is dropped", lambda f: -(f.x**-1.5)),
        (0, SIGN, "1/2 x^(-3/2) without the minus sign", lambda f: 0.5 * f.x**-1.5),
        (0, "exponent", "-1/2 x^(-1/2): the exponent is not lowered", lambda f: -0.5 * f.x**-0.5),
        (0, "exponent", "1/2 x^(-1/2), the rule of sqrt", lambda f: 0.5 * f.x**-0.5),
    ),
    "exp": _rows(
        (0, "power rule for exponential", "x exp(x-1): the power rule", lambda f: f.x * np.exp(f.x - 1))
    ),
    "exp2": _rows((0, DROP, "the factor ln 2 is dropped", lambda f: f.out)),
    "log": _rows((0, "exponential for logarithm", "exp(x) where 1/x belongs", lambda f: np.exp(f.x))),
    "log2": _rows((0, DROP, "the factor 1/ln 2 is dropped", lambda f: 1 / f.x)),
    "log10": _rows((0, DROP, "the factor 1/ln 10 is dropped", lambda f: 1 / f.x)),
    "log1p": _rows((0, "one left out", "1/x where 1/(1+x) belongs", lambda f: 1 / f.x)),
    "expm1": _rows((0, "one left out", "exp(x) - 1 where exp(x) belongs", lambda f: f.out)),
    "sin": _rows((0, SIGN, "-cos(x) where cos(x) belongs", lambda f: -np.cos(f.x))),
    "cos": _rows((0, SIGN, "sin(x) without the minus sign: d cos(x)/dx = -sin(x)", lambda f: np.sin(f.x))),
    "tan": _rows(
        (0, "square dropped", "1/cos(x) where 1/cos(x)^2 belongs", lambda f: 1 / np.cos(f.x)),
        (0, "sign", "1 - tan(x)^2 where 1 + tan(x)^2 belongs", lambda f: 1 - f.out**2),
    ),
    "sigmoid": _rows(
        (0, "factor s dropped", "1 - s where s (1 - s) belongs", lambda f: 1 - f.out),
        (0, "factor 1 - s dropped", "s where s (1 - s) belongs", lambda f: f.out),
        (0, "tanh's rule", "1 - s^2, the rule of tanh, where s (1 - s) belongs", lambda f: 1 - f.out**2),
        (
            0,
            "sigmoid taken twice",
            "sigmoid of the output: s(s) (1 - s(s))",
            (lambda f: _sigmoid(f.out) * (1 - _sigmoid(f.out))),
        ),
        (0, "sign", "s (1 + s) where s (1 - s) belongs", lambda f: f.out * (1 + f.out)),
    ),
    "tanh": _rows(
        (0, "square dropped", "1 - t where 1 - t^2 belongs", lambda f: 1 - f.out),
        (
            0,
            "sigmoid's rule",
            "t (1 - t), the rule of sigmoid, where 1 - t^2 belongs",
            lambda f: f.out * (1 - f.out),
        ),
        (0, "one dropped", "t^2 where 1 - t^2 belongs", lambda f: f.out**2),
        (0, "square misplaced", "(1 - t)^2 where 1 - t^2 belongs", lambda f: (1 - f.out) ** 2),
        (
            0,
            "tanh taken twice",
            "1 - tanh(t)^2: tanh applied to the output",
            lambda f: 1 - np.tanh(f.out) ** 2,
        ),
    ),
    "softplus": _rows(
        (
            0,
            "sigmoid's rule",
            "s (1 - s) where sigmoid(x) belongs",
            lambda f: _sigmoid(f.x) * (1 - _sigmoid(f.x)),
        ),
        (0, "sign of the argument", "sigmoid(-x) where sigmoid(x) belongs", lambda f: _sigmoid(-f.x)),
    ),
    "log_sigmoid": _rows(
        (0, "sign of the argument", "sigmoid(x) where sigmoid(-x) belongs", lambda f: _sigmoid(f.x)),
        (
            0,
            "reciprocal",
            "1/sigmoid(x): the chain factor s (1 - s) is left out",
            lambda f: 1 / _sigmoid(f.x),
        ),
    ),
    "silu": _rows(
        (0, "product rule", "sigmoid(x) only: the term x s (1 - s) is missing", lambda f: _sigmoid(f.x)),
        (
            0,
            "product rule",
            "x s (1 - s) only: the term s is missing",
            (lambda f: f.x * _sigmoid(f.x) * (1 - _sigmoid(f.x))),
        ),
    ),
    "gelu": _rows(
        (0, "product rule", "Phi(x) only: the term x phi(x) is missing", lambda f: _normal_cdf(f.x)),
        (0, "product rule", "x phi(x) only: the term Phi(x) is missing", lambda f: f.x * _normal_pdf(f.x)),
    ),
    "erf": _rows((0, DROP, "the factor 2/sqrt(pi) is dropped", lambda f: np.exp(-(f.x**2)))),
    "leaky_relu": _rows(
        (
            0,
            "slope dropped",
            "zero below 0, as relu: the negative slope is dropped",
            lambda f: (f.x > 0) * 1.0,
        ),
        (0, "gate inverted", "the slopes are swapped", lambda f: np.where(f.x > 0, _slope_alone(f), 1.0)),
    ),
    "abs": _rows(
        (0, "value for sign", "|x| where sign(x) belongs", lambda f: f.out),
        (0, "sign dropped", "1 where sign(x) belongs", lambda f: f.x * 0 + 1),
    ),
    "atan": _rows(
        (0, "square dropped", "1/(1 + x) where 1/(1 + x^2) belongs", lambda f: 1 / (1 + f.x)),
        (0, "sign", "1/(1 - x^2) where 1/(1 + x^2) belongs", lambda f: 1 / (1 - f.x**2)),
    ),
    "asin": _rows(
        (0, "root dropped", "1/(1 - x^2) where 1/sqrt(1 - x^2) belongs", lambda f: 1 / (1 - f.x**2))
    ),
    "acos": _rows((0, SIGN, "the minus sign is dropped", lambda f: -f.p)),
    "sinh": _rows((0, SIGN, "-cosh(x) where cosh(x) belongs", lambda f: -f.p)),
    "cosh": _rows((0, SIGN, "-sinh(x) where sinh(x) belongs: the sign of cos", lambda f: -f.p)),
}

__all__ = ["SLIPS", "Facts", "Wrong", "partial"]
