"""Iceberg fields as an Arrow schema that a worker can read by: field ids at every level, 32-bit offsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pyiceberg.types import NestedField

__all__ = ["arrow_schema"]


def arrow_schema(fields: Sequence[NestedField]) -> pa.Schema:
    """The fields in their order; every field and nested field carries ``PARQUET:field_id``.

    Strings, binaries and lists have 32-bit offsets, as Parquet readers give them.
    """
    from pyiceberg.io.pyarrow import schema_to_pyarrow
    from pyiceberg.schema import Schema

    return pa.schema([_short(field) for field in schema_to_pyarrow(Schema(*fields))])


def _short(field: pa.Field) -> pa.Field:
    kind = field.type
    if pa.types.is_large_string(kind):
        kind = pa.string()
    elif pa.types.is_large_binary(kind):
        kind = pa.binary()
    elif pa.types.is_large_list(kind):
        kind = pa.list_(_short(kind.value_field))
    elif pa.types.is_map(kind):
        kind = pa.map_(_short(kind.key_field), _short(kind.item_field))
    elif pa.types.is_struct(kind):
        kind = pa.struct([_short(kind.field(number)) for number in range(kind.num_fields)])
    return pa.field(field.name, kind, field.nullable, field.metadata)
