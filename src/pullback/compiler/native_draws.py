"""Random numbers by native code: the same as `pullback.random.philox`, about twenty times as fast.

Holds `fill`. Words and uniforms are those of the reference to the bit; normals differ by at most
`NORMAL_ULP` units in the last place. Read `fill`. May import NumPy, `random.philox` (the reference, also
for the check of arguments), `compiler.llvm`, `compiler.machine`, `compiler.cache` and `compiler.text`.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from pullback.compiler import cache as disk
from pullback.compiler import machine
from pullback.compiler.llvm.draws import GROUP, group_function, write_keys
from pullback.compiler.llvm.kernel import counted
from pullback.compiler.text import Code, Module, V
from pullback.random import philox

NORMAL_ULP = 6


def fill(kind: str, dtype: Any, seed: int, stream: int, slot: int, first: int, count: int) -> Any:
    """The standard numbers of samples first .. first + count - 1 in one slot of one stream.

    Arguments, result and errors are those of `pullback.random.philox.fill`.

    >>> fill("uniform", "float64", 7, 0, 0, 1000, 3)
    array([0.38590226, 0.15294991, 0.48593403])
    """
    dtype = np.dtype(dtype)
    philox.check(kind, dtype, first, count)
    t = dtype.str[1:]
    words, lanes = GROUP[t]
    size = words * lanes
    start = first // size
    groups = -(-(first + count) // size) - start
    out = _aligned(groups * size, dtype)
    seed &= (1 << 64) - 1
    call, _ = _function(kind, t)
    call(out.ctypes.data, start, groups, slot & 0xFFFFFFFF, stream & 0xFFFFFFFF, seed - (seed >> 63 << 64))
    return out[first - start * size :][:count]


def _aligned(count: int, dtype: np.dtype[Any]) -> Any:
    """An uninitialised array whose data starts at a multiple of 64 bytes."""
    room = np.empty(count * dtype.itemsize + 64, np.uint8)
    shift = -room.ctypes.data % 64
    return room[shift : shift + count * dtype.itemsize].view(dtype)


@cache
def _function(kind: str, t: str) -> Any:
    """The native function (address, first group, groups, slot, stream, seed), and what keeps it in memory."""
    text = _text(kind, t)
    name = disk.key(text)
    image = disk.store().get(name)
    if image is None:
        image = machine.build(text)
        disk.store().put(name, image)
    address, keep = machine.load(image)
    i8 = ctypes.c_int64
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, i8, i8, i8, i8, i8)(address)
    return call, keep


def _text(kind: str, t: str) -> str:
    """Its module: a loop over groups."""
    module = Module()
    size = GROUP[t][0] * GROUP[t][1]

    def write(code: Code) -> None:
        first, groups = V("%first", "i8", 1, code), V("%groups", "i8", 1, code)
        slot, stream = (V(f"%{name}", "i8", 1, code).to("i4") for name in ("slot", "stream"))

        keys = write_keys(code, V("%key", "i8", 1, code))

        def one(g: V) -> None:
            name = group_function(module, kind, t)
            out = code.pointer("%out", t, g * size)
            code.do(
                f"call void @{name}(ptr {out}, {(first + g).typed}, {slot.typed}, {stream.typed}, ptr {keys})"
            )

        counted(code, code.const(0, "i8"), groups, 1, one)
        code.do("ret void")

    parameters = "ptr %out, i64 %first, i64 %groups, i64 %slot, i64 %stream, i64 %key"
    module.function("kernel", "void", parameters, "nounwind", write)
    return module.text()
