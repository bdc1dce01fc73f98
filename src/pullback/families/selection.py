"""The selection family: ops that pick, entry by entry, one argument or a constant (where, clamp, relu).

Gradients are routed: the chosen argument receives the cotangent as it is, the others exactly zero, so an
infinite upstream behind a closed gate stays behind it. An entry gives one `gate` per argument. Read
`selection`, then `gate`, then `route`. May import `families.elementwise` and what it may import.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.families.elementwise import Elementwise
from pullback.families.op import Rule, reads
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor

ndarray = np.ndarray
# an array without dimensions is the cheapest constant for a ufunc on a small array of the same dtype
ZERO = {np.dtype(d): np.zeros((), d) for d in ("f2", "f4", "f8")}
INTEGER = {2: np.int16, 4: np.int32, 8: np.int64}
FEW = 2048


class Gate:
    """When a cotangent is stopped (`closed`) or halved (`tie`): rules (out, *args) -> boolean array."""

    def __init__(self, closed: Rule, tie: Rule | None = None) -> None:
        self.closed = closed
        self.tie = tie
        a, b = reads(closed), reads(tie) if tie is not None else ()
        n = max(len(a), len(b))
        self.reads = tuple((i < len(a) and a[i]) or (i < len(b) and b[i]) for i in range(n))

    def __call__(self, out: Any, *args: Any, **params: Any) -> Any:
        """The local derivative: 0, 1/2 or 1."""
        weight = np.where(self.closed(out, *args, **params), 0.0, 1.0)
        if self.tie is not None:
            weight = np.where(self.tie(out, *args, **params), 0.5 * weight, weight)
        return weight


gate = Gate


class Selection(Elementwise):
    """An elementwise op whose output entries are copies of argument entries or constants."""

    def __init__(self, name: str, function: Rule, d: Sequence[Any], *, margin: Rule | None = None,
    **options: Any) -> None:
        """See `selection`."""
        self.margin = margin
        options.setdefault("second", frozenset())
        options.setdefault("kink", margin)  # the switch is the kink
        super().__init__(name, function, d, **options)
        self.family = "selection"
        first: Any = self.partials[0]
        # the gate of an op of one argument without ties
        alone = self.arity == 1 and isinstance(first, Gate) and first.tie is None
        self.lone = first.closed if alone else None

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """A small array behind one gate, such as relu's, is routed at once.

        The rest as in the family above.
        """
        gate = self.lone
        if gate is not None and not tensors and node.meta is None and type(g) is ndarray and g.size <= FEW:
            a = node.args[0]
            closed = gate(node.out, a.value if isinstance(a, Tensor) else a, **node.params)
            if type(closed) is ndarray and closed.shape == g.shape:
                r = g.copy()
                r[closed] = 0
                return (r,)
        return super().pull(node, g, tensors)

    def make_number_rule(self) -> Rule:
        """Numbers are routed like arrays."""

        def pull(node: Node, g: Any) -> list[Any]:
            values = [a.value if isinstance(a, Tensor) else a for a in node.args]
            return [
                None if e is None or p is None else g if p == 1 else self._term(i, g, node.out, values, {})
                for i, (e, p) in enumerate(zip(node.edges, self.partials, strict=True))
            ]

        return pull

    def _term(self, i: int, g: Any, out: Any, values: Sequence[Any], params: dict[str, Any]) -> Any:
        p: Any = self.partials[i]
        r = route(g, p.closed(out, *values, **params))
        if p.tie is not None:
            tie = p.tie(out, *values, **params)
            if np.any(tie):
                half = r * r.dtype.type(0.5)
                r = np.where(tie, half, r) if isinstance(tie, ndarray) else half
        return r

    def term_tensors(self, i: int, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The same on tensors; gates are made of comparisons, which are never recorded."""
        p: Any = self.partials[i]
        if p is None or isinstance(p, int):
            return super().term_tensors(i, g, out, args, params)
        r = g.masked_fill(p.closed(out, *args, **params), 0.0)
        if p.tie is not None:
            r = (r * 0.5).where(p.tie(out, *args, **params), r)
        return r

    def push_term(self, i: int, t: Any, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The tangent, routed like a cotangent."""
        wide = t if tuple(t.shape) == tuple(out.shape) else t.expand(out.shape)
        return self.term_tensors(i, wide, out, args, params)


def selection(name: str, function: Rule, d: Sequence[Any], **options: Any) -> Selection:
    """Declare a selection.

    d        per argument a `gate`, 1 (always passes) or None (never followed, such as a condition)
    margin   (out, *args) -> how far the deciding value is from the switch, per output entry
    The other options are those of `elementwise`.
    """
    return Selection(name, function, d, **options)


def route(g: Any, closed: Any) -> Any:
    """g where the gate is open, exactly zero where it is closed."""
    if not isinstance(closed, ndarray):
        if not closed:
            return g
        return np.zeros_like(g) if isinstance(g, ndarray) else g.dtype.type(0)
    if closed.shape != g.shape or not isinstance(g, ndarray):
        return np.where(closed, g.dtype.type(0), g)
    if closed.size <= FEW or g.dtype.kind != "f":
        r = g.copy()
        r[closed] = 0
        return r
    # without branches: the bit pattern of g, masked by 0 (closed) or -1 (open)
    integer = INTEGER[g.dtype.itemsize]
    mask = np.subtract(closed.view(np.int8), 1, dtype=np.int8).astype(integer)
    np.bitwise_and(g.view(integer), mask, out=mask)
    return mask.view(g.dtype)
