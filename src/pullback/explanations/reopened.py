"""Read a record that a backward pass has freed: what the pass kept aside is put back for the time of reading.

Read `reopened`. May import `autograd.passes`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from pullback.autograd import passes


@contextlib.contextmanager
def reopened() -> Generator[None]:
    """Inside, nodes that the latest passes freed hold what they saved, where it was kept."""
    with contextlib.ExitStack() as stack:
        for p in passes.recent:
            stack.enter_context(p.restored())
        yield


__all__ = ["reopened"]
