"""Drawings: well-formed, complete, without overlaps, the same every time; DOT and Mermaid that parse."""

import random
import re
import runpy
import xml.etree.ElementTree as ET
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import pullback as torch
from pullback.explanations.crossings import crossings, ordered
from pullback.explanations.drawing import draw
from pullback.explanations.layout import lay_out
from pullback.explanations.ranks import layered, ranks_of, topological
from pullback.explanations.svg import LETTER, PAD, SMALL, letters
from pullback.graph.node import Node
from pullback.graph.tensor import edge_of

SVG = "{http://www.w3.org/2000/svg}"


# ---------------------------------------------------------------------- programs


def relu_program():
    torch.manual_seed(0)
    W, x, b = torch.randn(3, 4, requires_grad=True), torch.randn(4), torch.randn(3, requires_grad=True)
    return torch.relu(W @ x + b).sum()


def mlp():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    return torch.nn.functional.mse_loss(net(torch.randn(4, 3)), torch.zeros(4, 2))


def chain():
    h = torch.tensor(0.3, requires_grad=True)
    for _ in range(30):
        h = torch.sigmoid(h)
    return h


def random_graph(seed=0, n=100, window=20):
    torch.manual_seed(seed)
    r = random.Random(seed)
    pool = [torch.randn(3, requires_grad=True) for _ in range(5)]
    for _ in range(n):
        a, b = r.choice(pool[-window:]), r.choice(pool[-window:])
        pool.append(r.choice([a + b, a * b, torch.relu(a), torch.tanh(a) - b, a[:, None].max(dim=1)[0]]))
    return torch.stack(pool[-10:]).sum()


def several():
    a = torch.randn(4, 3, requires_grad=True)
    values, _ = a.max(dim=1)
    _, s, _ = torch.linalg.svd(a)
    empty = torch.zeros(0, 3, requires_grad=True)
    return [values, s.sum(), torch.cat([a, empty]), torch.ones((), requires_grad=True)]


def twice():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    return (x * x + x[:1]).sum()


PROGRAMS = {
    "relu": relu_program,
    "mlp": mlp,
    "chain": chain,
    "random": random_graph,
    "random, wide": lambda: random_graph(3, 60, 1000),
    "several": several,
    "twice": twice,
}


def nodes_of(outs):
    stack = [edge_of(t) for t in (outs if isinstance(outs, list) else [outs])]
    nodes, leaves = set(), set()
    while stack:
        e = stack.pop()
        e = getattr(e, "node", e) if not isinstance(e, torch.Tensor) else e
        if isinstance(e, Node):
            if e not in nodes:
                nodes.add(e)
                stack.extend(x for x in e.edges if x is not None)
        else:
            leaves.add(e)
    return nodes, leaves


def parsed(picture):
    root = ET.fromstring(picture.svg)
    boxes = {g.get("data-key"): g for g in root.iter(f"{SVG}g") if g.get("class") == "pb-node"}
    links = [g for g in root.iter(f"{SVG}g") if g.get("class") == "pb-link"]
    return root, boxes, links


def signs(root):
    """How many signs of each kind the picture shows, the legend's included."""
    names = [n for e in root.iter() for n in (e.get("class") or "").split() if n.startswith("pb-sign-")]
    return dict(Counter(name.removeprefix("pb-sign-") for name in names))


def frame(g):
    r = g.find(f"{SVG}rect")
    x, y, w, h = (float(r.get(k)) for k in ("x", "y", "width", "height"))
    return x, y, x + w, y + h


def numbers(text):
    return [float(t) for t in re.findall(r"-?\d+\.?\d*", text)]


# ---------------------------------------------------------------------- the picture


@pytest.mark.parametrize("direction", ["down", "right"])
@pytest.mark.parametrize("name", PROGRAMS)
class TestPicture:
    def test_every_node_leaf_and_edge_is_there_once(self, name, direction):
        out = PROGRAMS[name]()
        nodes, leaves = nodes_of(out)
        _, boxes, links = parsed(draw(out, direction=direction))
        assert {k for k in boxes if k[0] == "n"} == {f"n{n.number}" for n in nodes}
        assert sum(k[0] == "x" for k in boxes) == len(leaves)
        expected = sorted(
            (f"n{n.number}", i) for n in nodes for i, e in enumerate(n.edges) if e is not None
        )
        followed = [k for k in links if k.get("data-from")[0] != "c"]
        assert sorted((k.get("data-to"), int(k.get("data-argument"))) for k in followed) == expected
        for k in links:
            assert k.get("data-from") in boxes

    def test_boxes_stay_apart_and_inside(self, name, direction):
        root, boxes, _ = parsed(draw(PROGRAMS[name](), direction=direction))
        _, _, width, height = numbers(root.get("viewBox"))
        frames = [frame(g) for g in boxes.values()]
        for a, b in combinations(frames, 2):
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
        for a in frames:
            assert min(a[0], a[1]) >= 0
            assert a[2] <= width
            assert a[3] <= height

    def test_text_fits_into_its_box(self, name, direction):
        root, boxes, _ = parsed(draw(PROGRAMS[name](), direction=direction))
        for g in boxes.values():
            x0, y0, x1, y1 = frame(g)
            for t in g.iter(f"{SVG}text"):
                wide = letters(t.text) * (LETTER if t.get("class") == "pb-title" else SMALL)
                assert wide <= x1 - x0 - PAD
                assert y0 < float(t.get("y")) - 8
                assert float(t.get("y")) < y1
        _, _, width, height = numbers(root.get("viewBox"))
        legend = next(g for g in root.iter(f"{SVG}g") if g.get("class") == "pb-legend")
        lowest = max(frame(g)[3] for g in boxes.values())
        for t in legend.iter(f"{SVG}text"):
            assert float(t.get("x")) + letters(t.text) * SMALL <= width
            assert lowest < float(t.get("y")) - 8
            assert float(t.get("y")) < height

    def test_edges_run_forward_and_meet_their_boxes(self, name, direction):
        _, boxes, links = parsed(draw(PROGRAMS[name](), direction=direction))
        along = 1 if direction == "down" else 0
        for k in links:
            a, b = frame(boxes[k.get("data-from")]), frame(boxes[k.get("data-to")])
            assert a[along + 2] < b[along]
            start = numbers(k.find(f"{SVG}path").get("d"))[:2]
            tip = numbers(k.find(f"{SVG}polygon").get("points"))[:2]
            assert start[along] == pytest.approx(a[along + 2], abs=0.11)
            assert tip[along] == pytest.approx(b[along], abs=0.11)
            across = 1 - along
            assert a[across] - 0.1 <= start[across] <= a[across + 2] + 0.1
            assert b[across] - 0.1 <= tip[across] <= b[across + 2] + 0.1

    def test_no_edge_crosses_a_box(self, name, direction):
        _, boxes, links = parsed(draw(PROGRAMS[name](), direction=direction))
        keys = list(boxes)
        x0, y0, x1, y1 = np.array([frame(boxes[key]) for key in keys]).T
        for k in links:
            ends = (k.get("data-from"), k.get("data-to"))
            px, py = np.array(sampled(k.find(f"{SVG}path").get("d"))).T[:, :, None]
            hit = ((x0 < px) & (px < x1) & (y0 < py) & (py < y1)).any(axis=0)
            assert {keys[j] for j in np.flatnonzero(hit)} <= set(ends)


def sampled(d):
    """Points of a path of M, L and C commands."""
    at, found = None, []
    for letter, rest in re.findall(r"([MLC])([^MLC]*)", d):
        v = numbers(rest)
        if letter == "C":
            t = np.linspace(0, 1, 17)[:, None]
            weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3])
            found += (weights @ np.array([at, v[:2], v[2:4], v[4:]])).tolist()
        elif letter == "L":
            found += [[at[i] + (v[i] - at[i]) * t for i in range(2)] for t in (0.25, 0.5, 0.75)]
        at = v[-2:]
        found.append(at)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_program_gives_the_same_picture(name):
    out = PROGRAMS[name]()
    assert draw(out).svg == draw(out).svg


# ---------------------------------------------------------------------- what the picture says


def kinds(picture):
    return {(k.source, k.target, k.argument): k.kind for k in picture.scene.links}


def box(picture, title):
    (found,) = [b for b in picture.scene.boxes if b.title == title]
    return found


def test_width_follows_the_norm_of_the_gradient():
    x = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    picture = draw((((x * 10.0) * 100.0) * 1e-6).sum())
    _, _, links = parsed(picture)
    widths = {k.get("data-to"): float(k.find(f"{SVG}path").get("stroke-width")) for k in links}
    norms = {k.target: k.norm for k in picture.scene.links}
    logs = np.array([np.log10(norms[key]) for key in widths])
    drawn = np.array(list(widths.values()))
    slope = (drawn.max() - drawn.min()) / (logs.max() - logs.min())
    np.testing.assert_allclose(drawn - drawn.min(), slope * (logs - logs.min()), atol=0.06)
    assert drawn.max() > 3 * drawn.min()


def test_zero_gradients_constants_and_empty_tensors_look_different():
    x = torch.tensor([-1.0, -2.0], requires_grad=True)
    c = torch.tensor([1.0, 2.0])
    nothing = torch.zeros(0, requires_grad=True)
    picture = draw((torch.relu(x) * c).sum() + nothing.sum())
    assert sorted(kinds(picture).values()) == ["constant", "empty", "flow", "flow", "flow", "flow", "zero"]
    assert box(picture, "relu").closed == 1.0
    assert "100 % closed" in box(picture, "relu").lines
    root, boxes, links = parsed(picture)
    assert signs(root) == {"zero": 2}  # on the edge and in the legend
    dashes = {k.get("data-kind"): k.find(f"{SVG}path").get("class").split()[-1] for k in links}
    assert dashes == {"constant": "pb-plain", "empty": "pb-plain", "flow": "pb-flow", "zero": "pb-zero"}
    assert "pb-closed" in boxes[box(picture, "relu").key].find(f"{SVG}rect").get("class")
    words = [t.text for t in root.iter(f"{SVG}text")]
    for said in ("gradient is exactly zero", "not followed: no gradient", "a tensor without entries"):
        assert said in words
    assert "gradient is not finite" not in words


def test_a_gradient_that_is_not_finite_is_marked():
    x = torch.tensor([0.0, 1.0], requires_grad=True)
    root, _, _ = parsed(draw(torch.sqrt(x).sum()))
    assert signs(root) == {"bad": 2}
    assert "gradient is not finite" in [t.text for t in root.iter(f"{SVG}text")]


def test_tooltips_show_values_ranges_and_gradients():
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    big = torch.linspace(0.0, 1.0, 100, requires_grad=True)
    picture = draw(torch.relu(x).sum() + (big * big).sum())
    assert "-1, 2" in box(picture, "x").tip
    assert "min 0, max 1, mean 0.5" in box(picture, "big").tip
    tip = box(picture, "relu").tip
    assert "ReluBackward0" in tip
    assert "0, 2" in tip
    assert "50 % exactly zero (closed)" in tip
    assert "norm 1.41" in tip
    assert "gain: x 0.707" in tip


def test_names_are_variables_modules_and_given_ones_and_are_escaped():
    net = torch.nn.Linear(2, 1)
    hidden = net(torch.ones(1, 2))
    picture = draw(hidden.sum(), names={'<a & "b">': net.weight})
    titles = {b.title for b in picture.scene.boxes}
    assert {'<a & "b">', "net.bias"} <= titles
    assert "hidden [1, 1]" in box(picture, "linear").lines
    root, _, _ = parsed(picture)
    assert '<a & "b">' in [t.text for t in root.iter(f"{SVG}text")]


def test_numbers_stand_in_the_call():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    titles = [b.title for b in draw(((x * 0.5) ** 3).sum()).scene.boxes]
    assert titles == ["x", "mul(·, 0.5)", "pow(·, 3)", "sum"]


def test_before_and_after_a_backward_that_keeps_the_graph():
    out = relu_program()
    before = draw(out).svg
    out.backward(retain_graph=True)
    assert draw(out).svg == before


def test_nothing_is_changed():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    out = x.exp().sum()
    draw(out)
    assert x.grad is None
    out.backward()
    assert x.grad is not None


class Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        return x * factor

    @staticmethod
    def backward(ctx, g):
        return g * 0.25, None


def test_custom_functions_have_boxes():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    s = torch.tensor(3.0, requires_grad=True)
    picture = draw(Halve.apply(x, s).sum())
    assert box(picture, "Halve")
    assert sorted(kinds(picture).values()) == ["flow", "flow", "unread"]


def test_constants_can_be_left_out():
    picture = draw(relu_program(), constants=False)
    assert {b.kind for b in picture.scene.boxes} == {"op", "leaf"}


def test_a_leaf_alone_is_a_picture():
    lone = torch.ones(2, requires_grad=True)
    _, boxes, links = parsed(draw(lone))
    assert (list(boxes), links) == (["x1"], [])


def cut_program():
    """What recording lines leaves behind for h * h.detach(): a shadow node."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = torch.exp(x)
    constant = h.detach()
    y = h * constant
    shadow = Node(torch.exp(x).node.op, (h,), (h.node,), constant.value, {}, None)
    shadow.cut = "detach"
    later = Node(shadow.op, (constant,), (None,), constant.value, {}, None)
    later.origins = (shadow,)
    y.node.number = shadow.number + 10
    y.node.origins = (None, later)
    return y, shadow, later


def test_cut_paths_are_drawn():
    y, shadow, later = cut_program()
    picture = draw(y, [1.0, 1.0])
    found = {(k.source, k.target): k.kind for k in picture.scene.links}
    assert found[f"n{y.node.edges[0].number}", f"n{shadow.number}"] == "cut"
    assert found[f"n{shadow.number}", f"n{later.number}"] == "constant"
    assert found[f"n{later.number}", f"n{y.node.number}"] == "constant"
    by_key = {b.key: b for b in picture.scene.boxes}
    assert by_key[f"n{shadow.number}"].kind == by_key[f"n{later.number}"].kind == "cut"
    assert "cut: detach" in by_key[f"n{shadow.number}"].lines
    assert not any(b.kind == "constant" for b in picture.scene.boxes)
    root, _, _ = parsed(picture)
    assert signs(root) == {"cut": 2}
    assert "cut: no gradient is followed beyond" in [t.text for t in root.iter(f"{SVG}text")]


def test_an_output_that_was_cut_off_is_drawn_up_to_the_cut():
    _, shadow, _ = cut_program()
    t = torch.tensor([1.0, 2.0])
    t.origin = shadow
    picture = draw(t)
    assert [k.kind for k in picture.scene.links] == ["unread", "cut"]


# ---------------------------------------------------------------------- refusals


def test_refusals():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="direction"):
        draw(x.sum(), direction="up")
    with pytest.raises(RuntimeError, match="does not require grad"):
        draw(torch.ones(2))
    mapped = torch.func.vmap(lambda r: (r * r).sum())(torch.ones(3, 2, requires_grad=True))
    with pytest.raises(RuntimeError, match="inside vmap"):
        draw(mapped)


# ---------------------------------------------------------------------- long records


def test_long_records_are_folded_with_a_note():
    h = x = torch.tensor([0.5], requires_grad=True)
    weights = [torch.tensor([1.0], requires_grad=True) for _ in range(150)]
    for w in weights:
        h = torch.tanh(h * w)
    picture = draw(h.sum(), most=200)
    fold = box(picture, "folded")
    assert fold.lines[0] == "181 ops"
    counts = {line.split(" x ")[1]: int(line.split(" x ")[0]) for line in fold.lines[1:3]}
    assert set(counts) == {"mul", "tanh"}
    assert sum(counts.values()) == 181
    assert sum(b.kind == "op" for b in picture.scene.boxes) == 120
    assert any("181 ops in the middle of 301" in note for note in picture.scene.notes)
    _, boxes, links = parsed(picture)
    keys = {b.key for b in picture.scene.boxes}
    assert keys == set(boxes)
    for k in links:
        assert k.get("data-from") in keys
        assert k.get("data-to") in keys
    assert kinds(picture)[picture.scene.links[-1].source, picture.scene.links[-1].target, 0] == "flow"
    assert draw(h.sum(), most=301).scene.boxes[-1].title == "sum"
    assert "folded" not in {b.title for b in draw(h.sum(), most=301).scene.boxes}
    assert x.grad is None


# ---------------------------------------------------------------------- layout


@pytest.mark.parametrize("seed", range(20))
def test_layouts_of_random_graphs(seed):
    r = random.Random(seed)
    n = r.randint(2, 40)
    edges = [(r.randrange(i), i) for i in range(1, n) for _ in range(r.randint(1, 3))]
    sizes = [(r.uniform(20, 120), r.uniform(10, 60)) for _ in range(n)]
    ranks = ranks_of(n, edges)
    assert all(ranks[u] < ranks[v] for u, v in edges)
    laid = lay_out(sizes, edges)
    for (a, b), (w, h) in zip(laid.centres, sizes, strict=True):
        assert a - w / 2 >= -1e-9
        assert b - h / 2 >= -1e-9
        assert a + w / 2 <= laid.size[0] + 1e-9
        assert b + h / 2 <= laid.size[1] + 1e-9
    graph = layered(n, edges)
    for a, below in enumerate(graph.downs):
        assert all(graph.ranks[b] == graph.ranks[a] + 1 for b in below)


def test_trees_have_no_crossings_and_two_crossed_edges_are_uncrossed():
    edges = [(2 * k + 1, k) for k in range(15)] + [(2 * k + 2, k) for k in range(15)]
    laid = lay_out([(30.0, 20.0)] * 31, edges)
    graph = layered(31, edges)
    rows = [[] for _ in range(max(laid.ranks) + 1)]
    for v in sorted(range(31), key=lambda v: laid.centres[v][0]):
        rows[laid.ranks[v]].append(v)
    assert crossings(graph, rows) == 0
    crossed = layered(4, [(0, 3), (1, 2)])
    assert crossings(crossed, [[0, 1], [2, 3]]) == 1
    laid = lay_out([(30.0, 20.0)] * 4, [(0, 3), (1, 2)])
    assert (laid.centres[0][0] < laid.centres[1][0]) == (laid.centres[3][0] < laid.centres[2][0])


def test_sweeps_leave_at_most_half_of_the_crossings_of_planar_grids():
    """Ladders whose places were shuffled can be drawn without any; a walk alone does not find that order."""
    walked = swept = 0
    for seed in range(10):
        r = random.Random(seed)
        label = [r.sample(range(5), 5) for _ in range(6)]  # place in the rank -> name
        edges = []
        for k in range(5):
            for j in range(5):
                edges.append((5 * k + label[k][j], 5 * (k + 1) + label[k + 1][j]))
                if j:
                    edges.append((5 * k + label[k][j], 5 * (k + 1) + label[k + 1][j - 1]))
        r.shuffle(edges)
        graph = layered(30, edges)
        assert graph.ranks == [v // 5 for v in range(30)]
        rows = ordered(graph, [10.0] * 30)
        assert sorted(map(sorted, rows)) == [list(range(5 * k, 5 * k + 5)) for k in range(6)]
        walked += crossings(graph, walk(graph))
        swept += crossings(graph, rows)
    assert 2 * swept <= walked
    assert walked > 0


def walk(graph):
    """The order in which a walk up from the lowest rank meets the places."""
    rows, seen = [[] for _ in range(max(graph.ranks) + 1)], set()

    def visit(v):
        if v not in seen:
            seen.add(v)
            rows[graph.ranks[v]].append(v)
            for u in graph.ups[v]:
                visit(u)

    for v in range(len(graph.ranks)):
        if not graph.downs[v]:
            visit(v)
    return rows


def test_cycles_are_refused():
    with pytest.raises(ValueError, match="cycle"):
        topological(2, [(0, 1), (1, 0)])


# ---------------------------------------------------------------------- text forms


def dot_parsed(text):
    """Nodes and edges of the part of DOT that drawings use; AssertionError at anything else."""
    lines = text.strip().splitlines()
    assert lines[0] == "digraph gradient {"
    assert lines[-1] == "}"
    value = r'(?:"(?:[^"\\]|\\.)*"|[\w.+-]+)'
    attributes = rf"\[\w+={value}(?:, \w+={value})*\]"
    nodes, edges = [], []
    for s in lines[1:-1]:
        edge = re.fullmatch(rf"  (\w+) -> (\w+) {attributes};", s)
        node = re.fullmatch(rf"  (\w+) {attributes};", s)
        assert edge or node or re.fullmatch(r"  rankdir=(TB|LR);", s), s
        if edge:
            edges.append(edge.groups())
        elif node:
            nodes.append(node[1])
    return nodes, edges


def mermaid_parsed(text):
    """Nodes and edges of the part of Mermaid that drawings use; AssertionError at anything else."""
    lines = text.strip().splitlines()
    assert re.fullmatch(r"flowchart (TD|LR)", lines[0])
    nodes, edges = [], []
    for s in lines[1:]:
        node = re.fullmatch(r'  (\w+)(\[|\(\[|\[/|\{\{|\[\[)"[^"]*"(\]|\]\)|/\]|\}\}|\]\])', s)
        edge = re.fullmatch(r"  (\w+) (?:-->|-\.->|-\. \w+ \.->) (\w+)", s)
        style = re.fullmatch(r"  linkStyle (\d+) stroke-width:[\d.]+px", s)
        assert node or edge or style, s
        if node:
            nodes.append(node[1])
        elif edge:
            edges.append(edge.groups())
        elif style:
            assert int(style[1]) < len(edges)
    return nodes, edges


@pytest.mark.parametrize("parse", [dot_parsed, mermaid_parsed])
@pytest.mark.parametrize("name", [*PROGRAMS, "odd names", "cut"])
def test_text_forms_hold_the_same_graph(parse, name):
    if name == "odd names":
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        picture = draw((x * 2).sum(), names={'a "b" \\ <c> #1; [d]': x})
    elif name == "cut":
        picture = draw(cut_program()[0])
    else:
        picture = draw(PROGRAMS[name]())
    nodes, edges = parse(picture.to_dot() if parse is dot_parsed else picture.to_mermaid())
    assert nodes == [b.key for b in picture.scene.boxes]
    assert edges == [(k.source, k.target) for k in picture.scene.links]


# ---------------------------------------------------------------------- the object


def test_save_writes_all_or_nothing(tmp_path, monkeypatch):
    picture = draw(twice())
    path = tmp_path / "graph.svg"
    picture.save(path)
    assert path.read_text(encoding="utf-8") == picture.svg
    assert [p.name for p in tmp_path.iterdir()] == ["graph.svg"]
    path.write_text("before")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        picture.save(path)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["graph.svg"]


def test_what_notebooks_show():
    picture = draw(twice())
    assert picture._repr_svg_() == picture.svg
    assert picture.svg in picture._repr_html_()
    assert repr(picture) == "Drawing(4 ops, 6 edges)"
    style = parsed(picture)[0].find(f"{SVG}style").text
    assert "prefers-color-scheme: dark" in style
    selectors = re.findall(r"([^{}@]+)\{", re.sub(r"@media[^{]*\{", "", style))
    assert all(s.strip().startswith(".pb-") for s in selectors)


def test_the_figures_of_the_guides_are_made(tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    path = Path(__file__).resolve().parents[2] / "docs" / "build_figures.py"
    module = runpy.run_path(str(path))
    module["main"](tmp_path)
    written = {p.stem: p.read_text(encoding="utf-8") for p in tmp_path.iterdir()}
    assert set(written) == set(module["FIGURES"])
    for text in written.values():
        assert ET.fromstring(text).tag == f"{SVG}svg"
    assert "33 % closed" in written["affine_relu"]
    assert "gradient is exactly zero" in written["dead_layer"]
    assert "cut here" in written["cut_target"]
