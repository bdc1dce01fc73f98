"""Where a value that autograd does not follow came from, while lines are recorded.

Read `cut_off` first. An op whose result is not followed (detach, no_grad, an integer result, ...) although an
argument is, or came from one that was, leaves a *shadow node*: an ordinary `Node` with all its arguments and
its output, which `Tensor.origin` of the result refers to. `node.cut` says what cut the path where an argument
is followed; it is None on later shadow nodes. Gradients never pass through shadow nodes. Arguments that are
not followed but have an origin stand in `node.origins` of whatever uses them, recorded or shadow.

A long loop such as `mean = 0.9 * mean + 0.1 * loss.detach()` would keep every step's record, so a thread
keeps at most `NODES` shadow nodes and `BYTES` of their values; beyond that the oldest are forgotten, down to
half of it: they stay where they are, empty, with `cut` "forgotten". May import `lines`, `modes`, `node`,
`tensor`.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.graph.lines import here
from pullback.graph.modes import state
from pullback.graph.node import LEAF, Aval, Node, Slot
from pullback.graph.tensor import Tensor, edge_of, wrap

NODES, BYTES = 10_000, 1 << 28
GRAPH = 1 << 20  # what a cut is taken to keep alive beside its values: the record that led to it


class Ledger(threading.local):
    """The living shadow nodes of a thread, oldest first, and the bytes they keep (an upper estimate)."""

    def __init__(self) -> None:
        """Empty."""
        self.entries: deque[tuple[weakref.ref[Node], int]] = deque()
        self.total = 0

    def add(self, node: Node, size: int) -> None:
        """Note a new node; forget the oldest where there are too many."""
        self.entries.append((weakref.ref(node), size))
        self.total += size
        if self.total > BYTES or len(self.entries) > NODES:
            self.trim()

    def trim(self) -> None:
        """Drop the entries of nodes that are gone; forget the oldest others, down to half the bounds."""
        self.entries = alive = deque(e for e in self.entries if e[0]() is not None)
        self.total = sum(size for _, size in alive)
        while alive and (self.total > BYTES // 2 or len(alive) > NODES // 2):
            reference, size = alive.popleft()
            self.total -= size
            node = reference()
            if node is not None:
                forget(node)


ledger = Ledger()


class Basic:
    """Ops of rooms above, for values that moved without an op; the modules that declare them fill them in.

    identity  x -> x
    take      (x, ids) -> the entries of x with these flat indices
    stack     (x, y, ..., dim) -> the arguments along a new dimension
    """

    identity: Any = None
    take: Any = None
    stack: Any = None


basic = Basic()


class Known:
    """A Python number that left the record: the object itself (so that its identity stays its own), and where
    it came from.
    """

    __slots__ = ("index", "node", "value")

    def __init__(self, value: Any, node: Node, index: int | None) -> None:
        self.value = value
        self.node = node
        self.index = index  # which entry of the node's output it is; None: the only one


# by the id of the number; `leaks` fills and empties it
known: dict[int, Known] = {}


class Unlisted:
    """Stands for a function without an entry in the op table: its result has no derivative anywhere."""

    family, differentiable, saves, zero = "unlisted", False, False, False
    multilinear, magnitude = False, None

    def __init__(self, name: str) -> None:
        """PyTorch's name of the function."""
        self.name = name

    def backward_name(self, _node: Node) -> str:
        """The name that its nodes show."""
        return self.name


def unlisted(name: str, t: Any, *args: Any) -> Any:
    """Give the result of a function without derivatives its origin, while lines are recorded; returns it."""
    if state.lines:
        cut_off(Unlisted(name), t, args, {}, "discrete")
    return t


def number_origin(a: Any) -> Node | None:
    """The origin of a number that is the very object which `item()`, `tolist()` or `float()` gave."""
    found = known.get(id(a)) if known else None
    if found is None or found.value is not a:
        return None
    if found.index is None:
        return found.node
    out: Any = found.node.out
    if out is None:
        return None
    value, ids = out.reshape(-1)[found.index], np.array(found.index)
    node = Node(basic.take, (wrap(out),), (None,), value, {"ids": ids}, ((out.shape, out.dtype),))
    node.origins, node.line = (found.node,), found.node.line
    return node


def forget(node: Node) -> None:
    """Empty a shadow node: its consumers then know only that something led here."""
    node.args = node.edges = ()
    node.out = node.meta = node.origins = None
    node.cut = "forgotten"


def origins_of(args: Sequence[Any]) -> tuple[Any, ...] | None:
    """Per argument the origin of a value that is not followed (or None); None where no argument has one."""
    found: list[Any] | None = None
    for i, a in enumerate(args):
        o = a.origin if isinstance(a, Tensor) else number_origin(a)
        if o is not None:
            if found is None:
                found = [None] * len(args)
            found[i] = o
    return None if found is None else tuple(found)


def connected(args: Sequence[Any]) -> bool:
    """Is any argument followed, or has it an origin?"""
    for a in args:
        if isinstance(a, Tensor):
            if a.node is not None or a.origin is not None:
                return True
        elif number_origin(a) is not None:
            return True
    return False


def shadow(op: Any, args: Sequence[Any], out: Any, params: dict[str, Any], cut: str) -> Node:
    """The shadow node of an op that ran on `args`; it carries `cut` only where an argument is followed."""
    edges: list[Any] = []
    meta: list[Any] = []
    size = 256
    for a in args:
        if not isinstance(a, Tensor):
            edges.append(None)
            meta.append((a.shape, a.dtype) if isinstance(a, Aval) else None)
            continue
        v, e = a.value, a.node
        edges.append(None if e is None else edge_of(a))
        meta.append((v.shape, v.dtype))
        if e is not LEAF:
            size += v.nbytes if e is None else GRAPH
    node = Node(op, tuple(args), tuple(edges), out, params, tuple(meta))
    node.origins = origins_of(args)
    node.line = here(3)
    if op is basic.identity:
        node.label = cut
    if any(e is not None for e in edges):
        node.cut = cut
    outs = out if isinstance(out, tuple) else (out,)
    ledger.add(node, size + sum(v.nbytes for v in outs))
    return node


def why_cut(op: Any, out: Any) -> str:
    """What keeps autograd from following the result of an op: the value of `Node.cut`."""
    values = out if isinstance(out, tuple) else (out,)
    if op.differentiable and any(v.dtype.kind in "fc" for v in values):
        return "inference_mode" if state.inference else "discrete" if state.grad else "no_grad"
    return "integer" if op.name == "to_copy" else "discrete"


def cut_off(op: Any, t: Any, args: Sequence[Any], params: dict[str, Any], cut: str | None = None) -> None:
    """Give results that autograd does not follow their origin, where an argument is followed or has one.

    t    the tensor(s) that op(*args, **params) gave; those that are followed are left alone
    cut  why the path ends here: "detach", "data", "no_grad", "inference_mode", "integer" (a conversion to an
         integer type), "discrete" (a result without derivatives, such as argmax's or a comparison's),
         "requires_grad_(False)", "item", "numpy", ...; None: as the op and the mode say
    """
    if not connected(args):
        return
    results = t if isinstance(t, tuple) else (t,)
    if any(r.foreign is not None for r in results):
        return
    if isinstance(t, tuple):
        values = tuple(r.value for r in results)
        lost = tuple(r.value for r in results if r.node is None)
        node = shadow(op, args, values, params, cut or why_cut(op, lost or values))
        node.count, node.out_avals = len(values), tuple(Aval(v.shape, v.dtype) for v in values)
        for k, r in enumerate(results):
            if r.node is None or r.cut:
                r.origin = Slot(node, k)
        return
    if t.node is None or t.cut:
        t.origin = shadow(op, args, t.value, params, cut or why_cut(op, t.value))
