"""`compile`: a function recorded once per input signature and run as native code.

Read `Compiled.__call__`, then `record`. May import the compiler's other modules, `func` and what stands
below.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pullback.autograd.function import Function
from pullback.compiler.build import TooLarge
from pullback.compiler.cells import NotLowered
from pullback.compiler.graph import Graph, Var
from pullback.compiler.guards import unchanged, watch
from pullback.compiler.inspection import Inspection
from pullback.compiler.passes import optimise
from pullback.compiler.plan import Mapped, Plan, build_mapped, build_plan
from pullback.compiler.trace import TracedTensor, TraceError, Tracer, trace
from pullback.dtypes import get_default_dtype
from pullback.errors import message
from pullback.func.derivatives import vjp
from pullback.func.mapping import Call
from pullback.func.pytree import LEAF, Spec, flatten, unflatten
from pullback.graph.modes import state
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap


@dataclass
class Entry:
    """A function compiled for one signature.

    captured   tensors and arrays of the function's surroundings, read anew in every call
    kinds      their shapes and dtypes: the recording holds for these only
    spec       the structure of the result; outputs that are no new tensors stand in `outputs`
    written    what the function wrote into: the place of a tensor argument, or an outside tensor; the new
               values come after the outputs
    grads      outside leaves whose .grad it set; their values come last
    """

    plan: Plan | Mapped
    captured: list[Any]
    spec: Spec
    outputs: list[Any]
    written: list[int | Tensor]
    grads: list[Tensor]
    passes: list[tuple[str, int]]
    kinds: list[Any] = field(default_factory=list[Any])
    pulls: dict[Any, Any] = field(default_factory=dict[Any, Any])

    def __post_init__(self) -> None:
        self.kinds = [kind_of(c) for c in self.captured]

    def run(self, inputs: Sequence[Tensor]) -> list[Any]:
        """The output values."""
        values = [t.value for t in inputs]
        values += [c.value if isinstance(c, Tensor | GradOf) else c for c in self.captured]
        return self.plan.run(values)

    def fits(self) -> bool:
        """Do the outside tensors still have the shapes and dtypes that were recorded?"""
        return all(kind_of(c) == k for c, k in zip(self.captured, self.kinds, strict=True))

    def overlaps(self, inputs: Sequence[Tensor]) -> bool:
        """Does it write into memory that another tensor shares? Then it runs as it is: order matters."""
        if not self.written:
            return False
        outer = {id(c): c for c in [*self.captured, *self.written] if isinstance(c, Tensor)}
        arrays = [t.value for t in (*inputs, *outer.values()) if isinstance(t.value, np.ndarray)]
        if len({id(a) for a in arrays}) == len(arrays) and all(a.base is None for a in arrays):
            return False
        into = [(inputs[w] if isinstance(w, int) else w).value for w in self.written]
        return any(sum(np.may_share_memory(w, a) for a in arrays) > 1 for w in into)

    def followed(self) -> list[Tensor]:
        """The outside tensors that autograd follows."""
        return [c for c in self.captured if isinstance(c, Tensor) and c.node is not None]


class Compiled:
    """A compiled function: call it like the function itself.

    Arguments and results are tensors or nested structures of them; other arguments are constants of the
    recording. Each new combination of shapes, dtypes and constants is recorded and compiled once. Outside
    tensors that the function reads are read anew in every call; where a name of its closure or module comes
    to stand for something else, it is recorded again (what changes inside of other objects is not noticed).
    Results are new tensors, which share no memory with arguments, unless they are arguments.
    """

    def __init__(self, function: Callable[..., Any], strict: bool = True) -> None:
        """Nothing is recorded before the first call; strict: what cannot be recorded is an error."""
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.strict = strict
        self.refused = False
        self.entries: dict[Any, Entry] = {}
        self.watched: list[Any] = []

    def __reduce__(self) -> Any:
        """Elsewhere it is recorded anew."""
        return Compiled, (self.function, self.strict)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run natively; where a tensor is followed by autograd, through a node whose vjp is compiled too."""
        leaves, spec = flatten((args, kwargs))
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        if self.refused or state.inside or state.tracer is not None:
            return self.function(*args, **kwargs)  # another transform is running: it sees the ops themselves
        try:
            entry = self.entry(leaves, spec, tensors)
        except TraceError as error:
            if self.strict:
                raise
            self.refused = True
            reason = str(error).partition("\n")[0]
            text = f"{name_of(self.function)} runs without being compiled: {reason}"
            warnings.warn(text, UserWarning, stacklevel=2)
            return self.function(*args, **kwargs)
        if entry.overlaps(tensors):
            return self.function(*args, **kwargs)
        followed = state.grad and (entry.followed() or any(t.node is not None for t in tensors))
        if followed and not entry.grads and TENSOR in entry.outputs:
            return self._followed(entry, leaves, spec, tensors)
        return self._finish(entry, tensors, [wrap(v) for v in entry.run(tensors)])

    def entry(self, leaves: list[Any], spec: Spec, tensors: list[Tensor]) -> Entry:
        """The compiled form for these arguments."""
        kinds = [(t.value.shape, t.value.dtype) if isinstance(t, Tensor) else _static(t) for t in leaves]
        key = (spec, state.grad, get_default_dtype(), self._mode(), *kinds)
        if not unchanged(self.watched):
            self.entries.clear()
        found = self.entries.get(key)
        if found is None or not found.fits():
            watched = watch(self.function)
            found = self.entries[key] = record(self.function, leaves, spec, tensors)
            # names that the function itself changes are its own business
            self.watched = [w for w in watched if unchanged([w])]
        return found

    def _mode(self) -> tuple[bool, ...]:
        """Which of a module's parts are training: it decides what they do."""
        modules: Any = getattr(self.function, "modules", None)
        return () if modules is None else tuple(m.training for m in modules())

    def __getattr__(self, name: str) -> Any:
        """A compiled module has the module's parameters, methods and hooks."""
        if name == "function":
            raise AttributeError(name)
        return getattr(self.function, name)

    def inspect(self, *args: Any, **kwargs: Any) -> Inspection:
        """The graph, the passes that fired, and the kernels with their LLVM IR and assembly.

        With arguments: for their signature; without: for the latest one. RuntimeError before the first call.
        """
        if args or kwargs:
            leaves, spec = flatten((args, kwargs))
            entry = self.entry(leaves, spec, [x for x in leaves if isinstance(x, Tensor)])
        elif self.entries:
            entry = next(reversed(self.entries.values()))
        else:
            raise RuntimeError(
                message(
                    "there is nothing to inspect yet",
                    f"{name_of(self.function)} has not been called",
                    "call it once, or pass example arguments to inspect()",
                )
            )
        return Inspection(name_of(self.function), entry.plan, entry.passes)

    def __repr__(self) -> str:
        n = len(self.entries)
        return f"<compiled {name_of(self.function)}: {n} signature{'' if n == 1 else 's'}>"

    def _finish(self, entry: Entry, tensors: list[Tensor], outs: list[Any]) -> Any:
        """The result in its structure; writes and .grad reach the tensors they belong to."""
        values = iter(outs)
        results: list[Any] = []
        for o in entry.outputs:
            if isinstance(o, Same):
                results.append(tensors[o.place] if o.argument else results[o.place])
            else:
                results.append(next(values) if o is TENSOR else o)
        for where in entry.written:
            _overwrite(tensors[where] if isinstance(where, int) else where, next(values))
        for leaf in entry.grads:
            leaf.stored_grad = next(values)
        return unflatten(results, entry.spec)

    def _followed(self, entry: Entry, leaves: list[Any], spec: Spec, tensors: list[Tensor]) -> Any:
        """The call as one node of autograd's graph."""
        if any(isinstance(t, int) or t.node is not None for t in entry.written):
            raise RuntimeError(
                message(
                    "a compiled function that writes into what is differentiated cannot be differentiated "
                    "through",
                    f"{name_of(self.function)} writes in place",
                    "return the new value instead, or call it under torch.no_grad()",
                )
            )
        outer = entry.followed()
        key = tuple(map(id, outer))
        if key not in entry.pulls:
            entry.pulls[key] = self._pull(leaves, spec, outer)
        writes: list[Tensor] = []  # such as a norm's running mean
        outs: Any = CompiledFunction.apply(entry, entry.pulls[key], writes, len(tensors), *tensors, *outer)
        return self._finish(entry, tensors, [*(outs if isinstance(outs, tuple) else [outs]), *writes])

    def _pull(self, leaves: list[Any], spec: Spec, outer: list[Tensor]) -> Compiled:
        """The compiled vjp: (cotangents, *tensors, *outer) -> their cotangents."""
        statics = [None if isinstance(x, Tensor) else x for x in leaves]
        places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]

        def run(*xs: Tensor) -> tuple[Tensor, ...]:
            new = list(statics)
            for i, x in zip(places, xs, strict=False):
                new[i] = x
            args, kwargs = unflatten(new, spec)
            with state.tracer.standing_for(outer, xs[len(places) :]):
                found, _ = flatten(self.function(*args, **kwargs))
                state.tracer.written.clear()  # the forward call has done that
                return _new_ones([state.tracer.substitutes.get(id(o), o) for o in found], xs[: len(places)])

        def pull(cotangents: tuple[Any, ...], *xs: Tensor) -> Any:
            movable = [x for x in xs if x.value.dtype.kind in "fc"]

            def on_movable(*ys: Tensor) -> Any:
                fresh = iter(ys)
                return run(*[next(fresh) if x.value.dtype.kind in "fc" else x for x in xs])

            found = iter(vjp(on_movable, *movable)[1](cotangents))
            return [next(found) if x.value.dtype.kind in "fc" else None for x in xs]

        return Compiled(pull)


class CompiledFunction(Function):
    """A compiled call in autograd's graph; backward runs the compiled vjp."""

    @staticmethod
    def forward(ctx: Any, entry: Entry, pull: Any, writes: list[Tensor], n: int, *tensors: Tensor) -> Any:
        """Run the compiled function; what it writes elsewhere is put into `writes`."""
        ctx.save_for_backward(*tensors)
        ctx.pull = pull
        outs = tuple(wrap(v) for v in entry.run(tensors[:n]))
        count = len(outs) - len(entry.written)
        writes.extend(outs[count:])
        return outs[:count] if count != 1 else outs[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """The compiled vjp."""
        return None, None, None, None, *ctx.pull(tuple(grads), *ctx.saved_tensors)


TENSOR: Any = object()  # stands in an entry's outputs where a tensor comes out


@dataclass(frozen=True)
class Same:
    """A result that is an argument, or an earlier result, itself."""

    argument: bool
    place: int


@dataclass(frozen=True)
class GradOf:
    """The .grad of an outside leaf as it is when the function is called; zeros where it has none."""

    leaf: Tensor

    @property
    def value(self) -> Any:
        """The array."""
        g = self.leaf.stored_grad
        return np.zeros_like(self.leaf.value) if g is None else g.value


def kind_of(c: Any) -> Any:
    """Shape and dtype of an outside tensor or array."""
    v = c.value if isinstance(c, Tensor | GradOf) else c
    return v.shape, v.dtype


def _new_ones(found: Sequence[Any], arguments: Sequence[Any]) -> tuple[Tensor, ...]:
    """The tensors among a function's results that are neither arguments nor there already."""
    known = {id(x) for x in arguments}
    out: list[Tensor] = []
    for o in found:
        if isinstance(o, Tensor) and id(o) not in known:
            known.add(id(o))
            out.append(o)
    return tuple(out)


def compile(
    function: Callable[..., Any] | None = None,
    *,
    fullgraph: bool | None = None,
    dynamic: Any = None,
    backend: Any = None,
    mode: Any = None,
    options: Any = None,
    disable: bool = False,
) -> Any:
    """The function as native code: recorded once per input signature, optimised, compiled through LLVM.

    function   takes and returns tensors (or nested structures of them), or a module; it must not branch in
               Python on tensors' values nor draw random numbers. Transforms compose:
               compile(func.vmap(func.grad(f))) is one kernel whose lanes are the samples. Without a function
               the result is a decorator
    fullgraph  False: a function that cannot be recorded runs as it is, with a warning (the default for
               modules); True: it is an error (the default for functions)
    disable    return the function as it is
    dynamic, backend, mode, options   PyTorch's arguments; they choose nothing here
    Gradients flow through the compiled function; its vjp is compiled at the first backward. Results agree
    with
    the uncompiled ones to a few units in the last place. TraceError (a RuntimeError) names the line where a
    value would be needed while recording.

    >>> import pullback as torch
    >>> step = torch.compile(lambda w: w - 0.1 * torch.func.grad(lambda w: ((w - 1) ** 2).sum())(w))
    >>> step(torch.tensor([0.0, 2.0]))
    tensor([0.2000, 1.8000])
    """
    del dynamic, backend, mode, options
    if function is None:
        return lambda given: compile(given, fullgraph=fullgraph, disable=disable)
    if disable:
        return function
    strict = not callable(getattr(function, "named_parameters", None)) if fullgraph is None else fullgraph
    return Compiled(function, strict)


def name_of(function: Any) -> str:
    """A function's name."""
    return getattr(function, "__name__", repr(function))


def _static(x: Any) -> Any:
    """A constant argument as part of a key; TypeError where it cannot be one."""
    try:
        hash(x)
    except TypeError:
        raise TypeError(
            message(
                f"a compiled function takes tensors and hashable constants, not {type(x).__name__}",
                "every other argument is part of the recording",
                "convert arrays with torch.from_numpy",
            )
        ) from None
    return type(x), repr(x) if isinstance(x, float | complex) else x  # NaN is one, -0.0 and 0.0 are two


def _overwrite(t: Tensor, new: Tensor) -> None:
    """A write, as seen from outside."""
    before = state.grad
    state.update(grad=False)
    try:
        t.copy_(new)
    finally:
        state.update(grad=before)


# ---------------------------------------------------------------------- recording


class Recording:
    """One run of the function on traced tensors: what it returned, wrote and took from outside."""

    def __init__(
        self,
        function: Callable[..., Any],
        leaves: list[Any],
        spec: Spec,
        avals: list[Any],
        *,
        lanes: bool = False,
    ) -> None:
        """Run the function; avals are those of its tensors; lanes: every result is a new tensor."""
        self.lanes = lanes
        self.spec: Spec = LEAF
        self.outputs: list[Any] = []
        self.written: list[int] = []
        self.tracer = trace(lambda *xs: self._run(function, leaves, spec, list(xs)), avals)

    def _run(self, function: Any, leaves: list[Any], spec: Spec, inside: list[TracedTensor]) -> list[Tensor]:
        started = [t.value.var for t in inside]
        args, kwargs = unflatten(_filled(leaves, inside), spec)
        found, self.spec = flatten(function(*args, **kwargs))
        self.outputs = [
            o if not isinstance(o, Tensor) else self._place(i, found, inside) for i, o in enumerate(found)
        ]
        self.written = [i for i, t in enumerate(inside) if t.value.var is not started[i]]
        outs = [o for o, kind in zip(found, self.outputs, strict=True) if kind is TENSOR]
        return outs + [inside[i] for i in self.written]

    def _place(self, i: int, found: list[Any], inside: list[TracedTensor]) -> Any:
        """TENSOR for a new result; `Same` for an argument and for what is a result already."""
        if self.lanes:
            return TENSOR
        for argument, known in ((True, inside), (False, found[:i])):
            for k, x in enumerate(known):
                if x is found[i]:
                    return Same(argument, k)
        return TENSOR


def record(function: Callable[..., Any], leaves: list[Any], spec: Spec, tensors: list[Tensor]) -> Entry:
    """Record a function for these arguments and compile the graph."""
    mapped = getattr(function, "mapped", None)
    if mapped is not None:
        entry = _record_mapped(mapped, leaves, spec)
        if entry is not None:
            return entry
    avals = [Aval(t.value.shape, t.value.dtype) for t in tensors]
    r = Recording(function, leaves, spec, avals)
    before = _grads_before(r.tracer)
    if before:
        # once more with a .grad in place: whether it is added to or left out, the program then says so
        stand_ins = {id(t): wrap(np.zeros(t.value.shape, t.value.dtype)) for t, _ in before}
        try:
            for t, _ in before:
                t.stored_grad = stand_ins[id(t)]
            r = Recording(function, leaves, spec, avals)
            grads = [t for t, _ in _grads_before(r.tracer)]
            news = [_traced_grad(t, r.tracer) for t in grads]
        finally:
            for t, old in before:
                t.stored_grad = old
        known = {id(g): GradOf(t) for t, _ in before if (g := stand_ins[id(t)]) is not None}
    else:
        grads, news, known, stand_ins = [], [], {}, {}
    tracer, written = r.tracer, list[int | Tensor](r.written)
    tracer.shadows.clear()  # they hold tensors, and whoever holds a tensor could change it
    while tracer.written:
        t = tracer.written.pop()
        if id(t) not in known and not _private(t, 2):  # what was made inside begins anew in every call
            written.append(t)
            tracer.graph.outputs.append(tracer.substitutes[id(t)].value.var)
    tracer.graph.outputs.extend(news)
    captured = [known.get(id(c), c) for c in outside(tracer)]
    plan, passes = planned(tracer.graph)
    return Entry(plan, captured, r.spec, r.outputs, written, grads, passes)


LONG = 500  # equations of a graph that is simplified only where it does not become one program anyway


def planned(graph: Graph) -> tuple[Plan, list[tuple[str, int]]]:
    """How the graph is run, and the passes that fired."""
    if len(graph.eqns) > LONG:
        plan = build_plan(graph, only_whole=True)
        if plan is not None:
            return plan, []
    graph, passes = optimise(graph)
    plan = build_plan(graph)
    assert plan is not None
    return plan, passes


def _record_mapped(mapped: Call, leaves: list[Any], spec: Spec) -> Entry | None:
    """A vmapped function as one kernel whose lanes are samples; None where that is not possible."""
    args, kwargs = unflatten(leaves, spec)
    if kwargs or mapped.kwargs or mapped.out_dims != 0:
        return None
    inner, dims, inner_spec, size = mapped.inputs(args)
    places = [i for i, x in enumerate(inner) if isinstance(x, Tensor)]
    avals = [Aval(_without(inner[i].value.shape, dims[i]), inner[i].value.dtype) for i in places]
    r = Recording(mapped.func, inner, Spec(tuple, (), (inner_spec, Spec(dict))), avals, lanes=True)
    tracer = r.tracer
    if r.written or tracer.written or any(o is not TENSOR for o in r.outputs):
        return None
    captured = outside(tracer)
    graph, passes = optimise(tracer.graph)
    try:
        plan = build_mapped(graph, [dims[i] for i in places] + [None] * len(captured), size)
    except (NotLowered, TooLarge):
        return None
    return Entry(plan, captured, r.spec, r.outputs, [], [], passes)


def _without(shape: tuple[int, ...], d: int | None) -> tuple[int, ...]:
    return shape if d is None else (*shape[:d], *shape[d + 1 :])


def _filled(leaves: list[Any], tensors: list[Any]) -> list[Any]:
    """The leaves with other tensors in place of theirs."""
    new = iter(tensors)
    return [next(new) if isinstance(x, Tensor) else x for x in leaves]


def _grads_before(tracer: Tracer) -> list[tuple[Tensor, Tensor | None]]:
    """The outside leaves at which a recorded backward left a .grad, each with the one it had before."""
    met = [t for t, _ in tracer.captured.values() if isinstance(t, Tensor)]
    return [(t, tracer.grads.get(id(t))) for t in met if isinstance(t.stored_grad, TracedTensor)]


def _traced_grad(leaf: Tensor, tracer: Tracer) -> Var:
    """The .grad that a recorded backward left at an outside leaf."""
    grad: Any = leaf.stored_grad
    return tracer.variable(grad)


def outside(tracer: Tracer) -> list[Any]:
    """What the graph takes from outside becomes inputs, read in every call; what nobody else can reach, and
    therefore change, stays constant.
    """
    graph: Graph = tracer.graph
    held: list[Any] = []
    for key in list(tracer.captured):
        t, v = tracer.captured.pop(key)
        graph.consts[v] = None
        if _private(t):
            graph.consts[v] = np.asarray(t.value if isinstance(t, Tensor) else t)
        else:
            del graph.consts[v]
            graph.inputs.append(v)
            held.append(t)
    return held


def _private(t: Any, held: int = 0) -> bool:
    """Is this object ours alone, held in so many other places of ours?

    (Counted: the caller's name, this argument, and getrefcount's own.)
    """
    ours = 3
    if sys.getrefcount(t) > ours + held:
        return False
    if isinstance(t, np.ndarray):
        return t.base is None
    v = t.value
    return not isinstance(v, np.ndarray) or (v.base is None and sys.getrefcount(v) <= ours)


__all__ = ["Compiled", "Entry", "TraceError", "compile"]
