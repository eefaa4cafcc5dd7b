"""Which events a declaration's conditions hold for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.remote.duck import database, duckdb_errors, with_tables
from nbplat.remote.failure import KernelError

__all__ = ["MOST", "passes"]

MOST = 63
"""Conditions that one index can tell apart: the bits of an int64 that are not its sign."""

_BASE, _TYPE = "base", "nb_type"


def passes(
    rows: pa.Table,
    conditions: Sequence[Mapping[str, Any]],
    *,
    type: str | None = None,
    memory_bytes: int = 256 << 20,
) -> Any:
    """Evaluate every condition on the rows that it is for, in one query.

    Args:
        rows: At least the columns that the conditions name, in the types of the index.
        conditions: What `nbplat.sequence.ports.Conditions.prepare` gave: ``where`` (as written), ``sql`` (of the local
            engine, over ``base``) and ``columns``; with ``types``, it is for the rows of these types only.
        type: Column of the events' types; needed for conditions with ``types``.
        memory_bytes: What the engine may hold besides.

    Returns:
        ``int64[rows]``: bit k is set where condition k is true; neither false nor null sets it, nor does any value of
        a row that the condition is not for.

    Raises:
        KernelError: ``sequence.where_values``, what the data makes impossible (division by zero, overflow), naming
            the condition; ``local.memory``, ``local.disk``.
    """
    if not conditions or not rows.num_rows:
        return np.zeros(rows.num_rows, np.int64)
    settings = {"threads": 1, "memory_bytes": memory_bytes, "spill_folder": None}
    columns = sorted({name for condition in conditions for name in condition["columns"]})
    shown = rows.select(columns)
    if any("types" in condition for condition in conditions):
        shown = shown.append_column(_TYPE, rows.column(type).cast(pa.string()))
    if not shown.num_columns:
        # A condition that names no column still has a value a row.
        shown = pa.table({_TYPE: pa.nulls(rows.num_rows, pa.string())})
    try:
        return _mask(shown, conditions, settings)
    except KernelError as exc:
        if exc.code != "body.values":
            raise
        raise _of_one(shown, conditions, settings, exc) from None


def _mask(shown: pa.Table, conditions: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> Any:
    bits = " | ".join(_bit(condition, 1 << number) for number, condition in enumerate(conditions))
    connection = database(settings)
    with duckdb_errors(), with_tables(connection, {_BASE: shown}):
        found = connection.sql(f"SELECT CAST({bits} AS BIGINT) AS mask FROM {_BASE}")
        return found.to_arrow_table().column("mask").to_numpy()


def _bit(condition: Mapping[str, Any], value: int) -> str:
    """The condition's bit; CASE keeps it from being computed for rows of other types, where it may fail."""
    found = f"CASE WHEN {condition['sql']} THEN {value} ELSE 0 END"
    if "types" not in condition:
        return found
    types = ", ".join("'" + name.replace("'", "''") + "'" for name in condition["types"])
    return f"CASE WHEN {_TYPE} IN ({types}) THEN {found} ELSE 0 END"


def _of_one(
    shown: pa.Table, conditions: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], first: KernelError
) -> KernelError:
    """The error of the first condition that fails by itself."""
    for condition in conditions:
        try:
            _mask(shown, [condition], settings)
        except KernelError as exc:
            reason = exc.message.partition(": ")[2]
            return KernelError(
                "sequence.where_values",
                f"the condition `{condition['where']}` fails on this data: {reason}",
                fix="guard it (CASE WHEN …, NULLIF)",
            )
    return first
