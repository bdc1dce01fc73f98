"""Eigenvalues of the mean outer product of the gradient.

Read `active_subspace` first. May import: NumPy, `pullback.plot.*` and `pullback.sampling.result`;
matplotlib inside functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.plot import style
from pullback.sampling.result import Sensitivity


def active_subspace(found: Any, *, most: int = 20, ax: Any = None, **line: Any) -> Any:
    """Draw the eigenvalues of C = E[grad f grad f^T] on a logarithmic axis, with their bootstrap ranges as a
    band.

    A gap between two eigenvalues that is wider than the band says that f mostly varies along the directions
    before the gap (Constantine, Active Subspaces, 2015).

    Args:
        found: an active subspace, or a `Sensitivity`, whose `active_subspace()` is then computed.
        most: how many eigenvalues at most.
        ax: the Axes to draw into; default: those of a new figure.
        line: further options of `Axes.plot`.

    Returns: the Axes.
    """
    if isinstance(found, Sensitivity):
        found = found.active_subspace()
    if np.ndim(found.eigenvalues) != 1:
        raise ValueError(
            f"the eigenvalues have shape {np.shape(found.eigenvalues)}: those of one average are drawn\n"
            "  try:  a result without pb.each and without a stack of upstream vectors"
        )
    values = np.asarray(found.eigenvalues, dtype=np.float64)[:most]
    low, high = (np.asarray(end, dtype=np.float64)[:most] for end in found.eigenvalue_ranges)
    number = np.arange(1, len(values) + 1)
    # what rounding leaves of an eigenvalue that is zero has no place on a logarithmic axis
    floor = max(values.max(initial=0.0) * 1e-16, np.finfo(np.float64).tiny)
    shown = values > floor
    ax = style.axes(ax)
    band = {"color": style.BLUE, "alpha": 0.22, "lw": 0, "label": "bootstrap range"}
    ax.fill_between(number[shown], np.maximum(low[shown], floor), np.maximum(high[shown], floor), **band)
    options = {"marker": "o", "ms": 5.5, "color": style.BLUE, "lw": 1.4, "label": "eigenvalue", **line}
    ax.plot(number[shown], values[shown], **options)
    ax.set_yscale("log")
    ax.set_xticks(number if len(number) <= 10 else number[:: len(number) // 10 + 1])
    ax.set_xlim(0.5, len(number) + 0.5)
    ax.set_xlabel("number of the eigenvalue")
    ax.set_ylabel(r"eigenvalue of $E[\nabla f\, \nabla f^{\top}]$")
    zeros = int((~shown).sum())
    words = f"{zeros} more: zero" if zeros else None
    style.legend(ax, title=words, title_fontsize=9)
    return ax
