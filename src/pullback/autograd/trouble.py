"""What can go wrong in a sweep: freed graphs, modified values, non-finite cotangents, bad hooks.

Called off the hot path only; `written` and `anomalies` word the two longest stories. May import them,
`passes`, `stories`, `graph`, `errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.autograd.anomalies import Sweep, check_finite
from pullback.autograd.stories import op_at, told
from pullback.autograd.written import check_versions
from pullback.dtypes import from_numpy_dtype
from pullback.errors import message
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor

SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have "
    "already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
    "Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access "
    "saved tensors after "
    "calling backward."
)


def second_time(node: Node, roots: Sequence[tuple[Any, Any]] = ()) -> RuntimeError:
    """The error for a node whose saved values are gone; `roots` are those of the sweep that met it."""
    fact = f"{op_at(node)} gave its saved values back in an earlier backward pass"
    return RuntimeError(told(SECOND_TIME, [fact], []))


def check_hook(function: Any, old: Tensor, new: Any) -> None:
    """Raise PyTorch's errors for a hook's return value that cannot stand for the gradient."""
    name = getattr(function, "__name__", repr(function))
    if not isinstance(new, Tensor):
        raise TypeError(
            message(
                f"expected Variable, but hook returned '{type(new).__name__}'", "", "return a tensor or None"
            )
        )
    if new.value.shape != old.value.shape:
        raise RuntimeError(
            message(
                f"hook '{name}' has changed the size of value",
                f"from {list(old.value.shape)} to {list(new.value.shape)}",
                "return a tensor of the gradient's shape",
            )
        )
    if new.value.dtype != old.value.dtype:
        had, got = from_numpy_dtype(old.value.dtype).word, from_numpy_dtype(new.value.dtype).word
        raise RuntimeError(
            message(
                f"hook '{name}' has changed the type of value (was torch.{had}Tensor got torch.{got}Tensor)",
                "",
                "return a tensor of the gradient's dtype",
            )
        )


def check_none(returned: Any) -> None:
    """A post-accumulate hook must return None."""
    if returned is not None:
        raise TypeError(
            message(
                f"expected Variable, but hook returned '{type(returned).__name__}'",
                "a post-accumulate-grad hook must return None",
                "change param.grad inside the hook instead of returning a value",
            )
        )


__all__ = ["Sweep", "check_finite", "check_hook", "check_none", "check_versions", "second_time"]
