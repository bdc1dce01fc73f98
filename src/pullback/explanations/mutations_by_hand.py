"""Wrong rules of softmax, losses, normalisation, embedding, convolution and linear algebra.

Read `by_hand_changes` first: the named slips of an op, then those that any rule of matrices allows (a
transpose forgotten in the output or an operand). May import `explanations.mutations_*`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pullback.explanations.mutations_elementwise import broadcast_changes
from pullback.explanations.mutations_engine import Change, Missing, Step
from pullback.explanations.mutations_linear import contraction_changes, scatter_changes

Array = Any
Row = tuple[int, int, str, str, Callable[[Array], Array]]  # argument, rank, name, text, g -> cotangent


def by_hand_changes(step: Step) -> Iterator[Change]:
    """The wrong rules of an op whose rules are written out."""
    name = step.op.name
    rows = _TABLE.get(name)
    live = set(step.live)
    if rows is not None:
        for i, rank, slip, text, wrong in rows(step):
            if i in live:
                yield Change(step.node, i, rank, slip, text, wrong)
    if name == "linear":
        yield from contraction_changes(step)
        if 0 in live:
            yield from broadcast_changes(step, 0)
    elif name == "convolution":
        yield from _convolution(step)
    elif name == "embedding":
        yield from scatter_changes(step, 0, lambda: _rows(step), "embedding")
    elif name.startswith("linalg"):
        yield from _matrices(step)
    for i in step.live:
        if step.node.count is None and step.shape(i) == step.out_shape and step.avals[i].dtype.kind == "f":
            yield Change(step.node, i, 1, "chain factor omitted", f"the gradient passes {name} unchanged", (
                lambda g: np.asarray(g)
            ))  # fmt: skip
        yield Change(step.node, i, 1, "sign flipped", f"{name} with the wrong sign", (
            lambda g, i=i: -step.right(i, g)
        ))  # fmt: skip


def _total(v: Array, dim: Any) -> Array:
    return np.sum(v, axis=dim, keepdims=True)


# ---------------------------------------------------------------------- softmax


def _softmax(step: Step) -> Iterator[Row]:
    dim = step.params["dim"]

    def s() -> Array:
        return np.asarray(step.value_out)

    yield 0, 0, "diagonal only", "s (1 - s) only: the off-diagonal -s_i s_j of the Jacobian of softmax is dropped", (
        lambda g: g * s() * (1 - s())
    )
    yield 0, 0, "second term missing", "s g only: the term -s sum(s g) of softmax is missing", lambda g: g * s()
    yield 0, 0, "factor s dropped", "g - sum(s g): the factor s in front is dropped", lambda g: g - _total(g * s(), dim)
    yield 0, 0, "sign", "s (g + sum(s g)): the off-diagonal has the wrong sign", (
        lambda g: (g + _total(g * s(), dim)) * s()
    )
    yield 0, 0, "sum of the wrong thing", "s (g - sum(g)): the sum is not weighted with s", lambda g: (g - _total(g, dim)) * s()
    yield 0, 0, "log_softmax's rule", "g - s sum(g), the rule of log_softmax", lambda g: g - s() * _total(g, dim)
    yield 0, 0, "mean for sum", "s (g - mean(s g)): a mean where a sum belongs", (
        lambda g: (g - np.mean(g * s(), axis=dim, keepdims=True)) * s()
    )
    yield 0, 1, "input for output", "x (g - sum(x g)): the input where the output s belongs", (
        lambda g: (g - _total(g * step.value(0), dim)) * step.value(0)
    )
    yield 0, 1, "off-diagonal only", "-s sum(s g) only: the diagonal is dropped", lambda g: -s() * _total(g * s(), dim)
    for other in range(len(step.out_shape)):
        if other != dim % len(step.out_shape):
            yield 0, 0, "wrong axis", f"the sum runs over dimension {other}; softmax is along {dim}", (
                lambda g, other=other: (g - _total(g * s(), other)) * s()
            )
    if len(step.out_shape) > 1:
        yield 0, 0, "wrong axis", "the sum runs over all entries, not along each row of softmax", (
            lambda g: (g - np.sum(g * s())) * s()
        )


def _log_softmax(step: Step) -> Iterator[Row]:
    dim = step.params["dim"]

    def s() -> Array:
        return np.exp(np.asarray(step.value_out))

    yield 0, 0, "one-hot missing", "-s sum(g) only: the term g (minus the one-hot target) is missing", (
        lambda g: -s() * _total(g, dim)
    )
    yield 0, 0, "softmax missing", "g only: the term -softmax(x) sum(g) is missing", lambda g: np.asarray(g)
    yield 0, 0, "softmax missing", "the scores x stand where softmax(x) belongs", (
        lambda g: g - step.value(0) * _total(g, dim)
    )
    yield 0, 0, "logarithm for probability", "log s stands where s belongs: exp is missing", (
        lambda g: g - np.asarray(step.value_out) * _total(g, dim)
    )
    yield 0, 0, "diagonal only", "g (1 - s) only: the off-diagonal -s_j of the Jacobian is dropped", lambda g: g * (1 - s())
    yield 0, 0, "sum dropped", "g - s: the sum of g is left out", lambda g: g - s()
    yield 0, 0, "sign", "g + s sum(g): the softmax term has the wrong sign", lambda g: g + s() * _total(g, dim)
    yield 0, 0, "softmax's rule", "s (g - sum(s g)), the rule of softmax", lambda g: (g - _total(g * s(), dim)) * s()
    yield 0, 0, "softmax applied twice", "the Jacobian of softmax is multiplied in once more", (
        lambda g: _through(g - s() * _total(g, dim), s(), dim)
    )
    for other in range(len(step.out_shape)):
        if other != dim % len(step.out_shape):
            yield 0, 0, "wrong axis", f"softmax over dimension {other}; log_softmax is along {dim}", (
                lambda g, other=other: g - _soft(step.value(0), other) * _total(g, dim)
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
        yield i, 0, "sum for mean", f"1/{n} is dropped: the loss is a mean over {n} entries", lambda g: step.right(i, g) * n
        for m in sorted({m for m in step.shape(0) if 1 < m < n}):
            yield i, 0, "wrong n", f"1/{m} where 1/{n} belongs: the mean runs over all {n} entries", (
                lambda g, m=m: step.right(i, g) * (n / m)
            )
    if step.params.get("reduction") == "sum" and n > 1:
        yield i, 0, "mean for sum", f"divided by {n}: the loss is a sum", lambda g: step.right(i, g) / n


def _upstream(step: Step, g: Array) -> Array:
    n = max(int(np.prod(step.shape(0))), 1)
    return np.asarray(g) / (n if step.params.get("reduction") == "mean" else 1)


def _pair(step: Step, slips: list[tuple[str, str, Callable[[Array, Array], Array]]]) -> Iterator[Row]:
    for i in (0, 1):
        yield from _reductions(step, i)
    for name, text, q in slips:
        for i, sign in ((0, 1), (1, -1)):
            yield i, 0, name, text, lambda g, q=q, sign=sign: sign * _upstream(step, g) * q(step.value(0), step.value(1))


def _mse(step: Step) -> Iterator[Row]:
    yield from _pair(step, [
        ("factor dropped", "the factor 2 of 2 (x - y) is dropped", lambda x, y: x - y),
        ("difference dropped", "2 where 2 (x - y) belongs", lambda x, y: 2 + 0 * (x - y)),
        ("target dropped", "2 x where 2 (x - y) belongs", lambda x, y: 2 * x + 0 * y),
        ("factor n dropped", "the loss itself where its derivative belongs", lambda x, y: (x - y) ** 2),
        ("sign for difference", "sign(x - y), the rule of the absolute error", lambda x, y: np.sign(x - y)),
    ])  # fmt: skip
    n = int(np.prod(step.shape(0)))
    if step.params.get("reduction") == "mean" and n > 1:
        for i in (0, 1):
            yield i, 0, "1/(2n)", "the gradient of 1/(2n) sum (x - y)^2 for that of the mean", (
                lambda g, i=i: step.right(i, g) / 2
            )


def _huber(step: Step) -> Iterator[Row]:
    delta = step.params.get("delta", step.params.get("beta", 1.0))
    unit = 1.0 if "delta" in step.params else (1 / delta if delta else 1.0)
    yield from _pair(step, [
        ("gate dropped", "the quadratic branch everywhere: the clip is dropped", lambda x, y: (x - y) * unit),
        ("gate dropped", "the linear branch everywhere", lambda x, y: np.sign(x - y) * (delta if unit == 1.0 else 1.0)),
    ])  # fmt: skip


def _bce(step: Step) -> Iterator[Row]:
    yield from _pair(step, [
        ("denominator dropped", "p - y where (p - y)/(p (1 - p)) belongs", lambda p, y: p - y),
        ("second term missing", "-y/p only: the term (1 - y)/(1 - p) is missing", lambda p, y: -y / p),
        ("first term missing", "(1 - y)/(1 - p) only: the term -y/p is missing", lambda p, y: (1 - y) / (1 - p)),
        ("sign", "-y/p - (1 - y)/(1 - p): the second sign is wrong", lambda p, y: -y / p - (1 - y) / (1 - p)),
        ("denominator", "(p - y)/p: the factor 1 - p is missing", lambda p, y: (p - y) / p),
    ])  # fmt: skip


def _bce_logits(step: Step) -> Iterator[Row]:
    def s(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    yield from _pair(step, [
        ("sigmoid missing", "x - y: the scores where sigmoid(x) belongs", lambda x, y: x - y),
        ("target missing", "sigmoid(x) only: the target is not subtracted", lambda x, y: s(x) + 0 * y),
        ("derivative applied twice", "(s - y) s (1 - s): the derivative of sigmoid is multiplied in once more", (
            lambda x, y: (s(x) - y) * s(x) * (1 - s(x))
        )),
        ("tanh for sigmoid", "tanh(x) - y", lambda x, y: np.tanh(x) - y),
    ])  # fmt: skip


def _nll(step: Step) -> Iterator[Row]:
    reduction = step.params.get("reduction")
    rows = step.shape(0)[0] if len(step.shape(0)) > 1 else 1
    classes = step.shape(0)[1] if len(step.shape(0)) > 1 else step.shape(0)[0]
    if reduction == "mean":
        if rows > 1:
            yield 0, 0, "sum for mean", f"1/{rows} is dropped: the loss is the mean over the batch of {rows}", (
                lambda g: step.right(0, g) * rows
            )
        yield 0, 0, "wrong n", f"divided by all {rows * classes} scores, not by the batch of {rows}", (
            lambda g: step.right(0, g) / classes
        )
    elif reduction == "sum" and rows > 1:
        yield 0, 0, "mean for sum", f"divided by the batch of {rows}: the loss is a sum", lambda g: step.right(0, g) / rows


# ---------------------------------------------------------------------- normalisation


def _norms(step: Step) -> Iterator[Row]:
    split, axes, affine = step.params["split"], step.params["axes"], step.params["affine"]
    eps = step.params["eps"]
    n = int(np.prod([split[a] for a in axes]))

    def parts(g: Array, e: float = eps, unbiased: bool = False) -> tuple[Array, Array, Array]:
        x = np.asarray(step.value(0)).reshape(split)
        d = x - x.mean(axes, keepdims=True)
        var = (d * d).sum(axes, keepdims=True) / (n - 1 if unbiased else n)
        scale = (var + e) ** -0.5
        w = step.node.args[1]
        h = np.asarray(g) if w is None else np.asarray(g) * np.asarray(step.value(1)).reshape(affine)
        return h.reshape(split), d * scale, scale

    def m(v: Array) -> Array:
        return v.mean(axes, keepdims=True)

    def done(r: Array) -> Array:
        return r.reshape(step.shape(0))

    def row(name: str, text: str, formula: Callable[..., Array], rank: int = 0, **how: Any) -> Row:
        return 0, rank, name, text, lambda g: done(formula(*parts(g, **how)))

    yield row("mean and variance constant", "g / std: mean and variance are treated as constants", lambda h, _z, s: h * s)
    yield row("variance constant", "(g - mean(g)) / std: the variance is treated as a constant", lambda h, _z, s: (h - m(h)) * s)
    yield row("mean constant", "(g - z mean(g z)) / std: the mean is treated as a constant", lambda h, z, s: (h - z * m(h * z)) * s)
    yield row("chain factor omitted", "1/std in front is left out", lambda h, z, _s: h - m(h) - z * m(h * z))
    yield row("factor 1/2", "half of the variance term", lambda h, z, s: (h - m(h) - 0.5 * z * m(h * z)) * s, 1)
    yield row("factor 2", "twice the variance term", lambda h, z, s: (h - m(h) - 2 * z * m(h * z)) * s, 1)
    yield row("sum for mean", "sums where means belong", lambda h, z, s: (h - n * m(h) - z * n * m(h * z)) * s, 1)
    yield row("sign", "the variance term has the wrong sign", lambda h, z, s: (h - m(h) + z * m(h * z)) * s, 1)
    yield row("eps left out", f"eps = {eps} is left out", lambda h, z, s: (h - m(h) - z * m(h * z)) * s, 0, e=0.0)
    if n > 1:
        yield row("wrong n", "the variance divides by n - 1 where n belongs", (
            lambda h, z, s: (h - m(h) - z * m(h * z)) * s
        ), unbiased=True)  # fmt: skip
    if step.node.args[1] is not None:
        yield 0, 0, "weight left out", "the weight is left out of the gradient of the input", lambda g: _weightless(step, g)
        yield 1, 0, "input for normalised", "g x summed, where g times the normalised input belongs", (
            lambda g: _collect(np.asarray(g) * step.value(0), affine, step.shape(1))
        )
        rows = int(np.prod(step.out_shape)) // max(int(np.prod(affine)), 1)
        for i, word in ((1, "weight"), (2, "bias")):
            yield i, 0, "mean for sum", f"the gradient of the {word} is averaged over the {rows} rows, not summed", (
                lambda g, i=i: step.right(i, g) / rows
            )


def _weightless(step: Step, g: Array) -> Array:
    p = step.params
    return step.op.vjp[0](np.asarray(g), None, np.asarray(step.value(0)), None, None, **p)


def _collect(v: Array, affine: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    lead = v.ndim - len(affine)
    axes = tuple(range(lead)) + tuple(k + lead for k, m in enumerate(affine) if m == 1)
    return v.sum(axes).reshape(shape)


# ---------------------------------------------------------------------- the rest


def _rows(step: Step) -> Array:
    ids = np.asarray(step.value(1))
    width = int(np.prod(step.shape(0)[1:]))
    return ids.reshape(-1)[:, None] * width + np.arange(width)


def _convolution(step: Step) -> Iterator[Change]:
    op, p = step.op, step.params

    def flipped(v: Array) -> Array:
        return np.flip(v, tuple(range(2, v.ndim)))

    for i in step.live:
        if i == 0:
            yield Change(step.node, 0, 0, "kernel not flipped", "the kernel is not flipped in the gradient of the input", (
                lambda g: op.vjp[0](np.asarray(g), None, _blank(step, 0), flipped(step.value(1)), **p)
            ))  # fmt: skip
        elif i == 1:
            yield Change(step.node, 1, 0, "result flipped", "the gradient of the kernel is flipped", (
                lambda g: flipped(step.right(1, g))
            ))  # fmt: skip
            batch = step.shape(0)[0]
            if batch > 1:
                yield Change(step.node, 1, 1, "mean for sum", f"averaged over the batch of {batch}", (
                    lambda g: step.right(1, g) / batch
                ))  # fmt: skip
        elif i == 2:
            n = int(np.prod(step.out_shape)) // max(step.out_shape[1], 1)
            yield Change(step.node, 2, 0, "mean for sum", f"the bias collects the mean over batch and space ({n}), where "
                         "their sum belongs", lambda g: step.right(2, g) / n)  # fmt: skip


def _blank(step: Step, i: int) -> Array:
    return np.zeros(step.shape(i), step.avals[i].dtype)


def _matrices(step: Step) -> Iterator[Change]:
    """A transpose forgotten: the output or one square operand transposed in the op's own rule, or the result."""
    op, name = step.op, step.op.name
    if op.variadic or step.node.count is not None:
        return
    for i in step.live:
        shape = step.shape(i)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            continue

        def swapped(g: Array, i: int = i, at: int = -1) -> Array:
            values = [np.asarray(v) if hasattr(v, "shape") else v for v in step.every_value()]
            out = np.asarray(step.value_out)
            if at < 0:
                out = _turned(out)
            else:
                values[at] = _turned(values[at])
            return op.vjp[i](np.asarray(g), out, *values, **step.params)

        yield Change(step.node, i, 0, "operand not transposed", f"the output of {name} is not transposed in its vjp", swapped)
        for k in range(len(step.node.args)):
            yield Change(step.node, i, 0, "operand not transposed", f"operand {k} of {name} is not transposed", (
                lambda g, i=i, k=k: swapped(g, i, k)
            ))  # fmt: skip
        yield Change(step.node, i, 0, "result transposed", f"the gradient of {name} is transposed", (
            lambda g, i=i: np.swapaxes(step.right(i, g), -1, -2)
        ))  # fmt: skip


def _turned(v: Any) -> Array:
    if not hasattr(v, "ndim") or v.ndim < 2 or v.shape[-1] != v.shape[-2]:
        raise Missing
    return np.swapaxes(v, -1, -2)


_TABLE: dict[str, Callable[[Step], Iterator[Row]]] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "mse_loss": _mse,
    "huber_loss": _huber,
    "smooth_l1_loss": _huber,
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_logits,
    "nll_loss": _nll,
    "native_layer_norm": _norms,
    "native_batch_norm": _norms,
    "native_group_norm": _norms,
}

__all__ = ["by_hand_changes"]
