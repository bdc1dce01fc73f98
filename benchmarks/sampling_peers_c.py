"""The works of sampling_works.py in C, compiled for this machine when they are asked for.

`sweep` is kernels/sweep.c, written by hand; it is a bar to hold against, not a peer: no user would write it.
`scalars` is straight-line code written by a program, forward and then in reverse. One thread each. Read
`build` first. Imports fail as for a missing library where there is no C compiler.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from sampling_works import (
    ADD,
    EXP,
    INPUTS,
    LOG1P,
    MUL,
    SEED,
    SIN,
    SUB,
    TANH,
    VECTORS,
    Contender,
    Run,
    Size,
    Tape,
    points,
    tape,
    upstream,
)

COMPILER = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
if COMPILER is None:
    raise ModuleNotFoundError("no C compiler (cc, gcc or $CC)", name="cc")
KERNELS = Path(__file__).parent / "kernels"
FAST = ("-O3", "-march=native", "-Wno-psabi")
# GCC interleaves the two independent chains of the sweep only if it may schedule before it allocates
SCHEDULE = ("-fschedule-insns", "-fsched-pressure")


def address(array: np.ndarray) -> ctypes.c_void_p:
    """Return where the entries of a contiguous array lie."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def build(source: Path, *flags: str) -> ctypes.CDLL:
    """Compile one C file to a shared library and load it."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernel.so"
        command = [str(COMPILER), *flags, "-shared", "-fPIC", "-o", str(library), str(source), "-lm"]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library))


@functools.cache
def scheduled() -> tuple[str, ...]:
    """Return the scheduling flags if the compiler is GCC."""
    text = subprocess.run([str(COMPILER), "--version"], capture_output=True, text=True, check=True).stdout
    return SCHEDULE if "Free Software Foundation" in text else ()


def sweep(size: Size) -> Run:
    """kernels/sweep.c."""
    function = build(KERNELS / "sweep.c", *FAST, *scheduled()).sweep
    v, out = upstream(), np.zeros((VECTORS, 6))
    count, seed = ctypes.c_int64(size[0]), ctypes.c_uint64(SEED)

    def run() -> np.ndarray:
        function(address(v), ctypes.c_int64(VECTORS), count, seed, address(out))
        return out.copy()

    return run


# ---- the scalar graph, forward and reverse, as straight-line code

PIECE = 50  # operations a function: compilers need minutes for one of 10,000, and gain little by it
FORWARD = {
    ADD: "v[{a}] + v[{b}]",
    SUB: "v[{a}] - v[{b}]",
    MUL: "v[{a}] * v[{b}]",
    SIN: "sin(v[{a}])",
    TANH: "tanh(v[{a}])",
    EXP: "exp(v[{a}])",
    LOG1P: "log1p(v[{a}])",
}
REVERSE = {
    ADD: "g[{a}] += g[{k}]; g[{b}] += g[{k}];",
    SUB: "g[{a}] += g[{k}]; g[{b}] -= g[{k}];",
    MUL: "g[{a}] += g[{k}] * v[{b}]; g[{b}] += g[{k}] * v[{a}];",
    SIN: "g[{a}] += g[{k}] * cos(v[{a}]);",
    TANH: "g[{a}] += g[{k}] * (1 - v[{k}] * v[{k}]);",
    EXP: "g[{a}] += g[{k}] * v[{k}];",
    LOG1P: "g[{a}] += g[{k}] / (1 + v[{a}]);",
}
PASSES = """
void passes(const double *x, long count, double *out)
{{
    for (long i = 0; i < count; i++) {{
        double v[{length}], g[{length}] = {{0}};
        for (int j = 0; j < {inputs}; j++) v[j] = x[{inputs} * i + j];
        {forward}
        g[{length} - 1] = 1;
        {reverse}
        out[0] += v[{length} - 1];
        for (int j = 0; j < {inputs}; j++) out[1 + j] += g[j];
    }}
}}
"""


def straight_line(graph: Tape) -> str:
    """Return a C program that adds the value and the gradients of each of its points to out[0], out[1:]."""
    rows = [
        {"k": k, "op": op, "a": a, "b": b}
        for k, (op, a, b) in enumerate(zip(graph.op, graph.left, graph.right, strict=True), INPUTS)
    ]
    pieces = [rows[i : i + PIECE] for i in range(0, len(rows), PIECE)]
    text = ["#include <math.h>"]
    for i, piece in enumerate(pieces):
        text.append(f"static void forward{i}(double *restrict v) {{")
        text += [f"v[{row['k']}] = {FORWARD[row['op']].format(**row)};" for row in piece]
        text.append(f"}}\nstatic void reverse{i}(const double *restrict v, double *restrict g) {{")
        text += [REVERSE[row["op"]].format(**row) for row in reversed(piece)]
        text.append("}")
    forward = " ".join(f"forward{i}(v);" for i in range(len(pieces)))
    reverse = " ".join(f"reverse{i}(v, g);" for i in reversed(range(len(pieces))))
    length = INPUTS + len(rows)
    return "\n".join(text) + PASSES.format(length=length, inputs=INPUTS, forward=forward, reverse=reverse)


def scalars(size: Size) -> Run:
    """The generated program."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "tape.c"
        source.write_text(straight_line(tape(size[0])), encoding="utf-8")
        function = build(source, "-O1", "-march=native").passes
    x = points(size[1])

    def run() -> np.ndarray:
        out = np.zeros(1 + INPUTS)
        function(address(x), ctypes.c_long(len(x)), address(out))
        return out

    return run


WORKS = {
    "sweep": {"C by hand, 1 thread": Contender(sweep, "bar")},
    "scalars": {"C generated": Contender(scalars)},
}
