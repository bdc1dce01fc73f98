"""A cause in words: the kind, the op, the line, the values that decide, and what would bring it to life.

Read `Cause`, then `cause_of`. May import `graph`, `links`, `values`, `entry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.explanations import values
from pullback.explanations.entry import Dead
from pullback.explanations.nodes import counted
from pullback.explanations.sweeps import Analysis
from pullback.graph.lines import Line, line_of
from pullback.graph.node import Node

CUTS = {
    "detach": "detach() gave a copy that autograd does not follow",
    "no_grad": "it ran under no_grad(), so it was not recorded",
    "inference_mode": "it ran under inference_mode(), so it was not recorded",
    "integer": "the result has an integer dtype, which has no gradient",
    "item": "item() took the number out of the record, and it came back as a constant",
    "numpy": "numpy() took the values out of the record, and they came back as a constant",
    "tolist": "tolist() took the numbers out of the record, and they came back as constants",
    "requires_grad": "requires_grad was switched off",
}
WHAT = {
    "Stopped": "keep the value as a tensor that autograd follows, if the gradient should pass here",
    "Discrete": "choose a smooth surrogate or a straight-through estimator, if a gradient is wanted",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One proven cause.

    kind     one of the closed set of causes
    op       the op's name; "" for the upstream
    line     where the op was recorded, None where lines were not recorded
    node     the op's record number (0 for the upstream)
    arg      which argument of the op
    output   flat entry of the op's output, input: flat entry of that argument
    value    the local derivative
    text     the sentence, with the values that decide
    margin   how far the deciding value is from the switch, None where there is none or it is unknown
    """

    kind: str
    op: str
    line: Line | None
    node: int
    arg: int
    output: int
    input: int
    value: float
    text: str
    margin: float | None = None

    def __str__(self) -> str:
        place = f" {self.op}" if self.op else ""
        where = f" at {self.line}" if self.line is not None else ""
        return f"{self.kind}:{place}{where}: {self.text}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        line = None if self.line is None else str(self.line)
        return {
            "kind": self.kind, "op": self.op, "line": line, "node": self.node, "arg": self.arg,
            "output": self.output, "input": self.input, "value": self.value, "text": self.text,
            "margin": self.margin,
        }  # fmt: skip


def own_entry(node: Node, row: int) -> int:
    """The entry within its own output, for a node with several, whose entries are numbered through."""
    if node.count is None:
        return row
    for a, yes in zip(node.out_avals, counted(node), strict=True):
        if yes:
            if row < a.size:
                break
            row -= a.size
    return row


def name_of(node: Node) -> str:
    """The op's name; for a cut that ran no op of its own (detach, item), what cut."""
    return node.label if node.cut and node.label else node.op.name


def indexed(flat: int, shape: tuple[int, ...]) -> str:
    """`[1, 2]` for a flat entry; `[]` for a 0-d value."""
    return str([int(k) for k in np.unravel_index(flat, shape)]) if shape else "[]"


def number(v: Any) -> str:
    """A value to six digits."""
    return "?" if v is None else f"{v:.6g}" if isinstance(v, float) else str(v)


def cause_of(work: Analysis, dead: Dead) -> Cause:
    """The cause that a dead link is, in words."""
    node = dead.node
    if node is None:
        t = work.outs[dead.i]
        where = indexed(dead.row, t.value.shape)
        of = f" of output {dead.i}" if len(work.outs) > 1 else ""
        text = f"the upstream's entry {where}{of} is exactly 0; a non-zero weight there brings it to life"
        return Cause("ZeroUpstream", "", None, 0, dead.i, dead.row, dead.row, 0.0, text)
    text, margin = WORDS[dead.kind](work, node, dead)
    return Cause(
        dead.kind,
        name_of(node),
        line_of(node),
        node.number,
        dead.i,
        own_entry(node, dead.row),
        dead.col,
        0.0,
        text,
        margin,
    )


# ---------------------------------------------------------------------- what decided


def _shape(work: Analysis, node: Node) -> tuple[int, ...]:
    known = work.shapes.get(node)
    if known is not None:
        return tuple(known.shape)
    first: Any = node.out_avals[0]
    return tuple(first.shape)


def _operands(work: Analysis, node: Node, row: int) -> list[Any]:
    """The arguments' entries at an output entry of an elementwise node; None where unknown."""
    shape = _shape(work, node)
    return [values.entry(values.argument(node, i, work.shapes), row, shape) for i in range(len(node.args))]


def _why_zero(op: Any) -> str:
    notes: dict[str, str] = getattr(op, "notes", None) or {}
    return getattr(op, "why_zero", "") or notes.get("why_zero", "")


def _joined(*parts: str) -> str:
    return "; ".join(p for p in parts if p)


def _gate(work: Analysis, node: Node, dead: Dead) -> tuple[str, float | None]:
    found = _operands(work, node, dead.row)
    own = found[dead.i]
    margin = _margin(work, node, found, dead.row)
    if own is None:
        fact = f"entry {indexed(dead.row, _shape(work, node))} of {node.op.name} is closed"
    else:
        by = f", {number(margin)} from the switch" if margin is not None else ""
        where = indexed(dead.row, _shape(work, node))
        fact = f"entry {where} of {node.op.name} is closed: its input is {number(own)}{by}"
    return _joined(fact, _why_zero(node.op)), margin


def _unselected(work: Analysis, node: Node, dead: Dead) -> tuple[str, float | None]:
    if node.op.family == "selection":
        found = _operands(work, node, dead.row)
        shape = _shape(work, node)
        margin = _margin(work, node, found, dead.row)
        shown = [number(v) for k, v in enumerate(found) if v is not None and _is_float(work, node, k)]
        by = f" by {number(margin)}" if margin else ""
        fact = f"entry {indexed(dead.row, shape)} of {node.op.name} took another value{by}"
        return _joined(
            fact + (f" (of {', '.join(shown)})" if len(shown) > 1 else ""), _why_zero(node.op)
        ), margin
    own = values.entry(values.argument(node, dead.i, work.shapes), dead.col)
    made = values.output(node, work.shapes)
    made = made[0] if isinstance(made, tuple) else made
    won = values.entry(made, dead.row)
    margin = abs(won - own) if own is not None and won is not None else None
    text = f"{name_of(node)} picked {number(won)}, not this entry ({number(own)})"
    return _joined(text, f"it would have to move by {number(margin)}" if margin is not None else ""), margin


def _is_float(work: Analysis, node: Node, i: int) -> bool:
    v = values.argument(node, i, work.shapes)
    return isinstance(v, float) or (hasattr(v, "dtype") and v.dtype.kind in "fc")


def _margin(work: Analysis, node: Node, found: list[Any], row: int) -> float | None:
    """The op's own distance to its switch at one output entry."""
    rule = getattr(node.op, "margin", None)
    if rule is None or any(v is None for v in found):
        return _condition_margin(node, row, work)
    with np.errstate(all="ignore"):
        made = values.entry(values.output(node, work.shapes), row, _shape(work, node))
        r = rule(np.float64(made if made is not None else 0), *(np.float64(v) for v in found), **node.params)
    return float(r)


def _condition_margin(node: Node, row: int, work: Analysis) -> float | None:
    """For a condition that a recorded comparison made: how far its two sides are apart."""
    origin = (
        node.origins[0] if node.origins is not None and node.op.name in ("where", "masked_fill") else None
    )
    if not isinstance(origin, Node) or origin.op.name not in ("gt", "ge", "lt", "le"):
        return None
    sides = [values.entry(values.argument(origin, k, work.shapes), row, _shape(work, node)) for k in (0, 1)]
    return None if None in sides else float(abs(sides[0] - sides[1]))


def _annihilated(work: Analysis, node: Node, dead: Dead) -> tuple[str, float | None]:
    op = node.op
    shape = _shape(work, node)
    if op.family in ("elementwise", "selection") and len(node.args) > 1:
        found = _operands(work, node, dead.row)
        for k, v in enumerate(found):
            if k != dead.i and v == 0:
                which = "constant" if node.edges[k] is None else "followed by autograd"
                where = indexed(dead.row, shape)
                text = f"the factor beside it in {op.name}, entry {where}, is exactly 0 ({which})"
                return _joined(text, "a non-zero factor brings it to life"), None
        shown = ", ".join(number(v) for v in found)
        return _joined(
            f"the other argument holds the derivative of {op.name} at 0 (arguments {shown})", _why_zero(op)
        ), None
    if op.family == "contraction" or op.name in ("linear", "convolution"):
        others = [k for k in range(len(node.args)) if k != dead.i and node.args[k] is not None]
        fixed = all(node.edges[k] is None for k in others)
        which = "a constant" if fixed else "a value that autograd follows"
        where = indexed(dead.row, shape)
        text = f"the entry that multiplies it in {op.name} for output entry {where} is exactly 0 ({which})"
        return _joined(text, "a non-zero value there brings it to life"), None
    return _joined(f"{op.name} multiplies it by exactly 0", _why_zero(op)), None


def _stationary(work: Analysis, node: Node, dead: Dead) -> tuple[str, float | None]:
    if node.op.family in ("elementwise", "selection"):
        own = _operands(work, node, dead.row)[dead.i]
    else:
        own = values.entry(values.argument(node, dead.i, work.shapes), dead.col)
    text = f"{name_of(node)} has slope 0 exactly here (at {number(own)}), and not beside it"
    return _joined(text, _why_zero(node.op)), None


def _saturated(work: Analysis, node: Node, dead: Dead) -> tuple[str, float | None]:
    if node.op.family in ("elementwise", "selection"):
        own = _operands(work, node, dead.row)[dead.i]
    else:
        own = values.entry(values.argument(node, dead.i, work.shapes), dead.col)
    at = "" if own is None else f" at {number(own)}"
    dtype = work.shapes[node].dtype if node in work.shapes else ""
    text = f"the slope of {node.op.name}{at} comes out as exactly 0 in {dtype}"
    return _joined(text, _why_zero(node.op)), None


def _unknown(_work: Analysis, node: Node, _dead: Dead) -> tuple[str, float | None]:
    if node.op.family == "custom":
        name = node.name.removesuffix("Backward")
        return f"the backward of {name} returns 0 for it; whether that is right is not known", None
    return f"{node.op.name} does not move with it here, nor for small moves of any argument", None


def _discrete(_work: Analysis, node: Node, dead: Dead) -> tuple[str, float | None]:
    if node.op.family == "random":
        text = f"{node.op.name} draws: autograd gives a draw no derivative with respect to its parameters"
        todo = "write it as parameters and noise (mu + sigma * randn_like(mu)), or use the score function"
        return _joined(text, todo), None
    if node.args[dead.i] is not None and not node.cut and node.op.family == "structural":
        text = (
            f"it only chooses which values {node.op.name} takes: the result jumps and is constant in between"
        )
    else:
        text = f"{name_of(node)} is piecewise constant: its derivative is 0 wherever it exists"
    return _joined(text, WHAT["Discrete"]), None


def _stopped(_work: Analysis, node: Node, _dead: Dead) -> tuple[str, float | None]:
    cut = node.cut or ""
    return _joined(CUTS.get(cut, f"{name_of(node)} was not recorded ({cut})"), WHAT["Stopped"]), None


def _underflow(work: Analysis, node: Node, dead: Dead) -> tuple[str, float | None]:
    return _saturated(work, node, dead)


WORDS: dict[str, Any] = {
    "GateClosed": _gate, "Unselected": _unselected, "Annihilated": _annihilated, "Stationary": _stationary,
    "Saturated": _saturated, "Underflow": _underflow, "Discrete": _discrete, "Stopped": _stopped,
    "NotDetermined": _unknown,
}  # fmt: skip
__all__ = ["Cause", "cause_of", "indexed", "number"]
