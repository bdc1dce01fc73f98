"""Normalisation: subtract the mean, divide by the standard deviation, over some axes; then scale and shift.

Read `_standardised` first. Layer, batch, group and instance norm are one function with different axes: the
input is seen in the
shape `split` (group norm splits the channels), statistics are taken over `axes`, weight and bias have the
shape `affine`.
May import `families`, `graph`, `errors`, `pointwise`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.by_hand import by_hand
from pullback.families.by_hand_facets import joined
from pullback.families.facets import Dependence, Sample, broadcast_pairs
from pullback.families.op import apply, unbroadcast
from pullback.graph.tensor import Tensor
from pullback.ops.softmax import sum_over

Ints = tuple[int, ...]


def _mean(x: Any, axes: Ints) -> Any:
    n = math.prod(x.shape[a] for a in axes)
    return sum_over(x, axes) * (1.0 / n if n else float("nan"))


def _standardised(x: Any, split: Ints, axes: Ints, eps: float) -> tuple[Any, Any]:
    """(x - mean) / std in the shape `split`, and 1 / std; the variance is the biased one."""
    x = x.reshape(split)
    d = x - _mean(x, axes)
    scale = (_mean(d * d, axes) + eps) ** -0.5
    return d * scale, scale


def _norm(x: Any, w: Any, b: Any, *, split: Ints, axes: Ints, affine: Ints, eps: float) -> Any:
    r = _standardised(x, split, axes, eps)[0].reshape(x.shape)
    if w is not None:
        r = r * w.reshape(affine)
    return r if b is None else r + b.reshape(affine)


def _back_input(
    g: Any, _out: Any, x: Any, w: Any, _b: Any, *, split: Ints, axes: Ints, affine: Ints, eps: float
) -> Any:
    z, scale = _standardised(x, split, axes, eps)
    if w is not None:
        g = g * w.reshape(affine)
    g = g.reshape(split)
    r = (g - _mean(g, axes) - z * _mean(g * z, axes)) * scale
    return r.reshape(tuple(x.shape))


def _back_weight(
    g: Any, _out: Any, x: Any, _w: Any, _b: Any, *, split: Ints, axes: Ints, affine: Ints, eps: float
) -> Any:
    z = _standardised(x, split, axes, eps)[0].reshape(tuple(x.shape))
    return unbroadcast(g * z, affine).reshape(tuple(_w.shape))


def _back_bias(g: Any, _out: Any, _x: Any, _w: Any, _b: Any, *, affine: Ints, **_params: Any) -> Any:
    return unbroadcast(g, affine).reshape(tuple(_b.shape))


def _depend(avals: Any, params: Any, _values: Any = None) -> Dependence:
    """Entries of a group are coupled; weight and bias act on their own entries."""
    x, w, b = avals
    shape = tuple(x.shape)
    groups = np.arange(math.prod(params["split"])).reshape(params["split"])
    groups = np.broadcast_to(groups.min(axis=params["axes"], keepdims=True), params["split"]).reshape(-1)
    n = np.arange(groups.size)
    affine = [None if a is None else broadcast_pairs(shape, params["affine"]) for a in (w, b)]
    return Dependence([joined(n, groups, n, groups), *affine], frozenset({(0, 0), (0, 1), (1, 0)}))


def _samples(split: Ints, axes: Ints, affine: Ints) -> Any:
    def samples() -> list[Sample]:
        x = np.sin(1.9 * np.arange(24.0)).reshape(2, 4, 3)
        n = math.prod(affine)
        w, b = 1 + 0.3 * np.cos(np.arange(n)), 0.2 * np.sin(np.arange(n))
        p = {"split": split, "axes": axes, "affine": affine, "eps": 1e-5}
        return [Sample((x, w, b), p, note="with weight and bias"), Sample((x, None, None), p, note="plain")]

    return samples


def _entry(name: str, backward: str, split: Ints, axes: Ints, affine: Ints) -> Any:
    return by_hand(
        name,
        _norm,
        vjp=[_back_input, _back_weight, _back_bias],
        samples=_samples(split, axes, affine),
        facets={"depend": _depend},
        backward=backward,
        keeps_out=False,
    )


layer_norm_op = _entry("native_layer_norm", "NativeLayerNormBackward0", (2, 4, 3), (2,), (3,))
batch_norm_op = _entry("native_batch_norm", "NativeBatchNormBackward0", (2, 4, 3), (0, 2), (4, 1))
group_norm_op = _entry("native_group_norm", "NativeGroupNormBackward0", (2, 2, 2, 3), (2, 3), (4, 1))


def _fixed(x: Any, w: Any, b: Any, mean: Any, var: Any, *, affine: Ints, eps: float) -> Any:
    r = (x - mean.reshape(affine)) * (var.reshape(affine) + eps) ** -0.5
    if w is not None:
        r = r * w.reshape(affine)
    return r if b is None else r + b.reshape(affine)


def _fixed_back(
    g: Any, _out: Any, _x: Any, w: Any, _b: Any, _mean: Any, var: Any, *, affine: Ints, eps: float
) -> Any:
    r = g * (var.reshape(affine) + eps) ** -0.5
    return r if w is None else r * w.reshape(affine)


def _fixed_weight(
    g: Any, _out: Any, x: Any, _w: Any, _b: Any, mean: Any, var: Any, *, affine: Ints, eps: float
) -> Any:
    z = (x - mean.reshape(affine)) * (var.reshape(affine) + eps) ** -0.5
    return unbroadcast(g * z, affine).reshape(tuple(_w.shape))


def _fixed_samples() -> list[Sample]:
    x = np.sin(1.9 * np.arange(24.0)).reshape(2, 4, 3)
    ones = np.array([0.5, 1.5, 2.0, 1.0])
    p = {"affine": (4, 1), "eps": 1e-5}
    return [
        Sample((x, ones, ones * 0.3, ones * 0.2, ones), p, (0, 1, 2)),
        Sample((x, None, None, ones * 0.2, ones), p, (0,), note="plain"),
    ]


def _fixed_depend(avals: Any, params: Any, _values: Any = None) -> Dependence:
    x, w, b = avals[:3]
    shape = tuple(x.shape)
    affine = [None if a is None else broadcast_pairs(shape, params["affine"]) for a in (w, b)]
    return Dependence([broadcast_pairs(shape, shape), *affine, None, None], frozenset({(0, 1), (1, 0)}))


batch_norm_eval = by_hand(
    "batch_norm_inference",
    _fixed,
    vjp=[
        _fixed_back,
        _fixed_weight,
        lambda g, _out, _x, _w, _b, _mean, _var, *, affine, **_p: unbroadcast(g, affine).reshape(
            tuple(_b.shape)
        ),
        None,
        None,
    ],
    samples=_fixed_samples,
    facets={"depend": _fixed_depend},
    backward="NativeBatchNormBackward0",
)


# ---------------------------------------------------------------------- public calls


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, _e: Any = None
) -> Any:
    """Standardise over the last dimensions (of sizes normalized_shape), then weight * x + bias.

    RuntimeError unless the input ends in normalized_shape and weight and bias have that shape.
    """
    wanted = tuple(int(n) for n in normalized_shape)
    shape = tuple(input.shape)
    if shape[len(shape) - len(wanted) :] != wanted or not wanted:
        raise RuntimeError(
            message(
                f"Given normalized_shape={list(wanted)}, expected input with shape "
                f"[*, {', '.join(map(str, wanted))}], but got "
                f"input of size{list(shape)}"
            )
        )
    for t, name in ((weight, "weight"), (bias, "bias")):
        if t is not None and tuple(t.shape) != wanted:
            raise RuntimeError(
                message(
                    f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                    f"{list(t.shape)} and "
                    f"normalized_shape = {list(wanted)}"
                )
            )
    axes = tuple(range(len(shape) - len(wanted), len(shape)))
    params = {"split": shape, "axes": axes, "affine": wanted, "eps": eps}
    return apply(layer_norm_op, (input, weight, bias), params)


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """x / sqrt(mean(x^2) + eps) over the last dimensions, times weight; eps: by default the dtype's."""
    n = len(tuple(normalized_shape))
    if eps is None:
        eps = float(np.finfo(input.value.dtype).eps)
    r = input * ((input * input).mean(tuple(range(-n, 0)), keepdim=True) + eps).rsqrt()
    return r if weight is None else r * weight


def batch_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    _cudnn: Any = None,
) -> Any:
    """Standardise each channel (dimension 1) over batch and space, by the batch's or the running statistics.

    With training the running statistics move by `momentum` towards the batch's (the variance without bias).
    ValueError if there
    is only one value per channel, RuntimeError for missing running statistics or statistics of another dtype.
    """
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(
            message("expected at least 2D input (got 1D input)" if shape else "expected at least 2D input")
        )
    affine = (shape[1], *(1,) * (len(shape) - 2))
    axes = (0, *range(2, len(shape)))
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError(message("running_mean must be defined in evaluation mode"))
        for t in (running_mean, running_var):
            if t.value.dtype != input.value.dtype:
                raise RuntimeError(
                    message(f"expected scalar type {input.dtype.word} but found {t.dtype.word}")
                )
        params = {"affine": affine, "eps": eps}
        return apply(
            batch_norm_eval, (input, weight, bias, running_mean.detach(), running_var.detach()), params
        )
    n = math.prod(shape[a] for a in axes)
    if n == 1:
        raise ValueError(
            message(f"Expected more than 1 value per channel when training, got input size {input.shape!r}")
        )
    if running_mean is not None and input.foreign is not None:
        x = input.detach()
        for t, new in ((running_mean, x.mean(axes)), (running_var, x.var(axes))):
            t.add_(momentum * (new - t))
    elif running_mean is not None:
        _track(input.value, running_mean, running_var, axes, n, momentum)
    return apply(
        batch_norm_op, (input, weight, bias), {"split": shape, "axes": axes, "affine": affine, "eps": eps}
    )


def _track(x: Any, mean: Tensor, var: Tensor, axes: Ints, n: int, momentum: float) -> None:
    for t, new in ((mean, x.mean(axes)), (var, x.var(axes) * (n / (n - 1)))):
        memory = t.storage()
        memory += momentum * (new - memory)
        t.shared_counter().bump()


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, _c: Any = None
) -> Any:
    """Standardise groups of channels of each sample; weight and bias per channel.

    RuntimeError unless the channels divide into the groups.
    """
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(
            message("Expected at least 2 dimensions for input tensor but received " + str(len(shape)))
        )
    if shape[1] % num_groups:
        raise RuntimeError(
            message(
                "Expected number of channels in input to be divisible by num_groups, but got input of "
                f"shape {list(shape)} and "
                f"num_groups={num_groups}"
            )
        )
    split = (shape[0], num_groups, shape[1] // num_groups, *shape[2:])
    affine = (shape[1], *(1,) * (len(shape) - 2))
    params = {"split": split, "axes": tuple(range(2, len(split))), "affine": affine, "eps": eps}
    return apply(group_norm_op, (input, weight, bias), params)


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Standardise each channel of each sample over space."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    shape = tuple(input.shape)
    if math.prod(shape[2:]) == 1:
        raise ValueError(
            message(f"Expected more than 1 spatial element when training, got input size {input.shape!r}")
        )
    affine = (shape[1], *(1,) * (len(shape) - 2))
    params = {"split": shape, "axes": tuple(range(2, len(shape))), "affine": affine, "eps": eps}
    return apply(batch_norm_op, (input, weight, bias), params)


layer_norm_op.call, batch_norm_op.call, group_norm_op.call = layer_norm, batch_norm, group_norm
PUBLIC: dict[str, Any] = {
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
}
METHODS: dict[str, Any] = {}
IN_PLACE: dict[str, Any] = {}
