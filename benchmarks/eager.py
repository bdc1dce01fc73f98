"""Eager speed side by side: pullback, PyTorch, JAX and HIPS autograd, in one process, on the same work.

    python benchmarks/eager.py [--quick] [--only NAME ...] [--json FILE]

Every repeat runs each library once, in turn, so that whatever else the machine does meets them alike; the
table shows medians. A library that is not installed is shown as "-". Results are compared before times are:
a library whose answer differs is shown as "wrong". Compilation (JAX) and warm-up are not timed, threads are
left at each library's default. Import time and peak memory are those of fresh interpreters. Read `WANTED`
and `measure` first.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import works

LIBRARIES = ("pullback", "torch", "jax", "autograd")


@dataclass(frozen=True)
class Wanted:
    """One row: which work, how large (and in --quick), what a unit is, the ratio to PyTorch to stay below."""

    work: str
    what: str
    size: int
    quick: int
    units: int = 0  # divide the time by size / units; 0: by 1
    target: float = 1.0
    compare: tuple[str, ...] = LIBRARIES


@dataclass
class Row:
    """What came out of one row: median seconds a unit by library, or a word that says why there is none."""

    work: str
    what: str
    unit: str
    cells: dict[str, float | str] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    ratio: float | None = None
    target: float | None = None


OWN_STREAM = ("pullback", "torch")  # the others draw other random numbers
WANTED = (
    Wanted(
        "workshop",
        "randn, relu(W x), backward(v), add .grad: one draw",
        2000,
        200,
        1,
        compare=OWN_STREAM,
        target=0.3,
    ),
    Wanted("descent", "gradient descent on 2 parameters: one step", 1000, 100, 1, target=0.3),
    Wanted("scalars", "graph of {n} 0-d ops, forward and backward: one op", 10_000, 2000, 1, target=0.4),
    Wanted("network", "784-256-10 network, 256 inputs: one training step", 10, 3, 1, target=1.1),
    Wanted("xy+z", "{n} float32: x*y+z", 10_000_000, 1_000_000, target=1.1),
    Wanted("xy+z back", "   forward and backward", 10_000_000, 1_000_000, target=1.1),
    Wanted("exp", "{n} float32: exp", 10_000_000, 1_000_000, target=1.1),
    Wanted("exp back", "   forward and backward", 10_000_000, 1_000_000, target=1.1),
    Wanted("sigmoid", "{n} float32: sigmoid", 10_000_000, 1_000_000, target=1.1),
    Wanted("sigmoid back", "   forward and backward", 10_000_000, 1_000_000, target=1.1),
    Wanted("jacobian", "functional.jacobian of a {n} -> {n} map", 64, 64),
    Wanted("chain", "backward through a chain of {n} ops: one op", 100_000, 10_000, 1),
)
LINEAR = 1.25  # (time of n ops / time of n/2 ops) / 2: 1 is linear, 2 would be quadratic
IMPORT_TARGET, MEMORY_TARGET = 0.25, 0.35  # import time and peak memory, as parts of PyTorch's


# ---- libraries


@functools.cache
def library(name: str) -> Any:
    """Return what runs the works of a library, or None where it is not installed."""
    try:
        if name in {"pullback", "torch"}:
            module = importlib.import_module(name)
            return {key: functools.partial(work, module) for key, work in works.WORKS.items()}
        importlib.import_module(name)
        return importlib.import_module(f"works_{name}").WORKS
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        return None


def number(result: Any) -> np.ndarray:
    """Return a result as float64 values, whoever made it."""
    return np.asarray(result.detach() if hasattr(result, "detach") else result, dtype=float)


def agree(name: str, result: np.ndarray, reference: np.ndarray) -> bool:
    """Say whether a result is the reference to float32 accuracy; tell how far off it is when it is not."""
    if result.shape == reference.shape and np.allclose(result, reference, rtol=2e-3, atol=1e-4):
        return True
    print(f"{name}: result differs: {result.ravel()[:4]} against {reference.ravel()[:4]}", file=sys.stderr)
    return False


# ---- measuring


def once(task: works.Task) -> tuple[float, Any]:
    """Run a task once; return seconds and the result."""
    given = task.prepare()
    begin = time.perf_counter()
    result = task.run(given)
    return time.perf_counter() - begin, result


def ready(wanted: Wanted, size: int) -> tuple[dict[str, works.Task], dict[str, float | str]]:
    """Make and warm up the tasks of all libraries; return them, and a word for each library that has none."""
    tasks: dict[str, works.Task] = {}
    words: dict[str, float | str] = {}
    reference = None
    for name in LIBRARIES:
        made = library(name)
        if made is None or wanted.work not in made:
            words[name] = "-"
            continue
        try:
            task = made[wanted.work](size)
            result = number(once(task)[1])
        except Exception:  # noqa: BLE001  (one library's failure is a cell of the table)
            traceback.print_exc()
            words[name] = "failed"
            continue
        reference = result if reference is None else reference
        if name in wanted.compare and not agree(f"{wanted.work}, {name}", result, reference):
            words[name] = "wrong"
        else:
            tasks[name] = task
    return tasks, words


def measure(wanted: Wanted, *, quick: bool, repeats: int) -> Row:
    """Time one work with every library in turn; return its row."""
    size = wanted.quick if quick else wanted.size
    tasks, words = ready(wanted, size)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            gc.collect()
            seconds[name].append(once(task)[0])
    part = wanted.units / size if wanted.units else 1.0
    row = Row(wanted.work, wanted.what.format(n=f"{size:,}"), "s", dict(words), target=wanted.target)
    for name, found in seconds.items():
        row.cells[name] = statistics.median(found) * part
        row.spread[name] = (max(found) - min(found)) * part
    return with_ratio(row)


def linearity(*, quick: bool, repeats: int) -> Row:
    """Compare the chain of n operations with one of half the length; 1 is linear growth."""
    wanted = next(w for w in WANTED if w.work == "chain")
    size = wanted.quick if quick else wanted.size
    full, words = ready(wanted, size)
    half, _ = ready(wanted, size // 2)
    row = Row(
        "linearity",
        f"chain: time of {size:,} ops / (2 x time of {size // 2:,})",
        "",
        dict(words),
        target=LINEAR,
    )
    for name in full:
        pairs = [(once(full[name])[0], once(half[name])[0]) for _ in range(repeats)]
        row.cells[name] = statistics.median(p[0] for p in pairs) / statistics.median(p[1] for p in pairs) / 2
    own = row.cells.get("pullback")
    row.ratio = own if isinstance(own, float) else None
    return row


PROBE = """
import time
begin = time.perf_counter()
import {name}
seconds = time.perf_counter() - begin
try:
    # the high-water mark of this program alone; getrusage would count the parent's before exec
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
except OSError:
    import resource, sys
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(seconds, peak)
"""


def footprint(repeats: int) -> tuple[Row, Row]:
    """Return import time and peak memory of `import <library>`, each in fresh interpreters."""
    times = Row("import", "import time", "s", target=IMPORT_TARGET)
    memory = Row("memory", "peak memory after import", "B", target=MEMORY_TARGET)
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(repeats + 1):  # the first one fills the disk cache
        for name in LIBRARIES:
            if library(name) is None:
                continue
            command = [sys.executable, "-c", PROBE.format(name=name)]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            seconds, peak = map(float, text.split())
            found.setdefault(name, []).append((seconds, peak))
    for row, index in ((times, 0), (memory, 1)):
        for name in LIBRARIES:
            row.cells[name] = statistics.median(f[index] for f in found[name][1:]) if name in found else "-"
        with_ratio(row)
    return times, memory


def with_ratio(row: Row) -> Row:
    """Fill in pullback / torch."""
    own, theirs = row.cells.get("pullback"), row.cells.get("torch")
    if isinstance(own, float) and isinstance(theirs, float):
        row.ratio = own / theirs
    return row


# ---- the table


def quantity(value: float | str, unit: str) -> str:
    """Write seconds, bytes or a plain number for reading."""
    if isinstance(value, str):
        return value
    if unit == "s":
        scales = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
        scale, name = next((s for s in scales if value >= s[0]), scales[-1])
        return f"{value / scale:.3g} {name}"
    return f"{value / 2**20:.0f} MiB" if unit == "B" else f"{value:.2f}"


def line(row: Row) -> str:
    """Write one row of the table."""
    cells = "".join(f"{quantity(row.cells.get(name, '-'), row.unit):>11}" for name in LIBRARIES)
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
    target = "-" if row.target is None else f"<= {row.target:g}"
    missed = " *" if row.ratio is not None and row.target is not None and row.ratio > row.target else ""
    return f"{row.work:<13}{row.what:<54}{cells}{ratio:>8}{target:>9}{missed}"


def versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    found = {"python": platform.python_version(), "numpy": np.__version__}
    for name in LIBRARIES:
        if library(name) is not None:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = "not installed, but importable"
    return found


def jobs(options: argparse.Namespace, repeats: int) -> dict[str, Callable[[], tuple[Row, ...]]]:
    """Return what to run, by name, in the order of the table."""
    quick = options.quick
    made: dict[str, Callable[[], tuple[Row, ...]]] = {
        w.work: lambda w=w: (measure(w, quick=quick, repeats=repeats),) for w in WANTED
    }
    made["linearity"] = lambda: (linearity(quick=quick, repeats=repeats),)
    made["import"] = lambda: footprint(repeats)
    return {
        name: job for name, job in made.items() if not options.only or any(o in name for o in options.only)
    }


def main() -> int:
    """Run the table; return 1 when a library failed or gave another answer."""
    parser = argparse.ArgumentParser(description="Eager speed of pullback beside PyTorch, JAX and autograd.")
    parser.add_argument("--quick", action="store_true", help="small sizes, 3 repeats")
    parser.add_argument("--repeats", type=int, help="how often each is timed (7; 3 with --quick)")
    parser.add_argument("--only", action="append", metavar="NAME", help="works whose name contains NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there as well")
    options = parser.parse_args()
    repeats = options.repeats or (3 if options.quick else 7)

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{cores} cores; " + ", ".join(f"{name} {version}" for name, version in versions().items()))
    print(
        f"medians of {repeats}; ratio is pullback / torch (linearity: pullback's own); * misses its target\n"
    )
    heading = "".join(f"{name:>11}" for name in LIBRARIES)
    print(f"{'work':<13}{'':<54}{heading}{'ratio':>8}{'target':>9}")
    rows = []
    for job in jobs(options, repeats).values():
        for row in job():
            rows.append(row)
            print(line(row), flush=True)
    if options.json:
        table = {"cores": cores, "repeats": repeats, "quick": options.quick, "versions": versions()}
        table["rows"] = [asdict(row) for row in rows]
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return int(any(cell in {"failed", "wrong"} for row in rows for cell in row.cells.values()))


if __name__ == "__main__":
    sys.exit(main())
