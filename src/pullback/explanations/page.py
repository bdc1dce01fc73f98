"""The report at a program's end as one HTML page that needs nothing else: light and dark, wide and narrow.

Read `page_of`, then `_leaf`. May import `ending`, `ending_text`, `flow`, `drawing`, `page_style`.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from pullback.explanations.causes import number
from pullback.explanations.drawing import draw
from pullback.explanations.ending import Ending, Told, source_lines
from pullback.explanations.ending_text import NAMELESS, headline, sentence
from pullback.explanations.flow import Flow, FlowRow, flow
from pullback.explanations.mistake import Mistake
from pullback.explanations.page_style import STYLE
from pullback.explanations.report import Explanation
from pullback.explanations.rows import Row, places
from pullback.explanations.standing import RULE
from pullback.graph.lines import Line
from pullback.graph.tensor import wrap
from pullback.transform.forward import reachable

MOST_OPS = 500  # of a graph that is drawn
MOST_ROWS = 100  # of a table
AROUND = 2  # source lines shown before and after a named one


def page_of(ending: Ending) -> str:
    """The page as text.

    It holds a summary, the mistakes, a section per leaf, the latest pass op by op and as a drawing, and the
    lines that were named, with their code.
    """
    title = escape(ending.program)
    parts = [
        "<header><p class=over>pullback explain</p>"
        f"<h1>{title}</h1><p class=lead>{escape(_sentence(ending))}</p></header>"
    ]
    if ending.error:
        parts.append(f"<p class=error>The program ended with <code>{escape(ending.error)}</code></p>")
    parts += _mistakes(ending.mistakes)
    parts += _leaves(ending)
    parts += _quiet(ending)
    parts += _pass(ending)
    parts += _sources(source_lines(ending))
    parts += [f"<p class=note>not told: {escape(f)}</p>" for f in ending.failures]
    parts.append(f"<footer>{escape(RULE)}</footer>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}: explained</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _sentence(ending: Ending) -> str:
    text = headline(ending)
    return text[0].upper() + text[1:] + "."


# ---------------------------------------------------------------------- mistakes


def _mistakes(found: Sequence[Mistake]) -> list[str]:
    if not found:
        return []
    cards: list[str] = []
    for m in found:
        lines = "".join(_code(at) for at in m.lines)
        todo = f"<p class=todo>{escape(m.todo)}</p>" if m.todo else ""
        cards.append(
            f"<article class=mistake><h3>{escape(m.kind)}</h3>{lines}<p>{escape(m.text)}</p>{todo}</article>"
        )
    return ["<section><h2>Mistakes seen</h2>", *cards, "</section>"]


def _code(at: Line | None) -> str:
    """A line of the program: where, and its code."""
    if at is None:
        return ""
    text = f"<code>{escape(at.text)}</code>" if at.text else ""
    return f"<p class=at><span>{escape(str(at))}</span>{text}</p>"


# ---------------------------------------------------------------------- leaves


def _leaves(ending: Ending) -> list[str]:
    if not ending.told:
        return []
    parts = ["<section><h2>Gradients to explain</h2>", *map(_leaf, ending.told)]
    if ending.more:
        parts.append(f"<p class=note>{ending.more} more like these</p>")
    return [*parts, "</section>"]


def _leaf(told: Told) -> str:
    s, e = told.standing, told.explanation
    badge = f"<span class='badge {s.kind.replace(' ', '-').lower()}'>{s.kind}</span>"
    shape = f"<span class=shape>{list(s.leaf.value.shape)}</span>"
    parts = [f"<article class=leaf><h3><code>{escape(s.name)}</code> {shape} {badge}</h3>"]
    parts.append(f"<p>{escape(sentence(told))}</p>")
    if e is not None:
        parts.append(_rows(e))
        parts += [f"<p class=note>{escape(n)}</p>" for n in e.notes]
    return "".join(parts) + "</article>"


def _rows(e: Explanation) -> str:
    if not e.rows:
        return ""
    shown = "".join(_row(e, row) for row in e.rows[:MOST_ROWS])
    more = f"<p class=note>{len(e.rows) - MOST_ROWS} more rows</p>" if len(e.rows) > MOST_ROWS else ""
    head = "".join(f"<th>{h}</th>" for h in ("cause", "entries", "where", "why"))
    return f"<table class=rows><thead><tr>{head}</tr></thead><tbody>{shown}</tbody></table>{more}"


def _row(e: Explanation, row: Row) -> str:
    where = f"<b>{escape(row.op)}</b>" if row.op else ""
    span = ""
    if row.kind == "Flows" and row.values is not None:
        low, high = row.values
        span = f"<br>{number(low)}" if low == high else f"<br>{number(low)} to {number(high)}"
    margin = ""
    if row.margin is not None and row.margin[0] != row.margin[1]:
        margin = (
            f"<p class=note>margins to the switch: {number(row.margin[0])} to {number(row.margin[1])}</p>"
        )
    cells = (
        ("cause", f"<span class='kind {row.kind}'>{row.kind}</span>"),
        ("entries", escape(places(row.entries, e.shape)) + span),
        ("where", where + _code(row.line)),
        ("why", f"<p>{escape(row.text)}</p>{margin}{_story(e, row)}"),
    )
    return "<tr>" + "".join(f"<td data-label={name}>{text}</td>" for name, text in cells) + "</tr>"


def _story(e: Explanation, row: Row) -> str:
    """The whole story of the row's first entry, folded."""
    if not row.entries:
        return ""
    index = tuple(int(k) for k in np.unravel_index(row.entries[0], e.shape)) if e.shape else ()
    try:
        told = str(e.why(index))
    except Exception as error:  # noqa: BLE001 - the rest of the page must not suffer
        told = f"not told: {type(error).__name__}: {error}"
    return f"<details><summary>entry {list(index)} in full</summary><pre>{escape(told)}</pre></details>"


def _quiet(ending: Ending) -> list[str]:
    """The leaves with nothing to explain."""
    if not ending.healthy and not ending.unasked:
        return []
    rows = [(s.name, str(list(s.leaf.value.shape)), s.text) for s in ending.healthy[:MOST_ROWS]]
    rows += [(name, "", "not asked for: .grad is None") for name in ending.unasked[:MOST_ROWS]]
    left = len(ending.healthy) + len(ending.unasked) - len(rows)
    body = "".join(
        f"<tr><td data-label=leaf><code>{escape(n)}</code></td><td data-label=shape>{escape(shape)}</td>"
        f"<td data-label=gradient>{escape(text)}</td></tr>"
        for n, shape, text in rows
    )
    more = f"<p class=note>{left} more</p>" if left > 0 else ""
    head = "<thead><tr><th>leaf</th><th>shape</th><th>gradient</th></tr></thead>"
    return [f"<section><h2>Nothing to explain</h2><table>{head}<tbody>{body}</tbody></table>{more}</section>"]


# ---------------------------------------------------------------------- the latest pass


def _pass(ending: Ending) -> list[str]:
    """The latest pass op by op, and drawn."""
    last = ending.last
    if last is None:
        return []
    outs, weights = last.outs, [wrap(w) for w in last.weights]
    known = [*(told.standing for told in ending.told), *ending.healthy]
    names = {s.name: s.leaf for s in known if not s.name.startswith(NAMELESS)}
    with last.opened():
        try:
            measured = flow(outs, weights, names=names)
            small = len(reachable(outs)) <= MOST_OPS
            svg = draw(outs, weights, names).svg if small else ""
        except Exception as error:  # noqa: BLE001 - as above
            first = escape(str(error).partition("\n")[0])
            return [f"<p class=note>The latest backward pass cannot be drawn: {first}</p>"]
    parts = ["<section><h2>The latest backward pass</h2>", _flow(measured)]
    if svg:
        parts.append(f"<details class=drawing open><summary>drawn</summary><div>{svg}</div></details>")
    return [*parts, "</section>"]


def _flow(measured: Flow) -> str:
    head = "".join(
        f"<th{'' if k < 2 else ' class=n'}>{h}</th>"
        for k, h in enumerate(
            ("op", "where", "shape", "arrives", "gain", "zero", "closed", "flat", "not finite")
        )
    )
    body = "".join(_flow_row(r) for r in measured.rows[:MOST_ROWS])
    more = len(measured.rows) - MOST_ROWS
    rest = f"<p class=note>{more} more ops nearer to the leaves</p>" if more > 0 else ""
    worst = "; ".join(str(f) for f in measured.worst)
    lead = f"<p>Largest losses and gains: {escape(worst)}</p>" if worst else ""
    words = (
        "<p class=note>From the output to the leaves. arrives: 2-norm of the gradient at the op; gain: sent "
        "on / arrived; zero: share of arriving entries that are 0; closed, flat: share of local derivatives "
        "that are 0, or near it.</p>"
    )
    table = f"<table class=flow><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"{lead}<div class=wide>{table}</div>{rest}{words}"


def _flow_row(r: FlowRow) -> str:
    cells = (
        str(list(r.shape)), number(float(r.arriving)), _short(r.gain), _percent(r.zero), _percent(r.closed),
        _percent(r.saturated), _percent(r.nonfinite),
    )  # fmt: skip
    return (
        f"<tr><td>{escape(r.op)}</td><td>{escape(r.line)}</td>"
        + "".join(f"<td class=n>{c}</td>" for c in cells)
        + "</tr>"
    )


def _short(v: float) -> str:
    return "" if v != v else f"{v:.3g}"


def _percent(v: float | None) -> str:
    """A share; nothing for none."""
    return "" if not v else f"{100 * v:.3g} %"


# ---------------------------------------------------------------------- source


def _sources(lines: Sequence[Line]) -> list[str]:
    """The named lines with the code around them."""
    files: dict[str, list[int]] = {}
    for at in lines:
        if linecache.getline(at.file, at.number):
            files.setdefault(at.file, []).append(at.number)
    if not files:
        return []
    parts = ["<section><h2>The lines named above</h2>"]
    for file, numbers in files.items():
        parts.append(f"<h3><code>{escape(file)}</code></h3><pre class=source>{_listing(file, numbers)}</pre>")
    return [*parts, "</section>"]


def _listing(file: str, numbers: list[int]) -> str:
    """The code of some lines and their neighbours; a gap where lines are left out."""
    wanted = sorted({n + d for n in numbers for d in range(-AROUND, AROUND + 1) if n + d > 0})
    named, parts, before = set(numbers), list[str](), 0
    for n in wanted:
        text: Any = linecache.getline(file, n)
        if not text:
            continue
        if before and n != before + 1:
            parts.append("<i>...</i>\n")
        tag = "mark" if n in named else "span"
        parts.append(f"<{tag}><b>{n:>4}</b>  {escape(text.rstrip())}</{tag}>\n")
        before = n
    return "".join(parts)


__all__ = ["page_of"]
