"""Lane programs written by hand, value by value: what `Builder` would make, without its folding."""

from __future__ import annotations

import numpy as np

from pullback.compiler.program import Array, Loop, Program, Value

SIZES = {"f4": np.float32, "f8": np.float64, "i1": np.int8, "i2": np.int16, "i4": np.int32, "i8": np.int64,
         "u1": np.uint8, "b1": np.bool_}  # fmt: skip


class Hand:
    """Appends values to the body of a program; `at(op, type, *args, data=...)` gives the new value."""

    def __init__(self, kind="map", lanes=1, outer=(), draws=""):
        self.program = Program(kind, lanes, outer, draws=draws)
        self.block = self.program.body

    def const(self, x, type):
        return Value("const", (), type, x, 0, True, None)

    def at(self, op, type, *args, data=None):
        v = Value(op, args, type, data, len(self.block), False, None)
        self.block.append(v)
        return v

    def array(self, type, lane_stride=1, outer=(), written=False):
        self.program.arrays.append(Array(type, lane_stride, outer, written))
        return len(self.program.arrays) - 1

    def load(self, type, lane_stride=1, outer=(), offset=0):
        k = self.array(type, lane_stride, outer)
        return self.at("load", type, self.index(offset), data=k)

    def index(self, offset):
        return offset if isinstance(offset, Value) else self.const(offset, "i8")

    def store(self, value, lane_stride=1, outer=(), offset=0):
        k = self.array(value.type, lane_stride, outer, written=True)
        self.at("store", "", self.index(offset), value, data=k)
        return k

    def sum(self, kind, value):
        self.program.accumulators.append(kind)
        self.at(kind, "", value, data=len(self.program.accumulators) - 1)

    def loop(self, count, inits, body, condition=None):
        loop = Loop(count)
        loop.inits = list(inits)
        loop.counter = Value("counter", (), "i8", loop, 0, True, None)
        loop.carries = [Value("carry", (), v.type, (loop, k), 0, False, None) for k, v in enumerate(inits)]
        outer = self.block
        if condition is not None:
            self.block = loop.header
            loop.condition = condition(loop.carries)
        self.block = loop.body
        loop.nexts = list(body(loop.counter, loop.carries))
        self.block = outer
        self.at("loop", "", data=loop)
        loop.results = [Value("result", (), v.type, (loop, k), 0, False, None) for k, v in enumerate(inits)]
        return loop.results
