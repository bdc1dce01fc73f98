"""A `Flow` in words: one line, a table with repeated ops gathered, HTML.

Read `text`. Imports the standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

MOST = 40  # lines of the table, and of the leaves, that are printed


def number(value: float) -> str:
    """Three significant digits.

    >>> number(0.25), number(1.0), number(1.23456e-12), number(float("nan"))
    ('0.25', '1', '1.23e-12', 'nan')
    """
    return f"{value:.3g}"


def percent(value: float | None) -> str:
    """A share in percent; '-' where there is none. Only exactly nothing and exactly all are 0 and 100.

    >>> percent(0.0), percent(1 / 3), percent(1e-6), percent(1 - 1e-6), percent(1.0), percent(None)
    ('0 %', '33 %', '<1 %', '>99 %', '100 %', '-')
    """
    if value is None:
        return "-"
    if 0 < value < 0.01:
        return "<1 %"
    if 0.99 < value < 1:
        return ">99 %"
    return f"{100 * value:.0f} %"


def at(line: str) -> str:
    """' at file.py:12', or nothing."""
    return f" at {line}" if line else ""


def shape(s: Sequence[int]) -> str:
    """A shape as a list, as PyTorch's messages show it.

    >>> shape((2, 3)), shape(())
    ('[2, 3]', '[]')
    """
    return str(list(s))


def plural(n: int, word: str, several: str | None = None) -> str:
    """'1 leaf', '3 leaves'.

    >>> plural(1, "leaf", "leaves"), plural(2000, "op")
    ('1 leaf', '2,000 ops')
    """
    return f"{n:,} {word if n == 1 else several or word + 's'}"


# ---------------------------------------------------------------------- one line


def one_line(flow: Any) -> str:
    """The repr."""
    parts = [f"{plural(len(flow.rows), 'op')}, {plural(len(flow.leaves), 'leaf', 'leaves')}"]
    norms = flow.path.norms
    if norms:
        parts[0] += f": norm {number(norms[0])} to {number(norms[-1])}{_per_op(flow.rate)}"
    losing = [w for w in flow.worst if w.gain < 1]
    blowing = [w for w in flow.worst if w.gain > 1]
    if losing:
        parts.append(f"lost most in {losing[0]}")
    if blowing:
        parts.append(f"blows up most in {blowing[0]}")
    return f"Flow({'; '.join(parts)})"


# ---------------------------------------------------------------------- the table


def grouped(rows: Iterable[Any]) -> list[list[Any]]:
    """Rows of the same op at the same line together (of the same op and shape, where there are no lines)."""
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        key = (row.op, row.line) if row.line else (row.op, row.shape, row.count)
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def geometric_mean(gains: Iterable[float]) -> float:
    """The geometric mean; gains that are NaN do not count, one zero makes it zero.

    >>> geometric_mean([2.0, 8.0, math.nan]), geometric_mean([1.0, 0.0]), geometric_mean([])
    (4.0, 0.0, nan)
    """
    known = [x for x in gains if not math.isnan(x)]
    if not known:
        return math.nan
    if min(known) == 0:
        return 0.0
    return math.exp(sum(math.log(x) for x in known) / len(known))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


SHARES = {
    "zero": "zero",
    "newly zero": "new_zero",
    "closed": "closed",
    "saturated": "saturated",
    "not finite": "nonfinite",
}
HEADS = ("op", "line", "shape", "ops", "arriving", "gain", *SHARES)


def cells(flow: Any) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and lines of the table; columns that say nothing are left out."""
    lines = [_cells(rows) for rows in grouped(flow.rows)]
    empty = {"line": "", "ops": "1", "not finite": "0 %", "saturated": "-"}
    keep = [
        k for k, head in enumerate(HEADS) if head not in empty or any(c[k] != empty[head] for c in lines)
    ]
    return tuple(HEADS[k] for k in keep), [tuple(c[k] for k in keep) for c in lines]


def _cells(rows: list[Any]) -> tuple[str, ...]:
    first, last = rows[0], rows[-1]
    arriving = number(first.arriving)
    if len(rows) > 1 and number(last.arriving) != arriving:
        arriving += f" .. {number(last.arriving)}"
    gain = geometric_mean(r.gain for r in rows)
    shapes = {r.shape for r in rows}
    form = shape(first.shape) + (" .." if len(shapes) > 1 else "")
    return (
        first.op,
        first.line,
        form + (f" x {first.count}" if first.count > 1 else ""),
        str(len(rows)),
        arriving,
        "-" if math.isnan(gain) else number(gain),
        *(percent(_mean(getattr(r, name) for r in rows)) for name in SHARES.values()),
    )


def sentences(flow: Any) -> list[str]:
    """What the table comes down to."""
    path, found = flow.path, list[str]()
    if path.norms:
        found.append(
            f"along the longest path ({plural(len(path.nodes), 'op')}) the norm goes "
            f"from {number(path.norms[0])} to {number(path.norms[-1])}{_per_op(path.rate)}"
        )
    for crossing, words in (
        (path.lost, "falls under a millionth of its start"),
        (path.blown, "exceeds a million times its start"),
        (path.broken, "stops being finite"),
    ):
        if crossing is not None:
            said = words if path.norms[crossing.depth] else "is exactly zero"
            where = f"{crossing.op}{at(crossing.line)}"
            found.append(f"it {said} after {plural(crossing.depth, 'op')}, in {where}")
    losing, blowing = [w for w in flow.worst if w.gain < 1], [w for w in flow.worst if w.gain > 1]
    if losing:
        found.append("loses most in: " + _listed(losing))
    if blowing:
        found.append("blows up most in: " + _listed(blowing))
    return found + list(flow.notes)


def _per_op(rate: float) -> str:
    return "" if math.isnan(rate) else f", x {number(rate)} per op"


def _listed(factors: Iterable[Any]) -> str:
    """The factors, those that read alike once."""
    counts: dict[str, int] = {}
    for f in factors:
        counts[str(f)] = counts.get(str(f), 0) + 1
    return ", ".join(s if n == 1 else f"{s} ({n} times)" for s, n in counts.items())


def leaf_lines(flow: Any) -> list[str]:
    """One line per leaf; leaves without a name are numbered."""
    found: list[str] = []
    for k, leaf in enumerate(flow.leaves[:MOST], 1):
        extra = f", {percent(leaf.zero)} exactly zero" if leaf.zero else ""
        extra += f", {percent(leaf.nonfinite)} not finite" if leaf.nonfinite else ""
        found.append(f"{leaf.name or f'leaf {k}'} {shape(leaf.shape)}: norm {number(leaf.norm)}{extra}")
    if len(flow.leaves) > MOST:
        found.append(f"... {len(flow.leaves) - MOST} more: see .leaves")
    return found


def text(flow: Any) -> str:
    """The table, the leaves, and what they come down to."""
    heads, lines = cells(flow)
    shown = [heads, *lines[:MOST]]
    widths = [max(len(line[k]) for line in shown) for k in range(len(heads))]
    left = {"op", "line", "shape"}
    out = [
        "  ".join(
            c.ljust(w) if h in left else c.rjust(w) for c, w, h in zip(line, widths, heads, strict=True)
        ).rstrip()
        for line in shown
    ]
    if len(lines) > MOST:
        out.append(f"... {len(lines) - MOST} more lines: see .rows")
    out += ["", "gradients of the leaves", *("  " + s for s in leaf_lines(flow))]
    return "\n".join([*out, "", *sentences(flow)])


def html(flow: Any) -> str:
    """The same for a notebook."""
    heads, lines = cells(flow)
    style = 'style="text-align:right;padding:2px 8px"'
    parts = [f"<p><code>{escape(one_line(flow))}</code></p>", '<table style="border-collapse:collapse"><tr>']
    parts += [f"<th {style}>{escape(h)}</th>" for h in heads]
    parts.append("</tr>")
    for line in lines[:MOST]:
        parts.append("<tr>" + "".join(f"<td {style}>{escape(c)}</td>" for c in line) + "</tr>")
    parts.append("</table>")
    if len(lines) > MOST:
        parts.append(f"<p>... {len(lines) - MOST} more lines: see .rows</p>")
    for title, items in (("gradients of the leaves", leaf_lines(flow)), ("", sentences(flow))):
        parts.append(f"<p>{title}</p>" if title else "")
        parts.append("<ul>" + "".join(f"<li>{escape(s)}</li>" for s in items) + "</ul>")
    return "".join(parts)
