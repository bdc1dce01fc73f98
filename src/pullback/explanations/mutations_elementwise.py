"""Wrong partial derivatives, as people write them: elementwise ops and selections.

Read `elementwise_changes` first: what any elementwise rule can be got wrong by, derived from the partials of
the table; `mutations_slips` adds what only one op has. May import `explanations.mutations_engine`,
`explanations.mutations_slips`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback.explanations.mutations_engine import Change, Step
from pullback.explanations.mutations_slips import SLIPS, Facts, Wrong, partial
from pullback.explanations.verdicts import shown

Array = Any


def elementwise_changes(step: Step) -> Iterator[Change]:
    """The wrong rules of an elementwise op or a selection, for every argument that leads to x."""
    for i in step.live:
        dtype = step.avals[i].dtype
        if dtype.kind != "f":
            continue
        slips = SLIPS.get(step.op.name, ())
        for arg, name, text, q in slips:
            if arg in (i, None):
                yield _change(step, i, 0, name, text, q)
        derived = _gates(step, i) if step.op.family == "selection" else _derived(step, i)
        yield from _misplaced(step, i)
        for rank, name, text, q in derived:
            yield _change(step, i, rank, name, text, q)
        yield from broadcast_changes(step, i)


def _change(step: Step, i: int, rank: int, name: str, text: str, q: Wrong) -> Change:
    facts = Facts(step, i)
    return step.change(i, rank, name, text, lambda g: step.fitted(i, np.asarray(g) * q(facts)))


Rows = Iterator[tuple[int, str, str, Wrong]]


def _derived(step: Step, i: int) -> Rows:
    """What the partial's own form suggests."""
    op, p = step.op, step.op.partials[i]
    name = op.torch_name
    if isinstance(p, int):
        if p == -1:
            yield 0, "sign dropped", f"the minus sign of {name} is dropped", lambda f: -f.p
        else:
            yield 2, "sign flipped", f"a minus sign too many at {name}", lambda f: -f.p
        return
    if p is None:
        return
    yield (
        1,
        "factor omitted",
        f"the local derivative of {name} is left out (taken as 1)",
        lambda f: f.p * 0 + 1,
    )
    yield 1, "sign flipped", f"the derivative of {name} has the wrong sign", lambda f: -f.p
    reads = op.partial_reads[i]
    if reads[0]:
        yield (
            0,
            "input for output",
            f"the derivative of {name} is written in its output, evaluated at its input",
            (lambda f: partial(f.step, f.i, out=f.mine)),
        )
    if len(reads) > i + 1 and reads[i + 1]:
        yield (
            1,
            "output for input",
            f"the derivative of {name} is evaluated at its output instead of its input",
            (lambda f: partial(f.step, f.i, swap={f.i: f.out})),
        )
    yield 1, "function for derivative", f"{name} itself stands where its derivative belongs", lambda f: f.out
    yield (
        1,
        "derivative applied twice",
        f"the derivative of {name} is multiplied in twice",
        lambda f: f.p * f.p,
    )
    yield 2, "reciprocal", f"the reciprocal of the derivative of {name}", lambda f: 1 / f.p
    yield (
        2,
        "argument for derivative",
        f"the argument of {name} stands where its derivative belongs",
        lambda f: f.mine,
    )
    for k in range(op.arity):
        if k != i and op.partials[k] is not None and not isinstance(op.partials[k], int):
            yield (
                0,
                "operands swapped",
                f"the derivative with respect to the other operand of {name}",
                (lambda f, k=k: partial(f.step, k, swap={k: f.step.value(k), f.i: f.mine})),
            )


def _misplaced(step: Step, i: int) -> Iterator[Change]:
    """The partial of a differentiable op at another value: of an op before, or after."""
    op, reads = step.op, step.op.partial_reads[i]
    if reads is None or op.family == "selection":
        return
    for j in range(op.arity):
        if not reads[0] and not (len(reads) > j + 1 and reads[j + 1]):
            continue
        for words, value in step.neighbours(j):

            def wrong(g: Array, j: int = j, value: Any = value) -> Array:
                swap = {j: value()}
                out = None
                if reads[0]:
                    values = [swap[k] if k == j else step.value(k) for k in range(op.arity)]
                    out = op.eval(*values, **step.params)
                return step.fitted(i, np.asarray(g) * partial(step, i, out, swap))

            text = f"the derivative of {op.torch_name} is taken at {words}, not at its operand"
            yield step.change(i, 1, "wrong point", text, wrong)


def _gates(step: Step, i: int) -> Rows:
    """A selection routes; people drop, invert or misread its gate."""
    name = step.op.torch_name
    if step.op.partials[i] is None or isinstance(step.op.partials[i], int):
        return
    yield (
        0,
        "gate dropped",
        f"the gate of {name} is dropped: the gradient passes as if it were the identity",
        (lambda f: f.p * 0 + 1),
    )
    yield (
        0,
        "gate inverted",
        f"the gate of {name} is inverted: it passes where it should be closed",
        lambda f: 1 - f.p,
    )
    yield (
        0,
        "value for gate",
        f"the output of {name} multiplies the gradient instead of its 0/1 gate",
        lambda f: f.out,
    )
    yield (
        1,
        "value for gate",
        f"the input of {name} multiplies the gradient instead of its 0/1 gate",
        lambda f: f.mine,
    )
    yield 1, "gate at ties", f"ties of {name} pass the whole gradient", lambda f: np.where(f.p > 0, 1.0, 0.0)
    yield 1, "gate at ties", f"ties of {name} pass nothing", lambda f: np.where(f.p == 1, 1.0, 0.0)
    yield (
        1,
        "gate at ties",
        f"{name} passes the gradient at its threshold",
        (lambda f: np.where(f.out == f.mine, 1.0, f.p)),
    )
    yield 2, "sign flipped", f"{name} with the wrong sign", lambda f: -f.p
    yield (
        1,
        "sign for gate",
        f"the sign of the input multiplies the gradient instead of the gate of {name}",
        (lambda f: np.sign(f.mine)),
    )


def broadcast_changes(step: Step, i: int) -> Iterator[Change]:
    """The sum that undoes broadcasting: averaged, or only one slice of it taken."""
    shape, wide = step.shape(i), step.out_shape
    if shape == wide or not all(wide):
        return
    n = int(np.prod(wide)) // max(int(np.prod(shape)), 1)
    lead = len(wide) - len(shape)
    axes = [a for a, m in enumerate(wide) if m > 1 and (a < lead or shape[a - lead] == 1)]
    if not axes:
        return
    op = step.op.name
    yield step.change(
        i,
        0,
        "mean for sum",
        f"the broadcast operand of {op} ({shown(shape)}) collects the mean over the {n} "
        "copies, where their sum belongs",
        step.times(i, 1 / n),
    )
    for text, pick in (("first", 0), ("last", -1)):

        def one(g: Any, pick: int = pick) -> Any:
            mask = np.zeros(wide, np.asarray(g).dtype)
            mask[tuple(pick if a in axes else slice(None) for a in range(len(wide)))] = 1
            return step.right(i, np.asarray(g) * mask)

        yield step.change(
            i,
            1,
            "one copy only",
            f"only the {text} of the {n} broadcast copies of {op}'s operand ({shown(shape)}) "
            "is counted; the sum over them is missing",
            one,
        )


__all__ = ["broadcast_changes", "elementwise_changes"]
