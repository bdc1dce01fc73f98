"""torch.linalg: decompositions, solvers and norms of matrices.

The functions live in `pullback.ops.linalg`, one file per op.

>>> import pullback as torch
>>> torch.linalg.det(torch.eye(2) * 2)
tensor(4.)

May import `errors`, `ops`.
"""

from __future__ import annotations

from typing import Any

from pullback.errors import LinAlgError
from pullback.ops.linalg import LINALG

globals().update(LINALG)


def __getattr__(name: str) -> Any:
    # reached only for names that do not exist
    raise AttributeError(f"module 'torch.linalg' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*LINALG, "LinAlgError"])


__all__ = ["LinAlgError"]  # the functions are listed by dir(): they come from the op table
