"""Graphs from text: `parse`, the inverse of `notation.show`.

Read `Parser.whole`, then `TOKEN`. May import `compiler.notation`, `compiler.graph`, `families` and what
stands below.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pullback.compiler.graph import Eqn, Graph, Var
from pullback.compiler.notation import REGION, dtype_text
from pullback.dtypes import ALL
from pullback.errors import message
from pullback.families.op import TABLE
from pullback.families.regions import Region


class NotationError(ValueError):
    """Text that is no graph; it says in which line, what was expected and what was found."""


TOKEN = re.compile(
    r"(?P<skip>[ \t]+)|(?P<line>\n)|(?P<at>\# at (?P<file>.*):(?P<number>\d+)(?=\n|$))|(?P<note>\#[^\n]*)"
    r"|(?P<var>%\d+)|(?P<dots>\.\.\.)|(?P<float>-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+)|-inf\b)|(?P<int>-?\d+)"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<str>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|(?P<sign>[()\[\]{}=:,])"
)
NAMED: dict[str, Any] = {"None": None, "True": True, "False": False, "inf": float("inf"), "nan": float("nan")}


class Token:
    """A piece of the text: kind, text, the line it stands in; `match` for the parts of a `# at` note."""

    __slots__ = ("kind", "line", "match", "text")

    def __init__(self, kind: str, text: str, line: int, match: Any = None) -> None:
        self.kind, self.text, self.line, self.match = kind, text, line, match


def tokens(text: str) -> Iterator[Token]:
    """The pieces of a text; NotationError at a character that starts none."""
    place, line = 0, 1
    while place < len(text):
        m = TOKEN.match(text, place)
        if m is None:
            raise trouble(line, "a name, number, string or sign", text[place])
        kind = str(m.lastgroup) if m.lastgroup not in {"number", "file"} else "at"
        if kind == "line":
            line += 1
        elif kind not in {"skip", "note"}:
            yield Token(kind, m.group(), line, m)
        place = m.end()
    yield Token("end", "the end of the text", line)


def trouble(line: int, expected: str, found: str) -> NotationError:
    """The error for text that does not fit."""
    return NotationError(
        message(
            f"line {line} is not the text of a graph: expected {expected}, found {found!r}",
            "",
            "compare it with the text that str() gives for a graph",
        )
    )


def parse(text: str) -> Graph:
    """The graph that a text describes; NotationError names the line of a mistake.

    >>> g = parse("graph(%0: f64[3]) { %1: f64[3] = sin(%0) return %1 }")
    >>> g.eqns[0].op.name, g.outputs[0].shape
    ('sin', (3,))
    """
    return Parser(text).whole()


class Parser:
    """Reads tokens from left to right."""

    def __init__(self, text: str) -> None:
        """Cut the text."""
        self.tokens = list(tokens(text))
        self.place = 0
        self.vars: dict[str, Var] = {}
        self.data = self.data_section()

    # ------------------------------------------------------------------ pieces

    @property
    def next(self) -> Token:
        """The token that comes now."""
        return self.tokens[self.place]

    def fail(self, expected: str) -> NotationError:
        """The error for what comes now."""
        return trouble(self.next.line, expected, self.next.text)

    def take(self, kind: str, expected: str) -> Token:
        """The next token, of this kind."""
        t = self.next
        if t.kind != kind:
            raise self.fail(expected)
        self.place += 1
        return t

    def found(self, text: str) -> bool:
        """Is this sign or word next? Then step over it."""
        if self.next.text == text and self.next.kind in {"sign", "word"}:
            self.place += 1
            return True
        return False

    def need(self, text: str) -> None:
        """Step over this sign or word."""
        if not self.found(text):
            raise self.fail(repr(text))

    def listed(self, close: str, item: Callable[[], Any]) -> tuple[list[Any], bool]:
        """(items up to the closing sign, did a comma stand before it?)."""
        items: list[Any] = []
        comma = False
        while not self.found(close):
            if items and not comma:
                raise self.fail(f"',' or {close!r}")
            items.append(item())
            comma = self.found(",")
        return items, comma

    # ------------------------------------------------------------------ graphs

    def whole(self) -> Graph:
        """The only graph of the text."""
        self.need("graph")
        g = self.graph()
        if self.next.kind != "end" and self.next.text != "data":
            raise self.fail("the end of the text")
        return g

    def data_section(self) -> list[np.ndarray]:
        """The arrays at the end of the text, which is read first."""
        starts = [
            i for i, t in enumerate(self.tokens)
            if t.text == "data" and t.kind == "word" and self.tokens[i + 1].kind == "int"
        ]  # fmt: skip
        found: list[np.ndarray] = []
        for i in starts:
            self.place = i + 1
            if int(self.take("int", "a number").text) != len(found):
                self.place -= 1
                raise self.fail(f"data number {len(found)}")
            self.need(":")
            d, shape = self.type()
            raw = self.string("the entries as a base64 string")
            try:
                found.append(np.frombuffer(base64.b64decode(raw, validate=True), d).reshape(shape).copy())
            except ValueError:
                self.place -= 1
                raise trouble(self.next.line, f"base64 of {dtype_text(d)}{list(shape)}", raw[:20]) from None
        self.place = 0
        return found

    def string(self, expected: str) -> str:
        """A string literal."""
        t = self.take("str", expected)
        return unquoted(t.text)

    def graph(self) -> Graph:
        """A graph, after the word."""
        outer, self.vars = self.vars, {}
        g = Graph()
        self.need("(")
        g.inputs, _ = self.listed(")", self.define)
        self.need("{")
        while self.found("const"):
            v = self.define()
            self.need("=")
            g.consts[v] = self.content(v.dtype, v.shape)
        while not self.found("return"):
            g.eqns.append(self.eqn())
        g.outputs = []
        while not self.found("}"):
            if g.outputs:
                self.need(",")
            g.outputs.append(self.use())
        self.vars = outer
        return g

    def type(self) -> tuple[Any, tuple[int, ...]]:
        """dtype[shape]."""
        d = self.dtype()
        self.need("[")
        sizes, _ = self.listed("]", lambda: int(self.take("int", "a size").text))
        return d, tuple(sizes)

    def dtype(self) -> Any:
        """A dtype such as f64."""
        t = self.take("word", "a dtype such as f64")
        m = re.fullmatch(r"([fiuc])(\d+)", t.text)
        try:
            return np.dtype(bool) if t.text == "bool" else np.dtype(f"{m[1]}{int(m[2]) // 8}")  # type: ignore[index]
        except TypeError:
            self.place -= 1
            raise self.fail("a dtype such as f64") from None

    def define(self) -> Var:
        """A variable with its type, which must be new."""
        t = self.take("var", "a variable such as %0")
        if t.text in self.vars:
            raise trouble(t.line, "a new variable", t.text)
        self.need(":")
        d, shape = self.type()
        self.vars[t.text] = v = Var(shape, d)
        return v

    def use(self) -> Var:
        """A variable that is known."""
        t = self.take("var", "a variable")
        if t.text not in self.vars:
            raise trouble(t.line, "a variable that was defined above", t.text)
        return self.vars[t.text]

    def eqn(self) -> Eqn:
        """outs = op(args, params)."""
        if self.next.kind != "var":
            raise self.fail("an equation that begins with a variable, or 'return'")
        # the outputs become known after the arguments were read
        known = dict(self.vars)
        outs = [self.define()]
        while self.found(","):
            outs.append(self.define())
        defined, self.vars = self.vars, known
        self.need("=")
        word = self.take("word", "the name of an op")
        op = TABLE.get(word.text)
        if op is None:
            raise trouble(word.line, "the name of an op", word.text)
        args: list[Any] = []
        params: dict[str, Any] = {}
        self.need("(")
        self.listed(")", lambda: self.argument(args, params))
        self.vars = defined
        line = None
        if self.next.kind == "at":
            m = self.take("at", "").match
            line = (m["file"], int(m["number"]))
        return Eqn(op, tuple(args), params, tuple(outs), line)

    def argument(self, args: list[Any], params: dict[str, Any]) -> None:
        """An argument, or name=value."""
        t = self.next
        if t.kind == "word" and self.tokens[self.place + 1].text == "=":
            self.place += 2
            params[t.text] = self.value()
        elif params:
            raise self.fail("a parameter, name=value: arguments come first")
        else:
            args.append(self.value())

    # ------------------------------------------------------------------ values

    def content(self, d: Any, shape: tuple[int, ...]) -> np.ndarray:
        """The entries of an array of this type."""
        if self.found("data"):
            self.need("(")
            k = int(self.take("int", "the number of a data line").text)
            if not 0 <= k < len(self.data):
                self.place -= 1
                raise self.fail(f"one of the {len(self.data)} data lines")
            self.need(")")
            return self.data[k]
        start = self.place
        try:
            return np.array(self.value(), d).reshape(shape)
        except (TypeError, ValueError, OverflowError) as e:
            if isinstance(e, NotationError):
                raise
            self.place = start
            raise self.fail(f"the entries of {dtype_text(d)}{list(shape)}") from None

    def value(self) -> Any:
        """A literal, a variable or a graph."""
        t = self.next
        if t.kind == "var":
            return self.use()
        self.place += 1
        if t.kind in {"int", "float"}:
            return int(t.text) if t.kind == "int" else float(t.text)
        if t.kind == "str":
            return unquoted(t.text)
        if t.kind == "dots":
            return ...
        if t.kind == "word" and t.text in NAMED:
            return NAMED[t.text]
        reader = READERS.get(t.text) if t.kind in {"word", "sign"} else None
        if reader is None:
            self.place -= 1
            raise self.fail("a value")
        return reader(self)

    def tuple(self) -> Any:
        """A tuple, after its opening sign; one item needs its comma."""
        items, comma = self.listed(")", self.value)
        if len(items) == 1 and not comma:
            self.place -= 1
            raise self.fail("',' after the only item of a tuple")
        return tuple(items)

    def dict(self) -> Any:
        """A dict, after its opening sign."""

        def item() -> tuple[Any, Any]:
            key = self.value()
            self.need(":")
            return key, self.value()

        return dict(self.listed("}", item)[0])

    def called(self) -> list[Any]:
        """The arguments of slice(...) and the like."""
        self.need("(")
        return self.listed(")", self.value)[0]

    def array(self) -> np.ndarray:
        """array(type, entries)."""
        self.need("(")
        d, shape = self.type()
        self.need(",")
        a = self.content(d, shape)
        self.need(")")
        return a

    def inside(self, read: Callable[[], Any]) -> Any:
        """Something in parentheses."""
        self.need("(")
        x = read()
        self.need(")")
        return x

    def torch_dtype(self) -> Any:
        """torch(name)."""
        name = self.take("word", "the name of a dtype").text
        for d in ALL:
            if d.name == name:
                return d
        self.place -= 1
        raise self.fail("the name of a dtype")


def unquoted(text: str) -> str:
    """The string of a literal; escapes are Python's."""
    return re.sub(r"\\(x..|u.{4}|U.{8}|.)", _escape, text[1:-1])


def _escape(m: re.Match[str]) -> str:
    code = m[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)


def region_of(parts: list[Any]) -> Region:
    """A Region from its parts."""
    r = object.__new__(Region)
    for k, v in zip(REGION, parts, strict=True):
        setattr(r, k, v)
    return r


READERS: dict[str, Callable[[Parser], Any]] = {
    "(": Parser.tuple,
    "[": lambda p: p.listed("]", p.value)[0],
    "{": Parser.dict,
    "graph": Parser.graph,
    "array": Parser.array,
    "scalar": lambda p: p.array()[()],
    "slice": lambda p: slice(*p.called()),
    "complex": lambda p: complex(*p.called()),
    "dtype": lambda p: p.inside(p.dtype),
    "torch": lambda p: p.inside(p.torch_dtype),
    "region": lambda p: region_of(p.called()),
}


__all__ = ["NotationError", "Parser", "parse"]
