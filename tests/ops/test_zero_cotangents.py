"""A zero cotangent is not the end: nothing follows only where it meets an infinite or undefined partial."""

import numpy as np
import pytest

import pullback as torch

F = torch.func


def product(x):
    return x[0] * x[1] * x[2]


def minors(x):
    a, b, c = x
    return np.array([[0, c, b], [c, 0, a], [b, a, 0]])


@pytest.mark.parametrize("x", [(1.0, 2.0, 0.0), (0.0, 0.0, 3.0), (0.0, 0.0, 0.0), (1.0, 2.0, 3.0)])
@pytest.mark.parametrize(
    "hessian",
    [F.hessian, lambda f: F.jacrev(F.jacrev(f)), lambda f: F.jacfwd(F.jacfwd(f)),
     lambda f: torch.compile(F.hessian(f)), lambda f: lambda x: torch.autograd.functional.hessian(f, x)],
    ids=["hessian", "reverse", "forward", "compiled", "functional"],
)  # fmt: skip
def test_hessian_of_a_product_at_zeros(x, hessian):
    got = hessian(product)(torch.tensor(x, dtype=torch.float64))
    np.testing.assert_array_equal(got.numpy(), minors(x))


def test_second_derivative_under_vmap():
    second = F.vmap(F.grad(F.grad(lambda x: x.exp() * x.sin())))
    x = torch.tensor([0.0, 1.0], dtype=torch.float64)
    np.testing.assert_allclose(second(x).numpy(), 2 * np.exp([0.0, 1.0]) * np.cos([0.0, 1.0]), rtol=1e-12)


def test_a_nan_elsewhere_cuts_nothing_off():
    x = torch.tensor([0.0, 0.0], dtype=torch.float64, requires_grad=True)
    # the first entry clashes (0 * inf), the second has a zero cotangent and a finite partial
    y = torch.stack([torch.where(x[0] > 0, x[0].sqrt(), x[0] * 0), x[1].sin() * x[1].exp()])
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    assert h[1].item() == 2.0


@pytest.mark.parametrize("run", [lambda f: f, torch.compile], ids=["eager", "compiled"])
def test_an_unselected_branch_stays_silent(run):
    f = F.vmap(F.grad(lambda x: torch.where(x > 0, x.sqrt(), 0.0)))
    np.testing.assert_array_equal(run(f)(torch.tensor([0.0, 4.0])).numpy(), [0.0, 0.25])
