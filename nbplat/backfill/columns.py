"""Which columns a plan reads, joins on and makes; refuses names that cannot be before any effect."""

from __future__ import annotations

from nbplat.backfill.body import BASE, BoundBody
from nbplat.backfill.ports import TableFacts
from nbplat.backfill.spec import BackfillSpec
from nbplat.errors import Conflict, RequestError, did_you_mean

__all__ = ["base_columns", "body_keys", "new_names", "spec_keys"]

_STAGED_OWN = ("nb_file", "nb_pos")


def spec_keys(spec: BackfillSpec, facts: TableFacts) -> tuple[str, ...]:
    names = [column.name for column in facts.columns]
    for key in spec.keys:
        if key not in names:
            raise RequestError(
                "key.unknown", f"{facts.pin.table} has no key column {key!r}", fix=did_you_mean(key, names)
            )
    return spec.keys


def body_keys(bound: BoundBody, facts: TableFacts) -> tuple[str, ...]:
    names = {column.name for column in facts.columns}
    return tuple(name for name in bound.outputs if name in names and name in bound.handed_on)


def new_names(bound: BoundBody, keys: tuple[str, ...], facts: TableFacts) -> tuple[str, ...]:
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
        if name.lower() in existing:
            raise Conflict(
                "column.exists",
                f"{facts.pin.table} has a column {existing[name.lower()]!r} already",
                fix=f"name the feature otherwise, or name the keys with --key if {name} is one",
            )
    return new


def base_columns(
    bound: BoundBody, keys: tuple[str, ...], time_column: str | None, spec: BackfillSpec, facts: TableFacts
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
        wanted.update(spec.replace)
    return tuple(name for name in names if name in wanted)
