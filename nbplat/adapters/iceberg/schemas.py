"""Schemas of a promotion: with the new columns, without others, and which ones nobody needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.backfill.ports import SchemaChange
from nbplat.backfill.table_facts import Column
from nbplat.backfill.types import IcebergType, ListType, StructType, number_fields, parse_type
from nbplat.errors import Conflict

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.types import NestedField

__all__ = ["changed_schema", "field_paths", "fresh_ids", "iceberg_field", "kept_ids", "reserved_ids", "unused_schemas"]


def changed_schema(table: Table, change: SchemaChange) -> Schema:
    """The current schema with the change; a schema of the table that is the same is reused.

    Raises:
        Conflict: ``column.exists``, ``column.dropped``.
    """
    from pyiceberg.schema import Schema

    current = table.schema()
    kept_ids(table, change)
    _refuse_existing(table, change)
    kept = [field for field in current.fields if field.field_id not in change.remove]
    new = [iceberg_field(each.name, parse_type(each.type), each.name, change.field_ids) for each in change.add]
    return _known_or_new(table, Schema(*kept, *new, identifier_field_ids=current.identifier_field_ids))


def kept_ids(table: Table, change: SchemaChange) -> dict[str, int]:
    """Field ids of the columns that must stay; by the names of `change.keep`.

    Raises:
        Conflict: one of them was dropped, or dropped and made anew.
    """
    now = {field.field_id: field.name for field in table.schema().fields}
    for name, number in change.keep.items():
        if number not in now:
            raise Conflict(
                "column.dropped",
                f"the column {name!r} of {'.'.join(table.name())} was dropped since the run was planned",
                fix="roll this run back; a column that is gone cannot take values",
            )
    return dict(change.keep)


def fresh_ids(table: Table, columns: Sequence[Column]) -> dict[str, int]:
    """Ids above every id the table has ever used, for columns and the fields inside them, by path."""
    return number_fields([(column.name, column.type) for column in columns], table.metadata.last_column_id + 1)


def reserved_ids(table: Table, columns: Sequence[Column], wanted: Mapping[str, int]) -> dict[str, int] | None:
    """`wanted`, when a schema of the table still holds these columns under these ids and main does not.

    An earlier try of the run put that schema there, so nobody else has the ids.
    """
    numbers = {wanted.get(column.name) for column in columns}
    if None in numbers or numbers & set(table.schema().field_ids):
        return None
    for schema in table.metadata.schemas:
        if all(wanted.get(path) == number for path, number in _paths_under(schema, [c.name for c in columns])):
            held = dict(_paths_under(schema, [column.name for column in columns]))
            if held == dict(wanted):
                return held
    return None


def field_paths(schema: Schema) -> dict[tuple[str, ...], int]:
    """Every field of a schema by its path, ``("tags", "element")`` -> id."""
    found: dict[tuple[str, ...], int] = {}

    def walk(prefix: tuple[str, ...], fields: Sequence[NestedField]) -> None:
        for field in fields:
            path = (*prefix, field.name)
            found[path] = field.field_id
            walk(path, getattr(field.field_type, "fields", ()))

    walk((), schema.fields)
    return found


def unused_schemas(table: Table, keep: set[int]) -> list[int]:
    """Schemas that no snapshot refers to; every ADD COLUMN leaves one, and wide tables choke on them."""
    used = {snapshot.schema_id for snapshot in table.metadata.snapshots} | keep | {table.metadata.current_schema_id}
    return [schema.schema_id for schema in table.metadata.schemas if schema.schema_id not in used]


def _refuse_existing(table: Table, change: SchemaChange) -> None:
    """A new column's name must be free, in any case, and its id too."""
    left = [field for field in table.schema().fields if field.field_id not in change.remove]
    existing = {field.name.lower(): field.name for field in left}
    name = ".".join(table.name())
    for column in change.add:
        if column.name.lower() in existing:
            raise Conflict(
                "column.exists",
                f"{name} has a column {existing[column.name.lower()]!r} already",
                fix="roll back the run that made it (%backfill list), or name the feature otherwise",
            )
    names = {column.name for column in change.add}
    fresh = {number for path, number in change.field_ids.items() if path.split(".")[0] in names}
    if fresh & set(table.schema().field_ids):
        raise Conflict(
            "promotion.schema_moved",
            f"another column of {name} took the field ids of this promotion",
            fix="promote again: the files are spliced anew",
        )


def _known_or_new(table: Table, schema: Schema) -> Schema:
    from pyiceberg.schema import Schema

    for known in table.metadata.schemas:
        if known.fields == schema.fields and known.identifier_field_ids == schema.identifier_field_ids:
            return known
    number = max(known.schema_id for known in table.metadata.schemas) + 1
    return Schema(*schema.fields, schema_id=number, identifier_field_ids=schema.identifier_field_ids)


def _paths_under(schema: Schema, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    for path, number in field_paths(schema).items():
        if path[0] in names:
            yield ".".join(path), number


def iceberg_field(name: str, kind: IcebergType, path: str, ids: Mapping[str, int]) -> NestedField:
    """An optional field of the table's schema.

    Args:
        path: Its dotted path in `ids`, which holds the id of every field below it as well (see
            `nbplat.backfill.types.number_fields`).
    """
    from pyiceberg import types

    field_type: Any
    match kind:
        case ListType():
            element = iceberg_field("element", kind.element, f"{path}.element", ids)
            field_type = types.ListType(element.field_id, element.field_type, element_required=False)
        case StructType():
            field_type = types.StructType(
                *(iceberg_field(each, child, f"{path}.{each}", ids) for each, child in kind.fields)
            )
        case _:
            field_type = types.PrimitiveType.model_validate(str(kind))
    return types.NestedField(field_id=ids[path], name=name, field_type=field_type, required=False)
