"""The structural family: ops that move entries (reshape, transpose, index, cat, pad, gather).

Run the op on entry numbers and the answer is its index map: from it follow the vjp (scatter back), the jvp
(the op itself), batching
and the exact dependency pattern (`structural_facets`). Entries may give a faster vjp. Read `Structural`
first, then `view`. May
import `graph`, `families.op`, `families.structural_facets`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.families import structural_facets as derived
from pullback.families.op import TABLE, Op, Rule, apply
from pullback.graph.modes import CAREFUL, LINES, ON, state
from pullback.graph.node import LEAF, Aval, Counter, Node, Slot, next_number
from pullback.graph.record import annotate
from pullback.graph.shadows import basic, cut_off
from pullback.graph.tensor import InferenceTensor, Tensor, edge_of

_new = object.__new__
_ref = weakref.ref


class Structural(Op):
    """An op whose output entries are copies of input entries or constants."""

    def __init__(
        self,
        name: str,
        eval: Rule,
        *,
        vjp: Rule | Sequence[Rule | None] | None = None,
        is_view: bool = False,
        backward: Any = None,
        torch_name: str | None = None,
        data: Sequence[int] | None = (0,),
        keeps: Sequence[bool] | None = None,
        constants: dict[str, Any] | None = None,
        lift: Callable[..., Any] | None = None,
        samples: Sequence[Any] = (),
        outputs: int = 1,
        facets: dict[str, Any] | None = None,
    ) -> None:
        """See `structural`."""
        self.is_view = is_view
        self.torch_name = torch_name or name
        self.data = data
        self.zeroed = constants or {}
        self.lift = lift
        self.pairs: Callable[..., Any] = self._copied_pairs
        self.places: Callable[..., Any] | None = None  # where an op that adds puts its entries
        rules: Any = vjp
        if vjp is None:
            rules = [self._scatter_back]
        elif callable(vjp) and data is not None:
            rules = [vjp]
        if vjp is None or (keeps is None and data == (0,) and callable(vjp)):
            keeps = (False,)
        super().__init__(
            name,
            "structural",
            eval,
            vjp=rules,
            backward=backward,
            keeps=keeps,
            keeps_out=False,
            outputs=outputs,
        )
        # reverse sweeps on plain arrays call ops with arrays: no instance of anything is looked at then
        self.jvp = self._push
        self.type = self._type
        self.batch = self._batch
        self.depend = self._depend
        self.zero = self._zero
        self.samples = lambda: derived.make_samples(samples)
        self.lower = eval
        for facet, value in (facets or {}).items():
            setattr(self, facet, value)

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """As `Op.pull`; a single argument of which nothing is saved needs no look at what was."""
        if tensors or self.variadic or len(node.edges) > 1 or type(node.args[0]) is not Aval:
            return super().pull(node, g, tensors)
        vjp: Any = self.vjp
        return (vjp[0](g, None, node.args[0], **node.params),)

    def is_data(self, i: int) -> bool:
        """True where argument i carries entries that move, rather than saying where to."""
        return self.data is None or i in self.data

    def constants(self, params: dict[str, Any]) -> dict[str, Any]:
        """Parameters that insert constants, set to 0: what makes the op linear."""
        return {k: v for k, v in self.zeroed.items() if k in params}

    def ids(self, shape: tuple[int, ...], params: dict[str, Any]) -> Any:
        """The index map of a one-argument op.

        The flat input index that each output entry copies, -1 for a constant.
        """
        return derived.numbered(self, [shape], [None], params)[0] - 1

    def _copied_pairs(self, avals: Sequence[Any], params: dict[str, Any], values: Sequence[Any]) -> list[Any]:
        """Per argument, the (output, input) pairs of entries that are copied."""
        return derived.pairs(self, avals, params, values)

    def _scatter_back(self, g: Any, _out: Any, _x: Any, **params: Any) -> Any:
        shape = tuple(_x.shape)
        return put_ids(g, ids=self.ids(shape, params), shape=shape)

    def _push(self, tangents: Any, _out: Any, *args: Any, **params: Any) -> Any:
        return derived.push(self, tangents, args, params)

    def _type(self, *avals: Any, **params: Any) -> Any:
        return derived.type_of(self, avals, params)

    def _depend(self, avals: Any, params: Any, values: Any) -> Any:
        return derived.depend(self, avals, params, values)

    def _zero(self, i: int, _out: Any, args: Any, params: Any) -> Any:
        return derived.zero(self, i, args, params)

    def _batch(self, size: int, dims: Any, args: Any, params: Any) -> Any:
        return batch(self, size, dims, args, params)

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Run on tensors (recorded; as a view where the op is one) or on plain arrays."""
        if self.is_view:
            x = args[0]
            if not isinstance(x, Tensor):
                return self.eval(x, **params)
            return view(self, x, params) if self.outputs == 1 else several_views(self, x, params)
        for a in args:
            if isinstance(a, Tensor):
                return apply(self, args, params)
        return self.eval(*args, **params)


def structural(name: str, eval: Rule, **options: Any) -> Structural:
    """Declare a structural op: eval(*args, **params) only moves entries (and inserts constants).

    vjp        a faster rule than scattering through the index map: vjp(g, out, x, **params) with x an Aval
    (shape, dtype); a list of
               rules, one per argument, for several arguments; one rule with data=None for any number of them
    is_view    the NumPy function returns a view, and so does PyTorch's
    data       the places of the arguments whose entries move (the others are indices and masks); None: all
    of them
    constants  parameters that insert constants and the value (0) that removes them
    lift       (params, ndim) -> params for an argument with one more dimension in front: a cheap batch rule
    (None: the index map)
    samples    (shape or array, ..., params) per sample
    """
    return Structural(name, eval, **options)


# ---------------------------------------------------------------------- views


def view(op: Op, x: Tensor, params: dict[str, Any], kind: str | None = None) -> Tensor:
    """Run a view op: the result shares x's memory and version counter, and knows its base."""
    if x.foreign is not None:
        return x.foreign(op, (x,), params)
    if state.mode >= CAREFUL and state.tracer is not None:
        return state.tracer.take(op, (x,), params)
    v = x.value
    if not isinstance(v, np.ndarray):
        v = x.storage()
    return made_view(op, x, op.eval(v, **params), params, kind)


def made_view(  # noqa: C901 - views are on the hot path: one flat function
    op: Op, x: Tensor, part: Any, params: dict[str, Any], kind: str | None = None, record: bool = True
) -> Tensor:
    """The tensor around `part`, a view into x's memory that `op` gave.

    Recorded, tied to x's base and counter.
    """
    t = _new(Tensor) if not x.from_inference else _new(InferenceTensor)
    t.value = part
    node = x.node
    base = x.base
    t.base = x if base is None else base
    counter = x.counter
    if counter is None:
        counter = x.shared_counter()
    t.counter = counter
    mode = state.mode
    if node is not None:
        if not record and state.grad:
            pass
        elif mode and state.grad:
            v = x.value
            # Node(...) and Aval(...) written out: programs that pick numbers out of a vector live here
            known = _new(Aval)
            known.shape, known.dtype = v.shape, v.dtype
            t.node = made = _new(Node)
            made.op = op
            made.args = (known,)
            made.edges = (x if node is LEAF else node,)
            made.out = made.meta = None
            made.params = params
            made.number = next_number()
            if op.keeps_out:
                made.out_versions = {0: (counter, counter.start + len(counter.bumps))}
            if mode >= CAREFUL:
                annotate(made, (x,))
        else:
            # PyTorch: a view taken under no_grad still says requires_grad, as a leaf
            t.node = LEAF
            t.cut = True
    if not mode:
        t.view_kind = "no_grad"
    elif mode != ON:
        _in_mode(op, x, t, params, record)
    if kind is not None:
        t.view_kind = kind
    elif x.view_kind is not None and t.view_kind is None:
        t.view_kind = x.view_kind
    # Counter.track, without the call
    views = counter.views
    views.append(_ref(t))
    if len(views) > counter.limit:
        prune(counter)
    return t


def _in_mode(op: Op, x: Tensor, t: Tensor, params: dict[str, Any], record: bool) -> None:
    """What special modes add to a view: that it was taken under no_grad, and what it was cut off from."""
    if state.mode == LINES and not state.grad:
        t.view_kind = "no_grad"
    if state.lines and record:
        cut_off(op, t, (x,), params)


def share(x: Tensor, t: Tensor) -> None:
    """Make t a view of x's base: same counter, registered so that writes through either re-root the other."""
    t.base = x if x.base is None else x.base
    t.counter = counter = x.counter if x.counter is not None else x.shared_counter()
    if t.node is not None and t.node is not LEAF:
        t.note_output()
    counter.track(_ref(t))


def prune(counter: Counter) -> None:
    """Forget the views that are gone."""
    counter.views = [r for r in counter.views if r() is not None]
    counter.limit = 2 * len(counter.views) + 16


def several_views(op: Op, x: Tensor, params: dict[str, Any]) -> tuple[Tensor, ...]:
    """Several views of one tensor from one recorded op (unbind, split).

    None of them may be written in place.
    """
    if x.foreign is not None:
        return tuple(x.foreign(op, (x,), params))
    if state.mode >= CAREFUL and state.tracer is not None:
        return tuple(state.tracer.take(op, (x,), params))
    parts = op.eval(x.storage(), **params)
    made = tuple(made_view(op, x, part, params, "multi", record=False) for part in parts)
    if x.node is not None and state.grad:
        v = x.value
        node = Node(op, (Aval(v.shape, v.dtype),), (edge_of(x),), None, params, None)
        node.count = len(parts)
        node.out_avals = tuple(Aval(p.shape, p.dtype) for p in parts)
        if state.mode >= CAREFUL:
            annotate(node, (x,))
        for k, t in enumerate(made):
            t.node = Slot(node, k)
            t.note_output()
    elif state.lines:
        cut_off(op, made, (x,), params)
    return made


# ---------------------------------------------------------------------- moving by an index map


def _take(x: Any, *, ids: Any, lead: int = 0) -> Any:
    x = np.asarray(x)
    flat = (
        x.reshape((*x.shape[:lead], -1))
        if x.size
        else x.reshape((*x.shape[:lead], derived.size_of(x.shape[lead:])))
    )
    if flat.shape[-1] == 0:
        return np.zeros(flat.shape[:-1] + ids.shape, flat.dtype)
    r = flat[..., ids]
    return np.where(ids < 0, flat.dtype.type(0), r) if ids.size and ids.min() < 0 else r


def _put(x: Any, *, ids: Any, shape: tuple[int, ...], lead: int = 0) -> Any:
    x = np.asarray(x)
    front = x.shape[:lead]
    n, m = derived.size_of(shape), derived.size_of(front)
    x, ids = x.reshape(m, ids.size), ids.reshape(-1)
    if ids.size and ids.min() < 0:
        x, ids = x[:, ids >= 0], ids[ids >= 0]
    out = np.zeros((m, n), x.dtype)
    if ids.size <= n and not _repeats(ids, n):
        out[:, ids] = x
    elif m == 1:
        np.add.at(out[0], ids, x[0])
    else:
        np.add.at(out.T, ids, x.T)
    return out.reshape((*front, *shape))


def _repeats(ids: Any, n: int) -> bool:
    seen = np.zeros(n, bool)
    seen[ids] = True
    return int(seen.sum()) != ids.size


take_ids = structural(
    "take_ids",
    _take,
    vjp=lambda g, _out, _x, *, ids, lead=0: put_ids(g, ids=ids, shape=tuple(_x.shape)[lead:], lead=lead),
    backward="AsStridedBackward0",
    lift=lambda params, _ndim: {**params, "lead": params.get("lead", 0) + 1},
    samples=[
        ((2, 3), {"ids": np.array([[0, 5, -1], [2, 2, 4]])}),
        ((2, 3), {"ids": np.array([2, 0]), "lead": 1}),
    ],
)
basic.take = take_ids
put_ids = Structural(
    "put_ids",
    _put,
    vjp=lambda g, _out, _x, *, ids, lead=0, **_shape: take_ids(g, ids=ids, lead=lead),
    backward="PutBackward0",
    lift=lambda params, _ndim: {**params, "lead": params.get("lead", 0) + 1},
    samples=[
        ((4,), {"ids": np.array([0, 5, -1, 2]), "shape": (2, 3)}),
        ((2, 3), {"ids": np.array([0, 3, 3]), "shape": (4,), "lead": 1}),
    ],
)


def _put_pairs(avals: Any, params: dict[str, Any], _values: Any) -> list[Any]:
    # put adds what lands on one place, so its pattern is the transpose of take's
    shape, lead = tuple(params["shape"]), params.get("lead", 0)
    back = take_ids.pairs(
        [Aval((*tuple(avals[0].shape)[:lead], *shape), None)], {"ids": params["ids"], "lead": lead}, [None]
    )
    rows, cols = back[0]
    return [(cols, rows)]


put_ids.pairs = _put_pairs


# ---------------------------------------------------------------------- batching


def batch(op: Structural, size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    """One more dimension.

    Lifted parameters where the entry gives them, the index map for one-argument ops, else sample by sample.
    """
    if len(args) == 1:
        x = args[0].movedim(dims[0], 0)
        shape = tuple(x.shape)[1:]
        lifted = op.lift(params, len(shape)) if op.lift is not None else None
        if lifted is not None:
            return op(x, **lifted), 0
        out = take_ids(x, ids=op.ids(shape, params), lead=1)
        return out, 0
    results: list[Any] = []
    for b in range(size):
        one = [a if d is None else a.select(d, b) for a, d in zip(args, dims, strict=True)]
        results.append(op(*one, **params))
    return TABLE["stack"](*results, dim=0), 0


__all__ = [
    "Structural",
    "batch",
    "made_view",
    "prune",
    "put_ids",
    "several_views",
    "share",
    "structural",
    "take_ids",
    "view",
]
