"""Parquet files as a source of events: pieces that any process can read, and what came since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbplat.adapters.parquet.find_files import FoundFile, find_files, partition_values
from nbplat.adapters.parquet.one_schema import one_schema, typed_partitions
from nbplat.errors import Conflict, DataError, RequestError, SetupError, from_record
from nbplat.remote.failure import KernelError
from nbplat.sequence.known_columns import check_known
from nbplat.sequence.ports import SourcePart, SourcePin
from nbplat.terms import content_hash

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["ParquetEventSource"]

_CHUNK_ROWS = 1 << 17

# A large file is read in pieces of about this size, each some of its row groups.
_PART_BYTES = 64 << 20

# Footers at once; on an object store each is a round trip or two.
_READERS = 8

_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"


@dataclass(frozen=True, slots=True)
class _Footer:
    """What the footer of a file says; `groups` are rows and compressed bytes of each row group."""

    schema: pa.Schema
    groups: tuple[tuple[int, int], ...]


class ParquetEventSource:
    """Implements `nbplat.sequence.ports.EventSource` over the files that a path, folder or glob names.

    Columns are found by name. A folder ``name=value`` on the way to a file is a column of every row in it, unless the
    file holds a column of that name. A column that a file lacks is null there.

    Args:
        path: See `find_files`.
        storage: Gives the options of the store of a location.
        pin: Which state: files that came since are left out. None takes those that are there.

    Raises:
        NotFound: nothing is there (``source.missing``, ``source.no_match``).
        RequestError: ``source.no_parquet``, ``source.not_parquet``.
        DataError: ``source.damaged``, ``source.types``, ``source.column``.
        SetupError: ``source.encrypted``, or the store cannot be opened here.
        Conflict: ``source.moved``, files of the pin are gone or were written again.
    """

    def __init__(self, path: str, storage: Callable[[str], Mapping[str, str]], pin: SourcePin | None = None) -> None:
        self._path = path
        self._storage = storage
        files = find_files(path, storage)
        if pin is not None:
            kept = _as_of(files, pin)
            if kept is None:
                raise Conflict(
                    "source.moved",
                    f"files of {path} were removed or written again since the plan",
                    fix="run the cell again: it reads the files as they are now",
                )
            files = kept
        self._files = files

    @cached_property
    def pin(self) -> SourcePin:
        """The files by location, size and time of change."""
        return SourcePin("path", self._path, _identity(_by_age(self._files)))

    @cached_property
    def schema(self) -> pa.Schema:
        """See the port; the folders' columns come last."""
        import pyarrow as pa

        files = [(file.location, footer.schema) for file, footer in zip(self._files, self._footers, strict=True)]
        whole = one_schema(files)
        folders = [pa.field(name, kind) for name, (kind, _) in self._partitions.items() if name not in whole.names]
        return pa.schema([*whole, *folders])

    @property
    def rows(self) -> int:
        """From the footers."""
        return sum(rows for footer in self._footers for rows, _ in footer.groups)

    @property
    def bytes(self) -> int:
        """From the listing."""
        return sum(file.file_bytes for file in self._files)

    @cached_property
    def parts(self) -> tuple[SourcePart, ...]:
        """Row groups of one file each, of about 64 MB, by location and place."""
        return self._parts_of(range(len(self._files)))

    def read(self, columns: Sequence[str], *, encoded: Sequence[str] = ()) -> Iterator[pa.Table]:
        """See the port."""
        from nbplat.remote.sequence.source_part import read_part

        check_known(columns, self.schema.names, self._path)
        for part in self.parts:
            try:
                yield from read_part(part.task, columns, _CHUNK_ROWS, encoded=encoded)
            except KernelError as exc:
                raise from_record(exc.record()) from None

    def added_since(self, pin: SourcePin) -> tuple[SourcePart, ...] | None:
        """See the port: every file of the pin must be there as it was, and what is new must be younger than them."""
        before = _as_of(self._files, pin)
        if before is None or pin.kind != "path":
            return None
        old = {file.location for file in before}
        return self._parts_of([number for number, file in enumerate(self._files) if file.location not in old])

    def parts_within(
        self, column: str, window: tuple[int | None, int | None], unit: str | None
    ) -> tuple[SourcePart, ...]:
        """See the port: nothing is known of the times of parts."""
        return self.parts

    def changed_span(self, pin: SourcePin, column: str, unit: str | None) -> tuple[int, int] | None:
        """See the port: nothing is known of the times of rows."""
        return None

    def _parts_of(self, numbers: Sequence[int]) -> tuple[SourcePart, ...]:
        shared = {"kind": "parquet", "schema": self.schema.serialize().to_pybytes()}
        return tuple(part for number in numbers for part in self._parts_of_file(number, shared))

    def _parts_of_file(self, number: int, shared: Mapping[str, Any]) -> Iterator[SourcePart]:
        file, footer = self._files[number], self._footers[number]
        task = {
            **shared,
            "path": file.location,
            "rows": sum(rows for rows, _ in footer.groups),
            "constants": {
                name: self._partitions[name][1].get(text or "")
                for name, text in partition_values(file.location).items()
            },
            "storage": dict(self._storage(file.location)),
        }
        name = content_hash(file.location)[:16]
        for first, end in _runs(footer.groups):
            rows, size = (sum(group[which] for group in footer.groups[first:end]) for which in (0, 1))
            if rows:
                yield SourcePart(f"{name}-{first}", rows, size, {**task, "groups": (first, end)})

    @cached_property
    def _partitions(self) -> dict[str, tuple[pa.DataType, dict[str, Any]]]:
        return typed_partitions(partition_values(file.location) for file in self._files)

    @cached_property
    def _footers(self) -> tuple[_Footer, ...]:
        with ThreadPoolExecutor(min(_READERS, len(self._files)), thread_name_prefix="nbplat-footer") as pool:
            return tuple(pool.map(self._footer, self._files))

    def _footer(self, file: FoundFile) -> _Footer:
        from nbplat.remote.read import open_parquet

        storage = self._storage(file.location)
        try:
            with open_parquet(file.location, storage) as reader:
                metadata = reader.metadata
                return _Footer(reader.schema_arrow.remove_metadata(), tuple(_groups(metadata)))
        except KernelError as exc:
            if exc.code == "file.damaged":
                raise _unreadable(file, storage, exc) from None
            raise from_record(exc.record()) from None


def _groups(metadata: pq.FileMetaData) -> Iterator[tuple[int, int]]:
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        size = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        yield group.num_rows, size


def _runs(groups: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Row groups ``[first, end)`` of about `_PART_BYTES` each."""
    first = size = 0
    for number, (_, group_bytes) in enumerate(groups):
        size += group_bytes
        if size >= _PART_BYTES or number == len(groups) - 1:
            yield first, number + 1
            first, size = number + 1, 0


def _unreadable(file: FoundFile, storage: Mapping[str, str], exc: KernelError) -> Exception:
    """Why a file has no footer that can be read, by its first bytes."""
    from nbplat.remote.storage import filesystem

    system, inside = filesystem(file.location, storage)
    with system.open_input_file(inside) as source:
        start = source.read(4)
    if start == _ENCRYPTED:
        return SetupError(
            "source.encrypted",
            "the file is encrypted",
            fix="name a copy in clear; encrypted Parquet is not read",
            where=file.location,
        )
    if start == _MAGIC:
        return DataError(
            "source.damaged",
            f"the file begins as Parquet and {exc.message.partition(': ')[2] or exc.message}",
            fix="write it again, or leave it out by a glob: a file that is still being written has no end yet",
            where=file.location,
        )
    shown = start.decode("ascii", "replace") if start else "nothing: it is empty"
    return RequestError(
        "source.not_parquet",
        f"the file is not Parquet: it begins with {shown!r}",
        fix="name Parquet files; write others as Parquet first (pyarrow.parquet.write_table)",
        where=file.location,
    )


def _by_age(files: Sequence[FoundFile]) -> list[FoundFile]:
    return sorted(files, key=lambda file: (file.modified_ns, file.location))


def _identity(files: Sequence[FoundFile]) -> str:
    """How many files and a hash over them, the oldest first: so the files of an earlier state can be found again."""
    listed = [[file.location, file.file_bytes, file.modified_ns] for file in files]
    return f"{len(files)}-{content_hash({'files': listed})}"


def _as_of(files: Sequence[FoundFile], pin: SourcePin) -> tuple[FoundFile, ...] | None:
    """The files of an earlier state, by location; None when they are not the oldest ones any more."""
    count = pin.identity.partition("-")[0]
    oldest = _by_age(files)[: int(count)] if count.isdecimal() else []
    if not oldest or _identity(oldest) != pin.identity:
        return None
    return tuple(sorted(oldest, key=lambda file: file.location))
