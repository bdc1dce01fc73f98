"""How the mean settles as samples are added.

Read `convergence` first. May import: NumPy and `pullback.plot.*`; matplotlib inside functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.plot import style
from pullback.plot.table import tabulate

FIRST = 16  # the mean of fewer samples has no interval worth drawing


@dataclass(frozen=True)
class Prefixes:
    """Mean and standard error over the first `samples` samples; shapes (points,), (points, entries)."""

    samples: np.ndarray[Any, Any]
    mean: np.ndarray[Any, Any]
    stderr: np.ndarray[Any, Any]


def convergence(
    result: Any,
    entries: int | str | Iterable[int | str] | None = None,
    *,
    cell: int | Sequence[int] | None = None,
    truth: Any = None,
    most: int = 100_000,
    confidence: float | None = None,
    ax: Any = None,
    **line: Any,
) -> Any:
    """Draw the mean over the first n samples against n, with the band of its interval.

    The samples are made again from their seed, so that no result has to keep them.

    Args:
        result: a `Sensitivity` that was computed in this process (a loaded one cannot make its samples).
        entries: number(s) or label(s) of the entries to draw; default: the one with the largest mean.
        cell: which of several upstream vectors or `pb.each` values.
        truth: what the means should be, a number per entry: dashed lines.
        most: how many samples are made again at most.
        confidence: of the band; default: the result's. At a single n the band covers with this confidence;
            the whole curve stays inside its band less often.
        ax: the Axes to draw into; default: those of a new figure.
        line: further options of `Axes.plot`.

    Returns: the Axes.
    Raises: RuntimeError if the result was loaded from a file.
    """
    table = tabulate(result, confidence)
    row = table.row(cell)
    chosen = [int(np.argmax(np.abs(table.mean[row])))] if entries is None else table.columns(entries)
    found = prefixes(result, row, chosen, most)
    z = style.quantile(table.confidence)
    ax = style.axes(ax)
    for number, column in enumerate(chosen):
        colour = style.COLOURS[number % len(style.COLOURS)]
        middle, half = found.mean[:, number], z * found.stderr[:, number]
        jumps = np.isinf(table.stderr[row, column])
        if not jumps:
            ax.fill_between(found.samples, middle - half, middle + half, color=colour, alpha=0.22, lw=0)
        label = table.labels[column] + (f" ({style.JUMPS})" if jumps else "")
        ax.plot(found.samples, middle, **{"color": colour, "lw": 1.6, "label": label, **line})
    expected = np.ravel(np.asarray([] if truth is None else truth, dtype=np.float64))
    for number, value in enumerate(expected):
        colour = style.COLOURS[number % len(style.COLOURS)] if len(expected) > 1 else "black"
        ax.axhline(value, color=colour, lw=1.2, ls="--")
    if expected.size:
        ax.plot([], [], color=style.GREY, lw=1.2, ls="--", label="expected")
    ax.set_xscale("log")
    ax.set_xlim(found.samples[0], found.samples[-1])
    _limits(ax, found, z, expected)
    ax.set_xlabel("samples")
    ax.set_ylabel("mean gradient over the first samples")
    style.legend(ax, title=f"band: {style.interval_words(table.confidence)}", title_fontsize=9)
    return ax


def prefixes(result: Any, cell: int, columns: list[int], most: int) -> Prefixes:
    """Mean and standard error after some 200 numbers of samples, evenly spread on a logarithmic axis."""
    last = min(int(result.samples), most)
    stops = np.unique(np.geomspace(min(FIRST, last), last, 200).astype(np.int64))
    count = np.zeros(len(columns))
    total, squares, shift = np.zeros(len(columns)), np.zeros(len(columns)), np.full(len(columns), np.nan)
    means: list[np.ndarray[Any, Any]] = []
    errors: list[np.ndarray[Any, Any]] = []
    done = 0
    for rows in result.iterate(cell):
        values = np.asarray(rows[1], dtype=np.float64)[: last - done, columns]
        good = np.isfinite(values)
        # centred at the first finite sample: the variance of an entry that hardly varies keeps its digits
        shift = np.where(np.isnan(shift), _first_finite(values, good), shift)
        centred = np.where(good, values - np.nan_to_num(shift), 0.0)
        counts, totals = count + good.cumsum(axis=0), total + centred.cumsum(axis=0)
        powers = squares + (centred**2).cumsum(axis=0)
        for stop in stops[(stops > done) & (stops <= done + len(values))] - done - 1:
            n, mean = counts[stop], totals[stop] / counts[stop]
            variance = np.maximum(powers[stop] / n - mean**2, 0.0) * n / np.maximum(n - 1.0, 1.0)
            means.append(shift + mean)
            errors.append(np.sqrt(variance / n))
        if len(values):
            count, total, squares = counts[-1], totals[-1], powers[-1]
        done += len(values)
        if done >= last:
            break
    return Prefixes(stops[: len(means)], np.array(means), np.array(errors))


def _first_finite(values: np.ndarray[Any, Any], good: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The first finite value of each column, NaN where there is none."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    first = values[good.argmax(axis=0), np.arange(values.shape[1])]
    return np.where(good.any(axis=0), first, np.nan)


def _limits(ax: Any, found: Prefixes, z: float, expected: np.ndarray[Any, Any]) -> None:
    """Vertical limits that hold the band from a quarter of the way on: its wide beginning would hide the
    rest.
    """
    late = slice(len(found.samples) // 4, None)
    low, high = found.mean - z * found.stderr, found.mean + z * found.stderr
    every = np.concatenate([low[late].ravel(), high[late].ravel(), expected])
    every = every[np.isfinite(every)]
    if every.size and np.ptp(every) > 0.0:
        margin = 0.05 * np.ptp(every)
        ax.set_ylim(every.min() - margin, every.max() + margin)
