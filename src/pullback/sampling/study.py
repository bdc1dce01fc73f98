"""`sensitivity`: the expectation of a vector-Jacobian product over random inputs, with its error.

Read `sensitivity`, then `arguments.set_up` (what the arguments mean) and `_finish` (from totals to the
result). May import the other rooms of `sampling`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.sampling.arguments import check_numbers, labels_of, parameters, sample_of, set_up
from pullback.sampling.engine import Done, InvalidSample, Run, Settings, averages_of
from pullback.sampling.fingerprint import fingerprint
from pullback.sampling.inputs import Each
from pullback.sampling.jump_search import find_jumps
from pullback.sampling.kernel import Kernel, choose_kernel
from pullback.sampling.problem import Problem
from pullback.sampling.progress import progress_of
from pullback.sampling.result import Invalid, Sensitivity
from pullback.sampling.resume import Checkpoint
from pullback.sampling.sums import BLOCK, NEVER
from pullback.sampling.suspects import first_bad_op
from pullback.sampling.workers import crew_of


def sensitivity(
    f: Callable[..., Any],
    inputs: Any,
    *,
    upstream: Any = None,
    wrt: Any = None,
    samples: int = 100_000,
    seed: int = 0,
    dtype: Any = None,
    common_draws: bool = True,
    confidence: float = 0.95,
    workers: Any = None,
    progress: Any = None,
    checkpoint: Any = None,
    target_stderr: float | None = None,
    method: str = "pathwise",
    smooth: Any = None,
    on_invalid: str = "raise",
) -> Sensitivity:
    """E[v^T J(x)]: the mean gradient of f over random x, its standard error, and what else the samples say.

    f              takes one sample (one tensor per input) and returns a tensor of any shape
    inputs         one item or a tuple of: a distribution of `pullback.distributions`, a frozen SciPy one, a
                   SALib problem, `given(array)` (samples along the first axis; then there are at most as many
                   samples), `each(array)` (every field of the result gains a leading axis), a fixed tensor
    upstream       v of the output's shape, a stack of k of them (the result gains an axis), None for scalar f
    wrt            number(s) or name(s) of the differentiated arguments; default: the random ones, or else the
                   given ones. For several of them every field of the result is a tuple of arrays.
    samples        of each average; with target_stderr the most that may be drawn
    seed           0 .. 2**64 - 1; the same seed gives the same samples on every machine
    dtype          of the draws and of given and each values: float32 or float64; default: the default dtype
    common_draws   all k upstream vectors see the same samples; False: each has its own
    workers        None (a thread per core), a number of threads, a concurrent.futures executor, a Dask client
    progress       True shows a bar; a callable gets (samples done, samples in all), over all averages
    checkpoint     a file; a study that was killed continues from it, to the same bits
    target_stderr  stop once every standard error of the mean is at most this (looked at after 4, 5, 6, 7, 8,
                   10 ... blocks of 8192 samples; stopping early makes intervals slightly optimistic)
    method         "pathwise" differentiates f. "likelihood_ratio" differentiates the inputs' densities: right
                   for f with jumps, and noisier
    smooth         a width (or one per wrt argument, in the argument's units): the gradient of f averaged over
                   normal noise of that width. Right for jumps up to a bias that falls with its square.
    on_invalid     a sample with a non-finite value or gradient: "raise" (ArithmeticError that shows it),
                   "omit" (left out and counted), "propagate" (part of the sums)

    Where f jumps along a differentiated argument, the pathwise mean misses part of the derivative: `jumps`
    says which op and line, and the affected entries get an infinite standard error.
    Ctrl-C returns what is done so far (`partial` is True). Results are bit-identical for any workers, and
    after resuming. Sums are float64, whatever the dtype.

    >>> from pullback.sampling.study import sensitivity
    >>> from pullback.sampling.distributions import Normal
    >>> r = sensitivity(lambda x: (x**2).sum(), Normal(1.0, 1.0).expand(2), samples=10_000)
    >>> bool((abs(r.mean - 2.0) < 5 * r.stderr).all())
    True
    """
    problem, stacked, single = set_up(
        f, inputs, upstream, wrt, samples, seed, dtype, common_draws, method, smooth, on_invalid
    )
    check_numbers(confidence, target_stderr)
    kernel, described = choose_kernel(problem)
    file = None
    if checkpoint is not None:
        file = Checkpoint(checkpoint, _digest(problem, kernel))
    with progress_of(progress) as report:
        run = Run(problem, kernel, Settings(target_stderr, on_invalid == "raise", report, file))
        try:
            with crew_of(workers, kernel, problem) as crew:
                done = run.go(crew)
        except InvalidSample as found:
            raise _invalid_error(problem, found.cell, found.sample) from None
    names = parameters(f, len(problem.arguments))
    return _finish(_Study(problem, kernel, described, stacked, single, confidence, names), done)


def _digest(problem: Problem, kernel: Kernel) -> str:
    """Everything that decides the totals, but for the number of samples."""
    p = problem
    return fingerprint(
        p.f,
        p.arguments,
        p.wrt,
        p.upstream,
        p.seed,
        str(p.dtype),
        p.common_draws,
        p.method,
        p.widths,
        p.omit,
        kernel.name,
        BLOCK,
        "layout 1",  # of the totals
    )


# ---------------------------------------------------------------------- from totals to the result


@dataclass(frozen=True)
class _Study:
    """What the result needs besides the totals."""

    problem: Problem
    kernel: Kernel
    described: str
    stacked: bool
    single: bool
    confidence: float
    names: list[str]


def _finish(s: _Study, done: Done) -> Sensitivity:
    p = s.problem
    found = averages_of(p, s.kernel, done)
    axes = (*p.each_shape, *((p.sweep,) if s.stacked else ()))
    drawn = min(done.blocks * BLOCK, p.samples)

    def shaped(a: Any) -> Any:
        """(cells, m) as one array of the result's axes, or a tuple of them."""
        edges = np.cumsum(p.wrt_sizes)[:-1]
        parts = np.split(a, edges, axis=1)
        arrays = [x.reshape((*axes, *p.shape(i))) for x, i in zip(parts, p.wrt, strict=True)]
        return arrays[0] if s.single else tuple(arrays)

    def rows(cell: int = 0) -> Iterator[tuple[Any, Any, Any]]:
        """The samples of a cell again, block by block."""
        for first in range(0, drawn, BLOCK):
            yield s.kernel.rows(cell, first, min(BLOCK, drawn - first))

    labels = labels_of(s.names, p)
    jumps, missed = find_jumps(p, labels)
    # no interval around a mean that misses part of the derivative
    stderr = np.where(np.tile(missed, (p.cells // p.sweep, 1)), np.inf, found.stderr)
    laws = tuple(getattr(p.arguments[i], "distribution", None) for i in p.wrt)
    return Sensitivity(
        mean=shaped(found.mean),
        stderr=shaped(stderr),
        abs_mean=shaped(found.abs_mean),
        second_moment=shaped(found.second_moment),
        active=shaped(found.active),
        value_mean=found.value_mean.reshape(axes),
        value_stderr=found.value_stderr.reshape(axes),
        samples=drawn,
        seed=p.seed,
        seconds=done.seconds,
        confidence=s.confidence,
        partial=done.partial,
        invalid=_invalid(p, done),
        jumps=jumps,
        method=p.method,
        names=tuple(s.names),
        labels=labels,
        wrt=p.wrt,
        stacked=s.stacked,
        common_draws=p.common_draws,
        upstream=None if p.upstream is None else (p.upstream if s.stacked else p.upstream[0]),
        each=tuple(np.asarray(a.values) for a in p.arguments if isinstance(a, Each)),
        dtype=str(p.dtype),
        kernel=s.described,
        _rows=rows,
        _distributions=laws,
    )


def _invalid(p: Problem, done: Done) -> Invalid | None:
    """Count, first sample, its inputs and the op, over all cells."""
    first = done.total.first[:, 0]
    if (first == NEVER).all():
        return None
    cell = int(np.argmin(first))
    args, op = _evidence(p, cell, int(first[cell]))
    return Invalid(int(done.total.counts[:, 0, 1].sum()), int(first[cell]), args, op)


def _evidence(p: Problem, cell: int, sample: int) -> tuple[tuple[Any, ...], str]:
    args = sample_of(p, cell, sample)
    v = None if p.upstream is None else p.upstream[cell % p.sweep]
    return tuple(np.array(a.value) for a in args), first_bad_op(p.f, args, p.wrt, v)


def _invalid_error(p: Problem, cell: int, sample: int) -> ArithmeticError:
    args, op = _evidence(p, cell, sample)
    shown = ", ".join(np.array2string(a, precision=6, threshold=8) for a in args)
    return ArithmeticError(
        message(
            f"sensitivity: sample {sample} has a non-finite value or gradient",
            f"inputs {shown}" + (f"; first non-finite result: {op}" if op else ""),
            'on_invalid="omit" leaves such samples out and counts them, "propagate" lets them into the sums',
        )
    )
