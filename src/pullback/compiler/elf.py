"""A linker for one object file: what LLVM emits becomes one flat piece of bytes that runs wherever it is put.

Holds `link`. Sections are laid one after the other, references between them are relative and resolved here;
library functions are called through a table of addresses at the end, filled in when the code is loaded. The
object format is that of the System V ABI (ELF-64, x86-64 supplement, section 4.4 for relocations). Read
`link`. Imports nothing of the package.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_PROGBITS_ALLOC = 0x2
_NOBITS = 8
_PC32, _PLT32, _GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX, _PC64 = 2, 4, 9, 41, 42, 24
_GOT = frozenset({_GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX})
_UNDEFINED = 0
_JUMP = b"\xff\x25"  # jmp [rip + d32]
_PAD = 64


@dataclass
class _Section:
    """A section header, and where the section lies in the image (or -1)."""

    name: int
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    place: int = -1


@dataclass
class _Symbol:
    name: str
    section: int
    value: int


def _sections(data: bytes) -> list[_Section]:
    """The section headers of an object file."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("this is no little-endian ELF-64 object file")
    (start,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    made: list[_Section] = []
    for i in range(count):
        f = struct.unpack_from("<IIQQQQIIQQ", data, start + i * size)
        made.append(_Section(f[0], f[1], f[2], f[4], f[5], f[6], f[7], f[8]))
    return made


def _symbols(data: bytes, sections: list[_Section]) -> list[_Symbol]:
    """The symbol table."""
    made: list[_Symbol] = []
    for table in sections:
        if table.kind != 2:
            continue
        names = sections[table.link].offset
        for at in range(table.offset, table.offset + table.size, 24):
            name, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, at)
            start = names + name
            made.append(_Symbol(data[start : data.index(b"\0", start)].decode(), section, value))
    return made


def _wanted(section: _Section) -> bool:
    """Does the section belong into memory? Tables for unwinding do not: nothing is ever thrown."""
    return bool(section.flags & _PROGBITS_ALLOC) and section.kind in {1, _NOBITS} and section.size > 0


def link(data: bytes, entry: str) -> tuple[bytes, int, dict[str, int]]:
    """The image, the offset of function `entry`, and for each library function its place in the table.

    Raises ValueError for an object file that is not of this kind or refers to something absolutely.
    """
    sections = _sections(data)
    image = bytearray()
    for s in sections:
        if _wanted(s):
            image += b"\0" * (-len(image) % max(s.align, 1))
            s.place = len(image)
            image += data[s.offset : s.offset + s.size] if s.kind != _NOBITS else b"\0" * s.size
    symbols = _symbols(data, sections)
    outside = sorted({s.name for s in symbols if s.section == _UNDEFINED and s.name})
    image += b"\0" * (-len(image) % _PAD)
    table = {name: len(image) + 8 * i for i, name in enumerate(outside)}
    image += b"\0" * (8 * len(outside))
    stubs: dict[str, int] = {}
    for name in outside:
        stubs[name] = len(image)
        image += _JUMP + struct.pack("<i", table[name] - len(image) - 6)
    for s in sections:
        if s.kind == 4 and sections[s.info].place >= 0:
            _relocate(data, image, s, sections, symbols, table, stubs)
    (start,) = (sections[s.section].place + s.value for s in symbols if s.name == entry)
    return bytes(image), start, table


def _relocate(
    data: bytes,
    image: bytearray,
    relocations: _Section,
    sections: list[_Section],
    symbols: list[_Symbol],
    table: dict[str, int],
    stubs: dict[str, int],
) -> None:
    """Resolve one section's references; all are relative to where they stand."""
    base = sections[relocations.info].place
    for at in range(relocations.offset, relocations.offset + relocations.size, 24):
        offset, info, addend = struct.unpack_from("<QQq", data, at)
        kind, symbol = info & 0xFFFFFFFF, symbols[info >> 32]
        place = base + offset
        if symbol.section == _UNDEFINED:
            target = table[symbol.name] if kind in _GOT else stubs[symbol.name]
        else:
            target = sections[symbol.section].place + symbol.value
            if kind in _GOT:
                raise ValueError(f"reference to {symbol.name} by way of a table of addresses")
        if kind not in {_PC32, _PLT32, _PC64} | _GOT:
            raise ValueError(f"relocation of kind {kind} against {symbol.name!r}")
        form = "<q" if kind == _PC64 else "<i"
        struct.pack_into(form, image, place, target + addend - place)
