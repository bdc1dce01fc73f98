"""Kinks: found where one-sided differences find them, with PyTorch's conventions, and with intervals that
contain (and, where said, equal) those of all choices of subgradients."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import pullback as pb
from pullback.explanations.kink_rules import kink_rules
from pullback.explanations.kink_sites import has_kinks
from pullback.explanations.kinks import kinks
from pullback.families.op import TABLE

F = pb.nn.functional


def tensor(values):
    return pb.tensor(values, dtype=pb.float64)


def rows(found):
    return {(r.op, r.arg, r.kind): r for r in found.rows}


# ---------------------------------------------------------------------- conventions, against PyTorch


torch_calls = {
    "relu": lambda t, x: t.relu(x),
    "leaky_relu": lambda t, x, negative_slope: t.nn.functional.leaky_relu(x, negative_slope),
    "hardtanh": lambda t, x, min_val, max_val: t.nn.functional.hardtanh(x, min_val, max_val),
    "threshold": lambda t, x, threshold, value: t.nn.functional.threshold(x, threshold, value),
    "softshrink": lambda t, x, lambd: t.nn.functional.softshrink(x, lambd),
    "hardshrink": lambda t, x, lambd: t.nn.functional.hardshrink(x, lambd),
    "hardsigmoid": lambda t, x: t.nn.functional.hardsigmoid(x),
    "hardswish": lambda t, x: t.nn.functional.hardswish(x),
    "prelu": lambda t, x, w: t.prelu(x, w),
    "elu": lambda t, x, alpha, scale, input_scale: t.nn.functional.elu(x, alpha),
    "selu": lambda t, x, alpha, scale, input_scale: t.nn.functional.selu(x),
    "clamp": lambda t, x, *bounds, min=None, max=None: t.clamp(x, *(bounds or (min, max))),
    "clamp_min": lambda t, x, *b, min=None: t.clamp_min(x, *(b or (min,))),
    "clamp_max": lambda t, x, *b, max=None: t.clamp_max(x, *(b or (max,))),
    "linalg_vector_norm": lambda t, x, ord, dim, keepdim: t.linalg.vector_norm(x, ord, dim, keepdim),
    "max": lambda t, x, dim, keepdim: t.max(x),
    "min": lambda t, x, dim, keepdim: t.min(x),
    "amax": lambda t, x, dim, keepdim: t.amax(x, dim or ()),
    "amin": lambda t, x, dim, keepdim: t.amin(x, dim or ()),
    "max_dim": lambda t, x, dim, keepdim: t.max(x, dim)[0],
    "min_dim": lambda t, x, dim, keepdim: t.min(x, dim)[0],
    "median": lambda t, x, dim, keepdim: t.median(x),
    "kthvalue": lambda t, x, k, dim, keepdim: t.kthvalue(x, k, dim)[0],
    "std": lambda t, x, dim, keepdim, correction: t.std(x, dim, correction=correction),
    "cummax": lambda t, x, dim: t.cummax(x, dim)[0],
    "cummin": lambda t, x, dim: t.cummin(x, dim)[0],
    "sort": lambda t, x, dim, descending=False: t.sort(x, dim, descending)[0],
    "topk": lambda t, x, k, dim, largest=True: t.topk(x, k, dim, largest)[0],
}
# named as in torch, without parameters
plain = {
    *("maximum", "minimum", "fmax", "fmin", "abs", "sqrt", "asin", "acos", "acosh", "floor", "ceil", "trunc"),
    *("frac", "round", "sign", "sgn", "angle", "pow", "remainder", "fmod", "atan2", "hypot", "copysign"),
}


@pytest.mark.peers
@pytest.mark.parametrize("rule", kink_rules(), ids=repr)
def test_the_convention_is_the_one_pytorch_follows(rule):
    torch = pytest.importorskip("torch")
    call = torch_calls.get(rule.op)
    if call is None and rule.op not in plain:
        pytest.skip("torch calls it otherwise")
    args = [torch.tensor(np.asarray(p), requires_grad=True) for p in rule.point]
    out = getattr(torch, rule.op)(*args) if call is None else call(torch, *args, **rule.params)
    x = args[rule.arg]
    jacobian = [
        torch.autograd.grad(v, x, retain_graph=True, materialize_grads=True, allow_unused=True)[0].numpy(
            force=True
        )
        for v in out.reshape(-1)
    ]
    matrix = np.stack([j.reshape(-1) for j in jacobian])
    if rule.op in ("cummax", "cummin"):
        matrix = matrix[1:]  # the first place has one entry to choose from
    if rule.op in ("sort", "topk"):  # PyTorch's order of equal entries may be another one: one entry a place
        assert set(matrix.sum(axis=1)) == {1.0}
        return
    expected = sorted(matrix[matrix != 0].tolist())
    found = sorted(rule.used[rule.used != 0].tolist())
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_three_spellings_of_relu():
    k = rows(kinks(lambda x: pb.relu(x) + pb.maximum(x, tensor([0.0])) + x.clamp_min(0), tensor([0.0])))
    assert k["relu", 0, "kink"].used == 0
    assert k["maximum", 0, "tie"].used == 0.5
    assert k["clamp_min", 0, "kink"].used == 1
    for r in k.values():
        assert (r.low, r.high) == (0, 1)


def test_every_op_with_kinks_is_in_the_table_of_rules():
    listed = {r.op for r in kink_rules()}
    for op in TABLE.values():
        if has_kinks(op) and op.family not in ("by hand", "structural"):
            name = getattr(op, "torch_name", op.name)
            silent = {"nan_to_num", "where", "masked_fill", "celu", "nanmedian", "nanmedian_dim"}
            assert name in listed or op.name in silent | {"rounded_div", "round_decimals"}, op.name


# ---------------------------------------------------------------------- one-sided derivatives, by differences


def evaluated(rule, at):
    """The op at a list of points (other arguments as in the rule), plain arrays."""
    op = TABLE.get(rule.op) or next(o for o in TABLE.values() if getattr(o, "torch_name", "") == rule.op)
    if rule.op in ("clamp", "clamp_min", "clamp_max") and len(rule.point) > 1:
        op = TABLE[{1: "", 2: f"{rule.op}_tensor", 3: "clamp_tensors"}[len(rule.point)]]
    args = [np.broadcast_to(p, np.shape(at)).copy() for p in rule.point]
    args[rule.arg] = np.asarray(at)
    with np.errstate(all="ignore"):
        return op.eval(*args, **rule.params)


@pytest.mark.parametrize("rule", [r for r in kink_rules() if np.size(r.point[0]) == 1], ids=repr)
def test_one_sided_derivatives_are_those_of_differences(rule):
    x, h = float(np.asarray(rule.point[rule.arg]).reshape(())), 1e-6
    below, here, above = (evaluated(rule, [x + s])[0] for s in (-h, 0, h))
    farther = [evaluated(rule, [x + 2 * s])[0] for s in (-h, h)]
    if np.isinf(rule.jump[0]):
        assert np.isinf(above - below)
        return
    if rule.kind == "jump":
        assert above - below == pytest.approx(rule.jump[0], abs=1e-4)
        here_left, here_right = 2 * below - farther[0], 2 * above - farther[1]
    else:
        here_left = here_right = here
    for side, found in (((here_left - below) / h, rule.left[0]), ((above - here_right) / h, rule.right[0])):
        if np.isinf(found):
            assert abs(side) > 100
            assert np.sign(side) == np.sign(found)
        elif np.isnan(found):
            assert np.isnan(side) or rule.kind == "jump"
        else:
            assert side == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize("rule", [r for r in kink_rules() if np.size(r.point[0]) > 1], ids=repr)
def test_fibers_and_picks_by_differences(rule):
    op = TABLE[rule.op]
    x, h = np.asarray(rule.point[0]), 1e-6
    moves = []
    for i in range(x.size):
        for step in (-h, h):
            y = x.copy().reshape(-1)
            y[i] += step
            out = op.eval(y.reshape(x.shape), **rule.params)
            base = op.eval(x, **rule.params)
            first, zero = (v[0] if isinstance(v, tuple) else v for v in (out, base))
            moves.append(np.asarray((first - zero) / step).reshape(-1))
    left, right = np.stack(moves[0::2]), np.stack(moves[1::2])
    # output entries that have one entry to choose from are smooth
    bent = ~np.isclose(left, right, atol=1e-3).all(axis=0)
    left, right = left[:, bent], right[:, bent]
    assert np.count_nonzero(np.abs(left) > 1e-3) == np.count_nonzero(rule.left)
    assert np.count_nonzero(np.abs(right) > 1e-3) == np.count_nonzero(rule.right)
    np.testing.assert_allclose(left.sum(), rule.left.sum(), atol=1e-4)
    np.testing.assert_allclose(right.sum(), rule.right.sum(), atol=1e-4)


# ---------------------------------------------------------------------- which entries


def test_a_smooth_point_has_no_kinks():
    f = lambda x: (
        (pb.relu(x) + x.abs() + F.elu(x) + x.clamp(-1, 1) + x.floor() + x**2).sum() + x.max() + x.norm()
    )
    k = kinks(f, tensor([0.3, -0.7, 1.9]))
    assert not k
    np.testing.assert_array_equal(k.low, k.high)
    np.testing.assert_array_equal(k.low, k.gradient)
    assert k.exact.all()


def test_functions_that_are_smooth_at_their_switch_are_not_reported():
    # C1 at the switch: no one-sided derivatives to choose between
    k = kinks(
        lambda x: (F.elu(x) + x**2 + x.abs() ** 1.5 + F.huber_loss(x, tensor([1.0]))).sum(), tensor([0.0])
    )
    assert {r.op for r in k.rows} == {"abs"}


@pytest.mark.parametrize("dtype", [pb.float16, pb.float32, pb.float64], ids=str)
def test_exactly_on_the_kink_in_every_precision(dtype):
    x = pb.tensor([-1.0, 0.0, 1e-4, 0.0, 2.0], dtype=dtype)
    (r,) = kinks(lambda x: pb.relu(x).sum(), x).rows
    assert r.inputs.tolist() == [1, 3]
    assert (r.left.tolist(), r.right.tolist()) == ([0, 0], [1, 1])


def test_close_to_a_kink():
    x = tensor([0.05, -0.2, 0.9])
    (r,) = kinks(lambda x: pb.relu(x).sum(), x, within=0.1).rows
    assert r.inputs.tolist() == [0]
    assert (r.distance.item(), r.used.item(), r.left.item(), r.right.item()) == (0.05, 1, 0, 1)
    assert not kinks(lambda x: F.elu(x).sum(), x, within=0.1)
    (r,) = kinks(lambda x: x.max(), tensor([1.0, 0.98, 0.5]), within=0.05).rows
    assert r.inputs.tolist() == [0, 1]
    (r,) = kinks(lambda x: x.norm(1), tensor([0.01, 3.0]), within=0.05).rows
    assert (r.inputs.item(), r.left.item(), r.right.item()) == (0, -1, 1)


def test_values_that_no_node_keeps_are_seen_or_worked_out():
    shift = tensor([1.0, 2.0, 3.0])
    (r,) = kinks(lambda x: pb.relu(x - shift).sum(), tensor([1.0, 1.0, 3.0])).rows
    assert r.inputs.tolist() == [0, 2]
    x = tensor([1.0, 1.0, 3.0]).requires_grad_()
    (r,) = kinks(pb.relu(x * 2 - 2).sum(), x).rows
    assert r.inputs.tolist() == [0, 1]


def test_what_is_lost_is_said_to_be_unknown():
    shift = tensor([1.0, 2.0])
    x = tensor([1.0, 0.0]).requires_grad_()
    k = kinks(pb.relu(x - shift).sum(), x)  # the difference keeps neither operand
    assert not k.rows
    assert any("relu" in n and "not determined" in n for n in k.notes)


def test_what_the_table_does_not_say_is_said_to_be_unknown():
    class Custom(pb.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.abs()

        @staticmethod
        def backward(ctx, g):
            return g

    zero, index = tensor([0.0, 0.0]), pb.tensor([0, 0])
    for f, words in (
        (lambda x: Custom.apply(x).sum(), "custom Function"),
        (lambda x: F.smooth_l1_loss(x, zero, beta=0.0), "arguments are equal"),
        (lambda x: zero.scatter_reduce(0, index, x, "amax").sum(), "entries tie"),
        (lambda x: pb.linalg.svdvals(x.reshape(1, 2)).sum(), "singular values"),
    ):
        k = kinks(f, zero)
        assert any(words in n for n in k.notes), k.notes
    for f in (
        lambda x: F.smooth_l1_loss(x, zero),
        lambda x: zero.scatter_reduce(0, index, x, "sum").sum(),
    ):
        assert not kinks(f, zero).notes


def test_lines_are_named():
    def f(x):
        y = pb.relu(x)
        return y.sum()

    (r,) = kinks(f, tensor([0.0])).rows
    assert r.line.text == "y = pb.relu(x)"
    assert "relu at test_kinks.py" in r.text


# ---------------------------------------------------------------------- where and its condition


def test_the_condition_of_where_at_its_switch():
    k = kinks(lambda x: pb.where(x > 0, x, 0 * x).sum(), tensor([0.0, 1.0]))
    tie = [r for r in k.rows if r.kind == "tie"]
    assert [r.used.tolist() for r in tie] == [[0.0], [1.0]]
    assert (k.low.tolist(), k.high.tolist()) == ([0, 1], [1, 1])
    assert k.exact.all()
    k = kinks(lambda x: pb.where((x >= 0) & (x < 9), x + 1, x).sum(), tensor([0.0, 1.0]))
    assert {r.kind for r in k.rows} == {"jump"}
    assert {abs(r.jump.item()) for r in k.rows} == {1.0}


def test_a_condition_that_nobody_saw_is_not_guessed():
    x = tensor([0.0, 1.0]).requires_grad_()
    k = kinks(pb.where(x > 0, x, 0 * x).sum(), x)
    assert not k.rows
    assert any("where" in n and "not known" in n for n in k.notes)


# ---------------------------------------------------------------------- intervals, by enumeration


def network(rng, depth, width):
    """Integer weights, so that many pre-activations are exactly zero; half of them are pushed to it."""
    return [rng.integers(-2, 3, (width, width)).astype(float) for _ in range(depth)]


def run(weights, x):
    for w in weights[:-1]:
        x = pb.relu(tensor(w.tolist()) @ x)
    return tensor(weights[-1].tolist()) @ x


def gradient_for(weights, x, upstream, choice):
    """v^T J with the derivative `choice` (an iterator) at each zero pre-activation."""
    jacobian = np.eye(len(x))
    for w in weights[:-1]:
        z = w @ x
        slope = (z > 0).astype(float)
        at = np.flatnonzero(z == 0)
        slope[at] = [next(choice) for _ in at]
        jacobian = slope[:, None] * (w @ jacobian)
        x = np.maximum(z, 0)
    return upstream @ weights[-1] @ jacobian


@pytest.mark.parametrize("seed", range(25))
def test_intervals_against_every_choice_of_corners(seed):
    rng = np.random.default_rng(seed)
    weights = network(rng, int(rng.integers(2, 4)), 3)
    x = rng.integers(-1, 2, 3).astype(float)
    count, z = 0, x
    for w in weights[:-1]:
        z = w @ z
        count += int((z == 0).sum())
        z = np.maximum(z, 0)
    v = rng.integers(-2, 3, 3).astype(float)
    k = kinks(lambda x: run(weights, x), tensor(x.tolist()), upstream=v)
    assert sum(len(r.inputs) for r in k.rows) == count
    # the gradient is linear in each choice: its extremes are at corners
    every = [gradient_for(weights, x, v, iter(c)) for c in itertools.product((0.0, 1.0), repeat=count)]
    low, high = np.min(every, axis=0), np.max(every, axis=0)
    assert (k.low <= low + 1e-12).all()
    assert (k.high >= high - 1e-12).all()
    np.testing.assert_allclose(k.low[k.exact], low[k.exact])
    np.testing.assert_allclose(k.high[k.exact], high[k.exact])
    np.testing.assert_allclose(k.gradient, gradient_for(weights, x, v, itertools.repeat(0.0)))


def test_one_kink_is_exact_and_several_are_a_bound():
    k = kinks(lambda x: (5 * pb.relu(x) - 2 * x).sum(), tensor([0.0, 1.0]))
    assert (k.low.tolist(), k.high.tolist(), k.exact.tolist()) == ([-2, 3], [3, 3], [True, True])
    k = kinks(lambda x: (pb.relu(x) - x.abs()).sum(), tensor([0.0]))
    assert (k.low.item(), k.high.item(), k.exact.item()) == (-1, 2, False)


def test_a_tie_is_one_kink_whose_shares_sum_to_one():
    k = kinks(lambda x: pb.maximum(x, 2 * x).sum(), tensor([0.0]))
    assert (k.low.item(), k.high.item(), k.exact.item()) == (1, 2, True)
    k = kinks(lambda x: pb.stack([x, x, x]).amax(), tensor(0.0))
    assert (k.low.item(), k.high.item(), k.exact.item()) == (1, 1, True)
    k = kinks(lambda x: pb.maximum(x, tensor([0.0])).sum(), tensor([0.0]))
    assert (k.low.item(), k.high.item(), k.gradient.item()) == (0, 1, 0.5)


def test_a_kink_in_front_of_a_constant_does_not_act():
    k = kinks(lambda x: 0 * pb.relu(x).sum() + x.sum(), tensor([0.0]))
    assert (k.low.item(), k.high.item()) == (1, 1)
    assert k.rows


def test_the_tip_of_a_norm():
    k = kinks(lambda x: x.norm(), tensor([0.0, 0.0]))
    assert (k.low.tolist(), k.high.tolist()) == ([-1, -1], [1, 1])
    assert k.exact.all()


def test_vertical_slopes_have_no_finite_interval():
    k = kinks(lambda x: x.sqrt().sum(), tensor([0.0, 4.0]))
    assert math.isinf(k.high[0])
    assert k.gradient[1] == k.low[1] == k.high[1] == 0.25


def test_several_inputs_and_unused_ones():
    k = kinks(lambda x, y: pb.relu(x).sum(), (tensor([0.0]), tensor([3.0])))
    assert [v.tolist() for v in k.low] == [[0], [0]]
    assert [v.tolist() for v in k.high] == [[1], [0]]


# ---------------------------------------------------------------------- forms and errors


def test_forms():
    k = kinks(lambda x: pb.relu(x).sum() + x.floor().sum(), tensor([0.0, 0.5]))
    assert repr(k).count("\n") == 0
    assert "relu" in str(k)
    assert "jumps by 1" in str(k)
    assert k._repr_html_().count("<tr>") == 3
    d = k.to_dict()
    assert d["rows"][0]["op"] == "relu"
    assert d["high"] == [1.0, 1.0]
    with pytest.raises(AttributeError):
        k.rows = ()


def test_errors():
    with pytest.raises(RuntimeError, match="does not require grad"):
        kinks(tensor([1.0]), tensor([1.0]))
    with pytest.raises(RuntimeError, match="does not require grad"):
        kinks(lambda x: tensor([1.0]), tensor([1.0]))
    with pytest.raises(TypeError, match="expects a tensor"):
        kinks(lambda x: 1.0, tensor([1.0]))
    with pytest.raises(ValueError, match="within"):
        kinks(lambda x: x, tensor([1.0]), within=-1)
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        kinks(lambda x: pb.relu(x), tensor([1.0]), upstream=[1.0, 2.0])


def test_nothing_is_left_behind():
    x = tensor([0.0]).requires_grad_()
    y = pb.relu(x * 1).sum()
    kinks(y, x)
    assert x.grad is None
    y.backward()  # what the graph saved is still there
    assert pb.relu(x).node.line is None
