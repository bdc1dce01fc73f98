"""Entries with one cause in common, and how they read.

Read `Row`, then `row_lines`. May import `causes`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.explanations.causes import Cause, indexed, number
from pullback.graph.lines import Line


@dataclass(frozen=True, slots=True)
class Row:
    """Entries with one cause in common.

    kind     the kind of their nearest cause
    entries  flat indices, ascending
    op, line where the cause is ("" and None where there is none, or lines were not recorded)
    text     the cause of the first entry, in words
    margin   (smallest, largest) distance to the switch among the entries that were looked at, or None
    values   (smallest, largest) gradient of these entries, None where there is no gradient
    also     further true causes of the first entry
    """

    kind: str
    entries: Sequence[int]
    op: str
    line: Line | None
    text: str
    margin: tuple[float, float] | None
    values: tuple[float, float] | None
    also: tuple[Cause, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "kind": self.kind, "entries": list(self.entries), "op": self.op,
            "line": None if self.line is None else str(self.line), "text": self.text, "margin": self.margin,
            "values": self.values, "also": [c.to_dict() for c in self.also],
        }  # fmt: skip


def places(entries: Sequence[int], shape: tuple[int, ...]) -> str:
    """`[0], [3] (2 entries)`: which entries, shortened where they are many."""
    size = int(np.prod(shape))
    if not shape:
        return "[]"
    if len(entries) == size and size > 1:
        return f"all {size} entries"
    shown = ", ".join(indexed(k, shape) for k in entries[:4])
    return shown if len(entries) <= 4 else f"{shown}, ... ({len(entries)} entries)"


def row_lines(shape: tuple[int, ...], row: Row) -> list[str]:
    """One row as text: what and where, then why."""
    where = f" {row.op}" if row.op else ""
    line = (
        f" at {row.line}: {row.line.text}"
        if row.line is not None and row.line.text
        else f" at {row.line}"
        if row.line is not None
        else ""
    )
    span = ""
    if row.kind == "Flows" and row.values is not None:
        low, high = row.values
        span = f" {number(low)}" if low == high else f" {number(low)} to {number(high)}"
    lines = [f"  {row.kind:<12} {places(row.entries, shape)}{span}"]
    if row.op or line:
        lines.append(f"    {where.strip()}{line}")
    if row.text and row.kind != "Flows":
        lines += wrapped(row.text)
    elif row.kind == "Flows" and ";" in row.text:
        lines += wrapped(row.text.partition("; ")[2])
    if row.margin is not None and row.margin[0] != row.margin[1]:
        lines.append(f"    margins to the switch: {number(row.margin[0])} to {number(row.margin[1])}")
    for line in others(row.also):
        lines += wrapped(f"also {line}")
    return lines


def wrapped(text: str, indent: str = "    ") -> list[str]:
    """A sentence in lines of at most 106 characters."""
    return textwrap.wrap(text, 106, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def others(causes: Sequence[Cause], most: int = 4) -> list[str]:
    """Further causes, those at one op and of one kind told once."""
    groups: dict[Any, list[Cause]] = {}
    for c in causes:
        groups.setdefault((c.kind, c.node), []).append(c)
    told = [
        str(g[0]) + (f" (and {len(g) - 1} more links of this op)" if len(g) > 1 else "")
        for g in groups.values()
    ]
    return told if len(told) <= most else [*told[:most], f"{len(told) - most} more ops: see why()"]
