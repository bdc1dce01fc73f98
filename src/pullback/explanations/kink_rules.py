"""The table of kinks: per op and point, the derivative that is taken, those beside it, the subgradients.

Read `kink_rules`. Nothing is written down twice: points come from the op table's own samples of kinks, every
number from running the op there. May import `families`, `explanations`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.explanations.kink_report import convention
from pullback.explanations.kink_sides import Sites
from pullback.explanations.kink_sites import CHOICES, has_kinks, sites_of
from pullback.explanations.watched import Values, watched
from pullback.families.elementwise import Elementwise
from pullback.families.op import TABLE, Absent, Op
from pullback.families.reduction import FiberOp
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor, wrap

SKIPPED = frozenset({"nan_to_num"})  # replaces what is not a number: not a kink


@dataclass(frozen=True, eq=False, repr=False)
class KinkRule:
    """What one op does at one kink.

    op, params  the op's name and static parameters; point: its arguments, arrays
    kind, arg   as in `kinks`; used, left, right, low, high, jump: arrays over the entries on the kink
    convention  in words
    """

    op: str
    params: dict[str, Any]
    point: tuple[Any, ...]
    arg: int
    kind: str
    used: Any
    left: Any
    right: Any
    low: Any
    high: Any
    jump: Any
    convention: str

    def __repr__(self) -> str:
        at = ", ".join(_shown(np.asarray(p)) for p in self.point)
        given = "".join(f", {k}={v}" for k, v in self.params.items() if v is not None)
        return f"{self.op}({at}{given}) in argument {self.arg}, a {self.kind}: {self.convention}"


def _shown(p: Any) -> str:
    return np.array2string(np.squeeze(p), precision=4) if p.size < 8 else f"{p.flat[0]:g} in all of {p.shape}"


def kink_rules() -> tuple[KinkRule, ...]:
    """Every kink that the op table has a sample of, with the convention that the engine follows there.

    >>> rules = kink_rules()
    >>> next(r for r in rules if r.op == "relu")
    relu(0.) in argument 0, a kink: takes 0, the derivative from the left
    >>> next(r for r in rules if r.op == "maximum")
    maximum(0.7, 0.7) in argument 0, a tie: shared evenly, 0.5 each
    """
    found: list[KinkRule] = []
    for op in list(TABLE.values()):
        known = has_kinks(op) and op.name not in SKIPPED and op.name not in CHOICES
        looked_at = isinstance(op, Elementwise | FiberOp) or getattr(op, "picks", False)
        if known and looked_at and not isinstance(getattr(op, "kink", None), Absent):
            for args, params in _points(op):
                found += _rules_at(op, args, params)
    return tuple(found)


def _points(op: Any) -> Generator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments on kinks, with parameters."""
    if isinstance(op, Elementwise):
        for params in op.variants:
            for kink in op.kinks:
                at = kink if isinstance(kink, tuple) else (kink,) * op.arity
                yield tuple(np.array([float(p)]) for p in at), params
        return
    done: list[dict[str, Any]] = []
    for sample in op.samples():
        x = sample.args[0]
        given = {k: v for k, v in sample.params.items() if k != "keepdim"}
        if len(sample.args) == 1 and x.ndim and x.size > 1 and given not in done and _along(x, sample):
            done.append(given)
            yield (np.ones(x.shape),), sample.params
            if getattr(op, "kink", None) is not None:
                yield (np.zeros(x.shape),), sample.params


def _along(x: Any, sample: Any) -> bool:
    return x.ndim == 1 or "dim" not in sample.params


def _rules_at(op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> list[KinkRule]:
    tensors = [wrap(np.array(a)).requires_grad_() for a in args]
    with watched() as seen:
        made = op(*tensors, **params)
    first: Tensor = made[0] if isinstance(made, tuple) else made
    node = first.node.node if type(first.node) is Slot else first.node
    if type(node) is not Node or not np.isfinite(first.value).all():
        return []
    name = getattr(op, "torch_name", op.name)
    return [_rule(name, params, args, s) for s in sites_of(node, Values(seen), 0.0)]


def _rule(name: str, params: dict[str, Any], args: tuple[Any, ...], s: Sites) -> KinkRule:
    numbers = (s.used, s.left, s.right, s.low, s.high, s.jump)
    return KinkRule(name, dict(params), args, s.arg, s.kind, *numbers, convention(s))


__all__ = ["KinkRule", "kink_rules"]
