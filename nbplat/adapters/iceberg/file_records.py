"""Manifest records of the files that a promotion makes, with the metrics of what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.file_metrics import METRICS, FileMetrics, parquet_schema
from nbplat.backfill.ports import FileChange

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

__all__ = ["added_metrics", "held_fields", "record_of"]


def record_of(table: Table, change: FileChange, live: DataFile) -> DataFile:
    """The record of a spliced or rewritten file: partition, spec and sort order of the live one.

    Args:
        live: The whole record of the file that goes.
    """
    if change.action == "rewrite":
        arrow = parquet_schema(table, change.new_path)
        return _like(table, live, change, FileMetrics(table, arrow).of(change.new_path))
    gone = frozenset(leaf for number in change.drop for leaf in _leaves(table, number))
    metrics = {
        kind: {leaf: value for leaf, value in (getattr(live, kind) or {}).items() if leaf not in gone}
        for kind in METRICS
    }
    for addition in change.additions:
        for kind, values in added_metrics(table, addition.path, addition.field_ids).items():
            metrics[kind].update(values)
    return _like(table, live, change, {**metrics, "split_offsets": live.split_offsets})


def held_fields(table: Table) -> Callable[[DataFile], tuple[frozenset[int], frozenset[int]]]:
    """Gives ids of the top-level columns that a file holds, and of those among them that are null in every row.

    From the manifest; where that has no metrics, from the file's footer.
    """
    fields = [field for schema in table.metadata.schemas for field in schema.fields]
    top = {leaf: field.field_id for field in fields for leaf in _below(field)}

    def held(file: DataFile) -> tuple[frozenset[int], frozenset[int]]:
        counted = {*(file.column_sizes or {}), *(file.value_counts or {})}
        if not counted:
            return frozenset(_footer_ids(table, file.file_path)), frozenset()
        counts, nulls = file.value_counts or {}, file.null_value_counts or {}
        leaves: dict[int, list[bool]] = {}
        for leaf in counted & top.keys():
            empty = leaf in counts and counts[leaf] == nulls.get(leaf, 0)
            leaves.setdefault(top[leaf], []).append(empty)
        return frozenset(leaves), frozenset(number for number, empty in leaves.items() if all(empty))

    return held


def added_metrics(table: Table, path: str, field_ids: Mapping[str, int]) -> dict[str, dict[int, Any]]:
    """Metrics of some columns of an aligned file, under their field ids in the table.

    Args:
        field_ids: Of the columns and the fields inside them, by path.
    """
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    arrow = _numbered(parquet_schema(table, path))
    own = pyarrow_to_schema(arrow)
    ids = {own.find_field(name).field_id: number for name, number in field_ids.items()}
    statistics = FileMetrics(table, arrow).of(path)
    return {kind: {ids[leaf]: value for leaf, value in statistics[kind].items() if leaf in ids} for kind in METRICS}


def _numbered(schema: pa.Schema) -> pa.Schema:
    """The schema with field ids of its own at every level: those it has may be of several tables."""
    import itertools

    import pyarrow as pa

    count = itertools.count(1)

    def number(field: Any) -> Any:
        kind = field.type
        meta = {b"PARQUET:field_id": str(next(count)).encode()}
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            kind = pa.list_(number(kind.value_field))
        elif pa.types.is_struct(kind):
            kind = pa.struct([number(kind.field(place)) for place in range(kind.num_fields)])
        elif pa.types.is_map(kind):
            kind = pa.map_(number(kind.key_field), number(kind.item_field))
        return pa.field(field.name, kind, field.nullable, meta)

    return pa.schema([number(field) for field in schema])


def _like(table: Table, live: DataFile, change: FileChange, metrics: Mapping[str, Any]) -> DataFile:
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

    new = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=change.new_path,
        file_format=FileFormat.PARQUET,
        partition=live.partition,
        record_count=change.rows,
        file_size_in_bytes=len(table.io.new_input(change.new_path)),
        sort_order_id=live.sort_order_id,
        equality_ids=None,
        key_metadata=None,
        **metrics,
    )
    new.spec_id = live.spec_id
    return new


def _leaves(table: Table, top: int) -> Iterable[int]:
    for schema in table.metadata.schemas:
        for field in schema.fields:
            if field.field_id == top:
                return _below(field)
    return (top,)


def _below(field: Any) -> Iterable[int]:
    from pyiceberg.schema import Schema

    return Schema(field).field_ids


def _footer_ids(table: Table, path: str) -> Iterable[int]:
    for field in parquet_schema(table, path):
        if field.metadata and b"PARQUET:field_id" in field.metadata:
            yield int(field.metadata[b"PARQUET:field_id"])
        elif field.name in table.schema().column_names:
            yield table.schema().find_field(field.name).field_id
