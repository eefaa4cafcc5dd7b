"""Runs a body of the declared Spark-SQL subset over Arrow tables, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import duckdb
import pyarrow as pa

from nbplat.adapters.duckdb.types import iceberg_type
from nbplat.backfill.dialect import to_duckdb
from nbplat.backfill.failures import our_errors
from nbplat.backfill.table_facts import Column
from nbplat.backfill.types import arrow_type
from nbplat.errors import DataError, RequestError
from nbplat.remote.cast import CastError, cast_column
from nbplat.remote.duck import duckdb_errors, open_database, reason, with_tables

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
            "threads": threads,
            "memory_bytes": memory_bytes,
            "spill_folder": spill_folder,
        }

    def prepare(self, sql: str, types: Mapping[str, Mapping[str, str]]) -> str:
        """Spark SQL to DuckDB SQL; RequestError for what lies outside the subset."""
        return to_duckdb(sql, types)

    def result_columns(self, query: str, schemas: Mapping[str, pa.Schema]) -> tuple[Column, ...]:
        """Bind the query over empty tables.

        Raises:
            RequestError: types that do not fit together, or a result type a new column cannot have.
        """
        empty = {name: schema.empty_table() for name, schema in schemas.items()}
        with closing(open_database(self._settings)) as db, with_tables(db, empty):
            try:
                relation = db.sql(query)
            except duckdb.Error as exc:
                raise RequestError(
                    "body.types", f"the body does not bind: {reason(exc)}", fix="mend the types or names it names"
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
        with closing(open_database(self._settings)) as db, our_errors(), duckdb_errors(), with_tables(db, tables):
            relation = db.sql(query)
            kinds = [iceberg_type(kind, name) for name, kind in zip(relation.columns, relation.types, strict=True)]
            result: pa.Table = relation.to_arrow_table()
        try:
            arrays = [
                column if kind == "unknown" else cast_column(column, arrow_type(kind))
                for column, kind in zip(result.columns, kinds, strict=True)
            ]
        except CastError as exc:
            raise DataError("body.overflow", f"a value does not fit its type: {exc}", fix="cast to double") from None
        return pa.table(arrays, names=result.column_names)
