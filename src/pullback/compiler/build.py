"""`Builder` makes lane programs: equal values are made once, what is known is folded, bounds are kept.

Folding never assumes that a number is finite: `x * 0` is 0 only where x is proven finite (a random draw is,
a bounded function of one is). The one liberty is the sign of a zero. Read `Builder.op` first, then
`simplify`. May import `compiler.program` and `compiler.bounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.compiler.bounds import bound
from pullback.compiler.program import Array, Loop, Program, Value

COMPARE = {"eq", "ne", "lt", "le", "gt", "ge"}
FLOATS = {"f4", "f8"}
MIRROR = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
CODES = {np.dtype(t): t for t in ("f4", "f8", "i1", "i2", "i4", "i8", "u1")} | {np.dtype(bool): "b1"}
# what may be computed on both sides of a choice instead of after it
SPREADING = {"add", "sub", "mul", "div", "neg", "abs", "sqrt", "and", "or", "not", *COMPARE}


class TooLarge(Exception):  # noqa: N818 - not an error of the user: the caller chooses another way
    """A program grew beyond its budget."""


def numpy_type(code: str) -> Any:
    """NumPy's scalar type of a type code."""
    return np.bool_ if code == "b1" else np.dtype(code).type


class Builder:
    """Appends values to a program; `budget` bounds their number."""

    def __init__(self, program: Program, budget: int = 1 << 30) -> None:
        """Start with an empty body."""
        self.program = program
        self.block: list[Value] = program.body
        self.scopes: list[dict[Any, Value]] = [{}]
        self.number = 0
        self.budget = budget
        self.zeros: dict[str, Value] = {}

    # ------------------------------------------------------------------ values

    def const(self, x: Any, type: str) -> Value:
        """A constant of this type."""
        number = numpy_type(type)(x)
        data: Any = number.item()
        # -0.0 and 0.0 are equal, and NaN is not equal to itself
        key = ("const", type, data if data == data and data else str(data))
        v = self.scopes[0].get(key)
        if v is None:
            v = self.scopes[0][key] = self._new("const", (), type, data, uniform=True)
            if data != data:
                v.lo, v.hi, v.nan = np.inf, -np.inf, True
            else:
                v.lo = v.hi = float(data)
                v.nan = False
        return v

    def _new(self, op: str, args: tuple[Value, ...], type: str, data: Any, uniform: bool) -> Value:
        self.number += 1
        if self.number > self.budget:
            raise TooLarge
        return Value(op, args, type, data, self.number, uniform, self)

    def emit(self, op: str, args: tuple[Value, ...], type: str, data: Any = None) -> Value:
        """The value of an op as it stands, made once."""
        key = (op, type, data, *[a.number for a in args])
        for scope in reversed(self.scopes):
            v = scope.get(key)
            if v is not None:
                return v
        v = self._new(op, args, type, data, op != "draw" and all(a.uniform for a in args))
        bound(v)
        self.scopes[-1][key] = v
        self.block.append(v)
        return v

    def statement(self, op: str, args: tuple[Value, ...], data: Any = None) -> Value:
        """A value with an effect: never merged with another."""
        v = self._new(op, args, "", data, uniform=False)
        self.block.append(v)
        return v

    def op(self, op: str, *args: Any) -> Value:
        """An arithmetic op on values and Python numbers (which take the values' type), simplified."""
        type = next(a.type for a in (args[1:] if op == "select" else args) if isinstance(a, Value))
        values = tuple(a if isinstance(a, Value) else self.const(a, type) for a in args)
        result = "b1" if op in COMPARE else values[-1].type
        if op == "exp" and values[0].op != "const" and inside_exp(values[0]):
            op = "exp_inside"
        found = fold(self, op, values, result) or simplify(self, op, values) or chosen(self, op, values)
        return found if found is not None else self.emit(op, values, result)

    def cast(self, x: Value, type: str) -> Value:
        """x in another type."""
        if x.type == type:
            return x
        if x.op == "const":
            with np.errstate(all="ignore"):
                return self.const(np.asarray(x.data, numpy_type(x.type)).astype(numpy_type(type))[()], type)
        return self.emit("cast", (x,), type)

    def select(self, condition: Any, x: Any, y: Any) -> Value:
        """x where condition else y."""
        return self.op("select", condition, x, y)

    # ------------------------------------------------------------------ memory, random numbers, sums

    def array(self, array: Array) -> int:
        """Declare an array; its number."""
        self.program.arrays.append(array)
        return len(self.program.arrays) - 1

    def load(self, array: int, offset: Any, bounds: tuple[float, float] | None = None) -> Value:
        """An element of an input array; bounds: what is known of its values (then they are no NaN)."""
        info = self.program.arrays[array]
        place = offset if isinstance(offset, Value) else self.const(offset, "i8")
        v = self.emit("load", (place,), info.type, array)
        v.uniform = place.uniform and not info.lane_stride
        if bounds is not None:
            v.lo, v.hi = bounds
            v.nan = False
        return v

    def store(self, array: int, offset: Any, value: Value) -> None:
        """Write an element of an output array."""
        place = offset if isinstance(offset, Value) else self.const(offset, "i8")
        self.statement("store", (place, value), array)

    def draw(self, kind: str, slot: int) -> Value:
        """The standard uniform or normal number of this sample at a slot."""
        v = self.emit("draw", (), self.program.draws, (kind, slot))
        wide = 6.8 if self.program.draws == "f4" else 8.7
        v.lo, v.hi = (0.0, 1.0) if kind == "uniform" else (-wide, wide)
        v.nan = False
        return v

    def accumulate(self, kind: str, value: Value) -> int:
        """Sum (or count, or find the first of) a value over all lanes; the accumulator's number."""
        self.program.accumulators.append(kind)
        number = len(self.program.accumulators) - 1
        self.statement(kind, (value,), number)
        return number

    def scratch(self, type: str, entries: int) -> int:
        """Memory of this lane; its number."""
        self.program.scratch.append((type, entries))
        return len(self.program.scratch) - 1

    def peek(self, scratch: int, index: Value) -> Value:
        """Read memory of this lane."""
        v = self._new("peek", (index,), self.program.scratch[scratch][0], scratch, uniform=False)
        self.block.append(v)
        return v

    # ------------------------------------------------------------------ loops

    def loop(
        self,
        count: int | None,
        inits: Sequence[Value],
        body: Callable[[Value, list[Value]], Sequence[Value]],
        condition: Callable[[list[Value]], Value] | None = None,
    ) -> list[Value]:
        """A loop; body(counter, carries) -> the next carried values. Gives the values after the loop."""
        loop = Loop(count)
        loop.inits = list(inits)
        loop.counter = self._new("counter", (), "i8", loop, uniform=True)
        loop.counter.lo, loop.counter.hi = 0.0, float(count - 1 if count is not None else np.inf)
        loop.carries = [
            self._new("carry", (), v.type, (loop, k), uniform=False) for k, v in enumerate(loop.inits)
        ]
        if condition is not None:
            loop.condition = self._inside(loop.header, lambda: condition(loop.carries))
        loop.nexts = list(self._inside(loop.body, lambda: body(loop.counter, loop.carries), loop.header))
        self.block.append(self._new("loop", (), "", loop, uniform=False))
        loop.results = [
            self._new("result", (), v.type, (loop, k), uniform=False) for k, v in enumerate(loop.inits)
        ]
        return loop.results

    def _inside(self, block: list[Value], run: Callable[[], Any], before: list[Value] | None = None) -> Any:
        outer, self.block = self.block, block
        # what the condition computed is known in the body too
        known = {(v.op, v.type, v.data, *[a.number for a in v.args]): v for v in before or ()}
        self.scopes.append(known)
        try:
            return run()
        finally:
            self.scopes.pop()
            self.block = outer


# where e^x is a normal number
EXP_RANGE = {"f4": (-87.0, 88.0), "f8": (-708.0, 709.0)}


def inside_exp(x: Value) -> bool:
    """Is e^x proven to be a normal number?"""
    low, high = EXP_RANGE[x.type]
    return not x.nan and low <= x.lo and x.hi <= high


# ---------------------------------------------------------------------- folding

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "copysign": np.copysign,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "shl": np.left_shift, "shr": np.right_shift,
}  # fmt: skip
UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "rint": np.rint, "not": np.invert, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos,
    "tanh": np.tanh, "log1p": np.log1p, "expm1": np.expm1,
}  # fmt: skip


def fold(b: Builder, op: str, v: tuple[Value, ...], type: str) -> Value | None:
    """The value where all arguments are constants."""
    if any(x.op != "const" for x in v):
        return None
    function: Any = BINARY.get(op) if len(v) == 2 else UNARY.get(op)
    if op == "div" and v[0].type in FLOATS:
        function = np.divide
    if function is None or (op == "neg" and type == "b1"):
        return None
    with np.errstate(all="ignore"):
        return b.const(function(*[numpy_type(x.type)(x.data) for x in v]), type)


def is_const(v: Value, number: float) -> bool:
    """Is it this constant?"""
    return v.op == "const" and v.data == number


def simplify(b: Builder, op: str, v: tuple[Value, ...]) -> Value | None:
    """A simpler value that equals this one, if a rule knows one."""
    rule = RULES.get(op)
    return None if rule is None else rule(b, *v)


def _add(b: Builder, x: Value, y: Value) -> Value | None:
    if is_const(x, 0):
        return y
    if is_const(y, 0):
        return x
    if y.op == "neg":
        return b.op("sub", x, y.args[0])
    if x.op == "neg":
        return b.op("sub", y, x.args[0])
    return None


def _sub(b: Builder, x: Value, y: Value) -> Value | None:
    if is_const(y, 0):
        return x
    if is_const(x, 0):
        return b.op("neg", y)
    if x is y and (x.finite or x.type not in FLOATS):
        return b.const(0, x.type)
    return b.op("add", x, y.args[0]) if y.op == "neg" else None


def _mul(b: Builder, x: Value, y: Value) -> Value | None:
    if x.op == "const":
        x, y = y, x
    if x.type == "b1":
        return b.op("and", x, y)
    if y.op == "const":
        if y.data == 0 and (x.finite or x.type not in FLOATS):
            return b.const(0, x.type)
        if y.data == 1:
            return x
        if y.data == -1:
            return b.op("neg", x)
    if x.op == "neg" and y.op == "neg":
        return b.op("mul", x.args[0], y.args[0])
    return None


def _div(b: Builder, x: Value, y: Value) -> Value | None:
    if y.op == "const" and x.type in FLOATS:
        if y.data == 1:
            return x
        mantissa, _ = np.frexp(y.data) if np.isfinite(y.data) and y.data else (0.0, 0)
        inverse = 1 / y.data if abs(mantissa) == 0.5 else 0.0
        if inverse and np.isfinite(numpy_type(x.type)(inverse)) and abs(inverse) > 1e-30:
            return b.op("mul", x, inverse)  # a power of two: exact
    return None


def _neg(_b: Builder, x: Value) -> Value | None:
    return x.args[0] if x.op == "neg" else None


def _not(_b: Builder, x: Value) -> Value | None:
    return x.args[0] if x.op == "not" else None


def _and(b: Builder, x: Value, y: Value) -> Value | None:
    if x is y:
        return x
    if x.op == "const":
        x, y = y, x
    if y.op == "const" and x.type == "b1":
        return x if y.data else b.const(False, "b1")
    return None


def _or(b: Builder, x: Value, y: Value) -> Value | None:
    if x is y:
        return x
    if x.op == "const":
        x, y = y, x
    if y.op == "const" and x.type == "b1":
        return b.const(True, "b1") if y.data else x
    return None


def _select(b: Builder, c: Value, x: Value, y: Value) -> Value | None:
    if c.op == "const":
        return x if c.data else y
    if x is y:
        return x
    if c.op == "not":
        return b.op("select", c.args[0], y, x)
    if x.type == "b1" and (x.op == "const" or y.op == "const"):
        return _choice(b, c, x, y)
    # a strong zero, where(g == 0, 0, g * p): with a finite p the product is a zero anyway
    if is_const(x, 0) and x.type in FLOATS and zero_when(c, y):
        return y
    return None


def zero_when(c: Value, y: Value, depth: int = 4) -> bool:
    """Is y proven to be a zero (of either sign) wherever c holds?"""
    if is_const(y, 0) or (c.op == "eq" and c.args[0] is y and is_const(c.args[1], 0)):
        return True
    if not depth:
        return False
    if c.op == "and" and any(zero_when(part, y, depth - 1) for part in c.args):
        return True
    if c.op == "or" and all(zero_when(part, y, depth - 1) for part in c.args):
        return True
    if y.op in {"neg", "abs"}:
        return zero_when(c, y.args[0], depth - 1)
    if y.op == "mul":
        p, q = y.args
        return (q.finite and zero_when(c, p, depth - 1)) or (p.finite and zero_when(c, q, depth - 1))
    if y.op == "div":
        return _nonzero(y.args[1]) and zero_when(c, y.args[0], depth - 1)
    if y.op == "select":
        chosen_by, u, w = y.args
        if chosen_by is c:
            return zero_when(c, u, depth - 1)
        return zero_when(c, u, depth - 1) and zero_when(c, w, depth - 1)
    return False


def _choice(b: Builder, c: Value, x: Value, y: Value) -> Value:
    """A choice between truth values, one of them known."""
    if x.op == "const":
        return b.op("or", c, y) if x.data else b.op("and", b.op("not", c), y)
    return b.op("or", b.op("not", c), x) if y.data else b.op("and", c, x)


def chosen(b: Builder, op: str, v: tuple[Value, ...]) -> Value | None:
    """op(select(c, u, w), k) as select(c, op(u, k), op(w, k)), where u, w and k are the same for all lanes.

    What is chosen between is then computed once, not in every lane.
    """
    picks = [x for x in v if not x.uniform]
    if op not in SPREADING or not picks or picks[0].op != "select" or any(x is not picks[0] for x in picks):
        return None
    c, u, w = picks[0].args
    if not (u.uniform and w.uniform):
        return None
    sides = [b.op(op, *[side if x is picks[0] else x for x in v]) for side in (u, w)]
    return b.op("select", c, *sides)


def _nonzero(x: Value) -> bool:
    return not x.nan and (x.lo > 0 or x.hi < 0)


def _compare(op: str) -> Callable[[Builder, Value, Value], Value | None]:
    def rule(b: Builder, x: Value, y: Value) -> Value | None:
        known = _known_order(op, x, y)
        if known is not None:
            return b.const(known, "b1")
        if x.op == "const":
            return b.op(MIRROR[op], y, x)
        if is_const(y, 0) and x.op in {"mul", "neg"} and x.type in FLOATS:
            return _scaled(b, op, x)
        if x.op == "select" and y.op == "const" and "const" in {x.args[1].op, x.args[2].op}:
            return b.op("select", x.args[0], b.op(op, x.args[1], y), b.op(op, x.args[2], y))
        return None

    return rule


def _known_order(op: str, x: Value, y: Value) -> bool | None:
    """The comparison, where the bounds decide it."""
    if x.nan or y.nan:
        return None
    if x is y:
        return op in {"eq", "le", "ge"}
    less, more = x.hi < y.lo, x.lo > y.hi
    if op in {"eq", "ne"}:
        return op == "ne" if less or more else None
    if less or more:
        return less == (op in {"lt", "le"})
    if op in {"le", "gt"} and x.hi <= y.lo:
        return op == "le"
    if op in {"ge", "lt"} and x.lo >= y.hi:
        return op == "ge"
    return None


def _scaled(b: Builder, op: str, x: Value) -> Value | None:
    """The sign of c * x is that of x (or its opposite) for a constant |c| >= 1: nothing can underflow."""
    if x.op == "neg":
        return b.op(MIRROR[op], x.args[0], 0)
    p, q = x.args
    c, rest = (p, q) if p.op == "const" else (q, p)
    if c.op != "const" or not abs(c.data) >= 1 or not np.isfinite(c.data):
        return None
    return b.op(op if c.data > 0 else MIRROR[op], rest, 0)


RULES: dict[str, Callable[..., Value | None]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "neg": _neg, "not": _not, "and": _and, "or": _or,
    "select": _select, **{op: _compare(op) for op in COMPARE},
}  # fmt: skip
