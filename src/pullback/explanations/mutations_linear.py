"""Wrong rules of contractions, reductions and structural ops, as people write them.

Read `contraction_changes` first: one specification gives every way in which an operand can be left
untransposed or put on the wrong side. Then `reduction_changes` (sums, means, norms) and
`structural_changes` (a map of indices undone wrongly). May import `explanations.mutations_engine`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from pullback.explanations.mutations_formulas import right_formula, wrong_formula
from pullback.explanations.mutations_engine import Change, Missing, Step

Array = Any


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "()"


# ---------------------------------------------------------------------- contractions


def spec_of(step: Step) -> tuple[tuple[int, int], tuple[str, str, str]]:
    """The places of the two operands, and the labels of both and of the output."""
    if step.op.name == "linear":
        lead = "abcdef"[: len(step.shape(1)) - 1]
        return (1, 2), (lead + "k", "nk", lead + "n")
    spec = step.op.spec_for(step.shape(0), step.shape(1), step.params)
    operands, out = spec.split("->")
    a, b = operands.split(",")
    return (0, 1), (a, b, out)


def contraction_changes(step: Step) -> Iterator[Change]:
    """An operand untransposed, on the wrong side, replaced by the other one, or left out."""
    places, (a, b, out) = spec_of(step)
    for i in step.live:
        if i not in places or step.avals[i].dtype.kind != "f":
            continue
        first = i == places[0]
        mine, theirs, other = (a, b, places[1]) if first else (b, a, places[0])
        if set(mine) - set(out) - set(theirs):
            continue  # a stretched label: nothing that is written by hand
        yield from _transposed(step, i, other, f"{out},{theirs}->{mine}")
        yield from _replaced(step, i, other, (mine, theirs, out))


def _flips(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs of axes whose exchange keeps the shape; of long shapes the last two."""
    pairs = list(combinations(range(len(shape)), 2)) if len(shape) <= 3 else [(len(shape) - 2, len(shape) - 1)]
    return [(p, q) for p, q in pairs if shape[p] == shape[q] > 1]


def _transposed(step: Step, i: int, other: int, spec: str) -> Iterator[Change]:
    g_shape, o_shape, r_shape = step.out_shape, step.shape(other), step.shape(i)
    none: list[Any] = [None]
    name = step.op.name
    for fg in none + _flips(g_shape):
        for fo in none + _flips(o_shape):
            for fr in none + _flips(r_shape):
                count = sum(f is not None for f in (fg, fo, fr))
                if not count:
                    continue

                def wrong(g: Array, fg: Any = fg, fo: Any = fo, fr: Any = fr) -> Array:
                    return _flip(np.einsum(spec, _flip(np.asarray(g), fg), _flip(step.value(other), fo)), fr)

                slip, rank = "operand not transposed", 0 if fo and count == 1 else 1
                if fg and not fo and not fr:
                    slip = "cotangent transposed"
                elif fr and fo and not fg:
                    slip = "operand order"
                elif fr and not fo and not fg:
                    slip, rank = "result transposed", 1
                elif count > 1:
                    slip = "operand order"
                text = wrong_formula(step, i, (fg is not None, fo is not None, fr is not None))
                yield Change(step.node, i, rank, slip, text or f"axes of an operand of {name} exchanged", wrong)


def _flip(v: Array, pair: tuple[int, int] | None) -> Array:
    return v if pair is None else np.swapaxes(v, *pair)


def _replaced(step: Step, i: int, other: int, labels: tuple[str, str, str]) -> Iterator[Change]:
    mine, theirs, out = labels
    spec = f"{out},{theirs}->{mine}"
    name, right = step.op.name, right_formula(step, i)
    m_shape, o_shape, g_shape = step.shape(i), step.shape(other), step.out_shape
    node = step.node
    if m_shape == o_shape:
        yield Change(node, i, 0, "own operand", f"the operand of {name} itself where the other one belongs: {right}", (
            lambda g: np.einsum(spec, np.asarray(g), step.value(i))
        ))  # fmt: skip
    if set(theirs) & set(out + mine):
        yield Change(node, i, 1, "factor omitted", f"the other operand of {name} is left out: {right}", (
            lambda g: np.einsum(spec, np.asarray(g), np.ones(o_shape, np.asarray(g).dtype))
        ))  # fmt: skip
    if g_shape == m_shape:
        yield Change(node, i, 1, "chain factor omitted", f"the cotangent passes {name} unchanged: {right}", (
            lambda g: np.asarray(g)
        ))  # fmt: skip
        if o_shape == m_shape:
            yield Change(node, i, 1, "elementwise product", f"an elementwise product where {right} belongs", (
                lambda g: np.asarray(g) * step.value(other)
            ))  # fmt: skip
    summed = [c for c in out if c in theirs and c not in mine]
    n = int(np.prod([dict(zip(out, g_shape, strict=True))[c] for c in summed])) if summed else 1
    if n > 1:
        yield Change(node, i, 1, "mean for sum", f"divided by {n}: averaged over the rows that {right} sums over", (
            lambda g: step.right(i, g) / n
        ))  # fmt: skip
    yield Change(node, i, 2, "sign flipped", f"a minus sign too many at {name}", lambda g: -step.right(i, g))


# ---------------------------------------------------------------------- reductions


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
            (0, "gate dropped", f"every entry gets the gradient of {name}, not only the selected one", lambda _f: 1.0),
            (1, "value for gate", f"the entries multiply the gradient of {name} instead of the 0/1 gate", lambda f: f.x),
            (1, "gate at ties", f"every tied entry gets the whole gradient of {name}", lambda f: f.x == f.out),
        ]
    if name not in ("sum", "mean", "nansum"):
        rows += [
            (1, "factor omitted", f"the local derivative of {name} is left out (taken as 1)", lambda _f: 1.0),
            (1, "function for derivative", f"{name} itself stands where its derivative belongs", lambda f: f.out),
        ]
    for rank, slip, text, q in rows:
        yield Change(step.node, 0, rank, slip, text, lambda g, q=q: f.wide(g) * q(f) * np.ones(f.shape))
    yield Change(step.node, 0, 2, "sign flipped", f"a minus sign too many at {name}", lambda g: -step.right(0, g))


def _counts(step: Step, f: _Fibers) -> list[Any]:
    """Sum for mean, mean for sum, and the wrong number to divide by."""
    name, n = step.op.name, f.n
    sizes = sorted({m for m in f.shape if 1 < m < n})
    if name == "sum" and n > 1:
        found: list[Any] = [(0, "mean for sum", f"divided by {n}: the rule of mean for a sum", lambda _f: 1 / n)]
        return found + [(1, "mean for sum", f"divided by {m}", lambda _f, m=m: 1 / m) for m in sizes]
    if name == "mean" and n > 1:
        found = [(0, "sum for mean", f"1/{n} is dropped: the rule of sum for a mean", lambda _f: 1.0)]
        return found + [
            (0, "wrong n", f"1/{m} where 1/{n} belongs: mean divides by all {n} entries", lambda _f, m=m: 1 / m)
            for m in sizes
        ]
    return []


def _variance(f: _Fibers) -> tuple[Array, float, float]:
    """x - mean, the count the variance divides by, and the other one of n and n - 1."""
    c = f.step.params.get("correction", 1)
    c = 1 if c is None else c
    d = f.x - f.x.mean(f.axes, keepdims=True)
    return d, f.n - c, f.n - (1 - c)


def _variance_slips(f: _Fibers) -> list[Any]:
    def row(name: str, text: str, q: Any) -> Any:
        return (0, name, text, lambda f: q(*_variance(f), f))

    return [
        row("factor dropped", "the factor 2 of 2 (x - mean)/n is dropped", lambda d, n, _m, _f: d / n),
        row("wrong n", "n where n - 1 belongs (or the reverse)", lambda d, _n, m, _f: 2 * d / max(m, 1e-300)),
        row("mean not subtracted", "2 x/n: the mean is not subtracted", lambda _d, n, _m, f: 2 * f.x / n),
        row("n dropped", "2 (x - mean): not divided by n", lambda d, _n, _m, _f: 2 * d),
    ]


def _deviation_slips(f: _Fibers) -> list[Any]:
    def row(name: str, text: str, q: Any) -> Any:
        return (0, name, text, lambda f: q(*_variance(f), f))

    return [
        row("root dropped", "2 (x - mean)/n, the rule of the variance", lambda d, n, _m, _f: 2 * d / n),
        row("chain factor omitted", "(x - mean)/n: 1/std is left out", lambda d, n, _m, _f: d / n),
        row("wrong n", "n where n - 1 belongs (or the reverse)", lambda d, _n, m, f: d / max(m, 1e-300) / f.out),
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
        (0, "factor 1/2", "x/(2 |x|): the factor 2 of the inner square is dropped", lambda f: f.x / (2 * f.out)),
        (0, "norm squared", "x/|x|^2 where x/|x| belongs", lambda f: f.x / f.out**2),
        (0, "numerator dropped", "1/|x| where x/|x| belongs", lambda f: 1 / f.out),
        (0, "numerator dropped", "1/(2 |x|) where x/|x| belongs: the inner derivative is left out", lambda f: 0.5 / f.out),
        (1, "sign for norm", "sign(x), the rule of the 1-norm", lambda f: np.sign(f.x)),
    ]


def _product_slips(_f: _Fibers) -> list[Any]:
    return [
        (0, "factor not divided out", "the whole product where the product of the others belongs", lambda f: f.out),
        (0, "reciprocal", "1/x: the product itself is left out", lambda f: 1 / f.x),
    ]


def _logsumexp_slips(_f: _Fibers) -> list[Any]:
    return [
        (0, "normalisation dropped", "exp(x) where softmax(x) belongs: not divided by the sum", lambda f: np.exp(f.x)),
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
        yield Change(step.node, 0, 0, "not reversed", "cumsum of the gradient, not reversed: the vjp of cumsum sums "
                     "from the end", lambda g: np.cumsum(np.asarray(g), dim))  # fmt: skip
    yield Change(step.node, 0, 0, "chain factor omitted", f"the gradient passes {name} unchanged", lambda g: np.asarray(g))
    yield Change(step.node, 0, 2, "sign flipped", f"a minus sign too many at {name}", lambda g: -step.right(0, g))


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

    yield Change(
        step.node, 0, 0, "gate dropped", f"every entry gets the gradient of {step.op.name}, not only the selected one",
        everywhere,
    )  # fmt: skip


# ---------------------------------------------------------------------- structural ops


def structural_changes(step: Step) -> Iterator[Change]:
    """An index map that is not undone, undone twice, or that overwrites where it should add."""
    node, op, name = step.node, step.op, step.op.name
    several = node.count is not None
    for i in step.live:
        shape = step.shape(i)
        if step.avals[i].dtype.kind != "f":
            continue
        if not several:
            yield from _undone(step, i, name)
            if name in ("index", "gather", "index_select", "take", "take_ids"):
                yield from _scattered(step, i)
            if name == "expand":
                yield from _expanded(step, i)
            if name in ("cat", "stack"):
                yield from _exchanged(step, i)
            if name in ("tril", "triu") and step.out_shape == shape:
                yield Change(node, i, 0, "mask dropped", f"the mask of {name} is dropped", lambda g: np.asarray(g))
        yield Change(node, i, 2, "sign flipped", f"a minus sign too many at {op.name}", (
            lambda g, i=i: -step.right(i, g)
        ))  # fmt: skip


def _undone(step: Step, i: int, name: str) -> Iterator[Change]:
    shape, wide = step.shape(i), step.out_shape
    size = int(np.prod(shape))
    if len(step.live) > 1 or int(np.prod(wide)) != size or size < 2 or name in ("cat", "stack", "where"):
        return
    node = step.node
    yield Change(node, i, 0, "not undone", f"the gradient is reshaped to {_shown(shape)} where {name} must be undone", (
        lambda g: np.asarray(g).reshape(shape)
    ))  # fmt: skip
    if len(shape) > 1:
        yield Change(node, i, 1, "order of entries", f"the entries are taken in column order where {name} is undone", (
            lambda g: np.asarray(g).reshape(shape, order="F")
        ))  # fmt: skip
        yield Change(node, i, 1, "order of entries", f"transposed, then reshaped, where {name} is undone", (
            lambda g: np.asarray(g).T.reshape(shape)
        ))  # fmt: skip
    if wide == shape and len(step.node.args) == 1:
        yield Change(node, i, 0, "applied again", f"{name} is applied to the gradient again where it must be undone", (
            lambda g: np.asarray(step.op.eval(np.asarray(g), **step.params))
        ))  # fmt: skip


def _scattered(step: Step, i: int) -> Iterator[Change]:
    """Indices that occur several times: their cotangents add up; people overwrite or average them."""
    shape = step.shape(i)
    size = int(np.prod(shape))

    def places() -> Array:
        others = [step.value(k) if k != i else None for k in range(len(step.node.args))]
        others[i] = np.arange(size).reshape(shape)
        return np.asarray(step.op.eval(*others, **step.params))

    yield from scatter_changes(step, i, places, step.op.name)


def scatter_changes(step: Step, i: int, places: Any, name: str) -> Iterator[Change]:
    """Overwritten, first one kept, or averaged, for cotangents that meet in one entry of argument i."""
    shape = step.shape(i)
    size = int(np.prod(shape))

    def last(g: Array) -> Array:
        r = np.zeros(size, np.asarray(g).dtype)
        r[places().reshape(-1)] = np.asarray(g).reshape(-1)
        return r.reshape(shape)

    def first(g: Array) -> Array:
        r = np.zeros(size, np.asarray(g).dtype)
        r[places().reshape(-1)[::-1]] = np.asarray(g).reshape(-1)[::-1]
        return r.reshape(shape)

    def averaged(g: Array) -> Array:
        n = np.maximum(np.bincount(places().reshape(-1), minlength=size), 1).reshape(shape)
        return step.right(i, g) / n

    yield Change(step.node, i, 0, "overwritten", f"repeated indices of {name} overwrite each other where their "
                 "gradients add up: x[i] = g where x[i] += g belongs", last)  # fmt: skip
    yield Change(step.node, i, 1, "overwritten", f"of repeated indices of {name} only the first one counts", first)
    yield Change(step.node, i, 1, "mean for sum", f"repeated indices of {name} are averaged where they add up", averaged)


def _expanded(step: Step, i: int) -> Iterator[Change]:
    shape, wide = step.shape(i), step.out_shape
    n = int(np.prod(wide)) // max(int(np.prod(shape)), 1)
    if n > 1:
        yield Change(step.node, i, 0, "mean for sum", f"the {n} copies of expand are averaged where they add up", (
            lambda g: step.right(i, g) / n
        ))  # fmt: skip


def _exchanged(step: Step, i: int) -> Iterator[Change]:
    for j in range(len(step.node.args)):
        if j != i and step.shape(j) == step.shape(i):
            yield Change(step.node, i, 0, "parts exchanged", f"part {i} of {step.op.name} gets the gradient of part {j}", (
                lambda g, j=j: _part(step, j, g)
            ))  # fmt: skip


def _part(step: Step, j: int, g: Array) -> Array:
    dim = step.params.get("dim", 0)
    if step.op.name == "stack":
        return np.take(np.asarray(g), j, axis=dim)
    start = sum(step.shape(k)[dim] for k in range(j))
    return np.take(np.asarray(g), range(start, start + step.shape(j)[dim]), axis=dim)


__all__ = ["contraction_changes", "reduction_changes", "scatter_changes", "spec_of", "structural_changes"]
