"""What a program calls its tensors: variables, parameters of modules, items of lists and dicts, attributes.

Read `named_in`. May import `graph`, `nn.module`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any, cast

from pullback.graph.tensor import Tensor
from pullback.nn.module import Module

DEEP = 3  # containers inside containers
MOST = 20_000  # values looked at
PLAIN = (int, float, str, bytes, bool, type(None), type, ModuleType, FunctionType)


def named_in(scope: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of every tensor that a program can name through these variables, in the program's order.

    Variables come first with their own name, then what they hold: `model.0.weight`, `layers[1]`,
    `state['w']`, and `net.w` for objects of the program's own classes. A tensor may come under several names.

    >>> import pullback as torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    >>> scope = {"w": torch.ones(2), "model": model, "xs": [torch.ones(1)]}
    >>> [name for name, _ in named_in(scope)]
    ['w', 'model.0.weight', 'model.0.bias', 'xs[0]']
    """
    budget = [MOST]
    seen: set[int] = set()
    for name, value in list(scope.items()):
        if not name.startswith("_"):
            yield from _held(name, value, DEEP, budget, seen)


def _held(
    name: str, value: Any, depth: int, budget: list[int], seen: set[int]
) -> Iterator[tuple[str, Tensor]]:
    budget[0] -= 1
    if isinstance(value, PLAIN) or budget[0] < 0:
        return
    if isinstance(value, Tensor):
        yield name, value
        return
    if depth == 0 or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Module):
        for path, p in value.named_parameters():
            yield f"{name}.{path}", p
        parts: Any = ((f"{name}.{k}", v) for k, v in vars(value).items() if not k.startswith("_"))
    elif isinstance(value, dict):
        some = cast("dict[Any, Any]", value)
        parts = ((f"{name}[{k!r}]", v) for k, v in list(some.items()) if isinstance(k, str | int))
    elif isinstance(value, list | tuple):
        several = cast("list[Any]", value)
        parts = ((f"{name}[{i}]", v) for i, v in enumerate(several))
    elif type(value).__module__ == "__main__" and hasattr(value, "__dict__"):
        parts = ((f"{name}.{k}", v) for k, v in list(vars(value).items()))
    else:
        return
    for inner, v in parts:
        yield from _held(inner, v, depth - 1, budget, seen)


__all__ = ["named_in"]
