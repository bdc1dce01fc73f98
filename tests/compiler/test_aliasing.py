"""Compiled functions and shared memory: views, writes, results that are arguments, and what changes outside.

Each program is judged by the same program run eagerly.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import pullback as torch
from compiler.test_api import values
from graphs.writes import functional, gradients, write_programs, written
from pullback.compiler.api import compile

F64 = torch.float64
BOUNDED = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def numbers(*shape):
    r = np.random.default_rng(sum(shape))
    return torch.from_numpy(r.uniform(-1, 1, shape))


def same(f, *shapes, calls=2):
    """The function on equal arguments, compiled and not: results and arguments agree after every call."""
    mine, theirs = ([numbers(*s) for s in shapes] for _ in range(2))
    compiled = compile(f)
    for _ in range(calls):
        for got, want in zip(values((compiled(*mine), mine)), values((f(*theirs), theirs)), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def rows_of_a_view(x):
    y = x * 1
    v = y.view(2, 6)[1]
    v.mul_(x[0, 0])
    w = y.t()[0]
    w[1:].add_(x[1, 1] * w[0].clone())
    y[2].copy_(y[0].sin())
    return y, v, w


def every_kind_of_view(x):
    y = x * 1
    for i, v in enumerate(y.unbind(0)):
        v.mul_(i + 1)
    a, b = y.chunk(2)
    a.add_(1)
    b.copy_(a[: b.shape[0]])
    y.diagonal().zero_()
    y.narrow(0, 1, 2).neg_()
    y.select(1, 0).fill_(3.0)
    y.T[1] += 10
    y.view(2, 6)[0, ::2] = 5
    y.unsqueeze(0).squeeze(0).add_(1)
    y.permute(1, 0)[0] = 1.5
    y.reshape(-1)[1:].mul_(2)
    y.t().reshape(-1).zero_()  # a copy
    y.flatten().add_(1)
    return y, a


def base_before_view(x):
    z = x * 1
    v = z[1]
    z.mul_(3)
    w = v + 1
    v.zero_()
    return w, z


def argument_through_views(x):
    x[1:].mul_(2)
    x[0] = x[1] + 1
    return x.sum()


def detached_shares_memory(x):
    y = x * 1
    d = y.detach()
    d.add_(1)
    return (y * d).sum()


WRITES = [
    rows_of_a_view,
    every_kind_of_view,
    base_before_view,
    argument_through_views,
    detached_shares_memory,
]


@pytest.mark.parametrize("f", WRITES, ids=lambda f: f.__name__)
def test_writes_through_views(f):
    same(f, (4, 3))


def test_gradients_through_written_views():
    def f(x):
        y = x * 1
        y[1:].mul_(x[0])
        y[0].add_(x[1])
        return (y * y).sum()

    same(torch.func.grad(f), (4, 3))
    same(torch.func.vmap(f), (5, 4, 3))
    x = numbers(
        5, 4, 3
    )  # the batched engine refuses such writes; the kernel's lanes are samples of their own
    got = compile(torch.func.vmap(torch.func.grad(f)))(x)
    np.testing.assert_allclose(got.value, np.stack([torch.func.grad(f)(row).value for row in x]), rtol=1e-12)


def test_a_detached_view_leaves_the_graph_as_it_is():
    def f(x):
        y = x * 1
        y.detach().add_(1)
        return (y * 2).sum() + (y * x).sum()

    x = numbers(3)
    got = compile(torch.func.grad(f))(x)
    np.testing.assert_allclose(got.value, 2 + (x.value + 1) + x.value, rtol=1e-12)


@BOUNDED
@given(write_programs())
def test_random_views_and_writes(steps):
    x, w = numbers(3, 4), numbers(12) + 0.1

    def values_of(x, w):
        return tuple(written(torch, steps, x, w))

    def slopes(f):
        def run(x, w):
            return torch.func.grad(lambda x, w: sum((o * (1 + 0.3 * k)).sin().sum() for k, o in enumerate(f(x, w))), (0, 1))(x, w)  # fmt: skip

        return run

    for got, want in zip(compile(values_of)(x, w), functional(torch, steps, x, w), strict=True):
        np.testing.assert_allclose(got.value, want.value, rtol=1e-12, atol=1e-12)
    a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
    expected = gradients(torch, functional(torch, steps, a, b), (a, b))
    for got, want in zip(compile(slopes(values_of))(x, w), expected, strict=True):
        want = np.zeros(got.shape) if want is None else want.value
        np.testing.assert_allclose(got.value, want, rtol=1e-11, atol=1e-11)


def test_a_rule_reads_what_an_argument_was():
    def f(x):
        y = x.sin()
        z = y * y
        y.add_(1)
        return z.sum()

    x = numbers(3)
    got = compile(torch.func.grad(f))(x)
    np.testing.assert_allclose(got.value, 2 * np.sin(x.value) * np.cos(x.value), rtol=1e-12)


def test_two_steps_of_training_in_one_call():
    def make():
        w = torch.ones(3, dtype=F64).requires_grad_()

        def f(x):
            for _ in range(2):
                w.grad = None
                ((w * x) ** 2).sum().backward()
                with torch.no_grad():
                    w.sub_(0.1 * w.grad)
            return x * 1

        return w, f

    (mine, f), (theirs, g) = make(), make()
    x = numbers(3)
    compile(f)(x), g(x)
    np.testing.assert_allclose(mine.detach().value, theirs.detach().value, rtol=1e-13)
