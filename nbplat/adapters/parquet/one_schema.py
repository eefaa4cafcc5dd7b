"""One schema for files that were written over time: columns that came later, types that were widened since."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from nbplat.errors import DataError

__all__ = ["one_schema", "typed_partitions"]

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def one_schema(schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """The schema that every file can be read by: all columns, in the order in which they came, each in its widest type.

    Integers are widened, and so are floats, an integer of up to 32 bits beside a double becomes one; times of several
    units become microseconds, those of several zones UTC; lists and structs by the same rules.

    Args:
        schemas: Location and schema of each file, in order.

    Raises:
        DataError: ``source.types``, two files hold a column in types that have none in common; ``source.column``, a
            file holds a column twice.
    """
    kinds: dict[str, tuple[pa.DataType, str]] = {}
    for location, schema in schemas:
        twice = [name for name in schema.names if schema.names.count(name) > 1]
        if twice:
            raise DataError(
                "source.column",
                f"the file holds the column {twice[0]!r} more than once",
                fix="write it again with one name a column",
                where=location,
            )
        for field in schema:
            mine = _stored(field.type)
            known, first = kinds.get(field.name, (mine, location))
            both = known if known == mine else _common(known, mine)
            if both is None:
                raise DataError(
                    "source.types",
                    f"the column {field.name!r} is {mine} in this file and {known} in {first}",
                    fix="write one of them again in the type of the other, or leave it out by a glob",
                    where=location,
                )
            kinds[field.name] = (both, first)
    return pa.schema([pa.field(name, kind) for name, (kind, _) in kinds.items()])


def typed_partitions(values: Iterable[Mapping[str, str | None]]) -> dict[str, tuple[pa.DataType, dict[str, Any]]]:
    """For each partition column its type and what each text in it stands for.

    A column is ``int64`` when all its texts are whole numbers, ``date32`` when all are ISO dates, else ``string``.
    """
    texts: dict[str, set[str]] = {}
    for each in values:
        for name, text in each.items():
            texts.setdefault(name, set()).update([] if text is None else [text])
    return {name: _typed(sorted(found)) for name, found in texts.items()}


def _typed(texts: list[str]) -> tuple[pa.DataType, dict[str, Any]]:
    if texts and all(_WHOLE.fullmatch(text) for text in texts):
        return pa.int64(), {text: int(text) for text in texts}
    if texts and all(_DATE.fullmatch(text) for text in texts):
        with suppress(ValueError):
            return pa.date32(), {text: dt.date.fromisoformat(text) for text in texts}
    return pa.string(), {text: text for text in texts}


def _stored(kind: pa.DataType) -> pa.DataType:
    """The type by which values are read: dictionaries decoded, extensions as they are stored, lists and texts plain."""
    if isinstance(kind, pa.BaseExtensionType):
        return _stored(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _stored(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", _stored(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _stored(field.type)) for field in kind])
    return kind


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if types.is_integer(one) and types.is_integer(other):
        return _integer(one, other)
    if types.is_floating(one) and types.is_floating(other):
        return one if one.bit_width > other.bit_width else other
    if types.is_floating(one) and types.is_integer(other):
        return _float_and_integer(one, other)
    if types.is_integer(one) and types.is_floating(other):
        return _float_and_integer(other, one)
    if types.is_timestamp(one) and types.is_timestamp(other):
        if (one.tz is None) != (other.tz is None):
            return None
        return pa.timestamp(one.unit if one.unit == other.unit else "us", one.tz if one.tz == other.tz else "UTC")
    if types.is_date(one) and types.is_date(other):
        return pa.date32()
    if types.is_decimal(one) and types.is_decimal(other) and one.scale == other.scale:
        return one if one.precision > other.precision else other
    if types.is_list(one) and types.is_list(other):
        inner = _common(one.value_type, other.value_type)
        return None if inner is None else pa.list_(pa.field("element", inner))
    if types.is_struct(one) and types.is_struct(other):
        return _struct(one, other)
    return None


def _integer(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    signed = [pa.types.is_signed_integer(kind) for kind in (one, other)]
    if signed[0] == signed[1]:
        return one if one.bit_width > other.bit_width else other
    positive, plain = (other, one) if signed[0] else (one, other)
    width = max(plain.bit_width, 2 * positive.bit_width)
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(width)


def _float_and_integer(floating: pa.DataType, integer: pa.DataType) -> pa.DataType | None:
    # A double holds every integer of 32 bits; beyond that values would change.
    return pa.float64() if integer.bit_width <= 32 and floating.bit_width >= 32 else None


def _struct(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    kinds = {field.name: field.type for field in one}
    for field in other:
        both = _common(kinds.get(field.name, field.type), field.type)
        if both is None:
            return None
        kinds[field.name] = both
    return pa.struct([pa.field(name, kind) for name, kind in kinds.items()])
