"""Anomaly mode: stop at the first NaN cotangent, and say where its inf or NaN arose first.

Read `check_finite` first; `nonfinite` finds the cause, this room words it. May import `nonfinite`, `stories`,
`graph`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.autograd.began import Forward
from pullback.autograd.known import finite, links, plain
from pullback.autograd.nonfinite import Found, Step, trace, unselected
from pullback.autograd.stories import entries, number, op_at, told
from pullback.graph.lines import line_of
from pullback.graph.modes import state
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import Tensor


class Sweep:
    """What anomaly mode remembers of one sweep: the roots, and the steps with non-finite cotangents."""

    __slots__ = ("made", "roots")

    def __init__(self, roots: Sequence[tuple[Any, Any]]) -> None:
        self.roots = roots
        self.made: dict[Node, Step] = {}


def check_finite(node: Node, g: Any, cotangents: Any, sweep: Sweep) -> None:
    """Anomaly mode: RuntimeError at the first NaN cotangent, after a warning that shows where the op ran."""
    if not state.anomaly_check_nan:
        return
    step = Step(node, _plain(g), [plain(c) for c in cotangents])
    if all(c is None or bool(np.isfinite(c).all()) for c in step.cotangents):
        return
    for i, v in enumerate(step.cotangents):
        if v is not None and np.isnan(v).any():
            warnings.warn(_notice(node), UserWarning, stacklevel=4)
            raise RuntimeError(_text(step, i, sweep, batched=_batched(g, cotangents)))
    sweep.made[node] = step


def _plain(g: Any) -> Any:
    return [plain(c) for c in g] if isinstance(g, list | tuple) else plain(g)  # pyright: ignore[reportUnknownVariableType]


def _batched(g: Any, cotangents: Any) -> bool:
    """Are these the values of many lanes of a vmap?"""
    every = [*(g if isinstance(g, list | tuple) else [g]), *cotangents]
    return any(isinstance(c, Tensor) and c.foreign is not None for c in every)


def _notice(node: Node) -> str:
    if node.trace is not None:
        return (
            f"Error detected in {node.name}. Traceback of forward call that caused the error:\n{node.trace}"
        )
    return (
        f"Error detected in {node.name}. No forward pass information available. Enable detect anomaly "
        "during forward pass for more information."
    )


# ---------------------------------------------------------------------- the text


def _text(step: Step, i: int, sweep: Sweep, *, batched: bool) -> str:
    node, v = step.node, step.cotangents[i]
    at = np.flatnonzero(np.isnan(np.asarray(v).reshape(-1)))
    facts = [
        f"{at.size} of {v.size} entries of the gradient for argument {i} of {op_at(node)}, of shape "
        f"{list(v.shape)}, are nan: {entries(at, v.shape)}"
    ]
    first = f"Function '{node.name}' returned nan values in its {i}th output."
    found = None if batched or node.packed is not None else trace(sweep.made, step, i, sweep.roots)
    if found is None:
        if not finite(step.upstream):
            facts.append("the gradient that reached it was inf or nan already")
        return told(first, facts, ["look at that op's inputs where they are 0, negative or infinite"])
    if found.node is not node:
        facts += _later(step, i, int(at[0]), found)
    facts += cause(found, sweep.roots)
    if _line_missing(found):
        facts.append("(anomaly mode was off when that op ran: its line is not known)")
    return told(first, facts, remedy(found, sweep.roots))


def _line_missing(found: Found) -> bool:
    node = found.forward.node if found.forward is not None else found.node
    return node is not None and line_of(node) is None


def _later(step: Step, i: int, entry: int, found: Found) -> list[str]:
    """How the failing op made NaN of an upstream that was inf or NaN."""
    node = step.node
    link = links(node, i, step.upstream, entry)
    text = f"{node.op.name} is not the cause: the gradient that reached it was not finite"
    if link is None or found.kind == "upstream":
        return [text]
    up, d = link.upstream, link.local
    clash = np.flatnonzero(np.isinf(up) & (d == 0))
    if clash.size:
        k = int(clash[0])
        return [f"{text}: there {number(up[k])} times the local derivative 0 gives nan"]
    with np.errstate(all="ignore"):
        products = up * d
    if not np.isnan(products).any() and np.isposinf(products.real).any() and np.isneginf(products.real).any():
        return [f"{text}: inf - inf gives nan in the sum"]
    if np.isnan(up).any():
        return [f"{text}: cotangents with inf of both signs, or with nan, met before it"]
    return [text]


def cause(found: Found, roots: Sequence[tuple[Any, Any]]) -> list[str]:
    """The first inf or NaN, as facts."""
    if found.kind == "upstream":
        values = ", ".join(number(v) for v in found.values[:3])
        return [f"the upstream that was given to backward holds {values} already"]
    node = found.node
    assert node is not None
    if found.kind == "sum":
        return [
            f"the cotangents that meet at the result of {op_at(node)} are finite, and their sum is not: it "
            "overflows"
        ]
    facts = [_local(found, node)]
    if found.forward is not None:
        facts.append(_forward(found.forward, node))
    gate = _gate(found, roots)
    if gate is not None:
        closed = "takes its other branch there" if gate.op.name == "where" else "passes nothing on there"
        facts.append(f"the upstream that meets it is 0 because {op_at(gate)} {closed}")
    return facts


def _local(found: Found, node: Node) -> str:
    where = entries(found.entries, _arg_shape(node, found))
    what = f"it began at {op_at(node)}{_text_of(node)} at {where}"
    given = _inputs(found.inputs)
    if given:
        what += f", where {given}" if found.entries.size == 1 else f", at the first of these with {given}"
    if found.local is None or found.kind == "rule":
        return f"{what}: its rule makes {number(found.values[0])} of a finite upstream"
    if found.kind == "overflow":
        return (
            f"{what}: the upstream {number(found.upstream[0])} times the local derivative "
            f"{number(found.local[0])} is beyond the largest {found.values.dtype}: {number(found.values[0])}"
            if found.local.size == 1
            else f"{what}: finite factors whose sum of products is beyond the largest {found.values.dtype}"
        )
    k = int(np.flatnonzero(~np.isfinite(found.local))[0])
    if found.kind == "zero times infinity":
        return (
            f"{what}: 0 times {number(found.local[k])} gives nan (upstream 0, local derivative "
            f"{number(found.local[k])})"
        )
    reason = f" ({found.why})" if found.why else ""
    return (
        f"{what}: the local derivative is {number(found.local[k])}, the upstream "
        f"{number(found.upstream[k])}{reason}"
    )


def _text_of(node: Node) -> str:
    line = line_of(node)
    return "" if line is None or not line.text else f" `{line.text}`"


def _forward(f: Forward, user: Node) -> str:
    """The first non-finite value of the forward pass."""
    value = number(f.value)
    if f.node is None:
        kind = "a leaf" if f.followed else "a constant"
        return (
            f"the value came from the forward pass: argument {f.arg} of {op_at(f.user)} is {kind} that "
            f"holds {value}"
        )
    if f.node is user:
        given = _inputs(f.inputs)
        made = f" out of {given}" if given and f.complete else ""
        return f"the value came from the forward pass: the result of {op_at(user)} is {value} itself{made}"
    given = _inputs(f.inputs)
    made = f" out of {given}" if given else ""
    known = "" if f.complete else " (as far as the record tells: it did not keep all of that op's inputs)"
    return (
        f"the value came from the forward pass: {op_at(f.node)}{_text_of(f.node)} gave {value}{made}{known}"
    )


_NAMES = {1: ("x",), 2: ("x", "y"), 3: ("x", "y", "z")}


def _inputs(values: Sequence[Any]) -> str:
    """`x = 0` or `x = 1, y = 0`."""
    names = _NAMES.get(len(values))
    if names is None:
        return ""
    return ", ".join(f"{n} = {number(v)}" for n, v in zip(names, values, strict=True) if v is not None)


def _arg_shape(node: Node, found: Found) -> tuple[int, ...]:
    a = node.args[found.arg]
    if isinstance(a, Tensor):
        return tuple(a.value.shape)
    if isinstance(a, Aval):
        return tuple(a.shape)
    if node.meta is not None and node.meta[found.arg] is not None:
        return tuple(node.meta[found.arg][0])
    return found.shape


def _gate(found: Found, roots: Sequence[tuple[Any, Any]]) -> Node | None:
    if found.kind != "zero times infinity" or found.rows is None or found.node is None:
        return None
    odd = found.rows[~np.isfinite(found.local)]
    return unselected(roots, found.node, int(odd[0])) if odd.size else None


# ---------------------------------------------------------------------- what to do

# op: where it is safe, and how it is written on a safe argument
SAFE = {
    "sqrt": ("x > 0", "safe.sqrt()"),
    "rsqrt": ("x > 0", "safe.rsqrt()"),
    "log": ("x > 0", "safe.log()"),
    "log2": ("x > 0", "safe.log2()"),
    "log10": ("x > 0", "safe.log10()"),
    "log1p": ("x > -1", "safe.log1p()"),
    "reciprocal": ("x != 0", "1 / safe"),
    "div": ("x != 0", "a / safe"),
    "pow": ("x > 0", "safe ** p"),
    "acos": ("x.abs() < 1", "safe.acos()"),
    "asin": ("x.abs() < 1", "safe.asin()"),
    "atanh": ("x.abs() < 1", "safe.atanh()"),
    "acosh": ("x > 1", "safe.acosh()"),
}
HARMLESS = {"acos": "0.0", "asin": "0.0", "atanh": "0.0", "acosh": "2.0", "log1p": "0.0"}
GROWS = frozenset({"exp", "exp2", "expm1", "sinh", "cosh", "pow", "square", "mul"})


def remedy(found: Found, roots: Sequence[tuple[Any, Any]]) -> list[str]:
    if found.kind == "upstream":
        return ["look at the loss, or at what made the upstream, before calling backward"]
    node = found.node
    assert node is not None
    made = found.forward.node if found.forward is not None else node
    if found.forward is not None and made is None:
        return [f"look at what argument {found.forward.arg} of {found.forward.user.op.name} is made from"]
    assert made is not None
    gate = _gate(found, roots)
    if gate is not None:
        return _inside(gate, made)
    name = made.op.name
    if name == "sqrt" and _sums(made):
        return [
            "for a length, torch.linalg.vector_norm(x) has the gradient 0 at 0",
            "or keep the root away from 0: (x + eps).sqrt()",
        ]
    if name in SAFE:
        condition, call = SAFE[name]
        harmless = HARMLESS.get(name, "1.0")
        argument = " (x is the denominator)" if name == "div" else ""
        return [
            f"keep such entries out of {name} before it runs, not after it{argument}: ok = {condition}; "
            f"safe = torch.where(ok, x, {harmless}); y = torch.where(ok, {call}, 0.0)",
        ]
    if name in ("exp", "exp2"):
        return [f"keep the argument of {name} small: subtract the largest entry first, as torch.softmax and "
                "torch.logsumexp do"]  # fmt: skip
    if found.kind in ("overflow", "sum") or name in GROWS:
        return [f"keep the numbers smaller before {name}, or compute in float64"]
    return [f"look at the inputs of {name} where they are 0, negative or infinite"]


def _inside(gate: Node, made: Node) -> list[str]:
    name = made.op.name
    _, call = SAFE.get(name, ("", f"{name}(safe)"))
    harmless = HARMLESS.get(name, "1.0")
    if gate.op.name == "where":
        whole = f"torch.where(cond, {call}, other)"
    else:
        whole = f"{gate.op.name} after it as before"
    return [
        f"{name} ran on the entries that {op_at(gate)} leaves out, too: put the condition inside as well, "
        f"safe = torch.where(cond, x, {harmless}) before {name}, and {whole}",
    ]


def _sums(node: Node) -> bool:
    edge = node.edges[0]
    return type(edge) is Node and edge.op.name in ("sum", "dot", "einsum", "mean")


__all__ = ["Sweep", "check_finite"]
