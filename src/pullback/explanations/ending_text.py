"""The report at a program's end, as text of bounded length.

Read `text_of`. May import `ending`, `report`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pullback.explanations.causes import number
from pullback.explanations.ending import Ending, Told
from pullback.explanations.mistake import Mistake, joined, times
from pullback.explanations.rows import row_lines, wrapped
from pullback.explanations.standing import Standing
from pullback.graph.lines import Line

LINES = 40  # of one leaf
MOST_NAMES = 12  # in a list
NAMELESS = "leaf of shape"  # how the description of a leaf without a name begins
WIDTH = 106


def text_of(ending: Ending) -> str:
    """The whole report, ending in a newline."""
    parts = [f"pullback explain: {ending.program}: {headline(ending)}"]
    parts += leaf_parts(ending.told)
    if ending.more:
        parts.append(f"... and {times(ending.more, 'further leaf')} like these")
    rest = [*healthy_lines(ending.healthy), *unasked_lines(ending)]
    if rest:
        parts.append("\n".join(rest))
    if ending.mistakes:
        listed = [line for k, m in enumerate(ending.mistakes, 1) for line in mistake_lines(k, m)]
        parts.append("\n".join(["mistakes seen:", *listed]))
    parts += [f"not told: {failure}" for failure in ending.failures]
    return "\n\n".join(parts) + "\n"


def leaf_parts(every: Sequence[Told]) -> list[str]:
    """One part per leaf; those that nothing used share one."""
    groups: dict[str, list[Told]] = {}
    for told in every:
        groups.setdefault(_unused(told) or told.name, []).append(told)
    return ["\n".join(leaf_lines(g[0]) if len(g) == 1 else together(g)) for g in groups.values()]


def headline(ending: Ending) -> str:
    """One sentence: how many leaves, how they are, how many mistakes."""
    if not ending.leaves and not ending.passes:
        start = "no tensor requires grad and no backward pass ran, so there is no gradient to explain"
    elif not ending.leaves:
        start = f"{times(ending.passes, 'backward pass')}; no leaf that requires grad is left to look at"
    else:
        many = "1 leaf requires grad" if ending.leaves == 1 else f"{ending.leaves} leaves require grad"
        odd = sum(t.standing.kind != "healthy" for t in ending.told) + ending.more
        start = f"{many}, {odd or 'none'} with something to explain; {times(ending.passes, 'backward pass')}"
    count = len(ending.mistakes)
    found = f"; {times(count, 'mistake')} seen" if count else ""
    return start + found + (f"; ended by {ending.error.partition(':')[0]}" if ending.error else "")


def leaf_lines(told: Told) -> list[str]:
    """One leaf, at most `LINES` lines."""
    s = told.standing
    shape = "" if s.name.startswith(NAMELESS) else f" {list(s.leaf.value.shape)}"
    lines = textwrap.wrap(f"{s.name}{shape}: {sentence(told)}", WIDTH, subsequent_indent="  ")
    e = told.explanation
    if e is None:
        return lines
    if e.contributions is not None and e.contributions > 1 and s.leaf.stored_grad is not None:
        lines.append(f"  .grad is the sum of {e.contributions} backward passes; the latest is explained")
    body = [line for row in e.rows for line in row_lines(e.shape, row)]
    body += [line for n in e.notes for line in wrapped(f"note: {n}", "  ")]
    room = LINES - len(lines)
    if len(body) > room:
        body = [*body[: room - 1], f"  ... {len(body) - room + 1} more lines (--json or --html has them)"]
    return lines + body


def _unused(told: Told) -> str:
    """Why a leaf was not reached, where the same holds for several; "" where there is more to say."""
    e = told.explanation
    if told.standing.kind != "None" or told.note or e is None or e.notes or len(e.rows) != 1:
        return ""
    (row,) = e.rows
    return f"{sentence(told)}: {row.text}" if row.kind == "NoPath" and not row.also else ""


def together(group: Sequence[Told]) -> list[str]:
    """Several leaves that nothing used."""
    names = joined([f"{t.name} {list(t.standing.leaf.value.shape)}" for t in group], MOST_NAMES)
    return [*textwrap.wrap(f"{names}:", WIDTH, subsequent_indent="  "), *wrapped(_unused(group[0]), "  ")]


def sentence(told: Told) -> str:
    """How the gradient is, and why it is None where it is."""
    e = told.explanation
    none = told.standing.kind == "None" and e is not None and e.none_reason
    text = f".grad is None: {e.none_reason}" if none and e is not None else told.standing.text
    return text + (f" ({told.note})" if told.note else "")


def healthy_lines(healthy: Sequence[Standing]) -> list[str]:
    """The leaves with nothing to say, in one line."""
    if not healthy:
        return []
    sizes = [abs(s.gradient) for s in healthy if s.gradient is not None and s.gradient.size]
    span = ""
    if sizes:
        low, high = min(float(a.min()) for a in sizes), max(float(a.max()) for a in sizes)
        span = f", |g| from {number(low)} to {number(high)}"
    return wrapped(f"healthy: {joined([s.name for s in healthy])} ({len(healthy)}{span})", "")


def unasked_lines(ending: Ending) -> list[str]:
    """The leaves that nobody asked a gradient for, in one line."""
    if not ending.unasked:
        return []
    why = "no backward() ran" if ending.passes else "no backward pass ran"
    return wrapped(f"not asked for: {joined(ending.unasked)} (.grad is None: {why})", "")


def mistake_lines(k: int, m: Mistake) -> list[str]:
    """One mistake: its lines with their code, what happened, what to do."""
    lines = [f"{k}. {m.kind}", *[f"   {quoted(at)}" for at in m.lines], *wrapped(m.text, "   ")]
    return lines + wrapped(f"do: {m.todo}", "   ") if m.todo else lines


def quoted(at: Line) -> str:
    """`prog.py:3: y = x.exp()`."""
    return f"{at}: {at.text}" if at.text else str(at)


__all__ = ["NAMELESS", "headline", "sentence", "text_of"]
