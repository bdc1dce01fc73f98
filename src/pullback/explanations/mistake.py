"""`Mistake`: what was done wrong, the proof in words, what to do, and where.

May import `graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pullback.graph.lines import Line


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    kind   such as "accumulation without zeroing"
    text   what happened, with the names and numbers that prove it
    todo   what to do
    lines  where
    """

    kind: str
    text: str
    todo: str
    lines: tuple[Line, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "kind": self.kind,
            "text": self.text,
            "todo": self.todo,
            "lines": [str(at) for at in self.lines],
        }


def known_lines(*found: Line | None) -> tuple[Line, ...]:
    """The lines that are known, each once."""
    return tuple(dict.fromkeys(at for at in found if at is not None))


def joined(names: Sequence[str], most: int = 6) -> str:
    """Names in a row, the last ones counted.

    >>> joined(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def times(n: int, word: str) -> str:
    """A count with its noun.

    >>> times(1, "step"), times(2, "pass"), times(3, "leaf")
    ('1 step', '2 passes', '3 leaves')
    """
    if n == 1:
        return f"1 {word}"
    many = (
        word.removesuffix("leaf") + "leaves"
        if word.endswith("leaf")
        else word + ("es" if word.endswith("s") else "s")
    )
    return f"{n} {many}"


__all__ = ["Mistake", "joined", "known_lines", "times"]
