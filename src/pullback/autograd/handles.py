"""What `x.grad_fn` shows: a handle on a node with PyTorch's attributes.

Read `grad_fn_of` first. The type of a handle carries the node's name (`type(y.grad_fn).__name__ ==
"MulBackward0"`).
May import `graph`, `families.op`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pullback.autograd.hooks import RemovableHandle
from pullback.autograd.trouble import SECOND_TIME
from pullback.errors import message
from pullback.families.op import produced, saved_values
from pullback.graph.node import LEAF, Aval, Node, Slot
from pullback.graph.tensor import Tensor, wrap

# nodes that PyTorch's engine brings itself: their names carry its namespace
_CORE_NODES = ("CopySlices", "CopyBackwards", "NotImplemented")
_types: dict[str, type[GradFn]] = {}


class GradFn:
    """A handle on a node: name(), next_functions, metadata, hooks and what it saved."""

    node: Node

    def __init__(self, node: Any) -> None:
        """Refer to the node; the node refers back weakly."""
        self.node = node

    def name(self) -> str:
        """The name, such as MulBackward0 (printing leaves the namespace of CopySlices and the like away)."""
        name = self.node.name
        return f"torch::autograd::{name}" if name in _CORE_NODES else name

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """(handle, output number) of the producers of the arguments, (None, 0) for arguments that are not
        followed.
        """
        return tuple(next_function(e) for e in self._edges())

    def _edges(self) -> list[Any]:
        node = self.node
        tensors = [isinstance(a, Tensor) or hasattr(a, "dtype") for a in node.args or ()]
        rules = node.op.vjp if isinstance(getattr(node.op, "vjp", None), list | tuple) else None
        return [
            e
            for i, e in enumerate(node.edges)
            # an argument without a rule (an index, a mask) is not listed
            if (rules is None or (i < len(rules) and rules[i] is not None))
            if e is not None or node.args is None or (i < len(tensors) and tensors[i]) or len(node.edges) > 1
        ]

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's notes."""
        if self.node.metadata is None:
            self.node.metadata = {}
        return self.node.metadata

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(grad_inputs, grad_outputs) after this node's rule ran; a returned tuple replaces
        grad_inputs.
        """
        self.node.special = True
        if self.node.node_hooks is None:
            self.node.node_hooks = []
        return RemovableHandle(self.node.node_hooks, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(grad_outputs) before this node's rule runs; a returned tuple replaces grad_outputs."""
        self.node.special = True
        if self.node.node_prehooks is None:
            self.node.node_prehooks = []
        return RemovableHandle(self.node.node_prehooks, hook)

    def _sequence_nr(self) -> int:
        return self.node.number

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_saved_"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return saved(self.node, name.removeprefix("_saved_"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other.node is self.node

    def __hash__(self) -> int:
        return id(self.node)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self.node):#x}>"


class AccumulateGrad(GradFn):
    """The place where a leaf's gradient is added up; `variable` is the leaf."""

    def __init__(self, leaf: Tensor) -> None:
        """Refer to the leaf."""
        self.variable = leaf

    def name(self) -> str:
        """Always torch::autograd::AccumulateGrad."""
        return "torch::autograd::AccumulateGrad"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """Empty: nothing comes before a leaf."""
        return ()

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's notes."""
        return self.__dict__.setdefault("notes", {})

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook((), (gradient,)) when the leaf's gradient is complete."""
        if self.variable.accumulate_hooks is None:
            self.variable.accumulate_hooks = []
        return RemovableHandle(self.variable.accumulate_hooks, lambda leaf: hook((), (leaf.grad,)) and None)

    def _sequence_nr(self) -> int:
        return 2**64 - 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return id(self.variable)

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self.variable):#x}>"


def saved(node: Node, name: str) -> Any:
    """A saved value by PyTorch's attribute name (self, other, result, exponent, ... or tensor1, ...)."""
    if node.args is None:
        raise RuntimeError(message(SECOND_TIME))
    args, out = saved_values(node, True)
    if name in ("result", "output"):
        if out is not None:
            return out
    elif name in node.params:
        return node.params[name]
    else:
        place = {
            "self": 0,
            "input": 0,
            "other": 1,
            "exponent": 1,
            "weight": 1,
            "mat2": 1,
            "vec": 1,
            "tensor": 1,
        }.get(name)
        if place is not None and place < len(args):
            a = args[place]
            if isinstance(a, Tensor | int | float | complex):
                return a
    raise AttributeError(f"'{node.name}' object has no attribute '_saved_{name}'")


def next_function(edge: Any) -> tuple[Any, int]:
    """(handle, output number) of an edge."""
    if edge is None or (isinstance(edge, Tensor) and edge.cut):
        return (None, 0)
    if isinstance(edge, Tensor):
        return (accumulator_of(edge), 0)
    if type(edge) is Slot:
        return (handle(edge.node), edge.index)
    return (handle(edge), 0)


def handle(node: Node) -> GradFn:
    """The handle of a node, the same object as long as it lives."""
    found = node.__dict__.get("handle")
    found = found() if found is not None else None
    if found is None:
        name = node.name
        kind = _types.get(name)
        if kind is None:
            kind = _types[name] = type(name, (GradFn,), {"__module__": "torch.autograd"})
        found = kind(node)
        node.__dict__["handle"] = weakref.ref(found)
    return found


def accumulator_of(leaf: Tensor) -> AccumulateGrad:
    """The handle at which a leaf's gradient is added up."""
    found = leaf.accumulator() if leaf.accumulator is not None else None
    if found is None:
        found = AccumulateGrad(leaf)
        leaf.accumulator = weakref.ref(found)
    return found


def grad_fn_of(t: Tensor) -> GradFn | None:
    """`x.grad_fn`: the handle of the node that made x, None for leaves."""
    node = t.node
    if node is None or node is LEAF:
        return None
    node = node.node if type(node) is Slot else node
    custom = node.__dict__.get("context")
    return custom if custom is not None else handle(node)


def output_aval(node: Node) -> Aval:
    """The shape and dtype of a node's only output: kept, or as its producers and its op's type facet say."""
    while node.out is None:
        if node.args is None:
            raise RuntimeError(message(SECOND_TIME))
        if node.meta is not None or any(isinstance(a, Tensor | Aval) for a in node.args):
            return produced(node)
        edge = next(e for e in node.edges if e is not None)  # neither kept nor said: equal to an argument's
        if isinstance(edge, Tensor):
            return Aval(edge.value.shape, edge.value.dtype)
        if type(edge) is Slot:
            return edge.node.out_avals[edge.index]
        node = edge
    out = node.out.value if isinstance(node.out, Tensor) else node.out
    return Aval(out.shape, out.dtype)


class GradientEdge(NamedTuple):
    """A place in the graph: a node handle and an output number."""

    node: Any
    output_nr: int
    ownership_token: Any = None

    @property
    def edge(self) -> Any:
        """The engine's edge."""
        if isinstance(self.node, AccumulateGrad):
            return self.node.variable
        node = self.node.node
        return Slot(node, self.output_nr) if node.count is not None else node


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The place where this tensor's gradient is complete, to stand for it in `autograd.grad`."""
    if tensor.node is None:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require gradients"
        )
    if tensor.node is LEAF:
        return GradientEdge(accumulator_of(tensor), 0)
    index = tensor.node.index if type(tensor.node) is Slot else 0
    return GradientEdge(grad_fn_of(tensor), index)


def zeros_for(aval: Any) -> Tensor:
    """Zeros of an aval's shape and dtype."""
    return wrap(np.zeros(aval.shape, aval.dtype))
