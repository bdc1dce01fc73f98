"""What all figures share: the palette, how an Axes is made and dressed, the words on the interval.

Read `axes` first. May import: the standard library and NumPy; matplotlib inside `axes` only. No function
shows a figure, chooses a backend or writes to rcParams: what is drawn into somebody's Axes must not change
the rest of the page.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

# Okabe and Ito (2008): distinguishable with every common kind of colour vision, in this order
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#000000", "#8C7A00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# said where the standard error is infinite: the samples do not show how far off the mean is
JUMPS = "f jumps: no interval"
GREY, PALE = "#6E6E6E", "#E3E3E3"


def axes(ax: Any) -> Any:
    """`ax` itself, or the Axes of a new figure of 6 x 4 inch; dressed in either case."""
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "No module named 'matplotlib'\n"
                "  here: figures are drawn with matplotlib, which is an optional dependency\n"
                "  try:  pip install 'pullback[plot]'"
            ) from None
        ax = plt.subplots(figsize=(6.0, 4.0), layout="constrained")[1]
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color=PALE, linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def title(ax: Any, text: str) -> None:
    """A title at the left edge, in bold."""
    ax.set_title(text, loc="left", fontsize=11, fontweight="bold", pad=8)


def legend(ax: Any, **options: Any) -> None:
    """A legend without a frame that still keeps lines behind it legible.

    Points with error bars stand first, whatever the order in which things were drawn.
    """
    chosen = {"fontsize": 9, "frameon": True, "framealpha": 0.85, "edgecolor": "none", **options}
    handles, words = ax.get_legend_handles_labels()
    order = sorted(range(len(handles)), key=lambda i: not hasattr(handles[i], "has_xerr"))
    ax.legend([handles[i] for i in order], [words[i] for i in order], **chosen)


def interval_words(confidence: float) -> str:
    """The words for an interval of this confidence.

    >>> interval_words(0.95)
    '95 % interval'
    """
    return f"{100 * confidence:.10g} % interval"


def quantile(confidence: float) -> float:
    """The half-width, in standard errors, of a normal interval of this confidence.

    >>> round(quantile(0.95), 3)
    1.96
    """
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def number(value: float, digits: int = 3) -> str:
    r"""A number for a label: `digits` significant digits, a proper minus sign, powers of ten as mathtext.

    >>> number(1.5), number(0.00001234)
    ('1.5', '$1.23\\times10^{-5}$')
    """
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text.replace("-", "\N{MINUS SIGN}")
    mantissa, exponent = text.split("e")
    return rf"${mantissa}\times10^{{{int(exponent)}}}$"
