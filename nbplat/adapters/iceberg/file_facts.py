"""What a manifest entry says of a data file: its partition in words, constant columns, columns with values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.name_mapping import MappedField

__all__ = ["ColumnBytes", "field_names", "file_constants", "filled_fields", "partition_words"]


def partition_words(table: Table, schema: Schema) -> Callable[[DataFile], str]:
    """Draws a file's partition: ``label_ts_month=2011-03, example_id_bucket=1``; equal ones are drawn once.

    A partition field whose source column was dropped shows its stored value.
    """
    specs = table.specs()
    types = {
        spec_id: [
            (field.name, field.transform, schema.find_type(field.source_id) if field.source_id in known else None)
            for field in spec.fields
        ]
        for known in [set(schema.field_ids)]
        for spec_id, spec in specs.items()
    }
    drawn: dict[tuple[int, int, Any], str] = {}

    def words(file: DataFile) -> str:
        spec_id, partition = file.spec_id, file.partition
        parts = []
        for position, (name, transform, kind) in enumerate(types[spec_id]):
            value = partition[position]
            key = (spec_id, position, value)
            if key not in drawn:
                drawn[key] = f"{name}={transform.to_human_string(kind, value) if kind else value}"
            parts.append(drawn[key])
        return ", ".join(parts)

    return words


class ColumnBytes(Mapping[str, int]):
    """A file's compressed bytes by column name, made out of its manifest's sizes when it is asked for."""

    __slots__ = ("_ids", "_sizes")

    def __init__(self, sizes: Mapping[int, int] | None, ids: Mapping[str, int]) -> None:
        self._sizes, self._ids = sizes or {}, ids

    def __getitem__(self, name: str) -> int:
        return self._sizes[self._ids[name]]

    def __iter__(self) -> Iterator[str]:
        return (name for name, field_id in self._ids.items() if field_id in self._sizes)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def file_constants(table: Table, schema: Schema) -> Callable[[DataFile], dict[str, Any]]:
    """Gives the columns that a file may lack, with the value that all its rows then have.

    They are the source columns of identity partitions, and columns with an initial default (Iceberg
    spec, "Column Projection"). Values are Iceberg's own: a date is its days, a timestamp its units.
    """
    names = {field.field_id: field.name for field in schema.fields}
    defaults = {field.name: field.initial_default for field in schema.fields if field.initial_default is not None}
    identity = {
        spec_id: [
            (position, names[field.source_id])
            for position, field in enumerate(spec.fields)
            if str(field.transform) == "identity" and field.source_id in names
        ]
        for spec_id, spec in table.specs().items()
    }

    def constants(file: DataFile) -> dict[str, Any]:
        values = {name: file.partition[position] for position, name in identity[file.spec_id]}
        return {**defaults, **{name: value for name, value in values.items() if value is not None}}

    return constants


def filled_fields(table: Table) -> Callable[[DataFile], frozenset[int] | None]:
    """Gives the ids of top-level fields with a value in some row; None where the manifest has no counts."""
    top: dict[int, int] = {}
    for schema in table.metadata.schemas:
        for field in schema.fields:
            top.update(dict.fromkeys(_ids_below(field), field.field_id))

    def filled(file: DataFile) -> frozenset[int] | None:
        counts, nulls = file.value_counts, file.null_value_counts or {}
        if not counts:
            return None
        return frozenset(top[leaf] for leaf, count in counts.items() if leaf in top and count > nulls.get(leaf, 0))

    return filled


def field_names(table: Table, schema: Schema) -> Mapping[int, tuple[str, ...]]:
    """Field id -> its names in files without ids: the table's name mapping, else the schema's own names."""
    from pyiceberg.table.name_mapping import create_mapping_from_schema

    mapping = table.name_mapping() or create_mapping_from_schema(schema)
    names: dict[int, tuple[str, ...]] = {}
    pending: list[MappedField] = list(mapping.root)
    while pending:
        mapped = pending.pop()
        if mapped.field_id is not None:
            names[mapped.field_id] = tuple(mapped.names)
        pending += mapped.fields
    return names


def _ids_below(field: Any) -> Iterable[int]:
    from pyiceberg.schema import Schema

    return Schema(field).field_ids
