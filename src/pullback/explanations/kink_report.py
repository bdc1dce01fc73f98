"""What `kinks` returns: `KinkRow`, the kinks of one argument of one op, and `Kinks`, with its printed forms.

Read `Kinks`. `convention` says in words what the engine does at a kink. May import `kink_sites`.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np

from pullback.explanations.kink_sides import Sites
from pullback.explanations.kink_sites import CHOICES
from pullback.graph.lines import Line

SHOWN = 6  # entries of a row that are printed
KINDS = {
    "kink": "a kink",
    "tie": "a tie",
    "jump": "a jump",
    "edge": "the edge of a domain or a vertical slope",
}


@dataclass(frozen=True, eq=False, repr=False)
class KinkRow:
    """The kinks of one argument of one op: arrays of equal length, one place per kink.

    op, line, node   the op's name, the line that ran it (None where unknown), its record number
    arg              which argument
    kind             "kink": the derivative changes; "tie": several equal entries, one of which is passed on;
                     "jump": the output itself jumps; "edge": an infinite derivative, or the end of the domain
    outputs, inputs  flat entries of the op's output and of the argument (int64)
    values           the argument's entries; distance: how far they are from the kink
    used             the derivative d output / d input that is used
    left, right      those beside the kink, moving this entry alone (NaN where the op is not defined)
    low, high        the interval of the op's subgradients in this entry
    jump             by how much the output jumps
    convention       what is done, in words
    """

    op: str
    line: Line | None
    node: int
    arg: int
    kind: str
    outputs: Any
    inputs: Any
    values: Any
    distance: Any
    used: Any
    left: Any
    right: Any
    low: Any
    high: Any
    jump: Any
    convention: str

    @property
    def text(self) -> str:
        """One line: where, at which values, what is used, out of what."""
        where = f"{self.op}" + (f" at {self.line}" if self.line is not None else "")
        near = "on" if not np.any(self.distance) else f"within {np.max(self.distance):.3g} of"
        n = len(self.inputs)
        entries = f"entr{'y' if n == 1 else 'ies'} {_listed(self.inputs, 'd')} of argument {self.arg}"
        x = _listed(self.values, ".6g")
        text = f"{where}: {entries} {near} {KINDS[self.kind]} (x = {x}): {self.convention}"
        if self.kind == "jump":
            return f"{text}; the output jumps by {_listed(self.jump, '.4g')}"
        return f"{text}; subgradients {_ranges(self.low, self.high)}"

    def __repr__(self) -> str:
        return f"KinkRow({self.op}, {self.kind}, {len(self.inputs)} entries)"


@dataclass(frozen=True, eq=False, repr=False)
class Kinks:
    """What `kinks` found.

    rows        a tuple of KinkRow, in the order in which the ops ran
    gradient    v . d out / d x as the engine computes it (an array of x's shape; tuples where x is one)
    low, high   the interval of each of its entries when every kink's derivative ranges over its subgradients
    exact       True where the interval is exact (at most one kink acts on the entry); elsewhere it is a bound
                that contains every choice. None for all four where they could not be determined: see `notes`
    within      how close to a kink an entry may be to be listed
    notes       what is not known, and why
    """

    rows: tuple[KinkRow, ...]
    gradient: Any
    low: Any
    high: Any
    exact: Any
    within: float
    notes: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for r in self.rows:
            counts[r.op] = counts.get(r.op, 0) + len(r.inputs)
        found = ", ".join(f"{op} {n}" for op, n in counts.items()) or "none"
        return f"Kinks({found}{self._free()})"

    def _free(self) -> str:
        if self.low is None or not self.rows:
            return ""
        free = sum(int((h > lo).sum()) for lo, h in zip(_tuple(self.low), _tuple(self.high), strict=True))
        total = sum(lo.size for lo in _tuple(self.low))
        return f"; {free} of {total} gradient entries are a matter of convention"

    def __str__(self) -> str:
        lines = [repr(self), *("  " + r.text for r in self.rows)]
        if self.low is not None:
            for k, (g, lo, hi, e) in enumerate(self._inputs()):
                name = "gradient" if not isinstance(self.low, tuple) else f"gradient of input {k}"
                lines += [f"  {name}[{i}] = {a}" for i, a in _free_entries(g, lo, hi, e)]
        return "\n".join([*lines, *("  note: " + n for n in self.notes)])

    def _inputs(self) -> Any:
        return zip(*map(_tuple, (self.gradient, self.low, self.high, self.exact)), strict=True)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(r.op)}</td><td>{escape(str(r.line or ''))}</td><td>{r.kind}</td>"
            f"<td>{_listed(r.inputs, 'd')}</td><td>{_listed(r.values, '.6g')}</td>"
            f"<td>{escape(r.convention)}</td>"
            f"<td>{_ranges(r.low, r.high)}</td></tr>"
            for r in self.rows
        )
        heads = "".join(
            f"<th>{h}</th>" for h in ("op", "line", "kind", "entries", "x", "convention", "subgradients")
        )
        notes = "".join(f"<p>{escape(n)}</p>" for n in self.notes)
        return f"<p><code>{escape(repr(self))}</code></p><table><tr>{heads}</tr>{rows}</table>{notes}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as lists, numbers and strings."""
        names = ("outputs", "inputs", "values", "distance", "used", "left", "right", "low", "high", "jump")
        rows = [
            {"op": r.op, "line": str(r.line) if r.line is not None else None, "node": r.node, "arg": r.arg}
            | {"kind": r.kind, "convention": r.convention}
            | {name: getattr(r, name).tolist() for name in names}
            for r in self.rows
        ]
        arrays = {name: _lists(getattr(self, name)) for name in ("gradient", "low", "high", "exact")}
        return {"rows": rows, **arrays, "within": self.within, "notes": list(self.notes)}


def _tuple(v: Any) -> tuple[Any, ...]:
    return v if isinstance(v, tuple) else (v,)


def _lists(v: Any) -> Any:
    return None if v is None else [_lists(a) for a in v] if isinstance(v, tuple) else v.tolist()


def _listed(values: Any, form: str) -> str:
    """A few numbers; one where all are equal."""
    if len(values) and form != "d" and (np.all(values == values[0]) or np.all(values != values)):
        return format(float(values[0]), form)
    shown = ", ".join(format(v, form) for v in values[:SHOWN].tolist())
    return shown + (f", ... ({len(values)})" if len(values) > SHOWN else "")


def _ranges(low: Any, high: Any) -> str:
    """Intervals, each once."""
    made = dict.fromkeys(f"[{a + 0.0:.4g}, {b + 0.0:.4g}]" for a, b in zip(low, high, strict=True))
    shown = ", ".join(list(made)[:SHOWN])
    return shown + (", ..." if len(made) > SHOWN else "")


def _free_entries(g: Any, low: Any, high: Any, exact: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for i in np.flatnonzero((high > low).reshape(-1))[:SHOWN]:
        at = np.unravel_index(i, np.shape(low))
        said = "any of" if exact[at] else "contained in"
        found.append(
            (
                ", ".join(map(str, at)),
                f"{float(g[at]):.6g}, {said} [{float(low[at]):.6g}, {float(high[at]):.6g}]",
            )
        )
    return found


# ---------------------------------------------------------------------- conventions


def convention(s: Sites) -> str:
    """What the engine does here, in words, read off the derivative that it uses."""
    if s.kind == "tie" or s.node.op.name in CHOICES:
        return _tie_convention(s)
    used = s.used[0] + 0.0 if len(s.used) else 0.0
    if not np.all((s.used == used) | (s.used != s.used)):
        return f"takes {_listed(s.used, '.4g')}"
    left, right = s.left, s.right
    if _same(s.used, left) and _same(s.used, right):
        return f"takes {used:.4g}, as on both sides"
    side = (
        "the derivative from the left" if _same(s.used, left)
        else "the derivative from the right" if _same(s.used, right)
        else "the mean of both sides" if _same(s.used, (left + right) / 2)
        else "the larger of both sides'" if _same(s.used, np.fmax(left, right))
        else "the smaller of both sides'" if _same(s.used, np.fmin(left, right))
        else "neither side's"
    )  # fmt: skip
    return f"takes {used:.4g}, {side}"


def _same(a: Any, b: Any) -> bool:
    """Equal up to the distance at which the sides are looked at."""
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-6))


def _tie_convention(s: Sites) -> str:
    shares = np.unique(s.used)
    if len(shares) == 1 and 0 < shares[0] < 1:
        return f"shared evenly, {shares[0]:.4g} each"
    if not np.isin(shares, (0.0, 1.0)).all():
        return f"shared as {_listed(s.used, '.4g')}"
    if s.node.op.name in CHOICES:
        return f"takes {_listed(s.used, '.4g')}, as its condition, at its switch, says"
    if len(s.node.edges) > 1:
        return (
            "passed on"
            if np.all(s.used == 1)
            else "not passed on: the other argument is"
            if not s.used.any()
            else f"takes {_listed(s.used, '.4g')}"
        )
    order = np.lexsort((s.cols, s.rows))
    rows, used = s.rows[order], s.used[order]
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    last = np.append(first[1:], len(rows)) - 1
    if used[first].all():
        return "all to the first of the equal entries"
    if used[last].all():
        return "all to the last of the equal entries"
    ties = [set(part.tolist()) for part in np.split(s.cols[order], first[1:])]
    shared = any(a & b for a, b in pairwise(ties))
    return (
        "each of the equal entries to one place, in their order"
        if shared
        else "all to one of the equal entries"
    )


__all__ = ["KinkRow", "Kinks", "convention"]
