"""A placeholder for a torch module or name that pullback does not have: it can be imported, and nothing else.

Read `Absent` first. A program often imports what it never reaches (another device, a profiler), so an import
must not fail; a use must, and says what is missing and where. May import: `pullback.compat.hints`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableSequence
from types import ModuleType
from typing import Any, NoReturn, Union

from pullback.compat.hints import absent_text


class Absent(ModuleType):
    """Stands for `torch.<name>`; raises on every use.

    Reading an attribute raises AttributeError (so `hasattr` is False), every other use NotImplementedError.
    Nothing is an instance or a subclass of a placeholder. It may stand in a union: `Missing | None` is an
    annotation. A module, so that `import torch.<name>.<other>` works like a name taken from it.

    >>> script = Absent("torch.jit.script", "prog.py:1")
    >>> script
    <torch.jit.script: not in pullback>
    >>> hasattr(script, "inlined"), isinstance(1, script)
    (False, False)
    >>> script(lambda x: x)  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    NotImplementedError: torch.jit.script is not in pullback, and was called
    """

    def __init__(self, name: str, imported_at: str) -> None:
        super().__init__(name)
        self.__path__: MutableSequence[str] = []
        self.__imported_at__ = imported_at

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # asked by Python itself: importing, pickling, inspecting
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'", name=name)
        text = absent_text(f"{self.__name__}.{name}", "read", self.__imported_at__)
        raise AttributeError(text, name=name)  # `name` alone: Python then adds no guess of its own

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, Absent):
            return  # importing a.b sets b on a; then hasattr(a, "b") would say that it is there
        if not name.startswith("__"):
            raise NotImplementedError(absent_text(f"{self.__name__}.{name}", "set", self.__imported_at__))
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<{self.__name__}: not in pullback>"

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        if sys._getframe(1).f_globals.get("__name__") in {"typing", __name__}:
            return False  # an annotation is being built
        raise NotImplementedError(absent_text(self.__name__, "compared", self.__imported_at__))

    __hash__ = ModuleType.__hash__

    def __instancecheck__(self, instance: object) -> bool:
        return False

    def __subclasscheck__(self, subclass: object) -> bool:
        return False

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007 - built at run time, for an annotation

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007 - as above


def _refuse(used: str) -> Callable[..., NoReturn]:
    """The special method that refuses one kind of use."""

    def special(self: Absent, *_args: object, **_named: object) -> NoReturn:
        raise NotImplementedError(absent_text(self.__name__, used, self.__imported_at__))

    return special


_USES = {
    "called": "call",
    "subclassed": "mro_entries",
    "compared": "lt le gt ge ne",
    "used as a truth value": "bool",
    "indexed": "getitem setitem delitem contains",
    "looped over or measured": "iter next len",
    "used in a with statement": "enter exit",
    "used as a number": "add radd sub rsub mul rmul truediv rtruediv matmul rmatmul pow rpow neg abs",
}
for _used, _specials in _USES.items():
    for _special in _specials.split():
        setattr(Absent, f"__{_special}__", _refuse(_used))
