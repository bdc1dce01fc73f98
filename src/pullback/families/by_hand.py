"""The by-hand family: ops whose rules are written out (linalg, convolution, softmax); the rest is derived from them.

Read `by_hand` first. jvp: the transpose of the vjp in its cotangent (differentiate the rule, which is linear in g). type: the op
on stand-in values. zero: the local Jacobian by one vjp per output entry. depend: dense, unless `couples` says which axes mix.
batch: leading dimensions where NumPy's function broadcasts over them, else one call per sample. May import `graph`,
`families.op`, `families.facets`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.families.op import Op, Rule


class ByHand(Op):
    """An op whose eval and vjp the entry gives."""


def by_hand(
    name: str,
    eval: Rule,  # noqa: A002 - the facet's name
    *,
    vjp: Sequence[Rule | None] | Rule | Any,
    samples: Callable[[], list[Any]] | None = None,
    jvp: Rule | None = None,
    leading: bool = False,
    outputs: int = 1,
    backward: Any = None,
    keeps: Sequence[bool] | None = None,
    keeps_out: bool | None = None,
    facets: dict[str, Any] | None = None,
) -> ByHand:
    """Declare an op by its eval and vjp rules.

    vjp       one rule(g, out, *args, **params) per argument, written with operators, ops and Tensor methods so that it runs on arrays
              and on tensors alike; name parameters that a rule does not read with a leading underscore (what is saved follows).
              g is a tuple for ops with several outputs (zeros where an output was not used)
    leading   eval treats leading dimensions as a batch (NumPy's linalg convention)
    """
    given: dict[str, Any] = dict(facets or {})
    if samples is not None:
        given["samples"] = samples
    if jvp is not None:
        given["jvp"] = jvp
    op = ByHand(
        name, "by hand", eval, vjp=vjp, backward=backward, keeps=keeps, keeps_out=keeps_out, outputs=outputs, facets=given
    )
    op.leading = leading  # pyright: ignore[reportAttributeAccessIssue]
    return op
