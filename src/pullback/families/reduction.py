"""The reduction family: ops that work along some dimensions and treat every line along them alike.

A *fiber* is the entries of the input along the reduced dimensions with the other indices fixed; output
entries depend on the entries of one fiber only. Three shapes of output: one entry per fiber (`reduction`), a
fiber of the same length (`scan`), and entries that were picked, with their indices (`picking`). An entry
gives eval and vjp; type, jvp, batch, depend, zero and samples follow (`reduction_facets`). Read `reduction`
first, then `fibers`, what rules are made of. May import `graph`, `families.op`, `families.calls`,
`families.fibers`, `families.reduction_facets`.

Every op takes one tensor and `dim`: None for all dimensions, a tuple (empty: none), or for scans and
selections one integer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.families import reduction_facets
from pullback.families.calls import write_out
from pullback.families.fibers import choose, lifted_shape, over, put_along, spread
from pullback.families.op import Absent, Op, Rule, apply, has_nan
from pullback.graph.modes import CAREFUL, LINES, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Aval, Node
from pullback.graph.record import lined
from pullback.graph.tensor import Parameter, Tensor

F32, F64 = np.dtype("f4"), np.dtype("f8")
_new = object.__new__
UNSET: Any = object()  # stands for an argument that was not given, where None means something


class FiberOp(Op):
    """An op that works on each fiber along `dim` alike.

    linear    the output is a linear function of the input
    pattern   "all": an output depends on every entry of its fiber; "below": output k on the entries up to k
    picks     the outputs are copies of input entries
    notes     what the zero facet says: why_zero, why_nonfinite
    """

    def __init__(
        self,
        name: str,
        eval: Rule,
        vjp: Rule | Absent,
        *,
        layout: str,
        linear: bool = False,
        pattern: str = "all",
        picks: bool = False,
        outputs: int = 1,
        backward: Any = None,
        notes: dict[str, str] | None = None,
        samples: Callable[[], list[Any]] | None = None,
        facets: dict[str, Any] | None = None,
    ) -> None:
        """See `reduction`, `scan` and `picking`."""
        self.layout = layout
        self.linear = linear
        self.pattern = pattern
        self.picks = picks
        self.notes = notes or {}
        rules = vjp if isinstance(vjp, Absent) else [vjp]
        super().__init__(name, "reduction", eval, vjp=rules, backward=backward, outputs=outputs)
        if layout == "reduce" and not (linear or picks or isinstance(vjp, Absent)):
            self.vjp = [_strong(vjp)]
        derived = reduction_facets.derive(self)
        given = {} if samples is None else {"samples": samples}
        lower = {"lower": eval}
        for facet, value in {**lower, **derived, **given, **(facets or {})}.items():
            setattr(self, facet, value)


def _strong(rule: Rule) -> Rule:
    """The rule with the strong zero: a cotangent 0 stays 0 where the partial is infinite or undefined."""

    def strong_rule(g: Any, out: Any, x: Any, **params: Any) -> Any:
        r = rule(g, out, x, **params)
        if r is None or (isinstance(r, Tensor) and r.foreign is not None):
            return r
        if not has_nan(r.value if isinstance(r, Tensor) else r):
            return r
        return choose(spread(over(g, x.shape, params["dim"]) != 0, r.shape), r)

    return strong_rule


def reduction(name: str, eval: Rule, vjp: Rule | Absent, **options: Any) -> FiberOp:
    """Declare an op with one output entry per fiber: eval(x, *, dim, keepdim), vjp(g, out, x, *, ...).

    g arrives in the output's shape; `over` puts it next to the fibers. An `Absent` vjp: integer or boolean
    outputs.
    """
    return FiberOp(name, eval, vjp, layout="reduce", **options)


def scan(name: str, eval: Rule, vjp: Rule, **options: Any) -> FiberOp:
    """Declare an op whose output has the input's shape: eval(x, *, dim, ...) with one integer `dim`."""
    return FiberOp(name, eval, vjp, layout="scan", **options)


def picking(name: str, pick: Rule, **options: Any) -> FiberOp:
    """Declare an op that picks entries: pick(x, *, dim, ...) -> their indices, which are the second output.

    The dimension is dropped afterwards where the op has a `keepdim` that is False. The gradient goes to the
    picked entries.
    """

    def vjp(g: Any, out: Any, _x: Any, *, dim: int, keepdim: bool = True, **_params: Any) -> Any:
        c, index, shape = g[0], out[1], tuple(_x.shape)
        if not keepdim and shape:
            lifted = lifted_shape(shape, dim)
            c, index = c.reshape(lifted), index.reshape(lifted)
        return put_along(c, index, dim, shape)

    return FiberOp(name, picked(pick), vjp, layout="select", picks=True, outputs=2, **options)


def picked(pick: Rule) -> Rule:
    """The evaluation of a picking op: x -> (the picked entries, their indices)."""

    def eval_(x: Any, *, dim: int, **params: Any) -> Any:
        line = x.reshape(-1) if x.ndim == 0 else x
        index = pick(line, dim=dim, **params)
        values = np.take_along_axis(line, index, dim)
        if x.ndim == 0:
            return values.reshape(()), index.reshape(())
        if params.get("keepdim", True):
            return values, index
        return values.squeeze(dim), index.squeeze(dim)

    return eval_


def run(op: Op, input: Tensor, params: dict[str, Any], out: Any = None) -> Any:
    """Run and record a single-output op; write into `out=` where given."""
    t = apply(op, (input,), params)
    if out is None:
        return t
    return write_out(op, out, t, (input,))


def labelled(t: Tensor, name: str) -> Tensor:
    """Give a composite's result the grad_fn name that PyTorch shows for it."""
    if type(t.node) is Node:
        t.node.label = name
    return t


# ---------------------------------------------------------------------- hot path


def fast_all(
    name: str, op: FiberOp, every: Callable[[Any], Any], general: Callable[..., Any]
) -> Callable[..., Any]:
    """The call of an op that reduces everything when given no arguments: unwrapped for float tensors."""
    params: dict[str, Any] = {"dim": None, "keepdim": False}

    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        if (type(input) is Tensor or type(input) is Parameter) and not args and not kwargs:
            v = input.value
            d = v.dtype
            mode = state.mode
            if (d is F32 or d is F64) and mode < CAREFUL and v.size:
                r = every(v)
                t = _new(Tensor)
                t.value = r
                e = input.node
                if e is not None and mode:
                    t.node = Node(op, (input,), (input if e is LEAF else e,), r, params, None)
                return t
            if (d is F32 or d is F64) and mode == LINES and v.size:
                return lined(op, call, (input,), (input,), params)
        return general(input, *args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return call


def fast_total(
    name: str,
    op: FiberOp,
    every: Callable[[Any], Any],
    along: Callable[[Any, Any, bool], Any],
    general: Callable[..., Any],
) -> Callable[..., Any]:
    """The public call of `sum` and `mean`: unwrapped for plain float tensors, `general` for everything else.

    every(v) reduces a whole array, along(v, dim, keepdim) one dimension; neither is checked or reads its
    argument again later.
    """
    all_params: dict[str, Any] = {"dim": None, "keepdim": False}

    def call(input: Any, dim: Any = UNSET, keepdim: Any = False, **kwargs: Any) -> Any:
        if (type(input) is Tensor or type(input) is Parameter) and not kwargs:
            v = input.value
            d = v.dtype
            mode = state.mode
            if (d is F32 or d is F64) and mode < CAREFUL:
                if dim is UNSET and keepdim is False:
                    params = all_params
                elif type(dim) is int and type(keepdim) is bool and -v.ndim <= dim < v.ndim:
                    params = {"dim": (dim % v.ndim,), "keepdim": keepdim}
                elif dim is UNSET:
                    return general(input, keepdim=keepdim)
                else:
                    return general(input, dim, keepdim)
                token = quiet(QUIET)
                try:
                    r = every(v) if params is all_params else along(v, dim, keepdim)
                finally:
                    loud(token)
                t = _new(Tensor)
                t.value = r
                e = input.node
                if e is not None and mode:
                    t.node = Node(op, (Aval(v.shape, d),), (input if e is LEAF else e,), None, params, None)
                return t
            if (d is F32 or d is F64) and mode == LINES and (dim is UNSET or type(dim) is int):
                along_one = type(dim) is int and v.ndim > 0
                params = {"dim": (dim % v.ndim,), "keepdim": keepdim} if along_one else all_params
                return lined(op, call, (input, dim, keepdim), (input,), params)
        if dim is UNSET:
            return general(input, keepdim=keepdim, **kwargs)
        return general(input, dim, keepdim=keepdim, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = general.__doc__
    return call
