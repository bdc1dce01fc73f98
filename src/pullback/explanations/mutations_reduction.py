"""Wrong rules of reductions: a mean for a sum, a wrong count, a factor of a norm, a scan not reversed.

Read `reduction_changes`. A wrong partial is a function of `_Fibers`: the input next to the output. May import
`explanations.mutations_engine`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback.explanations.mutations_engine import Change, Missing, Step, unchanged

Array = Any


class _Fibers:
    """A reduction's input next to its output: cotangents and outputs in the input's number of dimensions."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.shape = step.shape(0)
        dim = step.params.get("dim")
        axes = range(len(self.shape)) if dim is None else (dim if isinstance(dim, tuple) else (dim,))
        self.axes = tuple(a % max(len(self.shape), 1) for a in axes)
        self.lifted = tuple(1 if k in self.axes else n for k, n in enumerate(self.shape))
        self.n = int(np.prod([self.shape[k] for k in self.axes])) if self.shape else 1

    def wide(self, g: Array) -> Array:
        return np.broadcast_to(np.asarray(g).reshape(self.lifted), self.shape)

    @property
    def x(self) -> Array:
        return np.asarray(self.step.value(0))

    @property
    def out(self) -> Array:
        return np.asarray(self.step.value_out).reshape(self.lifted)


def reduction_changes(step: Step) -> Iterator[Change]:
    """A mean for a sum, a wrong count, a factor of a norm or variance, a scan that is not reversed."""
    if 0 not in step.live or step.node.count is not None or step.avals[0].dtype.kind != "f":
        yield from _picked_changes(step)
        return
    name = step.op.name
    if step.op.layout == "scan":
        yield from _scans(step)
        return
    f = _Fibers(step)
    rows = [*_counts(step, f), *_SLIPS.get(name, lambda _f: [])(f)]
    if name in ("max", "min", "amax", "amin", "median"):
        rows += [
            (
                0,
                "gate dropped",
                f"every entry gets the gradient of {name}, not only the selected one",
                lambda _f: 1.0,
            ),
            (
                1,
                "value for gate",
                f"the entries multiply the gradient of {name} instead of the 0/1 gate",
                lambda f: f.x,
            ),
            (
                1,
                "gate at ties",
                f"every tied entry gets the whole gradient of {name}",
                lambda f: f.x == f.out,
            ),
        ]
    if name not in ("sum", "mean", "nansum"):
        rows += [
            (1, "factor omitted", f"the local derivative of {name} is left out (taken as 1)", lambda _f: 1.0),
            (
                1,
                "function for derivative",
                f"{name} itself stands where its derivative belongs",
                lambda f: f.out,
            ),
        ]
    for rank, slip, text, q in rows:
        yield step.change(0, rank, slip, text, lambda g, q=q: f.wide(g) * q(f) * np.ones(f.shape))
    yield step.change(0, 2, "sign flipped", f"a minus sign too many at {name}", step.times(0, -1.0))


def _counts(step: Step, f: _Fibers) -> list[Any]:
    """Sum for mean, mean for sum, and the wrong number to divide by."""
    name, n = step.op.name, f.n
    sizes = sorted({m for m in f.shape if 1 < m < n})
    if name == "sum" and n > 1:
        found: list[Any] = [
            (0, "mean for sum", f"divided by {n}: the rule of mean for a sum", lambda _f: 1 / n)
        ]
        return found + [(1, "mean for sum", f"divided by {m}", lambda _f, m=m: 1 / m) for m in sizes]
    if name == "mean" and n > 1:
        found = [(0, "sum for mean", f"1/{n} is dropped: the rule of sum for a mean", lambda _f: 1.0)]
        return found + [
            (
                0,
                "wrong n",
                f"1/{m} where 1/{n} belongs: mean divides by all {n} entries",
                lambda _f, m=m: 1 / m,
            )
            for m in sizes
        ]
    return []


def _variance(f: _Fibers) -> tuple[Array, float, float]:
    """x - mean, the count the variance divides by, and the other one of n and n - 1."""
    c = f.step.params.get("correction", 1)
    c = 1 if c is None else c
    d = f.x - f.x.mean(f.axes, keepdims=True)
    return d, f.n - c, f.n - (1 - c)


def _variance_slips(_f: _Fibers) -> list[Any]:
    def row(name: str, text: str, q: Any) -> Any:
        return (0, name, text, lambda f: q(*_variance(f), f))

    return [
        row("factor dropped", "the factor 2 of 2 (x - mean)/n is dropped", lambda d, n, _m, _f: d / n),
        row("wrong n", "n where n - 1 belongs (or the reverse)", lambda d, _n, m, _f: 2 * d / max(m, 1e-300)),
        row("mean not subtracted", "2 x/n: the mean is not subtracted", lambda _d, n, _m, f: 2 * f.x / n),
        row("n dropped", "2 (x - mean): not divided by n", lambda d, _n, _m, _f: 2 * d),
    ]


def _deviation_slips(_f: _Fibers) -> list[Any]:
    def row(name: str, text: str, q: Any) -> Any:
        return (0, name, text, lambda f: q(*_variance(f), f))

    return [
        row("root dropped", "2 (x - mean)/n, the rule of the variance", lambda d, n, _m, _f: 2 * d / n),
        row("chain factor omitted", "(x - mean)/n: 1/std is left out", lambda d, n, _m, _f: d / n),
        row(
            "wrong n",
            "n where n - 1 belongs (or the reverse)",
            lambda d, _n, m, f: d / max(m, 1e-300) / f.out,
        ),
        row("n dropped", "(x - mean)/std: not divided by n", lambda d, _n, _m, f: d / f.out),
        row("factor 2", "2 (x - mean)/(n std): a factor 2 too many", lambda d, n, _m, f: 2 * d / n / f.out),
    ]


def _norm_slips(f: _Fibers) -> list[Any]:
    if f.step.params.get("ord") != 2:
        return []
    return [
        (0, "norm dropped", "x where x/|x| belongs: not divided by the norm", lambda f: f.x),
        (0, "square's rule", "2 x, the rule of the squared norm, where x/|x| belongs", lambda f: 2 * f.x),
        (0, "factor 2", "2 x/|x|: a factor 2 too many", lambda f: 2 * f.x / f.out),
        (
            0,
            "factor 1/2",
            "x/(2 |x|): the factor 2 of the inner square is dropped",
            lambda f: f.x / (2 * f.out),
        ),
        (0, "norm squared", "x/|x|^2 where x/|x| belongs", lambda f: f.x / f.out**2),
        (0, "numerator dropped", "1/|x| where x/|x| belongs", lambda f: 1 / f.out),
        (
            0,
            "numerator dropped",
            "1/(2 |x|) where x/|x| belongs: the inner derivative is left out",
            lambda f: 0.5 / f.out,
        ),
        (1, "sign for norm", "sign(x), the rule of the 1-norm", lambda f: np.sign(f.x)),
    ]


def _product_slips(_f: _Fibers) -> list[Any]:
    return [
        (
            0,
            "factor not divided out",
            "the whole product where the product of the others belongs",
            lambda f: f.out,
        ),
        (0, "reciprocal", "1/x: the product itself is left out", lambda f: 1 / f.x),
    ]


def _logsumexp_slips(_f: _Fibers) -> list[Any]:
    return [
        (
            0,
            "normalisation dropped",
            "exp(x) where softmax(x) belongs: not divided by the sum",
            lambda f: np.exp(f.x),
        ),
        (0, "chain factor omitted", "1/sum(exp(x)): exp(x) is left out", lambda f: np.exp(-f.out)),
    ]


_SLIPS: dict[str, Any] = {
    "var": _variance_slips,
    "std": _deviation_slips,
    "linalg_vector_norm": _norm_slips,
    "prod": _product_slips,
    "logsumexp": _logsumexp_slips,
}


def _scans(step: Step) -> Iterator[Change]:
    name, dim = step.op.name, step.params.get("dim", 0)
    if name == "cumsum":
        yield step.change(
            0,
            0,
            "not reversed",
            "cumsum of the gradient, not reversed: the vjp of cumsum sums from the end",
            lambda g: np.cumsum(np.asarray(g), dim),
        )
    yield step.change(0, 0, "chain factor omitted", f"the gradient passes {name} unchanged", unchanged)
    yield step.change(0, 2, "sign flipped", f"a minus sign too many at {name}", step.times(0, -1.0))


def _picked_changes(step: Step) -> Iterator[Change]:
    """max(dim) and the like: every entry gets what belongs to the picked one."""
    dim = step.params.get("dim")
    if step.node.count is None or dim is None or 0 not in step.live or step.op.layout != "select":
        return

    def everywhere(g: Any) -> Array:
        c = np.asarray(g[0])
        if not step.params.get("keepdim", True):
            c = np.expand_dims(c, dim)
        if c.shape[dim] != 1:
            raise Missing
        return np.broadcast_to(c, step.shape(0))

    yield step.change(
        0,
        0,
        "gate dropped",
        f"every entry gets the gradient of {step.op.name}, not only the selected one",
        everywhere,
    )


__all__ = ["reduction_changes"]
