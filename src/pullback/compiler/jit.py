"""Programs become kernels that can be called: from memory, from disk, or by LLVM.

Holds `compile_program` and `Kernel`. Read them in this order. May import `compiler.cache`,
`compiler.machine`, `compiler.llvm` and `compiler.program`.
"""

from __future__ import annotations

import ctypes
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.compiler import cache, machine
from pullback.compiler.llvm.kernel import kernel_text, size_of
from pullback.compiler.program import Program
from pullback.compiler.prune import prune
from pullback.compiler.schedule import schedule

_PARAMETERS = {
    "map": (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64),
    "samples": (
        ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64,
        ctypes.c_int64,
    ),
}  # fmt: skip
_KEPT = 512  # kernels that stay in memory although nobody holds them
_kernels: OrderedDict[str, Kernel] = OrderedDict()
_lock = threading.Lock()


class Kernel:
    """Machine code of one program. Calls release Python's lock, and a kernel may run in many threads at once.

    program   the text of the program
    kind      "map" or "samples"
    origin    "compiled", or "disk" where it was found in the cache
    address   of the entry point, which `compiler.llvm.kernel` describes
    """

    def __init__(self, program: Program, image: machine.Image, origin: str) -> None:
        self.program, self.kind, self.origin = program, program.kind, origin
        self.address, self._keep = machine.load(image)
        self._call: Any = ctypes.CFUNCTYPE(None, *_PARAMETERS[program.kind])(self.address)

    @property
    def llvm(self) -> str:
        """The LLVM module as it was written, before LLVM's passes."""
        return kernel_text(self.program)

    @property
    def assembly(self) -> str:
        """The machine code as assembly."""
        return machine.assembly(self.llvm, size_of(self.program))

    def map(self, arrays: Sequence[np.ndarray], begin: int, end: int) -> None:
        """Run a "map" kernel over entries begin .. end - 1 (and all outer indices) of these arrays.

        The arrays' data, types and strides must be those that the program declares: nothing is checked here.
        """
        table = addresses(arrays)
        self._call(table.ctypes.data, begin, end)

    def samples(
        self, arrays: Sequence[np.ndarray], first: int, last: int, block: int, seed: int = 0, stream: int = 0
    ) -> np.ndarray:
        """Run a "samples" kernel over samples first .. last - 1: one row of sums for each block.

        first is a multiple of block, block one of 64. Arrays of samples start with sample 0 and are
        padded to a multiple of 64. The result has shape (blocks, accumulators), float64; a sum "first" that
        found nothing is inf.
        """
        out = np.zeros((-(-(last - first) // block), len(self.program.accumulators)))
        table = addresses(arrays)
        self.run_samples(table.ctypes.data, first, last, block, out.ctypes.data, seed, stream)
        return out

    def run_samples(
        self, table: int, first: int, last: int, block: int, sums: int, seed: int, stream: int
    ) -> None:
        """The entry point itself; `table` and `sums` are addresses (of array addresses, of float64 rows)."""
        self._call(table, first, last, block, sums, _signed(seed), stream)


def _signed(seed: int) -> int:
    """A seed taken mod 2**64, as ctypes passes it."""
    seed &= (1 << 64) - 1
    return seed - (1 << 64) if seed >> 63 else seed


def addresses(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The table of array addresses that a kernel reads."""
    return np.array([a.ctypes.data for a in arrays] or [0], np.uint64)


def compile_program(program: Program) -> Kernel:
    """The kernel of a program: the one in memory, else the one on disk, else a new one.

    >>> from pullback.compiler.program import Array, Program, Value
    >>> zero = Value("const", (), "i8", 0, 0, True, None)
    >>> x = Value("load", (zero,), "f8", 0, 1, False, None)
    >>> y = Value("mul", (x, x), "f8", None, 2, False, None)
    >>> out = Value("store", (zero, y), "", 1, 3, False, None)
    >>> arrays = [Array("f8", 1), Array("f8", 1, written=True)]
    >>> kernel = compile_program(Program("map", 8, body=[x, y, out], arrays=arrays))
    >>> a, b = np.arange(5.0), np.zeros(5)
    >>> kernel.map([a, b], 0, 4)
    >>> b
    array([0., 1., 4., 9., 0.])
    """
    prune(program)
    schedule(program)
    name = cache.key(str(program))
    with _lock:
        kernel = _kernels.get(name)
        if kernel is not None:
            _kernels.move_to_end(name)
            return kernel
    kernel = _from_disk(program, name) or _compiled(program, name)
    with _lock:
        kernel = _kernels.setdefault(name, kernel)
        while len(_kernels) > _KEPT:
            _kernels.popitem(last=False)
    return kernel


def _from_disk(program: Program, name: str) -> Kernel | None:
    image = cache.store().get(name)
    if image is None:
        return None
    try:
        return Kernel(program, image, "disk")
    except (LookupError, ValueError):  # it calls a function that this process does not have
        return None


def _compiled(program: Program, name: str) -> Kernel:
    image = machine.build(kernel_text(program), size_of(program))
    cache.store().put(name, image)
    return Kernel(program, image, "compiled")
