"""Folding changes no value: random programs with and without the rules, infinities and NaN included.

The one liberty is the sign of a zero. Copysign reads it and division turns it into the sign of an infinity,
so the random programs of floats do without these two.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.expressions import INPUTS, NUMBERS, Plain, computed, float_step, whole_step, written
from pullback.compiler.build import Array, Builder, TooLarge
from pullback.compiler.program import Program

SPECIAL = [x for x in NUMBERS if abs(x) != 1e-300]
LANES = 16


def lanes_of(numbers):
    """Many lanes of inputs made of a few numbers."""
    return st.lists(st.sampled_from(numbers), min_size=INPUTS * LANES, max_size=INPUTS * LANES)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(float_step.filter(lambda s: s[0] not in {"copysign", "div"}), max_size=12),
    lanes_of(SPECIAL),
    st.sampled_from(["f8", "f4"]),
)
def test_folded_floats(steps, numbers, type):
    check(steps, np.array(numbers).reshape(INPUTS, -1), type)


@settings(max_examples=100, deadline=None)
@given(st.lists(whole_step, max_size=12), lanes_of([0, 1, -1, 2, 3, -4, 7]), st.sampled_from(["i8", "i4"]))
def test_folded_integers(steps, numbers, type):
    check(steps, np.array(numbers).reshape(INPUTS, -1), type)


def check(steps, inputs, type):
    """Both builders give the same, NaN where NaN is; -0 counts as 0."""
    with np.errstate(all="ignore"):
        inputs = inputs.astype(type)
        found = []
        for kind in (Builder, Plain):
            b, numbers, truths = written(kind, steps, type, [None] * INPUTS)
            found.append(computed(b, [*numbers, *truths], type, inputs))
    for got, want in zip(*found, strict=True):
        assert got.dtype == want.dtype
        assert np.array_equal(got, want, equal_nan=got.dtype.kind == "f"), (got, want)


RANGES = [(0.0, 1.0), (-2.0, 3.0), (0.5, 8.0), (-1.0, -0.25), (0.0, 0.0)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(float_step.filter(lambda s: s[0] not in {"copysign", "div"}), max_size=12),
    st.lists(st.sampled_from(RANGES), min_size=INPUTS, max_size=INPUTS),
    st.lists(st.floats(0, 1), min_size=INPUTS * LANES, max_size=INPUTS * LANES),
)
def test_folded_with_known_ranges(steps, ranges, shares):
    """What is known of the inputs lets more fold: products with 0, comparisons."""
    low, high = np.array(ranges).T
    inputs = low[:, None] + (high - low)[:, None] * np.array(shares).reshape(INPUTS, -1)
    found = []
    with np.errstate(all="ignore"):
        for kind in (Builder, Plain):
            b, numbers, truths = written(kind, steps, "f8", ranges)
            found.append(computed(b, [*numbers, *truths], "f8", inputs))
    for got, want in zip(*found, strict=True):
        assert np.array_equal(got, want, equal_nan=got.dtype.kind == "f"), (got, want)


# ---------------------------------------------------------------------- the rules, one by one


def inputs(type="f8", known=None, n=2):
    b = Builder(Program())
    return b, *[b.load(b.array(Array(type)), 0, known) for _ in range(n)]


def test_zero_times_a_finite_number_is_zero():
    b, x, y = inputs()
    assert b.op("mul", x, 0.0).op == "mul"  # x may be infinite
    b, x, y = inputs(known=(-3.0, 3.0))
    assert b.op("mul", x, 0.0).data == 0.0
    assert b.op("sub", b.op("add", x, y), b.op("add", x, y)).data == 0.0


def test_a_strong_zero_is_one_product():
    b, g, _ = inputs()
    p = b.op("cos", b.load(b.array(Array("f8")), 0, (-1.0, 1.0)))
    product = b.op("mul", g, p)
    assert b.select(b.op("eq", g, 0), 0.0, product) is product
    wild = b.op("mul", g, b.op("exp", g))
    assert b.select(b.op("eq", g, 0), 0.0, wild).op == "select"


def test_powers_of_two_multiply():
    b, x, _ = inputs()
    assert b.op("div", x, 4.0).op == "mul"
    assert b.op("div", x, 3.0).op == "div"
    assert b.op("div", x, 0.0).op == "div"


def test_equal_values_are_made_once():
    b, x, y = inputs()
    assert b.op("add", x, y) is b.op("add", x, y)
    assert len(b.program.body) == 3


def test_a_budget_is_kept():
    b = Builder(Program(), budget=5)
    x = b.load(b.array(Array("f8")), 0)
    with pytest.raises(TooLarge):
        for _ in range(9):
            x = b.op("sin", x)
