"""`explain(x)` after a backward: find the pass behind `x.grad` and read its record.

Read `explained_pass`. A plain `backward()` frees what its record saved; small records are kept aside for this
(`autograd.passes`). May import `autograd.passes`, `report`, `sweeps`, `told`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from pullback.autograd import passes
from pullback.autograd.engine import key_of
from pullback.explanations.report import Explanation
from pullback.explanations.sweeps import Analysis, analyse, key_edge
from pullback.explanations.told import none_reason, noticed
from pullback.explanations.unproven import doubt_of
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor, wrap

EARLIER = (
    "explain(out, x) before backward, backward(retain_graph=True), or backward inside pb.record_lines() keep "
    "what is needed"
)


def explained_pass(x: Tensor) -> Explanation:
    """The explanation of x's gradient in the latest backward pass (the latest that reached x, if one did)."""
    shape = tuple(x.value.shape)
    chosen = _chosen(x)
    if chosen is None:
        return Explanation(None, x, shape, none_reason=_without_pass(x))
    if chosen.too_large:
        reason = f"the record of the backward pass was too large to be kept after it; {EARLIER}"
        return Explanation(
            None, x, shape, none_reason=none_reason((), x), notes=(reason,), doubt=lambda: reason
        )
    with chosen.restored():
        outs, weights = outputs_of(chosen)
        try:
            work = analyse(outs, weights, [x])
        except RuntimeError as error:
            reason = f"{str(error).splitlines()[0].partition(' Hint:')[0]} ({EARLIER})"
            return Explanation(
                None, x, shape, none_reason=none_reason((), x), notes=(reason,), doubt=lambda: reason
            )
    key = key_of(x if x.node is None else key_edge(x))
    count = passes.contributions(x)
    return Explanation(
        work,
        key,
        shape,
        doubt=partial(doubt_of, work, x),
        none_reason=_why_none(x, work, key),
        contributions=count,
        notes=(*noticed(work), *_sum_of_passes(x, work, key, count)),
        opened=chosen.restored,
    )


def outputs_of(chosen: Any) -> tuple[list[Tensor], list[Any]]:
    """The outputs that a pass started from, as tensors of their shape, and its upstreams."""
    outs: list[Tensor] = []
    weights: list[Any] = []
    for edge, c in chosen.roots:
        v = np.asarray(c.value if isinstance(c, Tensor) else c)
        outs.append(
            edge if isinstance(edge, Tensor) else wrap(np.broadcast_to(v.dtype.type(0), v.shape), edge)
        )
        weights.append(v)
    return outs, weights


def _chosen(x: Tensor) -> Any:
    """The latest pass that reached x, else the latest of all."""
    every = list(passes.recent)
    for p in reversed(every):
        if p.too_large:
            continue
        if _reaches(p, x):
            return p
    return every[-1] if every else None


def _reaches(p: Any, x: Tensor) -> bool:
    if x.node is None:
        return False
    key = key_of(key_edge(x))
    stack: list[Any] = [e for e, _ in p.roots]
    seen = set[Any]()
    while stack:
        e = stack.pop()
        if e is None or e in seen:
            continue
        seen.add(e)
        if e is key or (type(e) is Slot and (e.node, e.index) == key):
            return True
        node = e.node if type(e) is Slot else e
        if isinstance(node, Node):
            if node is key:
                return True
            stack.extend(node.edges)
    return False


def _without_pass(x: Tensor) -> str:
    return none_reason((), x) or "no backward pass has run in this thread"


def _why_none(x: Tensor, work: Analysis, key: Any) -> str | None:
    if x.stored_grad is not None:
        return None
    known = none_reason((), x)
    if known is not None:
        return known
    if work.found[key].gradient is None:
        return "the latest backward did not reach it: no recorded op leads from it to the output"
    return (
        ".grad was set to None again after the backward (zero_grad), or backward was asked for other inputs "
        "only"
    )


def _sum_of_passes(x: Tensor, work: Analysis, key: Any, count: int | None) -> list[str]:
    """Where `.grad` is more than what the latest pass gives, say so."""
    g = work.found[key].gradient
    if x.stored_grad is None or g is None:
        return []
    have = np.asarray(x.stored_grad.value)
    if have.shape != g.shape or np.allclose(have, g, rtol=1e-5, atol=0, equal_nan=True):
        return []
    times = "" if count is None else f" ({count} passes since it was last None or zero)"
    return [
        f".grad holds more than the latest pass explained here gives{times}: gradients accumulate until "
        "zero_grad() or .grad = None"
    ]


__all__ = ["explained_pass", "outputs_of"]
