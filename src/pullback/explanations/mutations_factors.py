"""The factors that people put in or forget, and the arrays that a wrong rule is asked to make.

Read `factor_names`: small numbers, and every size and constant of the program, with its name. May import
`explanations.mutations_engine`, `explanations.verdicts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.explanations import verdicts
from pullback.explanations.mutations import Target
from pullback.explanations.mutations_engine import Program
from pullback.explanations.verdicts import Pair, shown
from pullback.graph.node import Aval


def targets(pair: Pair, names: Sequence[tuple[float, str]]) -> list[Target]:
    """The candidate itself, then with a nameable factor or a rearrangement taken out."""
    c = pair.candidate
    found = [Target("", c)]
    if np.count_nonzero(pair.gradient) < 2:
        return found
    seen = {1.0}
    for f, text in names:
        if f not in seen:
            seen.add(f)
            found.append(Target(f"the factor {f:.6g} ({text})", c / f))
    for kind, text, undo in verdicts.arrangements(pair.gradient.shape):
        if kind != "flipped":
            found.append(Target(text.replace("the gradient", "the result"), undo(c)))
    return found


def factor_names(program: Program) -> list[tuple[float, str]]:
    """The factors that people put in or forget: small numbers, and every size and constant of the program."""
    found: list[tuple[float, str]] = [
        (-1.0, "the sign"),
        (2.0, "2"),
        (0.5, "1/2"),
        (-2.0, "-2"),
        (-0.5, "-1/2"),
    ]
    uses = len(program.uses.get(program.key, ()))
    sizes: dict[int, str] = {}
    for k, n in enumerate(program.gradient.shape):
        sizes.setdefault(n, f"{n}, dimension {k} of x")
    sizes.setdefault(program.gradient.size, f"{program.gradient.size}, the entries of x")
    if uses > 1:
        sizes.setdefault(uses, f"{uses}, the uses of x")
    constants: dict[float, str] = {}
    for node in reversed(program.nodes):
        for i, a in enumerate(program.steps[node].avals):
            _note(node, i, a, sizes, constants)
    named = [(n, text.partition(",")[2].strip()) for n, text in sizes.items() if n > 1]
    for n, what in named:
        found += [(float(n), f"{n}: {what}"), (1 / n, f"1/{n}: {what}")]
    for v, text in constants.items():
        found += [(v, f"{v:.6g}: {text}"), (1 / v, f"1/{v:.6g}: {text}")]
    found += [(3.0, "3"), (1 / 3, "1/3"), (4.0, "4"), (0.25, "1/4")]
    taken = [v for v, _ in found]
    more = [row for n, what in named for row in _of_size(n, what)]
    return (found + [row for row in more if not np.any(np.isclose(row[0], taken, rtol=1e-9))])[:400]


def _of_size(n: int, what: str) -> list[tuple[float, str]]:
    """The less plain factors that a size n suggests."""
    found = [
        (2.0 * n, f"2 x {n}: {what}"),
        (2 / n, f"2/{n}: {what}"),
        (n / 2, f"{n}/2: {what}"),
        (-float(n), f"-{n}: {what}"),
        (-1 / n, f"-1/{n}: {what}"),
    ]
    if n > 2:
        found += [
            ((n - 1) / n, f"{n - 1}/{n}: n - 1 for n = {what}"),
            (n / (n - 1), f"{n}/{n - 1}: n/(n - 1) for n = {what}"),
            (n**0.5, f"sqrt({n}): {what}"),
            (n**-0.5, f"1/sqrt({n}): {what}"),
        ]
    return found


def _note(node: Any, i: int, a: Any, sizes: dict[int, str], constants: dict[float, str]) -> None:
    """The sizes and constants of one argument of a node."""
    shape = a.shape if isinstance(a, Aval) else getattr(a, "shape", ())
    name = node.op.name
    for k, n in enumerate(shape):
        sizes.setdefault(int(n), f"{n}, dimension {k} of an operand of {name} ({shown(shape)})")
    if len(shape) > 1:
        n = int(np.prod(shape))
        sizes.setdefault(n, f"{n}, the entries of an operand of {name} ({shown(shape)})")
    value = node.args[i]
    if node.edges[i] is None and isinstance(value, int | float | np.generic) and not isinstance(value, bool):
        v = float(np.real(value))
        if v and np.isfinite(v) and len(constants) < 20:
            constants.setdefault(v, f"the constant of {name}")


__all__ = ["factor_names", "targets"]
