"""Rooms about devices and builds, which say honestly that there is only a CPU here.

Read `ROOMS` first: torch's path of a room -> a module with its few names. Questions answer False or 0,
settings that change nothing on a CPU are accepted, everything else is missing like any other name. May
import: the standard library.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any, cast


class TorchVersion(str):
    """A version as text that compares by its numbers, with text or with tuples, as `torch.__version__` does.

    >>> TorchVersion("2.13.0+pullback") > "2.4", TorchVersion("2.13.0+pullback") >= (2, 13)
    (True, True)
    """

    __slots__ = ()

    def _order(self, other: object) -> int:
        mine, theirs = _numbers(str(self)), _numbers(other)
        width = max(len(mine), len(theirs))
        mine, theirs = (v + (0,) * (width - len(v)) for v in (mine, theirs))
        return (mine > theirs) - (mine < theirs)

    def __lt__(self, other: object) -> bool:
        return self._order(other) < 0

    def __le__(self, other: object) -> bool:
        return self._order(other) <= 0

    def __gt__(self, other: object) -> bool:
        return self._order(other) > 0

    def __ge__(self, other: object) -> bool:
        return self._order(other) >= 0


def _numbers(version: object) -> tuple[int, ...]:
    """The release numbers of a version given as text or as a tuple."""
    if isinstance(version, str):
        release = re.match(r"\d+(?:\.\d+)*", version)
        return tuple(int(n) for n in release[0].split(".")) if release else ()
    if isinstance(version, tuple):
        return tuple(int(n) for n in cast("tuple[Any, ...]", version))
    raise TypeError(f"a version compares with text or a tuple of numbers, not with {type(version).__name__}")


def _false() -> bool:
    """Not here."""
    return False


def _zero() -> int:
    """None of them."""
    return 0


def _nothing(*_args: object, **_named: object) -> None:
    """A request that has nothing to do on a CPU."""


def _room(path: str, **names: object) -> ModuleType:
    """A module called `torch.<path>` with these names."""
    module = ModuleType(f"torch.{path}")
    vars(module).update(names)
    return module


_ABSENT_DEVICE = {"is_available": _false, "device_count": _zero}
_CUDA = {"is_initialized": _false, "empty_cache": _nothing, "is_bf16_supported": _false}
_SEEDED = {"manual_seed": _nothing, "manual_seed_all": _nothing}

ROOMS: dict[str, ModuleType] = {
    room.__name__.partition(".")[2]: room
    for room in (
        _room("version", cuda=None, hip=None, xpu=None, debug=False, git_version=""),
        _room("cuda", **_ABSENT_DEVICE, **_SEEDED, **_CUDA),
        _room("xpu", **_ABSENT_DEVICE, **_SEEDED),
        _room("mps", device_count=_zero),
        _room("distributed", is_available=_false, is_initialized=_false),
        _room("backends.mps", is_available=_false, is_built=_false),
        _room("backends.cuda", is_built=_false),
        _room("backends.cudnn", is_available=_false, enabled=True, benchmark=False, deterministic=False),
        _room("backends.mkl", is_available=_false),
        _room("backends.mkldnn", is_available=_false),
        _room("backends.openmp", is_available=_false),
    )
}
