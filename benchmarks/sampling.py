"""Averaged gradients and compiled programs: pullback beside PyTorch, JAX, Numba, NumPy and C, in one process.

  python benchmarks/sampling.py [--quick] [--only ROW] [--skip NAME] [--repeat N] [--long] [--list] [--json F]

Every repeat runs each contender once, in turn, so that whatever else the machine does meets them alike; the
table shows medians, and apart from them what the first call takes longer (compilation, mostly). Answers are
compared before times are: of random numbers with their expectation, of the rest with each other. A library
that is not installed is named and left out. The first call in a fresh process, a billion samples and the
quality of the normals are measured by sampling_fresh.py. Read sampling_works.py, then `measure`.
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
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sampling_fresh
import sampling_works
from sampling_fresh import Line
from sampling_works import Contender, Goal, Row, Run, Size

# module with the works -> the distribution that it needs
MODULES = {
    "sampling_peers_c": "cc",
    "sampling_peers_torch": "torch",
    "sampling_peers_jax": "jax",
    "sampling_peers_numba": "numba",
    "sampling_peers_numpy": "numpy",
    "sampling_ours": "pullback",
}
SHORTEST = 0.005  # seconds: what takes less is called several times a repeat


@dataclass
class Result:
    """What came out of one contender: seconds, or a word that says why there are none."""

    role: str
    word: str = ""
    first: float = 0.0
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median seconds of one call."""
        return statistics.median(self.seconds)


# ---- contenders


@functools.cache
def works(module: str) -> dict[str, dict[str, Contender]]:
    """Return the works of a library, none where it is not installed."""
    try:
        return importlib.import_module(module).WORKS
    except ModuleNotFoundError as missing:
        if missing.name != MODULES[module]:
            raise
        return {}


def contenders(row: Row, skip: list[str]) -> dict[str, Contender]:
    """Return who takes part in a row, by name."""
    found = {name: made for module in MODULES for name, made in works(module).get(row.name, {}).items()}
    return {name: made for name, made in found.items() if not any(part in name for part in skip)}


# ---- measuring


def timed(run: Run, calls: int = 1) -> tuple[float, Any]:
    """Return the seconds of one of `calls` calls, and the last result."""
    result = None
    begin = time.perf_counter()
    for _ in range(calls):
        result = run()
    return (time.perf_counter() - begin) / calls, result


def start(contender: Contender, size: Size) -> tuple[Run, float, np.ndarray]:
    """Make the run and call it once; return it, the seconds that took, and its result."""
    begin = time.perf_counter()
    run = contender.make(size)
    result = np.asarray(run(), dtype=float)
    return run, time.perf_counter() - begin, result


def complaint(row: Row, size: Size, found: Result, answer: np.ndarray, before: dict[str, np.ndarray]) -> str:
    """Return what is wrong with an answer, "" if nothing; `before` holds the first answer of each role."""
    reference = next((a for role, a in before.items() if role != "part"), None)
    text = "" if reference is None else row.wrong(size, answer, reference)
    if not text and row.twins is not None and found.role == "own" and "bar" in before:
        text = row.twins(size, answer, before["bar"])
    return text


def ready(row: Row, size: Size, skip: list[str]) -> tuple[dict[str, Run], dict[str, Result]]:
    """Make, warm up and check all contenders; return those that can be timed, and a result for each one."""
    runs: dict[str, Run] = {}
    results: dict[str, Result] = {}
    answers: dict[str, np.ndarray] = {}
    for name, contender in contenders(row, skip).items():
        results[name] = found = Result(contender.role)
        try:
            run, found.first, answer = start(contender, size)
        except Exception:  # noqa: BLE001  (one library's failure is a line of the table)
            traceback.print_exc()
            found.word = "failed"
            continue
        text = complaint(row, size, found, answer, answers)
        if text:
            print(f"{row.name}, {name}: {text}", file=sys.stderr)
            found.word = "wrong"
        else:
            runs[name] = run
            answers.setdefault(contender.role, answer)
    return runs, results


def measure(row: Row, skip: list[str], *, quick: bool, repeats: int) -> dict[str, Result]:
    """Time one work with every contender in turn."""
    runs, results = ready(row, row.quick if quick else row.size, skip)
    calls = {name: max(1, round(SHORTEST / timed(run)[0])) for name, run in runs.items()}
    for _ in range(repeats):
        for name, run in runs.items():
            gc.collect()
            results[name].seconds.append(timed(run, calls[name])[0])
    return results


def best_peer(results: dict[str, Result]) -> str | None:
    """Return the name of the fastest peer."""
    peers = [name for name, found in results.items() if found.role == "peer" and found.seconds]
    return min(peers, key=lambda name: results[name].median, default=None)


def verdict(goal: Goal, results: dict[str, Result]) -> str:
    """Say how far a goal is reached; nothing where one of the two was not measured."""
    against = goal.against or best_peer(results)
    if any(name not in results or not results[name].seconds for name in (goal.own, against)):
        return ""
    assert against is not None
    ratio = results[goal.own].median / results[against].median
    word = "reached" if ratio <= goal.factor else "MISSED"
    return f"   {goal.own}: {ratio:.3g} of {against}; to reach {goal.factor:.3g}: {word}"


# ---- the table


def seconds(value: float) -> str:
    """Write seconds for reading."""
    scales = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
    scale, name = next((s for s in scales if value >= s[0]), scales[-1])
    return f"{value / scale:.3g} {name}"


def table(row: Row, size: Size, results: dict[str, Result]) -> str:
    """Write the lines of one row."""
    lines = [f"{row.name}: {row.what.format(*size)}"]
    best = best_peer(results)
    for name, found in results.items():
        if found.word:
            lines.append(f"   {name:<30}{found.word:>10}")
            continue
        low, high = min(found.seconds), max(found.seconds)
        ratio = f"{found.median / results[best].median:.3g}" if best else "-"
        spread = f"{seconds(low)} .. {seconds(high)}"
        before = seconds(max(found.first - found.median, 0.0))
        lines.append(f"   {name:<30}{seconds(found.median):>10}{spread:>24}{before:>12}{ratio:>9}")
    lines += filter(None, (verdict(goal, results) for goal in row.goals))
    return "\n".join(lines)


def heading(repeats: int) -> str:
    """Say what takes part and what the columns are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [f"{cores} cores", f"python {platform.python_version()}"]
    for module, name in MODULES.items():
        if not works(module):
            found.append(f"{name} is not installed: left out")
        elif name != "cc":
            found.append(f"{name} {version(name)}")
    columns = f"   {'':<30}{'median':>10}{'least .. most':>24}{'first call':>12}{'/ best':>9}"
    note = f"medians of {repeats}; first call: how much longer it takes; / best: over the best peer's"
    return f"{', '.join(found)}\n{note}\n\n{columns}"


def version(name: str) -> str:
    """Return the version of what is installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed, but importable)"


def record(results: dict[str, Result]) -> dict[str, Any]:
    """Return a row for the JSON file."""
    return {name: asdict(found) for name, found in results.items()}


def others(options: argparse.Namespace, repeats: int) -> dict[str, Callable[[], list[Line]]]:
    """Return what is measured in fresh processes, by name."""
    quick = options.quick
    installed = [name for module, name in MODULES.items() if name in {"jax", "pullback"} and works(module)]
    installed = [name for name in installed if name not in options.skip]
    made: dict[str, Callable[[], list[Line]]] = {
        "first call": lambda: sampling_fresh.first_calls(installed, quick=quick, repeats=repeats)
    }
    if options.long and "pullback" in installed:
        made["billion"] = lambda: sampling_fresh.billion(quick=quick)
        made["normals"] = lambda: sampling_fresh.quality(quick=quick)
    return made


def main() -> int:
    """Run the table; return 1 when a contender failed or gave another answer."""
    parser = argparse.ArgumentParser(description="Averaged gradients of pullback beside its peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes, 3 repeats")
    parser.add_argument("--repeat", type=int, metavar="N", help="how often each is timed (5; 3 with --quick)")
    parser.add_argument("--only", action="append", metavar="ROW", help="rows whose name contains ROW")
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="NAME",
        help="leave out contenders whose name contains NAME",
    )
    parser.add_argument("--long", action="store_true", help="also 1e9 samples, and 1e8 normals under test")
    parser.add_argument("--list", action="store_true", help="print the rows and who takes part")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there as well")
    options = parser.parse_args()
    repeats = options.repeat or (3 if options.quick else 5)

    def wanted(name: str) -> bool:
        return not options.only or any(part in name for part in options.only)

    rows = [row for row in sampling_works.ROWS if wanted(row.name)]
    fresh = {name: job for name, job in others(options, repeats).items() if wanted(name)}
    if options.list:
        print(
            "\n".join([*(f"{row.name}: {'; '.join(contenders(row, options.skip))}" for row in rows), *fresh])
        )
        return 0
    print(heading(repeats), flush=True)
    found: dict[str, Any] = {}
    failed = False
    for row in rows:
        results = measure(row, options.skip, quick=options.quick, repeats=repeats)
        print(table(row, row.quick if options.quick else row.size, results), flush=True)
        failed |= any(result.word for result in results.values())
        found[row.name] = record(results)
    for name, job in fresh.items():
        lines = job()
        print("\n".join([name, *(f"   {line.text}" for line in lines)]), flush=True)
        failed |= any(line.failed for line in lines)
        found[name] = [asdict(line) for line in lines]
    if options.json:
        content = {"repeats": repeats, "quick": options.quick, "rows": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
