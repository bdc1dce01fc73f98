"""The convolution ops, for any number of spatial dimensions.

Read `_columns` first: the windows of the padded input, seen through strides, are the columns of one
matrix product per group (BLAS). Convolution is linear in the input and in the weight, so three ops closed
under differentiation carry everything: `convolve` (output from input and weight), `spread` (input from
output and weight: the transposed convolution) and `correlate` (weight from input and output). `conv`
holds their public calls. May import `families`.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from pullback.families.by_hand import by_hand
from pullback.families.by_hand_facets import one_by_one
from pullback.families.facets import Dependence, Sample, broadcast_pairs
from pullback.families.op import TABLE

Ints = tuple[int, ...]


# ---------------------------------------------------------------------- windows


def _padded(x: Any, padding: Ints) -> Any:
    if not any(padding):
        return x
    out = np.zeros(x.shape[:2] + tuple(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)), x.dtype)
    out[(slice(None), slice(None), *(slice(p, p + n) for n, p in zip(x.shape[2:], padding, strict=True)))] = x
    return out


def out_size(n: int, k: int, stride: int, padding: int, dilation: int) -> int:
    """How many windows of k entries fit into a dimension of n."""
    return (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1


def _columns(x: Any, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    """The windows as a copy of shape (N, groups, C/groups * prod(kernel), prod(out))."""
    if not isinstance(x, np.ndarray):  # values without memory, in a compiled program: their places move
        number = np.arange(1, math.prod(x.shape) + 1).reshape(x.shape)
        zero = np.zeros(1, x.dtype, like=x)
        places = _columns(number, kernel, stride, padding, dilation, groups)
        return np.concatenate([zero, x.reshape(-1)])[places]
    sizes = tuple(map(out_size, x.shape[2:], kernel, stride, padding, dilation))
    x = _padded(x, padding)
    steps = x.strides[2:]
    strides = (
        *x.strides[:2],
        *(s * d for s, d in zip(steps, dilation, strict=True)),
        *(s * t for s, t in zip(steps, stride, strict=True)),
    )
    windows = np.lib.stride_tricks.as_strided(x, (*x.shape[:2], *kernel, *sizes), strides, writeable=False)
    rows = x.shape[1] // groups * math.prod(kernel)
    return windows.reshape(x.shape[0], groups, rows, math.prod(sizes))


def _scatter(cols: Any, shape: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Any:
    """The transpose of `_columns`: add every window back into an input of this shape."""
    sizes = tuple(map(out_size, shape[2:], kernel, stride, padding, dilation))
    cols = cols.reshape(shape[0], shape[1], *kernel, *sizes)
    wide = (*shape[:2], *(n + 2 * p for n, p in zip(shape[2:], padding, strict=True)))
    out = np.zeros(wide, cols.dtype, like=cols)
    for place in itertools.product(*map(range, kernel)):
        target = tuple(
            slice(i * d, i * d + s * (m - 1) + 1, s)
            for i, d, s, m in zip(place, dilation, stride, sizes, strict=True)
        )
        out[(slice(None), slice(None), *target)] += cols[(slice(None), slice(None), *place)]
    crop = tuple(slice(p, p + n) for n, p in zip(shape[2:], padding, strict=True))
    return out[(slice(None), slice(None), *crop)]


# ---------------------------------------------------------------------- the three ops


def _convolve(
    x: Any, w: Any, b: Any = None, *, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Any:
    kernel = w.shape[2:]
    cols = _columns(x, kernel, stride, padding, dilation, groups)
    sizes = tuple(map(out_size, x.shape[2:], kernel, stride, padding, dilation))
    out = np.matmul(w.reshape(groups, w.shape[0] // groups, cols.shape[2]), cols)
    out = out.reshape(x.shape[0], w.shape[0], *sizes)
    return out if b is None else out + b.reshape(-1, *(1,) * len(kernel))


def _conj(a: Any) -> Any:
    return np.conj(a) if a.dtype.kind == "c" else a  # np.conj copies real arrays


def _spread(g: Any, w: Any, *, size: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    n, o = g.shape[:2]
    weights = _conj(w).reshape(groups, o // groups, -1)
    flat = np.ascontiguousarray(g, like=g).reshape(n, groups, o // groups, math.prod(g.shape[2:]))
    cols = np.matmul(weights.transpose(0, 2, 1), flat)
    shape = (n, w.shape[1] * groups, *size)
    return _scatter(cols, shape, w.shape[2:], stride, padding, dilation)


def _correlate(
    x: Any, g: Any, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Any:
    cols = _conj(_columns(x, kernel, stride, padding, dilation, groups))
    n, o = g.shape[:2]
    flat = np.ascontiguousarray(g, like=g).reshape(n, groups, o // groups, math.prod(g.shape[2:]))
    w = np.add.reduce(np.matmul(flat, cols.transpose(0, 1, 3, 2)), axis=0)
    return w.reshape(o, x.shape[1] // groups, *kernel)


def _bias_back(g: Any, _out: Any, _x: Any, _w: Any, _b: Any, **_params: Any) -> Any:
    return g.sum((0, *range(2, g.ndim)))


def _sum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


def _convolve_push(tangents: Any, _out: Any, x: Any, w: Any, b: Any = None, **p: Any) -> Any:
    dx, dw, db = (*tangents, None)[:3]
    t = _sum(
        convolve(dx, w, None, **p) if dx is not None else None,
        convolve(x, dw, None, **p) if dw is not None else None,
    )
    if b is None or db is None:
        return t
    db = db.reshape([-1] + [1] * (w.ndim - 2))
    return t + db if t is not None else convolve(x * 0, w, None, **p) + db


# ---------------------------------------------------------------------- pattern and batch


def _terms(x_shape: Ints, w_shape: Ints, p: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Every product of the sum: flat indices of its output, input and weight entries."""
    groups, kernel = p["groups"], w_shape[2:]
    ids = np.arange(1, math.prod(x_shape) + 1).reshape(x_shape)
    cols = _columns(ids, kernel, p["stride"], p["padding"], p["dilation"], groups) - 1
    n, _, rows, places = cols.shape
    outs = np.arange(n * w_shape[0] * places).reshape(n, groups, w_shape[0] // groups, 1, places)
    weights = np.arange(math.prod(w_shape)).reshape(1, groups, w_shape[0] // groups, rows, 1)
    every = np.broadcast_arrays(outs, cols[:, :, None], weights)
    inside = (every[1] >= 0).reshape(-1)
    o, x, w = (a.reshape(-1)[inside] for a in every)
    return o, x, w


BOTH = frozenset({(0, 1), (1, 0)})


def _convolve_depend(avals: Any, p: Any, _values: Any = None) -> Dependence:
    x, w, b = avals if len(avals) == 3 else (*avals, None)
    o, i, k = _terms(tuple(x.shape), tuple(w.shape), p)
    if b is None:
        return Dependence([(o, i), (o, k), *([None] * (len(avals) - 2))], BOTH)
    sizes = tuple(map(out_size, x.shape[2:], w.shape[2:], p["stride"], p["padding"], p["dilation"]))
    return Dependence(
        [(o, i), (o, k), broadcast_pairs((x.shape[0], w.shape[0], math.prod(sizes)), (w.shape[0], 1))], BOTH
    )


def _spread_depend(avals: Any, p: Any, _values: Any = None) -> Dependence:
    g, w = avals
    shape = (g.shape[0], w.shape[1] * p["groups"], *p["size"])
    o, i, k = _terms(shape, tuple(w.shape), p)
    return Dependence([(i, o), (i, k)], BOTH)


def _correlate_depend(avals: Any, p: Any, _values: Any = None) -> Dependence:
    x, g = avals
    o, i, k = _terms(tuple(x.shape), (g.shape[1], x.shape[1] // p["groups"], *p["kernel"]), p)
    return Dependence([(k, i), (k, o)], BOTH)


def _batch(name: str) -> Any:
    """Lanes of images are more images: fold the first argument's lanes into its batch; else one by one."""

    def rule(size: int, dims: Any, args: Any, params: dict[str, Any]) -> Any:
        op = TABLE[name]
        if dims[0] is None or any(d is not None for d in dims[1:]):
            return one_by_one(op, size, dims, args, params)
        x = args[0].movedim(dims[0], 0)
        shape = tuple(x.shape)
        r = op(x.reshape((shape[0] * shape[1], *shape[2:])), *args[1:], **params)
        return r.reshape((shape[0], shape[1], *tuple(r.shape)[1:])), 0

    return rule


def _samples() -> list[Sample]:
    def values(*shape: int, phase: float = 0.0) -> Any:
        return np.sin(1.7 * np.arange(math.prod(shape)) + phase).reshape(shape)

    def p(n: int, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> dict[str, Any]:
        return {
            "stride": (stride,) * n,
            "padding": (padding,) * n,
            "dilation": (dilation,) * n,
            "groups": groups,
        }

    return [
        Sample((values(2, 2, 6), values(3, 2, 3, phase=1), values(3, phase=2)), p(1), note="1-D with bias"),
        Sample(
            (values(1, 2, 5, 4), values(2, 2, 2, 3, phase=1), None), p(2, 2, 1), note="2-D, strided, padded"
        ),
        Sample(
            (values(1, 4, 7), values(4, 2, 2, phase=1), None), p(1, 1, 0, 2, 2), note="dilated, in two groups"
        ),
    ]


convolve = by_hand(
    "convolution",
    _convolve,
    vjp=[
        lambda g, _out, x, w, _b=None, **p: spread(g, w, size=tuple(x.shape[2:]), **p),
        lambda g, _out, x, w, _b=None, **p: correlate(x, g, kernel=tuple(w.shape[2:]), **p),
        _bias_back,
    ],
    jvp=_convolve_push,
    samples=_samples,
    backward="ConvolutionBackward0",
    facets={"depend": _convolve_depend, "batch": _batch("convolution"), "multilinear": True},
)
spread = by_hand(
    "convolution_input",
    _spread,
    vjp=[
        lambda u, _out, _g, w, *, size, **p: convolve(u, w, None, **p),  # noqa: ARG005
        lambda u, _out, g, w, *, size, **p: correlate(u, g, kernel=tuple(w.shape[2:]), **p),  # noqa: ARG005
    ],
    jvp=lambda tangents, _out, g, w, **p: _sum(
        spread(tangents[0], w, **p) if tangents[0] is not None else None,
        spread(g, tangents[1], **p) if tangents[1] is not None else None,
    ),
    samples=lambda: [
        Sample(
            (np.sin(np.arange(12.0)).reshape(1, 2, 2, 3), np.cos(np.arange(12.0)).reshape(2, 1, 2, 3)),
            {"size": (4, 5), "stride": (2, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1},
        )
    ],
    backward="ConvolutionBackward0",
    facets={"depend": _spread_depend, "batch": _batch("convolution_input"), "multilinear": True},
)
correlate = by_hand(
    "convolution_weight",
    _correlate,
    vjp=[
        lambda u, _out, x, g, *, kernel, **p: spread(g, u, size=tuple(x.shape[2:]), **p),  # noqa: ARG005
        lambda u, _out, x, _g, *, kernel, **p: convolve(x, u, None, **p),  # noqa: ARG005
    ],
    jvp=lambda tangents, _out, x, g, **p: _sum(
        correlate(tangents[0], g, **p) if tangents[0] is not None else None,
        correlate(x, tangents[1], **p) if tangents[1] is not None else None,
    ),
    samples=lambda: [
        Sample(
            (np.sin(np.arange(12.0)).reshape(1, 2, 6), np.cos(np.arange(9.0)).reshape(1, 3, 3)),
            {"kernel": (2,), "stride": (2,), "padding": (0,), "dilation": (1,), "groups": 1},
        )
    ],
    backward="ConvolutionWeightBackward0",
    facets={"depend": _correlate_depend, "multilinear": True},
)
