"""What the judge knows about each op: how it is written, what it computes, and each entry of its derivative.

Nothing here calls pullback: values are NumPy's, derivatives are closed forms written out, entry by entry. A
rule answers for one call of one op; `RULES` is the table. Read `Pairs` and `Rule`, then any rule.

The kind of a pair says what its zero would be called *if* it is zero; several allowed names are joined by
`|`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Pairs(NamedTuple):
    """d out[outputs] / d arg[inputs] = values, with flat indices; `kinds` names the zeros."""

    outputs: Any
    inputs: Any
    values: Any
    kinds: Any


class Rule(NamedTuple):
    """One way to call an op.

    op       the name in pullback's table
    source   the expression, with {0}, {1}, ... for the arguments and {name} for the parameters
    forward  (*arrays, **params) -> array
    pairs    (out, *arrays, **params) -> a Pairs per argument, None where the argument has no derivative
    cut      why autograd does not follow the result, or ""
    """

    op: str
    source: str
    forward: Callable[..., Any]
    pairs: Callable[..., list[Pairs | None]]
    cut: str = ""


def made(outputs, inputs, values, kinds):
    """Pairs of one length, from whatever broadcasts to it."""
    n = len(outputs)
    values = np.broadcast_to(values, n) if np.ndim(values) == 0 else np.reshape(values, -1)
    kinds = np.broadcast_to(np.asarray(kinds, object), n) if np.ndim(kinds) == 0 else np.reshape(kinds, -1)
    return Pairs(np.asarray(outputs), np.asarray(inputs), values, kinds)


# ---------------------------------------------------------------------- entry by entry


def elementwise(op, source, forward, *partials, cut=""):
    """Output entry k depends on the entry of each argument that is broadcast there.

    A partial is (derivative, kind): functions of (out, *arrays, **params), the kind may be a plain name.
    """

    def pairs(out, *arrays, **params):
        found = []
        for array, partial in zip(arrays, partials, strict=True):
            if partial is None:
                found.append(None)
                continue
            derivative, kind = partial
            ids = np.broadcast_to(np.arange(array.size).reshape(array.shape), out.shape)
            with np.errstate(all="ignore"):
                values = np.broadcast_to(derivative(out, *arrays, **params), out.shape)
                kinds = kind(out, *arrays, **params) if callable(kind) else kind
            if np.ndim(kinds):
                kinds = np.broadcast_to(kinds, out.shape)
            found.append(made(np.arange(out.size), ids.reshape(-1), values, kinds))
        return found

    return Rule(op, source, forward, pairs, cut)


def one(_out, *_arrays, **_params):
    return 1.0


def named(mask, yes, no):
    """`yes` where the mask holds, else `no`."""
    return np.where(mask, np.array(yes, object), np.array(no, object))


NEVER = "no zero is possible here"
FACTOR = "Annihilated"
ENDLESS = "Annihilated|Saturated|Stationary|Underflow"  # at infinity, any of them


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


def _extreme(sign):
    """d maximum / d its first argument: 1 where it is the larger one, 1/2 at a tie."""
    return lambda _out, a, b: np.where(a == b, 0.5, (sign * a > sign * b) * 1.0)


def _other(sign):
    return lambda out, a, b: _extreme(sign)(out, b, a)


def _open(out, x, *, low, high):
    return ((x >= low) & (x <= high)) * 1.0


ENTRYWISE = {
    "add": elementwise("add", "{0} + {1}", np.add, (one, NEVER), (one, NEVER)),
    "sub": elementwise("sub", "{0} - {1}", np.subtract, (one, NEVER), (lambda _out, _a, _b: -1.0, NEVER)),
    "mul": elementwise(
        "mul", "{0} * {1}", np.multiply, (lambda _out, _a, b: b, FACTOR), (lambda _out, a, _b: a, FACTOR)
    ),
    "div": elementwise(
        "div",
        "{0} / {1}",
        np.divide,
        (lambda _out, _a, b: 1 / b, lambda _out, _a, b: named(np.isinf(b), FACTOR, "Underflow")),
        (
            lambda _out, a, b: -(a / b) / b,
            lambda _out, a, b: named((a == 0) | np.isinf(b), FACTOR, "Underflow"),
        ),
    ),
    "scale": elementwise(
        "mul", "{0} * {c}", lambda x, *, c: x * x.dtype.type(c), (lambda _out, _x, *, c: c, FACTOR)
    ),
    "shift": elementwise("add", "{0} + {c}", lambda x, *, c: x + x.dtype.type(c), (one, NEVER)),
    "rsub": elementwise(
        "rsub", "{c} - {0}", lambda x, *, c: x.dtype.type(c) - x, (lambda _out, _x, *, c: -1.0, NEVER)
    ),
    "neg": elementwise("neg", "-{0}", np.negative, (lambda _out, _x: -1.0, NEVER)),
    "square": elementwise(
        "pow",
        "{0}.square()",
        np.square,
        (lambda _out, x: 2 * x, "Stationary"),
    ),
    "pow": elementwise(
        "pow",
        "{0} ** {c}",
        lambda x, *, c: x**c,
        (
            lambda _out, x, *, c: c * x ** max(c - 1, 0),
            # the exponent is a factor of the derivative; a power that underflows is not at a stationary point
            lambda _out, x, *, c: (
                FACTOR + "|Stationary" if c == 0 else named(x == 0, "Stationary", "Underflow")
            ),
        ),
    ),
    "exp": elementwise("exp", "{0}.exp()", np.exp, (lambda out, _x: out, "Underflow")),
    "sin": elementwise("sin", "{0}.sin()", np.sin, (lambda _out, x: np.cos(x), "Stationary")),
    "cos": elementwise("cos", "{0}.cos()", np.cos, (lambda _out, x: -np.sin(x), "Stationary")),
    "tanh": elementwise("tanh", "{0}.tanh()", np.tanh, (lambda out, _x: 1 - out * out, "Saturated")),
    "sigmoid": elementwise(
        "sigmoid", "{0}.sigmoid()", _sigmoid, (lambda out, _x: out * (1 - out), "Saturated")
    ),
    "relu": elementwise(
        "relu", "{0}.relu()", lambda x: np.maximum(x, 0), (lambda _out, x: (x > 0) * 1.0, "GateClosed")
    ),
    "leaky_relu": elementwise(
        "leaky_relu",
        "pb.nn.functional.leaky_relu({0}, {c})",
        lambda x, *, c: np.where(x > 0, x, x.dtype.type(c) * x),
        (lambda _out, x, *, c: np.where(x > 0, 1.0, c), "GateClosed|" + FACTOR),
    ),
    "clamp": elementwise(
        "clamp",
        "{0}.clamp({low}, {high})",
        lambda x, *, low, high: np.clip(x, low, high).astype(x.dtype),
        (_open, "GateClosed"),
    ),
    "abs": elementwise("abs", "{0}.abs()", np.abs, (lambda _out, x: np.sign(x), "Stationary|GateClosed")),
    "maximum": elementwise(
        "maximum",
        "pb.maximum({0}, {1})",
        np.maximum,
        (_extreme(1), "Unselected"),
        (_other(1), "Unselected"),
    ),
    "minimum": elementwise(
        "minimum",
        "pb.minimum({0}, {1})",
        np.minimum,
        (_extreme(-1), "Unselected"),
        (_other(-1), "Unselected"),
    ),
    "where": elementwise(
        "where",
        "pb.where({0}, {1}, {2})",
        np.where,
        # moving the condition moves the output in steps
        (lambda _out, _c, _a, _b: 0.0, "Discrete"),
        (lambda _out, c, _a, _b: c * 1.0, "Unselected"),
        (lambda _out, c, _a, _b: ~c * 1.0, "Unselected"),
    ),
    "greater": elementwise(
        "gt", "{0} > {c}", lambda x, *, c: x > c, (lambda _out, _x, *, c: 0.0, "Discrete"), cut="integer"
    ),
    "masked_fill": elementwise(
        "masked_fill",
        "{1}.masked_fill({0}, {c})",
        lambda m, x, *, c: np.where(m, x.dtype.type(c), x),
        None,
        (lambda _out, m, _x, *, c: ~m * 1.0, "Unselected"),
    ),
    "softplus": elementwise(
        "softplus",
        "pb.nn.functional.softplus({0})",
        lambda x: np.logaddexp(x, 0),
        (lambda _out, x: np.where(x > 20, 1.0, _sigmoid(x)), "Saturated|Underflow"),
    ),
    "floor": elementwise("floor", "{0}.floor()", np.floor, (lambda _out, _x: 0.0, "Discrete")),
    "round": elementwise("round", "{0}.round()", np.round, (lambda _out, _x: 0.0, "Discrete")),
    "sign": elementwise("sign", "{0}.sign()", np.sign, (lambda _out, _x: 0.0, "Discrete")),
    "log": elementwise(
        "log",
        "{0}.log()",
        np.log,
        (lambda _out, x: 1 / x, lambda _out, x: named(np.isinf(x), ENDLESS, "Underflow")),
    ),
    "sqrt": elementwise("sqrt", "{0}.sqrt()", np.sqrt, (lambda out, _x: 0.5 / out, "Underflow")),
    "reciprocal": elementwise(
        "reciprocal",
        "{0}.reciprocal()",
        np.reciprocal,
        (lambda out, _x: -out * out, lambda _out, x: named(np.isinf(x), ENDLESS, "Underflow")),
    ),
    # where autograd stops following: the derivative itself is 1, the link is dead because it was cut
    "detach": elementwise("detach", "{0}.detach()", np.copy, (one, NEVER), cut="detach"),
    "long": elementwise(
        "to|to_copy",
        "{0}.long()",
        lambda x: np.trunc(x).astype(np.int64),
        (lambda _out, _x: 0.0, "Discrete"),
        cut="integer",
    ),
    "double": elementwise("to|to_copy", "{0}.double()", lambda x: x.astype(np.float64), (one, NEVER)),
    "float": elementwise("to|to_copy", "{0}.float()", lambda x: x.astype(np.float32), (one, NEVER)),
}


# ---------------------------------------------------------------------- moved, never changed


def structural(op, source, forward, arguments=1, moved=1):
    """Entries are moved: the op applied to the entries' numbers says which came from where.

    The first `moved` arguments are moved (None: all of them); the others are indices.
    """

    def pairs(out, *arrays, **params):
        count = len(arrays) if moved is None else moved
        found: list[Pairs | None] = [None] * len(arrays)
        for i in range(count):
            ids = [np.full(a.shape, -1) for a in arrays[:count]]
            ids[i] = np.arange(arrays[i].size).reshape(arrays[i].shape)
            came = np.reshape(forward(*ids, *arrays[count:], **params), -1)
            places = np.nonzero(came >= 0)[0]
            found[i] = made(places, came[places], 1.0, NEVER)
        return found

    return Rule(op, source, forward, pairs)


STRUCTURAL = {
    "reshape": structural("view|unsafe_view", "{0}.reshape({shape})", lambda x, *, shape: x.reshape(shape)),
    "permute": structural("permute", "{0}.permute({dims})", lambda x, *, dims: x.transpose(dims)),
    "t": structural("t", "{0}.t()", np.transpose),
    "row": structural("slice", "{0}[{i}]", lambda x, *, i: x[i]),
    "tail": structural("slice", "{0}[{i}:]", lambda x, *, i: x[i:]),
    "column": structural("slice", "{0}[:, {i}]", lambda x, *, i: x[:, i]),
    "index": structural("index", "{0}[{1}]", lambda x, at: x[at]),
    "cat": structural("cat", "pb.cat([{0}, {1}])", lambda a, b: np.concatenate([a, b]), moved=None),
    "stack": structural("stack", "pb.stack([{0}, {1}])", lambda a, b: np.stack([a, b]), moved=None),
    "flip": structural("flip", "{0}.flip(0)", lambda x: x[::-1]),
    "gather": structural("gather", "{0}.gather(0, {1})", lambda x, at: np.take_along_axis(x, at, 0)),
    "expand": structural("expand", "{0}.expand({shape})", lambda x, *, shape: np.broadcast_to(x, shape)),
}


# ---------------------------------------------------------------------- along an axis


RUNNING = ("cumsum", "cumprod")  # entry i of a fiber reaches entries i, i + 1, ... only


def along(op, source, forward, derivative, kind, cut=""):
    """An op on each fiber of x: `derivative(x) -> (outputs of one fiber, its entries)` for a 1-d x.

    `dim` None: all of x is one fiber.
    """

    def pairs(out, x, *, dim):
        ids = np.arange(x.size).reshape(x.shape)
        if dim is None:
            fibers, places = [ids.reshape(-1)], [np.arange(out.size)]
        else:
            fibers = np.moveaxis(ids, dim, -1).reshape(-1, x.shape[dim])
            outs = np.arange(out.size).reshape(out.shape)
            kept = np.moveaxis(outs, dim, -1) if out.ndim == x.ndim else outs[..., None]
            places = kept.reshape(len(fibers), -1)
        parts = []
        for fiber, place in zip(fibers, places, strict=True):
            entries = x.reshape(-1)[fiber]
            with np.errstate(all="ignore"):
                J = np.reshape(derivative(entries), (len(place), len(fiber)))
                names = kind(entries) if callable(kind) else kind
            used = np.tri(len(fiber), dtype=bool) if op in RUNNING else np.ones(J.shape, bool)
            r, c = np.nonzero(used)
            names = np.broadcast_to(np.asarray(names, object), J.shape)
            parts.append((place[r], fiber[c], J[r, c], names[r, c]))
        return [made(*(np.concatenate(p) for p in zip(*parts, strict=True)))]

    return Rule(op, source, forward, pairs, cut)


def _others(x):
    """The product of all other entries."""
    return np.array([np.prod(np.delete(x, i)) for i in range(len(x))], x.dtype)


def _others_zero(x):
    """A zero product of the others: a factor is zero, or the product underflowed."""
    return np.array([FACTOR if (np.delete(x, i) == 0).any() else "Underflow" for i in range(len(x))], object)


def _running(x):
    """d cumprod[i] / d x[j]: the product of all entries up to i but x[j]."""
    n = len(x)
    return np.array(
        [[np.prod(np.delete(x[: i + 1], j)) if j <= i else 0 for j in range(n)] for i in range(n)]
    )


def _running_zero(x):
    n = len(x)
    return np.array(
        [
            [FACTOR if (np.delete(x[: i + 1], min(i, j)) == 0).any() else "Underflow" for j in range(n)]
            for i in range(n)
        ],
        object,
    )


def _lowest_shared(x):
    return _shared(-x)


def _shared(x):
    """Ties share the derivative evenly."""
    top = x == x.max()
    return top / top.sum()


def _first(x):
    """The first of the largest takes all of it."""
    return np.arange(len(x)) == np.argmax(x)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def _softmax_derivative(x):
    p = softmax(x)
    J = -np.outer(p, p)
    J[np.diag_indices(len(p))] = p * (1 - p)
    return J


def _logsumexp(x):
    return np.log(np.exp(x - x.max()).sum()) + x.max()


def _on_fibers(function):
    return lambda x, *, dim: np.apply_along_axis(function, dim, x)


SATURATED = "Saturated|Underflow"

REDUCED = {
    "sum": along("sum", "{0}.sum({dim})", lambda x, *, dim: x.sum(dim), np.ones_like, NEVER),
    "mean": along(
        "mean", "{0}.mean({dim})", lambda x, *, dim: x.mean(dim), lambda x: np.full(len(x), 1 / len(x)), NEVER
    ),
    "prod": along("prod", "{0}.prod({dim})", lambda x, *, dim: x.prod(dim), _others, _others_zero),
    "amax": along("amax", "{0}.amax({dim})", lambda x, *, dim: x.max(dim), _shared, "Unselected"),
    "max_dim": along("max_dim", "{0}.max({dim})[0]", lambda x, *, dim: x.max(dim), _first, "Unselected"),
    "max": along("max", "{0}.max()", lambda x, *, dim: x.max(), _shared, "Unselected"),
    "cumsum": along(
        "cumsum", "{0}.cumsum({dim})", lambda x, *, dim: x.cumsum(dim), lambda x: np.tri(len(x)), NEVER
    ),
    "cumprod": along(
        "cumprod", "{0}.cumprod({dim})", lambda x, *, dim: x.cumprod(dim), _running, _running_zero
    ),
    "amin": along("amin", "{0}.amin({dim})", lambda x, *, dim: x.min(dim), _lowest_shared, "Unselected"),
    "min": along("min", "{0}.min()", lambda x, *, dim: x.min(), _lowest_shared, "Unselected"),
    "softmax": along("softmax", "{0}.softmax({dim})", _on_fibers(softmax), _softmax_derivative, SATURATED),
    "log_softmax": along(
        "log_softmax",
        "{0}.log_softmax({dim})",
        _on_fibers(lambda x: x - _logsumexp(x)),
        lambda x: np.eye(len(x)) - softmax(x),
        SATURATED,
    ),
    "logsumexp": along("logsumexp", "{0}.logsumexp({dim})", _on_fibers(_logsumexp), softmax, SATURATED),
    "max_indices": along(
        "max_dim",
        "{0}.max({dim})[1]",
        lambda x, *, dim: x.argmax(dim),
        np.zeros_like,
        "Discrete",
        cut="integer",
    ),
    "argmax": along(
        "argmax",
        "{0}.argmax({dim})",
        lambda x, *, dim: x.argmax(dim),
        np.zeros_like,
        "Discrete",
        cut="integer",
    ),
}


# ---------------------------------------------------------------------- products of matrices


def product(op, source, forward):
    """Vectors and matrices: out[i, j] = sum over k of a[i, k] b[k, j]; every pair is a link, zero weights
    too."""

    def pairs(out, a, b):
        A = a.reshape(-1, a.shape[-1])
        B = b.reshape(len(b), -1)
        (n, m), p = A.shape, B.shape[1]
        i, k, j = (g.reshape(-1) for g in np.meshgrid(range(n), range(m), range(p), indexing="ij"))
        places = i * p + j
        return [
            made(places, i * m + k, B[k, j], FACTOR),
            made(places, k * p + j, A[i, k], FACTOR),
        ]

    return Rule(op, source, forward, pairs)


PRODUCTS = {
    "mm": product("mm", "{0} @ {1}", np.matmul),
    "mv": product("mv", "{0} @ {1}", np.matmul),
    "dot": product("dot", "{0} @ {1}", np.matmul),
}


def _linear(c, x, W):
    return x @ W.T + c


def _linear_pairs(_out, c, x, W):
    """out[i, j] = c[j] + sum over k of x[i, k] W[j, k]; pullback's order of arguments is this one."""
    X = x.reshape(-1, x.shape[-1])
    n, (p, m) = len(X), W.shape
    i, j, k = (g.reshape(-1) for g in np.meshgrid(range(n), range(p), range(m), indexing="ij"))
    places = np.arange(n * p)
    return [
        made(places, places % p, 1.0, NEVER),
        made(i * p + j, i * m + k, W[j, k], FACTOR),
        made(i * p + j, j * m + k, X[i, k], FACTOR),
    ]


def _mse_pairs(_out, a, b):
    slope = (2 * (a - b) / a.size).reshape(-1)
    first, every = np.zeros(a.size, int), np.arange(a.size)
    return [made(first, every, slope, "Stationary"), made(first, every, -slope, "Stationary")]


LOSSES = {
    "linear": Rule("linear", "pb.nn.functional.linear({1}, {2}, {0})", _linear, _linear_pairs),
    "mse_loss": Rule(
        "mse_loss", "pb.nn.functional.mse_loss({0}, {1})", lambda a, b: np.mean((a - b) ** 2), _mse_pairs
    ),
}

RULES: dict[str, Rule] = {**ENTRYWISE, **STRUCTURAL, **REDUCED, **PRODUCTS, **LOSSES}
