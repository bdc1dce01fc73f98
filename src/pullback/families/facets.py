"""The records that facets return: `Sample`, `Dependence`, `Local`.

Plain classes: importing `dataclasses` imports `inspect`, a tenth of the time that `import pullback` takes.
May import NumPy and `graph.node`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Sample:
    """One input that exercises an op; all tests of all facets are driven by these.

    args     NumPy arrays in float64 (or the dtype the op needs) and Python numbers
    params   static parameters
    diff     which args are differentiated (None: all floating ones)
    smooth   False where the op has a kink or tie here: values are tested, derivatives against the stated
             convention only
    note     what is special about it
    rtol     tolerance of the derivative's independent check if 1e-12 cannot be met, with the reason in `why`
    """

    __slots__ = ("args", "diff", "note", "params", "rtol", "smooth", "why")

    def __init__(
        self,
        args: tuple[Any, ...],
        params: dict[str, Any] | None = None,
        diff: tuple[int, ...] | None = None,
        smooth: bool = True,
        note: str = "",
        rtol: float = 1e-12,
        why: str = "",
    ) -> None:
        self.args, self.params = args, {} if params is None else params
        self.diff, self.smooth, self.note = diff, smooth, note
        self.rtol, self.why = rtol, why

    def __repr__(self) -> str:
        return f"Sample({self.args!r}, {self.params!r}, {self.note!r})"


Pairs = tuple[Any, Any]


class Dependence:
    """Which input entries can reach which output entries.

    first    per argument (rows, cols): flat output and input indices of every pair that may have a non-zero
             first derivative;
             None for arguments without a gradient
    second   pairs (i, j) of arguments whose entries can have a non-zero second derivative where they meet in
             an output
    """

    __slots__ = ("first", "second")

    def __init__(
        self, first: Sequence[Pairs | None], second: frozenset[tuple[int, int]] = frozenset()
    ) -> None:
        self.first, self.second = first, second

    def __repr__(self) -> str:
        return f"Dependence({self.first!r}, {self.second!r})"

    def matrix(self, i: int, rows: int, cols: int) -> Any:
        """The pattern of argument i as a dense boolean matrix (small cases and tests)."""
        m = np.zeros((rows, cols), bool)
        pairs = self.first[i]
        if pairs is not None:
            m[pairs[0], pairs[1]] = True
        return m


class Local:
    """The local derivative of one argument here, entry by entry, and what its zeros and infinities mean.

    rows, cols     flat output and input indices, as in `Dependence`
    values         d out[rows] / d arg[cols]
    why_zero       why an entry of `values` can be exactly zero and what would bring it to life
    why_nonfinite  why it can be infinite or undefined
    margin         per pair, how far the deciding value is from the switch (selection ops), or None
    """

    __slots__ = ("cols", "margin", "rows", "values", "why_nonfinite", "why_zero")

    def __init__(
        self,
        rows: Any,
        cols: Any,
        values: Any,
        why_zero: str = "",
        why_nonfinite: str = "",
        margin: Any = None,
    ) -> None:
        self.rows, self.cols, self.values = rows, cols, values
        self.why_zero, self.why_nonfinite, self.margin = why_zero, why_nonfinite, margin

    def __repr__(self) -> str:
        return f"Local({self.rows!r}, {self.cols!r}, {self.values!r})"


def broadcast_pairs(out_shape: tuple[int, ...], shape: tuple[int, ...]) -> Pairs:
    """The pairs of an argument that is broadcast to the output's shape."""
    n = int(np.prod(out_shape))
    ids = np.arange(int(np.prod(shape))).reshape(shape)
    return np.arange(n), np.broadcast_to(ids, out_shape).reshape(-1)


def dense_pairs(out_size: int, in_size: int) -> Pairs:
    """Every output with every input."""
    return np.repeat(np.arange(out_size), in_size), np.tile(np.arange(in_size), out_size)
