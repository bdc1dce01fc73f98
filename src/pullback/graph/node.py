"""The record: `Node` is one op that ran, `Slot` one output of an op with several, `LEAF` marks a leaf.

Read `Node` first. Everything that can be asked about a computation (vjp, jvp, pattern, why) reads these
records; there is no other graph. May import `modes` and NumPy.
"""

from __future__ import annotations

import itertools
from types import CodeType
from typing import Any

from pullback.graph.modes import ever, state

next_number = itertools.count(1).__next__


class Leaf:
    """The type of `LEAF`, which stands in `Tensor.node` of a leaf that requires grad."""

    def __repr__(self) -> str:
        return "LEAF"


LEAF = Leaf()


class Aval:
    """What is known of an argument whose value a node does not keep.

    Shape and NumPy dtype (an abstract value).
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        n = 1
        for s in self.shape:
            n *= s
        return n

    def __repr__(self) -> str:
        return f"Aval({self.shape}, {self.dtype})"


class Node:
    """One op that ran.

    op      the table entry (or a custom Function's stand-in); `op.pull` gives the cotangents of the arguments
    args    the arguments: Tensors whose values the rules read, `Aval` for the others, plain Python values as
            they are;
            None once a backward pass has freed them
    edges   where the cotangent of each argument goes: a Node, a Slot, a leaf Tensor, or None
    out     the output's value (a tuple for several), or None where no rule reads it
    params  the op's static parameters
    meta    None where every argument has the output's shape and dtype; else (shape, dtype) per argument, None
            for
            arguments that are no tensors
    number  when it ran; consumers always have a higher number than producers
    """

    # slots: a program keeps one node per op alive, and they are half as expensive to make and to collect
    __slots__ = ("__dict__", "__weakref__", "args", "edges", "meta", "number", "op", "out", "params")
    # what only few nodes need stands on the class until it is set
    count: int | None = None  # number of outputs, where there are several
    hooks: dict[int, list[Any]] | None = None  # tensor hooks per output index
    retained: dict[int, Any] | None = (
        None  # weak references of tensors that called retain_grad, per output index
    )
    node_hooks: list[Any] | None = None  # grad_fn.register_hook
    node_prehooks: list[Any] | None = None  # grad_fn.register_prehook
    out_versions: dict[int, tuple[Any, int]] | None = (
        None  # (counter, version) of outputs that may be modified
    )
    trace: str | None = None  # where it was recorded, in anomaly mode
    # where it was recorded, when lines are recorded: code object and place in it; `lines.line_of` reads it
    line: tuple[CodeType, int] | None = None
    # per argument, where a value that autograd does not follow came from
    origins: tuple[Any, ...] | None = None
    cut: str | None = None  # on a shadow node: what cut the path here, such as "detach"
    packed: dict[Any, Any] | None = None  # what saved_tensors_hooks packed
    label: str | None = None  # a grad_fn name that differs from the op's
    metadata: dict[Any, Any] | None = None
    lanes: bool = False  # recorded inside vmap: its rules run on tensors even in a plain sweep
    special: bool = False  # hooks or retained outputs: backward looks closer
    out_avals: Any = None  # shapes and dtypes of several outputs

    def __init__(self, op: Any, args: Any, edges: tuple[Any, ...], out: Any, params: Any, meta: Any) -> None:
        self.op = op
        self.args = args
        self.edges = edges
        self.out = out
        self.params = params
        self.meta = meta
        self.number = next_number()

    @property
    def name(self) -> str:
        """The name PyTorch prints, such as MulBackward0."""
        return self.label if self.label is not None else self.op.backward_name(self)

    def __repr__(self) -> str:
        return f"<Node {self.number} {self.name}>"


class Slot:
    """Output `index` of a node with several outputs."""

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int) -> None:
        self.node = node
        self.index = index


class Counter:
    """The version counter that a tensor shares with its views and `detach()`es.

    `bumps` holds the record numbers at which the memory was written, so that "was it modified after this node
    ran"
    and "which version did the node see" need nothing at record time.
    """

    __slots__ = ("base", "bumps", "limit", "places", "start", "views")

    def __init__(self) -> None:
        self.start = 0  # bumps dropped from the front of the list
        self.bumps: list[int] = []
        self.views: list[Any] = []  # weak references to the views that autograd may have to re-root
        self.limit = 16
        self.base: Any = None
        self.places: dict[int, Any] | None = None  # per bump where it was written, while lines are recorded

    @property
    def version(self) -> int:
        """How often the memory was written in place."""
        return self.start + len(self.bumps)

    def bump(self) -> None:
        """Record one write."""
        number = next_number()
        writes.last = number
        bumps = self.bumps
        bumps.append(number)
        if ever.extras and state.extras and writes.here is not None:
            self._note(number)
        if len(bumps) > 4096:
            del bumps[:2048]
            self.start += 2048

    def _note(self, number: int) -> None:
        """Remember which line of the program wrote."""
        if self.places is None:
            self.places = {}
        self.places[number] = writes.here(3)
        if len(self.places) > 4096:
            for old in list(self.places)[:2048]:
                del self.places[old]

    def writes_since(self, number: int) -> list[Any]:
        """The places of the writes after the node with this record number ran, oldest first.

        None stands for a write whose line was not recorded.
        """
        places = self.places or {}
        return [places.get(b) for b in self.bumps if b > number]

    def version_at(self, number: int) -> int:
        """The version that the node with this record number saw."""
        return self.start + sum(1 for b in self.bumps if b < number)

    def written_since(self, number: int) -> bool:
        """Was the memory written after the node with this record number ran?"""
        return bool(self.bumps) and self.bumps[-1] > number

    def track(self, reference: Any) -> None:
        """Remember a view; dead references are dropped when their number has doubled."""
        views = self.views
        views.append(reference)
        if len(views) > self.limit:
            self.views = [r for r in views if r() is not None]
            self.limit = 2 * len(self.views) + 16


class Writes:
    """The record number of the latest in-place write anywhere: nodes recorded later need no version check.

    here  (depth) -> the place in the program that is running; `lines` gives it
    """

    last = 0
    here: Any = None


writes = Writes()
