r"""The sweep of example 01 at its full size, by one command: 20 upstream vectors x 100,000 draws each.

Example 01 draws, differentiates and averages in a Python loop, a few thousand times for each upstream vector.
The command `pullback sensitivity` records `features` once, and averages v^T J over as many draws as wanted:

    pullback sensitivity examples/07_sensitivity_sweep.py:features --normal x=6 --upstream upstream.npy \
        --samples 100000 --fresh-draws --out DIR

It writes gradients.csv, values.csv, result.json and figures. The program runs it, reads the CSV file, and
compares with the closed form (0, 0, v2, 3/2 v3, 0, 0).
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reporting import start

SLOPES = (1.0, 1.0, 2.0, 3.0)
W = torch.zeros(4, 6)
for row, slope in enumerate(SLOPES):
    W[row, row] = slope
# 40 means are compared with their expectations: P(any beyond 4.5 standard errors) is below 3e-4
SIGMAS = 4.5


def features(x: torch.Tensor) -> torch.Tensor:
    """Return relu(W x), shape (4,), of one sample x, shape (6,)."""
    return torch.relu(W @ x)


def sweep(folder: Path, samples: int, seed: int) -> float:
    """Run the command; return its wall time in seconds."""
    from pullback.cli import main as pullback

    weight = np.linspace(0.01, 0.50, 20)
    upstream = np.zeros((20, 4), dtype=np.float32)
    upstream[:, 2], upstream[:, 3] = weight, 1.0 - weight
    np.save(folder / "upstream.npy", upstream)
    words = (
        f"sensitivity {Path(__file__).name}:features --normal x=6 --upstream upstream.npy --samples {samples}"
    )
    print(f"$ pullback {words} --seed {seed} --fresh-draws --dtype float32 --out DIR\n")
    command = words.split()
    command[1] = f"{__file__}:features"
    command[5] = str(folder / "upstream.npy")
    begin = time.perf_counter()
    status = pullback(
        [*command, "--seed", str(seed), "--fresh-draws", "--dtype", "float32", "--out", str(folder)]
    )
    seconds = time.perf_counter() - begin
    assert status == 0
    return seconds


def farthest(rows: list[dict[str, Any]]) -> float:
    """Return the largest distance of a mean from its expectation, in standard errors."""
    worst = 0.0
    for row in rows:
        column = int(row["entry"].strip("x[]"))
        mean, stderr = float(row["mean"]), float(row["stderr"])
        if column not in (2, 3):
            assert mean == stderr == 0.0, "no weighted output depends on this input"
            continue
        expected = 0.5 * SLOPES[column] * float(row[f"v[{column}]"])
        assert abs(float(row["active"]) - 0.5) < SIGMAS * 0.5 / 100, "the unit is on half of the time"
        worst = max(worst, abs(mean - expected) / stderr)
    return worst


def main() -> None:
    """Run the sweep, compare with the closed form, say how long it took."""
    report, options = start("07_sensitivity_sweep", __doc__, samples=100_000, seed=0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (report.out or Path(temporary)) / report.name
        folder.mkdir(parents=True, exist_ok=True)
        seconds = sweep(folder, options.samples, options.seed)
        with (folder / "gradients.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        computed = json.loads((folder / "result.json").read_text(encoding="utf-8"))["seconds"]
    assert len(rows) == 20 * 6
    worst = farthest(rows)
    print(
        "\nClosed form (0, 0, v2, 3/2 v3, 0, 0): "
        f"the farthest of 40 means is {worst:.2f} standard errors away"
    )
    assert worst < SIGMAS
    timing = (
        f"20 upstream vectors x {options.samples:,} fresh draws: {computed:.3f} s, "
        f"with compilation or its cache; with files and figures {seconds:.2f} s"
    )
    print(timing)
    report.record(samples=options.samples, worst_sigma=worst, seconds=computed, timing=timing)
    report.finish()


if __name__ == "__main__":
    main()
