"""A scene as text for other programs: Graphviz's DOT and Mermaid.

Read `dot_of` and `mermaid_of`. May import `scene`, `svg` (for the widths of edges).
"""

from __future__ import annotations

from pullback.explanations.scene import Box, Link, Scene
from pullback.explanations.svg import Scale

DOT_SHAPES = {
    "op": 'shape=box, style="rounded"',
    "leaf": 'shape=ellipse, style="filled", fillcolor="#d9ecfb"',
    "constant": 'shape=box, style="dotted"',
    "cut": 'shape=box, style="dashed"',
    "more": 'shape=box3d, style="filled", fillcolor="#eceef0"',
}
MERMAID_SHAPES = {
    "op": ("[", "]"),
    "leaf": ("([", "])"),
    "constant": ("[/", "/]"),
    "cut": ("{{", "}}"),
    "more": ("[[", "]]"),
}


def dot_of(scene: Scene, direction: str = "down") -> str:
    """The scene in Graphviz's language, for `dot -Tpdf` and the like."""
    scale = Scale.of(scene.links)
    lines = ["digraph gradient {", f"  rankdir={'LR' if direction == 'right' else 'TB'};"]
    for b in scene.boxes:
        double = ", peripheries=2" if b.output else ""
        lines.append(
            f"  {b.key} [label={_quoted(_label(b))}, {DOT_SHAPES[b.kind]}{double}, tooltip={_quoted(b.tip)}];"
        )
    lines += [
        f"  {k.source} -> {k.target} [{_dot_style(k, scale)}, tooltip={_quoted(k.tip)}];" for k in scene.links
    ]
    return "\n".join([*lines, "}", ""])


def _dot_style(k: Link, scale: Scale) -> str:
    if k.kind == "flow":
        return f"penwidth={scale.width(k.norm):g}"
    if k.kind in ("zero", "cut"):
        return f'style=dashed, label="{"0" if k.kind == "zero" else "cut"}"'
    return "style=dotted"


def _label(b: Box) -> str:
    return "\n".join((b.title, *b.lines))


def _quoted(text: str) -> str:
    r"""A DOT string.

    >>> _quoted('say "a\\b"\nc')
    '"say \\"a\\\\b\\"\\nc"'
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def mermaid_of(scene: Scene, direction: str = "down") -> str:
    """The scene as a Mermaid flowchart, which many wikis and README viewers draw."""
    scale = Scale.of(scene.links)
    lines = [f"flowchart {'LR' if direction == 'right' else 'TD'}"]
    for b in scene.boxes:
        left, right = MERMAID_SHAPES[b.kind]
        text = "<br/>".join(_entities(s) for s in (b.title, *b.lines))
        lines.append(f'  {b.key}{left}"{text}"{right}')
    for k in scene.links:
        arrow = {"flow": "-->", "zero": "-. 0 .->", "cut": "-. cut .->"}.get(k.kind, "-.->")
        lines.append(f"  {k.source} {arrow} {k.target}")
    for i, k in enumerate(scene.links):
        if k.kind == "flow":
            lines.append(f"  linkStyle {i} stroke-width:{scale.width(k.norm):g}px")
    return "\n".join([*lines, ""])


def _entities(text: str) -> str:
    """Mermaid's escapes: # and a name.

    >>> _entities('a "b" <c>')
    'a #quot;b#quot; #lt;c#gt;'
    """
    text = text.replace("#", "#35;").replace("&", "#amp;")
    return text.replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


__all__ = ["dot_of", "mermaid_of"]
