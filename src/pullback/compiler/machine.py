"""From LLVM text to code in memory: passes, object file, flat image, addresses of library functions.

Holds `build` (text -> `Image`), `load` (Image -> address) and `address` (a library function by name). An
Image is plain bytes without absolute addresses, so it can be kept on disk and loaded without LLVM. Read
`Image`, then `build`. May import NumPy and `errors`; llvmlite only inside functions.

Only x86-64 object files of the ELF format are turned into images. Elsewhere LLVM's own loader is used, and
what is kept on disk is the object file.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pullback.compiler.elf import link


@dataclass(frozen=True)
class Image:
    """Machine code at rest.

    code      the bytes: instructions, constants, then a table of 8-byte addresses to fill in
    entry     offset of the function "kernel"
    symbols   library function -> offset of its place in the table
    form      "flat", or "object" for an object file that LLVM's loader must place
    """

    code: bytes
    entry: int
    symbols: dict[str, int] = field(default_factory=dict[str, int])
    form: str = "flat"


def is_flat() -> bool:
    """Are images flat on this machine?"""
    return platform.machine() in {"x86_64", "AMD64"} and sys.platform.startswith("linux")


@cache
def _machine(level: int) -> tuple[Any, Any]:
    """llvmlite's binding module and a target machine for this processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=level,
        reloc="pic",
        codemodel="small",
    )
    return llvm, machine


def _optimised(text: str, size: str) -> tuple[Any, Any]:
    """The module after LLVM's passes, and the target machine. Vectors are ours: no vectoriser runs."""
    llvm, machine = _machine(0 if size == "huge" else 2)
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    # Programs come folded and without duplicates, and instruction selection tidies up what is left: the whole
    # standard pipeline takes ten times as long and was measured to gain nothing.
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    if size == "small":
        passes.add_simplify_cfg_pass()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    passes.run(module, llvm.create_pass_builder(machine, options))
    return module, machine


def build(text: str, size: str = "small") -> Image:
    """Compile an LLVM module with a public function "kernel"; size is what `llvm.kernel.size_of` says."""
    module, machine = _optimised(text, size)
    code: bytes = machine.emit_object(module)
    if not is_flat():
        return Image(code, 0, {}, "object")
    return Image(*link(code, "kernel"))


def assembly(text: str, size: str = "small") -> str:
    """What `build` makes, as assembly."""
    module, machine = _optimised(text, size)
    return machine.emit_assembly(module)


# ------------------------------------------------------------------------------------------------ loading


def load(image: Image) -> tuple[int, Any]:
    """The address of the code in memory, and what must be kept alive as long as it is used."""
    if image.form == "object":
        return _load_object(image)
    room = mmap.mmap(-1, max(len(image.code), 1), prot=mmap.PROT_READ | mmap.PROT_WRITE)
    room.write(image.code)
    for name, place in image.symbols.items():
        room[place : place + 8] = struct.pack("<Q", address(name))
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    # writable or executable, never both
    if _protect()(start, len(image.code), mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "the system refuses to make memory executable")
    return start + image.entry, room


@cache
def _protect() -> Any:
    function = ctypes.CDLL(None, use_errno=True).mprotect
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return function


def _load_object(image: Image) -> tuple[int, Any]:
    """LLVM's loader places the object file."""
    llvm, _ = _machine(2)
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    for name in _SCIPY:
        llvm.add_symbol(name, address(name))
    engine.add_object_file(llvm.ObjectFileRef.from_data(image.code))
    engine.finalize_object()
    return engine.get_function_address("kernel"), engine


# SciPy's compiled special functions, by the names they have in its table of C functions
_SCIPY = {"scipy_psi": "__pyx_fuse_1psi"}


@cache
def address(name: str) -> int:
    """Where a library function stands in this process; LookupError where there is none of this name."""
    if name in _SCIPY:
        from scipy.special import cython_special

        return _capsule(cython_special.__pyx_capi__[_SCIPY[name]])
    for library in _libraries():
        try:
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            continue
    raise LookupError(f"no library has the function {name}")


@cache
def _libraries() -> list[Any]:
    """This process, and the C library's mathematics where it stands apart."""
    found: list[Any] = [ctypes.CDLL(None)]
    for name in ("libm.so.6", "libm.dylib"):
        try:
            found.append(ctypes.CDLL(name))
        except OSError:
            continue
    return found


def _capsule(capsule: Any) -> int:
    """The pointer in a Python capsule."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)) or 0)
