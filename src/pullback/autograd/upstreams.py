"""The errors about the upstream of a backward pass: a missing one, and one of another shape.

Read `not_scalar` first. May import `stories`, `graph`, `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.autograd.stories import made_by, plural, reached, shape_of, told
from pullback.errors import message
from pullback.graph.tensor import Tensor, edge_of


def not_scalar(t: Tensor) -> RuntimeError:
    """The error for an output that needs an explicit upstream."""
    if t.numel() == 1:
        return RuntimeError(
            message(
                f"grad can be implicitly created only for real scalar outputs but got {t.dtype!r}",
                "",
                "differentiate a real function of it, such as its real part or squared magnitude",
            )
        )
    shape, n = shape_of(Aval(t)), t.numel()
    facts = [
        f"the output y has shape {shape}, {plural(n, 'entry')}{made_by(t)}",
        f"backward computes v^T J, the gradient of sum_k v_k y_k: v, the upstream, has y's shape {shape} "
        f"with one weight per entry, and J = dy/dx has {plural(n, 'row')}, one per entry of y",
    ]
    leaf = _leaf(t)
    if leaf is not None:
        m = leaf.value.size
        facts.append(
            f"for the leaf x of shape {shape_of(leaf)}: v (1 x {n}) times J ({n} x {m}) gives 1 x {m}, "
            "which is x.grad in x's shape"
        )
    if n == 0:
        facts.append("y has no entries: every gradient through it is zero")
        return RuntimeError(told(_SCALAR, facts, ["y.sum().backward() gives these zeros"]))
    facts += [
        "v = ones gives the gradient of y.sum()",
        f"v = 1/{n} everywhere gives the gradient of y.mean()",
        "v = e_i, which is 1 at entry i and 0 elsewhere, gives the gradient of entry i alone: row i of J",
        f"all of J takes {n} backward passes, one e_i each",
    ]
    todo = [
        "y.sum().backward() or y.mean().backward(); y.backward(torch.ones_like(y)) is the same as the sum",
        f"torch.autograd.functional.jacobian(f, x) for all {n} rows of J",
    ]
    return RuntimeError(told(_SCALAR, facts, todo))


_SCALAR = "grad can be implicitly created only for scalar outputs"


class Aval:
    """The shape that a program sees (inside vmap: that of one sample)."""

    def __init__(self, t: Tensor) -> None:
        self.shape = t.shape


def _leaf(t: Tensor) -> Tensor | None:
    """The only leaf behind a tensor, or None."""
    if t.foreign is not None:
        return None
    _, leaves, complete = reached([edge_of(t)])
    return leaves[0] if complete and len(leaves) == 1 and leaves[0] is not t else None


def mismatch(i: int, t: Tensor, g: Tensor) -> RuntimeError:
    """The error for an upstream whose shape is not the output's."""
    have, want = tuple(g.value.shape), tuple(t.value.shape)
    n = t.value.size
    facts = [
        f"the output has shape {list(want)} ({plural(n, 'entry')}){made_by(t)}; the upstream v has shape "
        f"{list(have)} ({plural(g.value.size, 'entry')})",
        "backward computes v^T J, the gradient of sum_k v_k y_k: v needs one weight per output entry, at "
        "the same place; nothing is broadcast",
    ]
    slip = _slip(have, want)
    if slip:
        facts.append(slip)
    return RuntimeError(
        told(
            f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape!r} and output[{i}] has a shape of "
            f"{t.shape!r}.",
            facts,
            _fits(have, want),
        )
    )


def _slip(have: tuple[int, ...], want: tuple[int, ...]) -> str:
    """The usual slip that these two shapes show, or nothing."""
    if _squeezed(have) == _squeezed(want):
        extra = "v" if len(have) > len(want) else "the output"
        return f"the shapes differ only by dimensions of size 1, which {extra} has more of"
    if len(have) == len(want) == 2 and have == want[::-1]:
        return "v has the shape of the transposed output"
    if len(have) == len(want) and sorted(have) == sorted(want):
        return "v has the output's sizes in another order"
    if have == want[1:]:
        return f"v lacks the output's first dimension, of size {want[0]} (often the batch)"
    if have and have[1:] == want:
        return f"v has a first dimension of size {have[0]} that the output lacks (a batch of upstreams?)"
    return ""


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def _fits(have: tuple[int, ...], want: tuple[int, ...]) -> list[str]:
    """What would bring v into the output's shape."""
    shape = _written(want)
    todo: list[str] = []
    if have == want[::-1] and len(have) == 2 and _squeezed(have) != _squeezed(want):
        todo.append(f"v.T has the shape {list(want)}")
    elif len(have) == len(want) and sorted(have) == sorted(want) and _squeezed(have) != _squeezed(want):
        todo.append(f"v.permute{_order(have, want)} has the shape {list(want)}")
    elif _product(have) == _product(want):
        todo.append(f"v.reshape{shape} has as many entries as the output: right if its order is row by row")
    elif _expands(have, want):
        todo.append(f"v.expand{shape} uses the same weights for all of the stretched dimension")
    elif _expands(want, have):
        todo.append(f"{_reduced(have, want)} adds the weights up over what the output does not have")
    if have and len(have) == len(want) + 1 and have[1:] == want:
        todo.append("torch.autograd.grad(y, x, v, is_grads_batched=True) takes one upstream per row of v")
    return todo or [f"give v the shape {list(want)}, or reduce the output to v's shape first"]


def _written(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")" if shape else "(())"


def _order(have: tuple[int, ...], want: tuple[int, ...]) -> str:
    left = list(enumerate(have))
    order: list[int] = []
    for n in want:
        k = next(j for j, (_, m) in enumerate(left) if m == n)
        order.append(left.pop(k)[0])
    return _written(tuple(order))


def _reduced(have: tuple[int, ...], want: tuple[int, ...]) -> str:
    """v summed to a smaller shape."""
    extra = len(have) - len(want)
    axes = [*range(extra), *(k + extra for k, n in enumerate(want) if n == 1 and have[k + extra] != 1)]
    if len(axes) == len(have) and not want:
        return "v.sum()"
    summed = f"v.sum({_written(tuple(axes)) if len(axes) > 1 else axes[0]})"
    return summed if len(axes) == extra else f"{summed}.reshape{_written(want)}"


def _product(shape: tuple[int, ...]) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def _expands(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Does the small shape broadcast to the large one?"""
    try:
        wide: Any = np.broadcast_shapes(small, large)
    except ValueError:
        return False
    return tuple(wide) == large
