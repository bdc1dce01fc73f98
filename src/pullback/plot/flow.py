"""How the norm of the gradient changes on its way from the output to the leaves.

Read `flow`. May import: `pullback.plot.style`; matplotlib inside functions.
"""

from __future__ import annotations

import math
from typing import Any

from pullback.plot import style

# of the norm at the start: where a gradient counts as lost, or as blown up
BOUNDS = {1e-6: "a millionth of the start", 1e6: "a million times the start"}
SPAN = 1e30  # decades beyond this below the largest norm are not worth the room


def flow(result: Any, *, leaves: bool = True, most: int = 3, ax: Any = None, **line: Any) -> Any:
    """Draw the norm of the cotangent at each op against its distance from the output, on a log scale.

    A line follows the longest path; the other ops are grey points, the leaves' gradients are squares. What is
    exactly zero has no place on a log scale: it lies on the lower edge, as a cross.

    Args:
        result: what `pullback.flow` returned.
        leaves: draw the leaves' gradients.
        most: how many of the worst factors on the path are named.
        ax: the Axes to draw into; default: those of a new figure.
        line: further options of `Axes.plot` for the path.

    Returns: the Axes.
    """
    ax = style.axes(ax)
    norms = [*(r.arriving for r in result.rows), *(leaf.norm for leaf in result.leaves)]
    sizes = [n for n in norms if n > 0 and math.isfinite(n)]
    top = max(sizes, default=1.0)
    floor = max(min(sizes, default=1.0), top / SPAN) / 10
    path = result.path
    on_path = set(path.nodes)
    others = [(r.depth, r.arriving) for r in result.rows if r.node not in on_path]
    _points(ax, others, floor, color=style.GREY, marker="o", ms=3, alpha=0.5, label="other ops")
    if path.norms:
        plain: dict[str, Any] = {"color": style.BLUE, "lw": 1.6, "marker": "o", "ms": 3.5}
        shown = {**plain, "label": "longest path", **line}
        heights = [n if floor <= n < math.inf else math.nan for n in path.norms]
        ax.plot(range(len(heights)), heights, **shown)
        _zeros(ax, list(enumerate(path.norms)), floor, shown["color"])
        _bounds(ax, path.norms[0], floor, top)
        _worst(ax, result, most)
    if leaves:
        found = [(leaf.depth, leaf.norm) for leaf in result.leaves]
        _points(ax, found, floor, color=style.ORANGE, marker="s", ms=5, label="leaves")
    ax.set_yscale("log")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_ylim(floor / 2, 3 * top)
    ax.set_xlabel("ops between here and the output")
    ax.set_ylabel("norm of the gradient")
    if norms:
        style.legend(ax)
    return ax


def _points(ax: Any, places: list[tuple[int, float]], floor: float, **options: Any) -> None:
    if not places:
        return
    seen = [(k, n) for k, n in places if floor <= n < math.inf]
    ax.plot([k for k, _ in seen], [n for _, n in seen], ls="", **options)
    _zeros(ax, places, floor, options["color"])


def _zeros(ax: Any, places: list[tuple[int, float]], floor: float, colour: str) -> None:
    """Crosses on the lower edge for what is exactly zero (or too small for the axis)."""
    low = [k for k, n in places if n < floor]
    if low:
        first = not any(h.get_label() == "exactly zero" for h in ax.lines)
        label = "exactly zero" if first else "_again"
        ax.plot(low, [floor] * len(low), ls="", marker="x", ms=5, color=colour, label=label)


def _bounds(ax: Any, start: float, floor: float, top: float) -> None:
    for factor, words in BOUNDS.items():
        level = start * factor
        if floor < level < top:
            ax.axhline(level, color="black", lw=1.0, ls="--")
            ax.annotate(
                words,
                (0.995, level),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8,
            )


def _worst(ax: Any, result: Any, most: int) -> None:
    """Names of the worst factors, where the path passes them; of several at one op the first."""
    places = {node: k for k, node in enumerate(result.path.nodes)}
    chosen = {w.node: w for w in reversed(result.worst) if w.node in places}
    for w in list(reversed(chosen.values()))[:most]:
        k = places[w.node]
        value = result.path.norms[k]
        if not 0 < value < math.inf:
            continue
        # beside the line, which falls to the right of a small factor and rises after a large one; near the
        # right edge on its other side
        late = k > 0.7 * len(places)
        above = (w.gain < 1) != late
        ax.annotate(
            f"{w.op} \N{MULTIPLICATION SIGN} {style.number(w.gain)}",
            (k, value),
            xytext=(-6 if late else 6, 6 if above else -6),
            textcoords="offset points",
            ha="right" if late else "left",
            va="bottom" if above else "top",
            fontsize=8,
            color=style.RED,
        )
