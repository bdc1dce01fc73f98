"""The modules that stand where torch's would: `import torch` gives pullback, in this process only.

Read `Replacement` first (an import hook that is asked before every other), then `Room` (one module, which
passes an attribute on to the pullback object of the same name). `torch_replaced` puts the hook in for the
length of a `with`. May import: `pullback.compat.*` and the standard library; the engine is handed in or
imported by name.

`hasattr(torch, "name")` is False for a name that pullback lacks, because programs ask it to find out what
they may use. `from torch import name` and `import torch.name` give a placeholder (`Absent`) which raises
where it is used.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, MutableSequence, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from pullback.compat.absent import Absent
from pullback.compat.devices import ROOMS, TorchVersion
from pullback.compat.hints import missing
from pullback.compat.homes import classes_at_home
from pullback.errors import user_line

__version__ = TorchVersion("2.13.0+pullback")  # the torch release whose behaviour is offered

# The engine's modules that are rooms of torch: its other modules (graph, compat) are not to be seen there.
_SHARED = frozenset(
    [
        "autograd",
        "fft",
        "func",
        "linalg",
        "nn",
        "optim",
        "overrides",
        "random",
        "serialization",
        "special",
        "testing",
        "utils",
    ]
)
# Rooms that torch splits over files which programs sometimes name: where their classes live here.
_ALIASES = {
    "_C": "",
    "_tensor": "",
    "autograd.function": "autograd",
    "autograd.grad_mode": "autograd",
    "autograd.variable": "autograd",
    "functional": "",
    "nn.modules": "nn",
    "nn.parameter": "nn",
    "optim.adam": "optim",
    "optim.adamw": "optim",
    "optim.optimizer": "optim",
    "optim.rmsprop": "optim",
    "optim.sgd": "optim",
    "types": "",
    "utils.data.dataloader": "utils.data",
    "utils.data.dataset": "utils.data",
    "utils.data.sampler": "utils.data",
}
# Single names that old programs use, and how they use them.
_NAMES = {
    "": {"compile": "pullback.compat.eager"},
    "autograd": {"Variable": "pullback.compat.variable"},
}
# names of the engine that torch does not have
_OWN = frozenset({
    "Explanation", "Sensitivity", "diagnose", "draw", "each", "explain", "flow", "given", "kinks", "minimize",
    "per_sample", "plan_jacobian", "record_lines", "sensitivity",
})  # fmt: skip
_NOTHING = object()


class Room(ModuleType):
    """A module of torch's name whose attributes are pullback's."""

    def __init__(self, name: str, replacement: Replacement) -> None:
        super().__init__(name)
        self.__path__: MutableSequence[str] = []
        self.__replacement__ = replacement
        self.__pullback__ = replacement.target
        if name == "torch":
            self.__version__ = __version__

    def __getattr__(self, name: str) -> Any:
        replacement: Replacement = self.__dict__["__replacement__"]
        if name == "__all__":
            return dir(self)
        if name.startswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'", name=name)
        path = self.__name__.partition(".")[2]
        value, lasting = replacement.find(path, name)
        if value is _NOTHING:
            raise missing(self.__name__, name)
        if lasting:  # the next look-up costs nothing
            super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if not isinstance(value, Absent):  # importing torch.x sets x on torch; then hasattr would be True
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        path = self.__name__.partition(".")[2]
        return self.__dict__["__replacement__"].names(path)

    def __repr__(self) -> str:
        return f"<module '{self.__name__}' (pullback in its place)>"


class CallableRoom(Room):
    """A room whose module is a function, too: `torch.autograd.gradcheck`."""

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the function does."""
        replacement: Replacement = self.__dict__["__replacement__"]
        called: Any = replacement.module(self.__name__.partition(".")[2])
        return called(*args, **named)


class Replacement:
    """An import hook and the rooms that it made.

    `target` is the package that answers (pullback; tests pass a small module). `install` puts the hook first
    and takes torch's modules out of `sys.modules`; `remove` undoes both. A module imported in between that
    holds a room is forgotten by `remove`, so that its next import sees the real torch.
    """

    def __init__(self, target: ModuleType) -> None:
        self.target = target
        self._rooms: dict[str, Room] = {}
        self._saved: dict[str, ModuleType] = {}
        self._before: set[str] = set()
        self._homes: list[tuple[type, str]] = []

    # ---- in and out

    def install(self) -> None:
        """Answer `import torch` from now on."""
        self._saved = _take_out()
        self._before = set(sys.modules)
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Leave `sys.meta_path` and `sys.modules` as they were found."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
        _take_out()
        for name in set(sys.modules) - self._before:
            if any(isinstance(value, Room | Absent) for value in vars(sys.modules[name]).values()):
                del sys.modules[name]
        sys.modules.update(self._saved)
        for cls, module in reversed(self._homes):
            cls.__module__ = module

    # ---- what the import system asks

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the import system's signature
        target: ModuleType | None = None,  # noqa: ARG002 - as above
    ) -> ModuleSpec | None:
        """A spec for torch and everything below it, except for names that are there and are no modules."""
        top, _, below = fullname.partition(".")
        if top != "torch":
            return None
        if below and not self.is_room(below):
            room, _, name = below.rpartition(".")
            if self.find(room, name)[0] is not _NOTHING:
                return None  # import torch.Tensor: an error in torch, too
        return self._spec(fullname)

    def _spec(self, fullname: str) -> ModuleSpec:
        loader: Any = (
            self  # of importlib.abc.Loader's form; importing that class takes longer than all of this file
        )
        return ModuleSpec(fullname, loader, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The room of that name, or a placeholder."""
        below = spec.name.partition(".")[2]
        return self.room(below) if not below or self.is_room(below) else Absent(spec.name, user_line())

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: rooms pass on what they are asked for."""

    # ---- what the rooms ask

    def room(self, path: str) -> Room:
        """The one room for a path below torch ("" is torch itself)."""
        name = f"torch.{path}" if path else "torch"
        if name not in self._rooms:
            kind = CallableRoom if callable(self.module(_alias(path))) else Room
            room = self._rooms[name] = kind(name, self)
            room.__spec__ = self._spec(name)
            self._homes += classes_at_home(self, path)
        return self._rooms[name]

    def is_room(self, path: str) -> bool:
        """Whether a path below torch is a module here."""
        below = f"{path}."
        return bool(self._sources(path)) or any(key.startswith(below) for key in ROOMS)

    def find(self, path: str, name: str) -> tuple[Any, bool]:
        """The object called `name` in the room at `path`, and whether it may be remembered."""
        child = f"{path}.{name}" if path else name
        if self.is_room(child):
            return self.room(child), True
        if file := _NAMES.get(_alias(path), {}).get(name):
            return getattr(importlib.import_module(file), name), True
        for source in self._sources(path):
            own = name.startswith("_") or (not path and name in _OWN)
            value = _NOTHING if own else getattr(source, name, _NOTHING)
            if value is not _NOTHING and not isinstance(value, ModuleType):
                return value, name in vars(source) and callable(value)
        return _NOTHING, False

    def names(self, path: str) -> list[str]:
        """The public names of a room."""
        found = {name for source in self._sources(path) for name in dir(source) if self._shows(source, name)}
        return sorted(found)

    def _shows(self, source: ModuleType, name: str) -> bool:
        value = getattr(source, name, None)
        foreign = isinstance(value, ModuleType) and not value.__name__.startswith(f"{self.target.__name__}.")
        return not name.startswith("_") and not foreign and name != "annotations"

    def _sources(self, path: str) -> list[ModuleType]:
        """The modules that answer for a room, first one first."""
        path = _alias(path)
        if path in ROOMS:
            return [ROOMS[path]]  # a device room must say what torch would say without that device
        module = self.module(path)
        return [] if module is None else [module]

    def module(self, path: str) -> ModuleType | None:
        """The engine's own module at a path; never one that it merely imported (numpy, math)."""
        if path and path.partition(".")[0] not in _SHARED:
            return None
        module = self.target
        for part in path.split(".") if path else ():
            found = None if part.startswith("_") else _submodule(module, part)
            if found is None or not found.__name__.startswith(f"{self.target.__name__}."):
                return None
            module = found
        return module


def _submodule(package: ModuleType, name: str) -> ModuleType | None:
    """A module inside a package, imported if it has not been yet; None if there is none of that name."""
    module = vars(package).get(name)
    if isinstance(module, ModuleType):
        return module
    full = f"{package.__name__}.{name}"
    if name in vars(package) or not hasattr(package, "__path__") or find_spec(full) is None:
        return None
    return importlib.import_module(full)


def _alias(path: str) -> str:
    """The room that holds what torch keeps at `path`."""
    room, _, file = path.rpartition(".")
    return "nn" if room == "nn.modules" and file.islower() else _ALIASES.get(path, path)


def _take_out() -> dict[str, ModuleType]:
    """Remove torch and its rooms from `sys.modules`; what was removed."""
    names = [name for name in sys.modules if name.partition(".")[0] == "torch"]
    return {name: sys.modules.pop(name) for name in names}


@contextmanager
def torch_replaced(target: ModuleType | None = None) -> Generator[ModuleType]:
    """Inside the `with`, `import torch` gives pullback; outside it, everything is as it was.

    Yields the module that `import torch` gives. `target` answers in pullback's place (for tests).

    >>> import types
    >>> with torch_replaced(types.ModuleType("tiny")):
    ...     import torch
    ...     torch.__version__
    '2.13.0+pullback'
    """
    replacement = Replacement(importlib.import_module("pullback") if target is None else target)
    replacement.install()
    try:
        yield importlib.import_module("torch")
    finally:
        replacement.remove()
