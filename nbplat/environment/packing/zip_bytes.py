"""Zip written by hand: every file deflated, modes kept, parts of packages put together as they are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from nbplat.environment.packing.files import PackedFile, is_machine_code
from nbplat.environment.packing.ports import Packed
from nbplat.environment.packing.read_file import FileReader

__all__ = ["ZipEntry", "zip_batch", "zip_batches", "zip_directory"]

_BATCH_FILES, _BATCH_BYTES = 64, 4 << 20
# 2020-01-01 in the two fields of MS-DOS.
_TIME, _DATE = 0, (2020 - 1980) << 9 | 1 << 5 | 1
_STORED, _DEFLATED = 0, 8
_UTF8 = 1 << 11
_UNIX = 3 << 8
_FOLDER_BIT = 0x10
_FULL = 0xFFFFFFFF


class ZipEntry(NamedTuple):
    """One entry as the directory lists it.

    Attributes:
        offset: Of its header, from the start of the part that it is in.
    """

    path: str
    executable: bool
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def zip_batches(files: Sequence[PackedFile], reader: FileReader) -> Iterator[Sequence[PackedFile]]:
    """Files that are deflated together, by one thread, which holds all of them in memory."""
    batch: list[PackedFile] = []
    size = 0
    for file in files:
        size += reader.size(file)
        batch.append(file)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def zip_batch(
    files: Iterable[PackedFile],
    reader: FileReader,
    deflate: Callable[[bytes, bool], Packed],
    relocated: Callable[[PackedFile, bytes], None],
) -> tuple[bytes, list[ZipEntry]]:
    """Headers and deflated bytes of files, and their entries from the start of these bytes.

    Raises:
        DataError: ``env.hash``: a file is not its package's.
    """
    out: list[Packed] = []
    entries, offset = [], 0
    for file in files:
        data, executable = (b"", True) if file.path.endswith("/") else reader.packed(file)
        if file.placeholder:
            relocated(file, data)
        packed = deflate(data, is_machine_code(file.path)) if data else b""
        # Deflate cannot make everything smaller; then the bytes travel as they are.
        method = _DEFLATED if data and len(packed) < len(data) else _STORED
        body = packed if method == _DEFLATED else data
        entry = ZipEntry(file.path, executable, method, zlib.crc32(data), len(body), len(data), offset)
        header = _local_header(entry)
        out += [header, body]
        offset += len(header) + len(body)
        entries.append(entry)
    return b"".join(out), entries


def zip_directory(parts: Iterable[tuple[int, Iterable[Sequence[Any]]]]) -> bytes:
    """The end of a zip: its directory.

    Args:
        parts: Where each part starts in the file, and its entries (`ZipEntry`, or what JSON makes of them).
    """
    out, count, end = [], 0, 0
    for start, entries in parts:
        for one in entries:
            entry = ZipEntry(*one)
            out.append(_directory_entry(entry, start + entry.offset))
            end = max(end, start + entry.offset + len(_local_header(entry)) + entry.packed)
            count += 1
    listed = b"".join(out)
    return listed + _ending(count, len(listed), end)


def _local_header(entry: ZipEntry) -> bytes:
    name, flags = _name(entry)
    large = entry.size >= _FULL or entry.packed >= _FULL
    extra = struct.pack("<HHQQ", 1, 16, entry.size, entry.packed) if large else b""
    packed, size = (_FULL, _FULL) if large else (entry.packed, entry.size)
    fields = (0x04034B50, 45 if large else 20, flags, entry.method, _TIME, _DATE, entry.crc, packed, size)
    return struct.pack("<IHHHHHIIIHH", *fields, len(name), len(extra)) + name + extra


def _directory_entry(entry: ZipEntry, offset: int) -> bytes:
    name, flags = _name(entry)
    wide = [value for value in (entry.size, entry.packed, offset) if value >= _FULL]
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    version = 45 if wide else 20
    folder = entry.path.endswith("/")
    mode = 0o40755 if folder else 0o100755 if entry.executable else 0o100644
    fields = (0x02014B50, _UNIX | version, version, flags, entry.method, _TIME, _DATE, entry.crc)
    sizes = (min(entry.packed, _FULL), min(entry.size, _FULL), len(name), len(extra))
    rest = (0, 0, 0, mode << 16 | (_FOLDER_BIT if folder else 0), min(offset, _FULL))
    return struct.pack("<IHHHHHHIIIHHHHHII", *fields, *sizes, *rest) + name + extra


def _ending(count: int, size: int, offset: int) -> bytes:
    out = b""
    if count > 0xFFFE or size >= _FULL or offset >= _FULL:
        out = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, offset)
        out += struct.pack("<IIQI", 0x07064B50, 0, offset + size, 1)
    few = min(count, 0xFFFF)
    return out + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, few, few, min(size, _FULL), min(offset, _FULL), 0)


def _name(entry: ZipEntry) -> tuple[bytes, int]:
    name = entry.path.encode("utf-8", "surrogateescape")
    return name, 0 if name.isascii() else _UTF8
