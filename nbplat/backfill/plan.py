"""Spec + read-only tables -> a plan: what will be read, computed, written and changed. No effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nbplat.backfill.body import BASE, BoundBody, bind_body, engine_name
from nbplat.backfill.ports import BaseFile, Column, Engine, TableFacts, Tables
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.types import WIDTH_BYTES, spark_type
from nbplat.errors import Conflict, RequestError, SetupError, did_you_mean
from nbplat.terms import SnapshotPin, TableName, Window, content_hash

__all__ = ["BackfillPlan", "SourcePlan", "UnitPlan", "build_plan"]

UNCHECKED = "checked before staging"

_DECODED_PER_STORED = 4  # Arrow bytes per compressed Parquet byte, a cautious mean of plain tables

_STAGED_OWN = ("nb_file", "nb_pos")


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """Another table that the body reads: pinned, with the columns it needs.

    Attributes:
        read_bytes: Exact compressed bytes of those columns, from the manifests.
    """

    pin: SnapshotPin
    columns: tuple[str, ...]
    rows: int
    files: int
    read_bytes: int


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """One base data file: the piece that is staged once and promoted once.

    Attributes:
        id: ``00000``, ``00001``, … in path order.
        read_bytes: Exact compressed bytes of the base columns to read.
        strategy: How promotion lands: ``splice``.
        reason: Why that strategy.
    """

    id: str
    path: str
    rows: int
    file_bytes: int
    read_bytes: int
    partition: str
    strategy: str
    reason: str


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """Everything a run will do, as a value.

    Attributes:
        identity: Of the spec; equal for equal cells.
        columns: The new columns with their Iceberg types.
        query: The body in the engine's own SQL.
        base_columns: Columns of the table that staging reads.
        partition_columns: Source columns of the table's partition fields.
        groups: Unit ids per query, so that sources are read once and memory stays bounded.
        write_bytes: Estimated size of the staged files.
        write_basis: ``sampled`` from a unit that was run, or ``type widths``.
        seconds: Estimated staging time from the sample; None when nothing was sampled.
        key_check: What is known of the key's uniqueness before the run.
        conflicts: Other runs on this table that touch these columns; empty when there are none.
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

    @property
    def keys_checked(self) -> bool:
        """True when the plan has read the keys and found them unique."""
        return self.key_check != UNCHECKED

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
        for estimate in ("write_bytes", "write_basis", "seconds", "key_check", "conflicts"):
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
            }
        )


def build_plan(
    spec: BackfillSpec,
    tables: Tables,
    engine: Engine,
    *,
    memory_bytes: int,
    conflicts: Callable[[TableName, tuple[str, ...]], tuple[str, ...]] = lambda _table, _columns: (),
) -> BackfillPlan:
    """Plan a run from metadata.

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
    keys = _keys(spec, facts)
    types = _spark_columns({BASE: facts, **sources})
    bound = bind_body(spec.body, types, keys)
    keys = keys or _keys_from_body(bound, facts)
    if keys and not spec.keys:
        bound = bind_body(spec.body, types, keys)
    new = _new_names(bound, keys, facts)
    query = engine.prepare(bound.sql, types)
    time_column = spec.time or facts.time_column
    base_columns = _base_columns(bound, keys, time_column, spec, facts)
    schemas = {engine_name(BASE): tables.schema(facts.pin, base_columns)}
    schemas |= {engine_name(n): tables.schema(f.pin, bound.reads[n]) for n, f in sources.items()}
    results = {column.name: column for column in engine.result_columns(query, schemas)}
    units = _units(tables.files(facts.pin, time_column=time_column, window=spec.window), base_columns, facts, spec)
    columns = tuple(results[name] for name in new)
    rows = sum(unit.rows for unit in units)
    return BackfillPlan(
        name=spec.name,
        identity=spec.identity,
        engine=engine.name,
        base=facts.pin,
        partitioning=facts.partitioning,
        keys=keys,
        columns=columns,
        window=spec.window,
        time_column=time_column,
        sources=tuple(
            _source(tables.files(other.pin), other, bound.reads[name]) for name, other in sorted(sources.items())
        ),
        base_columns=base_columns,
        partition_columns=facts.partition_columns,
        units=units,
        groups=_groups(units, memory_bytes // 8) if bound.row_wise else (tuple(unit.id for unit in units),),
        query=query,
        row_wise=bound.row_wise,
        why=bound.why,
        write_bytes=rows * sum(WIDTH_BYTES[column.type] for column in columns),
        conflicts=conflicts(spec.table, new),
    )


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


def _keys(spec: BackfillSpec, facts: TableFacts) -> tuple[str, ...]:
    names = [column.name for column in facts.columns]
    for key in spec.keys:
        if key not in names:
            raise RequestError(
                "key.unknown", f"{facts.pin.table} has no key column {key!r}", fix=did_you_mean(key, names)
            )
    return spec.keys


def _keys_from_body(bound: BoundBody, facts: TableFacts) -> tuple[str, ...]:
    names = {column.name for column in facts.columns}
    return tuple(name for name in bound.outputs if name in names and name in bound.handed_on)


def _new_names(bound: BoundBody, keys: tuple[str, ...], facts: TableFacts) -> tuple[str, ...]:
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


def _base_columns(
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
    return tuple(name for name in names if name in wanted)


def _units(
    files: tuple[BaseFile, ...], columns: tuple[str, ...], facts: TableFacts, spec: BackfillSpec
) -> tuple[UnitPlan, ...]:
    if not files:
        raise RequestError(
            "window.outside",
            f"the window {spec.window} meets no data file of {facts.pin.table}",
            fix="choose --from and --to inside the table's time span (%backfill plan without a window shows it)",
        )
    deleted = [file for file in files if file.deletes]
    if deleted:
        raise SetupError(
            "table.deletes",
            f"{len(deleted)} data files of {facts.pin.table} have row-level deletes, which cannot be aligned to",
            fix="compact them first (Spark: CALL system.rewrite_data_files), then plan again",
            where=deleted[0].path,
        )
    older = [file for file in files if file.spec_id != facts.spec_id]
    if older:
        raise SetupError(
            "table.specs",
            f"{len(older)} data files of {facts.pin.table} lie under an older partition spec",
            fix="rewrite them under the present one first (Spark: CALL system.rewrite_data_files), then plan again",
            where=older[0].path,
        )
    return tuple(
        UnitPlan(
            id=f"{number:05d}",
            path=file.path,
            rows=file.rows,
            file_bytes=file.file_bytes,
            read_bytes=sum(file.column_bytes.get(name, 0) for name in columns),
            partition=file.partition,
            strategy="splice",
            reason="no deletes apply: the old bytes are copied and the new column is appended",
        )
        for number, file in enumerate(files)
    )


def _source(files: tuple[BaseFile, ...], facts: TableFacts, columns: tuple[str, ...]) -> SourcePlan:
    read_bytes = sum(file.column_bytes.get(name, 0) for file in files for name in columns)
    return SourcePlan(facts.pin, columns, sum(file.rows for file in files), len(files), read_bytes)


def _groups(units: tuple[UnitPlan, ...], budget_bytes: int) -> tuple[tuple[str, ...], ...]:
    """Cut the units into runs whose decoded columns fit the budget; a unit above it stands alone."""
    groups: list[list[str]] = []
    filled = 0
    for unit in units:
        size = max(unit.read_bytes, 1) * _DECODED_PER_STORED
        if not groups or filled + size > budget_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(unit.id)
        filled += size
    return tuple(tuple(group) for group in groups)
