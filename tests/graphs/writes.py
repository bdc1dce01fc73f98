"""Random programs with views and in-place writes, and the same programs written functionally.

A program works on one base tensor. It takes views (kept alive and used later), writes through them or into
the base, and reads them. The
functional twin carries the base as a flat vector and every view as an array of positions in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

SHAPE = (3, 4)


@dataclass(frozen=True)
class View:
    """How a view is taken from another one (number `of`; 0 is the base)."""

    of: int
    kind: str
    index: object

    def take(self, x):
        """The view of a tensor or of an array of positions."""
        if self.kind == "index":
            return x[self.index]
        if self.kind == "t":
            return x.t() if hasattr(x, "t") else x.T
        if self.kind == "flat":
            return x.view(-1) if hasattr(x, "requires_grad") else x.reshape(-1)
        return x.unsqueeze(0) if hasattr(x, "unsqueeze") else x[None]


@dataclass(frozen=True)
class Write:
    """What is written into view `to`."""

    to: int
    kind: str
    number: float
    source: int


@st.composite
def write_programs(draw, steps=8):
    """A list of views and writes that are all defined."""
    positions = [np.arange(12).reshape(SHAPE)]
    contiguous = [True]
    steps_done = []
    for _ in range(draw(st.integers(2, steps))):
        if draw(st.booleans()):
            of = draw(st.integers(0, len(positions) - 1))
            x = positions[of]
            choices = [("unsqueeze", None)] if x.ndim < 3 else []
            if x.ndim:
                n = x.shape[0]
                choices += [
                    ("index", 0),
                    ("index", n - 1),
                    ("index", slice(None, None, 2)),
                    ("index", slice(1, None)),
                ]
            if x.ndim >= 2:
                choices += [("index", (slice(None), x.shape[1] - 1)), ("index", (Ellipsis, slice(0, 2)))]
            if x.ndim == 2:
                choices += [("t", None)]
            if contiguous[of] and x.ndim > 1:
                choices += [("flat", None)]
            if not choices:
                continue
            kind, index = draw(st.sampled_from(choices))
            view = View(of, kind, index)
            part = view.take(x)
            if not part.size:
                continue
            positions.append(part)
            # the flattened view must not copy: only views of the whole base, in its order
            contiguous.append(contiguous[of] and part.size == 12 and kind != "t")
            steps_done.append(view)
        else:
            to = draw(st.integers(0, len(positions) - 1))
            kind = draw(
                st.sampled_from(
                    [
                        "mul",
                        "add_leaf",
                        "add_view",
                        "copy_leaf",
                        "neg",
                        "fill",
                        "zero",
                        "set",
                        "sin",
                        "mul_leaf",
                    ]
                )
            )
            same = [k for k, p in enumerate(positions) if p.shape == positions[to].shape]
            steps_done.append(
                Write(to, kind, draw(st.sampled_from([0.5, -1.5, 2.0])), draw(st.sampled_from(same)))
            )
    return steps_done


def written(torch, steps, x, w):  # noqa: C901 - a branch per kind of write
    """The program with views and writes: everything that can be read at its end."""
    base = x * 1.0
    views = [base]
    for s in steps:
        if isinstance(s, View):
            views.append(s.take(views[s.of]))
            continue
        t = views[s.to]
        leaf = _part(w, t)
        if s.kind == "mul":
            t.mul_(s.number)
        elif s.kind == "add_leaf":
            t.add_(leaf)
        elif s.kind == "add_view":
            t.add_(views[s.source].clone(), alpha=s.number)
        elif s.kind == "copy_leaf":
            t.copy_(leaf)
        elif s.kind == "neg":
            t.neg_()
        elif s.kind == "fill":
            t.fill_(s.number)
        elif s.kind == "zero":
            t.zero_()
        elif s.kind == "set":
            t[...] = leaf * s.number
        elif s.kind == "sin":
            t.copy_(torch.sin(t.clone()))
        else:
            t.copy_(t.clone() * leaf)
    return [v.clone() for v in views]


def functional(torch, steps, x, w):
    """The same without a view and without a write."""
    flat = (x * 1.0).reshape(-1)
    positions = [np.arange(12).reshape(SHAPE)]
    for s in steps:
        if isinstance(s, View):
            positions.append(s.take(positions[s.of]))
            continue
        ids = positions[s.to]
        old = _read(torch, flat, ids)
        leaf = _part(w, old)
        new = {
            "mul": lambda old=old, s=s: old * s.number,
            "add_leaf": lambda old=old, leaf=leaf: old + leaf,
            "add_view": lambda old=old, s=s, flat=flat: (
                old + s.number * _read(torch, flat, positions[s.source])
            ),
            "copy_leaf": lambda old=old, leaf=leaf: leaf + 0 * old.detach(),
            "neg": lambda old=old: -old,
            "fill": lambda old=old, s=s: torch.full_like(old, s.number),
            "zero": lambda old=old: torch.zeros_like(old),
            "set": lambda old=old, leaf=leaf, s=s: leaf * s.number + 0 * old.detach(),
            "sin": lambda old=old: torch.sin(old),
            "mul_leaf": lambda old=old, leaf=leaf: old * leaf,
        }[s.kind]()
        # where each entry of the new base comes from: the old base, or the written part behind it
        source = np.arange(12)
        source[ids.reshape(-1)] = 12 + np.arange(ids.size)
        flat = _read(torch, torch.cat([flat, new.reshape(-1)]), source)
    return [_read(torch, flat, p) for p in positions]


def _read(torch, flat, ids):
    return flat[torch.tensor(ids.reshape(-1).tolist(), dtype=torch.int64)].reshape(ids.shape)


def _part(w, like):
    # a leaf's entries in the shape that is needed
    n = 1
    for k in like.shape:
        n *= k
    return w[:n].reshape(like.shape)


def gradients(torch, outs, leaves):
    """d(weighted sum of everything readable) / d(leaves)."""
    total = sum((o * (1.0 + 0.3 * k)).sin().sum() for k, o in enumerate(outs))
    return torch.autograd.grad(total, leaves, allow_unused=True)
