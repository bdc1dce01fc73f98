"""What the arguments of `sensitivity` mean: from what a user passes to a `Problem`, and the errors.

Read `set_up`. May import `inputs`, `problem`.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pullback.dtypes import dtype as Dtype
from pullback.dtypes import get_default_dtype
from pullback.errors import message
from pullback.graph.tensor import Tensor, wrap
from pullback.sampling.inputs import Fixed, Given, Random, resolve
from pullback.sampling.problem import Problem, remembered

METHODS = ("pathwise", "likelihood_ratio")
ON_INVALID = ("raise", "omit", "propagate")


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
        names = parameters(f, n)
        if w in names:
            return names.index(w)
    elif isinstance(w, int | np.integer) and not isinstance(w, bool) and -n <= w < n:
        return int(w) % n
    raise (IndexError if isinstance(w, int) else ValueError)(
        message(
            f"sensitivity: wrt={w!r} names no argument",
            f"f takes {n}: {', '.join(parameters(f, n))}",
            f"use a number from 0 to {n - 1} or a parameter's name",
        )
    )


def parameters(f: Callable[..., Any], n: int) -> list[str]:
    """The names of f's first n positional parameters, or x0, x1 ... where they are not known."""
    try:
        found = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        found = []
    named = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return named[:n] if len(named) >= n else [f"x{i}" for i in range(n)]


def labels_of(names: list[str], problem: Problem) -> tuple[str, ...]:
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


def check_numbers(confidence: Any, target: Any) -> None:
    """ValueError for a confidence or a target that cannot be one."""
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


_tried: OrderedDict[str, Tensor] = OrderedDict()


def _try_out(problem: Problem) -> Tensor:
    """f of the first sample; a function that was tried before is not run again."""
    out = remembered(_tried, problem.signature, lambda: problem.call(sample_of(problem, 0, 0)))
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
