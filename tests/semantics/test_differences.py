"""The deliberate difference from PyTorch.

A branch that was not selected contributes nothing (decision 001).
"""

import math

import pytest

import pullback as torch


def gradient(function, at, dtype=torch.float64):
    x = torch.tensor(at, dtype=dtype, requires_grad=True)
    y = function(x)
    y.sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (lambda x: torch.where(x > 0, x.sqrt(), 0.0), [0.0, 4.0], [0.0, 0.25]),
        (lambda x: torch.where(x > 0, x.log(), 0.0), [0.0, 4.0], [0.0, 0.25]),
        (lambda x: torch.where(x < 1, 1 / (1 - x), 0.0), [1.0, 0.5], [0.0, 4.0]),
        (lambda x: torch.where(x < 700, x, x.exp() * x), [800.0, 1.0], [None, 1.0]),
        (lambda x: torch.where(x > -700, torch.exp(-x), x), [-800.0, 0.0], [1.0, -1.0]),
        (lambda x: torch.where(x > 0, x**0.5, 0.0), 0.0, 0.0),
        (lambda x: torch.where(x != 0, torch.asin(x), 0.0) * 0 + x, [1.0], [1.0]),
    ],
)
def test_an_unselected_branch_contributes_nothing(function, at, expected):
    found = gradient(function, at)
    pairs = zip(found, expected, strict=True) if isinstance(at, list) else [(found, expected)]
    for a, b in pairs:
        if b is not None:
            assert a == b


def test_in_single_precision_and_for_large_arrays():
    assert gradient(lambda x: torch.where(x > 0, x.sqrt(), 0.0), [0.0, 1.0], torch.float32) == [0.0, 0.5]
    x = torch.zeros(600_000, requires_grad=True)
    torch.where(x > 0, x.sqrt(), 0.0).sum().backward()
    assert float(x.grad.abs().max()) == 0.0


def test_the_second_derivative_is_zero_too():
    x = torch.tensor(0.0, requires_grad=True)
    (g,) = torch.autograd.grad(torch.where(x > 0, x.sqrt(), 0.0), x, create_graph=True)
    (h,) = torch.autograd.grad(g, x, allow_unused=True, materialize_grads=True)
    assert (g.item(), h.item()) == (0.0, 0.0)


def test_a_cotangent_that_is_not_zero_meets_the_pole():
    assert gradient(torch.sqrt, 0.0) == math.inf
    assert gradient(torch.log, 0.0) == math.inf
    assert math.isnan(gradient(lambda x: torch.sqrt(x * x), 0.0))


def test_x_log_x_has_its_limit():
    assert gradient(lambda x: x * x.log(), 0.0) == -math.inf
