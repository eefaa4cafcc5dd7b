"""Parquet footers as Thrift structures.

The structures come from the official ``parquet.thrift`` (parquet-format 2.12.0, in this folder);
thriftpy2 speaks the compact protocol. See docs/decisions/0004-thrift-codec.md.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from nbplat.errors import DataError

__all__ = [
    "Footer",
    "damaged",
    "decode",
    "encode",
    "encrypted",
    "idl",
    "read_footer",
    "read_footer_bytes",
    "top_level_spans",
]

_MAGIC = b"PAR1"
_ENCRYPTED_MAGIC = b"PARE"
_TAIL = 8  # four bytes of footer length, four of magic


@dataclass(frozen=True, slots=True)
class Footer:
    """A decoded footer.

    Attributes:
        metadata: ``FileMetaData`` of parquet.thrift; mutable, owned by the caller.
        start: Offset of its first byte; everything before it is column data and indexes.
        size: Size of the whole file in bytes.
    """

    metadata: Any
    start: int
    size: int


@functools.cache
def idl() -> Any:
    """The module that thriftpy2 makes of parquet.thrift."""
    import thriftpy2

    return thriftpy2.load(str(Path(__file__).with_name("parquet.thrift")), module_name="parquet_format_thrift")


def decode(data: bytes, kind: str) -> Any:
    """Read one structure of parquet.thrift, e.g. ``FileMetaData``, from compact-protocol bytes."""
    from thriftpy2.protocol.compact import TCompactProtocol
    from thriftpy2.transport import TMemoryBuffer

    value = getattr(idl(), kind)()
    value.read(TCompactProtocol(TMemoryBuffer(data)))
    return value


def encode(value: Any) -> bytes:
    """Write a structure of parquet.thrift as compact-protocol bytes."""
    from thriftpy2.protocol.compact import TCompactProtocol
    from thriftpy2.transport import TMemoryBuffer

    buffer = TMemoryBuffer()
    value.write(TCompactProtocol(buffer))
    return bytes(buffer.getvalue())


def read_footer_bytes(file: BinaryIO, where: str) -> tuple[bytes, int, int]:
    """The footer as it lies in the file, the offset of its first byte, and the file's size.

    Raises:
        DataError: not Parquet, cut off, or encrypted; `where` names the file.
    """
    size = file.seek(0, 2)
    if size < _TAIL + len(_MAGIC):
        raise damaged(where)
    file.seek(size - _TAIL)
    tail = file.read(_TAIL)
    if tail[4:] == _ENCRYPTED_MAGIC:
        raise encrypted(where)
    (length,) = struct.unpack("<I", tail[:4])
    if tail[4:] != _MAGIC or length > size - _TAIL:
        raise damaged(where)
    start = size - _TAIL - length
    file.seek(start)
    return file.read(length), start, size


def read_footer(file: BinaryIO, where: str) -> Footer:
    """Read and decode the footer.

    Raises:
        DataError: not Parquet, cut off, or encrypted; `where` names the file.
    """
    data, start, size = read_footer_bytes(file, where)
    try:
        metadata = decode(data, "FileMetaData")
    except Exception:  # noqa: BLE001 - thriftpy2 raises whatever its tables meet in bytes that are no Thrift
        raise damaged(where) from None
    if not metadata.schema or metadata.row_groups is None:
        raise damaged(where)
    if metadata.encryption_algorithm is not None:
        raise encrypted(where)
    return Footer(metadata, start, size)


def top_level_spans(metadata: Any) -> dict[str, slice]:
    """Where each top-level column's elements lie in the flattened schema, in file order.

    A primitive column spans one element; a list or struct spans its whole subtree.
    """
    spans: dict[str, slice] = {}
    position = 1  # element 0 is the root
    while position < len(metadata.schema):
        end = position
        open_children = 1
        while open_children:
            open_children += (metadata.schema[end].num_children or 0) - 1
            end += 1
        spans[metadata.schema[position].name] = slice(position, end)
        position = end
    return spans


def damaged(where: str) -> DataError:
    """The error for a file that is not, or no longer, Parquet."""
    return DataError(
        "parquet.damaged", "the file is not a whole Parquet file", fix="restore it or plan without it", where=where
    )


def encrypted(where: str) -> DataError:
    """The error for a file whose columns or footer are encrypted."""
    return DataError(
        "parquet.encrypted",
        "the file is encrypted and cannot be spliced",
        fix="rewrite the table unencrypted",
        where=where,
    )
