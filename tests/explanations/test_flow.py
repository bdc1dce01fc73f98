"""How much gradient arrives where: against closed forms, and against Jacobians taken one entry at a time."""

import json
import math
import re

import numpy as np
import pytest

import pullback as torch
from pullback.explanations.flow import flow, norm
from pullback.explanations.flow_text import text
from pullback.graph.lines import record_lines


def scalar(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def vector(values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


# ---------------------------------------------------------------------- closed forms


def test_a_chain_of_sigmoids_has_the_gain_of_each_slope():
    h = scalar(0.7)
    slopes = []
    for _ in range(40):
        h = torch.sigmoid(h)
        slopes.append(h.item() * (1 - h.item()))
    found = flow(h)
    np.testing.assert_allclose([r.gain for r in found.rows], slopes[::-1], rtol=1e-14)
    np.testing.assert_allclose(found.leaves[0].norm, np.prod(slopes), rtol=1e-13)
    np.testing.assert_allclose(found.rate, np.prod(slopes) ** (1 / 40), rtol=1e-13)
    lost = int(np.argmax(np.cumprod(slopes[::-1]) < 1e-6)) + 1
    assert found.path.lost.depth == lost
    assert found.path.lost.op == "sigmoid"
    assert found.path.blown is None
    assert found.worst[0].gain == min(r.gain for r in found.rows)


def test_orthogonal_matrices_keep_the_norm():
    rng = np.random.default_rng(0)
    h = vector(rng.standard_normal(12))
    for _ in range(15):
        Q = np.linalg.qr(rng.standard_normal((12, 12)))[0]
        h = torch.tensor(Q) @ h
    found = flow(h, rng.standard_normal(12))
    np.testing.assert_allclose([r.gain for r in found.rows], 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.rate, 1.0, rtol=1e-12)
    assert not found.worst
    assert found.path.lost is found.path.blown is None


def test_relu_closes_the_known_share():
    x = vector([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    h = torch.relu(x)
    k = torch.relu(h - 2.5)
    found = flow(k.sum())
    second, first = found.row(k), found.row(h)
    assert (second.closed, second.new_zero, second.zero) == (6 / 8, 6 / 8, 0.0)
    # of the five gates that are open nothing comes to three; what was zero before is not newly so
    assert (first.closed, first.new_zero, first.zero) == (4 / 8, 0.0, 6 / 8)
    assert found.leaves[0].zero == 6 / 8
    assert first.saturated is None


def test_an_exploding_chain_doubles():
    h = scalar(1.0)
    for _ in range(64):
        h = h * 2.0
    found = flow(h)
    assert found.leaves[0].norm == 2.0**64
    assert found.path.norms == tuple(2.0**k for k in range(65))
    assert found.rate == pytest.approx(2.0, rel=1e-14)
    assert found.path.blown.depth == 20  # 2^20 is the first power over a million
    assert found.path.lost is None
    tripled = flow(h * 3.0)
    assert tripled.worst[0].gain == 3.0
    assert all(w.gain > 2.0 for w in tripled.worst)


def test_a_chain_over_the_range_of_floats():
    h = scalar(1.0)
    for _ in range(8):
        h = h * 1e-50
    found = flow(h)
    assert [r.gain for r in found.rows[:6]] == pytest.approx([1e-50] * 6, rel=1e-12)
    assert found.leaves[0].norm == 0.0
    assert found.rate == 0.0
    assert found.rows[-1].arriving == 0.0
    assert math.isnan(found.rows[-1].gain)
    assert norm([np.full(4, 1e200)]) == pytest.approx(2e200)
    assert norm([np.full(4, 1e-200)]) == pytest.approx(2e-200)
    assert norm([np.array([1.0, np.inf])]) == math.inf
    assert math.isnan(norm([np.array([np.nan, np.inf])]))
    assert norm([np.array([3 + 4j, 0])]) == 5.0


def test_saturation_counts_small_but_not_zero_slopes():
    x = vector([0.0, 6.0, 8.0, 20.0, 800.0, -800.0])
    found = flow(torch.sigmoid(x).sum())
    row = found.rows[-1]
    # sigmoid'(6) = 2.5e-3 > 2.5e-4; sigmoid'(8) = 3.4e-4 > 2.5e-4; sigmoid'(20) = 2e-9; exp(-800) is zero
    assert row.saturated == 1 / 6
    assert row.closed == 2 / 6
    t = flow(torch.tanh(vector([0.0, 3.0, 5.0, 30.0])).sum()).rows[-1]
    # tanh'(5) = 1.8e-4; tanh'(30) rounds to zero
    assert (t.saturated, t.closed) == (1 / 4, 1 / 4)


FLAT = "sigmoid tanh erf erfc atan softplus logsigmoid elu selu silu gelu mish"


@pytest.mark.parametrize("name", FLAT.split())
def test_steepest_slopes_are_right(name):
    """Where the slope is a thousandth of the steepest one, by a fine grid, the count begins."""
    function = getattr(torch, name, None) or getattr(torch.nn.functional, name)
    grid = vector(np.linspace(-40.0, 40.0, 160_001))
    y = function(grid)
    (slope,) = torch.autograd.grad(y.sum(), grid, retain_graph=True)
    d = np.abs(slope.numpy())
    expected = np.mean((d != 0) & (d < 1e-3 * d.max()))
    row = flow(y.sum()).row(y)
    assert row.saturated == pytest.approx(expected, abs=5e-5)


# ---------------------------------------------------------------------- brute force




PROGRAMS = {
    "mlp": lambda x, W: torch.relu(W @ torch.tanh(W @ x)),
    "softmax": lambda x, W: torch.softmax(W @ x, 0)[1:],
    "structure": lambda x, W: torch.cat([x[2:], (W * x)[:, 0], x.flip(0)]),
    "reductions": lambda x, W: W.amax(dim=1) * W.prod(dim=0) + x.cumsum(0),
    "several outputs": lambda x, W: torch.linalg.qr(W)[1] @ x.sort()[0],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_norms_are_those_of_autograd(name):
    rng = np.random.default_rng(1)
    x, W = vector(rng.standard_normal(4)), vector(rng.standard_normal((4, 4)))
    out = PROGRAMS[name](x, W)
    v = rng.standard_normal(out.shape)
    v.flat[0] = 0.0
    found = flow(out, v)
    gradients = torch.autograd.grad(out, [x, W], torch.tensor(v), allow_unused=True, retain_graph=True)
    expected = {
        tuple(t.shape): np.linalg.norm(g.numpy())
        for t, g in zip((x, W), gradients, strict=True)
        if g is not None
    }
    assert {leaf.shape: pytest.approx(leaf.norm, rel=1e-12) for leaf in found.leaves} == expected
    for row in found.rows:
        for s, gain in zip(row.sent, row.gains, strict=True):
            assert (s is None) == (gain is None)
            if s is not None and row.arriving:
                assert gain == pytest.approx(s / row.arriving)


def eye(n):
    return np.eye(n)


def fold(n, m):
    """Each of n outputs reads m entries in a row."""
    return np.kron(np.eye(n), np.ones((1, m)))


# shape of the input, one op, and which output entry (row) is tied to which input entry (column)
TIES = {
    "relu": ((6,), torch.relu, eye(6)),
    "mul": ((6,), lambda x: x * torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0, 1.0], dtype=torch.float64), eye(6)),
    "slice": ((6,), lambda x: x[2:5], eye(6)[2:5]),
    "flip": ((6,), lambda x: x.flip(0), eye(6)[::-1]),
    "index": ((6,), lambda x: x[torch.tensor([0, 0, 5])], eye(6)[[0, 0, 5]]),
    "expand": ((6,), lambda x: x.expand(2, 6), np.vstack([eye(6), eye(6)])),
    "broadcast": ((3, 1), lambda x: torch.maximum(x, torch.zeros(2, dtype=torch.float64)), fold(3, 2).T),
    "cumsum": ((6,), lambda x: x.cumsum(0), np.tril(np.ones((6, 6)))),
    "max": ((2, 3), lambda x: x.max(dim=1)[0], fold(2, 3)),
    "amax": ((2, 3), lambda x: x.amax(dim=0), np.kron(np.ones((1, 2)), eye(3))),
    "sum": ((2, 3), lambda x: x.sum(dim=1), fold(2, 3)),
    "prod": ((2, 3), lambda x: x.prod(dim=1), fold(2, 3)),
    "mm": ((2, 3), lambda x: x @ torch.eye(3, dtype=torch.float64)[:, :2], np.kron(eye(2), np.ones((2, 3)))),
}


@pytest.mark.parametrize("op", TIES)
@pytest.mark.parametrize("seed", range(5))
def test_newly_zero_by_brute_force(op, seed):
    """A zero is passed on if every output entry that the entry is tied to got a zero; other zeros are new."""
    shape, function, tied = TIES[op]
    rng = np.random.default_rng(seed)
    x = vector(rng.permutation([-2.0, -1.0, 0.0, 1.5, 2.5, -0.3])[: math.prod(shape)].reshape(shape))
    y = function(x)
    v = rng.integers(0, 2, y.shape).astype(float)
    (row,) = flow(y, v).rows
    (g,) = torch.autograd.grad(y, x, torch.tensor(v))
    zero = g.numpy().reshape(-1) == 0
    live = v.reshape(-1) != 0
    passed = tied.any(axis=0) & ~(tied[live] != 0).any(axis=0)
    assert row.new_zero == pytest.approx(np.mean(zero & ~passed))
    assert row.zero == np.mean(v == 0)


def test_closed_entries_of_reductions():
    x = vector([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]])
    assert flow(x.amax(dim=1).sum()).rows[-1].closed == 4 / 6
    assert flow(x.max()).rows[-1].closed == 5 / 6
    assert flow(x.sum()).rows[-1].closed == 0.0
    assert flow((x - 1.0).prod()).rows[0].closed == 5 / 6  # one factor is zero: only it has a derivative
    assert flow(torch.softmax(x, 1).sum()).rows[-1].closed is None


@pytest.mark.parametrize("seed", range(12))
def test_depths_and_paths_of_random_graphs(seed):
    """The main path is a longest one, found here by trying all."""
    rng = np.random.default_rng(seed)
    pool = [vector(rng.standard_normal(3)) for _ in range(3)]
    for _ in range(10):
        a, b = (pool[k] for k in rng.integers(max(0, len(pool) - 6), len(pool), 2))
        pool.append([a + b, a * b, torch.tanh(a), a - b][rng.integers(4)])
    out = pool[-1].sum()
    found = flow(out)

    def longest(edge):
        node = getattr(edge, "edges", None)
        return 0 if node is None else 1 + max((longest(e) for e in edge.edges if e is not None), default=-1)

    assert len(found.path.nodes) == longest(out.node)
    assert found.path.norms[0] == found.rows[0].arriving
    by_number = {r.node: r for r in found.rows}
    for node, n in zip(found.path.nodes, found.path.norms, strict=False):
        assert by_number[node].arriving == n
    assert any(leaf.norm == found.path.norms[-1] for leaf in found.leaves)


# ---------------------------------------------------------------------- what it says


def deep():
    h = x = torch.full((4,), 0.3, dtype=torch.float64, requires_grad=True)
    with record_lines():
        for _ in range(25):
            h = torch.sigmoid(h)
            h = h * 1.5
    return x, h


def test_repeated_layers_are_one_line_with_op_and_line():
    x, h = deep()
    found = flow(h.sum(), names={"start": x})
    shown = str(found)
    lines = {r.line for r in found.rows if r.op == "sigmoid"}
    assert len(lines) == 1
    assert re.fullmatch(r"test_flow\.py:\d+", lines.copy().pop())
    (line,) = [s for s in shown.splitlines() if s.startswith("sigmoid")]
    gains = [r.gain for r in found.rows if r.op == "sigmoid"]
    assert lines.pop() in line
    assert " 25 " in line
    assert f"{np.exp(np.mean(np.log(gains))):.3g}" in line
    crossing = found.path.lost
    where = f"after {crossing.depth} ops, in {crossing.op} at test_flow"
    assert f"falls under a millionth of its start {where}" in shown
    assert f"start [4]: norm {found.leaves[0].norm:.3g}" in shown


def test_a_dead_chain_says_where_it_died():
    x = vector([-1.0, -2.0])
    h = torch.relu(x * 3.0)
    found = flow((h * 2.0).sum())
    assert "it is exactly zero after 3 ops, in relu" in text(found)
    assert found.worst[0].op == "relu"
    assert found.worst[0].gain == 0.0
    assert "lost most in relu x 0" in repr(found)


def test_non_finite_gradients_are_counted_and_named():
    x = vector([0.0, 4.0])
    found = flow(torch.sqrt(x).sum())
    assert found.rows[-1].nonfinite == 0.5
    assert found.path.broken.op == "sqrt"
    assert "stops being finite after 2 ops, in sqrt" in str(found)
    assert found.leaves[0].norm == math.inf


def test_everything_comes_out_as_plain_data():
    _, h = deep_without_lines()
    found = flow(h.sum())
    data = json.loads(json.dumps(found.to_dict()))
    assert len(data["rows"]) == len(found.rows)
    assert data["path"]["lost"]["op"] == found.path.lost.op
    assert "\n" not in repr(found)
    html = found._repr_html_()
    assert "<table" in html
    assert html.count("<tr>") == 1 + len({(r.op, r.shape) for r in found.rows})


def deep_without_lines():
    h = x = vector([0.3, 0.2])
    for _ in range(25):
        h = torch.sigmoid(h)
    return x, h


def test_dataframe():
    pandas = pytest.importorskip("pandas")
    _, h = deep_without_lines()
    frame = flow(h.sum()).to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["op"]) == ["sum"] + ["sigmoid"] * 25


def test_without_pandas_the_error_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="records"):
        flow(scalar(1.0) * 2).to_dataframe()


def test_names_come_from_modules_dicts_and_variables():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    shift = torch.zeros(1, requires_grad=True)
    out = (net(torch.ones(1, 2)) + shift).sum()
    names = {leaf.name for leaf in flow(out).leaves}
    assert names == {"net.0.weight", "net.0.bias", "net.1.weight", "net.1.bias", "shift"}
    assert "0.weight" in {leaf.name for leaf in flow(out, names=net).leaves}
    assert "0.weight" in {leaf.name for leaf in flow(out, names=net.named_parameters()).leaves}
    assert "b" in {leaf.name for leaf in flow(out, names={shift: "b"}).leaves}


def test_edge_cases_have_rows():
    leaf = scalar(2.0)
    found = flow(leaf)
    assert (found.rows, found.leaves[0].norm) == ((), 1.0)
    assert str(found)
    empty = vector(np.zeros((0, 3)))
    found = flow((empty * 2.0).sum())
    assert found.leaves[0].norm == 0.0
    assert str(found)
    z = torch.tensor([1 + 1j, 2 - 1j], requires_grad=True)
    found = flow((z * z.conj()).real.sum())
    assert found.leaves[0].norm == pytest.approx(2 * np.linalg.norm([1 + 1j, 2 - 1j]), rel=1e-6)


class Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2.0

    @staticmethod
    def backward(ctx, g):
        return g * 0.25


def test_a_custom_function_is_measured_by_its_own_backward():
    found = flow(Halve.apply(vector([1.0, 2.0])).sum())
    assert found.rows[-1].op == "Halve"
    assert found.rows[-1].gain == 0.25
    assert found.rows[-1].closed is None


def test_hooks_are_not_called_and_it_is_said():
    x = vector([1.0, 2.0])
    h = x * 2.0
    h.register_hook(lambda g: g * 0.0)
    found = flow(h.sum())
    assert found.leaves[0].norm > 0
    assert "hooks" in str(found)
