"""`plan_jacobian`: what a Jacobian will cost by each method, before one is computed, and the cheapest way.

Read `plan_jacobian`, then `JacobianPlan.run`. Passes are counted, timed on this very record
(`jacobian_passes`), and saved where the pattern allows it (`jacobian_pattern`, `colouring`). May import
`graph`, `autograd`, `func`, `transform`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.explanations.colouring import Colouring, colour_columns, colour_rows, seeds
from pullback.explanations.jacobian_passes import Passes
from pullback.explanations.jacobian_pattern import affordable_pattern, batch_of
from pullback.graph.tensor import Tensor, wrap
from pullback.transform.pattern import Pattern

LANES = 32  # vectors that a timed batch has at most
METHODS = {
    "reverse": "one reverse pass per output entry",
    "forward": "one forward pass per input entry",
    "coloured reverse": "reverse passes for rows that share no column, together",
    "coloured forward": "forward passes for columns that share no row, together",
    "batch reverse": "one reverse pass per output entry of one sample, all samples together",
    "batch forward": "one forward pass per input entry of one sample, all samples together",
}


@dataclass(frozen=True, eq=False, repr=False)
class Method:
    """One way to compute the Jacobian.

    name        a key of METHODS
    passes      how many vectors are pulled or pushed
    seconds     the estimate for all of them; seconds_each: of one pass alone, measured (None: not measured)
    bytes       the estimated peak: the result, and what the passes of one chunk keep alive
    chunk_size  how many passes run together within the memory budget; 1 where batching them does not pay
    colouring   which rows or columns share a pass, or None
    why_not     why it cannot run, or ""
    """

    name: str
    passes: int
    seconds: float | None
    seconds_each: float | None
    bytes: int
    chunk_size: int
    colouring: Colouring | None
    why_not: str

    def __repr__(self) -> str:
        if self.why_not:
            return f"Method({self.name}: not possible, {self.why_not})"
        return f"Method({self.name}: {self.passes} passes, {_time(self.seconds)}, {_size(self.bytes)})"


@dataclass(frozen=True, eq=False, repr=False)
class JacobianPlan:
    """What `plan_jacobian` found.

    out_shape, in_shape   the Jacobian has shape out_shape + in_shape; dense_bytes is its size
    methods               a tuple of Method, in the order of METHODS; best: the name of the fastest
    chunk_size            of the best
    pattern, nnz, density the entries that can be non-zero (None where the pattern is not known: see notes)
    batch                 B, where output and input share a leading dimension; else None
    batch_diagonal        is the Jacobian block-diagonal over it? None: not determined
    code                  a line that computes it
    notes                 what is not known, and why
    """

    out_shape: tuple[int, ...]
    in_shape: tuple[int, ...]
    dense_bytes: int
    methods: tuple[Method, ...]
    best: str
    chunk_size: int
    pattern: Pattern | None
    nnz: int | None
    density: float | None
    batch: int | None
    batch_diagonal: bool | None
    code: str
    notes: tuple[str, ...]
    passes: Passes = field(compare=False)

    def method(self, name: str) -> Method:
        """One of the methods by its name. KeyError with the names that exist for any other."""
        for m in self.methods:
            if m.name == name:
                return m
        raise KeyError(f"no method {name!r}; there are {', '.join(m.name for m in self.methods)}")

    def run(self, method: str | None = None, *, batch: bool = False, chunk_size: int | None = None) -> Tensor:
        """The Jacobian where the plan was made, a tensor of shape out_shape + in_shape.

        method      default: the best
        batch       the blocks alone: shape (B,) + out_shape[1:] + in_shape[1:]. ValueError unless the
                    Jacobian is proven to be block-diagonal
        chunk_size  default: the method's
        """
        if batch and not self.batch_diagonal:
            raise ValueError(
                "batch=True needs a Jacobian that is proven to be block-diagonal over the leading dimension; "
                f"here that is {'not determined' if self.batch_diagonal is None else 'not so'}"
            )
        m = self.method(method or self.best)
        if m.why_not:
            raise RuntimeError(f"the method {m.name} cannot run: {m.why_not}")
        j = _run(m, self, max(chunk_size or m.chunk_size, 1))
        if not batch:
            return wrap(j.reshape(self.out_shape + self.in_shape))
        b = int(self.batch or 1)
        blocks = j.reshape(b, j.shape[0] // b, b, j.shape[1] // b)[np.arange(b), :, np.arange(b)]
        return wrap(np.ascontiguousarray(blocks).reshape(self.out_shape + self.in_shape[1:]))

    def __repr__(self) -> str:
        m = self.method(self.best)
        shown = "" if self.density is None else f", {100 * self.density:.3g} % can be non-zero"
        return (
            f"JacobianPlan({list(self.out_shape)} by {list(self.in_shape)}, {_size(self.dense_bytes)}{shown}"
            f"; best: {m.name}, {m.passes} passes, {_time(m.seconds)})"
        )

    def __str__(self) -> str:
        lines = [repr(self)]
        for m in self.methods:
            what = (
                f"not possible: {m.why_not}"
                if m.why_not
                else (
                    f"{m.passes:>8} passes  {_time(m.seconds):>9}  {_size(m.bytes):>9}  "
                    f"chunk_size {m.chunk_size}"
                )
            )
            lines.append(f"  {'*' if m.name == self.best else ' '} {m.name:<17}{what}")
        if self.batch_diagonal is not None and self.batch is not None:
            how = (
                "each sample depends on itself only"
                if self.batch_diagonal
                else "samples depend on each other"
            )
            lines.append(f"  batch of {self.batch}: {how}")
        lines.append(f"  run: {self.code}")
        return "\n".join([*lines, *("  note: " + n for n in self.notes)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{'<b>' if m.name == self.best else ''}{m.name}</td><td>{m.passes}</td>"
            f"<td>{_time(m.seconds)}</td><td>{_size(m.bytes)}</td><td>{m.chunk_size}</td>"
            f"<td>{escape(m.why_not or METHODS[m.name])}</td></tr>"
            for m in self.methods
        )
        heads = "".join(f"<th>{h}</th>" for h in ("method", "passes", "time", "memory", "chunk", ""))
        notes = "".join(f"<p>{escape(n)}</p>" for n in self.notes)
        title = f"<p><code>{escape(repr(self))}</code></p>"
        return f"{title}<table><tr>{heads}</tr>{rows}</table><p><code>{escape(self.code)}</code></p>{notes}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the record as lists, numbers and strings."""
        names = ("name", "passes", "seconds", "seconds_each", "bytes", "chunk_size", "why_not")
        methods = [
            {n: getattr(m, n) for n in names}
            | {"colours": None if m.colouring is None else m.colouring.count}
            for m in self.methods
        ]
        plain = ("dense_bytes", "best", "chunk_size", "nnz", "density", "batch", "batch_diagonal", "code")
        shapes = {"out_shape": list(self.out_shape), "in_shape": list(self.in_shape)}
        return {
            **shapes,
            **{n: getattr(self, n) for n in plain},
            "methods": methods,
            "notes": list(self.notes),
        }


def _size(n: int) -> str:
    for unit, width in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= width:
            return f"{n / width:.3g} {unit}"
    return f"{n} B"


def _time(s: float | None) -> str:
    if s is None:
        return "not timed"
    for unit, width in (("s", 1.0), ("ms", 1e-3)):
        if s >= width:
            return f"{s / width:.3g} {unit}"
    return f"{s * 1e6:.3g} us"


# ---------------------------------------------------------------------- planning


def plan_jacobian(
    f: Any, x: Any, *, argnum: int = 0, memory: float = 1e9, budget: float = 0.5
) -> JacobianPlan:
    """What the Jacobian of f at x costs by each method, and which is the fastest, before it is computed.

    f        a function of the tensors in x that returns a tensor, or a recorded output (then x is a leaf or
             followed tensor that it was computed from)
    x        a tensor of real floating dtype and any shape, or a tuple of arguments
    argnum   with a tuple: the argument to differentiate
    memory   bytes that the passes of one chunk, with the result, should stay below
    budget   seconds that may be spent on timing real passes, in all
    Times are measured on the record of f at x: a few passes of each mode, alone and batched. The pattern of
    the Jacobian is that of the program (`transform.pattern`), so columns that share a colour never meet.
    RuntimeError where the output does not depend on x by a record, TypeError where it is no tensor.

    >>> import pullback as torch
    >>> x = torch.linspace(0.0, 1.0, 50)
    >>> plan = plan_jacobian(lambda x: torch.sin(x[1:]) - x[:-1] ** 2, x)
    >>> plan.nnz, plan.method("coloured forward").passes, plan.method("reverse").passes
    (98, 2, 49)
    >>> plan.run().shape
    torch.Size([49, 50])
    """
    args: tuple[Any, ...] = tuple(x) if isinstance(x, tuple | list) else (x,)
    if not -len(args) <= argnum < len(args):
        raise RuntimeError(f"Got argnum={argnum}, but only {len(args)} positional inputs")
    start = args[argnum]
    out = f
    if not isinstance(f, Tensor):
        if isinstance(start, Tensor) and start.value.dtype.kind == "f":
            start = start.detach().clone().requires_grad_()
        args = tuple(start if k == argnum % len(args) else a for k, a in enumerate(args))
        out = f(*args)
    _check(out, start)
    passes = Passes(out, start)
    p, why = affordable_pattern(out, start)
    shapes = tuple(out.value.shape), tuple(start.value.shape)
    size, diagonal = batch_of(p, *shapes)
    methods = _methods(passes, p, size if diagonal else None, memory, budget)
    possible = [m for m in methods if not m.why_not]
    if not possible:
        raise RuntimeError(message(methods[0].why_not, "no method can compute this Jacobian"))
    best = min(
        possible, key=lambda m: (np.inf if m.seconds is None else m.seconds, m.passes, "coloured" in m.name)
    )
    notes = [f"the pattern is not known, so neither is what colouring saves: {why}"] if why else []
    dense = out.value.size * start.value.size * start.value.dtype.itemsize
    if dense > memory:
        notes.append(
            f"the dense Jacobian alone takes {_size(dense)}, more than the {_size(int(memory))} allowed"
        )
    nnz = None if p is None else p.nnz
    density = None if p is None else p.nnz / max(p.shape[0] * p.shape[1], 1)
    return JacobianPlan(
        *shapes, dense, tuple(methods), best.name, best.chunk_size, p, nnz, density, size, diagonal,
        _code(best, len(args), argnum), tuple(notes), passes,
    )  # fmt: skip


def _check(out: Any, x: Any) -> None:
    if not isinstance(out, Tensor) or not isinstance(x, Tensor):
        kind = type(x if isinstance(out, Tensor) else out).__name__
        raise TypeError(message(f"plan_jacobian() expects a tensor in and a tensor out, but got {kind}"))
    for t in (x, out):
        if t.node is None:
            first = (
                "One of the differentiated Tensors does not require grad"
                if t is x
                else "element 0 of tensors does not require grad and does not have a grad_fn"
            )
            raise RuntimeError(
                message(first, f"shape {list(t.value.shape)}", "pass the function and a float tensor")
            )
        if t.value.dtype.kind != "f":
            raise RuntimeError(message("plan_jacobian() is for real numbers", f"the dtype is {t.dtype!r}"))


def _code(best: Method, arity: int, argnum: int) -> str:
    where = "" if arity == 1 else f", argnums={argnum}"
    call = "(x)" if arity == 1 else "(*x)"
    if best.name == "reverse":
        return f"torch.func.jacrev(f{where}, chunk_size={best.chunk_size}){call}"
    if best.name == "forward" and best.chunk_size >= best.passes:
        return f"torch.func.jacfwd(f{where}){call}"
    return "plan.run()" + ("  # plan.run(batch=True) for the blocks alone" if "batch" in best.name else "")


def _methods(
    passes: Passes, p: Pattern | None, batch: int | None, memory: float, budget: float
) -> list[Method]:
    found: list[Method] = []
    for mode, count in (("reverse", passes.m), ("forward", passes.n)):
        clock = _Clock(passes, mode, count, budget / 2, memory)
        found.append(clock.method(mode, count, None))
        if p is not None:
            colours = colour_rows(p) if mode == "reverse" else colour_columns(p)
            if colours is not None:
                found.append(clock.method(f"coloured {mode}", colours.count, colours))
        if batch is not None:
            n = count // batch
            found.append(clock.method(f"batch {mode}", n, Colouring(np.tile(np.arange(n), batch), n, n)))
    order = list(METHODS)
    return sorted(found, key=lambda m: order.index(m.name))


class _Clock:
    """What passes of one mode cost: measured alone and batched."""

    def __init__(self, passes: Passes, mode: str, count: int, budget: float, memory: float) -> None:
        self.passes, self.mode = passes, mode
        self.alone: float | None = None
        self.batched: tuple[float, float] | None = None  # seconds of a batch: this, and this much per lane
        self.why_not = ""
        self.result = passes.m * passes.n * passes.x.value.dtype.itemsize
        self.lane = max(passes.lane_bytes(mode), 1)
        self.most = int(max(min((memory - self.result) / self.lane, max(count, 1)), 1))
        if not count:
            return
        try:
            self.alone = passes.timed(mode, 1, budget / 2)
        except (RuntimeError, NotImplementedError) as e:
            self.why_not = str(e).splitlines()[0]
            return
        # a batch may take as long as its passes one after the other: no more than the budget allows for
        lanes = min(LANES, self.most, int(budget / (4 * self.alone)))
        if lanes > 1:
            self._time_batches(lanes, budget / 8)

    def _time_batches(self, lanes: int, budget: float) -> None:
        """Fit a line through the times of a small batch and a larger one."""
        try:
            low, high = (self.passes.timed(self.mode, k, budget) for k in (2, lanes))
        except (RuntimeError, NotImplementedError):
            return  # an op on the way cannot be mapped: the passes run one by one
        each = max(high - low, 0.0) / (lanes - 2) if lanes > 2 else low / 2
        self.batched = (max(low - 2 * each, 0.0), each)

    def method(self, name: str, count: int, colouring: Colouring | None) -> Method:
        chunk, seconds = 1, None if self.alone is None else self.alone * count
        wide = min(self.most, count)
        if self.batched is not None and seconds is not None and wide > 1:
            once, each = self.batched
            together = -(-count // wide) * once + count * each
            if together < seconds:
                chunk, seconds = wide, together
        peak = self.result + chunk * self.lane
        return Method(name, count, seconds, self.alone, peak, chunk, colouring, self.why_not)


# ---------------------------------------------------------------------- running


def _run(m: Method, plan: JacobianPlan, chunk: int) -> Any:
    """The Jacobian as an (m, n) array."""
    passes = plan.passes
    mode = "reverse" if m.name.endswith("reverse") else "forward"
    together = chunk > 1
    dtype = passes.x.value.dtype
    count = passes.m if mode == "reverse" else passes.n
    if m.colouring is None:
        found = passes.run(mode, np.eye(count, dtype=dtype), chunk, together)
        return found if mode == "reverse" else found.T
    found = passes.run(mode, seeds(m.colouring, dtype), chunk, together)
    p = plan.pattern
    assert p is not None, "a coloured method has a pattern"
    j = np.zeros(p.shape, dtype)
    if mode == "reverse":
        j[p.rows, p.cols] = found[m.colouring.colours[p.rows], p.cols]
    else:
        j[p.rows, p.cols] = found[m.colouring.colours[p.cols], p.rows]
    return j


__all__ = ["JacobianPlan", "Method", "plan_jacobian"]
