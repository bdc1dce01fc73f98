"""What was seen of one leaf, one optimiser, one read of a gradient that is not there.

Read `LeafStory`; `witness` fills these in. May import `graph`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pullback.graph.lines import Line, line_at


class LeafStory:
    """What happened to one leaf.

    passes  backward passes that added to `.grad`;  count  those since `.grad` was last None or zero
    reset   was `.grad` ever None or zero again after it held a gradient?
    moved   was the leaf updated between two passes that were added up?
    still   was its value the same in all passes?
    latest  what the last pass gave, where that is not large
    first, last  when its first and last pass ran, on the witness's clock
    at, asked_at  the record numbers of the last pass that added to it, and of the last that returned it
    asked   what `autograd.grad` returned for it last (None: nothing arrived);  asks  how often it was asked
    """

    __slots__ = (
        "asked",
        "asked_at",
        "asks",
        "at",
        "count",
        "first",
        "last",
        "latest",
        "lines",
        "mark",
        "moved",
        "name",
        "passes",
        "ref",
        "reset",
        "still",
    )

    def __init__(self, ref: Any) -> None:
        self.ref = ref
        self.name = ""
        self.passes = self.count = self.asks = self.first = self.last = self.at = self.asked_at = 0
        self.reset = self.moved = False
        self.still = True
        self.asked: Any = None
        self.mark: Any = None
        self.latest: Any = None
        self.lines: dict[Any, None] = {}


class StepStory:
    """What one optimiser did.

    names   (weak reference, name where it is known) of its parameters when it was made
    latest  when it stepped last, on the witness's clock
    steps   how many; `early`: before any pass had reached a parameter; `wiped`: after the gradients had been
            reset and no pass had come since
    """

    def __init__(self, kind: str, place: Any) -> None:
        self.kind, self.place = kind, place
        self.names: list[tuple[Any, str]] = []
        self.steps = self.early = self.wiped = 0
        self.wiped_at: Any = None
        self.early_at: Any = None
        self.reset_at: Any = None
        self.zeroed = self.latest = 0
        self.inside = False

    @property
    def line(self) -> Line | None:
        """Where it was made."""
        return line_at(self.place)


class Asked(NamedTuple):
    """`.grad` of a non-leaf was read, and there was none.

    tensor       weak reference;  shape  of it
    read, made   where it was read and made;  op  that made it
    """

    tensor: Any
    shape: tuple[int, ...]
    op: str
    read: Line | None
    made: Line | None


__all__ = ["Asked", "LeafStory", "StepStory"]
