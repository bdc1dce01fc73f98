"""`explain`: why is this gradient zero, None, not finite, small, or not what was expected?

Read `explain`, then `sweeps.analyse`, which does the work, and `after`, which finds the backward pass behind
a `.grad`. May import everything in this room, `autograd`, `graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from pullback.autograd.engine import key_of
from pullback.autograd.public import check_gradient
from pullback.errors import message
from pullback.explanations.after import explained_pass
from pullback.explanations.reopened import reopened
from pullback.explanations.report import Explanation
from pullback.explanations.sweeps import analyse
from pullback.explanations.told import none_reason, noticed
from pullback.explanations.unproven import doubt_of
from pullback.graph.lines import record_lines
from pullback.graph.node import LEAF, Node, Slot
from pullback.graph.tensor import Tensor, wrap


def explain(*what: Any, upstream: Any = None) -> Any:
    """Say of every entry of a gradient why it is what it is, with proof.

    explain(x)                 after `backward`: x a leaf, or a tensor that retained its gradient
    explain(out, x)            before: of the record behind `out`; nothing is freed, `.grad` is not touched
    explain(f, x)              of f(x), run on a copy of x (or of a tuple of arguments) with lines recorded
    explain(f, x), explain(out, x) with a list, tuple or dict of tensors for x: a list or dict of explanations

    upstream  the weights v of v^T J, of the output's shape; may be left out for an output of one entry

    Returns an `Explanation`: the kind of cause per entry (`causes`), entries grouped by cause, op and line
    (`rows`), the full story of one entry (`why(index)`), and for non-zero gradients the paths that make them
    up. An exactly zero entry has as its causes the dead links that stand between it and the output: those
    which, revived together with some others, bring the gradient to life, while those others alone do not.
    RuntimeError where the record was freed or overwritten; TypeError for anything else than tensors and
    functions.

    >>> import pullback as torch
    >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
    >>> print(torch.explain((torch.relu(x) * 3.0).sum(), x))
    gradient of a tensor of shape [2]
      GateClosed   [0]
        relu
        entry [0] of relu is closed: its input is -1, 1 from the switch; the unit is off: its input is not
        positive; an input above zero brings it to life
      Flows        [1] 3
    """
    if len(what) == 1 and isinstance(what[0], Tensor):
        return explained_pass(what[0])
    if len(what) == 2:
        first, x = what
        if callable(first) and not isinstance(first, Tensor):
            return _of_function(cast("Callable[..., Any]", first), x, upstream)
        outs = _tensors(first)
        if outs:
            return _each(outs, x, upstream)
    raise TypeError(
        message(
            "explain() takes (x) after a backward, (out, x) before one, or (f, x) for a function",
            f"it got {', '.join(type(a).__name__ for a in what) or 'nothing'}",
            "pass a tensor, or the output (or a function) and the tensor to explain",
        )
    )


def _tensors(a: Any) -> tuple[Tensor, ...]:
    if isinstance(a, Tensor):
        return (a,)
    if isinstance(a, list | tuple):
        parts = cast("Sequence[Any]", a)
        if all(isinstance(t, Tensor) for t in parts):
            return tuple(parts)
    return ()


def _each(outs: tuple[Tensor, ...], x: Any, upstream: Any) -> Any:
    """Explanations of one tensor, or of each in a list, tuple or dict."""
    if isinstance(x, dict):
        named = cast("dict[str, Tensor]", x)
        made = _explained(outs, list(named.values()), upstream, list(named))
        return dict(zip(named, made, strict=True))
    many = _tensors(x)
    if not many:
        raise TypeError(
            message(
                f"explain() explains tensors, not {type(x).__name__}",
                "",
                "pass a tensor, or a list or dict of tensors",
            )
        )
    made = _explained(outs, many, upstream, [""] * len(many))
    return made[0] if isinstance(x, Tensor) else made


def _of_function(f: Callable[..., Any], x: Any, upstream: Any) -> Any:
    """Run f on fresh leaves, with lines recorded, and explain its gradient."""
    given: tuple[Any, ...] = tuple(cast("Sequence[Any]", x)) if isinstance(x, tuple | list) else (x,)
    leaves = [_fresh_leaf(a) if isinstance(a, Tensor) and a.value.dtype.kind in "fc" else a for a in given]
    with record_lines():
        out = f(*leaves)
    outs = _tensors(out)
    if not outs:
        raise TypeError(
            message(
                f"explain(f, x) needs a function that returns tensors, not {type(out).__name__}",
                "",
                "return a tensor, or a tuple of tensors",
            )
        )
    chosen = [t for t in leaves if isinstance(t, Tensor) and t.node is not None]
    made = _explained(outs, chosen, upstream, [""] * len(chosen))
    return made if isinstance(x, tuple | list) else made[0]


def _fresh_leaf(a: Tensor) -> Tensor:
    return wrap(np.array(a.value), LEAF)


def _explained(
    outs: Sequence[Tensor], xs: Sequence[Tensor], upstream: Any, names: Sequence[str]
) -> list[Explanation]:
    weights = upstreams(outs, upstream)
    with reopened():
        work = analyse(outs, weights, xs)
    notes = tuple(noticed(work))
    return [
        Explanation(
            work, key_of(place_of(x)), tuple(x.value.shape), name=name, doubt=partial(doubt_of, work, x),
            none_reason=none_reason(outs, x), notes=notes, opened=reopened,
        )
        for x, name in zip(xs, names, strict=True)
    ]  # fmt: skip


def upstreams(outs: Sequence[Tensor], upstream: Any) -> list[Any]:
    """The weights of each output as arrays; ones where an output has one entry and no weights are given."""
    given = (
        list(cast("Sequence[Any]", upstream))
        if isinstance(upstream, list | tuple) and len(outs) > 1
        else [upstream]
    )
    given += [None] * (len(outs) - len(given))
    found: list[Any] = []
    for k, (t, v) in enumerate(zip(outs, given, strict=True)):
        if v is None:
            if t.value.size != 1:
                raise RuntimeError(
                    message(
                        "grad can be implicitly created only for scalar outputs",
                        f"output {k} has shape {list(t.value.shape)}: which combination v^T J of its entries "
                        "is to be explained?",
                        "pass upstream=torch.ones_like(out) for their sum, or the weights that your backward "
                        "used",
                    )
                )
            found.append(np.ones(t.value.shape, t.value.dtype))
            continue
        weights = v if isinstance(v, Tensor) else _as_tensor(v, t)
        check_gradient(k, t, weights)
        found.append(np.asarray(weights.value, t.value.dtype))
    return found


def _as_tensor(v: Any, like: Tensor) -> Tensor:
    made = object.__new__(Tensor)
    made.value = np.asarray(v, like.value.dtype)
    return made


def place_of(x: Tensor) -> Any:
    """Where cotangents of x go: its edge; x itself where it is no part of any record."""
    return x.node if isinstance(x.node, Node | Slot) else x


__all__ = ["explain", "place_of", "upstreams"]
