"""The ``spark`` engine as planning and audits see it: the body stays Spark SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from nbplat.adapters.spark.analyze import analyze
from nbplat.adapters.spark.failures import record_of
from nbplat.adapters.spark.host import SparkHost
from nbplat.adapters.spark.session import SparkSettings
from nbplat.backfill.ports import Engine
from nbplat.backfill.table_facts import Column
from nbplat.backfill.types import from_arrow, spark_type
from nbplat.errors import NbplatError, RequestError, from_record

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SparkEngine"]


class SparkEngine:
    """Implements `nbplat.backfill.ports.Engine`.

    A body inside the local subset is bound, and computed again by audits, without a JVM: the subset is
    proved to give Spark's types and values. For any other body Spark is started.

    Args:
        local: The engine of the subset.
        settings: For a session that only analyses.
        host: Of the session that audits compute with.
    """

    name = "spark"

    def __init__(self, local: Engine, settings: Callable[[], SparkSettings], host: SparkHost) -> None:
        self._local = local
        self._settings = settings
        self._host = host

    def prepare(self, sql: str, types: Mapping[str, Mapping[str, str]]) -> str:
        """The body as it is."""
        return sql

    def result_columns(self, query: str, schemas: Mapping[str, pa.Schema]) -> tuple[Column, ...]:
        """Bind without data; starts Spark for a body outside the subset.

        Raises:
            RequestError: types that do not fit, or what Spark does not know.
        """
        inside = self._inside(query, schemas)
        if inside is not None:
            return self._local.result_columns(inside, schemas)
        found = analyze(self._settings(), query, schemas)
        return tuple(Column(field.name, _iceberg(field)) for field in found)

    def run(self, query: str, tables: Mapping[str, pa.Table]) -> pa.Table:
        """Compute over Arrow tables; raises DataError for what the data makes impossible."""
        inside = self._inside(query, {name: table.schema for name, table in tables.items()})
        if inside is not None:
            return self._local.run(inside, tables)
        session = self._host.session()
        try:
            for name, table in tables.items():
                session.createDataFrame(table).createOrReplaceTempView(name)
            result: pa.Table = session.sql(query).toArrow()
        except Exception as exc:
            raise from_record(record_of(exc)) from exc
        return result

    def _inside(self, query: str, schemas: Mapping[str, pa.Schema]) -> str | None:
        """The query in the local engine's SQL; None when it is outside the subset."""
        types = {name: {field.name: _spark(field.type) for field in schema} for name, schema in schemas.items()}
        try:
            return self._local.prepare(query, types)
        except RequestError:
            return None


def _spark(kind: pa.DataType) -> str:
    try:
        return spark_type(from_arrow(kind))
    except NbplatError:
        return "binary"


def _iceberg(field: pa.Field) -> str:
    """The Iceberg type of a result column; `declared.typed_columns` refuses those that a column cannot have."""
    import pyarrow as pa

    return "unknown" if pa.types.is_null(field.type) else from_arrow(field.type)
