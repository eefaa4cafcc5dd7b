"""Rows of a statement as an Arrow table or a DataFrame; frames of the notebook as what a session is sent."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError
from nbplat.session.results import ROWS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["JSON_ROWS", "frame_of", "has_rows", "pages_of", "rows_left_out", "rows_of", "stream_of"]

JSON_ROWS = "application/json"
_BATCH_ROWS = 10_000
_DECIMAL = re.compile(r"decimal\((\d+), ?(-?\d+)\)")
_TEXT = re.compile(r"(string|varchar|char)\b")


def has_rows(output: Mapping[str, Any]) -> bool:
    """Whether a statement gave rows that `rows_of` reads."""
    return ROWS in output["data"] or "exact" in output["data"].get(JSON_ROWS, {})


def rows_left_out(output: Mapping[str, Any]) -> str | None:
    """What cut its rows, ``rows`` or ``bytes``; None when they are all there."""
    found = output["data"].get(ROWS) or output["data"][JSON_ROWS]
    return str(found.get("limited") or "rows") if found.get("more") else None


def pages_of(output: Mapping[str, Any], page: Callable[[int], bytes]) -> Iterator[pa.Table]:
    """The rows that a statement gave, page by page.

    Args:
        output: Of the statement.
        page: Gives a page by its place: an Arrow IPC stream.
    """
    import pyarrow as pa

    if ROWS not in output["data"]:
        yield _json_rows(output)
        return
    for number in range(len(output["data"][ROWS]["pages"])):
        yield pa.ipc.open_stream(page(number)).read_all()


def rows_of(output: Mapping[str, Any], page: Callable[[int], bytes]) -> pa.Table:
    """All rows that a statement gave; see `pages_of`.

    Returns:
        Columns in Spark's order and types; null and NaN are told apart, instants are UTC in microseconds. A statement
        without rows (DDL) gives a table without columns.
    """
    import pyarrow as pa

    return pa.concat_tables(pages_of(output, page))


def stream_of(name: str, table: pa.Table, limit: int) -> bytes:
    """A frame as an Arrow IPC stream. Raises RequestError ``frame.size`` when it takes more bytes than `limit`."""
    import pyarrow as pa

    if table.nbytes > limit:
        raise RequestError(
            "frame.size",
            f"the frame {name!r} takes {table.nbytes:,} bytes, over {limit:,}",
            fix="send less, write it to a table, or raise limits.frame_bytes",
            where=name,
        )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        # Each batch becomes a partition.
        stream.write_table(table, max_chunksize=_BATCH_ROWS)
    return bytes(memoryview(sink.getvalue()))


def _json_rows(output: Mapping[str, Any]) -> pa.Table:
    import pyarrow as pa

    found = output["data"][JSON_ROWS]
    fields = found["schema"]["fields"]
    columns = []
    for place, field in enumerate(fields):
        kind, convert = _arrow(field["type"])
        cells = [row[place] for row in found["data"]]
        columns.append(pa.array([None if cell is None else convert(cell) for cell in cells], kind))
    return pa.Table.from_arrays(columns, schema=pa.schema([_field(field) for field in fields]))


def frame_of(rows: pa.Table) -> pd.DataFrame:
    """The rows as a DataFrame; a column of numbers or truths that holds nulls gets a nullable type and stays exact."""
    import pandas as pd
    import pyarrow as pa

    nullable: dict[pa.DataType, Any] = {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.float32(): pd.Float32Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    columns = []
    for column in rows.columns:
        # By itself: pandas would turn whole numbers with a null into doubles, and lose those above 2**53.
        dtype = nullable.get(column.type) if column.null_count else None
        columns.append(dtype.__from_arrow__(column) if dtype is not None else column.to_pandas())
    # Two columns may have one name.
    frame = pd.DataFrame(dict(enumerate(columns)), index=range(rows.num_rows))
    frame.columns = pd.Index(rows.column_names, dtype=object)
    return frame


def _field(field: Mapping[str, Any]) -> pa.Field:
    import pyarrow as pa

    return pa.field(field["name"], _arrow(field["type"])[0])


def _arrow(kind: Any) -> tuple[pa.DataType, Callable[[Any], Any]]:
    """The Arrow type of one of Spark's, and what turns its JSON back."""
    import pyarrow as pa

    if isinstance(kind, dict):
        return _nested(kind)
    if match := _DECIMAL.match(kind):
        return pa.decimal128(int(match[1]), int(match[2])), decimal.Decimal
    if _TEXT.match(kind):
        return pa.string(), str
    simple: dict[str, tuple[pa.DataType, Callable[[Any], Any]]] = {
        "byte": (pa.int8(), int),
        "short": (pa.int16(), int),
        "integer": (pa.int32(), int),
        "long": (pa.int64(), int),
        "float": (pa.float32(), float),
        "double": (pa.float64(), float),
        "decimal": (pa.decimal128(10, 0), decimal.Decimal),
        "boolean": (pa.bool_(), bool),
        "binary": (pa.binary(), base64.b64decode),
        "date": (pa.date32(), dt.date.fromisoformat),
        "timestamp": (pa.timestamp("us", "UTC"), dt.datetime.fromisoformat),
        "timestamp_ntz": (pa.timestamp("us"), dt.datetime.fromisoformat),
        "void": (pa.null(), lambda _: None),
    }
    if kind.startswith("interval") and ("second" in kind or "day" in kind or "hour" in kind or "minute" in kind):
        return pa.duration("us"), lambda value: dt.timedelta(microseconds=value)
    # What has no type of its own here is text.
    return simple.get(kind, (pa.string(), str))


def _nested(kind: Mapping[str, Any]) -> tuple[pa.DataType, Callable[[Any], Any]]:
    import pyarrow as pa

    if kind["type"] == "array":
        item, convert = _arrow(kind["elementType"])
        return pa.list_(item), lambda cells: [_or_none(convert, cell) for cell in cells]
    if kind["type"] == "map":
        (key, of_key), (value, of_value) = _arrow(kind["keyType"]), _arrow(kind["valueType"])
        return pa.map_(key, value), lambda pairs: [(of_key(k), _or_none(of_value, v)) for k, v in pairs]
    if kind["type"] == "struct":
        names = [field["name"] for field in kind["fields"]]
        converts = [_arrow(field["type"])[1] for field in kind["fields"]]
        arrow = pa.struct([_field(field) for field in kind["fields"]])
        return arrow, lambda cells: {
            name: _or_none(convert, cell) for name, convert, cell in zip(names, converts, cells, strict=True)
        }
    return pa.string(), str


def _or_none(convert: Callable[[Any], Any], cell: Any) -> Any:
    return None if cell is None else convert(cell)
