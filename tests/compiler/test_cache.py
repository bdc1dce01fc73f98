"""Kernels on disk: found again, never trusted when damaged or not the user's, never a reason to fail."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compiler.hand import Hand
from pullback.compiler import cache, elf, jit, machine


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache directory, and no kernels in memory."""
    path = tmp_path / "kernels"
    monkeypatch.setenv("PULLBACK_CACHE", str(path))
    monkeypatch.setattr(jit, "_kernels", type(jit._kernels)())
    return path


TWICE = [2.0, round(2 * np.e, 12)]


def doubled(factor=2.0):
    h = Hand(lanes=8)
    h.store(h.at("mul", "f8", h.at("exp", "f8", h.load("f8")), h.const(factor, "f8")))
    return h.program


def value(kernel):
    x, y = np.array([0.0, 1.0]), np.zeros(2)
    kernel.map([x, y], 0, 2)
    return [round(v, 12) for v in y.tolist()]


def again(program):
    """Compile as a new process would: what is in memory is forgotten."""
    jit._kernels.clear()
    return jit.compile_program(program)


def test_found_again(place):
    first = again(doubled())
    assert first.origin == "compiled"
    second = again(doubled())
    assert second.origin == "disk"
    assert value(first) == value(second) == TWICE
    assert again(doubled(3.0)).origin == "compiled"
    assert len(list(place.iterdir())) == 2


def test_one_kernel_in_memory(place):
    assert again(doubled()) is jit.compile_program(doubled())


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners of files here")
def test_belongs_to_the_user_alone(place):
    again(doubled())
    (file,) = place.iterdir()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o666)
    assert again(doubled()).origin == "compiled"
    file.chmod(0o600)
    assert again(doubled()).origin == "disk"
    place.chmod(0o777)
    assert again(doubled()).origin == "compiled"


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text", "other"])
def test_a_damaged_file_is_made_anew(place, damage):
    again(doubled())
    (file,) = place.iterdir()
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[-7] ^= 1
    elif damage == "cut":
        data = data[:-30]
    elif damage == "empty":
        data = bytearray()
    elif damage == "text":
        data = bytearray(
            b"not a kernel at all, but longer than the mark and the checksum together are, by far"
        )
    else:
        again(doubled(3.0))
        (other,) = (f for f in place.iterdir() if f != file)
        data = bytearray(other.read_bytes())
    file.write_bytes(bytes(data))
    made = again(doubled())
    assert made.origin == "compiled"
    assert value(made) == TWICE
    assert again(doubled()).origin == "disk"


def test_off(place, monkeypatch):
    for word in ("off", "OFF", "0", ""):
        monkeypatch.setenv("PULLBACK_CACHE", word)
        assert cache.directory() is None
        assert again(doubled()).origin == "compiled"
    assert not place.exists()


def test_a_directory_that_cannot_be_made(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    monkeypatch.setenv("PULLBACK_CACHE", str(blocked / "kernels"))
    for _ in range(2):
        kernel = again(doubled())
        assert kernel.origin == "compiled"
        assert value(kernel) == TWICE


def test_where_it_is_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("PULLBACK_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.directory() == tmp_path / "pullback"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.directory() == tmp_path / ".cache" / "pullback"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.directory() == tmp_path / "Library" / "Caches" / "pullback"


def test_the_name_depends_on_the_program_and_the_machine(monkeypatch):
    name = cache.key("a")
    assert name == cache.key("a")
    assert name != cache.key("b")
    monkeypatch.setattr(cache, "fingerprint", lambda: "another machine")
    assert name != cache.key("a")


def test_old_files_go(place, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 8)
    store = cache.Store(place)
    for i in range(9):
        store.put(f"{i:064d}", machine.Image(b"code", 0))
        os.utime(place / f"{i:064d}.kernel", (i, i))
    left = sorted(f.name for f in place.iterdir())
    assert len(left) == 7
    assert left[0].startswith(f"{2:064d}"[:64])


def test_writers_do_not_disturb_one_another(place):
    """Many processes at once: each ends with the right kernel, and the file that remains is whole."""
    program = (
        "import sys; sys.path[:0] = ['src', 'tests']\n"
        "from compiler.test_cache import doubled, value\n"
        "from pullback.compiler import jit\n"
        "print(value(jit.compile_program(doubled())))\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PULLBACK_CACHE": str(place)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=root, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    assert [p.communicate()[0].strip() for p in running] == [str(TWICE)] * 3
    assert again(doubled()).origin == "disk"
    assert len(list(place.iterdir())) == 1


def test_from_disk_llvm_is_not_imported(place):
    again(doubled())
    program = (
        "import sys; sys.path[:0] = ['src', 'tests']\n"
        "from compiler.test_cache import doubled, value\n"
        "from pullback.compiler import jit\n"
        "k = jit.compile_program(doubled())\n"
        "print(k.origin, value(k)[0], 'llvmlite' in sys.modules)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env={**os.environ, "PULLBACK_CACHE": str(place)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["disk", "2.0", "False" if machine.is_flat() else "True"]


def test_llvm_loader_gives_the_same(place):
    """The way of machines that are not x86-64 Linux: the object file is kept, LLVM's loader places it."""
    program = doubled()
    want = value(again(program))
    module, target = machine._optimised(jit.compile_program(program).llvm, "small")
    image = machine.Image(target.emit_object(module), 0, {}, "object")
    assert cache.unpack(cache.pack(image, "n"), "n") == image
    kernel = jit.Kernel(program, image, "compiled")
    assert value(kernel) == want


def test_what_is_no_object_file():
    with pytest.raises(ValueError, match="object file"):
        elf.link(b"MZ" + b"\0" * 100, "kernel")


def test_a_library_function_that_nobody_has():
    with pytest.raises(LookupError, match="no_such_function"):
        machine.load(machine.Image(b"\0" * 64, 0, {"no_such_function": 8}))
