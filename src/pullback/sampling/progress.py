"""Showing how far a study is: nothing, a callable, or a tqdm bar.

Read `progress_of`. Imports tqdm when a bar is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from pullback.errors import message

Report = Callable[[int, int], Any]


class Bar(AbstractContextManager["Bar"]):
    """A tqdm bar that takes (done, total), in samples of all cells."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Move the bar; it appears with the first call."""
        if self.bar is None:
            from tqdm.auto import tqdm

            self.bar = tqdm(total=total, unit=" samples", unit_scale=True)
        self.bar.update(done - self.bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()


def progress_of(progress: Any) -> AbstractContextManager[Report | None]:
    """What to call with (done, total) while it is open; TypeError for other things.

    >>> with progress_of(lambda done, total: print(done, "of", total)) as report:
    ...     report(1, 2)
    1 of 2
    """
    if progress is None or progress is False:
        return nullcontext(None)
    if progress is True:
        return Bar()
    if callable(progress):
        return nullcontext(progress)
    raise TypeError(
        message(
            f"progress must be True, None or a callable, got {type(progress).__name__}",
            f"progress={progress!r}",
            "progress=True shows a bar; a callable gets (done, total) in samples of all averages",
        )
    )
