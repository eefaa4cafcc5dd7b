"""Enrichments against the schemas of events and tables: which columns must be equal, from when a row holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from nbplat.declared.key_path import join_path
from nbplat.errors import did_you_mean
from nbplat.remote.sequence.enriching import FROM
from nbplat.sequence.column_kinds import ORDERED, kind_of, time_fault
from nbplat.sequence.definition import Definition, Enrichment
from nbplat.sequence.nodes import fault

__all__ = ["bind_enrichments", "comparable", "enrichment_tables"]

_VALID_FROM = "valid_from"


def enrichment_tables(definition: Definition) -> tuple[str, ...]:
    """Tables of the definition's own enrichments, sorted, each once; those of its variants are not in it."""
    return tuple(sorted({each.table for each in (*definition.enrich_index, *definition.enrich_read)}))


def bind_enrichments(part: Definition, events: pa.Schema, tables: Mapping[str, pa.Schema]) -> Definition:
    """The definition with every enrichment's `on` and `time` filled in, and noted in its `defaults`.

    Raises:
        RequestError: an unknown table or column, columns that do not compare, or nothing to fill in.
    """
    noted: list[str] = []
    index = tuple(_bound(part, ("enrich", "index", e.name), e, events, tables, noted) for e in part.enrich_index)
    read = tuple(_bound(part, ("enrich", "read", e.name), e, events, tables, noted) for e in part.enrich_read)
    return replace(part, enrich_index=index, enrich_read=read, defaults=(*part.defaults, *noted))


def _bound(
    part: Definition,
    path: tuple[str, ...],
    each: Enrichment,
    events: pa.Schema,
    tables: Mapping[str, pa.Schema],
    noted: list[str],
) -> Enrichment:
    shown, place = join_path(*path), part.place(*path)
    others = {e.name for e in (*part.enrich_index, *part.enrich_read)}
    if each.name + FROM in {*events.names, *others}:
        fix = f"call it otherwise: the index keeps from when its value holds as {each.name}{FROM}"
        raise fault("enrich", f"{shown}: there is a column {each.name + FROM!r}", fix, place)
    if each.name in events.names:
        fix = f"call it otherwise: {each.name}_of_{each.table.rpartition('.')[2]}"
        raise fault("enrich", f"{shown}: the events have a column {each.name!r} already", fix, place)
    table = tables.get(each.table)
    if table is None:
        fix = did_you_mean(each.table, tables) or "name a table that is there"
        raise fault("enrich", f"{shown}: there is no table {each.table}", fix, place)
    _check_column(each.column, table, each.table, shown, part.place(*path, "column"))
    time = each.time
    if time is None:
        time = _time_column(part, each, table)
        if time is None and each.at != "latest":
            fix = f"name it: {each.table}.{each.column} @ {each.at} by COLUMN, or write @ latest, which leaks"
            raise fault("enrich", f"{shown}: nothing in {each.table} says from when a row holds", fix, place)
        noted.append(f"{join_path(*path, 'time')}: {time or 'none (one row a key)'}")
    if time is not None:
        _check_time(part, each, time, table, shown, part.place(*path, "time"))
    on = each.on
    if not on:
        on = _shared(part, each, time, events, table, shown, place)
        noted.append(f"{join_path(*path, 'on')}: {on[0][0]}")
    for ours, theirs in on:
        _check_pair(ours, theirs, each, events, table, shown, part.place(*path, "on"))
    return replace(each, on=on, time=time)


def _check_column(name: str, schema: pa.Schema, where: str, shown: str, place: str) -> None:
    if name not in schema.names:
        raise fault("column", f"{shown}: {where} has no column {name!r}", did_you_mean(name, schema.names), place)


def _time_column(part: Definition, each: Enrichment, table: pa.Schema) -> str | None:
    """``valid_from``, or the only timestamp that is neither the value nor compared."""
    used = {each.column, *(theirs for _, theirs in each.on)}
    if _VALID_FROM in table.names and _VALID_FROM not in used:
        return None if time_fault(table.field(_VALID_FROM).type, part.zone, part.time_unit) else _VALID_FROM
    stamps = [field.name for field in table if kind_of(field.type) == "timestamp" and field.name not in used]
    return stamps[0] if len(stamps) == 1 else None


def _check_time(part: Definition, each: Enrichment, name: str, table: pa.Schema, shown: str, place: str) -> None:
    _check_column(name, table, each.table, shown, place)
    wrong = time_fault(table.field(name).type, part.zone, part.time_unit)
    if wrong is not None:
        raise fault("time", f"{shown}: {name} of {each.table} is {wrong[0]}", wrong[1], place)


def _shared(
    part: Definition, each: Enrichment, time: str | None, events: pa.Schema, table: pa.Schema, shown: str, place: str
) -> tuple[tuple[str, str], ...]:
    """The one column that both sides have, besides times and the value itself."""
    others = {each.column, time, part.time, part.arrival}
    shared = [name for name in events.names if name in table.names and name not in others]
    if len(shared) != 1:
        share = f"share {', '.join(shared)}" if shared else "share no column"
        fix = f"say what must be equal: {each.table}.{each.column} @ {each.at} on {shared[0] if shared else 'a=b'}"
        raise fault("enrich", f"{shown}: the events and {each.table} {share}", fix, place)
    return ((shared[0], shared[0]),)


def _check_pair(
    ours: str, theirs: str, each: Enrichment, events: pa.Schema, table: pa.Schema, shown: str, place: str
) -> None:
    _check_column(ours, events, "the source", shown, place)
    _check_column(theirs, table, each.table, shown, place)
    left, right = events.field(ours).type, table.field(theirs).type
    if not comparable(left, right):
        message = (
            f"{shown}: {ours} is {left} in the events and {theirs} is {right} in {each.table}: they do not compare"
        )
        raise fault("enrich", message, "give both the same type, or compare other columns", place)


def comparable(left: pa.DataType, right: pa.DataType) -> bool:
    """Values of both can be equal: both ordered and of one kind, times both with or both without a zone."""
    kind = kind_of(left)
    if kind not in ORDERED or kind_of(right) != kind:
        return False
    return kind != "timestamp" or (left.tz is None) == (right.tz is None)
