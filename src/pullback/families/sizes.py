"""Sizes and dimensions given by the caller: read, checked, counted from the front.

Read `dim_of` and `ints_of` first. May import `graph` and `errors`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from operator import index as as_index
from typing import Any

from pullback.errors import message
from pullback.graph.tensor import Tensor


def shape_of(x: Tensor) -> tuple[int, ...]:
    """The shape as a plain tuple (inside vmap: of one sample)."""
    return x.value.shape if x.foreign is None else tuple(x.shape)


def an_int(name: str, argument: str, position: int, x: Any) -> int:
    """An integer argument; TypeError as PyTorch words it."""
    if type(x) is int:
        return x
    if isinstance(x, Tensor) and x.value.ndim == 0 and x.value.dtype.kind in "iu":
        return int(x.value)
    if not isinstance(x, float | Tensor | str | bool) and hasattr(x, "__index__"):
        return as_index(x)
    raise TypeError(
        message(
            f"{name}(): argument '{argument}' (position {position}) must be int, not {type(x).__name__}",
            "",
            "pass an integer",
        )
    )


def ints_of(name: str, argument: str, position: int, given: tuple[Any, ...]) -> tuple[int, ...]:
    """Integers given one by one or as one sequence: f(2, 3), f((2, 3)), f([2, 3])."""
    if len(given) == 1 and isinstance(given[0], tuple | list):
        given = tuple(given[0])
    for s in given:
        if type(s) is not int:
            return tuple(_int_in(name, argument, position, s) for s in given)
    return given


def _int_in(name: str, argument: str, position: int, x: Any) -> int:
    if isinstance(x, Tensor) and x.value.ndim == 0 and x.value.dtype.kind in "iu":
        return int(x.value)
    if isinstance(x, float | Tensor | str | bool) or not hasattr(x, "__index__"):
        raise TypeError(
            message(
                f"{name}(): argument '{argument}' (position {position}) must be tuple of ints, not "
                f"{type(x).__name__}",
                "",
                "sizes and dimensions are integers",
            )
        )
    return as_index(x)


def out_of_range(dim: int, n: int) -> IndexError:
    """PyTorch's error for a dimension that the tensor does not have."""
    return IndexError(
        message(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})",
            "",
            "dimensions count from 0 in front, or from -1 at the end",
        )
    )


def dim_of(dim: Any, ndim: int, name: str = "", position: int = 1) -> int:
    """A dimension counted from the front; a 0-d tensor counts as having one. IndexError out of range."""
    d = dim if type(dim) is int else an_int(name, "dim", position, dim)
    n = ndim or 1
    if not -n <= d < n:
        raise out_of_range(d, n)
    return d + n if d < 0 else d


def given(name: str, argument: str, size: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The sizes of a method that takes them as f(*sizes), f(sizes) or f(argument=sizes)."""
    if argument in kwargs and not size:
        value = kwargs.pop(argument)
        size = (value,)
    if kwargs:
        raise TypeError(message(f"{name}() got an unexpected keyword argument '{next(iter(kwargs))}'"))
    if not size:
        raise TypeError(message(f'{name}() missing 1 required positional arguments: "{argument}"'))
    return size


def need_tensor(name: str, x: Any) -> None:
    """TypeError as PyTorch words it where the first argument is no tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(
            message(
                f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}",
                "",
                "wrap the value: torch.tensor(value)",
            )
        )
