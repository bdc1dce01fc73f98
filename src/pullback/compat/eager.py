"""torch.compile for programs written for torch: the function itself. Imports nothing of the package.

PyTorch's compiler watches Python values and records again when one changes; `pullback.compile` freezes them.
A program that was not written for that runs eagerly.
"""

from __future__ import annotations

from typing import Any


def compile(model: Any = None, **_options: Any) -> Any:
    """The function or module, unchanged; without one a decorator that does the same.

    >>> compile(abs, mode="default") is abs
    True
    """
    return model if model is not None else (lambda function: function)
