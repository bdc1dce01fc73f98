"""The by-hand family: ops whose rules are written out (linalg, convolution, softmax).

The rest is derived from them.

Read `by_hand` first; `by_hand_facets` holds the derivations. jvp: the transpose of the vjp in its cotangent
(the rule is linear in g, so it is recorded once and swept back). type: the op on stand-in values. depend:
dense, or dense within groups of entries. zero: the local Jacobian by one vjp per output entry of a group.
batch: leading dimensions where eval broadcasts over them, else one call per sample. May import `graph`,
`families.op`, `families.by_hand_facets`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.families.by_hand_facets import derive
from pullback.families.op import Absent, Op, Rule

Core = tuple[Sequence[int | None], Sequence[int]]


class ByHand(Op):
    """An op whose eval and vjp the entry gives."""

    core: Core | None = None
    groups: Callable[..., Any] | None = None
    linear: tuple[int, ...] = ()
    couples: Callable[..., Any] | None = None


def by_hand(
    name: str,
    eval: Rule,
    *,
    vjp: Sequence[Rule | None] | Rule | Absent,
    samples: Callable[[], list[Any]] | None = None,
    jvp: Rule | None = None,
    leading: bool = False,
    core: Core | None = None,
    groups: Callable[..., Any] | None = None,
    linear: tuple[int, ...] = (),
    couples: Callable[..., Any] | None = None,
    outputs: int = 1,
    backward: Any = None,
    keeps: Sequence[bool] | None = None,
    keeps_out: bool | None = None,
    facets: dict[str, Any] | None = None,
) -> ByHand:
    """Declare an op by its eval and vjp rules.

    vjp       one rule(g, out, *args, **params) per argument, written with operators, ops and Tensor methods
              so that it runs on arrays and on tensors alike; name parameters that a rule does not read with a
              leading underscore (what is saved follows). g is a list for ops with several outputs (None where
              an output was not used)
    leading   eval treats leading dimensions as a batch and mixes the last two (NumPy's linalg convention)
    core      the same with other numbers of mixed dimensions: ((per tensor argument), (per output))
    groups    (avals, params) -> (ids per argument, ids of the output): integer arrays, entries with the same
              id are coupled, all others independent (softmax: one group per row). With several outputs their
              entries follow one another
    linear    arguments in which the op is linear, where one rule for all arguments does not show it
    couples   with `core`, the pattern of one sample where it is not dense: (avals of one sample, params) ->
              per argument one boolean matrix (entries of all outputs x entries of the argument), None: dense
    """
    given: dict[str, Any] = dict(facets or {})
    if samples is not None:
        given["samples"] = samples
    if jvp is not None:
        given["jvp"] = jvp
    op = ByHand(
        name, "by hand", eval, vjp=vjp, backward=backward, keeps=keeps, keeps_out=keeps_out, outputs=outputs
    )
    op.core = core if core is not None or not leading else ((2,) * 8, (2,) * 8)
    op.groups = groups
    op.linear = linear
    op.couples = couples
    for facet, value in {**derive(op), **given}.items():
        setattr(op, facet, value)
    return op


__all__ = ["ByHand", "by_hand"]
