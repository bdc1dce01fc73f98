"""Broken compilers and samplers: each wrong rule must fail a named check that passes without it.

A mutant rewrites one line of a function in place (its code object, so that every table that holds the
function holds the broken one); the line must exist, so a mutant cannot become a no-op unnoticed.
"""

from __future__ import annotations

import inspect
import textwrap
import types

import numpy as np
import pytest

import pullback as torch
from compiler import test_aliasing as aliasing
from compiler import test_philox as generator
from compiler.expressions import INPUTS, NUMBERS, Plain
from compiler.expressions import written as expression
from compiler.interpret import run as interpreted
from pullback.compiler import (
    aliases,
    api,
    bounds,
    build,
    cells_ufuncs,
    guards,
    native_draws,
    passes,
    plan,
    prune,
    schedule,
    trace,
)
from pullback.compiler.api import compile
from pullback.compiler.build import Array, Builder
from pullback.compiler.plan import Plan
from pullback.compiler.program import Program
from pullback.random import philox
from pullback.sampling import fused as fused_programs
from pullback.sampling import native, problem, sums
from pullback.sampling.distributions import Gamma, Normal, Uniform
from pullback.sampling.inputs import each
from sampling import test_engine as engine_tests
from sampling import test_fused as fused

F64 = torch.float64

# ---------------------------------------------------------------------- checks


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


# ---------------------------------------------------------------------- mutants: function, old, new, check

MUTANTS = {
    # folding
    "0 + y is 0": (build._add, "return y", "return x", expressions),
    "x + -y is x + y": (build._add, 'b.op("sub", x, y.args[0])', 'b.op("add", x, y.args[0])', expressions),
    "0 - y is y": (build._sub, 'b.op("neg", y)', "y", expressions),
    "inf - inf is 0": (build._sub, "x is y and (x.finite or x.type not in FLOATS)", "x is y", expressions),
    "x - -y is x - y": (build._sub, 'b.op("add", x, y.args[0])', 'b.op("sub", x, y.args[0])', expressions),
    "inf * 0 is 0": (
        build._mul,
        "y.data == 0 and (x.finite or x.type not in FLOATS)",
        "y.data == 0",
        expressions,
    ),
    "x * 1 is 1": (
        build._mul,
        "return x\n        if y.data == -1",
        "return y\n        if y.data == -1",
        expressions,
    ),
    "x * -1 is x": (build._mul, 'b.op("neg", x)', "x", constants),
    "-x * -y is -(xy)": (
        build._mul,
        'b.op("mul", x.args[0], y.args[0])',
        'b.op("mul", x, y.args[0])',
        expressions,
    ),
    "x / 2 is 2 x": (build._div, 'b.op("mul", x, inverse)', 'b.op("mul", x, y.data)', constants),
    "x / 3 is x * (1/3)": (build._div, "abs(mantissa) == 0.5", "abs(mantissa) > 0", constants),
    "-(-x) is -x": (build._neg, "x.args[0] if", "x if", expressions),
    "not not x is not x": (build._not, "x.args[0] if", "x if", expressions),
    "x and True is False": (
        build._and,
        'x if y.data else b.const(False, "b1")',
        'b.const(False, "b1")',
        constants,
    ),
    "x or False is True": (
        build._or,
        'b.const(True, "b1") if y.data else x',
        'b.const(True, "b1")',
        constants,
    ),
    "a known choice is exchanged": (
        build._select,
        "return x if c.data else y",
        "return y if c.data else x",
        constants,
    ),
    "a negated choice is not exchanged": (build._select, "c.args[0], y, x", "c.args[0], x, y", choices),
    "a zero times anything is zero": (build.zero_when, "(q.finite and zero_when", "(zero_when", strong_zeros),
    "zero over anything is zero": (build.zero_when, "_nonzero(y.args[1]) and", "", strong_zeros),
    "True or y": (build._choice, 'b.op("or", c, y) if x.data', 'b.op("and", c, y) if x.data', choices),
    "every exponential is normal": (
        build.inside_exp,
        "not x.nan and low <= x.lo and x.hi <= high",
        "True",
        exponentials,
    ),
    "arrays are mixed up": (
        Builder.emit,
        "(op, type, data, *[a.number for a in args])",
        "(op, type, *[a.number for a in args])",
        captured_arrays,
    ),
    "arguments are mixed up": (Builder.emit, "*[a.number for a in args]", "len(args)", expressions),
    "normal draws end at 1": (
        Builder.draw,
        'wide = 6.8 if self.program.draws == "f4" else 8.7',
        "wide = 1.0",
        rare_event,
    ),
    "slots are mixed up": (Builder.draw, "(kind, slot))", "(kind, 0))", two_arguments),
    "kinds of draws are mixed up": (Builder.draw, "(kind, slot))", '("uniform", slot))', two_arguments),
    # bounds
    "a sum's upper end": (bounds._add, "x.hi + y.hi if", "x.hi + y.lo if", intervals),
    "a sum of infinities": (bounds._add, "x.nan or y.nan or clash", "x.nan or y.nan", intervals),
    "a difference's ends": (bounds._sub, "x.lo - y.hi if", "x.lo - y.lo if", intervals),
    "a product is never negative": (bounds._mul, "0.0 if x is y else min(ends)", "0.0", intervals),
    "0 times infinity": (bounds._mul, "(any(wide) and x is not y)", "False", intervals),
    "a quotient's ends": (bounds._div, "y.lo <= 0 <= y.hi or y.nan or not", "y.nan or not", intervals),
    "a magnitude's ends": (bounds._abs, "max(abs(x.lo), abs(x.hi))", "abs(x.hi)", intervals),
    "a choice's ends": (bounds._select, "max(x.hi, y.hi)", "x.hi", expressions),
    "a sine is positive": (bounds._round_wave, "-1.0, 1.0", "0.0, 1.0", intervals),
    "a sine of infinity": (bounds._round_wave, "not x.finite", "x.nan", intervals),
    # dead code, order, plans
    "loops lose what they carry": (prune.prune, "loop.nexts[k], ", "", loops),
    "what is ready is not": (
        schedule.ordered,
        "if not missing[id(user)]:",
        "if missing[id(user)] <= 1:",
        long_bodies,
    ),
    "a size of 1 is stepped through": (
        plan.broadcast_strides,
        "size if shape[-i] != 1 else 0",
        "size",
        broadcasting,
    ),
    "all dimensions are one": (plan.collapsed, "s[-1] == mine[i] * n", "True", broadcasting),
    "all slices are the first": (plan.NativeStep.__init__, "k * rows * a.outer[0]", "0 * rows", slices),
    "the last lanes are left out": (
        plan.run_lanes,
        "range(0, extent, step)",
        "range(0, extent - step, step)",
        long_rows,
    ),
    "a group does not wait": (plan.grouped, "born.get(v, -1) >= group.start", "False", waiting_groups),
    "results share memory": (Plan.__post_init__, "v not in made or v in outputs[:i]", "False", own_results),
    "the mapped dimension is the first": (plan.Mapped.run, "np.moveaxis(x, d, 0)", "x", later_dimensions),
    "masks are exchanged": (
        passes._where,
        "(x,) if mask.all()",
        "(y,) if mask.all()",
        equal_looking_constants,
    ),
    "x - 1 is x": (passes._sub, "work.all_are(y, 0.0)", "work.all_are(y, 1)", equal_looking_constants),
    # reductions of cells
    "the order of kept dimensions": (
        cells_ufuncs.reduce_lines,
        "[*kept, *axes]",
        "[*axes, *kept]",
        reductions,
    ),
    # what a recording depends on
    "outside shapes do not matter": (api.Entry.fits, "kind_of(c) == k", "True", an_outside_tensor_that_grows),
    "outside tensors are constants": (
        api._private,
        "if sys.getrefcount(t) > ours + held:",
        "if False:",
        outside_tensors_are_read_anew,
    ),
    "memory is never shared": (api.Entry.overlaps, "if not self.written:", "if True:", shared_arguments),
    "outside memory is never shared": (
        api.Entry.overlaps,
        "[*self.captured, *self.written]",
        "[]",
        an_outside_view,
    ),
    "names stay": (guards.unchanged, "return False", "continue", names),
    "gradient modes are one": (api.Compiled.entry, "state.grad, ", "", modes),
    "default dtypes are one": (api.Compiled.entry, "get_default_dtype(), ", "", modes),
    "zeros are one": (api._static, "repr(x) if isinstance(x, float | complex) else x", "x", constants_apart),
    "a .grad begins at zero": (api.GradOf.value.fget, "if g is None", "if True", accumulated),
    "results are never arguments": (api.Recording._place, "if x is found[i]", "if False", returned_arguments),
    "buffers made inside stay": (api.record, "not _private(t, 2)", "True", fresh_buffer),
    "outside buffers are not written": (api.Compiled._finish, "in entry.written", "in ()", outside_buffers),
    # shared memory while recording
    "views do not see writes": (aliases.spread, "not touched[places].any()", "True", every_view),
    "the base does not see writes": (
        aliases._written,
        "source[places.reshape(-1)] =",
        "source[:0] =",
        every_view,
    ),
    "views of outputs of several": (aliases.View.places.fget, "parts[self.k]", "parts[0]", every_view),
    "a copy is a view": (
        aliases.link,
        "if not np.may_share_memory(child.places, parent.places):",
        "if False:",
        every_view,
    ),
    "writes are not differentiated": (
        aliases.spread,
        "followed and not m.view_of.cut",
        "False",
        view_gradients,
    ),
    "a detached write is differentiated": (
        aliases.spread,
        "state.grad and not view.cut",
        "state.grad",
        detached,
    ),
    "rules read what was written later": (
        trace.follow,
        "a.snapshot() if isinstance(a, TracedTensor) else a",
        "a",
        aliasing.test_a_rule_reads_what_an_argument_was,
    ),
    "unrecorded writes cut leaves off": (
        trace.TracedTensor.become,
        "if state.grad or self.node is None:",
        "if True:",
        aliasing.test_two_steps_of_training_in_one_call,
    ),
    # sums of samples
    "a constant counts too often": (
        native._four,
        "((n, np.float64(entry.constant)),)",
        "((n + 1, np.float64(entry.constant)),)",
        counted,
    ),
    "two values are exchanged": (
        native._four,
        "((k, one), (n - k, other))",
        "((k, other), (n - k, one))",
        counted,
    ),
    "magnitudes forget the centre": (native._four, "(first + n * centre)", "first", signed),
    "magnitudes forget the sign": (native._four, "entry.sign * (first", "(first", signed),
    "squares are not squared": (native._counted, "(off, off * off,", "(off, off,", counted),
    "invalid samples are valid": (native.Fused._sums, "sizes - wrong, wrong", "sizes, wrong", invalid),
    "the first invalid sample": (
        native.Fused._sums,
        "first[seen].astype(np.int64)",
        "first[seen].astype(np.int64) + 1",
        invalid,
    ),
    "streams of cells are one": (native.Fused._run, "p.stream(cell % p.sweep)", "0", fresh_sweep),
    "upstream vectors are one": (
        native.Fused._tables,
        "numbers % p.sweep * flat",
        "numbers * 0 * flat",
        common_sweep,
    ),
    "each values are one": (native.Fused._tables, "rows * array.strides[0]", "rows * 0", each_value),
    "rows begin anywhere": (
        native.Fused.rows,
        "(first_sample // 64 * 64,",
        "(first_sample // 64 * 64 + 64,",
        common_sweep,
    ),
    "centres are forgotten": (
        native.Fused.centre,
        "return c[0], c[1:]",
        "return 0 * c[0], 0 * c[1:]",
        common_sweep,
    ),
    "one sample too many": (
        native.Fused._run,
        "start, stop, block, place",
        "start, stop + 1, block, place",
        fused.test_masked_lanes_of_the_last_group_count_for_nothing,
    ),
    "the last block is full": (
        native.Fused.blocks,
        "last - (first_block + count - 1) * BLOCK",
        "BLOCK",
        counted,
    ),
    "computed values of the first samples": (
        native.Fused._computed,
        "d.slots, first, count",
        "d.slots, 0, count",
        by_inversion,
    ),
    "omitted samples are summed": (
        fused_programs.SumsProgram._entry,
        "off = b.select(valid,",
        "off = b.select(True,",
        invalid,
    ),
    "magnitudes of signed entries": (
        fused_programs.SumsProgram._entry,
        "1 if v.lo >= 0",
        "1 if v.lo >= -1e9",
        signed,
    ),
    "zero upstream entries": (
        fused_programs.SampleProgram._upstream,
        "(flat[:, i] == 0).all()",
        "(flat[:, i] == 0).any()",
        common_sweep,
    ),
    "blocks backwards": (
        sums.fold,
        "[total.table[at], new.table]",
        "[total.table[at], new.table[:, ::-1]]",
        order_of_blocks,
    ),
    "the last invalid sample": (sums.fold, "np.minimum(", "np.maximum(", averages),
    "deviations over n": (sums._moments, "np.where(n > 1, n - 1, np.nan)", "n", averages),
    "omitted samples are kept": (sums.sums_of, "if omit:", "if False:", averages),
    # random numbers
    "slot and stream are exchanged": (
        native_draws.fill,
        "slot & 0xFFFFFFFF, stream & 0xFFFFFFFF",
        "stream & 0xFFFFFFFF, slot & 0xFFFFFFFF",
        native_numbers,
    ),
    "half of the seed": (native_draws.fill, "seed &= (1 << 64) - 1", "seed &= (1 << 32) - 1", native_numbers),
    "a group too late": (
        native_draws.fill,
        "start = first // size",
        "start = first // size + 1",
        native_numbers,
    ),
    "the reference forgets the stream": (philox.words, "stream & 0xFFFFFFFF", "0", published),
    "the reference forgets half of the seed": (philox.words, "(seed >> 32) & 0xFFFFFFFF", "0", published),
    "the reference stops early": (philox.words, "range(ROUNDS)", "range(ROUNDS - 1)", published),
    "high and low": (philox.words, "q & _LOW, q >> half", "q >> half, q & _LOW", published),
}


def broken_code(function, old, new):
    """The function's code with `old` replaced by `new`."""
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source, f"{function.__qualname__} no longer contains: {old}"
    source = source[source.index("def ") :]  # decorators are applied already
    found = {}
    text = f"from __future__ import annotations\n{source.replace(old, new)}"
    exec(text, dict(function.__globals__), found)  # a namespace of its own
    return next(f for f in found.values() if isinstance(f, types.FunctionType)).__code__


def forget():
    """Kernels and draws that were made by a broken function, or before it broke."""
    native._known.clear()
    problem._few.cache_clear()


@pytest.fixture(autouse=True)
def clean():
    forget()
    yield
    forget()


def fails(check):
    try:
        check()
    except BaseException:  # noqa: BLE001 - whatever happens, it was noticed
        return True
    return False


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_noticed(name):
    function, old, new, check = MUTANTS[name]
    whole = function.__code__
    code = broken_code(function, old, new)
    assert (
        code.co_code != whole.co_code or code.co_consts != whole.co_consts or code.co_names != whole.co_names
    )
    function.__code__ = code
    try:
        noticed = fails(check)
    finally:
        function.__code__ = whole
    assert noticed, f"nothing noticed that {name}"


CHECKS = sorted({m[3] for m in MUTANTS.values()}, key=lambda f: f.__name__)


@pytest.mark.parametrize("check", CHECKS, ids=lambda f: f.__name__)
def test_checks_pass_where_nothing_is_broken(check):
    check()


def test_there_are_many():
    assert len(MUTANTS) >= 90


def test_a_line_that_is_gone_is_refused():
    with pytest.raises(AssertionError, match="no longer contains"):
        broken_code(prune.prune, "a line that was never there", "")
