"""`Fused`: the kernel that draws, differentiates and accumulates in one native loop.

Read `Fused.blocks`. What the loop contains is decided in `fused`; here are the arrays that it reads, and how
its accumulators become the sums of a study. Adds itself to `kernel.MAKERS`. May import `sampling.fused`,
`sampling.problem`, `sampling.kernel`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pullback.compiler.build import TooLarge
from pullback.compiler.cells import NotLowered
from pullback.compiler.trace import TraceError
from pullback.compiler.uniform import value_of
from pullback.families.parallel import cores
from pullback.sampling.fingerprint import fingerprint
from pullback.sampling.fused import Entry, Recorded, RowsProgram, Source, SumsProgram, bounds_of, record
from pullback.sampling.inputs import Each, Fixed, Given, Random
from pullback.sampling.kernel import MAKERS, Unsuited
from pullback.sampling.problem import Problem
from pullback.sampling.sums import BLOCK, Sums

GROUPS = 1  # groups of cells for each core
COMPUTED = 8  # blocks whose values NumPy computes at a time, where a distribution has no native form
PILOT = {4: 64, 8: 16}  # samples whose mean sums are taken around: one group of a kernel, by itemsize
ROW_BLOCKS = 4  # blocks of rows per call


class Programs:
    """What a problem's kernels are: the recorded sample, the sums, and the rows where they are asked for."""

    def __init__(self, recorded: Recorded, sums: SumsProgram) -> None:
        self.recorded, self.sums = recorded, sums
        self.rows: RowsProgram | None = None
        self.lock = threading.Lock()


_known: OrderedDict[str, Programs] = OrderedDict()
KNOWN = 32  # programs that stay in memory: a study that is repeated is not recorded again


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
        # a few groups for each core: they do not change any number
        together = -(-problem.cells // (GROUPS * cores()))
        self.groups: Sequence[range] = [
            range(i, min(i + together, problem.cells)) for i in range(0, problem.cells, together)
        ]
        self.sources = [self._source(i) for i in range(len(problem.arguments))]
        pairs = zip(self.sources, problem.arguments, strict=True)
        self.computed = any(isinstance(a, Random) and s.kind == "lanes" for s, a in pairs)
        v = problem.upstream
        self.upstream = None if v is None else np.ascontiguousarray(v, self.dtype)
        self.arrays = self._arrays()
        self.programs = self._programs()
        self.sums = self.programs.sums
        self.entries: list[Entry] = self.sums.entries
        # only entries that are summed need a centre
        self.summed = np.array([e.constant is None and e.sides is None for e in self.entries])
        _ = self.centres

    def prepare(self) -> None:
        """Everything is ready."""

    def _programs(self) -> Programs:
        p = self.problem
        laws = [getattr(a, "distribution", None) for a in p.arguments]
        bounds = [np.array([b or (np.nan, np.nan) for b in s.bounds]) for s in self.sources]
        rows = [(s.kind, str(s.dtype), s.row) for s in self.sources]
        key = fingerprint(p.signature, laws, bounds, rows, p.upstream, p.omit)
        programs = _known.get(key)
        if programs is None:
            try:
                recorded = record(p.f, self.sources, p.wrt, self.upstream)
                programs = Programs(recorded, SumsProgram(recorded, self.dtype, self.upstream, p.omit))
            except (NotLowered, TraceError) as e:
                raise Unsuited(str(e).partition("\n")[0]) from None
            except TooLarge:
                raise Unsuited("f is too large for one kernel") from None
            _known[key] = programs
            while len(_known) > KNOWN:
                _known.popitem(last=False)
        return programs

    # ------------------------------------------------------------------ what the kernel reads

    def _source(self, i: int) -> Source:
        p, a, shape = self.problem, self.problem.arguments[i], self.problem.shape(i)
        if isinstance(a, Random):
            d = a.distribution
            if d.transform is None:
                return Source("lanes", shape, self.dtype, row=padded(COMPUTED * BLOCK, self.dtype.itemsize))
            return Source("draws", shape, self.dtype, d.base, a.first_slot, tuple(d.slot_shape), d.transform)
        if isinstance(a, Fixed):
            return Source("fixed", shape, a.tensor.value.dtype, value=a.tensor)
        array = a.array[: p.samples] if isinstance(a, Given) else a.values
        dtype = self.dtype if array.dtype.kind == "f" else array.dtype
        if dtype.kind not in "fib" or dtype.itemsize not in {1, 4, 8}:
            raise Unsuited(f"arrays of {dtype} have no native form")
        bounds = bounds_of(array.reshape(len(array), -1)) if dtype.kind == "f" else ()
        if isinstance(a, Given):
            return Source("lanes", shape, dtype, bounds=bounds, row=padded(p.samples, dtype.itemsize))
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

    def _tables(self, cells: range, centres: Any) -> tuple[Any, list[Any]]:
        """The addresses of the kernel's arrays, one row per cell, and the arrays that are the same for all
        samples.

        The places of computed values are filled in later.
        """
        p = self.problem
        numbers = np.arange(cells.start, cells.stop)
        combination = iter(np.unravel_index(numbers // p.sweep, p.each_shape) if p.each_shape else ())
        columns: list[Any] = []
        uniform: list[Any] = []
        for s, a, array in zip(self.sources, p.arguments, self.arrays, strict=True):
            if s.kind in {"fixed", "draws"}:
                continue
            if isinstance(a, Each):
                rows = next(combination)
                columns.append(_address(array) + rows * array.strides[0])
                uniform.append(array[rows])
            else:
                columns.append(np.full(len(numbers), 0 if array is None else _address(array)))
                uniform.append(None)
        if self.upstream is not None:
            flat = self.upstream.reshape(p.sweep, -1)
            columns.append(_address(flat) + numbers % p.sweep * flat.strides[0])
            uniform.append(flat[numbers % p.sweep])
        columns.append(_address(centres) + np.arange(len(numbers)) * centres.strides[0])
        uniform.append(centres)
        return np.stack(columns, axis=1).astype(np.uint64), uniform

    def _compute(self, row: Any, stream: int, first: int, count: int) -> list[Any]:
        """Fill the addresses of computed values in for some samples; the arrays, to be kept alive."""
        held: list[Any] = []
        place = 0
        for s, a in zip(self.sources, self.problem.arguments, strict=True):
            if s.kind in {"fixed", "draws"}:
                continue
            if isinstance(a, Random):
                held.append(self._computed(a, s, stream, first, count))
                row[place] = (_address(held[-1]) - first * held[-1].itemsize) % (1 << 64)
            place += 1
        return held

    def _computed(self, a: Random, s: Source, stream: int, first: int, count: int) -> Any:
        """The values of a distribution without native form, entry by entry."""
        d, p = a.distribution, self.problem
        u = p.standard("uniform", np.float64, stream, a.first_slot, d.slots, first, count)
        rows = np.zeros((int(np.prod(s.shape)), s.row), s.dtype)
        rows[:, :count] = np.asarray(d.ppf(u.reshape(count, *d.slot_shape)), s.dtype).reshape(count, -1).T
        return rows

    # ------------------------------------------------------------------ sums

    def blocks(self, cells: range, first_block: int, count: int) -> Sums:
        """The sums of consecutive blocks for the cells of one group."""
        p = self.problem
        last = min((first_block + count) * BLOCK, p.samples)
        centres = self.centres[cells.start : cells.stop]
        found, uniform = self._run(cells, first_block * BLOCK, last, BLOCK, centres)
        sizes = np.full(count, BLOCK, np.float64)
        sizes[-1] = last - (first_block + count - 1) * BLOCK
        return self._sums(found, sizes, centres, uniform)

    def centre(self, cell: int) -> tuple[Any, Any]:
        """(value, gradient): what the cell's sums are taken around."""
        c = self.centres[cell].astype(np.float64)
        return c[0], c[1:]

    @cached_property
    def centres(self) -> Any:
        """Per cell, the mean of the first samples by the kernel itself; zero for what is not summed."""
        cells = range(self.problem.cells)
        zero = np.zeros((len(cells), 1 + self.problem.entries), self.dtype)
        if not self.summed.any():
            return zero
        n = min(PILOT[self.dtype.itemsize], self.problem.samples)
        raw, uniform = self._run(cells, 0, n, 64, zero)
        sums = self._sums(raw, np.array([float(n)]), zero, uniform)
        mean = np.concatenate([sums.values[:, 0, :1], sums.entries[:, 0, 0]], axis=1)
        mean /= np.maximum(sums.counts[:, 0, :1], 1.0)
        keep = self.summed & np.isfinite(mean) & (np.abs(mean) < 1e30)
        return np.where(keep, mean, 0.0).astype(self.dtype)

    def _run(self, cells: range, first: int, last: int, block: int, centres: Any) -> tuple[Any, list[Any]]:
        """The accumulators (cells, blocks, .), and per cell the arrays that are the same for all samples."""
        p, kernel = self.problem, self.sums.kernel
        step = COMPUTED * block if self.computed else last - first
        width = max(len(kernel.program.accumulators), 1)
        out = np.zeros((len(cells), -(-(last - first) // block), width))
        tables, uniform = self._tables(cells, centres)
        at, sums = _address(tables), _address(out)
        if kernel.program.accumulators:
            for c, cell in enumerate(cells):
                stream = p.stream(cell % p.sweep)
                for start in range(first, last, step):
                    stop = min(start + step, last)
                    held = self._compute(tables[c], stream, start, stop - start) if self.computed else None
                    place = sums + c * out.strides[0] + (start - first) // block * width * 8
                    kernel.run_samples(at + c * tables.strides[0], start, stop, block, place, p.seed, stream)
                    del held
        return out, uniform

    def _sums(self, found: Any, sizes: Any, centres: Any, uniform: list[Any]) -> Sums:
        """Accumulators to sums: constants and two-valued entries are counted, not summed."""
        sums = self.sums
        out = Sums.zeros(len(found), len(sizes), self.problem.entries)
        if sums.always_valid:
            wrong: Any = 0.0
        else:
            wrong = found[..., sums.invalid]
            first = found[..., sums.first_invalid]
            seen = np.isfinite(first)
            out.first[seen] = first[seen].astype(np.int64)
        out.counts[..., 0], out.counts[..., 1] = sizes - wrong, wrong
        n = out.counts[..., 0] if self.problem.omit else np.broadcast_to(sizes, found.shape[:2])
        entries = out.entries
        for i, entry in enumerate(self.entries):
            if entry.constant == 0 and i:
                continue
            four = _four(entry, found, n, centres[:, i].astype(np.float64)[:, None], uniform)
            if i == 0:
                out.table[..., 2], out.table[..., 3] = four[0], four[1]
            else:
                for j in range(4):
                    entries[:, :, j, i - 1] = four[j]
        return out

    # ------------------------------------------------------------------ rows

    def rows(self, cell: int, first_sample: int, count: int) -> tuple[Any, Any, Any]:
        """Values (n,), gradients (n, m) and wrt arguments (n, m) of consecutive samples, in float64."""
        width = ROW_BLOCKS * BLOCK
        programs = self.programs
        with programs.lock:
            if programs.rows is None:
                programs.rows = RowsProgram(programs.recorded, self.dtype, self.upstream, width)
        kernel, m = programs.rows.kernel, self.problem.entries
        parts: list[Any] = []
        for start in range(first_sample // 64 * 64, first_sample + count, width):
            stop = min(start + width, first_sample + count)
            block = np.zeros((1 + 2 * m, width))
            table, _uniform = self._tables(range(cell, cell + 1), block)
            p = self.problem
            stream = p.stream(cell % p.sweep)
            held = self._compute(table[0], stream, start, stop - start)
            table[0, -1] = (_address(block) - 8 * start) % (1 << 64)
            kernel.run_samples(_address(table), start, stop, width, 0, p.seed, stream)
            del held
            parts.append(block[:, max(first_sample - start, 0) : stop - start])
        all_rows = np.concatenate(parts, axis=1)
        return all_rows[0], all_rows[1 : 1 + m].T, all_rows[1 + m :].T


def _address(array: Any) -> int:
    return array.__array_interface__["data"][0]


def padded(samples: int, itemsize: int) -> int:
    """The length of a row that holds so many samples: whole groups, and one cache line more.

    Rows that lie a power of two apart would all fall into the same few places of the cache.
    """
    return -(-samples // 64) * 64 + 64 // itemsize


def _four(entry: Entry, found: Any, n: Any, centre: Any, uniform: list[Any]) -> tuple[Any, Any, Any, Any]:
    """sum(g - c), sum((g - c)^2), sum|g|, count(g != 0) of one entry, per cell and block."""
    if entry.constant is not None:
        return _counted(((n, np.float64(entry.constant)),), centre)
    if entry.sides is not None:
        k = found[..., entry.first]
        one, other = (np.asarray(value_of(v, uniform), np.float64).reshape(-1, 1) for v in entry.sides)
        return _counted(((k, one), (n - k, other)), centre)
    first, second = found[..., entry.first], found[..., entry.second]
    if entry.active < 0:
        return first, second, first, n
    magnitude = found[..., entry.magnitude] if not entry.sign else entry.sign * (first + n * centre)
    return first, second, magnitude, found[..., entry.active]


def _counted(cases: Sequence[tuple[Any, Any]], centre: Any) -> tuple[Any, Any, Any, Any]:
    """The four sums where each of a few values was counted; what never occurred counts as nothing."""
    total: list[Any] = [0.0] * 4
    with np.errstate(all="ignore"):
        for k, v in cases:
            finite = np.isfinite(v).all()
            off = v - centre
            for j, x in enumerate((off, off * off, np.abs(v), v != 0)):
                total[j] = total[j] + (k * x if finite else np.where(k > 0, k * x, 0.0))
    return total[0], total[1], total[2], total[3]


MAKERS.append(Fused)

__all__ = ["Fused"]
