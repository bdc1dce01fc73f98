"""The mean gradient along a sweep of upstream vectors.

Read `sweep` first. May import: NumPy and `pullback.plot.*`; matplotlib inside functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pullback.plot import style
from pullback.plot.table import Table, tabulate
from pullback.plot.weights import horizontal

MOST = 8  # as many colours and markers as can be told apart


def sweep(
    result: Any,
    weights: Any = None,
    *,
    entries: Iterable[int | str] | None = None,
    at: Sequence[int] | None = None,
    complement: bool = True,
    expected: Any = None,
    confidence: float | None = None,
    ax: Any = None,
    **line: Any,
) -> Any:
    """Draw the mean of each entry of the gradient against the upstream weight, with intervals as error bars.

    Args:
        result: a `Sensitivity` with a stack of k upstream vectors, or with `pb.each`.
        weights: what is on the horizontal axis: the number of a component of the upstream vectors, or k
            numbers. Default: the first component that changes.
        entries: numbers or labels (`"x[2]"`) of the entries to draw. Default: all that are not zero
            throughout, the eight largest at most; those that are zero throughout are drawn as one.
        at: the index along the leading axes before the last, if there are any.
        complement: also show, on the top axis, the component that is 1 minus the weight, if there is one.
        expected: what the means should be, shape (k, number of drawn entries): thin lines.
        confidence: of the intervals; default: the result's.
        ax: the Axes to draw into; default: those of a new figure.
        line: further options of `Axes.errorbar`.

    Returns: the Axes.
    Raises: ValueError for a result without a leading axis, or `weights` of another length.
    """
    across = horizontal(result, weights)
    table = tabulate(result, confidence)
    rows = _rows(table, at)
    chosen, silent, left_out = _choose(table, rows, entries)
    jumps: Any = np.isinf(table.stderr[rows]).any(axis=0)
    ax = style.axes(ax)
    if expected is not None:
        _expected(ax, across.values, expected, len(chosen))
    for number, column in enumerate(chosen):
        middle = table.mean[rows, column]
        ends = np.abs([middle - table.low[rows, column], table.high[rows, column] - middle])
        options = {
            "fmt": style.MARKERS[number % MOST],
            "color": style.COLOURS[number % MOST],
            "label": table.labels[column] + (f" ({style.JUMPS})" if jumps[column] else ""),
            "markersize": 5,
            "linewidth": 1.3,
            "linestyle": "none" if expected is not None else "-",
            "capsize": 2.5,
            **line,
        }
        ax.errorbar(across.values, middle, ends, **options)
    if silent:
        nothing = np.zeros_like(across.values)
        ax.plot(across.values, nothing, "_", color=style.GREY, ms=8, label=_silent_words(table, silent))
    ax.set_xlabel(across.label)
    ax.set_ylabel(r"mean gradient  $\partial (v \cdot \mathrm{out}) / \partial x_i$")
    ax.margins(x=0.03)
    heading = f"{style.interval_words(table.confidence)}s"
    style.legend(ax, title=heading + (f"; {left_out} more not drawn" if left_out else ""), title_fontsize=9)
    if complement and across.complement:
        _top_axis(ax, across.complement)
    return ax


def _rows(table: Table, at: Sequence[int] | None) -> slice:
    """The cells along the last leading axis, at an index of the others."""
    count = table.leading[-1]
    before = table.leading[:-1]
    if len(before) != len(at or ()):
        raise ValueError(
            f"the result has {len(table.leading)} leading axes {table.leading}: a sweep runs along the last\n"
            f"  try:  at=index along the other {len(before)}"
        )
    start = int(np.ravel_multi_index(tuple(at), before)) * count if at else 0
    return slice(start, start + count)


def _choose(
    table: Table, rows: slice, entries: Iterable[int | str] | None
) -> tuple[list[int], list[int], int]:
    """The entries to draw, those that are zero throughout, and how many others are left out."""
    if entries is not None:
        return table.columns(entries), [], 0
    largest = np.abs(table.mean[rows]).max(axis=0)
    zero = (largest == 0.0) & np.all(table.stderr[rows] == 0.0, axis=0)
    live = [int(i) for i in np.flatnonzero(~zero)]
    kept = sorted(sorted(live, key=lambda i: -largest[i])[:MOST])
    return kept, [int(i) for i in np.flatnonzero(zero)], len(live) - len(kept)


def _silent_words(table: Table, silent: list[int]) -> str:
    """The label of the entries that are zero throughout."""
    names = [table.labels[i] for i in silent]
    return f"{', '.join(names) if len(names) <= 4 else f'{len(names)} entries'}: exactly zero"


def _expected(ax: Any, across: np.ndarray[Any, Any], expected: Any, count: int) -> None:
    """Thin lines where the means should be."""
    lines = np.asarray(expected, dtype=np.float64)
    if lines.shape != (len(across), count):
        raise ValueError(
            f"expected has shape {lines.shape}, but {len(across)} points of {count} entries are drawn: "
            f"shape ({len(across)}, {count})"
        )
    for number in range(count):
        ax.plot(across, lines[:, number], color=style.COLOURS[number % MOST], lw=1.1, alpha=0.6)
    ax.plot([], [], color=style.GREY, lw=1.1, label="expected")


def _top_axis(ax: Any, label: str) -> None:
    """1 minus the weight, on top."""
    top = ax.secondary_xaxis("top", functions=(lambda t: 1.0 - t, lambda t: 1.0 - t))
    top.set_xlabel(label)
    top.spines["top"].set_color(style.GREY)
