"""What packing asks of the world: a compressor, and an interpreter that compiles modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Codec", "CompileModules", "CompiledBatch", "PackTools"]


class Codec(Protocol):
    """Compresses buffers; the parts of a stream may be compressed apart and put one after the other."""

    @property
    def name(self) -> str:
        """Of the algorithm and the level: equal names give equal bytes."""

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        """A complete gzip member, zstd frame or raw deflate stream."""


@dataclass(frozen=True, slots=True)
class CompiledBatch:
    """Modules compiled together.

    Attributes:
        modules: (path below the prefix, sha256 of the source) of each; another source is not compiled.
    """

    modules: tuple[tuple[str, str], ...]


class CompileModules(Protocol):
    """Compiles modules to unchecked-hash bytecode."""

    def __call__(
        self, interpreter: Path, root: Path, batches: Sequence[CompiledBatch], tag: str, workers: int
    ) -> list[list[bytes]] | None:
        """The content of each ``.pyc``, empty where a module does not compile.

        Args:
            interpreter: Python of the environment.
            root: Folder that the modules' paths start from.
            tag: Cache tag that the environment's Python must have: ``cpython-311``.

        Returns:
            One list a batch; None where no interpreter of this machine makes such bytecode.
        """


@dataclass(frozen=True, slots=True)
class PackTools:
    """Attributes:
    codec: Of the archive's format and level.
    compile_modules: Makes ``.pyc`` files.
    """

    codec: Codec
    compile_modules: CompileModules
