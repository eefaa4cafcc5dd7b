"""Field ids for a file that is a table of its own: fields in order from 1, then what is nested in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pyarrow as pa

__all__ = ["numbered"]


def numbered(schema: pa.Schema) -> pa.Schema:
    """The schema with a ``PARQUET:field_id`` on every field: top-level ones first, so that theirs are positions."""
    nested = itertools.count(len(schema) + 1)
    return pa.schema([_field(field, number, nested) for number, field in enumerate(schema, 1)])


def _field(field: pa.Field, number: int, nested: Iterator[int]) -> pa.Field:
    kind = field.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        element = _field(kind.value_field.with_name("element"), next(nested), nested)
        kind = pa.list_(element) if pa.types.is_list(kind) else pa.large_list(element)
    elif pa.types.is_struct(kind):
        kind = pa.struct([_field(kind.field(at), next(nested), nested) for at in range(kind.num_fields)])
    return pa.field(field.name, kind, field.nullable, {b"PARQUET:field_id": str(number).encode()})
