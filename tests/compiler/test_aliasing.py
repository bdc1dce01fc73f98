"""Compiled functions and shared memory: views, writes, results that are arguments, and what changes outside.

Each program is judged by the same program run eagerly.
"""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

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

    def loss(x, w):
        return sum((o * (1 + 0.3 * k)).sin().sum() for k, o in enumerate(values_of(x, w)))

    for got, want in zip(compile(values_of)(x, w), functional(torch, steps, x, w), strict=True):
        np.testing.assert_allclose(got.value, want.value, rtol=1e-12, atol=1e-12)
    a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
    expected = gradients(torch, functional(torch, steps, a, b), (a, b))
    for got, want in zip(compile(torch.func.grad(loss, (0, 1)))(x, w), expected, strict=True):
        slope = np.zeros(got.shape) if want is None else want.value
        np.testing.assert_allclose(got.value, slope, rtol=1e-11, atol=1e-11)


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


class TestSharedArguments:
    def test_one_tensor_twice(self):
        def f(a, b):
            a.add_(1)
            return a * b

        compiled, x, y = compile(f), numbers(3), numbers(3)
        np.testing.assert_array_equal(compiled(x, x).value, f(y, y).value)
        np.testing.assert_array_equal(x.value, y.value)

    def test_a_view_beside_its_base(self):
        def f(a, b):
            a.add_(1)
            return a.sum() * b

        compiled, x, y = compile(f), numbers(4), numbers(4)
        np.testing.assert_allclose(compiled(x, x[:2]).value, f(y, y[:2]).value, rtol=1e-14)
        np.testing.assert_array_equal(compiled(numbers(4), numbers(2)).value, f(numbers(4), numbers(2)).value)

    def test_an_argument_that_is_outside_too(self):
        def make(w):
            def f(a):
                a.add_(1)
                return a * w

            return f

        x, y = numbers(3), numbers(3)
        np.testing.assert_array_equal(compile(make(x))(x).value, make(y)(y).value)

    def test_an_outside_view_that_is_written(self):
        def make(w):
            v = w[1:]

            def f(x):
                v.mul_(2)
                return w * x

            return f

        mine, theirs = numbers(4), numbers(4)
        np.testing.assert_array_equal(compile(make(mine))(numbers(4)).value, make(theirs)(numbers(4)).value)
        np.testing.assert_array_equal(mine.value, theirs.value)


class TestResults:
    @pytest.mark.parametrize("size", [3, 100])
    def test_results_are_nobody_elses(self, size):
        # large graphs run through NumPy where there is nothing to compute: its views must not get out
        w = numbers(size, size)
        f = lambda x: (x.clone(), x.t(), torch.zeros(size, size), w * 1, x * 2, x * 2, x.exp())
        compiled, x = compile(f), numbers(size, size)
        for _ in range(2):
            outs = compiled(x)
            for got, want in zip(outs, f(x), strict=True):
                np.testing.assert_allclose(got.value, want.value, rtol=1e-14)
            before = x.value.copy(), w.value.copy()
            for k, o in enumerate(outs):
                o.fill_(float(k))
            assert [float(o.value[0, 0]) for o in outs] == [float(k) for k in range(7)]
            np.testing.assert_array_equal(x.value, before[0])
            np.testing.assert_array_equal(w.value, before[1])

    def test_what_was_read_before_a_write(self):
        def f(x):
            old = x.clone()
            x.add_(1)
            return old

        same(f, (100, 100))
        same(f, (3,))

    def test_an_exchange(self):
        def f(a, b):
            old = a.clone()
            a.copy_(b)
            b.copy_(old)

        same(f, (100, 100), (100, 100))

    def test_arguments_come_back_themselves(self):
        x = numbers(3)
        a, b, c = compile(lambda x: (x, (y := x * 2), y))(x)
        assert a is x
        assert b is c
        assert compile(lambda x: x.mul_(2))(x) is x

    def test_gradients_where_arguments_come_back(self):
        x, w = numbers(3).requires_grad_(), numbers(3).requires_grad_()
        f = lambda x: (x, (y := x * w), y, w)
        total = lambda outs: sum((o * (k + 1)).sum() for k, o in enumerate(outs))
        expected = torch.autograd.grad(total(f(x)), (x, w))
        for got, want in zip(torch.autograd.grad(total(compile(f)(x)), (x, w)), expected, strict=True):
            np.testing.assert_allclose(got.value, want.value, rtol=1e-14)


class TestGradients:
    """`.grad` of outside leaves."""

    @pytest.mark.parametrize("reset", ["never", "none", "zero", "outside"])
    def test_accumulation(self, reset):
        def make():
            w = numbers(3).requires_grad_()

            def f(x):
                if reset == "none":
                    w.grad = None
                if reset == "zero" and w.grad is not None:
                    w.grad.zero_()
                (w * w * x).sum().backward()
                return w.grad * 2

            return w, f

        (mine, f), (theirs, g) = make(), make()
        compiled = compile(f)
        for k in range(4):
            if reset == "outside" and k == 2:
                mine.grad = theirs.grad = None
            x = numbers(3) + k
            np.testing.assert_allclose(compiled(x).value, g(x).value, rtol=1e-14)
            np.testing.assert_allclose(mine.grad.value, theirs.grad.value, rtol=1e-14)
        assert len(compiled.entries) == 1

    def test_a_gradient_that_was_there(self):
        w = numbers(3).requires_grad_()
        w.grad = torch.ones(3, dtype=F64)
        x = numbers(3)

        def f(x):
            (w * x).sum().backward()

        compile(f)(x)
        np.testing.assert_allclose(w.grad.value, 1 + x.value, rtol=1e-15)

    def test_a_recording_that_fails_leaves_no_trace(self):
        w, kept = numbers(3).requires_grad_(), torch.ones(3, dtype=F64)
        w.grad = kept

        def f(x):
            (w * x).sum().backward()
            raise ValueError("no further")

        with pytest.raises(ValueError, match="no further"):
            compile(f)(numbers(3))
        assert w.grad is kept

    def test_leaves_that_are_followed_later(self):
        a, b, x = numbers(3).requires_grad_(), numbers(3) + 1, numbers(3)
        f = compile(lambda x: (a * b * x).sum())
        f(x).backward()
        b.requires_grad_()
        a.grad = None
        f(x).backward()
        np.testing.assert_allclose(b.grad.value, (a * x).detach().value, rtol=1e-14)
        np.testing.assert_allclose(a.grad.value, (b * x).detach().value, rtol=1e-14)


FACTOR = 2.0


class TestNames:
    """What a function takes from its surroundings by name."""

    def test_a_name_stands_for_something_else(self, monkeypatch):
        k, w, ws = 2.0, numbers(3), [numbers(3)]
        inner = lambda x: x * FACTOR
        f = lambda x: inner(x) * k + w + sum(ws)
        compiled, x = compile(f), numbers(3)

        def agree():
            np.testing.assert_allclose(compiled(x).value, f(x).value, rtol=1e-14)

        agree()
        agree()
        assert len(compiled.entries) == 1
        k = 3.0
        agree()
        w = numbers(3) + 1
        agree()
        ws.append(numbers(3))
        agree()
        monkeypatch.setitem(globals(), "FACTOR", 5.0)
        agree()
        inner = torch.sin
        agree()
        torch.func.grad(compile(lambda x: f(x).sum()))(x)
        ahead = compile(torch.func.vmap(torch.func.grad(lambda x: f(x).sum())))
        ahead(numbers(4, 3))
        k = 4.0
        np.testing.assert_allclose(ahead(numbers(4, 3)).value, k * np.cos(numbers(4, 3).value), rtol=1e-13)

    def test_what_the_function_changes_itself_is_its_own_business(self):
        runs = []
        count = 0

        def f(x):
            nonlocal count
            count += 1
            runs.append(count)
            return x * 2

        compiled = compile(f)
        for _ in range(4):
            compiled(numbers(3))
        assert runs == [1]

    def test_an_outside_tensor_of_another_shape(self):
        w, x = numbers(3), numbers(1)
        f = lambda x: (w * 2).sum() + x
        compiled = compile(f)
        for n in (3, 5, 2):
            w.data = numbers(n)
            np.testing.assert_allclose(compiled(x).value, f(x).value, rtol=1e-14)
        w.data = numbers(2).float()
        np.testing.assert_allclose(compiled(x).value, f(x).value, rtol=1e-14)

    def test_modes_and_defaults(self):
        f = lambda x: (x * (2 if torch.is_grad_enabled() else 3), torch.ones(3) * 0.1)
        compiled, x = compile(f), numbers(3)

        def agree():
            for got, want in zip(compiled(x), f(x), strict=True):
                assert got.dtype == want.dtype
                np.testing.assert_array_equal(got.value, want.value)

        agree()
        with torch.no_grad():
            agree()
        torch.set_default_dtype(F64)
        try:
            agree()
        finally:
            torch.set_default_dtype(torch.float32)

    def test_constants_are_told_apart(self):
        compiled, one = compile(torch.copysign), torch.ones(1, dtype=F64)
        got = [compiled(one, k).item() for k in (0.0, -0.0, 0.0, 1.0, -1.0)]
        assert got == [1.0, -1.0, 1.0, 1.0, -1.0]
        scaled = compile(lambda x, k: x * k)
        for k in (1, True, 1.0, float("nan"), float("nan")):
            got, want = scaled(torch.tensor([2, 3]), k), torch.tensor([2, 3]) * k
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got.value, want.value)
        assert len(scaled.entries) == 4


def root(x):
    return x.sqrt() + 1


def test_copies_and_pickles_are_recorded_anew():
    compiled, x = compile(root), numbers(3).abs()
    compiled(x)
    for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert not other.entries
        np.testing.assert_array_equal(other(x).value, compiled(x).value)


def test_threads_share_a_compiled_function():
    f = lambda x: (x * x).sin().sum() + x[0]
    compiled, xs = compile(f), [numbers(3 + i % 3) + i for i in range(30)]
    with ThreadPoolExecutor(8) as pool:
        for x, got in zip(xs, pool.map(compiled, xs), strict=True):
            np.testing.assert_allclose(got.value, f(x).value, rtol=1e-13)


class TestBuffers:
    def test_what_is_made_inside_begins_anew(self):
        def f(x):
            h = torch.zeros(3, dtype=F64)
            h.add_(x)
            h[0] = x[1]
            h[1] = 2.0
            h[1:].mul_(2)
            return h * 2

        same(f, (3,), calls=3)

    def test_what_is_outside_is_written_in_every_call(self):
        def make():
            b = torch.ones(3, dtype=F64)

            def f(x):
                b.add_(x)
                y = b * 1
                b.zero_()
                b[1] = 5.0
                b[0] = x[0]
                z = b * 1
                b.fill_(3.0)
                b.copy_(x * 2 + b)
                b[1:] = x[:2]
                b[torch.tensor([0, 2])] += 1.0
                b.index_put_((torch.tensor([1]),), x[:1], accumulate=True)
                return y, z, b * 1

            return b, f

        (mine, f), (theirs, g) = make(), make()
        compiled, x = compile(f), numbers(3)
        for _ in range(3):
            for got, want in zip((*compiled(x), mine), (*g(x), theirs), strict=True):
                np.testing.assert_allclose(got.value, want.value, rtol=1e-14)
