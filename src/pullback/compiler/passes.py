"""Passes over a graph: each gives a graph that computes the same bits with less work, and how often it fired.

A pass may assume nothing about the values: NaN, infinities and the sign of zeros stay what they are. What the
graph returns keeps an equation of its own, so that results never share memory with inputs or constants.
Read `optimise`, then `Work`. May import `compiler.body`, `compiler.dead`, `compiler.notation`, `families` and
what stands below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.compiler.body import plainly
from pullback.compiler.dead import dead_code, known_branches, taken_in
from pullback.compiler.graph import Eqn, Graph, Var
from pullback.compiler.notation import show
from pullback.families.op import Op
from pullback.families.structural import Structural
from pullback.graph.tensor import Tensor, wrap

SMALL = 4096  # entries that a folded result may have
LARGE = 1 << 22  # entries that a constant of zeros may have
MOVED = 1 << 16  # entries whose places are compared to see that they have not moved
LOOPS = {"scan", "while_loop"}
VIEWS = {"view", "unsafe_view"}
ROUNDS = 12  # every pass makes a graph smaller, so this is never reached but by very deep chains

Pass = Callable[[Graph, frozenset[Var]], tuple[Graph, int]]
# what a rule says of an equation: nothing, an equation instead, or the variables that hold its results
Verdict = Eqn | list[Var] | None


class Work:
    """A graph that is being rewritten, equation by equation.

    graph   the new graph so far
    keep    variables that must keep an equation of their own
    maker   which equation of the new graph makes a variable
    """

    def __init__(self, graph: Graph, keep: frozenset[Var]) -> None:
        """Start with the inputs and constants."""
        self.graph = Graph(list(graph.inputs), dict(graph.consts), [], [])
        self.keep = keep
        self.maker: dict[Var, Eqn] = {}

    def known(self, a: Any) -> Any:
        """The array of a constant; None for what is not known (a captured tensor may change)."""
        value = self.graph.consts.get(a) if isinstance(a, Var) else None
        return None if value is None or isinstance(value, Tensor) else value

    def all_are(self, a: Any, number: complex) -> bool:
        """Is it this number, or an array of it, with this sign where it is zero (integers have plus)?"""
        value = a if isinstance(a, bool | int | float | complex) else self.known(a)
        if value is None:
            return False
        value = np.asarray(value)
        if value.dtype.kind == "c" or not (value == number).all():
            return False
        signs = np.signbit(value) if value.dtype.kind == "f" else np.zeros((), bool)
        return bool(number) or bool((signs == np.signbit(number)).all())


def rewritten(graph: Graph, keep: frozenset[Var], rule: Callable[[Work, Eqn], Verdict]) -> tuple[Graph, int]:
    """Ask a rule about every equation in turn."""
    work, swap, fired = Work(graph, keep), dict[Var, Var](), 0
    for e in graph.eqns:
        now = renamed(e, swap)
        verdict = rule(work, now)
        if isinstance(verdict, list):
            if keep.isdisjoint(now.outs):
                swap.update(zip(now.outs, verdict, strict=True))
                fired += 1
                continue
        elif verdict is not None:
            now = verdict
            fired += 1
        work.graph.eqns.append(now)
        work.maker.update(dict.fromkeys(now.outs, now))
    work.graph.outputs = [swap.get(v, v) for v in graph.outputs]
    return work.graph, fired


def renamed(e: Eqn, swap: dict[Var, Var]) -> Eqn:
    """An equation with other variables as arguments."""
    if not any(v in swap for v in e.inputs()):
        return e
    args = tuple(swap.get(a, a) if isinstance(a, Var) else a for a in e.args)
    return Eqn(e.op, args, e.params, e.outs, e.line)


def pure(op: Op) -> bool:
    """Does it give the same for the same arguments?"""
    return op.family != "random"


# ---------------------------------------------------------------------- constants


def fold(graph: Graph, keep: frozenset[Var]) -> tuple[Graph, int]:
    """Equations whose arguments are all known become constants, where these are small."""

    def rule(work: Work, e: Eqn) -> Verdict:
        if sum(v.size for v in e.outs) > SMALL:
            return None
        values = computed(work, e)
        return None if values is None else [work.graph.const(v) for v in values]

    return rewritten(graph, keep, rule)


def computed(work: Work, e: Eqn) -> list[np.ndarray] | None:
    """The results of an equation whose arguments are all known; None where they are not, or it fails."""
    # loops may be long, or never end
    if not pure(e.op) or e.op.name in LOOPS or any(work.known(v) is None for v in e.inputs()):
        return None
    args = [wrap(work.known(a)) if isinstance(a, Var) else a for a in e.args]
    try:
        with plainly():
            out = e.op(*args, **e.params)
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError):
        return None  # it fails in every call: let it fail there
    outs = out if isinstance(out, tuple | list) else (out,)
    arrays = [np.array(o.value if isinstance(o, Tensor) else o) for o in outs]  # pyright: ignore[reportUnknownVariableType]
    fits = all(a.shape == v.shape and a.dtype == v.dtype for a, v in zip(arrays, e.outs, strict=True))
    return arrays if fits else None


def zeros(graph: Graph, keep: frozenset[Var]) -> tuple[Graph, int]:
    """Equations whose results are zero whatever their other arguments are become constants.

    0 * x counts only for integers and for x that cannot be infinite, NaN or negative.
    """

    def rule(work: Work, e: Eqn) -> Verdict:
        if sum(v.size for v in e.outs) > LARGE or any(v.dtype.kind == "c" for v in e.outs):
            return None
        if len(e.outs) == 1 and vanishes(work, e):
            return [work.graph.const(np.zeros(e.outs[0].shape, e.outs[0].dtype))]
        if not any(True for _ in e.inputs()) or not all(work.all_are(v, 0.0) for v in e.inputs()):
            return None
        values = computed(work, e)
        if values is None or any(
            v.any() or np.signbit(v).any() if v.dtype.kind == "f" else v.any() for v in values
        ):
            return None
        return [work.graph.const(v) for v in values]

    return rewritten(graph, keep, rule)


def vanishes(work: Work, e: Eqn) -> bool:
    """Is the only result +0 although an argument is not known?"""

    def zero(a: Any) -> bool:
        return work.all_are(a, 0.0)

    name, args, out = e.op.name, e.args, e.outs[0]
    if name == "where":
        return zero(args[1]) and zero(args[2])
    if name == "masked_fill":
        return zero(args[1]) and zero(args[2])
    if name in {"bitwise_and", "logical_and"}:
        return out.dtype.kind in "biu" and (zero(args[0]) or zero(args[1]))
    if name == "mul":
        for a, b in (args, args[::-1]):
            if zero(a) and (out.dtype.kind in "biu" or harmless(work, b)):
                return True
    return False


def harmless(work: Work, a: Any) -> bool:
    """Is every entry finite, with a sign of plus?"""
    if isinstance(a, Var) and a.dtype.kind in "bu":
        return True
    maker = work.maker.get(a) if isinstance(a, Var) else None
    if maker is not None and maker.op.name == "to_copy":
        return harmless(work, maker.args[0])
    value = np.asarray(a) if isinstance(a, bool | int | float) else work.known(a)
    if value is None or value.dtype.kind == "c":
        return False
    return bool(
        np.isfinite(value).all() and not (np.signbit(value) if value.dtype.kind == "f" else value < 0).any()
    )


# ---------------------------------------------------------------------- equal values


def simplify(graph: Graph, keep: frozenset[Var]) -> tuple[Graph, int]:
    """Equations that give one of their arguments back are left out; chains of reshapes become one."""

    def rule(work: Work, e: Eqn) -> Verdict:
        if len(e.outs) != 1:
            return None
        out = e.outs[0]
        for a in same_as(work, e):
            if isinstance(a, Var) and (a.shape, a.dtype) == (out.shape, out.dtype):
                return [a]
        if e.op.name in VIEWS and isinstance(e.args[0], Var):
            inner = work.maker.get(e.args[0])
            if inner is not None and inner.op.name in VIEWS and isinstance(inner.args[0], Var):
                return Eqn(e.op, inner.args, e.params, e.outs, e.line)
        return None

    return rewritten(graph, keep, rule)


def same_as(work: Work, e: Eqn) -> Sequence[Any]:
    """Arguments that the result equals, bit for bit, if shape and dtype agree too."""
    if isinstance(e.op, Structural):
        return unmoved(work, e)
    rule = SAME.get(e.op.name)
    return () if rule is None else rule(work, *e.args)


def unmoved(work: Work, e: Eqn) -> Sequence[Any]:
    """What a structural equation, or two in a row, leave where it was."""
    x, out = moves(e), e.outs[0]
    if x is None:
        return ()
    if out.shape == x.shape and np.array_equal(moved(e, numbered(x)), numbered(x)):
        return (x,)
    inner = work.maker.get(x)
    start = None if inner is None else moves(inner)
    if inner is None or start is None or start.shape != out.shape:
        return ()
    return (start,) if np.array_equal(moved(e, moved(inner, numbered(start))), numbered(start)) else ()


def moves(e: Eqn) -> Var | None:
    """The variable whose entries an equation moves, if it does nothing else."""
    op, x = e.op, e.args[0] if len(e.args) == 1 else None
    alone = isinstance(op, Structural) and op.data == (0,) and not op.zeroed and len(e.outs) == 1
    return x if alone and isinstance(x, Var) and max(x.size, e.outs[0].size) <= MOVED else None


def numbered(v: Var) -> np.ndarray:
    """The numbers 1, 2, 3, ... in a variable's shape (0 is left for what an op inserts)."""
    return np.arange(1, v.size + 1).reshape(v.shape)


def moved(e: Eqn, entries: np.ndarray) -> np.ndarray:
    """A structural equation on entries."""
    return e.op.eval(entries, **e.params)


def _inverse(name: str) -> Callable[..., Sequence[Any]]:
    """An op that undoes itself."""

    def rule(work: Work, x: Any, *_rest: Any) -> Sequence[Any]:
        inner = work.maker.get(x) if isinstance(x, Var) else None
        return (inner.args[0],) if inner is not None and inner.op.name == name else ()

    return rule


def _mul(work: Work, x: Any, y: Any) -> Sequence[Any]:
    return [a for a, b in ((x, y), (y, x)) if work.all_are(b, 1) and real(a)]


def _add(work: Work, x: Any, y: Any) -> Sequence[Any]:
    return [
        a for a, b in ((x, y), (y, x))
        if real(a) and (work.all_are(b, -0.0) or (work.all_are(b, 0.0) and not_minus_zero(work, a)))
    ]  # fmt: skip


def _sub(work: Work, x: Any, y: Any) -> Sequence[Any]:
    return (x,) if work.all_are(y, 0.0) and real(x) else ()


def _where(work: Work, c: Any, x: Any, y: Any) -> Sequence[Any]:
    mask = work.known(c)
    if x is y:
        return (x,)
    if mask is None:
        return ()
    return (x,) if mask.all() else (y,) if not mask.any() else ()


def _masked_fill(work: Work, mask: Any, x: Any, _value: Any) -> Sequence[Any]:
    known = work.known(mask)
    return (x,) if known is not None and not known.any() else ()


def real(a: Any) -> bool:
    """Not complex: a product of complex numbers mixes their parts, also NaN."""
    return isinstance(a, Var) and a.dtype.kind != "c"


SAME: dict[str, Callable[..., Sequence[Any]]] = {
    "mul": _mul,
    "div": lambda work, x, y: (x,) if work.all_are(y, 1) and real(x) else (),
    "pow": lambda work, x, y: (x,) if work.all_are(y, 1) and real(x) else (),
    "add": _add,
    "sub": _sub,
    "neg": _inverse("neg"),
    "bitwise_not": _inverse("bitwise_not"),
    "to_copy": lambda _work, x: (x,),
    "where": _where,
    "masked_fill": _masked_fill,
}
POSITIVE = {"exp", "exp2", "abs", "sigmoid", "cosh"}


def not_minus_zero(work: Work, a: Any, depth: int = 8) -> bool:
    """Can no entry be -0?"""
    if isinstance(a, bool | int | float):
        return not (a == 0 and np.signbit(a))
    if not isinstance(a, Var) or a.dtype.kind in "biu":
        return isinstance(a, Var)
    value = work.known(a)
    if value is not None:
        return not (np.signbit(value) & (value == 0)).any()
    e = work.maker.get(a)
    if e is None or not depth:
        return False
    if e.op.name == "add":  # a sum is -0 only if both terms are
        return any(not_minus_zero(work, x, depth - 1) for x in e.args)
    if e.op.name == "to_copy":
        return isinstance(e.args[0], Var) and e.args[0].dtype.kind in "biu"
    return e.op.name in POSITIVE


# ---------------------------------------------------------------------- common subexpressions


def cse(graph: Graph, keep: frozenset[Var]) -> tuple[Graph, int]:
    """Equal equations are computed once, equal small constants are one."""
    seen: dict[Any, list[Var]] = {}
    swap: dict[Var, Var] = {}
    fired = 0
    for v, value in graph.consts.items():
        if isinstance(value, np.ndarray) and value.size <= SMALL and v not in keep:
            key = ("const", value.shape, value.dtype.str, value.tobytes())
            first = seen.setdefault(key, [v])[0]
            if first is not v:
                swap[v] = first
                fired += 1
    consts = {v: x for v, x in graph.consts.items() if v not in swap}
    start = Graph(
        graph.inputs, consts, [renamed(e, swap) for e in graph.eqns], [swap.get(v, v) for v in graph.outputs]
    )

    def rule(_work: Work, e: Eqn) -> Verdict:
        if not pure(e.op):
            return None
        key = (e.op.name, tuple(map(frozen, e.args)), frozen(e.params))
        first = seen.setdefault(key, list(e.outs))
        return None if first[0] is e.outs[0] else first

    new, merged = rewritten(start, keep, rule)
    return new, fired + merged


def frozen(x: Any) -> Any:
    """A key that is equal for equal arguments and parameters only."""
    if isinstance(x, Var):
        return ("var", id(x))
    if isinstance(x, Graph):
        return ("graph", show(x))
    if isinstance(x, np.ndarray | np.generic):
        return ("array", x.shape, x.dtype.str, x.tobytes())
    if isinstance(x, tuple | list):
        return (type(x).__name__, *map(frozen, x))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(x, dict):
        return ("dict", *((k, frozen(v)) for k, v in x.items()))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(x, bool | int | float | complex | str | slice | np.dtype | None) or x is ...:
        return (type(x).__name__, repr(x))  # pyright: ignore[reportUnknownArgumentType]
    return ("object", id(x))


# ---------------------------------------------------------------------- all of them


def _without_keep(run: Callable[[Graph], tuple[Graph, int]]) -> Pass:
    return lambda graph, _keep: run(graph)


PASSES: dict[str, Pass] = {
    "constants into bodies": _without_keep(taken_in),
    "known branch": known_branches,
    "fold constants": fold,
    "structural zeros": zeros,
    "simplify": simplify,
    "common subexpressions": cse,
    "dead code": _without_keep(dead_code),
}


def optimise(graph: Graph) -> tuple[Graph, list[tuple[str, int]]]:
    """The graph after all passes, again and again until none fires, and how often each fired.

    The inputs stay as they are, also those that are no longer read; so do shapes and dtypes of the outputs.
    """
    fired: dict[str, int] = {}
    new = improve(graph, frozenset(graph.outputs), fired)
    return new, [(name, fired[name]) for name in PASSES if fired.get(name)]


def improve(graph: Graph, keep: frozenset[Var], fired: dict[str, int]) -> Graph:
    """One graph to its fixed point, then the bodies inside it, until nothing changes."""
    for _ in range(ROUNDS):
        count = 0
        for name, run in PASSES.items():
            graph, n = run(graph, keep)
            fired[name] = fired.get(name, 0) + n
            count += n
        graph, n = improve_bodies(graph, fired)
        if not count + n:
            break
    return graph


def improve_bodies(graph: Graph, fired: dict[str, int]) -> tuple[Graph, int]:
    """The graphs inside equations; how often a pass fired there."""
    before = sum(fired.values())
    eqns: list[Eqn] = []
    for e in graph.eqns:
        params = {
            k: improve(v, frozenset(), fired) if isinstance(v, Graph) else v for k, v in e.params.items()
        }
        changed = any(params[k] is not v for k, v in e.params.items())
        eqns.append(Eqn(e.op, e.args, params, e.outs, e.line) if changed else e)
    return Graph(graph.inputs, graph.consts, eqns, graph.outputs), sum(fired.values()) - before
