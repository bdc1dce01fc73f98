"""Pooling: the average and the maximum of windows.

Read `windows` first. `avg_pool` and its transpose carry each other's derivatives; `max_pool` returns its
winners' indices, and its cotangent is a scatter to them (`place_winners`). `pool_adaptive` holds the
pools with a wanted output size. May import `families`, `graph`, `errors`, `windows`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.by_hand import by_hand
from pullback.families.facets import Dependence, Sample
from pullback.families.op import apply
from pullback.ops.windows import ALL, Ints, Windows, all_pairs, leading, window_pattern

# ---------------------------------------------------------------------- average


def _windows(shape: Ints, p: dict[str, Any]) -> Windows:
    return Windows(shape, p["kernel"], p["stride"], p["padding"], (1,) * len(p["kernel"]), ceil=p["ceil"])


def _divisor(w: Windows, p: dict[str, Any], dtype: Any) -> Any:
    override = p["divisor"]
    return dtype.type(override) if override else w.counts(include_pad=p["include_pad"]).astype(dtype)


def _avg_pool(x: Any, **p: Any) -> Any:
    w = _windows(x.shape, p)
    out = np.zeros((*w.lead, *w.out), x.dtype, like=x)
    for _, outs, ins in w.offsets():
        out[ALL + outs] += x[ALL + ins]
    return out / _divisor(w, p, x.dtype)


def _avg_back(g: Any, *, size: Ints, **p: Any) -> Any:
    shape = g.shape[: g.ndim - len(size)] + size
    w = _windows(shape, p)
    g = g / _divisor(w, p, g.dtype)
    out = np.zeros(shape, g.dtype, like=g)
    for _, outs, ins in w.offsets():
        out[ALL + ins] += g[ALL + outs]
    return out


def _spatial(x: Any, p: dict[str, Any]) -> Ints:
    return tuple(x.shape[-len(p["kernel"]) :])


def _params(
    kernel: Ints, stride: Ints, padding: Ints, *, ceil: bool = False, include_pad: bool = True
) -> dict[str, Any]:
    return {
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "ceil": ceil,
        "include_pad": include_pad,
        "divisor": None,
    }


def _avg_samples() -> list[Sample]:
    x = np.sin(1.3 * np.arange(40.0)).reshape(1, 2, 5, 4)
    return [
        Sample((x,), _params((2, 2), (2, 2), (0, 0)), note="2-D"),
        Sample((x,), _params((3, 2), (2, 1), (1, 0), include_pad=False, ceil=True), note="padded, ceil"),
        Sample((x[0],), _params((3,), (1,), (1,)), note="1-D, overlapping"),
    ]


avg_pool = by_hand(
    "avg_pool2d",
    _avg_pool,
    vjp=[lambda g, _out, _x, **p: avg_back(g, size=_spatial(_x, p), **p)],
    jvp=lambda tangents, _out, _x, **p: avg_pool(tangents[0], **p),
    samples=_avg_samples,
    backward="AvgPool2DBackward0",
    facets={"depend": window_pattern, "batch": leading("avg_pool2d")},
)


def _avg_back_depend(avals: Any, params: dict[str, Any], _values: Any = None) -> Dependence:
    g, size = avals[0], params["size"]
    rows, cols = all_pairs(_windows((*tuple(g.shape)[: g.ndim - len(size)], *size), params))
    return Dependence([(cols, rows)])


avg_back = by_hand(
    "avg_pool2d_back",
    _avg_back,
    vjp=[lambda u, _out, _g, *, size, **p: avg_pool(u, **p)],  # noqa: ARG005
    jvp=lambda tangents, _out, _g, **p: avg_back(tangents[0], **p),
    samples=lambda: [
        Sample(
            (np.sin(np.arange(6.0)).reshape(1, 2, 3),), {"size": (5, 6), **_params((3, 2), (2, 2), (0, 0))}
        )
    ],
    backward="AvgPool2DBackward0",
    facets={"depend": _avg_back_depend, "batch": leading("avg_pool2d_back")},
)


# ---------------------------------------------------------------------- maximum


def _max_pool(
    x: Any, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil: bool
) -> tuple[Any, Any]:
    """The first maximum of each window and its flat index in its plane; NaN wins."""
    w = Windows(x.shape, kernel, stride, padding, dilation, ceil=ceil)
    best = np.full((*w.lead, *w.out), -np.inf, x.dtype, like=x)
    where = np.zeros(best.shape, np.int64, like=x)
    started = np.zeros(w.out, bool)
    ids = np.arange(math.prod(w.sizes)).reshape(w.sizes)
    for _, outs, ins in w.offsets():
        v, b = x[ALL + ins], best[ALL + outs]
        better = (v > b) | (v != v) | ~started[outs]
        started[outs] = True
        np.copyto(b, v, where=better)
        np.copyto(where[ALL + outs], np.broadcast_to(ids[ins], v.shape), where=better)
    return best, where


def _pick(x: Any, ids: Any, *, n: int) -> Any:
    """The entries of x's planes (its last n dimensions) at flat indices: the winners' values."""
    lead = x.shape[: x.ndim - n]
    flat = np.take_along_axis(x.reshape(*lead, -1), ids.reshape(*lead, -1), -1)
    return flat.reshape(ids.shape)


def _place(g: Any, ids: Any, *, size: Ints) -> Any:
    """The transpose of picking: add each entry to its place in a plane of zeros."""
    lead = g.shape[: g.ndim - len(size)]
    planes, area = math.prod(lead), math.prod(size)
    out = np.zeros(planes * area, g.dtype, like=g)
    flat = ids.reshape(planes, -1) + np.arange(planes)[:, None] * area
    np.add.at(out, flat.reshape(-1), np.ascontiguousarray(g, like=g).reshape(-1))
    return out.reshape(*lead, *size)


def _pick_pairs(shape: Ints, ids: Any, n: int) -> tuple[Any, Any]:
    lead, area = math.prod(shape[: len(shape) - n]), math.prod(shape[len(shape) - n :])
    cols = (ids.reshape(lead, -1) + np.arange(lead)[:, None] * area).reshape(-1)
    return np.arange(cols.size), cols


def _pick_depend(avals: Any, params: Any, values: Any) -> Dependence:
    return Dependence([_pick_pairs(tuple(avals[0].shape), values[1], params["n"]), None])


def _place_depend(avals: Any, params: Any, values: Any) -> Dependence:
    g, size = avals[0], params["size"]
    rows, cols = _pick_pairs((*tuple(g.shape)[: g.ndim - len(size)], *size), values[1], len(size))
    return Dependence([(cols, rows), None])


pick_winners = by_hand(
    "pick_winners",
    _pick,
    vjp=[
        lambda g, _out, _x, ids, *, n: place_winners(g, ids, size=tuple(_x.shape)[len(_x.shape) - n :]),
        None,
    ],
    jvp=lambda tangents, _out, _x, ids, *, n: pick_winners(tangents[0], ids, n=n),
    samples=lambda: [
        Sample((np.sin(np.arange(12.0)).reshape(2, 2, 3), np.array([[[1, 5]], [[2, 2]]])), {"n": 2}, (0,)),
    ],
    backward="MaxPool2DWithIndicesBackward0",
    facets={"depend": _pick_depend, "batch": leading("pick_winners")},
)
place_winners = by_hand(
    "place_winners",
    _place,
    vjp=[lambda u, _out, _g, ids, *, size: pick_winners(u, ids, n=len(size)), None],
    jvp=lambda tangents, _out, _g, ids, *, size: place_winners(tangents[0], ids, size=size),
    samples=lambda: [
        Sample(
            (np.sin(np.arange(4.0)).reshape(2, 1, 2), np.array([[[1, 5]], [[2, 2]]])), {"size": (2, 3)}, (0,)
        ),
    ],
    backward="MaxPool2DWithIndicesBackward0",
    facets={"depend": _place_depend, "batch": leading("place_winners")},
)


def back_to_winners(g: Any, out: Any, _x: Any, **p: Any) -> Any:
    """The vjp of a pool that returns values and winners: the cotangent of the values goes to the winners."""
    n = len(p.get("kernel") or p["size"])
    return place_winners(g[0], out[1], size=tuple(_x.shape)[len(_x.shape) - n :])


def of_winners(tangents: Any, out: Any, _x: Any, **p: Any) -> Any:
    """Its jvp: the tangents of the winners."""
    n = len(p.get("kernel") or p["size"])
    return pick_winners(tangents[0], out[1], n=n), None


def _max_samples() -> list[Sample]:
    x = np.sin(1.3 * np.arange(40.0)).reshape(1, 2, 5, 4)
    p = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil": False}
    return [
        Sample((x,), p, note="2-D"),
        Sample((x,), {**p, "stride": (1, 1), "padding": (1, 1), "ceil": True}, note="padded, overlapping"),
        Sample(
            (x[0, 0],),
            {"kernel": (3,), "stride": (1,), "padding": (0,), "dilation": (1,), "ceil": False},
            note="1-D",
        ),
        Sample((np.zeros((1, 1, 2, 2)),), p, smooth=False, note="ties: the first wins"),
    ]


max_pool = by_hand(
    "max_pool2d_with_indices",
    _max_pool,
    vjp=[back_to_winners],
    jvp=of_winners,
    outputs=2,
    samples=_max_samples,
    backward="MaxPool2DWithIndicesBackward0",
    facets={"depend": window_pattern, "batch": leading("max_pool2d_with_indices"), "picks": True},
)


# ---------------------------------------------------------------------- public calls


def _numbers(value: Any, n: int) -> Ints:
    if isinstance(value, int | np.integer):
        return (int(value),) * n
    found = tuple(int(v) for v in value)
    return found * n if len(found) == 1 else found


MODE = "(batch mode) tensor with optional 0 dim batch size for input, but got:{shape}"
RANK = {
    "max_pool2d": "non-empty 3D or 4D (batch mode) tensor expected for input",
    "avg_pool2d": f"Expected 3D or 4D {MODE}",
    "max_pool1d": f"max_pool1d: Expected 2D or 3D {MODE}",
    "avg_pool1d": (
        "Expected 2 to 3 dimensions, but got {n}-dimensional tensor for argument #1 'self' (while checking "
        "arguments for avg_pool1d)"
    ),
}


def _check(x: Any, name: str, n: int, kernel: Ints, padding: Ints) -> None:
    shape = list(x.shape)
    if len(shape) not in (n + 1, n + 2):
        first = RANK[name].format(shape=shape, n=len(shape))
        raise RuntimeError(
            message(first, f"the input has shape {shape}", "the input is (N, C, ...) or (C, ...)")
        )
    if any(p > k // 2 for p, k in zip(padding, kernel, strict=True)):
        p, k = padding[0], kernel[0]
        limit = "pad should be at most half of effective kernel size"
        first = f"{limit}, but got pad={p}, kernel_size={k} and dilation=1"
        if name == "max_pool1d":
            limit = "max_pool1d() padding should be at most half of kernel size"
            first = f"{limit}, but got padding={p} and kernel_size={k}"
        raise RuntimeError(message(first))


def _geometry(x: Any, name: str, n: int, kernel: Any, stride: Any, padding: Any) -> tuple[Ints, Ints, Ints]:
    """Kernel, stride (the kernel where none is given) and padding per dimension, checked."""
    kernel = _numbers(kernel, n)
    stride = kernel if stride is None or stride == [] else _numbers(stride, n)
    padding = _numbers(padding, n)
    _check(x, name, n, kernel, padding)
    return kernel, stride, padding


def _check_output(x: Any, name: str, sizes: Ints) -> None:
    """RuntimeError where no window fits."""
    if all(m > 0 for m in sizes):
        return
    n = len(sizes)
    if name == "max_pool1d":
        raise RuntimeError(
            message(
                f"max_pool1d() Invalid computed output size: {sizes[0]}", f"input of shape {list(x.shape)}"
            )
        )
    planes = x.shape[-n - 1]
    have = "x".join(map(str, (planes, *((1,) if n == 1 else ()), *x.shape[-n:])))
    made = "x".join(map(str, (planes, *((1,) if n == 1 else ()), *sizes)))
    raise RuntimeError(
        message(
            f"Given input size: ({have}). Calculated output size: ({made}). Output size is too small",
            "",
            "use a smaller kernel or a larger input",
        )
    )


def _avg(
    x: Any, name: str, n: int, kernel: Any, stride: Any, padding: Any, ceil: bool, include: bool, divisor: Any
) -> Any:
    kernel, stride, padding = _geometry(x, name, n, kernel, stride, padding)
    params = {**_params(kernel, stride, padding, ceil=ceil, include_pad=include), "divisor": divisor}
    _check_output(x, name, _windows(tuple(x.shape), params).out)
    return named(apply(avg_pool, (x,), params), n)


def named(t: Any, n: int) -> Any:
    """In PyTorch a pool over one dimension is a squeezed pool over two: the same grad_fn here."""
    if n == 1 and t.node is not None:
        node = getattr(t.node, "node", t.node)
        node.label = "SqueezeBackward1"
    return t


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Averages of windows along the last dimension of (N, C, L) or (C, L); stride: the kernel size."""
    return _avg(input, "avg_pool1d", 1, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Averages of windows over the last two dimensions of (N, C, H, W) or (C, H, W).

    >>> import pullback as torch
    >>> torch.nn.functional.avg_pool2d(torch.ones(1, 1, 2, 2), 2)
    tensor([[[[1.]]]])
    """
    return _avg(
        input, "avg_pool2d", 2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _max(
    x: Any,
    name: str,
    n: int,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil: bool,
    indices: bool,
) -> Any:
    kernel, stride, padding = _geometry(x, name, n, kernel, stride, padding)
    dilation = _numbers(dilation, n)
    params = {
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "ceil": ceil,
    }
    w = Windows(tuple(x.shape), kernel, stride, padding, dilation, ceil=ceil)
    _check_output(x, name, w.out)
    values, where = apply(max_pool, (x,), params)
    values = named(values, n)
    return (values, where) if indices else values


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of windows along the last dimension; ties go to the first entry, and so does their gradient."""
    return _max(input, "max_pool1d", 1, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of windows over the last two dimensions; return_indices: also where they are in their plane."""
    return _max(input, "max_pool2d", 2, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


avg_pool.call, max_pool.call = avg_pool2d, max_pool2d


PUBLIC: dict[str, Any] = {
    "avg_pool1d": avg_pool1d,
    "max_pool1d": max_pool1d,
    "max_pool2d": max_pool2d,
}
METHODS: dict[str, Any] = {}
IN_PLACE: dict[str, Any] = {}
