"""Nested tuples, lists, dicts of tensors: flatten, rebuild, describe. Imports nothing of the package."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spec:
    """The structure of a pytree; prints as PyTorch's error texts show it: `*`, `(*, *)`, `{'a': *}`."""

    kind: Any  # None for a leaf, or the container type
    keys: tuple[Any, ...] = ()
    children: tuple[Spec, ...] = ()

    @property
    def size(self) -> int:
        """The number of leaves."""
        return 1 if self.kind is None else sum(c.size for c in self.children)

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        inner = [repr(c) for c in self.children]
        if issubclass(self.kind, dict):
            return "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(self.keys, inner, strict=True)) + "}"
        if issubclass(self.kind, list):
            return "[" + ", ".join(inner) + "]"
        return "(" + ", ".join(inner) + ("," if len(inner) == 1 else "") + ")"

    def long_text(self, indent: int = 2) -> str:
        """The structure as PyTorch's other error texts show it: TreeSpec(tuple, None, [*])."""
        if self.kind is None:
            return "*"
        inner = (",\n" + " " * indent).join(c.long_text(indent + 2) for c in self.children)
        keys = list(self.keys) if issubclass(self.kind, dict) else None
        return f"TreeSpec({self.kind.__name__}, {keys}, [{inner}])"


LEAF = Spec(None)


def flatten(tree: Any) -> tuple[list[Any], Spec]:
    """The leaves in order and the structure."""
    if isinstance(tree, dict):
        keys = tuple(tree)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return _children(type(tree), keys, [tree[k] for k in keys])  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(tree, tuple | list):
        return _children(type(tree), (), list(tree))  # pyright: ignore[reportUnknownArgumentType]
    return [tree], LEAF


def _children(kind: Any, keys: tuple[Any, ...], items: Sequence[Any]) -> tuple[list[Any], Spec]:
    leaves: list[Any] = []
    specs: list[Spec] = []
    for item in items:
        found, spec = flatten(item)
        leaves += found
        specs.append(spec)
    return leaves, Spec(kind, keys, tuple(specs))


def unflatten(leaves: Sequence[Any], spec: Spec) -> Any:
    """The tree with this structure and these leaves."""
    if spec.kind is None:
        return leaves[0]
    children: list[Any] = []
    start = 0
    for c in spec.children:
        children.append(unflatten(leaves[start : start + c.size], c))
        start += c.size
    if issubclass(spec.kind, dict):
        pairs = zip(spec.keys, children, strict=True)
        return OrderedDict(pairs) if issubclass(spec.kind, OrderedDict) else dict(pairs)
    if hasattr(spec.kind, "_fields"):
        return spec.kind(*children)
    return list(children) if issubclass(spec.kind, list) else tuple(children)


def broadcast_prefix(prefix: Any, spec: Spec) -> list[Any] | None:
    """A prefix tree's values repeated for all leaves below them; None where the structure differs."""
    if spec.kind is None or not isinstance(prefix, tuple | list | dict):
        return [prefix] * spec.size if not isinstance(prefix, tuple | list | dict) else None
    if isinstance(prefix, dict):
        if not issubclass(spec.kind, dict) or set(prefix) != set(spec.keys):  # pyright: ignore[reportUnknownArgumentType]
            return None
        items: list[Any] = [prefix[k] for k in spec.keys]
    else:
        items = list(prefix)  # pyright: ignore[reportUnknownArgumentType]
        if len(items) != len(spec.children) or issubclass(spec.kind, dict):
            return None
    result: list[Any] = []
    for item, c in zip(items, spec.children, strict=True):
        found = broadcast_prefix(item, c)
        if found is None:
            return None
        result += found
    return result
