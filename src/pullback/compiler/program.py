"""The lane program: what one sample (or one entry) of a kernel computes, in scalars, before it becomes LLVM.

Every `Value` is one scalar of one lane; SIMD lanes are samples (or neighbouring entries) and run in step.
A `Program` is a list of values in order, loops included as nested lists, plus the arrays that it loads
and stores, the random numbers that it draws and the sums that it accumulates. `Builder` (module
`build`) makes programs, `llvm` turns them into machine code. Read `Value`, then `OPS`, then `Program`. May
import NumPy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# scalar types: floats, integers (two's complement, wrapping), booleans
TYPES = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")

# what a Value computes, by its `op` (x, y: args; floats are IEEE, no contraction unless written as fma)
OPS: dict[str, str] = {
    # sources
    "const": "data: the number",
    "load": "data: array number; args[0]: offset in elements (i8) on top of lane and outer strides",
    "lane": "the index of this lane's sample or entry (i8)",
    "draw": "data: (kind, slot): the standard uniform or normal number of this sample",
    "peek": "data: scratch number; args[0]: index (i8), the same in all lanes",
    # arithmetic; integer div and rem round towards zero
    "add": "x + y", "sub": "x - y", "mul": "x * y", "div": "x / y", "rem": "fmod(x, y)",
    "neg": "-x", "fma": "x * y + z, rounded once", "abs": "|x|", "copysign": "|x| with y's sign",
    "sqrt": "correctly rounded", "floor": "", "ceil": "", "trunc": "", "rint": "half to even",
    "and": "bitwise or logical", "or": "", "xor": "", "not": "", "shl": "x << y", "shr": "arithmetic x >> y",
    # comparisons give b1; with NaN all are false but ne
    "eq": "", "ne": "", "lt": "", "le": "", "gt": "", "ge": "",
    "select": "y where x else z",
    "cast": "to this value's type: floats truncate to integers, anything != 0 is True, True is 1",
    # elementary functions (module `functions` writes them for vectors; others are called lane by lane)
    **dict.fromkeys(
        ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
         "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "erfinv", "lgamma",
         "digamma", "pow", "hypot"), "elementary function"),
    "exp_inside": "exp of a value whose bounds promise a normal result",
    # results of loops
    "counter": "data: the Loop; 0, 1, 2, ... (i8)",
    "carry": "data: (Loop, k): the k-th carried value inside the loop",
    "result": "data: (Loop, k): the k-th carried value after the loop",
    # statements (type "")
    "loop": "data: the Loop",
    "store": "data: array number; args: (offset, value)",
    "poke": "data: scratch number; args: (index, value)",
    "sum": "data: accumulator number; adds args[0] (float) of every lane",
    "count": "data: accumulator number; counts the lanes where args[0] (b1) is true",
    "first": "data: accumulator number; the smallest lane index where args[0] (b1) is true",
}  # fmt: skip


class Value:
    """One scalar of one lane: op, args (Values), type, data; `lo`, `hi`, `nan` bound what it can be.

    lo, hi    the value lies in [lo, hi] unless it is NaN (infinities included)
    nan       can it be NaN?
    uniform   the same in all lanes
    """

    __slots__ = ("args", "builder", "data", "hi", "lo", "nan", "number", "op", "type", "uniform")

    def __init__(
        self, op: str, args: tuple[Value, ...], type: str, data: Any, number: int, uniform: bool, builder: Any
    ) -> None:
        self.op, self.args, self.type, self.data = op, args, type, data
        self.number, self.uniform, self.builder = number, uniform, builder
        self.lo, self.hi, self.nan = -np.inf, np.inf, type in {"f4", "f8"}

    @property
    def finite(self) -> bool:
        """Is it proven to be neither infinite nor NaN?"""
        return not self.nan and self.lo > -np.inf and self.hi < np.inf

    def __repr__(self) -> str:
        return f"%{self.number}"

    # arithmetic on object arrays of Values (sums, products, contractions) goes through Python's operators
    def __add__(self, other: Any) -> Any:
        return self.builder.op("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self.builder.op("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self.builder.op("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.builder.op("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self.builder.op("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.builder.op("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.builder.op("div", self, other)

    def __neg__(self) -> Any:
        return self.builder.op("neg", self)


class Loop:
    """A loop: `count` rounds (an integer), or while `condition` holds.

    counter    the Value "counter"
    inits      what the carried values are before the first round
    carries    the Values "carry", as the body reads them
    body       the body's values in order; for a while loop `header` comes first and computes `condition`
    nexts      the carried values of the next round
    results    the Values "result"
    In a while loop whose condition differs between lanes, a lane that has ended keeps its carried values.
    """

    __slots__ = ("body", "carries", "condition", "count", "counter", "header", "inits", "nexts", "results")

    def __init__(self, count: int | None) -> None:
        self.count = count
        self.counter: Any = None
        self.inits: list[Value] = []
        self.carries: list[Value] = []
        self.header: list[Value] = []
        self.condition: Any = None
        self.body: list[Value] = []
        self.nexts: list[Value] = []
        self.results: list[Value] = []


@dataclass
class Array:
    """An array that a program loads from or stores to.

    type          the scalar type in memory (b1: one byte)
    lane_stride   elements from one lane to the next (0: the same element for all)
    outer         elements per step of each outer loop
    written       is it stored to?
    """

    type: str
    lane_stride: int = 0
    outer: tuple[int, ...] = ()
    written: bool = False


@dataclass
class Program:
    """A kernel: for all outer indices, for all lanes: body.

    kind          "map": lanes are entries begin..end of the innermost axis; "samples": lanes are samples,
                  with
                  random numbers and sums per block
    lanes         logical SIMD width (a program means the same for any machine: random numbers and the order
                  of
                  sums are defined on it); 1 for scalar programs
    draws         the type of the random numbers, "f4" or "f8", or "" without any
    accumulators  for each number its kind, "sum", "count" or "first"
    scratch       for each number (type, entries): memory of this lane
    """

    kind: str = "map"
    lanes: int = 1
    outer: tuple[int, ...] = ()
    body: list[Value] = field(default_factory=list[Value])
    arrays: list[Array] = field(default_factory=list[Array])
    scratch: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    accumulators: list[str] = field(default_factory=list[str])
    draws: str = ""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The program as readable text, which also keys its compiled form."""
        draws = self.draws or "none"
        yield f"{self.kind} kernel, {self.lanes} lanes, outer {list(self.outer)}, draws {draws}"
        for i, a in enumerate(self.arrays):
            way = "out" if a.written else "in"
            yield f"array {i}: {way} {a.type} lane stride {a.lane_stride} outer {list(a.outer)}"
        for i, (t, n) in enumerate(self.scratch):
            yield f"scratch {i}: {t} x {n}"
        for i, kind in enumerate(self.accumulators):
            yield f"accumulator {i}: {kind}"
        names: dict[int, str] = {}
        yield from block_lines(self.body, names, "  ")


def block_lines(block: Sequence[Value], names: dict[int, str], indent: str) -> Iterator[str]:
    """One line per value; names are numbered in order of appearance, so equal programs read the same."""

    def name(v: Value) -> str:
        if v.op == "const":
            return f"{v.data!r}:{v.type}"
        return names.setdefault(id(v), f"%{len(names)}")

    for v in block:
        if v.op == "const":
            continue
        if v.op == "loop":
            loop: Loop = v.data
            start = ", ".join(f"{name(c)} = {name(i)}" for c, i in zip(loop.carries, loop.inits, strict=True))
            head = f"for {name(loop.counter)} in {loop.count}" if loop.count is not None else "while"
            yield f"{indent}{head} with {start or 'nothing'}"
            if loop.count is None:
                yield from block_lines(loop.header, names, indent + "  ? ")
                yield f"{indent}  holds {name(loop.condition)}"
            yield from block_lines(loop.body, names, indent + "  ")
            yield f"{indent}  next {', '.join(map(name, loop.nexts)) or 'nothing'}"
            if loop.results:
                yield f"{indent}gives {', '.join(map(name, loop.results))}"
            continue
        args = ", ".join(map(name, v.args))
        data = "" if v.data is None else f" [{v.data}]"
        given = f"{name(v)}:{v.type} = " if v.type else ""
        yield f"{indent}{given}{v.op}{data} {args}".rstrip()
