"""Estimators: from the arguments of some samples to v . f and its gradient, sample by sample.

`pathwise` differentiates f (func.vmap over func.vjp). `likelihood_ratio` multiplies values of f by the
score of the inputs' densities, and `smoothed` by that of a small added noise: they need no derivative of f,
so jumps of f count. Read `pathwise` first. All return values (k, n) and gradients (k, n, m) in float64, for k
upstream vectors. May import `func`, `problem`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.compiler.api import Compiled
from pullback.compiler.trace import TraceError
from pullback.errors import message
from pullback.func.derivatives import vjp
from pullback.func.mapping import vmap
from pullback.graph.tensor import Tensor, wrap
from pullback.sampling.ends import ends
from pullback.sampling.problem import Problem

Rows = tuple[Any, Any]


def pathwise(problem: Problem, args: list[Tensor], vs: Sequence[Any], native: bool = False) -> Rows:
    """v . f(x) and v^T J for every sample and every upstream vector; native: compiled where possible."""
    wrt = problem.wrt

    def one(*xs: Tensor) -> Any:
        def of_wanted(*wanted: Tensor) -> Tensor:
            full = list(xs)
            for i, x in zip(wrt, wanted, strict=True):
                full[i] = x
            return problem.call(full)

        out, pull = vjp(of_wanted, *(xs[i] for i in wrt))
        found: list[Tensor] = []
        for v in vs:
            weight = wrap((np.ones(()) if v is None else v).astype(out.value.dtype))
            found += [out if v is None else (weight * out).sum(), *pull(weight)]
        return tuple(found)

    found = _mapped(problem, one, args, native)
    step = 1 + len(wrt)
    values = np.stack([_double(x) for x in found[::step]])
    n = values.shape[1]
    gradients = np.empty((len(vs), n, problem.entries))
    for k in range(len(vs)):
        parts = [_double(x).reshape(n, -1) for x in found[k * step + 1 : (k + 1) * step]]
        np.concatenate(parts, axis=1, out=gradients[k])
    return values, gradients


def values_only(problem: Problem, args: list[Tensor], vs: Sequence[Any], native: bool = False) -> Any:
    """v . f(x), float64 (k, n): f runs once for all upstream vectors."""

    def one(*xs: Tensor) -> Any:
        out = problem.call(list(xs))
        return tuple(out if v is None else (wrap(v.astype(out.value.dtype)) * out).sum() for v in vs)

    return np.stack([_double(x) for x in _mapped(problem, one, args, native)])


def _mapped(problem: Problem, one: Callable[..., Any], args: list[Tensor], native: bool) -> Any:
    batched = [problem.batched(i) or x.value.ndim > len(problem.shape(i)) for i, x in enumerate(args)]
    mapped = vmap(one, in_dims=tuple(0 if b else None for b in batched), randomness="error")
    if native:
        with contextlib.suppress(TraceError):
            return Compiled(mapped)(*args)
    return mapped(*args)


def _double(x: Tensor) -> Any:
    return np.asarray(x.value, np.float64)


def likelihood_ratio(problem: Problem, args: list[Tensor], vs: Sequence[Any], base: Any) -> Rows:
    """E[d f/d x] = E[(f - base) score(x)] + boundary terms, for random x independent of the others.

    score = -d/dx log p (Glynn 1990, doi.org/10.1145/84537.84552; here the parameter is a shift of x). Where
    the density p does not vanish at an end of the support, integration by parts leaves f p there: the sample
    with x moved to that end, times the density. base (k,) is any constant; a mean of f makes the noise small.
    """
    values = values_only(problem, args, vs)
    n = values.shape[1]
    off = values - base[:, None]
    parts: list[Any] = []
    for i in problem.wrt:
        law = problem.arguments[i].distribution
        x = _double(args[i])
        score = np.asarray(law.score(x), np.float64).reshape(n, -1)
        g = off[:, :, None] * score
        for place, density, sign in ends(i, law):
            for j in range(g.shape[2]):
                p = np.broadcast_to(density, law.shape).reshape(-1)[j]
                if p:
                    moved = np.array(args[i].value)
                    moved.reshape(n, -1)[:, j] = np.broadcast_to(place, law.shape).reshape(-1)[j]
                    there = values_only(problem, [*args[:i], wrap(moved), *args[i + 1 :]], vs)
                    g[:, :, j] += sign * p * (there - base[:, None])
        parts.append(g)
    return values, np.concatenate(parts, axis=2)


def smoothed(problem: Problem, args: list[Tensor], vs: Sequence[Any], noise: list[Any]) -> Rows:
    """The gradient of f averaged over normal noise of a given width: (f(x + h z) - f(x - h z)) z / (2 h).

    noise   per wrt argument z of shape (n, *shape). The value is that of f itself, without noise. The
    gradient is exact for f smoothed by the noise, so its bias falls with h^2 and its variance grows as h
    falls. (Nesterov & Spokoiny 2017, doi.org/10.1007/s10208-015-9296-2.)
    """
    values = values_only(problem, args, vs)
    assert problem.widths is not None
    sides: list[Any] = []
    for sign in (1.0, -1.0):
        moved = list(args)
        for i, h, z in zip(problem.wrt, problem.widths, noise, strict=True):
            x = np.asarray(args[i].value)
            moved[i] = wrap((x + sign * h * z).astype(x.dtype))
        sides.append(values_only(problem, moved, vs))
    half = (sides[0] - sides[1]) / 2
    n = values.shape[1]
    weights = [(z / h).reshape(n, -1) for h, z in zip(problem.widths, noise, strict=True)]
    return values, half[:, :, None] * np.concatenate(weights, axis=1)


def check_likelihood_ratio(problem: Problem) -> None:
    """ValueError where the likelihood-ratio estimator does not apply to a wrt argument."""
    for i in problem.wrt:
        law = getattr(problem.arguments[i], "distribution", None)
        if law is None:
            raise ValueError(
                message(
                    'method="likelihood_ratio" differentiates densities: it applies to random arguments only',
                    f"wrt argument {i} is {type(problem.arguments[i]).__name__.lower()}, not a distribution",
                    "use smooth=width for this argument",
                )
            )
        ends(i, law)
        law.score(np.asarray(law.mean, np.float64)[None])
