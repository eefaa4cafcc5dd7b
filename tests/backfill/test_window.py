"""Windows: half-open to the instant, whole files, nulls outside."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from nbplat.backfill.spec import BackfillSpec
from nbplat.errors import RequestError
from tests.fixtures.lakehouse import ORDERS, Lake

SQL = "select id, customer * 10 as f from base"
US = dt.timedelta(microseconds=1)


def test_rows_outside_hold_null_and_files_outside_are_no_units(lake: Lake) -> None:
    """A window inside one month stages that month's files only; promoted, the rest of the table reads null."""
    run_id = lake.stage("f", SQL, start="2024-02-05", end="2024-02-20")
    plan = lake.submit("f", SQL, start="2024-02-05", end="2024-02-20").plan
    assert ["2024-02", "2024-02"] == [u.partition.split(",")[0].removeprefix("month=") for u in plan.units]
    lake.promote(run_id)
    rows = lake.rows()
    inside = (rows["ts"] >= "2024-02-05T00:00Z") & (rows["ts"] < "2024-02-20T00:00Z")
    assert 0 < inside.sum() < 20
    assert rows["f"][~inside].isna().all()
    assert (rows["customer"] * 10)[inside].tolist() == rows["f"][inside].tolist()


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_bounds_are_exact(lake: Lake, kind: str) -> None:
    """The first instant is inside, the last is outside, for each type of time; a null time is outside."""
    start, end = dt.datetime(2024, 3, 10), dt.datetime(2024, 3, 12)  # noqa: DTZ001
    moments = [start - US, start, start + US, end - US, end, end + US, None]
    types = {"timestamptz": pa.timestamp("us", tz="UTC"), "timestamp": pa.timestamp("us"), "date": pa.date32()}
    if kind == "date":
        moments = [dt.date(2024, 3, day) for day in (9, 10, 11, 12)] + [None]
        expected = [None, 2, 2, None, None]
    else:
        expected = [None, 2, 2, 2, None, None, None]
    if kind == "timestamptz":
        moments = [m and m.replace(tzinfo=dt.UTC) for m in moments]
    table = {"id": pa.array(range(len(moments)), pa.int64()), "at": pa.array(moments, types[kind])}
    lake.make("shop.t", pa.table(table))
    run_id = lake.stage("f", "select id, 2 as f from base", "shop.t", start="2024-03-10", end="2024-03-12")
    got = lake.staged(run_id).set_index("id")["f"]
    assert {n: value for n, value in enumerate(expected) if n in got.index} == {
        int(n): None if np.isnan(value) else value for n, value in got.items()
    }
    assert {n for n, value in enumerate(expected) if value} <= set(got.index)


def test_a_date_is_its_first_moment(lake: Lake) -> None:
    """A window from noon leaves the date of that day out and takes the date of its last day in."""
    days = [dt.date(2024, 3, day) for day in (9, 10, 11, 12, 13)]
    lake.make("shop.t", pa.table({"id": pa.array(range(5), pa.int64()), "at": pa.array(days, pa.date32())}))
    sql = "select id, 2 as f from base"
    run_id = lake.stage("f", sql, "shop.t", start="2024-03-10T12:00", end="2024-03-12T12:00")
    got = lake.staged(run_id)
    assert [2, 3] == got["id"][got["f"].notna()].tolist()


def test_an_offset_is_turned_into_utc(lake: Lake) -> None:
    """Bounds may be written in any zone."""
    plan = lake.backfills.plan(BackfillSpec.build("f", ORDERS, SQL, start="2024-02-01T02:00+02:00"))
    assert "[2024-02-01, ∞)" == str(plan.window)
    assert 4 == len(plan.units)


def test_base_is_the_window_for_every_body(lake: Lake) -> None:
    """An aggregate over base sees the rows of the window and no other."""
    sql = "select id, (select count(*) from base) as f from base"
    run_id = lake.stage("f", sql, start="2024-01-10", end="2024-02-10")
    rows = lake.rows()
    inside = (rows["ts"] >= "2024-01-10T00:00Z") & (rows["ts"] < "2024-02-10T00:00Z")
    staged = lake.staged(run_id)
    assert {int(inside.sum())} == set(staged["f"].dropna().astype(int))
    assert int(inside.sum()) == int(staged["f"].notna().sum())


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"start": "2031-01-01", "end": "2031-02-01"}, "window.outside"),
        ({"end": "2001-01-01"}, "window.outside"),
        ({"start": "2024-02-01", "end": "2024-02-01"}, "window.empty"),
        ({"start": "2024-03-01", "end": "2024-02-01"}, "window.empty"),
        ({"start": "yesterday"}, "window.date"),
        ({"start": "2024-02-01", "time": "when"}, "window.time"),
        ({"start": "2024-02-01", "time": "x"}, "window.time"),
    ],
)
def test_a_window_that_cannot_be_is_refused(lake: Lake, options: dict[str, str], code: str) -> None:
    """Outside the table, empty, no date, or over a column that is no time."""
    picture = lake.picture()
    with pytest.raises(RequestError) as caught:
        lake.submit("f", SQL, **options)
    assert code == caught.value.code
    assert picture == lake.picture()


def test_a_table_without_a_time_partition_asks_for_the_column(lake: Lake) -> None:
    """Without a time partition the time column must be named, and then works."""
    table = {
        "id": pa.array(range(4), pa.int64()),
        "day": pa.array([dt.date(2024, 1, 1 + n) for n in range(4)], pa.date32()),
    }
    lake.make("shop.flat", pa.table(table), partitioned=False)
    sql = "select id, 2 as f from base"
    with pytest.raises(RequestError) as caught:
        lake.submit("f", sql, "shop.flat", start="2024-01-02")
    assert "window.time" == caught.value.code
    run_id = lake.stage("f", sql, "shop.flat", start="2024-01-02", time="day")
    assert [1, 2, 3] == lake.staged(run_id).dropna()["id"].tolist()
