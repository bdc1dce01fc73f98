"""Anomaly mode names where the first inf or NaN began, not only the op that returned NaN.

Read `raised` first. NaN raises exactly where a rule returns one; inf alone does not, and where a strong zero
keeps NaN out (docs/decisions/001) there is nothing to raise. The text then goes back to what came first.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import pullback
from pullback.autograd.nonfinite import first_nonfinite
from pullback.graph.lines import line_of, record_lines
from pullback.graph.tensor import edge_of

INF = float("inf")


def raised(program, **values):
    """The error of a program in anomaly mode: first line, and the rest."""
    names = {"torch": pullback, **{k: tensor(v) for k, v in values.items()}}
    with (
        warnings.catch_warnings(),
        pullback.autograd.set_detect_anomaly(True),
        pytest.raises(RuntimeError) as caught,
    ):
        warnings.simplefilter("ignore")
        exec(compile(program, "prog.py", "exec"), names)
    first, _, rest = str(caught.value).partition("\n  here: ")
    return first, rest


def tensor(v):
    return pullback.tensor(v, dtype=pullback.float64, requires_grad=not isinstance(v[0], bool)) if v else v


def says(rest, *parts):
    for part in parts:
        assert part in rest, f"{part!r} is not in\n{rest}"


def test_the_earliest_cause_not_the_later_op():
    first, rest = raised("h = x ** 2\nr = h.sqrt()\nr.sum().backward()", x=[0.0, 2.0])
    assert first == "Function 'PowBackward0' returned nan values in its 0th output."
    says(
        rest,
        "1 of 2 entries of the gradient for argument 0 of pow (prog.py:1), of shape [2], are nan: [0]",
        "pow is not the cause",
        "inf times the local derivative 0 gives nan",
        "it began at sqrt (prog.py:2) at [0], where x = 0: the local derivative is inf, the upstream 1",
        "safe = torch.where(ok, x, 1.0); y = torch.where(ok, safe.sqrt(), 0.0)",
    )


def test_a_length_at_the_origin():
    _, rest = raised("(x ** 2).sum().sqrt().backward()", x=[0.0, 0.0])
    says(rest, "it began at sqrt (prog.py:1) at the only entry, where x = 0", "torch.linalg.vector_norm(x)")
    x = tensor([0.0, 0.0])
    pullback.linalg.vector_norm(x).backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_inf_minus_inf():
    first, rest = raised("h = x * 1\n(h.sqrt() - 2 * h.sqrt()).sum().backward()", x=[4.0, 0.0])
    assert "MulBackward0" in first
    says(rest, "cotangents with inf of both signs", "it began at sqrt (prog.py:2) at [1], where x = 0")


def test_the_branch_that_carries_the_entry_is_blamed():
    program = """
h = x * 1
a = torch.reciprocal(h)[0]
b = h.sqrt()[1]
(a * 1e-3 + (b - 2 * b)).backward()
"""
    # entry 0 is inf by reciprocal alone, entry 1 by sqrt: -inf; then times zero gives nan at entry 1 only
    _, rest = raised("z = x * torch.tensor([1.0, 0.0])\n" + program.replace("x * 1", "z * 1"), x=[0.0, 5.0])
    says(rest, "are nan: [1]", "it began at sqrt", "at [1]")
    assert "reciprocal" not in rest


def test_a_forward_value_is_the_earliest_cause():
    first, rest = raised("a = x - 1\nb = a.log()\nb.sqrt().sum().backward()", x=[0.5, 9.0])
    assert "SqrtBackward0" in first
    says(
        rest,
        "it began at sqrt (prog.py:3) at [0], where x = nan: the local derivative is nan, the upstream 1",
        "the value came from the forward pass: log (prog.py:2) gave nan out of x = -0.5",
        "keep such entries out of log before it runs",
    )


def test_a_forward_value_is_proven_to_matter():
    """The nan of another entry, and of another op, is not blamed."""
    program = "a = torch.cat([x.log(), x.sqrt()])\nb = torch.cat([a[2:], a[:2]])\n(b ** 1.5).sum().backward()"
    first, rest = raised(program, x=[-1.0, 2.0])
    assert "PowBackward" in first
    says(rest, "at [0], [2], at the first of these with x = nan", "sqrt (prog.py:1) gave nan out of x = -1")
    assert "log" not in rest


def test_a_leaf_and_a_constant():
    _, rest = raised("(x * x).sum().backward()", x=[float("nan"), 1.0])
    says(rest, "is a leaf that holds nan")
    _, rest = raised("c = torch.tensor([float('nan'), 1.0])\n(x * c).sum().backward()", x=[1.0, 1.0])
    says(rest, "argument 1 of mul (prog.py:2) is a constant that holds nan")


def test_overflow_in_the_forward_pass():
    _, rest = raised("h = (x * 1e200) * 1e200\ntorch.softmax(h, 0).sum().backward()", x=[1.0, 2.0])
    says(rest, "mul (prog.py:1) gave inf out of x = 1e+200, y = 1e+200")


def test_overflow_in_the_backward_pass():
    _, rest = raised("h = x * 0.0\nk = h * 1e200\n(k * 1e200).sum().backward()", x=[1.0])
    says(rest, "inf times the local derivative 0 gives nan", "it began at mul (prog.py:2)")
    says(rest, "the upstream 1e+200 times the local derivative 1e+200 is beyond the largest float64: inf")


def test_an_upstream_that_is_nan():
    _, rest = raised("(x * 2).backward(torch.tensor([1.0, float('nan')], dtype=torch.float64))", x=[1.0, 1.0])
    says(rest, "the local derivative" if "local" in rest else "holds nan already")
    assert "it began at" not in rest


WHERE = """
cond = torch.tensor([[True, True], [False, False]])
h = torch.log(m)
p = h @ m
y = torch.where(cond, torch.ones(2, 2, dtype=torch.float64), p)
y.sum().backward()
"""


def matrix():
    return pullback.tensor([[1.0, 0.0], [2.0, 3.0]], dtype=pullback.float64, requires_grad=True)


def test_zero_times_inf_from_an_unselected_branch():
    names = {"torch": pullback, "m": matrix()}
    with (
        warnings.catch_warnings(),
        pullback.autograd.set_detect_anomaly(True),
        pytest.raises(RuntimeError) as caught,
    ):
        warnings.simplefilter("ignore")
        exec(compile(WHERE, "prog.py", "exec"), names)
    says(
        str(caught.value),
        "0 times -inf gives nan (upstream 0, local derivative -inf)",
        "log (prog.py:3) gave -inf out of x = 0",
        "the upstream that meets it is 0 because where (prog.py:5) takes its other branch there",
        "put the condition inside as well, safe = torch.where(cond, x, 1.0) before log",
    )


def test_the_safe_rewrite_is_safe():
    m = matrix()
    safe = WHERE.replace("torch.log(m)", "torch.log(torch.where(m > 0, m, 1.0))")
    with pullback.autograd.set_detect_anomaly(True):
        exec(safe, {"torch": pullback, "m": m})
    assert np.isfinite(m.grad.numpy()).all()


def test_no_branch_is_named_where_the_caller_gave_the_zero():
    program = "p = torch.log(m) @ m\np.backward(torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64))"
    names = {"torch": pullback, "m": matrix()}
    with (
        warnings.catch_warnings(),
        pullback.autograd.set_detect_anomaly(True),
        pytest.raises(RuntimeError) as caught,
    ):
        warnings.simplefilter("ignore")
        exec(compile(program, "prog.py", "exec"), names)
    says(str(caught.value), "0 times -inf gives nan")
    assert "branch" not in str(caught.value)


def test_the_strong_zero_raises_nothing():
    x = tensor([0.0, 4.0])
    with pullback.autograd.set_detect_anomaly(True):
        pullback.where(x > 0, x.sqrt(), 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_inf_alone_raises_nothing():
    x = tensor([0.0, 4.0])
    with pullback.autograd.set_detect_anomaly(True):
        x.sqrt().sum().backward()
    assert x.grad.tolist() == [INF, 0.25]


def test_recorded_before_anomaly_mode():
    x = tensor([0.0, 4.0])
    y = (x**2).sqrt().sum()
    with warnings.catch_warnings(), pullback.autograd.set_detect_anomaly(True):
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="PowBackward0") as caught:
            y.backward()
    says(str(caught.value), "it began at sqrt at [0]", "its line is not known")
    assert "test_anomaly.py)" not in str(caught.value)


def test_a_hook_that_changed_the_gradient_is_not_explained_away():
    x = tensor([1.0, 4.0])
    h = x * 2
    h.register_hook(lambda g: g * float("nan"))
    with warnings.catch_warnings(), pullback.autograd.set_detect_anomaly(True):
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="MulBackward0") as caught:
            (h**2).sum().backward()
    says(str(caught.value), "the gradient that reached it was inf or nan already")
    assert "it began" not in str(caught.value)


def test_a_custom_function_is_run_once():
    calls = []

    class Bad(pullback.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            calls.append(g)
            return g * float("nan")

    x = tensor([1.0, 4.0])
    with warnings.catch_warnings(), pullback.autograd.set_detect_anomaly(True):
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="BadBackward") as caught:
            Bad.apply(x).sum().backward()
    says(str(caught.value), "it began at Bad", "its rule makes nan of a finite upstream")
    assert len(calls) == 1


def test_second_derivatives():
    x = tensor([0.0, 4.0])
    with warnings.catch_warnings(), pullback.autograd.set_detect_anomaly(True):
        warnings.simplefilter("ignore")
        (g,) = pullback.autograd.grad((x**1.5).sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="returned nan values") as caught:
            (g / x).sum().backward()
    says(str(caught.value), "it began at")


# ---------------------------------------------------------------------- first_nonfinite


def found(y, v=None):
    return first_nonfinite([(edge_of(y), np.ones(y.shape) if v is None else v)])


def test_first_nonfinite_frees_nothing_and_touches_no_gradient():
    x = tensor([0.0, 4.0])
    y = (x**2).sqrt()
    f = found(y)
    assert (f.node.name, f.arg, f.entries.tolist(), f.kind) == ("SqrtBackward0", 0, [0], "derivative")
    assert f.local.tolist() == [INF]
    assert f.upstream.tolist() == [1.0]
    assert f.inputs == [0.0]
    assert x.grad is None
    y[1].backward()
    assert x.grad.tolist() == [0.0, 1.0]


def test_first_nonfinite_is_none_where_all_is_finite():
    x = tensor([1.0, 4.0])
    assert found((x**2).sqrt().log()) is None


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda x: 1 / x, "derivative"),
        (lambda x: (x * 1e200) * 1e200, "overflow"),
        (lambda x: (x + 1).exp() @ (1 / x), "derivative"),
    ],
)
def test_kinds(make, kind):
    y = make(tensor([0.0, 2.0]))
    assert found(y).kind == kind


def test_an_overflowing_sum():
    x = tensor([1.0])
    h = x * 1
    assert found(h * 1e308 + h * 1e308).kind == "sum"


def test_lines_are_those_of_the_program():
    with record_lines():
        x = tensor([0.0])
        y = x.sqrt()
    assert line_of(found(y).node).text == "y = x.sqrt()"


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_blame_an_op_that_alone_makes_it(seed):
    """What is named makes inf or NaN of finite values, checked with NumPy, op by op."""
    rng = np.random.default_rng(seed)
    x = tensor(rng.choice([0.0, 1.0, 2.0, -1.0], 4).tolist())
    pool = [x * 1]
    ops = [
        lambda a, b: a + b,
        lambda a, b: a * b,
        lambda a, b: a.sqrt(),
        lambda a, b: a.log(),
        lambda a, b: a**2,
        lambda a, b: b.exp(),
        lambda a, b: a.flip(0),
        lambda a, b: a.cumsum(0),
        lambda a, b: a / b,
    ]
    for _ in range(6):
        a, b = (pool[int(k)] for k in rng.integers(0, len(pool), 2))
        pool.append(ops[int(rng.integers(0, len(ops)))](a, b))
    y = pool[-1]
    f = found(y)
    (g,) = pullback.autograd.grad(
        y, x, pullback.ones(4, dtype=pullback.float64), allow_unused=True, retain_graph=True
    )
    if f is None:
        assert g is None or np.isfinite(g.numpy()).all()
        return
    if f.kind in ("derivative", "zero times infinity"):
        assert np.isfinite(f.upstream).all()
        assert not np.isfinite(f.local).all()
    if f.forward is not None and f.forward.complete:
        given = [np.float64(v) for v in f.forward.inputs if v is not None]
        if f.forward.node is not None and len(given) == len(f.forward.inputs):
            assert not np.isfinite(f.forward.value)
            if f.forward.node.op.family == "elementwise":
                assert np.isfinite(given).all()
