"""Custom `Function`s: a forward and a backward (and a jvp) written by the user, as one node.

Read `Function.apply` first, then `FunctionOp.pull`. `context` holds what forward and backward share,
`returned` checks what backward gets and returns. May import `graph`, `families`, `autograd.context`,
`autograd.returned`.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from pullback.autograd.context import FunctionCtx, again, context_type, save
from pullback.autograd.returned import check_count, check_gradient, grad_output
from pullback.errors import message
from pullback.families.inplace import adopt
from pullback.families.op import Op, absent
from pullback.families.structural import share
from pullback.graph.modes import CAREFUL, state
from pullback.graph.node import LEAF, Aval, Node, Slot
from pullback.graph.record import annotate
from pullback.graph.tensor import Tensor, edge_of, wrap

NEED_SETUP = (
    "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it "
    "must override the "
    "setup_context staticmethod. For more details, please see "
    "https://pytorch.org/docs/main/notes/extending.func.html"
)


class FunctionMeta(type):
    """Names the node class of a Function: its name + Backward."""

    def __call__(cls, *_args: Any, **_kwargs: Any) -> Any:
        """Warn: Functions are not instantiated."""
        warnings.warn(
            f"{cls} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the "
            "class itself. Instantiating an autograd function will raise an error in a future version of "
            "PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )
        return super().__call__()


class Function(metaclass=FunctionMeta):
    """Base class of ops with a derivative written by hand: static methods forward, backward, and optionally
    setup_context, jvp, vmap.

    Source of the conventions: PyTorch's `torch.autograd.Function`.

    >>> import pullback as torch
    >>> class Cube(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * g
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> y = Cube.apply(x)
    >>> y.backward()
    >>> y, x.grad
    (tensor(8., grad_fn=<CubeBackward>), tensor(12.))
    """

    generate_vmap_rule = False

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """Refused: call `apply` on the class."""
        raise RuntimeError(
            message(
                "Legacy autograd function with non-static forward method is deprecated. Please use "
                "new-style autograd function "
                "with static forward method. (Example: "
                "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)",
                "",
                f"call {type(self).__name__}.apply(...)",
            )
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs: forward(ctx, *args), or forward(*args) beside setup_context."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save what backward needs, apart from forward (required under torch.func transforms)."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return one gradient per argument of forward."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use "
            "it with backward mode "
            "AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Return the outputs' tangents."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """Return (outputs, out_dims) for a batch."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and record it as one node."""
        flat = _positional(cls, args, kwargs)
        batched = [a for a in flat if isinstance(a, Tensor) and a.foreign is not None]
        if batched:
            return batched[0].foreign_function(cls, flat)
        return run_function(cls, flat)


def separate_setup(cls: type[Function]) -> bool:
    """Does the class define setup_context?"""
    return cls.setup_context is not Function.setup_context


def _positional(cls: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Bind keyword arguments and defaults to forward's signature."""
    if not kwargs:
        return args
    import inspect

    signature = inspect.signature(cls.forward)
    bound = signature.bind(*args, **kwargs) if separate_setup(cls) else signature.bind(None, *args, **kwargs)
    bound.apply_defaults()
    return bound.args if separate_setup(cls) else bound.args[1:]


def run_function(
    cls: type[Function], args: tuple[Any, ...], forward: Callable[..., Any] | None = None
) -> Any:
    """Run forward (or what stands for it, beside setup_context) with recording off, then record one node for
    all outputs.
    """
    if (state.transforms or state.levels) and not separate_setup(cls):
        raise RuntimeError(NEED_SETUP)
    ctx = context_type(cls.__name__ + "Backward")()
    ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.node is not None for a in args)
    record = any(ctx.needs_input_grad) and state.grad
    before = state.grad
    state.update(grad=False)
    try:
        if separate_setup(cls):
            output = (forward or cls.forward)(*args)
            cls.setup_context(ctx, args, output)
        else:
            output = cls.forward(ctx, *args)
    finally:
        state.update(grad=before)
    outputs = output if isinstance(output, tuple) else (output,)
    node = _node(cls, ctx, args, outputs) if record else None
    results = _connect(cls, ctx, args, outputs, node)
    if node is not None:
        save(ctx, results, outputs)
        if state.mode >= CAREFUL:
            annotate(node, args)
    if state.lines:
        _forget_inside(results)
    return tuple(results) if isinstance(output, tuple) else results[0]


def _forget_inside(results: Sequence[Any]) -> None:
    """Followed outputs come from the Function's node, not from the ops inside forward."""
    for r in results:
        if isinstance(r, Tensor) and r.node is not None:
            r.origin = None


def _node(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], outputs: Sequence[Any]) -> Node:
    kept = tuple(Aval(a.value.shape, a.value.dtype) if isinstance(a, Tensor) else a for a in args)
    edges = tuple(edge_of(a) if isinstance(a, Tensor) else None for a in args)
    node = Node(FunctionOp.of(cls), kept, edges, None, {}, None)
    node.label = cls.__name__ + "Backward"
    node.lanes = node.special = any(isinstance(a, Tensor) and a.foreign is not None for a in args)
    node.__dict__["context"], node.__dict__["function"] = ctx, cls
    node.out_avals = tuple(
        Aval(o.value.shape, o.value.dtype) if isinstance(o, Tensor) else None for o in outputs
    )
    if len(outputs) > 1:
        node.count = len(outputs)
    ctx._node = weakref.ref(node)
    return node


def _dirty(ctx: FunctionCtx, outputs: Sequence[Any]) -> set[int]:
    """The inputs that forward changed in place; RuntimeError unless it returned them all."""
    dirty = {id(t) for t in ctx._dirty}
    unreturned = dirty - {id(o) for o in outputs}
    if unreturned:
        raise RuntimeError(
            message(
                "Some elements marked as dirty during the forward method were not returned as output. The "
                "inputs that are modified "
                "inplace must all be outputs of the Function."
            )
        )
    return dirty


def _connect(
    cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], outputs: Sequence[Any], node: Node | None
) -> list[Any]:
    """Give the outputs their place in the graph."""
    dirty = _dirty(ctx, outputs)
    inputs = {id(a) for a in args if isinstance(a, Tensor)}
    fixed = {id(t) for t in ctx._no_gradient}
    results: list[Any] = []
    for i, o in enumerate(outputs):
        if not isinstance(o, Tensor):
            results.append(o)
            continue
        place = None if node is None else (Slot(node, i) if node.count is not None else node)
        if id(o) in dirty:
            if o.foreign is None:
                _write_back(o, place)
            elif place is not None:
                o.node = place
            results.append(o)
            continue
        t = o
        if o.foreign is not None:
            t = again(o)
        elif id(o) in inputs or (o.base is not None and id(o.base) in inputs):
            t = wrap(o.storage())
            share(o, t)
            t.view_kind = f"custom:{i}:{cls.__name__}"
        if id(o) in fixed or t.value.dtype.kind not in "fc":
            t.node = None
        elif place is not None:
            t.node = place
        results.append(t)
    return results


def _write_back(o: Tensor, place: Any) -> None:
    if o.node is LEAF and place is not None:
        raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
    adopt(o, wrap(o.value, place))


class FunctionOp(Op):
    """The op behind a Function's nodes: its rules call the user's methods."""

    _made: ClassVar[weakref.WeakKeyDictionary[type[Function], FunctionOp]] = weakref.WeakKeyDictionary()

    def __init__(self, cls: type[Function]) -> None:  # pyright: ignore[reportMissingSuperCall]
        """One per Function class; not part of the table."""
        self.name, self.family = cls.__name__, "custom"
        self.backward = cls.__name__ + "Backward"
        self.saves, self.keeps_out, self.keeps, self.reads = True, False, (), None
        self.differentiable, self.variadic, self.outputs = True, True, 1
        self.vjp = self.jvp = absent("the user's own methods")

    @classmethod
    def of(cls, function: type[Function]) -> FunctionOp:
        """The op of a Function class."""
        found = cls._made.get(function)
        if found is None:
            found = cls._made[function] = FunctionOp(function)
        return found

    def keeps_arg(self, i: int) -> bool:  # noqa: ARG002 - the interface's argument
        """The context keeps what backward needs, not the node."""
        return False

    def free(self, node: Node) -> None:
        """Drop what the context saved."""
        ctx = node.__dict__["context"]
        if ctx._entries:
            ctx._entries = None

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """Call the user's backward on tensors and check what it returns."""
        ctx: FunctionCtx = node.__dict__["context"]
        cls: type[Function] = node.__dict__["function"]
        given = [
            grad_output(ctx, c, aval, tensors)
            for c, aval in zip(g if node.count else [g], node.out_avals, strict=True)
        ]
        rule = cls.backward if cls.backward is not Function.backward else cls.vjp
        returned = rule(ctx, *given)
        returned = returned if isinstance(returned, tuple) else (returned,)
        returned = check_count(self.backward, returned, len(node.edges))
        return [
            None if e is None or r is None else check_gradient(self.backward, i, r, a, tensors)
            for i, (e, r, a) in enumerate(zip(node.edges, returned, node.args, strict=True))
        ]

    def push(self, node: Node, tangents: Sequence[Any]) -> Any:
        """Call the user's jvp; missing tangents are zeros unless the context asked for None."""
        cls: type[Function] = node.__dict__["function"]
        ctx: FunctionCtx = node.__dict__["context"]
        given = [
            grad_output(ctx, t, a, True) if hasattr(a, "dtype") else t
            for t, a in zip(tangents, node.args, strict=True)
        ]
        ctx._pushing = True
        try:
            returned = cls.jvp(ctx, *given)
        finally:
            ctx._pushing = False
        if node.count is None:
            return returned[0] if isinstance(returned, tuple) else returned
        return returned if isinstance(returned, tuple) else (returned,)


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a backward whose result cannot be differentiated again: doing so is an error instead of a wrong
    gradient.
    """

    @functools.wraps(function)
    def once(ctx: Any, *grads: Any) -> Any:
        followed = state.grad and any(isinstance(g, Tensor) and g.node is not None for g in grads)
        before = state.grad
        state.update(grad=False)
        try:
            outputs = function(ctx, *grads)
        finally:
            state.update(grad=before)
        if not followed:
            return outputs
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        marked = tuple(_refusing(o) if isinstance(o, Tensor) else o for o in several)
        return marked if isinstance(outputs, tuple) else marked[0]

    return once


class _Refuse(Op):
    def __init__(self) -> None:  # pyright: ignore[reportMissingSuperCall]
        self.name, self.family, self.backward = "error", "custom", "Error"
        self.saves, self.keeps_out, self.keeps, self.reads, self.variadic = False, False, (), None, True
        self.differentiable = True

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:  # noqa: ARG002 - the interface's arguments
        raise RuntimeError(
            message(
                "trying to differentiate twice a function that was marked with @once_differentiable",
                "",
                "remove the decorator if the backward is itself differentiable",
            )
        )


_refuse = _Refuse()


def _refusing(o: Tensor) -> Tensor:
    return wrap(o.value, Node(_refuse, (), (), None, {}, None))
