"""The whole story of one entry: its true causes, or the paths that its gradient is made of.

Read `why`. May import `entry`, `causes`, `sweeps`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pullback.autograd.engine import key_of
from pullback.explanations.causes import Cause, cause_of, indexed, name_of, number
from pullback.explanations.classes import NONE
from pullback.explanations.entry import MOST, Dead, Paths, Step, dead_at, true_causes
from pullback.explanations.links import TooMany
from pullback.explanations.nodes import arg_shape
from pullback.explanations.places import at
from pullback.explanations.sweeps import Analysis, Reading, edges_of, same_key
from pullback.graph.lines import line_of
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor
from pullback.transform.forward import reachable

Doubt = Callable[[], str]
SHOWN = 10  # paths listed
ROUNDING = 64  # a sum this many units of rounding below its terms counts as cancelled


@dataclass(frozen=True, slots=True)
class Path:
    """One way from the entry to an output: its links, nearest to the input first, and their product.

    value  the product with the upstream
    share  |value| over the sum of the magnitudes of all paths
    """

    steps: tuple[Step, ...]
    value: float
    share: float

    def __str__(self) -> str:
        return f"{number(self.value)} = {worded(self.steps)}"


def worded(steps: Sequence[Step]) -> str:
    """`relu (1, file.py:3) -> sum (1, file.py:4) -> upstream 1`: links from the entry to the output."""
    parts: list[str] = []
    for s in steps:
        if s.node is None:
            parts.append(f"upstream {number(s.value)}")
        else:
            line = line_of(s.node)
            parts.append(f"{name_of(s.node)} ({number(s.value)}{f', {line}' if line is not None else ''})")
    return " -> ".join(parts)


@dataclass(frozen=True, slots=True)
class Why:
    """Why one entry's gradient is what it is.

    kind       the kind of the nearest cause, or "Flows"
    causes     all proven true causes, nearest to the input first
    complete   are these all there are?
    paths      the largest paths; rest: the share of those not listed
    chain      for a zero: the links of a path with as few dead ones as can be, nearest to the input first
    gradient, magnitude, cancellation   |gradient| / magnitude (1: nothing cancels)
    reason     where nothing could be proven, why
    """

    index: tuple[int, ...]
    kind: str
    gradient: float | None
    magnitude: float | None
    causes: tuple[Cause, ...] = ()
    complete: bool = True
    paths: tuple[Path, ...] = ()
    rest: float = 0.0
    reason: str = ""
    chain: tuple[Step, ...] = ()
    links: int = 0  # of all its paths

    @property
    def cancellation(self) -> float | None:
        """|gradient| over the magnitude: 1 where nothing cancels, 0 where everything does."""
        if self.gradient is None or not self.magnitude:
            return None
        return abs(self.gradient) / self.magnitude

    def __str__(self) -> str:
        where = list(self.index) if self.index else "[]"
        lines = [
            f"entry {where}: {self.kind}"
            + (f", gradient {number(self.gradient)}" if self.gradient is not None else "")
        ]
        if self.reason:
            lines.append(f"  {self.reason}")
        lines += [f"  {c}" for c in self.causes]
        if self.causes and not self.complete:
            lines.append("  (there may be other causes: the search for all of them was cut short)")
        if self.chain:
            lines.append(f"  the chain: {worded(self.chain)}")
        if self.paths:
            lines += [f"  {100 * p.share:5.1f} %  {p}" for p in self.paths]
            if self.rest > 1e-12:
                lines.append(f"  {100 * self.rest:5.1f} %  along smaller paths")
            if self.cancellation is not None and self.cancellation < 0.999:
                lines.append(f"  the paths cancel: |sum| is {self.cancellation:.3g} of the sum of sizes")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "index": list(self.index), "kind": self.kind, "gradient": self.gradient,
            "magnitude": self.magnitude, "cancellation": self.cancellation, "complete": self.complete,
            "reason": self.reason,
            "causes": [c.to_dict() for c in self.causes], "rest": self.rest, "chain": worded(self.chain),
            "paths": [{"text": str(p), "value": p.value, "share": p.share} for p in self.paths],
        }  # fmt: skip


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
        return Why(index, "NonFinite", g, m, _non_finite(paths), reason=_where_bad(work))
    if not paths.connected()[paths.start]:
        paths = Paths(work, key, flat, choices=True)
        if not paths.connected()[paths.start]:
            return _no_path(work, key, flat, index, g, m, doubt, paths)
    if g:
        return _flows(paths, index, g, m)
    if paths.alive()[paths.start]:
        return _alive_zero(paths, index, g, m)
    deads, complete = true_causes(paths)
    causes = tuple(cause_of(work, d) for d in deads)
    chain = tuple(paths.step(link) for link in paths.shortest())
    return Why(index, causes[0].kind, g, m, causes, complete, chain=chain)


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
        return Why(index, "NonFinite", g, m, complete=False, reason=_where_bad(work) or note)
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


# ---------------------------------------------------------------------- non-zero


def _flows(paths: Paths, index: tuple[int, ...], g: float, m: float) -> Why:
    total = float(paths.magnitudes()[paths.start])
    listed = tuple(
        Path(tuple(paths.step(link) for link in links), value, abs(value) / total if total else 0.0)
        for links, value in paths.largest(SHOWN)
    )
    rest = max(0.0, 1.0 - sum(p.share for p in listed))
    return Why(index, "Flows", g, m, paths=listed, rest=0.0 if rest < 1e-12 else rest)


# ---------------------------------------------------------------------- zero along live paths


def _alive_zero(paths: Paths, index: tuple[int, ...], g: Any, m: Any) -> Why:
    sizes = paths.magnitudes()
    listed = tuple(
        Path(tuple(paths.step(link) for link in links), value, abs(value) / m if m else 0.0)
        for links, value in paths.largest(SHOWN)
    )
    rest = max(0.0, 1.0 - sum(p.share for p in listed)) if m else 0.0
    if m:
        return Why(index, "Cancelled", g, m, _cancelled(paths, sizes), True, listed, rest)
    return Why(index, "Underflow", g, m, _underflowed(paths), True, listed)


def _cancelled(paths: Paths, sizes: Any) -> tuple[Cause, ...]:
    """Where terms of opposite sign meet: the first such entries on the way from the input."""
    sums = paths.gradients()
    order, starts = paths.leaving()
    waiting, seen, found = [paths.start], {paths.start}, list[Cause]()
    while waiting and len(found) < 16:
        v = waiting.pop(0)
        links = [link for link in order[starts[v] : starts[v + 1]].tolist() if not paths.dead[link]]
        with np.errstate(all="ignore"):
            products = paths.values[links] * sums[paths.heads[links]]
        terms = list(zip(links, products.tolist(), strict=True))
        bound = ROUNDING * np.finfo(np.float64).eps * sizes[v]
        meant = [(link, value) for link, value in terms if abs(value) > bound]
        if len(meant) > 1:
            found.append(_cancelled_at(paths, meant))
            continue
        for link in links:
            h = int(paths.heads[link])
            if h not in seen and h != paths.sink and sizes[h] > 0:
                seen.add(h)
                waiting.append(h)
    return tuple(found) or _rounded(paths)


def _rounded(paths: Paths) -> tuple[Cause, ...]:
    """The products do not sum to zero, but what the op's rule made of them rounded to zero."""
    for links, value in paths.largest(1):
        s = paths.step(links[0])
        name, line = ("", None) if s.node is None else (name_of(s.node), line_of(s.node))
        text = f"contributions as small as {number(value)} are lost to rounding beside larger terms in {name}"
        return (
            Cause(
                "Cancelled",
                name,
                line,
                0 if s.node is None else s.node.number,
                s.i,
                s.row,
                s.col,
                s.value,
                text,
            ),
        )
    return ()


def _cancelled_at(paths: Paths, terms: list[tuple[int, float]]) -> Cause:
    step = paths.step(terms[0][0])
    shown: list[str] = []
    for link, value in terms[:6]:
        s = paths.step(link)
        name = "the upstream" if s.node is None else name_of(s.node)
        shown.append(f"{value:+.6g} through {name}{'' if s.node is None else at(s.node)}")
    more = f" and {len(terms) - 6} more" if len(terms) > 6 else ""
    text = f"{len(terms)} contributions sum to exactly 0: {', '.join(shown)}{more}"
    node = step.node
    if node is None:
        return Cause("Cancelled", "", None, 0, step.i, step.row, step.col, step.value, text)
    return Cause(
        "Cancelled", name_of(node), line_of(node), node.number, step.i, step.row, step.col, step.value, text
    )


def _underflowed(paths: Paths) -> tuple[Cause, ...]:
    """Where the product of non-zero links becomes too small, along the largest path."""
    for links, _ in paths.largest(1):
        product: Any = None
        for link in reversed(links):
            value = paths.stretch(link).values.dtype.type(paths.values[link])
            before, product = product, value if product is None else product * value
            if product == 0:
                s = paths.step(link)
                node = s.node
                name = "" if node is None else name_of(node)
                text = (
                    f"{number(float(before))} times the local derivative {number(s.value)} is below the "
                    f"smallest {value.dtype} number"
                )
                line = None if node is None else line_of(node)
                return (
                    Cause(
                        "Underflow",
                        name,
                        line,
                        0 if node is None else node.number,
                        s.i,
                        s.row,
                        s.col,
                        s.value,
                        text,
                    ),
                )
    return ()


# ---------------------------------------------------------------------- not finite


def _non_finite(paths: Paths) -> tuple[Cause, ...]:
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


def _where_bad(work: Analysis) -> str:
    """The first ops, from the output backwards, whose rules made numbers that are not finite."""
    if not work.bad:
        return ""
    node, _ = work.bad[0]
    return f"the first op backwards whose derivative is not finite: {name_of(node)}{at(node)}"


# ---------------------------------------------------------------------- no path


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


def _no_path(
    work: Analysis, key: Any, flat: int, index: tuple[int, ...], g: Any, m: Any, doubt: Doubt, paths: Paths
) -> Why:
    del flat
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
    return Why(
        index, "NotDetermined" if open_ else "NoPath", g, m, reason=f"{told}; {open_}" if open_ else told
    )
