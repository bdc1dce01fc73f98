"""Compiled kernels on disk: content-addressed, checked, written atomically, private to the user.

Holds `Store` (a directory of images) and `store` (the one in use). A file's name is the hash of what it was
compiled from and for: the program, the processor, the versions of LLVM and of this package. Read
`Store.get` and `Store.put`. May import `compiler.machine`.

The directory is $PULLBACK_CACHE, else the platform's cache directory (XDG_CACHE_HOME or ~/.cache on Linux)
with "pullback" in it; PULLBACK_CACHE=off turns the cache off. Code is only read from a directory and files
that belong to this user and that others cannot write. A file that is damaged is taken for absent. Trouble
with the disk never stops a program.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import struct
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pullback.compiler.machine import Image

_MAGIC = b"pullback kernel 1\n"
_SUFFIX = ".kernel"
LIMIT = 2000  # files in the directory; beyond it the oldest are removed


def directory() -> Path | None:
    """Where kernels are kept; None where the cache is off."""
    named = os.environ.get("PULLBACK_CACHE")
    if named is not None:
        return None if named.strip().lower() in {"", "off", "0"} else Path(named)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "pullback"
    except RuntimeError:  # a user without a home
        return None


@cache
def fingerprint() -> str:
    """What a kernel depends on besides its program: processor, LLVM, and the code that writes LLVM."""
    parts = [platform.machine(), sys.platform, _processor(), _llvm_version()]
    here = Path(__file__).parent
    for file in sorted(here.rglob("*.py")):
        about = file.stat()
        parts.append(f"{file.name} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _processor() -> str:
    """The processor's model and abilities."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as f:
            first = f.read(16384).split("\n\n", maxsplit=1)[0]
    except OSError:
        return f"{platform.processor()} {platform.version()}"
    kept = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU ")
    return "\n".join(line for line in first.splitlines() if line.startswith(kept))


def _llvm_version() -> str:
    """llvmlite's version, without importing it."""
    found = find_spec("llvmlite")
    if found is None or found.origin is None:
        return "absent"
    try:
        return (Path(found.origin).parent / "_version.py").read_text(encoding="utf-8")
    except OSError:
        return found.origin


def key(program: str) -> str:
    """The name under which the kernel of this program text is kept."""
    return hashlib.sha256(f"{fingerprint()}\n{program}".encode()).hexdigest()


class Store:
    """A directory of images; `get` and `put` never raise for what the disk does."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def _file(self, name: str) -> Path | None:
        return None if self.path is None else self.path / (name + _SUFFIX)

    def get(self, name: str) -> Image | None:
        """The image kept under a name; None where there is none that can be trusted."""
        file = self._file(name)
        if file is None:
            return None
        try:
            with file.open("rb") as f:
                if not (_private(os.fstat(f.fileno())) and _private(file.parent.stat())):
                    return None
                return unpack(f.read(), name)
        except (OSError, ValueError, KeyError, struct.error):
            return None

    def put(self, name: str, image: Image) -> None:
        """Keep an image, in one step: a reader sees the whole file or none."""
        file = self._file(name)
        if file is None:
            return
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _private(file.parent.stat()):
                return
            handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as f:
                    f.write(pack(image, name))
                os.replace(temporary, file)  # noqa: PTH105 - atomic by definition, and a plain string is at hand
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                raise
            self._prune()

    def _prune(self) -> None:
        """Remove the oldest quarter where files have become too many."""
        assert self.path is not None
        files = list(self.path.glob("*" + _SUFFIX))
        if len(files) > LIMIT:
            files.sort(key=lambda f: f.stat().st_mtime)
            for f in files[: LIMIT // 4]:
                f.unlink(missing_ok=True)


def _private(about: os.stat_result) -> bool:
    """Does it belong to this user, and can nobody else write it?"""
    if not hasattr(os, "geteuid"):
        return True
    return about.st_uid == os.geteuid() and not about.st_mode & 0o022


def pack(image: Image, name: str) -> bytes:
    """An image as the bytes of a file: a mark, a checksum of the rest, a header, the code."""
    header = json.dumps(
        {"name": name, "entry": image.entry, "symbols": image.symbols, "form": image.form}, sort_keys=True
    ).encode()
    rest = struct.pack("<Q", len(header)) + header + image.code
    return _MAGIC + hashlib.sha256(rest).digest() + rest


def unpack(data: bytes, name: str) -> Image:
    """The image in a file's bytes; ValueError where they are not what `pack` wrote under this name."""
    start = len(_MAGIC) + 32
    rest = data[start:]
    if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(rest).digest() != data[len(_MAGIC) : start]:
        raise ValueError("damaged")
    (size,) = struct.unpack_from("<Q", rest)
    header = json.loads(rest[8 : 8 + size])
    if header["name"] != name:
        raise ValueError("kept under another name")
    return Image(rest[8 + size :], header["entry"], header["symbols"], header["form"])


def store() -> Store:
    """The store in use, by the environment as it is now."""
    return Store(directory())
