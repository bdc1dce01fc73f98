"""Figures of a program that runs without a screen: written to a folder, or dropped.

Read `Album` first. `attend` makes matplotlib, once a program imports it, draw with `pullback.compat.backend`,
which hands every figure that is shown to the album; `finish` takes the figures that are left open. May
import: `pullback.compat.after`, the standard library; matplotlib only inside functions, after the program
did.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from pullback.compat.after import AfterImport

BACKEND = "module://pullback.compat.backend"


class Album:
    """Writes figures as figure-001.png, figure-002.png, ... into `folder`; nowhere if it is None.

    A figure keeps its number: shown again, it replaces its file. Each file appears whole or not at all.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._paths: WeakKeyDictionary[Any, Path] = WeakKeyDictionary()
        self._count = 0

    def add(self, figure: Any) -> None:
        """Write one matplotlib figure; OSError if the folder cannot be written."""
        if self.folder is None:
            return
        path = self._paths.get(figure)
        if path is None:
            self._count += 1
            path = self._paths[figure] = self.folder / f"figure-{self._count:03d}.png"
            sys.stderr.write(f"pullback run: figure {self._count} -> {path}\n")
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_whole(path, figure)


_album = Album(None)


def album() -> Album:
    """The album of the program that is running."""
    return _album


def attend(folder: Path | None) -> None:
    """From now on figures go to `folder`, and showing one never waits for a window."""
    global _album  # noqa: PLW0603 - matplotlib finds its backend by name, so the backend finds the album here
    _album = Album(folder)
    AfterImport({"matplotlib": _draw_to_files}).install()


def finish() -> None:
    """Take the figures that are still open, and close them. Nothing if matplotlib was never used."""
    if "matplotlib.pyplot" in sys.modules and BACKEND.partition("//")[2] in sys.modules:
        from pullback.compat.backend import show

        show(block=True)


def _draw_to_files(matplotlib: ModuleType) -> Callable[[], None]:
    """Choose our backend, for good: a program that asks for a window would wait for somebody to close it."""
    chosen: Any = matplotlib
    settings: Any = chosen.rcParams
    use, backend = chosen.use, settings._get("backend")  # reading it openly would choose one

    def keep_backend(backend: str, *, force: bool = True) -> None:
        """Choosing a backend has no effect under `pullback run`."""

    def undo() -> None:
        chosen.use = use
        settings._set("backend", backend)

    settings["backend"] = BACKEND
    chosen.use = keep_backend
    return undo


def _write_whole(path: Path, figure: Any) -> None:
    """Write beside the target, then rename over it."""
    handle, name = tempfile.mkstemp(suffix=".png", prefix=".figure-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            figure.savefig(file, format="png")
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # mkstemp's files are for their owner only
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
