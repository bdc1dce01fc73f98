"""pb.compile: the same results as the function itself, for every kind of program it takes."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as torch
from pullback.compiler.api import compile
from pullback.compiler.plan import NativeStep
from pullback.compiler.trace import TraceError
from pullback.func.pytree import flatten

F64 = torch.float64


def values(tree):
    return [np.asarray(t.value) for t in flatten(tree)[0] if isinstance(t, torch.Tensor)]


def agree(f, *args, rtol=1e-12):
    compiled = compile(f)
    for _ in range(2):
        for got, want in zip(values(compiled(*args)), values(f(*args)), strict=True):
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
    return compiled


@pytest.fixture
def rng():
    torch.manual_seed(0)
    return lambda *shape: torch.randn(*shape, dtype=F64)


W = torch.tensor(np.diag([1.0, 1.0, 2.0, 3.0, 0.0, 0.0])[:4])


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


class TestSmall:
    def test_a_small_function_is_one_scalar_program(self, rng):
        compiled = agree(lambda x: torch.relu(W @ x), rng(6))
        steps = compiled.inspect().steps
        assert len(steps) == 1
        assert isinstance(steps[0], NativeStep)
        assert steps[0].extent == 1

    def test_gradient(self, rng):
        agree(torch.func.grad(rosenbrock), rng(5))

    def test_hessian(self, rng):
        agree(torch.func.hessian(rosenbrock), rng(4))

    def test_jacobians(self, rng):
        f = lambda x: torch.tanh(W @ x) * x[0]
        agree(torch.func.jacrev(f), rng(6))
        agree(torch.func.jacfwd(f), rng(6))

    def test_structures_of_tensors_and_constants(self, rng):
        f = lambda d, k, *, scale: {"y": d["a"] * k + scale, "z": (d["b"].sum(), k)}
        compiled = compile(f)
        d = {"a": rng(3), "b": rng(2)}
        got = compiled(d, 3, scale=2.0)
        assert got["z"][1] == 3
        np.testing.assert_allclose(got["y"].value, (d["a"] * 3 + 2).value)
        assert len(compiled.entries) == 1
        compiled(d, 4, scale=2.0)
        assert len(compiled.entries) == 2

    def test_each_signature_is_recorded_once(self, rng):
        calls = []
        compiled = compile(lambda x: (calls.append(1), x * 2)[1])
        compiled(rng(3))
        compiled(rng(3))
        compiled(rng(4))
        compiled(rng(3).float())
        assert len(calls) == 3

    def test_output_that_is_an_input(self, rng):
        x = rng(3)
        a, b, c = compile(lambda x: (x, x, x + 1))(x)
        np.testing.assert_array_equal(a.value, x.value)
        np.testing.assert_array_equal(b.value, x.value)
        np.testing.assert_array_equal(c.value, (x + 1).value)


class TestLarge:
    def test_entry_by_entry_ops_become_one_kernel(self, rng):
        compiled = agree(lambda x, y: torch.exp(-x * y) + y / (1 + x * x), rng(300, 70), rng(70), rtol=1e-14)
        assert [type(s) for s in compiled.inspect().steps] == [NativeStep]

    def test_broadcasting_over_several_dimensions(self, rng):
        agree(lambda x, y, z: x * y + z, rng(20, 1, 30), rng(15, 1), rng(20, 15, 30))

    def test_slices_for_threads(self, rng):
        agree(lambda x, y: x * y + 1, rng(512, 400), rng(400))

    def test_a_group_waits_for_what_it_needs(self, rng):
        # the sum stands between two groups of one shape
        agree(lambda x: torch.exp(x - x.sum(1, keepdim=True)) * x + x, rng(80, 90))

    def test_network_with_gradient(self, rng):
        f = lambda x, a, b: torch.nn.functional.softmax(torch.relu(x @ a) @ b, 1).log().mean()
        agree(torch.func.grad(f, (1, 2)), rng(64, 50), rng(50, 60), rng(60, 10), rtol=1e-11)

    def test_ops_without_a_native_form_run_through_numpy(self, rng):
        compiled = agree(lambda a: torch.linalg.svdvals(a) * 2, rng(5, 4))
        assert any("NumPy" in s.describe() for s in compiled.inspect().steps)


class TestMapped:
    def test_samples_are_the_lanes(self, rng):
        f = torch.func.vmap(torch.func.grad(rosenbrock))
        compiled = agree(f, rng(1003, 4))
        assert compiled.inspect().steps[0].extent == 1003

    def test_unmapped_and_later_dimensions(self, rng):
        f = torch.func.vmap(lambda x, w: torch.tanh(w @ x).sum(), in_dims=(1, None))
        agree(f, rng(6, 77), rng(3, 6))

    def test_what_does_not_fit_the_lanes_is_batched(self, rng):
        agree(torch.func.vmap(lambda x: torch.linalg.svdvals(x)), rng(7, 3, 2))

    def test_closed_over_tensors(self, rng):
        w = rng(6)
        agree(torch.func.vmap(lambda x: (x * w).sum()), rng(11, 6))


class TestSurroundings:
    def test_outside_tensors_are_read_anew(self, rng):
        w = rng(3)
        compiled = compile(lambda x: (w * 2) @ x)
        x = rng(3)
        before = compiled(x).item()
        w.mul_(3)
        assert compiled(x).item() == pytest.approx(3 * before, rel=1e-12)

    def test_a_whole_training_step(self, rng):
        def make():
            torch.manual_seed(1)
            layer = torch.nn.Linear(3, 2).double()

            def step(x, y):
                for p in layer.parameters():
                    p.grad = None
                loss = ((layer(x) - y) ** 2).mean()
                loss.backward()
                with torch.no_grad():
                    for p in layer.parameters():
                        p.sub_(0.1 * p.grad)
                return loss

            return layer, step

        (mine, step), (theirs, plain) = make(), make()
        compiled = compile(step)
        x, y = rng(10, 3), rng(10, 2)
        for _ in range(5):
            assert compiled(x, y).item() == pytest.approx(plain(x, y).item(), rel=1e-12)
        for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.value, q.value, rtol=1e-12)
            np.testing.assert_allclose(p.grad.value, q.grad.value, rtol=1e-12)
        assert len(compiled.entries) == 1

    def test_writes_into_arguments_arrive(self, rng):
        def f(x):
            x.mul_(2)
            x[0] = 5.0
            return x.sum()

        x, y = rng(4), None
        y = x.clone()
        assert compile(f)(x).item() == pytest.approx(f(y).item(), rel=1e-12)
        np.testing.assert_allclose(x.value, y.value)


class TestDerivatives:
    def test_gradients_flow_through(self, rng):
        x = rng(5).requires_grad_()
        w = rng(5).requires_grad_()
        f = lambda x: (torch.sin(x * w) ** 2).sum()
        compile(f)(x).backward()
        got = x.grad.value.copy(), w.grad.value.copy()
        x.grad = w.grad = None
        f(x).backward()
        np.testing.assert_allclose(got[0], x.grad.value, rtol=1e-12)
        np.testing.assert_allclose(got[1], w.grad.value, rtol=1e-12)

    def test_twice(self, rng):
        x = rng(3).requires_grad_()
        f = compile(lambda x: (x**3).sum())
        (g,) = torch.autograd.grad(f(x), x, create_graph=True)
        g.sum().backward()
        np.testing.assert_allclose(x.grad.value, 6 * x.value, rtol=1e-12)

    def test_inside_a_transform_the_function_itself_runs(self, rng):
        f = compile(lambda x: (x**3).sum())
        x = rng(3)
        np.testing.assert_allclose(torch.func.grad(f)(x).value, 3 * x.value**2, rtol=1e-12)

    def test_a_write_cannot_be_differentiated(self, rng):
        f = compile(lambda x: x.clone().mul_(2).sum())
        f(rng(2).requires_grad_()).backward()
        w = rng(2)

        def writes(x):
            x.add_(1)
            return (x * w).sum()

        with pytest.raises(RuntimeError, match="writes into what is differentiated"):
            compile(writes)(rng(2).requires_grad_() * 1)


class TestModules:
    def test_a_module_stays_a_module(self, rng):
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
        fast = compile(net)
        x = rng(5, 3)
        np.testing.assert_allclose(fast(x).detach().value, net(x).detach().value, rtol=1e-12)
        assert len(list(fast.parameters())) == 4
        fast(x).sum().backward()
        got = [p.grad.value.copy() for p in net.parameters()]
        net.zero_grad()
        net(x).sum().backward()
        for g, p in zip(got, net.parameters(), strict=True):
            np.testing.assert_allclose(g, p.grad.value, rtol=1e-12)

    def test_training_and_evaluation_are_two_programs(self, rng):
        net = torch.nn.BatchNorm1d(3).double()
        fast, x = compile(net), rng(6, 3)
        net.eval()
        a = fast(x).detach().value.copy()
        net.train()
        b = fast(x).detach().value
        assert not np.allclose(a, b)
        plain = torch.nn.BatchNorm1d(3).double()
        np.testing.assert_allclose(b, plain(x).detach().value, rtol=1e-12)
        np.testing.assert_allclose(net.running_mean.value, plain.running_mean.value, rtol=1e-12)
        np.testing.assert_allclose(net.running_var.value, plain.running_var.value, rtol=1e-12)

    def test_what_cannot_be_recorded_runs_as_it_is(self, rng):
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5))
        fast = compile(net)
        with pytest.warns(UserWarning, match="without being compiled"):
            fast(torch.ones(2, 3))
        fast(torch.ones(2, 3))  # said once

    def test_decorators_and_pytorchs_arguments(self, rng):
        @compile(mode="max-autotune", dynamic=False)
        def f(x):
            return x * 2

        np.testing.assert_array_equal(f(torch.ones(2)).value, [2, 2])
        g = lambda x: x
        assert compile(g, disable=True) is g


class TestErrors:
    def test_branching_names_the_line_and_the_way_out(self, rng):
        def f(x):
            return x if x.sum() > 0 else -x

        with pytest.raises(TraceError, match=r"branch in Python(.|\n)*test_api.py(.|\n)*while_loop"):
            compile(f)(rng(3))

    def test_reading_a_number(self, rng):
        with pytest.raises(TraceError, match="Python number"):
            compile(lambda x: x * x.sum().item())(rng(3))

    def test_random_numbers(self, rng):
        with pytest.raises(TraceError, match="random numbers"):
            compile(lambda x: x + torch.randn(3))(rng(3))

    def test_other_results(self, rng):
        assert compile(lambda x: (x, None, 3))(rng(2))[1:] == (None, 3)

    def test_unhashable_constants(self, rng):
        with pytest.raises(TypeError, match="hashable"):
            compile(lambda x, a: x)(rng(2), np.ones(2))

    def test_a_value_that_escapes(self, rng):
        kept = []
        compile(lambda x: (kept.append(x * 2), x)[1])(rng(2))
        with pytest.raises(RuntimeError):
            compile(lambda x: x + kept[0])(rng(2))

    def test_inspection_needs_a_call(self):
        with pytest.raises(RuntimeError, match="nothing to inspect"):
            compile(torch.sin).inspect()

    def test_optimizers_are_refused(self, rng):
        w = rng(2).requires_grad_()
        opt = torch.optim.SGD([w], lr=0.1)

        def step(x):
            (w * x).sum().backward()
            opt.step()
            return x

        with pytest.raises(RuntimeError, match="optimizer's step"):
            compile(step)(rng(2))


def test_inspection_shows_every_stage(rng):
    compiled = compile(lambda x: torch.relu(x * 2).sum())
    compiled(rng(4))
    shown = compiled.inspect()
    assert "relu" in str(shown.graph)
    assert "native kernel" in str(shown)
    assert "define" in shown.llvm[0]
    assert "ret" in shown.assembly[0]
    assert "load" in shown.programs[0]
