"""A definition against the schemas of its events, examples and tables: whatever does not fit is refused here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from nbplat.errors import RequestError
from nbplat.remote.sequence.stored_rows import index_type
from nbplat.sequence.bind_columns import available_columns, check_events, check_examples
from nbplat.sequence.bind_enrich import bind_enrichments, enrichment_tables
from nbplat.sequence.bind_features import bind_features
from nbplat.sequence.bound import Bound
from nbplat.sequence.column_kinds import decoded, kind_of
from nbplat.sequence.definition import Definition
from nbplat.sequence.index_record import index_columns, index_record, index_version
from nbplat.sequence.ports import Conditions
from nbplat.sequence.variants import variant as variant_of

__all__ = ["bind", "tables_of"]

_Tables = Mapping[str, pa.Schema]


def tables_of(definition: Definition) -> tuple[str, ...]:
    """Tables whose schemas `bind` needs: of the definition's and its variants' enrichments, sorted, each once."""
    parts = (definition, *(variant_of(definition, name) for name in definition.variants))
    return tuple(sorted({table for part in parts for table in enrichment_tables(part)}))


def bind(
    definition: Definition,
    events: pa.Schema,
    examples: pa.Schema | None = None,
    tables: _Tables | None = None,
    conditions: Conditions | None = None,
    *,
    variant: str | None = None,
) -> Bound:
    """Hold a definition, with all its variants, against real schemas.

    Args:
        events: Of the source.
        examples: Of the examples; None: there are none, or they are not known yet.
        tables: Of each table of `tables_of`.
        conditions: Checks every ``where``; None: only their columns are checked.
        variant: The variant to bind; None: the definition itself.

    Raises:
        RequestError: an unknown column or variant, a column of a type that does not fit, a time without a zone that
            nothing decides, a condition that is not boolean; `where` has the place of the key.
    """
    tables = tables or {}
    declared = definition if variant is None else variant_of(definition, variant)
    alone = replace(definition, variants=MappingProxyType({}))
    bound: dict[str | None, Definition] = {None: _bind_part(alone, events, tables)}
    for name in definition.variants:
        part = variant_of(definition, name)  # whose own errors name it
        with _inside(name):
            bound[name] = _bind_part(part, events, tables)
    parts, chosen = list(bound.values()), bound[variant]
    available = available_columns(chosen, events, tables)
    if examples is not None:
        with _inside(variant):
            check_examples(chosen, events, examples, available)
    record = index_record(parts)
    enrichments = {each.name: each for part in parts for each in part.enrich_index}
    indexed = tuple(enrichments[name] for name in sorted(enrichments))
    columns = index_columns(parts)
    schema = pa.schema(
        [pa.field(name, decoded(events.field(name).type)) for name in columns]
        + [pa.field(each.name, decoded(tables[each.table].field(each.column).type)) for each in indexed]
    )
    # A column that the source widens makes another index: the stored one cannot hold its values.
    record["column_types"] = {field.name: str(index_type(field.type)) for field in schema}
    read = {each.column for each in chosen.features}
    read |= {rule.select.column for rule in chosen.events if rule.select is not None}
    return Bound(
        declared=definition,
        definition=chosen,
        variant=variant,
        version=declared.version,
        index_record=MappingProxyType(record),
        index_version=index_version(record),
        index_columns=columns,
        index_enrichments=indexed,
        index_schema=schema,
        types=tuple(record["types"]),
        conditions=tuple(record["conditions"]),
        prepared=_prepared(parts, record["conditions"], _joined(events, schema), conditions),
        entity_types=tuple(schema.field(name).type for name in definition.entity),
        column_types=MappingProxyType({name: available[name] for name in sorted(read | set(chosen.show))}),
        feature_columns=tuple(sorted(read)),
        warnings=tuple(_warnings(chosen, events)),
    )


@contextmanager
def _inside(variant: str | None) -> Iterator[None]:
    """Errors say in which variant they are."""
    try:
        yield
    except RequestError as exc:
        if variant is None:
            raise
        raise type(exc)(exc.code, f"variant {variant}: {exc.message}", fix=exc.fix, where=exc.where) from None


def _bind_part(part: Definition, events: pa.Schema, tables: _Tables) -> Definition:
    part = bind_enrichments(part, events, tables)
    available = available_columns(part, events, tables)
    check_events(part, events, available)
    return bind_features(part, available)


def _joined(events: pa.Schema, index: pa.Schema) -> pa.Schema:
    """What a condition may name: every column of the events, and the enrichments at index."""
    own = [pa.field(field.name, decoded(field.type)) for field in events]
    return pa.schema([*own, *(field for field in index if field.name not in events.names)])


def _prepared(
    parts: Sequence[Definition], texts: Sequence[str], schema: pa.Schema, conditions: Conditions | None
) -> tuple[Mapping[str, Any], ...]:
    if conditions is None:
        return ()
    places = {
        rule.where: part.place("events", rule.event_type, "where")
        for part in reversed(parts)
        for rule in reversed(part.events)
        if rule.where is not None
    }
    return tuple(conditions.prepare(text, schema, places[text]) for text in texts)


def _warnings(part: Definition, events: pa.Schema) -> Iterator[str]:
    if part.as_of.at == "end":
        yield "as_of.at is end: every example sees its entity's whole history, what came after it as well"
    elif not part.as_of.strict:
        yield "as_of.strict is false: events at the very instant are let in, the example's own among them"
    for each in (*part.enrich_index, *part.enrich_read):
        if each.at == "latest":
            yield f"enrichment {each.name} is @ latest: an example sees values from after it"
    most = sum(rule.most for rule in part.events)
    if part.layout == "mixed" and part.size.length is not None and part.size.length > most:
        yield f"size.length is {part.size.length}, but the rules give {most} events at most: the rest is always padding"
    times = [events.field(name).type for name in (part.time, part.arrival) if name is not None]
    if part.zone is not None and all(kind_of(kind) == "timestamp" and decoded(kind).tz for kind in times):
        yield f"timezone {part.zone.name} is not needed for the events: their times have a zone"
    if any(kind_of(events.field(name).type) == "float" for name in part.entity):
        yield "the entity is a floating-point number: two that look the same may differ"
