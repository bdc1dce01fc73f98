"""Which input entries can reach which output entries: the patterns of a record's nodes, composed.

Read `pattern` first. Each op's depend facet says which entries of its arguments each output entry can
depend on; composing these boolean matrices along the record gives the sparsity of the Jacobian, whatever
the values (indices and masks are taken as they were). May import `graph`, `families`, `autograd.trouble`,
`transform.forward`.

A path whose contributions cancel for every input (x - x) still counts: the pattern is of the program, not
of the function. It is never too small, and it is exact where every op's is and nothing cancels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from pullback.autograd import trouble
from pullback.errors import message
from pullback.families.by_hand_facets import joined
from pullback.families.facets import dense_pairs
from pullback.graph.node import Aval, Node, Slot, writes
from pullback.graph.tensor import Tensor, edge_of
from pullback.transform.forward import reachable

Coo = tuple[Any, Any]  # rows and columns of the true entries, sorted, each pair once
EMPTY = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A boolean matrix by its true entries.

    shape  (output entries, input entries), both numbered in row-major order
    rows   int64, the output entry of each pair, ascending
    cols   int64, the input entry of each pair, ascending within a row
    """

    shape: tuple[int, int]
    rows: Any
    cols: Any

    @property
    def nnz(self) -> int:
        """The number of pairs."""
        return len(self.rows)

    def dense(self) -> Any:
        """The boolean matrix as a NumPy array of `shape`."""
        m = np.zeros(self.shape, bool)
        m[self.rows, self.cols] = True
        return m

    def __repr__(self) -> str:
        return f"Pattern({self.shape[0]} x {self.shape[1]}, {self.nnz} pairs)"


@overload
def pattern(outputs: Tensor | Sequence[Tensor], inputs: Tensor) -> Pattern: ...
@overload
def pattern(outputs: Tensor | Sequence[Tensor], inputs: Sequence[Tensor]) -> tuple[Pattern, ...]: ...
def pattern(
    outputs: Tensor | Sequence[Tensor], inputs: Tensor | Sequence[Tensor]
) -> Pattern | tuple[Pattern, ...]:
    """The sparsity pattern of d outputs / d inputs, read off the record.

    outputs  a tensor, or several whose entries then follow one another
    inputs   a tensor that requires grad, or several (one Pattern each); intermediate results count as inputs
             too, and are looked through for the others, as `autograd.grad` does
    Any shapes; complex entries count once. RuntimeError where an input does not require grad, where a
    backward pass has freed what the record saved (run it with retain_graph=True), or where vmap made part of
    the record.

    >>> import pullback as torch
    >>> x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = x[1:] * x[:-1]
    >>> pattern(y, x).dense().astype(int)
    array([[1, 1, 0],
           [0, 1, 1]])
    >>> pattern(y.sum(), x)
    Pattern(1 x 3, 3 pairs)
    """
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for x in ins:
        if x.node is None:
            raise RuntimeError(
                message(
                    "One of the differentiated Tensors does not require grad",
                    f"the input of shape {list(x.value.shape)} is not followed by autograd",
                    "make it with requires_grad=True before the outputs are computed",
                )
            )
    found = _composed(outs, ins)
    total = sum(t.value.size for t in outs)
    starts = np.cumsum([0, *(x.value.size for x in ins)])
    parts = tuple(
        Pattern((total, x.value.size), *_columns(found, int(first), int(last)))
        for x, first, last in zip(ins, starts[:-1], starts[1:], strict=True)
    )
    return parts[0] if isinstance(inputs, Tensor) else parts


def _columns(pairs: Coo, first: int, last: int) -> Coo:
    rows, cols = pairs
    here = (cols >= first) & (cols < last)
    return rows[here], cols[here] - first


def _composed(outs: Sequence[Tensor], ins: Sequence[Tensor]) -> Coo:
    """The pairs of all outputs with all inputs, both numbered through."""
    width = sum(x.value.size for x in ins)
    own: dict[Any, Coo] = {}  # the inputs themselves
    start = 0
    for x in ins:
        n = x.value.size
        key, pairs = _key(edge_of(x)), (np.arange(n), np.arange(start, start + n))
        own[key] = _union([own[key], pairs], width) if key in own else pairs
        start += n
    reached = dict(own)
    shapes = output_shapes(outs)
    for node in reachable(outs):
        for key, pairs in _through(node, shapes, reached, width):
            mine = own.get(key)
            reached[key] = pairs if mine is None else _union([pairs, mine], width)
    rows: list[Any] = []
    cols: list[Any] = []
    start = 0
    for t in outs:
        r, c = reached.get(_key(edge_of(t)), (EMPTY, EMPTY))
        rows.append(r + start)
        cols.append(c)
        start += t.value.size
    return np.concatenate([EMPTY, *rows]), np.concatenate([EMPTY, *cols])


def _key(edge: Any) -> Any:
    return (edge.node, edge.index) if type(edge) is Slot else edge


# ---------------------------------------------------------------------- shapes


def output_shapes(outs: Iterable[Tensor]) -> dict[Any, Aval]:
    """Shape and dtype of every edge behind these outputs: each consumer knows its arguments'."""
    found: dict[Any, Aval] = {_key(edge_of(t)): Aval(t.value.shape, t.value.dtype) for t in outs}
    for node in reversed(reachable(outs)):
        for e, a in zip(node.edges, arguments(node, found.get(node)), strict=True):
            if e is not None:
                found[_key(e)] = a
    return found


def arguments(node: Node, out: Aval | None) -> list[Any]:
    """The arguments as the depend facet takes them: avals for tensors, plain values as they are.

    A node that keeps nothing of an argument says its shape in `meta`, or it is the output's. RuntimeError
    if a backward pass has
    freed the node.
    """
    if node.args is None:
        raise trouble.second_time(node)
    found: list[Any] = []
    for i, a in enumerate(node.args):
        if isinstance(a, Tensor):
            found.append(Aval(a.value.shape, a.value.dtype))
        elif a is None and node.meta is not None and node.meta[i] is not None:
            found.append(Aval(*node.meta[i]))
        elif a is None and (node.edges[i] is not None or (node.origins is not None and node.origins[i])):
            found.append(out)
        else:
            found.append(a)
    return found


# ---------------------------------------------------------------------- one node


def _through(
    node: Node, shapes: dict[Any, Aval], reached: dict[Any, Coo], width: int
) -> list[tuple[Any, Coo]]:
    """The pairs of each output of a node with the inputs."""
    keys = [node] if node.count is None else [(node, k) for k in range(node.count)]
    incoming = [reached.get(_key(e)) if e is not None else None for e in node.edges]
    if all(p is None for p in incoming):
        return []
    if node.lanes or node.op.family == "control":
        raise RuntimeError(
            message(
                "pattern() cannot look into vmap",
                f"{node.name} was recorded for one lane, which stands for all of them",
                "apply the function to the batch directly, or take the pattern of the function for one lane",
            )
        )
    if node.number < writes.last:
        trouble.check_versions(node)
    avals = arguments(node, shapes.get(node))
    outs = [shapes[node]] if node.count is None else list(node.out_avals)
    outs = [a if a is not None and a.dtype.kind in "fc" else None for a in outs]
    local = _local(node, avals, sum(a.size for a in outs if a is not None))
    parts: list[Coo] = []
    for pairs, behind in zip(local, incoming, strict=True):
        if behind is not None and pairs is not None:
            rows, middle = (np.asarray(p, np.int64) for p in pairs)
            parts.append(joined(rows, middle, behind[1], behind[0]))
    rows, cols = _union(parts, width)
    found: list[tuple[Any, Coo]] = []
    start = 0
    for key, a in zip(keys, outs, strict=True):
        if a is None:
            continue
        low, high = np.searchsorted(rows, [start, start + a.size])
        found.append((key, (rows[low:high] - start, cols[low:high])))
        start += a.size
    return found


def _local(node: Node, avals: Sequence[Any], total: int) -> Sequence[Any]:
    """Per argument the node's own pairs; all of them where the op does not say (custom Functions)."""
    depend = getattr(node.op, "depend", None)
    if not depend:  # none, or an Absent
        return [
            dense_pairs(total, a.size) if e is not None else None
            for a, e in zip(avals, node.edges, strict=True)
        ]
    values = [a.value if isinstance(a, Tensor) else a for a in node.args]
    return depend(avals, node.params, values).first


def _union(parts: Sequence[Coo], width: int) -> Coo:
    """All pairs, sorted, each once."""
    if not parts:
        return EMPTY, EMPTY
    keys = np.unique(np.concatenate([r * width + c for r, c in parts]))
    return np.divmod(keys, width) if width else (EMPTY, EMPTY)


__all__ = ["Pattern", "arguments", "output_shapes", "pattern"]
