"""Which gradients need a word: None, zero, partly zero, not finite, or extreme; the others are healthy.

Read `judged`. May import `graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.explanations.causes import number
from pullback.graph.tensor import Tensor

TINY, HUGE = 1e-12, 1e8  # of the leaf's own largest entry
FAINT = 1e-6  # of the largest relative gradient in the same module
RULE = (
    f"A gradient is extreme if its largest entry is below {TINY:g} or above {HUGE:g} times the leaf's own "
    "largest entry (1 for a leaf of zeros), or if |gradient| / |parameter| (2-norms) is below "
    f"{FAINT:g} times that of another parameter of the same module."
)


@dataclass(frozen=True, eq=False)
class Standing:
    """How a leaf's gradient is.

    name      what the program calls the leaf ("" where it has no name)
    leaf      the tensor;  gradient  what was judged, an array or None
    kind      "None", "zero", "partly zero", "non-finite", "extreme" or "healthy"
    text      the same with numbers
    returned  was it judged by what `autograd.grad` returned?
    """

    name: str
    leaf: Tensor
    gradient: Any
    kind: str
    text: str
    returned: bool = False


def judged(leaves: Sequence[tuple[str, Tensor, Any, bool]]) -> list[Standing]:
    """The standings of (name, leaf, gradient, returned), in this order.

    >>> import pullback as torch
    >>> w = torch.ones(3, requires_grad=True)
    >>> [(s.kind, s.text) for s in judged([("w", w, np.array([0.0, 1.0, 0.0]), False)])]
    [('partly zero', '2 of 3 entries of its gradient are 0')]
    """
    shares = {id(leaf): _share(leaf, g) for _, leaf, g, _ in leaves}
    largest: dict[str, float] = {}
    for name, leaf, _, _ in leaves:
        home = _home(name)
        largest[home] = max(largest.get(home, 0.0), shares[id(leaf)] or 0.0)
    return [
        Standing(name, leaf, g, *_judge(leaf, g, returned, shares[id(leaf)], _top(name, largest)), returned)
        for name, leaf, g, returned in leaves
    ]


def _home(name: str) -> str:
    return name.partition(".")[0] if "." in name else ""


def _top(name: str, largest: dict[str, float]) -> float | None:
    """The largest relative gradient in the leaf's module; None outside modules."""
    home = _home(name)
    return largest[home] if home else None


def _share(leaf: Tensor, g: Any) -> float | None:
    """|gradient| / |parameter|, or None where that means nothing."""
    if g is None or not g.size or not np.all(np.isfinite(g)):
        return None
    size = float(np.linalg.norm(np.asarray(leaf.value).reshape(-1)))
    return float(np.linalg.norm(g.reshape(-1))) / size if size and np.isfinite(size) else None


def _judge(leaf: Tensor, g: Any, returned: bool, share: float | None, top: float | None) -> tuple[str, str]:
    what = "the gradient that autograd.grad returned" if returned else "its gradient"
    if g is None:
        return "None", "autograd.grad returned None for it" if returned else ".grad is None"
    sizes = np.abs(g)
    odd = int(g.size - np.isfinite(sizes).sum())
    if odd:
        return "non-finite", _count(odd, g.size, what, "not finite")
    zeros = int((sizes == 0).sum())
    if zeros and zeros == g.size:
        return "zero", f"{what} is 0" if g.size == 1 else f"all {g.size} entries of {what} are 0"
    if zeros:
        return "partly zero", _count(zeros, g.size, what, "0")
    if not g.size:
        return "healthy", "no entries"
    return _extreme(leaf, sizes, what, share, top)


def _count(n: int, size: int, what: str, state: str) -> str:
    return (
        f"{what} is {state}"
        if size == 1
        else f"{n} of {size} entries of {what} {'is' if n == 1 else 'are'} {state}"
    )


def _extreme(leaf: Tensor, sizes: Any, what: str, share: float | None, top: float | None) -> tuple[str, str]:
    most = float(sizes.max())
    own = np.abs(np.asarray(leaf.value))
    scale = float(own.max()) if own.size and np.all(np.isfinite(own)) else 0.0
    scale = scale or 1.0
    if most < TINY * scale:
        return (
            "extreme",
            f"{what} is tiny: its largest entry is {number(most)}, the leaf's is {number(scale)}",
        )
    if most > HUGE * scale:
        return (
            "extreme",
            f"{what} is huge: its largest entry is {number(most)}, the leaf's is {number(scale)}",
        )
    if share is not None and top is not None and share < FAINT * top:
        return (
            "extreme",
            f"{what} is faint: |gradient| / |parameter| is {number(share)}, "
            f"elsewhere in the module {number(top)}",
        )
    return "healthy", f"|g| from {number(float(sizes.min()))} to {number(most)}"


__all__ = ["RULE", "Standing", "judged"]
