"""A graph's text and the graph that is read from it are the same, for every op, parameter and constant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as torch
import pullback.compiler.control
from pullback.compiler.control_ops import scan_op
from pullback.compiler.graph import Eqn, Graph, Var
from pullback.compiler.notation import show
from pullback.compiler.reading import NotationError, parse
from pullback.compiler.trace import trace
from pullback.families.op import TABLE, Absent
from pullback.families.regions import Region
from pullback.func.control import scan


def alike(a, b):
    """Are two parameters or constants the same, bit for bit and type for type?"""
    if isinstance(a, Graph):
        same_graph(a, b)
        return True
    if isinstance(a, Region):
        return isinstance(b, Region) and all(
            alike(getattr(a, k), getattr(b, k))
            for k in ("shape", "strides", "offset", "base_shape", "base_strides")
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, slice):
        return alike((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    if isinstance(a, float | complex):
        return repr(a) == repr(b)
    return a == b


def same_graph(g, h):
    """Fail where two graphs differ."""
    pair = dict(zip(g.inputs, h.inputs, strict=True))
    assert len(g.consts) == len(h.consts)
    for (v, x), (w, y) in zip(g.consts.items(), h.consts.items(), strict=True):
        assert alike(np.asarray(x), y), (x, y)
        pair[v] = w
    for e, f in zip(g.eqns, h.eqns, strict=True):
        assert e.op is f.op
        assert e.line is None or f.line is None or e.line == f.line
        for a, b in zip(e.args, f.args, strict=True):
            assert pair[a] is b if isinstance(a, Var) else alike(a, b), (e, f)
        assert alike(e.params, f.params), (e.params, f.params)
        pair.update(zip(e.outs, f.outs, strict=True))
    for v, w in pair.items():
        assert (v.shape, v.dtype) == (w.shape, w.dtype)
    assert [pair[v] for v in g.outputs] == h.outputs


def round_trip(g, *, lines=False):
    text = show(g, lines)
    h = parse(text)
    same_graph(g, h)
    assert show(h, lines) == text
    return h


def graph_of(op, sample):
    """A graph of one equation: arrays are its inputs."""
    g = Graph()
    args = [Var(a.shape, a.dtype) if isinstance(a, np.ndarray) else a for a in sample.args]
    g.inputs = [a for a in args if isinstance(a, Var)]
    outs = op.eval(*sample.args, **sample.params)
    several = isinstance(outs, tuple | list)
    outs = tuple(Var(np.shape(o), np.asarray(o).dtype) for o in (outs if several else [outs]))
    g.eqns = [Eqn(op, tuple(args), dict(sample.params), outs, ("a file: with #, at.py", 7))]
    g.outputs = list(outs)
    return g


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(n for n in TABLE if not isinstance(TABLE[n].samples, Absent)))
def test_every_op(name):
    for sample in TABLE[name].samples():
        g = graph_of(TABLE[name], sample)
        round_trip(g)
        assert round_trip(g, lines=True).eqns[0].line == ("a file: with #, at.py", 7)


NUMBERS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.none(), st.complex_numbers(), st.text(), st.just(...),
    st.sampled_from([np.dtype("f4"), np.dtype(bool), np.dtype("c16"), torch.float64, torch.bool, torch.int8]),
    st.floats(width=32).map(np.float32), st.integers(-9, 9).map(np.int64), st.booleans().map(np.bool_),
)  # fmt: skip


@st.composite
def arrays(draw):
    """Arrays of all dtypes, small and large, with any bits."""
    dtype = np.dtype(draw(st.sampled_from(["?", "i1", "u1", "i4", "i8", "f2", "f4", "f8", "c8", "c16"])))
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
    n = int(np.prod(shape))
    if dtype.kind == "b":
        return np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool).reshape(shape)
    raw = draw(st.binary(min_size=n * dtype.itemsize, max_size=n * dtype.itemsize))
    return np.frombuffer(raw, dtype).reshape(shape)


LITERALS = st.recursive(
    st.one_of(NUMBERS, arrays(), st.builds(slice, st.none() | st.integers(), st.none() | st.integers())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(
    st.lists(LITERALS, max_size=4),
    st.dictionaries(st.sampled_from(["dim", "data", "graph", "const", "x"]), LITERALS),
)
@settings(max_examples=150, deadline=None)
def test_any_literal(args, params):
    v = Var((2,), np.dtype("f8"))
    g = Graph([v], {}, [], [v])
    g.eqns = [Eqn(TABLE["sin"], (v, *args), params, (Var((2,), np.dtype("f8")),))]
    round_trip(g)


@given(st.lists(arrays(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_constant(values):
    g = Graph()
    g.outputs = [g.const(a) for a in values]
    round_trip(g)


UNARY = [
    torch.sin,
    torch.exp,
    lambda x: x.reshape(-1),
    lambda x: x.sum(0, keepdim=True),
    lambda x: x[..., 1:],
    lambda x: -x,
]


@given(st.lists(st.integers(0, 7), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_programs(steps, seed):
    rng = np.random.default_rng(seed)
    known = torch.tensor(rng.normal(size=(30,)))

    def f(x, y):
        for k in steps:
            if k < len(UNARY):
                x = UNARY[k](x)
            elif k == 6:
                x = (x * y.sum() + known[:3].sum()).clamp(-1, 1)
            else:
                x = scan(lambda c, r: (c + r.sum(), c), x, y)[0]
        return [x, y]

    class A:
        shape, dtype = (2, 3), np.dtype("f8")

    round_trip(trace(f, [A, A]).graph, lines=True)


def test_how_it_looks():
    class A:
        shape, dtype = (3,), np.dtype("f8")

    g = trace(lambda x: [(x * 2.0).clamp(min=-0.5)], [A], lines=False).graph
    assert str(g).splitlines()[0] == "graph(%0: f64[3]) {"
    assert str(g).splitlines()[-1] == "}"
    assert "  %2: f64[3] = clamp(%1, min=-0.5)" in str(g)
    assert (
        sum("#" in line for line in show(trace(lambda x: [x.sin()], [A]).graph, lines=True).splitlines()) == 1
    )
    loop = str(graph_of(scan_op, scan_op.samples()[0])).splitlines()
    assert loop[1].startswith("  %3: f64[3], %4: f64[4, 3] = scan(%0, %1, %2, ")
    assert sum(line.startswith("    %") for line in loop) == len(scan_op.samples()[0].params["body"].eqns)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("graph(%0: f64[3]) {\n  %1: f64[3] = sinn(%0)\n  return %1\n}", 2, "the name of an op"),
        ("graph(%0: f64[3]) {\n\n  %1: f64[3] = sin(%2)\n  return %1\n}", 3, "defined above"),
        ("graph(%0: f64[3]) {\n  %1: f64[3] = sin(%1)\n  return %1\n}", 2, "defined above"),
        ("graph(%0: f64[3]) {\n  %0: f64[3] = sin(%0)\n  return %0\n}", 2, "a new variable"),
        ("graph(%0: g64[3]) {\n  return %0\n}", 1, "a dtype"),
        ("graph(%0: f64[3]) {\n  return %0\n", 3, "','"),
        ("graph(%0: f64[3]) {\n  return %0\n}\nmore", 4, "the end of the text"),
        ("graph(%0: f64[3]) {\n  %1: f64[3] = sin(%0, x=<Generator>)\n  return %1\n}", 2, "a name, number"),
        ("graph(%0: f64[3]) {\n  %1: f64[3] = sin(x=1, %0)\n  return %1\n}", 2, "arguments come first"),
        ("graph() {\n  const %0: f64[3] = [1.0, 2.0]\n  return %0\n}", 2, "the entries of f64"),
        ("graph() {\n  const %0: f64[3] = data(0)\n  return %0\n}", 2, "data lines"),
        ("graph() {\n  const %0: f64[3] = data(0)\n  return %0\n}\ndata 0: f64[3] 'AAAA'", 5, "base64"),
        ("graph(%0: f64[3]) {\n  %1: f64[3] = sum(%0, dim=(0))\n  return %1\n}", 2, "only item of a tuple"),
        ("graph(%0: f64[3]) {\n  sin(%0)\n}", 2, "an equation that begins with a variable"),
    ],
)
def test_mistakes_name_their_line(text, line, expected):
    with pytest.raises(NotationError, match=f"line {line} .*expected .*{expected}") as e:
        parse(text)
    assert "try:" in str(e.value)
