"""What is told of one entry: `Why`, with its causes or its paths.

Read `Why`. May import `causes`, `entry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pullback.explanations.causes import Cause, name_of, number
from pullback.explanations.entry import Step
from pullback.graph.lines import line_of


@dataclass(frozen=True, slots=True)
class Path:
    """One way from the entry to an output: its links, nearest to the input first, and their product.

    value  the product with the upstream
    share  |value| over the sum of the magnitudes of all paths
    """

    steps: tuple[Step, ...]
    value: float
    share: float

    def __str__(self) -> str:
        return f"{number(self.value)} = {worded(self.steps)}"


def worded(steps: Sequence[Step]) -> str:
    """`relu (1, file.py:3) -> sum (1, file.py:4) -> upstream 1`: links from the entry to the output."""
    parts: list[str] = []
    for s in steps:
        if s.node is None:
            parts.append(f"upstream {number(s.value)}")
        else:
            line = line_of(s.node)
            parts.append(f"{name_of(s.node)} ({number(s.value)}{f', {line}' if line is not None else ''})")
    return " -> ".join(parts)


@dataclass(frozen=True, slots=True)
class Why:
    """Why one entry's gradient is what it is.

    kind       the kind of the nearest cause, or "Flows"
    causes     all proven true causes, nearest to the input first
    complete   are these all there are?
    paths      the largest paths; rest: the share of those not listed
    chain      for a zero: the links of a path with as few dead ones as can be, nearest to the input first
    gradient, magnitude, cancellation   |gradient| / magnitude (1: nothing cancels)
    reason     where nothing could be proven, why
    """

    index: tuple[int, ...]
    kind: str
    gradient: float | None
    magnitude: float | None
    causes: tuple[Cause, ...] = ()
    complete: bool = True
    paths: tuple[Path, ...] = ()
    rest: float = 0.0
    reason: str = ""
    chain: tuple[Step, ...] = ()
    links: int = 0  # of all its paths

    @property
    def cancellation(self) -> float | None:
        """|gradient| over the magnitude: 1 where nothing cancels, 0 where everything does."""
        if self.gradient is None or not self.magnitude:
            return None
        return abs(self.gradient) / self.magnitude

    def __str__(self) -> str:
        where = list(self.index) if self.index else "[]"
        lines = [
            f"entry {where}: {self.kind}"
            + (f", gradient {number(self.gradient)}" if self.gradient is not None else "")
        ]
        if self.reason:
            lines.append(f"  {self.reason}")
        lines += [f"  {c}" for c in self.causes]
        if self.causes and not self.complete:
            lines.append("  (there may be other causes: the search for all of them was cut short)")
        if self.chain:
            lines.append(f"  the chain: {worded(self.chain)}")
        if self.paths:
            lines += [f"  {100 * p.share:5.1f} %  {p}" for p in self.paths]
            if self.rest > 1e-12:
                lines.append(f"  {100 * self.rest:5.1f} %  along smaller paths")
            if self.cancellation is not None and self.cancellation < 0.999:
                lines.append(f"  the paths cancel: |sum| is {self.cancellation:.3g} of the sum of sizes")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "index": list(self.index), "kind": self.kind, "gradient": self.gradient,
            "magnitude": self.magnitude, "cancellation": self.cancellation, "complete": self.complete,
            "reason": self.reason,
            "causes": [c.to_dict() for c in self.causes], "rest": self.rest, "chain": worded(self.chain),
            "paths": [{"text": str(p), "value": p.value, "share": p.share} for p in self.paths],
        }  # fmt: skip
