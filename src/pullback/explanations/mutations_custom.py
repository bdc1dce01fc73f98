"""Custom Functions: their backward beside the derivative of their own forward.

Read `function_checks`. A forward that is made of recorded ops is run again on followed copies of its inputs,
so its gradient is known by autograd and wrong rules can be tried; its derivative is confirmed by central
differences. Any other forward is compared with central differences (Richardson's extrapolation of two
steps) only. May import `explanations.mutations_engine`, `autograd`, `graph`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pullback.errors import message
from pullback.explanations.cotangents import pull
from pullback.explanations.mutations_engine import (
    Change,
    Missing,
    Program,
    Step,
    forward_again,
    forward_arguments,
)
from pullback.graph.lines import line_of, record_lines
from pullback.graph.modes import state
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor, wrap

Array = Any
STEP = 1e-3  # relative; with the extrapolation the error is of the order of STEP**4


class FunctionCheck(NamedTuple):
    """What one backward gave for one argument, and what it is compared with.

    program    forward recorded as ops, or None where it could not be
    numerical  central differences where there is no program, with the bound of their error
    """

    name: str
    candidate: Array
    program: Program | None
    numerical: Array
    bound: Array
    notes: tuple[str, ...]


def function_checks(program: Program) -> list[FunctionCheck]:
    """One check per custom Function between x and out and per argument of it that leads to x.

    ValueError where there is no custom Function: then a candidate is needed.
    """
    found: list[FunctionCheck] = []
    for node in program.nodes:
        if node.op.family == "custom" and "function" in node.__dict__:
            found += _checks(program, node)
    if not found:
        raise ValueError(
            message(
                "diagnose() needs a candidate",
                "no custom Function lies between x and out, so there is no hand-made backward to check",
                "pass the gradient that you derived as the first argument",
            )
        )
    return found


def custom_changes(step: Step) -> Iterator[Change]:
    """The derivative of a Function's own forward in place of its backward: where the candidate is right."""
    if "function" not in step.node.__dict__:
        return
    for i in step.live:

        def wrong(g: Array, i: int = i) -> Array:
            found = _recorded(step.node, step.every_value(), i, g)
            if found is None:
                raise Missing
            return found.gradient

        text = (
            f"the backward of {step.op.name} is not the derivative of its own forward; with that in place "
            "autograd gives the candidate: the candidate is right here, autograd's gradient is not"
        )
        yield step.change(i, 0, "custom backward", text, wrong)


def _checks(program: Program, node: Node) -> list[FunctionCheck]:
    step = program.steps[node]
    g = program.base.arriving[node]
    sent = pull(node, g)
    line = line_of(node)
    where = f" ({line})" if line is not None else ""
    try:
        values = step.every_value()
    except Missing:
        values = None
    found: list[FunctionCheck] = []
    for i in step.live:
        name = f"{node.name}{where}, argument {i}"
        c = np.zeros(step.shape(i)) if sent[i] is None else np.asarray(sent[i])
        if values is None:
            raise RuntimeError(
                message(
                    f"{node.name} cannot be checked",
                    "an input that autograd does not follow was not kept, so forward cannot be run again",
                    "give the Function an input that requires grad, or use gradcheck",
                )
            )
        recorded = _recorded(node, values, i, g)
        slope, error = _slope(node, values, i, g)
        agrees = recorded is not None and np.all(np.abs(recorded.gradient - slope) <= 10 * error)
        unit = float(np.finfo(c.dtype).eps)
        error = error + unit * (32 * (np.abs(c) + np.abs(slope)) + 4 * np.max(np.abs(slope), initial=0.0))
        notes = () if agrees else ("compared with central differences of forward",)
        found.append(FunctionCheck(name, c, recorded if agrees else None, slope, error, notes))
    return found


def _several(node: Node, g: Any) -> list[Any]:
    return list(g) if node.count is not None else [g]


def _recorded(node: Node, values: list[Any], i: int, g: Any) -> Program | None:
    """forward as a program of recorded ops; None where that is not to be had."""
    args = forward_arguments(node, values, False)
    leaf = args[i] = args[i].requires_grad_()
    before = state.grad
    state.update(grad=True)
    try:
        with record_lines():
            outs = forward_again(node, args)
            total: Any = None
            for t, c in zip(outs, _several(node, g), strict=True):
                if c is not None and isinstance(t, Tensor) and t.node is not None:
                    term = (t * wrap(np.asarray(c))).sum()
                    total = term if total is None else total + term
        if total is None or total.node is None:
            return None
        if len(outs) == 1:
            return Program(outs[0], leaf, np.asarray(g))
        return Program(total, leaf, None)
    except Exception:  # noqa: BLE001 - a forward that does not run on followed tensors: the differences remain
        return None
    finally:
        state.update(grad=before)


def _slope(node: Node, values: list[Any], i: int, g: Any) -> tuple[Array, Array]:
    """v . d forward / d argument i by central differences in double precision, and a bound of their error."""
    args = forward_arguments(node, values, True)
    v = args[i].storage()
    flat = v.reshape(-1)
    fine, coarse = np.zeros(flat.size), np.zeros(flat.size)
    scale = np.zeros(flat.size)
    before = state.grad
    state.update(grad=False)
    try:
        for k in range(flat.size):
            kept = flat[k]
            h = STEP * max(abs(kept), 1.0)
            d: list[float] = []
            for step in (h, h / 2):
                ends: list[float] = []
                for sign in (1, -1):
                    flat[k] = kept + sign * step
                    ends.append(_total(node, args, g))
                d.append((ends[0] - ends[1]) / (2 * step))
                scale[k] = max(scale[k], abs(ends[0]), abs(ends[1]))
            flat[k] = kept
            coarse[k], fine[k] = d
    finally:
        state.update(grad=before)
    best = fine + (fine - coarse) / 3
    error = np.abs(fine - coarse) * 0.02 + 1e-11 * scale / STEP + 1e-9 * np.abs(best) + 1e-12
    return best.reshape(v.shape), error.reshape(v.shape)


def _total(node: Node, args: list[Any], g: Any) -> float:
    total = 0.0
    for t, c in zip(forward_again(node, args), _several(node, g), strict=True):
        if c is not None and isinstance(t, Tensor):
            total += float(np.sum(np.asarray(t.value, float) * np.asarray(c)))
    return total


__all__ = ["FunctionCheck", "custom_changes", "function_checks"]
