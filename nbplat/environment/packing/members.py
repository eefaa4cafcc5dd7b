"""Layers kept compressed, by what is in them: whatever did not change is copied into the next archive."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any

from nbplat.environment.packing.container import Container, Squeezed
from nbplat.environment.packing.files import Layer, PackedFile
from nbplat.environment.packing.placeholders import slots
from nbplat.environment.packing.read_file import Changed, FileReader

__all__ = ["Member", "MemberStore", "make_members"]


@dataclass(frozen=True, slots=True)
class Member:
    """One kept layer.

    Attributes:
        size: Bytes of its file; `crc` over them.
        raw_bytes: Of its files before compression.
        relocations: Files that hold a placeholder: path, placeholder, whether compiled, slots.
        entries: Of a zip: what its directory lists.
        fresh: Whether this process made it just now.
    """

    path: Path
    size: int
    crc: int
    raw_bytes: int
    relocations: Sequence[Mapping[str, Any]] = ()
    entries: Sequence[Sequence[Any]] = ()
    fresh: bool = False


class MemberStore:
    """The kept layers of a store: ``<key>`` and ``<key>.json``, the latter written last.

    Args:
        folder: Where they lie.
        container: Part of every key.
    """

    def __init__(self, folder: Path, container: Container) -> None:
        self._folder = folder
        self._container = container

    def find(self, key: str) -> Member | None:
        """A kept layer; None when there is none, or one that was cut short."""
        path = self._file(key)
        try:
            record = json.loads(path.with_suffix(".json").read_bytes())
            member = Member(path, **record)
            if path.stat().st_size != member.size:
                return None
            # Whoever sweeps goes by this time.
            os.utime(path)
        except (OSError, ValueError, TypeError):
            return None
        return member

    def keep(self, key: str, made: Path, member: Member) -> Member:
        """Put a finished file to the kept ones."""
        path = self._file(key)
        self._folder.mkdir(parents=True, exist_ok=True)
        made.replace(path)
        record = {"size": member.size, "crc": member.crc, "raw_bytes": member.raw_bytes}
        lists = {"relocations": list(member.relocations), "entries": [list(one) for one in member.entries]}
        half = made.with_suffix(".json")
        half.write_text(json.dumps(record | lists, separators=(",", ":")), encoding="utf-8")
        half.replace(path.with_suffix(".json"))
        return replace(member, path=path, fresh=True)

    def discard(self, member: Member) -> None:
        """Forget a kept layer, whose bytes are not what they were."""
        member.path.with_suffix(".json").unlink(missing_ok=True)
        member.path.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        # The container's name is short and plain: it tells a person what the file is.
        return self._folder / f"{key[:40]}-{self._container.name.replace(' ', '-')}.part"


@dataclass(slots=True)
class _Making:
    """A layer whose file grows."""

    key: str
    path: Path
    file: FileIO
    checksum: Callable[[Any, int], int]
    size: int = 0
    crc: int = 0
    raw_bytes: int = 0
    relocations: list[dict[str, Any]] = field(default_factory=list)
    entries: list[list[Any]] = field(default_factory=list)

    def add(self, squeezed: Squeezed) -> None:
        left = memoryview(squeezed.data)
        while left:
            left = left[self.file.write(left) :]
        for entry in squeezed.entries:
            *most, offset = entry
            self.entries.append([*most, offset + self.size])
        self.size += len(squeezed.data)
        self.crc = self.checksum(squeezed.data, self.crc)
        self.raw_bytes += squeezed.raw_bytes

    def relocated(self, file: PackedFile, data: bytes) -> None:
        # Another thread may find them in another order; the whole list is sorted in the end.
        placeholder = os.fsencode(file.placeholder)
        found = slots(data, placeholder, binary=file.binary)
        if found:
            one = {"path": file.path, "placeholder": file.placeholder, "binary": file.binary, "slots": found}
            self.relocations.append(one)

    def member(self) -> Member:
        self.file.close()
        self.relocations.sort(key=lambda one: one["path"])
        return Member(self.path, self.size, self.crc, self.raw_bytes, self.relocations, self.entries)


def make_members(
    layers: Iterable[Layer],
    store: MemberStore,
    container: Container,
    reader: FileReader,
    scratch: Path,
    *,
    threads: int,
    said: Callable[[Layer, int], None],
) -> dict[str, Member]:
    """Compress layers and keep them.

    Args:
        scratch: A folder of one's own on the store's disk.
        threads: Pieces compressed at once.
        said: Gets each layer and the bytes of it that were compressed just now.

    Raises:
        DataError: ``env.hash``: a file is not its package's.
    """
    made: dict[str, Member] = {}
    left = list(layers)
    with ThreadPoolExecutor(threads) as pool:
        while left:
            try:
                for key, making in _in_turn(left, container, reader, scratch, pool, threads, said):
                    made[key] = store.keep(key, making.path, making.member())
            except Changed:
                # The reader takes that file from the other place now; what is finished stays.
                pass
            left = [layer for layer in left if layer.key not in made]
    return made


def _in_turn(
    layers: Sequence[Layer],
    container: Container,
    reader: FileReader,
    scratch: Path,
    pool: ThreadPoolExecutor,
    threads: int,
    said: Callable[[Layer, int], None],
) -> Iterator[tuple[str, _Making]]:
    """Layers as they are finished; the pieces of the next are under way while the last ones are waited for."""
    waiting: deque[tuple[Layer, _Making, Future[Squeezed] | None]] = deque()

    def one_more() -> Iterator[tuple[str, _Making]]:
        layer, making, squeezing = waiting.popleft()
        if squeezing is None:
            yield layer.key, making
        else:
            squeezed = squeezing.result()
            making.add(squeezed)
            said(layer, squeezed.raw_bytes)

    with ExitStack() as files:
        for number, layer in enumerate(layers):
            path = scratch / f"{number}-{layer.key[:16]}"
            making = _Making(layer.key, path, files.enter_context(path.open("wb", buffering=0)), container.checksum)
            for piece in container.pieces(layer.files, reader, making.relocated):
                waiting.append((layer, making, pool.submit(container.squeeze, piece)))
                if len(waiting) > 2 * threads:
                    yield from one_more()
            waiting.append((layer, making, None))
        while waiting:
            yield from one_more()
