"""Anomaly mode: remember where each node was recorded, and stop at the first NaN cotangent.

May import `graph.modes`.
"""

from __future__ import annotations

import warnings
from typing import Any

from pullback.graph.modes import state

NOTICE = (
    "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
    "debugging."
)


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Switch anomaly mode at once; as a context manager, restore it at the end."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        """mode: on or off; check_nan: stop at NaN cotangents, or only remember where nodes were recorded."""
        self.before = (state.anomaly, state.anomaly_check_nan)
        state.update(anomaly=mode, anomaly_check_nan=check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        state.update(anomaly=self.before[0], anomaly_check_nan=self.before[1])


class detect_anomaly:  # noqa: N801 - PyTorch's name
    """Context manager.

    The first NaN that a backward rule returns raises, with the line that recorded the op.
    """

    def __init__(self, check_nan: bool = True) -> None:
        """Warns that the mode is slow."""
        self.check_nan = check_nan
        warnings.warn(NOTICE, UserWarning, stacklevel=2)

    def __enter__(self) -> None:
        self.before: Any = (state.anomaly, state.anomaly_check_nan)
        state.update(anomaly=True, anomaly_check_nan=self.check_nan)

    def __exit__(self, *_: object) -> None:
        state.update(anomaly=self.before[0], anomaly_check_nan=self.before[1])


def is_anomaly_enabled() -> bool:
    """Is anomaly mode on in this thread?"""
    return state.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Does anomaly mode stop at NaN?"""
    return state.anomaly_check_nan
