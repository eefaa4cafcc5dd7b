"""The columns a definition names, against what events and examples have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pyarrow as pa

from nbplat.errors import did_you_mean
from nbplat.sequence.bind_enrich import comparable
from nbplat.sequence.column_kinds import ORDERED, decoded, kind_of, time_fault, vector_size
from nbplat.sequence.definition import Definition, EventRule
from nbplat.sequence.nodes import fault
from nbplat.sequence.where_text import where_columns

__all__ = ["available_columns", "check_events", "check_examples"]

# As a cast to text spells it.
_WHOLE = re.compile(r"(?:0|-?[1-9][0-9]*)\Z", re.ASCII)
_TYPE_KINDS = ("text", "integer", "boolean")


def available_columns(part: Definition, events: pa.Schema, tables: Mapping[str, pa.Schema]) -> dict[str, pa.DataType]:
    """Name -> type of the columns of the events and of every enrichment, dictionaries decoded."""
    found = {field.name: decoded(field.type) for field in events}
    for each in (*part.enrich_index, *part.enrich_read):
        found[each.name] = decoded(tables[each.table].field(each.column).type)
    return found


def check_events(part: Definition, events: pa.Schema, available: Mapping[str, pa.DataType]) -> None:
    """Every column is there and of a type that fits its role.

    Raises:
        RequestError: ``sequence.column``, ``.entity``, ``.time``, ``.type``, ``.id``, ``.where`` or ``.select``.
    """
    for path, name in _roles(part):
        if name not in events.names:
            message = f"{part.source} has no column {name!r} ({path[0]})"
            raise fault("column", message, did_you_mean(name, events.names), part.place(*path))
        if events.names.count(name) > 1:
            message = f"{part.source} has more than one column {name!r}"
            raise fault("column", message, "rename one of them", part.place(*path))
        _check_role(part, path, name, decoded(events.field(name).type))
    kind = kind_of(events.field(part.type).type)
    for rule in part.events:
        _check_type(part, rule, kind)
        _check_rule(part, rule, events, available)
    for name in part.show:
        if name not in available:
            message = f"{part.source} has no column {name!r} (show)"
            raise fault("column", message, did_you_mean(name, available), part.place("show", name))


def _roles(part: Definition) -> Iterator[tuple[tuple[str, ...], str]]:
    yield from ((("entity", name), name) for name in part.entity)
    yield ("time",), part.time
    if part.arrival is not None:
        yield ("arrival", "column"), part.arrival
    yield from ((("id", name), name) for name in part.id)
    yield ("type",), part.type


def _check_role(part: Definition, path: tuple[str, ...], name: str, kind: pa.DataType) -> None:
    role, place = path[0], part.place(*path)
    if role in ("time", "arrival"):
        wrong = time_fault(kind, part.zone, part.time_unit)
        if wrong is not None:
            raise fault("time", f"{role}: {name} is {wrong[0]}", wrong[1], place)
    elif role == "type":
        if kind_of(kind) not in _TYPE_KINDS:
            fix = "name a column of texts, integers or booleans"
            raise fault("type", f"type: {name} is of type {kind}, which names no types of events", fix, place)
    elif kind_of(kind) not in ORDERED:
        fix = "name columns of numbers, texts, booleans, times or binaries"
        raise fault(role, f"{role}: {name} is of type {kind}, which has no order", fix, place)


def _check_type(part: Definition, rule: EventRule, kind: str) -> None:
    """A type that no value of the column can be spelled as would be an empty sequence for ever."""
    text = rule.event_type
    never = (kind == "integer" and not _WHOLE.match(text)) or (kind == "boolean" and text not in ("true", "false"))
    if never:
        spelled = "true or false" if kind == "boolean" else "a whole number such as 3"
        message = f"events: {part.type} is of type {kind}, and no value of it is {text!r}"
        raise fault("type", message, f"write {spelled}, or name another type:", part.place("events", text))


def _check_rule(part: Definition, rule: EventRule, events: pa.Schema, available: Mapping[str, pa.DataType]) -> None:
    path = ("events", rule.event_type)
    if rule.where is not None:
        indexed = {*events.names, *(each.name for each in part.enrich_index)}
        for name in where_columns(rule.where):
            if name in indexed:
                continue
            message = f"{part.source} has no column {name!r} (where of {rule.event_type})"
            fix = did_you_mean(name, indexed)
            if name in {each.name for each in part.enrich_read}:
                message = f"the where of {rule.event_type} names {name!r}, which is added when it is read"
                fix = f"put {name} under enrich.index"
            raise fault("column", message, fix, part.place(*path, "where"))
    if rule.select is not None:
        name, place = rule.select.column, part.place(*path, "select")
        if name not in available:
            message = f"{part.source} has no column {name!r} (select of {rule.event_type})"
            raise fault("column", message, did_you_mean(name, available), place)
        if vector_size(available[name]) is None:
            message = f"select of {rule.event_type}: {name} is of type {available[name]}, no list of numbers"
            raise fault("select", message, "name an embedding", place)


def check_examples(
    part: Definition, events: pa.Schema, examples: pa.Schema, vectors: Mapping[str, pa.DataType]
) -> None:
    """The examples have the entity, the as-of time and the vectors to compare with.

    Args:
        vectors: Type of the column of each selection, by the name of the column.

    Raises:
        RequestError: ``sequence.column``, ``.entity``, ``.time`` or ``.select``.
    """
    for name in part.entity:
        place = part.place("entity", name)
        _check_there(name, examples, "entity", place)
        ours, theirs = events.field(name).type, examples.field(name).type
        if not comparable(decoded(ours), decoded(theirs)):
            message = f"{name} is {ours} in {part.source} and {theirs} in the examples: they do not compare"
            raise fault("entity", message, "give both the same type", place)
    if part.as_of.at != "end":
        name, place = part.as_of.time, part.place("as_of", "time") or part.place("as_of")
        _check_there(name, examples, "as_of.time", place)
        wrong = time_fault(examples.field(name).type, part.zone, part.time_unit)
        if wrong is not None:
            raise fault("time", f"as_of.time: {name} of the examples is {wrong[0]}", wrong[1], place)
    for rule in part.events:
        if rule.select is None:
            continue
        name, place = rule.select.to, part.place("events", rule.event_type, "select")
        _check_there(name, examples, f"select of {rule.event_type}", place)
        size, ours_size = vector_size(examples.field(name).type), vector_size(vectors[rule.select.column])
        if size is None or (size and ours_size and size != ours_size):
            kind = examples.field(name).type
            message = f"select of {rule.event_type}: {name} of the examples is of type {kind}"
            raise fault("select", message, f"name a list of numbers like {vectors[rule.select.column]}", place)


def _check_there(name: str, examples: pa.Schema, role: str, place: str) -> None:
    if name not in examples.names:
        message = f"the examples have no column {name!r} ({role})"
        raise fault("column", message, did_you_mean(name, examples.names), place)
