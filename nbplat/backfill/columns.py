"""Which columns a plan reads, joins on and makes; refuses names that cannot be before any effect."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from nbplat.backfill.body import BASE, BoundBody
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.table_facts import Column, TableFacts
from nbplat.backfill.types import parse_type
from nbplat.errors import Conflict, RequestError, did_you_mean

__all__ = ["base_columns", "body_keys", "check_filled", "filled_columns", "new_names", "spec_keys"]

_STAGED_OWN = ("nb_file", "nb_pos")


def spec_keys(spec: BackfillSpec, facts: TableFacts) -> tuple[str, ...]:
    names = [column.name for column in facts.columns]
    for key in spec.keys:
        if key not in names:
            raise RequestError(
                "key.unknown", f"{facts.pin.table} has no key column {key!r}", fix=did_you_mean(key, names)
            )
    return spec.keys


def body_keys(bound: BoundBody, facts: TableFacts, filled: Collection[str] = ()) -> tuple[str, ...]:
    names = {column.name for column in facts.columns} - set(filled)
    return tuple(name for name in bound.outputs if name in names and name in bound.handed_on)


def new_names(
    bound: BoundBody, keys: tuple[str, ...], facts: TableFacts, filled: Collection[str] = ()
) -> tuple[str, ...]:
    """The columns that the body makes; those of `filled` are the table's already and get their values anew."""
    missing = [key for key in keys if key not in bound.outputs]
    if missing or not keys:
        named = ", ".join(missing) if missing else "any key of the table"
        raise RequestError(
            "body.keys", f"the body does not return {named}", fix=f"select the key columns of {facts.pin.table} as well"
        )
    doubled = sorted({name for name in bound.outputs if bound.outputs.count(name) > 1})
    if doubled:
        raise RequestError("body.columns", f"the body returns {doubled[0]!r} twice", fix="give each column one name")
    new = tuple(name for name in bound.outputs if name not in keys)
    if not new:
        raise RequestError("body.columns", "the body returns no new column", fix="select the feature next to the keys")
    for name in new:
        if name.lower() in _STAGED_OWN or "." in name:
            raise RequestError(
                "column.name",
                f"{name!r} cannot name a new column",
                fix=f"{', '.join(_STAGED_OWN)} are the staging table's own, and a dot parts nested fields",
            )
    existing = {column.name.lower(): column.name for column in facts.columns}
    for name in new:
        if name.lower() in existing and name not in filled:
            raise Conflict(
                "column.exists",
                f"{facts.pin.table} has a column {existing[name.lower()]!r} already",
                fix=f"name the feature otherwise, name the keys with --key if {name} is one,"
                f" or compute it again with --replace {existing[name.lower()]}",
            )
    return new


def check_filled(filled: Collection[str], bound: BoundBody, keys: tuple[str, ...], facts: TableFacts) -> None:
    """Return when the table has these columns, the body makes them, and rows may get other values in them.

    Raises:
        RequestError: ``replace.unknown``, ``replace.body``, ``replace.key``, ``replace.partition``,
            ``replace.required``.
    """
    table = facts.pin.table
    by_name = {column.name: column for column in facts.columns}
    for name in filled:
        if name not in by_name:
            raise RequestError("replace.unknown", f"{table} has no column {name!r}", fix=did_you_mean(name, by_name))
        if name in keys:
            raise RequestError(
                "replace.key", f"{name!r} is a key, and rows are found by it", fix="replace another column"
            )
        if name in facts.partition_columns:
            raise RequestError(
                "replace.partition",
                f"{table} is partitioned by {name!r}: with another value a row would lie in the wrong partition",
                fix="write the table anew with an engine, or make a new column",
            )
        if by_name[name].required:
            raise RequestError(
                "replace.required",
                f"{name!r} is a required column, and a computed one may hold nulls",
                fix="make it optional first (Spark: ALTER TABLE … ALTER COLUMN … DROP NOT NULL)",
            )
        if name not in bound.outputs:
            raise RequestError(
                "replace.body", f"the body does not return {name!r}", fix="select it, or leave --replace out"
            )


def filled_columns(columns: Sequence[Column], filled: Collection[str], facts: TableFacts) -> tuple[Column, ...]:
    """The columns, those of `filled` with the field ids that they have in the table.

    Raises:
        RequestError: ``replace.type`` when one of them would be of another type than it is.
    """
    by_name = {column.name: column for column in facts.columns}
    found = []
    for column in columns:
        if column.name in filled:
            there = by_name[column.name]
            if str(parse_type(there.type)) != str(parse_type(column.type)):
                raise RequestError(
                    "replace.type",
                    f"{column.name!r} is {there.type} in {facts.pin.table} and computed as {column.type}",
                    fix=f"cast it in the body, or give --type {column.name}={there.type}",
                )
            column = replace(column, field_id=there.field_id)
        found.append(column)
    return tuple(found)


def base_columns(
    bound: BoundBody,
    keys: tuple[str, ...],
    time_column: str | None,
    spec: BackfillSpec,
    facts: TableFacts,
    filled: Collection[str] = (),
) -> tuple[str, ...]:
    """What staging reads of the table: the body's columns, keys, partition sources, the time for the window."""
    wanted = {*bound.reads[BASE], *keys, *facts.partition_columns}
    names = [column.name for column in facts.columns]
    if not spec.window.unbounded:
        if time_column is None:
            raise RequestError(
                "window.time", f"{facts.pin.table} has no time partition", fix="name the time column: --time COLUMN"
            )
        if time_column not in names:
            raise RequestError(
                "window.time",
                f"{facts.pin.table} has no column {time_column!r}",
                fix=did_you_mean(time_column, names),
            )
        kind = next(column.type for column in facts.columns if column.name == time_column)
        if not kind.startswith(("timestamp", "date")):
            raise RequestError(
                "window.time", f"{time_column} is of type {kind}, not a time", fix="name a timestamp or date column"
            )
        wanted.add(time_column)
        # Rows outside the window keep the old value of a replaced column.
        wanted.update(filled)
    return tuple(name for name in names if name in wanted)
