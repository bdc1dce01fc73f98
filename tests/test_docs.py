"""The generated pages are up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from facets import judge
from pullback.families.op import TABLE

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_op_catalogue_is_the_table():
    # in a process of its own: tests put ops of their own into the table
    done = subprocess.run([sys.executable, DOCS / "build_ops.py", "--check"], check=False)
    assert done.returncode == 0, "docs/ops.md is out of date: run python docs/build_ops.py"


def test_every_op_with_samples_stands_in_the_catalogue_once():
    text = (DOCS / "ops.md").read_text(encoding="utf-8")
    assert [name for name in TABLE if judge.cases(name) and text.count(f"| `{name}` |") != 1] == []
