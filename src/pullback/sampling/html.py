"""A result as HTML, for notebooks.

Read `table_of`. Imports the standard library only.
"""

from __future__ import annotations

from html import escape
from typing import Any

MOST = 60  # rows shown

_CELL = 'style="text-align:right;padding:2px 8px"'


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))


def table_of(title: str, warnings: str, records: list[dict[str, Any]], confidence: float) -> str:
    """A heading, the warnings, and a table of the records; long tables are cut, and say so.

    >>> "<td" in table_of("t", "", [{"entry": "x", "mean": 1.0}], 0.95)
    True
    """
    parts = [f"<p><code>{escape(title)}</code></p>"]
    parts += [f'<p style="color:#b00020">{escape(line)}</p>' for line in warnings.splitlines()]
    if records:
        heads = {"low": f"{100 * confidence:g} % from", "high": "to", "active": "share not zero"}
        row = "".join(f"<th {_CELL}>{escape(heads.get(k, k))}</th>" for k in records[0])
        parts.append(f'<table style="border-collapse:collapse"><tr>{row}</tr>')
        for record in records[:MOST]:
            cells = "".join(f"<td {_CELL}>{_number(v)}</td>" for v in record.values())
            parts.append(f"<tr>{cells}</tr>")
        parts.append("</table>")
    if len(records) > MOST:
        parts.append(f"<p>{len(records) - MOST} more rows: see records()</p>")
    return "".join(parts)
