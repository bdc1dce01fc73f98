"""`kinks`: which entries sit on a kink, a tie or a jump, and which gradients would do as well.

Read `kinks`, then `kink_report.Kinks`. `kink_sites` finds them op by op, `kink_intervals` says
what they mean for the
gradient, `kink_rules` tables the conventions. May import `graph`, `autograd`, `explanations`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.explanations.kink_intervals import Interval, intervals
from pullback.explanations.kink_report import KinkRow, Kinks, convention
from pullback.explanations.kink_sides import Sites, Unknown
from pullback.explanations.kink_sites import has_kinks, sites_of
from pullback.explanations.links import TooMany
from pullback.explanations.watched import Seen, Values, watched
from pullback.families.op import Absent
from pullback.graph.lines import line_of, record_lines
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor, edge_of
from pullback.transform.forward import reachable

# ---------------------------------------------------------------------- finding them


def kinks(f: Any, x: Any, *, within: float = 0.0, upstream: Any = None) -> Kinks:
    """Which entries of which op sit on a kink, tie or jump, and what else the gradient could have been.

    f         a function of the tensors in x, or a recorded output (then x is what it was computed from:
              leaves or followed tensors). The function is run with lines recorded
    x         a tensor of any floating dtype and shape, or a tuple of them
    within    list entries at most this far from a kink, too (in the units of the op's argument)
    upstream  v in v . d out / d x, of the output's shape (default: ones)
    The interval of the gradient is that of all choices of a subgradient at each kink, after F. H. Clarke,
    Optimization and Nonsmooth Analysis (1983), 2.3.9: the chain rule may give more than the function has.
    Only ops that autograd follows are looked at, and the comparisons behind the condition of a `where` if the
    function itself is given; other comparisons (an `if`) are not.
    RuntimeError where the output does not require grad or its record was freed.

    >>> import pullback as torch
    >>> x = torch.tensor([-1.0, 0.0, 2.0])
    >>> k = kinks(lambda x: (3 * torch.relu(x)).sum(), x)
    >>> k
    Kinks(relu 1; 1 of 3 gradient entries are a matter of convention)
    >>> k.gradient, k.low, k.high
    (array([0., 0., 3.]), array([0., 0., 3.]), array([0., 3., 3.]))
    """
    inputs: tuple[Any, ...] = x if isinstance(x, tuple) else tuple(x) if isinstance(x, list) else (x,)
    if not within >= 0:
        raise ValueError(f"within must not be negative, but it is {within}")
    seen = Seen()
    if isinstance(f, Tensor):
        out, starts = f, inputs
    else:
        starts = tuple(_started(t) for t in inputs)
        out, seen = run_watched(f, starts)
    _check(out, starts)
    rows, sites, notes = _found(out, Values(seen), within)
    found, more = _intervals(out, starts, sites, upstream)
    notes += more
    gradient, low, high, exact = (
        _gathered([getattr(i, name) for i in found], x) if found else None for name in INTERVAL
    )
    return Kinks(tuple(rows), gradient, low, high, exact, within, tuple(notes))


# what is not looked into, by family; a custom Function is not in the table
UNSEEN = {
    "custom": "a custom Function: the table knows nothing of its kinks",
    "control": "part of vmap, a loop or a branch, inside of which kinks are not looked for",
}
INTERVAL = ("gradient", "low", "high", "exact")


def _gathered(parts: list[Any], x: Any) -> Any:
    return tuple(parts) if isinstance(x, tuple | list) else parts[0]


def _started(t: Any) -> Any:
    """A leaf of its own with the same values."""
    if not isinstance(t, Tensor) or t.value.dtype.kind not in "fc":
        return t
    return t.detach().clone().requires_grad_()


def run_watched(f: Callable[..., Any], starts: Sequence[Any]) -> tuple[Any, Seen]:
    """f of these leaves, with lines and all arguments recorded."""
    with record_lines(), watched() as seen:
        out = f(*starts)
    return out, seen


def _check(out: Any, starts: Sequence[Any]) -> None:
    if not isinstance(out, Tensor):
        raise TypeError(
            message(
                f"kinks() expects a tensor as output, but got {type(out).__name__}", "", "return a tensor"
            )
        )
    for t in (out, *(t for t in starts if isinstance(t, Tensor) and t.value.dtype.kind in "fc")):
        if t.node is None:
            raise RuntimeError(
                message(
                    "element 0 of tensors does not require grad and does not have a grad_fn"
                    if t is out
                    else "One of the differentiated Tensors does not require grad",
                    f"a tensor of shape {list(t.value.shape)} is not followed by autograd",
                    "make the inputs with requires_grad=True, or pass the function itself: kinks(f, x)",
                )
            )


def _found(out: Tensor, values: Values, within: float) -> tuple[list[KinkRow], list[Sites], list[str]]:
    rows: list[KinkRow] = []
    sites: list[Sites] = []
    notes: list[str] = []
    for node in reachable([out]):
        if not has_kinks(node.op):
            unseen = UNSEEN.get(getattr(node.op, "family", "custom"))
            notes += [_of(node) + unseen] if unseen else []
            continue
        try:
            here = sites_of(node, values, within)
        except Unknown as reason:
            known = isinstance(getattr(node.op, "kink", None), Absent)
            notes.append(f"{_of(node)}{'' if known else 'not determined, '}{reason}")
            continue
        sites += [s for s in here if s.kind != "jump"]
        rows += [_row(s) for s in here if node.edges[s.arg] is not None]
    if any(r.kind == "jump" for r in rows):
        notes.append("where the output jumps no derivative tells; the intervals leave jumps out")
    return rows, sites, _each_once(notes)


def _each_once(notes: list[str]) -> list[str]:
    return list(dict.fromkeys(notes))


def _of(node: Node) -> str:
    line = line_of(node)
    return f"{_name(node)}{f' at {line}' if line is not None else ''}: "


def _name(node: Node) -> str:
    return getattr(node.op, "torch_name", node.op.name.removesuffix("_dim"))


def _row(s: Sites) -> KinkRow:
    arrays = (s.rows, s.cols, s.values, s.distance, s.used, s.left, s.right, s.low, s.high, s.jump)
    node = s.node
    return KinkRow(_name(node), line_of(node), node.number, s.arg, s.kind, *arrays, convention(s))


# ---------------------------------------------------------------------- what they mean for the gradient


def _intervals(
    out: Tensor, starts: Sequence[Any], sites: list[Sites], upstream: Any
) -> tuple[list[Interval], list[str]]:
    v = _upstream(out, upstream)
    chosen = [t for t in starts if isinstance(t, Tensor) and t.value.dtype.kind in "fc"]
    try:
        found = intervals([out], [v], [_place(t) for t in chosen], sites)
    except (Unknown, TooMany) as reason:
        why = str(reason) or "a local Jacobian has too many entries to list"
        return [], [f"the gradient's interval is not determined: {why}"]
    made = [_nothing(t) if i is None else i for i, t in zip(found, chosen, strict=True)]
    return made, []


def _place(t: Tensor) -> Any:
    e = edge_of(t)
    return e if isinstance(e, Node | Slot) else t


def _nothing(t: Tensor) -> Interval:
    zero = np.zeros(t.value.shape)
    return Interval(zero, zero, zero, np.ones(t.value.shape, bool))


def _upstream(out: Tensor, upstream: Any) -> Any:
    if upstream is None:
        return np.ones(out.value.shape, out.value.dtype)
    v = np.asarray(upstream.value if isinstance(upstream, Tensor) else upstream, out.value.dtype)
    if v.shape != out.value.shape:
        raise RuntimeError(
            message(
                f"Mismatch in shape: grad_output[0] has a shape of {list(v.shape)} and output[0] has a shape "
                f"of {list(out.value.shape)}.",
                "",
                "give one upstream entry per output entry",
            )
        )
    return v


__all__ = ["kinks"]
