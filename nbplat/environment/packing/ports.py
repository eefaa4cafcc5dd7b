"""What packing asks of the world: a compressor, and an interpreter that compiles modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Codec", "CompileModules", "PackTools", "Packed"]

Packed = bytes | bytearray
"""Compressed bytes, as the libraries give them."""


class Codec(Protocol):
    """Compresses buffers; the parts of a stream may be compressed apart and put one after the other."""

    @property
    def name(self) -> str:
        """Of the algorithm and the level: equal names give equal bytes."""

    def compress(self, data: bytes | memoryview, machine_code: bool) -> Packed:
        """A complete gzip member, zstd frame or raw deflate stream.

        Args:
            machine_code: What is in `data`: a default level may take less pains with it, for it gains little.
        """

    def checksum(self, data: Packed | memoryview, before: int) -> int:
        """CRC-32 of bytes that follow those with the checksum `before`; 0 at the start."""


class CompileModules(Protocol):
    """Compiles modules to unchecked-hash bytecode."""

    def __call__(
        self,
        interpreter: Path,
        root: Path,
        batches: Sequence[Sequence[tuple[str, str]]],
        tag: str,
        *,
        scratch: Path,
        workers: int,
    ) -> list[list[bytes]] | None:
        """The content of each ``.pyc``, empty where a module does not compile.

        Args:
            interpreter: Python of the environment.
            root: Folder that the modules' paths start from.
            batches: Modules that are compiled together: path below `root` and sha256 of the source of each; another
                source is not compiled.
            tag: Cache tag of the bytecode: ``cpython-311``.
            scratch: An empty folder.

        Returns:
            One list a batch; None where no interpreter of this machine makes such bytecode.

        Raises:
            SetupError: ``env.compile``: an interpreter died over it.
        """


@dataclass(frozen=True, slots=True)
class PackTools:
    """What packing works with.

    Attributes:
        codec: Of the archive's format and level.
        compile_modules: Makes ``.pyc`` files.
        version: Of nbplat, for the manifest beside an archive.
    """

    codec: Codec
    compile_modules: CompileModules
    version: str = ""
