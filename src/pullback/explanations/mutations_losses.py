"""Wrong rules of softmax, log_softmax and the losses, as people write them.

Read `_softmax`, then `LOSSES`. May import `explanations.mutations_engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pullback.explanations.mutations_engine import Step, unchanged

Array = Any
Row = tuple[int, int, str, str, Callable[[Array], Array]]  # argument, rank, name, text, g -> cotangent


def _total(v: Array, dim: Any) -> Array:
    return np.sum(v, axis=dim, keepdims=True)


# ---------------------------------------------------------------------- softmax


def _softmax(step: Step) -> Iterator[Row]:
    dim = step.params["dim"]

    def s() -> Array:
        return np.asarray(step.value_out)

    yield (
        0,
        0,
        "diagonal only",
        "s (1 - s) only: the off-diagonal -s_i s_j of the Jacobian of softmax is dropped",
        (lambda g: g * s() * (1 - s())),
    )
    yield (
        0,
        0,
        "second term missing",
        "s g only: the term -s sum(s g) of softmax is missing",
        lambda g: g * s(),
    )
    yield (
        0,
        0,
        "factor s dropped",
        "g - sum(s g): the factor s in front is dropped",
        lambda g: g - _total(g * s(), dim),
    )
    yield (
        0,
        0,
        "sign",
        "s (g + sum(s g)): the off-diagonal has the wrong sign",
        (lambda g: (g + _total(g * s(), dim)) * s()),
    )
    yield (
        0,
        0,
        "sum of the wrong thing",
        "s (g - sum(g)): the sum is not weighted with s",
        lambda g: (g - _total(g, dim)) * s(),
    )
    yield (
        0,
        0,
        "log_softmax's rule",
        "g - s sum(g), the rule of log_softmax",
        lambda g: g - s() * _total(g, dim),
    )
    yield (
        0,
        0,
        "mean for sum",
        "s (g - mean(s g)): a mean where a sum belongs",
        (lambda g: (g - np.mean(g * s(), axis=dim, keepdims=True)) * s()),
    )
    yield (
        0,
        1,
        "input for output",
        "x (g - sum(x g)): the input where the output s belongs",
        (lambda g: (g - _total(g * step.value(0), dim)) * step.value(0)),
    )
    yield (
        0,
        1,
        "off-diagonal only",
        "-s sum(s g) only: the diagonal is dropped",
        lambda g: -s() * _total(g * s(), dim),
    )
    for other in range(len(step.out_shape)):
        if other != dim % len(step.out_shape):
            yield (
                0,
                0,
                "wrong axis",
                f"the sum runs over dimension {other}; softmax is along {dim}",
                (lambda g, other=other: (g - _total(g * s(), other)) * s()),
            )
    if len(step.out_shape) > 1:
        yield (
            0,
            0,
            "wrong axis",
            "the sum runs over all entries, not along each row of softmax",
            (lambda g: (g - np.sum(g * s())) * s()),
        )


def _log_softmax(step: Step) -> Iterator[Row]:
    dim = step.params["dim"]

    def s() -> Array:
        return np.exp(np.asarray(step.value_out))

    yield (
        0,
        0,
        "one-hot missing",
        "-s sum(g) only: the term g (minus the one-hot target) is missing",
        (lambda g: -s() * _total(g, dim)),
    )
    yield 0, 0, "softmax missing", "g only: the term -softmax(x) sum(g) is missing", unchanged
    yield (
        0,
        0,
        "softmax missing",
        "the scores x stand where softmax(x) belongs",
        (lambda g: g - step.value(0) * _total(g, dim)),
    )
    yield (
        0,
        0,
        "logarithm for probability",
        "log s stands where s belongs: exp is missing",
        (lambda g: g - np.asarray(step.value_out) * _total(g, dim)),
    )
    yield (
        0,
        0,
        "diagonal only",
        "g (1 - s) only: the off-diagonal -s_j of the Jacobian is dropped",
        lambda g: g * (1 - s()),
    )
    yield 0, 0, "sum dropped", "g - s: the sum of g is left out", lambda g: g - s()
    yield (
        0,
        0,
        "sign",
        "g + s sum(g): the softmax term has the wrong sign",
        lambda g: g + s() * _total(g, dim),
    )
    yield (
        0,
        0,
        "softmax's rule",
        "s (g - sum(s g)), the rule of softmax",
        lambda g: (g - _total(g * s(), dim)) * s(),
    )
    yield (
        0,
        0,
        "softmax applied twice",
        "the Jacobian of softmax is multiplied in once more",
        (lambda g: _through(g - s() * _total(g, dim), s(), dim)),
    )
    for other in range(len(step.out_shape)):
        if other != dim % len(step.out_shape):
            yield (
                0,
                0,
                "wrong axis",
                f"softmax over dimension {other}; log_softmax is along {dim}",
                (lambda g, other=other: g - _soft(step.value(0), other) * _total(g, dim)),
            )


def _soft(x: Array, dim: int) -> Array:
    e = np.exp(x - np.max(x, axis=dim, keepdims=True))
    return e / _total(e, dim)


def _through(g: Array, s: Array, dim: int) -> Array:
    return (g - _total(g * s, dim)) * s


# ---------------------------------------------------------------------- losses


def _reductions(step: Step, i: int) -> Iterator[Row]:
    """The mean of a loss as a sum, or divided by the wrong number."""
    n = int(np.prod(step.shape(0)))
    if step.params.get("reduction") == "mean" and n > 1:
        yield (
            i,
            0,
            "sum for mean",
            f"1/{n} is dropped: the loss is a mean over {n} entries",
            step.times(i, n),
        )
        for m in sorted({m for m in step.shape(0) if 1 < m < n}):
            yield (
                i,
                0,
                "wrong n",
                f"1/{m} where 1/{n} belongs: the mean runs over all {n} entries",
                (lambda g, m=m: step.right(i, g) * (n / m)),
            )
    if step.params.get("reduction") == "sum" and n > 1:
        yield i, 0, "mean for sum", f"divided by {n}: the loss is a sum", step.times(i, 1 / n)


def _upstream(step: Step, g: Array) -> Array:
    n = max(int(np.prod(step.shape(0))), 1)
    return np.asarray(g) / (n if step.params.get("reduction") == "mean" else 1)


def _pair(step: Step, slips: list[tuple[str, str, Callable[[Array, Array], Array]]]) -> Iterator[Row]:
    for i in (0, 1):
        yield from _reductions(step, i)
    for name, text, q in slips:
        for i, sign in ((0, 1), (1, -1)):
            yield (
                i,
                0,
                name,
                text,
                lambda g, q=q, sign=sign: sign * _upstream(step, g) * q(step.value(0), step.value(1)),
            )


def _mse(step: Step) -> Iterator[Row]:
    yield from _pair(
        step,
        [
            ("factor dropped", "the factor 2 of 2 (x - y) is dropped", lambda x, y: x - y),
            ("difference dropped", "2 where 2 (x - y) belongs", lambda x, y: 2 + 0 * (x - y)),
            ("target dropped", "2 x where 2 (x - y) belongs", lambda x, y: 2 * x + 0 * y),
            ("factor n dropped", "the loss itself where its derivative belongs", lambda x, y: (x - y) ** 2),
            (
                "sign for difference",
                "sign(x - y), the rule of the absolute error",
                lambda x, y: np.sign(x - y),
            ),
        ],
    )
    n = int(np.prod(step.shape(0)))
    if step.params.get("reduction") == "mean" and n > 1:
        for i in (0, 1):
            yield (
                i,
                0,
                "1/(2n)",
                "the gradient of 1/(2n) sum (x - y)^2 for that of the mean",
                step.times(i, 1 / 2),
            )


def _huber(step: Step) -> Iterator[Row]:
    delta = step.params.get("delta", step.params.get("beta", 1.0))
    unit = 1.0 if "delta" in step.params else (1 / delta if delta else 1.0)
    yield from _pair(
        step,
        [
            (
                "gate dropped",
                "the quadratic branch everywhere: the clip is dropped",
                lambda x, y: (x - y) * unit,
            ),
            (
                "gate dropped",
                "the linear branch everywhere",
                lambda x, y: np.sign(x - y) * (delta if unit == 1.0 else 1.0),
            ),
        ],
    )


def _bce(step: Step) -> Iterator[Row]:
    yield from _pair(
        step,
        [
            ("denominator dropped", "p - y where (p - y)/(p (1 - p)) belongs", lambda p, y: p - y),
            ("second term missing", "-y/p only: the term (1 - y)/(1 - p) is missing", lambda p, y: -y / p),
            (
                "first term missing",
                "(1 - y)/(1 - p) only: the term -y/p is missing",
                lambda p, y: (1 - y) / (1 - p),
            ),
            (
                "sign",
                "-y/p - (1 - y)/(1 - p): the second sign is wrong",
                lambda p, y: -y / p - (1 - y) / (1 - p),
            ),
            ("denominator", "(p - y)/p: the factor 1 - p is missing", lambda p, y: (p - y) / p),
        ],
    )


def _bce_logits(step: Step) -> Iterator[Row]:
    def s(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    yield from _pair(
        step,
        [
            ("sigmoid missing", "x - y: the scores where sigmoid(x) belongs", lambda x, y: x - y),
            ("target missing", "sigmoid(x) only: the target is not subtracted", lambda x, y: s(x) + 0 * y),
            (
                "derivative applied twice",
                "(s - y) s (1 - s): the derivative of sigmoid is multiplied in once more",
                (lambda x, y: (s(x) - y) * s(x) * (1 - s(x))),
            ),
            ("tanh for sigmoid", "tanh(x) - y", lambda x, y: np.tanh(x) - y),
        ],
    )


def _nll(step: Step) -> Iterator[Row]:
    reduction = step.params.get("reduction")
    rows = step.shape(0)[0] if len(step.shape(0)) > 1 else 1
    classes = step.shape(0)[1] if len(step.shape(0)) > 1 else step.shape(0)[0]
    if reduction == "mean":
        if rows > 1:
            yield (
                0,
                0,
                "sum for mean",
                f"1/{rows} is dropped: the loss is the mean over the batch of {rows}",
                step.times(0, rows),
            )
        yield (
            0,
            0,
            "wrong n",
            f"divided by all {rows * classes} scores, not by the batch of {rows}",
            step.times(0, 1 / classes),
        )
    elif reduction == "sum" and rows > 1:
        yield (
            0,
            0,
            "mean for sum",
            f"divided by the batch of {rows}: the loss is a sum",
            step.times(0, 1 / rows),
        )


LOSSES: dict[str, Callable[[Step], Iterator[Row]]] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "mse_loss": _mse,
    "huber_loss": _huber,
    "smooth_l1_loss": _huber,
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_logits,
    "nll_loss": _nll,
}

__all__ = ["LOSSES", "Row"]
