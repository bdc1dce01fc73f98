"""Loops and branches that exercise every rule of `scan`, `while_loop` and `cond`: their facet `samples`.

May import `compiler.body`, `compiler.control_tools`, `families` and what stands below.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.compiler.body import closed_body
from pullback.compiler.control_tools import Tensors, aval_of, row
from pullback.families.facets import Sample
from pullback.graph.tensor import Tensor


def scan_samples() -> list[Sample]:
    """Loops with and without captured values, carries of several kinds, both directions."""

    def decay(w: Tensor, c: Tensor, x: Tensor) -> Tensors:
        new = c * w.sin() + x
        return [new, new * x]

    def count(c: Tensor, i: Tensor, x: Tensor) -> Tensors:
        return [c * x.exp() + i, i + 1, c.sum()]

    def fixed(c: Tensor) -> Tensors:
        return [c.sin() * 2]

    rng = np.random.default_rng(5)
    a = [rng.uniform(0.3, 1.0, s) for s in ((3,), (3,), (4, 3), (2,), (3, 2))]
    i = np.array(2)
    decayed = closed_body(decay, [aval_of(a[0]), aval_of(a[1]), row(a[2])])
    counted = closed_body(count, [aval_of(a[3]), aval_of(i), row(a[4])])
    common: dict[str, Any] = {"length": 4, "reverse": False, "history": 0, "captured": 1, "carries": 1}
    return [
        Sample((a[0], a[1], a[2]), {**common, "body": decayed}),
        Sample((a[0], a[1], a[2]), {**common, "body": decayed, "reverse": True}, note="reverse"),
        Sample((a[3], i, a[4]), {**common, "body": counted, "captured": 0, "carries": 2, "length": 3},
               note="an integer in the carry"),
        Sample((a[3],), {**common, "body": closed_body(fixed, [aval_of(a[3])]), "captured": 0, "length": 12},
               note="no xs"),
    ]  # fmt: skip


def while_samples() -> list[Sample]:
    """A loop whose number of rounds depends on the carry."""
    x, w = np.array([0.4, 0.7]), np.array(1.5)
    avals = [aval_of(w), aval_of(x)]
    test = closed_body(lambda _w, c: [c.sum() < 8], avals)
    step = closed_body(lambda w, c: [c * w + c.sin()], avals)
    # diff: reverse mode is refused, so the checks that compare it with forward mode have nothing to compare
    return [Sample((w, x), {"cond": test, "body": step, "captured": 1}, diff=())]


def cond_samples() -> list[Sample]:
    """Both branches."""
    x, y = np.array([0.4, 0.7]), np.array(1.5)
    avals = [aval_of(x), aval_of(y)]
    true = closed_body(lambda x, y: [x * y, (x * x).sum()], avals)
    false = closed_body(lambda x, y: [x.sin() + y, y * 3], avals)
    return [Sample((np.array(p), x, y), {"true": true, "false": false}, note=f"{p}") for p in (True, False)]
