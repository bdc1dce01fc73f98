"""Elementwise arithmetic and Python's operators: one entry is one op.

The functions below the entries have PyTorch's wider signatures.

Read `add` first, then `OPERATORS`. May import `families`, and `ops.select`, `ops.special` for its rules.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.calls import NUMBER, general, not_tensor, operator_call
from pullback.families.elementwise import elementwise
from pullback.families.names import named
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.select import choose
from pullback.ops.special import exp, exp2, log

MASK_HINT = "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
ZERO_FACTOR = "the other factor is exactly zero here"
FLAT = "the quotient is rounded to an integer, which does not change for small changes"


def no_bool_minus(_dtype: Any, args: tuple[Any, ...]) -> None:
    """RuntimeError where a bool takes part in a subtraction."""
    bools = [a.dtype is dtypes.bool_ if isinstance(a, Tensor) else isinstance(a, bool) for a in args]
    if all(bools):
        raise RuntimeError(
            message(
                "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                "`logical_xor()` "
                "operator instead."
            )
        )
    if any(bools):
        sentence = f"Subtraction, the `-` operator, with a bool tensor is not supported. {MASK_HINT}"
        raise RuntimeError(message(sentence))


def missing(kernel: str, kinds: str, exception: type[Exception] = NotImplementedError) -> dict[str, Any]:
    """The refusal of dtype kinds that PyTorch has no kernel for."""
    return dict.fromkeys(kinds,
    (exception, f"\"{kernel}\" not implemented for '{{word}}'", "convert it first: x.float()"))


def not_derived(name: str) -> Any:
    """A partial that PyTorch does not have: backward through it raises."""

    def refuse(_out: Any, *_args: Any, **_params: Any) -> Any:
        raise RuntimeError(
            message(
                f"derivative for aten::{name} is not implemented",
                "its derivative is zero almost everywhere, and PyTorch refuses it",
                f"detach() the operands of {name}, or use an op with a derivative (div, floor, where)",
            )
        )

    return refuse


# ---------------------------------------------------------------------- sums and products

add = elementwise("add", operator.add, d=[1, 1], first=True)
sub = elementwise("sub", operator.sub, d=[1, -1], first=True, check=no_bool_minus)
rsub_op = elementwise(
    "rsub", lambda x, y: y - x, d=[-1, 1], check=no_bool_minus,
    backward={"tt": "RsubBackward0", "ts": "RsubBackward1"}
)
mul = elementwise("mul", operator.mul, d=[lambda _out, _x, y: y, lambda _out, x, _y: x], first=True,
zero=ZERO_FACTOR)
div_op = elementwise(
    "div", operator.truediv, d=[lambda _out, _x, y: 1 / y, lambda _out, x, y: -(x / y) / y], first=True,
    result="float",
    pull=[lambda g, _out, _x, y: g / y, lambda g, _out, x, y: -g * ((x / y) / y)],
    domain=["real", "positive"], kinks=[0.0],
    zero="the numerator is zero, or the denominator is infinite", nonfinite="the denominator is zero",
)  # fmt: skip
neg = elementwise(
    "neg", operator.neg, d=[-1],
    refuse={"b": (RuntimeError, f"Negation, the `-` operator, on a bool tensor is not supported. {MASK_HINT}",
    "")},
)  # fmt: skip
reciprocal = elementwise(
    "reciprocal", lambda x: 1 / x, d=[lambda out, _x: -out * out], result="float", domain="positive",
    kinks=[0.0],
    zero="1/x underflows for huge x", nonfinite="x is zero: 1/x has a pole",
)  # fmt: skip


def _times(alpha: Any, y: Any) -> Any:
    return (y.dtype.type(alpha) if hasattr(y, "dtype") else alpha) * y


add_scaled = elementwise(
    "add_scaled", lambda x, y, *, alpha: x + _times(alpha, y),
    d=[1, lambda _out, _x, _y, *, alpha: alpha], torch_name="add",
    first=True, backward="AddBackward0", variants=[{"alpha": 2.5}], zero="alpha is zero",
)  # fmt: skip
sub_scaled = elementwise(
    "sub_scaled", lambda x, y, *, alpha: x - _times(alpha, y),
    d=[1, lambda _out, _x, _y, *, alpha: -alpha], torch_name="sub",
    first=True, backward="SubBackward0", check=no_bool_minus, variants=[{"alpha": 2.5}], zero="alpha is zero",
)  # fmt: skip
addcmul_op = elementwise(
    "addcmul", lambda x, a, b, *, value: x + x.dtype.type(value) * a * b, scalars=False,
    names=("input", "tensor1", "tensor2"),
    d=[1, lambda _out, _x, _a, b, *, value: b * value, lambda _out, _x, a, _b, *, value: a * value],
    variants=[{"value": 1}, {"value": -0.5}], zero=ZERO_FACTOR,
)  # fmt: skip
NO_INTEGER_ADDCDIV = (
    RuntimeError,
    (
        "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform "
        "a true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as "
        "(input + value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as "
        "(input + value * tensor1 / tensor2) for float inputs. The future addcdiv behavior is just the "
        "latter implementation: (input + value * tensor1 / tensor2), for all dtypes."
    ),
    "convert it first: x.float()",
)
addcdiv_op = elementwise(
    "addcdiv", lambda x, a, b, *, value: x + x.dtype.type(value) * (a / b), scalars=False,
    names=("input", "tensor1", "tensor2"),
    d=[1, lambda _out, _x, _a, b, *, value: value / b, lambda _out, _x, a, b, *, value: -value * (a / b) / b],
    domain=["real", "real", "positive"], variants=[{"value": 1}, {"value": -0.5}],
    refuse=dict.fromkeys("biu", NO_INTEGER_ADDCDIV),
    zero="value or the numerator is zero", nonfinite="the denominator is zero",
)  # fmt: skip


def _lerp(x: Any, y: Any, w: Any) -> Any:
    return np.where(np.abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1 - w))[()]


lerp_op = elementwise(
    "lerp", _lerp, d=[lambda _out, _x, _y, w: 1 - w, lambda _out, _x, _y, w: w, lambda _out, x, y, _w: y - x],
    names=("input", "end", "weight"), backward={"ttt": "LerpBackward1", "tts": "LerpBackward0"},
    zero="the weight leaves this end out (0 or 1), or both ends are equal",
)  # fmt: skip


# ---------------------------------------------------------------------- powers


def _pow(x: Any, y: Any) -> Any:
    if type(y) is not np.ndarray:
        if y == 2:
            return x * x
        if y == 0.5 and x.dtype.kind in "fc":
            return np.sqrt(x)
        if y == 3:
            return x * x * x
        if y == -0.5 and x.dtype.kind in "fc":
            return 1 / np.sqrt(x)
    if x.dtype.kind in "iu":
        return _integer_pow(x, y)
    return np.power(x, y)


def _pow_entries(x: Any, y: Any) -> Any:
    """The loop body: known exponents are looked at one by one."""
    return np.power(x, y) if hasattr(y, "entry") else _pow(x, y)


def _integer_pow(x: Any, y: Any) -> Any:
    low = y < 0
    if not np.any(low):
        return np.power(x, y)
    r = np.power(x, np.where(low, -y, y))
    return np.where(low, np.where(np.abs(r) == 1, r, 0),
    r)[()].astype(x.dtype)  # 1 / x**-y, cut to an integer


def _no_negative(dtype: Any, args: tuple[Any, ...]) -> None:
    if dtype.category < 2 and isinstance(args[1], int | float) and args[1] < 0:
        raise RuntimeError(
            message(
                "Integers to negative integer powers are not allowed.", f"the exponent is {args[1]}",
                "use a float: x ** -1.0"
            )
        )


def _base_partial(_out: Any, x: Any, y: Any) -> Any:
    if isinstance(y, (np.generic, float)):  # a union type would be made anew in every call
        y = y.item() if isinstance(y, np.generic) else y
        if y == 2 and not isinstance(x, Tensor):
            return x + x
        return 0.0 if y == 0 else y * power(x, y - 1)  # tensors: x**0 stays connected, as in PyTorch
    return choose(y == 0, 0.0, y * power(x, y - 1))


def _base_pull(g: Any, out: Any, x: Any, y: Any) -> Any:
    if type(y) is not np.ndarray and y == 2:
        return g * (x + x)
    return g * _base_partial(out, x, y)


def _exponent_partial(out: Any, x: Any, y: Any) -> Any:
    # a negative real base has a logarithm where the exponent is complex
    base = x + 0j if (y.value if isinstance(y, Tensor) else y).dtype.kind == "c" else x
    return choose((y.real >= 0) & (x == 0), 0.0, out * log(base))


power = elementwise(
    "pow", _pow, d=[_base_partial, _exponent_partial], pull=[_base_pull, None], first=True,
    names=("input", "exponent"), backward={"tt": "PowBackward1", "ts": "PowBackward0", "st": "PowBackward2"},
    check=_no_negative,
    domain=["positive", "real"], kinks=[0.0, (0.0, 0.5)], kink=lambda _out, x, _y: np.abs(x),
    refuse=missing("pow", "b"),
    zero="the base is zero (exponent above 1) or the exponent is zero",
    nonfinite="the base is zero and the exponent below 1", facets={"lower": _pow_entries},
)  # fmt: skip


def pow(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """input ** exponent; one of them may be a number.

    RuntimeError for integers to a negative integer number. The gradient with exponent 0 is 0, also at base 0.

    >>> import pullback as torch
    >>> torch.pow(torch.tensor([2.0, 3.0]), 2)
    tensor([4., 9.])
    """
    if not isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        raise TypeError(
            message(
                f"pow() received an invalid combination of arguments - got ({type(input).__name__}, "
                f"{type(exponent).__name__})",
                "neither is a tensor",
                "use Python's ** for numbers",
            )
        )
    return power.call(input, exponent, out=out)


def float_power(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """input ** exponent computed in float64 (complex128 for complex arguments)."""
    wide = any(isinstance(a, complex) or (isinstance(a, Tensor) and a.dtype.is_complex) for a in (input,
    exponent))
    dtype = dtypes.complex128 if wide else dtypes.float64
    x, y = (a.to(dtype) if isinstance(a, Tensor) and a.dtype is not dtype else a for a in (input, exponent))
    return pow(x, y, out=out)


def square(input: Tensor, *, out: Any = None) -> Tensor:
    """The square of every entry."""
    if not isinstance(input, Tensor):
        raise not_tensor("square", "input", 0, input)
    return power.call(input, 2, out=out)


# ---------------------------------------------------------------------- division with remainder


def _no_zero(dtype: Any, args: tuple[Any, ...]) -> None:
    y = args[1].value if isinstance(args[1], Tensor) else args[1]
    if dtype.category < 2 and np.any(y == 0):
        raise RuntimeError(
            message(
                "ZeroDivisionError",
                "an integer was divided by zero",
                "use a float dtype (the result is inf or nan), or torch.where to leave zeros out",
            )
        )


def _to_whole_quotient(_out: Any, x: Any, y: Any, **_params: Any) -> Any:
    return np.abs(x - y * np.rint(x / y))


def _round_quotient(x: Any, y: Any, *, rounding_mode: str) -> Any:
    if rounding_mode == "floor":
        return np.floor_divide(x, y)
    if x.dtype.kind == "f":
        return np.trunc(x / y)
    q = np.floor_divide(x, y)
    return q + ((q < 0) & (q * y != x))


REFUSED = {"tt": "NotImplemented", "ts": "NotImplemented", "st": "NotImplemented"}
rounded_div = elementwise(
    "rounded_div", _round_quotient, d=[None, None], torch_name="div", first=True, backward="DivBackward2",
    check=_no_zero, refuse=missing("div_floor_cpu", "bc"),
    domain=["real", "positive"], variants=[{"rounding_mode": "floor"}, {"rounding_mode": "trunc"}], zero=FLAT,
    kink=_to_whole_quotient,
)  # fmt: skip
floor_divide = elementwise(
    "floor_divide", np.floor_divide, d=[not_derived("floor_divide")] * 2, first=True, backward=REFUSED,
    check=_no_zero, refuse=missing("div_floor_cpu", "bc"),
    domain=["real", "positive"], zero=FLAT,
)  # fmt: skip
remainder_op = elementwise(
    "remainder", np.remainder, d=[1, lambda _out, x, y: -rounded_div(x, y, rounding_mode="floor")],
    backward={"tt": "RemainderBackward1", "ts": "RemainderBackward0"}, check=_no_zero,
    refuse=missing("remainder_cpu", "bc"),
    domain=["real", "positive"], kinks=[(1.0, 0.5)], kink=_to_whole_quotient,
    zero="the quotient rounds to zero", second=frozenset(),
)  # fmt: skip
remainder_of_number = elementwise(
    "remainder_of_number", np.remainder, d=[not_derived("remainder")] * 2, torch_name="remainder", first=True,
    backward=REFUSED, refuse=missing("remainder_cpu", "bc"),
    check=_no_zero, domain=["real", "positive"], zero=FLAT,
)  # fmt: skip
fmod = elementwise(
    "fmod", np.fmod, d=[1, lambda _out, x, y: -rounded_div(x, y, rounding_mode="trunc")],
    backward={"tt": "FmodBackward1", "ts": "FmodBackward0"}, overloads=True, check=_no_zero,
    refuse=missing("fmod_cpu", "bc"),
    domain=["real", "positive"], kinks=[(1.0, 0.5)], kink=_to_whole_quotient,
    zero="the quotient is cut to zero", second=frozenset(),
)  # fmt: skip


def remainder(input: Any, other: Any, *, out: Any = None) -> Tensor:
    """Python's modulus, entry by entry: the result has the divisor's sign."""
    op = remainder_op if isinstance(input, Tensor) else remainder_of_number
    return op.call(input, other, out=out)


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """The quotient input / other; rounding_mode "floor" or "trunc" rounds it (the gradient is then zero).

    RuntimeError for other rounding modes and for rounded integer division by zero.

    >>> import pullback as torch
    >>> torch.div(torch.tensor([7, -7]), 2, rounding_mode="trunc")
    tensor([ 3, -3])
    """
    if rounding_mode is None:
        return div_op.call(input, other, out=out)
    if rounding_mode not in ("floor", "trunc"):
        raise RuntimeError(
            message(
                "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                f"'{rounding_mode}'"
            )
        )
    return general(rounded_div, (input, other), {"rounding_mode": rounding_mode}, out)


# ---------------------------------------------------------------------- functions of two arguments


def _over_square(x: Any, y: Any, z: Any) -> Any:
    s = x * x + y * y
    return choose(s == 0, 0.0, z / s)


atan2 = elementwise(
    "atan2", np.arctan2,
    d=[lambda _out, x, y: _over_square(x, y, y), lambda _out, x, y: -_over_square(x, y, x)], result="float",
    refuse=missing("atan2_cpu", "c"),
    kink=lambda _out, y, x: np.where(x < 0, np.abs(y), np.hypot(x, y)),  # the cut, and the origin
    scalars=False, kinks=[0.0], zero="the other coordinate is zero: the angle does not change along the ray",
)  # fmt: skip
hypot = elementwise(
    "hypot", np.hypot, d=[lambda out, x, _y: x / out, lambda out, _x, y: y / out], scalars=False, kinks=[0.0],
    kink=lambda out, _x, _y: out, refuse=missing("hypot_cpu", "biuc"),
    zero="this side is zero: the hypotenuse does not change with it",
    nonfinite="both sides are zero",
)  # fmt: skip
logaddexp = elementwise(
    "logaddexp", np.logaddexp,
    d=[lambda _out, x, y: 1 / (1 + exp(y - x)), lambda _out, x, y: 1 / (1 + exp(x - y))], scalars=False,
    refuse=missing("logaddexp_cpu", "biu"),
    zero="the other term is larger by so much that this one's share underflows",
)  # fmt: skip
logaddexp2 = elementwise(
    "logaddexp2", np.logaddexp2,
    d=[lambda _out, x, y: 1 / (1 + exp2(y - x)), lambda _out, x, y: 1 / (1 + exp2(x - y))], scalars=False,
    refuse=missing("logaddexp2_cpu", "biuc"),
    zero="the other term is larger by so much that this one's share underflows",
)  # fmt: skip


def beside(y: Any, x: Any) -> Any:
    """A number as a tensor where x is one, so that it keeps x's width in promotion."""
    return wrap(x.value.dtype.type(y)) if isinstance(x, Tensor) and not isinstance(y, Tensor) else y


def _xlogy(x: Any, y: Any) -> Any:
    y = y if hasattr(y, "dtype") else x.dtype.type(y)
    return np.where((x == 0) & (y == y), y.dtype.type(0), x * np.log(y))[()]


xlogy = elementwise(
    "xlogy", _xlogy,
    d=[lambda _out, x, y: choose((x == 0) & (y <= 0), 0.0, log(beside(y, x))), lambda _out, x, y: x / y],
    result="float", first=True,
    backward={"tt": "XlogyBackward0", "st": "XlogyBackward1", "ts": "XlogyBackward2"},
    domain=["real", "positive"], kinks=[0.0], refuse=missing("xlogy_cpu", "c"),
    zero="x is zero, or y is one", nonfinite="y is zero",
)  # fmt: skip
copysign = elementwise(
    "copysign", np.copysign, d=[lambda out, x, _y: choose(x == 0, 0.0, out / x), None], result="float",
    backward={"tt": "CopysignBackward0", "ts": "CopysignBackward1"}, overloads=True, kinks=[(0.0, 1.0)],
    kink=lambda _out, x, y: np.minimum(np.abs(x), np.abs(y)), second=frozenset(), zero="x is zero",
    refuse=missing("copysign_cpu", "c"),
)  # fmt: skip


def _one_dtype(_dtype: Any, args: tuple[Any, ...]) -> None:
    if any(a.dtype.is_complex for a in args):
        raise RuntimeError(message("heaviside is not yet implemented for complex tensors."))
    if args[0].dtype is not args[1].dtype:
        raise RuntimeError(
            message(
                "heaviside is not yet implemented for tensors with different dtypes.",
                f"got {args[0].dtype!r} and {args[1].dtype!r}",
                "convert one: values.to(x.dtype)",
            )
        )


heaviside = elementwise(
    "heaviside", lambda x, y: np.heaviside(x, y).astype(x.dtype), d=[not_derived("heaviside")] * 2,
    scalars=False, names=("input", "values"),
    backward=REFUSED,
    check=_one_dtype, zero="a step: constant on both sides",
)  # fmt: skip


# ---------------------------------------------------------------------- wider signatures


def _scaled(op: Any, input: Any, other: Any, alpha: Any, out: Any) -> Tensor:
    if not isinstance(alpha, NUMBER):
        kind = type(alpha).__name__
        raise TypeError(message(f"{op.torch_name}(): argument 'alpha' must be Number, not {kind}"))
    if not isinstance(alpha,
    int) and all(a.dtype.category < 2 for a in (input, other) if isinstance(a, Tensor)):
        raise RuntimeError(
            message(
                "For integral input tensors, argument alpha must not be a floating point number.",
                f"alpha is {alpha}",
            )
        )  # fmt: skip
    return general(op, (input, other), {"alpha": alpha}, out)


def add_function(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input + alpha * other, broadcast and promoted; numbers are allowed.

    >>> import pullback as torch
    >>> torch.add(torch.tensor([1.0, 2.0]), 10, alpha=2)
    tensor([21., 22.])
    """
    return add.call(input, other, out=out) if alpha == 1 else _scaled(add_scaled, input, other, alpha, out)


def sub_function(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input - alpha * other, broadcast and promoted; numbers are allowed. RuntimeError for bool operands."""
    return sub.call(input, other, out=out) if alpha == 1 else _scaled(sub_scaled, input, other, alpha, out)


def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    return rsub_op.call(input if alpha == 1 else input * alpha, other)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Any = None) -> Tensor:
    """input + value * tensor1 * tensor2."""
    return general(addcmul_op, (input, tensor1, tensor2), {"value": value}, out)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Any = None) -> Tensor:
    """input + value * tensor1 / tensor2. RuntimeError for integers."""
    return general(addcdiv_op, (input, tensor1, tensor2), {"value": value}, out)


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Any = None) -> Tensor:
    """input + weight * (end - input). Dtypes must agree; the weight may be a number.

    RuntimeError for different dtypes.
    """
    if not isinstance(end, Tensor):
        raise TypeError(
            message(
                "lerp() received an invalid combination of arguments - got "
                f"(Tensor, {type(end).__name__}, {type(weight).__name__})",
                "",
                "wrap the end: torch.tensor(value)",
            )
        )
    for name, t in (("end", end), ("weight", weight)):
        if isinstance(t,
        Tensor) and t.dtype is not input.dtype and not (name == "weight" and t.value.ndim == 0):
            mine, theirs = input.dtype.word.lower(), t.dtype.word.lower()
            raise RuntimeError(
                message(f"expected dtype {mine} for `{name}` but got dtype {theirs}", "",
                f"convert it: {name}.to({input.dtype!r})")
            )
    if input.dtype.category < 2:
        kernel = "tensor" if isinstance(weight, Tensor) else "scalar"
        raise NotImplementedError(
            message(f"\"lerp_kernel_{kernel}\" not implemented for '{input.dtype.word}'", "",
            "convert it first: x.float()")
        )
    return general(lerp_op, (input, end, weight), {}, out)


def positive(input: Tensor) -> Tensor:
    """The tensor itself. RuntimeError for bool."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def _over(input: Tensor, other: Any) -> Any:
    """other / input, recorded as the reciprocal times the number."""
    if isinstance(other, NUMBER):
        return mul.call(reciprocal.call(input), other)
    return NotImplemented


def _reflected(op: Any) -> Any:
    def call(input: Tensor, other: Any) -> Any:
        return op(other, input) if isinstance(other, NUMBER) else NotImplemented

    return call


OPERATORS: dict[str, Any] = {
    "__add__": operator_call(add, "__add__"),
    "__radd__": operator_call(add, "__radd__"),
    "__sub__": operator_call(sub, "__sub__"),
    "__rsub__": operator_call(rsub_op, "__rsub__"),
    "__mul__": operator_call(mul, "__mul__"),
    "__rmul__": operator_call(mul, "__rmul__"),
    "__truediv__": operator_call(div_op, "__truediv__"),
    "__rtruediv__": _over,
    "__pow__": operator_call(power, "__pow__"),
    "__rpow__": _reflected(pow),
    "__floordiv__": operator_call(floor_divide, "__floordiv__"),
    "__rfloordiv__": _reflected(floor_divide.call),
    "__mod__": operator_call(remainder_op, "__mod__"),
    "__rmod__": _reflected(remainder),
    "__neg__": neg.call,
    "__pos__": positive,
    # ndarray + Tensor: NumPy leaves the operator to the tensor, which refuses
    "__array_priority__": 1000,
}
PUBLIC: dict[str, Any] = {
    **{op.name: op.call for op in (mul, neg, reciprocal, floor_divide, fmod, atan2, hypot, logaddexp,
    logaddexp2, xlogy, copysign, heaviside)},
    "add": add_function,
    "sub": sub_function,
    "subtract": sub_function,
    "rsub": rsub,
    "multiply": mul.call,
    "div": div,
    "divide": div,
    "true_divide": div_op.call,
    "negative": neg.call,
    "pow": pow,
    "float_power": float_power,
    "square": square,
    "remainder": remainder,
    "arctan2": named(atan2.call, "arctan2"),
    "addcmul": addcmul,
    "addcdiv": addcdiv,
    "lerp": lerp,
    "positive": positive,
}
METHODS: dict[str, Any] = {**{k: v for k, v in PUBLIC.items() if k != "rsub"}, **OPERATORS}
IN_PLACE: dict[str, Any] = {
    "add_": (add_function, add),
    "sub_": (sub_function, sub),
    "subtract_": (sub_function, sub),
    "mul_": (mul.call, mul),
    "multiply_": (mul.call, mul),
    "div_": (div, div_op),
    "divide_": (div, div_op),
    "true_divide_": (div_op.call, div_op),
    "__iadd__": (add.call, add),
    "__isub__": (sub.call, sub),
    "__imul__": (mul.call, mul),
    "__itruediv__": (div_op.call, div_op),
    "__ipow__": pow,
    "__ifloordiv__": floor_divide.call,
    "__imod__": remainder,
    **{
        name + "_": named(PUBLIC[name], name + "_", method=True)
        for name in ("neg", "negative", "reciprocal", "floor_divide", "fmod", "remainder", "atan2", "arctan2")
    },
    **{
        name + "_": named(PUBLIC[name], name + "_", method=True)
        for name in ("hypot", "xlogy", "copysign", "heaviside", "pow", "float_power", "square")
    },
    "addcmul_": addcmul,
    "addcdiv_": addcdiv,
    "lerp_": lerp,
}
