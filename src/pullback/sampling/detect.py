"""Jumps of f that the pathwise average misses: where they may be, and whether they are there.

The derivative of E[f(x)] is E[f'(x)] only where f does not jump. `suspects` reads the recorded graph of f for
ops whose output jumps as a function of the differentiated arguments (comparisons, floor, sign, ...);
`find_jumps` then moves each argument a little both ways. Where a suspect switches in between, a kink leaves a
difference that shrinks with the step, and a jump one that does not. Read `find_jumps`. May import
`estimators`, `problem`, `jumps`, `compile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pullback.compile.graph import Eqn, Graph, Var, evaluate
from pullback.compile.trace import TraceError, trace
from pullback.families.elementwise import Elementwise
from pullback.families.op import Absent
from pullback.func.mapping import vmap
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap
from pullback.sampling.estimators import pathwise
from pullback.sampling.inputs import Given, Random
from pullback.sampling.jumps import Jump
from pullback.sampling.problem import Problem

SAMPLES = 16_384  # looked at; 64 hits are enough to tell a jump from noise
STEP = 0.05  # half-width, in standard deviations of a random argument or in sizes of a fixed one
SURE = 4.0  # standard errors that a jump's share of the derivative must differ from zero
MOST = 64  # entries that are moved one by one; of larger arguments a part is looked at
# ops that are differentiated almost everywhere, and jump all the same
SAWTEETH = {"remainder", "fmod", "frac", "remainder_of_number"}


@dataclass(frozen=True)
class Found:
    """The jumps, and per gradient entry whether the pathwise average misses one."""

    jumps: tuple[Jump, ...]
    missed: Any
    looked: bool = True


def suspects(graph: Graph, wanted: Sequence[Var]) -> list[Eqn]:
    """The equations whose output jumps as a function of the wanted inputs, and that reach the output."""
    moving = set(wanted)
    found: list[Eqn] = []
    for e in graph.eqns:
        if any(v in moving for v in e.inputs()):
            moving.update(e.outs)
            if _jumps(e, moving):
                found.append(e)
    live = set(graph.outputs)
    for e in reversed(graph.eqns):
        if any(v in live for v in e.outs):
            live.update(e.inputs())
    return [e for e in found if any(v in live for v in e.outs)]


def _jumps(e: Eqn, moving: set[Var]) -> bool:
    """Is the output piecewise constant (or a sawtooth) in a floating argument that moves?"""
    places = [i for i, a in enumerate(e.args) if isinstance(a, Var) and a in moving and a.dtype.kind in "fc"]
    if not places:
        return False
    if e.op.name in SAWTEETH or isinstance(e.op.vjp, Absent):
        return True
    if any(v.dtype.kind not in "fc" for v in e.outs):
        return True
    return isinstance(e.op, Elementwise) and any(e.op.partials[i] is None for i in places)


def find_jumps(problem: Problem) -> Found:
    """Look for jumps with some thousand samples of the first cell of every upstream vector's kind."""
    nothing = Found((), np.zeros(problem.entries, bool))
    count = min(SAMPLES, problem.samples)
    args = problem.values(0, problem.stream(0), 0, count)
    try:
        graph = _recorded(problem, args)
    except (TraceError, NotImplementedError):
        return Found((), np.zeros(problem.entries, bool), looked=False)
    wanted = [graph.inputs[i] for i in problem.wrt]
    switches = suspects(graph, wanted)
    if not switches:
        return nothing
    study = _Study(problem, graph, switches, args, count)
    missed = np.zeros(problem.entries, bool)
    jumps: list[Jump] = []
    place = 0
    for i, size in zip(problem.wrt, problem.wrt_sizes, strict=True):
        for j in range(min(size, MOST)):
            for jump in study.along(i, j, place + j):
                jumps.append(jump)
                missed[place + j] = True
        place += size
    return Found(tuple(jumps), missed)


def _recorded(problem: Problem, args: list[Tensor]) -> Graph:
    """f of one sample as a graph; its constants are values."""
    avals = [Aval(problem.shape(i), x.value.dtype) for i, x in enumerate(args)]
    graph = trace(lambda *xs: [problem.call(list(xs))], avals).graph
    for v, held in list(graph.consts.items()):
        graph.consts[v] = np.array(held.value if isinstance(held, Tensor) else held)
    return graph


class _Study:
    """Values, gradients and the states of the suspects at moved samples."""

    def __init__(
        self, problem: Problem, graph: Graph, switches: list[Eqn], args: list[Tensor], count: int
    ) -> None:
        self.problem, self.args, self.count = problem, args, count
        self.switches = switches
        outs = [v for e in switches for v in e.outs]
        self.graph = Graph(graph.inputs, graph.consts, graph.eqns, outs)
        v = problem.upstream
        self.upstream = None if v is None else [v[np.argmax(np.abs(v).sum(axis=tuple(range(1, v.ndim))))]]

    def along(self, i: int, j: int, entry: int) -> list[Jump]:
        """The jumps as entry j of argument i moves."""
        h = self._width(i, j)
        low, high = self._at(i, j, -h), self._at(i, j, h)
        with np.errstate(all="ignore"):
            rise = high[0] - low[0]
            slope = h * (high[1][:, entry] + low[1][:, entry])
            missing = np.where(np.isfinite(rise - slope), rise - slope, 0.0) / (2 * h)
        taken = np.zeros(self.count, bool)
        found: list[Jump] = []
        for e, before, after in zip(self.switches, low[2], high[2], strict=True):
            switched = _differ(before, after, self.count) & ~taken
            if e.op.name in SAWTEETH:
                switched &= np.abs(missing) > 1  # its output always moves: it jumps where it moves more than h
            taken |= switched
            part = np.where(switched, missing, 0.0)
            mean, error = _mean(part)
            if switched.sum() > 1 and abs(mean) > SURE * error and abs(mean) > 1e-6 * np.abs(missing).max():
                found.append(self._jump(e, i, j, h, switched, rise / (2 * h), slope / (2 * h)))
        return found

    def _width(self, i: int, j: int) -> float:
        a, x = self.problem.arguments[i], np.asarray(self.args[i].value, np.float64)
        if isinstance(a, Random | Given):
            spread = float(np.std(x.reshape(self.count, -1)[:, j]))
        else:
            spread = abs(float(x.reshape(-1)[j]))
        return STEP * (spread or 1.0)

    def _at(self, i: int, j: int, shift: float) -> tuple[Any, Any, list[Any]]:
        """v . f, its gradient, and every suspect's output, with one entry moved."""
        x = np.array(self.args[i].value)
        flat = x.reshape(self.count, -1) if self.problem.batched(i) else x.reshape(1, -1)
        flat[:, j] += shift
        moved = [*self.args[:i], wrap(x), *self.args[i + 1 :]]
        values, gradients = pathwise(self.problem, moved, self.upstream or [None])
        batched = tuple(0 if self.problem.batched(k) else None for k in range(len(moved)))
        if all(d is None for d in batched):
            return values[0], gradients[0], [np.asarray(o.value)[None] for o in self._states(*moved)]
        states = vmap(self._states, in_dims=batched)(*moved)
        return values[0], gradients[0], [np.asarray(o.value) for o in states]

    def _states(self, *xs: Tensor) -> tuple[Tensor, ...]:
        def run(e: Eqn, args: list[Any]) -> Any:
            return e.op(*args, **e.params)

        # one result per equation: its first output says whether it switched
        outs = evaluate(self.graph, xs, run, wrap)
        firsts = np.cumsum([0, *[len(e.outs) for e in self.switches]])[:-1]
        return tuple(outs[k] for k in firsts)

    def _jump(self, e: Eqn, i: int, j: int, h: float, switched: Any, rise: Any, slope: Any) -> Jump:
        line = f"{Path(e.line[0]).name}:{e.line[1]}" if e.line else "an unknown line"
        name = self._name(i, j)
        difference, error = _mean(rise)
        path = float(np.mean(slope))
        hits = float(np.mean(switched))
        text = (
            f"f jumps as {name} moves: {e.op.name} ({line}) switches within {h:.3g} for {hits:.2%} of the samples; "
            f"the pathwise mean gradient {path:.4g} misses it, a central difference over that width gives "
            f"{difference:.4g} +- {error:.2g}. Use smooth=width"
            + (
                ', or method="likelihood_ratio".'
                if isinstance(self.problem.arguments[i], Random)
                else ": the switch is then averaged over a small normal noise."
            )
        )
        return Jump(e.op.name, line, hits, h, difference, error, path, name, text)

    def _name(self, i: int, j: int) -> str:
        labels = getattr(self.problem.arguments[i], "labels", None)
        if labels:
            return str(labels[j])
        shape = self.problem.shape(i)
        index = ", ".join(map(str, np.unravel_index(j, shape))) if shape else ""
        return f"argument {i}" + (f"[{index}]" if index else "")


def _differ(before: Any, after: Any, count: int) -> Any:
    """For which samples an output differs."""
    different = before != after
    rows = different.reshape(len(different), -1).any(axis=1)
    return np.broadcast_to(rows, (count,)).copy()


def _mean(x: Any) -> tuple[float, float]:
    """Mean and standard error."""
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else float("inf")
