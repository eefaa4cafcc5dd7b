"""DataFrames of a notebook as Arrow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_frame"]


def read_frame(name: str, value: Any) -> pa.Table:
    """A pandas or Polars DataFrame, or an Arrow table, as Arrow.

    An index of pandas that counts the rows is left out, one with a name becomes a column.

    Raises:
        RequestError: ``frame.kind`` for anything else.
    """
    import pyarrow as pa

    try:
        if isinstance(value, pa.Table):
            return value
        if isinstance(value, pa.RecordBatch):
            return pa.Table.from_batches([value])
        if type(value).__module__.split(".")[0] == "pandas" and hasattr(value, "columns"):
            table = pa.Table.from_pandas(value)
            named = [column for column in table.column_names if not column.startswith("__index_level_")]
            return table.select(named)
        if hasattr(value, "__arrow_c_stream__"):
            return pa.table(value)
        if hasattr(value, "__dataframe__"):
            from pyarrow.interchange import from_dataframe

            return from_dataframe(value)
    except (pa.ArrowException, ValueError, TypeError) as exc:
        raise RequestError(
            "frame.column",
            f"the frame {name!r} cannot be read as Arrow: {str(exc).splitlines()[0]}",
            fix="give each column values of one type",
        ) from None
    raise RequestError(
        "frame.kind",
        f"{name!r} is {type(value).__name__}, not a DataFrame",
        fix="name a pandas or Polars DataFrame or an Arrow table",
    )
