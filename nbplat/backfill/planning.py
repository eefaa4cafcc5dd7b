"""Spec + read-only tables -> a plan: what will be read, computed, written and changed. No effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nbplat.backfill.asof import check_times
from nbplat.backfill.body import BASE, bind_body, engine_name
from nbplat.backfill.columns import base_columns, body_keys, check_filled, filled_columns, new_names, spec_keys
from nbplat.backfill.declared import typed_columns
from nbplat.backfill.groups import closed_groups, group_units
from nbplat.backfill.plan import BackfillPlan, Others
from nbplat.backfill.plan_python import bind_python
from nbplat.backfill.ports import Engine, PythonBodies, Tables
from nbplat.backfill.python_body import PythonBody
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.table_facts import BaseFile, TableFacts
from nbplat.backfill.types import spark_type, width_bytes
from nbplat.backfill.units import plan_source, plan_units
from nbplat.errors import RequestError, SetupError

__all__ = ["build_plan"]


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
