"""Monte Carlo as one native kernel: draw, run f, pull the upstream vector back, accumulate, all in registers.

`record` traces one sample, `SumsProgram` and `RowsProgram` turn the graph into lane programs whose lanes are
samples: sums per block of samples, or values and gradients sample by sample. Draws that nothing live depends
on are never made, zeros of constants drop out, comparisons that the bounds decide disappear. Read `record`,
then `SumsProgram`. May import `compiler`, `func`, `sampling.distributions`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from pullback.compiler.build import Builder, TooLarge
from pullback.compiler.cells import Cells, code_of, scalar
from pullback.compiler.graph import Graph, Var
from pullback.compiler.jit import compile_program
from pullback.compiler.lower import lower_graph
from pullback.compiler.program import Array, Program, Value
from pullback.compiler.scalars import is_finite
from pullback.compiler.trace import trace
from pullback.compiler.uniform import computable
from pullback.func.derivatives import vjp
from pullback.graph.modes import state
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap

BUDGET = 60_000  # values that a kernel may have


@dataclass
class Source:
    """Where one argument of f comes from.

    kind       "draws": standard numbers through `transform`; "lanes": an array with one row per sample;
               "cell": one value for all samples of a cell; "fixed": a tensor
    shape      of the argument for one sample
    base       "normal" or "uniform", first slot and shape of the standard numbers (kind "draws")
    bounds     what is known of the array's entries: (lowest, highest) each, None if some are not finite
    row        the distance of an entry's neighbours in a "lanes" array, in samples
    value      the tensor (kind "fixed")
    """

    kind: str
    shape: tuple[int, ...]
    dtype: Any
    base: str = ""
    first_slot: int = 0
    slot_shape: tuple[int, ...] = ()
    transform: Callable[[Tensor], Tensor] | None = None
    bounds: tuple[tuple[float, float] | None, ...] = ()
    row: int = 0
    value: Any = None


@dataclass
class Recorded:
    """One sample as a graph.

    sources   those that are inputs of the graph, in order; then comes the upstream vector, if there is one
    outputs   v . f(x), the gradients of the wanted arguments, then the arguments themselves
    """

    graph: Graph
    sources: list[Source]
    gradients: int
    upstream: bool
    shapes: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])


def record(f: Callable[..., Any], sources: Sequence[Source], wrt: Sequence[int], upstream: Any) -> Recorded:
    """Trace one sample of v . f(x) and its gradient.

    upstream   an array (k, *output shape) of all upstream vectors, or None for scalar f
    """
    inputs = [s for s in sources if s.kind != "fixed"]
    avals = [Aval(s.slot_shape if s.kind == "draws" else s.shape, np.dtype(s.dtype)) for s in inputs]

    def one(*given: Tensor) -> list[Tensor]:
        fresh = iter(given)
        arguments = [s.value if s.kind == "fixed" else _argument(s, next(fresh)) for s in sources]

        def of_wanted(*wanted: Tensor) -> Any:
            full = list(arguments)
            for i, x in zip(wrt, wanted, strict=True):
                full[i] = x
            return f(*full)

        wanted = [arguments[i] for i in wrt]
        out, pull = vjp(of_wanted, *wanted)
        if upstream is None:
            return [out, *pull(wrap(np.ones((), out.value.dtype))), *wanted]
        v = state.tracer.input(out.shape, out.value.dtype)
        return [(v * out).sum(), *pull(v), *wanted]

    tracer = trace(one, avals)
    graph = tracer.graph
    for var, held in list(graph.consts.items()):
        graph.consts[var] = np.array(held.value if isinstance(held, Tensor) else held)
    return Recorded(graph, inputs, len(wrt), upstream is not None)


def _argument(s: Source, x: Tensor) -> Tensor:
    return x if s.transform is None else s.transform(x)


@lru_cache(4096)
def outwards(x: float, up: bool) -> float:
    """A bound rounded outwards to a power of two, so that kernels of similar arrays are one and the same."""
    if x == 0:
        return 0.0
    exponent = math.log2(abs(x))
    return math.copysign(2.0 ** (math.ceil(exponent) if (x > 0) == up else math.floor(exponent)), x)


def bounds_of(rows: Any) -> tuple[tuple[float, float] | None, ...]:
    """For each column the smallest and the largest entry, rounded outwards; None where one is not finite."""
    if not len(rows):
        return (None,) * rows.shape[1]
    low, high = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
    return tuple(
        (outwards(lo, up=False), outwards(hi, up=True)) if math.isfinite(lo) and math.isfinite(hi) else None
        for lo, hi in zip(low, high, strict=True)
    )


class SampleProgram:
    """What both kinds of kernels share: the inputs as cells and the lowered graph.

    arrays   of the program, in order: one for each source that is no draw, the upstream vector
    """

    def __init__(self, recorded: Recorded, dtype: Any, upstream: Any) -> None:
        """Lower the graph; dtype is that of the draws."""
        if recorded.graph.entries() > 4 * BUDGET:  # many of them may fold away, but not all
            raise TooLarge
        self.recorded = recorded
        code = code_of(dtype)
        self.program = Program(kind="samples", lanes=16 if code == "f4" else 8, draws=code)
        self.b = b = Builder(self.program, BUDGET)
        cells = [self._source(s) for s in recorded.sources]
        if recorded.upstream:
            v = recorded.graph.inputs[-1]
            cells.append(self._upstream(v, upstream))
        outs = lower_graph(b, recorded.graph, cells)
        self.value = scalar(outs[0])
        self.gradients: list[Value] = [v for c in outs[1 : 1 + recorded.gradients] for v in c.flat]
        self.inputs: list[Value] = [v for c in outs[1 + recorded.gradients :] for v in c.flat]

    def _source(self, s: Source) -> Cells:
        b = self.b
        grid = np.empty(s.slot_shape if s.kind == "draws" else s.shape, object)
        if s.kind == "draws":
            grid.reshape(-1)[:] = [b.draw(s.base, s.first_slot + i) for i in range(grid.size)]
        else:
            lanes = s.kind == "lanes"
            k = b.array(Array(code_of(s.dtype), 1 if lanes else 0))
            step = s.row if lanes else 1
            grid.reshape(-1)[:] = [
                b.load(k, i * step, s.bounds[i] if s.bounds else None) for i in range(grid.size)
            ]
        return Cells(grid, s.dtype, b)

    def _upstream(self, v: Var, upstream: Any) -> Cells:
        """The upstream vector of the cell; entries that are 0 in every one of them are constants."""
        b, k = self.b, self.b.array(Array(code_of(v.dtype)))
        flat = np.asarray(upstream).reshape(len(upstream), -1)
        bounds = bounds_of(flat)
        grid = np.empty(v.shape, object)
        entries: list[Value] = []
        for i in range(v.size):
            same = flat[0, i] if (flat[:, i] == 0).all() else None
            entries.append(
                b.load(k, i, bounds[i]) if same is None else b.const(0, code_of(v.dtype))
            )
        grid.reshape(-1)[:] = entries
        return Cells(grid, v.dtype, b)


@dataclass
class Entry:
    """How the sums of one entry are found: a constant, a count of two values, or accumulator numbers.

    sides   the two values that it takes in a cell; `first` then counts the samples with the first of them
    sign    1 or -1 where the entry is never negative or never positive: its |.| needs no sum of its own
    """

    constant: float | None = None
    sides: tuple[Value, Value] | None = None
    first: int = -1
    second: int = -1
    magnitude: int = -1
    active: int = -1
    sign: int = 0


class SumsProgram(SampleProgram):
    """Sums per block of samples: of v . f and of each gradient entry, less their centres."""

    def __init__(self, recorded: Recorded, dtype: Any, upstream: Any, omit: bool = True) -> None:
        """Build the kernel; the last array holds the centres (value first, then the gradient entries)."""
        super().__init__(recorded, dtype, upstream)
        b = self.b
        code = code_of(dtype)
        self.centres = b.array(Array(code))
        checks = [is_finite(b, v) for v in (self.value, *self.gradients)]
        valid = b.const(True, "b1")
        for check in checks:
            valid = b.op("and", valid, check)
        self.always_valid = valid.op == "const"
        self.invalid = self.first_invalid = -1
        if not self.always_valid:
            wrong = b.op("not", valid)
            self.invalid = b.accumulate("count", wrong)
            self.first_invalid = b.accumulate("first", wrong)
        if not omit:
            valid = b.const(True, "b1")
        summed = (self.value, *self.gradients)
        self.entries = [self._entry(v, i, valid, code, i == 0) for i, v in enumerate(summed)]
        self.kernel = compile_program(self.program)

    def _entry(self, v: Value, i: int, valid: Value, code: str, is_value: bool) -> Entry:
        b = self.b
        if v.op == "const":
            return Entry(constant=float(v.data))
        if v.op == "select" and computable(v.args[1]) and computable(v.args[2]):
            chosen, one, other = v.args
            return Entry(sides=(one, other), first=b.accumulate("count", b.op("and", valid, chosen)))
        v = b.cast(v, code)
        zero = b.const(0, code)
        off = b.select(valid, b.op("sub", v, b.load(self.centres, i, (-1e30, 1e30))), zero)
        entry = Entry(first=b.accumulate("sum", off), second=b.accumulate("sum", b.op("mul", off, off)))
        if is_value:
            return entry
        entry.sign = 1 if v.lo >= 0 else -1 if v.hi <= 0 else 0
        if not entry.sign:
            entry.magnitude = b.accumulate("sum", b.select(valid, b.op("abs", v), zero))
        entry.active = b.accumulate("count", b.op("and", valid, b.op("ne", v, 0)))
        return entry


class RowsProgram(SampleProgram):
    """Values, gradients and inputs of every sample, as float64 arrays with one row per entry."""

    def __init__(self, recorded: Recorded, dtype: Any, upstream: Any, out_row: int) -> None:
        """Build the kernel; its last array takes the rows, `out_row` samples apart."""
        super().__init__(recorded, dtype, upstream)
        b = self.b
        k = b.array(Array("f8", 1, written=True))
        self.entries = [self.value, *self.gradients, *self.inputs]
        for i, v in enumerate(self.entries):
            b.store(k, i * out_row, b.cast(v, "f8"))
        self.kernel = compile_program(self.program)


__all__ = ["Recorded", "RowsProgram", "Source", "SumsProgram", "bounds_of", "record"]
