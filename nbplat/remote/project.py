"""Iceberg's column projection on Arrow data: fields by id at every level, missing ones null, promotions widened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Names", "constant", "field_id", "matching", "project", "without_ids"]

Names = Mapping[int, Sequence[str]]

_ID = b"PARQUET:field_id"


def field_id(field: pa.Field) -> int | None:
    """The Parquet field id; None when the file has none for this field."""
    text = (field.metadata or {}).get(_ID)
    return int(text) if text is not None and int(text) >= 0 else None


def matching(have: Iterable[pa.Field], want: Iterable[pa.Field], names: Names) -> dict[str, pa.Field]:
    """Wanted name -> the field of the file that holds it; one that the file lacks is left out."""
    have = list(have)
    by_id = {number: field for field in have if (number := field_id(field)) is not None}
    if by_id:
        pairs = ((field.name, by_id.get(field_id(field) or -1)) for field in want)
        return {name: field for name, field in pairs if field is not None}
    by_name = {field.name: field for field in have}
    found = {}
    for field in want:
        known = names.get(field_id(field) or 0) or [field.name]
        match = next((by_name[name] for name in known if name in by_name), None)
        if match is not None:
            found[field.name] = match
    return found


def without_ids(field: pa.Field) -> pa.Field:
    """The field without Parquet field ids at any level, so that names decide."""
    return pa.field(field.name, _bare_type(field.type), field.nullable)


def _bare_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([without_ids(kind.field(number)) for number in range(kind.num_fields)])
    if pa.types.is_list(kind):
        return pa.list_(without_ids(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(without_ids(kind.value_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(without_ids(kind.value_field), kind.list_size)
    if pa.types.is_map(kind):
        return pa.map_(without_ids(kind.key_field), without_ids(kind.item_field), kind.keys_sorted)
    return kind


def constant(value: Any, kind: pa.DataType, rows: int) -> pa.ChunkedArray:
    """A column that holds one value in every row."""
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    values = pa.repeat(pa.scalar(value, storage), rows)
    if storage is not kind:
        values = pa.ExtensionArray.from_storage(kind, values)
    return pa.chunked_array([values], kind)


def project(values: pa.ChunkedArray, have: pa.Field, want: pa.Field, names: Names) -> pa.ChunkedArray:
    """A column of the file as the wanted field: its type, its nested fields."""
    if not pa.types.is_nested(want.type) and values.type == want.type:
        return values
    return pa.chunked_array([_array(chunk, have, want, names) for chunk in values.chunks], want.type)


def _array(values: pa.Array, have: pa.Field, want: pa.Field, names: Names) -> pa.Array:
    kind = want.type
    if pa.types.is_struct(kind) and pa.types.is_struct(values.type):
        return _struct(values, have, want, names)
    if pa.types.is_map(kind) and pa.types.is_map(values.type):
        keys = _array(values.keys, have.type.key_field, kind.key_field, names)
        items = _array(values.items, have.type.item_field, kind.item_field, names)
        return pa.MapArray.from_arrays(_offsets(values), keys, items, type=kind, mask=_mask(values))
    if pa.types.is_list(kind) and (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        inner = _array(values.values, have.type.value_field, kind.value_field, names)
        return pa.ListArray.from_arrays(_offsets(values), inner, type=kind, mask=_mask(values))
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(values.type):
        return _array(values.cast(pa.list_(values.type.value_field)), have, want, names)
    return _primitive(values, kind)


def _struct(values: pa.Array, have: pa.Field, want: pa.Field, names: Names) -> pa.Array:
    fields = [want.type.field(number) for number in range(want.type.num_fields)]
    own = [have.type.field(number) for number in range(have.type.num_fields)]
    found = matching(own, fields, names)
    places = {field.name: number for number, field in enumerate(own)}
    parts = [
        _array(values.field(places[found[field.name].name]), found[field.name], field, names)
        if field.name in found
        else pa.nulls(len(values), field.type)
        for field in fields
    ]
    return pa.StructArray.from_arrays(parts, fields=fields, mask=_mask(values))


def _primitive(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if values.type == kind:
        return values
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, values.cast(kind.storage_type))
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    # Nanoseconds of a v2 table are cut to its microseconds, as every reader does.
    cut = pa.types.is_timestamp(kind) and pa.types.is_timestamp(values.type) and values.type.unit == "ns"
    return values.cast(kind, safe=not cut)


def _offsets(values: pa.Array) -> pa.Array:
    # A fresh array: those of a slice have an offset of their own, which from_arrays refuses beside a mask.
    return pa.array(np.asarray(values.offsets).astype(np.int32))


def _mask(values: pa.Array) -> pa.Array | None:
    return values.is_null() if values.null_count else None
