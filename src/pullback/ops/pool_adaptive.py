"""Pools with a wanted output size: the average and the maximum of regions as equal as they can be.

Read `bounds` first: it says where a region begins and ends. The average is one matrix per dimension, so
that its transpose is the same op; the maximum sends its cotangent to the winners, as in `pool`. May
import `families`, `windows`, `pool`.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from pullback.families.by_hand import by_hand
from pullback.families.facets import Dependence, Sample
from pullback.families.op import apply
from pullback.ops.pool import back_to_winners, named, of_winners
from pullback.ops.windows import ALL, Ints, leading, per_plane


def _adaptive_max(x: Any, *, size: Ints) -> tuple[Any, Any]:
    """The first maximum of each of `size` regions, and its flat index in its plane."""
    lead, sizes = x.shape[: x.ndim - len(size)], x.shape[x.ndim - len(size) :]
    ids = np.arange(math.prod(sizes)).reshape(sizes)
    best, where = (np.zeros((*lead, *size), d, like=x) for d in (x.dtype, np.int64))
    for place in itertools.product(*map(range, size)):
        region = tuple(slice(*bounds(i, n, m)) for i, n, m in zip(place, sizes, size, strict=True))
        flat = x[ALL + region].reshape(*lead, -1)
        places = np.broadcast_to(ids[region].reshape(-1), flat.shape)
        won = flat.argmax(axis=-1)  # the first one; NaN wins
        best[ALL + place] = np.take_along_axis(flat, won[..., None], -1)[..., 0]
        where[ALL + place] = np.take_along_axis(places, won[..., None], -1)[..., 0]
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
    vjp=[back_to_winners],
    jvp=of_winners,
    outputs=2,
    samples=lambda: [Sample((np.sin(1.3 * np.arange(40.0)).reshape(1, 2, 5, 4),), {"size": (2, 3)})],
    backward="AdaptiveMaxPool2DBackward0",
    facets={"depend": _adaptive_max_depend, "batch": leading("adaptive_max_pool2d"), "picks": True},
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
    return np.ascontiguousarray(x, like=x)


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


def _sizes(output_size: Any, x: Any, n: int) -> Ints:
    wanted = (output_size,) * n if output_size is None or isinstance(output_size, int) else tuple(output_size)
    return tuple(have if w is None else int(w) for w, have in zip(wanted, x.shape[-n:], strict=True))


def _adaptive_avg(x: Any, output_size: Any, n: int) -> Any:
    sizes = _sizes(output_size, x, n)
    if n == 2 and sizes == (1, 1):
        return x.mean((-1, -2), keepdim=True)
    maps = tuple(map(region_matrix, tuple(x.shape)[-n:], sizes))
    return named(apply(adaptive_avg_pool, (x,), {"maps": maps}), n)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Averages over output_size regions of the last dimension, as equal as they can be."""
    return _adaptive_avg(input, output_size, 1)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Averages over a grid of regions of the last two dimensions; None keeps a dimension as it is."""
    return _adaptive_avg(input, output_size, 2)


def _adaptive_maximum(x: Any, output_size: Any, n: int, return_indices: bool) -> Any:
    values, where = apply(adaptive_max_pool, (x,), {"size": _sizes(output_size, x, n)})
    values = named(values, n)
    return (values, where) if return_indices else values


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over output_size regions of the last dimension."""
    return _adaptive_maximum(input, output_size, 1, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over a grid of regions of the last two dimensions."""
    return _adaptive_maximum(input, output_size, 2, return_indices)


adaptive_avg_pool.call, adaptive_max_pool.call = adaptive_avg_pool2d, adaptive_max_pool2d
PUBLIC: dict[str, Any] = {
    "adaptive_avg_pool1d": adaptive_avg_pool1d,
}
METHODS: dict[str, Any] = {}
IN_PLACE: dict[str, Any] = {}
