"""Tensor's operators and methods, attached from the op table.

Read `attach` first. Every ops module says which of its functions are methods (`METHODS`), torch-level names
(`PUBLIC`) and in-place forms (`IN_PLACE`); this module puts them on `Tensor`, so that no list of ops exists
twice. May import `ops`, `families`, `graph`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pullback import ops
from pullback.families.inplace import in_place
from pullback.graph.tensor import Tensor


def attach(module: ModuleType) -> None:
    """Put a module's METHODS and IN_PLACE forms on Tensor."""
    for name, function in getattr(module, "METHODS", {}).items():
        setattr(Tensor, name, function)
    for name, entry in getattr(module, "IN_PLACE", {}).items():
        call, op = entry if isinstance(entry, tuple) else (entry, None)
        setattr(Tensor, name, in_place(call, name, op))


def public_names() -> dict[str, Any]:
    """All torch-level functions of the op modules by name."""
    names: dict[str, Any] = {}
    for module in ops.MODULES:
        names.update(getattr(module, "PUBLIC", {}))
    return names


for _module in ops.MODULES:
    attach(_module)

__all__ = ["Tensor", "attach", "public_names"]
