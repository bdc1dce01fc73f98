"""`per_sample`: the gradient of each sample of a batch, and what their mean is worth.

Read `per_sample`, then `PerSample`. May import `func`, `graph`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.func.derivatives import grad
from pullback.func.mapping import vmap
from pullback.func.pytree import flatten, unflatten
from pullback.graph.tensor import Tensor

SHOWN = 20  # tensors listed


@dataclass(frozen=True, eq=False, repr=False)
class PerSample:
    """The gradients of B samples.

    gradients  in the structure of x, each of shape (B,) + its tensor's shape
    names      what the parts of x are called, in order
    parts      the gradients of the parts as arrays, in order
    norms      (B,): the 2-norm of each sample's gradient over all parts
    """

    gradients: Any
    names: tuple[str, ...]
    parts: tuple[Any, ...]
    norms: Any

    @property
    def samples(self) -> int:
        """B."""
        return len(self.norms)

    @property
    def mean(self) -> tuple[Any, ...]:
        """Per part the mean over the samples, of the part's shape: the gradient of the mean loss."""
        return tuple(p.mean(axis=0) for p in self.parts)

    @property
    def stderr(self) -> tuple[Any, ...]:
        """Per part the standard error of that mean: the samples' standard deviation (ddof 1) / sqrt(B)."""
        if self.samples < 2:
            return tuple(np.full(p.shape[1:], np.nan) for p in self.parts)
        return tuple(p.std(axis=0, ddof=1) / np.sqrt(self.samples) for p in self.parts)

    @property
    def active(self) -> tuple[Any, ...]:
        """Per part and entry the share of the samples whose gradient there is not exactly zero."""
        return tuple((p != 0).mean(axis=0) for p in self.parts)

    def records(self) -> list[dict[str, Any]]:
        """One row per part: name, shape, norms of mean and standard error, share of silent entries."""
        rows = zip(self.names, self.parts, self.mean, self.stderr, self.active, strict=True)
        return [
            {
                "name": name, "shape": p.shape[1:], "mean_norm": _norm(m), "stderr_norm": _norm(s),
                "silent": float((a == 0).mean()) if a.size else 0.0,
            }
            for name, p, m, s, a in rows
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"samples": self.samples, "norms": self.norms.tolist(), "parts": self.records()}

    def __repr__(self) -> str:
        return f"PerSample({self.samples} samples of {', '.join(self.names)}; norms {self._span()})"

    def _span(self) -> str:
        return f"{self.norms.min():.3g} to {self.norms.max():.3g}, median {np.median(self.norms):.3g}"

    def __str__(self) -> str:
        lines = [
            f"gradients of {self.samples} samples: norms {self._span()}; the largest is that of sample "
            f"{int(np.argmax(self.norms))}"
        ]
        for r in self.records()[:SHOWN]:
            silent = f", {100 * r['silent']:.3g} % of its entries zero in every sample" if r["silent"] else ""
            lines.append(
                f"  {r['name']} {list(r['shape'])}: norm of the mean {r['mean_norm']:.3g}, "
                f"of its standard error {r['stderr_norm']:.3g}{silent}"
            )
        if len(self.parts) > SHOWN:
            lines.append(f"  ... {len(self.parts) - SHOWN} more in .records()")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heads = "".join(
            f"<th>{h}</th>" for h in ("", "shape", "norm of the mean", "standard error", "silent")
        )
        rows = "".join(
            f"<tr><td>{escape(r['name'])}</td><td>{list(r['shape'])}</td><td>{r['mean_norm']:.3g}</td>"
            f"<td>{r['stderr_norm']:.3g}</td><td>{100 * r['silent']:.3g} %</td></tr>"
            for r in self.records()
        )
        return f"<p>{escape(str(self).splitlines()[0])}</p><table><tr>{heads}</tr>{rows}</table>"


def _norm(a: Any) -> float:
    return float(np.linalg.norm(np.reshape(a, -1)))


def per_sample(f: Callable[..., Any], x: Any, *batch: Any, chunk_size: int | None = None) -> PerSample:
    """The gradient of f(x, sample) with respect to x, for each sample of a batch.

    f           a function of x and of one sample per argument of `batch`; returns a 0-d tensor
    x           a floating tensor, or a nested dict, list or tuple of them (a module's parameters)
    batch       tensors of shape (B, ...): entry b of each is sample b
    chunk_size  how many samples are computed together (all of them by default)
    Nothing is recorded and no `.grad` changes. ValueError without a batch, or where its tensors disagree on B
    or B is 0; RuntimeError where f does not return a 0-d tensor, and what `vmap` raises.

    >>> import pullback as torch
    >>> w, x, y = torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 0.0], [2.0, 1.0]]), torch.tensor([0.0, 3.0])
    >>> found = per_sample(lambda w, x, y: ((w * x).sum() - y) ** 2, w, x, y)
    >>> found.gradients
    tensor([[2., 0.],
            [4., 2.]])
    >>> found.mean, found.norms.round(3)
    ((array([3., 1.], dtype=float32),), array([2.   , 4.472], dtype=float32))
    """
    lengths = {b.value.shape[0] if isinstance(b, Tensor) and b.value.ndim else 0 for b in batch}
    if len(lengths) != 1 or not min(lengths):
        shapes = ", ".join(
            str(list(b.value.shape)) if isinstance(b, Tensor) else type(b).__name__ for b in batch
        )
        raise ValueError(
            message(
                "per_sample() needs a batch: tensors that all have B entries along their first dimension",
                f"it got {shapes or 'none'}",
                "per_sample(f, x, inputs, targets), with f(x, input, target) the loss of one sample",
            )
        )
    leaves, spec = flatten(x)
    free = unflatten([a.detach() if isinstance(a, Tensor) else a for a in leaves], spec)
    gradients = vmap(grad(f), in_dims=(None, *(0 for _ in batch)), chunk_size=chunk_size)(free, *batch)
    parts = tuple(np.asarray(g.value) for g in flatten(gradients)[0])
    square = sum((np.abs(p.reshape(len(p), -1)) ** 2).sum(axis=1) for p in parts)
    return PerSample(gradients, tuple(_names(x)), parts, np.sqrt(square))


def _names(x: Any, at: str = "") -> list[str]:
    """What the leaves of a nested structure are called: `layer.weight`, `[0]`; a single tensor is `x`."""
    if isinstance(x, dict):
        return [n for k, v in x.items() for n in _names(v, f"{at}.{k}" if at else str(k))]
    if isinstance(x, list | tuple):
        return [n for k, v in enumerate(x) for n in _names(v, f"{at}[{k}]")]
    return [at or "x"]


__all__ = ["PerSample", "per_sample"]
