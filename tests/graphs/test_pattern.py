"""What pattern() says and refuses on records that somebody may well have."""

from __future__ import annotations

import pytest

import pullback as torch
from pullback.transform.pattern import pattern


def leaf(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def dense(p):
    return p.dense().astype(int).tolist()


def test_intermediate_results_are_inputs_and_looked_through():
    x = leaf(1.0, 2.0)
    y = x.flip(0)
    z = y[:1] * 3.0
    of_y, of_x = pattern(z, [y, x])
    assert dense(of_y) == [[1, 0]]
    assert dense(of_x) == [[0, 1]]


def test_an_input_may_be_the_output_or_stand_twice():
    x = leaf(1.0, 2.0)
    assert dense(pattern(x, x)) == [[1, 0], [0, 1]]
    assert [dense(p) for p in pattern(x * 2.0, [x, x])] == [[[1, 0], [0, 1]]] * 2


def test_paths_that_were_cut_are_not_there():
    x = leaf(1.0, 2.0)
    assert pattern(x.detach() * 2.0, x).nnz == 0
    assert dense(pattern(x.detach() + x.flip(0), x)) == [[0, 1], [1, 0]]


def test_several_outputs_follow_one_another():
    x = leaf(1.0, 2.0)
    values, indices = x.sort()
    a, b = x.unbind()
    assert pattern([values, indices], x).shape == (4, 2)
    assert dense(pattern([b, a], x)) == [[0, 1], [1, 0]]


def test_custom_functions_are_dense():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2.0

        @staticmethod
        def backward(ctx, g):
            return g * 2.0

    x = leaf(1.0, 2.0)
    assert dense(pattern(Twice.apply(x)[:1], x)) == [[1, 1]]


def test_complex_entries_count_once():
    x = leaf(1.0, 2.0)
    assert dense(pattern(torch.complex(x, x.flip(0))[:1].abs(), x)) == [[1, 1]]


def test_refusals():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="One of the differentiated Tensors does not require grad"):
        pattern(x * 2.0, torch.ones(2))
    y = x * x
    y.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        pattern(y, x)
    with pytest.raises(RuntimeError, match="cannot look into vmap"):
        pattern(torch.func.vmap(lambda r: r * 2.0)(x), x)
