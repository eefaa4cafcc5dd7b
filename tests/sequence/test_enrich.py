"""Columns of other tables beside events: what a worker joins, what a reader is told, what is too much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.errors import DataError, SetupError
from nbplat.remote.sequence.enriching import enriched
from nbplat.sequence.definition import Definition, Enrichment, EventRule, Zone
from nbplat.sequence.enrich import enrich_tasks, read_tables
from nbplat.sequence.frame_source import FrameSource

DEFINITION = Definition("home", "events", ("user",), "ts", (EventRule("view"),), zone=Zone("Europe/London"))
CATEGORY = Enrichment("category", "items", "category", "event_time", (("item", "item_id"),), "since")
PRICE = Enrichment("price", "items", "price", "event_time", (("item", "item_id"),), "since")
EVENTS = pa.table({"item": pa.array([1, 1, 2, 9, None], pa.int32())})
TIMES = np.array([5, 20, 20, 20, 20], np.int64)


def _items(rows: list[tuple[Any, ...]], time: pa.DataType | None = None) -> pa.Table:
    kinds = {"item_id": pa.int64(), "since": time or pa.timestamp("us", "UTC"), "category": pa.string()}
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    arrays = [pa.array(list(column), kind) for column, kind in zip(columns, kinds.values(), strict=False)]
    return pa.table([*arrays, pa.array(list(columns[3]), pa.float64())], names=[*kinds, "price"])


def _tasks(folder: Path, items: pa.Table, *enrichments: Enrichment) -> Any:
    return enrich_tasks(enrichments, {"items": FrameSource("items", items, folder)}, DEFINITION)


def test_events_get_the_values_of_their_time_and_from_when_these_hold(tmp_path: Path) -> None:
    """Two columns of one table are looked up once; each has its moment beside it; hits count rows found."""
    items = _items([(1, 0, "toys", 1.5), (1, 10, "books", None), (2, 30, "food", 2.0), (None, 0, "x", 0.0)])
    tasks = _tasks(tmp_path, items, CATEGORY, PRICE)
    assert 1 == len(tasks)
    found = enriched(EVENTS, TIMES, tasks)
    assert ["item", "category", "category__from", "price", "price__from"] == found.rows.column_names
    assert ["toys", "books", None, None, None] == found.rows["category"].to_pylist()
    assert [1.5, None, None, None, None] == found.rows["price"].to_pylist()
    assert [0, 10, None, None, None] == found.rows["price__from"].cast(pa.int64()).to_pylist()
    assert ({"category": 2, "price": 2}, {"category": 0, "price": 0}) == (found.hits, found.tied)
    moment = pa.timestamp("us", tz="UTC")
    assert [pa.string(), moment, pa.float64(), moment] == found.rows.schema.types[1:]


def test_several_values_from_one_moment_are_counted(tmp_path: Path) -> None:
    """Events that found a key with several values, and rows of a table that is read later, are told apart by count."""
    items = _items([(1, 0, "toys", 1.0), (1, 0, "books", 1.0), (2, 0, "food", 2.0), (2, None, "late", 2.0)])
    assert {"category": 2} == enriched(EVENTS, TIMES, _tasks(tmp_path, items, CATEGORY)).tied
    (joined,) = read_tables((CATEGORY,), {"items": FrameSource("items", items, tmp_path)}, DEFINITION).values()
    warned = joined.table.warnings
    assert ["2 rows of items share key and moment", "1 rows of items have a null moment"] == [
        line.split(" with another")[0].split(" and are")[0] for line in warned
    ]


def test_a_table_without_rows_gives_nulls_of_its_type(tmp_path: Path) -> None:
    """No event finds anything, and the columns are there."""
    found = enriched(EVENTS, TIMES, _tasks(tmp_path, _items([]), CATEGORY, PRICE))
    assert [None] * 5 == found.rows["category"].to_pylist()
    assert pa.float64() == found.rows["price"].type


def test_naive_moments_are_read_on_the_declared_clock(tmp_path: Path) -> None:
    """A value that holds from one o'clock in summer holds from midnight UTC."""
    one = 1_309_482_000_000_000
    items = _items([(1, one, "toys", 1.0)], pa.timestamp("us"))
    at = np.array([one - 3_600_000_000 - 1, one - 3_600_000_000, 0, 0, 0], np.int64)
    assert [None, "toys"] == enriched(EVENTS, at, _tasks(tmp_path, items, CATEGORY)).rows["category"].to_pylist()[:2]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A table that is larger than may be held, and one without moments that has a key twice."""
    items = _items([(1, 0, "toys", 1.0), (1, 5, "books", 1.0)])
    source = {"items": FrameSource("items", items, tmp_path)}
    with pytest.raises(SetupError, match=r"sequence\.enrich_memory.*items takes more than 8 bytes"):
        read_tables((CATEGORY,), source, DEFINITION, keep_bytes=8)
    latest = Enrichment("category", "items", "category", "latest", (("item", "item_id"),))
    with pytest.raises(DataError, match=r"sequence\.enrich_doubled: 1 rows repeat a key .*item_id 1"):
        read_tables((latest,), source, DEFINITION)
