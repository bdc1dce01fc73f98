"""What sampling.py measures in new processes: the first call of the sweep, a billion samples, the normals.

    python benchmarks/sampling_fresh.py call jax|pullback SAMPLES     seconds of the first and the second call
    python benchmarks/sampling_fresh.py billion SAMPLES               seconds, peak memory before and after
    python benchmarks/sampling_fresh.py normals float32|float64 COUNT     tests of pullback's normal numbers

Each prints one JSON object; sampling.py starts them through `fresh` and prints `Line`s. Times begin after the
import of the library. Imports NumPy here, everything else where it is measured.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

COLD, WARM = 0.25, 0.02  # seconds to reach for pullback's first call: nothing cached, and from the disk cache
MEMORY = 200 * 2**20  # bytes that a billion samples may add


@dataclass(frozen=True)
class Line:
    """One line of the table, and the figures behind it."""

    text: str
    values: dict[str, Any]
    failed: bool = False


def fresh(*arguments: object, cache: str | None = None) -> dict[str, Any]:
    """Run this file in a new process; return what it printed. `cache` is where compiled code may be kept."""
    environment = dict(os.environ)
    if cache is not None:
        environment |= {
            "PULLBACK_CACHE": cache,
            "XDG_CACHE_HOME": cache,
            "JAX_COMPILATION_CACHE_DIR": cache,
        }
        environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


# ---- what sampling.py calls


def first_calls(libraries: list[str], *, quick: bool, repeats: int) -> list[Line]:
    """Return a line for each library: the sweep's first call, cold and from the disk cache."""
    samples, lines = 2_000 if quick else 100_000, []
    for name in libraries:
        pairs: list[list[dict[str, Any]]] = [[], []]
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as cache:
                for found in pairs:  # the first process fills the cache, the second one finds it
                    found.append(fresh("call", name, samples, cache=cache))
        lines.append(first_call(name, pairs))
    return lines


def first_call(name: str, pairs: list[list[dict[str, Any]]]) -> Line:
    """Return the line of one library, from what its cold and its warm processes printed."""
    error = next((found["error"] for part in pairs for found in part if "error" in found), None)
    if error is not None:
        return Line(f"{name:<12}failed: {error}", {"library": name}, failed=True)
    cold, warm = (statistics.median(found["first"] for found in part) for part in pairs)
    second = statistics.median(found["second"] for found in pairs[0])
    cold_text, warm_text, second_text = (f"{value * 1e3:.1f} ms" for value in (cold, warm, second))
    text = f"{name:<12}cold {cold_text}, from the disk cache {warm_text}, second call {second_text}"
    if name == "pullback":
        reached = cold <= COLD and warm <= WARM
        text += f"; to reach {COLD * 1e3:g} and {WARM * 1e3:g} ms: {'reached' if reached else 'MISSED'}"
    return Line(text, {"library": name, "cold": cold, "warm": warm, "second": second})


def billion(*, quick: bool) -> list[Line]:
    """Return the line of a billion samples (a million with --quick): time, and the memory that they add."""
    samples = 1_000_000 if quick else 1_000_000_000
    found = fresh("billion", samples)
    if "error" in found:
        return [Line(f"failed: {found['error']}", found, failed=True)]
    word = "reached" if found["peak"] <= MEMORY else "MISSED"
    text = (
        f"{samples:,} samples: {found['seconds']:.3g} s, {found['reports']} reports of progress; peak memory "
        f"{found['peak'] / 2**20:.0f} MiB, {found['added'] / 2**20:.0f} MiB of it added by the samples; "
        f"to reach {MEMORY / 2**20:.0f}: {word}"
    )
    return [Line(text, found)]


def quality(*, quick: bool) -> list[Line]:
    """Return what the tests of the normals say, for float32 and float64."""
    count = 1_000_000 if quick else 100_000_000
    lines = []
    for dtype in ("float32", "float64"):
        found = fresh("normals", dtype, count)
        if "error" in found:
            lines.append(Line(f"{dtype}: failed: {found['error']}", found, failed=True))
            continue
        moments = ", ".join(f"{score:+.2f}" for score in found["moments"])
        tails = ", ".join(f"{x:g}: {n:,} ({e:,.1f})" for x, n, e in found["tails"])
        lines += [
            Line(
                f"{dtype}, {count:,}: Kolmogorov-Smirnov D sqrt(n) = {found['ks']:.3f}, p = {found['p']:.3g}",
                found,
            ),
            Line(f"   moments 1 to 4, off by standard errors: {moments}", {}),
            Line(f"   beyond |x|, and how many are expected: {tails}", {}),
        ]
    return lines


# ---- what runs in the new process


def call(name: str, samples: int) -> dict[str, float]:
    """Time the first and the second call of the sweep."""
    if name == "jax":
        from sampling_peers_jax import sweep
    else:
        from sampling_ours import sweep as ours

        sweep = ours(None)
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        if not times:
            run = sweep((samples,))
        np.asarray(run())
        times.append(time.perf_counter() - begin)
    return {"first": times[0], "second": times[1]}


def high_water() -> int:
    """Return the peak memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's before exec
        line = next(
            line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
        )
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def many(samples: int) -> dict[str, float]:
    """Run one long sensitivity of the sweep's function, one upstream vector, with progress."""
    from sampling_ours import averaged_once

    averaged_once(10_000)
    before, reports = high_water(), [0]

    def progress(_done: int, _total: int) -> None:
        reports[0] += 1

    begin = time.perf_counter()
    averaged_once(samples, progress=progress)
    spent = time.perf_counter() - begin
    return {"seconds": spent, "peak": high_water(), "added": high_water() - before, "reports": reports[0]}


def normals(dtype: str, count: int) -> dict[str, Any]:
    """Test pullback's normal numbers: Kolmogorov-Smirnov, standardised moments, tails up to 6 sigma."""
    from scipy import special, stats

    from pullback.compiler.native_draws import fill

    x = np.sort(fill("normal", np.dtype(dtype), 2024, 0, 0, 0, count))
    statistic, part = 0.0, 1 << 20
    sums = np.zeros(4)
    for begin in range(0, count, part):
        piece = x[begin : begin + part].astype(np.float64)
        below = special.ndtr(piece)
        steps = np.arange(begin, begin + len(piece)) / count
        statistic = max(statistic, float((below - steps).max()), float((steps + 1 / count - below).max()))
        sums += [(piece**power).sum() for power in (1, 2, 3, 4)]
    # E x^k = 0, 1, 0, 3 and Var x^k = 1, 2, 15, 96 for k = 1 .. 4
    scores = (sums / count - [0, 1, 0, 3]) / np.sqrt(np.array([1, 2, 15, 96]) / count)
    tails = []
    for edge in (3.0, 4.0, 5.0, 5.5, 6.0):
        beyond = int(np.searchsorted(x, -edge)) + count - int(np.searchsorted(x, edge, side="right"))
        tails.append((edge, beyond, 2 * float(special.ndtr(-edge)) * count))
    scaled = statistic * count**0.5
    return {"ks": scaled, "p": float(stats.kstwobign.sf(scaled)), "moments": scores.tolist(), "tails": tails}


def main(arguments: list[str]) -> dict[str, Any]:
    """Run one of the three."""
    what, *rest = arguments
    if what == "call":
        return call(rest[0], int(rest[1]))
    return many(int(rest[0])) if what == "billion" else normals(rest[0], int(rest[1]))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
