"""Checkpoints: the totals so far in a file, so that a study that was killed goes on where it stopped.

Read `Checkpoint`. The file is an .npz archive with the totals after some whole number of blocks and a digest
of the problem. It is replaced in one step, so a kill at any moment leaves the old or the new one. May import
`sums`.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.sampling.sums import BLOCK, Sums

PAUSE = 2.0  # seconds between two writings


class Checkpoint:
    """A file that totals are written to now and then, and read from at the start.

    path    the file; its folder must exist
    digest  of everything that decides the numbers, but for the number of samples
    """

    def __init__(self, path: Any, digest: str, pause: float = PAUSE) -> None:
        """Nothing is read or written yet."""
        self.path = Path(path)
        self.digest = digest
        self.pause = pause
        self._written = time.monotonic()
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                message(
                    f"checkpoint: the folder {self.path.parent} does not exist",
                    f"checkpoint={str(path)!r}",
                    "make the folder first",
                )
            )

    def load(self, samples: int) -> tuple[Sums, int, float] | None:
        """(totals, blocks done, seconds spent) from the file; None where there is no file.

        ValueError where the file is damaged, of another problem, or of more samples than are asked for.
        """
        if not self.path.exists():
            return None
        header, total = self._read()
        if header["digest"] != self.digest:
            raise ValueError(
                message(
                    f"checkpoint: {self.path} belongs to another problem",
                    "the function, its inputs, wrt, upstream, seed, dtype, method or kernel differ from "
                    "those it was written for",
                    "use another file name, or delete the file to start anew",
                )
            )
        done = int(header["samples"])
        if done > samples or (done < samples and done % BLOCK):
            raise ValueError(
                message(
                    f"checkpoint: {self.path} holds {done} samples, which cannot become {samples}",
                    f"studies are continued in blocks of {BLOCK} samples, and never shortened",
                    f"ask for {done} samples, or delete the file to start anew",
                )
            )
        return total, -(-done // BLOCK), float(header["seconds"])

    def _read(self) -> tuple[dict[str, Any], Sums]:
        try:
            # opened here, because np.load leaves a damaged file open
            with self.path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                header: dict[str, Any] = json.loads(str(file["header"]))
                found = Sums(file["table"], file["first"])
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(
                message(
                    f"checkpoint: {self.path} cannot be read: it is damaged or no checkpoint",
                    f"reading says: {error}",
                    "delete the file to start anew",
                )
            ) from error
        return header, found

    def save(self, total: Sums, samples: int, seconds: float, *, now: bool = False) -> None:
        """Replace the file, unless it was written a moment ago and `now` is False."""
        if not now and time.monotonic() - self._written < self.pause:
            return
        header = {"digest": self.digest, "samples": samples, "seconds": seconds}
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, header=np.array(json.dumps(header)), table=total.table, first=total.first)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)  # noqa: PTH105 - name is a plain string
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            raise
        self._written = time.monotonic()
