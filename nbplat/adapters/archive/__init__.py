"""Compressors of archives: libdeflate and zstd."""

from nbplat.adapters.archive.codecs import archive_codec

__all__ = ["archive_codec"]
