"""Random straight-line programs over a few inputs, for the tests of folding and of bounds."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from compiler.interpret import run
from pullback.compiler.build import Array, Builder
from pullback.compiler.program import Program

INPUTS = 3
NUMBERS = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -0.25, 3.0, 1e-30, -1e30, 1e-300, np.inf, -np.inf, np.nan]
BINARY = ["add", "sub", "mul", "div", "copysign", "rem"]
UNARY = ["neg", "abs", "sqrt", "floor", "ceil", "trunc", "rint", "exp", "expm1", "log", "log1p", "sin", "cos",
         "tanh", "atan", "sinh"]  # fmt: skip
COMPARE = ["eq", "ne", "lt", "le", "gt", "ge"]
LOGICAL = ["and", "or", "xor"]
WHOLE = ["add", "sub", "mul", "div", "rem"]

# one step: what to do, and which of the values made so far to take
place = st.integers(0, 10**6)
float_step = st.one_of(
    st.tuples(st.sampled_from(BINARY), place, place),
    st.tuples(st.sampled_from(UNARY), place),
    st.tuples(st.just("const"), st.sampled_from(NUMBERS)),
    st.tuples(st.sampled_from(COMPARE), place, place),
    st.tuples(st.just("select"), place, place, place),
    st.tuples(st.sampled_from(LOGICAL), place, place),
    st.tuples(st.just("not"), place),
    st.tuples(st.just("cast"), place),
)
whole_step = st.one_of(
    st.tuples(st.sampled_from(WHOLE), place, place),
    st.tuples(st.just("neg"), place),
    st.tuples(st.just("const"), st.integers(-5, 5)),
    st.tuples(st.sampled_from(COMPARE), place, place),
    st.tuples(st.just("select"), place, place, place),
    st.tuples(st.just("cast"), place),
)


class Plain(Builder):
    """A builder that folds nothing and merges nothing: what the program would be without the rules."""

    def op(self, op, *args):
        values = [a for a in args if not isinstance(a, int | float)]
        type = (values[1:] or values)[0].type if op == "select" else values[0].type
        made = tuple(self.const(a, type) if isinstance(a, int | float) else a for a in args)
        v = self._new(op, made, "b1" if op in COMPARE else made[-1].type, None, uniform=False)
        self.block.append(v)
        return v

    def cast(self, x, type):
        v = self._new("cast", (x,), type, None, uniform=False)
        self.block.append(v)
        return v

    def emit(self, op, args, type, data=None):
        v = self._new(op, args, type, data, uniform=False)
        self.block.append(v)
        return v


def written(builder_type, steps, type, ranges):
    """The values of a random program: (program, all numbers, all truth values).

    ranges: per input what is known of it, or None.
    """
    b = builder_type(Program(lanes=1))
    numbers, truths = [], []
    for r in ranges:
        k = b.array(Array(type, lane_stride=1))
        numbers.append(b.load(k, 0, r) if builder_type is Builder else b.load(k, 0))
    for op, *what in steps:
        if op == "const":
            numbers.append(b.const(what[0], type))
        elif op not in LOGICAL and op not in {"not", "cast", "select"}:
            at = [numbers[w % len(numbers)] for w in what]
            (truths if op in COMPARE else numbers).append(b.op(op, *at))
        elif truths:
            asked(b, op, what, type, numbers, truths)
    return b, numbers, truths


def asked(b, op, what, type, numbers, truths):
    """One step that reads truth values."""
    facts = [truths[w % len(truths)] for w in what]
    if op == "cast":
        numbers.append(b.cast(facts[0], type))
    elif op == "select":
        numbers.append(b.op(op, facts[0], *[numbers[w % len(numbers)] for w in what[1:]]))
    else:
        truths.append(b.op(op, *facts))


def computed(b, values, type, inputs):
    """The values for inputs of shape (INPUTS, lanes), each an array over lanes."""
    arrays = [x.copy() for x in inputs]
    n = inputs.shape[1]
    for v in values:
        k = b.array(Array(v.type, lane_stride=1, written=True))
        arrays.append(np.zeros(n, bool if v.type == "b1" else v.type))
        b.store(k, 0, v)
    return run(b.program, arrays, n)[len(inputs) :]
