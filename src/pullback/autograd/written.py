"""The error about a saved value that was written in place: which value, who wrote, what to write.

Read `modified` first. May import `stories`, `graph`.
"""

from __future__ import annotations

import ast
from typing import Any

from pullback.autograd.stories import HOW, made_by, op_at, plural, quoted, told
from pullback.graph.lines import Line, here, line_at, line_of
from pullback.graph.modes import state
from pullback.graph.node import LEAF, Node, Slot, writes
from pullback.graph.tensor import Tensor

CONTEXT = -1
writes.here = here  # from now on, writes remember their lines while lines are recorded


def check_versions(node: Node) -> None:
    """RuntimeError if a value that a needed rule reads was written in place after the node ran."""
    op, reads = node.op, node.op.reads
    for i, a in enumerate(node.args):
        if (
            isinstance(a, Tensor)
            and a.counter is not None
            and a.counter.written_since(node.number)
            and readers(op, reads, node, i + 1)
        ):
            raise modified(node, a, a.counter.version_at(node.number), a.counter, place=i + 1)
    if node.out_versions and op.keeps_out:
        for i, (counter, version) in node.out_versions.items():
            if counter.version != version and readers(op, reads, node, 0):
                owner = counter.base() if counter.base is not None else None
                raise modified(node, owner, version, counter, index=i, place=0)


def readers(op: Any, reads: Any, node: Node, place: int) -> list[int]:
    """The arguments that need a gradient and whose rule reads this place.

    place  0: the output, i + 1: argument i
    """
    partial_reads = getattr(op, "partial_reads", None)
    rules = partial_reads if partial_reads is not None else reads
    if rules is None:
        kept = place == 0 or op.keeps_arg(place - 1)
        return [i for i, e in enumerate(node.edges) if e is not None] if kept else []
    return [
        i
        for i, (e, r) in enumerate(zip(node.edges, rules, strict=False))
        if e is not None and r and place < len(r) and r[place]
    ]


def type_word(t: Tensor) -> str:
    """torch.FloatTensor [2, 3]: how PyTorch's error names a tensor."""
    return f"torch.{t.dtype.word}Tensor {list(t.value.shape)}"


def modified(
    node: Node, t: Tensor | None, expected: int, counter: Any, *, index: int = 0, place: int = CONTEXT
) -> RuntimeError:
    """The error for a saved value that was written in place.

    t         the tensor that holds it now, where it is alive
    expected  the version that the node saw
    place     0: it is output `index` of the node itself; i + 1: its argument i; CONTEXT: a custom Function
              saved it
    """
    if t is None:
        what, origin, version = "torch.Tensor", "", counter.version
    else:
        what, origin, version = type_word(t), _output_of(node, t, index, place), counter.version
    hint = (
        "Hint: the backtrace further above shows the operation that failed to compute its gradient. The "
        "variable in question was changed in there or anywhere later. Good luck!"
        if state.anomaly
        else "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )
    first = (
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{what}]{origin} is at version {version}; expected version {expected} instead. {hint}"
    )
    facts = [_saved(node, t, place)]
    if place != CONTEXT:
        facts.append(_needed(node, place))
    places = _latest(counter, version - expected)
    wrote, line = _written(places, version, expected)
    facts.append(wrote)
    if line_of(node) is None or line is None:
        facts.append(f"lines were not recorded for all of this: {HOW} to see them")
    return RuntimeError(told(first, facts, _instead(node, place, line)))


def _latest(counter: Any, count: int) -> list[Any]:
    return counter.writes_since(0)[-count:] if count > 0 else []


def _output_of(node: Node, t: Tensor, index: int, place: int) -> str:
    if not place:  # a saved output is named by the op that made it
        return f", which is output {index} of {_short(node.name)},"
    made: Any = t.node
    if made is None or made is LEAF:
        return ""
    k = made.index if type(made) is Slot else index
    producer: Any = made.node if type(made) is Slot else made
    return f", which is output {k} of {_short(producer.name)},"


def _short(name: str) -> str:
    """MulBackward0 -> Mul: the spelling of this one error text."""
    if name in ("CopySlices", "CopyBackwards"):
        return f"torch::autograd::{name}"
    return name.replace("Backward0", "").replace("Backward", "")


def _saved(node: Node, t: Tensor | None, place: int) -> str:
    """Which value was saved, and by whom."""
    shape = "" if t is None else f" of shape {list(t.value.shape)}"
    if place == CONTEXT:
        return f"{op_at(node)} saved a tensor{shape} with save_for_backward"
    if not place:
        return f"{op_at(node)} saved its own result{shape} for the backward pass"
    edge = node.edges[place - 1]
    if isinstance(edge, Tensor):
        origin = " (a leaf)"
    elif edge is None:
        origin = " (a constant for autograd)"
    else:
        old = edge.node if type(edge) is Slot else edge
        origin = f" (made by {op_at(old)})"
    return f"{op_at(node)} saved its argument {place - 1}{shape}{origin} for the backward pass"


def _needed(node: Node, place: int) -> str:
    """Why the value is really needed."""
    at = readers(node.op, node.op.reads, node, place)
    what = "its result" if not place else f"argument {place - 1}"
    args = ", ".join(map(str, at))
    return (
        f"the value is needed: the derivative of {node.op.name} with respect to "
        f"argument{'s' * (len(at) > 1)} {args} is computed from {what}"
    )


def _written(places: list[Any], version: int, expected: int) -> tuple[str, Line | None]:
    """How often it was written since, and on which line first."""
    lines = [line_at(p) for p in places if p is not None]
    count = version - expected
    text = (
        f"it was saved at version {expected} and is at version {version} now: {plural(count, 'write')} since"
    )
    if not lines:
        return text, None
    if len(lines) < count:
        return f"{text}, one of them{quoted(lines[0])}", lines[0]
    return f"{text}, {'first' if count > 1 else ''}{quoted(lines[0])}".replace(",  at", ", at"), lines[0]


def _instead(node: Node, place: int, line: Line | None) -> list[str]:
    """What to write instead: for the very line where it is known and simple, else the general forms."""
    found = rewritten(line.text) if line is not None else None
    todo = [
        f"write {found} instead of `{line.text}`"
        if found and line
        else "write the out-of-place form: y = y + 1 for y += 1"
    ]
    name = node.op.name
    if place == CONTEXT:
        todo.append("or save a copy: ctx.save_for_backward(y.clone())")
    elif place:
        todo.append(
            f"or give {name} a copy, {name}(y.clone(), ...), so that the write does not reach what it saved"
        )
    else:
        todo.append(f"or write into a copy, y = y.clone(), so that {name} keeps its result")
    if line is not None and ".step(" in line.text:
        todo = [
            f"`{line.text}` updates the parameters in place: call backward() before it, or compute the "
            "outputs again after it"
        ]
    return todo


_OPERATORS: dict[Any, str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.Mod: "%",
    ast.FloorDiv: "//",
}


def rewritten(source: str) -> str | None:
    """A line that writes in place, written out of place; None where it is not one of the plain forms.

    >>> rewritten("y += 1"), rewritten("y.mul_(2)"), rewritten("y[0] = 5.0")
    ('`y = y + 1`', '`y = y.mul(2)`', '`y = y.clone()` before `y[0] = 5.0`')
    """
    try:
        tree = ast.parse(source).body
    except SyntaxError:
        return None
    if len(tree) != 1:
        return None
    s = tree[0]
    if isinstance(s, ast.AugAssign) and type(s.op) in _OPERATORS:
        target, value = ast.unparse(s.target), ast.unparse(s.value)
        if isinstance(s.target, ast.Subscript):
            base = ast.unparse(s.target.value)
            return f"`{base} = {base}.clone()` before `{source}`"
        if isinstance(s.value, ast.BinOp | ast.IfExp | ast.Compare | ast.BoolOp | ast.Lambda):
            value = f"({value})"
        return f"`{target} = {target} {_OPERATORS[type(s.op)]} {value}`"
    if isinstance(s, ast.Assign) and len(s.targets) == 1 and isinstance(s.targets[0], ast.Subscript):
        base = ast.unparse(s.targets[0].value)
        return f"`{base} = {base}.clone()` before `{source}`"
    return _method(s)


def _method(s: ast.stmt) -> str | None:
    """y.mul_(2), alone or assigned to a name."""
    call = s.value if isinstance(s, ast.Expr | ast.Assign) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    name = call.func.attr
    if not name.endswith("_") or name.startswith("_") or name.endswith("__"):
        return None
    owner = ast.unparse(call.func.value)
    arguments = ", ".join([ast.unparse(a) for a in call.args] + [ast.unparse(k) for k in call.keywords])
    instead = {
        "zero_": f"torch.zeros_like({owner})",
        "fill_": f"torch.full_like({owner}, {arguments})",
        "copy_": f"({arguments}).expand_as({owner}).clone()",
    }
    value = instead.get(name, f"{owner}.{name[:-1]}({arguments})")
    if not isinstance(call.func.value, ast.Name):
        return f"`{value}`, which makes a new tensor,"
    return f"`{owner} = {value}`"


__all__ = ["check_versions", "made_by", "modified", "readers", "rewritten", "type_word"]
