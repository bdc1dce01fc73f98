"""All parameters as one vector, and back. May import `graph`, `ops`."""

from __future__ import annotations

from collections.abc import Iterable

from pullback.errors import message
from pullback.graph.tensor import Tensor
from pullback.ops.join import cat


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The entries of all parameters in one vector, followed by autograd."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make each parameter's memory a part of the vector's. TypeError unless vec is a tensor."""
    if not isinstance(vec, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(message(f"expected torch.Tensor, but got: {type(vec).__name__}"))
    start = 0
    memory = vec.storage()
    for p in parameters:
        n = p.value.size
        p.value = memory[start : start + n].reshape(p.value.shape)
        p.counter = vec.shared_counter()
        start += n
