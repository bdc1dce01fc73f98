"""The matplotlib backend of `pullback run`: Agg, whose figures are shown by handing them to the album.

Read `show` first. Imported by matplotlib, by name, when a program makes its first figure; never otherwise.
May import: `pullback.compat.figures` and matplotlib.
"""

from __future__ import annotations

from typing import Any

from matplotlib import is_interactive
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pullback.compat.figures import album


class FigureManager(FigureManagerBase):
    """Shows a figure by adding it to the album."""

    def show(self) -> None:
        """What `Figure.show()` does: the figure stays open."""
        album().add(self.canvas.figure)

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        """What `pyplot.show()` does."""
        show(block=block)


class FigureCanvas(FigureCanvasAgg):
    """Agg's canvas with the manager above."""

    manager_class: Any = FigureManager


def show(*, block: bool | None = None) -> None:
    """Add all open figures to the album; close them, as if their windows had been closed, if `block`.

    `block=None` means: unless matplotlib is interactive, as everywhere in matplotlib.
    """
    managers: list[Any] = Gcf.get_all_fig_managers()
    for manager in managers:
        album().add(manager.canvas.figure)
    if block or (block is None and not is_interactive()):
        Gcf.destroy_all()
