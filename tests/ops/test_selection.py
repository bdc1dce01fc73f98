"""Selections route gradients: ties, kinks, closed gates, margins, masks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pullback as torch
from pullback.autograd.public import grad
from pullback.families.op import TABLE
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor, wrap


def leaf(x: Any) -> Tensor:
    return wrap(np.array(x, np.float64), LEAF)


def plain(x: Any) -> Tensor:
    return wrap(np.array(x))


def slopes(f: Any, *points: Any) -> list[Any]:
    leaves = [leaf(p) for p in points]
    y = f(*leaves)
    found = grad(y, leaves, wrap(np.ones(y.value.shape)), create_graph=True)
    again = grad(f(*leaves), leaves, wrap(np.ones(y.value.shape)))
    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a.value, b.value)
    return [g.value.tolist() for g in found]


@pytest.mark.parametrize(
    ("f", "points", "expected"),
    [
        (torch.relu, [[-1.0, 0.0, -0.0, 2.0, math.nan]], [[0, 0, 0, 1, 1]]),
        (torch.maximum, [[1.0, 2.0, 3.0, math.nan], [2.0, 2.0, 2.0, 0.0]], [[0, 0.5, 1, 1], [1, 0.5, 0, 1]]),
        (torch.minimum, [[1.0, 2.0, 3.0, math.nan], [2.0, 2.0, 2.0, 0.0]], [[1, 0.5, 0, 1], [0, 0.5, 1, 1]]),
        (torch.fmax, [[1.0, 2.0, 3.0, math.nan], [2.0, 2.0, math.nan, 0.0]], [[0, 1, 1, 0], [1, 0, 0, 1]]),
        (torch.fmin, [[1.0, 2.0, 3.0, math.nan], [2.0, 2.0, math.nan, 0.0]], [[1, 1, 1, 0], [0, 0, 0, 1]]),
        (lambda x: torch.clamp(x, 0, 1), [[-1.0, 0.0, 0.5, 1.0, 2.0, math.nan]], [[0, 1, 1, 1, 0, 0]]),
        (lambda x: torch.clamp(x, 1, 0), [[-1.0, 0.5, 2.0]], [[0, 0, 0]]),
        (lambda x: x.clamp_min(0), [[-1.0, 0.0, 1.0]], [[0, 1, 1]]),
        (torch.clamp_min, [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], [[0, 1, 1], [1, 0, 0]]),
        (torch.clamp_max, [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], [[1, 1, 0], [0, 0, 1]]),
        (
            torch.clamp,
            [[-1.0, 0.0, 3.0], [0.0, 0.0, 0.0], [2.0, 2.0, 2.0]],
            [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
        ),
        (lambda x: torch.nan_to_num(x, 1.0), [[1.0, math.nan, math.inf]], [[1, 0, 0]]),
        (lambda x: x.masked_fill(x > 0, 5.0), [[-1.0, 1.0]], [[1, 0]]),
        (lambda x, v: x.masked_fill(plain([True, False, True]), v), [[1.0, 2.0, 3.0], 7.0], [[0, 1, 0], 2]),
        (lambda x, y: torch.where(x > y, x, y), [[1.0, 3.0], [2.0, 2.0]], [[0, 1], [1, 0]]),
    ],
)
def test_gradients_at_ties_and_kinks(f: Any, points: list[Any], expected: list[Any]) -> None:
    assert slopes(f, *points) == expected


@pytest.mark.parametrize("n", [0, 1, 5, 5000, 300_000])
def test_a_closed_gate_stops_an_infinite_upstream(n: int) -> None:
    x = leaf(np.where(np.arange(n) % 3 == 0, -1.0, 2.0))
    g = np.full(n, np.inf)
    g[1::3] = -0.5
    torch.relu(x).backward(wrap(g))
    np.testing.assert_array_equal(x.grad.value, np.where(np.arange(n) % 3 == 0, 0.0, g))


def test_scalars_are_routed_like_arrays() -> None:
    for value, expected in ((-1.0, 0.0), (2.0, 1.0), (0.0, 0.0)):
        x = wrap(np.float32(value), LEAF)
        torch.relu(x).backward()
        assert x.grad.value == expected
        assert x.grad.value.dtype == np.float32


def test_second_derivatives_are_those_of_the_branch() -> None:
    x = leaf([-1.0, 2.0])
    (g,) = grad(torch.relu(x * x * x), x, plain([1.0, 1.0]), create_graph=True)
    (h,) = grad(g, x, plain([1.0, 1.0]))
    np.testing.assert_allclose(h.value, [0.0, 12.0], rtol=1e-14)


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: x.clamp(0, 1), "ClampBackward1"),
        (lambda x: x.clip(min=0), "ClampBackward1"),
        (lambda x: torch.clamp(x, x, x), "ClampBackward0"),
        (lambda x: torch.clamp(x, max=x), "ClampBackward0"),
        (lambda x: x.clamp_min(0), "ClampMinBackward0"),
        (lambda x: x.clamp_max(x), "ClampMaxBackward1"),
        (lambda x: torch.where(x > 0, x, 0.0), "WhereBackward0"),
        (lambda x: x.masked_fill(x > 0, 1.0), "MaskedFillBackward0"),
        (lambda x: x.masked_fill(x > 0, plain(1.0)), "MaskedFillBackward1"),
        (torch.relu, "ReluBackward0"),
        (torch.nan_to_num, "NanToNumBackward0"),
    ],
)
def test_names_of_grad_fn(f: Any, name: str) -> None:
    assert f(leaf([0.3, 0.4])).node.name == name


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (
            lambda: torch.clamp(plain([1.0])),
            RuntimeError,
            "torch.clamp: At least one of 'min' or 'max' must not be None",
        ),
        (
            lambda: torch.where(plain([1.0]), 1, 2),
            RuntimeError,
            "where expected condition to be a boolean tensor, but got a tensor with dtype Double",
        ),
        (
            lambda: plain([1.0]).masked_fill(plain([1]), 2),
            RuntimeError,
            "masked_fill_ only supports boolean masks, but got",
        ),
        (
            lambda: plain([1.0]).masked_fill(plain([True]), plain([1.0])),
            RuntimeError,
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with 1 dimension(s).",
        ),
        (lambda: torch.relu(plain([True])), RuntimeError, "Boolean inputs not supported for relu"),
        (
            lambda: torch.maximum(plain([1j]), plain([1j])),
            RuntimeError,
            "maximum not implemented for complex tensors.",
        ),
    ],
)
def test_errors_begin_with_pytorchs_sentence(f: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        f()
    assert str(caught.value).startswith(text)


def test_dtypes() -> None:
    mask = plain([True, False])
    assert torch.where(mask, 1.0, 2.0).dtype is torch.float32
    assert torch.where(mask, 1, 2).dtype is torch.int64
    assert torch.where(mask, wrap(np.ones(2, "f4")), plain(1.0)).dtype is torch.float32
    assert torch.clamp(plain([3, -4]), 0.5, 1).dtype is torch.float32
    assert plain([3, -4]).masked_fill(mask, 1.5).value.tolist() == [1, -4]


def test_margins_say_how_far_the_switch_is() -> None:
    local = TABLE["relu"].zero(0, np.array([0.0, 2.0]), [np.array([-0.25, 2.0])], {})
    np.testing.assert_array_equal(local.values, [0, 1])
    np.testing.assert_array_equal(local.margin, [0.25, 2.0])
    assert "above zero" in local.why_zero
    clamp = TABLE["clamp"].zero(0, np.array([1.0]), [np.array([1.5])], {"min": 0.0, "max": 1.0})
    np.testing.assert_array_equal(clamp.margin, [0.5])


def test_selections_have_no_second_derivative_of_their_own() -> None:
    for name in ("relu", "maximum", "clamp", "where", "nan_to_num"):
        assert (
            TABLE[name]
            .depend([np.ones(2), np.ones(2), np.ones(2)][: TABLE[name].arity], {"min": 0}, None)
            .second
            == frozenset()
        )
