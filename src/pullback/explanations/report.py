"""`Explanation`: what `pb.explain` returns, and how it reads.

Read `Explanation`, then `grouped`. Rows and single entries are worked out when they are asked for; the sweeps
have run before. May import `why`, `sweeps`, `html`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from html import escape
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.explanations.causes import indexed, name_of, number
from pullback.explanations.classes import ALIVE, NONE
from pullback.explanations.entry import MOST_NODES
from pullback.explanations.rows import Row, places, row_lines, wrapped
from pullback.explanations.sweeps import Analysis, Reading
from pullback.explanations.why import Doubt, Why, class_at, nearest, why
from pullback.graph.lines import line_of
from pullback.graph.node import Node

ELSEWHERE = "it comes from earlier passes, hooks or writes: what is explained here gives 0 for it"
SINGLY = (
    256  # zero entries that are told one by one; above, entries of one class share what the sweeps proved
)
FEW_LINKS = 200_000  # values of the record times entries up to which each entry's paths are listed
SHOWN = 30  # rows printed


class Explanation:
    """Why each entry of a gradient is what it is.

    shape          of the tensor
    gradient       what the sweep finds, an array; None where no recorded op leads to the tensor
    magnitude      sum over all paths of the size of their products: |v| |J1| |J2| ...
    none_reason    why `.grad` is None, or None where it is not
    contributions  how many backward passes `.grad` is the sum of, where known
    notes          what else was noticed
    """

    def __init__(
        self,
        work: Analysis | None,
        key: Any,
        shape: tuple[int, ...],
        *,
        name: str = "",
        doubt: Doubt = lambda: "",
        none_reason: str | None = None,
        contributions: int | None = None,
        notes: tuple[str, ...] = (),
        opened: Callable[[], AbstractContextManager[Any]] = nullcontext,
        other: Any = None,
    ) -> None:
        """Made by `explain`."""
        self.work = work
        self.key = key
        self.shape = shape
        self.name = name
        self.doubt = doubt
        self.none_reason = none_reason
        self.contributions = contributions
        self.notes = notes
        self.other = other  # `.grad` where it is not the gradient explained here
        self.opened = opened  # puts back what a backward pass freed, while the record is read
        found = work.found[key] if work is not None else Reading()
        self.found: Reading = found
        self.gradient: Any = found.gradient
        self.magnitude: Any = found.magnitude
        self._told: dict[int, Why] = {}
        self._rows: tuple[Row, ...] | None = None

    @property
    def cancellation(self) -> Any:
        """|gradient| / magnitude per entry: 1 where nothing cancels, NaN where no path has a product."""
        if self.gradient is None:
            return np.full(self.shape, np.nan)
        with np.errstate(all="ignore"):
            return np.abs(self.gradient) / self.magnitude

    # ------------------------------------------------------------------ one entry

    def why(self, index: Any = ()) -> Why:
        """The whole story of one entry, from the output to it.

        index  an int, a tuple of ints (negative ones count from the end), or nothing for a 0-d tensor.
        IndexError outside the shape.
        """
        flat = self._flat(index)
        if flat not in self._told:
            if self.elsewhere().size and self.elsewhere()[flat]:
                value = self.other.reshape(-1)[flat].item()
                self._told[flat] = Why(
                    self._index(flat), "Flows", value, None, complete=False, reason=ELSEWHERE
                )
            elif self.work is None:
                self._told[flat] = Why(
                    self._index(flat), "NotDetermined", None, None, reason=self.none_reason or ""
                )
            else:
                with self.opened():
                    self._told[flat] = why(self.work, self.key, flat, self.shape, self.doubt)
        return self._told[flat]

    def elsewhere(self) -> Any:
        """Which entries of `.grad` are not zero though the passes explained here give exactly 0 (bools)."""
        if self.other is None or self.gradient is None:
            return np.zeros(0, bool)
        return (self.other.reshape(-1) != 0) & (self.gradient.reshape(-1) == 0)

    def _index(self, flat: int) -> tuple[int, ...]:
        return tuple(int(k) for k in np.unravel_index(flat, self.shape)) if self.shape else ()

    def _flat(self, index: Any) -> int:
        parts = tuple(index) if isinstance(index, tuple | list) else (index,)
        if not self.shape and parts in ((), (0,)):
            return 0
        inside = len(parts) == len(self.shape) and all(
            -n <= k < n for k, n in zip(parts, self.shape, strict=True)
        )
        if not inside:
            raise IndexError(
                message(
                    f"index {index} is not an entry of a tensor of shape {list(self.shape)}",
                    "why() takes one index per dimension",
                    f"why({indexed(0, self.shape)[1:-1]})" if int(np.prod(self.shape)) else "",
                )
            )
        full = [k + n if k < 0 else k for k, n in zip(parts, self.shape, strict=True)]
        return int(np.ravel_multi_index(full, self.shape))

    # ------------------------------------------------------------------ all entries

    @property
    def causes(self) -> Any:
        """The kind of the nearest cause of each entry, as an array of str."""
        made = np.full(int(np.prod(self.shape)), "Flows", object)
        for row in self.rows:
            made[list(row.entries)] = row.kind
        return made.reshape(self.shape).astype(str)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Entries grouped by cause, op and line: those without a gradient first, in entry order."""
        if self._rows is None:
            with self.opened():
                self._rows = tuple(grouped(self))
        return self._rows

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{sum(len(r.entries) for r in self.rows if r.kind == k)} {k}"
            for k in dict.fromkeys(r.kind for r in self.rows)
        )
        return f"Explanation({self.name or 'tensor'} of shape {list(self.shape)}: {counts or 'no entries'})"

    def __str__(self) -> str:
        lines = [f"gradient of {self.name or 'a tensor'} of shape {list(self.shape)}"]
        if self.none_reason:
            lines += wrapped(f".grad is None: {self.none_reason}", "  ")
        if self.contributions is not None and self.contributions > 1:
            lines.append(f"  .grad is the sum of {self.contributions} backward passes")
        for row in self.rows[:SHOWN]:
            lines += row_lines(self.shape, row)
        if len(self.rows) > SHOWN:
            lines.append(f"  ... {len(self.rows) - SHOWN} more rows in .rows")
        for n in self.notes:
            lines += wrapped(f"note: {n}", "  ")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return table(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name, "shape": list(self.shape), "none_reason": self.none_reason,
            "contributions": self.contributions, "notes": list(self.notes),
            "gradient": None if self.gradient is None else self.gradient.tolist(),
            "magnitude": None if self.magnitude is None else self.magnitude.tolist(),
            "causes": self.causes.tolist(), "rows": [r.to_dict() for r in self.rows],
        }  # fmt: skip


# ---------------------------------------------------------------------- grouping


def grouped(told: Explanation) -> Iterator[Row]:
    """The rows of an explanation."""
    size = int(np.prod(told.shape))
    g = told.gradient
    flat = np.zeros(size) if g is None else g.reshape(-1)
    finite = np.isfinite(flat)
    stuck = np.flatnonzero((flat == 0) & finite) if g is not None else np.arange(size)
    bad = np.flatnonzero(~finite)
    elsewhere = told.elsewhere()
    if elsewhere.any():
        stuck = stuck[~elsewhere[stuck]]
    yield from _non_finite(told, bad)
    if len(stuck) <= SINGLY and _cheap(told, stuck):
        yield from _singly(told, stuck)
    elif len(stuck):
        yield from _by_class(told, stuck)
    open_ = np.flatnonzero((flat != 0) & finite)
    if len(open_):
        yield _flowing(told, open_)
    if elsewhere.any():
        where = np.flatnonzero(elsewhere)
        part = told.other.reshape(-1)[where]
        span = (float(part.min()), float(part.max()))
        yield Row("Flows", tuple(where.tolist()), "", None, f"a gradient; {ELSEWHERE}", None, span)


def _cheap(told: Explanation, entries: Any) -> bool:
    """May the paths of all these entries be listed? Where the record holds few values, they are few."""
    if told.work is None:
        return True
    if len(told.work.nodes) * len(entries) > FEW_LINKS or len(told.work.nodes) > MOST_NODES:
        return False
    return sum(a.size for a in told.work.shapes.values()) * len(entries) <= FEW_LINKS


def _singly(told: Explanation, entries: Any) -> Iterator[Row]:
    groups: dict[Any, list[tuple[int, Why]]] = {}
    for flat in entries.tolist():
        story = told.why(told._index(flat) if told.shape else ())
        first = story.causes[0] if story.causes else None
        key = (story.kind, first.node if first else story.reason)
        groups.setdefault(key, []).append((flat, story))
    for members in groups.values():
        yield _row([flat for flat, _ in members], [s for _, s in members], told)


def _row(entries: list[int], stories: list[Why], told: Explanation) -> Row:
    story = stories[0]
    first = story.causes[0] if story.causes else None
    margins = [s.causes[0].margin for s in stories if s.causes and s.causes[0].margin is not None]
    return Row(
        story.kind,
        tuple(entries),
        first.op if first else "",
        first.line if first else None,
        first.text if first else story.reason,
        (min(margins), max(margins)) if margins else None,
        _range(told, entries),
        story.causes[1:],
    )


def _range(told: Explanation, entries: Any) -> tuple[float, float] | None:
    if told.gradient is None or not len(entries):
        return None
    part = told.gradient.reshape(-1)[entries]
    if part.dtype.kind == "c":
        part = np.abs(part)
    return float(part.min()), float(part.max())


def _by_class(told: Explanation, entries: Any) -> Iterator[Row]:
    """Many entries: what the class of each one proves; the first of each class is told in full."""
    work, found = told.work, told.found
    if work is None:
        yield Row("NotDetermined", tuple(entries.tolist()), "", None, told.none_reason or "", None, None)
        return
    known = work.classify()
    classes = np.broadcast_to(np.asarray(found.classes), told.shape).reshape(-1)[entries]
    for c in np.unique(classes).tolist():
        members = entries[classes == c]
        if c == ALIVE:
            sizes = told.magnitude.reshape(-1)[members]
            for kind, part in (("Cancelled", members[sizes > 0]), ("Underflow", members[sizes == 0])):
                if len(part):
                    yield _of_first(told, kind, part, None)
        elif c == NONE:
            yield _of_first(told, "NotDetermined" if told.doubt() else "NoPath", members, None)
        else:
            kind, node, _ = known.chain(c)[0]
            yield _of_first(told, kind, members, node)


def _of_first(told: Explanation, kind: str, members: Any, node: Any) -> Row:
    """The row of a class: the nearest dead links of its first entry stand for the others."""
    entries = members.tolist()
    if told.work is None:
        story = told.why(told._index(entries[0]))
    else:
        story = nearest(told.work, told.key, entries[0], told.shape, told.doubt)
    mine = [c for c in story.causes if c.kind == kind]
    first = mine[0] if mine else story.causes[0] if story.causes else None
    margins = [c.margin for c in mine if c.margin is not None]
    named = isinstance(node, Node)
    return Row(
        kind,
        tuple(entries),
        name_of(node) if named else first.op if first else "",
        line_of(node) if named else first.line if first else None,
        first.text if first else story.reason,
        (min(margins), max(margins)) if margins else None,
        _range(told, members),
        tuple(c for c in story.causes if c is not first),
    )


def _non_finite(told: Explanation, entries: Any) -> Iterator[Row]:
    if not len(entries):
        return
    if len(entries) <= SINGLY:
        yield from _singly(told, entries)
    else:
        yield _of_first(told, "NonFinite", entries, None)


def _flowing(told: Explanation, entries: Any) -> Row:
    """The entries with a gradient; for a single one, its largest path."""
    cancelled = told.cancellation.reshape(-1)[entries]
    worst = float(np.min(cancelled)) if len(entries) else 1.0
    text = "a non-zero gradient"
    if worst < 0.5:
        where = told._index(int(entries[int(np.argmin(cancelled))]))
        text += (
            f"; contributions of opposite sign cancel most at {list(where)}: |sum| is {worst:.3g} of the sum "
            "of sizes"
        )
    every = range(len(entries)) if len(entries) == int(np.prod(told.shape)) else tuple(entries.tolist())
    return Row("Flows", every, "", None, text, None, _range(told, entries))


def table(told: Explanation) -> str:
    """The rows as an HTML table."""
    cell = 'style="text-align:left;padding:2px 10px;vertical-align:top"'
    head = "".join(f"<th {cell}>{h}</th>" for h in ("cause", "entries", "op", "line", "why"))
    parts = [f"<p>gradient of <code>{escape(told.name or 'tensor')}</code>, shape {list(told.shape)}</p>"]
    if told.none_reason:
        parts.append(f"<p><b>.grad is None:</b> {escape(told.none_reason)}</p>")
    parts.append(f'<table style="border-collapse:collapse"><tr>{head}</tr>')
    for row in told.rows[:SHOWN]:
        line = "" if row.line is None else f"{row.line} <code>{escape(row.line.text)}</code>"
        span = (
            ""
            if row.kind != "Flows" or row.values is None
            else f" {number(row.values[0])} to {number(row.values[1])}"
        )
        cells = (
            row.kind,
            escape(places(row.entries, told.shape) + span),
            escape(row.op),
            line,
            escape(row.text),
        )
        parts.append("<tr>" + "".join(f"<td {cell}>{c}</td>" for c in cells) + "</tr>")
    parts.append("</table>")
    if len(told.rows) > SHOWN:
        parts.append(f"<p>{len(told.rows) - SHOWN} more rows in .rows</p>")
    parts += [f"<p>note: {escape(n)}</p>" for n in told.notes]
    return "".join(parts)


__all__ = ["Explanation", "Row", "class_at", "grouped"]
