"""Elementwise functions of one argument: exponentials, logarithms, trigonometry, rounding, special functions.

Read `exp` first. SciPy supplies the special functions and is imported when the first of them runs. May
import `families`, `ops.select`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.calls import call_with
from pullback.families.elementwise import elementwise, kinks_at
from pullback.graph.tensor import Tensor
from pullback.ops.select import choose

# an array without dimensions is the cheapest constant for a ufunc on a small array of the same dtype
ONE = {np.dtype(d): np.ones((), d) for d in ("f4", "f8")}
LN2, LN10 = math.log(2), math.log(10)
ROOT_PI = math.sqrt(math.pi)
# below this many entries the detour of `_log1p` does not pay
MANY = 1024
UNDERFLOW = "the value underflows to zero: move x up"
OVERFLOW = "the value overflows: move x down"
CREST = "x stands at a crest or trough of the wave: move it along"
SATURATED = "saturated: |x| is so large that the function is flat in floating point; bring x nearer to zero"
EDGE = "x is at the edge of the domain or outside it"
STEP = "a step function: constant between its jumps"


def _kernel(name: str, kinds: str = "b") -> dict[str, Any]:
    return dict.fromkeys(kinds,
    (NotImplementedError, f"\"{name}\" not implemented for '{{word}}'", "convert it first: x.float()"))


def _real(name: str) -> dict[str, Any]:
    """The refusals of a rounding function."""
    complex_too = (NotImplementedError, f"{name} is not supported for complex inputs", "use x.real")
    return {**_kernel(f"{name}_vml_cpu", "bc"), **({} if name == "round" else {"c": complex_too})}


def _no_complex(name: str) -> dict[str, Any]:
    return {"c": (RuntimeError, f"{name} is not supported for complex tensors.", "use x.real")}


def _scipy(name: str) -> Callable[..., Any]:
    """A function of scipy.special, imported on its first call; float16 is computed in float32."""
    found: list[Any] = []

    def function(*values: Any) -> Any:
        if not found:
            found.append(getattr(importlib.import_module("scipy.special"), name))
        d = values[-1].dtype
        if d == np.float16:
            return np.asarray(found[0](*(np.asarray(v).astype(np.float32) for v in values))).astype(d)[()]
        r = found[0](*values)
        return r if r.dtype == d else r.astype(d)

    return function


# ---------------------------------------------------------------------- exponentials and logarithms

exp = elementwise("exp", np.exp, d=[lambda out, _x: out], result="float", zero=UNDERFLOW, nonfinite=OVERFLOW)
exp2 = elementwise("exp2", np.exp2, d=[lambda out, _x: out * LN2], result="float", zero=UNDERFLOW,
nonfinite=OVERFLOW)
expm1 = elementwise("expm1", np.expm1, d=[lambda out, _x: out + 1], result="float", zero=UNDERFLOW,
nonfinite=OVERFLOW)
log = elementwise(
    "log", np.log, d=[lambda _out, x: 1 / x], pull=[lambda g, _out, x: g / x], result="float",
    domain="positive", kinks=[0.0],
    zero="x is infinite", nonfinite=EDGE,
)  # fmt: skip


def _log1p(x: Any) -> Any:
    """log(1 + x); for many float32 entries by way of the logarithm, which NumPy has a vector loop for.

    log(u) x / (u - 1) with u = 1 + x rounded: the factor undoes the rounding (W. Kahan's formula, as in N. J.
    Higham, Accuracy and Stability of Numerical Algorithms, section 1.14.1).
    """
    if x.dtype != np.float32 or x.size < MANY:
        return np.log1p(x)
    u = x + 1
    d = u - 1
    with np.errstate(all="ignore"):
        return np.where((d == 0) | (u == np.inf), x, np.log(u) * (x / d))


log1p = elementwise(
    "log1p", _log1p, d=[lambda _out, x: 1 / (x + 1)], pull=[lambda g, _out, x: g / (x + 1)], result="float",
    backward="Log1PBackward0",
    domain="above minus one", kinks=[-1.0], zero="x is infinite", nonfinite=EDGE,
)  # fmt: skip
log2 = elementwise(
    "log2", np.log2, d=[lambda _out, x: 1 / (x * LN2)], result="float", domain="positive", kinks=[0.0],
    zero="x is infinite", nonfinite=EDGE
)
log10 = elementwise(
    "log10", np.log10, d=[lambda _out, x: 1 / (x * LN10)], result="float", domain="positive", kinks=[0.0],
    zero="x is infinite", nonfinite=EDGE
)
sqrt = elementwise(
    "sqrt", np.sqrt, d=[lambda out, _x: 0.5 / out], pull=[lambda g, out, _x: g / (out + out)], result="float",
    domain="positive",
    kinks=[0.0], kink=kinks_at(0.0), zero="x is infinite",
    nonfinite="x is zero, where the root rises vertically, or negative: keep it away with x + eps",
)  # fmt: skip
rsqrt = elementwise(
    "rsqrt", lambda x: 1 / np.sqrt(x), d=[lambda out, _x: -0.5 * (out * out * out)], result="float",
    domain="positive", kinks=[0.0],
    zero="x is huge", nonfinite="x is zero or negative",
)  # fmt: skip


# ---------------------------------------------------------------------- trigonometry

sin = elementwise(
    "sin", np.sin, d=[lambda _out, x: cos(x)], pull=[lambda g, _out, x: g * np.cos(x)], result="float",
    zero=CREST,
)
cos = elementwise(
    "cos", np.cos, d=[lambda _out, x: -sin(x)], pull=[lambda g, _out, x: -g * np.sin(x)], result="float",
    zero=CREST,
)
tan = elementwise("tan", np.tan, d=[lambda out, _x: 1 + out * out], result="float", domain="quarter turn")
asin = elementwise(
    "asin", np.arcsin, d=[lambda _out, x: rsqrt(1 - x * x)], result="float", domain="unit", kinks=[1.0, -1.0],
    kink=kinks_at(1.0, -1.0), nonfinite=EDGE
)
acos = elementwise(
    "acos", np.arccos, d=[lambda _out, x: -rsqrt(1 - x * x)], result="float", domain="unit",
    kinks=[1.0, -1.0], kink=kinks_at(1.0, -1.0), nonfinite=EDGE
)
atan = elementwise("atan", np.arctan, d=[lambda _out, x: 1 / (x * x + 1)], result="float", zero=SATURATED)
sinh = elementwise("sinh", np.sinh, d=[lambda _out, x: cosh(x)], result="float", nonfinite=OVERFLOW)
cosh = elementwise("cosh", np.cosh, d=[lambda _out, x: sinh(x)], result="float",
zero="x is zero, the minimum", nonfinite=OVERFLOW)
tanh = elementwise("tanh", np.tanh, d=[lambda out, _x: 1 - out * out], result="float", zero=SATURATED)


def _acosh_slope(_out: Any, x: Any) -> Any:
    # two roots: the branch of the complex one is that of the function itself
    complex_ = (x.value if isinstance(x, Tensor) else x).dtype.kind == "c"
    return rsqrt(x - 1) * rsqrt(x + 1) if complex_ else rsqrt(x * x - 1)


asinh = elementwise("asinh", np.arcsinh, d=[lambda _out, x: rsqrt(x * x + 1)], result="float",
zero="x is huge")
acosh = elementwise(
    "acosh", np.arccosh, d=[_acosh_slope], result="float", domain="above one",
    kinks=[1.0], kink=kinks_at(1.0), zero="x is huge", nonfinite=EDGE
)
atanh = elementwise(
    "atanh", np.arctanh, d=[lambda _out, x: 1 / (1 - x * x)], result="float", domain="unit",
    kinks=[1.0, -1.0], nonfinite=EDGE
)


def _underived(op: Any) -> Any:
    """The entry of an in-place form that PyTorch has no derivative of."""

    def refuse(_out: Any, _x: Any) -> Any:
        raise NotImplementedError(
            message(
                f"the derivative for 'inplace version of {op.name}' is not implemented.",
                "",
                f"use the out-of-place form: x = x.{op.name}()",
            )
        )

    return elementwise(f"{op.name}_", op.eval, d=[refuse], torch_name=op.name, result="float",
    backward=f"{op.name.capitalize()}Backward1", domain=op.domain,
    zero="PyTorch has no derivative of the in-place form")


UNDERIVED = {op.name: _underived(op) for op in (asinh, acosh, atanh)}


def _sinc_slope(_out: Any, x: Any) -> Any:
    p = x * math.pi
    p2 = p * p
    near = p2 < 0.01
    # near zero the quotient cancels; its Taylor series is exact to rounding there
    series = -math.pi * p * (1 / 3 - p2 * (1 / 30 - p2 * (1 / 840 - p2 * (1 / 45360 - p2 / 3991680))))
    return choose(near, series, (p * cos(p) - sin(p)) / (p * choose(near, 1.0, x)))


def _sinc(x: Any) -> Any:
    p = x * x.dtype.type(math.pi)
    return np.where(p == 0, x.dtype.type(1), np.sin(p) / np.where(p == 0, x.dtype.type(1), p))[()]


sinc = elementwise("sinc", _sinc, d=[_sinc_slope], result="float",
zero="x stands at a crest or trough: move it along")
deg2rad = elementwise(
    "deg2rad", lambda x: x * (math.pi / 180), d=[lambda _out, _x: math.pi / 180], result="float",
    backward="Deg2RadBackward0", refuse=_no_complex("deg2rad"),
)
rad2deg = elementwise(
    "rad2deg", lambda x: x * (180 / math.pi), d=[lambda _out, _x: 180 / math.pi], result="float",
    backward="Rad2DegBackward0", refuse=_no_complex("rad2deg"),
)


# ---------------------------------------------------------------------- logistic


def _sigmoid(x: Any) -> Any:
    if not x.ndim:
        return 1 / (1 + np.exp(-x))
    r = np.negative(x)
    np.exp(r, r)
    np.add(r, ONE.get(r.dtype, 1), r)
    return np.reciprocal(r, r)


sigmoid = elementwise("sigmoid", _sigmoid, d=[lambda out, _x: (1 - out) * out], result="float",
zero=SATURATED)


def _logit(x: Any, *, eps: float | None = None) -> Any:
    if eps is not None:
        x = np.clip(x, x.dtype.type(eps), x.dtype.type(1 - eps))
    return np.log(x / (1 - x))


def _logit_slope(_out: Any, x: Any, *, eps: float | None = None) -> Any:
    inner = 1 / (x * (1 - x))
    if eps is None:
        return choose((x < 0) | (x > 1), math.nan, inner)
    return choose((x >= eps) & (x <= 1 - eps), inner, 0.0)


logit_op = elementwise(
    "logit", _logit, d=[_logit_slope], result="float", domain="probability",
    variants=[{"eps": None}, {"eps": 0.2}], refuse=_kernel("logit_cpu", "c"),
    zero="x lies outside [eps, 1 - eps] and was clamped", nonfinite=EDGE,
)  # fmt: skip


def logit(input: Tensor, eps: float | None = None, *, out: Any = None) -> Tensor:
    """log(x / (1 - x)); with eps, x is clamped to [eps, 1 - eps] first (gradient 0 outside)."""
    return call_with(logit_op, input, {"eps": eps}, out)


# ---------------------------------------------------------------------- special functions

_polygamma = _scipy("polygamma")
_gammaln = _scipy("gammaln")


_zetac = _scipy("zetac")


def _lgamma(x: Any) -> Any:
    r = np.asarray(_gammaln(x))
    # SciPy loses digits next to the zeros at 1 and 2, and the sign at -inf
    for zero in (1, 2):
        near = np.abs(x - zero) < 0.25
        if np.any(near):
            e = np.asarray(x)[near] - zero
            r = np.array(r)
            r[near] = _lgamma_near_two(e) - (np.log1p(e) if zero == 1 else 0)
    return np.where(x == -np.inf, np.inf, r).astype(r.dtype)[()]


def _lgamma_near_two(e: Any) -> Any:
    """The series (1 - gamma) e + sum over k of (-1)^k (zeta(k) - 1) e^k / k of lgamma(2 + e) (DLMF 5.7.3)."""
    total = np.zeros_like(e)
    for k in range(22, 1, -1):
        total = total * e + (-1) ** k * float(_zetac(np.float64(k))) / k
    return (total * e + (1 - np.euler_gamma)) * e


# B_2k / (2k)! of the Bernoulli numbers B_2 .. B_18
_BERNOULLI = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
              1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000)  # fmt: skip


def _polygamma_entries(x: Any, n: int) -> Any:
    """The loop body: n! (-1)^(n + 1) zeta(n + 1, x), reflected for x <= 0.

    The Hurwitz zeta function by ten terms and Euler-Maclaurin's formula for the rest (DLMF 25.11.5); the
    reflections are the derivatives of digamma(1 - x) - digamma(x) = pi cot(pi x) (DLMF 5.5.4).
    """
    if n > 2:
        raise NotImplementedError(f"polygamma of order {n}: its reflection is written for orders 1 and 2")
    s = n + 1
    q = np.where(x > 0, x, 1 - x)
    total = sum((1 / (q + i)) ** s for i in range(10))
    w = 1 / (q + 10)
    rest, power, rising = w / 2 + 1 / n, w * w, s
    for j, c in enumerate(_BERNOULLI):
        rest = rest + power * (c * rising)
        power, rising = power * w * w, rising * (s + 2 * j + 1) * (s + 2 * j + 2)
    positive = (total + rest * w**n) * (math.factorial(n) * (-1) ** (n + 1))
    part = np.where(x == -np.inf, 0.0, x - np.rint(x))  # -inf counts as a pole
    sine, cosine = np.sin(part * math.pi), np.sin((0.5 - np.abs(part)) * math.pi)
    other = math.pi**2 / (sine * sine) if n == 1 else -2 * math.pi**3 * cosine / (sine * sine * sine)
    return np.where(x > 0, positive, other + positive * (-1) ** n)


erf = elementwise("erf", _scipy("erf"), d=[lambda _out, x: exp(-(x * x)) * (2 / ROOT_PI)], result="float",
zero=SATURATED, refuse=_kernel("erf_vml_cpu", "c"))
erfc = elementwise("erfc", _scipy("erfc"), d=[lambda _out, x: exp(-(x * x)) * (-2 / ROOT_PI)], result="float",
zero=SATURATED, refuse=_kernel("erfc_vml_cpu", "c"))
erfinv = elementwise(
    "erfinv", _scipy("erfinv"), d=[lambda out, _x: exp(out * out) * (ROOT_PI / 2)], result="float",
    domain="unit", nonfinite=EDGE, refuse=_kernel("erfinv_vml_cpu", "c"),
)
polygamma_op = elementwise(
    "polygamma", lambda x, *, n: _polygamma(np.asarray(float(n), x.dtype), x),
    d=[lambda _out, x, *, n: polygamma_op(x, n=n + 1)],
    result="float", domain="positive", variants=[{"n": 1}, {"n": 2}], zero="x is huge",
    nonfinite="x is a pole (0, -1, -2, ...)", refuse=_kernel("polygamma", "c"),
    facets={"lower": lambda x, *, n: _polygamma_entries(x.astype(np.float64), n).astype(x.dtype)},
)  # fmt: skip
digamma = elementwise(
    "digamma", _scipy("digamma"), d=[lambda _out, x: polygamma_op(x, n=1)], result="float", domain="positive",
    zero="x is huge", refuse=_kernel("digamma", "c"),
    nonfinite="x is a pole (0, -1, -2, ...)",
)  # fmt: skip
lgamma = elementwise(
    "lgamma", _lgamma, d=[lambda _out, x: digamma(x)], result="float", domain="positive",
    zero="x is the minimum, near 1.4616", refuse=_kernel("lgamma_vml_cpu", "c"),
    nonfinite="x is a pole (0, -1, -2, ...)",
    facets={"lower": lambda x: np.where(x == -np.inf, x.dtype.type(np.inf), x.entry("lgamma"))},
)  # fmt: skip


def polygamma(n: int, input: Tensor, *, out: Any = None) -> Tensor:
    """The n-th derivative of digamma (n = 0: digamma itself).

    RuntimeError for negative n.
    """
    if n < 0:
        raise RuntimeError(message("polygamma(n, x) does not support negative n."))
    return digamma.call(input, out=out) if n == 0 else call_with(polygamma_op, input, {"n": n}, out)


# ---------------------------------------------------------------------- rounding and signs


def _whole(function: Any) -> Any:
    """Integers are whole already (NumPy agrees only for some functions)."""
    return lambda x: function(x) if x.dtype.kind == "f" else x.copy()


def _to_integer(_out: Any, x: Any) -> Any:
    return np.abs(x - np.rint(x))


def _to_half(_out: Any, x: Any, *, decimals: int = 0) -> Any:
    y = x * 10.0**decimals
    return np.abs(y - np.floor(y) - 0.5) / 10.0**decimals


floor = elementwise("floor", _whole(np.floor), d=[None], refuse=_real("floor"), kinks=[1.0], zero=STEP,
kink=_to_integer)
ceil = elementwise("ceil", _whole(np.ceil), d=[None], refuse=_real("ceil"), kinks=[1.0], zero=STEP,
kink=_to_integer)
trunc = elementwise("trunc", _whole(np.trunc), d=[None], refuse=_real("trunc"), kinks=[1.0], zero=STEP,
kink=_to_integer)
frac = elementwise("frac", lambda x: x - np.trunc(x), d=[1], refuse=_kernel("frac_cpu", "biuc"), kinks=[1.0],
kink=_to_integer)
round_op = elementwise("round", _whole(np.rint), d=[None], refuse=_real("round"), kinks=[0.5], zero=STEP,
kink=_to_half)
round_decimals = elementwise(
    "round_decimals", lambda x, *, decimals: _scaled_round(x, decimals), d=[None], torch_name="round",
    backward="RoundBackward1",
    refuse=_kernel("round_cpu", "biuc"), variants=[{"decimals": 1}, {"decimals": -1}], zero=STEP,
    kink=_to_half,
)  # fmt: skip


def _scaled_round(x: Any, decimals: int) -> Any:
    scale = x.dtype.type(10 ** abs(decimals))
    return np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale


def round(input: Tensor, *, decimals: int = 0, out: Any = None) -> Tensor:
    """Round to `decimals` places, halves to even. The gradient is zero.

    >>> import pullback as torch
    >>> torch.round(torch.tensor([0.5, 1.5, 2.345])), torch.round(torch.tensor([2.345]), decimals=1)
    (tensor([0., 2., 2.]), tensor([2.3000]))
    """
    if decimals == 0:
        return round_op.call(input, out=out)
    return call_with(round_decimals, input, {"decimals": decimals}, out)


def _sign(x: Any) -> Any:
    if x.dtype.kind == "b":
        return x.copy()
    r = np.sign(x)
    if x.dtype.kind != "f":
        return r
    return np.where(r == r, r, x.dtype.type(0))[()]  # PyTorch: sign(nan) is 0


sign = elementwise(
    "sign", _sign, d=[None], kinks=[0.0], kink=kinks_at(0.0), zero=STEP,
    refuse={"c": (NotImplementedError,
    "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.",
    "")},
)  # fmt: skip

UNARY = (
    exp, exp2, expm1, log, log1p, log2, log10, sqrt, rsqrt, sin, cos, tan, asin, acos, atan, sinh, cosh, tanh,
    asinh, acosh, atanh, sinc,
    deg2rad, rad2deg, sigmoid, erf, erfc, erfinv, digamma, lgamma, floor, ceil, trunc, frac, sign,
)  # fmt: skip
PUBLIC: dict[str, Any] = {
    **{op.name: op.call for op in UNARY},
    **{f"arc{op.name[1:]}": op.call for op in (asin, acos, atan, asinh, acosh, atanh)},
    "fix": trunc.call,
    "logit": logit,
    "round": round,
    "polygamma": polygamma,
}
METHODS: dict[str, Any] = {
    **PUBLIC,
    "polygamma": lambda self, n: polygamma(n, self),
}
IN_PLACE: dict[str, Any] = {
    **{name + "_": function for name,
    function in PUBLIC.items() if name not in {"polygamma", *(op.name for op in UNARY)}},
    **{op.name + "_": (op.call, op) for op in UNARY},
    "polygamma_": METHODS["polygamma"],
    **{form + "_": (op.call, op) for name, op in UNDERIVED.items() for form in (name, f"arc{name[1:]}")},
}
