"""Reads ELF files and writes another library path into them, in place.

A new path must not be longer than the old one: it is written over it in the string table, so that no section moves and
no tool is needed. Format: System V ABI, "Dynamic Section" (tags 1 NEEDED, 5 STRTAB, 14 SONAME, 15 RPATH, 29 RUNPATH).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Elf", "is_elf", "read_elf", "with_library_path"]

_NEEDED, _STRTAB, _SONAME, _RPATH, _RUNPATH = 1, 5, 14, 15, 29
_LOAD, _DYNAMIC = 1, 2
_DYNSYM = 11


@dataclass(frozen=True, slots=True)
class Elf:
    """The dynamic part of one ELF file.

    Attributes:
        needed: Libraries it asks for, ``libc.so.6``.
        library_path: RPATH or RUNPATH as written, ``/opt/py/lib:$ORIGIN``; empty when there is none.
        path_at: Places in the file of the strings of the library path.
        used: Offsets into the string table that other entries and symbols name.
        strings_at: Place in the file where the string table starts.
    """

    needed: tuple[str, ...]
    library_path: str
    path_at: tuple[int, ...]
    used: frozenset[int]
    strings_at: int


def is_elf(content: bytes) -> bool:
    """Whether these are the bytes of an ELF file."""
    return content[:4] == b"\x7fELF"


def read_elf(content: bytes) -> Elf | None:
    """Read the dynamic part; None for files without one (objects, static programs) and for other formats."""
    if not is_elf(content) or len(content) < 64:
        return None
    wide, order = content[4] == 2, "<" if content[5] == 1 else ">"
    segments = list(_segments(content, wide, order))
    dynamic = next((segment for segment in segments if segment[0] == _DYNAMIC), None)
    if dynamic is None:
        return None
    _, offset, _, size = dynamic
    pair = struct.Struct(order + ("qQ" if wide else "iI"))
    entries = [pair.unpack_from(content, at) for at in range(offset, offset + size - pair.size + 1, pair.size)]
    table = next((value for tag, value in entries if tag == _STRTAB), None)
    if table is None:
        return None
    strings_at = next(
        (table - address + place for kind, place, address, length in segments
         if kind == _LOAD and address <= table < address + length), table
    )  # fmt: skip

    def text(value: int) -> str:
        start = strings_at + value
        return content[start : content.index(b"\0", start)].decode("utf-8", "surrogateescape")

    paths = [value for tag, value in entries if tag in (_RPATH, _RUNPATH)]
    return Elf(
        needed=tuple(text(value) for tag, value in entries if tag == _NEEDED),
        library_path=text(paths[0]) if paths else "",
        path_at=tuple(strings_at + value for value in dict.fromkeys(paths)),
        used=frozenset(
            [value for tag, value in entries if tag in (_NEEDED, _SONAME)] + list(_symbols(content, wide, order))
        ),
        strings_at=strings_at,
    )


def with_library_path(content: bytes, path: str) -> bytes | None:
    """Give the bytes with another library path; None when it does not fit over the old one.

    A file without a library path comes back as it is. A string that a symbol shares with the end of the old path
    (linkers merge tails) makes it not fit.
    """
    elf = read_elf(content)
    if elf is None or not elf.path_at:
        return content
    new = path.encode("utf-8", "surrogateescape")
    changed = bytearray(content)
    for start in elf.path_at:
        length = content.index(b"\0", start) - start
        inside = range(start - elf.strings_at + 1, start - elf.strings_at + length)
        if len(new) > length or any(value in inside for value in elf.used):
            return None
        changed[start : start + length] = new.ljust(length, b"\0")
    return bytes(changed)


def _segments(content: bytes, wide: bool, order: str) -> Iterator[tuple[int, int, int, int]]:
    """Kind, place in the file, address and size in the file of every segment."""
    place = struct.unpack_from(order + ("Q" if wide else "I"), content, 32 if wide else 28)[0]
    entry, count = struct.unpack_from(order + "HH", content, 54 if wide else 42)
    for at in range(place, place + entry * count, entry):
        if wide:
            kind, _, offset, address, _, size = struct.unpack_from(order + "IIQQQQ", content, at)
        else:
            kind, offset, address, _, size = struct.unpack_from(order + "IIIII", content, at)
        yield kind, offset, address, size


def _symbols(content: bytes, wide: bool, order: str) -> Iterator[int]:
    """Offsets of the names of the dynamic symbols."""
    place = struct.unpack_from(order + ("Q" if wide else "I"), content, 40 if wide else 32)[0]
    entry, count = struct.unpack_from(order + "HH", content, 58 if wide else 46)
    for at in range(place, place + entry * count, entry) if place else ():
        if wide:
            _, kind, _, _, offset, size = struct.unpack_from(order + "IIQQQQ", content, at)
        else:
            _, kind, _, _, offset, size = struct.unpack_from(order + "IIIIII", content, at)
        if kind == _DYNSYM:
            step = 24 if wide else 16
            for symbol in range(offset, offset + size - step + 1, step):
                yield struct.unpack_from(order + "I", content, symbol)[0]
