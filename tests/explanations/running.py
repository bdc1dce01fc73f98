"""Runs a generated program under pullback, from a file of its own, so that source lines are real."""

from __future__ import annotations

import atexit
import itertools
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pullback as pb
from explanations.judge import Program

# source lines are read late, when an explanation is printed: the files live as long as the process
FOLDER = tempfile.TemporaryDirectory(prefix="judged")
atexit.register(FOLDER.cleanup)
numbers = itertools.count()


class Run(NamedTuple):
    """A program that ran: its tensors, and the file whose lines explanations should name."""

    program: Program
    file: str
    function: Any
    leaves: dict[str, Any]
    constants: list[Any]
    outputs: tuple[Any, ...]
    upstream: list[Any]


def load(program: Program, *, lines: bool = False) -> Run:
    """Write it, import it, run it; `lines` records lines."""
    path = Path(FOLDER.name) / f"program{next(numbers)}.py"
    text = program.source()
    path.write_text(text, encoding="utf-8")
    scope: dict[str, Any] = {"pb": pb}
    exec(compile(text, str(path), "exec"), scope)
    leaves = {k: pb.tensor(v, requires_grad=True) for k, v in program.leaves.items()}
    constants = [pb.tensor(v) for v in program.constants.values()]
    function = scope["program"]

    def run() -> Any:
        outs = function(*leaves.values(), *constants)
        return outs if isinstance(outs, tuple) else (outs,)

    outputs = pb.record_lines()(run)() if lines else run()
    return Run(
        program, str(path), function, leaves, constants, outputs, [pb.tensor(v) for v in program.upstream]
    )


def gradients(run: Run) -> dict[str, Any]:
    """The engine's gradient of each leaf; zeros where there is none."""
    live = [(o, v) for o, v in zip(run.outputs, run.upstream, strict=True) if o.requires_grad]
    if not live:
        return {k: np.zeros(v.shape) for k, v in run.program.leaves.items()}
    found = pb.autograd.grad(
        [o for o, _ in live],
        list(run.leaves.values()),
        [v for _, v in live],
        retain_graph=True,
        allow_unused=True,
    )
    return {
        k: np.zeros(leaf.shape) if g is None else np.asarray(g.numpy())
        for (k, leaf), g in zip(run.program.leaves.items(), found, strict=True)
    }
