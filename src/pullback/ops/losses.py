"""Losses of two tensors that are one node in PyTorch: squared error, Huber, binary cross entropies.

Read `pair_loss` first: a loss of two tensors is an elementwise function with its two partials, then mean,
sum or nothing. `losses_classes` holds the loss of class indices. Losses that PyTorch composes (l1_loss,
kl_div, ...) are composed in `nn.functional`. May import `families`, `graph`, `dtypes`, `errors`, other
ops.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.by_hand import by_hand
from pullback.families.elementwise import broadcast_error
from pullback.families.facets import Dependence, Sample
from pullback.families.op import apply, strong
from pullback.graph.tensor import Tensor
from pullback.ops import select as sel
from pullback.ops import special
from pullback.ops.activations import logsigmoid, refuse_dtype

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(reduction: str) -> None:
    """ValueError for anything but none, mean and sum."""
    if reduction not in REDUCTIONS:
        raise ValueError(
            message(
                f"{reduction} is not a valid value for reduction", "", "reduction='mean', 'sum' or 'none'"
            )
        )


def reduced(r: Any, reduction: str) -> Any:
    """An array of losses, reduced (the mean of none is NaN)."""
    if reduction == "none":
        return r
    s = np.add.reduce(r, axis=None)
    return s if reduction == "sum" else s / r.dtype.type(r.size)


def upstream(g: Any, size: int, reduction: str) -> Any:
    """The cotangent of each loss entry before the reduction."""
    return g * (1.0 / size if size else float("nan")) if reduction == "mean" else g


Pair = Callable[..., Any]


def pair_loss(
    name: str,
    function: Pair,
    d_input: Pair,
    d_target: Pair,
    params: dict[str, Any],
    points: Any = None,
    backward: Any = None,
) -> Any:
    """An op of (input, target) of one shape: function and partials (x, y, **params), then the reduction."""

    def rule(partial: Pair) -> Pair:
        def vjp(g: Any, _out: Any, x: Any, y: Any, *, reduction: str, **p: Any) -> Any:
            return strong(upstream(g, _size(x), reduction), partial(x, y, **p))

        return vjp

    def jvp(tangents: Any, _out: Any, x: Any, y: Any, *, reduction: str, **p: Any) -> Any:
        t: Any = None
        for tangent, partial in zip(tangents, (d_input, d_target), strict=True):
            if tangent is not None:
                term = strong(tangent, partial(x, y, **p))
                t = term if t is None else t + term
        return t if reduction == "none" else t.mean() if reduction == "mean" else t.sum()

    def depend(avals: Any, p: Any, _values: Any = None) -> Dependence:
        n = np.arange(avals[0].size)
        rows = n if p["reduction"] == "none" else n * 0
        return Dependence([(rows, n), (rows, n)], frozenset({(0, 0), (0, 1), (1, 0), (1, 1)}))

    def samples() -> list[Sample]:
        return _pair_samples(params, points)

    return by_hand(
        name,
        lambda x, y, *, reduction, **p: reduced(function(x, y, **p), reduction),
        vjp=[rule(d_input), rule(d_target)],
        jvp=jvp,
        samples=samples,
        backward=backward,
        facets={"depend": depend},
    )


def _size(x: Any) -> int:
    return x.numel() if isinstance(x, Tensor) else x.size


def _pair_samples(params: dict[str, Any], points: Any) -> list[Sample]:
    x = np.array([[0.31, 0.72, 0.13], [0.94, 0.45, 0.66]])
    y = np.array([[0.82, 0.17, 0.29], [0.55, 0.91, 0.38]])
    found = [Sample((x, y), {**params, "reduction": r}, note=r) for r in REDUCTIONS]
    found.append(Sample((x[0, 0], y[0, 0]), {**params, "reduction": "mean"}, note="0-d"))
    found.append(Sample((x[:0], y[:0]), {**params, "reduction": "sum"}, note="empty"))
    if points is not None:
        found.append(Sample((x * 4, -y * 4), {**params, "reduction": "sum"}, note="far apart"))
        kinks = {**params, "reduction": "none"}
        found.append(Sample((np.array(points), np.zeros(len(points))), kinks, smooth=False, note="kinks"))
    return found


# ---------------------------------------------------------------------- squared, Huber


def _square(x: Any, y: Any) -> Any:
    d = x - y
    return d * d


mse_op = pair_loss(
    "mse_loss", _square, lambda x, y: (x - y) * 2, lambda x, y: (y - x) * 2, {}, backward="MseLossBackward0"
)


def _huber(x: Any, y: Any, *, delta: float) -> Any:
    z = np.abs(x - y)
    return np.where(z <= delta, 0.5 * z * z, delta * (z - 0.5 * delta))


def _huber_slope(x: Any, y: Any, *, delta: float) -> Any:
    d = x - y
    return sel.choose(d >= delta, d * 0 + delta, sel.choose(d <= -delta, d * 0 - delta, d))


def _smooth_l1(x: Any, y: Any, *, beta: float) -> Any:
    z = np.abs(x - y)
    return np.where(z < beta, 0.5 * z * z / beta, z - 0.5 * beta)


def _smooth_l1_slope(x: Any, y: Any, *, beta: float) -> Any:
    d = x - y
    inner = d / beta if beta else d
    return sel.choose(d >= beta, d * 0 + 1, sel.choose(d <= -beta, d * 0 - 1, inner))


huber_op = pair_loss(
    "huber_loss",
    _huber,
    _huber_slope,
    lambda x, y, *, delta: -_huber_slope(x, y, delta=delta),
    {"delta": 1.0},
    points=(-1.0, 1.0),
)
smooth_l1_op = pair_loss(
    "smooth_l1_loss",
    _smooth_l1,
    _smooth_l1_slope,
    lambda x, y, *, beta: -_smooth_l1_slope(x, y, beta=beta),
    {"beta": 1.0},
    points=(-1.0, 1.0),
    backward="SmoothL1LossBackward0",
)
smooth_l1_op.kink = lambda **p: "" if p["beta"] else "whether its arguments are equal is not looked at"


# ---------------------------------------------------------------------- binary cross entropy


def _bce(x: Any, y: Any) -> Any:
    # PyTorch bounds the logarithms at -100, so that a certain wrong answer costs 100 and not infinity
    return (y - 1) * np.maximum(np.log1p(-x), -100) - y * np.maximum(np.log(x), -100)


def _bce_slope(x: Any, y: Any) -> Any:
    product = (1 - x) * x
    return (x - y) / sel.choose(product < 1e-12, product * 0 + 1e-12, product)


bce_op = pair_loss(
    "binary_cross_entropy",
    _bce,
    _bce_slope,
    lambda x, _y: special.log(1 - x) - special.log(x),
    {},
)


def _bce_logits(x: Any, y: Any) -> Any:
    return (1 - y) * x - (np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))))


bce_logits_op = pair_loss(
    "binary_cross_entropy_with_logits",
    _bce_logits,
    lambda x, y: special.sigmoid(x) - y,
    lambda x, _y: -x,
    {},
)


# ---------------------------------------------------------------------- public calls


def same_dtype(x: Any, y: Any) -> tuple[Any, Any]:
    """Both tensors in their promoted dtype (a recorded cast where one changes)."""
    if x.value.dtype == y.value.dtype:
        return x, y
    d = dtypes.result_dtype([(x.dtype, x.ndim), (y.dtype, y.ndim)])
    return x if x.dtype is d else x.to(d), y if y.dtype is d else y.to(d)


def same_shape(x: Any, y: Any, name: str) -> tuple[Any, Any]:
    """Both tensors broadcast to one shape, with PyTorch's UserWarning where that was necessary."""
    a, b = x.value.shape, y.value.shape
    if a == b:
        return x, y
    warnings.warn(
        f"Using a target size (torch.Size({list(b)})) that is different to the input size "
        f"(torch.Size({list(a)})). This will "
        "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
        UserWarning,
        stacklevel=4 if name else 3,
    )
    try:
        shape = np.broadcast_shapes(a, b)
    except ValueError:
        raise broadcast_error(name, [a, b]) or RuntimeError(str(a)) from None
    return x if a == shape else x.expand(shape), y if b == shape else y.expand(shape)


def _pair(op: Any, name: str, kernel: str, x: Any, y: Any, params: dict[str, Any]) -> Any:
    if x.value.shape != y.value.shape:
        x, y = same_shape(x, y, name)
    if x.value.dtype is not y.value.dtype:
        x, y = same_dtype(x, y)
    refuse_dtype(x, kernel)
    return apply(op, (x, y), params)


def mse_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """(input - target)^2, averaged, summed or per entry.

    >>> import pullback as torch
    >>> torch.nn.functional.mse_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0]))
    tensor(2.5000)
    """
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    if weight is not None:
        return _weighted(mse_loss(input, target, reduction="none"), weight, reduction)
    return _pair(mse_op, "mse_loss", "mse_cpu", input, target, {"reduction": reduction})


def _weighted(losses: Any, weight: Any, reduction: str) -> Any:
    r = losses * weight
    return r if reduction == "none" else r.sum() if reduction == "sum" else r.sum() / weight.sum()


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """0.5 d^2 / beta for |d| < beta, else |d| - beta / 2, d = input - target. RuntimeError for beta < 0."""
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    if beta < 0:
        raise RuntimeError(message("smooth_l1_loss does not support negative values for beta."))
    params = {"reduction": reduction, "beta": float(beta)}
    return _pair(smooth_l1_op, "smooth_l1_loss", "smooth_l1_cpu", input, target, params)


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """0.5 d^2 for |d| <= delta, else delta (|d| - delta / 2) for d = input - target.

    RuntimeError unless delta > 0.
    """
    check_reduction(reduction)
    if delta <= 0:
        raise RuntimeError(message("huber_loss does not support non-positive values for delta."))
    if weight is not None:
        return _weighted(huber_loss(input, target, "none", delta), weight, reduction)
    params = {"reduction": reduction, "delta": float(delta)}
    return _pair(huber_op, "huber_loss", "huber_cpu", input, target, params)


def legacy(size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction that the deprecated flags size_average and reduce mean, with PyTorch's UserWarning."""
    if size_average is None and reduce is None:
        return reduction
    average = size_average is None or size_average
    chosen = "none" if reduce is not None and not reduce else "mean" if average else "sum"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{chosen}' instead.",
        UserWarning,
        stacklevel=3,
    )
    return chosen


def _check_probabilities(x: Any, y: Any) -> None:
    """RuntimeError for the first entry outside [0, 1]."""
    if x.foreign is not None or y.foreign is not None:
        return
    wrong = [np.flatnonzero(~((t.value >= 0) & (t.value <= 1))) for t in (x, y)]
    first = [w[0] if w.size else np.inf for w in wrong]
    if min(first) == np.inf:
        return
    name, v = ("input", x.value) if first[0] <= first[1] else ("target", y.value)
    raise RuntimeError(
        message(
            f"all elements of {name} should be between 0 and 1",
            f"the {name} ranges from {v.min():g} to {v.max():g}",
            "pass probabilities (sigmoid of the scores), or use binary_cross_entropy_with_logits on the "
            "scores",
        )
    )


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """-(y log p + (1 - y) log(1 - p)) for probabilities p = input; logarithms are bounded at -100.

    ValueError for shapes that differ, RuntimeError for entries outside [0, 1] or a target of another dtype.
    """
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    a, b = input.value, target.value
    if a.shape != b.shape:
        raise ValueError(
            message(
                f"Using a target size ({target.shape!r}) that is different to the input size "
                f"({input.shape!r}) is deprecated. "
                "Please ensure they have the same size."
            )
        )
    if a.dtype != b.dtype:
        raise RuntimeError(
            message(
                f"Found dtype {target.dtype.word} but expected {input.dtype.word}", "", "convert the target"
            )
        )
    _check_probabilities(input, target)
    if weight is None:
        return _pair(
            bce_op, "binary_cross_entropy", "binary_cross_entropy", input, target, {"reduction": reduction}
        )
    losses = (
        _pair(bce_op, "binary_cross_entropy", "binary_cross_entropy", input, target, {"reduction": "none"})
        * weight
    )
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.mean()


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """Binary cross entropy of sigmoid(input), without overflow. ValueError for shapes that differ."""
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    if target.value.shape != input.value.shape:
        raise ValueError(
            message(f"Target size ({target.shape!r}) must be the same as input size ({input.shape!r})")
        )
    if weight is None and pos_weight is None:
        return _pair(
            bce_logits_op, "binary_cross_entropy_with_logits", "", input, target, {"reduction": reduction}
        )
    if pos_weight is None:
        losses = _pair(
            bce_logits_op, "binary_cross_entropy_with_logits", "", input, target, {"reduction": "none"}
        )
    else:
        log_weight = (pos_weight - 1) * target + 1
        losses = (1 - target) * input - log_weight * logsigmoid(input)
    if weight is not None:
        losses = losses * weight
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.mean()


for _op, _call in (
    (mse_op, mse_loss),
    (huber_op, huber_loss),
    (smooth_l1_op, smooth_l1_loss),
    (bce_op, binary_cross_entropy),
    (bce_logits_op, binary_cross_entropy_with_logits),
):
    _op.call = _call


PUBLIC: dict[str, Any] = {
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
}
METHODS: dict[str, Any] = {}
IN_PLACE: dict[str, Any] = {}
