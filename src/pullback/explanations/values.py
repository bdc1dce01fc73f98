"""The forward values of a record, as far as they are known: kept by a node, or computed again.

Read `argument`. Nothing is guessed: a value that was not kept, cannot be computed again, or was written in
place since, is unknown (None). May import `graph`, `families`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.graph.modes import QUIET, loud, quiet
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor

DEPTH = 200  # nodes computed again for one value


def argument(node: Node, i: int, memo: dict[Any, Any] | None = None) -> Any:
    """The value of argument i when the node ran, or None where it is unknown."""
    if node.args is None:
        return None
    a = node.args[i]
    if isinstance(a, Tensor):
        return a.value
    inputs = getattr(node, "inputs", None)
    if inputs is not None and isinstance(inputs[i], Tensor):
        return _unchanged(inputs[i], node.number)
    if isinstance(a, np.ndarray | np.generic | bool | int | float | complex):
        return a
    e = node.edges[i]
    if e is None:
        return None
    return _edge_value(e, node.number, {} if memo is None else memo)


def _unchanged(t: Tensor, number: int) -> Any:
    """A tensor's value, unless its memory was written since the record number."""
    return None if t.counter is not None and t.counter.written_since(number) else t.value


def _edge_value(e: Any, number: int, memo: dict[Any, Any]) -> Any:
    if isinstance(e, Tensor):
        return _unchanged(e, number)
    if type(e) is Slot:
        made = output(e.node, memo)
        return made[e.index] if isinstance(made, tuple) else None
    made = output(e, memo)
    return None if isinstance(made, tuple) else made


def output(node: Node, memo: dict[Any, Any] | None = None) -> Any:
    """The value a node made (a tuple for several), kept or computed again; None where it is unknown."""
    memo = {} if memo is None else memo
    if node in memo:
        return memo[node]
    if node.args is None or len(memo) > DEPTH or node.op.family in ("random", "control", "hooks"):
        return None
    memo[node] = None
    found = _again(node, memo) if node.out is None else node.out
    memo[node] = found
    return found


def _again(node: Node, memo: dict[Any, Any]) -> Any:
    """The op on its arguments once more; only where every one of them is known."""
    if not callable(getattr(node.op, "eval", None)) or node.lanes or "context" in node.__dict__:
        return None
    values: list[Any] = []
    for i, a in enumerate(node.args):
        v = argument(node, i, memo)
        if v is None and (a is not None or node.edges[i] is not None):
            return None
        values.append(v)
    if node.meta is not None and node.op.family in ("elementwise", "selection"):
        floats = [np.asarray(v).dtype for v in values if isinstance(v, np.ndarray | np.generic)]
        if len(set(floats)) > 1:
            d = np.result_type(*floats)
            values = [
                v.astype(d) if isinstance(v, np.ndarray | np.generic) and v.dtype.kind in "iuf" else v
                for v in values
            ]
    token = quiet(QUIET)
    try:
        return node.op.eval(*values, **node.params)
    except Exception:  # noqa: BLE001 - a value that cannot be computed again is unknown, nothing more
        return None
    finally:
        loud(token)


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


__all__ = ["argument", "entry", "output"]
