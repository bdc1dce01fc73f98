"""The 32-bit words behind every draw: MT19937, read ahead in blocks, with an exact logical position.

Holds `WordStream`: seeding, `take` (the next words), the position, and PyTorch's 5056-byte state. NumPy's
MT19937 does the work; this file only reads ahead and keeps count. Read `numbers` next. May import NumPy and
`errors` only.

Two facts carry the design. NumPy's legacy seeding of MT19937 is PyTorch's (`init_genrand` of the seed's low
32 bits). And an MT19937 state is its last 624 outputs with the output scrambling undone, so a state can be
asked for at any position without snapshots of the engine, as long as the buffer keeps the whole block that
is being read.
"""

from __future__ import annotations

import os
from typing import Any, Self, cast

import numpy as np

from pullback.errors import message

BLOCK = 624  # words that one step of the recurrence makes
_READ_AHEAD = 4 * BLOCK  # words in a full-grown buffer: it amortises the cost of a refill and stays in cache
_CHUNK = 1 << 16
DEFAULT_SEED = 67280421310721  # of a new torch.Generator()
STATE_BYTES = 5056

_STATE = np.dtype(
    {
        "names": ["seed", "left", "seeded", "next", "words", "normal", "normal_valid"],
        "formats": ["<u8", "<i4", "<i4", "<u8", ("<u8", (BLOCK,)), "<f8", "<i4"],
        "offsets": [0, 8, 12, 16, 24, 24 + 8 * BLOCK + 8, 24 + 8 * BLOCK + 24],
        "itemsize": STATE_BYTES,
    }
)


def entropy() -> int:
    """A 64-bit seed from the operating system."""
    return int.from_bytes(os.urandom(8), "little")


def checked_seed(seed: object) -> int:
    """`seed` as an unsigned 64-bit integer; a negative seed counts from 2**64, as in PyTorch."""
    kind = type(seed).__name__
    if type(seed) is not int:
        if np.issubdtype(type(seed), np.integer):
            raise TypeError(message("an integer is required", f"the seed is a {kind}", "pass int(seed)"))
        raise RuntimeError(
            message(f"manual_seed expected a long, but got {kind}", f"seed={seed!r}", "pass a Python int")
        )
    if not -(1 << 63) <= seed < 1 << 64:
        raise ValueError(
            message(
                "Overflow when unpacking long long", f"seed={seed}", "use a seed from -2**63 to 2**64 - 1"
            )
        )
    return seed % (1 << 64)


def _untempered(outputs: Any) -> Any:
    """The MT19937 state words whose outputs these are (the tempering of Matsumoto and Nishimura, undone)."""
    y = outputs.copy()
    y ^= y >> np.uint32(18)
    y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
    x = y
    for _ in range(4):  # each round settles seven more bits
        x = y ^ ((x << np.uint32(7)) & np.uint32(0x9D2C5680))
    z = x
    for _ in range(2):  # each round settles eleven more bits
        z = x ^ (z >> np.uint32(11))
    return z


class WordStream:
    """An endless sequence of 32-bit words, the same as PyTorch's CPU generator gives for the seed.

    The engine always stands at the end of a block of 624 words; the words between the logical position and
    the engine are `_buf[_pos:]`. Refills happen only when a draw needs more than is left, hence after any
    draw the buffer still holds the whole block that the position is in.

    >>> [int(w) for w in WordStream().reseed(0).take(2)]
    [2357136044, 2546248239]
    """

    __slots__ = ("_buf", "_engine", "_grown", "_loaded", "_pos", "_seed", "_start")

    def __init__(self) -> None:
        self._engine: Any = None  # made at the first draw: a generator nobody uses costs nothing
        self._seed = DEFAULT_SEED
        self._rewind()

    def _rewind(self) -> None:
        """Forget all words; the engine is seeded again when one is asked for."""
        self._buf: Any = np.empty(0, np.uint32)
        self._pos = 0  # logical position in _buf
        self._start = 0  # where the kept whole blocks begin in _buf
        self._grown = BLOCK  # words to read ahead next time
        self._loaded = False  # does the engine hold this seed?
        self._forget()

    def _forget(self) -> None:
        """Called when `_buf` was replaced; a subclass that derives something from it forgets that here."""

    def reseed(self, seed: int) -> Self:
        """Start again from a seed in 0 .. 2**64 - 1."""
        self._seed = seed
        self._rewind()
        return self

    def _ready(self) -> Any:
        """NumPy's bit generator, holding this seed's state."""
        if self._engine is None:
            # numpy's legacy seeding is the one PyTorch shares; its newer generators have no such entry
            self._engine = np.random.RandomState(0)
        if not self._loaded:
            self._engine.seed(self._seed & 0xFFFFFFFF)
            self._loaded = True
        return self._engine._bit_generator

    def _fetch(self, words: int) -> Any:
        """The engine's next words as uint32, in chunks so that the 64-bit intermediate stays small."""
        bits = self._ready()
        if words <= _CHUNK:
            return bits.random_raw(words).astype(np.uint32)
        out = np.empty(words, np.uint32)
        for i in range(0, words, _CHUNK):
            out[i : i + _CHUNK] = bits.random_raw(min(_CHUNK, words - i))
        return out

    def _reserve(self, words: int) -> None:
        """Make `words` words available at `_buf[_pos:]`. Only for words that are drawn at once."""
        left = self._buf.size - self._pos
        if left >= words:
            return
        blocks = -(-(words - left) // BLOCK) * BLOCK
        fresh = self._fetch(max(blocks, self._grown))
        self._grown = min(4 * self._grown, _READ_AHEAD)
        self._buf = np.concatenate([self._buf[self._pos :], fresh]) if left else fresh
        self._pos, self._start = 0, left
        self._forget()

    def take(self, words: int) -> Any:
        """The next words, shape (words,), uint32. The array may be a view: read it, do not write to it."""
        self._reserve(words)
        pos = self._pos
        self._pos = pos + words
        out = self._buf[pos : pos + words]
        if self._buf.size > 4 * _READ_AHEAD:  # do not keep a long draw alive for the sake of its last block
            keep = (self._pos - self._start - 1) // BLOCK * BLOCK + self._start
            self._buf, self._pos, self._start = self._buf[keep:].copy(), self._pos - keep, 0
            self._forget()
        return out

    def _state_bytes(self, normal: float | None) -> Any:
        """PyTorch's state at the logical position with this cached normal: uint8 of shape (5056,)."""
        state = np.zeros((), _STATE)
        state["seed"], state["seeded"] = self._seed, 1
        if self._buf.size:
            block = max(self._pos - self._start - 1, 0) // BLOCK * BLOCK + self._start
            step = self._pos - block
            state["words"] = _untempered(self._buf[block : block + BLOCK])
            state["next"], state["left"] = step, BLOCK + 1 - step
        else:
            state["words"] = self._ready().state["state"]["key"]
            state["left"] = 1
        if normal is not None:
            state["normal"], state["normal_valid"] = normal, 1
        return np.frombuffer(state.tobytes(), np.uint8).copy()

    def _load_bytes(self, given: Any) -> float | None:
        """Go to a state made by `_state_bytes` or by PyTorch; return the cached normal."""
        state = _checked_state(given)
        self._seed = int(state["seed"])
        self._rewind()
        self._ready()
        fresh = int(state["left"]) == 1 and int(state["next"]) == 0  # seeded, nothing drawn yet
        position = {"key": state["words"].astype(np.uint32), "pos": BLOCK if fresh else 0}
        self._engine._bit_generator.state = {"bit_generator": "MT19937", "state": position}
        if not fresh:
            self._buf = self._fetch(BLOCK)
            self._pos = int(state["next"])
        return float(state["normal"]) if state["normal_valid"] else None


def _checked_state(given: object) -> Any:
    todo = "pass what get_state returned, unchanged"
    kind = type(given).__name__
    if not isinstance(given, np.ndarray):
        raise TypeError(message(f"expected a torch.ByteTensor, but got {kind}", "a state is an array", todo))
    raw = cast(Any, given)
    if raw.dtype != np.uint8:
        raise TypeError(message("RNG state must be a torch.ByteTensor", f"its dtype is {raw.dtype}", todo))
    if raw.size != STATE_BYTES:
        first = (
            f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG state size to be"
        )
        raise RuntimeError(message(f"{first} {raw.size}", f"the state has shape {raw.shape}", todo))
    state: Any = np.frombuffer(raw.tobytes(), _STATE)[0]
    left, step = int(state["left"]), int(state["next"])
    fits = 0 < left <= BLOCK and (left + step == BLOCK + 1 or (left, step) == (1, 0))
    if state["seeded"] != 1 or not fits:
        raise RuntimeError(message("Invalid mt19937 state", f"left={left}, next={step}", todo))
    return state
