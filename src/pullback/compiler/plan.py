"""How a graph is run: as one native kernel, or as native kernels between NumPy calls.

A small graph becomes one scalar program (everything unrolled). In a larger one neighbouring entry-by-entry
ops of one shape are fused into kernels whose lanes are entries, matrix products and whatever has no lane form
run through NumPy. `build_mapped` makes one kernel of a function of one sample whose lanes are the samples.
Read `build_plan`. May import the compiler's other modules and `families`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from pullback.compiler.build import Builder, TooLarge
from pullback.compiler.cells import Cells, NotLowered, code_of
from pullback.compiler.control_ops import RUNS
from pullback.compiler.graph import Eqn, Graph, Var
from pullback.compiler.jit import compile_program
from pullback.compiler.lower import lower_eqn, lower_graph
from pullback.compiler.program import Array, Program
from pullback.families.elementwise import Elementwise
from pullback.families.op import Absent
from pullback.families.parallel import cores
from pullback.graph.modes import QUIET, loud, quiet, state
from pullback.graph.tensor import Tensor, wrap

WHOLE = 4096  # entries that a graph may have in all to become one scalar program ...
SCALARS = 16  # ... or per op: long graphs of numbers become one program too
BUDGET = 60_000  # values in one program
GRAIN = 1 << 15  # lanes that are worth a thread of their own


@cache
def threads() -> ThreadPoolExecutor:
    """The threads that share large kernels (native code runs without Python's lock)."""
    return ThreadPoolExecutor(cores(), thread_name_prefix="pullback")


class NativeStep:
    """A kernel over `extent` lanes, for `parts` slices of the first outer dimension."""

    def __init__(
        self, program: Program, reads: list[Var], writes: list[Var], extent: int, parts: int = 1
    ) -> None:
        """Compile a program; its arrays are `reads`, then `writes`."""
        self.program, self.reads, self.writes, self.extent = program, reads, writes, extent
        self.kernel = compile_program(program)
        self.shifts: list[list[int]] | None = None
        if parts > 1:
            rows = program.outer[0]
            self.shifts = [[k * rows * a.outer[0] for a in program.arrays] for k in range(parts)]

    def run(self, env: dict[Var, Any]) -> None:
        """Read arrays from env, write new ones into it."""
        arrays = [np.ascontiguousarray(env[v], v.dtype) for v in self.reads]
        for v in self.writes:
            env[v] = out = np.empty(v.shape, v.dtype)
            arrays.append(out)
        if self.shifts is None:
            run_lanes(self.kernel, arrays, self.extent)
            return
        flat = [a.reshape(-1) for a in arrays]
        slices = [[a[at:] for a, at in zip(flat, shift, strict=True)] for shift in self.shifts]
        list(threads().map(lambda part: self.kernel.map(part, 0, self.extent), slices))

    def describe(self) -> str:
        """One line for `inspect`."""
        around = "".join(f"{n} x " for n in self.program.outer)
        return f"native kernel: {len(self.program.body)} values, {around}{self.extent} lanes"


def run_lanes(kernel: Any, arrays: Sequence[np.ndarray], extent: int) -> None:
    """Run a map kernel, on several threads where it is large."""
    n = min(cores(), extent // GRAIN)
    if n <= 1:
        kernel.map(arrays, 0, extent)
        return
    step = (-(-extent // n) + 63) // 64 * 64
    parts = [(lo, min(lo + step, extent)) for lo in range(0, extent, step)]
    list(threads().map(lambda part: kernel.map(arrays, *part), parts))


@dataclass
class NumpyStep:
    """An op that runs as it does without compiling."""

    eqn: Eqn
    reason: str

    def run(self, env: dict[Var, Any]) -> None:
        """Call the op on plain tensors."""
        e = self.eqn
        before = state.grad
        state.update(grad=False)
        try:
            out = e.op(*[wrap(env[a]) if isinstance(a, Var) else a for a in e.args], **e.params)
        finally:
            state.update(grad=before)
        for v, o in zip(e.outs, out if isinstance(out, tuple | list) else (out,), strict=True):
            env[v] = o.value if isinstance(o, Tensor) else o

    def describe(self) -> str:
        """One line for `inspect`."""
        return f"NumPy: {self.eqn.op.name} ({self.reason})"


class LoopStep:
    """A loop or branch outside of a kernel: Python counts the rounds, the bodies are plans of their own."""

    def __init__(self, eqn: Eqn) -> None:
        """Plan the bodies."""
        self.eqn = eqn
        bodies = [g for g in eqn.params.values() if isinstance(g, Graph)]
        self.plans: dict[int, Any] = {id(g): build_plan(g) for g in bodies}

    def run(self, env: dict[Var, Any]) -> None:
        """Run the rounds on arrays."""
        e = self.eqn
        args = [env[a] if isinstance(a, Var) else a for a in e.args]
        outs = RUNS[e.op.name](lambda g, arrays: self.plans[id(g)].run(arrays), args, e.params)
        env.update(zip(e.outs, outs, strict=True))

    def describe(self) -> str:
        """One line for `inspect`."""
        inner = "; ".join(step.describe() for plan in self.plans.values() for step in plan.steps)
        return f"{self.eqn.op.name} round by round: {inner}"


@dataclass
class Plan:
    """The steps that compute a graph's outputs."""

    graph: Graph
    steps: list[Any]
    notes: list[str] = field(default_factory=list[str])
    loose: list[int] = field(default_factory=list[int])

    def __post_init__(self) -> None:
        """Find the outputs that may share memory with an input, a constant or another output."""
        made = {v for s in self.steps if isinstance(s, NativeStep) for v in s.writes}
        outputs = self.graph.outputs
        self.loose = [i for i, v in enumerate(outputs) if v not in made or v in outputs[:i]]

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs as arrays."""
        env: dict[Var, Any] = dict(zip(self.graph.inputs, inputs, strict=True))
        env.update(self.graph.consts)
        token = quiet(QUIET)
        try:
            for step in self.steps:
                step.run(env)
        finally:
            loud(token)
        outs = [env[v] for v in self.graph.outputs]
        for i in self.loose:
            others = (*inputs, *self.graph.consts.values(), *outs[:i], *outs[i + 1 :])
            if any(np.may_share_memory(outs[i], x) for x in others):
                outs[i] = np.array(outs[i])
        return outs


def build_plan(graph: Graph, only_whole: bool = False) -> Plan | None:
    """One scalar program where the graph is small and every op has a lane form, else fused groups.

    only_whole   None instead of groups
    """
    entries = graph.entries()
    why = f"{entries} entries"
    if entries <= max(WHOLE, SCALARS * len(graph.eqns)):
        try:
            return Plan(graph, [whole(graph)])
        except NotLowered as e:
            why = str(e)
        except TooLarge:
            pass
    return None if only_whole else Plan(graph, grouped(graph), [f"not one program: {why}"])


def whole(graph: Graph) -> NativeStep:
    """The graph as one scalar program."""
    program = Program(lanes=1)
    b = Builder(program, BUDGET)
    reads = list(graph.inputs)
    outs = lower_graph(b, graph, [loaded(b, v, 0) for v in reads])
    results = dict(zip(graph.outputs, outs, strict=True))
    for v, c in results.items():
        stored(b, v, c, 0)
    return NativeStep(program, reads, list(results), 1)


def loaded(b: Builder, v: Var, lane_stride: int) -> Cells:
    """An input as cells."""
    k = b.array(Array(code_of(v.dtype), lane_stride))
    grid = np.empty(v.shape, object)
    grid.reshape(-1)[:] = [b.load(k, i) for i in range(v.size)]
    return Cells(grid, v.dtype, b)


def stored(b: Builder, v: Var, cells: Cells, lane_stride: int) -> None:
    """An output, entry by entry."""
    k = b.array(Array(code_of(v.dtype), lane_stride, written=True))
    for i, value in enumerate(cells.flat):
        b.store(k, i, value)


# ---------------------------------------------------------------------- fused groups


class Group:
    """Entry-by-entry ops of one output shape that run as one kernel where the first of them stood."""

    def __init__(self, shape: tuple[int, ...], start: int) -> None:
        """An empty group at a position of the steps."""
        self.shape, self.start = shape, start
        self.eqns: list[Eqn] = []
        self.made: set[Var] = set()


def grouped(graph: Graph) -> list[Any]:
    """The steps: kernels of fused groups and NumPy calls, in an order that respects what each needs."""
    steps: list[Any] = []
    born: dict[Var, int] = {}  # the position of the step that makes a variable
    open_groups: dict[tuple[int, ...], Group] = {}
    for e in graph.eqns:
        shape = e.outs[0].shape
        reason = why_not_fused(e)
        if reason is not None:
            steps.append(LoopStep(e) if e.op.name in RUNS else NumpyStep(e, reason))
            born.update(dict.fromkeys(e.outs, len(steps) - 1))
            continue
        group = open_groups.get(shape)
        if group is None or any(v not in group.made and born.get(v, -1) >= group.start for v in e.inputs()):
            group = open_groups[shape] = Group(shape, len(steps))
            steps.append(group)
        group.eqns.append(e)
        group.made.update(e.outs)
        born.update(dict.fromkeys(e.outs, group.start))
    readers = uses(graph)
    return [fused(s, readers) if isinstance(s, Group) else s for s in steps]


def why_not_fused(e: Eqn) -> str | None:
    """Why an op cannot join a group; None where it can."""
    if not isinstance(e.op, Elementwise) or len(e.outs) != 1:
        return "not entry by entry"
    if isinstance(e.op.lower, Absent):
        return e.op.lower.reason
    if not e.outs[0].size:
        return "no entries"
    try:
        b = Builder(Program())
        probe = [Cells(b.load(b.array(Array(code_of(a.dtype))), 0), a.dtype, b) if isinstance(a, Var) else a
                 for a in e.args]  # fmt: skip
        lower_eqn(b, Eqn(e.op, e.args, e.params, (Var((), e.outs[0].dtype),)), probe)
    except NotLowered as reason:
        return str(reason)
    return None


def uses(graph: Graph) -> dict[Var, int]:
    """How often each variable is read, outputs included."""
    count: dict[Var, int] = {}
    for v in [*(v for e in graph.eqns for v in e.inputs()), *graph.outputs]:
        count[v] = count.get(v, 0) + 1
    return count


def fused(group: Group, readers: dict[Var, int]) -> Any:
    """The kernel of a group: loads by broadcasting, stores what others read."""
    inside: dict[Var, int] = {}
    for e in group.eqns:
        for v in e.inputs():
            inside[v] = inside.get(v, 0) + 1
    reads = [v for v in inside if v not in group.made]
    writes = [v for v in group.made if readers.get(v, 0) > inside.get(v, 0)]
    writes.sort(key=[v for e in group.eqns for v in e.outs].index)
    steps = [broadcast_strides(v.shape, group.shape) for v in (*reads, *writes)]
    sizes, strides = collapsed(group.shape, steps)
    wide = any(v.dtype.itemsize > 4 for v in (*reads, *writes, *group.made))
    parts = slices_of(sizes)
    if parts > 1:
        sizes[0] //= parts
    program = Program(lanes=8 if wide else 16, outer=tuple(sizes[:-1]))
    b = Builder(program)
    env: dict[Var, Any] = {}
    for v, step in zip((*reads, *writes), strides, strict=True):
        k = b.array(Array(code_of(v.dtype), step[-1], tuple(step[:-1]), v in group.made))
        if v not in group.made:
            env[v] = Cells(b.load(k, 0), v.dtype, b)
    for e in group.eqns:
        flat = Eqn(e.op, e.args, e.params, (Var((), e.outs[0].dtype),), e.line)
        env[e.outs[0]] = lower_eqn(b, flat, [env[a] if isinstance(a, Var) else a for a in e.args])
    for i, v in enumerate(writes):
        b.store(len(reads) + i, 0, env[v].grid[()])
    return NativeStep(program, reads, writes, sizes[-1], parts)


def slices_of(sizes: Sequence[int]) -> int:
    """Into how many equal slices the first outer dimension is cut, one for each thread."""
    n = cores()
    worth = len(sizes) > 1 and sizes[-1] < GRAIN * n and math.prod(sizes) >= GRAIN * n
    return next((k for k in range(n, 1, -1) if sizes[0] % k == 0), 1) if worth else 1


def broadcast_strides(shape: tuple[int, ...], wide: tuple[int, ...]) -> list[int]:
    """The element strides of a contiguous array of this shape, broadcast to the wide shape."""
    steps = [0] * len(wide)
    size = 1
    for i in range(1, len(shape) + 1):
        steps[-i] = size if shape[-i] != 1 else 0
        size *= shape[-i]
    return steps


def collapsed(shape: tuple[int, ...], strides: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Neighbouring dimensions made one where all arrays step through them evenly; at least one is left."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for i, n in enumerate(shape):
        if n == 1:
            continue
        if sizes and all(s[-1] == mine[i] * n for s, mine in zip(steps, strides, strict=True)):
            sizes[-1] *= n
            for s, mine in zip(steps, strides, strict=True):
                s[-1] = mine[i]
            continue
        sizes.append(n)
        for s, mine in zip(steps, strides, strict=True):
            s.append(mine[i])
    return (sizes, steps) if sizes else ([1], [[0] for _ in strides])


# ---------------------------------------------------------------------- lanes that are samples


@dataclass
class Mapped:
    """A function of one sample as one kernel over all samples.

    dims   the mapped dimension of each input (None: the same for all samples)
    """

    graph: Graph
    dims: list[int | None]
    step: NativeStep

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs, with the samples as first dimension."""
        env: dict[Var, Any] = {}
        for v, x, d in zip(self.step.reads, inputs, self.dims, strict=True):
            env[v] = x if d is None or d == 0 else np.moveaxis(x, d, 0)
        self.step.run(env)
        return [env[v] for v in self.step.writes]


def build_mapped(graph: Graph, dims: Sequence[int | None], size: int) -> Mapped:
    """graph computes one sample; NotLowered or TooLarge where it cannot become one kernel."""
    if graph.entries() > BUDGET:
        raise TooLarge
    wide = any(v.dtype.itemsize > 4 for e in graph.eqns for v in e.outs)
    program = Program(lanes=8 if wide else 16)
    b = Builder(program, BUDGET)
    cells: list[Cells] = []
    whole_reads: list[Var] = []
    for v, d in zip(graph.inputs, dims, strict=True):
        cells.append(loaded(b, v, 0 if d is None else v.size))
        whole_reads.append(v if d is None else Var((size, *v.shape), v.dtype))
    outs = lower_graph(b, graph, cells)
    writes = [Var((size, *c.shape), c.dtype) for c in outs]
    for v, c in zip(writes, outs, strict=True):
        stored(b, v, c, c.size)
    return Mapped(graph, list(dims), NativeStep(program, whole_reads, writes, size))
