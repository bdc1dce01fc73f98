"""Elementary functions for compiled programs, written in LLVM for any number of lanes.

Holds `call`, which writes a call of an elementary function and, once a module, the function itself, and
`ELEMENTARY`, their names. The rooms: `exponential`, `trigonometric`, `calls` (library functions, lane by
lane), `kit` (tools). Read `call`. May import `compile.text`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pullback.compile.functions import exponential, trigonometric
from pullback.compile.functions.calls import LIBRARY, called
from pullback.compile.text import Code, V, suffix

WRITERS: dict[str, Callable[..., V]] = {**exponential.TABLE, **trigonometric.TABLE}
ELEMENTARY = frozenset({*WRITERS, *LIBRARY})


def call(code: Code, op: str, args: Sequence[V], inline: bool = False) -> V:
    """op of args, all of one float type and width; `inline` asks for the body in place of a call."""
    x = args[0]
    name = f"{op}.{suffix(x.t, x.n)}"
    names = [f"%x{i}" for i in range(len(args))]

    def write(inside: Code) -> None:
        given = [V(ref, x.t, x.n, inside) for ref in names]
        made = WRITERS[op](*given) if op in WRITERS else called(op, given)
        inside.do(f"ret {made.typed}")

    parameters = ", ".join(f"{x.type} {ref}" for ref in names)
    attributes = "nounwind alwaysinline" if inline else "nounwind noinline"
    code.module.function(name, f"internal {x.type}", parameters, attributes, write)
    return code.call(name, x.t, x.n, *args)
