"""The compiler: functions are recorded as graphs, graphs become lane programs, programs native code.

Read `api` for the front door, then in the order of the work: `trace` (recording), `graph` and `passes`,
`plan` (what runs as a kernel), `lower` and `cells` (ops as values of lanes), `build` and `program` (lane
programs), `llvm` and `jit` (machine code).
"""

from __future__ import annotations

# control makes loops and branches recordable, notation gives graphs their text
from pullback.compiler import control as _control
from pullback.compiler.notation import show
from pullback.compiler.reading import parse

del _control
__all__ = ["parse", "show"]
