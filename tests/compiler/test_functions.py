"""Elementary functions against mpmath: the bounds of `functions.ULP`; special values against NumPy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

from compiler import interpret
from compiler.hand import Hand
from pullback.compiler.functions import ELEMENTARY, ULP, tables
from pullback.compiler.jit import compile_program

TYPES = {"f4": np.float32, "f8": np.float64}
TWO = {"atan2", "pow", "hypot"}
ORACLE = {
    "exp_inside": mp.exp, "exp2": lambda x: mp.power(2, x), "log2": lambda x: mp.log(x) / mp.log(2),
    "pow": mp.power,
}  # fmt: skip
N = 90


def compiled(op, t, lanes):
    h = Hand(lanes=lanes)
    h.store(h.at(op, t, *[h.load(t) for _ in range(2 if op in TWO else 1)]))
    kernel = compile_program(h.program)

    def run(*xs):
        out = np.empty_like(xs[0])
        kernel.map([*xs, out], 0, out.size)
        return out

    return run


def ranges(op, t, r):
    """Arguments that cover what is easy and what is hard, as (low, high) or arrays."""
    top, bits = (127, 23) if t == "f4" else (1023, 52)
    big = 88.0 if t == "f4" else 709.0

    def even(low, high):
        return r.uniform(low, high, N)

    def spread(low, high):
        return np.exp2(r.uniform(low, high, N)) * r.choice([-1, 1], N)

    logs = [abs(spread(-top - 20, top)), even(0.5, 2), 1 + spread(-bits, -2)]
    turns = [even(-10, 10), even(-60000, 60000), spread(-30, 30), even(-9, 9).round() * np.pi]
    unit = [even(-1, 1), spread(-30, 0), 1 - abs(spread(-bits, -1))]
    return {
        "exp": [even(-big, big), even(-2, 2)],
        "exp_inside": [even(1 - big, big - 1), even(-2, 2), spread(-30, 0)],
        "exp2": [even(-top, top), even(-1, 1)],
        "expm1": [even(-40, big), even(-2, 2), spread(-bits - 5, 0)],
        "log": logs, "log2": logs, "log10": logs,
        "log1p": [even(-0.999, 2), spread(-bits - 3, -1),
                  abs(spread(-top, top)), -1 + abs(spread(-bits, -1))],
        "sin": turns, "cos": turns, "tan": turns, "asin": unit, "acos": [*unit, -unit[2]],
        "atan": [even(-5, 5), spread(-30, 60)], "sinh": [even(-big, big), even(-3, 3), spread(-30, 0)],
        "cosh": [even(-big, big), even(-3, 3)], "tanh": [even(-20, 20), even(-2, 2), spread(-30, 0)],
        "asinh": [spread(-30, 60), even(-3, 3)], "acosh": [1 + abs(spread(-bits, 60)), 1 + even(0, 3)],
        "atanh": unit,
        "erf": [even(-6, 6), even(-1.5, 1.5), spread(-30, 0)],
        "erfc": [even(-6, 9 if t == "f4" else 26), even(-2, 2)],
        "erfinv": [even(-1, 1), spread(-30, 0), 1 - abs(spread(-min(bits, 40), -1))],
        "atan2": [(spread(-20, 20), spread(-20, 20)), (even(-2, 2), even(-2, 2))],
        "pow": [(even(0, 3), even(-20, 20)), (1 + spread(2 - bits, -2), spread(0, bits - 4)),
                (-np.floor(even(1, 20)), np.floor(even(-9, 9)))],
        "hypot": [(spread(-20, 20), spread(-20, 20)), (spread(-top, top - 1), spread(-top, top - 1))],
    }[op]  # fmt: skip


def in_ulps(got, exact, t):
    """The error in units in the last place of the exact result; results beyond the range do not count."""
    bits, low, top = (24, -149, 128) if t == "f4" else (53, -1074, 1024)
    if exact == 0:
        return 0.0 if got == 0 else np.inf
    if abs(exact) >= mp.mpf(2) ** top:
        return 0.0
    unit = mp.mpf(2) ** max(mp.frexp(exact)[1] - bits, low)
    return float(abs(mp.mpf(float(got)) - exact) / unit)


@pytest.mark.parametrize("t", TYPES)
@pytest.mark.parametrize("op", sorted(ULP))
def test_error_in_ulps(op, t):
    r = np.random.default_rng(sorted(ULP).index(op))
    wide, narrow = compiled(op, t, 16 if t == "f4" else 8), compiled(op, t, 1)
    exact = ORACLE.get(op) or getattr(mp, op)
    bound = ULP[op][t == "f8"]
    with mp.workprec(140):
        for given in ranges(op, t, r):
            with np.errstate(all="ignore"):
                xs = [np.asarray(x, TYPES[t]) for x in (given if op in TWO else (given,))]
            got = wide(*xs)
            assert np.array_equal(got, narrow(*xs), equal_nan=True), "vectors and scalars differ"
            for i in range(N):
                if op == "erfinv" and abs(xs[0][i]) >= 1:
                    continue
                want = mp.re(exact(*[mp.mpf(float(x[i])) for x in xs]))
                error = in_ulps(got[i], want, t)
                assert error <= bound, f"{op}({[float(x[i]) for x in xs]}) = {got[i]} is {error:.2f} ulp off"


@pytest.mark.parametrize("t", TYPES)
@pytest.mark.parametrize("op", sorted(ELEMENTARY - {"exp_inside"}))  # it promises nothing outside its range
def test_special_values(op, t):
    f = np.finfo(TYPES[t])
    one_sided = [0.0, 1, 0.5, 2, 3, np.inf, f.tiny, f.smallest_subnormal, f.max, 1e-30, 1e30, f.eps,
                 1 + f.eps,
                 1 - f.eps / 2, 100, 700, 800, 20, 0.25, 1e5, 1e10]  # fmt: skip
    x = np.array([*one_sided, *(-v for v in one_sided), np.nan], TYPES[t])
    if op == "lgamma":  # SciPy gives inf for denormals, the C library their logarithm
        x = x[~(np.abs(x) == f.smallest_subnormal)]
    xs = [a.ravel().copy() for a in np.meshgrid(x, x)] if op in TWO else [x]
    with np.errstate(all="ignore"):
        want = interpret.FUNCTIONS[op](*[v.astype(np.float64) for v in xs] if op == "digamma" else xs)
        want = np.asarray(want).astype(TYPES[t])
        near = np.abs(got_minus(got := compiled(op, t, 16)(*xs), want)) <= 4 * np.spacing(np.abs(want))
    same = (got == want) | (np.isnan(got) & np.isnan(want)) | near
    assert same.all(), [(*(float(v[i]) for v in xs), got[i], want[i]) for i in np.flatnonzero(~same)][:5]
    signs = np.signbit(got) == np.signbit(want)
    if op != "erfinv":  # SciPy's erfinv(-0.0) is 0.0
        assert (signs | np.isnan(want)).all(), [
            (*(float(v[i]) for v in xs), got[i]) for i in np.flatnonzero(~signs)
        ]


def got_minus(got, want):
    return got.astype(np.float64) - want.astype(np.float64)


@pytest.mark.parametrize("name", ["EXP4", "LOG8", "SIN4", "ATAN4", "ERF4"])
def test_coefficients_can_be_made_again(name):
    spec = importlib.util.spec_from_file_location("coefficients", Path(__file__).with_name("coefficients.py"))
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    p, worst = made.table(name)
    assert np.allclose([float(c) for c in p], getattr(tables, name), rtol=1e-12, atol=0)
    assert worst < mp.mpf(2) ** -26
