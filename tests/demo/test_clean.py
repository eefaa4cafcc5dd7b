"""Cleaning: what is kept, typed and counted."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nbplat.demo import CleaningReport, clean, read_sample
from nbplat.demo.clean import EVENT_COLUMNS, RAW_COLUMNS
from nbplat.errors import DataError


def _raw(**changes: object) -> dict[str, object]:
    row = {
        "invoice_no": "536365",
        "stock_code": "85123A",
        "description": "WHITE HANGING HEART",
        "quantity": 6,
        "invoice_ts": datetime(2011, 7, 1, 8, 26),  # noqa: DTZ001  # the shop's clock, as the source has it
        "unit_price": 2.55,
        "customer_id": 17850,
        "country": "United Kingdom",
    }
    return row | changes


def _table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=RAW_COLUMNS)


@pytest.fixture(scope="module")
def sample() -> pa.Table:
    return read_sample()


@pytest.fixture(scope="module")
def cleaned(sample: pa.Table) -> tuple[pa.Table, CleaningReport]:
    return clean(sample)


def test_counts_of_the_sample_add_up(cleaned: tuple[pa.Table, CleaningReport]) -> None:
    """Every raw row is either kept or counted under one reason."""
    events, report = cleaned
    assert CleaningReport(51_624, 687, 3_060, 203, 1, 0, 47_673) == report
    left_out = [v for k, v in report.record().items() if k not in ("rows_in", "rows_kept")]
    assert report.rows_in == report.rows_kept + sum(left_out)
    assert report.rows_kept == events.num_rows


def test_events_are_typed_unique_and_sorted(cleaned: tuple[pa.Table, CleaningReport]) -> None:
    """Events have the declared types, unique ids, time order, and purchases above and cancels below zero."""
    events, _ = cleaned
    assert EVENT_COLUMNS == events.schema
    assert events.num_rows == pc.count_distinct(events["event_id"]).as_py()
    assert {"purchase", "cancel"} == set(events["event_type"].unique().to_pylist())
    times = np.asarray(events["event_ts"].cast(pa.int64()))
    assert (np.diff(times) >= 0).all()
    purchase = np.asarray(pc.equal(events["event_type"], "purchase"))
    amount = np.asarray(events["amount"])
    assert (amount[purchase] > 0).all()
    assert (amount[~purchase] < 0).all()
    assert [0] * 4 == [events[name].null_count for name in ("event_id", "customer_id", "event_ts", "ingest_ts")]


def test_arrival_is_usually_minutes_and_for_two_percent_up_to_36_hours(
    cleaned: tuple[pa.Table, CleaningReport],
) -> None:
    """ingest_ts follows event_ts by 1 to 15 minutes, for about one event in fifty by up to 36 hours."""
    events, _ = cleaned
    delay = np.asarray(pc.subtract(events["ingest_ts"], events["event_ts"]).cast(pa.int64())) / 60e6
    assert delay.min() >= 0
    assert delay.max() <= 36 * 60
    assert 0.015 < (delay > 15).mean() < 0.025


def test_shuffled_input_gives_the_same_events(sample: pa.Table, cleaned: tuple[pa.Table, CleaningReport]) -> None:
    """The order of the raw rows changes neither an id nor a row nor a count."""
    order = np.random.default_rng(3).permutation(sample.num_rows)
    events, report = clean(sample.take(pa.array(order)))
    assert cleaned[1] == report
    assert cleaned[0].equals(events)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"customer_id": None}, "without_customer"),
        ({"stock_code": "POST"}, "fees"),
        ({"stock_code": None}, "fees"),
        ({"unit_price": 0.0}, "zero_price"),
        ({"unit_price": None}, "zero_price"),
        ({"quantity": -6}, "adjustments"),
        ({"invoice_no": "C536365"}, "adjustments"),
    ],
)
def test_each_reason_takes_out_its_row(change: dict[str, object], reason: str) -> None:
    """A row that breaks a rule is left out and counted under that rule, the other row stays."""
    events, report = clean(_table(_raw(), _raw(**change)))
    assert 1 == events.num_rows
    assert 1 == report.record()[reason]


def test_summer_time_is_an_hour_behind_in_utc() -> None:
    """08:26 on a July morning in London is 07:26 UTC."""
    events, _ = clean(_table(_raw()))
    assert datetime(2011, 7, 1, 7, 26, tzinfo=UTC) == events["event_ts"][0].as_py()


@pytest.mark.parametrize("moment", [datetime(2011, 10, 30, 1, 30), datetime(2011, 3, 27, 1, 30)])  # noqa: DTZ001
def test_local_times_that_are_no_single_moment_are_refused_unless_decided(moment: datetime) -> None:
    """The doubled hour of October and the missing one of March need a decision."""
    raw = _table(_raw(invoice_ts=moment))
    with pytest.raises(DataError, match=r"demo\.local_time"):
        clean(raw)
    assert 1 == clean(raw, ambiguous="earliest", nonexistent="latest")[0].num_rows


def test_a_missing_raw_column_is_named() -> None:
    """Raw rows of another shape are refused, naming the column."""
    with pytest.raises(DataError, match="unit_price"):
        clean(_table(_raw()).drop_columns(["unit_price"]))


def test_no_rows_clean_to_no_events() -> None:
    """An empty table is clean already."""
    events, report = clean(RAW_COLUMNS.empty_table())
    assert EVENT_COLUMNS == events.schema
    assert CleaningReport() == report
