"""Programs and notebooks written into a temporary folder, run as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import pullback

SOURCE = str(Path(pullback.__file__).resolve().parents[1])
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
    "PYTHONPATH": os.pathsep.join([SOURCE, *filter(None, [os.environ.get("PYTHONPATH")])]),
}


class Workplace:
    def __init__(self, folder):
        self.folder = folder

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    def notebook(self, name, *cells, **more):
        """A notebook of format 4; a cell is its text, or a dictionary."""
        raw = [cell if isinstance(cell, dict) else {"source": dedent(cell)} for cell in cells]
        whole = [{"cell_type": "code", "metadata": {}, **cell} for cell in raw]
        return self.write(name, json.dumps({"nbformat": 4, "nbformat_minor": 5, "cells": whole, **more}))

    def python(self, *arguments, stdin=""):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=ENVIRONMENT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def run(self, *arguments, stdin=""):
        """`pullback run ...` in the folder."""
        return self.python("-m", "pullback", "run", *arguments, stdin=stdin)


@pytest.fixture
def place(tmp_path):
    return Workplace(tmp_path)
