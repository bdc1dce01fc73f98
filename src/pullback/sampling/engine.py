"""Running a study: ranges of blocks to the crew, sums folded in block order, stops, checkpoints, Ctrl-C.

Read `run`. What depends on timing (which thread computes which blocks, how many at once) never reaches the
totals: they are additions of block sums in block order. May import `workers`, `resume`, `sums`, `kernel`.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.sampling.kernel import Kernel
from pullback.sampling.problem import Problem
from pullback.sampling.resume import Checkpoint
from pullback.sampling.sums import BLOCK, NEVER, Averages, Sums, averages, fold
from pullback.sampling.workers import Answer, Crew, as_sums

FIRST_LOOK = 4  # blocks before the target is looked at for the first time; later looks are 1.25 times apart
TASKS = 4  # tasks for each member of the crew when nothing is known about their length


class InvalidSample(Exception):  # noqa: N818 - carried to the study, which words the error
    """A cell has a sample with a non-finite value or gradient, and the study was told to stop there."""

    def __init__(self, cell: int, sample: int) -> None:
        super().__init__(cell, sample)
        self.cell, self.sample = cell, sample


@dataclass
class Done:
    """Totals of all cells after the same number of blocks."""

    total: Sums
    blocks: int = 0
    partial: bool = False
    seconds: float = 0.0

    def copied(self, blocks: int, seconds: float) -> Done:
        """This as a state of its own, at a number of blocks."""
        return Done(Sums(self.total.table.copy(), self.total.first.copy()), blocks, False, seconds)


@dataclass
class Settings:
    """How to run, as far as it does not change any number but where to stop.

    target       stop once every standard error of the mean gradient is at most this
    stop_invalid raise InvalidSample at the first invalid sample
    """

    target: float | None = None
    stop_invalid: bool = True
    report: Callable[[int, int], Any] | None = None
    checkpoint: Checkpoint | None = None


class Run:
    """One run of a study."""

    def __init__(self, problem: Problem, kernel: Kernel, settings: Settings) -> None:
        """Start from nothing, or from the checkpoint."""
        self.problem, self.kernel, self.settings = problem, kernel, settings
        self.started = time.perf_counter()
        self.working = Done(Sums.zeros(problem.cells, 1, problem.entries))
        self.before = 0.0
        checkpoint = settings.checkpoint
        found = checkpoint.load(problem.samples) if checkpoint is not None else None
        if found is not None:
            self.working.total, self.working.blocks, self.before = found
        self.state = self.working.copied(self.working.blocks, self.before)
        self.pace = 0.0  # seconds per block of one cell group, as measured last

    def samples(self, blocks: int) -> int:
        """How many samples so many blocks hold."""
        return min(blocks * BLOCK, self.problem.samples)

    @property
    def seconds(self) -> float:
        """Spent so far, earlier runs included."""
        return self.before + time.perf_counter() - self.started

    def go(self, crew: Crew) -> Done:
        """All blocks, or as many as the target or Ctrl-C lets be."""
        waiting: deque[tuple[range, int, bool, Future[Answer]]] = deque()
        try:
            if not self._enough(self.state):
                self._work(crew, waiting)
        except KeyboardInterrupt:
            _drop(waiting)
            self._save(now=True)
            if not self.state.blocks:
                raise
            self.state.partial = self.state.blocks < self.problem.blocks
        except BaseException:
            _drop(waiting)
            raise
        else:
            _drop(waiting)
            self._save(now=True)
        self.state.seconds = self.seconds
        return self.state

    def _work(self, crew: Crew, waiting: deque[tuple[range, int, bool, Future[Answer]]]) -> None:
        tasks = self._tasks(crew)
        while True:
            while len(waiting) < 2 * crew.size:
                task = next(tasks, None)
                if task is None:
                    break
                cells, first, count, last = task
                waiting.append((cells, first + count, last, crew.submit(cells, first, count)))
                if crew.size == 1:
                    break  # the calling thread computes: no work ahead, so that progress is shown
            if not waiting:
                return
            cells, end, last, future = waiting.popleft()
            if self._take(cells, end, last, future.result()):
                return

    def _tasks(self, crew: Crew) -> Iterator[tuple[range, int, int, bool]]:
        """(cells, first block, count, is it the last group of its range?), ranges of blocks outermost."""
        groups, total = self.kernel.groups, self.problem.blocks
        first = self.working.blocks
        looks = _looks() if self.settings.target is not None else iter(())
        look = next((b for b in looks if b > first), total)
        even = -(-(total - first) * len(groups) // (TASKS * crew.size))
        while first < total:
            count = int(np.clip(even, 1, self.kernel.span))
            if self.pace:
                count = int(np.clip(crew.seconds / self.pace, 1, self.kernel.span))
            count = min(count, total - first, look - first)
            for i, cells in enumerate(groups):
                yield cells, first, count, i == len(groups) - 1
            first += count
            if first == look:
                look = next(looks, total)

    def _take(self, cells: range, end: int, last: bool, answer: Answer) -> bool:
        """Fold an answer; True where the target is reached."""
        sums, total = as_sums(answer), self.working.total
        self.pace = max(answer[2] / sums.table.shape[1], 1e-6)
        with np.errstate(all="ignore"):
            fold(total, cells, sums)
        if self.settings.stop_invalid:
            bad = np.flatnonzero(total.first[cells.start : cells.stop, 0] != NEVER)
            if bad.size:
                cell = cells.start + int(bad[0])
                raise InvalidSample(cell, int(total.first[cell, 0]))
        if self.settings.report is not None:
            done = self.samples(end - sums.table.shape[1]) * self.problem.cells
            done += (self.samples(end) - self.samples(end - sums.table.shape[1])) * cells.stop
            self.settings.report(done, self.problem.samples * self.problem.cells)
        if not last:
            return False
        # assigned in one step: Ctrl-C at any moment leaves a whole state
        self.state = self.working.copied(end, self.seconds)
        self._save()
        return self._enough(self.state)

    def _save(self, *, now: bool = False) -> None:
        checkpoint, state = self.settings.checkpoint, self.state
        if checkpoint is not None and state.blocks:
            checkpoint.save(state.total, self.samples(state.blocks), self.seconds, now=now)

    def _enough(self, state: Done) -> bool:
        """Is the target reached? Asked at fixed numbers of blocks, so that timing has no part in it."""
        target = self.settings.target
        if target is None or not state.blocks or state.blocks not in _until(state.blocks):
            return False
        found = averages(state.total, (np.zeros(1), np.zeros((1, 1))), not self.problem.omit)
        return bool((found.stderr <= target).all())


def _looks() -> Iterator[int]:
    """The numbers of blocks at which the target is looked at."""
    b = FIRST_LOOK
    while True:
        yield b
        b = max(b + 1, b * 5 // 4)


def _until(blocks: int) -> set[int]:
    found: set[int] = set()
    for b in _looks():
        if b > blocks:
            return found
        found.add(b)
    return found


def _drop(waiting: deque[Any]) -> None:
    """Cancel what has not begun and wait for what has: nothing runs on after the study has returned."""
    for *_, future in waiting:
        future.cancel()
    for *_, future in waiting:
        if not future.cancelled():
            with contextlib.suppress(BaseException):
                future.result()
    waiting.clear()


def averages_of(problem: Problem, kernel: Kernel, done: Done) -> Averages:
    """The averages of a state, with the kernel's centres put back."""
    centres = [kernel.centre(c) for c in range(problem.cells)]
    d = np.array([c[0] for c in centres], np.float64)
    c = np.stack([np.asarray(g, np.float64) for _, g in centres])
    return averages(done.total, (d, c), not problem.omit)
