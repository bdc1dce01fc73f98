"""The table entries `scan`, `while_loop` and `cond`: loops and branches whose bodies are graphs.

    scan(*captured, *carry, *xs, body=, captured=, carries=, length=, reverse=, history=) -> (*carry, *ys)
        body: (*captured, *carry, *x) -> (*carry, *y); the last `history` ys are the carry that came in, which
        derivatives read instead of running the loop again
    while_loop(*captured, *carry, cond=, body=, captured=) -> carry
        cond: (*captured, *carry) -> boolean; body: (*captured, *carry) -> carry
    cond(pred, *operands, true=, false=) -> outputs of the branch

Derivatives and batches of an op are the same op with a body that is recorded anew: the derivative or the
batch of the old one. Read `Scan`, then `scan_vjp`. May import `compiler.body`, `compiler.control_lower` and
what stands below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.compiler.body import closed_body, flow, interpret, mapped, on_arrays, typed
from pullback.compiler.control_lower import lower_cond, lower_scan, lower_while
from pullback.compiler.control_samples import cond_samples, scan_samples, while_samples
from pullback.compiler.control_tools import (
    Cut,
    Tensors,
    aval_of,
    floating,
    in_every_lane,
    lanes_first,
    like,
    picked,
    pulled,
    pushed,
    row,
    settled,
    spread,
)
from pullback.compiler.graph import Graph, Var
from pullback.errors import message
from pullback.families.op import Op, absent
from pullback.graph.modes import state
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor
from pullback.ops.select import where

# runs a graph: (graph, arrays) -> arrays
Run = Callable[[Graph, Sequence[Any]], list[Any]]

# ---------------------------------------------------------------------- scan


class Scan(Op):
    """The op `scan`: where autograd follows an operand it keeps the carry of every round."""

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Run or record; the kept carries are not part of the result."""
        followed = any(isinstance(a, Tensor) and a.node is not None for a in args)
        if not (followed and state.grad) or params["history"]:
            return super().__call__(*args, **params)
        k = params["carries"]
        outs = super().__call__(*args, **with_history(params))
        return outs[: len(outs) - k] if k else outs


def with_history(params: dict[str, Any]) -> dict[str, Any]:
    """The same loop, which also gives the carries that came into each round."""
    body, first, k = params["body"], params["captured"], params["carries"]
    kept = Graph(body.inputs, body.consts, body.eqns, [*body.outputs, *body.inputs[first : first + k]])
    return {**params, "body": kept, "history": k}


def history_of(out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """The carries of all rounds, computed again where the loop did not keep them."""
    k = params["carries"]
    if k and not params["history"]:
        out = scan_op(*args, **with_history(params))
    return list(out[len(out) - k :]) if k else []


def scan_eval(*args: Any, **params: Any) -> Any:
    """The loop on arrays."""
    return scan_rounds(on_arrays, args, params)


def scan_rounds(run: Run, args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
    """The loop on arrays, whoever runs the body."""
    body, k, n = params["body"], params["carries"], params["length"]
    captured, carry, xs = Cut(params["captured"], k, len(args))(args)
    rounds: list[list[Any]] = []
    for t in reversed(range(n)) if params["reverse"] else range(n):
        outs = run(body, [*captured, *carry, *(x[t] for x in xs)])
        carry = outs[:k]
        rounds.append(outs[k:])
    if params["reverse"]:
        rounds.reverse()
    if not n:
        return *carry, *(np.zeros((0, *v.shape), v.dtype) for v in body.outputs[k:])
    return *carry, *(np.stack(column) for column in zip(*rounds, strict=True))


def scan_type(*avals: Any, **params: Any) -> Any:
    """The carry's shapes, then those of the ys with the rounds in front."""
    k, n = params["carries"], params["length"]
    first = params["captured"] + k
    outs = typed(params["body"], [*avals[:first], *map(row, avals[first:])])
    return *(Aval(v.shape, v.dtype) for v in outs[:k]), *(Aval((n, *v.shape), v.dtype) for v in outs[k:])


def scan_vjp(g: Any, out: Any, *args: Any, needs: Any, **params: Any) -> Any:
    """A loop the other way round, whose carry is the cotangent of the carry and sums for what is
    captured.
    """
    body, m, k = params["body"], params["captured"], params["carries"]
    moving = [floating(v) for v in body.outputs[:k]]  # the carries that have cotangents
    used = [floating(v) and c is not None for v, c in zip(body.outputs[k:], g[k:], strict=True)]
    wanted = [bool(n) and floating(v) for n, v in zip(needs, body.inputs, strict=True)]
    wanted[m : m + k] = moving
    cut = Cut(m, sum(wanted[:m]), sum(moving), k, len(args) - m - k, sum(used))

    def back(*ins: Tensor) -> Tensors:
        captured, sums, cts, carry, x, y_cts = cut(ins)
        found = pulled(body, wanted, [*moving, *used], [*captured, *carry, *x], [*cts, *y_cts])
        return [*(a + b for a, b in zip(sums, found, strict=False)), *found[len(sums) :]]

    captured, carry, xs = Cut(m, k, len(args))(args)
    history = history_of(out, args, params)
    sums = [like(aval_of(a), None) for a in picked(captured, wanted[:m])]
    cts = [like(aval_of(a), c) for a, c in zip(picked(carry, moving), picked(g[:k], moving), strict=True)]
    stacked = [*history, *xs, *picked(g[k:], used)]
    avals = [*map(aval_of, (*captured, *sums, *cts)), *map(row, stacked)]
    results = scan_op(
        *captured, *sums, *cts, *stacked, body=closed_body(back, avals), captured=m, history=0,
        carries=len(sums) + len(cts), length=params["length"], reverse=not params["reverse"],
    )  # fmt: skip
    return spread(results, wanted)


def scan_jvp(tangents: Any, out: Any, *args: Any, **params: Any) -> Any:
    """A loop along the kept carries, whose own carry is the tangent of the carry."""
    body, m, k = params["body"], params["captured"], params["carries"]
    moving = [floating(v) for v in body.outputs[:k]]
    given = [floating(v) for v in body.outputs]
    flags = [t is not None for t in tangents]
    flags[m : m + k] = moving
    rest = len(args) - m - k
    cut = Cut(m, sum(flags[:m]), sum(moving), k, rest, sum(flags[m + k :]))

    def forward(*ins: Tensor) -> Tensors:
        captured, t_captured, t_carry, carry, x, t_x = cut(ins)
        _, found = pushed(body, flags, given, [*captured, *carry, *x], [*t_captured, *t_carry, *t_x])
        return found

    captured, carry, xs = Cut(m, k, rest)(args)
    t_captured, t_carry, t_xs = Cut(m, k, rest)(tangents)
    start = [like(aval_of(a), t) for a, t in zip(picked(carry, moving), picked(t_carry, moving), strict=True)]
    fixed = [*captured, *picked(t_captured, flags[:m])]
    stacked = [*history_of(out, args, params), *xs, *picked(t_xs, flags[m + k :])]
    avals = [*map(aval_of, (*fixed, *start)), *map(row, stacked)]
    results = scan_op(
        *fixed, *start, *stacked, body=closed_body(forward, avals), captured=len(fixed), history=0,
        carries=len(start), length=params["length"], reverse=params["reverse"],
    )  # fmt: skip
    return tuple(spread(results, given))


def scan_batch(size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    """One loop over all lanes; what is the same in all of them stays so."""
    body, m, k = params["body"], params["captured"], params["carries"]
    captured, carry, xs = Cut(m, k, len(args))(args)
    d_captured, d_carry, d_xs = Cut(m, k, len(args))(dims)
    before, after = [d is not None for d in d_captured], [d is not None for d in d_xs]
    moving = settled(body, before, [d is not None for d in d_carry], after)
    flags = [*before, *moving, *after]
    outs = [*moving, *flow(body, flags)[k:]]
    captured = [lanes_first(a, d) for a, d in zip(captured, d_captured, strict=True)]
    carry = [in_every_lane(a, d, size) if f else a for a, d, f in zip(carry, d_carry, moving, strict=True)]
    xs = [lanes_first(a, d) if d is None else lanes_first(a, d).movedim(0, 1)
          for a, d in zip(xs, d_xs, strict=True)]  # fmt: skip
    function = mapped(lambda *ins: interpret(body, ins), size, flags, outs)
    new = closed_body(function, [*map(aval_of, (*captured, *carry)), *map(row, xs)])
    results = scan_op(*captured, *carry, *xs, **{**params, "body": new})
    places = [0 if f else None for f in outs[:k]] + [1 if f else None for f in outs[k:]]
    return tuple(results), tuple(places)


# ---------------------------------------------------------------------- while_loop


def while_eval(*args: Any, **params: Any) -> Any:
    """The loop on arrays."""
    return while_rounds(on_arrays, args, params)


def while_rounds(run: Run, args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
    """The loop on arrays, whoever runs its graphs."""
    m = params["captured"]
    fixed, carry = list(args[:m]), list(args[m:])
    while bool(run(params["cond"], [*fixed, *carry])[0]):
        carry = run(params["body"], [*fixed, *carry])
    return tuple(carry)


def while_type(*avals: Any, cond: Graph, body: Graph, captured: int) -> Any:
    """The carry's."""
    del cond, captured
    return tuple(typed(body, avals))


def while_vjp(g: Any, _out: Any, *_args: Any, needs: Any, **_params: Any) -> Any:
    """Refused: the number of rounds is not known, so nobody knows how many carries to keep."""
    del g, needs
    raise RuntimeError(
        message(
            "while_loop has no derivative in reverse mode in a compiled function",
            "its number of rounds is not known when it is recorded, so the carries cannot be kept",
            "use pullback.func.scan with a fixed number of rounds and torch.where to stop early, or forward "
            "mode (jvp, jacfwd)",
        )
    )


def while_jvp(tangents: Any, _out: Any, *args: Any, cond: Graph, body: Graph, captured: int) -> Any:
    """The loop with the tangents in its carry."""
    k = len(args) - captured
    moving = [floating(v) for v in body.outputs]
    flags = [*(t is not None for t in tangents[:captured]), *moving]
    cut = Cut(captured, sum(flags[:captured]), k, sum(moving))

    def step(*ins: Tensor) -> Tensors:
        fixed, t_fixed, carry, t_carry = cut(ins)
        new, found = pushed(body, flags, moving, [*fixed, *carry], [*t_fixed, *t_carry])
        return [*new, *found]

    fixed, carry = args[:captured], args[captured:]
    t_fixed = picked(tangents[:captured], flags[:captured])
    start = [like(aval_of(a), t) for a, t in
             zip(picked(carry, moving), picked(tangents[captured:], moving), strict=True)]  # fmt: skip
    avals = [*map(aval_of, (*fixed, *t_fixed, *carry, *start))]
    test = unread(cond, captured, [aval_of(t) for t in t_fixed], [aval_of(t) for t in start])
    results = while_op(
        *fixed,
        *t_fixed,
        *carry,
        *start,
        cond=test,
        body=closed_body(step, avals),
        captured=captured + len(t_fixed),
    )
    return tuple(spread(results[k:], moving))


def unread(graph: Graph, place: int, middle: Sequence[Aval], end: Sequence[Aval]) -> Graph:
    """A graph with further inputs, at a place and at the end, that it does not read."""
    more = [[Var(a.shape, a.dtype) for a in part] for part in (middle, end)]
    inputs = [*graph.inputs[:place], *more[0], *graph.inputs[place:], *more[1]]
    return Graph(inputs, graph.consts, graph.eqns, graph.outputs)


def while_batch(size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    """One loop until the last lane ends; lanes that have ended keep their carry."""
    cond, body, m = params["cond"], params["body"], params["captured"]
    before = [d is not None for d in dims[:m]]
    moving = settled(body, before, [d is not None for d in dims[m:]], [])
    split = flow(cond, [*before, *moving])[0]
    if split:
        moving = [True] * len(moving)
    flags = [*before, *moving]
    fixed = [lanes_first(a, d) for a, d in zip(args[:m], dims[:m], strict=True)]
    carry = [
        in_every_lane(a, d, size) if f else a for a, d, f in zip(args[m:], dims[m:], moving, strict=True)
    ]

    def one(*ins: Tensor) -> Tensors:
        new = interpret(body, ins)
        if not split:
            return new
        running = interpret(cond, ins)[0]
        return [where(running, a, b) for a, b in zip(new, ins[m:], strict=True)]

    def test(*ins: Tensor) -> Tensors:
        running = mapped(lambda *xs: interpret(cond, xs), size, flags, [split])(*ins)[0]
        return [running.any() if split else running]

    avals = [*map(aval_of, (*fixed, *carry))]
    results = while_op(
        *fixed, *carry, cond=closed_body(test, avals), captured=m,
        body=closed_body(mapped(one, size, flags, moving), avals),
    )  # fmt: skip
    return tuple(results), tuple(0 if f else None for f in moving)


# ---------------------------------------------------------------------- cond


def cond_eval(*args: Any, **params: Any) -> Any:
    """The branch on arrays."""
    return branch_taken(on_arrays, args, params)


def branch_taken(run: Run, args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
    """The branch on arrays, whoever runs it."""
    return tuple(run(params["true" if bool(args[0]) else "false"], args[1:]))


def cond_type(_pred: Any, *avals: Any, true: Graph, false: Graph) -> Any:
    """What both branches return."""
    del false
    return tuple(typed(true, avals))


def cond_vjp(g: Any, _out: Any, pred: Any, *args: Any, needs: Any, true: Graph, false: Graph) -> Any:
    """A branch between the branches' vjps."""
    given = [floating(v) and c is not None for v, c in zip(true.outputs, g, strict=True)]
    wanted = [bool(n) and floating(v) for n, v in zip(needs[1:], true.inputs, strict=True)]
    cts = picked(g, given)
    avals = [*map(aval_of, (*args, *cts))]
    n = len(args)
    back = [closed_body(lambda *ins, b=b: pulled(b, wanted, given, list(ins[:n]), list(ins[n:])), avals)
            for b in (true, false)]  # fmt: skip
    return [None, *spread(cond_op(pred, *args, *cts, true=back[0], false=back[1]), wanted)]


def cond_jvp(tangents: Any, _out: Any, pred: Any, *args: Any, true: Graph, false: Graph) -> Any:
    """A branch between the branches' jvps."""
    flags = [t is not None for t in tangents[1:]]
    given = [floating(v) for v in true.outputs]
    moving = picked(tangents[1:], flags)
    avals = [*map(aval_of, (*args, *moving))]
    n = len(args)
    forward = [closed_body(lambda *ins, b=b: pushed(b, flags, given, list(ins[:n]), list(ins[n:]))[1], avals)
               for b in (true, false)]  # fmt: skip
    return tuple(spread(cond_op(pred, *args, *moving, true=forward[0], false=forward[1]), given))


def cond_batch(size: int, dims: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Where the lanes agree on the branch it is taken by all; else both run and each lane selects."""
    true, false = params["true"], params["false"]
    flags = [d is not None for d in dims]
    values = [lanes_first(a, d) for a, d in zip(args, dims, strict=True)]
    if flags[0]:

        def choose(pred: Tensor, *ins: Tensor) -> Tensors:
            return [
                where(pred, a, b) for a, b in zip(interpret(true, ins), interpret(false, ins), strict=True)
            ]

        outs = mapped(choose, size, flags, [True] * len(true.outputs))(*values)
        return tuple(outs), (0,) * len(outs)
    found = [a or b for a, b in zip(flow(true, flags[1:]), flow(false, flags[1:]), strict=True)]
    avals = [aval_of(v) for v in values[1:]]
    new = [closed_body(mapped(lambda *ins, b=b: interpret(b, ins), size, flags[1:], found), avals)
           for b in (true, false)]  # fmt: skip
    outs = cond_op(*values, true=new[0], false=new[1])
    return tuple(outs), tuple(0 if f else None for f in found)


# ---------------------------------------------------------------------- entries

_DEPEND = absent("which entries reach which depends on the body; the ops inside it say it one by one")
_ZERO = absent("zeros arise at the ops of the body, which explain them one by one")

scan_op = Scan(
    "scan", "control", scan_eval, vjp=scan_vjp, keeps_out=True, outputs=2,
    facets={"type": scan_type, "jvp": scan_jvp, "batch": scan_batch, "lower": lower_scan, "depend": _DEPEND,
            "zero": _ZERO, "samples": scan_samples},
)  # fmt: skip
while_op = Op(
    "while_loop", "control", while_eval, vjp=while_vjp, keeps_out=False, outputs=2,
    facets={"type": while_type, "jvp": while_jvp, "batch": while_batch, "lower": lower_while,
            "depend": _DEPEND, "zero": _ZERO, "samples": while_samples},
)  # fmt: skip
cond_op = Op(
    "cond", "control", cond_eval, vjp=cond_vjp, keeps_out=False, outputs=2,
    facets={"type": cond_type, "jvp": cond_jvp, "batch": cond_batch, "lower": lower_cond, "depend": _DEPEND,
            "zero": _ZERO, "samples": cond_samples},
)  # fmt: skip
# loops and branches with whoever runs their graphs: rule(run, args, params) -> outputs
RUNS: dict[str, Callable[[Run, Sequence[Any], dict[str, Any]], tuple[Any, ...]]] = {
    "scan": scan_rounds, "while_loop": while_rounds, "cond": branch_taken,
}  # fmt: skip
