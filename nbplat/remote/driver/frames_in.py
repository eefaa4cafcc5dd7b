"""DataFrames of a notebook, sent as Arrow, under a name of the session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["receive_frame"]


def receive_frame(session: Any, names: dict[str, Any], name: str, file: str, *, view: bool = False) -> dict[str, Any]:
    """Bind a frame and delete its file.

    Args:
        session: The SparkSession; None in a session without Spark, where the frame is an Arrow table.
        names: Of the session.
        file: An Arrow IPC stream.
        view: Also make it a temporary view of that name, for SQL.

    Returns:
        ``text/plain``: what is there now.
    """
    import pyarrow as pa

    with pa.OSFile(file) as source:
        table = pa.ipc.open_stream(source).read_all()
    frame = table if session is None else _spark_frame(session, table)
    if view and session is not None:
        frame.createOrReplaceTempView(name)
    names[name] = frame
    Path(file).unlink()
    return {"text/plain": f"{name}: {table.num_rows:,} rows, {table.num_columns} columns"}


def _spark_frame(session: Any, table: Any) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    # Named: times without a zone stay so, whatever spark.sql.timestampType says.
    schema = from_arrow_schema(table.schema, prefer_timestamp_ntz=True)
    return session.createDataFrame(table, schema=schema)
