"""A definition over rows in memory, bound and indexed, ready to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.adapters.duckdb.conditions import DuckDBConditions
from nbplat.remote.sequence.times import to_us
from nbplat.sequence.bind import bind
from nbplat.sequence.bound import Bound
from nbplat.sequence.definition import Definition
from nbplat.sequence.enrich import Joined, enrich_tasks, read_tables
from nbplat.sequence.examples import Examples
from nbplat.sequence.frame_source import FrameSource
from nbplat.sequence.memory_index import MemoryIndex, index_in_memory
from nbplat.sequence.recipe import recipe_of


@dataclass(frozen=True)
class Ready:
    """What `preview_of` asks for."""

    bound: Bound
    index: MemoryIndex
    examples: Examples
    joined: Mapping[str, Joined]


def ready(
    definition: Definition,
    events: pa.Table,
    examples: pa.Table,
    folder: Path,
    tables: Mapping[str, pa.Table] | None = None,
    buckets: int = 4,
) -> Ready:
    """Index events in memory, with `tables` to enrich from."""
    source = FrameSource(definition.source, events, folder)
    others = {name: FrameSource(name, rows, folder) for name, rows in (tables or {}).items()}
    schemas = {name: each.schema for name, each in others.items()}
    bound = bind(definition, source.schema, examples.schema, schemas, DuckDBConditions())
    definition = bound.definition
    tasks = enrich_tasks(bound.index_enrichments, others, definition)
    index = index_in_memory(bound.index_record, recipe_of(bound, tasks, buckets), source)
    asked = Examples(
        entity=examples.select(list(definition.entity)),
        as_of_us=np.asarray(to_us(examples[definition.as_of.time], unit=None, zone=None, name="label_ts")),
        rows=examples,
        pin=FrameSource("examples", examples, folder).pin,
    )
    return Ready(bound, index, asked, read_tables(definition.enrich_read, others, definition))


def moments(values: Sequence[int | None]) -> pa.Array:
    """Seconds since 1970 as aware timestamps."""
    scaled = [None if value is None else value * 1_000_000 for value in values]
    return pa.array(scaled, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows with their times in seconds."""
    columns = []
    for field in schema:
        values = [row[field.name] for row in rows]
        columns.append(moments(values) if pa.types.is_timestamp(field.type) else pa.array(values, field.type))
    return pa.table(columns, schema=schema)
