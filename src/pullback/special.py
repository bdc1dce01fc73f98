"""torch.special: special functions under the names that they have there.

>>> import pullback as torch
>>> torch.special.expit(torch.tensor(0.0))
tensor(0.5000)

May import `errors`, `ops`, `methods`.
"""

from __future__ import annotations

from typing import Any

from pullback.methods import public_names

# names there -> names of the op table
_OTHERS = {"expit": "sigmoid", "gammaln": "lgamma", "psi": "digamma"}
_SAME = (
    "digamma",
    "erf",
    "erfc",
    "erfinv",
    "exp2",
    "expm1",
    "log1p",
    "log_softmax",
    "logit",
    "logsumexp",
    "polygamma",
    "round",
    "sinc",
    "softmax",
    "xlogy",
)
_names = public_names()
_SPECIAL = {name: _names[name] for name in _SAME} | {name: _names[there] for name, there in _OTHERS.items()}
globals().update(_SPECIAL)


def __getattr__(name: str) -> Any:
    # reached only for names that do not exist
    raise AttributeError(f"module 'torch.special' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(_SPECIAL)


__all__: list[str] = []  # the functions are listed by dir(): they come from the op table
