"""`torch.autograd.forward_ad`: dual tensors, which carry a tangent along with their value.

Read `make_dual` first. A dual tensor is a fresh starting point of the record with a tangent kept by the
running level; `unpack_dual`
pushes the level's tangents along the record (`transform.forward`), so every op with a jvp works, and an op
costs nothing more
inside a level. Entering a level switches recording on; a `no_grad` inside it stops tangents. May import
`graph`, `transform`.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from pullback.errors import message
from pullback.families.op import strip
from pullback.graph.modes import state
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor
from pullback.transform.forward import fresh, leads_outside, push


class _Levels(threading.local):
    """The running level of a thread: the tangent of each starting point, or None outside."""

    seeds: dict[Node, Tensor] | None = None
    recording: bool = True


_levels = _Levels()


class UnpackedDualTensor(NamedTuple):
    """A dual tensor's two parts; tangent is None for a tensor that carries none."""

    primal: Any
    tangent: Any


def enter_dual_level() -> int:
    """Start a level and return its number (always 0: levels do not nest)."""
    if _levels.seeds is not None:
        raise RuntimeError(
            message(
                "Nested forward mode AD is not supported at the moment",
                "a dual level is running",
                "use torch.func.jvp, which nests",
            )
        )
    _levels.seeds = {}
    _levels.recording = state.grad
    state.update(grad=True)
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the running level: its tangents are forgotten."""
    if _levels.seeds is None or level not in (None, 0):
        raise RuntimeError(
            message(
                "Trying to exit a forward AD level that was not the last one that was created. This is not "
                "supported.",
                "no dual level is running"
                if _levels.seeds is None
                else f"level {level} is not the running one",
                "use `with dual_level():`",
            )
        )
    _levels.seeds = None
    state.update(grad=_levels.recording)


class dual_level:  # noqa: N801 - PyTorch's name
    """Context manager in which dual tensors can be made.

    >>> import pullback as torch
    >>> from pullback.autograd import forward_ad
    >>> with forward_ad.dual_level():
    ...     x = forward_ad.make_dual(torch.tensor(0.0), torch.tensor(2.0))
    ...     forward_ad.unpack_dual(torch.sin(x))
    UnpackedDualTensor(primal=tensor(0.), tangent=tensor(2.))
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *_: object) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """The tensor with a tangent of the same shape and dtype attached.

    RuntimeError outside a level or where shapes differ; ValueError for dtypes without derivatives.
    """
    seeds = _levels.seeds
    if seeds is None or level not in (None, 0):
        raise RuntimeError(
            message(
                "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
                "enter_dual_level() first.",
                "",
                "with torch.autograd.forward_ad.dual_level(): ...",
            )
        )
    for name, t in (("primal", tensor), ("tangent", tangent)):
        if t.value.dtype.kind not in "fc":
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {t.dtype!r}")
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            message(
                "Trying to set a forward gradient that has a different size than that of the original "
                "Tensor, this is not supported. "
                f"Tensor is of size {list(tensor.shape)} while the given forward gradient is of size "
                f"{list(tangent.shape)}."
            )
        )
    dual = fresh(tensor)
    seeds[dual.node] = tangent
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(primal, tangent): the tangent that the level's starting points give this tensor, None where there is
    none.
    """
    seeds = _levels.seeds
    if seeds is None or level not in (None, 0) or tensor.node is None:
        return UnpackedDualTensor(tensor, None)
    outside = leads_outside([tensor], set(seeds))
    before = state.grad
    state.update(grad=outside or any(t.node is not None for t in seeds.values()))
    try:
        (tangent,) = push([tensor], seeds)
    finally:
        state.update(grad=before)
    return UnpackedDualTensor(tensor if tangent is None or outside else strip(tensor), tangent)


__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]
