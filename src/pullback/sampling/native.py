"""`Fused`: the kernel that draws, differentiates and accumulates in one native loop.

Read `Fused.blocks`. What the loop contains is decided in `fused`; here are the arrays that it reads, and how
its accumulators become the sums of a study. Adds itself to `kernel.MAKERS`. May import `sampling.fused`,
`sampling.problem`, `sampling.kernel`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.compile.build import TooLarge
from pullback.compile.cells import NotLowered
from pullback.compile.trace import TraceError
from pullback.compile.uniform import value_of
from pullback.sampling.fused import Entry, Recorded, RowsProgram, Source, SumsProgram, bounds_of, record
from pullback.sampling.inputs import Each, Fixed, Given, Random
from pullback.sampling.kernel import MAKERS, Unsuited
from pullback.sampling.problem import Problem
from pullback.sampling.sums import BLOCK, Sums

WORK = 64  # blocks that one call should compute at least, over its cells
COMPUTED = 8  # blocks whose values NumPy computes at a time, where a distribution has no native form
PILOT = 64  # samples whose mean is what sums are taken around
ROW_BLOCKS = 4  # blocks of rows per call


class Fused:
    """One native kernel for all cells of a problem; `Unsuited` where f has no native form."""

    name = "fused"
    span = 64

    def __init__(self, problem: Problem) -> None:
        """Record f and compile the sums."""
        if problem.method != "pathwise":
            raise Unsuited(f"the method {problem.method} runs in batches")
        self.problem = problem
        self.dtype = np.dtype(problem.dtype)
        if self.dtype.kind != "f" or self.dtype.itemsize not in {4, 8}:
            raise Unsuited(f"kernels draw float32 or float64, not {self.dtype}")
        together = max(1, WORK // max(problem.blocks, 1))
        self.groups: Sequence[range] = [
            range(i, min(i + together, problem.cells)) for i in range(0, problem.cells, together)
        ]
        self.sources = [self._source(i) for i in range(len(problem.arguments))]
        self.arrays = self._arrays()
        try:
            self.upstream = self._upstream()
            self.recorded: Recorded = record(problem.f, self.sources, problem.wrt, self.upstream)
            self.sums = SumsProgram(self.recorded, self.dtype, self.upstream, problem.omit)
        except (NotLowered, TraceError) as e:
            raise Unsuited(str(e).partition("\n")[0]) from None
        except TooLarge:
            raise Unsuited("f is too large for one kernel") from None
        self.entries: list[Entry] = self.sums.entries
        self._centres: dict[int, Any] = {}
        self._rows: RowsProgram | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Everything is ready."""

    # ------------------------------------------------------------------ what the kernel reads

    def _source(self, i: int) -> Source:
        p, a, shape = self.problem, self.problem.arguments[i], self.problem.shape(i)
        if isinstance(a, Random):
            d = a.distribution
            if d.transform is None:
                return Source("lanes", shape, self.dtype, row=COMPUTED * BLOCK)
            return Source("draws", shape, self.dtype, d.base, a.first_slot, tuple(d.slot_shape), d.transform)
        if isinstance(a, Fixed):
            return Source("fixed", shape, a.tensor.value.dtype, value=a.tensor)
        array = a.array[: p.samples] if isinstance(a, Given) else a.values
        dtype = self.dtype if array.dtype.kind == "f" else array.dtype
        if dtype.kind not in "fib" or dtype.itemsize not in {1, 4, 8}:
            raise Unsuited(f"arrays of {dtype} have no native form")
        bounds = bounds_of(array) if dtype.kind == "f" else None
        if isinstance(a, Given):
            return Source("lanes", shape, dtype, bounds=bounds, row=-(-p.samples // 64) * 64)
        return Source("cell", shape, dtype, bounds=bounds)

    def _arrays(self) -> list[Any]:
        """Per source: given samples entry by entry, each values row by row, None for what is computed."""
        out: list[Any] = []
        for s, a in zip(self.sources, self.problem.arguments, strict=True):
            if isinstance(a, Given):
                rows = np.zeros((int(np.prod(s.shape)), s.row), s.dtype)
                n = self.problem.samples
                rows[:, :n] = a.array[:n].reshape(n, -1).T
                out.append(rows)
            elif isinstance(a, Each):
                out.append(np.ascontiguousarray(a.values, s.dtype).reshape(len(a.values), -1))
            else:
                out.append(None)
        return out

    def _upstream(self) -> Any:
        v = self.problem.upstream
        return None if v is None else np.ascontiguousarray(v, self.dtype)

    def _table(self, cell: int, first: int, count: int, last: Any) -> tuple[Any, list[Any]]:
        """The addresses of the kernel's arrays for a cell and samples from `first`, and what keeps them alive."""
        p = self.problem
        each, k = divmod(cell, p.sweep)
        combination = iter(np.unravel_index(each, p.each_shape) if p.each_shape else ())
        addresses: list[int] = []
        held: list[Any] = []
        for s, a, array in zip(self.sources, p.arguments, self.arrays, strict=True):
            if s.kind == "fixed" or s.kind == "draws":
                continue
            start = 0
            if isinstance(a, Random):
                block = self._computed(a, s, p.stream(k), first, count)
                start = -first * block.itemsize
            else:
                block = array[int(next(combination))] if isinstance(a, Each) else array
            held.append(block)
            addresses.append(block.ctypes.data + start)
        if self.upstream is not None:
            held.append(self.upstream[k].reshape(-1))
            addresses.append(held[-1].ctypes.data)
        held.append(last)
        addresses.append(last.ctypes.data)
        return np.array([x % (1 << 64) for x in addresses], np.uint64), held

    def _computed(self, a: Random, s: Source, stream: int, first: int, count: int) -> Any:
        """The values of a distribution without native form, entry by entry."""
        d, p = a.distribution, self.problem
        u = p.standard("uniform", np.float64, stream, a.first_slot, d.slots, first, count)
        rows = np.zeros((int(np.prod(s.shape)), s.row), s.dtype)
        rows[:, :count] = np.asarray(d.ppf(u.reshape(count, *d.slot_shape)), s.dtype).reshape(count, -1).T
        return rows

    def _span(self) -> int:
        """How many blocks one kernel call may have."""
        return COMPUTED if any(s.kind == "lanes" and s.row == COMPUTED * BLOCK for s in self.sources) else 1 << 30

    # ------------------------------------------------------------------ sums

    def blocks(self, cells: range, first_block: int, count: int) -> Sums:
        """The sums of consecutive blocks for the cells of one group."""
        p, step = self.problem, self._span()
        out = Sums.zeros(len(cells), count, p.entries)
        for c, cell in enumerate(cells):
            centres = self._centre(cell)
            for b in range(0, count, step):
                n = min(step, count - b)
                first = (first_block + b) * BLOCK
                last = min(first + n * BLOCK, p.samples)
                table, held = self._table(cell, first, last - first, centres)
                found = self._run(cell, table, first, last, BLOCK)
                sizes = np.full(n, BLOCK, np.float64)
                sizes[-1] = last - first - (n - 1) * BLOCK
                self._fill(out, c, slice(b, b + n), found, sizes, held)
        return out

    def centre(self, cell: int) -> tuple[Any, Any]:
        """(value, gradient): what the cell's sums are taken around."""
        c = self._centre(cell).astype(np.float64)
        return c[0], c[1:]

    def _centre(self, cell: int) -> Any:
        """The mean of the first samples, by the kernel itself around zero."""
        found = self._centres.get(cell)
        if found is None:
            n = min(PILOT, self.problem.samples)
            zero = np.zeros(1 + self.problem.entries, self.dtype)
            table, held = self._table(cell, 0, n, zero)
            out = Sums.zeros(1, 1, self.problem.entries)
            self._fill(out, 0, slice(0, 1), self._run(cell, table, 0, n, PILOT), np.array([float(n)]), held)
            row = out.table[0, 0]
            mean = np.concatenate([row[2:3], out.entries[0, 0, 0]]) / max(row[0], 1.0)
            found = np.where(np.isfinite(mean) & (np.abs(mean) < 1e30), mean, 0.0).astype(self.dtype)  # noqa: PLR2004
            self._centres[cell] = found
        return found

    def _run(self, cell: int, table: Any, first: int, last: int, block: int) -> Any:
        """The accumulators, one row per block."""
        program = self.sums.kernel.program
        out = np.zeros((-(-(last - first) // block), max(len(program.accumulators), 1)))
        if program.accumulators:
            p = self.problem
            self.sums.kernel.run_samples(
                table.ctypes.data, first, last, block, out.ctypes.data, p.seed, p.stream(cell % p.sweep)
            )
        return out

    def _fill(self, out: Sums, c: int, at: slice, found: Any, sizes: Any, held: list[Any]) -> None:
        """Accumulators to sums: constants and two-valued entries are counted, not summed."""
        sums, rows = self.sums, out.table[c, at]
        wrong = np.zeros_like(sizes) if sums.always_valid else found[:, sums.invalid]
        rows[:, 0], rows[:, 1] = sizes - wrong, wrong
        if not sums.always_valid:
            first = found[:, sums.first_invalid]
            seen = np.isfinite(first)
            out.first[c, at][seen] = first[seen].astype(np.int64)
        n = rows[:, 0] if self.problem.omit else sizes
        entries = out.entries[c, at]
        for i, entry in enumerate(self.entries):
            four = _four(entry, found, n, float(held[-1][i]), held)
            if i == 0:
                rows[:, 2], rows[:, 3] = four[0], four[1]
            else:
                for j in range(4):
                    entries[:, j, i - 1] = four[j]

    # ------------------------------------------------------------------ rows

    def rows(self, cell: int, first_sample: int, count: int) -> tuple[Any, Any, Any]:
        """Values (n,), gradients (n, m) and wrt arguments (n, m) of consecutive samples, in float64."""
        width = ROW_BLOCKS * BLOCK
        with self._lock:
            if self._rows is None:
                self._rows = RowsProgram(self.recorded, self.dtype, self.upstream, width)
        kernel, m = self._rows.kernel, self.problem.entries
        parts: list[Any] = []
        for start in range(first_sample // 64 * 64, first_sample + count, width):
            stop = min(start + width, first_sample + count)
            block = np.zeros((1 + 2 * m, width))
            table, held = self._table(cell, start, stop - start, block)
            table[-1] = np.uint64((block.ctypes.data - 8 * start) % (1 << 64))
            p = self.problem
            kernel.run_samples(table.ctypes.data, start, stop, width, 0, p.seed, p.stream(cell % p.sweep))
            del held
            parts.append(block[:, max(first_sample - start, 0) : stop - start])
        all_rows = np.concatenate(parts, axis=1)
        return all_rows[0], all_rows[1 : 1 + m].T, all_rows[1 + m :].T


def _four(entry: Entry, found: Any, n: Any, centre: float, held: list[Any]) -> tuple[Any, Any, Any, Any]:
    """sum(g - c), sum((g - c)^2), sum|g|, count(g != 0) of one entry, per block."""
    if entry.constant is not None:
        return _counted(((n, entry.constant),), centre)
    if entry.sides is not None:
        k = found[:, entry.first]
        values = [float(value_of(v, held)) for v in entry.sides]
        return _counted(((k, values[0]), (n - k, values[1])), centre)
    first, second = found[:, entry.first], found[:, entry.second]
    if entry.active < 0:
        return first, second, first, n
    magnitude = found[:, entry.magnitude] if not entry.sign else entry.sign * (first + n * centre)
    return first, second, magnitude, found[:, entry.active]


def _counted(cases: Sequence[tuple[Any, float]], centre: float) -> tuple[Any, Any, Any, Any]:
    """The four sums where each of a few values was counted."""
    with np.errstate(all="ignore"):
        parts = [
            np.array([np.where(k > 0, k * x, 0.0) for x in (v - centre, (v - centre) ** 2, abs(v), float(v != 0))])
            for k, v in cases
        ]
    total = sum(parts[1:], parts[0])
    return total[0], total[1], total[2], total[3]


MAKERS.append(Fused)

__all__ = ["Fused"]
