"""The ratio of two gradients against the ratio of their upstream weights.

Read `ratio` first. May import: NumPy and `pullback.plot.*`; matplotlib inside functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.plot import style
from pullback.plot.fit import Line, fit_line
from pullback.plot.table import tabulate


def ratio(
    result: Any,
    i: int | str,
    j: int | str,
    weights: Any = None,
    *,
    independent: bool | None = None,
    confidence: float | None = None,
    log: bool | None = None,
    ax: Any = None,
    **line: Any,
) -> Any:
    """Draw mean gradient i over mean gradient j against the ratio of two upstream weights, and fit a line.

    The legend gives slope and intercept, the interval of the slope, and R^2.

    Args:
        result: a `Sensitivity` with a stack of k upstream vectors.
        i, j: numbers or labels of the two entries of the gradient.
        weights: (a, b), the numbers of the two components of the upstream vectors whose ratio v_a / v_b is on
            the horizontal axis, or k numbers to take as they are. Default: the components with the numbers of
            i and j.
        independent: whether every upstream vector had its own draws. Default: what the result says, no if it
            does not; the fit then allows for errors that are correlated, see `fit_line`.
        confidence: of the intervals; default: the result's.
        log: both axes logarithmic; default: when all is positive and spans more than a factor 30.
        ax: the Axes to draw into; default: those of a new figure.
        line: further options of `Axes.errorbar`.

    Returns: the Axes.
    Raises: ValueError if there is no sweep, or weights that do not fit it.
    """
    table = tabulate(result, confidence)
    first, second = table.column(i), table.column(j)
    x, label = _across(result, weights, (first, second))
    y, low, high = (np.ravel(v) for v in estimates(result, first, second, table.confidence))
    if independent is None:
        independent = not result.common_draws
    stderr = (high - low) / 2 / style.quantile(table.confidence)
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(stderr)
    x, y, low, high, stderr = (v[finite] for v in (x, y, low, high, stderr))
    fit = fit_ratio(x, y, stderr, independent=independent)
    ax = style.axes(ax)
    points = f"ratio of the means ({style.interval_words(table.confidence)}s)"
    options = {"fmt": "o", "ms": 5, "color": style.BLUE, "capsize": 2.5, "lw": 1.3, "label": points, **line}
    ax.errorbar(x, y, np.abs([y - low, high - y]), **options)
    if log is None:
        log = bool(min(x.min(), y.min()) > 0.0 and x.max() > 30.0 * x.min())
    along = np.geomspace(x.min(), x.max(), 200) if log else np.array([x.min(), x.max()])
    words = fit_words(fit, table.confidence, exact=independent)
    ax.plot(along, fit.slope * along + fit.intercept, color=style.ORANGE, lw=1.8, label=words, zorder=1)
    if log:
        _plain_log(ax)
    ax.set_xlabel(label)
    ax.set_ylabel(f"gradient ratio  {table.labels[first]} / {table.labels[second]}")
    style.legend(ax, loc="upper left")
    return ax


def fit_ratio(
    x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], stderr: np.ndarray[Any, Any], *, independent: bool
) -> Line:
    """The line through estimated ratios y with their estimated errors.

    A ratio that came out low by chance has a low estimated error, too, and would get too much weight: the
    slope would be biased towards zero. So the relative errors are applied to the fitted ratios, and the fit
    repeated.
    """
    fit = fit_line(x, y, stderr, independent=independent)
    if independent and np.all(y != 0.0):
        smooth = stderr * np.abs((fit.slope * x + fit.intercept) / y)
        fit = fit_line(x, y, smooth, independent=True)
    return fit


def fit_words(fit: Line, confidence: float, *, exact: bool = True) -> str:
    """Slope with its interval, intercept and R^2, on three lines.

    `exact` False: the interval is the bound that allows for any correlation of the points.
    """
    low, high = fit.slope_interval(confidence)
    interval = style.interval_words(confidence) if exact else f"{style.interval_words(confidence)} or more"
    # two digits of the interval's width
    spread = max((high - low) / max(abs(fit.slope), 1e-300), 1e-6)
    digits = max(3, 2 - int(np.floor(np.log10(spread))))
    return (
        f"slope {style.number(fit.slope, digits)}, intercept {style.number(fit.intercept, 2)}\n"
        f"{interval} of the slope: {style.number(low, digits)} to {style.number(high, digits)}\n"
        f"$R^2$ = {fit.r2:.6f}"
    )


def estimates(result: Any, i: int, j: int, confidence: float) -> tuple[Any, Any, Any]:
    """The ratio of the entries i and j in every cell, and the ends of its interval."""
    found = result.ratio(i, j, confidence=confidence)
    return found.value, found.low, found.high


def _across(result: Any, weights: Any, entries: tuple[int, int]) -> tuple[np.ndarray[Any, Any], str]:
    """The values on the horizontal axis, and what they are."""
    if not result.stacked:
        raise ValueError(
            "this figure needs a stack of upstream vectors: the ratio changes from one to the next\n"
            "  try:  upstream=V with V of shape (k, *output)"
        )
    flat = np.asarray(result.upstream, dtype=np.float64).reshape(len(result.upstream), -1)
    cells = int(np.prod(result.leading))
    if weights is None or (np.ndim(weights) == 1 and len(weights) == 2 != len(flat)):
        a, b = entries if weights is None else (int(w) for w in weights)
        if not (0 <= a < flat.shape[1] and 0 <= b < flat.shape[1]):
            raise ValueError(
                f"which of the {flat.shape[1]} components of the upstream vectors belong to the entries "
                f"{entries[0]} and {entries[1]}?\n  try:  weights=(a, b), for the ratio v_a / v_b"
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.resize(flat[:, a] / flat[:, b], cells)
        return values, rf"upstream weight ratio  $v_{{{a}}} / v_{{{b}}}$"
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (len(flat),):
        raise ValueError(f"weights has shape {values.shape}, the sweep has {len(flat)} points")
    return np.resize(values, cells), "upstream weight ratio"


def _plain_log(ax: Any) -> None:
    """Logarithmic axes whose ticks read 1, 3, 10, 30."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set(xscale="log", yscale="log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: style.number(value)))
        axis.set_minor_formatter(NullFormatter())
