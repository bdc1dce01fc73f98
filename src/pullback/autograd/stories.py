"""What error texts are made of: the facts in order, ops with lines, entries, numbers, the leaves behind.

Read `told` first. May import `graph`, `errors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pullback.errors import user_line
from pullback.graph.lines import Line, line_of
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor

HOW = "run it inside `with pullback.record_lines():`, or with PULLBACK_LINES=1 in the environment,"
FEW = 3
FAR = 20_000  # nodes looked at before a walk is given up


def told(first: str, facts: Sequence[str], todo: Sequence[str]) -> str:
    """An error text: PyTorch's sentence, what is known to have happened, and what can be done.

    The user's line that led here stands behind the first fact.

    >>> print(told("it failed", ["x has shape [2]", "y has shape [3]"], ["reshape x"]))  # doctest: +ELLIPSIS
    it failed
      here: x has shape [2]...
            y has shape [3]
      try:  reshape x
    """
    where = user_line()
    lines = [first]
    for k, fact in enumerate(facts):
        lines.append(
            ("  here: " if k == 0 else "        ") + fact + (f" (line {where})" if where and k == 0 else "")
        )
    lines += [("  try:  " if k == 0 else "        ") + text for k, text in enumerate(todo)]
    return "\n".join(lines)


def op_at(node: Node) -> str:
    """`exp (prog.py:4)`; without the line where it was not recorded."""
    line = line_of(node)
    return node.op.name if line is None else f"{node.op.name} ({line})"


def quoted(line: Line | None) -> str:
    """` at prog.py:4: y = x.exp()`, or nothing."""
    if line is None:
        return ""
    return f" at {line}" + (f": `{line.text}`" if line.text else "")


def maker(t: Tensor) -> Node | None:
    """The node that made a tensor, or None for a leaf."""
    node = t.node
    if type(node) is Slot:
        return node.node
    return node if type(node) is Node else None


def made_by(t: Tensor) -> str:
    """`, made by exp (prog.py:4)` where a recorded op made the tensor."""
    node = maker(t)
    return "" if node is None else f", made by {op_at(node)}"


def shape_of(t: Any) -> str:
    """The shape as PyTorch's texts write it, such as [2, 3]."""
    return str(list(t.value.shape if isinstance(t, Tensor) else t.shape))


def entries(at: Any, shape: Sequence[int]) -> str:
    """The first few flat indices as indices into the shape.

    >>> entries([0, 5], (2, 3)), entries([0], ())
    ('[0, 0], [1, 2]', 'the only entry')
    """
    if not len(shape):
        return "the only entry"
    found = [str([int(k) for k in np.unravel_index(int(e), tuple(shape))]) for e in list(at)[:FEW]]
    more = len(at) - FEW
    return ", ".join(found) + (f" and {more} more" if more > 0 else "")


def number(v: Any) -> str:
    """A value as short as it can be told.

    >>> number(np.float32(0.1)), number(np.inf), number(np.float64(-2))
    ('0.1', 'inf', '-2')
    """
    v = v.item() if hasattr(v, "item") else v
    return f"{v:.6g}" if isinstance(v, int | float | complex) else str(v)


def plural(n: int, word: str) -> str:
    """1 entry, 2 entries."""
    several = word[:-1] + "ies" if word.endswith("y") else word + ("es" if word.endswith("s") else "s")
    return f"{n} {word if n == 1 else several}"


def joined(words: Iterable[str]) -> str:
    """a, b and c."""
    found = list(words)
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1] if found else ""


def producer(edge: Any) -> Node | None:
    """The node behind an edge, or None for a leaf."""
    return edge.node if type(edge) is Slot else edge if type(edge) is Node else None


def reached(edges: Iterable[Any], through: Any = None) -> tuple[set[Node], list[Tensor], bool]:
    """The nodes and the leaves behind these edges, and whether the walk was complete.

    through  (node) -> further edges to follow, such as the origins of a node's unfollowed arguments
    """
    nodes: set[Node] = set()
    leaves: dict[Tensor, None] = {}
    stack = list(edges)
    while stack:
        edge = stack.pop()
        node = producer(edge)
        if node is None:
            if isinstance(edge, Tensor):
                leaves[edge] = None
            continue
        if node in nodes:
            continue
        if len(nodes) >= FAR:
            return nodes, list(leaves), False
        nodes.add(node)
        stack.extend(e for e in node.edges if e is not None)
        if through is not None:
            stack.extend(e for e in through(node) if e is not None)
    return nodes, list(leaves), True


def leaf_words(leaves: Sequence[Tensor]) -> str:
    """`the leaf of shape [3]`, or several."""
    shapes = [shape_of(t) for t in leaves[:FEW]]
    if len(leaves) == 1:
        return f"the leaf of shape {shapes[0]}"
    more = f" and {len(leaves) - FEW} more" if len(leaves) > FEW else ""
    return f"the leaves of shapes {', '.join(shapes)}{more}"
