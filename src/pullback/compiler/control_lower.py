"""Loops and branches as lane values: what `lower` does for `scan`, `while_loop` and `cond`.

A short loop is written out; a longer one becomes a `Loop` of the lane program. What it runs over is read
from where it lies, if its entries stand at equal steps: in an array, or in what another loop collected; else
from a copy in this lane's scratch memory. What it collects goes to scratch. Read `lower_scan`. May import
`compiler.lower` and what it imports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pullback.compiler.build import Builder
from pullback.compiler.cells import Cells, NotLowered, code_of
from pullback.compiler.graph import Graph
from pullback.compiler.lower import lower_graph
from pullback.compiler.program import Value

WRITTEN = 8192  # entries that the rounds of a loop may compute together if they are to be written out
SCRATCH = 1 << 16  # entries that a loop may keep in a lane's scratch memory


def lower_scan(
    *args: Cells, body: Graph, captured: int, carries: int, length: int, reverse: bool, history: int
) -> tuple[Cells, ...]:
    """The loop."""
    del history
    b = builder_of(args)
    args = typed(args, body)
    fixed, carry, xs = args[:captured], args[captured : captured + carries], args[captured + carries :]
    order = list(reversed(range(length)) if reverse else range(length))
    # one after the other, the rounds of a loop share what its derivative computes again
    if length * sum(v.size for e in body.eqns for v in e.outs) <= WRITTEN:
        return written_out(b, body, fixed, list(carry), xs, order)
    rows = [reader(b, x) for x in xs]
    ys = body.outputs[carries:]
    kept = [Kept(b, v, length) for v in ys]

    def step(counter: Value, held: list[Value]) -> list[Value]:
        t = b.op("sub", length - 1, counter) if reverse else counter
        ins = [*fixed, *regrouped(b, held, body.outputs[:carries]), *(read(t) for read in rows)]
        outs = lower_graph(b, body, ins)
        for store, y in zip(kept, outs[carries:], strict=True):
            store.write(t, y)
        return entries(outs[:carries])

    last = b.loop(length, entries(carry), step)
    return *regrouped(b, last, body.outputs[:carries]), *(k.read() for k in kept)


def written_out(
    b: Builder, body: Graph, fixed: Sequence[Cells], carry: list[Cells], xs: Sequence[Cells], order: list[int]
) -> tuple[Cells, ...]:
    """The rounds one after the other."""
    k = len(carry)
    rounds: dict[int, list[Cells]] = {}
    for t in order:
        outs = lower_graph(b, body, [*fixed, *carry, *(x[t] for x in xs)])
        carry, rounds[t] = outs[:k], outs[k:]
    ys: list[Cells] = []
    for i, v in enumerate(body.outputs[k:]):
        grid = np.empty((len(order), *v.shape), object)
        for t in order:
            grid.reshape(len(order), -1)[t, :] = list(rounds[t][i].flat)
        ys.append(Cells(grid, v.dtype, b))
    return *carry, *ys


def lower_while(*args: Cells, cond: Graph, body: Graph, captured: int) -> tuple[Cells, ...]:
    """The loop; a lane that has ended keeps its carry."""
    b = builder_of(args)
    args = typed(args, body)
    fixed, carry = args[:captured], args[captured:]
    last = b.loop(
        None,
        entries(carry),
        lambda _counter, held: entries(lower_graph(b, body, [*fixed, *regrouped(b, held, body.outputs)])),
        lambda held: entries(lower_graph(b, cond, [*fixed, *regrouped(b, held, body.outputs)]))[0],
    )
    return tuple(regrouped(b, last, body.outputs))


def lower_cond(pred: Cells, *args: Cells, true: Graph, false: Graph) -> tuple[Cells, ...]:
    """Both branches, and a select for every entry."""
    b = builder_of((pred, *args))
    args = typed(args, true)
    p = entries([pred.astype(bool)])[0]
    if p.op == "const":
        return tuple(lower_graph(b, true if p.data else false, args))
    pairs = zip(lower_graph(b, true, args), lower_graph(b, false, args), strict=True)
    return tuple(chosen(b, p, x, y) for x, y in pairs)


def chosen(b: Builder, p: Value, x: Cells, y: Cells) -> Cells:
    """x where p, else y."""
    grid = np.empty(x.shape, object)
    grid.reshape(-1)[:] = [b.select(p, v, w) for v, w in zip(x.flat, y.flat, strict=True)]
    return x.like(grid)


def builder_of(args: Sequence[Any]) -> Builder:
    """The builder that the arguments belong to."""
    for a in args:
        if isinstance(a, Cells):
            return a.builder
    raise NotLowered("no cells")


def typed(args: Sequence[Cells], body: Graph) -> tuple[Cells, ...]:
    """The arguments in the dtypes that the body was recorded for."""
    return tuple(a.astype(v.dtype) for a, v in zip(args, body.inputs, strict=True))


def entries(cells: Sequence[Cells]) -> list[Value]:
    """All entries in a row."""
    return [v for c in cells for v in c.flat]


def regrouped(b: Builder, values: Sequence[Value], like: Sequence[Any]) -> list[Cells]:
    """The inverse of `entries`, with the shapes and dtypes of `like`."""
    rest = iter(values)
    found: list[Cells] = []
    for v in like:
        grid = np.empty(v.shape, object)
        grid.reshape(-1)[:] = [next(rest) for _ in range(v.size)]
        found.append(Cells(grid, v.dtype, b))
    return found


# ---------------------------------------------------------------------- what a loop runs over and collects


def reader(b: Builder, x: Cells) -> Callable[[Value], Cells]:
    """t -> x[t], inside a loop."""
    if not len(x):
        return lambda _t: Cells(x.grid.reshape((0, -1))[:0].reshape(x.shape[1:]), x.dtype, b)
    columns = x.grid.reshape(len(x), -1)
    places = [_place(b, list(columns[:, j])) for j in range(columns.shape[1])]

    def row(t: Value) -> Cells:
        grid = np.empty(x.shape[1:], object)
        grid.reshape(-1)[:] = [place(t) for place in places]
        return Cells(grid, x.dtype, b)

    return row


def _place(b: Builder, column: list[Value]) -> Callable[[Value], Value]:
    """t -> column[t]."""
    first = column[0]
    if all(v is first for v in column):
        return lambda _t: first
    if all(v.op == first.op and v.data == first.data for v in column) and first.op in {"load", "peek"}:
        steps = _steps(column)
        if steps is not None:
            start, step = steps
            known = not any(v.nan for v in column)
            bounds = (min(v.lo for v in column), max(v.hi for v in column)) if known else None

            def read(t: Value) -> Value:
                place = b.op("add", b.op("mul", t, step), start)
                # memory that another loop filled stays as it is: only that loop writes there
                return b.load(first.data, place, bounds) if first.op == "load" else b.peek(first.data, place)

            return read
    memory = b.scratch(first.type, checked(len(column)))
    for t, v in enumerate(column):
        b.statement("poke", (b.const(t, "i8"), v), memory)
    return lambda t: b.peek(memory, t)


def _steps(column: list[Value]) -> tuple[int, int] | None:
    """(first place, step) where the values stand at equal steps."""
    if any(v.args[0].op != "const" for v in column):
        return None
    places = [int(v.args[0].data) for v in column]
    step = places[1] - places[0]
    return (places[0], step) if all(q - p == step for p, q in pairwise(places)) else None


def checked(size: int) -> int:
    """A size of scratch memory; NotLowered where it is too large."""
    if size > SCRATCH:
        raise NotLowered(f"a loop that keeps {size} entries for each sample")
    return size


class Kept:
    """What a loop collects of one output, in scratch memory."""

    def __init__(self, b: Builder, like: Any, length: int) -> None:
        """Memory for `length` rounds of a variable."""
        self.b, self.like, self.length = b, like, length
        self.memory = b.scratch(code_of(like.dtype), checked(length * like.size))

    def write(self, t: Value, y: Cells) -> None:
        """Keep round t."""
        start = self.b.op("mul", t, self.like.size)
        for i, v in enumerate(y.flat):
            self.b.statement("poke", (self.b.op("add", start, i), v), self.memory)

    def read(self) -> Cells:
        """Everything, after the loop."""
        size = self.length * self.like.size
        grid = np.empty((self.length, *self.like.shape), object)
        grid.reshape(-1)[:] = [self.b.peek(self.memory, self.b.const(i, "i8")) for i in range(size)]
        return Cells(grid, self.like.dtype, self.b)
