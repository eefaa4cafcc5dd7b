"""Rows of events in memory that are gathered when they are asked for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from nbplat.sequence.later_rows import LaterRows


def rows() -> tuple[pa.Table, LaterRows]:
    """A table in an order, and the same rows to be taken later."""
    table = pa.table({"amount": [10, 20, 30, 40], "item": ["a", None, "c", "d"]})
    order = np.array([3, 1, 0], np.int32)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return table.take(pa.array(order)), LaterRows(columns, order)


def test_columns_are_those_of_the_table() -> None:
    """A column, some columns and their number are as of the table in that order."""
    table, later = rows()
    assert 2 == later.num_columns
    assert table["item"].to_pylist() == later["item"].to_pylist()
    assert table.select(["item", "amount"]).to_pylist() == later.select(["item", "amount"]).to_pylist()


def test_places_of_places_are_followed() -> None:
    """Taking twice, and a column after it, gives what the table gives; the first rows are as before."""
    table, later = rows()
    few = later.take(pa.array([2, 0])).take(pa.array([1]))
    assert table.take(pa.array([0]))["amount"].to_pylist() == few["amount"].to_pylist()
    assert table["amount"].to_pylist() == later["amount"].to_pylist()
