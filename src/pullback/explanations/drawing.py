"""`draw`: the computation behind some outputs as a picture, with the gradient that flows through it.

Read `draw`, then `Drawing`. `scene` says what there is to draw, `folding` shortens what is too long, `svg`
and `markup` write it down. May import these, `cotangents`, `flow`, `tensor_names`, `graph`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pullback.explanations.cotangents import cotangents, given
from pullback.explanations.flow import measured
from pullback.explanations.flow_text import plural
from pullback.explanations.folding import folded, middle
from pullback.explanations.markup import dot_of, mermaid_of
from pullback.explanations.reopened import reopened
from pullback.explanations.scene import Scene, behind, scene_of
from pullback.explanations.svg import svg_of
from pullback.explanations.tensor_names import names_of
from pullback.graph.tensor import Tensor, wrap

MOST = 2000  # ops that are drawn one by one


@dataclass(frozen=True, eq=False, repr=False)
class Drawing:
    """A drawn computation; notebooks show it, `save` writes it.

    scene      the boxes and edges: see `pullback.explanations.scene`
    direction  "down" or "right"
    """

    scene: Scene
    direction: str = "down"

    @cached_property
    def svg(self) -> str:
        """The picture as one `<svg>` element, which needs nothing else."""
        return svg_of(self.scene, self.direction)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the SVG to a file, which is there in full or not at all."""
        target = Path(path)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.svg)
            Path(name).chmod(0o644)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def to_dot(self) -> str:
        """The same in Graphviz's language."""
        return dot_of(self.scene, self.direction)

    def to_mermaid(self) -> str:
        """The same as a Mermaid flowchart."""
        return mermaid_of(self.scene, self.direction)

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow:auto;max-width:100%">{self.svg}</div>'

    def __repr__(self) -> str:
        ops = sum(b.kind == "op" for b in self.scene.boxes)
        return f"Drawing({plural(ops, 'op')}, {plural(len(self.scene.links), 'edge')})"


def draw(
    out: Tensor | Sequence[Tensor],
    upstream: Any = None,
    names: Any = None,
    *,
    direction: str = "down",
    constants: bool = True,
    most: int = MOST,
) -> Drawing:
    """Draw the computation behind `out`: ops and shapes, edges as wide as the gradient that flows back.

    out        a tensor, or several
    upstream   v of v^T J: a tensor or array of out's shape; by default ones
    names      what tensors are called: a module, a dict name -> tensor, or `module.named_parameters()`;
               others are called as the caller's variables
    direction  "down", outputs at the foot, or "right"
    constants  draw tensors that are not followed too
    most       of more ops than this the middle ones are folded into one box
    Nothing is freed, no `.grad` changes, no hook is called. RuntimeError as `backward` raises it for outputs
    that are not followed (a path that was cut is drawn where lines were recorded) and for a record that an
    earlier pass has freed and did not keep aside; also for records made inside `vmap`. ValueError for
    another direction.

    >>> import pullback as torch
    >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
    >>> picture = draw(torch.relu(x).sum())
    >>> picture
    Drawing(2 ops, 2 edges)
    >>> picture.svg[:30]
    '<svg xmlns="http://www.w3.org/'
    """
    if direction not in ("down", "right"):
        raise ValueError(f'direction is "down" or "right", not {direction!r}')
    called = names_of(names)
    outs = [out] if isinstance(out, Tensor) else list(out)
    upstreams = _upstreams(outs, upstream)
    # an output that was cut off the record is drawn as far as the record of cut paths goes
    live = [(t, u) for t, u in zip(outs, upstreams, strict=True) if t.node is not None or t.origin is None]
    with reopened():
        found = cotangents([t for t, _ in live], [u for _, u in live]) if live else None
        nodes = behind(outs)
        hidden = middle(nodes, most)
        flow = None if found is None else measured(found, [t for t, _ in live], called, hidden)
        scene = scene_of(outs, nodes, found, flow, called, constants=constants, hidden=hidden)
    return Drawing(folded(scene, {f"n{n.number}" for n in hidden}), direction)


def _upstreams(outs: Sequence[Tensor], upstream: Any) -> list[Any]:
    """The upstreams as given; ones where there is none."""
    found = given(outs, upstream)
    return [
        u if u is not None or t.node is None else wrap(np.ones(t.value.shape, t.value.dtype))
        for t, u in zip(outs, found, strict=True)
    ]


__all__ = ["Drawing", "draw"]
