"""Samples of the op table as lane programs: all samples of an op in one program, every lane the same numbers.

`Table(op).run(engine)` gives for each case what the program computed and what eager code gives. A case is one
sample in one float dtype, with the integer arguments known while the program is written or not ("dynamic").
Engines are `interpreted` and `native`: program, arrays, number of lanes -> arrays.
"""

from __future__ import annotations

import warnings

import numpy as np

from compiler.interpret import run as interpreted
from pullback.compiler import machine
from pullback.compiler.build import Array, Builder
from pullback.compiler.cells import Cells, NotLowered, code_of
from pullback.compiler.jit import Kernel
from pullback.compiler.llvm.kernel import kernel_text
from pullback.compiler.lower import lower_graph
from pullback.compiler.program import Program
from pullback.compiler.trace import Tracer, trace
from pullback.func import vjp
from pullback.graph.tensor import wrap


def native(program, arrays, n):
    """Run the program as machine code, compiled in little time."""
    kernel = Kernel(program, machine.build(kernel_text(program), "large"), "compiled")
    kernel.map(arrays, 0, n)
    return arrays


def arguments(sample, dtype):
    """The sample's arguments, floating ones in this dtype."""
    return [
        np.array(a, dtype if a.dtype.kind == "f" else None) if isinstance(a, np.ndarray | np.generic) else a
        for a in sample.args
    ]


def is_complex(sample):
    """Does it have complex arguments, or ask for complex results?"""
    kinds = [getattr(a, "dtype", None) for a in (*sample.args, *sample.params.values())]
    kinds += [v for v in sample.params.values() if isinstance(v, np.dtype)]
    return any(k is not None and np.dtype(k).kind == "c" for k in kinds)


def integers(sample):
    """Does it have integer or boolean arrays next to floating ones?"""
    kinds = {a.dtype.kind for a in sample.args if isinstance(a, np.ndarray | np.generic)}
    return "f" in kinds and bool(kinds - {"f"})


def outputs(out):
    """Outputs as a list."""
    return list(out) if isinstance(out, tuple) else [out]


class Case:
    """One sample in the program; `reason` where it has no lane form."""

    def __init__(self, table, op, sample, dtype, dynamic):
        self.op, self.sample, self.dtype, self.dynamic = op, sample, dtype, dynamic
        self.args = arguments(sample, dtype)
        self.reason = None
        size, self.first = len(table.program.body), len(table.arrays)
        try:
            self.write(table)
        except NotLowered as e:
            self.reason = str(e)
            del table.program.body[size:], table.arrays[self.first :], table.program.arrays[self.first :]
            table.builder.scopes[0] = {}

    def write(self, table):
        """Record the op on symbols and append its loop body to the program."""
        tracer = Tracer()
        floats = any(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in self.args)
        inputs, given = [], []
        for a in self.args:
            if isinstance(a, np.ndarray):
                symbolic = a.dtype.kind == "f" or self.dynamic or not floats
                given.append(tracer.input(a.shape, a.dtype) if symbolic else wrap(a))
                inputs += [a] if symbolic else []
            else:
                given.append(a)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = self.op(*given, **self.sample.params)
        tracer.graph.outputs = [tracer.variable(o) for o in outputs(out)]
        cells = [table.input(a) for a in inputs]
        found = lower_graph(table.builder, tracer.graph, cells)
        self.results = [table.output(c) for c in found]

    def eager(self):
        """What the op gives on tensors."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            out = self.op(*[wrap(a.copy()) if isinstance(a, np.ndarray) else a for a in self.args],
            **self.sample.params)
        return [np.asarray(o.value) for o in outputs(out)]

    def __repr__(self):
        return f"{self.op.name} {self.dtype}{' dynamic' if self.dynamic else ''} {self.sample}"


class Table:
    """The program of samples of an op, all of its own where none are given.

    copies: how many lanes run.
    """

    def __init__(self, op, samples=None, lanes=1, copies=2):
        self.program = Program(lanes=lanes)
        self.copies = copies
        self.builder = Builder(self.program)
        self.arrays = []
        self.cases = [
            Case(self, op, sample, dtype, dynamic)
            for sample in (op.samples() if samples is None else samples)
            if not is_complex(sample)
            for dtype in ("f8", "f4")
            for dynamic in (False, True)[: 1 + integers(sample)]
        ]

    def input(self, a):
        """The cells of an argument; every lane has its own copy."""
        k = self.builder.array(Array(code_of(a.dtype), lane_stride=a.size))
        self.arrays.append(np.tile(a.reshape(-1), self.copies))
        grid = np.empty(a.shape, object)
        grid.reshape(-1)[:] = [self.builder.load(k, i) for i in range(a.size)]
        return Cells(grid, a.dtype, self.builder)

    def output(self, cells):
        """Store a result: the number of its array, and its shape."""
        k = self.builder.array(Array(code_of(cells.dtype), lane_stride=cells.size, written=True))
        self.arrays.append(np.zeros(cells.size * self.copies, cells.dtype))
        for i, v in enumerate(cells.flat):
            self.builder.store(k, i, v)
        return k, cells.shape

    def run(self, engine):
        """For each case: itself, what it computed with a leading axis of lanes, what eager code gives."""
        arrays = engine(self.program, [a.copy() for a in self.arrays], self.copies)
        return [
            (c, [arrays[k].reshape(self.copies, *shape) for k, shape in c.results], c.eager())
            for c in self.cases
            if c.reason is None
        ]


def worst_ulp(got, want, scale=0.0):
    """The largest error in units of the last place of max(|want|, scale).

    inf where NaN or infinities differ.
    """
    if got.dtype.kind != "f":
        return 0.0 if (got == want).all() else np.inf
    with np.errstate(all="ignore"):
        return _worst(got, want, scale)


def _worst(got, want, scale):
    wide, exact = got.astype(np.float64), np.broadcast_to(want, got.shape).astype(np.float64)
    regular = np.isfinite(exact)
    if not np.array_equal(wide[~regular], exact[~regular], equal_nan=True):
        return np.inf
    if not np.isfinite(wide[regular]).all():
        return np.inf
    size = np.maximum(np.abs(want), np.maximum(scale, np.finfo(got.dtype).tiny)).astype(got.dtype)
    unit = np.broadcast_to(np.spacing(size).astype(np.float64), got.shape)
    return float(np.max(np.abs(wide - exact)[regular] / unit[regular], initial=0.0))


class Cotangents:
    """The vector-Jacobian products of one sample: eager, and as part of a program."""

    def __init__(self, op, sample):
        self.op, self.sample, self.args = op, sample, arguments(sample, "f8")
        self.places = [
            i for i, a in enumerate(self.args)
            if isinstance(a, np.ndarray) and a.dtype.kind == "f" and (sample.diff is None or i in sample.diff)
        ]  # fmt: skip

    def forward(self, *given):
        """The op's floating outputs as a function of the differentiated arguments."""
        args = [wrap(a) if isinstance(a, np.ndarray) else a for a in self.args]
        for i, x in zip(self.places, given, strict=True):
            args[i] = x
        return tuple(o for o in outputs(self.op(*args, **self.sample.params)) if o.dtype.is_floating_point)

    def cotangents(self, *given):
        """What comes back for cotangents of 0.5, 0.6, ..."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            out, pull = vjp(self.forward, *given)
            return pull(tuple(wrap(0.5 + 0.1 * np.arange(o.numel()).reshape(o.shape)) for o in out))

    def eager(self):
        """As arrays."""
        return [np.asarray(t.value) for t in self.cotangents(*[wrap(self.args[i]) for i in self.places])]

    def write(self, table):
        """Record them and append their loop body to the program."""
        arrays = [self.args[i] for i in self.places]
        graph = trace(self.cotangents, arrays).graph
        cells = lower_graph(table.builder, graph, [table.input(a) for a in arrays])
        self.results = [table.output(c) for c in cells]


ENGINES = {"interpreted": interpreted, "native": native}
