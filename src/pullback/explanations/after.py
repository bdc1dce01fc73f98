"""`explain(x)` after a backward: find the pass behind `x.grad` and read its record.

Read `explained_pass`. A plain `backward()` frees what its record saved; small records are kept aside for this
(`autograd.passes`). May import `autograd.passes`, `report`, `sweeps`, `told`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

import numpy as np

from pullback.autograd import passes
from pullback.autograd.engine import key_of
from pullback.explanations.report import Explanation
from pullback.explanations.sweeps import Analysis, analyse, key_edge, same_key
from pullback.explanations.told import none_reason, noticed
from pullback.explanations.unproven import doubt_of
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor, wrap

EARLIER = (
    "explain(out, x) before backward, backward(retain_graph=True), or backward inside pb.record_lines() keep "
    "what is needed"
)


FEW = 6  # entries of a gradient that are shown


def explained_pass(x: Tensor) -> Explanation:
    """The explanation of x's gradient in the backward passes that `.grad` is the sum of, if they are kept.

    Where that is not known, of the latest pass that reached x; where none did, of the latest of all.
    """
    shape = tuple(x.value.shape)
    count = passes.contributions(x)
    chosen = _chosen(x, count)
    if not chosen:
        return Explanation(None, x, shape, none_reason=_without_pass(x))
    if chosen[-1].too_large:
        return _untold(
            x, f"the record of the backward pass was not kept (too large, or made by vmap); {EARLIER}"
        )
    opened = partial(_restored, chosen)
    with opened():
        outs, weights = outputs_of(chosen)
        try:
            work = analyse(outs, weights, [x])
        except RuntimeError as error:
            return _untold(x, f"{str(error).splitlines()[0].partition(' Hint:')[0]} ({EARLIER})")
    key = key_of(x if x.node is None else key_edge(x))
    other, notes = _beside(x, work.found[key].gradient, count)
    return Explanation(
        work,
        key,
        shape,
        doubt=partial(doubt_of, work, x),
        none_reason=_why_none(x, work, key, chosen[-1].kind),
        contributions=count,
        notes=(*noticed(work), *_each(x, key, chosen), *notes),
        opened=opened,
        other=other,
    )


def _each(x: Tensor, key: Any, chosen: Sequence[Any]) -> list[str]:
    """What each of several passes added to `.grad`."""
    if len(chosen) < 2:
        return []
    found: list[str] = []
    with _restored(chosen):
        for p in chosen:
            g = analyse(*outputs_of([p]), [x]).found[key].gradient
            where = f" at {p.line}" if p.line is not None else ""
            what = np.array2string(g, precision=6) if g.size <= FEW else f"norm {np.linalg.norm(g):.6g}"
            found.append(f"the backward pass{where} added {what}")
    return found


def _untold(x: Tensor, reason: str) -> Explanation:
    shape = tuple(x.value.shape)
    return Explanation(None, x, shape, none_reason=none_reason((), x), notes=(reason,), doubt=lambda: reason)


@contextlib.contextmanager
def _restored(chosen: Sequence[Any]) -> Generator[None]:
    with contextlib.ExitStack() as stack:
        for p in chosen:
            stack.enter_context(p.restored())
        yield


def outputs_of(chosen: Sequence[Any]) -> tuple[list[Tensor], list[Any]]:
    """The outputs that passes started from, as tensors of their shape, and their upstreams."""
    outs: list[Tensor] = []
    weights: list[Any] = []
    for edge, c in (root for p in chosen for root in p.roots):
        v = np.asarray(c.value if isinstance(c, Tensor) else c)
        outs.append(
            edge if isinstance(edge, Tensor) else wrap(np.broadcast_to(v.dtype.type(0), v.shape), edge)
        )
        weights.append(v)
    return outs, weights


def _chosen(x: Tensor, count: int | None) -> list[Any]:
    """The passes to explain, oldest first."""
    every = list(passes.recent)
    reaching = [p for p in every if not p.too_large and _reaches(p, x)]
    added = [p for p in reaching if p.kind == "backward"]
    if count is not None and 1 < count <= len(added):
        return added[-count:]
    return reaching[-1:] or every[-1:]


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
        if same_key(key_of(e), key):
            return True
        node = e.node if type(e) is Slot else e
        if isinstance(node, Node):
            stack.extend(node.edges)
    return False


def _without_pass(x: Tensor) -> str:
    return none_reason((), x) or "no backward pass has run in this thread"


def _why_none(x: Tensor, work: Analysis, key: Any, kind: str) -> str | None:
    if x.stored_grad is not None:
        return None
    known = none_reason((), x)
    if known is not None:
        return known
    if work.found[key].gradient is None:
        return "the latest backward did not reach it: no recorded op leads from it to the output"
    if kind == "grad":
        return "autograd.grad returns gradients and fills no .grad; backward does"
    return (
        ".grad was set to None again after the backward (zero_grad), or backward was asked for other inputs "
        "only"
    )


def _beside(x: Tensor, g: Any, count: int | None) -> tuple[Any, list[str]]:
    """Where `.grad` is not what the explained passes give: its value, and a note."""
    if x.stored_grad is None or g is None:
        return None, []
    have = np.asarray(x.stored_grad.value)
    if have.shape != g.shape or np.allclose(have, g, rtol=1e-5, atol=0, equal_nan=True):
        return None, []
    if count is not None and count > 1:
        return have, [
            f".grad is the sum of {count} passes, of which only the latest is explained: gradients "
            "accumulate until zero_grad() or .grad = None"
        ]
    return have, [
        ".grad is not what the pass explained here gives alone: gradients of several passes add up until "
        "zero_grad() or .grad = None, hooks may change them, and .grad may have been written since"
    ]


__all__ = ["explained_pass", "outputs_of"]
