"""The kernel that always works: one recorded run of f on a few thousand samples at a time.

Read `Batched.blocks`, then `_chunk`. A block is evaluated in chunks of a fixed size, so the same sample is
always computed among the same neighbours: matrix products may round differently in other company, and results
must not depend on threads. May import `estimators`, `problem`, `sums`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pullback.graph.tensor import Tensor
from pullback.sampling.estimators import (
    Rows,
    check_likelihood_ratio,
    likelihood_ratio,
    pathwise,
    smoothed,
    values_only,
)
from pullback.sampling.problem import PILOT, Problem
from pullback.sampling.sums import BLOCK, Sums, centre_of, sums_of

CHUNK_ENTRIES = 1 << 18  # of the arguments of a chunk: a few arrays of them fit the cache
PILOT_SAMPLES = 1024


class Batched:
    """Values and gradients by `func.vmap` of `func.vjp`; memory does not grow with the number of samples.

    groups   cells that are computed together: those that share their samples
    span     at most this many blocks per call, so that progress is shown and Ctrl-C is heard
    """

    name = "batched"
    span = 8

    def __init__(self, problem: Problem) -> None:
        """Cheap: nothing is evaluated before `prepare`."""
        self.problem = problem
        k = problem.sweep if problem.common_draws else 1
        self.groups: Sequence[range] = [range(i, i + k) for i in range(0, problem.cells, k)]
        per_sample = max(1, problem.slots + problem.entries + sum(_size(problem, i) for i in _own(problem)))
        self.chunk = int(2 ** np.clip(np.floor(np.log2(CHUNK_ENTRIES / per_sample)), 4, np.log2(BLOCK)))
        self._centres: dict[int, tuple[Any, Any]] = {}
        self._bases: dict[int, Any] = {}
        self._latest = threading.local()

    def prepare(self) -> None:
        """Raise what cannot work before anything is computed."""
        if self.problem.method == "likelihood_ratio":
            check_likelihood_ratio(self.problem)

    def blocks(self, cells: range, first_block: int, count: int) -> Sums:
        """The sums of consecutive blocks for the cells of one group."""
        p = self.problem
        out = Sums.zeros(len(cells), count, p.entries)
        self._set_centres(cells)
        for b in range(count):
            first = (first_block + b) * BLOCK
            values, gradients = self._range(cells, first, p.block_size(first_block + b))
            for c, cell in enumerate(cells):
                s = sums_of(values[c], gradients[c], self._centres[cell], first, p.omit)
                out.table[c, b], out.first[c, b] = s.table[0, 0], s.first[0, 0]
        return out

    def centre(self, cell: int) -> tuple[Any, Any]:
        """(value, gradient) of the cell's first sample, finite part: what the sums are taken around."""
        self._set_centres(self._group(cell))
        return self._centres[cell]

    def rows(self, cell: int, first_sample: int, count: int) -> tuple[Any, Any, Any]:
        """Values (n,), gradients (n, m) and wrt arguments (n, m) of consecutive samples, in float64."""
        p = self.problem
        group = self._group(cell)
        values, gradients = self._range(group, first_sample, count)
        k = cell - group.start
        args = p.values(cell // p.sweep, p.stream(cell % p.sweep), first_sample, count)
        inputs = [np.broadcast_to(args[i].value, (count, *p.shape(i))).reshape(count, -1) for i in p.wrt]
        return values[k], gradients[k], np.concatenate(inputs, axis=1, dtype=np.float64)

    def _group(self, cell: int) -> range:
        return self.groups[cell // len(self.groups[0])]

    def _set_centres(self, cells: range) -> None:
        if cells.start not in self._centres:
            values, gradients = self._range(cells, 0, 1)
            for c, cell in reversed(list(enumerate(cells))):
                self._centres[cell] = centre_of(values[c, 0], gradients[c, 0])

    def _range(self, cells: range, first: int, count: int) -> Rows:
        """Values (k, count) and gradients (k, count, m), always from whole chunks."""
        parts = list(self._pieces(cells, first, count))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([v for v, _ in parts], axis=1), np.concatenate([g for _, g in parts], axis=1)

    def _pieces(self, cells: range, first: int, count: int) -> Iterator[Rows]:
        for start in range(first // self.chunk * self.chunk, first + count, self.chunk):
            values, gradients = self._chunk(cells, start)
            lo, hi = max(first - start, 0), min(first + count - start, self.chunk)
            yield values[:, lo:hi], gradients[:, lo:hi]

    def _chunk(self, cells: range, start: int) -> Rows:
        """One chunk; the latest one of each thread is kept, because block 0 also gives the centres."""
        key = (cells.start, start)
        if getattr(self._latest, "key", None) != key:
            p = self.problem
            count = min(self.chunk, p.samples - start)
            self._latest.rows = self._evaluate(cells, start, count)
            self._latest.key = key
        return self._latest.rows

    def _evaluate(self, cells: range, start: int, count: int) -> Rows:
        p = self.problem
        each, stream = cells.start // p.sweep, p.stream(cells.start % p.sweep)
        args = p.values(each, stream, start, count)
        vs = self._upstream(cells)
        if p.method == "pathwise":
            return pathwise(p, args, vs)
        if p.method == "likelihood_ratio":
            return likelihood_ratio(p, args, vs, self._base(cells, each, vs))
        return smoothed(p, args, vs, self._noise(stream, start, count))

    def _upstream(self, cells: range) -> list[Any]:
        p = self.problem
        return [None if p.upstream is None else p.upstream[c % p.sweep] for c in cells]

    def _noise(self, stream: int, start: int, count: int) -> list[Any]:
        """Standard normals for each wrt argument, from the slots after those of f."""
        p, slot = self.problem, self.problem.slots
        out: list[Any] = []
        for i, size in zip(p.wrt, p.wrt_sizes, strict=True):
            z = p.standard("normal", np.float64, stream, slot, size, start, count)
            out.append(z.reshape(count, *p.shape(i)))
            slot += size
        return out

    def _base(self, cells: range, each: int, vs: list[Any]) -> Any:
        """The mean of f over samples that are no part of the average; it makes the noise small."""
        if cells.start not in self._bases:
            p = self.problem
            args: list[Tensor] = p.values(each, PILOT, 0, min(PILOT_SAMPLES, p.samples))
            values = values_only(p, args, vs)
            good = np.isfinite(values)
            total = np.where(good, values, 0.0).sum(axis=1)
            self._bases[cells.start] = total / np.maximum(good.sum(axis=1), 1)
        return self._bases[cells.start]


def _own(problem: Problem) -> list[int]:
    return [i for i in range(len(problem.arguments)) if problem.batched(i)]


def _size(problem: Problem, i: int) -> int:
    return int(np.prod(problem.shape(i)))
