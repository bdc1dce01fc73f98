"""The forward values of a record, as far as they are known: kept by a node, or computed again.

Read `Facts`, then `argument`. Nothing is guessed: a value that was not kept, cannot be
computed again, or was written in place since, is unknown (None). May import `graph`, `families`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.graph.modes import QUIET, loud, quiet
from pullback.graph.node import Aval, Node, Slot
from pullback.graph.tensor import Tensor

DEPTH = 200  # nodes computed again for one value


class Facts(dict[Any, Aval]):
    """What is known of a record: shape and dtype of the output of every node with one, by node.

    again  the values that were computed again, by node, so that each is computed once
    links  the local Jacobians that were listed, by node and argument
    """

    def __init__(self) -> None:
        """Empty."""
        super().__init__()
        self.again: dict[Node, Any] = {}
        self.links: dict[tuple[Node, int], Any] = {}


def argument(node: Node, i: int, facts: Facts, depth: int = 0) -> Any:
    """The value of argument i when the node ran, or None where it is unknown."""
    if node.args is None:
        return None
    a = node.args[i]
    if isinstance(a, Tensor):
        return a.value
    if isinstance(a, np.ndarray | np.generic | bool | int | float | complex):
        return a
    e = node.edges[i]
    if isinstance(e, Tensor):
        # a leaf: its value, unless its memory was written since
        return None if e.counter is not None and e.counter.written_since(node.number) else e.value
    if e is None:
        return None
    made = output(e.node if type(e) is Slot else e, facts, depth + 1)
    if type(e) is Slot:
        return made[e.index] if isinstance(made, tuple) else None
    return None if isinstance(made, tuple) else made


def output(node: Node, facts: Facts, depth: int = 0) -> Any:
    """The value a node made (a tuple for several), kept or computed again; None where it is unknown."""
    if node.out is not None:
        return node.out
    if node in facts.again:
        return facts.again[node]
    if node.args is None or depth > DEPTH or node.op.family in ("random", "control", "hooks"):
        return None
    found = _again(node, facts, depth)
    if found is not None or depth == 0:
        facts.again[node] = found
    return found


def _again(node: Node, facts: Facts, depth: int) -> Any:
    """The op on its arguments once more; only where every one of them is known."""
    if not callable(getattr(node.op, "eval", None)) or node.lanes or "context" in node.__dict__:
        return None
    values: list[Any] = []
    for i, a in enumerate(node.args):
        v = argument(node, i, facts, depth)
        if v is None and (a is not None or node.edges[i] is not None):
            return None
        values.append(v)
    if node.meta is not None and node.op.family in ("elementwise", "selection"):
        values = _promoted(values)
    token = quiet(QUIET)
    try:
        return node.op.eval(*values, **node.params)
    except Exception:  # noqa: BLE001 - a value that cannot be computed again is unknown, nothing more
        return None
    finally:
        loud(token)


def _promoted(values: list[Any]) -> list[Any]:
    dtypes = {v.dtype for v in values if isinstance(v, np.ndarray | np.generic)}
    if len(dtypes) < 2:
        return values
    d = np.result_type(*dtypes)
    return [
        v.astype(d) if isinstance(v, np.ndarray | np.generic) and v.dtype.kind in "iuf" else v for v in values
    ]


def entry(v: Any, flat: int, shape: tuple[int, ...] | None = None) -> Any:
    """One entry as a Python number (of v broadcast to `shape`), or None."""
    if v is None:
        return None
    try:
        a = np.asarray(v)
        if shape is not None:
            a = np.broadcast_to(a, shape)
        return a.reshape(-1)[flat].item()
    except (ValueError, IndexError):
        return None


__all__ = ["Facts", "argument", "entry", "output"]
