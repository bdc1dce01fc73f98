"""Initialisation of tensors in place, on PyTorch's random streams: the same seed gives torch's very weights.

Read `_fill` first. May import `graph`, `random`, `errors`.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import Tensor
from pullback.random.streams import Generator, default_generator


def _fill(tensor: Tensor, values: Any) -> Tensor:
    """Write values into the tensor's memory, whatever autograd knows of it."""
    memory = tensor.storage()
    memory[...] = values
    tensor.shared_counter().bump()
    return tensor


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """The factor that keeps the variance through an activation. ValueError for an unknown name.

    >>> calculate_gain("relu") == math.sqrt(2)
    True
    """
    linear = (
        "linear",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "sigmoid",
    )
    if nonlinearity in linear:
        return 1
    fixed = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity in fixed:
        return fixed[nonlinearity]
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, int | float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [a, b)."""
    v = tensor.storage()
    return _fill(tensor, (generator or default_generator).uniform(v.shape, a, b, v.dtype))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal numbers."""
    v = tensor.storage()
    draw = (generator or default_generator).normal(
        v.shape, mean, std, v.dtype, contiguous=v.flags.c_contiguous
    )
    return _fill(tensor, draw)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers, given that they lie in [a, b].

    Draws that miss the interval are drawn anew: from the normal distribution where more than 0.3 of it lies
    inside, else from the
    uniform one, accepted with the ratio of the densities.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may "
            "be incorrect.",
            stacklevel=2,
        )
    g = generator or default_generator
    v = tensor.storage()
    inside = 0.5 * (math.erf((b - mean) / std / math.sqrt(2.0)) - math.erf((a - mean) / std / math.sqrt(2.0)))
    if inside > 0.3:
        low, high = v.dtype.type(a), v.dtype.type(b)
        x = g.normal(v.shape, mean, std, v.dtype, contiguous=v.flags.c_contiguous)
        outside = (x < low) | (x > high)
        while outside.any():
            x = np.where(outside, g.normal(v.shape, mean, std, v.dtype), x)
            outside = (x < low) | (x > high)
        return _fill(tensor, x)
    return _fill(tensor, _accepted(g, v.shape, v.dtype, mean, std, a, b))


def _accepted(
    g: Generator, shape: tuple[int, ...], d: Any, mean: float, std: float, a: float, b: float
) -> Any:
    """Uniform draws, redrawn until accepted with the normal density over its peak in [a, b]."""
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    x = g.uniform(shape, a, b, d)
    pending = _rejected(g, x, mean, std, peak)
    while pending.any():
        fresh = g.uniform(shape, a, b, d)
        x = np.where(pending, fresh, x)
        pending &= _rejected(g, fresh, mean, std, peak)
    return x


def _rejected(g: Generator, x: Any, mean: float, std: float, peak: float) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(g.uniform(x.shape, 0.0, 1.0, x.dtype)) > ((x - mean) / std) ** 2 * -0.5 - peak


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same number everywhere."""
    return _fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return _fill(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return _fill(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix. ValueError unless the tensor has two dimensions."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The convolution that passes its input on.

    ValueError unless there are 3 to 5 dimensions and the channels divide into the groups.
    """
    shape = tuple(tensor.shape)
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = np.zeros(shape)
    out = shape[0] // groups
    for g in range(groups):
        for d in range(min(out, shape[1])):
            values[(g * out + d, d, *(n // 2 for n in shape[2:]))] = 1
    return _fill(tensor, values)


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs and outputs an entry of a weight connects. ValueError for less than two dimensions."""
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(
            message(
                "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
                f"shape {list(shape)}",
            )
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


_calculate_fan_in_and_fan_out = fans


def _fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return fans(tensor)[mode == "fan_out"]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform with variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / float(sum(fans(tensor))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(sum(fans(tensor)))), generator)


def _no_entries(tensor: Tensor) -> bool:
    if 0 in tuple(tensor.shape):
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform with variance gain^2 / fan (He et al. 2015)."""
    if _no_entries(tensor):
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with variance gain^2 / fan (He et al. 2015)."""
    if _no_entries(tensor):
        return tensor
    return normal_(tensor, 0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """An orthogonal matrix (rows x the rest) from the QR decomposition of normal numbers (Saxe et al. 2013).

    ValueError for less than two dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    v = tensor.storage()
    if v.size == 0:
        return tensor
    rows = v.shape[0]
    flat = (generator or default_generator).normal((rows, v.size // rows), 0.0, 1.0, v.dtype)
    flip = flat.shape[0] < flat.shape[1]
    q, r = np.linalg.qr(flat.T if flip else flat)
    q = q * np.sign(np.diag(r))
    return _fill(tensor, (q.T if flip else q).reshape(v.shape) * v.dtype.type(gain))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal numbers with a fraction of each column set to zero. ValueError unless it is a matrix."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    g = generator or default_generator
    rows, cols = tensor.shape
    normal_(tensor, 0, std, generator)
    memory = tensor.storage()
    zeros = math.ceil(sparsity * rows)
    for col in range(cols):
        memory[g.randperm(rows)[:zeros], col] = 0
    return tensor
