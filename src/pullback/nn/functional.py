"""torch.nn.functional: activations, losses, layers as functions of their parameters.

Read the re-exports first: one line per room of `ops`. Defined here is what draws random numbers (dropout,
gumbel_softmax) and
what needs one line over other functions. May import `ops`, `nn.composites`, `random`, `graph`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import Tensor, wrap
from pullback.nn.composites import (
    bilinear,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    normalize,
    pairwise_distance,
    poisson_nll_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from pullback.ops import select, special
from pullback.ops.activations import (
    celu,
    elu,
    gelu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    softplus,
    softshrink,
    threshold,
)
from pullback.ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d
from pullback.ops.embed import embedding, linear, one_hot
from pullback.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    mse_loss,
    smooth_l1_loss,
)
from pullback.ops.losses_classes import nll_loss
from pullback.ops.normalise import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from pullback.ops.padding import pad
from pullback.ops.pool import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from pullback.ops.pool_adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
)
from pullback.ops.softmax import implicit_dim
from pullback.ops.softmax import log_softmax as _log_softmax
from pullback.ops.softmax import softmax as _softmax
from pullback.random.streams import default_generator

_relu = select.relu.call


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0), entry by entry; the gradient is 1 for x > 0, and 0 at 0 and below.

    >>> import pullback as torch
    >>> torch.nn.functional.relu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return input.relu_() if inplace else _relu(input)


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return special.sigmoid.call(input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent."""
    return special.tanh.call(input)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along dim. UserWarning where dim is left out."""
    return _softmax(input, implicit_dim("softmax", input.ndim) if dim is None else dim, dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """softmax(-x) along dim."""
    return _softmax(-input, implicit_dim("softmin", input.ndim) if dim is None else dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """log(softmax(x)) along dim, without underflow."""
    return _log_softmax(input, implicit_dim("log_softmax", input.ndim) if dim is None else dim, dtype)


def softsign(input: Any) -> Any:
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


def tanhshrink(input: Any) -> Any:
    """x - tanh(x)."""
    return input - input.tanh()


def glu(input: Any, dim: int = -1) -> Any:
    """First half times sigmoid of the second half along a dimension. RuntimeError for an odd size.

    >>> import pullback as torch
    >>> torch.nn.functional.glu(torch.tensor([3.0, 0.0]))
    tensor([1.5000])
    """
    if input.ndim == 0:
        raise RuntimeError(message("glu does not support 0-dimensional tensors"))
    n = input.shape[dim]
    if n % 2:
        raise RuntimeError(
            message(f"Halving dimension must be even, but dimension {dim % input.ndim} is size {n}")
        )
    r = input.narrow(dim, 0, n // 2) * input.narrow(dim, n // 2, n // 2).sigmoid()
    if r.node is not None:
        r.node.label = "GluBackward0"
    return r


# ---------------------------------------------------------------------- random


def check_probability(p: float, name: str = "dropout") -> None:
    """ValueError unless 0 <= p <= 1."""
    if p < 0.0 or p > 1.0:
        raise ValueError(message(f"{name} probability has to be between 0 and 1, but got {p}"))


def _noise(x: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    d = x.value.dtype
    if p == 1:
        return wrap(np.zeros(shape, d))
    return wrap(default_generator.bernoulli_scalar(1 - p, shape, d) / d.type(1 - p))


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero each entry with probability p, scale the others by 1 / (1 - p); the input itself outside training.

    Draws from the default generator as torch does. ValueError for p outside [0, 1].
    """
    check_probability(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    noise = _noise(input, tuple(input.shape), p)
    return input.mul_(noise) if inplace else input * noise


def _channel_dropout(x: Any, p: float, training: bool, inplace: bool) -> Any:
    check_probability(p)
    if not training or p == 0 or x.numel() == 0:
        return x
    noise = _noise(x, (*x.shape[:2], *(1,) * (x.ndim - 2)), p)
    return x.mul_(noise) if inplace else x * noise


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """`dropout` of whole channels of (N, C, L) or (C, L)."""
    if input.ndim == 2:
        return _channel_dropout(input.unsqueeze(0), p, training, inplace).squeeze(0)
    return _channel_dropout(input, p, training, inplace)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """`dropout` of whole channels of (N, C, H, W)."""
    return _channel_dropout(input, p, training, inplace)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:  # noqa: ARG001
    """A differentiable sample of one-hot codes (Jang et al. 2016).

    hard gives exact codes with the gradient of the soft ones.
    """
    noise = default_generator.exponential(tuple(logits.shape), 1.0, logits.value.dtype)
    soft = _softmax((logits + wrap(-np.log(noise))) / tau, dim)
    if not hard:
        return soft
    best = soft.value.argmax(axis=dim, keepdims=True)
    code = np.zeros_like(soft.value)
    np.put_along_axis(code, best, 1.0, axis=dim)
    return (wrap(code) - soft.detach()) + soft


def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Any:
    """leaky_relu with a random slope per negative entry in training, and the middle slope otherwise."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    v = np.asarray(input.value)
    slopes = np.ones_like(v)
    negative = v <= 0
    slopes[negative] = default_generator.uniform((int(negative.sum()),), lower, upper, np.float64)
    r = input.mul_(wrap(slopes)) if inplace else input * wrap(slopes)
    if r.node is not None and hasattr(r.node, "label"):
        r.node.label = "RreluWithNoiseBackward0"
    return r


__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elu",
    "embedding",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
]
