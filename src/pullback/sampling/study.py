"""`sensitivity`: the expectation of a vector-Jacobian product over random inputs, with its error.

Read `sensitivity`, then `set_up` (what the arguments mean) and `_finish` (from totals to the result). May
import the other rooms of `sampling`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pullback.dtypes import dtype as Dtype
from pullback.dtypes import get_default_dtype
from pullback.errors import message
from pullback.graph.tensor import Tensor, wrap
from pullback.sampling.engine import Done, InvalidSample, Run, Settings, averages_of
from pullback.sampling.fingerprint import fingerprint
from pullback.sampling.inputs import Each, Fixed, Given, Random, resolve
from pullback.sampling.jump_search import find_jumps
from pullback.sampling.kernel import Kernel, choose_kernel
from pullback.sampling.problem import Problem
from pullback.sampling.progress import progress_of
from pullback.sampling.result import Invalid, Sensitivity
from pullback.sampling.resume import Checkpoint
from pullback.sampling.sums import BLOCK, NEVER
from pullback.sampling.suspects import first_bad_op
from pullback.sampling.workers import crew_of

METHODS = ("pathwise", "likelihood_ratio")
ON_INVALID = ("raise", "omit", "propagate")


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
    _check_numbers(confidence, target_stderr)
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
    names = _parameters(f, len(problem.arguments))
    return _finish(_Study(problem, kernel, described, stacked, single, confidence, names), done)


# ---------------------------------------------------------------------- what the arguments mean


def set_up(
    f: Callable[..., Any],
    inputs: Any,
    upstream: Any,
    wrt: Any,
    samples: int,
    seed: int,
    dtype: Any,
    common_draws: bool,
    method: str,
    smooth: Any,
    on_invalid: str,
) -> tuple[Problem, bool, bool]:
    """(the problem, is upstream a stack, is wrt one argument); the errors of wrong arguments."""
    arguments = tuple(resolve(inputs))
    chosen, single = _wrt(f, arguments, wrt)
    widths = _widths(smooth, chosen, arguments)
    _check_choice("method", method, METHODS)
    _check_choice("on_invalid", on_invalid, ON_INVALID)
    if smooth is not None and method != "pathwise":
        raise ValueError(
            message(
                "sensitivity: smooth and method cannot both be given",
                f"method={method!r}, smooth={smooth!r}",
                "leave one of them out: each is an answer to jumps of f",
            )
        )
    draft = Problem(
        f,
        arguments,
        chosen,
        None,
        _samples(samples, arguments),
        _seed(seed),
        _dtype(dtype),
        bool(common_draws),
        "smooth" if smooth is not None else method,
        widths,
        on_invalid != "propagate",
    )
    out = _try_out(draft)
    array, stacked = _upstream(upstream, out)
    return replace(draft, upstream=array), stacked, single


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            message(
                f"sensitivity: {name} must be one of {', '.join(choices)}",
                f"{name}={value!r}",
                f"{name}={choices[0]!r} is the default",
            )
        )


def _wrt(f: Callable[..., Any], arguments: tuple[Any, ...], wrt: Any) -> tuple[tuple[int, ...], bool]:
    """The differentiated arguments, and whether there is one that was not asked for in a tuple."""
    if not any(isinstance(a, Random | Given) for a in arguments):
        raise ValueError(
            message(
                "sensitivity: none of the inputs is random, so there is nothing to average over",
                f"{len(arguments)} inputs: {', '.join(type(a).__name__.lower() for a in arguments)}",
                "pass a distribution or given(array); for one gradient use pullback.func.vjp",
            )
        )
    if wrt is None:
        laws = [i for i, a in enumerate(arguments) if isinstance(a, Random)]
        smooth = [i for i in laws if not arguments[i].distribution.discrete]
        given = [i for i, a in enumerate(arguments) if isinstance(a, Given)]
        chosen = smooth or laws or given
        return tuple(chosen), len(chosen) == 1
    several = list(wrt) if isinstance(wrt, tuple | list) else [wrt]
    places = [_place(f, w, len(arguments)) for w in several]
    if not places or len(set(places)) != len(places):
        raise ValueError(
            message(
                "sensitivity: wrt must name one or more arguments, each once",
                f"wrt={wrt!r}",
                f"arguments are numbered 0 to {len(arguments) - 1}",
            )
        )
    for i in places:
        a = arguments[i]
        if isinstance(a, Fixed) and a.tensor.value.dtype.kind != "f":
            raise RuntimeError(
                message(
                    "only Tensors of floating point dtype can require gradients",
                    f"wrt argument {i} has dtype {a.tensor.dtype!r}",
                    "pass it as floating-point numbers",
                )
            )
    return tuple(places), len(places) == 1 and not isinstance(wrt, tuple | list)


def _place(f: Callable[..., Any], w: Any, n: int) -> int:
    if isinstance(w, str):
        names = _parameters(f, n)
        if w in names:
            return names.index(w)
    elif isinstance(w, int | np.integer) and not isinstance(w, bool) and -n <= w < n:
        return int(w) % n
    raise (IndexError if isinstance(w, int) else ValueError)(
        message(
            f"sensitivity: wrt={w!r} names no argument",
            f"f takes {n}: {', '.join(_parameters(f, n))}",
            f"use a number from 0 to {n - 1} or a parameter's name",
        )
    )


def _parameters(f: Callable[..., Any], n: int) -> list[str]:
    """The names of f's first n positional parameters, or x0, x1 ... where they are not known."""
    try:
        found = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        found = []
    named = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return named[:n] if len(named) >= n else [f"x{i}" for i in range(n)]


def _labels(names: list[str], problem: Problem) -> tuple[str, ...]:
    """A name for every gradient entry: the input's labels, or the parameter's name with the index."""
    found: list[str] = []
    for i in problem.wrt:
        labels, shape = problem.arguments[i].labels, problem.shape(i)
        if labels is not None:
            found += labels
        elif not shape:
            found.append(names[i])
        else:
            found += [f"{names[i]}[{','.join(map(str, at))}]" for at in np.ndindex(shape)]
    return tuple(found)


def _widths(smooth: Any, wrt: tuple[int, ...], arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if smooth is None:
        return None
    several = list(smooth) if isinstance(smooth, tuple | list) else [smooth] * len(wrt)
    arrays = [np.asarray(s.value if isinstance(s, Tensor) else s, np.float64) for s in several]
    if len(arrays) != len(wrt) or not all((a > 0).all() and np.isfinite(a).all() for a in arrays):
        raise ValueError(
            message(
                "sensitivity: smooth must be a positive width, or one per wrt argument",
                f"smooth={smooth!r}, and {len(wrt)} arguments are differentiated",
                "try a twentieth of the input's standard deviation",
            )
        )
    shapes = [tuple(arguments[i].shape) for i in wrt]
    return tuple(np.broadcast_to(a, s) for a, s in zip(arrays, shapes, strict=True))


def _samples(samples: Any, arguments: tuple[Any, ...]) -> int:
    if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1:
        raise ValueError(
            message("sensitivity: samples must be a positive int", f"samples={samples!r}", "samples=100_000")
        )
    given = [a.samples for a in arguments if isinstance(a, Given)]
    return min([int(samples), *given])


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise ValueError(
            message("sensitivity: seed must be an int from 0 to 2**64 - 1", f"seed={seed!r}", "seed=0")
        )
    return int(seed)


def _dtype(dtype: Any) -> Any:
    found = get_default_dtype() if dtype is None else dtype
    numpy = found.numpy if isinstance(found, Dtype) else np.dtype(found)
    if numpy not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(
            message(
                "sensitivity: dtype must be float32 or float64", f"dtype={dtype!r}", "dtype=torch.float64"
            )
        )
    return numpy


def _check_numbers(confidence: Any, target: Any) -> None:
    if not 0 < confidence < 1:
        raise ValueError(
            message(
                "sensitivity: confidence must lie between 0 and 1",
                f"confidence={confidence!r}",
                "0.95 is 95 %",
            )
        )
    if target is not None and not target > 0:
        raise ValueError(
            message(
                "sensitivity: target_stderr must be positive", f"target_stderr={target!r}", "leave it out"
            )
        )


def sample_of(problem: Problem, cell: int, sample: int) -> list[Tensor]:
    """The arguments of one sample of a cell."""
    each, sweep = divmod(cell, problem.sweep)
    args = problem.values(each, problem.stream(sweep), sample, 1)
    return [wrap(np.array(x.value)[0]) if problem.batched(i) else x for i, x in enumerate(args)]


def _try_out(problem: Problem) -> Tensor:
    """f of the first sample."""
    out = problem.call(sample_of(problem, 0, 0))
    if out.value.dtype.kind != "f":
        raise RuntimeError(
            message(
                "sensitivity: f must return a real floating-point tensor",
                f"it returned dtype {out.dtype!r}",
                "convert what f returns, for example with .float()",
            )
        )
    return out


def _upstream(upstream: Any, out: Tensor) -> tuple[Any, bool]:
    """(k, *output shape) or None, and whether the user gave a stack."""
    shape = tuple(out.value.shape)
    if upstream is None:
        if out.value.size != 1:
            raise RuntimeError(
                message(
                    "grad can be implicitly created only for scalar outputs",
                    f"f returns shape {shape}, so its derivative is a Jacobian J of {out.value.size} rows",
                    f"pass upstream=v of shape {shape}: the result is then E[v^T J]; or let f return a 0-d "
                    "tensor",
                )
            )
        return (np.ones((1, *shape)) if shape else None), False
    v = np.asarray(upstream.value if isinstance(upstream, Tensor) else upstream, np.float64)
    if v.shape == shape:
        return v[None], False
    if v.ndim == len(shape) + 1 and v.shape[1:] == shape and len(v):
        return v, True
    raise RuntimeError(
        message(
            f"Mismatch in shape: grad_output[0] has a shape of torch.Size({list(v.shape)}) and output[0] has "
            f"a shape of torch.Size({list(shape)}).",
            "v^T J needs one weight per entry of f's output",
            f"pass upstream of shape {shape}, or a stack of k of them of shape {('k', *shape)}".replace(
                "'", ""
            ),
        )
    )


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

    labels = _labels(s.names, p)
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
