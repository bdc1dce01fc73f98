"""Long and shared records: no recursion, and every node is visited once, in both modes and in the pattern."""

from __future__ import annotations

import gc

import pytest

import pullback as torch
from pullback.families.elementwise import Elementwise
from pullback.families.op import TABLE
from pullback.transform.forward import fresh, push, reachable
from pullback.transform.pattern import pattern


@pytest.fixture
def visits(monkeypatch):
    """Counts the nodes whose vjp ran."""
    count = [0]
    pull = Elementwise.pull

    def counting(self, node, g, tensors):
        count[0] += 1
        return pull(self, node, g, tensors)

    monkeypatch.setattr(Elementwise, "pull", counting)
    add = TABLE["add"]  # chains of numbers have a shorter way
    rule = add.pull_number

    def counting_numbers(node, g):
        count[0] += 1
        return rule(node, g)

    monkeypatch.setattr(add, "pull_number", counting_numbers)
    return count


def chain(x, n):
    y = x
    for _ in range(n):
        y = y + 1.0
    return y


def ladder(x, n):
    """2**n paths."""
    y = x
    for _ in range(n):
        y = y + y
    return y


def test_backward_of_a_long_chain(visits):
    seen = {}
    for n in (50_000, 100_000):
        x = torch.tensor(2.0, requires_grad=True)
        y = chain(x, n)
        visits[0] = 0
        y.backward()
        seen[n] = visits[0]
        assert x.grad.item() == 1.0
        del y  # must not recurse either
        gc.collect()
    assert seen == {50_000: 50_000, 100_000: 100_000}


def test_a_node_is_visited_once_however_many_paths_lead_to_it(visits):
    x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y = ladder(x, 60)
    y.backward()
    assert visits[0] == 60
    assert x.grad.item() == 2.0**60


def test_only_nodes_on_the_way_to_an_input_are_visited(visits):
    x = torch.tensor(1.0, requires_grad=True)
    w = torch.tensor(1.0, requires_grad=True)
    y = chain(x, 100) * chain(w, 7)
    torch.autograd.grad(y, w)
    assert visits[0] == 8


def test_recorded_sweep_of_a_long_chain():
    x = torch.tensor(2.0, requires_grad=True)
    (g,) = torch.autograd.grad(chain(x, 20_000) * x, x, create_graph=True)
    (h,) = torch.autograd.grad(g, x)
    assert h.item() == 2.0


def test_forward_mode_of_a_long_chain():
    x = fresh(torch.tensor(2.0))
    y = chain(x, 100_000)
    assert len(reachable([y])) == 100_001
    (t,) = push([y], {x.node: torch.tensor(3.0)})
    assert t.item() == 3.0


def test_pattern_of_a_long_chain():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    assert pattern(chain(x, 2_000), x).dense().tolist() == [[True, False], [False, True]]
