"""`minimize`: gradient descent and its relatives as one native loop, with the whole path kept.

The step (value, gradient, update) is recorded once and becomes the body of a compiled loop; where an op of f
has no native form the same loop runs in Python. Read `minimize`, then `Method`. May import `compiler`,
`func`.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pullback.compiler.build import Builder, TooLarge
from pullback.compiler.cells import Cells, NotLowered, as_cells, code_of, scalar
from pullback.compiler.graph import Graph
from pullback.compiler.jit import compile_program
from pullback.compiler.lower import lower_graph
from pullback.compiler.program import Array, Program, Value
from pullback.compiler.trace import trace
from pullback.errors import message
from pullback.func.derivatives import grad_and_value
from pullback.graph.modes import state
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap
from pullback.sampling.fingerprint import fingerprint

BUDGET = 30_000  # values in the loop's body
MOST = 1 << 27  # numbers that a recorded path may have


@dataclass(frozen=True)
class Minimum:
    """What `minimize` found.

    x               the last point, in x0's shape
    value           f(x); gradient_norm: the Euclidean norm of its gradient there
    iterations      how many steps were made
    converged       is gradient_norm <= tol?
    reason          why it stopped, in words
    path            every point, (iterations + 1, entries of x), None without record
    values          f along the path, (iterations + 1,); gradient_norms: the same
    """

    x: Tensor
    value: float
    gradient_norm: float
    iterations: int
    converged: bool
    reason: str
    method: str
    lr: float
    seconds: float
    native: bool
    path: np.ndarray | None = field(default=None, repr=False)
    values: np.ndarray | None = field(default=None, repr=False)
    gradient_norms: np.ndarray | None = field(default=None, repr=False)
    function: Any = field(default=None, repr=False)

    def __repr__(self) -> str:
        return (
            f"Minimum(value={self.value:.6g}, gradient_norm={self.gradient_norm:.3g}, "
            f"iterations={self.iterations}, {self.reason})"
        )


@dataclass(frozen=True)
class Method:
    """A descent method: the tensors it keeps, and its step (x, gradient, kept, k, options) -> (x, kept).

    k counts from 1 (a 0-d tensor); options has lr, momentum, beta1, beta2 and eps.
    """

    kept: int
    step: Callable[[Tensor, Tensor, list[Tensor], Tensor, dict[str, float]], tuple[Tensor, list[Tensor]]]


def _plain(x: Tensor, g: Tensor, _kept: Any, _k: Any, o: dict[str, float]) -> Any:
    return x - o["lr"] * g, []


def _momentum(x: Tensor, g: Tensor, kept: list[Tensor], _k: Any, o: dict[str, float]) -> Any:
    velocity = o["momentum"] * kept[0] + g
    return x - o["lr"] * velocity, [velocity]


def _nesterov(x: Tensor, g: Tensor, kept: list[Tensor], _k: Any, o: dict[str, float]) -> Any:
    velocity = o["momentum"] * kept[0] + g
    return x - o["lr"] * (g + o["momentum"] * velocity), [velocity]


def _adam(x: Tensor, g: Tensor, kept: list[Tensor], k: Tensor, o: dict[str, float]) -> Any:
    mean = o["beta1"] * kept[0] + (1 - o["beta1"]) * g
    square = o["beta2"] * kept[1] + (1 - o["beta2"]) * g * g
    unbiased_mean = mean / (1 - (k * math.log(o["beta1"])).exp())
    unbiased_square = square / (1 - (k * math.log(o["beta2"])).exp())
    return x - o["lr"] * unbiased_mean / (unbiased_square.sqrt() + o["eps"]), [mean, square]


METHODS = {
    "gd": Method(0, _plain),
    "momentum": Method(1, _momentum),
    "nesterov": Method(1, _nesterov),
    "adam": Method(2, _adam),
}
DIVERGED = "diverged: the value or its gradient is not finite"


def minimize(
    f: Callable[[Tensor], Tensor],
    x0: Any,
    method: str = "gd",
    *,
    lr: float = 0.01,
    tol: float = 1e-6,
    max_iter: int = 10_000,
    record: bool = True,
    momentum: float = 0.9,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Minimum:
    """Minimise a scalar function by following its gradient.

    f          takes a tensor of x0's shape and returns a tensor with one entry
    x0         where to start: a floating tensor, or numbers
    method     "gd" (x - lr * gradient), "momentum", "nesterov" or "adam", as in PyTorch's optimizers
    tol        stop where the Euclidean norm of the gradient is at most tol
    record     keep the path, the values and the gradient norms
    ValueError for options out of range and an unknown method, RuntimeError where f is not scalar.

    >>> import pullback as torch
    >>> torch.minimize(lambda w: (w[0] - 2) ** 2 + (w[1] + 3) ** 2, torch.zeros(2).double(), lr=0.1)
    Minimum(value=2.25279e-13, gradient_norm=9.49e-07, iterations=71, the gradient norm is at most tol)
    """
    x = _checked(f, x0, method, lr, tol, max_iter)
    if record and (max_iter + 1) * x.value.size > MOST:
        raise ValueError(
            message(
                "the path would be too long to keep",
                f"{max_iter + 1} points of {x.value.size} entries",
                "pass record=False, or a smaller max_iter",
            )
        )
    options = {"lr": lr, "momentum": momentum, "beta1": betas[0], "beta2": betas[1], "eps": eps}
    start = time.perf_counter()
    step = _Step(f, METHODS[method], options)
    try:
        run = _Native(step, x, record, tol, max_iter)
    except (NotLowered, TooLarge):
        run = _Python(step, x, record, tol, max_iter)
    k = run.iterations
    value, norm = float(run.value), float(run.norm)
    finite = np.isfinite(value) and np.isfinite(norm)
    reason = "the gradient norm is at most tol" if norm <= tol else f"{max_iter} steps were made"
    return Minimum(
        x=wrap(run.x), value=value, gradient_norm=norm, iterations=k, converged=norm <= tol,
        reason=reason if finite else DIVERGED, method=method, lr=lr, seconds=time.perf_counter() - start,
        native=isinstance(run, _Native), path=run.path, values=run.values, gradient_norms=run.norms,
        function=f,
    )  # fmt: skip


def _checked(f: Any, x0: Any, method: str, lr: float, tol: float, max_iter: int) -> Tensor:
    """x0 as a tensor of its own; errors for bad options."""
    if method not in METHODS:
        raise ValueError(message(f"unknown method {method!r}", "", f"use one of {', '.join(METHODS)}"))
    if not (lr > 0 and np.isfinite(lr)):
        raise ValueError(f"Invalid learning rate: {lr}")
    if not tol >= 0 or not max_iter >= 0:
        raise ValueError(message("tol and max_iter must not be negative", f"tol={tol}, max_iter={max_iter}"))
    value = np.array(x0.value if isinstance(x0, Tensor) else x0)
    if value.dtype.kind in "iu":
        value = value.astype(np.float32)
    if value.dtype.kind != "f":
        text = f"x0 must be a floating tensor, not {value.dtype}"
        raise RuntimeError(message(text, "", "use real numbers"))
    out = f(wrap(value.copy()))
    if not isinstance(out, Tensor) or out.value.size != 1:
        shape = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise RuntimeError(
            message(
                "minimize needs a scalar function",
                f"f(x0) has shape {shape}",
                "return one number, for example the sum of the squares",
            )
        )
    return wrap(value)


class _Step:
    """One step on tensors: (x, k, *kept) -> (value, gradient norm, new x, *new kept)."""

    def __init__(self, f: Callable[[Tensor], Tensor], method: Method, options: dict[str, float]) -> None:
        self.f, self.method, self.options = f, method, options

    def __call__(self, x: Tensor, k: Tensor, *kept: Tensor) -> list[Tensor]:
        g, value = grad_and_value(lambda y: self.f(y).reshape(()))(x)
        before = state.grad
        state.update(grad=False)
        try:
            new, fresh = self.method.step(x, g, list(kept), k, self.options)
            return [value, (g * g).sum().sqrt(), new, *fresh]
        finally:
            state.update(grad=before)


class _Python:
    """The loop in Python."""

    def __init__(self, step: _Step, x: Tensor, record: bool, tol: float, max_iter: int) -> None:
        kept = [wrap(np.zeros_like(x.value)) for _ in range(step.method.kept)]
        points, values, norms = [x.value.reshape(-1)], list[float](), list[float]()
        k = 0
        while True:
            one = wrap(np.asarray(k + 1, x.value.dtype))
            value, norm, new, *kept = step(x, one, *kept)
            values.append(float(value.value))
            norms.append(float(norm.value))
            if k >= max_iter or not norms[-1] > tol or not np.isfinite(norms[-1]):
                break
            x = new
            k += 1
            if record:
                points.append(np.asarray(x.value).reshape(-1))
        self.x, self.value, self.norm, self.iterations = x.value, values[-1], norms[-1], k
        self.path = np.array(points) if record else None
        self.values = np.array(values) if record else None
        self.norms = np.array(norms) if record else None


class _Native:
    """The loop as one call of a kernel. NotLowered or TooLarge where f has no native form."""

    def __init__(self, step: _Step, x: Tensor, record: bool, tol: float, max_iter: int) -> None:
        dtype, n = x.value.dtype, x.value.size
        point = Aval(x.value.shape, dtype)
        kernel = _kernel(step, point, record)
        rows = max_iter + 1 if record else 1
        out = {
            "x": np.array(x.value, dtype).reshape(-1),
            "limits": np.array([tol], dtype),
            "steps": np.array([max_iter, 0], np.int64),
            "path": np.empty((rows, n), dtype),
            "values": np.empty(rows, dtype),
            "norms": np.empty(rows, dtype),
        }
        kernel.map(list(out.values()), 0, 1)
        k = self.iterations = int(out["steps"][1])
        last = k if record else 0
        self.x = out["path"][last].reshape(point.shape).copy()
        self.value, self.norm = out["values"][last], out["norms"][last]
        self.path = out["path"][: k + 1] if record else None
        self.values = out["values"][: k + 1].astype(np.float64) if record else None
        self.norms = out["norms"][: k + 1].astype(np.float64) if record else None


_known: OrderedDict[str, Any] = OrderedDict()
KNOWN = 16  # loops that stay in memory: the same search from another point is not recorded again


def _kernel(step: _Step, point: Aval, record: bool) -> Any:
    """The compiled loop for points of this shape and dtype."""
    key = fingerprint(step.f, step.method.step, step.options, point.shape, point.dtype, record)
    kernel = _known.get(key)
    if kernel is None:
        tracer = trace(step, [point, Aval((), point.dtype), *[point] * step.method.kept], lines=False)
        graph = tracer.graph
        for var, held in list(graph.consts.items()):
            graph.consts[var] = np.array(held.value if isinstance(held, Tensor) else held)
        kernel = _known[key] = compile_program(_loop(graph, step.method.kept, point, record))
        while len(_known) > KNOWN:
            _known.popitem(last=False)
    return kernel


def _loop(graph: Graph, kept: int, point: Aval, record: bool) -> Program:
    """The loop's program; arrays.

    X, limits (tol), steps (max_iter in, iterations out), path, values, norms.
    """
    program = Program(lanes=1)
    b = Builder(program, BUDGET)
    code, n = code_of(point.dtype), point.size
    x, limits = b.array(Array(code)), b.array(Array(code))
    steps = b.array(Array("i8", written=True))
    path, values, norms = (b.array(Array(code, written=True)) for _ in range(3))
    start = [b.load(x, i) for i in range(n)] + [b.const(0, code)] * (n * kept) + [b.const(0, "i8")]
    tol, most = b.load(limits, 0), b.load(steps, 0)
    following: list[Value] = []

    def go_on(carries: list[Value]) -> Value:
        k = carries[-1]
        arguments = [_cells(b, carries[i * n : (i + 1) * n], point) for i in range(kept + 1)]
        count = as_cells(Cells(b.cast(b.op("add", k, 1), code), point.dtype, b), point.dtype, b)
        value, norm, *new = lower_graph(b, graph, [arguments[0], count, *arguments[1:]])
        following[:] = [*(v for c in new for v in c.flat), b.op("add", k, 1)]
        row = k if record else b.const(0, "i8")
        for i, v in enumerate(carries[:n]):
            b.store(path, b.op("add", b.op("mul", row, n), i), v)
        size, found = scalar(norm), scalar(value)
        b.store(values, row, found)
        b.store(norms, row, size)
        more = b.op("and", b.op("lt", k, most), b.op("gt", size, tol))
        return b.op("and", more, b.op("lt", size, np.inf))

    results = b.loop(None, start, lambda _counter, _carries: following, go_on)
    b.store(steps, 1, results[-1])
    return program


def _cells(b: Builder, values: Sequence[Value], point: Aval) -> Cells:
    grid = np.empty(point.shape, object)
    grid.reshape(-1)[:] = list(values)
    return Cells(grid, point.dtype, b)


__all__ = ["Minimum", "minimize"]
