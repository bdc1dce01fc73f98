"""Large arrays on all cores: `split` runs an elementwise function in threads and cache-sized pieces.

NumPy's loops release the interpreter lock, so slices of one large array run side by side; an elementwise
result does not depend on the split. Pieces that fit the cache make a formula of several NumPy calls cost one
pass over memory. Read `split` first. May import NumPy and the standard library only.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

# below this many entries handing work to a thread costs more than it saves
BIG = 1 << 18
# entries of one piece: a few operands of it stay in the second-level cache
PIECE = 1 << 16

# operators that entries use for speed on NumPy scalars, and the ufuncs that they stand for
UFUNCS: dict[Any, Any] = {
    operator.add: np.add,
    operator.sub: np.subtract,
    operator.mul: np.multiply,
    operator.truediv: np.divide,
    operator.neg: np.negative,
    operator.pow: np.power,
    operator.eq: np.equal,
    operator.ne: np.not_equal,
    operator.lt: np.less,
    operator.le: np.less_equal,
    operator.gt: np.greater,
    operator.ge: np.greater_equal,
}


class _Threads:
    """The thread pool, made on first need and anew after a fork (threads do not survive one)."""

    def __init__(self) -> None:
        self.limit = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0

    def pool(self) -> ThreadPoolExecutor:
        if self._pool is None or self._owner != os.getpid():
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self.limit)
            self._owner = os.getpid()
        return self._pool

    def set_limit(self, n: int) -> None:
        if n != self.limit:
            self.limit, self._pool = n, None


_threads = _Threads()


def cores() -> int:
    """How many threads large arrays use: the cores this process may use, unless `set_cores` changed it."""
    return _threads.limit


def set_cores(n: int) -> None:
    """Use n threads for large arrays from now on."""
    _threads.set_limit(n)


def split(function: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    """function(*values) for an elementwise function, in pieces on all cores.

    Arrays of the result's leading dimension are sliced along it (C-contiguous arrays of one shape along all
    of memory); whatever broadcasts along it, numbers, None and other objects go to every piece as they are.
    """
    ufunc = UFUNCS.get(function, function)
    every = [v for v in values if isinstance(v, np.ndarray)]
    arrays = [v for v in every if v.size > 1]
    shape = np.broadcast_shapes(*(v.shape for v in every))
    if all(v.shape == shape and v.flags.c_contiguous for v in arrays):
        parts: list[Any] = [
            v.reshape(-1 if v.size > 1 else ()) if isinstance(v, np.ndarray) else v for v in values
        ]
        rows, row_size = arrays[0].size, 1
    else:
        parts = list(values)
        rows, row_size = shape[0], max(1, int(np.prod(shape[1:])))
    sliced = [isinstance(v, np.ndarray) and v.ndim > 0 and v.shape[0] == rows and v.size > 1 for v in parts]
    if rows < 2 * cores() or any(
        isinstance(v, np.ndarray) and v.ndim < len(shape) and s and row_size > 1
        for v, s in zip(parts, sliced, strict=True)
    ):
        return function(*values)  # too few rows, or an operand whose first dimension is not the result's

    def piece(lo: int, hi: int) -> Any:
        return [v[lo:hi] if s else v for v, s in zip(parts, sliced, strict=True)]

    with np.errstate(all="ignore"):
        probe = function(*piece(0, 1))
    out = np.empty(shape, probe.dtype)
    target = out.reshape(-1) if row_size == 1 else out
    direct = isinstance(ufunc, np.ufunc)
    _run(rows, max(1, PIECE // row_size), lambda lo, hi: _fill(ufunc, piece(lo, hi), target[lo:hi], direct))
    return out


def _fill(function: Callable[..., Any], values: list[Any], target: Any, direct: bool) -> None:
    if direct:
        function(*values, out=target)
    else:
        target[...] = function(*values)


def _run(n: int, step: int, work: Callable[[int, int], None]) -> None:
    """work(lo, hi) over range(n) in steps: one contiguous share of the range per thread."""
    workers = cores()
    share = -(-n // workers)

    def run(start: int) -> None:
        with np.errstate(all="ignore"):
            for lo in range(start, min(start + share, n), step):
                work(lo, min(lo + step, start + share, n))

    if workers == 1:
        run(0)
    else:
        list(_threads.pool().map(run, range(0, n, share)))


def map_pieces(work: Callable[[int, int], Any], n: int, step: int) -> list[Any]:
    """[work(lo, hi), ...] over range(n) in steps, on all cores; in order, whatever their number."""
    starts = range(0, n, step)
    if cores() == 1 or n <= step:
        return [work(lo, min(lo + step, n)) for lo in starts]
    return list(_threads.pool().map(lambda lo: work(lo, min(lo + step, n)), starts))


# ---------------------------------------------------------------------- whole arrays to one number

# entries of one line of a long sum: lines are dot products, their results are added pairwise, so that the
# rounding errors stay those of a pairwise sum while the loop runs at the memory's pace
LINE = 512
SHARE = 1 << 19


def long_sum(flat: Any) -> Any:
    """The sum of a long float vector, on all cores; the same for every number of them."""
    ones = np.ones((LINE, 1), flat.dtype)
    return _in_lines(flat, lambda lines: np.matmul(lines, ones), np.add.reduce)


def long_squares(flat: Any, centre: Any = None) -> Any:
    """The sum of the squares of a long float vector, or of its distances from a centre, on all cores."""
    if centre is None:
        return _in_lines(flat, _own_products, lambda rest: rest.dot(rest))

    def work(lo: int, hi: int) -> Any:
        parts = [
            _line_total(flat[i : min(i + PIECE, hi)] - centre, _own_products, lambda rest: rest.dot(rest))
            for i in range(lo, hi, PIECE)
        ]
        return np.add.reduce(np.array(parts))

    return np.add.reduce(np.array(map_pieces(work, flat.size, SHARE)))


def long_reduce(ufunc: Any, flat: Any) -> Any:
    """ufunc.reduce of a long vector on all cores (for maximum and minimum, whose order does not matter)."""
    return ufunc.reduce(np.array(map_pieces(lambda lo, hi: ufunc.reduce(flat[lo:hi]), flat.size, SHARE)))


def long_product(flat: Any) -> Any:
    """The product of a long float vector: many columns side by side, on all cores."""

    def work(lo: int, hi: int) -> Any:
        part = flat[lo:hi]
        whole = part.size // LINE * LINE
        columns = np.multiply.reduce(part[:whole].reshape(-1, LINE), 0)
        return np.multiply.reduce(columns) * np.multiply.reduce(part[whole:])

    with np.errstate(all="ignore"):
        return np.multiply.reduce(np.array(map_pieces(work, flat.size, PIECE)))


def _own_products(lines: Any) -> Any:
    return np.matmul(lines, lines.swapaxes(1, 2))


def _line_total(part: Any, products: Callable[[Any], Any], rest: Callable[[Any], Any]) -> Any:
    with np.errstate(all="ignore"):
        whole = part.size // LINE * LINE
        lines = products(part[:whole].reshape(-1, 1, LINE))
        return np.add.reduce(lines, None) + rest(part[whole:])


def _in_lines(flat: Any, products: Callable[[Any], Any], rest: Callable[[Any], Any]) -> Any:
    found = map_pieces(lambda lo, hi: _line_total(flat[lo:hi], products, rest), flat.size, SHARE)
    return np.add.reduce(np.array(found))


def long_floats(v: Any) -> bool:
    """Is it worth its threads: many float32 or float64 entries, contiguous?"""
    return v.size > BIG and v.dtype.kind == "f" and v.dtype.itemsize > 2 and v.flags.c_contiguous
