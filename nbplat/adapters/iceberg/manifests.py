"""Reading manifests, each once.

pyiceberg's own `fetch_manifest_entry` knows no ``referenced_data_file`` and no place of a deletion
vector, so the entries are read here with its Avro reader and a schema of our own.
"""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import ManifestEntry, ManifestFile
    from pyiceberg.schema import Schema

__all__ = ["Manifests", "content_range", "garbage_later", "referenced_data_file"]

_KEPT_ENTRIES = 50_000
_REFERENCED, _OFFSET, _SIZE = 16, 17, 18
_ADDED, _DELETED = 1, 2


class Manifests:
    """Live entries of manifests, kept for as long as a plan goes back to them.

    Manifests never change, so an entry list is right for ever; the oldest lists go when more than
    50,000 entries are held.
    """

    def __init__(self, io: FileIO) -> None:
        self._io = io
        self._kept: OrderedDict[str, list[ManifestEntry]] = OrderedDict()
        self._lock = threading.Lock()

    def entries(self, manifests: Sequence[ManifestFile]) -> list[list[ManifestEntry]]:
        """Live entries per manifest, in the order given.

        Sequence number, snapshot id and partition spec are inherited from the manifest where an entry has none.
        """
        from pyiceberg.utils.concurrent import ExecutorFactory

        kept = {manifest.manifest_path: self._kept.get(manifest.manifest_path) for manifest in manifests}
        missing = [manifest for manifest in manifests if kept[manifest.manifest_path] is None]
        if len(missing) == 1:
            read = [_read(self._io, missing[0])]
        else:
            read = list(ExecutorFactory.get_or_create().map(lambda manifest: _read(self._io, manifest), missing))
        for manifest, entries in zip(missing, read, strict=True):
            kept[manifest.manifest_path] = entries
        with self._lock:
            for path, found in kept.items():
                self._kept[path] = found or []
                self._kept.move_to_end(path)
            held = sum(map(len, self._kept.values()))
            while held > _KEPT_ENTRIES and len(self._kept) > 1:
                held -= len(self._kept.popitem(last=False)[1])
        return [kept[manifest.manifest_path] or [] for manifest in manifests]


def referenced_data_file(file: Any) -> str | None:
    """The one data file that all rows of a delete file are about, as its manifest says it; None when it does not."""
    return str(file[_REFERENCED]) if file[_REFERENCED] else None


def content_range(file: Any) -> tuple[int, int] | None:
    """Offset and length of a deletion vector in its Puffin file; None when the manifest has none."""
    return (int(file[_OFFSET]), int(file[_SIZE])) if file[_OFFSET] is not None and file[_SIZE] else None


@contextmanager
def garbage_later() -> Iterator[None]:
    """Keep the collector from walking the thousands of records that a listing makes and keeps: a third of its time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _read(io: FileIO, manifest: ManifestFile) -> list[ManifestEntry]:
    from pyiceberg.avro.file import AvroFile
    from pyiceberg.manifest import DataFile, FileFormat, ManifestEntry

    # Status and content stay plain integers: they equal pyiceberg's enums, and making those takes time.
    with AvroFile[ManifestEntry](
        io.new_input(manifest.manifest_path),
        _entry_schema(),
        read_types={-1: ManifestEntry, 2: DataFile},
        read_enums={101: FileFormat},
    ) as entries:
        live = [entry for entry in entries if entry.status != _DELETED]
    number = manifest.sequence_number or 0
    for entry in live:
        # Iceberg spec, "Sequence Number Inheritance": added entries take the manifest's; in v1 all have 0.
        if entry.sequence_number is None and (entry.status == _ADDED or not number):
            entry.sequence_number = number
        if entry.snapshot_id is None and manifest.added_snapshot_id is not None:
            entry.snapshot_id = manifest.added_snapshot_id
        entry.data_file.spec_id = manifest.partition_spec_id
    return live


@cache
def _entry_schema() -> Schema:
    """pyiceberg's v2 entry, whose places its `DataFile` names, and three fields of v3 after them."""
    from pyiceberg.manifest import DATA_FILE_TYPE, MANIFEST_ENTRY_SCHEMAS
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField, StructType

    v3 = {field.field_id: field for field in DATA_FILE_TYPE[3].fields}
    file = StructType(*DATA_FILE_TYPE[2].fields, *(v3[field_id] for field_id in (143, 144, 145)))
    return Schema(
        *(
            NestedField(2, "data_file", file, required=True) if field.field_id == 2 else field
            for field in MANIFEST_ENTRY_SCHEMAS[2].fields
        )
    )
