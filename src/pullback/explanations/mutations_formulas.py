"""The vjp of a matrix product in words and shapes: what the right formula is, and what was written instead.

Read `right_formula`. Row vectors and column vectors are shown as the program has them: for W @ x with a
vector x the cotangent is g @ W as a row, which is W.T @ g as a column. May import
`explanations.mutations_engine`.
"""

from __future__ import annotations

from pullback.explanations.mutations_engine import Step

PRODUCTS = frozenset({"mm", "mv", "vm", "bmm", "matmul", "linear", "dot"})


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "()"


def right_formula(step: Step, i: int) -> str:
    """The right cotangent of argument i with shapes, such as "dx = g (2) @ W (2x2), as a column W.T @ g".

    An empty string for specifications that are no matrix products.
    """
    name = step.op.name
    g = f"g ({_shown(step.out_shape)})"
    if name == "mv":
        w, x = f"W ({_shown(step.shape(0))})", f"x ({_shown(step.shape(1))})"
        return (
            f"dx = g @ W with {g} as a row and {w}; as a column W.T @ g"
            if i == 1
            else f"dW = outer({g}, {x})"
        )
    if name == "vm":
        x, w = f"x ({_shown(step.shape(0))})", f"W ({_shown(step.shape(1))})"
        return (
            f"dx = g @ W.T with {g} as a row and {w}; as a column W @ g"
            if i == 0
            else f"dW = outer({x}, {g})"
        )
    if name == "linear":
        x, w = f"x ({_shown(step.shape(1))})", f"W ({_shown(step.shape(2))})"
        return f"dx = g @ W with {g}, {w}" if i == 1 else f"dW = g.T @ x with {g}, {x}"
    if name in PRODUCTS and name != "dot" and len(step.shape(0)) > 1 and len(step.shape(1)) > 1:
        a, b = f"A ({_shown(step.shape(0))})", f"B ({_shown(step.shape(1))})"
        return f"dA = g @ B.T with {g}, {b}" if i == 0 else f"dB = A.T @ g with {a}, {g}"
    if name == "dot":
        return f"dx = g y with y ({_shown(step.shape(1 - i))})"
    return f"einsum of {g} with the other operand"


def wrong_formula(step: Step, i: int, flips: tuple[bool, bool, bool]) -> str:
    """What exchanging the axes of g, of the other operand, of the result makes of the right formula."""
    name, (fg, fo, fr) = step.op.name, flips
    right = right_formula(step, i)
    if name == "mv" and i == 1 and fo:
        return (
            "W.T where W belongs in the vjp of matmul (z = W @ x): the right formula is "
            f"{right}; the candidate is g @ W.T, as a column W @ g"
        )
    if name == "vm" and i == 0 and fo:
        return (
            "W where W.T belongs in the vjp of matmul (z = x @ W): the right formula is "
            f"{right}; the candidate is g @ W, as a column W.T @ g"
        )
    if name in ("mv", "vm") and fr:
        return f"the outer product in the wrong order in the vjp of matmul: the right formula is {right}"
    sides = _sides(name, i)
    if sides is None or (name != "linear" and len(step.shape(0)) < 2):
        return ""
    left, other_side = sides
    shown = [_turned(s, {"g": fg}.get(s.removesuffix(".T"), fo)) for s in (left, other_side)]
    product = f"{shown[0]} @ {shown[1]}"
    if fr:
        product = f"{_turned(shown[1], True)} @ {_turned(shown[0], True)}"
    slip = ""
    if fo and not fg and not fr:
        o = next(s for s in (left, other_side) if not s.startswith("g"))
        slip = f"{_turned(o, True)} where {o} belongs in the vjp of matmul: "
    d = {0: "dA", 1: "dB"}[i] if name != "linear" else {1: "dx", 2: "dW"}[i]
    return f"{slip}{d} = {product} was used; the right formula is {right}"


def _sides(name: str, i: int) -> tuple[str, str] | None:
    if name == "linear":
        return ("g", "W") if i == 1 else ("g.T", "x")
    if name in ("mm", "bmm", "matmul"):
        return ("g", "B.T") if i == 0 else ("A.T", "g")
    return None


def _turned(symbol: str, really: bool) -> str:
    if not really:
        return symbol
    return symbol.removesuffix(".T") if symbol.endswith(".T") else symbol + ".T"


__all__ = ["right_formula", "wrong_formula"]
