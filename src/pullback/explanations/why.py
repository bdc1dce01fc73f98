"""The whole story of one entry: its true causes, or the paths that its gradient is made of.

Read `why`. May import `story`, `zeros`, `not_finite`, `unreached`, `entry`, `causes`, `sweeps`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pullback.explanations.causes import Cause, cause_of, name_of
from pullback.explanations.classes import NONE
from pullback.explanations.entry import MOST, Dead, Paths, dead_at, true_causes
from pullback.explanations.links import TooMany
from pullback.explanations.nodes import arg_shape
from pullback.explanations.not_finite import non_finite, where_bad
from pullback.explanations.story import Path, Why
from pullback.explanations.sweeps import Analysis, Reading
from pullback.explanations.unreached import Doubt, no_path
from pullback.explanations.zeros import cancelled, underflowed
from pullback.graph.lines import line_of
from pullback.graph.node import Node

SHOWN = 10  # paths listed


def why(work: Analysis, key: Any, flat: int, shape: tuple[int, ...], doubt: Doubt) -> Why:
    """The story of flat entry `flat` of the tensor at `key`.

    doubt  says why a missing path proves nothing ("" where it does)
    """
    index = tuple(int(k) for k in np.unravel_index(flat, shape)) if shape else ()
    g, m = numbers_at(work.found[key], flat)
    try:
        paths = Paths(work, key, flat)
        return replace(_told(paths, key, flat, index, g, m, doubt), links=len(paths.tails))
    except TooMany:
        return replace(_short(work, key, flat, index, g, m, doubt), links=MOST)


def class_at(found: Any, flat: int) -> int:
    """The class of one entry."""
    return (
        int(found.classes.reshape(-1)[flat]) if isinstance(found.classes, np.ndarray) else int(found.classes)
    )


def _told(paths: Paths, key: Any, flat: int, index: tuple[int, ...], g: Any, m: Any, doubt: Doubt) -> Why:
    work = paths.work
    if g is not None and not np.isfinite(g):
        return Why(index, "NonFinite", g, m, non_finite(paths), reason=where_bad(work))
    if not paths.connected()[paths.start]:
        paths = Paths(work, key, flat, choices=True)
        if not paths.connected()[paths.start]:
            return no_path(work, key, index, g, m, doubt, paths)
    if g:
        return _flows(paths, index, g, m)
    if paths.alive()[paths.start]:
        return _alive_zero(paths, index, g, m)
    deads, complete = true_causes(paths)
    causes = tuple(cause_of(work, d) for d in deads)
    chain = tuple(paths.step(link) for link in paths.shortest())
    # a constant whose origin was not recorded may hide one more path
    return Why(index, causes[0].kind, g, m, causes, complete and not doubt(), chain=chain)


def nearest(work: Analysis, key: Any, flat: int, shape: tuple[int, ...], doubt: Doubt) -> Why:
    """The nearest dead links of a zero entry, as the classes of the sweeps prove them: for large records.

    What lies behind them is named by op and line only.
    """
    index = tuple(int(k) for k in np.unravel_index(flat, shape)) if shape else ()
    g, m = numbers_at(work.found[key], flat)
    return _short(work, key, flat, index, g, m, doubt)


def numbers_at(found: Reading, flat: int) -> tuple[Any, Any]:
    """Gradient and magnitude of one entry; None where no recorded op leads there."""
    if found.gradient is None:
        return None, None if found.magnitude is None else found.magnitude.reshape(-1)[flat].item()
    return found.gradient.reshape(-1)[flat].item(), found.magnitude.reshape(-1)[flat].item()


def _short(work: Analysis, key: Any, flat: int, index: tuple[int, ...], g: Any, m: Any, doubt: Doubt) -> Why:
    """Where the paths are too many to list: what the sweeps proved."""
    found = work.found[key]
    note = "the paths are too many to list"
    if g is not None and not np.isfinite(g):
        return Why(index, "NonFinite", g, m, complete=False, reason=where_bad(work) or note)
    if g:
        return Why(index, "Flows", g, m, rest=1.0, complete=False, reason=note)
    classes = work.classify()
    c = class_at(found, flat)
    if c == NONE:
        return Why(
            index,
            "NotDetermined" if doubt() else "NoPath",
            g,
            m,
            reason=doubt() or "no op carries it to an output",
        )
    steps = classes.chain(c)
    if not steps:
        kind = "Cancelled" if m else "Underflow"
        return Why(index, kind, g, m, complete=False, reason=note)
    if steps[0][0] == "NotDetermined":
        return Why(index, "NotDetermined", g, m, complete=False, reason=note)
    causes = _of_first_step(work, key, flat, *steps[0]) + tuple(_of_step(s) for s in steps[1:])
    return Why(index, causes[0].kind, g, m, causes, False, reason=note)


def _of_first_step(work: Analysis, key: Any, flat: int, kind: str, node: Any, i: int) -> tuple[Cause, ...]:
    """The dead links nearest to the input: those of one op, found without looking behind it."""
    if isinstance(node, int):
        return (_of_step((kind, node, i)),)
    try:
        if single(work, node, i):
            deads = [Dead(0, node, i, 0, 0, kind)]
        else:
            deads = dead_at(Paths(work, key, flat, until=node.number), node, i)
    except TooMany:
        deads = []
    return tuple(cause_of(work, d) for d in deads if d.kind == kind) or (_of_step((kind, node, i)),)


def single(work: Analysis, node: Node, i: int) -> bool:
    """Has the argument one entry, and the output too?"""
    one_out = node.count is None and work.shapes[node].size == 1
    return one_out and int(np.prod(arg_shape(node, i, work.shapes))) == 1


def _of_step(step: tuple[str, Any, int]) -> Cause:
    """A dead step of a class, whose entries are not known."""
    kind, node, i = step
    if isinstance(node, int):
        return Cause(kind, "", None, 0, node, -1, -1, 0.0, "the upstream is exactly 0 there")
    name = name_of(node)
    text = f"every link to {name} on these paths is exactly 0"
    return Cause(kind, name, line_of(node), node.number, i, -1, -1, 0.0, text)


def _flows(paths: Paths, index: tuple[int, ...], g: float, m: float) -> Why:
    total = float(paths.magnitudes()[paths.start])
    listed = tuple(
        Path(tuple(paths.step(link) for link in links), value, abs(value) / total if total else 0.0)
        for links, value in paths.largest(SHOWN)
    )
    rest = max(0.0, 1.0 - sum(p.share for p in listed))
    return Why(index, "Flows", g, m, paths=listed, rest=0.0 if rest < 1e-12 else rest)


def _alive_zero(paths: Paths, index: tuple[int, ...], g: Any, m: Any) -> Why:
    sizes = paths.magnitudes()
    listed = tuple(
        Path(tuple(paths.step(link) for link in links), value, abs(value) / m if m else 0.0)
        for links, value in paths.largest(SHOWN)
    )
    rest = max(0.0, 1.0 - sum(p.share for p in listed)) if m else 0.0
    if m:
        return Why(index, "Cancelled", g, m, cancelled(paths, sizes), True, listed, rest)
    return Why(index, "Underflow", g, m, underflowed(paths), True, listed)


__all__ = ["Doubt", "Path", "Why", "class_at", "nearest", "why"]
