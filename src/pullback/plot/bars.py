"""Mean gradients of one cell as bars with intervals.

Read `bars` first. May import: NumPy and `pullback.plot.*`; matplotlib inside functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pullback.plot import style
from pullback.plot.table import tabulate


def bars(
    result: Any,
    *,
    entries: Iterable[int | str] | None = None,
    cell: int | Sequence[int] | None = None,
    sort: bool = False,
    most: int = 20,
    confidence: float | None = None,
    ax: Any = None,
    **bar: Any,
) -> Any:
    """Draw one horizontal bar per entry of the gradient: its mean, with the interval.

    Entries whose gradient was zero in every sample say so in words, since no bar can; so do those without an
    interval, along which f jumps.

    Args:
        result: a `Sensitivity`.
        entries: numbers or labels of the entries; default: all, the `most` largest if there are more.
        cell: which of several upstream vectors or `pb.each` values: a number, or an index along the leading
            axes.
        sort: largest first; default: in the order of the inputs.
        most: how many bars at most.
        confidence: of the intervals; default: the result's.
        ax: the Axes to draw into; default: those of a new figure.
        bar: further options of `Axes.barh`.

    Returns: the Axes.
    """
    table = tabulate(result, confidence)
    row = table.row(cell)
    mean = table.mean[row]
    chosen = table.columns(entries)
    by_size = sorted(chosen, key=lambda i: -abs(mean[i]))
    left_out = max(0, len(chosen) - most)
    chosen = by_size[:most] if sort else sorted(by_size[:most], key=chosen.index)
    ax = style.axes(ax)
    places = np.arange(len(chosen))
    middle, low, high = mean[chosen], table.low[row, chosen], table.high[row, chosen]
    ax.barh(places, middle, **{"color": style.BLUE, "alpha": 0.75, "height": 0.7, **bar})
    whiskers = np.abs([middle - low, high - middle])
    ax.errorbar(middle, places, xerr=whiskers, fmt="none", color="black", capsize=3, lw=1.2)
    ax.axvline(0.0, color=style.GREY, lw=1.0)
    for place, column in zip(places, chosen, strict=True):
        words = _words(mean[column], table.stderr[row, column])
        if words:
            ax.annotate(
                words,
                (max(mean[column], 0.0), place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=style.GREY,
            )
    ax.set_yticks(places, [table.labels[i] for i in chosen])
    ax.set_ylim(len(chosen) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    more = f"; {left_out} smaller ones not drawn" if left_out else ""
    ax.set_xlabel(f"mean gradient ({style.interval_words(table.confidence)}s{more})")
    return ax


def _words(mean: float, stderr: float) -> str:
    """What a bar cannot show."""
    if np.isinf(stderr):
        return style.JUMPS
    return "exactly zero" if mean == 0.0 and stderr == 0.0 else ""
