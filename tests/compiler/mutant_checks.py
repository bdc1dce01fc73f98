"""What the mutants of the compiler and of the native sampler must fail: small promises, quickly checked."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as torch
from compiler import test_aliasing as aliasing
from compiler import test_philox as generator
from compiler.expressions import INPUTS, NUMBERS, Plain
from compiler.expressions import written as expression
from compiler.interpret import run as interpreted
from pullback.compiler.api import compile
from pullback.compiler.build import Array, Builder
from pullback.compiler.program import Program
from pullback.sampling import sums
from pullback.sampling.distributions import Gamma, Normal, Uniform
from pullback.sampling.inputs import each
from sampling import test_engine as engine_tests
from sampling import test_fused as fused

F64 = torch.float64


def both(f, *args, exact=False):
    """Compiled and eager; also as lanes where there is one vector."""
    with np.errstate(all="ignore"):
        want, got = f(*args), compile(f)(*args)
        for g, w in zip(aliasing.values(got), aliasing.values(want), strict=True):
            assert g.shape == w.shape
            assert g.dtype == w.dtype
            np.testing.assert_allclose(g, w, rtol=0 if exact else 1e-13, atol=0 if exact else 1e-300)


ODD = torch.tensor([0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan, 1000.0, 0.1], dtype=F64)
CONSTANTS = torch.tensor([0.0, 1.0, -1.0, 2.0, 3.0, 0.5, -0.75, 7.0, 10.0], dtype=F64)


def expressions():
    """Random expressions on special numbers, with every rule and with none."""
    r = np.random.default_rng(7)
    ones = ["neg", "abs", "sqrt", "floor", "exp", "log1p", "sin", "tanh"]
    for k in range(150):
        steps = []
        for _ in range(10):
            a, b, c = (int(x) for x in r.integers(0, 10**6, 3))
            steps.append(
                [
                    (["add", "sub", "mul", "mul", "sub"][a % 5], b, c),
                    (ones[a % len(ones)], b),
                    ("const", NUMBERS[a % 8]),
                    (["eq", "ne", "lt", "le"][a % 4], b, c),
                    ("select", a, b, c),
                    (["and", "or"][a % 2], b, c),
                    ("not", a),
                    ("neg", a),
                ][r.integers(0, 8)]
            )
        lanes = np.array([[NUMBERS[i] for i in r.integers(0, len(NUMBERS), 16)] for _ in range(INPUTS)])
        ranges = [None] * INPUTS
        if k % 2:
            ranges = [(-2.0, 3.0), (0.0, 1.0), None]
            lanes[0], lanes[1] = r.uniform(-2, 3, 16), r.uniform(0, 1, 16)
        found = []
        with np.errstate(all="ignore"):
            for kind in (Builder, Plain):
                b, values, truths = expression(kind, steps, "f8", ranges)
                found.append(outputs(b, [*values, *truths], lanes))
                if kind is Builder:
                    inside(values, found[0])
        for got, want in zip(*found, strict=True):
            assert np.array_equal(got, want, equal_nan=got.dtype.kind == "f"), steps


def outputs(b, values, lanes):
    """What a program's values are, lane by lane."""
    arrays = [np.ascontiguousarray(row) for row in lanes]
    for v in values:
        k = b.array(Array(v.type, 1, written=True))
        b.store(k, 0, v)
        arrays.append(np.empty(16, bool if v.type == "b1" else v.type))
    interpreted(b.program, arrays, 16)
    return arrays[INPUTS:]


def inside(values, found):
    """Every value lies within its bounds."""
    for v, got in zip(values, found, strict=False):
        known = got[~np.isnan(got)]
        assert v.nan or known.size == got.size, v.op
        assert ((known >= v.lo) & (known <= v.hi)).all(), v.op


def intervals():
    """Each op's bounds on many intervals, against many numbers from them."""
    r = np.random.default_rng(3)
    ends = [(-2.0, 3.0), (0.5, 8.0), (-3.0, -0.25), (0.0, 0.0), (-1.0, 0.0), (-np.inf, np.inf), (0.0, np.inf)]
    for op in (
        "add",
        "sub",
        "mul",
        "div",
        "abs",
        "neg",
        "sin",
        "exp",
        "log",
        "sqrt",
        "tanh",
        "floor",
        "square",
    ):
        for one in ends:
            for two in ends:
                b = Builder(Program())
                x, y = (b.load(b.array(Array("f8", 1)), 0, e) for e in (one, two))
                rows = [within(r, *one), within(r, *two)[::-1] if two[0] < two[1] else within(r, *two)]
                rows[1] = np.concatenate([rows[1][4:], [two[0], two[1], two[1], two[0]]])
                binary = op in {"add", "sub", "mul", "div"}
                v = b.op("mul", x, x) if op == "square" else b.op(op, x, y) if binary else b.op(op, x)
                with np.errstate(all="ignore"):
                    inside([v], outputs_of(b, [v], rows))


def within(r, low, high):
    return np.concatenate([np.clip(r.standard_cauchy(12), low, high), [low, high, low, high]])


def outputs_of(b, values, rows):
    arrays = [np.ascontiguousarray(row) for row in rows]
    for v in values:
        b.store(b.array(Array(v.type, 1, written=True)), 0, v)
        arrays.append(np.empty(16, bool if v.type == "b1" else v.type))
    interpreted(b.program, arrays, 16)
    return arrays[len(rows) :]


def constants():
    """Every op with a constant on either side, to the bit but for the sign of a zero."""
    x = np.array(
        [0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan, 1e300, 0.1, 7.7, 1 / 3, -9.0, 5.1, 1e-300, 3.3, 2.0]
    )
    truth = np.array([True, False] * 8)
    functions = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
    for c in (0.0, 1.0, -1.0, 2.0, 0.25, 3.0, -0.75, 10.0):
        b = Builder(Program())
        v = b.load(b.array(Array("f8", 1)), 0)
        made = [(b.op(n, v, c), b.op(n, c, v)) for n in functions]
        found = outputs_of(b, [v for pair in made for v in pair], [x])
        with np.errstate(all="ignore"):
            want = [y for f in functions.values() for y in (f(x, c), f(c, x))]
        for got, expected in zip(found, want, strict=True):
            assert np.array_equal(got, expected, equal_nan=True), c
    for c in (True, False):
        b = Builder(Program())
        v, w = b.load(b.array(Array("b1", 1)), 0), b.load(b.array(Array("f8", 1)), 0)
        k = b.const(c, "b1")
        made = [
            b.op("and", v, k),
            b.op("or", k, v),
            b.select(k, v, b.op("not", v)),
            b.op("select", k, w, b.op("neg", w)),
        ]
        want = [truth & c, truth | c, truth == c, x if c else -x]
        for got, expected in zip(outputs_of(b, made, [truth, x]), want, strict=True):
            assert np.array_equal(got, expected, equal_nan=got.dtype.kind == "f"), c


def strong_zeros():
    both(lambda x, y: torch.where(x == 0, 0.0, x * y), torch.zeros(9, dtype=F64), ODD)
    both(lambda x, y: torch.where(x == 0, 0.0, x / y), torch.zeros(9, dtype=F64), torch.zeros(9, dtype=F64))


def choices():
    mask = torch.tensor([True, False, True])
    x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-1.0, 5.0, 0.5])
    both(lambda x, y: torch.where(torch.tensor([True, False, True]), x, y), x, y)
    both(lambda x, y: torch.where(~(x < y), x, y), x, y)
    both(lambda x, y: torch.where(x < y, torch.tensor(True), x > 2), x, y)
    both(lambda x, y: torch.where(x < y, torch.tensor(False), x > 2), x, y)
    both(lambda x, m: torch.where(m & torch.tensor([True, True, False]), x, -x), x, mask)
    both(lambda x, m: torch.where(m | torch.tensor([True, False, False]), x, -x), x, mask)


def captured_arrays():
    """Loads from several arrays at the same place are different values."""
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    both(lambda x: x * a + b * x.sin() - a / b, torch.tensor([0.5, -2.0]))


def exponentials():
    both(lambda x: x.exp(), ODD)


def broadcasting():
    r = np.random.default_rng(1)
    x, y, z = (torch.from_numpy(r.uniform(-1, 1, s)) for s in ((20, 1, 30), (15, 1), (20, 15, 30)))
    both(lambda x, y, z: (x * y + z).sin(), x, y, z)
    both(lambda x, y: (x - y) * x, z.reshape(300, 30), z.reshape(-1)[:300].reshape(300, 1))


def slices():
    r = np.random.default_rng(2)
    both(lambda x, y: x * y + 1, torch.from_numpy(r.random((512, 400))), torch.from_numpy(r.random(400)))


def long_rows():
    both(lambda x: x * 2 + 1, torch.arange(200_003, dtype=F64))


def waiting_groups():
    x = torch.from_numpy(np.random.default_rng(3).uniform(-1, 1, (80, 90)))
    both(lambda x: torch.exp(x - x.sum(1, keepdim=True)) * x + x, x)
    both(lambda x: (x * 2) + (x * 3).cumsum(1).sin() + (x * 2).cumsum(0) * x, x)


def later_dimensions():
    r = np.random.default_rng(4)
    x, w = torch.from_numpy(r.uniform(-1, 1, (6, 77))), torch.from_numpy(r.uniform(-1, 1, (3, 6)))
    both(torch.func.vmap(lambda x, w: torch.tanh(w @ x).sum(), in_dims=(1, None)), x, w)


def long_bodies():
    x = torch.from_numpy(np.random.default_rng(5).uniform(0.5, 1, 40))
    both(lambda x: torch.cumsum(x.sin() * x, 0).prod() + (x.cos() / x).sum(), x)


def loops():
    def f(x):
        more = lambda c: c[1] < 7
        return torch.func.while_loop(more, lambda c: (c[0] * 0.5 + x, c[1] + 1), (x * 0, torch.tensor(0)))

    both(f, torch.tensor([1.0, -2.0, 3.0]))


def reductions():
    x = torch.from_numpy(np.random.default_rng(8).uniform(-1, 1, (4, 4)))  # a wrong axis has the right length
    both(
        lambda x: (
            x.softmax(1),
            x.logsumexp(0),
            x - x.amax(1, keepdim=True),
            x - x.sum(1, keepdim=True),
            x.mean(1),
            x.sum(0),
            x.sum(0, keepdim=True),
            x.amax(1),
            (x > 0).sum(1),
            x.prod(0),
        ),
        x,
    )


def equal_looking_constants():
    both(lambda x: (x * torch.tensor([1.0, 2.0]), x * torch.tensor([1.0, 3.0])), torch.tensor([1.0, 1.0]))
    both(lambda x: (x[0:1] + x[1:2], x[1:2] * x[0:1]), torch.tensor([4.0, 5.0]))
    x, y = torch.tensor([4.0, 5.0]), torch.tensor([1.0, 2.0])  # results of the graph itself are kept: `* 3`
    both(
        lambda x, y: (torch.where(torch.ones(2, dtype=torch.bool), x, y) * 3, (x - 0.0) * 3, (x - 1) * 3),
        x,
        y,
    )


def an_outside_tensor_that_grows():
    w, x = aliasing.numbers(3), aliasing.numbers(1)
    f = lambda x: (w * 2).sum() + x
    compiled = compile(f)
    for n in (3, 5):
        w.data = aliasing.numbers(n)
        np.testing.assert_allclose(compiled(x).value, f(x).value, rtol=1e-14)


def outside_tensors_are_read_anew():
    w, x = aliasing.numbers(3), aliasing.numbers(3)
    compiled = compile(lambda x: x * w)
    compiled(x)
    w.mul_(2)
    np.testing.assert_array_equal(compiled(x).value, (x * w).value)


def common_sweep():
    fused.compare(fused.problem(fused.relu_layer, Normal(0.0, 1.0).expand(4), upstream=fused.V, samples=3000))


def fresh_sweep():
    fused.compare(
        fused.problem(
            fused.relu_layer, Normal(0.0, 1.0).expand(4), upstream=fused.V, samples=999, common_draws=False
        )
    )


def two_arguments():
    law = (Uniform(-1.0, 2.0).expand(3), Normal(0.5, 0.2))
    fused.compare(fused.problem(fused.smooth_of_two, law, wrt=(1, 0), samples=1500))


def counted():
    law = Normal(0.1, 1.0).expand(3)
    for f in (fused.constant_slope, fused.two_slopes, fused.clamped):
        fused.compare(fused.problem(f, law, samples=1003))


def signed():
    fused.compare(fused.problem(lambda x: (x * x * x).sum(), Normal(0.3, 1.0).expand(2), samples=1003))
    fused.compare(fused.problem(lambda x: -(x.exp().sum()), Normal(0.3, 1.0).expand(2), samples=1003))


def invalid():
    for omit in (True, False):
        fused.compare(fused.problem(fused.logs, Normal(0.4, 0.6).expand(3), samples=9001, omit=omit))


def each_value():
    table = np.array([[100.0, 0.05, 0.2], [90.0, 0.01, 0.3], [110.0, 0.03, 0.1]])
    fused.compare(fused.problem(fused.option, (each(table), Normal(0.0, 1.0)), samples=700))


def rare_event():
    fused.compare(
        fused.problem(lambda x: torch.relu(x - 3.0), Normal(0.0, 1.0), samples=20_000), exact_counts=True
    )


def by_inversion():
    fused.compare(fused.problem(lambda x: (x * x).sin().sum(), Gamma(2.0, 1.0).expand(3), samples=70_001))


def order_of_blocks():
    engine_tests.test_folding_does_not_depend_on_how_blocks_arrive()


def averages():
    engine_tests.test_sums_and_averages_against_numpy()
    r = np.random.default_rng(1)
    values, gradients = r.normal(size=50), r.normal(size=(50, 2))
    gradients[7, 1] = np.nan
    part = sums.sums_of(values, gradients, (0.0, np.zeros(2)), 100, omit=True)
    total = sums.Sums.zeros(1, 1, 2)
    sums.fold(total, range(1), part)
    sums.fold(total, range(1), sums.sums_of(values[:5], gradients[:5], (0.0, np.zeros(2)), 200, omit=True))
    assert total.first[0, 0] == 107
    kept = np.delete(gradients, 7, axis=0)
    np.testing.assert_allclose(total.entries[0, 0, 0], kept.sum(0) + gradients[:5].sum(0), rtol=1e-12)


def native_numbers():
    generator.test_native_draws_are_the_reference("uniform", "float32", 5, 300)
    generator.test_native_draws_are_the_reference("normal", "float64", 5, 300)


def published():
    for line in generator.KNOWN:
        generator.test_published_vectors(*line)


def float_words():
    generator.test_layout_of_uniforms("float32", 64, 16)
    generator.test_layout_of_uniforms("float64", 16, 8)


SHARED, RESULTS = aliasing.TestSharedArguments(), aliasing.TestResults()
GRADS, NAMES, BUFFERS = aliasing.TestGradients(), aliasing.TestNames(), aliasing.TestBuffers()


def shared_arguments():
    SHARED.test_a_view_beside_its_base()


def an_outside_view():
    SHARED.test_an_argument_that_is_outside_too()


def own_results():
    RESULTS.test_results_are_nobody_elses(100)


def returned_arguments():
    RESULTS.test_arguments_come_back_themselves()


def accumulated():
    GRADS.test_accumulation("never")


def names():
    with pytest.MonkeyPatch.context() as m:
        NAMES.test_a_name_stands_for_something_else(m)


def modes():
    NAMES.test_modes_and_defaults()


def constants_apart():
    NAMES.test_constants_are_told_apart()


def fresh_buffer():
    def f(x):
        h = torch.zeros(3, dtype=F64)
        return h.add_(x).mul_(2)

    aliasing.same(f, (3,), calls=3)


def outside_buffers():
    BUFFERS.test_what_is_outside_is_written_in_every_call()


def every_view():
    aliasing.same(aliasing.every_kind_of_view, (4, 3))


def view_gradients():
    aliasing.test_gradients_through_written_views()


def detached():
    aliasing.test_a_detached_view_leaves_the_graph_as_it_is()
