"""A digest of what decides a study's numbers, so that no other study continues its checkpoint.

Read `fingerprint`. A function counts by its byte code, constants, defaults, and by the values that it takes
from its surroundings; comments and names of local variables do not count. May import
`distributions`, `compiler.guards`, `graph`.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from pullback.compiler.guards import names_in
from pullback.graph.tensor import Tensor
from pullback.sampling.distributions import Frozen


def fingerprint(*items: Any) -> str:
    """A digest that is the same in every process, for functions, arrays, tensors, numbers and containers.

    >>> fingerprint(lambda x: x + 1, 2.0) == fingerprint(lambda x: x + 1, 2.0)
    True
    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
    False
    """
    digest = hashlib.sha256()
    seen: set[int] = set()
    for item in items:
        _add(digest.update, item, seen)
    return digest.hexdigest()


def _add(put: Callable[[bytes], None], x: Any, seen: set[int]) -> None:
    """Feed one thing to the digest, its type first."""
    put(f"<{type(x).__name__}>".encode())
    if isinstance(x, Tensor):
        x = np.asarray(x.value)
    if isinstance(x, np.ndarray) and x.dtype != object:
        put(f"{x.dtype.str}{x.shape}".encode())
        put(np.ascontiguousarray(x).tobytes())
    elif isinstance(x, str | bytes | int | float | complex | None | np.generic | np.dtype | range):
        put(repr(x).encode())
    elif id(x) not in seen:  # a recursive function or a ring of objects ends here
        seen.add(id(x))
        _add_object(put, x, seen)


def _add_object(put: Callable[[bytes], None], x: Any, seen: set[int]) -> None:
    kind = next((k for k in _PARTS if isinstance(x, k)), None)
    if kind is not None:
        parts = _PARTS[kind](x)
    elif is_dataclass(x):
        parts = [getattr(x, f.name) for f in fields(x)]
    else:
        parts = [repr(type(x)), getattr(x, "__dict__", None)]
    for part in parts:
        _add(put, part, seen)
    put(b"<end>")


def _function(f: types.FunctionType) -> list[Any]:
    """What a function does: its code, and what it reads from outside by name."""
    cells = [c.cell_contents for c in f.__closure__ or () if _filled(c)]
    names = sorted(names_in(f.__code__))
    used = [f.__globals__[n] for n in names if n in f.__globals__ and not _foreign(f.__globals__[n])]
    return [f.__code__, f.__defaults__, f.__kwdefaults__, cells, used]


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - reading an empty cell raises
    except ValueError:
        return False
    return True


def _foreign(x: Any) -> bool:
    """Modules, and functions and classes of this package: they count by name only, which the code holds."""
    if isinstance(x, types.ModuleType):
        return True
    defined = isinstance(x, type | types.FunctionType | types.BuiltinFunctionType)
    return defined and str(getattr(x, "__module__", "")).startswith("pullback.")


# what a thing of each type consists of; the first type that fits
_PARTS: dict[Any, Callable[[Any], Sequence[Any]]] = {
    types.FunctionType: _function,
    types.MethodType: lambda x: [x.__func__, x.__self__],
    types.CodeType: lambda x: [x.co_code, x.co_consts, x.co_names],
    (types.ModuleType, type, types.BuiltinFunctionType): lambda x: [x.__name__],
    (set, frozenset): lambda x: sorted(map(repr, x)),
    Mapping: lambda x: [y for pair in x.items() for y in pair],
    (list, tuple): list,
    # a SciPy object holds much more than its law
    Frozen: lambda x: [x.rv.dist.name, x.rv.args, x.rv.kwds, tuple(x.shape)],
}
