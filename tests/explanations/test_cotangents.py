"""One sweep that keeps every cotangent: the numbers of `backward`, and nothing of the record changed."""

import numpy as np
import pytest

import pullback as torch
from pullback.explanations.cotangents import cotangents
from pullback.graph.node import Slot


def network():
    torch.manual_seed(0)
    x, W = torch.randn(4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    h = torch.tanh(W @ x)
    values, _ = torch.stack([h, h * h]).max(dim=0)
    out = (values * h).sum() + torch.linalg.svd(W)[1].sum()
    return x, W, h, values, out


def test_leaves_and_intermediates_are_those_of_autograd():
    x, W, h, values, out = network()
    found = cotangents(out)
    expected = torch.autograd.grad(out, [x, W, h, values], retain_graph=True)
    for t, g in zip((x, W), expected, strict=False):
        np.testing.assert_allclose(found.leaves[t], g.numpy(), rtol=1e-6)
    for t, g in zip((h, values), expected[2:], strict=True):
        np.testing.assert_allclose(found.at(t.node), g.numpy(), rtol=1e-6)
    assert type(values.node) is Slot
    assert found.arriving[values.node.node][1] is None  # nothing arrives at the indices


def test_what_is_sent_adds_up_to_what_arrives():
    *_, out = network()
    found = cotangents(out)
    arrived = {}
    for node in found.nodes:
        for e, c in zip(node.edges, found.sent[node], strict=True):
            if e is not None and c is not None:
                key = (e.node, e.index) if type(e) is Slot else e
                arrived[key] = arrived.get(key, 0) + c
    for key, c in arrived.items():
        edge = Slot(*key) if isinstance(key, tuple) else key
        np.testing.assert_array_equal(found.at(edge), c)
    assert [n.number for n in found.nodes] == sorted((n.number for n in found.nodes), reverse=True)


def test_nothing_is_freed_or_accumulated_and_no_hook_runs():
    x, _, h, _, out = network()
    seen = []
    h.register_hook(seen.append)
    x.register_hook(seen.append)
    h.retain_grad()
    found = cotangents(out)
    assert not seen
    assert x.grad is None
    assert h.grad is None
    assert set(found.hooked) == {h.node, x}
    out.backward()
    assert len(seen) == 2
    np.testing.assert_allclose(x.grad.numpy(), found.leaves[x], rtol=1e-6)


def test_several_outputs_add_up_with_their_upstreams():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    a, b = x * x, x.exp().sum()
    found = cotangents([a, b], [np.array([1.0, 0.0]), None])
    np.testing.assert_allclose(found.leaves[x], np.array([2.0, 0.0]) + np.exp([1.0, 2.0]), rtol=1e-6)
    assert cotangents(x, [3.0, 4.0]).leaves[x].tolist() == [3.0, 4.0]


def test_packed_values_stay_packed():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    opened = []

    def unpack(t):
        opened.append(t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, unpack):
        y = x.exp() * x
    kept = y.node.args
    cotangents(y.sum())
    assert opened
    assert y.node.args is kept
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]) * [2.0, 3.0], rtol=1e-6)


def freed():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp().sum()
    y.backward()
    return y


def overwritten():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x.exp()
    y = (h * h).sum()
    h.add_(1.0)
    return y


def mapped():
    x = torch.ones(3, 2, requires_grad=True)
    return torch.func.vmap(lambda r: (r * r).sum())(x).sum()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (freed, "backward through the graph a second time"),
        (overwritten, "modified by an inplace operation"),
        (mapped, "inside vmap"),
        (lambda: torch.ones(2), "does not require grad"),
        (lambda: torch.ones(2, requires_grad=True) * 2, "only for scalar outputs"),
    ],
)
def test_refuses_what_backward_refuses(program, words):
    out = program()
    with pytest.raises(RuntimeError, match=words):
        cotangents(out)


def test_another_number_of_upstreams_is_refused():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="2 outputs need 2 upstreams"):
        cotangents([x.sum(), x.sum()], [1.0])
