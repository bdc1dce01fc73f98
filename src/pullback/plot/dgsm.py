"""Bounds of total Sobol' indices from squared derivatives.

Read `dgsm` first. May import: NumPy, `pullback.plot.*` and `pullback.sampling.result`;
matplotlib inside functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.plot import style
from pullback.sampling.result import Sensitivity

NOTE = {"ha": "center", "va": "top", "fontsize": 9, "color": style.GREY}


def dgsm(found: Any, *, total: Any = None, ax: Any = None, **line: Any) -> Any:
    """Draw, for each input, the bracket [lower bound, upper bound] that holds its total Sobol' index.

    The thick bar is the bracket, the whiskers are the intervals of its two ends. An input whose upper bound
    is near zero does not matter; one whose lower bound is above that upper bound matters more.

    Args:
        found: the result of `Sensitivity.dgsm`, or a `Sensitivity`, whose `dgsm()` is then computed.
        total: total indices to compare with, shape (inputs,): a diamond each.
        ax: the Axes to draw into; default: those of a new figure.
        line: further options of `Axes.plot` for the brackets.

    Returns: the Axes.
    """
    if isinstance(found, Sensitivity):
        found = found.dgsm()
    if np.ndim(found.lower_bound) != 1:
        raise ValueError(
            f"the bounds have shape {np.shape(found.lower_bound)}: one bracket for each input is drawn\n"
            "  try:  a result without pb.each and without a stack of upstream vectors"
        )
    names = list(found.labels)
    places = np.arange(len(names))
    lower, upper = (np.ravel(np.asarray(v, dtype=np.float64)) for v in (found.lower_bound, found.upper_bound))
    ax = style.axes(ax)
    ax.axvspan(1.0, 1e9, color=style.PALE, alpha=0.6, lw=0)  # an index above 1 does not exist
    options = {"color": style.BLUE, "lw": 8, "solid_capstyle": "butt", "alpha": 0.45, **line}
    for place, low, high in zip(places, lower, upper, strict=True):
        ax.plot([low, high], [place, place], **options)
    ends = [
        (lower, found.lower_interval, "lower bound", style.GREEN, ">"),
        (upper, found.upper_interval, "upper bound", style.RED, "<"),
    ]
    for values, interval, words, colour, marker in ends:
        low, high = (np.ravel(np.asarray(v, dtype=np.float64)) for v in interval)
        whiskers = np.abs([values - low, high - values])
        ax.errorbar(values, places, xerr=whiskers, fmt=marker, ms=6, color=colour, capsize=3, label=words)
    if total is not None:
        ax.plot(np.ravel(total), places, "D", ms=5, color="black", label="total index")
    ax.set_yticks(places, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    reach = [*lower[np.isfinite(lower)], *upper[np.isfinite(upper)], 0.0]
    # a bound of 30 says no more than one of 2, and would press the others against the axis
    right = min(max(1.02, 1.08 * max(reach)), 2.0)
    ax.set_xlim(min(-0.02, 1.08 * min(reach)), right)
    if right > 1.3:
        ax.text((1 + right) / 2, 0.98, "above 1:\nsays nothing", transform=ax.get_xaxis_transform(), **NOTE)
    ax.set_xlabel("total Sobol' index lies between")
    style.legend(ax, title=style.interval_words(found.confidence) + "s", title_fontsize=9)
    return ax
