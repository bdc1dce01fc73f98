"""Large arrays on all cores: `split` runs a NumPy function on slices in threads.

NumPy's elementwise loops release the interpreter lock, so slices of one large array run side by side; an elementwise result does
not depend on the split. May import NumPy and the standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

# below this many entries handing work to a thread costs more than it saves
BIG = 1 << 18

_pool: list[ThreadPoolExecutor] = []


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool() -> ThreadPoolExecutor:
    """The shared thread pool, made on first need."""
    if not _pool:
        _pool.append(ThreadPoolExecutor(cores()))
    return _pool[0]


def split(function: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    """function(*values), computed in slices on all cores where that is possible.

    Falls back to one call where shapes differ, memory is not C-contiguous, or the function takes no `out`.
    """
    ufunc = UFUNCS.get(function, function)
    first = values[0]
    same = all(
        isinstance(v, np.ndarray) and v.shape == first.shape and v.flags.c_contiguous and v.dtype == first.dtype
        for v in values
    )
    workers = cores()
    if not same or workers == 1 or not isinstance(ufunc, np.ufunc):
        return function(*values)
    flat = [v.reshape(-1) for v in values]
    probe = ufunc(*(v[:1] for v in flat))
    out = np.empty(first.shape, probe.dtype)
    target = out.reshape(-1)
    n = first.size
    step = -(-n // workers)

    def piece(lo: int) -> None:
        with np.errstate(all="ignore"):
            ufunc(*(v[lo : lo + step] for v in flat), out=target[lo : lo + step])

    list(pool().map(piece, range(0, n, step)))
    return out


# operators that entries use for speed on NumPy scalars, and the ufuncs that they stand for
UFUNCS: dict[Any, Any] = {}
