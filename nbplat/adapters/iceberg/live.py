"""The live data files of a snapshot, each with the delete files that apply to it.

pyiceberg's scan planning refuses tables with equality deletes, so manifests are listed here; which delete
file applies to which data file is in `delete_scopes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.delete_scopes import DeleteFile, DeleteKind, Deletes
from nbplat.adapters.iceberg.manifests import Manifests, garbage_later
from nbplat.errors import SetupError

if TYPE_CHECKING:
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.manifest import DataFile, ManifestEntry, ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["DeleteFile", "DeleteKind", "LiveFile", "live_files", "refuse_unreadable"]


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
        index = Deletes(table)
        for entries in manifests.entries(deletes):
            for entry in entries:
                index.add(entry)
        found = []
        for entries in manifests.entries(data):
            kept = entries if pruning is None else [entry for entry in entries if pruning.keeps(entry.data_file)]
            found += [_live(entry, index) for entry in kept if entry.data_file.record_count]
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


def _live(entry: ManifestEntry, deletes: Deletes) -> LiveFile:
    file, number = entry.data_file, entry.sequence_number or 0
    return LiveFile(file, number, entry.snapshot_id, deletes.applying(file, number))


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
