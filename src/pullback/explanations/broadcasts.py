"""Broadcasts that nobody wanted: an (N, 1) column against N numbers makes N x N pairs.

Read `broadcast_slips`. May import `graph`, `families`, `transform`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.families.elementwise import Elementwise
from pullback.graph.lines import Line, line_of
from pullback.graph.node import Aval, Node, Slot
from pullback.graph.tensor import Tensor
from pullback.transform.forward import reachable
from pullback.transform.pattern import arguments, output_shapes

PAIRS = 4_000_000  # pairs up to which the pattern is worked out as a proof
# losses of two tensors that are broadcast (expanded) before they are compared
PAIRED = frozenset({"mse_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy"})


@dataclass(frozen=True, eq=False)
class Slip:
    """One op whose arguments met as all pairs.

    op, line, node  the op's name, the line that ran it (None where unknown), its record number
    shapes          the shapes of the two arguments as they were before broadcasting
    out_shape       the shape to which they were broadcast
    size            N, the number of entries of each argument
    pairs           the entries of d out / d argument that can be non-zero: N x N where a diagonal has N
    proven          were the pairs counted in the op's pattern? Else they follow from the shapes
    """

    op: str
    line: Line | None
    node: int
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    out_shape: tuple[int, ...]
    size: int
    pairs: int
    proven: bool

    @property
    def text(self) -> str:
        """What happened, and what to do."""
        a, b = (list(s) for s in self.shapes)
        where = f"{self.op}{f' at {self.line}' if self.line is not None else ''}"
        narrow, wide = sorted(self.shapes, key=len)
        axis = _extra_axis(wide, narrow)
        return (
            f"{where}: arguments of shapes {a} and {b} were broadcast to {list(self.out_shape)}: every entry "
            f"met every other, so its Jacobian has {self.pairs} entries where a diagonal has {self.size}; "
            f"x.squeeze({axis - len(wide)}) on the one of shape {list(wide)} pairs them one to one"
        )

    def __str__(self) -> str:
        return self.text


def broadcast_slips(out: Any) -> list[Slip]:
    """The recorded ops behind a tensor (or several) in which N numbers met N others as pairs, by accident.

    out  a recorded tensor, or a list of them
    An accident is: one argument's shape is the other's with an axis of length 1 more ((N, 1) against (N,)),
    and the result has more entries than either, so the axis did not line up. What was written out is left
    alone: (N, 1) against (1, N), and an axis that was added just before (x[:, None] - y, outer). The proof is
    the op's own pattern: its Jacobian is dense in all pairs, where equal sizes let one expect a diagonal.

    >>> import pullback as torch
    >>> prediction = torch.ones(5, 1, requires_grad=True)
    >>> (slip,) = broadcast_slips((prediction - torch.zeros(5)).square().mean())
    >>> slip.op, slip.shapes, slip.out_shape, slip.pairs
    ('sub', ((5, 1), (5,)), (5, 5), 25)
    """
    outs: list[Tensor] = [out] if isinstance(out, Tensor) else list(out)
    shapes = output_shapes(outs)
    found = [_slip(node, shapes) for node in reachable(outs)]
    return [s for s in found if s is not None]


def _slip(node: Node, shapes: dict[Any, Aval]) -> Slip | None:
    op = node.op
    if node.args is None or node.lanes or not (isinstance(op, Elementwise) or op.name in PAIRED):
        return None
    several = range(min(len(node.edges), 2 if op.name in PAIRED else len(node.edges)))
    met = [(i, s) for i in several if (s := _shape(node, i, shapes)) is not None]
    for k, (i, a) in enumerate(met):
        for j, b in met[k + 1 :]:
            wide = _crossed(a, b)
            if wide is not None and not _meant(node, i if len(a) > len(b) else j, shapes):
                size = int(np.prod(a))
                pairs, proven = _pairs(node, shapes, int(np.prod(wide)))
                name = getattr(op, "torch_name", op.name)
                return Slip(name, line_of(node), node.number, (a, b), wide, size, pairs, proven)
    return None


def _meant(node: Node, i: int, shapes: dict[Any, Aval]) -> bool:
    """Was the axis of the wider argument added by the op just before?"""
    e = node.edges[i]
    made = e.node if type(e) is Slot else e
    if (
        type(made) is not Node
        or made.op.family != "structural"
        or len(made.edges) != 1
        or made.edges[0] is None
    ):
        return False
    before = shapes[_key(made.edges[0])]
    return made.op.name != "expand" and len(before.shape) < len(shapes[_key(e)].shape)


def _key(edge: Any) -> Any:
    return (edge.node, edge.index) if type(edge) is Slot else edge


def _crossed(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape to which a and b broadcast, where one is the other with an axis of length 1 more."""
    narrow, wide = sorted((a, b), key=len)
    if len(wide) != len(narrow) + 1 or np.prod(a) != np.prod(b):
        return None
    if _extra_axis(wide, narrow) < 0:
        return None
    try:
        met = np.broadcast_shapes(a, b)
    except ValueError:
        return None
    return tuple(met) if np.prod(met) > np.prod(a) else None


def _extra_axis(wide: tuple[int, ...], narrow: tuple[int, ...]) -> int:
    """The last axis of length 1 without which the shapes are equal; -1 where there is none."""
    places = [i for i, n in enumerate(wide) if n == 1 and wide[:i] + wide[i + 1 :] == narrow]
    return places[-1] if places else -1


def _shape(node: Node, i: int, shapes: dict[Any, Aval]) -> tuple[int, ...] | None:
    """The shape of argument i before it was expanded; None for numbers."""
    e = node.edges[i]
    source = e.node if type(e) is Slot else e
    if type(source) is Node and source.op.name == "expand" and source.args is not None:
        e = source.edges[0]
        return tuple(shapes[_key(e)].shape)
    a: Any = arguments(node, shapes.get(node))[i]
    kept = node.args[i]
    if isinstance(kept, Tensor) and type(kept.value) is np.ndarray and 0 in kept.value.strides:
        return _unstretched(kept.value)
    if node.meta is not None and node.meta[i] is not None:
        return tuple(node.meta[i][0])
    return tuple(a.shape) if hasattr(a, "shape") else None


def _unstretched(v: Any) -> tuple[int, ...]:
    """The shape behind a broadcast view: stretched axes have a stride of 0; those in front were added."""
    shape = [1 if s == 0 else n for n, s in zip(v.shape, v.strides, strict=True)]
    while len(shape) > 1 and shape[0] == 1 and v.strides[v.ndim - len(shape)] == 0:
        shape = shape[1:]
    return tuple(shape)


def _pairs(node: Node, shapes: dict[Any, Aval], size: int) -> tuple[int, bool]:
    """The pairs of output entries and entries of one argument, counted in the op's pattern where few."""
    if size > PAIRS or not isinstance(node.op, Elementwise):
        return size, False
    avals = arguments(node, shapes.get(node))
    if node.meta is not None:
        avals = [a if m is None else Aval(*m) for a, m in zip(avals, node.meta, strict=True)]
    for p, e in zip(node.op.depend(avals, node.params).first, node.edges, strict=True):
        if p is not None and e is not None and len(p[0]):
            return len(np.unique(np.asarray(p[0]) * size + np.asarray(p[1]))), True
    return size, False


__all__ = ["Slip", "broadcast_slips"]
