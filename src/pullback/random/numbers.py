"""Uniform and normal numbers from the word stream, computed ahead: a small draw costs about a microsecond.

Holds `Numbers`: `rand`, `randn` and the cached normal. Read `words` and `cephes` first. May import those,
`dtypes` and `errors`.

NumPy needs about as long for ten numbers as for a thousand, and programs that follow PyTorch draw three or
six at a time. So the numbers that *every* position of the word buffer would give are computed in one go, as
tables: uniforms, normal pairs (four tables, by the position's remainder mod 4) and normal blocks (by its
remainder mod 16). A draw is then a slice, whatever kinds of draws alternate. While small normals follow
each other the generator is *in a run*: only `_next` moves, and the word position and the cached normal are
derived from it when something else asks (`_leave`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.dtypes import from_numpy_dtype
from pullback.errors import message
from pullback.random import cephes
from pullback.random.words import WordStream

F16, F32, F64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
_TABLED = 256  # draws of up to this many numbers read the tables


def size_of(shape: Sequence[int]) -> int:
    """Number of entries; RuntimeError for a negative length."""
    n = 1
    for length in shape:
        if length < 0:
            first = f"Trying to create tensor with negative dimension {length}: {list(shape)}"
            raise RuntimeError(message(first, "a length is at least 0", "check the shape"))
        n *= length
    return n


def _shaped(flat: Any, shape: Sequence[int]) -> Any:
    return flat if len(shape) == 1 else flat.reshape(shape)


def floating(dtype: Any, kernel: str) -> np.dtype[Any]:
    """`dtype` as a NumPy dtype if it is float16, 32 or 64, else NotImplementedError naming `kernel`."""
    d = np.dtype(dtype)
    if d in (F16, F32, F64):
        return d
    word = from_numpy_dtype(d).word
    raise NotImplementedError(
        message(
            f"\"{kernel}\" not implemented for '{word}'",
            f"the numbers are continuous and the dtype is {d}",
            "draw float16, float32 or float64 and convert",
        )
    )


class Numbers(WordStream):
    """Word stream with `rand` and `randn`.

    >>> g = Numbers().reseed(0)
    >>> g.randn((5,)).round(4).tolist() == np.float32([1.541, -0.2934, -2.1788, 0.5684, -1.0845]).tolist()
    True
    """

    __slots__ = (
        "_base", "_blocks", "_cache", "_end", "_next", "_pairs",
        "_run32", "_run64", "_u32", "_u32_end", "_u64",
    )  # fmt: skip

    def _rewind(self) -> None:
        super()._rewind()
        self._cache: float | None = None  # the second number of a pair whose first was used

    def _forget(self) -> None:
        self._end = -1  # length of the run's table; -1 outside a run
        self._next = 0  # the next normal in the run's table
        self._base = 0  # buffer position of the run's table
        self._run64: Any = None
        self._run32: Any = None
        self._u32: Any = None
        self._u32_end = -1
        self._u64: list[Any] = [None, None]
        self._pairs: list[Any] = [None, None, None, None]
        self._blocks: dict[tuple[bool, int], Any] = {}

    def place(self) -> tuple[Any, ...]:
        """Something that differs after any draw: cheaper than the state."""
        return self._seed, id(self._buf), self._pos, self._next, self._cache

    def take(self, words: int) -> Any:
        """The next words, shape (words,), uint32; read-only for the caller."""
        if self._end >= 0:
            self._leave()
        return super().take(words)

    # ---- uniforms --------------------------------------------------------------------------------

    def rand(self, shape: Sequence[int], dtype: Any = F32) -> Any:
        """Uniform numbers in [0, 1): k * 2**-24 (float32, float16) or k * 2**-53 (float64). Like torch.rand.

        NotImplementedError for a dtype that is not floating point, RuntimeError for a negative length.
        """
        n = shape[0] if len(shape) == 1 else size_of(shape)
        if self._end >= 0:
            self._leave()
        if dtype is F32 or dtype is np.float32:
            start = self._pos
            stop = start + n
            if start <= stop <= self._u32_end:
                self._pos = stop
                return _shaped(self._u32[start:stop].copy(), shape)
        return _shaped(self._unit(size_of(shape), floating(dtype, "check_uniform_bounds")), shape)

    def _unit(self, n: int, d: np.dtype[Any]) -> Any:
        """n uniforms in [0, 1), owned by the caller."""
        if d == F64:
            return self._unit64(n)
        out = self._unit32(n)
        if d == F16:
            out = out.astype(F16)
            out[out == 1.0] = 0.0  # what rounds to the open end starts over at the closed one
        return out

    def _unit32(self, n: int) -> Any:
        if n > _TABLED:
            return cephes.uniform32(self.take(n))
        self._leave()
        self._reserve(n)
        if self._u32_end < 0:
            self._u32 = cephes.uniform32(self._buf)
            self._u32_end = self._buf.size
        start = self._pos
        self._pos = start + n
        return self._u32[start : start + n].copy()

    def _unit64(self, n: int) -> Any:
        if n > _TABLED:
            return cephes.uniform64(self.take(2 * n))
        self._leave()
        self._reserve(2 * n)
        table = self._unit64_table(self._pos & 1)
        start = self._pos >> 1
        self._pos += 2 * n
        return table[start : start + n].copy()

    def _unit64_table(self, odd: int) -> Any:
        """The float64 uniforms that start at even (or odd) positions of the buffer."""
        if self._u64[odd] is None:
            whole = (self._buf.size - odd) // 2 * 2
            self._u64[odd] = cephes.uniform64(self._buf[odd : odd + whole])
        return self._u64[odd]

    # ---- normals ---------------------------------------------------------------------------------

    def randn(self, shape: Sequence[int], dtype: Any = F32) -> Any:
        """Standard normal numbers, like torch.randn: pairs below 16 numbers, blocks of 16 from there on.

        NotImplementedError for a dtype that is not floating point, RuntimeError for a negative length.
        """
        if dtype is F32 or dtype is np.float32:
            n = shape[0] if len(shape) == 1 else size_of(shape)
            start = self._next
            stop = start + n
            if start <= stop <= self._end and n < 16:
                self._next = stop
                return _shaped(self._run32[start:stop].copy(), shape)
        n = size_of(shape)
        if n == 0:
            return np.empty(shape, dtype)
        return _shaped(self._normal(n, 0.0, 1.0, floating(dtype, "normal_kernel_cpu")), shape)

    def _normal(self, n: int, mean: float, std: float, d: np.dtype[Any], *, contiguous: bool = True) -> Any:
        """n normals, owned by the caller; a target that is not contiguous is filled by pairs at any size."""
        if n < 16 or not contiguous:
            return cephes.round_to(cephes.fma64(self._paired(n), std, mean), d)
        out = cephes.scaled(self._filled(n, d), mean, std)
        return out.astype(F16) if d == F16 else out

    def _paired(self, n: int) -> Any:
        """n standard normals by pairs, float64; the caller must not write to them."""
        start = self._next
        stop = start + n
        if stop <= self._end:
            self._next = stop
            return self._run64[start:stop]
        self._leave()
        if n == 0:
            return np.empty(0)
        head = [] if self._cache is None else [self._cache]
        self._cache = None
        rest = n - len(head)
        if rest == 0:
            return np.array(head)
        tail = self._run_of(rest) if rest < 16 else self._many_pairs(rest)
        return np.concatenate([head, tail]) if head else tail

    def _run_of(self, n: int) -> Any:
        """Start a run and take its first n normals."""
        self._reserve((n + 1) // 2 * 4)
        base = self._pos & 3
        if self._pairs[base] is None:
            table = cephes.normal_pairs(
                self._unit64_table(base & 1)[base >> 1 :][: (self._buf.size - base) // 4 * 2]
            )
            self._pairs[base] = (table, table.astype(F32))
        self._base = base
        self._run64, self._run32 = self._pairs[base]
        start = (self._pos - base) >> 1
        self._next = start + n
        self._end = self._run64.size
        return self._run64[start : self._next]

    def _leave(self) -> None:
        """End a run: put its word position and its cached normal where everything else looks for them."""
        if self._end >= 0:
            done = self._next
            self._pos = self._base + (done + 1) // 2 * 4
            self._cache = float(self._run64[done]) if done & 1 else None
            self._end = -1
            self._next = 0

    def _many_pairs(self, n: int) -> Any:
        out = cephes.normal_pairs(cephes.uniform64(self.take((n + 1) // 2 * 4)))
        if n & 1:
            self._cache = float(out[-1])
        return out[:n]

    def _filled(self, n: int, d: np.dtype[Any]) -> Any:
        """n >= 16 standard normals by blocks: float64 for float64, else float32. The cached normal stays."""
        wide = d == F64
        self._leave()
        full = n // 16 * 16
        head = self._rows(n // 16, wide=wide)
        if full == n:
            return head.ravel()
        if d != F16:  # the uniforms of the incomplete block are drawn and dropped; float16 never draws them
            self.take((n - full) * (2 if wide else 1))
        out = np.empty(n, F64 if wide else F32)
        out[:full] = head.ravel()
        out[-16:] = self._rows(1, wide=wide)[0]  # overlaps finished numbers, as in PyTorch
        return out

    def _rows(self, count: int, *, wide: bool) -> Any:
        """The next `count` blocks of 16, owned by the caller."""
        step = 32 if wide else 16
        uniform = cephes.uniform64 if wide else cephes.uniform32
        if count > _TABLED // 16:
            return cephes.normal_blocks(uniform(self.take(count * step)).reshape(-1, 16))
        self._reserve(count * step)
        base = self._pos % step
        table = self._blocks.get((wide, base))
        if table is None:
            whole = (self._buf.size - base) // step * step
            table = cephes.normal_blocks(uniform(self._buf[base : base + whole]).reshape(-1, 16))
            self._blocks[wide, base] = table
        start = (self._pos - base) // step
        self._pos += count * step
        return table[start : start + count].copy()
