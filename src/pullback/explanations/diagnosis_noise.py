"""How far the rounding of the values that a record holds can move a gradient.

The sum of magnitudes over paths bounds the rounding of a sweep whose saved values are exact. They are not:
1 - tanh(x)^2 near saturation, x - mean(x), differences of logarithms lose digits before the sweep begins.
Read `forward_noise`. May import `explanations.mutations_engine`, `graph`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.autograd.engine import key_of
from pullback.explanations.cotangents import pull
from pullback.explanations.mutations_engine import Missing, Program
from pullback.graph.modes import QUIET, loud, quiet, state
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor, wrap

Array = Any
SAMPLES = 4


def forward_noise(program: Program, eps: float) -> Array:
    """The largest change of the gradient, entry by entry, when every value is rounded at random.

    Each op's output gets a relative error of +-eps, which goes on to first order by the ops' jvp; the reverse
    sweep is then run on the values with their errors (random rounding, as in Monte Carlo arithmetic). Ops
    without a jvp pass nothing on.
    """
    rng = np.random.default_rng(2024)
    worst = np.zeros(program.gradient.shape)
    before, token = state.grad, quiet(QUIET)
    state.update(grad=False)
    try:
        for _ in range(SAMPLES):
            errors = _errors(program, eps, rng)
            with np.errstate(all="ignore"):
                moved = _swept(program, errors) - program.gradient
            worst = np.fmax(worst, np.where(np.isfinite(moved), np.abs(moved), 0.0))
    finally:
        state.update(grad=before)
        loud(token)
    return worst


def _errors(program: Program, eps: float, rng: np.random.Generator) -> dict[Any, Array]:
    found: dict[Any, Array] = {}
    for node in reversed(program.base.nodes):
        if node.count is not None or node.op.family == "custom":
            continue
        error = _passed_on(node, found)
        try:
            value = np.asarray(program.value_at(node))
            error = error + eps * value * rng.choice([-1.0, 1.0], value.shape)
        except Missing:
            pass
        if np.any(error):
            found[node] = error
    return found


def _passed_on(node: Node, found: dict[Any, Array]) -> Array:
    """The errors of the arguments, to first order."""
    given = [None if e is None else found.get(key_of(e)) for e in node.edges]
    if all(t is None for t in given):
        return np.zeros(())
    tangents = [None if t is None else wrap(t) for t in given]
    try:
        made = node.op.push(node, tangents)
    except Exception:  # noqa: BLE001 - an op without a jvp passes nothing on
        return np.zeros(())
    return np.zeros(()) if made is None else np.asarray(made.value)


def _swept(program: Program, errors: dict[Any, Array]) -> Array:
    edge, v = program.base.roots[0]

    def each(node: Node, g: Array) -> Any:
        return pull(_moved(node, errors), g)

    found = program.carry({key_of(edge): v}, each).get(program.key)
    return program.gradient if found is None else np.asarray(found)


def _moved(node: Node, errors: dict[Any, Array]) -> Node:
    """A stand-in for a node, with errors in what it kept."""
    if node.args is None or node.op.family == "custom":
        return node
    args = tuple(
        _with_error(a, errors.get(key_of(e)) if e is not None else None)
        for a, e in zip(node.args, node.edges, strict=True)
    )
    out = node.out
    if out is not None and node in errors and not isinstance(out, tuple):
        out = _added(out, errors[node])
    if out is node.out and all(a is b for a, b in zip(args, node.args, strict=True)):
        return node
    made = Node(node.op, args, node.edges, out, node.params, node.meta)
    made.__dict__.update(node.__dict__)
    made.number = node.number
    return made


def _with_error(a: Any, error: Array | None) -> Any:
    if error is None or not isinstance(a, Tensor):
        return a
    return wrap(_added(a.value, error))


def _added(value: Any, error: Array) -> Any:
    moved = np.asarray(value + error)
    return moved.astype(value.dtype) if moved.dtype != value.dtype else moved if moved.ndim else moved[()]


__all__ = ["forward_noise"]
