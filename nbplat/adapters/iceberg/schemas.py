"""Schemas of a promotion: with the new columns, without others, and which ones nobody needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nbplat.backfill.ports import Column, SchemaChange
from nbplat.errors import Conflict

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.types import IcebergType, NestedField

__all__ = ["changed_schema", "field_paths", "fresh_ids", "kept_ids", "reserved_ids", "unused_schemas"]


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
    new = [_field(column, change.field_ids) for column in change.add]
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
    first = table.metadata.last_column_id + 1
    paths = [column.name for column in columns]
    paths += [path for column in columns for path in _inner_paths(column.name, _type(column.type))]
    return {path: first + number for number, path in enumerate(paths)}


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
    if change.add and set(table.schema().field_ids) & set(change.field_ids.values()):
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


def _field(column: Column, ids: Mapping[str, int]) -> NestedField:
    from pyiceberg.types import NestedField

    kind = _with_ids(column.name, _type(column.type), ids)
    return NestedField(field_id=ids[column.name], name=column.name, field_type=kind, required=False)


def _with_ids(path: str, kind: IcebergType, ids: Mapping[str, int]) -> IcebergType:
    """The type with the ids that `ids` has for the fields inside it."""
    from pyiceberg.types import ListType, NestedField, StructType

    if isinstance(kind, ListType):
        inner = f"{path}.element"
        element = _with_ids(inner, kind.element_type, ids)
        return ListType(element_id=ids[inner], element_type=element, element_required=False)
    if isinstance(kind, StructType):
        return StructType(
            *(
                NestedField(
                    field_id=ids[f"{path}.{field.name}"],
                    name=field.name,
                    field_type=_with_ids(f"{path}.{field.name}", field.field_type, ids),
                    required=False,
                )
                for field in kind.fields
            )
        )
    return kind


def _inner_paths(path: str, kind: IcebergType) -> Iterator[str]:
    for field in getattr(kind, "fields", ()):
        yield f"{path}.{field.name}"
        yield from _inner_paths(f"{path}.{field.name}", field.field_type)


def _type(text: str) -> IcebergType:
    from pyiceberg.types import PrimitiveType

    return PrimitiveType.model_validate(text)
