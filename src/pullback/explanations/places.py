"""Where nodes were recorded, in words.

Read `line_of`. May import `graph`.
"""

from __future__ import annotations

from pullback.graph import lines
from pullback.graph.node import Node


def line_of(node: Node) -> str:
    """`file.py:12` where the node's line was recorded, else ''."""
    found = lines.line_of(node)
    return "" if found is None else str(found)


def at(node: Node) -> str:
    """` at file.py:12`, or '' where the line was not recorded."""
    place = line_of(node)
    return f" at {place}" if place else ""


__all__ = ["at", "line_of"]
