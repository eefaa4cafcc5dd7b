"""Definition + pinned sources -> a plan of the build: what is read, cut into which units, written where. No effects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from nbplat.sequence.bound import Bound
from nbplat.sequence.ports import EventSource, SourcePart, SourcePin
from nbplat.sequence.recipe import index_schema
from nbplat.terms import TableName, content_hash

__all__ = [
    "NAMESPACE",
    "ScatterUnit",
    "SequencePlan",
    "explain_plan",
    "held_bytes",
    "index_name",
    "plan_build",
    "pow2_at_least",
]

NAMESPACE = "nb_sequences"
_DIGITS = 12

MOST_BUCKETS = 4096
_BUCKET_ROWS = 256 * 1024
_WORKING = 4
"""Bytes that sorting needs for each byte of rows; as `nbplat.remote.sequence.heavy.WORKING`."""
_UNIT_BYTES = 256 << 20
"""Of compressed source that one scatter unit reads, about."""


@dataclass(frozen=True, slots=True)
class ScatterUnit:
    """Parts of the source that become one spill file.

    Attributes:
        parts: Ids of the source's parts.
        bytes: To read at most.
    """

    id: str
    parts: tuple[str, ...]
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """Everything a build will do, as a value.

    Attributes:
        name: Of the sequence.
        version: Of the definition.
        index_version: Of the index record.
        table: Where the index goes.
        engine: ``local``, ``ray`` or ``spark``.
        source: What is read, pinned.
        enrich: Table that enriches -> its pin.
        columns: Read from the source.
        rows: At most; deleted rows count.
        read_bytes: At most: the sources' bytes for all columns, from metadata.
        held_bytes: What the rows take in memory, estimated from the types.
        buckets: A power of two.
        direct: True when the source fits the memory: one unit reads, sorts and writes everything.
        scatter: Units that deal rows to buckets; empty when `direct`.
        memory_bytes: What all tasks of this machine may hold together.
        defaults, warnings: For the reader.
    """

    name: str
    version: str
    index_version: str
    table: str
    engine: str
    source: SourcePin
    enrich: Mapping[str, SourcePin]
    columns: tuple[str, ...]
    rows: int
    read_bytes: int
    held_bytes: int
    buckets: int
    direct: bool
    scatter: tuple[ScatterUnit, ...]
    memory_bytes: int
    defaults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def units(self) -> int:
        """How many units the job counts."""
        return 1 if self.direct else len(self.scatter) + self.buckets

    @property
    def plan_hash(self) -> str:
        """SHA-256 over what decides the units and their content."""
        record = self.record()
        for aside in ("name", "version", "engine", "memory_bytes", "held_bytes", "defaults", "warnings"):
            del record[aside]
        return content_hash(record)

    def record(self) -> dict[str, Any]:
        """JSON form; `from_record` reads it."""
        return {
            "name": self.name,
            "version": self.version,
            "index_version": self.index_version,
            "table": self.table,
            "engine": self.engine,
            "source": self.source.record(),
            "enrich": {name: pin.record() for name, pin in self.enrich.items()},
            "columns": list(self.columns),
            "rows": self.rows,
            "read_bytes": self.read_bytes,
            "held_bytes": self.held_bytes,
            "buckets": self.buckets,
            "direct": self.direct,
            "scatter": [
                {"id": unit.id, "parts": list(unit.parts), "rows": unit.rows, "bytes": unit.bytes}
                for unit in self.scatter
            ],
            "memory_bytes": self.memory_bytes,
            "defaults": list(self.defaults),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SequencePlan:
        """Read what `record` wrote."""
        return cls(
            **{
                **record,
                "source": SourcePin.from_record(record["source"]),
                "enrich": {name: SourcePin.from_record(pin) for name, pin in record["enrich"].items()},
                "columns": tuple(record["columns"]),
                "scatter": tuple(ScatterUnit(**{**unit, "parts": tuple(unit["parts"])}) for unit in record["scatter"]),
                "defaults": tuple(record["defaults"]),
                "warnings": tuple(record["warnings"]),
            }
        )


def plan_build(
    bound: Bound,
    source: EventSource,
    enrich: Mapping[str, EventSource],
    *,
    engine: str,
    memory_bytes: int,
    slots: int,
    buckets: int | None = None,
) -> SequencePlan:
    """Plan a build; reads metadata only.

    Args:
        enrich: The tables that enrich at index, by name.
        memory_bytes: What the tasks of this machine may hold together.
        slots: Tasks at a time.
        buckets: Those of the table that is there already; None chooses.
    """
    held = held_bytes(index_schema(bound), source.rows)
    direct = held * _WORKING <= memory_bytes // 2
    chosen = buckets or choose_buckets(source.rows, held, memory_bytes // slots)
    return SequencePlan(
        name=bound.declared.name,
        version=bound.declared.version,
        index_version=bound.index_version,
        table=index_name(bound.declared.name, bound.index_version),
        engine=engine,
        source=source.pin,
        enrich={name: each.pin for name, each in sorted(enrich.items())},
        columns=tuple(sorted(bound.index_columns)),
        rows=source.rows,
        read_bytes=source.bytes + sum(each.bytes for each in enrich.values()),
        held_bytes=held,
        buckets=chosen,
        direct=direct,
        scatter=() if direct else tuple(_scatter_units(source.parts, slots)),
        memory_bytes=memory_bytes,
        defaults=bound.definition.defaults,
        warnings=bound.warnings,
    )


def index_name(name: str, index_version: str) -> str:
    """Table of an index: ``nb_sequences.home_v3__0123456789ab``."""
    return str(TableName(NAMESPACE, f"{name}__{index_version[:_DIGITS]}"))


def choose_buckets(rows: int, held: int, task_bytes: int) -> int:
    """So many that the rows of a bucket are few and sorting them takes half of a task's memory at most."""
    by_rows = -(-rows // _BUCKET_ROWS)
    by_bytes = -(-held * _WORKING * 2 // max(task_bytes, 1))
    return min(pow2_at_least(max(by_rows, by_bytes, 1)), MOST_BUCKETS)


def pow2_at_least(number: int) -> int:
    """The least power of two that is not below."""
    return 1 << max(number - 1, 0).bit_length()


def held_bytes(schema: pa.Schema, rows: int) -> int:
    """Estimated bytes of rows in memory, with the two clocks."""
    return rows * (16 + sum(_width(field.type) for field in schema))


def _width(kind: pa.DataType) -> int:
    if pa.types.is_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind):
        return 128
    try:
        return max(int(kind.bit_width) // 8, 1)
    except ValueError:
        # Texts and bytes: an offset and a short value.
        return 24


def _scatter_units(parts: Sequence[SourcePart], slots: int) -> Iterator[ScatterUnit]:
    """Parts in their order, about as many bytes in each unit; several units a slot, so that no slot waits long."""
    total = sum(part.bytes for part in parts)
    target = max(min(total // (slots * 4), _UNIT_BYTES), 1)
    held: list[SourcePart] = []
    number = size = 0
    for part in parts:
        held.append(part)
        size += part.bytes
        if size >= target:
            yield _unit(number, held)
            number, size, held = number + 1, 0, []
    if held:
        yield _unit(number, held)


def _unit(number: int, parts: Sequence[SourcePart]) -> ScatterUnit:
    return ScatterUnit(
        id=f"p{number:05d}",
        parts=tuple(part.id for part in parts),
        rows=sum(part.rows for part in parts),
        bytes=sum(part.bytes for part in parts),
    )


def explain_plan(plan: SequencePlan) -> Iterator[str]:
    """Lines that tell what a build will do."""
    yield f"sequence {plan.name}, definition {plan.version[:12]}, index {plan.index_version[:12]}"
    yield f"reads {plan.source.name} ({plan.source.kind}): at most {plan.rows:,} rows, {plan.read_bytes:,} bytes"
    if plan.source.table is not None:
        yield f"  pinned to snapshot {plan.source.table.snapshot_id}"
    for name, pin in plan.enrich.items():
        snapshot = f", snapshot {pin.table.snapshot_id}" if pin.table is not None else ""
        yield f"  and {name} to enrich the events{snapshot}"
    yield f"  columns {', '.join(plan.columns)}"
    yield f"writes {plan.table}: {plan.buckets} bucket{'s' if plan.buckets > 1 else ''} by hash of the entity"
    if plan.direct:
        yield f"on {plan.engine}: 1 unit, the source fits the memory ({plan.held_bytes >> 20:,} MB of rows, estimated)"
    else:
        yield (
            f"on {plan.engine}: {len(plan.scatter)} units deal rows to buckets, {plan.buckets} units sort;"
            f" within {plan.memory_bytes >> 20:,} MB"
        )
    for text in plan.defaults:
        yield f"default: {text}"
    for text in plan.warnings:
        yield f"warning: {text}"
