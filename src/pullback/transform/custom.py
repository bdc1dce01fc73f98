"""Custom `Function`s inside vmap: through the user's `vmap` staticmethod, or forward itself on batched
tensors.

Read `run_custom` first. Either way one node is recorded on top, whose backward (and jvp) is the user's,
called with batched tensors: inside
vmap a Function looks as it does for one sample. May import `transform.batch`, `autograd.function`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pullback.autograd.function import NEED_SETUP, Function, run_function, separate_setup
from pullback.errors import message
from pullback.families.op import strip
from pullback.graph.tensor import Tensor
from pullback.transform.batch import BatchedTensor, Level, batched


class VmapInfo(NamedTuple):
    """What a Function's vmap staticmethod is told: the number of samples and how random ops behave."""

    batch_size: int
    randomness: str


def run_custom(function: type[Function], args: tuple[Any, ...]) -> Any:
    """Run a custom Function that has a batched argument at the innermost level among its arguments."""
    name = function.__name__
    if not separate_setup(function):
        raise RuntimeError(
            message(
                NEED_SETUP, f"{name} inside vmap", "split forward(ctx, x) into forward(x) and setup_context"
            )
        )
    own = function.vmap is not Function.vmap
    if function.generate_vmap_rule and own:
        raise RuntimeError(
            message(
                f"You tried to vmap over {name}, but it has both generate_vmap_rule=True and an overridden "
                "vmap staticmethod. Please set "
                "generate_vmap_rule=False or delete the overridden vmap staticmethod to avoid ambiguity. "
                "For more details, please see "
                "https://pytorch.org/docs/main/notes/extending.func.html"
            )
        )
    if function.generate_vmap_rule:
        return run_function(function, args)
    if not own:
        raise RuntimeError(
            message(
                f"You tried to vmap over {name}, but it does not have vmap support. Please override and "
                "implement the vmap staticmethod "
                "or set generate_vmap_rule=True. For more details, please see "
                "https://pytorch.org/docs/main/notes/extending.func.html"
            )
        )
    return run_function(function, args, forward=lambda *given: _by_rule(function, given))


def _by_rule(function: type[Function], args: tuple[Any, ...]) -> Any:
    """The outputs that the user's vmap staticmethod gives, as batched tensors."""
    level = max((a.value.level for a in args if isinstance(a, BatchedTensor)), key=lambda x: x.number)
    inner: list[Any] = []
    in_dims: list[int | None] = []
    for a in args:
        mapped = isinstance(a, BatchedTensor) and a.value.level is level
        inner.append(strip(a.value.inner if mapped else a))
        in_dims.append(0 if mapped else None)
    returned = function.vmap(VmapInfo(level.size, level.randomness), tuple(in_dims), *inner)
    if not (isinstance(returned, tuple) and len(returned) == 2):  # pyright: ignore[reportUnknownArgumentType]
        raise RuntimeError(
            message(
                "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree "
                "structure compatible with the "
                "output.",
                f"{function.__name__}.vmap returned {type(returned).__name__}",
                "return output, out_dim",
            )
        )
    output, out_dims = returned  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(output, tuple):
        return _placed(output, out_dims, level)
    items: tuple[Any, ...] = output
    dims: tuple[Any, ...] = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(items)
    return tuple(_placed(o, d, level) for o, d in zip(items, dims, strict=True))


def _placed(o: Any, dim: Any, level: Level) -> Any:
    if dim is None or not isinstance(o, Tensor):
        return o
    return batched(strip(o if dim == 0 else o.movedim(dim, 0)), level)


__all__ = ["VmapInfo", "run_custom"]
