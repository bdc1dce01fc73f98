"""A sensitivity result as a plain table: one row a cell, one column an entry of a gradient.

Read `tabulate` first. A result keeps the axes that its user thinks in (one for each `pb.each`, one for a
stack of upstream vectors, then those of the input); a figure or a CSV file wants two. May import: the
standard library and NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Table:
    """`mean`, `stderr`, `low`, `high`: float64, shape (cells, entries); `labels` name the entries."""

    mean: np.ndarray[Any, Any]
    stderr: np.ndarray[Any, Any]
    low: np.ndarray[Any, Any]
    high: np.ndarray[Any, Any]
    labels: tuple[str, ...]
    leading: tuple[int, ...]  # the lengths of the axes that make the cells
    confidence: float

    def column(self, entry: int | str) -> int:
        """The number of an entry, which is given by its number or its label."""
        if isinstance(entry, str):
            if entry not in self.labels:
                raise KeyError(f"no entry {entry!r}; there are {', '.join(self.labels)}")
            return self.labels.index(entry)
        if not -len(self.labels) <= entry < len(self.labels):
            raise IndexError(
                f"entry {entry} is out of range for {len(self.labels)} entries: {self.labels[0]} is entry 0"
            )
        return entry % len(self.labels)

    def columns(self, entries: int | str | Iterable[int | str] | None) -> list[int]:
        """Several of them; all for None."""
        if entries is None:
            return list(range(len(self.labels)))
        return [self.column(e) for e in ([entries] if isinstance(entries, int | str) else entries)]

    def row(self, cell: int | Sequence[int] | None) -> int:
        """The number of a cell, given by its number or its index along the leading axes.

        None stands for the only one; ValueError if there are several.
        """
        count = len(self.mean)
        if cell is None:
            if count == 1:
                return 0
            raise ValueError(
                f"the result has {count} cells (leading axes {self.leading}), one of them can be drawn\n"
                "  try:  cell=0, or an index with a number for each leading axis"
            )
        if isinstance(cell, Sequence):
            return int(np.ravel_multi_index(tuple(cell), self.leading))
        if not -count <= cell < count:
            raise IndexError(f"cell {cell} is out of range for {count} cells (leading axes {self.leading})")
        return cell % count


def tabulate(result: Any, confidence: float | None = None) -> Table:
    """Flatten a `Sensitivity`.

    `confidence` is that of `low` and `high`; None takes the result's own.
    """
    level = float(result.confidence if confidence is None else confidence)
    low, high = result.interval(level)
    return Table(
        *(flat(result, field) for field in (result.mean, result.stderr, low, high)),
        labels=tuple(result.labels),
        leading=tuple(result.leading),
        confidence=level,
    )


def flat(result: Any, field: Any) -> np.ndarray[Any, Any]:
    """Any field of the shape of the mean, as an array of shape (cells, entries)."""
    return np.asarray(result.flat(field), dtype=np.float64).reshape(-1, len(result.labels))
