"""Run programs under PyTorch: what they print, and the exception they end with. Imports no pullback."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path


def printed(paths):
    """stem -> (what it printed, the name of the exception's class or "")."""
    import torch

    found = {}
    for path in map(Path, paths):
        torch.manual_seed(0)
        out, error = io.StringIO(), ""
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
                exec(code, {"__name__": "__main__"})
            except Exception as raised:  # noqa: BLE001 - how it ends is a part of the answer
                error = type(raised).__name__
        found[path.stem] = (out.getvalue(), error)
    return found
