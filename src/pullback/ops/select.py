"""Selections: where, maximum, minimum, clamp, relu, masked_fill, nan_to_num; gradients are routed.

Read `maximum` first. May import `families`.
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
from pullback.families.arguments import refuse_complex_grad
from pullback.families.calls import NUMBER, call_with, general, not_tensor, number_value
from pullback.families.selection import ZERO, gate, selection
from pullback.graph.tensor import Tensor, wrap

PLAIN = frozenset((float, int, type(None)))
NO_COMPLEX = (NotImplementedError, "clamp is not supported for complex types",
"complex numbers have no order")
CLAMPED = "x lies outside the bounds, so the bound was returned: bring x between them"


def no_order(name: str) -> dict[str, Any]:
    """The refusal of complex arguments where entries are compared."""
    return {"c": (RuntimeError, f"{name} not implemented for complex tensors.",
    "complex numbers have no order")}


# ---------------------------------------------------------------------- two arguments

maximum = selection(
    "maximum", np.maximum,
    d=[gate(lambda _out, x, y: x < y, lambda _out, x, y: x == y),
    gate(lambda _out, x, y: y < x, lambda _out, x, y: x == y)],
    scalars=False, kinks=[0.7], refuse=no_order("maximum"), margin=lambda _out, x, y: np.abs(x - y),
    zero="the other argument is larger: this one passes where it is the maximum (ties pass one half each)",
)  # fmt: skip
minimum = selection(
    "minimum", np.minimum,
    d=[gate(lambda _out, x, y: x > y, lambda _out, x, y: x == y),
    gate(lambda _out, x, y: y > x, lambda _out, x, y: x == y)],
    scalars=False, kinks=[0.7], refuse=no_order("minimum"), margin=lambda _out, x, y: np.abs(x - y),
    zero="the other argument is smaller: this one passes where it is the minimum (ties pass one half each)",
)  # fmt: skip
fmax = selection(
    "fmax", np.fmax,
    d=[gate(lambda _out, x, y: ~((x >= y) | (y != y))), gate(lambda _out, x, y: (x >= y) | (y != y))],
    scalars=False, kinks=[0.7], refuse=no_order("fmax"), margin=lambda _out, x, y: np.abs(x - y),
    zero="the other argument is larger or this one is nan; a tie goes to the first argument",
)  # fmt: skip
fmin = selection(
    "fmin", np.fmin,
    d=[gate(lambda _out, x, y: ~((x <= y) | (y != y))), gate(lambda _out, x, y: (x <= y) | (y != y))],
    scalars=False, kinks=[0.7], refuse=no_order("fmin"), margin=lambda _out, x, y: np.abs(x - y),
    zero="the other argument is smaller or this one is nan; a tie goes to the first argument",
)  # fmt: skip


# ---------------------------------------------------------------------- relu and clamp


def _relu(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return np.maximum(ZERO.get(x.dtype, 0), x)  # this order keeps -0.
    return type(x)(0) if x < 0 else x  # nan and -0. pass


def _shut(out: Any, _x: Any) -> Any:
    return out <= ZERO.get(out.dtype, 0)


relu = selection(
    "relu", _relu, d=[gate(_shut)], kinks=[0.0], margin=lambda _out, x: np.abs(x),
    refuse={"b": (RuntimeError, "Boolean inputs not supported for relu", "convert it first: x.float()"),
    "c": NO_COMPLEX},
    zero="the unit is off: its input is not positive; an input above zero brings it to life",
    facets={"lower": lambda x: np.where(x <= 0, x.dtype.type(0), x)},  # nan passes
)  # fmt: skip


def _clip(x: Any, low: Any = None, high: Any = None) -> Any:
    if isinstance(x, np.floating) and not isinstance(low, np.ndarray) and not isinstance(high, np.ndarray):
        bound = x  # comparisons are several times faster than a ufunc on a scalar; nan passes them all
        if low is not None and x < low:
            bound = low
        if high is not None and bound > high:
            bound = high
        return x if bound is x else type(x)(bound)
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _outside(_out: Any, x: Any, *, min: Any = None, max: Any = None) -> Any:
    if max is None:
        return ~(x >= min)
    return ~(x <= max) if min is None else ~((x >= min) & (x <= max))


def _to_bound(_out: Any, x: Any, *, min: Any = None, max: Any = None) -> Any:
    return np.minimum(*(np.abs(x - b) if b is not None else np.full_like(x, np.inf) for b in (min, max)))


def _number_clamp(name: str, backward: str, variants: list[dict[str, Any]]) -> Any:
    return selection(
        name, lambda x, *, min=None, max=None: _clip(x, min, max), d=[gate(_outside)], backward=backward,
        variants=variants,
        kinks=[-0.5, 1.0], margin=_to_bound, refuse={"c": NO_COMPLEX}, zero=CLAMPED,
    )  # fmt: skip


clamp_numbers = _number_clamp("clamp", "ClampBackward1",
[{"min": -0.5, "max": 1.0}, {"min": -0.5}, {"max": 1.0}])
clamp_min_number = _number_clamp("clamp_min", "ClampMinBackward0", [{"min": -0.5}])
clamp_max_number = _number_clamp("clamp_max", "ClampMaxBackward0", [{"max": 1.0}])
clamp_tensors = selection(
    "clamp_tensors", _clip, torch_name="clamp", backward="ClampBackward0", scalars=False,
    kinks=[0.5, (0.5, 0.5, 1.0)],
    kink=lambda _out, x, low, high: np.minimum(np.abs(x - low), np.abs(x - high)),
    refuse={"c": NO_COMPLEX}, zero=CLAMPED,
    d=[
        gate(lambda _out, x, low, high: ~((x >= low) & (x <= high))),
        gate(lambda _out, x, low, high: ~((low < high) & (x < low))),
        gate(lambda _out, x, low, high: ~((x > high) | (high < low))),
    ],
)  # fmt: skip


def _tensor_bound(name: str, function: Any, passes: Any, beyond: Any, backward: str) -> Any:
    return selection(
        name, function, scalars=False, torch_name=name.rsplit("_", 1)[0], backward=backward, kinks=[0.5],
        d=[gate(lambda _out, x, b: ~passes(x, b)), gate(lambda _out, x, b: ~beyond(x, b))],
        refuse={"c": NO_COMPLEX}, margin=lambda _out, x, b: np.abs(x - b), zero=CLAMPED,
    )  # fmt: skip


clamp_min_tensor = _tensor_bound("clamp_min_tensor", np.maximum, operator.ge, operator.lt,
"ClampMinBackward1")
clamp_max_tensor = _tensor_bound("clamp_max_tensor", np.minimum, operator.le, operator.gt,
"ClampMaxBackward1")


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """Limit every entry to [min, max] (numbers, or tensors that broadcast); max wins where min > max.

    RuntimeError if both bounds are None. Gradient 1 at both bounds and 0 outside (PyTorch's convention).

    >>> import pullback as torch
    >>> torch.clamp(torch.tensor([-1.0, 0.5, 2.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise RuntimeError(
            message("torch.clamp: At least one of 'min' or 'max' must not be None", "",
            "give a bound: x.clamp(min=0)")
        )
    return _clamp(input, min, max, out, "clamp", clamp_numbers, (clamp_tensors, "ClampBackward0"))


def clamp_min(input: Tensor, min: Any, *, out: Any = None) -> Tensor:
    """Every entry, but at least `min` (a number or a tensor that broadcasts)."""
    return _clamp(input, min, None, out, "clamp_min", clamp_min_number, (clamp_tensors, None))


def clamp_max(input: Tensor, max: Any, *, out: Any = None) -> Tensor:
    """Every entry, but at most `max` (a number or a tensor that broadcasts)."""
    return _clamp(input, None, max, out, "clamp_max", clamp_max_number, (clamp_tensors, None))


def _clamp(x: Any, low: Any, high: Any, out: Any, name: str, numbers: Any, tensors: Any) -> Any:
    if not isinstance(x, Tensor):
        raise not_tensor(name, "input", 0, x)
    if type(low) in PLAIN and type(high) in PLAIN and x.value.dtype.kind == "f":
        plain = {"min": low} if high is None else {"max": high} if low is None else {"min": low, "max": high}
        return call_with(numbers, x, plain, out)
    bounds = [b for b in (low, high) if b is not None]
    if all(isinstance(b, NUMBER) for b in bounds):
        if x.value.dtype.kind != "f":
            dtype = dtypes.result_dtype([(x.dtype, x.value.ndim)], bounds)
            x = x if x.dtype is dtype else x.to(dtype)
        params: dict[str, Any] = {}
        if low is not None:
            params["min"] = low.item() if isinstance(low, np.generic) else low
        if high is not None:
            params["max"] = high.item() if isinstance(high, np.generic) else high
        return call_with(numbers, x, params, out)
    if not all(isinstance(b, Tensor) for b in bounds):
        kinds = ", ".join(type(b).__name__ for b in bounds)
        raise TypeError(
            message(
                f"{name}() received an invalid combination of arguments - got (Tensor, {kinds})",
                "bounds must be all numbers or all tensors",
                "wrap the number: torch.tensor(bound)",
            )
        )
    if len(bounds) == 2:
        return general(tensors[0], (x, low, high), {}, out)
    t = general(clamp_max_tensor if low is None else clamp_min_tensor, (x, bounds[0]), {}, out)
    if tensors[1] is not None and t.grad_fn is not None:
        t.node.label = tensors[1]
    return t


# ---------------------------------------------------------------------- where, masked_fill, nan_to_num


def _bool_condition(name: str, sentence: str) -> Any:
    def check(_dtype: Any, args: tuple[Any, ...]) -> None:
        d = args[0].dtype
        if d not in (dtypes.bool_, dtypes.uint8):
            raise RuntimeError(
                message(sentence + (d.word if name == "where" else d.word.lower()), "",
                "compare first, for example x > 0")
            )

    return check


def _not(mask: Any) -> Any:
    return ~mask


def _choose(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)[()]


choose = selection(
    "where", _choose, d=[None, gate(lambda _out, c, _x, _y: _not(c)), gate(lambda _out, c, _x, _y: c)],
    skip=1, names=("condition", "input", "other"), domain=["bool", "real", "real"],
    check=_bool_condition("where",
    "where expected condition to be a boolean tensor, but got a tensor with dtype "),
    zero="the condition chose the other branch here",
)  # fmt: skip
fill = selection(
    "masked_fill", lambda mask, x, value: np.where(mask, value, x)[()],
    d=[None, gate(lambda _out, m, _x, _v: m), gate(lambda _out, m, _x, _v: _not(m))],
    skip=1, names=("mask", "input", "value"), domain=["bool", "real", "real"],
    backward={"ttt": "MaskedFillBackward1", "tts": "MaskedFillBackward0"},
    check=_bool_condition("masked_fill",
    "masked_fill_ only supports boolean masks, but got mask with dtype "),
    zero="the mask is set here, so the fill value was returned",
)  # fmt: skip


def ne_zero(condition: Tensor) -> Tensor:
    """A condition of bytes as booleans."""
    return wrap(condition.value != 0)


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where the condition is true, `other` elsewhere, broadcast; the values may be numbers.

    With the condition alone: the indices of its true entries, one tensor per dimension. A branch that was
    not chosen contributes nothing to a gradient, not even nan.

    >>> import pullback as torch
    >>> torch.where(torch.tensor([True, False]), torch.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    if not isinstance(condition, Tensor):
        raise not_tensor("where", "condition", 0, condition)
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    mask: Any = ne_zero(condition) if condition.dtype is dtypes.uint8 else condition
    return general(choose, (mask, input, other), {}, out)


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """`self` where the condition is true, `other` elsewhere."""
    return where(condition, self, other)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A copy with `value` (a number or 0-d tensor) where the boolean mask is true; the dtype stays."""
    if not isinstance(mask, Tensor):
        raise not_tensor("masked_fill", "mask", 1, mask)
    if isinstance(value, Tensor):
        if value.value.ndim:
            n = value.value.ndim
            raise RuntimeError(
                message(
                    f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {n} "
                    "dimension(s).",
                    f"the value's shape is {list(value.value.shape)}",
                    "choose between two tensors with torch.where(mask, value, x)",
                )
            )
        value = value if value.dtype is input.dtype else value.to(input.dtype)
    else:
        value = number_value(value, input.value.dtype)
    return general(fill, (mask, input, value), {})


def _nan_to_num(x: Any, *, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    if x.dtype.kind not in "fc":
        return x.copy()
    return np.nan_to_num(x, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


replace_nonfinite = selection(
    "nan_to_num", _nan_to_num, d=[gate(lambda _out, x, **_params: (x - x) != 0)],
    kinks=[float("nan"), float("inf"), -float("inf")],
    variants=[{"nan": 0.5, "posinf": 2.0, "neginf": None}],
    zero="x is nan or infinite and was replaced by a constant",
)  # fmt: skip


def nan_to_num(input: Tensor, nan: Any = 0.0, posinf: Any = None, neginf: Any = None, *,
out: Any = None) -> Tensor:
    """Replace nan, and the infinities (by default with the dtype's largest and smallest numbers)."""
    refuse_complex_grad("nan_to_num", input)
    return _replaced(input, nan, posinf, neginf, out=out)


def _replaced(input: Tensor, nan: Any = 0.0, posinf: Any = None, neginf: Any = None, *,
out: Any = None) -> Tensor:
    return call_with(replace_nonfinite, input, {"nan": nan, "posinf": posinf, "neginf": neginf}, out)


PUBLIC: dict[str, Any] = {
    **{op.name: op.call for op in (maximum, minimum, fmax, fmin, relu)},
    "clamp": clamp,
    "clip": clamp,
    "clamp_min": clamp_min,
    "clamp_max": clamp_max,
    "where": where,
    "masked_fill": masked_fill,
    "nan_to_num": nan_to_num,
}
METHODS: dict[str, Any] = {**PUBLIC, "where": where_method}
IN_PLACE: dict[str, Any] = {
    "relu_": (relu.call, relu),
    "clamp_": clamp,
    "clip_": clamp,
    "clamp_min_": clamp_min,
    "clamp_max_": clamp_max,
    "masked_fill_": masked_fill,
    "nan_to_num_": _replaced,  # followed for complex numbers, too, as PyTorch's is
}
