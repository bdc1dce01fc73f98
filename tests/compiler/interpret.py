"""A lane program run value by value in NumPy: the judge that knows nothing of LLVM.

`run(program, arrays, n)` runs a "map" program for lanes 0..n-1. Loads and stores take the arrays flat.
"""

from __future__ import annotations

import numpy as np
import scipy.special as sp

from pullback.ops import special

DTYPES = {t: np.dtype(t) for t in ("f4", "f8", "i1", "i2", "i4", "i8", "u1")} | {"b1": np.dtype(bool)}
FUNCTIONS = {
    "neg": np.negative,
    "abs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "rint": np.rint, "not": np.invert, "add": np.add, "sub": np.subtract, "mul": np.multiply,
    "div": np.divide, "copysign": np.copysign, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "shl": np.left_shift, "shr": np.right_shift, "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "rem": np.fmod,
    "exp": np.exp, "exp_inside": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "erf": sp.erf, "erfc": sp.erfc,
    "erfinv": sp.erfinv, "lgamma": special.lgamma.eval, "digamma": sp.digamma, "pow": np.power,
    "hypot": np.hypot, "fma": lambda x, y, z: x * y + z, "select": np.where,
}  # fmt: skip


def divided(x, y):
    """Integer division towards zero; by zero it is 0."""
    safe = np.where(y == 0, 1, y).astype(x.dtype)
    return np.where(y == 0, 0, (x - np.fmod(x, safe)) // safe).astype(x.dtype)


class Machine:
    def __init__(self, program, arrays, n):
        self.program, self.arrays, self.n = program, arrays, n
        self.env = {}
        self.scratch = [np.zeros((size, n), DTYPES[t]) for t, size in program.scratch]
        self.outer = ()

    def get(self, v):
        if v.op == "const":
            return np.full(self.n, v.data, DTYPES[v.type])
        return self.env[id(v)]

    def place(self, array, offset):
        info = self.program.arrays[array]
        return np.arange(self.n) * info.lane_stride + offset + sum(
            i * s for i, s in zip(self.outer, info.outer, strict=True)
        )

    def block(self, values, active):
        for v in values:
            self.one(v, active)

    def one(self, v, active):
        args = [self.get(a) for a in v.args]
        if v.op == "const":
            return
        if v.op == "loop":
            self.loop(v.data, active)
        elif v.op == "load":
            self.env[id(v)] = self.arrays[v.data][self.place(v.data, args[0])]
        elif v.op == "store":
            self.arrays[v.data][self.place(v.data, args[0])[active]] = args[1][active]
        elif v.op == "peek":
            self.env[id(v)] = self.scratch[v.data][args[0], np.arange(self.n)]
        elif v.op == "poke":
            self.scratch[v.data][args[0][active], np.arange(self.n)[active]] = args[1][active]
        elif v.op == "cast":
            self.env[id(v)] = args[0].astype(DTYPES[v.type])
        elif v.op == "div" and v.type not in {"f4", "f8"}:
            self.env[id(v)] = divided(*args)
        else:
            r = FUNCTIONS[v.op](*args)
            self.env[id(v)] = np.asarray(r).astype(DTYPES[v.type], copy=False)

    def loop(self, loop, active):
        carried = [self.get(v) for v in loop.inits]
        rounds = 0
        running = active.copy()
        while loop.count is None or rounds < loop.count:
            for c, x in zip(loop.carries, carried, strict=True):
                self.env[id(c)] = x
            self.env[id(loop.counter)] = np.full(self.n, rounds)
            if loop.count is None:
                self.block(loop.header, running)
                running = running & self.get(loop.condition)
                if not running.any():
                    break
            self.block(loop.body, running)
            carried = [np.where(running, self.get(v), x) for v, x in zip(loop.nexts, carried, strict=True)]
            rounds += 1
        for r, x in zip(loop.results, carried, strict=True):
            self.env[id(r)] = x


def run(program, arrays, n):
    machine = Machine(program, arrays, n)
    with np.errstate(all="ignore"):
        for outer in np.ndindex(*program.outer):
            machine.outer = outer
            machine.block(program.body, np.ones(n, bool))
    return arrays
