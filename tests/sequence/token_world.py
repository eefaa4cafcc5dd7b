"""Small worlds for batches: events in memory, examples, enriching tables, and what a batch holds in plain Python."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.adapters.duckdb.conditions import DuckDBConditions
from nbplat.remote.sequence.hashing import row_hash
from nbplat.remote.sequence.tasks import Recipe
from nbplat.sequence.definition import Definition, Enrichment
from nbplat.sequence.enrich import Joined, enrich_tasks, read_tables
from nbplat.sequence.examples import Examples
from nbplat.sequence.frame_source import FrameSource
from nbplat.sequence.memory_index import MemoryIndex, index_in_memory
from nbplat.sequence.ports import SourcePin
from tests.sequence.oracle import Chosen, Past, chosen, histories, sequence

__all__ = ["EVENTS", "ITEMS", "WHERE", "World", "examples_of", "expected_lists"]

EVENTS = pa.schema(
    {
        "user": pa.string(),
        "ts": pa.int64(),
        "seen": pa.int64(),
        "number": pa.int64(),
        "kind": pa.string(),
        "item": pa.int32(),
        "amount": pa.float64(),
        "title": pa.string(),
        "vec": pa.list_(pa.float32()),
    }
)
ITEMS = pa.schema({"item": pa.int64(), "since": pa.int64(), "category": pa.string(), "emb": pa.list_(pa.float32())})


WHERE = {
    "amount > 0": lambda row: row["amount"] is not None and row["amount"] > 0,
    "item IS NULL": lambda row: row["item"] is None,
}
"""Conditions, and what they mean."""


@dataclass
class World:
    """Events and enriching tables of one test.

    Attributes:
        events: Rows of `EVENTS`.
        tables: Name -> rows.
    """

    folder: Path
    events: pa.Table
    tables: Mapping[str, pa.Table]

    def source(self, name: str) -> FrameSource:
        return FrameSource(name, self.tables[name], self.folder)

    @property
    def sources(self) -> dict[str, FrameSource]:
        return {name: self.source(name) for name in self.tables}

    def index(self, definition: Definition, buckets: int = 4, types: Sequence[str] = ()) -> MemoryIndex:
        fields = {field.name: field.type for field in EVENTS}
        for each in definition.enrich_index:
            fields[each.name] = self.sources[each.table].schema.field(each.column).type
            if each.time is not None:
                fields[f"{each.name}__from"] = pa.timestamp("us", tz="UTC")
        columns = sorted(EVENTS.names)
        wheres = sorted({rule.where for rule in definition.events if rule.where is not None})
        schema = pa.schema([pa.field(name, fields[name]) for name in sorted(fields)])
        recipe = Recipe(
            entity=list(definition.entity),
            type=definition.type,
            types=sorted({rule.event_type for rule in definition.events} | set(types)),
            time=definition.time,
            arrival=definition.arrival,
            early=definition.early,
            id=list(definition.id),
            dedupe=definition.dedupe,
            time_unit="us",
            zone=None,
            read=columns,
            columns=schema.names,
            hashed=columns,
            schema=schema.serialize().to_pybytes(),
            conditions=[dict(DuckDBConditions().prepare(where, schema)) for where in wheres],
            enrich=[dict(task) for task in enrich_tasks(definition.enrich_index, self.sources, definition)],
            buckets=buckets,
        )
        record = {"types": recipe["types"], "conditions": wheres}
        return index_in_memory(record, recipe, FrameSource("events", self.events, self.folder))

    def joined(self, definition: Definition) -> dict[str, Joined]:
        return read_tables(definition.enrich_read, self.sources, definition)


def examples_of(rows: Sequence[tuple[str | None, int]], **carried: Sequence[Any]) -> Examples:
    entity = pa.table({"user": pa.array([user for user, _ in rows], pa.string())})
    return Examples(
        entity,
        np.array([moment for _, moment in rows], np.int64),
        pa.table({name: pa.array(values) for name, values in carried.items()}),
        SourcePin("frame", "examples", "x"),
    )


def pasts(world: World, definition: Definition, types: Sequence[str] = ()) -> dict[tuple[Any, ...], list[Past]]:
    """Each user's events in the total order."""
    return histories(
        world.events.to_pylist(),
        entity=definition.entity,
        type=definition.type,
        types=sorted({rule.event_type for rule in definition.events} | set(types)),
        time=definition.time,
        arrival=definition.arrival,
        id=definition.id,
        hashed=sorted(EVENTS.names),
        dedupe=definition.dedupe,
    )


def expected_lists(
    world: World, definition: Definition, examples: Examples, types: Sequence[str] = ()
) -> list[dict[str, list[Past]]]:
    """For each example and each group (``""`` when mixed) its events in the order of the model."""
    users = pasts(world, definition, types)
    size, as_of = definition.size, definition.as_of
    found = []
    for user, moment in zip(examples.entity["user"].to_pylist(), examples.as_of_us.tolist(), strict=True):
        parts: dict[str, Chosen] = {
            rule.event_type: chosen(
                users.get((user,), []) if user is not None else [],
                type=rule.event_type,
                last=rule.last,
                within=rule.within_us,
                where=None if rule.where is None else WHERE[rule.where],
                as_of=moment,
                strict=as_of.strict,
                gap=as_of.gap_us,
                end=as_of.at == "end",
            )
            for rule in definition.events
        }
        groups = {"": list(parts.values())} if definition.layout == "mixed" else {k: [v] for k, v in parts.items()}
        found.append(
            {
                name: sequence(
                    users.get((user,), []),
                    mine,
                    order=size.order,
                    limit=size.lengths.get(name, size.length),
                    truncate=size.truncate,
                )
                for name, mine in groups.items()
            }
        )
    return found


def value_at(rows: Sequence[Mapping[str, Any]], each: Enrichment, event: Past, cutoff: int, strict: bool) -> Any:
    """The value of an enrichment for one event, and from when it holds; (None, None) where there is none."""
    names = [each.column]
    best: tuple[Any, ...] | None = None
    for row in rows:
        if any(row[there] is None or row[there] != event.row[here] for here, there in each.on):
            continue
        moment = row[each.time] if each.time else 0
        if moment is None:
            continue
        at = {"event_time": event.time, "request_time": cutoff, "latest": None}[each.at] if each.time else None
        if at is not None and not (moment < at if each.at == "request_time" and strict else moment <= at):
            continue
        kinds = {"category": pa.string(), "emb": pa.list_(pa.float32())}
        hashed = int(row_hash(pa.table({name: pa.array([row[name]], kinds[name]) for name in names}))[0])
        if best is None or (moment, hashed) > best[:2]:
            best = (moment, hashed, row[each.column])
    return (None, None) if best is None else (best[2], best[0])


def vocab_of(values: Sequence[Any], min_count: int, max_size: int | None) -> dict[Any, int]:
    counts = Counter(value for value in values if value is not None)
    kept = sorted(
        (value for value, count in counts.items() if count >= min_count),
        key=lambda value: (-counts[value], value.encode() if isinstance(value, str) else value),
    )
    return {value: place + 2 for place, value in enumerate(kept[:max_size])}


def bucket_of(value: float | None, edges: Sequence[float]) -> int:
    if value is None or math.isnan(value):
        return 1
    return 2 + sum(1 for edge in edges if value >= edge)
