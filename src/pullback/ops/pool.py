"""Pooling: the average and the maximum of windows, and averages that adapt to an output size.

Read `Windows` first. Pools run over the kernel's offsets with strided slices of the input (no copy of the
windows), in any
number of trailing spatial dimensions. `avg_pool` and its transpose carry each other's derivatives; `max_pool`
returns its
winners' indices, and its cotangent is a scatter to them. May import `families`, `graph`, `errors`, `conv`
(sizes).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.by_hand import by_hand
from pullback.families.facets import Dependence, Sample
from pullback.families.op import TABLE, apply

Ints = tuple[int, ...]


def pool_size(n: int, k: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    """How many windows PyTorch makes of n entries (with ceil: the last begins inside the padded input)."""
    span = n + 2 * padding - dilation * (k - 1) - 1
    count = (-(-span // stride) if ceil else span // stride) + 1
    return count - 1 if ceil and (count - 1) * stride >= n + padding else count


class Windows:
    """The geometry of a pool over the last len(kernel) dimensions."""

    def __init__(
        self, shape: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, *, ceil: bool
    ) -> None:
        self.lead = shape[: len(shape) - len(kernel)]
        self.sizes = shape[len(self.lead) :]
        self.kernel, self.stride, self.padding, self.dilation = kernel, stride, padding, dilation
        self.out = tuple(
            pool_size(n, k, s, p, d, ceil)
            for n, k, s, p, d in zip(self.sizes, kernel, stride, padding, dilation, strict=True)
        )

    def offsets(self) -> Iterator[tuple[Ints, tuple[slice, ...], tuple[slice, ...]]]:
        """Per place in the kernel: the windows (output slices) that have it inside the input, and where."""
        for place in itertools.product(*map(range, self.kernel)):
            outs: list[slice] = []
            ins: list[slice] = []
            for i, n, m, s, p, d in zip(
                place, self.sizes, self.out, self.stride, self.padding, self.dilation, strict=True
            ):
                first = max(0, -(-(p - i * d) // s))
                last = min(m - 1, (n - 1 + p - i * d) // s)
                start = first * s + i * d - p
                outs.append(slice(first, last + 1))
                ins.append(slice(start, start + (last - first) * s + 1, s) if last >= first else slice(0, 0))
            yield place, tuple(outs), tuple(ins)

    def counts(self, *, include_pad: bool) -> Any:
        """How many entries each window averages (PyTorch's divisor)."""
        total: Any = np.ones(())
        for n, m, k, s, p in zip(self.sizes, self.out, self.kernel, self.stride, self.padding, strict=True):
            start = np.arange(m) * s - p
            end = np.minimum(start + k, n + p)
            if not include_pad:
                start, end = np.maximum(start, 0), np.minimum(end, n)
            total = total[..., None] * (end - start)
        return total


ALL = (Ellipsis,)


def all_pairs(w: Windows) -> tuple[Any, Any]:
    """Flat indices (output entry, input entry) of everything inside a window."""
    lead = math.prod(w.lead)
    outs, ins = np.arange(math.prod(w.out)).reshape(w.out), np.arange(math.prod(w.sizes)).reshape(w.sizes)
    rows = [outs[o].reshape(-1) for _, o, _ in w.offsets()]
    cols = [ins[i].reshape(-1) for _, _, i in w.offsets()]
    return per_plane(lead, np.concatenate(rows), outs.size), per_plane(lead, np.concatenate(cols), ins.size)


def per_plane(lead: int, ids: Any, size: int) -> Any:
    """The same indices in each of `lead` planes of this size."""
    return (np.arange(lead)[:, None] * size + ids).reshape(-1)


def leading(name: str) -> Any:
    """The batch rule of an op that treats all but its last dimensions as a batch."""

    def rule(size: int, dims: Any, args: Any, params: dict[str, Any]) -> Any:
        moved = [
            a.unsqueeze(0).expand((size, *a.shape)) if d is None else a.movedim(d, 0)
            for a, d in zip(args, dims, strict=True)
        ]
        r = TABLE[name](*moved, **params)
        return (r, (0,) * len(r)) if isinstance(r, tuple) else (r, 0)

    return rule


def _window_pattern(avals: Any, params: dict[str, Any], _values: Any = None) -> Dependence:
    dilation = params.get("dilation", (1,) * len(params["kernel"]))
    w = Windows(
        tuple(avals[0].shape),
        params["kernel"],
        params["stride"],
        params["padding"],
        dilation,
        ceil=params["ceil"],
    )
    return Dependence([all_pairs(w)])


# ---------------------------------------------------------------------- average


def _windows(shape: Ints, p: dict[str, Any]) -> Windows:
    return Windows(shape, p["kernel"], p["stride"], p["padding"], (1,) * len(p["kernel"]), ceil=p["ceil"])


def _divisor(w: Windows, p: dict[str, Any], dtype: Any) -> Any:
    override = p["divisor"]
    return dtype.type(override) if override else w.counts(include_pad=p["include_pad"]).astype(dtype)


def _avg_pool(x: Any, **p: Any) -> Any:
    w = _windows(x.shape, p)
    out = np.zeros((*w.lead, *w.out), x.dtype)
    for _, outs, ins in w.offsets():
        out[ALL + outs] += x[ALL + ins]
    return out / _divisor(w, p, x.dtype)


def _avg_back(g: Any, *, size: Ints, **p: Any) -> Any:
    shape = g.shape[: g.ndim - len(size)] + size
    w = _windows(shape, p)
    g = g / _divisor(w, p, g.dtype)
    out = np.zeros(shape, g.dtype)
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
    facets={"depend": _window_pattern, "batch": leading("avg_pool2d")},
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
    best = np.full((*w.lead, *w.out), -np.inf, x.dtype)
    where = np.zeros(best.shape, np.int64)
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
    out = np.zeros(planes * area, g.dtype)
    flat = ids.reshape(planes, -1) + np.arange(planes)[:, None] * area
    np.add.at(out, flat.reshape(-1), np.ascontiguousarray(g).reshape(-1))
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


def _back_to_winners(g: Any, out: Any, _x: Any, **p: Any) -> Any:
    n = len(p.get("kernel") or p["size"])
    return place_winners(g[0], out[1], size=tuple(_x.shape)[len(_x.shape) - n :])


def _of_winners(tangents: Any, out: Any, _x: Any, **p: Any) -> Any:
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
    vjp=[_back_to_winners],
    jvp=_of_winners,
    outputs=2,
    samples=_max_samples,
    backward="MaxPool2DWithIndicesBackward0",
    facets={"depend": _window_pattern, "batch": leading("max_pool2d_with_indices")},
)


def _adaptive_max(x: Any, *, size: Ints) -> tuple[Any, Any]:
    """The first maximum of each of `size` regions, and its flat index in its plane."""
    lead, sizes = x.shape[: x.ndim - len(size)], x.shape[x.ndim - len(size) :]
    ids = np.arange(math.prod(sizes)).reshape(sizes)
    best, where = np.empty((*lead, *size), x.dtype), np.zeros((*lead, *size), np.int64)
    for place in itertools.product(*map(range, size)):
        region = tuple(slice(*bounds(i, n, m)) for i, n, m in zip(place, sizes, size, strict=True))
        flat = x[ALL + region].reshape(*lead, -1)
        won = flat.argmax(axis=-1)  # the first one; NaN wins
        best[ALL + place] = np.take_along_axis(flat, won[..., None], -1)[..., 0]
        where[ALL + place] = ids[region].reshape(-1)[won]
    return best, where


def bounds(i: int, n: int, m: int) -> tuple[int, int]:
    """Region i of m over n entries: from floor(i n / m) to ceil((i + 1) n / m)."""
    return i * n // m, -(-(i + 1) * n // m)


def region_pairs(lead: int, sizes: Ints, wanted: Ints) -> tuple[Any, Any]:
    """Flat indices (region, entry) of every entry inside a region."""
    ids = np.arange(math.prod(sizes)).reshape(sizes)
    rows: list[Any] = [np.zeros(0, int)]
    cols: list[Any] = [np.zeros(0, int)]
    for k, place in enumerate(itertools.product(*map(range, wanted))):
        inside = ids[
            tuple(slice(*bounds(i, n, m)) for i, n, m in zip(place, sizes, wanted, strict=True))
        ].reshape(-1)
        rows.append(np.full(inside.size, k))
        cols.append(inside)
    return (
        per_plane(lead, np.concatenate(rows), math.prod(wanted)),
        per_plane(lead, np.concatenate(cols), math.prod(sizes)),
    )


def _adaptive_max_depend(avals: Any, params: dict[str, Any], _values: Any = None) -> Dependence:
    shape, size = tuple(avals[0].shape), params["size"]
    lead = len(shape) - len(size)
    return Dependence([region_pairs(math.prod(shape[:lead]), shape[lead:], size)])


adaptive_max_pool = by_hand(
    "adaptive_max_pool2d",
    _adaptive_max,
    vjp=[_back_to_winners],
    jvp=_of_winners,
    outputs=2,
    samples=lambda: [Sample((np.sin(1.3 * np.arange(40.0)).reshape(1, 2, 5, 4),), {"size": (2, 3)})],
    backward="AdaptiveMaxPool2DBackward0",
    facets={"depend": _adaptive_max_depend, "batch": leading("adaptive_max_pool2d")},
)


# ---------------------------------------------------------------------- adaptive average


def region_matrix(n: int, m: int) -> Any:
    """The averages over m regions of n entries as a matrix (m, n)."""
    a = np.zeros((m, n))
    for i in range(m):
        lo, hi = bounds(i, n, m)
        a[i, lo:hi] = 1.0 / (hi - lo)
    return a


def _axis_maps(x: Any, *, maps: tuple[Any, ...]) -> Any:
    for axis, a in enumerate(reversed(maps)):
        x = np.moveaxis(np.matmul(np.moveaxis(x, -1 - axis, -1), a.T.astype(x.dtype)), -1, -1 - axis)
    return np.ascontiguousarray(x)


def _transposed(maps: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.T for a in maps)


def _maps_depend(avals: Any, params: dict[str, Any], _values: Any = None) -> Dependence:
    """The pattern of the Kronecker product of the matrices, plane by plane."""
    shape, maps = tuple(avals[0].shape), params["maps"]
    rows, cols = np.zeros(1, int), np.zeros(1, int)
    for a in maps:
        r, c = np.nonzero(a)
        rows = (rows[:, None] * a.shape[0] + r).reshape(-1)
        cols = (cols[:, None] * a.shape[1] + c).reshape(-1)
    lead = math.prod(shape[: len(shape) - len(maps)])
    sizes = [math.prod(a.shape[k] for a in maps) for k in (0, 1)]
    return Dependence([(per_plane(lead, rows, sizes[0]), per_plane(lead, cols, sizes[1]))])


adaptive_avg_pool = by_hand(
    "adaptive_avg_pool2d",
    _axis_maps,
    vjp=[lambda g, _out, _x, *, maps: adaptive_avg_pool(g, maps=_transposed(maps))],
    jvp=lambda tangents, _out, _x, *, maps: adaptive_avg_pool(tangents[0], maps=maps),
    samples=lambda: [
        Sample(
            (np.sin(np.arange(40.0)).reshape(1, 2, 5, 4),),
            {"maps": (region_matrix(5, 2), region_matrix(4, 3))},
        )
    ],
    backward="AdaptiveAvgPool2DBackward0",
    facets={"depend": _maps_depend, "batch": leading("adaptive_avg_pool2d")},
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
    kernel = _numbers(kernel, n)
    stride = kernel if stride is None or stride == [] else _numbers(stride, n)
    padding = _numbers(padding, n)
    _check(x, name, n, kernel, padding)
    params = {**_params(kernel, stride, padding, ceil=ceil, include_pad=include), "divisor": divisor}
    _check_output(x, name, _windows(tuple(x.shape), params).out)
    return _named(apply(avg_pool, (x,), params), n)


def _named(t: Any, n: int) -> Any:
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
    kernel = _numbers(kernel, n)
    stride = kernel if stride is None or stride == [] else _numbers(stride, n)
    padding = _numbers(padding, n)
    _check(x, name, n, kernel, padding)
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
    values = _named(values, n)
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


def _sizes(output_size: Any, x: Any, n: int) -> Ints:
    wanted = (output_size,) * n if output_size is None or isinstance(output_size, int) else tuple(output_size)
    return tuple(have if w is None else int(w) for w, have in zip(wanted, x.shape[-n:], strict=True))


def _adaptive_avg(x: Any, output_size: Any, n: int) -> Any:
    sizes = _sizes(output_size, x, n)
    if n == 2 and sizes == (1, 1):
        return x.mean((-1, -2), keepdim=True)
    maps = tuple(map(region_matrix, tuple(x.shape)[-n:], sizes))
    return _named(apply(adaptive_avg_pool, (x,), {"maps": maps}), n)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Averages over output_size regions of the last dimension, as equal as they can be."""
    return _adaptive_avg(input, output_size, 1)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Averages over a grid of regions of the last two dimensions; None keeps a dimension as it is."""
    return _adaptive_avg(input, output_size, 2)


def _adaptive_maximum(x: Any, output_size: Any, n: int, return_indices: bool) -> Any:
    values, where = apply(adaptive_max_pool, (x,), {"size": _sizes(output_size, x, n)})
    values = _named(values, n)
    return (values, where) if return_indices else values


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over output_size regions of the last dimension."""
    return _adaptive_maximum(input, output_size, 1, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over a grid of regions of the last two dimensions."""
    return _adaptive_maximum(input, output_size, 2, return_indices)


avg_pool.call, max_pool.call = avg_pool2d, max_pool2d
adaptive_avg_pool.call, adaptive_max_pool.call = adaptive_avg_pool2d, adaptive_max_pool2d
PUBLIC: dict[str, Any] = {
    "avg_pool1d": avg_pool1d,
    "max_pool1d": max_pool1d,
    "max_pool2d": max_pool2d,
    "adaptive_avg_pool1d": adaptive_avg_pool1d,
}
METHODS: dict[str, Any] = {}
IN_PLACE: dict[str, Any] = {}
