"""A scene as SVG: boxes with text, edges as wide as the gradient, signs that need no colour, a legend.

Read `svg_of`. The picture brings its own background and its own colours for light and dark pages; its class
names all begin with pb-, so that several pictures share a page. May import `layout`, `scene`, `flow_text`.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from pullback.explanations.flow_text import number
from pullback.explanations.layout import Laid, Point, lay_out
from pullback.explanations.scene import Box, Link, Scene

LETTER, SMALL = 7.5, 6.9  # advance of a letter in the two sizes of type (monospaced), in px, rounded up
TITLE, LINE = 17.0, 14.5  # height of a line
PAD = 9.0
MARGIN = 16.0
LONGEST = 26  # letters of a line in a box
THIN, WIDE, BAD = 1.2, 6.0, 2.4  # widths of edges; the last where the gradient is not finite
# decades between the thinnest and the widest edge: at most, and at least, so that norms that are nearly alike
# look alike
MOST_DECADES, LEAST_DECADES = 12.0, 2.0

# name of a rule -> (light, dark)
RULES = {
    ".pb-draw": ("background:#ffffff", "background:#14181d"),
    ".pb-back": ("fill:#ffffff", "fill:#14181d"),
    ".pb-draw text": ("fill:#1f2328", "fill:#e6edf3"),
    ".pb-draw text.pb-soft": ("fill:#59636e", "fill:#a0abb7"),
    ".pb-op": ("fill:#f3f5f8;stroke:#6e7781", "fill:#222930;stroke:#8b949e"),
    ".pb-leaf": ("fill:#d9ecfb;stroke:#0072b2", "fill:#0f3550;stroke:#56b4e9"),
    ".pb-constant": ("fill:#fbfbfb;stroke:#b3bac2", "fill:#1a1f25;stroke:#5b646e"),
    ".pb-cut": ("fill:#fff6ec;stroke:#b35900", "fill:#33240f;stroke:#f0a04b"),
    ".pb-more": ("fill:#eceef0;stroke:#6e7781", "fill:#2b333b;stroke:#8b949e"),
    ".pb-out": ("stroke:#1f2328", "stroke:#e6edf3"),
    ".pb-closed": ("stroke:#b35900", "stroke:#f0a04b"),
    ".pb-flow": ("stroke:#0072b2", "stroke:#56b4e9"),
    ".pb-zero": ("stroke:#b35900", "stroke:#f0a04b"),
    ".pb-sign": ("stroke:#8a4400", "stroke:#ffc078"),
    ".pb-bad": ("stroke:#a3196b", "stroke:#ff8ac4"),
    ".pb-plain": ("stroke:#8c959f", "stroke:#6e7781"),
    ".pb-track": ("fill:#d8dde2", "fill:#3a434c"),
    ".pb-shut": ("fill:#b35900", "fill:#f0a04b"),
    ".pb-flow-tip": ("fill:#0072b2", "fill:#56b4e9"),
    ".pb-zero-tip": ("fill:#b35900", "fill:#f0a04b"),
    ".pb-bad-tip": ("fill:#a3196b", "fill:#ff8ac4"),
    ".pb-plain-tip": ("fill:#8c959f", "fill:#6e7781"),
}
FIXED = (
    ".pb-draw text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:11px;"
    "text-anchor:middle}"
    ".pb-draw text.pb-title{font-size:12px;font-weight:bold}"
    ".pb-draw text.pb-left{text-anchor:start}"
    ".pb-edge{fill:none;stroke-linejoin:round}.pb-sign{fill:none;stroke-width:2}"
    ".pb-zero,.pb-cut,.pb-closed{stroke-dasharray:6 4}"
    ".pb-constant{stroke-dasharray:2 2}.pb-plain{stroke-dasharray:1.5 3}"
    ".pb-out{stroke-width:2.4}"
)
CLASS = {
    "flow": "pb-flow",
    "zero": "pb-zero",
    "cut": "pb-zero",
    "unread": "pb-plain",
    "empty": "pb-plain",
    "constant": "pb-plain",
}


def style_sheet() -> str:
    """The rules for light pages, then those that differ where dark ones are preferred."""
    light = "".join(f"{name}{{{rule}}}" for name, (rule, _) in RULES.items())
    dark = "".join(f"{name}{{{rule}}}" for name, (_, rule) in RULES.items())
    return f"{light}{FIXED}@media (prefers-color-scheme: dark){{{dark}}}"


def letters(text: str) -> int:
    """How many columns a text takes in a monospaced font (wide East Asian letters take two).

    >>> letters("relu"), letters("勾配")
    (4, 4)
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def short(text: str, most: int = LONGEST) -> str:
    """The text, cut to a number of columns.

    >>> short("linear", 5)
    'line…'
    """
    if letters(text) <= most:
        return text
    kept = ""
    for c in text:
        if letters(kept + c) > most - 1:
            break
        kept += c
    return kept + "…"


def size_of(box: Box) -> Point:
    """The room that a box takes."""
    wide = max([letters(short(box.title)) * LETTER, *(letters(short(s)) * SMALL for s in box.lines)])
    height = TITLE + LINE * len(box.lines) + PAD + (5.0 if box.closed else 0.0)
    return max(wide + 2 * PAD + (6.0 if box.kind == "leaf" else 0.0), 44.0), height


@dataclass(frozen=True)
class Scale:
    """Widths of edges: logarithmic between the smallest and the largest norm."""

    low: float
    high: float

    @classmethod
    def of(cls, links: Sequence[Link]) -> Scale:
        """The scale of these edges."""
        logs = [math.log10(k.norm) for k in links if k.kind == "flow" and 0 < k.norm < math.inf]
        high = max(logs, default=0.0)
        return cls(max(min(logs, default=0.0), high - MOST_DECADES), high)

    def width(self, norm: float) -> float:
        """The width of an edge along which a gradient of this norm flows."""
        if not 0 < norm < math.inf:
            return THIN
        span = max(self.high - self.low, LEAST_DECADES)
        share = 1 + (math.log10(norm) - self.high) / span
        return round(THIN + (WIDE - THIN) * min(max(share, 0.0), 1.0), 2)

    def marks(self) -> list[float]:
        """Norms for the legend."""
        if self.high - self.low < 0.5:
            return [10**self.high]
        if self.high - self.low < 2.0:
            return [10**self.low, 10**self.high]
        return [10**self.low, 10 ** ((self.low + self.high) / 2), 10**self.high]


def svg_of(scene: Scene, direction: str = "down") -> str:
    """The picture: one `<g>` per box and per edge, with tooltips.

    direction  "down" (outputs at the foot) or "right"
    """
    across = direction == "right"
    sizes = [size_of(b) for b in scene.boxes]
    index = {b.key: k for k, b in enumerate(scene.boxes)}
    edges = [(index[k.source], index[k.target]) for k in scene.links]
    laid = lay_out([(h, w) for w, h in sizes] if across else sizes, edges)
    turn = (lambda p: (p[1], p[0])) if across else (lambda p: p)
    scale = Scale.of(scene.links)
    body: list[str] = []
    # where edges share a way, the one that carries most lies on top
    drawn = sorted(zip(scene.links, laid.curves, strict=True), key=lambda pair: _weight(pair[0]))
    placed = [(link, _moved(curve, across)) for link, curve in drawn]
    body += [_edge(link, points, scale, across) for link, points in placed]
    body += [_sign(_sign_of(link), _middle(points)) for link, points in placed if _sign_of(link)]
    for box, size, centre in zip(scene.boxes, sizes, laid.centres, strict=True):
        x, y = turn(centre)
        body.append(_box(box, size, (x + MARGIN, y + MARGIN)))
    width, height = turn(laid.size)
    entries = legend_of(scene, scale)
    wide = max([width, *(40.0 + letters(text) * SMALL for _, text in entries)])
    legend = _legend(entries, height + 2 * MARGIN + 6)
    total = (math.ceil(wide + 2 * MARGIN), math.ceil(height + 2 * MARGIN + 6 + 18 * len(entries) + 4))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pb-draw" role="img" '
        f'aria-label="computation graph, {len(sizes)} boxes" width="{total[0]}" '
        f'height="{total[1]}" viewBox="0 0 {total[0]} {total[1]}"><style>{style_sheet()}</style>'
        f'<rect class="pb-back" width="{total[0]}" height="{total[1]}"/>'
        + "\n".join(body)
        + legend
        + "</svg>"
    )


# ---------------------------------------------------------------------- boxes


def _box(box: Box, size: Point, centre: Point) -> str:
    w, h = size
    x, y = centre[0] - w / 2, centre[1] - h / 2
    round_ = h / 2 if box.kind == "leaf" else 0 if box.kind == "constant" else 5
    shape = f'x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}" rx="{_n(round_)}"'
    marks = (" pb-out" if box.output else "") + (" pb-closed" if box.closed == 1.0 else "")
    parts = [
        f'<g class="pb-node" data-key={quoteattr(box.key)} data-kind="{box.kind}">',
        f"<title>{escape(box.tip)}</title>",
        f'<rect class="pb-{box.kind}{marks}" {shape}/>',
    ]
    at = y + PAD / 2 + 13
    parts.append(f'<text class="pb-title" x="{_n(centre[0])}" y="{_n(at)}">{escape(short(box.title))}</text>')
    for line in box.lines:
        at += LINE
        parts.append(f'<text class="pb-soft" x="{_n(centre[0])}" y="{_n(at)}">{escape(short(line))}</text>')
    if box.closed:
        left, room = x + PAD, w - 2 * PAD
        bar = f'y="{_n(y + h - 8)}" height="4"'
        parts.append(f'<rect class="pb-track" x="{_n(left)}" width="{_n(room)}" {bar}/>')
        parts.append(f'<rect class="pb-shut" x="{_n(left)}" width="{_n(room * box.closed)}" {bar}/>')
    return "".join([*parts, "</g>"])


# ---------------------------------------------------------------------- edges


def _edge(link: Link, points: Sequence[Point], scale: Scale, across: bool) -> str:
    name = "pb-bad" if _sign_of(link) == "bad" else CLASS[link.kind]
    width = BAD if name == "pb-bad" else scale.width(link.norm) if link.kind == "flow" else THIN
    end = points[-1]
    half = 3.2 + 0.75 * width
    back = 1.6 * half + 1.0  # the arrow's head covers the end of the line
    stop = (end[0] - back, end[1]) if across else (end[0], end[1] - back)
    d = _path([*points[:-1], stop], across)
    head = f"{_n(end[0])},{_n(end[1])} "
    head += (
        f"{_n(stop[0])},{_n(stop[1] - half)} {_n(stop[0])},{_n(stop[1] + half)}"
        if across
        else f"{_n(stop[0] - half)},{_n(stop[1])} {_n(stop[0] + half)},{_n(stop[1])}"
    )
    parts = [
        f'<g class="pb-link" data-from={quoteattr(link.source)} data-to={quoteattr(link.target)} '
        f'data-argument="{link.argument}" data-kind="{link.kind}">',
        f"<title>{escape(link.tip)}</title>",
        f'<path class="pb-edge {name}" stroke-width="{_n(width)}" d="{d}"/>',
        f'<polygon class="{name}-tip" points="{head}"/></g>',
    ]
    return "".join(parts)


def _weight(link: Link) -> float:
    return link.norm if math.isfinite(link.norm) else math.inf


def _sign_of(link: Link) -> str:
    """The sign that an edge carries, so that it can be told without its colour; '' for none."""
    if link.kind == "flow":
        return "" if math.isfinite(link.norm) else "bad"
    return link.kind if link.kind in ("zero", "cut") else ""


def _moved(curve: Sequence[Point], across: bool) -> list[Point]:
    return [(y + MARGIN, x + MARGIN) if across else (x + MARGIN, y + MARGIN) for x, y in curve]


def _path(points: Sequence[Point], across: bool) -> str:
    """Straight along ranks, curved across the gaps between them."""
    d = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for k in range(1, len(points)):
        (a, b), (x, y) = points[k - 1], points[k]
        straight = abs(b - y) < 0.05 if across else abs(a - x) < 0.05
        if k % 2 or straight:  # from a box to the end of its rank, or along a rank
            d.append(f"L{_n(x)} {_n(y)}")
        elif across:
            m = (a + x) / 2
            d.append(f"C{_n(m)} {_n(b)} {_n(m)} {_n(y)} {_n(x)} {_n(y)}")
        else:
            m = (b + y) / 2
            d.append(f"C{_n(a)} {_n(m)} {_n(x)} {_n(m)} {_n(x)} {_n(y)}")
    return "".join(d)


def _middle(points: Sequence[Point]) -> Point:
    """The middle of the last gap that an edge crosses: edges that share a way have parted there."""
    (a, b), (x, y) = points[-3], points[-2]
    return (a + x) / 2, (b + y) / 2


def _sign(kind: str, at: Point) -> str:
    x, y = at
    if kind == "zero":  # a cross: nothing comes through
        arms = f"M{_n(x - 4.5)} {_n(y - 4.5)}l9 9m0 -9l-9 9"
        return f'<path class="pb-sign pb-sign-{kind}" d="{arms}"/>'
    if kind == "cut":  # two bars across the line
        arms = f"M{_n(x - 7)} {_n(y - 1)}l14 -5m-14 12l14 -5"
        return f'<path class="pb-sign pb-sign-{kind}" d="{arms}"/>'
    return f'<text class="pb-title pb-sign-{kind}" x="{_n(x + 7)}" y="{_n(y + 5)}">!</text>'


# ---------------------------------------------------------------------- the legend


def legend_of(scene: Scene, scale: Scale) -> list[tuple[str, str]]:
    """(kind, words) of what the legend explains: only what the drawing shows."""
    kinds = {k.kind for k in scene.links}
    entries: list[tuple[str, str]] = []
    if any(k.kind == "flow" and math.isfinite(k.norm) for k in scene.links):
        widths = [(scale.width(m), number(m)) for m in scale.marks()]
        entries += [(f"flow {w}", f"gradient of norm {n} flows back") for w, n in widths]
    if any(k.kind == "flow" and not math.isfinite(k.norm) for k in scene.links):
        entries.append(("bad", "gradient is not finite"))
    for kind, words in (
        ("zero", "gradient is exactly zero"),
        ("cut", "cut: no gradient is followed beyond"),
        ("unread", "no gradient is sent this way"),
        ("constant", "not followed: no gradient"),
        ("empty", "a tensor without entries"),
    ):
        if kind in kinds:
            entries.append((kind, words))
    if any(b.closed for b in scene.boxes):
        entries.append(("closed", "share of gates closed (local derivative exactly zero)"))
    return entries + [("note", n) for n in scene.notes]


def _legend(entries: Sequence[tuple[str, str]], top: float) -> str:
    parts = ['<g class="pb-legend">']
    for k, (kind, words) in enumerate(entries):
        y = top + 18 * k
        parts.append(_sample(kind, y))
        x = MARGIN if kind == "note" else MARGIN + 40
        parts.append(f'<text class="pb-soft pb-left" x="{_n(x)}" y="{_n(y + 4)}">{escape(words)}</text>')
    return "".join([*parts, "</g>"])


def _sample(kind: str, y: float) -> str:
    line = f'd="M{_n(MARGIN)} {_n(y)}h30"'
    name, _, value = kind.partition(" ")
    if name == "note":
        return ""
    if name == "flow":
        return f'<path class="pb-edge pb-flow" stroke-width="{value}" {line}/>'
    if name == "closed":
        box = f'y="{_n(y - 2)}" height="4" x="{_n(MARGIN)}"'
        return f'<rect class="pb-track" width="30" {box}/><rect class="pb-shut" width="18" {box}/>'
    style = "pb-bad" if name == "bad" else CLASS[name]
    width = BAD if name == "bad" else THIN
    drawn = f'<path class="pb-edge {style}" stroke-width="{width}" {line}/>'
    return drawn + (_sign(name, (MARGIN + 15, y)) if name in ("zero", "cut", "bad") else "")


def _n(value: float) -> str:
    """A coordinate without needless digits."""
    return f"{value:.1f}".removesuffix(".0")


__all__ = ["Laid", "Scale", "legend_of", "letters", "short", "size_of", "style_sheet", "svg_of"]
