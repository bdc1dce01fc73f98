"""`scan`, `while_loop`, `cond`: loops and branches that can be recorded as one op.

Outside of a recording they are a plain Python loop or branch, so everything that works on ops works on them.
While a function is recorded (`state.tracer` is set) the call goes to `recorder`, which `compiler.control`
installs. Read `scan`, then `Structure`. May import `ops`, `transform`, `func.pytree` and what stands below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from pullback.dtypes import get_default_dtype
from pullback.errors import message
from pullback.func.pytree import Spec, flatten, unflatten
from pullback.graph.modes import state
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.join import stack
from pullback.ops.select import where
from pullback.ops.splitting import unbind
from pullback.transform.batch import BatchedTensor


class Recorder(Protocol):
    """What records control flow as ops; arguments as in the public functions, flattened."""

    def scan(
        self,
        step: Callable[..., Any],
        carry: Sequence[Tensor],
        xs: Sequence[Tensor],
        length: int,
        reverse: bool,
    ) -> list[Tensor]:
        """step(carry leaves, x leaves) -> (carry leaves, y leaves); the last carry, then the stacked ys."""
        ...

    def while_loop(
        self, test: Callable[..., Any], step: Callable[..., Any], carry: Sequence[Tensor]
    ) -> list[Tensor]:
        """test(carry leaves) -> a boolean; step(carry leaves) -> carry leaves."""
        ...

    def cond(
        self,
        pred: Tensor,
        yes: Callable[..., Any],
        no: Callable[..., Any],
        operands: Sequence[Tensor],
    ) -> list[Tensor]:
        """yes(leaves) and no(leaves) -> leaves of equal shapes and dtypes."""
        ...


_recorders: list[Recorder] = []


def install(recorder: Recorder) -> None:
    """Say who records control flow (the compiler does, when it is imported)."""
    _recorders[:] = [recorder]


# ---------------------------------------------------------------------- nested structures


class Structure:
    """How a nested structure was built from tensors; None stays None and numbers become tensors."""

    def __init__(self, spec: Spec, present: tuple[bool, ...]) -> None:
        """The structure, and which of its leaves are tensors (the others are None)."""
        self.spec, self.present = spec, present

    def build(self, tensors: Sequence[Any]) -> Any:
        """The structure with these tensors."""
        values = iter(tensors)
        return unflatten([next(values) if p else None for p in self.present], self.spec)

    def paths(self) -> list[str]:
        """Where each tensor stands, as Python writes it: `[0]['w']`."""
        return [p for p, there in zip(_paths(self.spec), self.present, strict=True) if there]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and (self.spec, self.present) == (other.spec, other.present)

    def __hash__(self) -> int:
        return hash((repr(self.spec), self.present))


def _paths(spec: Spec) -> list[str]:
    if spec.kind is None:
        return [""]
    keys = spec.keys or range(len(spec.children))
    return [f"[{k!r}]{p}" for k, c in zip(keys, spec.children, strict=True) for p in _paths(c)]


def taken_apart(tree: Any, what: str, like: Sequence[Any] = ()) -> tuple[list[Tensor], Structure]:
    """The tensors of a structure; Python numbers take the dtype of their counterpart in `like`, if any."""
    leaves, spec = flatten(tree)
    tensors: list[Tensor] = []
    for leaf in leaves:
        if leaf is not None:
            k = len(tensors)
            tensors.append(_tensor(leaf, what, like[k] if k < len(like) else None))
    return tensors, Structure(spec, tuple(leaf is not None for leaf in leaves))


def _tensor(leaf: Any, what: str, like: Any) -> Tensor:
    if isinstance(leaf, Tensor):
        return leaf
    if isinstance(leaf, np.ndarray | np.generic):
        return wrap(np.array(leaf))
    if not isinstance(leaf, bool | int | float | complex):
        raise TypeError(
            message(
                f"{what} must hold tensors and numbers only, got {type(leaf).__name__}",
                "",
                "close over what does not change instead of passing it",
            )
        )
    array = np.asarray(leaf)
    if array.dtype.kind == "f":
        array = array.astype(get_default_dtype().numpy)
    if like is not None and np.can_cast(array.dtype, like.value.dtype, "same_kind"):
        array = array.astype(like.value.dtype)
    return wrap(array)


def match(what: str, before: Sequence[Tensor], given: Structure, after: Any) -> list[Tensor]:
    """The tensors of a new carry; RuntimeError unless structure, shapes and dtypes are as before."""
    tensors, have = taken_apart(after, what, before)
    if have != given:
        raise RuntimeError(
            message(
                f"{what} must keep its structure",
                f"it came in as {given.spec} and left as {have.spec}",
                "return it nested exactly as it came in",
            )
        )
    for path, old, new in zip(given.paths(), before, tensors, strict=True):
        if old.value.shape != new.value.shape:
            raise RuntimeError(
                message(
                    f"{what} must keep its shapes",
                    f"{what}{path} came in with shape {list(old.value.shape)} and left with "
                    f"{list(new.value.shape)}",
                    "start with a tensor of the final shape, or write into a part of it",
                )
            )
        if old.value.dtype != new.value.dtype:
            raise RuntimeError(
                message(
                    f"{what} must keep its dtypes",
                    f"{what}{path} came in as {old.dtype!r} and left as {new.dtype!r}",
                    f"start with {new.dtype!r}, or convert the new value with .to({old.dtype!r})",
                )
            )
    return tensors


# ---------------------------------------------------------------------- scan


def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Apply f along the first dimension of xs and carry a state from round to round: (last carry, ys).

    f         (carry, x) -> (new carry, y); the carry keeps its structure, shapes and dtypes
    init      the first carry: a tensor, a number or a nested structure of them
    xs        a tensor or structure whose first dimension runs over the rounds; None with `length`
    reverse   from the last x to the first; ys keep the order of xs
    ys        what f returned as y in each round, stacked along a new first dimension
    ValueError for unequal lengths, RuntimeError for a carry that changes. In a compiled function the loop is
    one op, so its size does not depend on the number of rounds.
    Source of the convention: jax.lax.scan, and PyTorch's higher-order scan.

    >>> import pullback as torch
    >>> from pullback.func.control import scan
    >>> scan(lambda c, x: (c + x, c * x), torch.tensor(0.0), torch.tensor([1.0, 2.0, 3.0]))
    (tensor(6.), tensor([0., 2., 9.]))
    """
    carry, given = taken_apart(init, "scan's carry")
    rows, row = taken_apart(xs, "scan's xs")
    n = _length(rows, row, length)
    outcome: list[Structure] = []

    def step(carry: Sequence[Tensor], x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        result: Any = f(given.build(carry), row.build(x))
        if not (isinstance(result, tuple | list) and len(result) == 2):  # pyright: ignore[reportUnknownArgumentType]
            raise TypeError(
                message(
                    "scan expects f to return a pair (carry, y)",
                    f"it returned {type(result).__name__}",
                    "return (carry, None) where there is nothing to collect",
                )
            )
        after, y = result  # pyright: ignore[reportUnknownVariableType]
        new = match("scan's carry", carry, given, after)
        ys, shape = taken_apart(y, "scan's y")
        outcome[:] = [shape]
        return new, ys

    if state.tracer is not None and _recorders:
        outs = _recorders[0].scan(step, carry, rows, n, reverse)
    else:
        outs = _run_scan(step, carry, rows, n, reverse)
    return given.build(outs[: len(carry)]), outcome[0].build(outs[len(carry) :])


def _length(rows: Sequence[Tensor], row: Structure, length: int | None) -> int:
    for path, x in zip(row.paths(), rows, strict=True):
        if not x.value.shape:
            raise ValueError(
                message(
                    "scan's xs must have a first dimension to run over",
                    f"xs{path} is a 0-d tensor",
                    "close over what is the same in every round",
                )
            )
    sizes = [int(x.value.shape[0]) for x in rows]
    found = set(sizes if length is None else [*sizes, length])
    if len(found) > 1:
        raise ValueError(
            message(
                "scan's xs must all have the same length",
                f"first dimensions {sizes}" + ("" if length is None else f", length={length}"),
            )
        )
    if not found:
        raise ValueError(
            message("scan needs xs or length", "there is nothing to run over", "pass length=number of rounds")
        )
    n = found.pop()
    if n < 0:
        raise ValueError(f"scan's length must not be negative, got {n}")
    return n


def _run_scan(
    step: Callable[..., Any], carry: list[Tensor], rows: list[Tensor], n: int, reverse: bool
) -> list[Tensor]:
    """The loop itself."""
    if not n:  # one round on zeros shows what the ys would look like
        _, ys = step(carry, [wrap(np.zeros(x.value.shape[1:], x.value.dtype)) for x in rows])
        return [*carry, *(wrap(np.zeros((0, *y.value.shape), y.value.dtype)) for y in ys)]
    slices = [unbind(x) for x in rows]
    collected: list[list[Tensor]] = []
    for t in reversed(range(n)) if reverse else range(n):
        carry, ys = step(carry, [s[t] for s in slices])
        collected.append(ys)
    if reverse:
        collected.reverse()
    return [*carry, *(stack(list(column)) for column in zip(*collected, strict=True))]


# ---------------------------------------------------------------------- while_loop


def while_loop(cond: Callable[[Any], Any], body: Callable[[Any], Any], carry: Any) -> Any:
    """carry = body(carry) as long as cond(carry) is true; the last carry.

    carry   a tensor, a number or a nested structure of them; body keeps its structure, shapes and dtypes
    cond    gives a boolean of one entry
    Inside vmap the loop runs until the last sample has ended; samples that have ended keep their carry.
    In a compiled function the loop is one op with a derivative in forward mode (jvp); for reverse mode take
    `scan` with a fixed number of rounds. Source of the convention: jax.lax.while_loop.

    >>> import pullback as torch
    >>> from pullback.func.control import while_loop
    >>> while_loop(lambda x: x < 100, lambda x: x * 3, torch.tensor(2.0))
    tensor(162.)
    """
    leaves, given = taken_apart(carry, "while_loop's carry")

    def test(carry: Sequence[Tensor]) -> Tensor:
        return predicate(cond(given.build(carry)), "while_loop's cond")

    def step(carry: Sequence[Tensor]) -> list[Tensor]:
        return match("while_loop's carry", carry, given, body(given.build(carry)))

    if state.tracer is not None and _recorders:
        return given.build(_recorders[0].while_loop(test, step, leaves))
    while True:
        running = test(leaves)
        if not anywhere(running):
            return given.build(leaves)
        new = step(leaves)
        if isinstance(running, BatchedTensor):
            new = [where(running, a, b) for a, b in zip(new, leaves, strict=True)]
        leaves = new


def predicate(p: Any, what: str) -> Tensor:
    """A condition as a 0-d boolean tensor; RuntimeError where it has several entries."""
    t: Any = _tensor(p, what, None)
    if t.value.size != 1:
        raise RuntimeError(
            message(
                f"{what} must be a single boolean",
                f"it has shape {list(t.value.shape)}",
                "reduce it with .any() or .all(), or map over samples with vmap",
            )
        )
    if t.value.ndim:
        t = t.reshape(())
    return t if t.value.dtype == np.bool_ else t != 0


def anywhere(p: Tensor) -> bool:
    """Is it true, in any sample of the running vmaps?"""
    while isinstance(p, BatchedTensor):
        p = p.value.inner
    return bool(p.any()) if p.foreign is not None else bool(np.any(p.value))


# ---------------------------------------------------------------------- cond


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """true_fn(*operands) where pred is true, else false_fn(*operands).

    pred      a boolean of one entry, or a Python bool
    operands  tensors, numbers or nested structures of them
    With a known pred only that branch runs. Inside vmap, where pred has one value per sample, and in a
    compiled function both branches are there: they must return the same structure, shapes and dtypes, and
    the branch that was not taken contributes nothing to a gradient. Source of the convention: jax.lax.cond,
    and PyTorch's torch.cond.

    >>> import pullback as torch
    >>> from pullback.func.control import cond
    >>> x = torch.tensor(3.0)
    >>> cond(x > 2, lambda x: x * 2, lambda x: x - 1, x)
    tensor(6.)
    """
    if isinstance(pred, bool | np.bool_):
        return (true_fn if pred else false_fn)(*operands)
    p = predicate(pred, "cond's pred")
    recording = state.tracer is not None and bool(_recorders)
    if not recording and not isinstance(p, BatchedTensor):
        return (true_fn if bool(p) else false_fn)(*operands)
    leaves, given = taken_apart(operands, "cond's operands")
    outcome: list[tuple[list[Tensor], Structure]] = []

    def branch(function: Callable[..., Any]) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        def run(xs: Sequence[Tensor]) -> list[Tensor]:
            result = function(*given.build(xs))
            if outcome:
                return match("cond's result", *outcome[0], result)
            outcome.append(taken_apart(result, "cond's result"))
            return outcome[0][0]

        return run

    yes, no = branch(true_fn), branch(false_fn)
    if recording:
        outs = _recorders[0].cond(p, yes, no, leaves)
    else:
        outs = [where(p, a, b) for a, b in zip(yes(leaves), no(leaves), strict=True)]
    return outcome[0][1].build(outs)


__all__ = ["Recorder", "Structure", "cond", "install", "scan", "while_loop"]
