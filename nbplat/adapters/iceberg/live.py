"""The live data files of a snapshot, each with the delete files that apply to it.

pyiceberg's scan planning refuses tables with equality deletes, so the scope rules of the Iceberg
spec ("Scan Planning") are here: every kind of delete, from the manifests alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.manifests import Manifests, content_range, garbage_later, referenced_data_file
from nbplat.errors import SetupError

if TYPE_CHECKING:
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.manifest import DataFile, ManifestEntry, ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["DeleteFile", "DeleteKind", "LiveFile", "live_files", "refuse_unreadable"]

_PATH_FIELD_ID = 2147483546  # file_path in a position delete file


class DeleteKind(Enum):
    """How a delete file names the rows it removes."""

    POSITION = "position deletes"
    VECTOR = "deletion vector"
    EQUALITY = "equality deletes"


@dataclass(frozen=True, slots=True, eq=False)
class DeleteFile:
    """A delete file, from its manifest.

    Attributes:
        sequence_number: Data sequence number; what is older is in its scope.
        referenced: The one data file it is about; None when it may be about several.
        range_bytes: Offset and length of the vector in its Puffin file; None for Parquet delete files.
    """

    file: DataFile
    kind: DeleteKind
    sequence_number: int
    referenced: str | None
    range_bytes: tuple[int, int] | None


@dataclass(frozen=True, slots=True, eq=False)
class LiveFile:
    """A live data file.

    Attributes:
        sequence_number: Data sequence number: position deletes and vectors of this number or a later
            one, and equality deletes of a later one, can be about its rows.
        snapshot_id: The snapshot that added it; None when the manifest does not say.
        deletes: The delete files that apply, by the spec's scope rules; empty when no row can be deleted.
    """

    file: DataFile
    sequence_number: int
    snapshot_id: int | None
    deletes: tuple[DeleteFile, ...]

    @property
    def path(self) -> str:
        """URI as the manifest spells it."""
        return self.file.file_path


def live_files(
    table: Table,
    snapshot: Snapshot | None,
    row_filter: str | BooleanExpression = "",
    *,
    schema: Schema | None = None,
    manifests: Manifests | None = None,
) -> list[LiveFile]:
    """The data files of a snapshot that can hold rows of the filter, in path order.

    Args:
        snapshot: None for a table without one: an empty list.
        row_filter: Prunes by partition and by column bounds; the empty string keeps every file.
        schema: What the filter's names mean; None for the table's current schema.
        manifests: Entries read before, to read no manifest twice; None reads afresh.

    Returns:
        Files with at least one row.
    """
    if snapshot is None:
        return []
    manifests = manifests or Manifests(table.io)
    with garbage_later():
        pruning = _Pruning(table, schema or table.schema(), row_filter) if row_filter else None
        data, deletes = _split(snapshot.manifests(table.io), pruning)
        index = _Deletes(table)
        for entries in manifests.entries(deletes):
            for entry in entries:
                index.add(entry)
        found = []
        for entries in manifests.entries(data):
            kept = entries if pruning is None else [entry for entry in entries if pruning.keeps(entry.data_file)]
            found += [index.live(entry) for entry in kept if entry.data_file.record_count]
    return sorted(found, key=lambda each: each.file.file_path)


def refuse_unreadable(files: Iterable[LiveFile], table: str) -> None:
    """Return when every file and delete file is Parquet in the clear (a deletion vector: Puffin).

    Raises:
        SetupError: ``table.encrypted`` or ``table.file_format``, naming the file.
    """
    from pyiceberg.manifest import FileFormat

    parquet = FileFormat.PARQUET
    seen: set[int] = set()
    for live in files:
        _refuse(live.file, parquet, table)
        for delete in live.deletes:
            if id(delete) not in seen:
                seen.add(id(delete))
                _refuse(delete.file, FileFormat.PUFFIN if delete.kind is DeleteKind.VECTOR else parquet, table)


def _refuse(file: DataFile, readable: Any, table: str) -> None:
    if file.key_metadata is not None:
        raise SetupError(
            "table.encrypted",
            f"{table} has encrypted files, and their bytes cannot be read or copied here",
            fix="backfill a table whose files are in the clear (drop `encryption.key-id` and rewrite them with the "
            "engine that holds the keys)",
            where=file.file_path,
        )
    if file.file_format != readable:
        raise SetupError(
            "table.file_format",
            f"{table} has {file.file_format.value} files, and only Parquet is read here",
            fix=f"ALTER TABLE {table} SET TBLPROPERTIES ('write.format.default'='parquet', "
            "'write.delete.format.default'='parquet'), then CALL system.rewrite_data_files with rewrite-all",
            where=file.file_path,
        )


class _Pruning:
    """A row filter as what it says of manifests, partitions and bounds; pyiceberg's evaluators say it."""

    def __init__(self, table: Table, schema: Schema, row_filter: str | BooleanExpression) -> None:
        from pyiceberg.expressions import parser
        from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator

        self._table, self._schema = table, schema
        self._filter = parser.parse(row_filter) if isinstance(row_filter, str) else row_filter
        self._bounds = _InclusiveMetricsEvaluator(schema, self._filter).eval
        self._by_spec: dict[int, tuple[Callable[[ManifestFile], bool], Callable[[Any], Any]]] = {}

    def meets(self, manifest: ManifestFile) -> bool:
        """False when no partition of the manifest can hold rows of the filter."""
        return self._of(manifest.partition_spec_id)[0](manifest)

    def keeps(self, file: DataFile) -> bool:
        """False when the file's partition or bounds say that it holds no row of the filter."""
        return bool(self._of(file.spec_id)[1](file.partition)) and self._bounds(file)

    def _of(self, spec_id: int) -> tuple[Callable[[ManifestFile], bool], Callable[[Any], Any]]:
        from pyiceberg.expressions.visitors import expression_evaluator, inclusive_projection, manifest_evaluator
        from pyiceberg.schema import Schema

        if spec_id not in self._by_spec:
            spec = self._table.specs()[spec_id]
            projected = inclusive_projection(self._schema, spec)(self._filter)
            partitions = Schema(*spec.partition_type(self._schema).fields)
            self._by_spec[spec_id] = (
                manifest_evaluator(spec, self._schema, projected),
                expression_evaluator(partitions, projected, case_sensitive=True),
            )
        return self._by_spec[spec_id]


def _split(
    manifests: Iterable[ManifestFile], pruning: _Pruning | None
) -> tuple[list[ManifestFile], list[ManifestFile]]:
    """Data manifests that the filter meets, and every delete manifest that can be about their files."""
    from pyiceberg.manifest import ManifestContent

    data: list[ManifestFile] = []
    deletes: list[ManifestFile] = []
    for manifest in manifests:
        if manifest.content == ManifestContent.DELETES:
            deletes.append(manifest)
        elif pruning is None or pruning.meets(manifest):
            data.append(manifest)
    oldest = min((manifest.min_sequence_number or 0 for manifest in data), default=0)
    return data, [manifest for manifest in deletes if (manifest.sequence_number or 0) >= oldest]


@dataclass(slots=True)
class _Scope:
    """Delete files of one scope."""

    position: list[DeleteFile] = field(default_factory=list)
    equality: list[DeleteFile] = field(default_factory=list)


class _Deletes:
    """Finds the delete files that apply to a data file (Iceberg spec, "Scan Planning").

    - Position deletes: the data is not newer, and spec and partition are equal; where the delete file
      names one data file (by reference, or by equal bounds of its paths), exactly that one.
    - A deletion vector: the data file it names, not newer; position deletes then do not apply.
    - Equality deletes: the data is older, and spec and partition are equal, or the delete file's spec is
      unpartitioned: then it is about the whole table.
    """

    def __init__(self, table: Table) -> None:
        self._unpartitioned = {
            spec_id: all(str(each.transform) == "void" for each in spec.fields)
            for spec_id, spec in table.specs().items()
        }
        self._vectors: dict[str, list[DeleteFile]] = defaultdict(list)
        self._by_path: dict[str, list[DeleteFile]] = defaultdict(list)
        self._by_partition: dict[tuple[Any, ...], _Scope] = defaultdict(_Scope)
        self._everywhere: list[DeleteFile] = []
        self._empty = True

    def add(self, entry: ManifestEntry) -> None:
        """Take in a delete file."""
        self._empty = False
        delete = _delete_file(entry)
        if delete.kind is DeleteKind.VECTOR:
            self._vectors[delete.referenced or ""].append(delete)
        elif delete.kind is DeleteKind.POSITION and delete.referenced is not None:
            self._by_path[delete.referenced].append(delete)
        elif delete.kind is DeleteKind.POSITION:
            self._by_partition[_partition(delete.file)].position.append(delete)
        elif self._unpartitioned[delete.file.spec_id]:
            self._everywhere.append(delete)
        else:
            self._by_partition[_partition(delete.file)].equality.append(delete)

    def live(self, entry: ManifestEntry) -> LiveFile:
        """The data file with its deletes."""
        number = entry.sequence_number or 0
        deletes = () if self._empty else self._applying(entry.data_file, number)
        return LiveFile(entry.data_file, number, entry.snapshot_id, deletes)

    def _applying(self, file: DataFile, number: int) -> tuple[DeleteFile, ...]:
        path = file.file_path
        scope = self._by_partition.get(_partition(file))
        equality = [*self._everywhere, *(scope.equality if scope else ())]
        positions = [d for d in self._vectors.get(path, ()) if d.sequence_number >= number]
        if not positions:
            in_partition = (d for d in (scope.position if scope else ()) if _can_name(d.file, path))
            named = (*self._by_path.get(path, ()), *in_partition)
            positions = [d for d in named if d.sequence_number >= number]
        return (*positions, *(d for d in equality if d.sequence_number > number))


def _delete_file(entry: ManifestEntry) -> DeleteFile:
    from pyiceberg.manifest import DataFileContent, FileFormat

    file = entry.data_file
    if file.content == DataFileContent.EQUALITY_DELETES:
        return DeleteFile(file, DeleteKind.EQUALITY, entry.sequence_number or 0, None, None)
    kind = DeleteKind.VECTOR if file.file_format == FileFormat.PUFFIN else DeleteKind.POSITION
    referenced = referenced_data_file(file) or _only_path(file)
    return DeleteFile(file, kind, entry.sequence_number or 0, referenced, content_range(file))


def _partition(file: DataFile) -> tuple[Any, ...]:
    values: Sequence[Any] = [file.partition[n] for n in range(len(file.partition))]
    return (file.spec_id, *values)


def _path_bounds(file: DataFile) -> tuple[bytes, bytes] | None:
    lower, upper = (file.lower_bounds or {}).get(_PATH_FIELD_ID), (file.upper_bounds or {}).get(_PATH_FIELD_ID)
    return (lower, upper) if lower and upper else None


def _only_path(file: DataFile) -> str | None:
    """Equal bounds are one path: a cut upper bound is raised, so it never equals the lower one."""
    bounds = _path_bounds(file)
    return bounds[0].decode() if bounds and bounds[0] == bounds[1] else None


def _can_name(delete: DataFile, path: str) -> bool:
    bounds = _path_bounds(delete)
    return bounds is None or bounds[0] <= path.encode() <= bounds[1]
