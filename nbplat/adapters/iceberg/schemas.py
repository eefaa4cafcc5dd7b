"""Schemas of a promotion: with the new columns, without them again, and which ones nobody needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.backfill.ports import Column
from nbplat.backfill.types import IcebergType, ListType, StructType, parse_type
from nbplat.errors import Conflict

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.types import NestedField

__all__ = ["iceberg_field", "refuse_existing", "schema_with", "schema_without", "unused_schemas"]


def refuse_existing(table: Table, columns: Sequence[Column]) -> None:
    """Raise Conflict when the current schema has one of the names, in any case."""
    existing = {field.name.lower(): field.name for field in table.schema().fields}
    for column in columns:
        if column.name.lower() in existing:
            name = ".".join(table.name())
            raise Conflict(
                "column.exists",
                f"{name} has a column {existing[column.name.lower()]!r} already",
                fix="roll back the run that made it (%backfill list), or name the feature otherwise",
            )


def schema_with(table: Table, columns: Sequence[Column], field_ids: Mapping[str, int]) -> Schema:
    """The current schema plus the new columns; a schema of the table that is the same is reused.

    Args:
        field_ids: Field id of each new column and of every field nested in it, by dotted path.
    """
    from pyiceberg.schema import Schema

    refuse_existing(table, columns)
    current = table.schema()
    taken = set(current.field_ids)
    if taken & set(field_ids.values()):
        raise Conflict(
            "promotion.schema_moved",
            f"another column of {'.'.join(table.name())} took the field ids of this promotion",
            fix="promote again: the files are spliced anew",
        )
    new = [iceberg_field(column.name, parse_type(column.type), column.name, field_ids) for column in columns]
    return _known_or_new(table, Schema(*current.fields, *new, identifier_field_ids=current.identifier_field_ids))


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


def schema_without(table: Table, field_ids: set[int]) -> Schema:
    """The current schema less the fields; a schema of the table that is the same is reused."""
    from pyiceberg.schema import Schema

    current = table.schema()
    kept = [field for field in current.fields if field.field_id not in field_ids]
    return _known_or_new(table, Schema(*kept, identifier_field_ids=current.identifier_field_ids))


def _known_or_new(table: Table, schema: Schema) -> Schema:
    from pyiceberg.schema import Schema

    for known in table.metadata.schemas:
        if known.fields == schema.fields and known.identifier_field_ids == schema.identifier_field_ids:
            return known
    number = max(known.schema_id for known in table.metadata.schemas) + 1
    return Schema(*schema.fields, schema_id=number, identifier_field_ids=schema.identifier_field_ids)


def unused_schemas(table: Table, keep: set[int]) -> list[int]:
    """Schemas that no snapshot refers to; every ADD COLUMN leaves one, and wide tables choke on them."""
    used = {snapshot.schema_id for snapshot in table.metadata.snapshots} | keep | {table.metadata.current_schema_id}
    return [schema.schema_id for schema in table.metadata.schemas if schema.schema_id not in used]
