"""What tensors are called: names that were given, parameters' paths in a module, the caller's variables.

Read `names_of`. May import `graph`, `nn.module`, `errors`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pullback.errors import user_frame
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor
from pullback.nn.module import Module


class Names:
    """The name of a tensor or of a node's output; '' where it has none."""

    def __init__(self) -> None:
        self._tensors: dict[int, str] = {}
        self._nodes: dict[Node, str] = {}
        self._kept: list[Tensor] = []  # an id means something only while the tensor lives

    def add(self, t: Any, name: str) -> None:
        """Call a tensor this, unless it has a name already."""
        if not isinstance(t, Tensor) or id(t) in self._tensors:
            return
        self._tensors[id(t)] = name
        self._kept.append(t)
        if type(t.node) is Node:
            self._nodes.setdefault(t.node, name)

    def of(self, place: Any) -> str:
        """The name of a tensor or a node."""
        return self._tensors.get(id(place), "") if isinstance(place, Tensor) else self._nodes.get(place, "")


def names_of(names: Any = None) -> Names:
    """The names to show.

    names  a module (its parameters' paths), a dict name -> tensor or tensor -> name, or pairs (name, tensor)
           such as `module.named_parameters()`; None for those below only
    What it does not name is called as the variable of the calling function (or of its module) that holds
    the very tensor, and parameters of a module held there by the variable and the path.
    """
    found = Names()
    for name, t in _pairs(names):
        found.add(t, name)
    frame = user_frame()
    if frame is None:
        return found
    modules: list[tuple[str, Module]] = []
    for scope in (frame.f_locals, frame.f_globals):
        for name, value in list(scope.items()):
            if name.startswith("_"):
                continue
            if isinstance(value, Tensor):
                found.add(value, name)
            elif isinstance(value, Module):
                modules.append((name, value))
    for name, module in modules:
        for path, t in module.named_parameters():
            found.add(t, f"{name}.{path}")
    return found


def _pairs(names: Any) -> Iterable[tuple[str, Any]]:
    if names is None:
        return []
    if isinstance(names, Module):
        return names.named_parameters()
    pairs = names.items() if isinstance(names, dict) else names
    return [(str(b), a) if isinstance(a, Tensor) else (str(a), b) for a, b in pairs]


__all__ = ["Names", "names_of"]
