"""What a drawing says about values: their shapes, a few entries or a summary, and how an op was called.

Read `summary`, then `Values`. May import `graph`, `families`, `transform.pattern`, `flow_text`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.explanations.flow_text import shape
from pullback.families.elementwise import Elementwise
from pullback.graph.node import Aval, Node, Slot
from pullback.graph.tensor import Tensor, edge_of
from pullback.transform.pattern import arguments

FEW = 8  # entries that are shown one by one


def summary(v: Any) -> str:
    """A value in one line: dtype, shape, and its entries if they are few, else their range and mean.

    >>> summary(np.array([1.0, -2.5]))
    'float64 [2]: 1, -2.5'
    >>> summary(np.arange(100.0).reshape(10, 10))
    'float64 [10, 10]: min 0, max 99, mean 49.5'
    >>> summary(np.zeros((0, 3), np.float32))
    'float32 [0, 3]: no entries'
    """
    a = np.asarray(v)
    head = f"{a.dtype} {shape(a.shape)}"
    if not a.size:
        return f"{head}: no entries"
    if a.size <= FEW:
        return f"{head}: {', '.join(_number(x) for x in a.ravel())}"
    bad = 0
    if a.dtype.kind in "fc":
        finite = np.isfinite(a)
        bad = a.size - int(np.count_nonzero(finite))
        a = a[finite]
    if a.dtype.kind == "c":
        a, head = np.abs(a), f"{head}, magnitudes"
    words = f"{bad} not finite" if bad else ""
    if a.size:
        with np.errstate(all="ignore"):
            mean = float(np.mean(a, dtype=np.float64))
        known = f"min {_number(a.min())}, max {_number(a.max())}, mean {_number(mean)}"
        words = f"{known}, {words}" if words else known
    return f"{head}: {words}"


def _number(x: Any) -> str:
    if isinstance(x, bool | np.bool_):
        return str(bool(x))
    if isinstance(x, int | np.integer):
        return str(int(x))
    return f"{complex(x):.4g}" if isinstance(x, complex | np.complexfloating) else f"{float(x):.4g}"


def call_of(node: Node) -> str:
    """The op's name, with the numbers that it was called with beside its tensors: pow(·, 2).

    >>> import pullback as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> call_of((x**2).node), call_of((x * x).node)
    ('pow(·, 2)', 'mul')
    """
    args = list(node.args or ())
    name = node.label if node.cut and node.label else node.op.name  # a cut without an op of its own
    if not any(_is_number(a) for a in args):
        return name
    shown = [
        _number(a) if _is_number(a) else "·"
        for a in args
        if a is None or _is_number(a) or isinstance(a, Tensor | Aval)
    ]
    return f"{name}({', '.join(shown)})"


def _is_number(a: Any) -> bool:
    return isinstance(a, int | float | complex | np.number) and not isinstance(a, bool)


def parameters(node: Node) -> str:
    """The op's static parameters that fit into a line."""
    params: dict[str, Any] = node.params or {}
    shown = [f"{k}={v!r}" for k, v in params.items() if v is None or isinstance(v, int | float | str | tuple)]
    return ", ".join(s for s in shown if len(s) <= 40)


class Values:
    """The output shapes of the nodes, and their values where the record holds them.

    A value is known if the node kept it, if a consumer did, or if the drawing was asked for.
    """

    def __init__(self, outs: Sequence[Tensor], nodes: Sequence[Node]) -> None:
        """nodes: everything behind the outputs, oldest first."""
        self.outs = list(outs)
        self._shapes: dict[Any, Aval] = {}
        self._values: dict[Any, Any] = {}
        for t in self.outs:
            self._value(edge_of(t) if t.node is not None else t.origin, t.value)
        for node in reversed(nodes):
            self._outputs(node)
            self._arguments(node)

    def _value(self, edge: Any, v: Any) -> None:
        if edge is not None:
            self._values.setdefault(_key(edge), v)
            self._shapes.setdefault(_key(edge), Aval(np.shape(v), v.dtype))

    def _outputs(self, node: Node) -> None:
        if node.count is None:
            if isinstance(node.out, np.ndarray | np.generic):
                self._value(node, node.out)
            return
        kept = node.out if isinstance(node.out, tuple) else ()
        for k, (v, a) in enumerate(itertools.zip_longest(kept, node.out_avals)):
            if v is not None:
                self._values.setdefault((node, k), v)
            if a is not None:
                self._shapes[node, k] = a

    def _arguments(self, node: Node) -> None:
        for e, a, known in zip(node.edges, node.args, arguments(node, self._shapes.get(node)), strict=True):
            if e is None:
                continue
            if isinstance(a, Tensor):
                self._value(e, a.value)
            elif known is not None:
                self._shapes.setdefault(_key(e), known)
        for origin, a in zip(node.origins or (), node.args, strict=False):
            if origin is not None and isinstance(a, Tensor):
                self._value(origin, a.value)

    def argument(self, node: Node, i: int) -> Tensor | Aval | None:
        """The tensor that is not followed at argument i, or what is known of it; None if there is none."""
        a = node.args[i]
        if isinstance(a, Tensor | Aval):
            return a
        if a is not None or not isinstance(node.op, Elementwise):
            return None  # a plain value, or an argument that was left out
        known = node.meta[i] if node.meta is not None else None
        return Aval(*known) if known is not None else self._shapes.get(node)

    def shape(self, node: Node) -> str:
        """The output's shape; of several outputs how many there are; '' where it is not known."""
        if node.count is not None:
            return f"{node.count} outputs"
        known = self._shapes.get(node)
        return "" if known is None else shape(known.shape)

    def words(self, node: Node) -> str:
        """A line for each output."""
        keys = [node] if node.count is None else [(node, k) for k in range(node.count)]
        lines: list[str] = []
        for key in keys:
            if key in self._values:
                lines.append(summary(self._values[key]))
            elif key in self._shapes:
                known = self._shapes[key]
                lines.append(f"{known.dtype} {shape(known.shape)}, not kept by the record")
        return "\n".join(lines)


def _key(edge: Any) -> Any:
    return (edge.node, edge.index) if type(edge) is Slot else edge


__all__ = ["Values", "call_of", "parameters", "summary"]
