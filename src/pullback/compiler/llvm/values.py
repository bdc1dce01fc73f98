"""From the values of a lane program to LLVM: one instruction, or a few, for each.

Holds `Lanes`: where the lanes of one iteration stand (index, pointers, masks, random numbers, accumulators)
and how each op of `program.OPS` is written, straight-line ops here, loops in `loops`. Read `Lanes`, then
`emit`. May import NumPy and, of the package, `compiler.program`, `compiler.functions` and `text`.

A value that is the same in all lanes is kept as a scalar and widened where it meets lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.compiler.functions import ELEMENTARY, call
from pullback.compiler.program import Program, Value
from pullback.compiler.text import FLOATS, SIZES, Code, V, type_name

BLOCK_VALUES = 500  # instruction selection takes more than linear time in the length of a block


class Lanes:
    """The lanes of one iteration: what `emit` needs to know to write a value.

    code, program, n    where to write, what, for how many lanes
    lane0               index of the first lane (scalar i8)
    valid               b1 of the lanes that count, or None where all do
    active              b1 of the lanes that a while loop still runs for, or None
    bases               for each array the address of its element 0 for this lane and these outer indices
    scratch             for each scratch memory its address
    draws               for (kind, slot) the address of this iteration's numbers
    partial             for each accumulator its address
    varying             ids of the values that can differ between lanes
    opaque              a scalar b1 that is always true, though LLVM cannot know: it cuts long blocks; or None
    """

    def __init__(self, code: Code, program: Program, n: int, lane0: V) -> None:
        self.code, self.program, self.n, self.lane0 = code, program, n, lane0
        self.valid: V | None = None
        self.active: V | None = None
        self.bases: list[str] = []
        self.scratch: list[str] = []
        self.draws: dict[tuple[str, int], str] = {}
        self.partial: list[str] = []
        self.opaque: V | None = None
        self.leave = "leave"  # the block that `opaque` would branch to
        self.inline: Callable[[str], bool] = lambda _: True
        self.varying: set[int] = set()
        self.env: dict[int, V] = {}
        self._written = 0

    def get(self, v: Value) -> V:
        """What was written for v."""
        if v.op == "const":
            return self.code.const(v.data, v.type)
        return self.env[id(v)]

    def wide(self, v: Value) -> V:
        """The same in all lanes."""
        return self.code.wide(self.get(v), self.n)

    def same(self, v: Value) -> V:
        """An index that is the same in all lanes, as a scalar."""
        got = self.get(v)
        return got.lane(0).to("i8")

    def mask(self) -> V | None:
        """The lanes whose statements count: valid and active."""
        if self.valid is None or self.active is None:
            return self.active if self.valid is None else self.valid
        return self.valid & self.active

    def emit(self, body: Sequence[Value], loop: Callable[[Lanes, Value], None]) -> None:
        """Write all values of a list in order; `loop` writes the loops."""
        for v in body:
            if v.op == "const":
                continue
            if v.op == "loop":
                loop(self, v)
                continue
            if v.op in _STATEMENTS:
                _STATEMENTS[v.op](self, v)
                continue
            if v.op in {"counter", "carry", "result"}:
                continue  # the loop has written them
            write = _SOURCES.get(v.op)
            self.env[id(v)] = write(self, v) if write else pure(self, v)
            self.cut()

    def cut(self) -> None:
        """End the block where it has become long."""
        self._written += 1
        if self.opaque is None or self._written % BLOCK_VALUES:
            return
        name = self.code.name("next")
        self.code.branch(self.opaque, name, self.leave)
        self.code.label(name)


def pure(lanes: Lanes, v: Value) -> V:
    """An op that only depends on its arguments."""
    args = [lanes.get(a) for a in v.args]
    n = max(a.n for a in args)
    args = [lanes.code.wide(a, n) for a in args]
    if v.op in ELEMENTARY:
        return call(lanes.code, v.op, args, lanes.inline(v.op))
    return _PURE[v.op](v, *args)


# --------------------------------------------------------------------------------------------- pure ops


def _whole_divide(x: V, y: V, op: Callable[[V, V], V]) -> V:
    """Integer division that cannot trap: by 0 it gives 0, and the smallest number by -1 wraps."""
    zero = y.eq(0)
    if x.t == "u1":
        return zero.select(0, op(x, zero.select(1, y)))
    minus = y.eq(-1)
    safe = op(x, (zero | minus).select(1, y))
    other = op(x, lanes_like(x, 1))
    by_minus = minus.select(-other, safe) if op is _quotient else minus.select(0, safe)
    return zero.select(0, by_minus)


def lanes_like(x: V, value: Any) -> V:
    """`value` in x's type and width."""
    return x.code.const(value, x.t, x.n)


def _quotient(x: V, y: V) -> V:
    return x / y


def _remainder(x: V, y: V) -> V:
    return x % y


def _is_safe(v: Value) -> bool:
    """Is the divisor a constant that cannot trap?"""
    divisor = v.args[1]
    return divisor.op == "const" and divisor.data not in {0, -1}


def _div(v: Value, x: V, y: V) -> V:
    return x / y if x.t in FLOATS or _is_safe(v) else _whole_divide(x, y, _quotient)


def _rem(v: Value, x: V, y: V) -> V:
    return x % y if x.t in FLOATS or _is_safe(v) else _whole_divide(x, y, _remainder)


def _abs(_: Value, x: V) -> V:
    if x.t in FLOATS:
        return x.code.intrinsic("fabs", x)
    return x if x.t == "u1" else x.lt(0).select(-x, x)


def _shift_left(v: Value, x: V, y: V) -> V:
    if v.args[1].op == "const" and 0 <= v.args[1].data < 8 * SIZES[x.t]:
        return x << y
    inside = y.ge(0) & y.lt(8 * SIZES[x.t])
    return inside.select(x << inside.select(y, 0), 0)


def _shift_right(v: Value, x: V, y: V) -> V:
    top = 8 * SIZES[x.t] - 1
    if v.args[1].op == "const" and 0 <= v.args[1].data <= top:
        return x >> y
    inside = y.ge(0) & y.le(top)
    return x >> inside.select(y, top)


def _unary(name: str) -> Callable[[Value, V], V]:
    return lambda _, x: x.code.intrinsic(name, x) if x.t in FLOATS else x


_PURE: dict[str, Callable[..., V]] = {
    "add": lambda _, x, y: x + y,
    "sub": lambda _, x, y: x - y,
    "mul": lambda _, x, y: x * y,
    "div": _div,
    "rem": _rem,
    "neg": lambda _, x: -x,
    "fma": lambda _, x, y, z: x.code.fma(x, y, z),
    "abs": _abs,
    "copysign": lambda _, x, y: x.code.intrinsic("copysign", x, y),
    "sqrt": _unary("sqrt"),
    "floor": _unary("floor"),
    "ceil": _unary("ceil"),
    "trunc": _unary("trunc"),
    "rint": _unary("roundeven"),
    "and": lambda _, x, y: x & y,
    "or": lambda _, x, y: x | y,
    "xor": lambda _, x, y: x ^ y,
    "not": lambda _, x: ~x,
    "shl": _shift_left,
    "shr": _shift_right,
    "select": lambda _, c, x, y: c.select(x, y),
    "cast": lambda v, x: x.to(v.type),
    **{how: (lambda _, x, y, how=how: x._compare(how, y)) for how in ("eq", "ne", "lt", "le", "gt", "ge")},
}


# ---------------------------------------------------------------------------------------- loads and stores


def _lane_index(lanes: Lanes, v: Value) -> V:
    del v
    steps = lanes.code.per_lane(range(lanes.n), "i8") if lanes.n > 1 else None
    return lanes.lane0 if steps is None else lanes.code.wide(lanes.lane0, lanes.n) + steps


def _offsets(lanes: Lanes, number: int, offset: V) -> V:
    """Elements from the first lane's element to each lane's."""
    stride = lanes.program.arrays[number].lane_stride
    steps = lanes.code.per_lane([k * stride for k in range(lanes.n)], "i8")
    return lanes.code.wide(offset, lanes.n) + steps


def _lane_pointers(lanes: Lanes, number: int, offset: V) -> list[str]:
    """The address of each lane's element."""
    array = lanes.program.arrays[number]
    if offset.n == 1:
        first = lanes.code.pointer(lanes.bases[number], array.type, offset)
        return [lanes.code.pointer(first, array.type, k * array.lane_stride) for k in range(lanes.n)]
    index = _offsets(lanes, number, offset)
    return [lanes.code.pointer(lanes.bases[number], array.type, index.lane(k)) for k in range(lanes.n)]


def gathered(code: Code, items: Sequence[V]) -> V:
    """Scalars put side by side as lanes."""
    whole = type_name(items[0].t, len(items))
    made = V("poison", items[0].t, len(items), code)
    for k, item in enumerate(items):
        made = code.add(f"insertelement {whole} {made.ref}, {item.typed}, i64 {k}", item.t, len(items))
    return made


def _load(lanes: Lanes, v: Value) -> V:
    array, offset = lanes.program.arrays[v.data], lanes.get(v.args[0]).to("i8")
    code = lanes.code
    if offset.n == 1 and (array.lane_stride in {0, 1} or lanes.n == 1):
        # an array that no one writes and that all lanes share may be read once and for all
        note = ", !invariant.load !0" if not array.written and array.lane_stride == 0 else ""
        address = code.pointer(lanes.bases[v.data], array.type, offset)
        return code.load(address, array.type, 1 if array.lane_stride == 0 else lanes.n, note)
    stored = "u1" if array.type == "b1" else array.type
    items = [code.load(p, stored) for p in _lane_pointers(lanes, v.data, offset)]
    made = gathered(code, items)
    return made.ne(0) if array.type == "b1" else made


def _store(lanes: Lanes, v: Value) -> None:
    array, offset = lanes.program.arrays[v.data], lanes.get(v.args[0]).to("i8")
    code, value = lanes.code, lanes.get(v.args[1])
    mask = lanes.active
    if mask is None and offset.n == 1 and (array.lane_stride == 1 or lanes.n == 1):
        code.store(code.pointer(lanes.bases[v.data], array.type, offset), code.wide(value, lanes.n))
        return
    value = code.wide(value, lanes.n)
    for k, address in enumerate(_lane_pointers(lanes, v.data, offset)):
        if mask is None:
            code.store(address, value.lane(k))
            continue
        yes, after = code.name("write"), code.name("written")
        code.branch(code.wide(mask, lanes.n).lane(k), yes, after)
        code.label(yes)
        code.store(address, value.lane(k))
        code.jump(after)
        code.label(after)


def _draw(lanes: Lanes, v: Value) -> V:
    t = lanes.program.draws
    return lanes.code.load(lanes.draws[v.data], t, lanes.n, align=SIZES[t] * lanes.n)


def _cell(lanes: Lanes, number: int, index: V) -> str:
    """The address of one entry of scratch memory: all lanes side by side."""
    t, _ = lanes.program.scratch[number]
    return lanes.code.pointer(lanes.scratch[number], "u1" if t == "b1" else t, index * lanes.n)


def _peek(lanes: Lanes, v: Value) -> V:
    t, _ = lanes.program.scratch[v.data]
    return lanes.code.load(_cell(lanes, v.data, lanes.same(v.args[0])), t, lanes.n, align=SIZES[t] * lanes.n)


def _poke(lanes: Lanes, v: Value) -> None:
    t, _ = lanes.program.scratch[v.data]
    address, value = _cell(lanes, v.data, lanes.same(v.args[0])), lanes.wide(v.args[1])
    if lanes.active is not None:
        before = lanes.code.load(address, t, lanes.n, align=SIZES[t] * lanes.n)
        value = lanes.code.wide(lanes.active, lanes.n).select(value, before)
    lanes.code.store(address, value, align=SIZES[t] * lanes.n)


# ----------------------------------------------------------------------------------------------- sums


def _sum(lanes: Lanes, v: Value) -> None:
    code, x, address = lanes.code, lanes.wide(v.args[0]), lanes.partial[v.data]
    mask = lanes.mask()
    if mask is not None:
        x = code.wide(mask, lanes.n).select(x, 0.0)
    align = SIZES[x.t] * lanes.n
    code.store(address, code.load(address, x.t, lanes.n, align=align) + x, align=align)


def _count(lanes: Lanes, v: Value) -> None:
    code, x, address = lanes.code, lanes.wide(v.args[0]), lanes.partial[v.data]
    mask = lanes.mask()
    x = x if mask is None else x & mask
    align = 4 * lanes.n
    code.store(address, code.load(address, "i4", lanes.n, align=align) + x.to("i4"), align=align)


def _first(lanes: Lanes, v: Value) -> None:
    code, x, address = lanes.code, lanes.wide(v.args[0]), lanes.partial[v.data]
    mask = lanes.mask()
    x = x if mask is None else x & mask
    found, after = code.name("found"), code.name("sought")
    code.branch(code.any(x), found, after)
    code.label(found)
    bits = code.add(f"bitcast {x.typed} to i{lanes.n}", "i8", 1)
    wide = code.add(f"zext i{lanes.n} {bits.ref} to i64", "i8", 1)
    code.module.declare("declare i64 @llvm.cttz.i64(i64, i1)")
    index = lanes.lane0 + code.add(f"call i64 @llvm.cttz.i64({wide.typed}, i1 true)", "i8", 1)
    before = code.load(address, "i8")
    code.store(address, index.lt(before).select(index, before))
    code.jump(after)
    code.label(after)


_SOURCES: dict[str, Callable[[Lanes, Value], V]] = {
    "load": _load, "lane": _lane_index, "draw": _draw, "peek": _peek,
}  # fmt: skip
_STATEMENTS: dict[str, Callable[[Lanes, Value], None]] = {
    "store": _store, "poke": _poke, "sum": _sum, "count": _count, "first": _first,
}  # fmt: skip
