"""Runs a body of the declared Spark-SQL subset over Arrow tables, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import duckdb
import pyarrow as pa

from nbplat.adapters.duckdb.types import iceberg_type
from nbplat.backfill.dialect import to_duckdb
from nbplat.backfill.ports import Column
from nbplat.backfill.types import arrow_type
from nbplat.errors import DataError, RequestError, SetupError
from nbplat.remote.cast import CastError, cast_column

__all__ = ["DuckDBEngine"]


class DuckDBEngine:
    """The ``local`` engine.

    Args:
        threads: 0 takes every core.
        memory_bytes: Above it DuckDB spills to `spill_folder`.
    """

    name = "local"

    def __init__(self, *, threads: int, memory_bytes: int, spill_folder: str) -> None:
        self._settings: dict[str, Any] = {
            "memory_limit": f"{memory_bytes // (1 << 20)}MiB",
            "temp_directory": spill_folder,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        if threads:
            self._settings["threads"] = threads

    def prepare(self, sql: str, types: Mapping[str, Mapping[str, str]]) -> str:
        """Spark SQL to DuckDB SQL; RequestError for what lies outside the subset."""
        return to_duckdb(sql, types)

    def result_columns(self, query: str, schemas: Mapping[str, pa.Schema]) -> tuple[Column, ...]:
        """Bind the query over empty tables.

        Raises:
            RequestError: types that do not fit together, or a result type a new column cannot have.
        """
        with closing(self._connect({name: schema.empty_table() for name, schema in schemas.items()})) as db:
            try:
                relation = db.sql(query)
            except duckdb.Error as exc:
                raise RequestError(
                    "body.types", f"the body does not bind: {_reason(exc)}", fix="mend the types or names it names"
                ) from None
            return tuple(
                Column(name, iceberg_type(kind, name))
                for name, kind in zip(relation.columns, relation.types, strict=True)
            )

    def run(self, query: str, tables: Mapping[str, pa.Table]) -> pa.Table:
        """Run the query; the result's columns have the types `result_columns` told.

        Raises:
            DataError: what the data makes impossible: division by zero, overflow.
            SetupError: out of memory or of disk for spilling.
        """
        with closing(self._connect(tables)) as db:
            try:
                relation = db.sql(query)
                kinds = [iceberg_type(kind, name) for name, kind in zip(relation.columns, relation.types, strict=True)]
                result: pa.Table = relation.to_arrow_table()
            except duckdb.OutOfMemoryException as exc:
                raise SetupError(
                    "local.memory",
                    f"the local engine ran out of memory: {_reason(exc)}",
                    fix="raise limits.memory_bytes",
                ) from None
            except duckdb.IOException as exc:
                raise SetupError(
                    "local.disk", f"spilling failed: {_reason(exc)}", fix="make room on the disk"
                ) from None
            except duckdb.Error as exc:
                raise DataError(
                    "body.values",
                    f"the body fails on this data: {_reason(exc)}",
                    fix="guard the expression (CASE, NULLIF)",
                ) from None
        try:
            arrays = [
                column if kind == "unknown" else cast_column(column, arrow_type(kind))
                for column, kind in zip(result.columns, kinds, strict=True)
            ]
        except CastError as exc:
            raise DataError("body.overflow", f"a value does not fit its type: {exc}", fix="cast to double") from None
        return pa.table(arrays, names=result.column_names)

    def _connect(self, tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
        db = duckdb.connect(":memory:", config=self._settings)
        db.execute("SET TimeZone = 'UTC'")
        # A body reads what it is given: no file by name, no extension fetched.
        db.execute("SET enable_external_access = false")
        for name, table in tables.items():
            db.register(name, table)
        return db


def _reason(exc: Exception) -> str:
    """The first line of DuckDB's message, without its category."""
    return str(exc).splitlines()[0].split("Error: ", 1)[-1]
