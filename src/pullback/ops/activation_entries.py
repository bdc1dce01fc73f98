"""Activation functions: one entry each, elementwise, with PyTorch's values at the kinks.

Read `hardtanh_op` first. Entries whose slope is 0 or 1 are selections: a closed gate stops the cotangent.
`activations` holds their public calls. May import `families`, `graph`, `select`, `special`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.families.elementwise import Elementwise, elementwise, kinks_at
from pullback.families.selection import gate, selection
from pullback.graph.tensor import Tensor, wrap
from pullback.ops import select as sel
from pullback.ops import special

SQRT_HALF = math.sqrt(0.5)
SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)
INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
GELU_CUBIC = 0.044715  # Hendrycks and Gimpel 2016, "Gaussian error linear units"
# Klambauer et al. 2017, "Self-normalizing neural networks"
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
NO_COMPLEX_CLAMP = (
    NotImplementedError,
    "clamp is not supported for complex types",
    "complex numbers have no order",
)
CLOSED = (
    "the unit is off: its slope is zero on this side of the kink; an input on the other side switches it on"
)


def only_floats(kernel: str, kinds: str = "biuc") -> dict[str, Any]:
    """The refusal of dtypes that PyTorch's kernel does not have."""
    refusal = (
        NotImplementedError,
        f"\"{kernel}\" not implemented for '{{word}}'",
        "convert it first: x.float() or x.double()",
    )
    return dict.fromkeys(kinds, refusal)


# ---------------------------------------------------------------------- slope 0 or 1

hardtanh_op = selection(
    "hardtanh",
    lambda x, *, min_val, max_val: np.minimum(np.maximum(x, x.dtype.type(min_val)), x.dtype.type(max_val)),
    d=[gate(lambda _out, x, *, min_val, max_val: (x <= min_val) | (x >= max_val))],
    kinks=[-1.0, 1.0],
    variants=[{"min_val": -1.0, "max_val": 1.0}],
    margin=lambda _out, x, *, min_val, max_val: np.minimum(np.abs(x - min_val), np.abs(x - max_val)),
    refuse={
        "b": (RuntimeError, "Bool inputs not supported for hardtanh", "convert it first: x.float()"),
        "c": NO_COMPLEX_CLAMP,
    },
    zero="the value is clipped to the range; an input strictly inside it has slope 1",
)
threshold_op = selection(
    "threshold",
    lambda x, *, threshold, value: np.where(x <= threshold, x.dtype.type(value), x)[()],
    d=[gate(lambda _out, x, *, threshold, value: x <= threshold)],  # noqa: ARG005 - the rule's parameters
    kinks=[0.1],
    variants=[{"threshold": 0.1, "value": 20.0}],
    margin=lambda _out, x, *, threshold, value: np.abs(x - threshold),  # noqa: ARG005
    refuse=only_floats("threshold_cpu", "bc"),
    zero=CLOSED,
)


def _small(_out: Any, x: Any, *, lambd: float) -> Any:
    return (x >= -lambd) & (x <= lambd)


def _shrink(name: str, function: Callable[..., Any], kernel: str) -> Any:
    return selection(
        name,
        function,
        d=[gate(_small)],
        kinks=[-0.5, 0.5],
        variants=[{"lambd": 0.5}],
        margin=lambda _out, x, *, lambd: np.abs(np.abs(x) - lambd),
        refuse=only_floats(kernel),
        zero="values within lambd of 0 are set to 0; a larger one passes",
    )


def _soft(x: Any, *, lambd: float) -> Any:
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, x * 0))[()]


softshrink_op = _shrink("softshrink", _soft, "softshrink_check")
hardshrink_op = _shrink(
    "hardshrink",
    lambda x, *, lambd: np.where(_small(None, x, lambd=lambd), x.dtype.type(0), x)[()],
    "hardshrink_cpu",
)

# ---------------------------------------------------------------------- piecewise linear


def _leaky(x: Any, *, negative_slope: float) -> Any:
    if 0 < negative_slope <= 1:
        return np.maximum(x, x * x.dtype.type(negative_slope))
    return np.where(x > 0, x, x * negative_slope)[()]


leaky_relu_op = elementwise(
    "leaky_relu",
    _leaky,
    d=[lambda _out, x, *, negative_slope: sel.choose(x > 0, one(x), one(x) * negative_slope)],
    kinks=[0.0],
    kink=kinks_at(0.0),
    variants=[{"negative_slope": 0.01}, {"negative_slope": -0.3}],
    refuse=only_floats("leaky_relu_cpu"),
    zero="negative_slope is zero",
    second=frozenset(),
)
hardsigmoid_op = elementwise(
    "hardsigmoid",
    lambda x: np.minimum(np.maximum(x + 3, x.dtype.type(0)), x.dtype.type(6)) / 6,
    d=[lambda _out, x: sel.choose((x > -3) & (x < 3), one(x) / 6, one(x) * 0)],
    kinks=[-3.0, 3.0],
    kink=kinks_at(-3.0, 3.0),
    refuse=only_floats("hardsigmoid_cpu"),
    zero="saturated: the value is clipped to [0, 1] outside (-3, 3)",
    second=frozenset(),
)
hardswish_op = elementwise(
    "hardswish",
    lambda x: x * np.minimum(np.maximum(x + 3, x.dtype.type(0)), x.dtype.type(6)) / 6,
    d=[lambda _out, x: sel.choose(x <= -3, one(x) * 0, sel.choose(x < 3, x / 3 + 0.5, one(x)))],
    kinks=[-3.0, 3.0],
    kink=kinks_at(-3.0, 3.0),
    refuse=only_floats("hardswish_cpu"),
    zero="the value is 0 below -3; the slope also crosses 0 at -1.5",
)
prelu_op = elementwise(
    "prelu",
    lambda x, w: np.where(x > 0, x, w * x)[()],
    d=[
        lambda _out, x, w: sel.choose(x > 0, one(x), w + x * 0),
        lambda _out, x, _w: sel.choose(x < 0, x, x * 0),
    ],
    kinks=[(0.0, 0.25)],
    kink=lambda _out, x, _w: np.abs(x),
    scalars=False,
    backward="PreluKernelBackward0",
    zero="the weight is zero on the negative side; the weight only acts where x <= 0",
)


def one(x: Any) -> Any:
    """Ones like x, as a constant."""
    return wrap(np.ones(x.value.shape, x.value.dtype)) if isinstance(x, Tensor) else np.ones(x.shape, x.dtype)


# ---------------------------------------------------------------------- exponential


def _elu(x: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    below = np.expm1(np.minimum(x, x.dtype.type(0)) * input_scale) * (alpha * scale)
    return np.where(x < 0, below, x * scale)[()]


def _elu_slope(_out: Any, x: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    below = special.exp(x * input_scale) * (alpha * scale * input_scale)
    # at 0 itself the slope is the exponential's, and a constant: its own derivative there is 0 in PyTorch
    return sel.choose(
        x < 0, below, sel.choose(x == 0, one(x) * (alpha * scale * input_scale), one(x) * scale)
    )


def _elu_entry(name: str, backward: str, *params: dict[str, Any]) -> Elementwise:
    return elementwise(
        name,
        _elu,
        d=[_elu_slope],
        kinks=[0.0],
        kink=kinks_at(0.0),
        variants=params,
        backward=backward,
        refuse=only_floats("elu_cpu"),
        zero="far below 0 the exponential underflows: the value no longer depends on the input",
    )


def elu_params(alpha: float, scale: float, input_scale: float) -> dict[str, Any]:
    """The parameters of the three entries of the ELU family, by name."""
    return {"alpha": alpha, "scale": scale, "input_scale": input_scale}


elu_op = _elu_entry("elu", "EluBackward0", elu_params(1.0, 1.0, 1.0), elu_params(1.7, 1.0, 1.0))
celu_op = _elu_entry("celu", "CeluBackward0", elu_params(1.7, 1.0, 1 / 1.7))
selu_op = _elu_entry("selu", "EluBackward0", elu_params(SELU_ALPHA, SELU_SCALE, 1.0))


def _softplus(x: Any, *, beta: float, threshold: float) -> Any:
    z = x * beta
    return np.where(z > threshold, x, np.log1p(np.exp(np.minimum(z, z.dtype.type(threshold)))) / beta)[()]


def _softplus_slope(_out: Any, x: Any, *, beta: float, threshold: float) -> Any:
    z = x * beta
    return sel.choose(z > threshold, one(x), special.sigmoid(z))


softplus_op = elementwise(
    "softplus",
    _softplus,
    d=[_softplus_slope],
    variants=[{"beta": 1.0, "threshold": 20.0}, {"beta": 3.0, "threshold": 20.0}],
    refuse=only_floats("softplus_cpu"),
    zero="far below 0 the slope exp(beta x) underflows",
)
log_sigmoid_op = elementwise(
    "log_sigmoid",
    lambda x: np.minimum(x, x.dtype.type(0)) - np.log1p(np.exp(-np.abs(x))),
    d=[lambda _out, x: special.sigmoid(-x)],
    refuse=only_floats("log_sigmoid_cpu"),
    zero="far above 0 the slope exp(-x) underflows",
)

# ---------------------------------------------------------------------- smooth gates x * s(x)


def _gelu(x: Any, *, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x)))
    return 0.5 * x * (1 + special.erf.eval(x * SQRT_HALF))


def _gelu_slope(_out: Any, x: Any, *, approximate: str) -> Any:
    if approximate == "tanh":
        t = special.tanh((x + x * x * x * GELU_CUBIC) * SQRT_2_OVER_PI)
        return (t + 1) * 0.5 + x * (1 - t * t) * (x * x * (3 * GELU_CUBIC) + 1) * (0.5 * SQRT_2_OVER_PI)
    return (special.erf(x * SQRT_HALF) + 1) * 0.5 + x * special.exp(x * x * -0.5) * INV_SQRT_2PI


def _silu_slope(_out: Any, x: Any) -> Any:
    s = special.sigmoid(x)
    return s * (x * (1 - s) + 1)


def _mish_slope(_out: Any, x: Any) -> Any:
    t = special.tanh(softplus_op(x, beta=1.0, threshold=50.0))
    return t + x * special.sigmoid(x) * (1 - t * t)


DEAD = "far below 0 the unit is off: its slope vanishes; near its minimum it is zero as well"
gelu_op = elementwise(
    "gelu",
    _gelu,
    d=[_gelu_slope],
    variants=[{"approximate": "none"}, {"approximate": "tanh"}],
    refuse=only_floats("GeluKernelImpl"),
    zero=DEAD,
)
silu_op = elementwise(
    "silu",
    lambda x: x * special.sigmoid.eval(x),
    d=[_silu_slope],
    refuse=only_floats("silu_cpu", "biu"),
    zero=DEAD,
)
mish_op = elementwise(
    "mish",
    lambda x: x * np.tanh(np.log1p(np.exp(x))),
    d=[_mish_slope],
    refuse=only_floats("mish_cpu"),
    zero=DEAD,
)
