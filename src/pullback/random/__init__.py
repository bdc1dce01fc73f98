"""Random numbers: the CPU streams of PyTorch's `manual_seed`, reproduced bit for bit.

Read `streams` first (the generator and its draws), then `numbers` (rand and randn, computed ahead), `words`
(the 32-bit words behind them), `cephes` (how words become floating-point numbers) and `ranges` (what is
accepted).
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from contextlib import contextmanager
from typing import Any

from pullback.random.streams import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **_: Any) -> Steps[None]:  # noqa: ARG001 - PyTorch's arguments
    """Draw inside without moving the default stream outside.

    >>> _ = manual_seed(0)
    >>> with fork_rng():
    ...     _ = default_generator.rand((3,))
    >>> float(default_generator.rand((1,))[0].round(4))
    0.49630001187324524
    """
    before = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(before)


__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]
