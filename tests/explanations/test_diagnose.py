"""diagnose: verdicts on arrays and shapes, pairs of slips, custom Functions, and how the result reads."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as torch
import pullback.nn.functional as F
from pullback.explanations.diagnosis import Diagnosis, diagnose
from pullback.graph.lines import record_lines

f64 = torch.float64


@pytest.fixture
def seed():
    """z = W x + b, a = softmax(z), L = mse(a, truth), and the gradients derived by hand from dL/dz."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    W = torch.tensor([[0.5, -0.5], [0.3, 0.8]], requires_grad=True)
    b = torch.tensor([0.1, 0.2], requires_grad=True)
    truth = torch.tensor([0.0, 1.0])
    with record_lines():
        z = W @ x + b
        a = F.softmax(z, dim=0)
        L = F.mse_loss(a, truth)
    J = torch.diag(a) - torch.outer(a, a)
    dz = (2 * (a - truth) / a.size(0)) @ J
    return L, x, W, b, dz


def test_the_seeds_puzzle_is_solved(seed):
    L, x, W, _b, dz = seed
    found = diagnose(dz @ W.T, L, x)
    assert found.verdict.kind == "rule misapplied"
    first = found.mutations[0]
    assert (first.op, first.name, first.changes) == ("mv", "operand not transposed", 1)
    assert "W.T where W belongs in the vjp of matmul" in first.text
    assert "g @ W with g (2) as a row and W (2x2)" in first.text
    assert "as a column W.T @ g" in first.text
    assert first.line.text == "z = W @ x + b"
    assert not found.approximate
    assert not found


def test_the_seeds_shape_slip_is_named(seed):
    L, x, W, _b, dz = seed
    found = diagnose(dz.unsqueeze(1) @ x.unsqueeze(0).unsqueeze(0), L, W)
    assert found.verdict.kind == "shape slip"
    assert "the candidate has shape 1x2x2, the gradient 2x2" in found.verdict.text
    assert "the values agree" in found.verdict.text
    assert found.approximate
    assert not found.exact
    assert found.mutations == ()


def test_the_seeds_right_gradient_agrees(seed):
    L, _x, _W, b, dz = seed
    found = diagnose(dz @ torch.eye(2), L, b)
    assert found
    assert found.verdict.kind == "float noise"


@pytest.fixture
def exp_bias():
    r = np.random.default_rng(3)
    X = torch.tensor(r.normal(size=(4, 3)), requires_grad=True)
    b = torch.tensor(r.normal(size=3), requires_grad=True)
    E = np.exp(X.detach().numpy() + b.detach().numpy())
    return torch.exp(X + b).sum(), X, b, E


VERDICTS = [
    ("b", "E", "broadcast sum missing", "4x3, the gradient 3: the sum over dimension 0 is missing"),
    ("b", "E / 4", "constant factor", None),
    ("b", "E.sum(0)[None]", "shape slip", "a leading dimension of size 1 too many"),
    ("b", "E.sum()", "extra sum", "the sum of the gradient over dimension 0"),
    ("b", "E.sum() / 3", "averaged", "the mean of the gradient"),
    ("b", "2 * E", "constant factor", "the sum over dimension 0 is missing"),
    ("X", "E.T", "transposed", "transposed"),
    ("X", "E[::-1]", "flipped", "flipped along dimension 0"),
    ("X", "E.reshape(-1)", "reshaped", "same number of entries"),
    ("X", "E.reshape(1, 12)", "reshaped", "same number of entries"),
    ("X", "E * np.arange(1, 5)[:, None]", "row factors", "each row of the gradient"),
    ("X", "E * np.array([1, 2, 5])", "row factors", "each column of the gradient"),
    ("X", "E + 0.1 * x", "extra term", "0.1 times x"),
    ("X", "E + 0.3 * np.sign(x)", "extra term", "0.3 times sign(x)"),
    ("X", "E.astype(np.float32)", "float noise", None),
    ("X", "E.astype(np.float32).astype(float)", "lower precision", "float32"),
    ("X", "0 * E", "zero", "zero everywhere"),
    ("X", "E[[1, 0, 3, 2]]", "permuted", "in the order [1, 0, 3, 2]"),
    ("X", "2.371 * E", "constant factor", "2.371 times"),
    ("X", "-E", "constant factor", "-1 times the gradient (the sign)"),
    ("X", "3 * E", "constant factor", "3: dimension 1 of x"),
    ("X", "E / 12", "constant factor", "1/12: the entries of x"),
    ("X", "np.broadcast_to(E.sum(0), (4, 3))", "extra sum", "summed over dimension 0"),
    ("X", "np.broadcast_to(E.mean(1, keepdims=True), (4, 3))", "averaged", "averaged over dimension 1"),
    ("X", "np.ones((5, 5))", "not determined", "shapes do not fit: 5x5 for 4x3"),
    ("X", "np.where(E > E.mean(), np.nan, E)", "not determined", "nan where"),
    ("X", "E", "agrees", None),
]


@pytest.mark.parametrize(
    ("leaf", "wrong", "kind", "text"), VERDICTS, ids=[f"{v[0]}-{v[1]}" for v in VERDICTS]
)
def test_verdicts_on_two_arrays(exp_bias, leaf, wrong, kind, text):
    L, X, b, E = exp_bias
    candidate = eval(wrong, {"np": np, "E": E, "x": X.detach().numpy()})
    found = diagnose(candidate, L, {"X": X, "b": b}[leaf])
    assert found.verdict.kind == kind, str(found)
    assert text is None or text in found.verdict.text


def test_a_square_gradient_that_is_transposed_keeps_its_shape():
    A = torch.randn(3, 3, dtype=f64, requires_grad=True)
    v = torch.randn(3, 3, dtype=f64)
    found = diagnose(v.T, (A * v).sum(), A)
    assert found.verdict.kind == "transposed"


def test_permuted_axes_of_three():
    A = torch.randn(2, 3, 4, dtype=f64, requires_grad=True)
    v = torch.randn(2, 3, 4, dtype=f64)
    found = diagnose(v.permute(2, 0, 1), (A * v).sum(), A)
    assert found.verdict.kind == "transposed"
    assert ".transpose(1, 2, 0) puts them right" in found.verdict.text


def test_a_scalar_gradient_is_given_a_factor_only_where_it_has_a_name():
    x = torch.tensor(0.7, dtype=f64, requires_grad=True)
    y = torch.sin(x) * 3
    g = 3 * np.cos(0.7)
    assert diagnose(2 * g, y, x).verdict.kind == "constant factor"
    assert diagnose(1.2345 * g, y, x).verdict.kind == "not determined"


def test_the_constant_of_the_program_is_named():
    x = torch.randn(3, dtype=f64, requires_grad=True)
    y = (0.37 * torch.sin(x)).sum()
    found = diagnose(np.cos(x.detach().numpy()), y, x)
    assert found.verdict.kind == "constant factor"
    assert "1/0.37: the constant of mul" in found.verdict.text
    assert (found.mutations[0].op, found.mutations[0].name) == ("mul", "factor omitted")


# ---------------------------------------------------------------------- two things at once


def test_a_factor_and_a_wrong_rule_together():
    r = np.random.default_rng(5)
    W, x = torch.tensor(r.normal(size=(3, 3))), torch.tensor(r.normal(size=3), requires_grad=True)
    loss = (torch.tanh(W @ x) ** 2).sum()
    t = np.tanh(W.numpy() @ x.detach().numpy())
    found = diagnose(W.numpy() @ (t * (1 - t**2)), loss, x)
    assert found.verdict.kind == "rule misapplied"
    assert "two things at once" in found.verdict.text or found.mutations[0].changes == 2
    assert "operand not transposed" in {m.name for m in found.mutations} | {
        m.second.name for m in found.mutations if m.second
    }


def test_a_pair_of_wrong_rules():
    r = np.random.default_rng(6)
    x, v = torch.tensor(r.normal(size=5), requires_grad=True), torch.tensor(r.normal(size=5))
    loss = (torch.relu(torch.sigmoid(x) - 0.5) * v + torch.tanh(x) * v).sum()
    s, t, w = 1 / (1 + np.exp(-x.detach().numpy())), np.tanh(x.detach().numpy()), v.numpy()
    wrong = w * s * (1 - s) + w * (1 - t)  # relu's gate dropped, and 1 - t for 1 - t^2
    found = diagnose(wrong, loss, x)
    first = found.mutations[0]
    assert first.changes == 2
    assert "no single wrong rule" in found.verdict.text
    assert {(first.op, first.name), (first.second.op, first.second.name)} == {
        ("relu", "gate dropped"),
        ("tanh", "square dropped"),
    }


def test_a_pair_of_which_one_feeds_the_other():
    r = np.random.default_rng(7)
    x = torch.tensor(r.normal(size=5), requires_grad=True)
    loss = (torch.tanh(torch.sin(x)) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=f64)).sum()
    v = x.detach().numpy()
    t = np.tanh(np.sin(v))
    found = diagnose(np.arange(1, 6) * (1 - t) * -np.cos(v) * (1 + 0 * t), loss, x)
    assert found.verdict.kind == "rule misapplied"
    names = {found.mutations[0].name} | (
        {found.mutations[0].second.name} if found.mutations[0].second else set()
    )
    assert "square dropped" in names


# ---------------------------------------------------------------------- custom Functions


class WrongSide(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return torch.tanh(x @ w)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        d = g * (1 - torch.tanh(x @ w) ** 2)
        return d @ w, x.T @ d


class OutsideNumPy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.from_numpy(np.sin(x.detach().numpy()))

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * g * torch.cos(x)


class TwoOutputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, k):
        ctx.save_for_backward(x)
        ctx.k = k
        return x * k, x**2

    @staticmethod
    def backward(ctx, g, h):
        (x,) = ctx.saved_tensors
        return g * ctx.k + 2 * h * x, None


def test_a_custom_backward_is_checked_against_its_own_forward():
    x, w = (torch.randn(3, 3, dtype=f64, requires_grad=True) for _ in range(2))
    loss = (WrongSide.apply(x, w) ** 2).sum()
    found = diagnose(None, loss, x)
    assert (found.mutations[0].op, found.mutations[0].name) == ("mm", "operand not transposed")
    assert "WrongSideBackward, argument 0" in found.name
    assert diagnose(None, loss, w)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_forward_outside_the_record_is_compared_with_differences(dtype):
    x = torch.randn(4, dtype=dtype, requires_grad=True)
    found = diagnose(None, OutsideNumPy.apply(x).sum(), x)
    assert found.verdict.kind == "constant factor"
    assert "2 times" in found.verdict.text
    assert any("central differences" in n for n in found.notes)


def test_several_functions_and_outputs():
    x = torch.randn(3, dtype=f64, requires_grad=True)
    a, b = TwoOutputs.apply(x, 3.0)
    assert diagnose(None, (a * b).sum(), x)
    both = diagnose(None, OutsideNumPy.apply(a).sum() + b.sum(), x)
    assert not both
    assert len(both.parts) == 2
    assert [bool(p) for p in both.parts] == [False, True]


def test_a_right_candidate_beside_a_wrong_custom_backward_is_said_to_be_right():
    x, w = (torch.randn(3, 3, dtype=f64, requires_grad=True) for _ in range(2))
    loss = (WrongSide.apply(x, w) ** 2).sum()
    t = np.tanh(x.detach().numpy() @ w.detach().numpy())
    found = diagnose((2 * t * (1 - t**2)) @ w.detach().numpy().T, loss, x)
    assert found.verdict.kind == "custom backward"
    assert "the candidate is right here" in found.verdict.text


def test_without_a_candidate_a_custom_function_is_needed():
    x = torch.randn(3, requires_grad=True)
    with pytest.raises(ValueError, match="needs a candidate"):
        diagnose(None, x.sum(), x)


# ---------------------------------------------------------------------- calling it, and what comes back


def test_a_function_is_run_with_lines():
    found = diagnose([1.0, 2.0, 3.0], lambda x: (x**2).sum(), np.array([1.0, 2.0, 3.0]))
    assert found.verdict.kind == "constant factor"
    assert found.mutations[0].line.text.startswith("found = diagnose(")


def test_several_inputs_give_several_results():
    x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0], requires_grad=True)
    a, b = diagnose([[3.0, 4.0], [2.0, 4.0]], (x * y).sum(), [x, y])
    assert a
    assert b.verdict.kind == "constant factor"
    both = diagnose(([3.0, 4.0], [1.0, 2.0]), lambda x, y: (x * y).sum(), (x, y))
    assert all(both)
    assert len(both) == 2
    with pytest.raises(ValueError, match="2 inputs need 2 candidates, not 1"):
        diagnose([1.0], (x * y).sum(), [x, y])


def test_an_upstream_is_part_of_the_gradient():
    x = torch.tensor([1.0, 2.0], dtype=f64, requires_grad=True)
    y = x**2
    assert diagnose([6.0, 20.0], y, x, upstream=[3.0, 5.0])
    assert diagnose([2.0, 4.0], y, x, upstream=[3.0, 5.0]).verdict.kind != "agrees"
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        diagnose([2.0, 4.0], y, x)


def test_an_intermediate_result_can_be_asked_for():
    x = torch.tensor([1.0, 2.0], dtype=f64, requires_grad=True)
    h = torch.sin(x)
    loss = (h**2).sum()
    v = np.sin([1.0, 2.0])
    assert diagnose(2 * v, loss, h)
    assert diagnose(v, loss, h).mutations[0].op == "pow"


def test_nothing_is_freed_or_accumulated():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = (x**2).sum()
    diagnose([1.0, 2.0], loss, x)
    assert x.grad is None
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        diagnose([1.0, 2.0], loss, x)


def test_an_x_without_a_path_is_refused():
    x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        diagnose([1.0, 2.0], (y * 2).sum(), x)


def test_the_result_reads_in_every_form():
    x = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    found = diagnose([1.0, 2.0, 4.0], (x**2).mean(), x)
    assert isinstance(found, Diagnosis)
    assert found.line == "gradient of x (3) | exact: False | approximate: False | maxdiff: 1.33333"
    assert str(found).startswith(found.line)
    assert "\n" not in repr(found)
    assert "constant factor" in repr(found)
    assert "<code>" in found._repr_html_()
    plain = found.to_dict()
    assert plain["kind"] == "constant factor"
    assert plain["candidate"] == [1.0, 2.0, 4.0]
    with pytest.raises(AttributeError):
        found.exact = True


def test_equivalent_rules_are_said_to_be_indistinguishable():
    x = torch.ones(3, dtype=f64, requires_grad=True)
    loss = (torch.relu(x) * torch.tensor([1.0, 2.0, 3.0], dtype=f64)).sum()
    found = diagnose(np.array([1.0, 4.0, 9.0]), loss, x)
    assert found.verdict.kind in ("row factors", "rule misapplied", "not determined")
    y = torch.tensor([2.0, 2.0], dtype=f64, requires_grad=True)
    found = diagnose(np.array([2.0, 2.0]), ((y - 0.5) ** 2).sum(), y)
    assert (
        len(found.mutations) == 1
        or "cannot be told apart" in found.verdict.text
        or found.verdict.kind != "rule misapplied"
    )


def test_noise_is_bounded_by_the_sum_of_magnitudes_over_paths():
    """Large terms that cancel leave differences far above eps times the gradient: still rounding."""
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    big = torch.tensor([1e6, 1e6, 1e6])
    loss = (x * (big + 1) - x * big).sum()
    g = diagnose([0.0, 0.0, 0.0], loss, x).gradient
    assert diagnose(g + np.float32(0.05), loss, x).verdict.kind == "float noise"
    assert not diagnose(g + np.float32(50.0), loss, x)
    small = (x * 2).sum()
    assert not diagnose(np.array([2.05, 2.05, 2.05], np.float32), small, x)


def test_a_leaf_that_was_written_since_is_not_read():
    x = torch.tensor([1.0, 2.0], dtype=f64, requires_grad=True)
    w = torch.tensor([3.0, 4.0], dtype=f64, requires_grad=True)
    loss = ((x + w) * 2).sum()
    with torch.no_grad():
        w -= 1.0
    assert diagnose([2.0, 2.0], loss, w)
    assert diagnose([3.0, 4.0], loss, w).verdict.kind == "not determined"


def test_a_wide_program_says_that_pairs_were_not_tried():
    x = torch.randn(300, 300, dtype=f64, requires_grad=True)
    loss = (torch.tanh(torch.sin(x)) * torch.exp(x)).sum()
    found = diagnose(np.random.default_rng(0).normal(size=(300, 300)), loss, x)
    assert found.verdict.kind == "not determined"
    assert "pairs of wrong rules were not tried" in found.verdict.text


def test_an_entry_that_was_written_over_keeps_no_gradient():
    x = torch.tensor([1.0, 2.0, 3.0], dtype=f64, requires_grad=True)
    y = x * 2
    y[0] = x[1] * 3
    assert diagnose([0.0, 5.0, 2.0], y.sum(), x)
    found = diagnose([2.0, 5.0, 2.0], y.sum(), x)
    assert (found.mutations[0].op, found.mutations[0].name) == ("copy_slices", "write ignored")


def test_hooks_are_left_out_and_said_to_be():
    x = torch.tensor([1.0, 2.0], dtype=f64, requires_grad=True)
    x.register_hook(lambda g: g * 2)
    found = diagnose([1.0, 1.0], x.sum(), x)
    assert found
    assert any("hooks" in n for n in found.notes)


def test_a_gradient_that_is_rounding_itself_is_no_measure():
    x = torch.tensor([[0.41, -0.69], [-1.45, 0.94]], dtype=f64, requires_grad=True)
    v = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=f64)
    loss = (x * v * 3 - x * (v * 3)).sum()  # zero up to rounding
    found = diagnose([[0.3, -1.2], [0.7, 0.5]], loss, x)
    assert found.verdict.kind == "not determined"
    assert diagnose(np.zeros((2, 2)), loss, x)
