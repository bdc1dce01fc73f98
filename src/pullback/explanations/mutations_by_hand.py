"""Wrong rules of normalisation, embedding, convolution, linear layers and linear algebra.

Read `by_hand_changes` first: the named slips of an op, then those that any rule of matrices allows (a
transpose forgotten in the output or an operand). May import `explanations.mutations_*`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pullback.explanations.mutations_contraction import contraction_changes
from pullback.explanations.mutations_elementwise import broadcast_changes
from pullback.explanations.mutations_engine import Change, Missing, Step, unchanged
from pullback.explanations.mutations_losses import LOSSES, Row
from pullback.explanations.mutations_structural import scatter_changes

Array = Any


def by_hand_changes(step: Step) -> Iterator[Change]:
    """The wrong rules of an op whose rules are written out."""
    name, live = step.op.name, set(step.live)
    rows = _TABLE.get(name)
    for i, rank, slip, text, wrong in rows(step) if rows is not None else ():
        if i in live:
            yield step.change(i, rank, slip, text, wrong)
    yield from _of_kind(step, name, live)
    for i in step.live:
        if step.node.count is None and step.shape(i) == step.out_shape and step.avals[i].dtype.kind == "f":
            yield step.change(
                i, 1, "chain factor omitted", f"the gradient passes {name} unchanged", unchanged
            )
        yield step.change(i, 1, "sign flipped", f"{name} with the wrong sign", step.times(i, -1.0))


def _of_kind(step: Step, name: str, live: set[int]) -> Iterator[Change]:
    """Linear layers, convolutions, look-ups, matrices."""
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

    yield row(
        "mean and variance constant",
        "g / std: mean and variance are treated as constants",
        lambda h, _z, s: h * s,
    )
    yield row(
        "variance constant",
        "(g - mean(g)) / std: the variance is treated as a constant",
        lambda h, _z, s: (h - m(h)) * s,
    )
    yield row(
        "mean constant",
        "(g - z mean(g z)) / std: the mean is treated as a constant",
        lambda h, z, s: (h - z * m(h * z)) * s,
    )
    yield row("chain factor omitted", "1/std in front is left out", lambda h, z, _s: h - m(h) - z * m(h * z))
    yield row(
        "factor 1/2", "half of the variance term", lambda h, z, s: (h - m(h) - 0.5 * z * m(h * z)) * s, 1
    )
    yield row("factor 2", "twice the variance term", lambda h, z, s: (h - m(h) - 2 * z * m(h * z)) * s, 1)
    yield row(
        "sum for mean", "sums where means belong", lambda h, z, s: (h - n * m(h) - z * n * m(h * z)) * s, 1
    )
    yield row(
        "sign", "the variance term has the wrong sign", lambda h, z, s: (h - m(h) + z * m(h * z)) * s, 1
    )
    yield row(
        "eps left out", f"eps = {eps} is left out", lambda h, z, s: (h - m(h) - z * m(h * z)) * s, 0, e=0.0
    )
    if n > 1:
        yield row(
            "wrong n",
            "the variance divides by n - 1 where n belongs",
            (lambda h, z, s: (h - m(h) - z * m(h * z)) * s),
            unbiased=True,
        )
    if step.node.args[1] is not None:
        yield (
            0,
            0,
            "weight left out",
            "the weight is left out of the gradient of the input",
            lambda g: _weightless(step, g),
        )
        yield (
            1,
            0,
            "input for normalised",
            "g x summed, where g times the normalised input belongs",
            (lambda g: _collect(np.asarray(g) * step.value(0), affine, step.shape(1))),
        )
        rows = int(np.prod(step.out_shape)) // max(int(np.prod(affine)), 1)
        for i, word in ((1, "weight"), (2, "bias")):
            yield (
                i,
                0,
                "mean for sum",
                f"the gradient of the {word} is averaged over the {rows} rows, not summed",
                step.times(i, 1 / rows),
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
            yield step.change(
                0,
                0,
                "kernel not flipped",
                "the kernel is not flipped in the gradient of the input",
                (lambda g: op.vjp[0](np.asarray(g), None, _blank(step, 0), flipped(step.value(1)), **p)),
            )
        elif i == 1:
            yield step.change(
                1,
                0,
                "result flipped",
                "the gradient of the kernel is flipped",
                (lambda g: flipped(step.right(1, g))),
            )
            batch = step.shape(0)[0]
            if batch > 1:
                yield step.change(
                    1, 1, "mean for sum", f"averaged over the batch of {batch}", step.times(1, 1 / batch)
                )
        elif i == 2:
            n = int(np.prod(step.out_shape)) // max(step.out_shape[1], 1)
            yield step.change(
                2,
                0,
                "mean for sum",
                f"the bias collects the mean over batch and space ({n}), where their sum belongs",
                step.times(2, 1 / n),
            )


def _blank(step: Step, i: int) -> Array:
    return np.zeros(step.shape(i), step.avals[i].dtype)


def _matrices(step: Step) -> Iterator[Change]:
    """A transpose forgotten: of the output or one square operand in the op's own rule, or of the result."""
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

        yield step.change(
            i, 0, "operand not transposed", f"the output of {name} is not transposed in its vjp", swapped
        )
        for k in range(len(step.node.args)):
            yield step.change(
                i,
                0,
                "operand not transposed",
                f"operand {k} of {name} is not transposed",
                (lambda g, i=i, k=k: swapped(g, i, k)),
            )
        yield step.change(
            i,
            0,
            "result transposed",
            f"the gradient of {name} is transposed",
            (lambda g, i=i: np.swapaxes(step.right(i, g), -1, -2)),
        )


def _turned(v: Any) -> Array:
    if not hasattr(v, "ndim") or v.ndim < 2 or v.shape[-1] != v.shape[-2]:
        raise Missing
    return np.swapaxes(v, -1, -2)


_TABLE: dict[str, Callable[[Step], Iterator[Row]]] = {
    **LOSSES,
    "native_layer_norm": _norms,
    "native_batch_norm": _norms,
    "native_group_norm": _norms,
}

__all__ = ["by_hand_changes"]
