"""Spec + read-only tables -> a plan: what will be read, computed, written and changed. No effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nbplat.backfill.asof import check_times
from nbplat.backfill.body import BASE, bind_body, engine_name
from nbplat.backfill.columns import base_columns, body_keys, check_filled, filled_columns, new_names, spec_keys
from nbplat.backfill.declared import typed_columns
from nbplat.backfill.plan_python import bind_python
from nbplat.backfill.ports import BaseFile, Column, Engine, PythonBodies, TableFacts, Tables
from nbplat.backfill.python_body import PythonBody
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.types import spark_type, width_bytes
from nbplat.backfill.units import SourcePlan, UnitPlan, closed_groups, group_units, plan_source, plan_units
from nbplat.errors import RequestError, SetupError
from nbplat.terms import SnapshotPin, Window, content_hash

__all__ = ["BackfillPlan", "Others", "SourcePlan", "UnitPlan", "build_plan"]

UNCHECKED = "checked while staging"


@dataclass(frozen=True, slots=True)
class Others:
    """What a plan says of the table's other runs; see `BackfillPlan`."""

    conflicts: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """Everything a run will do, as a value.

    Attributes:
        identity: Of the spec; equal for equal cells.
        columns: The new columns with their Iceberg types.
        query: The body in the engine's own SQL; empty for a Python body.
        python: What runs a Python body, see `nbplat.remote.python_body`; None for an SQL body.
        base_columns: Columns of the table that staging reads.
        partition_columns: Source columns of the table's partition fields.
        groups: Unit ids per query, so that sources are read once and memory stays bounded. Of a body that is
            not row-wise, those that must be seen together: all of them, or whole partitions of a grouped body.
        write_bytes: Estimated size of the staged files.
        write_basis: ``sampled`` from a unit that was run, or ``type widths``.
        seconds: Estimated staging time from the sample; None when nothing was sampled.
        key_check: What is known of the key's uniqueness before the run.
        conflicts: Other runs on this table that touch these columns; empty when there are none.
        replaced: Those of the columns that the table has, and that keep their values outside the window.
        checks: What the audit will look at, in words: ``blocks: rows, keys``, ``warns: constant``.
        overlaps: Other runs that are about to land on the same files, or on columns that this one reads.
    """

    name: str
    identity: str
    engine: str
    base: SnapshotPin
    partitioning: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    window: Window
    time_column: str | None
    sources: tuple[SourcePlan, ...]
    base_columns: tuple[str, ...]
    partition_columns: tuple[str, ...]
    units: tuple[UnitPlan, ...]
    groups: tuple[tuple[str, ...], ...]
    query: str
    row_wise: bool
    why: str
    write_bytes: int = 0
    write_basis: str = "type widths"
    seconds: float | None = None
    key_check: str = UNCHECKED
    conflicts: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    python: Mapping[str, Any] | None = None
    replaced: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """What the staging kernel runs; see `nbplat.remote.task`."""
        return dict(self.python) if self.python is not None else {"lang": "sql", "query": self.query}

    @property
    def keys_checked(self) -> bool:
        """True when the plan has read the keys and found them unique."""
        # A plan that was kept says what it said then.
        return not self.key_check.startswith("checked ")

    @property
    def rows(self) -> int:
        """Rows of all units."""
        return sum(unit.rows for unit in self.units)

    @property
    def read_bytes(self) -> int:
        """Exact compressed bytes staging reads: base columns and sources."""
        return sum(unit.read_bytes for unit in self.units) + sum(source.read_bytes for source in self.sources)

    @property
    def copy_bytes(self) -> int:
        """Bytes that promotion copies, and that stay stored twice until the old snapshots expire."""
        return sum(unit.file_bytes for unit in self.units)

    @property
    def plan_hash(self) -> str:
        """SHA-256 over what will be done; estimates do not count."""
        record = self.record()
        for estimate in ("write_bytes", "write_basis", "seconds", "key_check", "conflicts", "overlaps", "checks"):
            del record[estimate]
        return content_hash(record)

    def record(self) -> dict[str, Any]:
        """The JSON form; `from_record` reads it back."""
        return {**asdict(self), "window": self.window.record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> BackfillPlan:
        """Read what `record` wrote."""
        return cls(
            **{
                **record,
                "base": SnapshotPin(**record["base"]),
                "keys": tuple(record["keys"]),
                "columns": tuple(Column(**column) for column in record["columns"]),
                "window": Window.parse(record["window"]["from"], record["window"]["to"]),
                "sources": tuple(
                    SourcePlan(**{**source, "pin": SnapshotPin(**source["pin"]), "columns": tuple(source["columns"])})
                    for source in record["sources"]
                ),
                "base_columns": tuple(record["base_columns"]),
                "partition_columns": tuple(record["partition_columns"]),
                "units": tuple(UnitPlan(**unit) for unit in record["units"]),
                "groups": tuple(tuple(group) for group in record["groups"]),
                "conflicts": tuple(record["conflicts"]),
                "overlaps": tuple(record.get("overlaps", ())),
                "replaced": tuple(record.get("replaced", ())),
                "checks": tuple(record.get("checks", ())),
            }
        )


def build_plan(
    spec: BackfillSpec,
    tables: Tables,
    engine: Engine,
    bodies: PythonBodies,
    *,
    memory_bytes: int,
    others: Callable[[BackfillSpec, tuple[str, ...]], Others] = lambda _spec, _columns: Others(),
    only: frozenset[str] | None = None,
) -> BackfillPlan:
    """Plan a run from metadata.

    Args:
        others: What to say of the table's other runs, given the new columns.
        only: Data files to take; None takes all that the window meets.

    Raises:
        NotFound: an unknown table.
        RequestError: an unknown column or key, keys the body does not return, no new column, a
            window outside the table, a function outside the engine's subset, a type that does not fit.
        Conflict: a new column that the table has already.
        SetupError: a table format that promotion cannot write.
    """
    facts = tables.describe(spec.table)
    _check_table(facts)
    sources = {str(name): tables.describe(name) for name in spec.body.sources}
    check_times(spec, facts, sources)
    keys = spec_keys(spec, facts)
    types = _spark_columns({BASE: facts, **sources})
    python = None
    if isinstance(spec.body, PythonBody):
        python = bind_python(spec, spec.body, facts, tables, bodies)
        bound = python.bound
    else:
        bound = bind_body(spec.body, types, keys)
        keys = keys or body_keys(bound, facts, spec.replace)
        if keys and not spec.keys:
            bound = bind_body(spec.body, types, keys)
    check_filled(spec.replace, bound, keys, facts)
    new = new_names(bound, keys, facts, spec.replace)
    query = "" if python else engine.prepare(bound.sql, types)
    time_column = spec.time or facts.time_column
    read_columns = base_columns(bound, keys, time_column, spec, facts, spec.replace)
    schemas = {engine_name(BASE): tables.schema(facts.pin, read_columns)}
    schemas |= {engine_name(n): tables.schema(f.pin, bound.reads[n]) for n, f in sources.items()}
    found = python.columns if python else engine.result_columns(query, schemas)
    results = {column.name: column for column in found}
    files = tables.files(facts.pin, time_column=time_column, window=spec.window)
    units = plan_units(_among(files, only), read_columns, facts, spec)
    together = spec.body.group_by if isinstance(spec.body, PythonBody) else ()
    columns = filled_columns(typed_columns([results[name] for name in new], spec.types), spec.replace, facts)
    rows = sum(unit.rows for unit in units)
    said = others(spec, new)
    return BackfillPlan(
        name=spec.name,
        identity=spec.identity,
        engine=spec.engine,
        base=facts.pin,
        partitioning=_partitioning(files, facts),
        keys=keys,
        columns=columns,
        window=spec.window,
        time_column=time_column,
        sources=tuple(
            plan_source(tables.files(other.pin), other, bound.reads[name]) for name, other in sorted(sources.items())
        ),
        base_columns=read_columns,
        partition_columns=facts.partition_columns,
        units=units,
        groups=group_units(units, memory_bytes // 8)
        if bound.row_wise
        else closed_groups(units, files, facts.partition_columns, together),
        query=query,
        python=python.record if python else None,
        replaced=tuple(column.name for column in columns if column.name in spec.replace),
        row_wise=bound.row_wise,
        why=bound.why,
        write_bytes=rows * sum(width_bytes(column.type) for column in columns),
        conflicts=said.conflicts,
        overlaps=said.overlaps,
    )


def _among(files: tuple[BaseFile, ...], only: frozenset[str] | None) -> tuple[BaseFile, ...]:
    return files if only is None else tuple(file for file in files if file.path in only)


def _partitioning(files: tuple[BaseFile, ...], facts: TableFacts) -> str:
    """The partition spec in words; staging tables follow it only where every file does."""
    specs = {file.spec_id for file in files} | {facts.spec_id}
    if len(specs) == 1:
        return facts.partitioning
    return f"{facts.partitioning} ({len(specs)} specs among the files: the staging table is unpartitioned)"


def _check_table(facts: TableFacts) -> None:
    if facts.pin.snapshot_id is None or not facts.files:
        raise RequestError("table.empty", f"{facts.pin.table} holds no rows", fix="load the table first")
    if facts.format_version != 2:
        raise SetupError(
            "table.format",
            f"{facts.pin.table} is an Iceberg v{facts.format_version} table, and promotion writes v2 only",
            fix="use a v2 table: pyiceberg 0.12 writes no v3, and v1 has no sequence numbers",
        )


def _spark_columns(tables: Mapping[str, TableFacts]) -> dict[str, dict[str, str]]:
    return {name: {column.name: spark_type(column.type) for column in facts.columns} for name, facts in tables.items()}
