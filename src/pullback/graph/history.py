"""What a warning can tell of a tensor's history: the op that made it, and the leaves behind it.

Read `non_leaf` first. May import `lines`, `node`.
"""

from __future__ import annotations

from typing import Any

from pullback.graph.lines import line_of
from pullback.graph.node import Node, Slot

NEAR = 500  # nodes looked at: a warning must stay cheap


def non_leaf(t: Any) -> str:
    """Why a tensor has no `.grad`: what made it a non-leaf, and which leaf got the gradient, if one did.

    >>> import pullback as torch
    >>> w = torch.ones(3, requires_grad=True)
    >>> x = w * 2
    >>> x.sum().backward()
    >>> print(non_leaf(x))
    <BLANKLINE>
      here: mul made this tensor of shape [3], so no leaf; the leaf of shape [3] behind it has a gradient
      try:  read .grad of that leaf; or call x.retain_grad() before backward
            or make x a leaf of its own: x = (...).detach().requires_grad_()
    """
    node = t.node.node if type(t.node) is Slot else t.node
    if type(node) is not Node or t.foreign is not None:
        return ""
    line = line_of(node)
    source = "" if line is None or not line.text else f": `{line.text}`"
    made = node.op.name if line is None else f"{node.op.name} ({line}{source})"
    here = f"{made} made this tensor of shape {list(t.shape)}, so no leaf"
    todo = "call x.retain_grad() before backward"
    leaves = leaves_behind(node)
    if leaves is not None and len(leaves) == 1:
        (leaf,) = leaves
        none = "has none either: no backward pass reached it, or it was reset"
        got = "has a gradient" if leaf.stored_grad is not None else none
        here += f"; the leaf of shape {list(leaf.value.shape)} behind it {got}"
        todo = f"read .grad of that leaf; or {todo}"
    own = "or make x a leaf of its own: x = (...).detach().requires_grad_()"
    return f"\n  here: {here}\n  try:  {todo}\n        {own}"


def leaves_behind(node: Node) -> list[Any] | None:
    """The leaves that a node leads back to, or None where there are too many nodes to look at."""
    seen: set[Node] = set()
    found: dict[Any, None] = {}
    stack: list[Any] = [node]
    while stack:
        edge = stack.pop()
        behind = edge.node if type(edge) is Slot else edge
        if type(behind) is not Node:
            if behind is not None:
                found[behind] = None
            continue
        if behind in seen:
            continue
        if len(seen) >= NEAR:
            return None
        seen.add(behind)
        stack.extend(behind.edges)
    return list(found)
