"""`Inspection`: what a compiled function became, from the graph to the machine code.

Read `Inspection`. May import `compiler.text`, `compiler.plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.compiler.plan import Mapped, NativeStep, Plan


class Inspection:
    """What a compiled function became; `print` it, or read its parts.

    graph     the optimised graph; str(graph) is text that `pullback.compiler.parse` reads back
    passes    (name, how often it fired) for each pass that changed something
    steps     the native kernels and NumPy calls, in order
    """

    def __init__(self, name: str, plan: Plan | Mapped, passes: Sequence[tuple[str, int]]) -> None:
        """Collect the parts of one compiled signature."""
        self.name = name
        self.graph = plan.graph
        self.passes = list(passes)
        self.steps: list[Any] = [plan.step] if isinstance(plan, Mapped) else plan.steps
        self.notes: list[str] = [] if isinstance(plan, Mapped) else plan.notes

    @property
    def programs(self) -> list[str]:
        """The lane programs of the native kernels, as text."""
        return [str(s.program) for s in self.steps if isinstance(s, NativeStep)]

    @property
    def llvm(self) -> list[str]:
        """The LLVM IR of the native kernels."""
        return [s.kernel.llvm for s in self.steps if isinstance(s, NativeStep)]

    @property
    def assembly(self) -> list[str]:
        """The machine code of the native kernels, as assembly."""
        return [s.kernel.assembly for s in self.steps if isinstance(s, NativeStep)]

    def __str__(self) -> str:
        fired = ", ".join(f"{name} {n}" for name, n in self.passes) or "none"
        lines = [f"compiled {self.name}", str(self.graph), f"passes that fired: {fired}", "steps:"]
        lines += [f"  {step.describe()}" for step in self.steps]
        lines += [f"  ({note})" for note in self.notes]
        return "\n".join(lines)

    __repr__ = __str__
