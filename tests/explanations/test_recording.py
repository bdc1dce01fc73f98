"""What is recorded for explanations: lines, cut paths, values that left the record, the latest passes."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import pullback as torch
from pullback.autograd import passes
from pullback.autograd.engine import sweep
from pullback.graph import leaks, shadows
from pullback.graph.lines import line_of, record_lines
from pullback.graph.modes import LINES, state
from pullback.graph.node import Node, Slot


@pytest.fixture(autouse=True)
def nothing_before():
    """What other tests of this process left in the bounded logs is not looked at here."""
    shadows.ledger.entries.clear()
    shadows.ledger.total = 0
    leaks.log.clear()
    shadows.known.clear()


def leaf(*values):
    return torch.tensor(values, requires_grad=True)


def producer(t):
    place = t.origin if t.node is None or t.cut else t.node
    return place.node if type(place) is Slot else place


def cuts(t):
    """The cuts between a tensor and what autograd follows."""
    found, stack = [], [t.origin]
    while stack:
        e = stack.pop()
        node = e.node if type(e) is Slot else e
        if node is None:
            continue
        if node.cut:
            found.append(node.cut)
        stack += list(node.origins or ())
    return found


# ---------------------------------------------------------------------- lines

CALLS = {
    "operator": lambda x: x * x,
    "number": lambda x: x * 2.0,
    "reflected": lambda x: 2.0 - x,
    "unary": lambda x: x.exp(),
    "parameters": lambda x: torch.nn.functional.leaky_relu(x, 0.1),
    "matmul": lambda x: torch.ones(2, 3) @ x,
    "mm": lambda x: torch.mm(torch.ones(2, 3), x[:, None]),
    "linear": lambda x: torch.nn.functional.linear(x[None], torch.ones(2, 3)),
    "sum": lambda x: x.sum(),
    "sum over a dimension": lambda x: x.sum(0, True),
    "max": lambda x: x.max(),
    "max and indices": lambda x: x.max(0)[0],
    "norm": lambda x: x.norm(),
    "index": lambda x: x[1],
    "view": lambda x: x.reshape(3, 1),
    "unbind": lambda x: x.unbind()[2],
    "cat": lambda x: torch.cat([x, x]),
    "write": lambda x: torch.zeros(3).add_(x),
    "write by index": lambda x: torch.zeros(3).index_put_((torch.tensor([0]),), x[0]),
    "mixed dtypes": lambda x: x * torch.ones(3, dtype=torch.float64),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_kind_of_call_gets_its_line(name):
    x = leaf(1.0, -2.0, 3.0)
    plain = CALLS[name](x)
    with record_lines():
        y = CALLS[name](x)
    assert line_of(producer(plain)) is None
    line = line_of(producer(y))
    assert line.file == __file__
    assert line.number == CALLS[name].__code__.co_firstlineno
    assert f'"{name}": lambda' in line.text
    assert str(line) == f"test_recording.py:{line.number}"
    assert type(producer(plain)) is type(producer(y))
    assert producer(plain).name == producer(y).name
    assert np.array_equal(plain.detach().numpy(), y.detach().numpy())


def test_lines_change_neither_values_nor_gradients():
    def run():
        x = leaf(0.5, -1.0, 2.0)
        y = (torch.tanh(x * 2.0 + 1.0) @ torch.ones(3)).exp() - x[0] / 3
        y.backward()
        return y.item(), x.grad.numpy()

    plain = run()
    with record_lines():
        lined = run()
    assert plain[0] == lined[0]
    assert np.array_equal(plain[1], lined[1])


def test_a_line_of_an_expression_over_several_lines():
    x = leaf(1.0)
    with record_lines():
        y = (
            x.exp()
            +
            x.sin()
        )  # fmt: skip
    first = line_of(y.node.edges[0]).number
    assert line_of(y.node.edges[1]).number == first + 2


def test_blocks_nest_restore_and_survive_errors():
    assert not state.lines
    block = record_lines()
    with block:
        with block, torch.no_grad():
            assert state.lines
            assert state.mode == LINES
        assert state.lines
        assert state.grad
    assert not state.lines
    with pytest.raises(ZeroDivisionError), record_lines():
        1 / 0
    assert not state.lines
    with torch.no_grad(), record_lines():
        pass
    assert state.grad
    assert not (leaf(1.0) * 2).node.line


def test_the_decorator_wraps_functions_and_generators():
    @record_lines
    def bare(x):
        return x * 2

    @torch.record_lines()
    def called(x):
        return x * 2

    @torch.record_lines()
    def steps(x):
        yield x * 2

    assert line_of(bare(leaf(1.0)).node)
    assert line_of(called(leaf(1.0)).node)
    assert line_of(next(steps(leaf(1.0))).node)
    assert not state.lines


def test_lines_belong_to_a_thread():
    seen = []
    with record_lines():
        thread = threading.Thread(target=lambda: seen.append(state.lines))
        thread.start()
        thread.join()
    assert seen == [False]


@pytest.mark.parametrize(("value", "expected"), [("1", "True"), ("0", "False"), ("", "False")])
def test_the_environment_switches_lines_on_in_every_thread(value, expected):
    program = (
        "import threading, pullback as pb\n"
        "from pullback.graph.lines import line_of\n"
        "def check(): print(line_of((pb.tensor(1.0, requires_grad=True) * 2).node) is not None)\n"
        "check(); t = threading.Thread(target=check); t.start(); t.join()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PULLBACK_LINES": value, "PYTHONPATH": ":".join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [expected] * 2


def calls_of(function):
    """How many Python and C calls a function makes."""
    count = 0

    def profile(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    function()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_an_op_makes_few_calls_more_with_lines():
    x, w = leaf(0.5), torch.tensor(0.7)

    def step():
        (x * w).tanh()

    plain = calls_of(step)
    with record_lines():
        lined = calls_of(step)
    assert lined <= plain + 2 * 8


# ---------------------------------------------------------------------- cut paths

CUTS = {
    "detach": ("detach", lambda x: (x * 2).detach()),
    "detach of a leaf": ("detach", lambda x: x.detach()),
    "detach_": ("detach", lambda x: (x * 2).detach_()),
    "data": ("data", lambda x: (x * 2).data),
    "comparison": ("discrete", lambda x: x > 0),
    "comparison of two": ("discrete", lambda x: x == x * 1),
    "argmax": ("discrete", lambda x: x.argmax()),
    "indices of max": ("discrete", lambda x: x.max(0).indices),
    "indices of sort": ("discrete", lambda x: x.sort().indices),
    "nonzero": ("discrete", lambda x: x.nonzero()),
    "isclose": ("discrete", lambda x: torch.isclose(x, x * 1)),
    "long": ("integer", lambda x: x.long()),
    "bool": ("integer", lambda x: x.bool()),
    "torch.tensor": ("torch.tensor", lambda x: torch.tensor([x[0], x[1]])),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CUTS)
def test_a_cut_is_recorded_where_the_path_ends(name):
    cut, function = CUTS[name]
    x = leaf(1.0, -2.0, 3.0)
    plain = function(x)
    with record_lines():
        y = function(x)
    assert plain.origin is None
    assert y.node is None
    assert set(cuts(y)) == {cut}
    node = producer(y)
    assert any(e is not None for e in node.edges)
    assert line_of(node).file == __file__
    assert np.array_equal(np.asarray(plain.numpy()), np.asarray(y.numpy()))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_ops_in_a_mode_without_grad(mode):
    x = leaf(1.0, 2.0)
    with record_lines(), mode():
        y = x * 2 + 1
        z = y[0]
        w = torch.ones(1, 2) @ y
        s = y.sum()
    assert y.node is None
    for t in (z, w, s):
        assert t.origin.cut is None
        assert cuts(t) == [mode.__name__]
    first = y.origin.origins[0]
    assert first.cut == mode.__name__
    assert first.edges[0] is x
    assert first.op.name == "mul"
    assert first.out.tolist() == [2.0, 4.0]
    assert [a.tolist() for a in first.args] == [[1.0, 2.0], 2.0]


def test_a_recorded_op_names_the_origins_of_its_arguments():
    x = leaf(1.0, -2.0)
    with record_lines():
        gate = x > 0
        y = torch.where(gate, x, x * 2)
        z = x * x.detach()
        w = x * 2
    assert y.node.origins == (gate.origin, None, None)
    assert z.node.origins[0] is None
    assert z.node.origins[1].cut == "detach"
    assert w.node.origins is None


def test_views_under_no_grad_and_frozen_leaves():
    x = leaf(1.0, -2.0)
    with record_lines():
        with torch.no_grad():
            part = x[1:]
        frozen = leaf(1.0, 2.0).requires_grad_(False)
        y = frozen * 3
        again = leaf(1.0).requires_grad_(False).requires_grad_()
    assert part.cut
    assert part.origin.cut == "no_grad"
    assert part.origin.edges == (x,)
    assert cuts(y) == ["requires_grad_(False)"]
    assert again.origin is None


def test_writes_under_no_grad():
    x = leaf(1.0, -2.0)
    with record_lines():
        total, table = torch.zeros(2), torch.zeros(2, 2)
        row, other = table[0], table[1]
        hidden = x * 2
        with torch.no_grad():
            total += x
            row.copy_(x)
            table[1, 0] = x[0]
            hidden.mul_(3)
            x.sub_(0.5 * x)
        copied = torch.zeros(2).copy_(x.detach())
    assert cuts(total) == ["no_grad"]
    assert total.origin.args[0].tolist() == [0.0, 0.0]
    for t in (row, table, other):
        assert set(cuts(t)) == {"no_grad"}
    assert hidden.node is not None
    assert hidden.origin.cut == "no_grad"
    assert x.origin is None  # a leaf that is updated stays the start of every path
    assert cuts(copied) == ["detach"]
    with record_lines():
        total.zero_()
    assert total.origin is None


def test_a_long_loop_keeps_bounded_records(monkeypatch):
    monkeypatch.setattr(shadows, "NODES", 100)
    x, mean = leaf(1.0, 2.0), torch.tensor(0.0)
    alive = []
    with record_lines():
        for _ in range(200):
            loss = (x * x).sum()
            alive.append(weakref.ref(loss.node))
            mean = 0.9 * mean + 0.1 * loss.detach()
    del loss
    gc.collect()
    assert sum(r() is not None for r in alive) <= 100
    assert len(shadows.ledger.entries) <= 100
    found = cuts(mean)
    assert found.count("forgotten") in (1, 2)  # what the oldest kept op took: one value or both
    assert found.count("detach") >= 5


def test_large_values_are_forgotten_earlier(monkeypatch):
    monkeypatch.setattr(shadows, "BYTES", 1 << 20)
    with record_lines(), torch.no_grad():
        weights, mean = torch.ones(50_000, requires_grad=True), torch.zeros(50_000)
        for _ in range(40):
            mean = 0.9 * mean + 0.1 * weights
    assert shadows.ledger.total <= 1 << 20
    assert "forgotten" in cuts(mean)


def test_a_custom_function_stands_for_the_ops_inside():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    with record_lines():
        y = Double.apply(leaf(1.0))
    assert y.origin is None
    assert line_of(y.node).text == "y = Double.apply(leaf(1.0))"


# ---------------------------------------------------------------------- values that left the record


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("kind", "take"),
    [
        ("item", lambda x: x.sum().item()),
        ("float", lambda x: float(x.sum())),
        ("int", lambda x: int(x.sum() * 1000)),
        ("tolist", lambda x: x.tolist()),
        ("numpy", lambda x: x.detach().numpy()),
    ],
)
def test_a_value_that_leaves_is_logged_and_known_again(kind, take):
    x = leaf(1.0, 2.5)
    with record_lines():
        value = take(x)
        back = torch.as_tensor(value)
        copied = torch.tensor(value)
        equal = torch.tensor(np.array(value).tolist())  # the same numbers, but other objects
    event = leaks.log[-1]
    assert event.kind == kind
    assert event.value is value
    assert event.line.file == __file__
    assert event.tensor is not None
    assert leaks.first is not None
    for t in (back, copied):
        assert cuts(t) == ["detach" if kind == "numpy" else kind]
    assert equal.origin is None


def test_numbers_used_as_operands():
    x, w = leaf(1.0, 2.5), leaf(3.0)
    with record_lines():
        v = x.sum().item()
        y = w * v
        z = torch.ones(1) + v
        mixed = torch.tensor([v, 4.0])
        part = torch.tensor(x.tolist()[1])
        same = w * 3.5  # an equal number is no proof
    assert y.node.origins[1].cut == "item"
    assert z.origin.origins[1] is y.node.origins[1]
    assert mixed.origin.origins == (y.node.origins[1], None)
    assert cuts(part) == ["tolist"]
    assert same.node.origins is None


def test_shared_memory_is_a_proof():
    x = leaf(1.0, 2.0, 3.0)
    with record_lines():
        a = x.detach().numpy()
        part = torch.from_numpy(a[1:])
        computed = torch.from_numpy(a * 1)
    assert cuts(part) == ["detach"]
    assert part.origin.params["region"].offset == 1
    assert computed.origin is None


def test_the_log_is_bounded_and_the_first_is_known_without_lines():
    program = (
        "import pullback as pb\nfrom pullback.graph import leaks\n"
        "x = pb.tensor(1.0, requires_grad=True)\nx.detach().item()\nprint(leaks.first)\n"
        "(x * 2).item(); first = leaks.first; (x * 3).item()\nprint(first == leaks.first > 1, len(leaks.log))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", "True", "0"]
    x = leaf(1.0)
    with record_lines():
        for _ in range(2 * leaks.MOST):
            (x * 2).item()
    assert len(leaks.log) == leaks.MOST
    assert len(shadows.known) <= leaks.MOST * 2


# ---------------------------------------------------------------------- passes


def again(p):
    with p.restored():
        found, _ = sweep(p.roots, keep=True, tensors=False)
    return {id(t): g for t, g in found.items()}


def test_what_a_pass_freed_can_be_read_again():
    x = leaf(1.0, -2.0, 3.0)
    y = (torch.relu(x) ** 2).sum()
    y.backward()
    p = passes.recent[-1]
    assert p.kind == "backward"
    assert not p.too_large
    assert p.leaves == [x]
    assert p.line is None
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    p = passes.recent[-1]
    power = y.node.edges[0]
    assert power.args is None
    assert np.array_equal(again(p)[id(x)], x.grad.numpy())
    assert power.args is None
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_the_restored_values_go_after_an_error():
    x = leaf(1.0, 2.0)
    y = x.exp().sum()
    y.backward()
    with pytest.raises(ZeroDivisionError), passes.recent[-1].restored():
        assert y.node.edges[0].out is not None
        1 / 0
    assert y.node.edges[0].out is None


def test_grad_is_a_pass_and_a_retained_graph_frees_nothing():
    x = leaf(1.0, 2.0)
    y = x.exp().sum()
    (g,) = torch.autograd.grad(y, x, retain_graph=True)
    p = passes.recent[-1]
    assert (p.kind, p.values, p.too_large) == ("grad", [], False)
    assert np.array_equal(again(p)[id(x)], g.numpy())
    torch.autograd.grad(y, x)
    p = passes.recent[-1]
    assert len(p.values) == 1
    assert np.array_equal(again(p)[id(x)], g.numpy())


def test_retained_gradients_and_custom_functions():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 + 0 * x

    x = leaf(1.0, 2.0)
    h = x.exp()
    h.retain_grad()
    y = Double.apply(h).sum()
    y.backward()
    p = passes.recent[-1]
    assert np.array_equal(again(p)[id(x)], x.grad.numpy())
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


@pytest.mark.parametrize("lines", [False, True])
def test_large_records_are_not_kept_alive(lines):
    state.update(lines=lines)
    try:
        x = torch.ones(20_000_000 if lines else 5_000_000, requires_grad=True)
        y = (x * 2).sum()
        freed = weakref.ref(y.node)
        y.backward()
        p = passes.recent[-1]
        assert p.roots[0][0] is y.node
        del y
        assert freed() is None
        assert p.roots == []
    finally:
        state.update(lines=False)


def test_long_records_and_large_data_are_not_kept():
    x = leaf(1.0)
    y = x
    for _ in range(passes.FEW + 1):
        y = y.sin()
    y.backward()
    assert passes.recent[-1].too_large
    data = torch.ones(3, 3_000_000)
    w = torch.ones(3, requires_grad=True)
    held = weakref.ref(data)
    (w @ data).sum().backward()
    (w @ torch.ones(3, 2)).sum().backward()
    assert not passes.recent[-1].too_large
    del data
    assert held() is None


def test_passes_belong_to_a_thread():
    (leaf(1.0) * 2).backward()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(len(passes.recent)))
    thread.start()
    thread.join()
    assert seen == [0]
    assert len(passes.recent) == 1


def test_lines_keep_more_passes_and_safe_values():
    w = leaf(3.0, 4.0)
    optimizer = torch.optim.SGD([w], lr=0.5)
    found = []
    with record_lines():
        for _ in range(passes.MOST + 1):
            optimizer.zero_grad()
            loss = (w[0] * w[1] * w).sum()
            loss.backward()
            found.append(w.grad.numpy().copy())
            optimizer.step()
    assert len(passes.recent) == passes.MOST
    for p, g in zip(passes.recent, found[1:], strict=True):
        assert p.line.text == "loss.backward()"
        assert np.array_equal(again(p)[id(w)], g)
    numbers = [p.number for p in passes.recent]
    assert numbers == sorted(numbers)


def test_contributions():
    x = leaf(1.0, 2.0)
    assert passes.contributions(x) == 0
    (x * 2).sum().backward()
    assert passes.contributions(x) is None  # nobody counted
    with record_lines():
        (x * 2).sum().backward()
        assert passes.contributions(x) is None
        for reset in (lambda: setattr(x, "grad", None), lambda: x.grad.zero_()):
            reset()
            assert passes.contributions(x) == 0
            for k in range(6):
                (x * 2).sum().backward()
                assert passes.contributions(x) == k + 1
        x.grad.mul_(2)
        assert passes.contributions(x) is None
        (x * 2).sum().backward()
        assert passes.contributions(x) is None


def test_nodes_of_shadows_are_ordinary_nodes():
    x = leaf(1.0, -2.0, 3.0)
    with record_lines(), torch.no_grad():
        y = torch.relu(x) * 2
    relu = y.origin.origins[0]
    assert type(relu) is Node
    local = relu.op.zero(0, relu.out, [relu.args[0].value], relu.params)
    assert np.asarray(local.values).tolist() == [1.0, 0.0, 1.0]
