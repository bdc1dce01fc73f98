"""(N, 1) against (N,): found wherever it happens, the dense Jacobian as proof; not where it was meant."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import pullback as pb
from pullback.autograd.functional import jacobian
from pullback.explanations.broadcasts import broadcast_slips
from pullback.graph.lines import record_lines

N = 6
F = pb.nn.functional


def leaf(*shape):
    return pb.randn(*shape, dtype=pb.float64).requires_grad_()


column, flat = leaf(N, 1), leaf(N)
constant = pb.randn(N, dtype=pb.float64)


@pytest.mark.parametrize(
    ("f", "op"),
    [
        (lambda c, v: c - v, "sub"),
        (lambda c, v: v * c, "mul"),
        (lambda c, v: pb.maximum(c, v), "maximum"),
        (lambda c, v: c - constant, "sub"),
        (lambda c, v: (constant + c).exp(), "add"),
        (lambda c, v: pb.where(c > 0, c, v), "where"),
    ],
)
def test_slips_are_found_and_proven(f, op):
    out = f(column, flat)
    (slip,) = broadcast_slips(out.sum())
    assert (slip.op, slip.size, slip.out_shape, slip.pairs, slip.proven) == (op, N, (N, N), N * N, True)
    assert {slip.shapes[0], slip.shapes[1]} == {(N, 1), (N,)}
    # the judge: how many entries the dense Jacobian has, where one to one would give N
    j = jacobian(lambda c: f(c, flat.detach()), column.detach()).numpy()
    assert j.reshape(N * N, N).shape == (slip.pairs, N)
    if op in ("sub", "mul", "add"):
        assert np.count_nonzero(j) == slip.pairs


@pytest.mark.parametrize(
    "f",
    [
        lambda c, v: c.squeeze(1) - v,
        lambda c, v: c - v.unsqueeze(1),
        lambda c, v: c * v.reshape(1, N),  # an outer product, written out
        lambda c, v: c + v.sum(),
        lambda c, v: c - v[:1],
        lambda c, v: c * 2 + 1,
        lambda c, v: pb.outer(c.squeeze(1), v),
        lambda c, v: c @ v.reshape(1, N),
        lambda c, v: v[:, None] - v,
        lambda c, v: v.unsqueeze(-1) * constant,
    ],
)
def test_what_was_meant_is_left_alone(f):
    assert broadcast_slips(f(column, flat).sum()) == []


def test_losses_that_expand_their_arguments():
    for loss, name in ((F.mse_loss, "mse_loss"), (F.huber_loss, "huber_loss"), (F.l1_loss, "sub")):
        # l1_loss keeps nothing of a constant target, so its shape before expanding is not known
        for target in (flat,) if loss is F.l1_loss else (flat, constant):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out = loss(column, target)
            found = broadcast_slips(out)
            assert [s.op for s in found] == [name], (name, target.requires_grad)
            assert found[0].out_shape == (N, N)
    assert broadcast_slips(F.mse_loss(column.squeeze(1), flat)) == []


def test_more_dimensions():
    a, b = leaf(4, N, 1), leaf(4, N)
    with pytest.raises(RuntimeError):
        a - b  # (4, 6, 1) against (4, 6): 6 meets 4
    a, b = leaf(N, N, 1), leaf(N, N)
    (slip,) = broadcast_slips((a - b).sum())
    assert (slip.out_shape, slip.size) == ((N, N, N), N * N)
    assert broadcast_slips(leaf(1, 1) - leaf(1)) == []


def test_lines_and_text():
    with record_lines():
        prediction = column * 2
        error = prediction - flat
    (slip,) = broadcast_slips(error.square().mean())
    assert slip.line.text == "error = prediction - flat"
    for part in ("sub at test_broadcasts.py", "[6, 1]", "[6]", "36 entries", "diagonal has 6", "squeeze(-1)"):
        assert part in str(slip)


def test_several_outputs_and_freed_graphs():
    y = column - flat
    assert len(broadcast_slips([y, flat - column])) == 2
    (y * y).sum().backward()
    assert len(broadcast_slips(y)) == 1  # a difference saves nothing that could be freed
    column.grad = flat.grad = None
