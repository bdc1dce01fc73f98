"""Entries that no path connects with the outputs: who takes the tensor, and what may be unknown.

Read `no_path`. May import `causes`, `entry`, `story`, `sweeps`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.autograd.engine import key_of
from pullback.explanations.causes import Cause, name_of
from pullback.explanations.entry import Paths
from pullback.explanations.places import at
from pullback.explanations.story import Why
from pullback.explanations.sweeps import Analysis, edges_of, same_key
from pullback.graph.lines import line_of
from pullback.graph.tensor import Tensor
from pullback.transform.forward import reachable

Doubt = Callable[[], str]


def _not_followed(work: Analysis, x: Tensor, index: tuple[int, ...]) -> Why:
    """A tensor without requires_grad: stopped if an op behind the output is seen to use it."""
    for node in reachable(work.outs):
        for i, a in enumerate(node.args or ()):
            if isinstance(a, Tensor) and (a is x or a.value is x.value):
                floating = x.value.dtype.kind in "fc"
                what = "requires_grad is False" if floating else f"its dtype {x.dtype!r} has no gradients"
                text = f"{name_of(node)} uses it, but {what}, so autograd does not follow it"
                line = line_of(node)
                cause = Cause("Stopped", name_of(node), line, node.number, i, -1, -1, 0.0, text)
                return Why(index, "Stopped", None, None, (cause,))
    reason = "autograd does not follow it, so where it is used was not recorded"
    return Why(index, "NotDetermined", None, None, complete=False, reason=reason)


def shortened(names: list[str], most: int = 3) -> str:
    """The names, each once, and how many more there are."""
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - most} more" if len(distinct) > most else ""
    return ", ".join(distinct[:most]) + more


def no_path(
    work: Analysis, key: Any, index: tuple[int, ...], g: Any, m: Any, doubt: Doubt, paths: Paths
) -> Why:
    """The story of an entry without a path; "not determined" where a doubt remains."""
    if isinstance(key, Tensor) and key.node is None:
        return _not_followed(work, key, index)
    takers = list[str]()
    for node in work.nodes:
        if any(e is not None and same_key(key_of(e), key) for e in edges_of(node)):
            takers.append(f"{name_of(node)}{at(node)}")
    reached = len(paths.stretches) > 0
    if not takers:
        told = "no recorded op takes this tensor on the way to the output"
    elif reached:
        told = f"its value is taken by {shortened(takers)}, but is dropped before the output"
    else:
        told = f"{shortened(takers)} takes other entries of this tensor, not this one"
    open_ = doubt()
    if open_:
        return Why(index, "NotDetermined", g, m, complete=False, reason=f"{told}; {open_}")
    return Why(index, "NoPath", g, m, reason=told)
