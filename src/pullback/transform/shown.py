"""How tensors print inside transforms: wrapped once for every running transform they were made in.

Read `text` first. PyTorch wraps tensors inside `grad`, `vjp`, `jvp` and `vmap`; here they are ordinary
tensors, so the wrappers are told
from the record: what was recorded after a transform began belongs to it. May import `graph`, `printing`,
`transform.batch`.
"""

from __future__ import annotations

from typing import Any

from pullback import dtypes, printing
from pullback.graph.modes import state
from pullback.graph.node import LEAF, Node, Slot, next_number
from pullback.graph.tensor import Tensor
from pullback.transform.forward import reachable


class Track:
    """A running differential transform: its nesting depth and the record number at which it began."""

    def __init__(self) -> None:
        """Begin now."""
        self.depth = len(state.levels) + len(state.tracking) + 1
        self.number = next_number()

    def text(self, t: Tensor) -> str:
        """The printed form of a tensor while this transform is the innermost one."""
        return text(t)


def text(t: Tensor) -> str:
    """PyTorch's printed form: GradTrackingTensor and BatchedTensor wrappers around the value, the outermost
    transform innermost.
    """
    node = t.node.node if type(t.node) is Slot else t.node
    made = node.number if isinstance(node, Node) else 0
    wrappers: list[tuple[int, str, int | None]] = [
        (track.depth, "GradTrackingTensor", None) for track in state.tracking if made >= track.number
    ]
    inner = t
    while inner.foreign is not None:
        wrappers.append((inner.value.level.depth, "BatchedTensor", 0))
        inner = inner.value.inner
    shown = _value_text(inner, t)
    for depth, kind, bdim in sorted(wrappers):
        shown = printing.wrapped_text(kind, depth, bdim, shown)
    return shown


def _value_text(inner: Tensor, t: Tensor) -> str:
    """The value, with a suffix only where it is connected to something outside of all transforms."""
    name, leaf = None, False
    node = t.node
    if node is LEAF:
        leaf = True
    elif node is not None:
        name, leaf = _outside(node.node if type(node) is Slot else node)
    return printing.tensor_text(
        inner.value, default_float=dtypes.get_default_dtype().numpy, grad_fn=name, requires_grad=leaf
    )


def _outside(node: Node) -> tuple[str | None, bool]:
    """(grad_fn name, is it a leaf that requires grad) as seen from outside of all running transforms."""
    begin = state.tracking[0].number if state.tracking else 0
    while node.op.name == "alias" and node.number >= begin:  # a starting point shows what it started from
        edge = node.edges[0]
        if edge is None or isinstance(edge, Tensor):
            return None, edge is not None
        node = edge.node if type(edge) is Slot else edge
    for behind in reachable([_At(node)]):  # pyright: ignore[reportArgumentType] - anything with a node will do
        if behind.number < begin or any(isinstance(e, Tensor) for e in behind.edges):
            return node.name.removeprefix("torch::autograd::"), False
    return (None, False) if state.tracking else (node.name, False)


class _At:
    """A place in the record that stands for the tensor made there."""

    def __init__(self, node: Any) -> None:
        self.node = node


__all__ = ["Track", "text"]
