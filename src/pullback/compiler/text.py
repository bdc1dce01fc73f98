"""Writing LLVM: typed values with Python's operators, collected as text.

Holds `V` (a value of LLVM, a scalar or a vector of lanes), `Code` (the instructions of one function, in
order) and `Module` (functions and declarations). Text, because it is written in microseconds and read by
people. The scalar types are those of `program.TYPES`. Read `V`, then `Code`. May import NumPy and
`compiler.program` only.

Floating-point instructions carry no fast-math flags and are never contracted: what is written is what is
computed, on any machine.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

# names in LLVM; a boolean is one bit in registers and one byte in memory
NAMES = {
    "f4": "float", "f8": "double", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64", "u1": "i8", "b1": "i1",
}  # fmt: skip
SIZES = {"f4": 4, "f8": 8, "i1": 1, "i2": 2, "i4": 4, "i8": 8, "u1": 1, "b1": 1}
FLOATS = frozenset({"f4", "f8"})
_ORDERED = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_SIGNED = {"eq": "eq", "ne": "ne", "lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge"}
_UNSIGNED = {"eq": "eq", "ne": "ne", "lt": "ult", "le": "ule", "gt": "ugt", "ge": "uge"}
_LETTER = {
    "f4": "f32",
    "f8": "f64",
    "i1": "i8",
    "i2": "i16",
    "i4": "i32",
    "i8": "i64",
    "u1": "i8",
    "b1": "i1",
}


def type_name(t: str, n: int) -> str:
    """The LLVM name of n lanes of scalar type t; one lane is a plain scalar.

    >>> type_name("f4", 16), type_name("b1", 1)
    ('<16 x float>', 'i1')
    """
    return NAMES[t] if n == 1 else f"<{n} x {NAMES[t]}>"


def suffix(t: str, n: int) -> str:
    """How LLVM's intrinsics spell the type: v16f32, i64."""
    return _LETTER[t] if n == 1 else f"v{n}{_LETTER[t]}"


def literal(x: Any, t: str) -> str:
    """The number x of type t as LLVM writes it; floats by their bits, so nothing is rounded on the way."""
    if t == "b1":
        return "true" if x else "false"
    if t in FLOATS:
        # a float constant is written as the double of the same value
        with np.errstate(over="ignore", under="ignore"):
            y = float(np.float32(x)) if t == "f4" else float(x)
        return f"0x{struct.unpack('>Q', struct.pack('>d', y))[0]:016X}"
    return str(int(x))


class V:
    """A value: `ref` as it stands in the text, scalar type `t`, `n` lanes, and the code it belongs to.

    Operators write instructions. A Python number beside a V takes its type and width; two V must agree.
    Integer >> is arithmetic (logical for u1), `lsr` logical. Comparisons are the methods eq, ne, lt, le,
    gt, ge, which give b1; with NaN all but ne are false.
    """

    __slots__ = ("code", "n", "ref", "t")

    def __init__(self, ref: str, t: str, n: int, code: Code) -> None:
        self.ref, self.t, self.n, self.code = ref, t, n, code

    @property
    def type(self) -> str:
        """The LLVM type."""
        return type_name(self.t, self.n)

    @property
    def typed(self) -> str:
        """Type and name, as an operand is written."""
        return f"{type_name(self.t, self.n)} {self.ref}"

    def _two(self, real: str, whole: str, other: Any, flip: bool = False) -> V:
        y = other if isinstance(other, V) else self.code.const(other, self.t, self.n)
        if y.n != self.n:
            return self.code.wide(self, max(y.n, self.n))._two(
                real, whole, self.code.wide(y, max(y.n, self.n)), flip
            )
        a, b = (y, self) if flip else (self, y)
        op = real if self.t in FLOATS else whole
        return self.code.add(f"{op} {self.type} {a.ref}, {b.ref}", self.t, self.n)

    def __add__(self, other: Any) -> V:
        return self._two("fadd", "add", other)

    def __radd__(self, other: Any) -> V:
        return self._two("fadd", "add", other, flip=True)

    def __sub__(self, other: Any) -> V:
        return self._two("fsub", "sub", other)

    def __rsub__(self, other: Any) -> V:
        return self._two("fsub", "sub", other, flip=True)

    def __mul__(self, other: Any) -> V:
        return self._two("fmul", "mul", other)

    def __rmul__(self, other: Any) -> V:
        return self._two("fmul", "mul", other, flip=True)

    def __truediv__(self, other: Any) -> V:
        return self._two("fdiv", "udiv" if self.t == "u1" else "sdiv", other)

    def __rtruediv__(self, other: Any) -> V:
        return self._two("fdiv", "udiv" if self.t == "u1" else "sdiv", other, flip=True)

    def __mod__(self, other: Any) -> V:
        return self._two("frem", "urem" if self.t == "u1" else "srem", other)

    def __and__(self, other: Any) -> V:
        return self._two("", "and", other)

    def __or__(self, other: Any) -> V:
        return self._two("", "or", other)

    def __xor__(self, other: Any) -> V:
        return self._two("", "xor", other)

    def __lshift__(self, other: Any) -> V:
        return self._two("", "shl", other)

    def __rshift__(self, other: Any) -> V:
        return self._two("", "lshr" if self.t == "u1" else "ashr", other)

    def lsr(self, other: Any) -> V:
        """Shift right, zeros coming in."""
        return self._two("", "lshr", other)

    def __invert__(self) -> V:
        return self._two("", "xor", True if self.t == "b1" else -1)

    def __neg__(self) -> V:
        if self.t in FLOATS:
            return self.code.add(f"fneg {self.typed}", self.t, self.n)
        return self.code.const(0, self.t, self.n) - self

    def _compare(self, how: str, other: Any) -> V:
        y = other if isinstance(other, V) else self.code.const(other, self.t, self.n)
        n = max(self.n, y.n)
        a, b = self.code.wide(self, n), self.code.wide(y, n)
        if self.t in FLOATS:
            op = f"fcmp {_ORDERED[how]}"
        else:
            op = f"icmp {(_UNSIGNED if self.t in {'u1', 'b1'} else _SIGNED)[how]}"
        return self.code.add(f"{op} {a.type} {a.ref}, {b.ref}", "b1", n)

    def eq(self, other: Any) -> V:
        """Are they equal?"""
        return self._compare("eq", other)

    def ne(self, other: Any) -> V:
        """Do they differ, or is one NaN?"""
        return self._compare("ne", other)

    def lt(self, other: Any) -> V:
        """Less than."""
        return self._compare("lt", other)

    def le(self, other: Any) -> V:
        """Less or equal."""
        return self._compare("le", other)

    def gt(self, other: Any) -> V:
        """Greater than."""
        return self._compare("gt", other)

    def ge(self, other: Any) -> V:
        """Greater or equal."""
        return self._compare("ge", other)

    def select(self, yes: Any, no: Any) -> V:
        """`yes` where this b1 holds, else `no`; one of them is a V."""
        model = yes if isinstance(yes, V) else no
        assert isinstance(model, V)
        a = yes if isinstance(yes, V) else self.code.const(yes, model.t, model.n)
        b = no if isinstance(no, V) else self.code.const(no, model.t, model.n)
        n = max(a.n, b.n, self.n)
        a, b = self.code.wide(a, n), self.code.wide(b, n)
        return self.code.add(f"select {self.typed}, {a.typed}, {b.typed}", a.t, n)

    def bits(self, t: str) -> V:
        """The same bits as type t of the same size."""
        return self.code.add(f"bitcast {self.typed} to {type_name(t, self.n)}", t, self.n)

    def to(self, t: str) -> V:
        """Converted to type t: floats truncate to integers, anything but 0 is True, True is 1.

        A float out of the integer's range gives some integer, the same wherever it is used.
        """
        source = self.t
        if t == source:
            return self
        if t == "b1":
            return self.ne(0)
        target = type_name(t, self.n)
        if source in FLOATS and t in FLOATS:
            return self.code.add(f"{'fpext' if t == 'f8' else 'fptrunc'} {self.typed} to {target}", t, self.n)
        if source in FLOATS:
            if t in {"u1", "i1", "i2"}:  # by way of i4, which wraps as C and NumPy do
                return self.to("i4").to(t)
            made = self.code.add(f"fptosi {self.typed} to {target}", t, self.n)
            return self.code.add(f"freeze {made.typed}", t, self.n)
        unsigned = source in {"u1", "b1"}
        if t in FLOATS:
            return self.code.add(f"{'uitofp' if unsigned else 'sitofp'} {self.typed} to {target}", t, self.n)
        if SIZES[t] == SIZES[source] and source != "b1":
            return V(self.ref, t, self.n, self.code)
        smaller = SIZES[t] < SIZES[source] and source != "b1"
        way = "trunc" if smaller else ("zext" if unsigned else "sext")
        return self.code.add(f"{way} {self.typed} to {target}", t, self.n)

    def lane(self, i: int) -> V:
        """Lane i as a scalar."""
        if self.n == 1:
            return self
        return self.code.add(f"extractelement {self.typed}, i64 {i}", self.t, 1)


class Code:
    """The instructions of one function, in order, with fresh names."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.lines: list[str] = []
        self._names = 0
        self.block = "entry"
        self.lines.append("entry:")

    def name(self, stem: str = "") -> str:
        """A name not used before in this function."""
        self._names += 1
        return f"{stem}{self._names}" if stem else f"v{self._names}"

    def add(self, text: str, t: str, n: int) -> V:
        """Write an instruction that gives a value."""
        self._names += 1
        ref = f"%v{self._names}"
        self.lines.append(f"  {ref} = {text}")
        return V(ref, t, n, self)

    def do(self, text: str) -> None:
        """Write an instruction without a result."""
        self.lines.append("  " + text)

    def const(self, x: Any, t: str, n: int = 1) -> V:
        """The number x in all n lanes."""
        one = literal(x, t)
        if n == 1:
            return V(one, t, 1, self)
        return V(f"splat ({NAMES[t]} {one})", t, n, self)

    def per_lane(self, values: Iterable[Any], t: str) -> V:
        """A constant that differs from lane to lane."""
        items = [f"{NAMES[t]} {literal(x, t)}" for x in values]
        return V(f"<{', '.join(items)}>", t, len(items), self)

    def wide(self, v: V, n: int) -> V:
        """v in all n lanes; v itself where it has n lanes already."""
        if v.n == n:
            return v
        assert v.n == 1, f"{v.type} cannot become {n} lanes"
        if not v.ref.startswith("%"):
            return V(f"splat ({v.type} {v.ref})", v.t, n, self)
        whole = type_name(v.t, n)
        first = self.add(f"insertelement {whole} poison, {v.typed}, i64 0", v.t, n)
        return self.add(f"shufflevector {first.typed}, {whole} poison, <{n} x i32> zeroinitializer", v.t, n)

    def shuffle(self, a: V, b: V, lanes: Iterable[int]) -> V:
        """Lanes picked from a (0 .. n-1) and b (n .. 2n-1)."""
        picked = list(lanes)
        mask = ", ".join(f"i32 {i}" for i in picked)
        return self.add(
            f"shufflevector {a.typed}, {b.typed}, <{len(picked)} x i32> <{mask}>", a.t, len(picked)
        )

    def label(self, name: str) -> None:
        """Start a block; the one before must have ended with a branch."""
        self.lines.append(f"{name}:")
        self.block = name

    def jump(self, name: str) -> None:
        """Branch to block `name`."""
        self.do(f"br label %{name}")

    def branch(self, condition: V, yes: str, no: str) -> None:
        """Branch on a scalar b1."""
        self.do(f"br i1 {condition.ref}, label %{yes}, label %{no}")

    def intrinsic(self, name: str, *args: V) -> V:
        """Call LLVM's intrinsic that is overloaded on its first argument's type, such as fma or floor."""
        x = args[0]
        full = f"@llvm.{name}.{suffix(x.t, x.n)}"
        self.module.declare(f"declare {x.type} {full}({', '.join(a.type for a in args)})")
        return self.add(f"call {x.type} {full}({', '.join(a.typed for a in args)})", x.t, x.n)

    def fma(self, x: V, y: Any, z: Any) -> V:
        """x * y + z, rounded once."""
        args = [a if isinstance(a, V) else self.const(a, x.t, x.n) for a in (x, y, z)]
        n = max(a.n for a in args)
        return self.intrinsic("fma", *(self.wide(a, n) for a in args))

    def any(self, mask: V) -> V:
        """Is a b1 true in any lane? A scalar."""
        if mask.n == 1:
            return mask
        bits = self.add(f"bitcast {mask.typed} to i{mask.n}", "i8", 1)
        return self.add(f"icmp ne i{mask.n} {bits.ref}, 0", "b1", 1)

    def pointer(self, base: str, t: str, index: V | int) -> str:
        """The address of element `index` of an array of t in memory."""
        stored = "i8" if t == "b1" else NAMES[t]
        at = str(index) if isinstance(index, int) else index.ref
        return self.add(f"getelementptr {stored}, ptr {base}, i64 {at}", "i8", 1).ref

    def load(self, address: str, t: str, n: int = 1, note: str = "", align: int = 0) -> V:
        """n consecutive elements from memory."""
        stored = "u1" if t == "b1" else t
        v = self.add(
            f"load {type_name(stored, n)}, ptr {address}, align {align or SIZES[t]}{note}", stored, n
        )
        return v.ne(0) if t == "b1" else v

    def store(self, address: str, v: V, align: int = 0) -> None:
        """v's lanes to consecutive elements of memory."""
        if v.t == "b1":
            v = v.to("u1")
        self.do(f"store {v.typed}, ptr {address}, align {align or SIZES[v.t]}")

    def call(self, function: str, t: str, n: int, *args: V) -> V:
        """Call a function of this module or a declared one."""
        return self.add(f"call {type_name(t, n)} @{function}({', '.join(a.typed for a in args)})", t, n)


class Module:
    """Functions and declarations; `text` is what LLVM reads."""

    def __init__(self) -> None:
        self._declared: dict[str, None] = {}
        self._functions: dict[str, str] = {}
        self.symbols: list[str] = []  # functions of the C library (or SciPy) that the code calls by name

    def declare(self, line: str) -> None:
        """Declare an external function or intrinsic."""
        self._declared[line] = None

    def global_line(self, line: str) -> None:
        """Define a global variable."""
        self._declared[line] = None

    def external(self, name: str, signature: str) -> None:
        """Declare a library function; signature such as "double (double)"."""
        result, _, arguments = signature.partition(" ")
        self.declare(f"declare {result} @{name}{arguments} nounwind")
        if name not in self.symbols:
            self.symbols.append(name)

    def has(self, name: str) -> bool:
        """Is function `name` written already?"""
        return name in self._functions

    def function(
        self, name: str, result: str, parameters: str, attributes: str, write: Callable[[Code], None]
    ) -> None:
        """Add function `name`; `write` fills its Code. A name is added once."""
        if name in self._functions:
            return
        self._functions[name] = ""  # keeps its place: what it calls may be added while it is written
        code = Code(self)
        write(code)
        lines = "\n".join(code.lines)
        self._functions[name] = f"define {result} @{name}({parameters}) {attributes} {{\n{lines}\n}}\n"

    def text(self) -> str:
        """The whole module."""
        return "\n".join([*self._declared, "", *self._functions.values()])
