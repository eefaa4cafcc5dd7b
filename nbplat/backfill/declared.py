"""The types of the new columns: as computed, or as declared where a cast that loses nothing can lead there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nbplat.backfill.table_facts import Column
from nbplat.backfill.types import IcebergType, ListType, Primitive, StructType, column_type, parse_type
from nbplat.errors import RequestError, did_you_mean

__all__ = ["declared_types", "typed_columns"]

_NUMBERS = ("int", "long", "float", "double")
_SAME = (("date", "timestamp"),)


def declared_types(types: Mapping[str, str]) -> dict[str, str]:
    """Declared types in their canonical spelling: column -> Iceberg type.

    Raises:
        RequestError: text that is no type, or a type that a new column cannot have.
    """
    return {name: str(column_type(text, f"the column {name!r}")) for name, text in types.items()}


def typed_columns(columns: Sequence[Column], types: Mapping[str, str]) -> tuple[Column, ...]:
    """The new columns as they will be stored.

    Args:
        columns: As the body computes them.
        types: As declared; a column that is not in it keeps its computed type.

    Raises:
        RequestError: ``type.column`` for a declared column that the body does not make, ``type.cast`` where
            no cast leads to the declared type, ``type.unsupported`` and ``body.result_type`` for a computed
            type that no column can have.
    """
    names = [column.name for column in columns]
    for name in types:
        if name not in names:
            raise RequestError("type.column", f"the body makes no column {name!r}", fix=did_you_mean(name, names))
    wanted = declared_types(types)
    return tuple(_typed(column, wanted.get(column.name)) for column in columns)


def _typed(column: Column, wanted: str | None) -> Column:
    if wanted is None:
        if column.type == "unknown":
            raise RequestError(
                "body.result_type",
                f"every value of the column {column.name!r} is null, so it has no type",
                fix=f"cast it in the body, or give --type {column.name}=double",
            )
        return replace(column, type=str(column_type(column.type, f"the column {column.name!r}")))
    if not _leads(parse_type(column.type), parse_type(wanted)):
        raise RequestError(
            "type.cast",
            f"the column {column.name!r} is computed as {column.type}, which does not become {wanted}",
            fix="cast it in the body, or declare another type",
        )
    return replace(column, type=wanted)


def _leads(source: IcebergType, wanted: IcebergType) -> bool:
    if source == wanted or str(source) == "unknown":
        return True
    if isinstance(source, ListType) and isinstance(wanted, ListType):
        return _leads(source.element, wanted.element)
    if isinstance(source, StructType) and isinstance(wanted, StructType):
        have, want = dict(source.fields), dict(wanted.fields)
        return have.keys() == want.keys() and all(_leads(have[name], want[name]) for name in want)
    if isinstance(source, Primitive) and isinstance(wanted, Primitive):
        numbers = [kind.name in _NUMBERS or kind.decimal is not None for kind in (source, wanted)]
        return all(numbers) or (source.name, wanted.name) in _SAME
    return False
