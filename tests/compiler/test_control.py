"""scan, while_loop and cond: recorded as one op, they compute and differentiate as the plain loops do."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import pullback as torch
import pullback.compiler.control
import pullback.compiler.control_lower
from pullback.compiler.body import interpret
from pullback.compiler.build import Builder
from pullback.compiler.cells import Cells, code_of
from pullback.compiler.lower import lower_graph
from pullback.compiler.program import Array, Program
from pullback.compiler.trace import TraceError, trace
from pullback.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from pullback.func.control import cond, scan, while_loop
from pullback.graph.tensor import wrap

sys.path.insert(0, str(Path(__file__).parent))
from interpret import run as run_program


@pytest.fixture(autouse=True, params=["written out", "loops"])
def written(request, monkeypatch):
    """Everything twice: with short loops written out, and with every loop a loop."""
    if request.param == "loops":
        monkeypatch.setattr(pullback.compiler.control_lower, "WRITTEN", 0)

rng = np.random.default_rng(3)
W = torch.tensor(rng.uniform(-0.6, 0.6, (3, 3)))
X = torch.tensor(rng.uniform(0.3, 1.0, (11, 3)))
C = torch.tensor(rng.uniform(0.3, 1.0, 3))


def flat(out):
    """The tensors of a nested result."""
    if isinstance(out, tuple | list):
        return [t for o in out for t in flat(o)]
    if isinstance(out, dict):
        return flat(list(out.values()))
    return [] if out is None else [out]


def recorded(f, *args):
    """The graph of f(*args)."""
    return trace(lambda *xs: flat(f(*xs)), [a.value for a in args]).graph


def through_graph(f, *args):
    """f by recording it and running the graph op by op."""
    return interpret(recorded(f, *args), args)


def through_lanes(f, *args, arrays_lead=False):
    """f by recording it, lowering the graph to a lane program and running that."""
    graph = recorded(f, *args)
    program = Program(lanes=1)
    b = Builder(program)

    def loaded(v):
        k = b.array(Array(code_of(v.dtype)))
        grid = np.empty(v.shape, object)
        grid.reshape(-1)[:] = [b.load(k, i) for i in range(v.size)]
        return Cells(grid, v.dtype, b)

    outs = lower_graph(b, graph, [loaded(v) for v in graph.inputs])
    memory = [np.array(a.value).reshape(-1) for a in args]
    for cells in outs:
        k = b.array(Array(code_of(cells.dtype), written=True))
        memory.append(np.zeros(cells.size, cells.dtype))
        for i, v in enumerate(cells.flat):
            b.store(k, i, v)
    run_program(program, memory, 1)
    return [wrap(m.reshape(c.shape)) for m, c in zip(memory[len(args) :], outs, strict=True)]


def same(got, want, tol=1e-13):
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert g.value.shape == w.value.shape
        assert g.value.dtype == w.value.dtype
        np.testing.assert_allclose(g.value, w.value, rtol=tol, atol=tol)


def rnn(W, c, xs):
    def step(c, x):
        new = torch.tanh(W @ c + x)
        return new, (new * x).sum()

    return scan(step, c, xs)


def backward_rnn(W, c, xs):
    return scan(lambda c, x: ((c * W.sum(0)).sin() + x, {"a": c.exp(), "none": None}), c, xs, reverse=True)


def nested(W, c, xs):
    def row(c, x):
        inner, ys = scan(lambda s, w: (s * w.cos() + x.sum(), s), c, W)
        return inner, ys.sum()

    return scan(row, c, xs)


def counting(W, c, xs):
    def step(carry, x):
        i, c = carry["i"], carry["c"]
        return {"i": i + 1, "c": c * (i + 1) * 0.1 + x}, None

    return scan(step, {"i": 0, "c": c}, xs)


def no_xs(W, c, xs):
    return scan(lambda c, _: ((W @ c).sin(), None), c, length=10)[0]


def halving(W, c, xs):
    return while_loop(
        lambda s: (s[0] * s[0]).sum() > 1e-3, lambda s: (s[0] * 0.5 + (W @ s[0]) * 0.3, s[1] + 1), (c, 0)
    )


def branching(W, c, xs):
    p = c.sum() > xs.sum() * 0.1
    return cond(p, lambda c: ((W @ c).sqrt().sum(), c * 2), lambda c: (c.sum(), c.sin()), c * c)


LOOPS = [rnn, backward_rnn, nested, counting, no_xs, branching]
ALL = [*LOOPS, halving]


@pytest.mark.parametrize("f", ALL)
@pytest.mark.parametrize("way", [through_graph, through_lanes])
def test_values(f, way):
    same(way(f, W, C, X), f(W, C, X))


@pytest.mark.parametrize("f", ALL)
def test_one_op_in_the_graph(f):
    names = [e.op.name for e in recorded(f, W, C, X).eqns]
    assert sum(n in {"scan", "while_loop", "cond"} for n in names) == 1
    assert len(names) < 12


def scalar(f):
    """A number from the floating outputs."""

    def total(*args):
        return sum((o * o).sum() for o in flat(f(*args)) if o.value.dtype.kind == "f")

    return total


@pytest.mark.parametrize("f", LOOPS)
@pytest.mark.parametrize("way", [through_graph, through_lanes])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_gradients_of_recorded_loops(f, way, which):
    g = grad(scalar(f), which)
    same(way(g, W, C, X), g(W, C, X), 1e-11)


@pytest.mark.parametrize("f", ALL)
def test_forward_mode(f):
    def pushed(W, c, xs):
        return jvp(scalar(f), (W, c, xs), (W * 2, c.sin(), xs.cos()))

    same(through_graph(pushed, W, C, X), pushed(W, C, X), 1e-11)
    same(through_lanes(pushed, W, C, X), pushed(W, C, X), 1e-11)


@pytest.mark.parametrize("f", [rnn, nested, branching])
def test_second_order(f):
    short = X[:3]
    h = hessian(scalar(f), 1)
    same(through_graph(h, W, C, short), h(W, C, short), 1e-10)
    twice = grad(lambda w, c, x: (grad(scalar(f), 1)(w, c, x) ** 2).sum(), 0)
    same(through_graph(twice, W, C, short), twice(W, C, short), 1e-10)


@pytest.mark.parametrize("f", LOOPS)
def test_gradient_of_the_graph_itself(f):
    # recorded without derivatives, differentiated by whoever runs the graph
    graph = recorded(scalar(f), W, C, X)
    for which in range(3):
        got = grad(lambda *xs: interpret(graph, xs)[0], which)(W, C, X)
        same(got, grad(scalar(f), which)(W, C, X), 1e-11)


@pytest.mark.parametrize("f", ALL)
@pytest.mark.parametrize("dims", [(None, 0, None), (0, None, None), (None, None, 1), (0, 0, 0)])
def test_vmap_around_a_recorded_loop(f, dims):
    sizes = [W, C, X]
    many = [
        x if d is None else torch.stack([x, x * 0.5, x * 1.1, x * 0.9], d)
        for x, d in zip(sizes, dims, strict=True)
    ]
    g = vmap(lambda *xs: tuple(flat(f(*xs))), dims)
    same(through_graph(g, *many), g(*many), 1e-12)


@pytest.mark.parametrize("f", LOOPS)
def test_vmap_of_gradients(f):
    many = torch.stack([C, C * 0.5, C * 1.3])
    g = vmap(grad(scalar(f), (0, 1, 2)), (None, 0, None))
    same(through_graph(g, W, many, X), g(W, many, X), 1e-11)


@pytest.mark.parametrize("f", LOOPS)
def test_gradients_of_vmap(f):
    many = torch.stack([C, C * 0.5, C * 1.3])
    g = grad(lambda W, c, x: vmap(scalar(f), (None, 0, None))(W, c, x).sum(), (0, 1, 2))
    same(through_graph(g, W, many, X), g(W, many, X), 1e-11)


def test_vmap_inside_the_body():
    def f(W, c, xs):
        return scan(lambda c, x: (vmap(lambda w: (w * c).sum().sin())(W) + x, None), c, xs)[0].sum()

    same(through_graph(f, W, C, X), f(W, C, X))
    g = grad(
        lambda W, c, xs: scan(lambda c, x: (vmap(lambda r: r.sin() * c.sum())(c) + x, None), c, xs)[0].sum(),
        1,
    )
    same(through_graph(g, W, C, X), g(W, C, X), 1e-11)


def test_followed_tensors_that_enter_a_vmap_unseen_are_refused():
    def f(W):
        return scan(lambda c, x: (vmap(lambda w: (w * c).sum())(W) + x, None), C, X)[0].sum()

    with pytest.raises(TraceError, match="being differentiated"):
        recorded(grad(f), W)


def test_gradient_descent_inside_the_body():
    def f(start):
        return scan(
            lambda x, _: (x - 0.1 * grad(lambda y: ((W @ y - C) ** 2).sum())(x), None), start, length=20
        )[0]

    same(through_graph(f, C), f(C), 1e-12)
    same(through_lanes(f, C), f(C), 1e-12)
    same(through_graph(jacrev(f), C), jacrev(f)(C), 1e-11)
    same(through_graph(jacfwd(f), C), jacfwd(f)(C), 1e-11)


@pytest.mark.parametrize("length", [0, 1, 3, 9])
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths(length, reverse):
    def f(c, xs):
        return scan(lambda c, x: (c * x + 1, c.sum()), c, xs, reverse=reverse)

    short = X[:length]
    same(through_graph(f, C, short), f(C, short))
    if length:
        same(through_lanes(f, C, short), f(C, short))
        g = grad(lambda c, x: f(c, x)[1].sum(), (0, 1))
        same(through_graph(g, C, short), g(C, short), 1e-12)


def test_an_explicit_loop_gives_the_same():
    c, collected = C.clone().requires_grad_(), []
    start = c
    for x in X:
        c = torch.tanh(W @ c + x)
        collected.append((c * x).sum())
    last, ys = rnn(W, start, X)
    same((last, ys), (c, torch.stack(collected)))
    (g,) = torch.autograd.grad(c.sum() + sum(collected), start)
    same(grad(lambda s: sum(o.sum() for o in rnn(W, s, X)))(C), g)


def test_affine_reads_of_long_loops(monkeypatch):
    monkeypatch.setattr(pullback.compiler.control_lower, "WRITTEN", 0)
    g = recorded(lambda c, xs: scan(lambda c, x: (c + x, None), c, xs)[0], C, X)
    program = Program(lanes=1)
    b = Builder(program)
    k = b.array(Array("f8"))
    grid = np.empty(X.value.shape, object)
    grid.reshape(-1)[:] = [b.load(k, i) for i in range(X.value.size)]
    start = np.empty(3, object)
    start[:] = [b.const(1.0, "f8")] * 3
    lower_graph(b, g, [Cells(start, np.float64, b), Cells(grid, np.float64, b)])
    assert not program.scratch
    assert sum(v.op == "loop" for v in program.body) == 1


def test_while_in_reverse_mode_says_what_to_do():
    with pytest.raises(RuntimeError, match="scan with a fixed number of rounds"):
        recorded(grad(scalar(halving), 1), W, C, X)


def test_while_keeps_the_lanes_that_have_ended():
    def f(x):
        return while_loop(lambda s: s[0] < 100, lambda s: (s[0] * 3, s[1] + 1), (x, 0))

    many = torch.tensor([2.0, 50.0, 1000.0, 99.0], dtype=torch.float64)
    got = through_graph(vmap(f), many)
    assert got[0].tolist() == [162.0, 150.0, 1000.0, 297.0]
    assert got[1].tolist() == [4, 1, 0, 1]
    same(got, vmap(f)(many))


def test_a_branch_that_is_not_taken_contributes_nothing():
    def f(x):
        return cond(x > 0, lambda x: x.sqrt(), lambda x: x * 0 + 1, x)

    at = torch.tensor([4.0, 0.0, -1.0], dtype=torch.float64)
    g = vmap(grad(f))
    assert through_graph(g, at)[0].tolist() == [0.25, 0.0, 0.0]
    assert through_lanes(g, at)[0].tolist() == [0.25, 0.0, 0.0]


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (
            lambda c: scan(lambda c, x: (c.reshape(1, 3), x), c, X),
            r"came in with shape \[3\] and left with \[1, 3\]",
        ),
        (
            lambda c: scan(lambda c, x: ((c[0], c[1].float()), x), (c, c), X),
            r"carry\[1\] came in as torch.float64",
        ),
        (lambda c: scan(lambda c, x: ((c, c), x), c, X), "keep its structure"),
        (lambda c: while_loop(lambda c: c > 0, lambda c: c, c), "must be a single boolean"),
        (lambda c: cond(c.sum() > 0, lambda c: c, lambda c: c.sum(), c), "keep its shapes"),
    ],
)
def test_what_does_not_fit_is_named(f, text):
    with pytest.raises(RuntimeError, match=text):
        recorded(f, C)
    if "cond" not in f.__code__.co_names:
        with pytest.raises(RuntimeError, match=text):
            f(C)


def test_wrong_uses():
    with pytest.raises(ValueError, match="same length"):
        scan(lambda c, x: (c, x), C, (X, X[:3]))
    with pytest.raises(ValueError, match="needs xs or length"):
        scan(lambda c, x: (c, x), C)
    with pytest.raises(ValueError, match="0-d tensor"):
        scan(lambda c, x: (c, x), C, torch.tensor(1.0))
    with pytest.raises(TypeError, match="pair"):
        scan(lambda c, x: c, C, X)
    with pytest.raises(TypeError, match="tensors and numbers only"):
        scan(lambda c, x: (c, x), "text", X)


def test_writes_into_the_surroundings_are_refused():
    outside = torch.zeros(3)

    def step(c, x):
        outside.add_(1)
        return c, x

    with pytest.raises(TraceError, match="written in place"):
        recorded(lambda c: scan(step, c, X), C)


def test_vjp_of_parts():
    def f(W, c, xs):
        return rnn(W, c, xs)[1]

    def g(W, c, xs, v):
        return vjp(f, W, c, xs)[1](v)

    v = torch.tensor(rng.uniform(-1, 1, 11))
    same(through_graph(g, W, C, X, v), g(W, C, X, v), 1e-12)
