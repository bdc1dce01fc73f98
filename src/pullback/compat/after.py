"""Do something to a module when, and only when, a program imports it.

Read `AfterImport` first. Used for matplotlib (figures go to files) and multiprocessing (children see pullback
too), both of which most programs never import. May import: the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# What is done to a module returns how it is undone.
Action = Callable[[ModuleType], Callable[[], None]]


class AfterImport:
    """Runs `actions[name]` on the module `name`: at once if it is there already, else once it is imported."""

    def __init__(self, actions: dict[str, Action]) -> None:
        self._actions = actions
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Act from now on."""
        for name, action in self._actions.items():
            if name in sys.modules:
                self._undo.append(action(sys.modules[name]))
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Undo what was done, last first."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
        while self._undo:
            self._undo.pop()()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders say, with the action after the module's own code."""
        action = self._actions.get(fullname)
        if action is None:
            return None
        spec = _found_by_others(self, fullname, path, target)
        if spec is not None and spec.loader is not None:
            _then(spec.loader, action, self._undo)
        return spec


def _found_by_others(
    finder: AfterImport, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    """The spec that the import would use if `finder` were not there."""
    for other in sys.meta_path:
        spec = None if other is finder else other.find_spec(fullname, path, target)
        if spec is not None:
            return spec
    return None


def _then(loader: Any, action: Action, undo: list[Callable[[], None]]) -> None:
    """Make this one loader run the action too; a wrapper would hide its other methods (get_source, ...)."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        undo.append(action(module))

    loader.exec_module = exec_module
