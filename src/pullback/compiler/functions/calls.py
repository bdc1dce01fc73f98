"""Functions that are called lane by lane: the C library's, and SciPy's for what C does not have.

Holds `lane_by_lane` (some lanes of a vector through a library function) and `LIBRARY` (what is only ever
called). Library functions are named, never addressed: `jit` looks a name up when it loads the code. May
import `compiler.text` only.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback.compiler.text import V, type_name

# op: the name that `machine.address` looks up
LIBRARY = {"lgamma": "lgamma", "digamma": "scipy_psi"}


def _scalar(name: str, args: Sequence[V]) -> V:
    """One lane through a library function, in float64 where it has no float32 form."""
    code, t = args[0].code, args[0].t
    single = t == "f4" and not name.startswith("scipy_")
    symbol = name + ("f" if single else "")
    kind = "f4" if single else "f8"
    llvm = type_name(kind, 1)
    code.module.external(symbol, f"{llvm} ({', '.join([llvm] * len(args))})")
    return code.call(symbol, kind, 1, *(a.to(kind) for a in args)).to(t)


def lane_by_lane(name: str, where: V, args: Sequence[V], otherwise: V) -> V:
    """The library's `name` of args in lanes where a b1 holds, `otherwise` in the others."""
    code, x = otherwise.code, otherwise
    slow, after = code.name("slow"), code.name("fast")
    before = code.block
    code.branch(code.any(where), slow, after)
    code.label(slow)
    made = x
    for i in range(x.n):
        one = _scalar(name, [a.lane(i) for a in args])
        if x.n == 1:
            made = one
        else:
            picked = where.lane(i).select(one, x.lane(i))
            made = code.add(f"insertelement {made.typed}, {picked.typed}, i64 {i}", x.t, x.n)
    last = code.block
    code.jump(after)
    code.label(after)
    return code.add(f"phi {x.type} [ {x.ref}, %{before} ], [ {made.ref}, %{last} ]", x.t, x.n)


def called(op: str, args: Sequence[V]) -> V:
    """All lanes through the library function of `op`."""
    x = args[0]
    code = x.code
    items = [_scalar(LIBRARY[op], [a.lane(i) for a in args]) for i in range(x.n)]
    if x.n == 1:
        return items[0]
    made = V("poison", x.t, x.n, code)
    for i, item in enumerate(items):
        made = code.add(f"insertelement {made.typed}, {item.typed}, i64 {i}", x.t, x.n)
    return made
