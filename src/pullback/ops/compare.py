"""Comparisons, logic and bits, whose outputs autograd never follows; allclose and equal.

Read `eq` first. May import `families`.
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
from pullback.families.calls import not_tensor, operator_call, run_plain
from pullback.families.elementwise import elementwise
from pullback.families.names import named
from pullback.graph.modes import state
from pullback.graph.shadows import unlisted
from pullback.graph.tensor import Tensor, wrap


def _without(kernel: str, kinds: str) -> dict[str, Any]:
    return dict.fromkeys(kinds, (NotImplementedError, f"\"{kernel}\" not implemented for '{{word}}'", ""))


def _comparison(name: str, function: Any, *, ordered: bool) -> Any:
    refuse = _without(f"{name}_cpu", "c") if ordered else None
    return elementwise(name, function, d=[None, None], result="bool", discrete=True, overloads=True,
    refuse=refuse, zero="a comparison")


def _logical(name: str, function: Any, arity: int = 2) -> Any:
    return elementwise(name, function, d=[None] * arity, result="bool", discrete=True, scalars=False,
    zero="a boolean result")


def _ordered(name: str, function: Any, error: type[Exception], sentence: str) -> Any:
    return elementwise(name, function, d=[None], result="bool", discrete=True, scalars=False,
    zero="a boolean result", refuse={"c": (error, sentence, "ask x.real and x.imag")})


def _bits(name: str, function: Any, kernel: str = "", kinds: str = "fc") -> Any:
    return elementwise(
        name, function, d=[None, None], discrete=True, first=True,
        refuse=_without(kernel or f"{name}_cpu", kinds), domain="integer",
        zero="an integer result",
    )  # fmt: skip


eq = _comparison("eq", operator.eq, ordered=False)
ne = _comparison("ne", operator.ne, ordered=False)
lt = _comparison("lt", operator.lt, ordered=True)
le = _comparison("le", operator.le, ordered=True)
gt = _comparison("gt", operator.gt, ordered=True)
ge = _comparison("ge", operator.ge, ordered=True)
logical_and = _logical("logical_and", np.logical_and)
logical_or = _logical("logical_or", np.logical_or)
logical_xor = _logical("logical_xor", np.logical_xor)
logical_not = _logical("logical_not", np.logical_not, 1)
isnan = _logical("isnan", np.isnan, 1)
isinf = _logical("isinf", np.isinf, 1)
isfinite = _logical("isfinite", np.isfinite, 1)
NO_COMPLEX = "{} does not support complex inputs."
isposinf = _ordered("isposinf", lambda x: x == np.inf, RuntimeError, NO_COMPLEX.format("isposinf"))
isneginf = _ordered("isneginf", lambda x: x == -np.inf, RuntimeError, NO_COMPLEX.format("isneginf"))
signbit = _ordered(
    "signbit", lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0, NotImplementedError,
    "signbit is not implemented for complex tensors.",
)  # fmt: skip
bitwise_and = _bits("bitwise_and", np.bitwise_and)
bitwise_or = _bits("bitwise_or", np.bitwise_or)
bitwise_xor = _bits("bitwise_xor", np.bitwise_xor)
left_shift = _bits("bitwise_left_shift", np.left_shift, "lshift_cpu", "fcb")
right_shift = _bits("bitwise_right_shift", np.right_shift, "rshift_cpu", "fcb")
bitwise_not = elementwise(
    "bitwise_not", np.invert, d=[None], discrete=True, refuse=_without("bitwise_not_cpu", "fc"),
    domain="integer", zero="an integer result"
)


def invert(input: Tensor) -> Tensor:
    """The operator ~: logical not of booleans, bitwise not of integers; TypeError for other dtypes."""
    if input.dtype.category > 1:
        raise TypeError(
            message(
                "~ (operator.invert) is only implemented on integer and Boolean-type tensors",
                f"the tensor's dtype is {input.dtype!r}",
                "compare first, for example ~(x > 0)",
            )
        )
    return bitwise_not.call(input)


# ---------------------------------------------------------------------- closeness


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08,
equal_nan: bool = False) -> Tensor:
    """|input - other| <= atol + rtol * |other|, entry by entry.

    RuntimeError for different dtypes and negative tolerances.
    """
    if not isinstance(other, Tensor):
        raise not_tensor("isclose", "other", 1, other)
    if input.dtype is not other.dtype:
        raise RuntimeError(
            message(f"{input.dtype.word} did not match {other.dtype.word}", "",
            "convert one of them: y.to(x.dtype)")
        )
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    t = wrap(run_plain(_close, input.value, other.value, rtol, atol, equal_nan))
    return unlisted("isclose", t, input, other)


def _close(x: Any, y: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    same = np.equal(x, y)
    if equal_nan:
        same = same | (np.isnan(x) & np.isnan(y))
    if x.dtype.kind not in "fc":
        x, y = np.asarray(x).astype(np.float64), np.asarray(y).astype(np.float64)
    gap = np.abs(x - y)
    return same | (np.isfinite(gap) & (gap <= atol + np.abs(rtol * y)))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08,
equal_nan: bool = False) -> bool:
    """True if all entries are close (see `isclose`).

    >>> import pullback as torch
    >>> torch.allclose(torch.tensor([1.0]), torch.tensor([1.0 + 1e-7]))
    True
    """
    return bool(np.all(isclose(input, other, rtol, atol, equal_nan).value))


def equal(input: Tensor, other: Tensor) -> bool:
    """True if both have the same shape and the same entries."""
    if not isinstance(other, Tensor):
        raise not_tensor("equal", "other", 1, other)
    return input.value.shape == other.value.shape and bool(np.all(input.value == other.value))


def is_complex(input: Tensor) -> bool:
    """True for complex dtypes."""
    return input.dtype.is_complex


def is_floating_point(input: Tensor) -> bool:
    """True for floating dtypes."""
    return input.dtype is not dtypes.bool_ and input.dtype.is_floating_point


# ---------------------------------------------------------------------- written in place


def _truth(name: str, function: Any, arity: int, backward: Any) -> Any:
    """The entry of an in-place form: zeros and ones in the tensor's own dtype, so autograd follows it.

    Its derivative is zero.
    """

    def numbers(*values: Any) -> Any:
        return function(*values).astype(values[0].dtype)

    return elementwise(f"{name}_", numbers, d=[None] * arity, torch_name=name, backward=backward,
    kinks=[(0.5, 0.5)] if arity == 2 else [0.0], zero="zeros and ones: constant on both sides of a step")


def _written(op: Any, entry: Any) -> Any:
    """The function behind an in-place form: followed by autograd where the tensor or an operand is."""
    arguments = entry.arity if entry.labels else 1  # PyTorch's logical_and_ does not follow its operand

    def call(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        result = op.call(input, *args, **kwargs)  # checks the operands
        operands = (input, *args, *kwargs.values())
        if not state.grad or input.dtype.category < 2 or input.foreign is not None:
            return result
        if any(isinstance(a, Tensor) and a.node is not None for a in operands[:arguments]):
            followed, rest = operands[:arguments], operands[arguments:]
            return entry.call(*followed, *(a.detach() for a in rest))
        return result

    return call


def _written_forms() -> dict[str, Any]:
    forms: dict[str, Any] = {}
    for op in (eq, ne, lt, le, gt, ge):
        word = op.name.capitalize()
        labels = {"tt": f"{word}Backward1", "ts": f"{word}Backward0"}
        forms[op.name] = _written(op, _truth(op.name, op.eval, 2, labels))
    for op in (logical_and, logical_or, logical_xor, logical_not):
        forms[op.name] = _written(op, _truth(op.name, op.eval, op.arity, None))
    return forms


WRITTEN = _written_forms()
ALIASES = {"greater": gt, "greater_equal": ge, "less": lt, "less_equal": le, "not_equal": ne}
PUBLIC: dict[str, Any] = {
    **{
        op.name: op.call
        for op in (
            eq, ne, lt, le, gt, ge, logical_and, logical_or, logical_xor, logical_not, isnan, isinf, isfinite,
            isposinf, isneginf, signbit,
            bitwise_and, bitwise_or, bitwise_xor, bitwise_not, left_shift, right_shift,
        )
    },
    **{name: named(op.call, name) for name, op in ALIASES.items()},
    "isclose": isclose,
    "allclose": allclose,
    "equal": equal,
    "is_complex": is_complex,
    "is_floating_point": is_floating_point,
}  # fmt: skip
METHODS: dict[str, Any] = {
    **PUBLIC,
    **{f"__{op.name}__": operator_call(op, f"__{op.name}__") for op in (eq, ne, lt, le, gt, ge)},
    **{
        f"__{r}{word}__": operator_call(op, f"__{r}{word}__")
        for word, op in (("and", bitwise_and), ("or", bitwise_or), ("xor", bitwise_xor))
        for r in ("", "r")
    },
    "__lshift__": operator_call(left_shift, "__lshift__"),
    "__rshift__": operator_call(right_shift, "__rshift__"),
    "__rlshift__": lambda self, other: left_shift.call(other, self),
    "__rrshift__": lambda self, other: right_shift.call(other, self),
    "__invert__": invert,
}
IN_PLACE: dict[str, Any] = {
    **{f"{name}_": METHODS[name] for name in PUBLIC if name.startswith("bitwise")},
    **{f"{name}_": named(call, f"{name}_", method=True) for name, call in WRITTEN.items()},
    **{f"{name}_": named(WRITTEN[op.name], f"{name}_", method=True) for name, op in ALIASES.items()},
    "__iand__": bitwise_and.call,
    "__ior__": bitwise_or.call,
    "__ixor__": bitwise_xor.call,
    "__ilshift__": left_shift.call,
    "__irshift__": right_shift.call,
}
