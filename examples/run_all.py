"""Run every example as its own program, and collect figures and numbers in one folder.

    python examples/run_all.py --out out                   under pullback, by `pullback run`
    python examples/run_all.py --out out --engine torch    the same programs under PyTorch

Writes OUT/*.png, OUT/<example>.txt (what it printed) and OUT/numbers.json; exits with 1 when one failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENGINES = {"pullback": [sys.executable, "-m", "pullback", "run"], "torch": [sys.executable]}


def examples(engine: str) -> list[Path]:
    """Return the numbered programs of this folder, in order; for PyTorch those that need no more than it."""
    programs = sorted(HERE.glob("[0-9][0-9]_*.py"))
    if engine == "pullback":
        return programs
    return [program for program in programs if "pullback" not in program.read_text(encoding="utf-8")]


def run(program: Path, engine: str, out: Path, extra: list[str]) -> tuple[bool, float]:
    """Run one example, keep what it printed, and return whether it succeeded and its wall time in seconds."""
    command = [*ENGINES[engine], str(program), "--out", str(out), *extra]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.perf_counter() - begin
    (out / f"{program.stem}.txt").write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        print(done.stdout[-2000:] + done.stderr[-4000:], file=sys.stderr)
    return done.returncode == 0, seconds


def main() -> int:
    """Run them all; return the exit status."""
    parser = argparse.ArgumentParser(description="Run every example and collect its figures and numbers.")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="pullback")
    parser.add_argument("--repeats", type=int, help="draws per upstream weight in the first example")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    numbers: dict[str, object] = {"engine": options.engine, "python": platform.python_version()}
    failed = []
    programs = examples(options.engine)
    for program in programs:
        extra = (
            ["--repeats", str(options.repeats)] if options.repeats and program.stem.startswith("01") else []
        )
        good, seconds = run(program, options.engine, options.out, extra)
        print(f"{program.stem:<30} {'ok' if good else 'FAILED':<7} {seconds:6.2f} s")
        written = options.out / f"{program.stem}.json"
        if good and written.exists():
            found = json.loads(written.read_text(encoding="utf-8"))
            numbers[program.stem] = found
            if "timing" in found:
                print(f"  {found['timing']}")
            written.unlink()
        elif not good:
            failed.append(program.stem)
    (options.out / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    figures = len(list(options.out.rglob("*.png")))
    print(f"{figures} figures, {len(programs)} texts and numbers.json in {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
