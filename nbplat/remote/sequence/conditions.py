"""Which events a declaration's conditions hold for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.remote.duck import database, duckdb_errors, quoted, with_tables
from nbplat.remote.failure import KernelError

__all__ = ["MOST", "passes"]

MOST = 63
"""Conditions that one index can tell apart: the bits of an int64 that are not its sign."""

_BASE = "base"


def passes(rows: pa.Table, conditions: Sequence[Mapping[str, Any]], *, memory_bytes: int = 256 << 20) -> Any:
    """Evaluate every condition on every row, in one query.

    Args:
        rows: At least the columns that the conditions name, in the types of the index.
        conditions: What `nbplat.sequence.ports.Conditions.prepare` gave: ``where`` (as written), ``sql`` (of the local
            engine, over ``base``) and ``columns``.
        memory_bytes: What the engine may hold besides.

    Returns:
        ``int64[rows]``: bit k is set where condition k is true; neither false nor null sets it.

    Raises:
        KernelError: ``sequence.where_values``, what the data makes impossible (division by zero, overflow), naming
            the condition; ``local.memory``, ``local.disk``.
    """
    if not conditions or not rows.num_rows:
        return np.zeros(rows.num_rows, np.int64)
    settings = {"threads": 1, "memory_bytes": memory_bytes, "spill_folder": None}
    try:
        return _mask(rows, conditions, settings)
    except KernelError as exc:
        if exc.code != "body.values":
            raise
        raise _of_one(rows, conditions, settings, exc) from None


def _mask(rows: pa.Table, conditions: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> Any:
    bits = " | ".join(
        f"CASE WHEN {condition['sql']} THEN {1 << bit} ELSE 0 END" for bit, condition in enumerate(conditions)
    )
    columns = sorted({name for condition in conditions for name in condition["columns"]})
    # A condition that names no column still has a value a row.
    shown = rows.select(columns) if columns else pa.table({"nb_row": pa.nulls(rows.num_rows, pa.bool_())})
    connection = database(settings)
    with duckdb_errors(), with_tables(connection, {_BASE: shown}):
        found = connection.sql(f"SELECT CAST({bits} AS BIGINT) AS mask FROM {quoted([_BASE])[0]}")
        return found.to_arrow_table().column("mask").to_numpy()


def _of_one(
    rows: pa.Table, conditions: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], first: KernelError
) -> KernelError:
    """The error of the first condition that fails by itself."""
    for condition in conditions:
        try:
            _mask(rows, [condition], settings)
        except KernelError as exc:
            reason = exc.message.partition(": ")[2]
            return KernelError(
                "sequence.where_values",
                f"the condition `{condition['where']}` fails on this data: {reason}",
                fix="guard it (CASE WHEN …, NULLIF)",
            )
    return first
