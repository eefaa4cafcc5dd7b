"""The rows of a query, or of a DataFrame that a session holds, as pages of Arrow with limits."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from .arrow_pages import PAGE_BYTES, PageWriter
from .exact_rows import exact_json
from .spark_batches import arrow_schema, in_arrow_types, spark_batches

__all__ = ["ROWS", "Limits", "limits_of", "write_rows"]

ROWS = "application/vnd.nbplat.rows.v1+json"
"""What a result in pages is described by."""

_ALL = 1 << 60
_JSON_ROWS = 100_000
_BATCH_ROWS = 10_000


class Limits(NamedTuple):
    """How much of a result is kept.

    Attributes:
        rows: At most.
        bytes: The batch that reaches it is the last.
        keep_bytes: What the results of the session may take together.
        page_bytes: Size of a page.
    """

    rows: int = _ALL
    bytes: int = 1 << 30
    keep_bytes: int = 4 << 30
    page_bytes: int = PAGE_BYTES


def limits_of(body: dict[str, Any]) -> Limits:
    """The limits that a statement names."""
    return Limits(**{name: int(body[name]) for name in Limits._fields if body.get(name) is not None})


def write_rows(value: Any, folder: str, statement: int, limits: Limits) -> dict[str, Any]:
    """Write a DataFrame's rows in pages.

    Args:
        value: A DataFrame of Spark, pandas or Polars, or an Arrow table.

    Returns:
        By `ROWS`: ``rows``, ``bytes``, ``pages`` (rows and bytes of each), ``more`` (whether rows were left out) and
        ``limited`` (by ``rows``, by ``bytes``, or null); and ``text/plain``. A Spark DataFrame without columns, and any
        where Python has no pyarrow, gives ``application/json`` as `exact_json` writes it.

    Raises:
        TypeError: `value` is something else.
    """
    table = _table(value)
    if table is None:
        frame = in_arrow_types(value)
        schema = arrow_schema(frame) if value.columns else None
        if schema is None:
            return _json(value, limits)
        messages: Iterator[Any] = spark_batches(frame, limits.rows, limits.page_bytes)
    else:
        schema = table.schema
        messages = (batch.serialize() for batch in table.to_batches(max_chunksize=_BATCH_ROWS))
    writer = PageWriter(folder, statement, schema, page_bytes=limits.page_bytes, keep_bytes=limits.keep_bytes)
    try:
        limited = _write(messages, schema, writer, limits)
        pages = writer.close()
    except BaseException:
        # An interrupt too: what is left of a cancelled result is no result.
        writer.drop()
        raise
    rows, size = sum(page[0] for page in pages), sum(page[1] for page in pages)
    found = {"rows": rows, "bytes": size, "pages": pages, "more": limited is not None, "limited": limited}
    return {ROWS: found, "text/plain": f"{rows:,} rows"}


def _write(messages: Iterator[Any], schema: Any, writer: PageWriter, limits: Limits) -> str | None:
    import pyarrow as pa

    rows = size = 0
    for message in messages:
        # A view: nothing is decoded or copied.
        batch = pa.ipc.read_record_batch(pa.ipc.read_message(pa.py_buffer(message)), schema)
        count = batch.num_rows
        if not count:
            continue
        if rows >= limits.rows or size >= limits.bytes:
            return "rows" if rows >= limits.rows else "bytes"
        if rows + count > limits.rows:
            kept = batch.slice(0, limits.rows - rows)
            writer.write(kept.serialize(), kept.num_rows)
            return "rows"
        writer.write(message, count)
        rows += count
        size += len(message)
    return None


def _json(frame: Any, limits: Limits) -> dict[str, Any]:
    rows = frame.take(min(limits.rows + 1, _JSON_ROWS)) if frame.columns else []
    more = len(rows) > limits.rows
    data = [exact_json(row, frame.schema) for row in rows[: limits.rows]]
    found = {"schema": json.loads(frame.schema.json()), "data": data, "exact": True, "more": more}
    return {"application/json": found}


def _table(value: Any) -> Any:
    """An Arrow table of a value that is whole in this process; None for a DataFrame of Spark."""
    if hasattr(value, "sparkSession"):
        return None
    arrow, pandas = sys.modules.get("pyarrow"), sys.modules.get("pandas")
    if arrow is not None and isinstance(value, arrow.Table):
        return value
    if arrow is not None and isinstance(value, arrow.RecordBatch):
        return arrow.Table.from_batches([value])
    if pandas is not None and isinstance(value, pandas.DataFrame):
        table = importlib.import_module("pyarrow").Table.from_pandas(value)
        return table.select([name for name in table.column_names if not name.startswith("__index_level_")])
    if hasattr(value, "__arrow_c_stream__"):
        return importlib.import_module("pyarrow").table(value)
    if hasattr(value, "schema") and hasattr(value, "take"):
        return None
    raise TypeError(f"{type(value).__name__} is no DataFrame of Spark, pandas or Polars and no Arrow table")
