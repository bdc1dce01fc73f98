"""Broken compilers and samplers: each wrong rule must fail a named check that passes without it.

A mutant rewrites one line of a function in place (its code object, so that every table that holds the
function holds the broken one); the line must exist, so a mutant cannot become a no-op unnoticed.
"""

from __future__ import annotations

import inspect
import textwrap
import types

import pytest

from compiler import mutant_checks as checks
from compiler import test_aliasing as aliasing
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
from pullback.compiler.build import Builder
from pullback.compiler.plan import Plan
from pullback.random import philox
from pullback.sampling import fused as fused_programs
from pullback.sampling import native, problem, sums
from sampling import test_fused as fused

# ---------------------------------------------------------------------- mutants: function, old, new, check

MUTANTS = {
    # folding
    "0 + y is 0": (build._add, "return y", "return x", checks.expressions),
    "x + -y is x + y": (
        build._add,
        'b.op("sub", x, y.args[0])',
        'b.op("add", x, y.args[0])',
        checks.expressions,
    ),
    "0 - y is y": (build._sub, 'b.op("neg", y)', "y", checks.expressions),
    "inf - inf is 0": (
        build._sub,
        "x is y and (x.finite or x.type not in FLOATS)",
        "x is y",
        checks.expressions,
    ),
    "x - -y is x - y": (
        build._sub,
        'b.op("add", x, y.args[0])',
        'b.op("sub", x, y.args[0])',
        checks.expressions,
    ),
    "inf * 0 is 0": (
        build._mul,
        "y.data == 0 and (x.finite or x.type not in FLOATS)",
        "y.data == 0",
        checks.expressions,
    ),
    "x * 1 is 1": (
        build._mul,
        "return x\n        if y.data == -1",
        "return y\n        if y.data == -1",
        checks.expressions,
    ),
    "x * -1 is x": (build._mul, 'b.op("neg", x)', "x", checks.constants),
    "-x * -y is -(xy)": (
        build._mul,
        'b.op("mul", x.args[0], y.args[0])',
        'b.op("mul", x, y.args[0])',
        checks.expressions,
    ),
    "x / 2 is 2 x": (build._div, 'b.op("mul", x, inverse)', 'b.op("mul", x, y.data)', checks.constants),
    "x / 3 is x * (1/3)": (build._div, "abs(mantissa) == 0.5", "abs(mantissa) > 0", checks.constants),
    "-(-x) is -x": (build._neg, "x.args[0] if", "x if", checks.expressions),
    "not not x is not x": (build._not, "x.args[0] if", "x if", checks.expressions),
    "x and True is False": (
        build._and,
        'x if y.data else b.const(False, "b1")',
        'b.const(False, "b1")',
        checks.constants,
    ),
    "x or False is True": (
        build._or,
        'b.const(True, "b1") if y.data else x',
        'b.const(True, "b1")',
        checks.constants,
    ),
    "a known choice is exchanged": (
        build._select,
        "return x if c.data else y",
        "return y if c.data else x",
        checks.constants,
    ),
    "a negated choice is not exchanged": (
        build._select,
        "c.args[0], y, x",
        "c.args[0], x, y",
        checks.choices,
    ),
    "a zero times anything is zero": (
        build.zero_when,
        "(q.finite and zero_when",
        "(zero_when",
        checks.strong_zeros,
    ),
    "zero over anything is zero": (build.zero_when, "_nonzero(y.args[1]) and", "", checks.strong_zeros),
    "True or y": (build._choice, 'b.op("or", c, y) if x.data', 'b.op("and", c, y) if x.data', checks.choices),
    "every exponential is normal": (
        build.inside_exp,
        "not x.nan and low <= x.lo and x.hi <= high",
        "True",
        checks.exponentials,
    ),
    "arrays are mixed up": (
        Builder.emit,
        "(op, type, data, *[a.number for a in args])",
        "(op, type, *[a.number for a in args])",
        checks.captured_arrays,
    ),
    "arguments are mixed up": (Builder.emit, "*[a.number for a in args]", "len(args)", checks.expressions),
    "normal draws end at 1": (
        Builder.draw,
        'wide = 6.8 if self.program.draws == "f4" else 8.7',
        "wide = 1.0",
        checks.rare_event,
    ),
    "slots are mixed up": (Builder.draw, "(kind, slot))", "(kind, 0))", checks.two_arguments),
    "kinds of draws are mixed up": (
        Builder.draw,
        "(kind, slot))",
        '("uniform", slot))',
        checks.two_arguments,
    ),
    # bounds
    "a sum's upper end": (bounds._add, "x.hi + y.hi if", "x.hi + y.lo if", checks.intervals),
    "a sum of infinities": (bounds._add, "x.nan or y.nan or clash", "x.nan or y.nan", checks.intervals),
    "a difference's ends": (bounds._sub, "x.lo - y.hi if", "x.lo - y.lo if", checks.intervals),
    "a product is never negative": (bounds._mul, "0.0 if x is y else min(ends)", "0.0", checks.intervals),
    "0 times infinity": (bounds._mul, "(any(wide) and x is not y)", "False", checks.intervals),
    "a quotient's ends": (bounds._div, "y.lo <= 0 <= y.hi or y.nan or not", "y.nan or not", checks.intervals),
    "a magnitude's ends": (bounds._abs, "max(abs(x.lo), abs(x.hi))", "abs(x.hi)", checks.intervals),
    "a choice's ends": (bounds._select, "max(x.hi, y.hi)", "x.hi", checks.expressions),
    "a sine is positive": (bounds._round_wave, "-1.0, 1.0", "0.0, 1.0", checks.intervals),
    "a sine of infinity": (bounds._round_wave, "not x.finite", "x.nan", checks.intervals),
    # dead code, order, plans
    "loops lose what they carry": (prune.prune, "loop.nexts[k], ", "", checks.loops),
    "what is ready is not": (
        schedule.ordered,
        "if not missing[id(user)]:",
        "if missing[id(user)] <= 1:",
        checks.long_bodies,
    ),
    "a size of 1 is stepped through": (
        plan.broadcast_strides,
        "size if shape[-i] != 1 else 0",
        "size",
        checks.broadcasting,
    ),
    "all dimensions are one": (plan.collapsed, "s[-1] == mine[i] * n", "True", checks.broadcasting),
    "all slices are the first": (
        plan.NativeStep.__init__,
        "k * rows * a.outer[0]",
        "0 * rows",
        checks.slices,
    ),
    "the last lanes are left out": (
        plan.run_lanes,
        "range(0, extent, step)",
        "range(0, extent - step, step)",
        checks.long_rows,
    ),
    "a group does not wait": (plan.grouped, "born.get(v, -1) >= group.start", "False", checks.waiting_groups),
    "results share memory": (
        Plan.__post_init__,
        "v not in made or v in outputs[:i]",
        "False",
        checks.own_results,
    ),
    "the mapped dimension is the first": (
        plan.Mapped.run,
        "np.moveaxis(x, d, 0)",
        "x",
        checks.later_dimensions,
    ),
    "masks are exchanged": (
        passes._where,
        "(x,) if mask.all()",
        "(y,) if mask.all()",
        checks.equal_looking_constants,
    ),
    "x - 1 is x": (passes._sub, "work.all_are(y, 0.0)", "work.all_are(y, 1)", checks.equal_looking_constants),
    # reductions of cells
    "the order of kept dimensions": (
        cells_ufuncs.reduce_lines,
        "[*kept, *axes]",
        "[*axes, *kept]",
        checks.reductions,
    ),
    # what a recording depends on
    "outside shapes do not matter": (
        api.Entry.fits,
        "kind_of(c) == k",
        "True",
        checks.an_outside_tensor_that_grows,
    ),
    "outside tensors are constants": (
        api._private,
        "if sys.getrefcount(t) > ours + held:",
        "if False:",
        checks.outside_tensors_are_read_anew,
    ),
    "memory is never shared": (
        api.Entry.overlaps,
        "if not self.written:",
        "if True:",
        checks.shared_arguments,
    ),
    "outside memory is never shared": (
        api.Entry.overlaps,
        "[*self.captured, *self.written]",
        "[]",
        checks.an_outside_view,
    ),
    "names stay": (guards.unchanged, "return False", "continue", checks.names),
    "gradient modes are one": (api.Compiled.entry, "state.grad, ", "", checks.modes),
    "default dtypes are one": (api.Compiled.entry, "get_default_dtype(), ", "", checks.modes),
    "zeros are one": (
        api._static,
        "repr(x) if isinstance(x, float | complex) else x",
        "x",
        checks.constants_apart,
    ),
    "a .grad begins at zero": (api.GradOf.value.fget, "if g is None", "if True", checks.accumulated),
    "results are never arguments": (
        api.Recording._place,
        "if x is found[i]",
        "if False",
        checks.returned_arguments,
    ),
    "buffers made inside stay": (api.record, "not _private(t, 2)", "True", checks.fresh_buffer),
    "outside buffers are not written": (
        api.Compiled._finish,
        "in entry.written",
        "in ()",
        checks.outside_buffers,
    ),
    # shared memory while recording
    "views do not see writes": (aliases.spread, "not touched[places].any()", "True", checks.every_view),
    "the base does not see writes": (
        aliases._written,
        "source[places.reshape(-1)] =",
        "source[:0] =",
        checks.every_view,
    ),
    "views of outputs of several": (aliases.View.places.fget, "parts[self.k]", "parts[0]", checks.every_view),
    "a copy is a view": (
        aliases.link,
        "if not np.may_share_memory(child.places, parent.places):",
        "if False:",
        checks.every_view,
    ),
    "writes are not differentiated": (
        aliases.spread,
        "followed and not m.view_of.cut",
        "False",
        checks.view_gradients,
    ),
    "a detached write is differentiated": (
        aliases.spread,
        "state.grad and not view.cut",
        "state.grad",
        checks.detached,
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
        checks.counted,
    ),
    "two values are exchanged": (
        native._four,
        "((k, one), (n - k, other))",
        "((k, other), (n - k, one))",
        checks.counted,
    ),
    "magnitudes forget the centre": (native._four, "(first + n * centre)", "first", checks.signed),
    "magnitudes forget the sign": (native._four, "entry.sign * (first", "(first", checks.signed),
    "squares are not squared": (native._counted, "(off, off * off,", "(off, off,", checks.counted),
    "invalid samples are valid": (native.Fused._sums, "sizes - wrong, wrong", "sizes, wrong", checks.invalid),
    "the first invalid sample": (
        native.Fused._sums,
        "first[seen].astype(np.int64)",
        "first[seen].astype(np.int64) + 1",
        checks.invalid,
    ),
    "streams of cells are one": (native.Fused._run, "p.stream(cell % p.sweep)", "0", checks.fresh_sweep),
    "upstream vectors are one": (
        native.Fused._tables,
        "numbers % p.sweep * flat",
        "numbers * 0 * flat",
        checks.common_sweep,
    ),
    "each values are one": (native.Fused._tables, "rows * array.strides[0]", "rows * 0", checks.each_value),
    "rows begin anywhere": (
        native.Fused.rows,
        "(first_sample // 64 * 64,",
        "(first_sample // 64 * 64 + 64,",
        checks.common_sweep,
    ),
    "centres are forgotten": (
        native.Fused.centre,
        "return c[0], c[1:]",
        "return 0 * c[0], 0 * c[1:]",
        checks.common_sweep,
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
        checks.counted,
    ),
    "computed values of the first samples": (
        native.Fused._computed,
        "d.slots, first, count",
        "d.slots, 0, count",
        checks.by_inversion,
    ),
    "omitted samples are summed": (
        fused_programs.SumsProgram._entry,
        "off = b.select(valid,",
        "off = b.select(True,",
        checks.invalid,
    ),
    "magnitudes of signed entries": (
        fused_programs.SumsProgram._entry,
        "1 if v.lo >= 0",
        "1 if v.lo >= -1e9",
        checks.signed,
    ),
    "zero upstream entries": (
        fused_programs.SampleProgram._upstream,
        "(flat[:, i] == 0).all()",
        "(flat[:, i] == 0).any()",
        checks.common_sweep,
    ),
    "blocks backwards": (
        sums.fold,
        "[total.table[at], new.table]",
        "[total.table[at], new.table[:, ::-1]]",
        checks.order_of_blocks,
    ),
    "the last invalid sample": (sums.fold, "np.minimum(", "np.maximum(", checks.averages),
    "deviations over n": (sums._moments, "np.where(n > 1, n - 1, np.nan)", "n", checks.averages),
    "omitted samples are kept": (sums.sums_of, "if omit:", "if False:", checks.averages),
    # random numbers
    "slot and stream are exchanged": (
        native_draws.fill,
        "slot & 0xFFFFFFFF, stream & 0xFFFFFFFF",
        "stream & 0xFFFFFFFF, slot & 0xFFFFFFFF",
        checks.native_numbers,
    ),
    "half of the seed": (
        native_draws.fill,
        "seed &= (1 << 64) - 1",
        "seed &= (1 << 32) - 1",
        checks.native_numbers,
    ),
    "a group too late": (
        native_draws.fill,
        "start = first // size",
        "start = first // size + 1",
        checks.native_numbers,
    ),
    "the reference forgets the stream": (philox.words, "stream & 0xFFFFFFFF", "0", checks.published),
    "the reference forgets half of the seed": (
        philox.words,
        "(seed >> 32) & 0xFFFFFFFF",
        "0",
        checks.published,
    ),
    "the reference stops early": (philox.words, "range(ROUNDS)", "range(ROUNDS - 1)", checks.published),
    "high and low": (philox.words, "q & _LOW, q >> half", "q >> half, q & _LOW", checks.published),
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
