"""Losses and distances that PyTorch composes from other functions: plain Python over tensors.

Read `averaged` first; every loss ends in it. May import `ops`, `graph`, `errors`.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.losses import REDUCTIONS, check_reduction, legacy, same_dtype, same_shape
from pullback.ops.losses_classes import nll_loss
from pullback.ops.softmax import log_softmax

SPATIAL = "only batches of spatial targets supported (3D tensors) but got targets of dimension: {n}"


def averaged(losses: Any, reduction: str) -> Any:
    """The mean, the sum, or the losses themselves. ValueError for another reduction."""
    check_reduction(reduction)
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


def l1_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """|input - target|, averaged, summed or per entry; gradient 0 where both agree."""
    reduction = legacy(size_average, reduce, reduction)
    input, target = same_shape(input, target, "")
    losses = (input - target).abs()
    if weight is None:
        return averaged(losses, reduction)
    losses = losses * weight
    return losses.sum() / weight.sum() if reduction == "mean" else averaged(losses, reduction)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-log softmax(input) of the target classes; input (N, C, ...) or (C,) holds scores (logits).

    target   class indices of shape (N, ...) or (), or probabilities of input's shape
    weight   one factor per class; label_smoothing mixes the target with the uniform distribution
    RuntimeError or ValueError for shapes that do not fit and for a smoothing outside [0, 1].

    >>> import pullback as torch
    >>> torch.nn.functional.cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(message(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}"))
    shape, wanted = input.value.shape, target.value.shape
    dim = 0 if len(shape) == 1 else 1
    if tuple(shape) == tuple(wanted):
        if target.value.dtype.kind not in "fc":
            raise RuntimeError(
                message(
                    "Expected floating point type for target with class probabilities, got "
                    f"{target.dtype.word}",
                    "a target of the input's shape holds probabilities",
                    "class indices have the shape (N, ...) without the class dimension",
                )
            )
        return _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing, dim)
    if len(wanted) + 1 != len(shape):
        _refuse_shapes(input, target)
    scores = log_softmax(input, dim)
    if label_smoothing:
        return _smoothed(scores, target, weight, ignore_index, reduction, label_smoothing, dim)
    return nll_loss(scores, target, weight, None, ignore_index, None, reduction)


def _refuse_shapes(x: Any, target: Any) -> None:
    a, b = list(x.shape), list(target.shape)
    if len(a) == 1 and not b:
        return
    if len(a) == len(b) and len(a) > 1 and a[0] == b[0]:
        raise RuntimeError(
            message(
                "0D or 1D target tensor expected, multi-target not supported"
                if len(a) == 2
                else SPATIAL.format(n=len(b)),
                f"input has shape {a}, target {b}",
                "class indices have the input's shape without dimension 1",
            )
        )
    if len(a) > 1 and b and a[0] != b[0]:
        raise ValueError(message(f"Expected input batch_size ({a[0]}) to match target batch_size ({b[0]})."))
    raise RuntimeError(
        message(
            "0D or 1D target tensor expected, multi-target not supported"
            if len(a) <= 2
            else SPATIAL.format(n=len(b)),
            f"input has shape {a}, target {b}",
        )
    )


def _shaped_weight(weight: Any, ndim: int, dim: int) -> Any:
    shape = [1] * ndim
    shape[dim] = -1
    return weight.reshape(shape)


def _soft_cross_entropy(
    x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float, dim: int
) -> Any:
    if ignore_index >= 0:
        raise RuntimeError(message("ignore_index is not supported for floating point target"))
    check_reduction(reduction)
    scores = log_softmax(x, dim)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / x.shape[dim]
    terms = scores * target
    if weight is not None:
        terms = terms * _shaped_weight(weight, x.ndim, dim)
    if reduction == "none":
        return -terms.sum(dim)
    total = -terms.sum()
    if reduction == "sum":
        return total
    r = total / (math.prod(x.shape) // x.shape[dim] if x.shape[dim] else 1)
    if r.node is not None:
        r.node.label = "DivBackward1"
    return r


def _smoothed(
    scores: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float, dim: int
) -> Any:
    nll = nll_loss(scores, target, weight, None, ignore_index, None, reduction)
    weighted = scores if weight is None else scores * _shaped_weight(weight, scores.ndim, dim)
    uniform = -weighted.sum(dim)
    ignored = target == ignore_index
    uniform = uniform.masked_fill(ignored, 0.0)
    if reduction == "sum":
        uniform = uniform.sum()
    elif reduction == "mean":
        kept = ~ignored
        if weight is None:
            uniform = uniform.sum() / kept.sum()
        else:
            uniform = uniform.sum() / (weight[target.masked_fill(ignored, 0)] * kept).sum()
    return nll * (1 - smoothing) + uniform * (smoothing / scores.shape[dim])


def kl_div(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """target (log target - input): the Kullback-Leibler divergence of log-probabilities from `target`.

    log_target   target holds log-probabilities, too
    reduction    also 'batchmean': the sum over the batch size, which is the divergence
    """
    reduction = legacy(size_average, reduce, reduction)
    losses = target.exp() * (target - input) if log_target else target.xlogy(target) - target * input
    if reduction == "batchmean":
        total = losses.sum()
        return total / input.shape[0] if input.ndim else total
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support "
            "size.'batchmean' divides only by "
            "the batch size, and aligns with the KL div math definition.'mean' will be changed to behave "
            "the same as "
            "'batchmean' in the next major release.",
            UserWarning,
            stacklevel=2,
        )
    return averaged(losses, reduction)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """exp(x) - y x (or x - y log(x + eps)); full adds Stirling's approximation of log(y!) where y > 1."""
    reduction = legacy(size_average, reduce, reduction)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        losses = losses + stirling.masked_fill(target <= 1, 0.0)
    return averaged(losses, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """(log var + (input - target)^2 / var) / 2, with var not below eps (which has no gradient).

    ValueError for negative variances, shapes that do not fit, or another reduction.
    """
    if isinstance(var, float):
        if var < 0:
            raise ValueError(message("var has negative entry/entries"))
        var = input * 0 + var
    elif bool((var < 0).any()):
        raise ValueError(message("var has negative entry/entries"))
    var = _fitting_variance(input, target, var)
    if reduction not in REDUCTIONS:
        raise ValueError(message(f"{reduction} is not valid", "", "reduction='mean', 'sum' or 'none'"))
    # the bound changes the value only: the gradient passes as if it were not there
    bounded = (
        var + wrap(np.maximum(var.value, var.value.dtype.type(eps)) - var.value) if _low(var, eps) else var
    )
    losses = 0.5 * (bounded.log() + (input - target) ** 2 / bounded)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return averaged(losses, reduction)


def _low(var: Tensor, eps: float) -> bool:
    return var.foreign is None and bool(np.any(var.value < eps))


def _fitting_variance(x: Any, target: Any, var: Any) -> Any:
    a, v = tuple(x.shape), tuple(var.shape)
    if v == a:
        return var
    if a[:-1] == v:
        return var.unsqueeze(-1)
    if len(a) == len(v) and all(n in (m, 1) for m, n in zip(a, v, strict=True)):
        return var
    raise ValueError(
        message("var is of incorrect size", f"input {list(a)}, target {list(target.shape)}, var {list(v)}")
    )


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """max(0, -target (input1 - input2) + margin)."""
    reduction = legacy(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            message(
                "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
                f"input1: {input1.shape!r}, input2: {input2.shape!r}, target: {target.shape!r} "
            )
        )
    return averaged((-target * (input1 - input2) + margin).clamp_min(0), reduction)


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """input where target is 1, max(0, margin - input) where it is -1."""
    reduction = legacy(size_average, reduce, reduction)
    far = (margin - input).clamp_min(0).masked_fill(target == 1, 0.0)
    return averaged(far + input.masked_fill(target == -1, 0.0), reduction)


def soft_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """log(1 + exp(-target input))."""
    reduction = legacy(size_average, reduce, reduction)
    r = averaged((-target * input).exp().log1p(), reduction)
    if r.node is not None:
        r.node.label = "SoftMarginLossBackward0"
    return r


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    reduction = legacy(size_average, reduce, reduction)
    eps = 1e-12  # PyTorch adds it to both squared norms here
    cos = (input1 * input2).sum(-1) / (
        ((input1 * input1).sum(-1) + eps) * ((input2 * input2).sum(-1) + eps)
    ).sqrt()
    near = (1 - cos).masked_fill(target != 1, 0.0)
    far = (cos - margin).clamp_min(0).masked_fill(target != -1, 0.0)
    return averaged(near + far, reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """max(0, |anchor - positive| - |anchor - negative| + margin). ValueError unless margin > 0."""
    reduction = legacy(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(message(f"margin must be greater than 0, got {margin}"))
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = far.minimum(pairwise_distance(positive, negative, p, eps))
    return averaged((near - far + margin).clamp_min(0), reduction)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of x1 - x2 + eps over the last dimension."""
    r = (x1 - x2 + eps).norm(p, -1, keepdim)
    if r.node is not None:
        r.node.label = "NormBackward1"
    return r


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along a dimension."""
    x1, x2 = same_dtype(x1, x2)
    a = x1.norm(2, dim, True).clamp_min(eps)
    b = x2.norm(2, dim, True).clamp_min(eps)
    return ((x1 / a) * (x2 / b)).sum(dim)


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """input / max(|input|_p, eps) along a dimension."""
    r = input / input.norm(p, dim, True).clamp_min(eps).expand_as(input)
    if out is None:
        return r
    out.copy_(r)
    return out


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """out[..., k] = sum_ij input1[..., i] weight[k, i, j] input2[..., j] + bias[k].

    RuntimeError for shapes that do not fit.
    """
    a, b, w = tuple(input1.shape), tuple(input2.shape), tuple(weight.shape)
    if a[:-1] != b[:-1]:
        raise RuntimeError(
            message("bilinear(): input batch dimensions do not match: got " + f"{list(a)} and {list(b)}")
        )
    for i, s in ((1, a), (2, b)):
        if s[-1] != w[i]:
            raise RuntimeError(
                message(
                    f"bilinear(): input{i} size does not match weight size: got {s[-1]} but expected {w[i]}"
                )
            )
    x1, x2 = input1.reshape((-1, w[1])), input2.reshape((-1, w[2]))
    left = (x1 @ weight.permute(1, 0, 2).reshape((w[1], w[0] * w[2]))).reshape((-1, w[0], w[2]))
    r = (left * x2.unsqueeze(1)).sum(-1).reshape((*a[:-1], w[0]))
    return r if bias is None else r + bias
