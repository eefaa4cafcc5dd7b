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

    with pa.memory_map(file) as source:
        stream = pa.ipc.open_stream(source)
        schema = stream.schema
        if session is None:
            # Copied: the file goes away.
            frame = pa.ipc.open_stream(pa.OSFile(file)).read_all()
            rows = frame.num_rows
        else:
            # One batch at a time, looked at and not read: the JVM reads them.
            rows = sum(batch.num_rows for batch in stream)
            frame = _spark_frame(session, schema, file)
    if view and session is not None:
        frame.createOrReplaceTempView(name)
    names[name] = frame
    Path(file).unlink()
    return {"text/plain": f"{name}: {rows:,} rows, {len(schema)} columns"}


def _spark_frame(session: Any, schema: Any, file: str) -> Any:
    """As ``createDataFrame`` of an Arrow table, without its conversions: the frame is in Spark's types already."""
    import pyarrow as pa
    from pyspark.sql import DataFrame
    from pyspark.sql.pandas.types import from_arrow_schema

    # Named: times without a zone stay so, whatever spark.sql.timestampType says.
    kinds = from_arrow_schema(schema, prefer_timestamp_ntz=True)
    if not hasattr(session, "_jsparkSession"):
        # Spark Connect: there is no JVM here.
        with pa.OSFile(file) as source:
            return session.createDataFrame(pa.ipc.open_stream(source).read_all(), schema=kinds)
    sql = session.sparkContext._jvm.PythonSQLUtils  # noqa: SLF001 - what createDataFrame calls
    batches = sql.readArrowStreamFromFile(file)
    return DataFrame(sql.toDataFrame(batches, kinds.json(), session._jsparkSession), session)  # noqa: SLF001
