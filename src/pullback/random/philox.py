"""Random numbers that are a function of (seed, sample, slot, stream): Philox4x32-10, in NumPy.

Holds `words` (the generator), `fill` (standard uniform and normal numbers of consecutive samples) and the
layout that says which word belongs to which sample. This is the reference: `compiler.native_draws` and the
kernels of `compiler.llvm` draw the same words and the same uniforms to the bit, normals to a few ulp. Read
`words`, then `fill`. May import NumPy and `errors` only.

The generator is that of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC
2011). It has no state, so any sample's numbers can be made at any time, in any order, on any machine.

Layout. One call of the generator gives four 32-bit words and serves several samples. Samples come in groups:

    dtype     group          a sample's number
    float32   64 = 4 x 16    of sample 64 g + 16 w + lane: word w of the call with q = 16 g + lane
    float64   16 = 2 x 8     of sample 16 g + 8 w + lane: words (2 w, 2 w + 1), high first, of q = 8 g + lane

The call's counter is (q mod 2**32, q >> 32, slot, stream), its key the seed's (low, high) word. A slot
numbers the scalar random numbers of one sample; a stream is one of many independent repetitions of it all.

Numbers. A uniform is the middle of one of 2**23 (float32) or 2**52 (float64) equal cells of (0, 1): it is
exact and never 0 or 1, and 1 - u is as likely as u. Normals come in pairs (Box and Muller, 1958): an even
word gives the radius sqrt(-2 ln u), its neighbour the angle; the even word's sample gets the cosine, the
other one the sine. Radii reach 6.76 in float32 and 8.57 in float64; u is never 1, so no radius is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # what the key grows by after each round
ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_CHUNK = 1 << 16  # calls of the generator at a time: bounds the memory of `fill`


def words(seed: int, stream: int, slot: int, q: Any) -> tuple[Any, Any, Any, Any]:
    """The four 32-bit words of the generator for each counter (q mod 2**32, q >> 32, slot, stream).

    seed is taken mod 2**64, stream and slot mod 2**32; q is an array of unsigned 64-bit integers. Each
    returned array has q's shape and dtype uint32.

    >>> import numpy as np
    >>> [f"{int(w[0]):08x}" for w in words(0, 0, 0, np.zeros(1, np.uint64))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    q = np.asarray(q, np.uint64)
    m0, m1 = (np.uint64(m) for m in MULTIPLIERS)
    half = np.uint64(32)
    c0, c1 = q & _LOW, q >> half
    c2 = np.full_like(q, slot & 0xFFFFFFFF)
    c3 = np.full_like(q, stream & 0xFFFFFFFF)
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(ROUNDS):
        p0, p1 = c0 * m0, c2 * m1
        c0, c2 = (p1 >> half) ^ c1 ^ np.uint64(k0), (p0 >> half) ^ c3 ^ np.uint64(k1)
        c1, c3 = p1 & _LOW, p0 & _LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0.astype(np.uint32), c1.astype(np.uint32), c2.astype(np.uint32), c3.astype(np.uint32)


def fill(kind: str, dtype: Any, seed: int, stream: int, slot: int, first: int, count: int) -> Any:
    """The standard numbers of samples first .. first + count - 1 in one slot of one stream.

    kind is "uniform" (in the open interval (0, 1)) or "normal" (mean 0, variance 1), dtype float32 or
    float64; the result has shape (count,). A sample's number does not depend on the range asked for. Raises
    ValueError for another kind or dtype, or a negative first or count.

    >>> fill("uniform", "float64", 7, 0, 0, 1000, 3)
    array([0.38590226, 0.15294991, 0.48593403])
    >>> fill("uniform", "float64", 7, 0, 0, 1002, 1)
    array([0.48593403])
    """
    dtype = np.dtype(dtype)
    check(kind, dtype, first, count)
    single = dtype == np.float32
    per_group, lanes = (64, 16) if single else (16, 8)
    out = np.empty(count, dtype)
    step = per_group * (_CHUNK // lanes)
    done = 0
    while done < count:
        start = first + done
        group = start // per_group
        stop = min(first + count, (group + _CHUNK // lanes) * per_group, start + step)
        groups = -(-stop // per_group) - group
        q = np.arange(group * lanes, (group + groups) * lanes, dtype=np.uint64)
        made = _MAKERS[kind, single](*words(seed, stream, slot, q))
        flat = np.stack([m.reshape(groups, lanes) for m in made], axis=1).reshape(-1)
        out[done : done + stop - start] = flat[start - group * per_group : stop - group * per_group]
        done += stop - start
    return out


def check(kind: str, dtype: np.dtype[Any], first: int, count: int) -> None:
    """Raise ValueError for arguments that `fill` cannot take."""
    if kind not in {"uniform", "normal"}:
        raise ValueError(
            message("unknown kind of random number", f"kind={kind!r}", 'use "uniform" or "normal"')
        )
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(
            message("random numbers are float32 or float64", f"dtype={dtype}", "draw float64 and convert")
        )
    if first < 0 or count < 0:
        raise ValueError(
            message("samples are numbered from 0", f"first={first}, count={count}", "pass both as 0 or more")
        )


def _uniform_single(*w: Any) -> list[Any]:
    """Four arrays of float32 uniforms from four arrays of words."""
    return [((x >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23) for x in w]


def _wide(w: tuple[Any, ...]) -> list[Any]:
    """The two 64-bit numbers of four words."""
    return [(w[i].astype(np.uint64) << np.uint64(32)) | w[i + 1] for i in (0, 2)]


def _uniform_double(*w: Any) -> list[Any]:
    return [((x >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52 for x in _wide(w)]


def radius_single(w: Any) -> Any:
    """The uniform of a float32 radius: (w + 1/2) 2**-32 rounded to float32, at most 1 - 2**-24.

    Both halves are rounded as one fused multiply-add of the signed word, so native code agrees to the bit.
    """
    s = w.view(np.int32)
    shift = np.where(s < 0, np.float32(1.0), np.float32(2.0**-33))
    return np.minimum(s.astype(np.float32) * np.float32(2.0**-32) + shift, np.float32(1.0 - 2.0**-24))


def _turn(quadrant: Any, x: Any) -> tuple[Any, Any]:
    """cos and sin of quadrant * pi/2 + x."""
    c, s = np.cos(x), np.sin(x)
    odd = quadrant & 1 == 1
    cosine, sine = np.where(odd, s, c), np.where(odd, c, s)
    return np.where((quadrant + 1) & 2 == 2, -cosine, cosine), np.where(quadrant & 2 == 2, -sine, sine)


def _normal_single(*w: Any) -> list[Any]:
    """Four arrays of float32 normals, computed in float64 and rounded once."""
    made: list[Any] = []
    for even, odd in ((w[0], w[1]), (w[2], w[3])):
        radius = np.sqrt(-2.0 * np.log(radius_single(even).astype(np.float64)))
        turned = odd + np.uint32(1 << 29)  # wraps: so that the nearest multiple of pi/2 can be split off
        x = ((turned & np.uint32((1 << 30) - 1)).astype(np.float64) - 2.0**29) * (2.0 * np.pi * 2.0**-32)
        cosine, sine = _turn((turned >> np.uint32(30)).astype(np.int64), x)
        made += [(radius * cosine).astype(np.float32), (radius * sine).astype(np.float32)]
    return made


def _normal_double(*w: Any) -> list[Any]:
    """Two arrays of float64 normals; the angle uses the high 54 bits of its number."""
    even, odd = _wide(w)
    radius = np.sqrt(-2.0 * np.log(((even >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52))
    turned = odd + np.uint64(1 << 61)
    x = (((turned << np.uint64(2)) >> np.uint64(12)).astype(np.float64) * 2.0**-52 - 0.5) * (0.5 * np.pi)
    cosine, sine = _turn((turned >> np.uint64(62)).astype(np.int64), x)
    return [radius * cosine, radius * sine]


_MAKERS = {
    ("uniform", True): _uniform_single,
    ("uniform", False): _uniform_double,
    ("normal", True): _normal_single,
    ("normal", False): _normal_double,
}
