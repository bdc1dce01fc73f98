"""What a graph computes for nobody, also inside loops; constants handed to loops; branches that are known.

Read `dead_code`, then `slimmed`. May import `compiler.graph` and what stands below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.compiler.graph import Eqn, Graph, Var
from pullback.graph.tensor import Tensor


def needed(graph: Graph, outputs: Sequence[Var]) -> set[Var]:
    """The variables that these outputs depend on."""
    live = set(outputs)
    for e in reversed(graph.eqns):
        if not live.isdisjoint(e.outs):
            live.update(e.inputs())
    return live


def dead_code(graph: Graph) -> tuple[Graph, int]:
    """Equations and constants that no output needs are left out, and so are outputs, carries and operands of
    loops and branches.
    """
    live = needed(graph, graph.outputs)
    eqns: list[Eqn] = []
    fired = 0
    for e in graph.eqns:
        if live.isdisjoint(e.outs):
            fired += 1
            continue
        slim = SLIM.get(e.op.name)
        new = e if slim is None else slim(e, [v in live for v in e.outs])
        fired += new is not e
        eqns.append(new)
    new_graph = Graph(graph.inputs, graph.consts, eqns, graph.outputs)
    if fired:  # operands that went make more variables dead
        live = needed(new_graph, graph.outputs)
    consts = {v: x for v, x in graph.consts.items() if v in live}
    fired += len(graph.consts) - len(consts)
    new_graph.consts = consts
    return new_graph, fired


def chosen(items: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The items whose flag is set."""
    return [x for x, f in zip(items, flags, strict=True) if f]


def living_carries(
    wanted: list[bool], first: int, outputs: Sequence[Var], graphs: Sequence[Graph]
) -> list[bool]:
    """Which carries matter: those that are wanted, and those that wanted things are computed from.

    outputs   the new carries, then what else the body gives (always wanted)
    first     where the carries stand among the inputs of the graphs
    """
    k = len(wanted)
    while True:
        body = graphs[0]
        live = needed(body, [*chosen(outputs[:k], wanted), *outputs[k:]])
        for g in graphs[1:]:
            live |= needed(g, g.outputs)
        found = [w or any(g.inputs[first + i] in live for g in graphs) for i, w in enumerate(wanted)]
        if found == wanted:
            return wanted
        wanted = found


def slim_scan(e: Eqn, used: list[bool]) -> Eqn:
    """A scan without ys that nobody reads, carries that matter to nothing, and operands that are not read."""
    body: Graph = e.params["body"]
    m, k, history = e.params["captured"], e.params["carries"], e.params["history"]
    ys = used[k:]
    living = living_carries(used[:k], m, [*body.outputs[:k], *chosen(body.outputs[k:], ys)], [body])
    outs = [*living, *ys]
    kept = chosen(body.outputs, outs)
    live = needed(body, kept)
    ins = [v in live for v in body.inputs]
    ins[m : m + k] = living
    if all(outs) and all(ins):
        return e
    whole = history and all(living) and all(ys[len(ys) - history :])
    params = {
        **e.params,
        "captured": sum(ins[:m]),
        "carries": sum(living),
        "history": history if whole else 0,
        "body": Graph(chosen(body.inputs, ins), body.consts, body.eqns, kept),
    }
    return Eqn(e.op, tuple(chosen(e.args, ins)), params, tuple(chosen(e.outs, outs)), e.line)


def slim_while(e: Eqn, used: list[bool]) -> Eqn:
    """A while loop without carries that matter to nothing, and without operands that are not read."""
    body: Graph = e.params["body"]
    cond: Graph = e.params["cond"]
    m = e.params["captured"]
    living = living_carries(used, m, body.outputs, [body, cond])
    kept = chosen(body.outputs, living)
    live = needed(body, kept) | needed(cond, cond.outputs)
    ins = [a in live or b in live for a, b in zip(body.inputs, cond.inputs, strict=True)]
    ins[m:] = living
    if all(ins):
        return e
    params = {**e.params, "captured": sum(ins[:m]),
              "body": Graph(chosen(body.inputs, ins), body.consts, body.eqns, kept),
              "cond": Graph(chosen(cond.inputs, ins), cond.consts, cond.eqns, cond.outputs)}  # fmt: skip
    return Eqn(e.op, tuple(chosen(e.args, ins)), params, tuple(chosen(e.outs, living)), e.line)


def slim_cond(e: Eqn, used: list[bool]) -> Eqn:
    """A branch without results that nobody reads, and without operands that no branch reads."""
    graphs: list[Graph] = [e.params["true"], e.params["false"]]
    lives = [needed(g, chosen(g.outputs, used)) for g in graphs]
    pairs = zip(*(g.inputs for g in graphs), strict=True)
    ins = [any(v in live for v, live in zip(pair, lives, strict=True)) for pair in pairs]
    if all(used) and all(ins):
        return e
    new = [Graph(chosen(g.inputs, ins), g.consts, g.eqns, chosen(g.outputs, used)) for g in graphs]
    args = (e.args[0], *chosen(e.args[1:], ins))
    return Eqn(e.op, args, {"true": new[0], "false": new[1]}, tuple(chosen(e.outs, used)), e.line)


SLIM: dict[str, Callable[[Eqn, list[bool]], Eqn]] = {
    "scan": slim_scan, "while_loop": slim_while, "cond": slim_cond,
}  # fmt: skip


# ---------------------------------------------------------------------- constants and branches


def taken_in(graph: Graph) -> tuple[Graph, int]:
    """Constants that a loop or branch only reads become constants of its body, where they can be folded."""
    eqns: list[Eqn] = []
    fired = 0
    for e in graph.eqns:
        new = _take_in(graph, e) if e.op.name in SLIM else e
        fired += new is not e
        eqns.append(new)
    return Graph(graph.inputs, graph.consts, eqns, graph.outputs), fired


def _take_in(graph: Graph, e: Eqn) -> Eqn:
    start = 1 if e.op.name == "cond" else 0  # the predicate is no input of the branches
    count = e.params.get("captured", len(e.args) - start)
    fixed = [
        isinstance(a, Var) and graph.consts.get(a) is not None and not isinstance(graph.consts[a], Tensor)
        for a in e.args[start : start + count]
    ]
    if not any(fixed):
        return e
    params = dict(e.params)
    for name, g in e.params.items():
        if isinstance(g, Graph):
            held = {v: graph.consts[a] for v, a, f in zip(g.inputs, e.args[start:], fixed, strict=False) if f}
            inputs = [v for v in g.inputs if v not in held]
            params[name] = Graph(inputs, {**g.consts, **held}, g.eqns, g.outputs)
    if "captured" in params:
        params["captured"] = count - sum(fixed)
    args = [a for i, a in enumerate(e.args) if not (start <= i < start + count and fixed[i - start])]
    return Eqn(e.op, tuple(args), params, e.outs, e.line)


def known_branches(graph: Graph, keep: frozenset[Var]) -> tuple[Graph, int]:
    """A cond whose predicate is a constant becomes the equations of its branch."""
    new = Graph(list(graph.inputs), dict(graph.consts), [], [])
    swap: dict[Var, Var] = {}
    fired = 0
    for e in graph.eqns:
        args = tuple(swap.get(a, a) if isinstance(a, Var) else a for a in e.args)
        pred = new.consts.get(args[0]) if e.op.name == "cond" and isinstance(args[0], Var) else None
        if pred is None or isinstance(pred, Tensor) or not keep.isdisjoint(e.outs):
            new.eqns.append(Eqn(e.op, args, e.params, e.outs, e.line))
            continue
        fired += 1
        swap.update(
            zip(e.outs, inlined(new, e.params["true" if pred.item() else "false"], args[1:]), strict=True)
        )
    new.outputs = [swap.get(v, v) for v in graph.outputs]
    return (new, fired) if fired else (graph, 0)


def inlined(graph: Graph, body: Graph, args: Sequence[Any]) -> list[Var]:
    """Append a body's equations, with variables of their own; the variables of its outputs."""
    env: dict[Var, Any] = dict(zip(body.inputs, args, strict=True))
    env.update({v: graph.const(x.value if isinstance(x, Tensor) else x) for v, x in body.consts.items()})
    for e in body.eqns:
        outs = tuple(Var(v.shape, v.dtype) for v in e.outs)
        args = tuple(env[a] if isinstance(a, Var) else a for a in e.args)
        graph.eqns.append(Eqn(e.op, args, e.params, outs, e.line))
        env.update(zip(e.outs, outs, strict=True))
    return [env[v] for v in body.outputs]
