"""What the examples share: the --out option, the numbers file, and the look of the figures.

Read `Report` first. Imports only the standard library and NumPy; matplotlib is imported when a figure is
drawn, and an example without it, or without --out, still runs and checks everything it prints.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

# Okabe and Ito's palette: distinguishable with every common kind of colour vision.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6E6E6E"

STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
}


class Report:
    """Collects the numbers of one example and writes them, with its figures, to the folder of --out."""

    def __init__(self, name: str, out: Path | None) -> None:
        self.name = name
        self.out = out
        self.numbers: dict[str, Any] = {}

    def record(self, **values: Any) -> None:
        """Keep numbers, arrays or tensors under their names."""
        self.numbers.update({key: plain(value) for key, value in values.items()})

    def pyplot(self) -> Any:
        """Return matplotlib's pyplot in the examples' style, or None when no figure is wanted or possible."""
        if self.out is None:
            return None
        try:
            import matplotlib as mpl
        except ModuleNotFoundError:
            return None
        mpl.rcParams.update(STYLE)
        import matplotlib.pyplot as plt

        return plt

    def save(self, figure: Any, suffix: str = "") -> None:
        """Write one figure as PNG."""
        assert self.out is not None
        self.out.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.out / f"{self.name}{suffix}.png")
        self.pyplot().close(figure)

    def finish(self) -> None:
        """Write the numbers as JSON; the last line of every example."""
        if self.out is None:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.numbers, indent=1, allow_nan=False)
        (self.out / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")


def start(name: str, description: str | None, **options: int) -> tuple[Report, argparse.Namespace]:
    """Parse the command line: --out DIR, and an integer option per keyword with its default."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--out", type=Path, metavar="DIR", help="write figures and numbers there")
    for option, default in options.items():
        parser.add_argument(f"--{option}", type=int, default=default, metavar="N", help=f"default {default}")
    chosen = parser.parse_args()
    return Report(name, chosen.out), chosen


def plain(value: Any) -> Any:
    """Turn tensors, arrays and NumPy scalars into what JSON knows."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def array(tensor: Any) -> np.ndarray[Any, Any]:
    """Return the values of a tensor as a float64 array, for plotting and statistics."""
    return np.asarray(tensor.detach().tolist(), dtype=float)


def matrix(ax: Any, values: Any, title: str, *, limit: float | None = None, digits: int = 2) -> Any:
    """Draw a small matrix as a heat map with its numbers written in, zero being white."""
    grid = np.atleast_2d(np.asarray(values, dtype=float))
    limit = limit or float(np.abs(grid).max()) or 1.0
    image = ax.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for (row, column), entry in np.ndenumerate(grid):
        colour = "white" if abs(entry) > 0.6 * limit else "black"
        text = f"{round(entry, digits) + 0.0:.{digits}f}"  # + 0.0: no minus sign on a rounded zero
        ax.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    ax.set_title(title, fontsize=11)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return image
