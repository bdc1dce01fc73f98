"""Control flow in a recording: the bodies of `scan`, `while_loop` and `cond` become graphs of their own.

`record_body` records a function whose surroundings are themselves being recorded, mapped or differentiated:
what it takes from there becomes an operand, so that derivatives and batches reach it through the op's
arguments. `Recording` is what `func.control` calls. Read `Body`, then `record_body`. May import
`compiler.trace`, `compiler.control_ops`, `func.control` and what stands below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.compiler.body import record_body
from pullback.compiler.control_ops import cond_op, scan_op, while_op
from pullback.func import control
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor


def aval(t: Tensor) -> Aval:
    """Shape and dtype of one sample."""
    return Aval(tuple(t.value.shape), t.value.dtype)


class Recording:
    """Records control flow as single ops; see `func.control.Recorder`."""

    def scan(
        self,
        step: Callable[..., Any],
        carry: Sequence[Tensor],
        xs: Sequence[Tensor],
        length: int,
        reverse: bool,
    ) -> list[Tensor]:
        """The loop as one op."""
        k = len(carry)

        def flat(*ins: Tensor) -> list[Tensor]:
            new, ys = step(ins[:k], ins[k:])
            return [*new, *ys]

        rows = [Aval(tuple(x.value.shape[1:]), x.value.dtype) for x in xs]
        body, operands = record_body(flat, [*map(aval, carry), *rows])
        params = {"body": body, "captured": len(operands), "carries": k, "length": length, "reverse": reverse,
                  "history": 0}  # fmt: skip
        return list(scan_op(*operands, *carry, *xs, **params))

    def while_loop(
        self, test: Callable[..., Any], step: Callable[..., Any], carry: Sequence[Tensor]
    ) -> list[Tensor]:
        """The loop as one op; both graphs take what either captured."""
        avals = [*map(aval, carry)]
        running, first = record_body(lambda *ins: [test(ins)], avals)
        body, second = record_body(lambda *ins: step(ins), avals)
        a, b = len(first), len(second)
        spare = [type(v)(v.shape, v.dtype) for v in running.inputs[:a]]
        more = [type(v)(v.shape, v.dtype) for v in body.inputs[:b]]
        running.inputs = [*running.inputs[:a], *more, *running.inputs[a:]]
        body.inputs = [*spare, *body.inputs]
        return list(while_op(*first, *second, *carry, cond=running, body=body, captured=a + b))

    def cond(
        self, pred: Tensor, yes: Callable[..., Any], no: Callable[..., Any], operands: Sequence[Tensor]
    ) -> list[Tensor]:
        """Both branches in one op; both take what either captured."""
        avals = [*map(aval, operands)]
        true, first = record_body(lambda *ins: yes(ins), avals)
        false, second = record_body(lambda *ins: no(ins), avals)
        a, b = len(first), len(second)
        spare = [type(v)(v.shape, v.dtype) for v in true.inputs[:a]]
        more = [type(v)(v.shape, v.dtype) for v in false.inputs[:b]]
        true.inputs = [*true.inputs[:a], *more, *true.inputs[a:]]
        false.inputs = [*spare, *false.inputs]
        return list(cond_op(pred, *first, *second, *operands, true=true, false=false))


control.install(Recording())
