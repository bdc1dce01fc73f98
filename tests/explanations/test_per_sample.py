"""Gradients per sample against a loop of single backward passes."""

import numpy as np
import pytest

import pullback as torch
from pullback.explanations.per_sample import per_sample


def looped(f, leaves, *batch):
    """(B, ...) gradients per leaf by one `grad` per sample."""
    made = [
        torch.autograd.grad(f(*(b[k] for b in batch)), leaves, allow_unused=True, materialize_grads=True)
        for k in range(len(batch[0]))
    ]
    return [np.stack([row[i].numpy() for row in made]) for i in range(len(leaves))]


def net(params, x, y):
    hidden = torch.tanh(params["first"]["weight"] @ x + params["first"]["bias"])
    return (params["second"][0] @ hidden - y) ** 2


@pytest.fixture
def problem():
    torch.manual_seed(0)
    shapes = {"first": {"weight": (4, 3), "bias": (4,)}, "second": [(4,)]}
    make = lambda s: torch.randn(*s, dtype=torch.float64, requires_grad=True)
    params = {
        "first": {k: make(s) for k, s in shapes["first"].items()},
        "second": [make(s) for s in shapes["second"]],
    }
    return params, torch.randn(7, 3, dtype=torch.float64), torch.randn(7, dtype=torch.float64)


def flat(params):
    return [params["first"]["weight"], params["first"]["bias"], params["second"][0]]


def test_every_sample_is_its_own_backward(problem):
    params, x, y = problem
    found = per_sample(net, params, x, y)
    expected = looped(lambda x, y: net(params, x, y), flat(params), x, y)
    for ours, theirs in zip(found.parts, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    assert found.gradients["first"]["weight"].shape == (7, 4, 3)
    assert found.names == ("first.weight", "first.bias", "second[0]")
    assert all(p.grad is None for p in flat(params))


def test_the_mean_is_the_gradient_of_the_mean_loss(problem):
    params, x, y = problem
    found = per_sample(net, params, x, y)
    loss = torch.stack([net(params, a, b) for a, b in zip(x, y, strict=True)]).mean()
    for m, g in zip(found.mean, torch.autograd.grad(loss, flat(params)), strict=True):
        np.testing.assert_allclose(m, g.numpy(), rtol=1e-12, atol=1e-14)


def test_standard_errors_and_norms(problem):
    params, x, y = problem
    found = per_sample(net, params, x, y)
    for s, p in zip(found.stderr, found.parts, strict=True):
        deviation = p - p.mean(axis=0)
        np.testing.assert_allclose(s, np.sqrt((deviation**2).sum(axis=0) / 6 / 7), rtol=1e-12)
    whole = np.concatenate([p.reshape(7, -1) for p in found.parts], axis=1)
    np.testing.assert_allclose(found.norms, np.linalg.norm(whole, axis=1), rtol=1e-12)
    assert f"that of sample {np.argmax(found.norms)}" in str(found)


def test_a_chunk_at_a_time_gives_the_same(problem):
    params, x, y = problem
    whole, parts = per_sample(net, params, x, y), per_sample(net, params, x, y, chunk_size=3)
    for a, b in zip(whole.parts, parts.parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_the_share_of_samples_that_use_an_entry():
    w = torch.tensor([1.0, 1.0, 1.0])
    x = torch.tensor([[1.0, -1.0, -1.0], [2.0, 3.0, -4.0]])
    found = per_sample(lambda w, x: torch.relu(w * x).sum(), w, x)
    assert found.active[0].tolist() == [1.0, 0.5, 0.0]
    assert found.records()[0]["silent"] == pytest.approx(1 / 3)
    assert "33.3 % of its entries zero in every sample" in str(found)
    assert "33.3 %" in found._repr_html_()
    assert found.to_dict()["samples"] == 2


def test_one_sample_has_no_standard_error():
    found = per_sample(lambda w, x: (w * x).sum(), torch.ones(2), torch.ones(1, 2))
    assert np.isnan(found.stderr[0]).all()


@pytest.mark.parametrize(
    "batch", [(), (torch.ones(3), torch.ones(2)), (torch.tensor(1.0),), (torch.ones(0, 2),)]
)
def test_without_a_batch(batch):
    with pytest.raises(ValueError, match="needs a batch"):
        per_sample(lambda w, *_: w.sum(), torch.ones(2), *batch)


def test_a_loss_of_several_entries_is_refused():
    with pytest.raises(RuntimeError, match="0-d|scalar"):
        per_sample(lambda w, x: w * x, torch.ones(2), torch.ones(3, 2))
