"""Where one entry's gradient stops being finite: the link nearest to the output that made such a number.

Read `non_finite`. May import `causes`, `entry`, `sweeps`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.explanations.causes import Cause, indexed, name_of, number
from pullback.explanations.entry import Paths
from pullback.explanations.places import at
from pullback.explanations.sweeps import Analysis
from pullback.graph.lines import line_of


def non_finite(paths: Paths) -> tuple[Cause, ...]:
    """The link nearest to the output that made a number which is not finite, on the way from this entry."""
    sums = paths.gradients()
    order, starts = paths.leaving()
    v, path = paths.start, set[int]()
    with np.errstate(all="ignore"):
        while v not in path and v != paths.sink:
            path.add(v)
            links = order[starts[v] : starts[v + 1]].tolist()
            ahead = sums[paths.heads]
            terms = [
                (link, paths.values[link] * ahead[link])
                for link in links
                if ahead[link] != 0 and not paths.stops[link]
            ]
            bad = [link for link, value in terms if not np.isfinite(value)]
            if not bad:
                return _overflowed(paths, terms)
            bad = [link for link in bad if not paths.dead[link]] or bad  # inf itself before inf times 0
            onward = [link for link in bad if not np.isfinite(sums[paths.heads[link]])]
            if not onward:
                return (_bad_link(paths, bad[0], float(sums[paths.heads[bad[0]]])),)
            v = int(paths.heads[onward[0]])
    return ()


def _bad_link(paths: Paths, link: int, upstream: float) -> Cause:
    s = paths.step(link)
    node = s.node
    if node is None:
        text = f"the upstream's own entry is {number(s.value)}"
        return Cause("NonFinite", "", None, 0, s.i, s.row, s.col, s.value, text)
    work = paths.work
    notes: dict[str, str] = getattr(node.op, "notes", None) or {}
    known = getattr(node.op, "why_nonfinite", "") or notes.get("why_nonfinite", "")
    shape = work.shapes[node].shape if node in work.shapes else ()
    where = indexed(s.row, tuple(shape))
    what = f"the local derivative of {name_of(node)} for output entry {where} is {number(s.value)}"
    if np.isfinite(s.value):
        what += ", and the product with it overflows"
    text = f"{what}; the cotangent that arrives there is {number(upstream)}" + (f"; {known}" if known else "")
    return Cause("NonFinite", name_of(node), line_of(node), node.number, s.i, s.row, s.col, s.value, text)


def _overflowed(paths: Paths, terms: list[tuple[int, Any]]) -> tuple[Cause, ...]:
    if not terms:
        return ()
    s = paths.step(terms[0][0])
    node = s.node
    name, line = ("", None) if node is None else (name_of(node), line_of(node))
    text = f"the sum of {len(terms)} finite contributions overflows"
    return (
        Cause("NonFinite", name, line, 0 if node is None else node.number, s.i, s.row, s.col, s.value, text),
    )


def where_bad(work: Analysis) -> str:
    """The first ops, from the output backwards, whose rules made numbers that are not finite."""
    if not work.bad:
        return ""
    node, _ = work.bad[0]
    return f"the first op backwards whose derivative is not finite: {name_of(node)}{at(node)}"
