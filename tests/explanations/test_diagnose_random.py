"""diagnose on random programs: rounding is called rounding, and arbitrary arrays are never explained."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import HealthCheck, assume, given, settings

import pullback as torch
from graphs.programs import programs
from pullback.explanations.diagnosis import diagnose
from pullback.graph.node import LEAF
from pullback.graph.tensor import wrap

settings.register_profile("diagnose", deadline=None, suppress_health_check=list(HealthCheck))
QUIET = settings.get_profile("diagnose")


def run(program, dtype):
    """The leaves and the last output of a program in one precision; inputs are float32 numbers."""
    leaves = [wrap(a.astype(np.float32).astype(dtype), LEAF) for a in program.inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = program.run(*leaves)[-1]
    assume(out.node is not None and out.node is not LEAF and out.value.dtype == dtype)
    return leaves, out


@settings(QUIET, max_examples=80)
@given(programs())
def test_the_gradient_in_double_precision_agrees_with_the_one_in_single(program):
    xs, out = run(program, np.float32)
    ys, exact = run(program, np.float64)
    v = np.random.default_rng(0).normal(size=out.value.shape).astype(np.float32)
    found = torch.autograd.grad([exact], ys, [wrap(v.astype(float))], retain_graph=True, allow_unused=True)
    for x, g in zip(xs, found, strict=True):
        if g is not None and np.all(np.isfinite(g.value)):
            r = diagnose(np.asarray(g.value).astype(np.float32), out, x, v)
            assert r, f"{program}\n{r}"


@settings(QUIET, max_examples=40)
@given(programs())
def test_an_arbitrary_array_is_never_explained(program):
    xs, out = run(program, np.float64)
    v = np.random.default_rng(0).normal(size=out.value.shape)
    followed = torch.autograd.grad([out], xs, [wrap(v)], retain_graph=True, allow_unused=True)
    for x, g in zip(xs, followed, strict=True):
        if g is not None:
            r = diagnose(np.random.default_rng(3).normal(size=x.value.shape), out, x, v)
            assert r.verdict.kind == "not determined", f"{program}\n{r}"
            assert not r.mutations
