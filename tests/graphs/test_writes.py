"""Programs with views and in-place writes equal the same programs written functionally: values and
gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import pullback as torch
from graphs.writes import SHAPE, functional, gradients, write_programs, written
from pullback.transform.pattern import pattern


def leaves():
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.uniform(-1, 1, SHAPE).tolist(), dtype=torch.float64, requires_grad=True)
    w = torch.tensor(rng.uniform(-1, 1, 12).tolist(), dtype=torch.float64, requires_grad=True)
    return x, w


def numbers(t, like):
    return np.zeros(like.shape) if t is None else np.asarray(t.detach().numpy())


def check(steps):
    a, b = leaves(), leaves()
    outs, expected = written(torch, steps, *a), functional(torch, steps, *b)
    for k, (o, e) in enumerate(zip(outs, expected, strict=True)):
        assert np.allclose(o.detach().numpy(), e.detach().numpy(), rtol=1e-13, atol=1e-14), (steps, k)
    boolean, functionally = (
        np.concatenate([p.dense() for p in pattern(os, ls)], 1) for os, ls in ((outs, a), (expected, b))
    )
    assert (boolean == functionally).all(), steps
    found, wanted = gradients(torch, outs, a), gradients(torch, expected, b)
    for g, h, leaf in zip(found, wanted, a, strict=True):
        assert np.allclose(numbers(g, leaf), numbers(h, leaf), rtol=1e-12, atol=1e-13), (steps, g, h)


def test_random_writes():
    settings(max_examples=80)(given(write_programs())(check))()


@pytest.mark.slow
def test_many_random_writes():
    settings(max_examples=3000)(given(write_programs(steps=14))(check))()
