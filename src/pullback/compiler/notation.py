"""Graphs as text: `show`, whose inverse is `reading.parse`.

    graph(%0: f64[3], %1: f64[2, 3]) {
      const %2: f64[] = 2.0
      %3: f64[3] = mul(%0, %2)
      return %3
    }

One line is one equation: outputs with dtype and shape, the op, its arguments and parameters as Python
literals; the body of a loop is a graph among the parameters. Large constants stand below in a section of
their own. Read `Writer`. May import `compiler.graph`, `families` and what stands below.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.compiler.graph import Eqn, Graph, Var
from pullback.dtypes import dtype
from pullback.families.regions import Region
from pullback.graph.tensor import Tensor

INLINE = 16  # arrays of at most so many entries stand where they are used
REGION = ("shape", "strides", "offset", "base_shape", "base_strides", "_ids")


def type_text(v: Any) -> str:
    """dtype and shape: f64[2, 3], bool[]."""
    return f"{dtype_text(v.dtype)}[{', '.join(map(str, v.shape))}]"


def dtype_text(d: Any) -> str:
    """A NumPy dtype in short: f64, i32, c128, bool."""
    d = np.dtype(d)
    if d.kind == "b":
        return "bool"
    return f"{d.kind}{d.itemsize * 8}"


def show(graph: Graph, lines: bool = False) -> str:
    """A graph as text; `lines` adds the user's line to each equation.

    >>> from pullback.compiler.graph import Graph
    >>> print(show(Graph()))
    graph() {
      return
    }
    """
    writer = Writer(lines)
    parts = [writer.graph(graph, "")]
    parts += [f"data {i}: {type_text(a)} {base64.b64encode(a.tobytes()).decode()!r}"
              for i, a in enumerate(writer.data)]  # fmt: skip
    return "\n".join(parts)


class Writer:
    """Writes one graph; `data` are the arrays that are too large to stand in a line."""

    def __init__(self, lines: bool) -> None:
        """Nothing is written yet."""
        self.lines = lines
        self.data: list[np.ndarray] = []
        self.count = 0
        self.names: dict[Var, str] = {}

    def name(self, v: Var) -> str:
        """The variable's name, given at its first appearance."""
        if v not in self.names:
            self.names[v] = f"%{self.count}"
            self.count += 1
        return self.names[v]

    def typed(self, v: Var) -> str:
        """The variable where it is defined."""
        return f"{self.name(v)}: {type_text(v)}"

    def graph(self, g: Graph, indent: str) -> str:
        """A graph, its lines after the first indented by `indent`."""
        outer, self.names = self.names, {}
        out = [f"graph({', '.join(map(self.typed, g.inputs))}) {{"]
        for v, value in g.consts.items():
            array = np.asarray(value.value if isinstance(value, Tensor) else value)
            out.append(f"{indent}  const {self.typed(v)} = {self.content(array)}")
        out += [f"{indent}  {self.eqn(e, indent + '  ')}" for e in g.eqns]
        out += [f"{indent}  return {', '.join(map(self.name, g.outputs))}".rstrip(), f"{indent}}}"]
        self.names = outer
        return "\n".join(out)

    def eqn(self, e: Eqn, indent: str) -> str:
        """An equation."""
        outs = ", ".join(map(self.typed, e.outs))  # named before the variables of a body
        given = [self.value(a, indent) for a in e.args]
        given += [f"{k}={self.value(v, indent)}" for k, v in e.params.items()]
        line = f"  # at {e.line[0]}:{e.line[1]}" if self.lines and e.line is not None else ""
        return f"{outs} = {e.op.name}({', '.join(given)}){line}"

    def content(self, a: np.ndarray) -> str:
        """The entries of an array: in place if they are few and text keeps their bits."""
        if a.size > INLINE or a.dtype.kind not in "biufc" or np.isnan(a).any() or a.dtype.itemsize > 16:
            self.data.append(np.ascontiguousarray(a).reshape(a.shape))
            return f"data({len(self.data) - 1})"
        if not a.ndim:
            return self.value(a.item(), "")
        return self.value([x.item() for x in a.reshape(-1)], "")

    def value(self, x: Any, indent: str) -> str:
        """An argument or parameter as a literal."""
        if isinstance(x, Var):
            return self.name(x)
        if isinstance(x, Graph):
            return self.graph(x, indent)
        if isinstance(x, Tensor):
            return self.value(np.asarray(x.value), indent)
        for kind, write in WRITERS:
            if isinstance(x, kind):
                return write(self, x, indent)
        return f"<{type(x).__name__}>"

    def sequence(self, items: Any, indent: str) -> str:
        """Items with commas."""
        return ", ".join(self.value(i, indent) for i in items)

    def tuple(self, x: Any, indent: str) -> str:
        """A tuple."""
        return f"({self.sequence(x, indent)}{',' if len(x) == 1 else ''})"

    def dict(self, x: Any, indent: str) -> str:
        """A dict."""
        items = ", ".join(f"{self.value(k, indent)}: {self.value(v, indent)}" for k, v in x.items())
        return f"{{{items}}}"

    def array(self, x: Any, _indent: str) -> str:
        """A NumPy array or scalar."""
        word = "array" if isinstance(x, np.ndarray) else "scalar"
        return f"{word}({type_text(x)}, {self.content(np.asarray(x))})"

    def region(self, x: Any, indent: str) -> str:
        """The place of a view in its base; indices that can be worked out again are left out."""
        parts = [getattr(x, k) for k in REGION]
        if _row_major(x.base_shape, x.base_strides):
            parts[-1] = None
        return f"region({self.sequence(parts, indent)})"


def _row_major(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def _number(_w: Writer, x: Any, _indent: str) -> str:
    if isinstance(x, complex):
        return f"complex({x.real!r}, {x.imag!r})"
    return repr(x)


# first match counts: NumPy's float64 is a float too
WRITERS: list[tuple[Any, Callable[[Writer, Any, str], str]]] = [
    (np.ndarray | np.generic, Writer.array),
    (bool | int | float | complex | str | None, _number),
    (type(Ellipsis), lambda _w, _x, _i: "..."),
    (tuple, Writer.tuple),
    (list, lambda w, x, i: f"[{w.sequence(x, i)}]"),
    (dict, Writer.dict),
    (slice, lambda w, x, i: f"slice({w.sequence((x.start, x.stop, x.step), i)})"),
    (np.dtype, lambda _w, x, _i: f"dtype({dtype_text(x)})"),
    (dtype, lambda _w, x, _i: f"torch({x.name})"),
    (Region, Writer.region),
]


def _text(self: Graph) -> str:
    return show(self)


# the printed form of a graph is its text (attached here, since graphs stand below their notation)
Graph.__str__ = _text

__all__ = ["REGION", "Writer", "dtype_text", "show", "type_text"]
