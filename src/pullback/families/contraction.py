"""The contraction family: one einsum specification; vjp and jvp follow by swapping operands.

Read `contraction` first. For out = einsum("A,B->C", x, y) the cotangent of x is einsum("C,B->A", g, conj(y)), and likewise for
y. Matrix products of any rank go through `np.matmul`, whose specification depends on the ranks. May import `graph`,
`families.op`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.families.op import Op, finish
from pullback.graph.modes import CAREFUL, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Node
from pullback.graph.tensor import Tensor

F32, F64 = np.dtype("f4"), np.dtype("f8")
_new = object.__new__


class Contraction(Op):
    """A sum of products over shared indices of two operands."""


def contraction_call(op: Op, check: Callable[[Any, Any], None], prepare: Callable[..., Any] | None = None) -> Any:
    """The public call of a two-operand contraction: fast where both are plain float tensors of one dtype.

    `check` raises PyTorch's errors for operands that do not fit; it runs before anything is computed.
    """
    function = op.eval
    no_params: dict[str, Any] = {}

    def call(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: A002 - PyTorch's name
        if type(input) is Tensor and type(other) is Tensor and out is None:
            v, w = input.value, other.value
            d = v.dtype
            mode = state.mode
            if d is w.dtype and (d is F32 or d is F64) and mode != CAREFUL:
                token = quiet(QUIET)
                try:
                    r = function(v, w)
                except ValueError:
                    check(input, other)
                    raise
                finally:
                    loud(token)
                t = _new(Tensor)
                t.value = r
                e, f = input.node, other.node
                if mode and (e is not None or f is not None):
                    t.node = Node(
                        op,
                        (input, other),
                        (input if e is LEAF else e, other if f is LEAF else f),
                        None,
                        no_params,
                        None,
                    )
                return t
        return general(op, check, input, other, out)

    return call


def general(op: Op, check: Callable[[Any, Any], None], x: Any, y: Any, out: Any) -> Any:
    """Check, run and record: the path for other dtypes, subclasses, modes and `out=`."""
    check(x, y)
    for a in (x, y):
        if a.foreign is not None:
            return a.foreign(op, (x, y), {})
    token = quiet(QUIET)
    try:
        r = op.eval(x.value, y.value)
    finally:
        loud(token)
    followed = x.node is not None or y.node is not None
    t = finish(op, (x, y), {}, r, followed)
    if out is None:
        return t
    from pullback.families.elementwise import write_out  # noqa: PLC0415

    return write_out(op, out, t, (x, y))
