"""Activation functions: the public calls.

Read `_run` first (the call of an entry with parameters), and `activation_entries` for the functions
themselves. `relu` is in `select`, `sigmoid` and `tanh` are in `pointwise`. May import `families`,
`graph`, `errors`, `select`, `activation_entries`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.calls import general
from pullback.families.elementwise import Elementwise
from pullback.families.inplace import in_place
from pullback.families.parallel import BIG, split
from pullback.graph.modes import CAREFUL, LINES, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Node
from pullback.graph.record import lined
from pullback.graph.tensor import Parameter, Tensor
from pullback.ops.activation_entries import (
    SELU_ALPHA,
    SELU_SCALE,
    celu_op,
    elu_op,
    elu_params,
    gelu_op,
    hardshrink_op,
    hardsigmoid_op,
    hardswish_op,
    hardtanh_op,
    leaky_relu_op,
    log_sigmoid_op,
    mish_op,
    prelu_op,
    selu_op,
    silu_op,
    softplus_op,
    softshrink_op,
    threshold_op,
)

F32, F64 = np.dtype("f4"), np.dtype("f8")
_new = object.__new__


# ---------------------------------------------------------------------- public calls


def _run(op: Elementwise, x: Any, params: dict[str, Any]) -> Any:
    """Run an entry with its parameters: plain float tensors at once, others by the general path."""
    if isinstance(x, Tensor) and x.foreign is None:
        v = x.value
        d = v.dtype
        mode = state.mode
        if (d is F32 or d is F64) and mode < CAREFUL:
            token = quiet(QUIET)
            try:
                big = type(v) is np.ndarray and v.size > BIG
                r = split(lambda part: op.eval(part, **params), (v,)) if big else op.eval(v, **params)
            finally:
                loud(token)
            t = _new(Tensor)
            t.value = r
            e = x.node
            if e is not None and mode:
                kept = (x,) if op.keeps_arg(0) else (None,)
                t.node = Node(op, kept, (x if e is LEAF else e,), r if op.keeps_out else None, params, None)
            return t
        if mode == LINES and (type(x) is Tensor or type(x) is Parameter):
            return lined(op, _run, (op, x, params), (x,), params)
    return general(op, (x,), params)


def refuse_dtype(x: Tensor, kernel: str, kinds: str = "f") -> None:
    """PyTorch's NotImplementedError for integer, bool and complex inputs of functions that have none."""
    kind = x.value.dtype.kind
    if kernel and kind not in kinds:
        raise NotImplementedError(
            message(
                f"\"{kernel}\" not implemented for '{x.dtype.word}'",
                f"the input has dtype {x.dtype!r}",
                "convert it first: x.float() or x.double()",
            )
        )


def _maybe_in_place(op: Elementwise, x: Any, params: dict[str, Any], inplace: bool, name: str) -> Any:
    return in_place(lambda t: _run(op, t, params), name)(x) if inplace else _run(op, x, params)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x clipped to [min_val, max_val]; gradient 1 strictly inside, 0 at and beyond the bounds."""
    if min_val > max_val:
        raise ValueError(
            message("min_val cannot be greater than max_val", f"min_val={min_val}, max_val={max_val}")
        )
    params = {"min_val": min_val, "max_val": max_val}
    return _maybe_in_place(hardtanh_op, input, params, inplace, "hardtanh_")


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6); gradient 0 at both bounds."""
    return hardtanh(input, 0.0, 6.0, inplace)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x for x > 0, else negative_slope * x (also the gradient at 0 is negative_slope)."""
    params = {"negative_slope": negative_slope}
    return _maybe_in_place(leaky_relu_op, input, params, inplace, "leaky_relu_")


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else value; no gradient at the threshold."""
    params = {"threshold": threshold, "value": value}
    return _maybe_in_place(threshold_op, input, params, inplace, "threshold_")


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved towards 0 by lambd, 0 within lambd of it. RuntimeError for a negative lambd."""
    if lambd < 0:
        top = float(np.finfo(input.value.dtype).max) if input.value.dtype.kind == "f" else 0.0
        raise RuntimeError(
            message(
                f"lambda must be in range [0, {top:g}] for input dtype {input.dtype.word}, but found "
                f"{lambd:g}"
            )
        )
    return _run(softshrink_op, input, {"lambd": lambd})


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x, but 0 within lambd of 0 (bounds included)."""
    return _run(hardshrink_op, input, {"lambd": lambd})


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """The line x/6 + 1/2 clipped to [0, 1]; gradient 0 at -3 and 3."""
    return _maybe_in_place(hardsigmoid_op, input, {}, inplace, "hardsigmoid_")


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x * hardsigmoid(x); gradient 0 at -3 and 1 at 3."""
    return _maybe_in_place(hardswish_op, input, {}, inplace, "hardswish_")


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x for x > 0, else alpha * (exp(x) - 1)."""
    params = elu_params(alpha, 1.0, 1.0)
    return _maybe_in_place(elu_op, input, params, inplace, "elu_")


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x for x > 0, else alpha * (exp(x / alpha) - 1). RuntimeError for alpha = 0."""
    if alpha == 0:
        raise RuntimeError(message("ZeroDivisionError: alpha cannot be 0 for CELU", "", "pass alpha > 0"))
    params = elu_params(alpha, 1.0, 1.0 / alpha)
    return _maybe_in_place(celu_op, input, params, inplace, "celu_")


def selu(input: Any, inplace: bool = False) -> Any:
    """scale * elu(x, alpha) with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017)."""
    params = elu_params(SELU_ALPHA, SELU_SCALE, 1.0)
    return _maybe_in_place(selu_op, input, params, inplace, "selu_")


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""
    return _run(softplus_op, input, {"beta": beta, "threshold": threshold})


def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), without overflow."""
    return _run(log_sigmoid_op, input, {})


def gelu(input: Any, approximate: str = "none") -> Any:
    """x * P(Z < x) for a standard normal Z; approximate="tanh" for the usual approximation of it.

    RuntimeError for another `approximate`.
    """
    if approximate not in {"none", "tanh"}:
        raise RuntimeError(
            message("approximate argument must be either none or tanh.", f"got {approximate!r}")
        )
    return _run(gelu_op, input, {"approximate": approximate})


def silu(input: Any, inplace: bool = False) -> Any:
    """x * sigmoid(x)."""
    return _maybe_in_place(silu_op, input, {}, inplace, "silu_")


def mish(input: Any, inplace: bool = False) -> Any:
    """x * tanh(softplus(x))."""
    return _maybe_in_place(mish_op, input, {}, inplace, "mish_")


def prelu(input: Any, weight: Any) -> Any:
    """x for x > 0, else weight * x; weight has one entry, or one per channel (dimension 1).

    RuntimeError for a weight of another size.
    """
    w, shape = weight.value, input.value.shape
    if w.size != 1:
        channels = shape[1] if len(shape) > 1 else 1
        if w.size != channels:
            raise RuntimeError(
                message(
                    "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                    f"{w.size} and channel size = {channels}."
                )
            )
    wanted = [1] * len(shape)
    if len(shape) > 1:
        wanted[1] = w.size
    return general(prelu_op, (input, weight.reshape(wanted)), {})


for _op, _call in (
    (hardtanh_op, hardtanh),
    (leaky_relu_op, leaky_relu),
    (threshold_op, threshold),
    (softshrink_op, softshrink),
    (hardshrink_op, hardshrink),
    (hardsigmoid_op, hardsigmoid),
    (hardswish_op, hardswish),
    (elu_op, elu),
    (celu_op, celu),
    (selu_op, selu),
    (softplus_op, softplus),
    (log_sigmoid_op, logsigmoid),
    (gelu_op, gelu),
    (silu_op, silu),
    (mish_op, mish),
):
    _op.call = _call


PUBLIC: dict[str, Any] = {
    "celu": celu,
    "selu": selu,
    "hardshrink": hardshrink,
    "threshold": threshold,
    "prelu": prelu,
}
METHODS: dict[str, Any] = {
    "prelu": prelu,
    "hardshrink": hardshrink,
}
IN_PLACE: dict[str, Any] = {}
