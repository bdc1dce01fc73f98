"""Counting and looking up: bincount, histc, histogram, bucketize, searchsorted, and quantiles.

Everything but the quantiles gives integers or counts, which have no derivative. Read `quantile` for the
differentiable part: a composite over sort, gather and lerp. May import `families`, `graph`, `dtypes`,
`errors`, `ops.sorting`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import is_int, named_result, one_dim, public
from pullback.families.calls import write_out
from pullback.families.fibers import take_along
from pullback.families.op import Op, absent
from pullback.families.reduction import labelled
from pullback.graph.shadows import unlisted
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.sorting import sort, sort_

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _counting(name: str, eval: Any) -> Op:
    op = Op(name, "reduction", eval, vjp=absent("the output counts or looks up: it has no derivative"))
    for facet in ("type", "jvp", "batch", "depend", "lower", "zero", "samples"):
        setattr(op, facet, absent("the output counts or looks up: it has no derivative"))
    return op


# ---------------------------------------------------------------------- quantiles


def _check_quantile(name: str, x: Tensor, q: Tensor, interpolation: str) -> None:
    if x.numel() == 0:
        raise RuntimeError(
            message(f"{name}() input tensor must be non-empty", f"its shape is {list(x.shape)}")
        )
    if x.dtype.name not in ("float32", "float64"):
        raise RuntimeError(
            message(
                f"{name}() input tensor must be either float or double dtype",
                f"got {x.dtype!r}",
                "use x.float()",
            )
        )
    if q.ndim > 1:
        raise RuntimeError(
            message(f"{name}() q must be a scalar or 1D tensor", f"q has shape {list(q.shape)}")
        )
    if q.dtype is not x.dtype:
        raise RuntimeError(
            message(
                f"{name}() q tensor must be same dtype as the input tensor",
                f"q has dtype {q.dtype!r}, the input {x.dtype!r}",
                f"convert q: q.to({x.dtype!r})",
            )
        )
    if interpolation not in INTERPOLATIONS:
        raise RuntimeError(
            message(
                f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but "
                f"got {interpolation}"
            )
        )


def _quantile(name: str, x: Tensor, q: Any, dim: Any, keepdim: bool, interpolation: str) -> Any:
    if not isinstance(q, Tensor):
        if not isinstance(q, int | float) or isinstance(q, bool):
            raise TypeError(
                message(
                    f"{name}() received an invalid combination of arguments - got ({type(q).__name__})",
                    "",
                    "q is a number or a 1-D tensor: torch.tensor([0.25, 0.5])",
                )
            )
        if not 0 <= q <= 1:
            raise RuntimeError(message(f"{name}() q must be in the range [0, 1] but got {q:g}"))
        q = wrap(np.array(q, x.dtype.numpy if x.dtype.category == 2 else np.float32))
    _check_quantile("quantile", x, q, interpolation)
    if q.foreign is None and not bool(((q.value >= 0) & (q.value <= 1)).all()):
        raise RuntimeError(message(f"{name}() q values must be in the range [0, 1]"))
    ndim = x.ndim
    d = None if dim is None else one_dim(name, dim, ndim, 2)
    lines = x.reshape((-1,)) if d is None or ndim == 0 else x.movedim(d, -1)
    picked = _interpolated(
        sort(lines, -1)[0], q.reshape((-1,)), interpolation, skip_nan=name == "nanquantile"
    )
    if keepdim and ndim:
        shape = (1,) * ndim if d is None else tuple(1 if i == d else n for i, n in enumerate(x.shape))
        rest = shape
    else:
        rest = tuple(picked.shape[:-1])
    r = picked.movedim(-1, 0).reshape(((q.numel(),) if q.ndim else ()) + rest)
    return labelled(r, "SqueezeBackward4")


def _interpolated(ordered: Any, q: Any, interpolation: str, *, skip_nan: bool) -> Any:
    """The entries of sorted lines at the ranks that q names, one per q along the last dimension."""
    n = ordered.shape[-1]
    good = (ordered == ordered).sum(-1, keepdim=True)
    shape = (*ordered.shape[:-1], q.shape[0])
    if skip_nan:
        ranks = q * (good - 1).clamp(min=0)
    else:
        ranks = (q * (n - 1)).expand(shape).masked_fill((good < n).expand(shape), float(n - 1))
    if interpolation in ("lower", "higher", "nearest"):
        rounded = {"lower": "floor", "higher": "ceil", "nearest": "round"}[interpolation]
        ranks = getattr(ranks, rounded)()
    below = ranks.detach().floor()
    low = take_along(ordered, below.long(), ordered.ndim - 1)
    if interpolation not in ("linear", "midpoint"):
        return low
    high = take_along(ordered, ranks.detach().ceil().long(), ordered.ndim - 1)
    weight = ranks - below if interpolation == "linear" else (ranks * 0 + 0.5)
    return low.lerp(high, weight)


@public("quantile")
def quantile(
    input: Any,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Any = None,
) -> Any:
    """The q-quantiles along a dimension (or of all entries); one result per entry of q, in front.

    Linear weights between the two neighbours; NaN where an entry of the line is NaN.
    """
    r = _quantile("quantile", input, q, dim, keepdim, interpolation)
    return r if out is None else write_out(sort_, out, r, (input,))


@public("nanquantile")
def nanquantile(
    input: Any,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Any = None,
) -> Any:
    """The q-quantiles of the entries that are not NaN."""
    r = _quantile("nanquantile", input, q, dim, keepdim, interpolation)
    return r if out is None else write_out(sort_, out, r, (input,))


# ---------------------------------------------------------------------- histograms


def _bincount(x: Any, *, weights: Any = None, minlength: int = 0) -> Any:
    r = np.bincount(x, weights, minlength)
    if weights is None:
        return r.astype(np.int64)
    return r.astype(weights.dtype if weights.dtype == np.float32 else np.float64)


bincount_ = _counting("bincount", _bincount)


@public("bincount")
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each non-negative integer occurs; or the sum of the weights at its places."""
    if input.dtype.category != 1:
        raise NotImplementedError(
            message(
                f"\"bincount_cpu\" not implemented for '{input.dtype.word}'",
                "it counts integers",
                "use x.long()",
            )
        )
    if minlength < 0:
        raise RuntimeError(message("minlength should be >= 0", f"got {minlength}"))
    if input.ndim != 1 or (input.numel() and int(input.value.min()) < 0):
        raise RuntimeError(
            message(
                "bincount only supports 1-d non-negative integral inputs.",
                f"the shape is {list(input.shape)}",
            )
        )
    if weights is not None and tuple(weights.shape) != tuple(input.shape):
        raise RuntimeError(
            message(
                "weights should be 1-d and have the same length as input",
                f"their shape is {list(weights.shape)}",
            )
        )
    w = None if weights is None else weights.value
    t = wrap(bincount_(input.value, weights=w, minlength=minlength))
    return unlisted("bincount", t, input, weights)


def _edges(name: str, x: Any, low: float, high: float) -> tuple[float, float]:
    if low > high:
        raise RuntimeError(message(f"{name}: max must be larger than min", f"min={low}, max={high}"))
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(
            message(
                f"{name}: range of [{low:g}, {high:g}] is not finite",
                "",
                "pass min= and max=, or drop NaN and inf",
            )
        )
    return (low - 1, high + 1) if low == high else (low, high)


def _histc(x: Any, *, bins: int, low: float, high: float) -> Any:
    """Counts in equal bins; the last bin holds its upper edge, entries outside count nowhere."""
    flat = x.reshape(-1)
    flat = flat[(flat >= low) & (flat <= high)]
    place = np.minimum(((flat - low) * (bins / (high - low))).astype(np.int64), bins - 1)
    return np.bincount(place, minlength=bins).astype(x.dtype)


histc_ = _counting("histc", _histc)


@public("histc")
def histc(input: Any, bins: Any = 100, min: float = 0, max: float = 0, *, out: Any = None) -> Any:
    """Counts in equal bins between min and max (the data's own range where both are 0)."""
    if not is_int(bins):
        raise TypeError(
            message(f"histc(): argument 'bins' (position 1) must be int, not {type(bins).__name__}")
        )
    if input.dtype.category != 2:
        raise NotImplementedError(
            message(f"\"histogram_cpu\" not implemented for '{input.dtype.word}'", "", "use x.float()")
        )
    if bins <= 0:
        raise RuntimeError(message(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0"))
    low, high = _edges("torch.histc", input.value, float(min), float(max))
    r = wrap(histc_(np.asarray(input.value), bins=int(bins), low=low, high=high))
    unlisted("histc", r, input)
    return r if out is None else write_out(histc_, out, r, ())


_histogram_result = named_result("histogram", "hist", "bin_edges")


@public("histogram")
def histogram(input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """Counts (or sums of weights) per bin, and the edges; density=True divides by total and width."""
    x = np.asarray(input.value).reshape(-1)
    if isinstance(bins, Tensor):
        edges = np.asarray(bins.value)
    else:
        low, high = (0.0, 0.0) if range is None else (float(range[0]), float(range[1]))
        edges = np.linspace(*_edges("torch.histogram()", x, low, high), int(bins) + 1).astype(x.dtype)
    weights = None if weight is None else np.asarray(weight.value).reshape(-1)
    counts = np.histogram(x, edges, weights=weights)[0].astype(x.dtype)
    if density:
        counts = counts / counts.sum() / np.diff(edges)
    return _histogram_result((wrap(counts.astype(x.dtype)), wrap(edges)))


# ---------------------------------------------------------------------- looking up


def _searchsorted(edges: Any, values: Any, *, right: bool, dtype: Any) -> Any:
    side = "right" if right else "left"
    if edges.ndim == 1:
        return np.asarray(np.searchsorted(edges, values, side)).astype(dtype)
    rows, sought = edges.reshape(-1, edges.shape[-1]), values.reshape(-1, values.shape[-1])
    found: list[Any] = [np.searchsorted(r, v, side) for r, v in zip(rows, sought, strict=True)]
    return np.array(found, dtype).reshape(values.shape)


searchsorted_ = _counting("searchsorted", _searchsorted)


def _as_array(x: Any) -> Any:
    return np.asarray(x.value if isinstance(x, Tensor) else x)


@public("searchsorted")
def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
    out: Any = None,
) -> Any:
    """Where each value would go in the sorted sequence: before equal entries, after them with right=True."""
    if side not in (None, "left", "right"):
        raise RuntimeError(
            message(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
        )
    if side == "left" and right:
        raise RuntimeError(
            message(
                "torch.searchsorted(): side and right can't be set to opposites, got side of left while "
                "right was True"
            )
        )
    edges, values = _as_array(sorted_sequence), _as_array(input)
    if edges.dtype.kind in "cb":
        word = sorted_sequence.dtype.word
        raise NotImplementedError(
            message(f"\"searchsorted_out_cpu\" not implemented for '{word}'", "", "convert it first")
        )
    if sorter is not None:
        edges = np.take_along_axis(edges, _as_array(sorter), -1)
    if edges.ndim > 1 and (edges.ndim != values.ndim or edges.shape[:-1] != values.shape[:-1]):
        raise RuntimeError(
            message(
                "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
                "dimensions of boundaries "
                "tensor and input value tensor must match, but we got boundaries tensor "
                f"{list(edges.shape)} and input value tensor {list(values.shape)}"
            )
        )
    dtype = np.int32 if out_int32 else np.int64
    r = wrap(searchsorted_(edges, values, right=right or side == "right", dtype=dtype))
    unlisted("searchsorted", r, sorted_sequence, input)
    return r if out is None else write_out(searchsorted_, out, r, ())


def bucketize(
    input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False, out: Any = None
) -> Any:
    """The bucket of each value between sorted boundaries; on a boundary the one below (above if right)."""
    if boundaries.ndim != 1:
        raise RuntimeError(message(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})"))
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


PUBLIC: dict[str, Any] = {
    "quantile": quantile,
    "nanquantile": nanquantile,
    "bincount": bincount,
    "histc": histc,
    "histogram": histogram,
    "searchsorted": searchsorted,
    "bucketize": bucketize,
}
METHODS: dict[str, Any] = {
    k: PUBLIC[k] for k in ("quantile", "nanquantile", "bincount", "histc", "histogram")
}
IN_PLACE: dict[str, Any] = {}
