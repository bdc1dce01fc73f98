"""The path of a descent over the contours of its function.

Read `descent` first. May import: NumPy, `pullback.ops.from_data` and `pullback.plot.style`;
matplotlib inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.ops.from_data import tensor
from pullback.plot import style

GRID = 60  # points along each side of the contour's grid


def descent(
    result: Any,
    f: Callable[[Any], Any] | None = None,
    *,
    minimum: Any = None,
    levels: int = 14,
    ax: Any = None,
    **line: Any,
) -> Any:
    """Draw the path of a descent in two parameters, over the contours of the function that went down.

    Args:
        result: of `pullback.minimize` with `record=True`: `path` of shape (n, 2).
        f: the function, from a tensor of shape (2,) to a scalar; default: the one that went down. It is
            called once for each of 60 x 60 points.
        minimum: where the minimum is, if it is known, shape (2,): a star.
        levels: how many contour lines.
        ax: the Axes to draw into; default: those of a new figure.
        line: further options of `Axes.plot` for the path.

    Returns: the Axes.
    Raises: ValueError for a path of another number of parameters, or none.
    """
    path = np.asarray(result.path, dtype=np.float64)
    if path.ndim != 2 or path.shape[1] != 2:
        raise ValueError(
            f"the path has shape {path.shape}; contours need one of shape (n, 2)\n"
            "  try:  record=True, and a function of two parameters"
        )
    ax = style.axes(ax)
    star = None if minimum is None else np.asarray(minimum, dtype=np.float64)
    sides = _window(path if star is None else np.vstack([path, star]))
    f = getattr(result, "function", None) if f is None else f
    if f is not None:
        _contours(ax, f, sides, levels)
    ax.plot(path[:, 0], path[:, 1], **{"color": style.RED, "lw": 1.8, "zorder": 3, **line})
    marks = _marks(len(path))
    words = f"after {', '.join(str(m) for m in marks[:-1])} and {marks[-1]} steps"
    label = words if len(marks) > 1 else "start"
    ax.plot(path[marks, 0], path[marks, 1], "o", color=style.RED, ms=5, label=label, zorder=4)
    if star is not None:
        ax.plot(*star, "*", color="black", ms=13, zorder=5, label=f"minimum ({star[0]:g}, {star[1]:g})")
    ax.grid(visible=False)
    ax.set(xlim=sides[0], ylim=sides[1], xlabel="$w_0$", ylabel="$w_1$")
    style.legend(ax, loc="best")
    return ax


def _window(points: np.ndarray[Any, Any]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The sides of the figure: all points and a margin; neither side below a fifth of the other."""
    low, high = points.min(axis=0), points.max(axis=0)
    spread = high - low
    least = max(0.2 * float(spread.max()), 1e-12)
    middle, half = (low + high) / 2, 0.62 * np.maximum(spread, least)
    x, y = ((float(m - h), float(m + h)) for m, h in zip(middle, half, strict=True))
    return x, y


def _contours(ax: Any, f: Callable[[Any], Any], sides: Any, levels: int) -> None:
    """Contour lines of f, closer together where f is small."""
    x, y = (np.linspace(low, high, GRID) for low, high in sides)
    z = np.array([[float(f(tensor([a, b])).item()) for a in x.tolist()] for b in y.tolist()])
    z[~np.isfinite(z)] = np.nan
    low, high = float(np.nanmin(z)), float(np.nanmax(z))
    if not high > low:
        return
    # a quadratic bowl has evenly spaced circles at squares; steeper walls need more lines near the ground
    typical = (float(np.nanmedian(z)) - low) / (high - low)
    power = float(np.clip(np.log(max(typical, 1e-6)) / np.log(0.5), 2.0, 6.0))
    heights = low + (high - low) * np.linspace(0.0, 1.0, levels + 1)[1:] ** power
    ax.contourf(x, y, z, levels=[low, *heights], cmap="Blues_r", alpha=0.4)
    lines = ax.contour(x, y, z, levels=heights, colors=style.GREY, linewidths=0.6)
    ax.clabel(lines, lines.levels[1::3], fontsize=8, colors="#333333", fmt=lambda value: f"{value:.3g}")


def _marks(count: int) -> list[int]:
    """The steps that get a dot: 0, 10, 20, 40, ... while there are as many, at most six."""
    found = [0]
    step = 10 if count > 20 else 1
    while step < count and len(found) < 6:
        found.append(step)
        step *= 2
    return found
