"""Kernels against the interpreter: every op and type, loops, masks, strides, tails, sums and draws."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest

from compiler import interpret
from compiler.hand import SIZES, Hand
from pullback.compiler import machine
from pullback.compiler.jit import compile_program
from pullback.compiler.llvm import kernel as kernels
from pullback.random import philox

INTEGERS = ("i1", "i2", "i4", "i8", "u1")
FLOATS = ("f4", "f8")


def numbers(t, n, r):
    if t in FLOATS:
        return (r.standard_normal(n) * 3).astype(SIZES[t])
    if t == "b1":
        return r.random(n) < 0.5
    info = np.iinfo(SIZES[t])
    x = r.integers(info.min, info.max, n, endpoint=True).astype(SIZES[t])
    x[r.random(n) < 0.3] = 0
    return np.where(r.random(n) < 0.3, r.integers(0, 4, n).astype(SIZES[t]), x)


def agrees(hand, arrays, n):
    """Run a program natively and by the interpreter; compare the arrays to the bit."""
    native, judged = [a.copy() for a in arrays], [a.copy() for a in arrays]
    compile_program(hand.program).map(native, 0, n)
    interpret.run(hand.program, judged, n)
    for a, b in zip(native, judged, strict=True):
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), (hand.program, a, b)


BINARY = {
    **dict.fromkeys(("add", "sub", "mul"), (*INTEGERS, *FLOATS)), "div": (*INTEGERS, *FLOATS), "rem": FLOATS,
    "copysign": FLOATS, **dict.fromkeys(("and", "or", "xor"), (*INTEGERS, "b1")),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), (*INTEGERS, *FLOATS)),
}  # fmt: skip
UNARY = {"neg": ("i1", "i2", "i4", "i8", *FLOATS), "abs": ("i2", "i4", "i8", *FLOATS),
         "not": (*INTEGERS, "b1"),
         **dict.fromkeys(("sqrt", "floor", "ceil", "trunc", "rint"), FLOATS)}  # fmt: skip


@pytest.mark.parametrize("lanes", [1, 8, 16])
@pytest.mark.parametrize(("op", "t"), [(op, t) for op, types in {**BINARY, **UNARY}.items() for t in types])
def test_ops(op, t, lanes):
    r = np.random.default_rng(5)
    n = 53
    h = Hand(lanes=lanes)
    count = 2 if op in BINARY else 1
    result = "b1" if op in {"eq", "ne", "lt", "le", "gt", "ge"} else t
    h.store(h.at(op, result, *[h.load(t) for _ in range(count)]))
    xs = [numbers(t, n, r) for _ in range(count)]
    if t in FLOATS:
        xs[0][:6] = [0, -0.0, np.inf, -np.inf, np.nan, 2.5]
    if op == "div" and t in INTEGERS:
        xs[1][xs[1] == 0] = 1
    agrees(h, [*xs, np.zeros(n, SIZES[result])], n)


@pytest.mark.parametrize("t", INTEGERS)
@pytest.mark.parametrize("op", ["div", "rem"])
def test_integer_division_never_traps(op, t):
    low = np.iinfo(SIZES[t]).min
    for lanes in (1, 8):
        h = Hand(lanes=lanes)
        h.store(h.at(op, t, h.load(t), h.load(t)))
        x = np.array([5, low, low, 7, low, 0, 9, 1, 3], SIZES[t])
        y = np.array([0, 0, -1 if low else 0, 2, 1, 0, 4, 0, 0], np.int64).astype(SIZES[t])
        out = np.full(9, 77, SIZES[t])
        compile_program(h.program).map([x, y, out], 0, 9)
        want = [
            0,
            0,
            (low if op == "div" else 0) if low else 0,
            3 if op == "div" else 1,
            low if op == "div" else 0,
        ]
        assert out.tolist()[:5] == want


@pytest.mark.parametrize("op", ["shl", "shr"])
@pytest.mark.parametrize("t", INTEGERS)
def test_shifts_beyond_the_width(op, t):
    r = np.random.default_rng(2)
    x = numbers(t, 40, r)
    width = 8 * np.dtype(SIZES[t]).itemsize
    y = np.array([0, 1, width - 1, width, width + 3, 100] * 7)[:40].astype(SIZES[t])
    h = Hand(lanes=8)
    h.store(h.at(op, t, h.load(t), h.load(t)))
    out = np.zeros(40, SIZES[t])
    compile_program(h.program).map([x, y, out], 0, 40)
    inside = np.minimum(y, width - 1)
    want = np.where(y < width, x << inside, 0) if op == "shl" else x >> inside
    assert (out == want.astype(SIZES[t])).all()


@pytest.mark.parametrize("source", [*INTEGERS, *FLOATS, "b1"])
@pytest.mark.parametrize("target", [*INTEGERS, *FLOATS, "b1"])
def test_casts(source, target):
    r = np.random.default_rng(3)
    x = numbers(source, 37, r)
    if source in FLOATS and target == "u1":
        x = np.abs(x)
    for lanes in (1, 16):
        h = Hand(lanes=lanes)
        h.store(h.at("cast", target, h.load(source)))
        agrees(h, [x, np.zeros(37, SIZES[target])], 37)


@pytest.mark.parametrize("lanes", [1, 8])
def test_fma_rounds_once(lanes):
    h = Hand(lanes=lanes)
    h.store(h.at("fma", "f8", *[h.load("f8") for _ in range(3)]))
    x = np.array([1 + 2.0**-52])
    out = np.zeros(1)
    compile_program(h.program).map([x, x, -x * x, out], 0, 1)
    assert out[0] == 2.0**-104


@pytest.mark.parametrize("t", ["f4", "f8", "i2", "b1"])
@pytest.mark.parametrize("lanes", [1, 8, 16])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 15, 16, 33])
def test_nothing_outside_is_touched(t, lanes, n):
    h = Hand(lanes=lanes)
    h.store(h.at("not", t, h.load(t)) if t == "b1" else h.at("neg", t, h.load(t)))
    x = numbers(t, 64, np.random.default_rng(n))
    for begin in (0, 3):
        out = numbers(t, 64, np.random.default_rng(99))
        before = out.copy()
        compile_program(h.program).map([x, out], begin, begin + n)
        want = before.copy()
        inside = x[begin : begin + n]
        want[begin : begin + n] = ~inside if t == "b1" else -inside
        assert (out == want).all()


@pytest.mark.parametrize("lanes", [1, 8, 16])
def test_outer_loops_and_strides(lanes):
    h = Hand(lanes=lanes, outer=(3, 2))
    x = h.load("f8", 1, (40, 20), offset=1)
    y = h.load("f8", 0, (1, 0))
    z = h.load("f8", 3, (0, 60), offset=2)
    h.store(h.at("add", "f8", h.at("mul", "f8", x, y), z), 2, (80, 40))
    r = np.random.default_rng(0)
    arrays = [r.random(121), r.random(3), r.random(123), np.zeros(240)]
    agrees(h, arrays, 19)


@pytest.mark.parametrize("lanes", [1, 8])
def test_gathers(lanes):
    h = Hand(lanes=lanes)
    place = h.load("i8")
    k = h.array("f4", 0)
    x = h.at("load", "f4", place, data=k)
    h.store(x)
    r = np.random.default_rng(0)
    agrees(h, [r.integers(0, 50, 29), r.random(50).astype(np.float32), np.zeros(29, np.float32)], 29)


@pytest.mark.parametrize("lanes", [1, 8, 16])
def test_scatter_by_lane_index(lanes):
    h = Hand(lanes=lanes)
    k = h.array("f4", 0, (), written=True)
    back = h.at("sub", "i8", h.const(40, "i8"), h.at("lane", "i8"))
    h.at("store", "", back, h.load("f4"), data=k)
    x, out = np.arange(41, dtype=np.float32), np.zeros(41, np.float32)
    compile_program(h.program).map([out, x], 3, 41)
    assert (out[:38] == x[:2:-1]).all()
    assert not out[38:].any()


def powers(h, lanes):
    """sum_{k < 5} x^k with scratch memory in between."""
    x = h.load("f8")
    h.program.scratch.append(("f8", 5))

    def fill(k, carried):
        h.at("poke", "", k, carried[0], data=0)
        return [h.at("mul", "f8", carried[0], x)]

    h.loop(5, [h.const(1.0, "f8")], fill)
    total = h.loop(
        5,
        [h.const(0.0, "f8"), h.const(False, "b1")],
        lambda k, c: [
            h.at("add", "f8", c[0], h.at("peek", "f8", k, data=0)),
            h.at("or", "b1", c[1], h.at("gt", "b1", c[0], x)),
        ],
    )
    h.store(total[0])
    h.store(total[1])


@pytest.mark.parametrize("lanes", [1, 8, 16])
def test_counted_loops_and_scratch(lanes):
    h = Hand(lanes=lanes)
    powers(h, lanes)
    agrees(h, [np.random.default_rng(0).random(21), np.zeros(21), np.zeros(21, bool)], 21)


@pytest.mark.parametrize("lanes", [1, 8, 16])
def test_loop_without_rounds(lanes):
    h = Hand(lanes=lanes)
    x = h.load("f4")
    h.store(h.loop(0, [x], lambda k, c: [h.at("neg", "f4", c[0])])[0])
    agrees(h, [np.arange(20, dtype=np.float32), np.zeros(20, np.float32)], 20)


@pytest.mark.parametrize("lanes", [1, 8, 16])
def test_while_ends_lane_by_lane(lanes):
    """Steps of Collatz until 1: each lane its own number of rounds; stores inside stop with it."""
    h = Hand(lanes=lanes)
    h.program.scratch.append(("i8", 1))
    start = h.load("i8")
    zero, one = h.const(0, "i8"), h.const(1, "i8")
    trace = h.array("i8", 1, (), written=True)
    h.at("poke", "", zero, zero, data=0)

    def step(k, c):
        n, count = c
        odd = h.at("ne", "b1", h.at("and", "i8", n, one), zero)
        up = h.at("add", "i8", h.at("mul", "i8", n, h.const(3, "i8")), one)
        following = h.at("select", "i8", odd, up, h.at("div", "i8", n, h.const(2, "i8")))
        h.at("store", "", zero, following, data=trace)
        h.at("poke", "", zero, k, data=0)
        return [following, h.at("add", "i8", count, one)]

    done = h.loop(None, [start, zero], step, lambda c: h.at("ne", "b1", c[0], one))
    h.store(done[1])
    h.store(h.at("peek", "i8", zero, data=0))
    n = 43
    starts = np.arange(1, n + 1)
    agrees(h, [starts, np.zeros(n, int), np.zeros(n, int), np.zeros(n, int)], n)


@pytest.mark.parametrize("lanes", [1, 8])
def test_uniform_while(lanes):
    h = Hand(lanes=lanes)
    limit = h.load("f8", 0)
    x = h.load("f8")

    def body(k, c):
        return [h.at("mul", "f8", c[0], h.const(2.0, "f8")), h.at("add", "f8", c[1], x)]

    done = h.loop(None, [h.const(1.0, "f8"), x], body, lambda c: h.at("lt", "b1", c[0], limit))
    h.store(done[1])
    h.store(done[0])
    agrees(h, [np.array([100.0]), np.random.default_rng(0).random(11), np.zeros(11), np.zeros(11)], 11)


@pytest.mark.parametrize("lanes", [1, 8])
def test_long_programs_are_cut_and_agree(lanes, monkeypatch):
    r = np.random.default_rng(7)
    h = Hand(lanes=lanes)
    pool = [h.load("f8") for _ in range(6)]
    for _ in range(700):
        op = ("add", "sub", "mul")[r.integers(3)]
        a, b = (pool[i] for i in r.integers(len(pool), size=2))
        v = h.at(op, "f8", a, b)
        pool.append(h.at("mul", "f8", v, h.const(0.4, "f8")))
        pool = pool[-40:]
    for v in pool[-5:]:
        h.store(v)
    h.program.scratch.append(("f8", 3000))  # more than the stack should hold
    h.at("poke", "", h.const(7, "i8"), pool[-1], data=0)
    h.store(h.at("peek", "f8", h.const(7, "i8"), data=0))
    arrays = [r.random(17) for _ in range(6)] + [np.zeros(17) for _ in range(6)]
    plain = [a.copy() for a in arrays]
    compile_program(h.program).map(plain, 0, 17)
    for large, huge in ((100, 10**9), (100, 200)):
        monkeypatch.setattr(kernels, "LARGE", large)
        monkeypatch.setattr(kernels, "HUGE", huge)
        text = kernels.kernel_text(h.program)
        assert "@always" in text
        address, keep = machine.load(machine.build(text, kernels.size_of(h.program)))
        cut = [a.copy() for a in arrays]
        call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)
        table = np.array([a.ctypes.data for a in cut], np.uint64)
        call(table.ctypes.data, 0, 17)
        assert all(np.array_equal(a, b) for a, b in zip(cut, plain, strict=True)), keep
    agrees(h, arrays, 17)


# ------------------------------------------------------------------------------------------------ samples


def sampled(t, lanes, slots=2):
    """Two draws; sums of their product, of a loaded array times one, a count and a first."""
    h = Hand("samples", lanes, draws=t)
    a, b = h.at("draw", t, data=("normal", 3)), h.at("draw", t, data=("uniform", 0))
    x = h.load(t)
    h.sum("sum", h.at("mul", t, a, b))
    h.sum("sum", h.at("mul", t, a, x))
    h.sum("count", h.at("gt", "b1", a, b))
    h.sum("first", h.at("gt", "b1", b, h.const(0.98, t)))
    h.sum("first", h.at("gt", "b1", b, h.const(2.0, t)))
    h.sum("sum", h.at("cast", "f8", h.at("lane", "i8")))
    h.store(a)
    return h


@pytest.mark.parametrize(("t", "lanes"), [("f4", 16), ("f8", 8)])
@pytest.mark.parametrize(
    ("first", "last", "block"), [(0, 1, 64), (0, 1000, 128), (256, 1111, 256), (128, 640, 64)]
)
def test_samples(t, lanes, first, last, block):
    n = 1152
    x = np.random.default_rng(1).random(n).astype(SIZES[t])
    out = np.zeros(n, SIZES[t])
    seed, stream = 2**64 - 5, 6
    rows = compile_program(sampled(t, lanes).program).samples([x, out], first, last, block, seed, stream)
    a = philox.fill("normal", SIZES[t], seed, stream, 3, 0, n)
    b = philox.fill("uniform", SIZES[t], seed, stream, 0, 0, n)
    inside = slice(first, last)
    assert np.allclose(out[inside], a[inside], rtol=1e-6 if t == "f4" else 1e-14)
    a = out  # the kernel's own: sums are compared, not draws
    assert rows.shape == (-(-(last - first) // block), 6)
    tolerance = {"rtol": 1e-5 if t == "f4" else 1e-13, "atol": 1e-4 if t == "f4" else 1e-12}
    for i, row in enumerate(rows):
        part = slice(first + i * block, min(first + (i + 1) * block, last))
        p, q, y = a[part].astype(float), b[part].astype(float), x[part].astype(float)
        assert np.allclose(row[:2], [(p * q).sum(), (p * y).sum()], **tolerance)
        assert row[2] == (a[part] > b[part]).sum()
        found = np.flatnonzero(b[part] > SIZES[t](0.98))
        assert row[3] == (found[0] + part.start if found.size else np.inf)
        assert row[4] == np.inf
        assert row[5] == np.arange(part.start, part.stop).sum()


@pytest.mark.parametrize(("t", "lanes"), [("f4", 16), ("f8", 8)])
def test_rows_do_not_depend_on_how_they_are_asked_for(t, lanes):
    x = np.random.default_rng(1).random(4096).astype(SIZES[t])
    kernel = compile_program(sampled(t, lanes).program)
    out = np.zeros(4096, SIZES[t])
    whole = kernel.samples([x, out], 0, 4000, 512, 3, 0)
    for cut in (512, 1536):
        parts = [kernel.samples([x, out], lo, hi, 512, 3, 0) for lo, hi in ((0, cut), (cut, 4000))]
        assert (np.concatenate(parts) == whole).all()


def test_many_slots_and_more_memory_than_the_stack_should_hold():
    h = Hand("samples", 16, draws="f4")
    h.program.scratch += [("f4", 700), ("f8", 700)]
    total = h.at("draw", "f4", data=("normal", 0))
    for slot in range(1, 300):
        total = h.at("add", "f4", total, h.at("draw", "f4", data=("normal", 2 * slot)))
    h.at("poke", "", h.const(699, "i8"), total, data=0)
    h.at("poke", "", h.const(0, "i8"), h.at("cast", "f8", total), data=1)
    h.sum("sum", h.at("peek", "f4", h.const(699, "i8"), data=0))
    h.sum("sum", h.at("peek", "f8", h.const(0, "i8"), data=1))
    assert "@malloc" in kernels.kernel_text(h.program)
    rows = compile_program(h.program).samples([], 0, 200, 64, 3, 0)
    z = sum(philox.fill("normal", "float32", 3, 0, 2 * s, 0, 200) for s in range(300)).astype(float)
    want = [z[i : i + 64].sum() for i in range(0, 200, 64)]
    assert np.allclose(rows[:, 0], want, rtol=1e-4, atol=1e-2)
    assert np.allclose(rows[:, 1], want, rtol=1e-4, atol=1e-2)


def test_threads_share_a_kernel():
    kernel = compile_program(sampled("f4", 16).program)
    x = np.ones(8192, np.float32)
    want = kernel.samples([x, np.zeros_like(x)], 0, 8192, 1024, 1, 0)
    got = {}

    def run(k):
        got[k] = kernel.samples([x, np.zeros_like(x)], 0, 8192, 1024, 1, 0)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((got[k] == want).all() for k in range(7))


def test_while_in_samples_counts_each_lane_once():
    h = Hand("samples", 16, draws="f4")
    u = h.at("draw", "f4", data=("uniform", 0))
    one = h.const(1.0, "f4")

    def step(k, c):
        h.at("sum", "", one, data=0)
        return [h.at("mul", "f4", c[0], h.const(2.0, "f4"))]

    h.program.accumulators.append("sum")
    done = h.loop(None, [u], step, lambda c: h.at("lt", "b1", c[0], one))
    h.sum("sum", done[0])
    rows = compile_program(h.program).samples([], 0, 1000, 1024, 5, 0)
    x = philox.fill("uniform", "float32", 5, 0, 0, 0, 1000)
    rounds = np.ceil(-np.log2(x.astype(float)))
    assert rows[0, 0] == rounds.sum()
    assert np.isclose(rows[0, 1], (x * 2.0**rounds).sum(), rtol=1e-6)


def test_masked_and_whole_groups_give_the_same_sums(monkeypatch):
    program = sampled("f4", 16).program
    x = np.random.default_rng(1).random(1024).astype(np.float32)
    want = compile_program(program).samples([x, np.zeros_like(x)], 0, 1000, 256, 9, 0)
    monkeypatch.setattr(kernels, "LARGE", 3)  # one body, always masked, in blocks
    address, keep = machine.load(machine.build(kernels.kernel_text(program), "large"))
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 7)(address)
    out, rows = np.zeros_like(x), np.zeros((4, 6))
    table = np.array([x.ctypes.data, out.ctypes.data], np.uint64)
    call(table.ctypes.data, 0, 1000, 256, rows.ctypes.data, 9, 0)
    assert (rows == want).all(), keep


def test_texts_for_people():
    kernel = compile_program(sampled("f4", 16).program)
    assert "define void @kernel(" in kernel.llvm
    assert "kernel:" in kernel.assembly
    assert kernel.origin in {"compiled", "disk"}
