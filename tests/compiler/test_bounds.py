"""Bounds hold: no value of a random program leaves its stated interval, and NaN comes only where it may."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.expressions import INPUTS, NUMBERS, computed, float_step, whole_step, written
from pullback.compiler.build import Array, Builder
from pullback.compiler.program import Program

RANGES = [None, None, (0.0, 1.0), (-2.0, 3.0), (0.5, 8.0), (-1.0, -0.25), (1e-30, 1.0)]
LANES = 16


def inside(b, values, type, inputs):
    """Every value lies in its interval."""
    with np.errstate(all="ignore"):
        found = computed(b, values, type, inputs)
    for v, got in zip(values, found, strict=True):
        if v.op == "const":
            continue
        wide = got.astype(np.float64)
        assert v.nan or not np.isnan(wide).any(), (v.op, v.lo, v.hi, wide)
        known = wide[~np.isnan(wide)]
        assert (known >= v.lo).all(), (v.op, [(a.op, a.lo, a.hi) for a in v.args], v.lo, v.hi, known)
        assert (known <= v.hi).all(), (v.op, [(a.op, a.lo, a.hi) for a in v.args], v.lo, v.hi, known)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(float_step, max_size=12),
    st.lists(st.sampled_from(RANGES), min_size=INPUTS, max_size=INPUTS),
    st.lists(st.tuples(st.sampled_from(NUMBERS), st.floats(0, 1)), min_size=INPUTS * LANES,
             max_size=INPUTS * LANES),
    st.sampled_from(["f8", "f4"]),
)  # fmt: skip
def test_floats(steps, ranges, draws, type):
    columns = np.array(draws).reshape(INPUTS, LANES, 2)
    rows = [free if r is None else np.clip(r[0] + (r[1] - r[0]) * share, *r)
            for r, free, share in zip(ranges, columns[..., 0], columns[..., 1], strict=True)]  # fmt: skip
    with np.errstate(all="ignore"):
        inputs = np.array(rows).astype(type)
        b, numbers, truths = written(Builder, steps, type, ranges)
    inside(b, [*numbers, *truths], type, inputs)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(whole_step, max_size=12),
    st.lists(st.sampled_from([None, (0, 3), (-2, 5), (1, 7), (-9, -3)]), min_size=INPUTS, max_size=INPUTS),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=INPUTS * LANES, max_size=INPUTS * LANES),
    st.sampled_from(["i8", "i4"]),
)
def test_integers(steps, ranges, draws, type):
    columns = np.array(draws).reshape(INPUTS, LANES)
    rows = [free if r is None else r[0] + free % (r[1] - r[0] + 1)
            for r, free in zip(ranges, columns, strict=True)]  # fmt: skip
    b, numbers, truths = written(Builder, steps, type, ranges)
    inside(b, [*numbers, *truths], type, np.array(rows).astype(type))


# ---------------------------------------------------------------------- cases that were wrong once


def load(type, lo, hi):
    b = Builder(Program())
    return b, b.load(b.array(Array(type)), 0, (lo, hi))


def test_a_quotient_of_integers_is_cut():
    b, x = load("i8", 1, 1)
    q = b.op("div", x, b.load(b.array(Array("i8")), 0, (2, 3)))
    assert q.lo <= 0 <= q.hi


def test_a_float_is_cut_towards_zero():
    b, x = load("f8", 0.5, 0.75)
    i = b.cast(x, "i8")
    assert i.lo <= 0 <= i.hi
    b, x = load("f8", -np.inf, np.inf)
    x.nan = True
    assert b.cast(x, "i8").lo == -np.inf  # NaN becomes any number


def test_a_choice_may_fall_below_what_it_replaces():
    b, y = load("f8", 1.0, 10.0)
    v = b.select(b.op("le", y, 5.0), -3.0, y)
    assert v.lo <= -3.0


@pytest.mark.parametrize("type", ["f4", "f8"])
def test_underflow_reaches_zero(type):
    b, x = load(type, 1e-30, 1.0)
    for _ in range(4):
        x = b.op("mul", x, b.load(b.array(Array(type)), 0, (1e-100 if type == "f8" else 1e-30, 1.0)))
    assert x.lo <= 0


def test_relu_is_never_negative():
    b = Builder(Program())
    x = b.load(b.array(Array("f8")), 0)
    assert b.select(b.op("le", x, 0), 0.0, x).lo == 0.0
