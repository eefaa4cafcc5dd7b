"""The compressor of a format and a level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nbplat.environment.packing.ports import Codec, Packed

__all__ = ["archive_codec"]


# At these, deflate makes archives smaller than conda-pack's at half of its CPU: machine code gains little from more
# pains and is most of the bytes, texts gain more.
_TEXT, _MACHINE_CODE = 4, 2
_ZSTD = 3


@dataclass(frozen=True, slots=True)
class _Codec:
    name: str
    work: Callable[[bytes | memoryview, bool], Packed]

    def compress(self, data: bytes | memoryview, machine_code: bool) -> Packed:
        return self.work(data, machine_code)

    def checksum(self, data: Packed | memoryview, before: int) -> int:
        # Five times as fast as zlib's, and every byte of an archive goes through it.
        import deflate

        return int(deflate.crc32(data, before))


def archive_codec(format: str, level: int) -> Codec:
    """Compress the pieces of an archive.

    All three give up the interpreter's lock while they work, so threads use all cores, and none keeps a time or a
    name: equal pieces give equal bytes.

    Args:
        format: ``tar.gz``, ``zip`` or ``tar.zst``.
        level: 1 to 12, of zstd to 22; 0 takes what is good for most.
    """
    if format == "tar.zst":
        return _Codec(f"zstd-{level or _ZSTD}", _zstd(level or _ZSTD))
    import deflate

    work = deflate.deflate_compress if format == "zip" else deflate.gzip_compress
    levels = (level or _TEXT, level or _MACHINE_CODE)
    name = "deflate" if format == "zip" else "gzip"
    return _Codec(
        f"{name}-{level or 'default'}", lambda data, machine_code: work(data, levels[1] if machine_code else levels[0])
    )


def _zstd(level: int) -> Callable[[bytes | memoryview, bool], Packed]:
    import zstandard

    # A compressor of its own for each piece: one must not be used by two threads at once.
    return lambda data, machine_code: zstandard.ZstdCompressor(level=level, write_checksum=True).compress(data)
