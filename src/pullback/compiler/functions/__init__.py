"""Elementary functions for compiled programs, written in LLVM for any number of lanes.

Holds `call`, which writes a call of an elementary function and, once a module, the function itself, and
`ELEMENTARY`, their names. The rooms: `exponential`, `trigonometric`, `inverse`, `hyperbolic`, `error`,
`power`; `calls` (library functions, lane by lane), `kit` (tools), `tables` (coefficients). Read `call`. May
import `compiler.text`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pullback.compiler.functions import error, exponential, hyperbolic, inverse, power, trigonometric
from pullback.compiler.functions.calls import LIBRARY, called
from pullback.compiler.text import Code, V, suffix

_ROOMS = (exponential, trigonometric, inverse, hyperbolic, error, power)
WRITERS: dict[str, Callable[..., V]] = {name: write for room in _ROOMS for name, write in room.TABLE.items()}
# largest error in units in the last place of the exact result: (float32, float64), vectors and scalars alike;
# tests/compiler/test_functions.py holds them to it
ULP: dict[str, tuple[float, float]] = {
    "exp": (1.0, 1.0), "exp_inside": (1.0, 1.0), "exp2": (1.0, 1.0), "expm1": (1.5, 1.5), "log": (1.0, 1.0),
    "log2": (1.0, 1.0), "log10": (1.0, 1.0), "log1p": (1.0, 1.0), "sin": (1.0, 1.0), "cos": (1.0, 1.0),
    "tan": (2.0, 2.0), "asin": (1.0, 1.0), "acos": (1.0, 1.0), "atan": (1.5, 1.5), "atan2": (2.0, 2.0),
    "sinh": (2.0, 2.0), "cosh": (1.5, 1.5), "tanh": (1.5, 1.5), "asinh": (2.0, 2.0), "acosh": (2.0, 2.0),
    "atanh": (2.0, 2.0), "erf": (0.6, 2.0), "erfc": (0.6, 3.0), "erfinv": (0.6, 3.0), "pow": (0.6, 1.0),
    "hypot": (0.6, 1.0),
}  # fmt: skip
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
