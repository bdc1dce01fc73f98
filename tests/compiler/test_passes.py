"""Every pass does its work and leaves the bits of results alone: infinities, NaN, signed zeros."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as torch
import pullback.compiler.control
from pullback.compiler.body import closed_body, on_arrays
from pullback.compiler.graph import Eqn, Graph, Var
from pullback.compiler.passes import PASSES, optimise
from pullback.compiler.trace import trace
from pullback.families.op import TABLE, Absent
from pullback.func import grad, jvp
from pullback.func.control import cond, scan, while_loop
from pullback.graph.tensor import Tensor

HARD = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 2.5, 1e-310, -3e300])


class Like:
    """A shape and a dtype."""

    def __init__(self, shape, dtype=np.float64):
        self.shape, self.dtype = shape, np.dtype(dtype)


def recorded(f, *likes):
    """The graph of f, with what it captured as constants."""
    g = trace(lambda *xs: list(f(*xs)), likes).graph
    g.consts = {v: np.array(x.value if isinstance(x, Tensor) else x) for v, x in g.consts.items()}
    return g


def hard(shape, dtype, seed):
    """An array with every difficult number in it."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 5, shape).astype(dtype)
    with np.errstate(all="ignore"):
        return rng.choice(np.concatenate([HARD, rng.normal(size=10)]), shape).astype(dtype)


def check(g, seeds=(0, 1, 2, 3)):
    """The optimised graph, which gives the same bits."""
    new, fired = optimise(g)
    assert new.inputs == g.inputs
    for seed in seeds:
        arrays = [hard(v.shape, v.dtype, seed + 10 * i) for i, v in enumerate(g.inputs)]
        for a, b in zip(
            map(np.asarray, on_arrays(g, arrays)), map(np.asarray, on_arrays(new, arrays)), strict=True
        ):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            numbers = ~np.isnan(a)
            assert np.array_equal(numbers, ~np.isnan(b)), (g, new)
            assert a[numbers].tobytes() == b[numbers].tobytes(), f"{fired}\n{g}\n{new}\n{a}\n{b}"
    return new, dict(fired)


def names(g):
    return [e.op.name for e in g.eqns]


V3 = Like((3,))

# function, how many equations are left, which pass fires
WORK = [
    (lambda x: [(x * 1.0).sin()], ["sin"], "simplify"),
    (lambda x: [(1 * x / 1).sin()], ["sin"], "simplify"),
    (lambda x: [(x - 0.0).sin()], ["sin"], "simplify"),
    (lambda x: [(x + -0.0).sin()], ["sin"], "simplify"),
    (lambda x: [(x**1).sin()], ["sin"], "simplify"),
    (lambda x: [(x.exp() + 0.0).sin()], ["exp", "sin"], "simplify"),
    (lambda x: [(torch.neg(-x)).sin()], ["sin"], "simplify"),
    (lambda x: [x.reshape(3, 1).reshape(1, 3).reshape(3).sin()], ["sin"], "simplify"),
    (lambda x: [x.expand(2, 3).t().t().sin()], ["expand", "sin"], "simplify"),
    (lambda x: [x.flip(0).flip(0).sin()], ["sin"], "simplify"),
    (lambda x: [x[:].double().sin()], ["sin"], "simplify"),
    (lambda x: [x.reshape(3, 1).reshape(1, 3).sin()], ["unsafe_view", "sin"], "simplify"),
    (lambda x: [x.masked_fill(torch.zeros(3, dtype=torch.bool), 7.0).sin()], ["sin"], "simplify"),
    (lambda x: [torch.where(torch.ones(3, dtype=torch.bool), x, x.exp()).sin()], ["sin"], "simplify"),
    (lambda x: [x * (torch.ones(3, dtype=torch.float64).sin() + 2)], ["mul"], "fold constants"),
    (lambda x: [x + torch.where(x > 0, torch.zeros(3), torch.zeros(3))], ["add"], "structural zeros"),
    (lambda x: [x * (torch.zeros(3) * (x > 0))], ["mul"], "structural zeros"),
    (lambda x: [x.sin() * x.sin()], ["sin", "mul"], "common subexpressions"),
    (lambda x: [x.sum(0) + x.sum(0), x.sum(0).exp()], ["sum", "add", "exp"], "common subexpressions"),
    (lambda x: [(x.exp(), x.sin())[1]], ["sin"], "dead code"),
]


@pytest.mark.parametrize(("f", "left", "which"), WORK)
def test_what_is_left(f, left, which):
    new, fired = check(recorded(f, V3))
    assert names(new) == left
    assert fired[which] >= 1


REFUSED = [
    (lambda x: [(x + 0.0).exp()], ["add", "exp"]),
    (lambda x: [(x + torch.zeros(3)).exp()], ["add", "exp"]),
    (lambda x: [(x - -0.0).exp()], ["sub", "exp"]),
    (lambda x: [(x * 0.0).exp()], ["mul", "exp"]),
    (lambda x: [(x.sin() + 0.0).reciprocal()], ["sin", "add", "reciprocal"]),
    (lambda x: [(x - x).exp()], ["sub", "exp"]),
    (lambda x: [(1.0**x).exp()], ["pow", "exp"]),
    (lambda x: [(x / x).exp()], ["div", "exp"]),
    (lambda x: [(torch.zeros(3) * x.tanh()).exp()], ["tanh", "mul", "exp"]),
    (lambda x: [(torch.zeros(3) * (x > 0) * -1.0 * x).exp()], ["mul", "exp"]),
    (lambda x: [x.float().double().exp()], ["to_copy", "to_copy", "exp"]),
    (lambda x: [x.flip(0).roll(1, 0).exp()], ["flip", "roll", "exp"]),
    (lambda x: [torch.where(x > 0, torch.zeros(3), -torch.zeros(3)).exp()], ["gt", "where", "exp"]),
    (lambda x: [x.masked_fill(x > 0, 0.0).exp()], ["gt", "masked_fill", "exp"]),
    (lambda x: [x.reshape(3, 1).expand(3, 3).t().exp()], ["unsafe_view", "expand", "t", "exp"]),
    (lambda x: [torch.neg(x.abs()).abs()], ["abs", "neg", "abs"]),
]


@pytest.mark.parametrize(("f", "left"), REFUSED)
def test_what_only_looks_equal_stays(f, left):
    new, _ = check(recorded(f, V3))
    assert names(new) == left


def test_results_keep_an_equation_of_their_own():
    new, _ = check(recorded(lambda x: [x * 1.0, torch.neg(-x), torch.ones(3) * 2, x.sin(), x.sin()], V3))
    assert len(set(new.outputs)) == 5
    made = {v for e in new.eqns for v in e.outs}
    assert all(v in made for v in new.outputs)


LOOPS = [
    lambda x, y: [
        scan(lambda c, r: ((c[0] + r.sum() * 1.0, c[1] * 2), (c[0], r.exp() * c[1])), (x, x), y)[0][0]
    ],
    lambda x, y: [scan(lambda c, r: ((c[0] + c[1], c[1] * 2, c[2] + 1), c[2]), (x, x, 0), y)[0][0]],
    lambda x, y: [while_loop(lambda c: c[1] < 5, lambda c: (c[0] * 2, c[1] + 1, c[2] * x), (x, 0, y[0]))[0]],
    lambda x, y: list(
        cond(x.sum() > 0, lambda x, y: (x.sin(), y * 1.0), lambda x, y: (x.exp(), y + 1), x, y)
    )[:1],
    lambda x, y: [cond(torch.tensor(True) & torch.tensor(True), lambda x: x.sin(), lambda x: x.exp(), x)],
    lambda x, y: [scan(lambda c, r: (c * torch.ones(3).sin() + r, None), x, y)[0]],
]


@pytest.mark.parametrize("f", LOOPS)
def test_loops_and_branches(f):
    check(recorded(f, V3, Like((4, 3))))


def body_of(g):
    (e,) = (e for e in g.eqns if "body" in e.params)
    return e, e.params["body"]


def test_dead_ys_and_carries_of_a_scan():
    new, fired = check(recorded(LOOPS[0], V3, Like((4, 3))))
    e, body = body_of(new)
    assert (len(e.outs), len(body.inputs), e.params["carries"]) == (1, 2, 1)
    assert "exp" not in names(body)
    assert "mul" not in names(body)
    assert fired["dead code"] >= 3
    # the second carry is read by the first and stays, the third counts for itself only
    e, body = body_of(check(recorded(LOOPS[1], V3, Like((4, 3))))[0])
    assert e.params["carries"] == 2
    assert len(e.args) == 2


def test_dead_carries_of_a_while_loop():
    e, body = body_of(check(recorded(LOOPS[2], V3, Like((4, 3))))[0])
    assert len(body.outputs) == 2
    assert e.params["captured"] == 0


def test_branches():
    new, _ = check(recorded(LOOPS[3], V3, Like((4, 3))))
    e = new.eqns[-1]
    assert (len(e.args), len(e.outs)) == (2, 1)
    new, fired = check(recorded(lambda x, y: [LOOPS[4](x, y)[0] * 2], V3, Like((4, 3))))
    assert names(new) == ["sin", "mul"]
    assert fired["known branch"] == 1


def test_constants_fold_inside_a_body():
    new, fired = check(recorded(LOOPS[5], V3, Like((4, 3))))
    _, body = body_of(new)
    assert "sin" not in names(body)
    assert fired["constants into bodies"] == 1


def test_derivatives_of_loops():
    def f(x, y):
        c, ys = scan(lambda c, r: (torch.tanh(c * r), c.sum()), x, y)
        return c.sum() + ys.sum()

    for g in (lambda x, y: [grad(f, 0)(x, y)], lambda x, y: [jvp(f, (x, y), (y[0], y))[1]]):
        plain = recorded(g, V3, Like((4, 3)))
        new, _ = check(plain)
        assert len(new.eqns) <= len(plain.eqns)


def test_what_fails_is_left_to_fail():
    v = Var((3,), np.dtype(float))
    g = Graph([], {v: np.ones(3)}, [], [])
    out = Var((2, 2), np.dtype(float))
    g.eqns, g.outputs = [Eqn(TABLE["view"], (v,), {"shape": (2, 2)}, (out,))], [out]
    new, _ = optimise(g)
    assert names(new) == ["view"]


def test_captured_tensors_are_no_constants():
    w = torch.ones(3, dtype=torch.float64)
    g = trace(lambda x: [x * w.sin()], [V3]).graph
    new, _ = optimise(g)
    assert names(new) == ["sin", "mul"]
    assert list(new.consts.values()) == [w]


def test_a_fixpoint():
    for f, _, _ in WORK:
        once, _ = optimise(recorded(f, V3))
        twice, fired = optimise(once)
        assert not fired
        assert names(twice) == names(once)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("name", sorted(n for n in TABLE if not isinstance(TABLE[n].samples, Absent)))
def test_every_op(name, known):
    op = TABLE[name]
    for sample in op.samples()[:6]:
        g = Graph()
        args = [Var(a.shape, a.dtype) if isinstance(a, np.ndarray) else a for a in sample.args]
        arrays = {v: a for v, a in zip(args, sample.args, strict=True) if isinstance(v, Var)}
        if known:
            g.consts = dict(list(arrays.items())[1:])
        g.inputs = [v for v in arrays if v not in g.consts]
        outs = op.eval(*sample.args, **sample.params)
        several = isinstance(outs, tuple | list)
        outs = tuple(Var(np.shape(o), np.asarray(o).dtype) for o in (outs if several else [outs]))
        g.eqns = [Eqn(op, tuple(args), dict(sample.params), outs)]
        for o in outs:
            copied = Var(o.shape, o.dtype)
            g.eqns.append(Eqn(TABLE["clone"], (o,), {}, (copied,)))
            g.outputs.append(copied)
        new, _ = optimise(g)
        given_ones = [arrays[v] for v in g.inputs]
        for a, b in zip(on_arrays(g, given_ones), on_arrays(new, given_ones), strict=True):
            np.testing.assert_array_equal(a, b)


STEPS = [
    lambda x, y: x * 1.0, lambda x, y: x + 0.0, lambda x, y: x - 0.0, lambda x, y: -x,
    lambda x, y: x * 0.0, lambda x, y: x**1,
    lambda x, y: x * y, lambda x, y: x + y, lambda x, y: x.exp(), lambda x, y: x.abs(),
    lambda x, y: x.flip(0),
    lambda x, y: x.reshape(3, 2).reshape(2, 3), lambda x, y: x.t().t(),
    lambda x, y: torch.where(x > 0, x, y),
    lambda x, y: torch.where(x > 0, x, x), lambda x, y: x.masked_fill(y > 0, 0.0), lambda x, y: x / 1,
    lambda x, y: torch.zeros(2, 3, dtype=torch.float64) * (x > 0),
    lambda x, y: x + torch.zeros(2, 3) * (y > 0),
    lambda x, y: x * (x > y), lambda x, y: torch.zeros(2, 3, dtype=torch.float64), lambda x, y: y,
    lambda x, y: scan(lambda c, r: (c * 1.0 + r, c), x[0], y)[1],
    lambda x, y: (x > 0).double() * torch.zeros(3),
    lambda x, y: cond(x.sum() > 0, lambda x: x * 1.0, lambda x: x + 0.0, x), lambda x, y: x[:, [0, 1, 2]],
]  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.booleans()), min_size=1, max_size=14),
    st.integers(0, 99),
)
@settings(max_examples=120, deadline=None)
def test_random_programs(steps, seed):
    def f(x, y):
        for k, swap in steps:
            x = STEPS[k](x, y)
            if swap:
                x, y = y, x
        return [x * 1.0, y, x]

    with np.errstate(all="ignore"):
        check(recorded(f, Like((2, 3)), Like((2, 3))), (seed, seed + 1))


def test_every_pass_has_work_above():
    fired = set()
    for f, _, _ in WORK:
        fired.update(name for name, _ in optimise(recorded(f, V3))[1])
    for f in LOOPS:
        fired.update(
            name for name, _ in optimise(recorded(lambda x, y, f=f: [f(x, y)[0] * 2], V3, Like((4, 3))))[1]
        )
    assert fired == set(PASSES)


def test_bodies_without_inputs():
    body = closed_body(lambda: [torch.ones(3)], [])
    assert on_arrays(optimise(body)[0], [])[0].tolist() == [1, 1, 1]
