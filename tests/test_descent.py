"""pb.minimize against plain loops in Python, the optimizers, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as torch
from pullback.descent import DIVERGED, METHODS, minimize


def bowl(w):
    return (w[0] - 2) ** 2 + (w[1] + 3) ** 2


def loop(f, x0, lr, tol, max_iter):
    """The descent that everybody writes, with the point, value and norm of every step."""
    x = x0.clone()
    points, values, norms = [], [], []
    while True:
        leaf = x.detach().requires_grad_()
        value = f(leaf)
        value.backward()
        norm = leaf.grad.norm().item()
        points.append(x.numpy().copy())
        values.append(value.item())
        norms.append(norm)
        if len(points) > max_iter or norm <= tol:
            return np.array(points), np.array(values), np.array(norms)
        x = x - lr * leaf.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_path_is_that_of_a_plain_loop(dtype):
    x0 = torch.zeros(2, dtype=dtype)
    r = minimize(bowl, x0, lr=0.1, tol=1e-4)
    points, values, norms = loop(bowl, x0, 0.1, 1e-4, 1000)
    assert r.native
    assert r.converged
    assert r.iterations == len(points) - 1
    eps = np.finfo(r.path.dtype).eps
    np.testing.assert_allclose(r.path, points, rtol=8 * eps, atol=8 * eps)
    np.testing.assert_allclose(r.values, values, rtol=1e-4 if dtype is torch.float32 else 1e-9, atol=1e-9)
    np.testing.assert_allclose(r.gradient_norms, norms, rtol=1e-3 if dtype is torch.float32 else 1e-9)
    assert r.gradient_norms[-1] <= 1e-4 < r.gradient_norms[-2]


@pytest.mark.parametrize(
    ("method", "make"),
    [
        ("gd", lambda p: torch.optim.SGD(p, lr=0.02)),
        ("momentum", lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)),
        ("nesterov", lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True)),
        ("adam", lambda p: torch.optim.Adam(p, lr=0.02)),
    ],
)
def test_methods_are_the_optimizers(method, make):
    rosenbrock = lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum() / 200
    x0 = torch.tensor([-1.2, 1.0, 0.5], dtype=torch.float64)
    r = minimize(rosenbrock, x0, method, lr=0.02, max_iter=40, tol=0.0)
    x = x0.clone().requires_grad_()
    opt = make([x])
    for _ in range(40):
        opt.zero_grad()
        rosenbrock(x).backward()
        opt.step()
    np.testing.assert_allclose(r.x.numpy(), x.detach().numpy(), rtol=1e-12)
    assert r.reason == "40 steps were made"
    assert not r.converged


def test_python_takes_over_where_there_is_no_native_form():
    a = torch.tensor([[2.0, 0.3], [0.1, 1.0]], dtype=torch.float64)
    f = lambda x: torch.linalg.svdvals(a * x.reshape(2, 1)).sum() + (x**2).sum()
    r = minimize(f, torch.ones(2, dtype=torch.float64), lr=0.05, max_iter=20, tol=0.0)
    points, values, _ = loop(f, torch.ones(2, dtype=torch.float64), 0.05, 0.0, 20)
    assert not r.native
    np.testing.assert_allclose(r.path, points, rtol=1e-12)
    np.testing.assert_allclose(r.values, values, rtol=1e-12)


def test_without_a_record_the_end_is_the_same():
    full = minimize(bowl, torch.zeros(2), lr=0.1)
    bare = minimize(bowl, torch.zeros(2), lr=0.1, record=False)
    assert bare.path is bare.values is bare.gradient_norms is None
    np.testing.assert_array_equal(bare.x.numpy(), full.x.numpy())
    assert bare.iterations == full.iterations
    assert bare.value == full.value


def test_divergence_is_said():
    r = minimize(lambda x: (x**2).sum(), torch.ones(2), lr=10.0, max_iter=1000)
    assert r.reason == DIVERGED
    assert not r.converged


def test_a_start_at_the_minimum_needs_no_step():
    r = minimize(bowl, torch.tensor([2.0, -3.0]))
    assert r.iterations == 0
    assert r.converged
    assert r.path.shape == (1, 2)


def test_any_shape_and_plain_numbers():
    r = minimize(lambda x: (x**2).sum(), [[1, 2], [3, 4]], lr=0.1, tol=1e-3)
    assert tuple(r.x.shape) == (2, 2)
    assert r.x.dtype is torch.float32
    r = minimize(lambda x: (x - 1) ** 2, torch.tensor(5.0), lr=0.1)
    assert tuple(r.x.shape) == ()


def test_errors():
    with pytest.raises(ValueError, match=r"unknown method 'bfgs'(.|\n)*adam"):
        minimize(bowl, torch.zeros(2), "bfgs")
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        minimize(bowl, torch.zeros(2), lr=-1)
    with pytest.raises(ValueError, match="negative"):
        minimize(bowl, torch.zeros(2), max_iter=-1)
    with pytest.raises(RuntimeError, match="scalar function"):
        minimize(lambda x: x, torch.zeros(2))
    with pytest.raises(RuntimeError, match="floating"):
        minimize(bowl, torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(ValueError, match="record=False"):
        minimize(bowl, torch.zeros(2), max_iter=1 << 27)


def test_every_method_is_known():
    assert set(METHODS) == {"gd", "momentum", "nesterov", "adam"}
