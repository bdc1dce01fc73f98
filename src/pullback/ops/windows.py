"""Windows over the last dimensions: their geometry, and which entries they hold.

Read `Windows` first: pools run over the kernel's offsets with strided slices of the input (no copy of the
windows), in any number of trailing spatial dimensions. May import `families`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback.families.facets import Dependence
from pullback.families.op import TABLE

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


def window_pattern(avals: Any, params: dict[str, Any], _values: Any = None) -> Dependence:
    """The `depend` facet of an op whose output entries are windows of its first argument."""
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
