"""What a function takes from its surroundings by name, and whether that is still the same.

A recording holds the numbers, functions and tensors that the names stood for when it was made. Names of a
closure and of a module are watched, also those of the functions that are found there, and the items of lists
and dicts (one level of them); what is inside of other objects is not. Read `watch`. Imports nothing from
pullback.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

PLAIN = (int, float, complex, bool, str, bytes, tuple, type(None))
MISSING = object()


Watched = tuple[Any, Any, Any, Any]  # holder, key, value, identities of the value's items


def watch(function: Any) -> list[Watched]:
    """Every name: a cell and None, or a module's names and the name; what it stands for."""
    found: list[Watched] = []
    seen: set[int] = set()
    todo: list[Any] = [function]
    while todo:
        f = todo.pop()
        if id(f) in seen:
            continue
        seen.add(id(f))
        f = getattr(f, "__func__", f)  # a method's function
        todo.extend(getattr(f, name) for name in ("__wrapped__", "func") if callable(getattr(f, name, None)))
        if not isinstance(f, types.FunctionType):
            continue
        places: list[tuple[Any, Any]] = [(c, None) for c in f.__closure__ or ()]
        if not f.__module__.startswith("pullback."):
            places += [(f.__globals__, n) for n in sorted(names_in(f.__code__)) if n in f.__globals__]
        for holder, key in places:
            value = current(holder, key)
            if value is not MISSING and not isinstance(value, types.ModuleType):
                found.append((holder, key, value, items(value)))
                todo.append(value)
    return found


def current(holder: Any, key: Any) -> Any:
    """What a name stands for now."""
    try:
        return holder.cell_contents if key is None else holder.get(key, MISSING)
    except ValueError:  # a name that has no value yet
        return MISSING


def items(x: Any) -> Any:
    """Which items a list or dict has, by identity."""
    if isinstance(x, list):
        return list(map(id, x))  # pyright: ignore[reportUnknownArgumentType]
    return [(k, id(v)) for k, v in x.items()] if isinstance(x, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def unchanged(watched: Sequence[Watched]) -> bool:
    """Does every name stand for what it did?"""
    for holder, key, value, inside in watched:
        now = current(holder, key)
        if now is not value and not (type(now) is type(value) and isinstance(now, PLAIN) and now == value):
            return False
        if inside is not None and items(now) != inside:
            return False
    return True


def names_in(code: types.CodeType) -> set[str]:
    """The names that a function's code and the functions in it look up."""
    found = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= names_in(const)
    return found


__all__ = ["names_in", "unchanged", "watch"]
