"""`Op`: one entry of the table, and `apply`, which runs one and records it.

Read `Op` first, then `apply`, then `pull`. The eight facets of an op are attributes of the entry, each a
function or an `Absent` with its reason; a family fills in what the entry does not give. May import `graph`
only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.dtypes import from_numpy_dtype
from pullback.graph.modes import CAREFUL, OFF, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Aval, Node, Slot
from pullback.graph.record import Packed, annotate, refuse_inference
from pullback.graph.shadows import cut_off
from pullback.graph.tensor import InferenceTensor, Tensor, edge_of, wrap

Rule = Callable[..., Any]
_new = object.__new__

FACETS = ("type", "eval", "jvp", "vjp", "batch", "depend", "lower", "zero", "samples")


class Absent:
    """A facet that an op does not have, and why."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Absent(reason={self.reason!r})"

    def __bool__(self) -> bool:
        return False


def absent(reason: str) -> Any:
    """The third state of a facet: refused for a stated reason."""
    return Absent(reason)


def reads(rule: Rule) -> tuple[bool, ...]:
    """Which positional parameters a rule reads: those whose name does not begin with an underscore.

    From this follows what a node must save and which second derivatives can be non-zero.

    >>> reads(lambda g, _out, x: g * x)
    (True, False, True)
    """
    code = rule.__code__
    return tuple(not name.startswith("_") for name in code.co_varnames[: code.co_argcount])


class Op:
    """One op: its name, its family and its facets.

    name       PyTorch's name
    family     the family that derived what the entry did not give
    eval       (*values, **params) -> value or tuple of values, on NumPy arrays: the reference semantics
    vjp        one rule per argument (None: no gradient to this argument), rule(g, out, *args, **params) ->
               cotangent; for ops
               with a variable number of tensor arguments a single rule that returns a tuple. Rules are
               written with operators
               and other ops, so the same rule runs on arrays and on tensors.
    jvp        rule(tangents, out, *args, **params) -> tangent(s) of the output; tangents has None where there
               is none
    type       (*avals, **params) -> Aval or tuple of them
    batch      (size, in_dims, values, params) -> (values, out_dims); runs on tensors of the level below
    depend     (avals, params, values) -> one boolean matrix (output entries x input entries) per argument
    zero       (out, args, params, index) -> LocalZero: where the local derivative is exactly zero or not
               finite, and why
    samples    () -> list of Sample, the inputs that drive every test
    lower      the loop body
    call       the public function with PyTorch's signature
    """

    def __init__(
        self,
        name: str,
        family: str,
        eval: Rule,
        *,
        vjp: Sequence[Rule | None] | Rule | Absent,
        backward: str | Callable[[Node], str] | None = None,
        keeps: Sequence[bool] | None = None,
        keeps_out: bool | None = None,
        outputs: int = 1,
        facets: dict[str, Any] | None = None,
    ) -> None:
        """Fill in the record; families call this and set the facets that they derive."""
        self.name = name
        self.family = family
        self.eval = eval
        self.vjp = vjp
        self.variadic = callable(vjp)
        self.differentiable = not isinstance(vjp, Absent)
        self.outputs = outputs
        self.backward = backward if backward is not None else camel(name) + "Backward0"
        self._set_saved(keeps, keeps_out)
        self.call: Callable[..., Any] = self.__call__
        missing = absent("the family has not derived it")
        for facet in ("type", "jvp", "batch", "depend", "lower", "zero", "samples"):
            setattr(self, facet, missing)
        for facet, value in (facets or {}).items():
            setattr(self, facet, value)
        TABLE[self.name] = self

    # the pull of a node recorded on two plain numbers, where the family has a shorter way: (node, g) ->
    # cotangents
    pull_number: Rule | None = None
    # is every local derivative a product of entries of the other arguments?
    multilinear = False
    # (m, out, **params) -> |local Jacobian|^T m, where the family gives it only by a list of links
    magnitude: Rule | None = None
    # facets that families or entries set
    type: Any
    jvp: Any
    batch: Any
    depend: Any
    lower: Any
    zero: Any
    samples: Any

    def _set_saved(self, keeps: Sequence[bool] | None, keeps_out: bool | None) -> None:
        vjp = self.vjp
        rules: list[Rule] = (
            [vjp] if callable(vjp) else [] if isinstance(vjp, Absent) else [r for r in vjp if r]
        )
        # what each rule reads, without g; for variadic ops keeps says it
        self.reads = None if callable(vjp) or isinstance(vjp, Absent) else [r and reads(r)[1:] for r in vjp]
        if keeps_out is None:
            keeps_out = any(reads(r)[1] for r in rules if len(reads(r)) > 1)
        self.keeps_out = keeps_out
        if keeps is None and self.reads is not None:
            n = max((len(r) - 1 for r in self.reads if r), default=0)
            keeps = [any(r and len(r) > i + 1 and r[i + 1] for r in self.reads) for i in range(n)]
        self.keeps = tuple(keeps) if keeps is not None else None
        self.saves = keeps_out or self.keeps is None or any(self.keeps)

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Run on tensors (recorded) or on plain arrays: what rules use, so that one rule serves both."""
        for a in args:
            if isinstance(a, Tensor):
                return apply(self, args, params)
        return self.eval(*args, **params)

    def keeps_arg(self, i: int) -> bool:
        """Does any rule read the value of argument i?"""
        return self.keeps is None or (i < len(self.keeps) and self.keeps[i])

    def backward_name(self, node: Node) -> str:
        """The name of grad_fn."""
        return self.backward if isinstance(self.backward, str) else self.backward(node)

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """The cotangents of the arguments, aligned with `node.edges` (None where there is none).

        `tensors` False: g and the rules' arguments are plain arrays. True: they are tensors, so the rules
        record.
        """
        args, out = saved_values(node, tensors)
        edges, params = node.edges, node.params
        vjp: Any = self.vjp
        if self.variadic:
            return vjp(g, out, *args, needs=[e is not None for e in edges], **params)
        return [
            None if e is None or rule is None else rule(g, out, *args, **params)
            for e, rule in zip(edges, vjp, strict=False)
        ]

    def free(self, node: Node) -> None:
        """Drop what a node saved, if it saved a tensor: a second pass through it is then an error."""
        if node.out is None:
            for a in node.args:
                if isinstance(a, _SAVED):
                    break
            else:
                return
        node.args = node.out = None

    def push(self, node: Node, tangents: Sequence[Any]) -> Any:
        """The tangent(s) of the output; tangents has None where an argument has none."""
        args, out = saved_values(node, True)
        if out is None:
            out = produced(node, next(t for t in tangents if t is not None))
        return self.jvp(tangents, out, *args, **node.params)

    def __repr__(self) -> str:
        return f"<op {self.name} ({self.family})>"


# a number that a rule reads counts as saved, as it does in PyTorch: (x * 3).backward() twice is an error
_SAVED = (Tensor, Packed, np.generic)

TABLE: dict[str, Op] = {}


def camel(name: str) -> str:
    """grad_fn's spelling of an op name: log_softmax -> LogSoftmax."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def saved_values(node: Node, tensors: bool) -> tuple[list[Any], Any]:
    """The arguments and output of a node, as plain values or as tensors with their places in the graph."""
    args = node.args
    if not tensors:
        return [a.value if isinstance(a, Tensor) else a for a in args], node.out
    rebuilt = [
        (a if edge_of(a) is e else _with_edge(a, e)) if isinstance(a, Tensor) else a
        for a, e in zip(args, node.edges, strict=True)
    ]
    return rebuilt, saved_output(node)


def saved_output(node: Node) -> Any:
    """The kept output as tensor(s) connected to the node."""
    out = node.out
    if out is None:
        return out
    if isinstance(out, tuple):
        return tuple(_placed(v, Slot(node, i)) for i, v in enumerate(out))
    return _placed(out, node)


def _placed(v: Any, place: Any) -> Tensor:
    # nodes of a running vmap keep batched tensors, the others values
    value = v.value if isinstance(v, Tensor) else v
    t = object.__new__(type(v) if isinstance(v, Tensor) else Tensor)
    t.value = value
    if value.dtype.kind in "fc":
        t.node = place
    return t


def produced(node: Node, like: Any = None) -> Any:
    """The aval of an output that a node did not keep; `like` stands for the arguments where it kept none of
    them either.

    (A node that keeps neither has arguments of the output's shape and dtype, or says their shapes in `meta`.)
    """
    if node.out_avals is not None:
        return node.out_avals if node.count is not None else node.out_avals[0]
    if isinstance(node.op.type, Absent):
        return None
    if node.meta is not None:
        avals = [a if m is None else Aval(*m) for a, m in zip(node.args, node.meta, strict=True)]
    else:
        avals = [Aval(a.value.shape, a.value.dtype) if isinstance(a, Tensor) else a for a in node.args]
    if not any(isinstance(a, Aval) for a in avals):
        return Aval(tuple(like.shape), like.value.dtype if isinstance(like, Tensor) else like.dtype)
    return node.op.type(*avals, **node.params)


def _with_edge(a: Tensor, edge: Any) -> Tensor:
    # the tensor was detached or re-rooted after the node saved it: give the rule its old place in the graph
    if isinstance(edge, Tensor):
        return edge
    old = object.__new__(type(a))
    old.__dict__.update({k: v for k, v in a.__dict__.items() if k in ("value", "level", "dim")})
    old.node = edge
    return old


def strip(a: Any) -> Any:
    """The argument without its place in the graph: the same value, followed by nobody."""
    if not isinstance(a, Tensor) or a.node is None:
        return a
    t = object.__new__(type(a) if a.foreign is not None else Tensor)
    t.value = a.value
    return t


def apply(op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Run an op on tensors and plain values; record it if any argument is followed."""
    values: list[Any] = []
    followed = False
    for a in args:
        if isinstance(a, Tensor):
            if a.foreign is not None:
                return a.foreign(op, args, params)
            values.append(a.value)
            if a.node is not None:
                followed = True
        else:
            values.append(a)
    if state.mode >= CAREFUL and state.tracer is not None:
        return state.tracer.take(op, args, params)
    token = quiet(QUIET)
    try:
        out = op.eval(*values, **params)
    finally:
        loud(token)
    return finish(op, args, params, out, followed)


def finish(op: Op, args: tuple[Any, ...], params: dict[str, Any], out: Any, followed: bool) -> Any:
    """Wrap an op's output, recording a node where one is needed."""
    mode = state.mode
    if followed and mode != OFF and op.differentiable and state.grad:
        node = make_node(op, args, params, out)
        t = attach(out, node)
        if mode >= CAREFUL:
            annotate(node, args)
            if state.lines:
                cut_off(op, t, args, params)  # integer results of several
        return t
    make = _inference if mode >= CAREFUL and state.inference else wrap
    t = tuple(map(make, out)) if isinstance(out, tuple) else make(out)
    if mode >= CAREFUL and state.lines:
        cut_off(op, t, args, params)
    return t


def make_node(op: Op, args: tuple[Any, ...], params: dict[str, Any], out: Any) -> Node:
    """The record of one op: edges, and of the arguments only what its rules read."""
    edges: list[Any] = []
    kept: list[Any] = []
    keeps = op.keeps_arg
    for i, a in enumerate(args):
        if isinstance(a, Tensor):
            e = a.node
            edges.append(a if e is LEAF else e)
            if keeps(i):
                if a.from_inference:
                    refuse_inference()
                kept.append(a)
            else:
                v = a.value
                known = _new(Aval)
                known.shape, known.dtype = v.shape, v.dtype
                kept.append(known)
        else:
            edges.append(None)
            kept.append(a)
    return Node(op, tuple(kept), tuple(edges), out if op.keeps_out else None, params, None)


def attach(out: Any, node: Node) -> Any:
    """Tensor(s) around the output of a recorded node; integer outputs of several are not followed."""
    if isinstance(out, tuple):
        node.count = len(out)
        node.out_avals = tuple(Aval(v.shape, v.dtype) for v in out)
        return tuple(wrap(v, Slot(node, i)) if v.dtype.kind in "fc" else wrap(v) for i, v in enumerate(out))
    return wrap(out, node if out.dtype.kind in "fc" else None)


def _inference(value: Any) -> Tensor:
    t = object.__new__(InferenceTensor)
    t.value = value
    return t


# ---------------------------------------------------------------------- what rules are made of


def is_plain(x: Any) -> bool:
    """Is x a plain array or number (not a tensor)?"""
    return not isinstance(x, Tensor)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum a cotangent over the dimensions that broadcasting added or stretched: the vjp of broadcasting."""
    have = g.shape
    if tuple(have) == tuple(shape):
        return g
    extra = len(have) - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and have[i + extra] != 1
    )
    if isinstance(g, Tensor):
        if axes:
            g = g.sum(axes, keepdim=True)
        return g.reshape(shape)
    if axes:
        g = np.add.reduce(g, axis=axes, keepdims=True)
    return g.reshape(shape)


def cast(g: Any, dtype: np.dtype[Any]) -> Any:
    """A cotangent in its argument's dtype: the real part where a complex one meets a real argument."""
    have = g.value.dtype if isinstance(g, Tensor) else g.dtype
    if have == dtype:
        return g
    if have.kind == "c" and dtype.kind != "c":
        g = g.real
        have = g.value.dtype if isinstance(g, Tensor) else g.dtype
        if have == dtype:
            return g
    if isinstance(g, Tensor):
        return g.to(dtype_of(dtype))
    return g.astype(dtype)


def dtype_of(d: np.dtype[Any]) -> Any:
    """pullback's dtype of a NumPy dtype."""
    return from_numpy_dtype(d)


def strong(g: Any, partial: Any) -> Any:
    """g * partial where an exactly zero cotangent meeting an infinite or undefined partial is zero.

    "A branch that was not selected contributes nothing": see docs/decisions/001. Plain numbers and arrays are
    tested for
    NaN after the product, which is the only sign of a clash, so the common case costs one dot product.
    """
    r = g * partial
    if isinstance(r, Tensor):
        if r.foreign is None and not has_nan(r.value):
            return r
        # only the clashes: elsewhere a zero cotangent still has a derivative, the partial
        return r.masked_fill((g == 0) & (r != r), 0.0)
    if has_nan(r):
        return np.where(g == 0, r.dtype.type(0), r)
    return r


def has_nan(r: Any) -> bool:
    """Is any entry NaN? (A sum of squares is NaN exactly if an entry is; cheaper than isnan().any().)"""
    if isinstance(r, np.ndarray):
        if r.ndim and r.dtype.kind == "f":
            flat = r.ravel()
            s = np.dot(flat, flat)
            return bool(s != s)
        return bool(np.isnan(r).any())
    return bool(r != r)
