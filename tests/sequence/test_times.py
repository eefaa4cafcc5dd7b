"""Time columns of any kind become microseconds since 1970 UTC, by rules that are stated, or are refused."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.demo.clean import SAMPLE
from nbplat.remote.failure import KernelError
from nbplat.remote.sequence.times import check_time, to_us
from nbplat.sequence.column_kinds import time_fault
from nbplat.sequence.definition import Zone

US = dt.timedelta(microseconds=1)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
UTC = {"name": "UTC", "ambiguous": "refuse", "missing": "refuse"}


def london(ambiguous: str = "refuse", missing: str = "refuse") -> dict[str, str]:
    return {"name": "Europe/London", "ambiguous": ambiguous, "missing": missing}


def us(*parts: int) -> int:
    return (dt.datetime(*parts, tzinfo=dt.UTC) - EPOCH) // US  # type: ignore[arg-type, misc]


def naive(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def read(values: Any, kind: pa.DataType, zone: Any = None, unit: str | None = None) -> list[int]:
    found = to_us(pa.chunked_array([pa.array(values, kind)]), unit=unit, zone=zone, name="event_ts")
    assert np.int64 == found.dtype
    return list(found)


def refused(values: Any, kind: pa.DataType, zone: Any = None, unit: str | None = None) -> KernelError:
    with pytest.raises(KernelError) as found:
        read(values, kind, zone, unit)
    return found.value


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "+05:30"])
def test_timestamps_with_a_zone_are_moments_in_any_unit(unit: str, zone: str) -> None:
    """The zone of a column is how it is shown, and does not move its moments."""
    moment = dt.datetime(2011, 3, 1, 12, 30, tzinfo=dt.UTC)
    assert [us(2011, 3, 1, 12, 30)] == read([moment], pa.timestamp(unit, zone))


def test_nanoseconds_are_cut_towards_1970() -> None:
    """A microsecond is the finest that the index knows."""
    assert [1, 0, -1] == read([1999, -999, -1999], pa.timestamp("ns", "UTC"))


def test_integers_count_from_1970_in_the_unit_that_is_named() -> None:
    """Seconds and milliseconds are scaled; any width of integer will do."""
    assert [5_000_000, -1_000_000] == read([5, -1], pa.int32(), unit="s")
    assert [5_000] == read([5], pa.uint64(), unit="ms")
    assert [5] == read([5], pa.int64(), unit="us")


def test_a_date_is_its_first_moment_on_the_declared_clock() -> None:
    """In summer London's day begins an hour before UTC's."""
    summer = dt.date(2011, 7, 1)
    assert [us(2011, 7, 1)] == read([summer], pa.date32(), UTC)
    assert [us(2011, 6, 30, 23)] == read([summer], pa.date32(), london())
    assert [us(2011, 6, 30, 23)] == read([summer], pa.date64(), london())


def test_a_dictionary_of_times_is_read_as_its_values() -> None:
    """How a column is stored does not count."""
    column = pa.array([naive("2011-01-01")] * 3, pa.timestamp("ms")).dictionary_encode()
    assert [us(2011, 1, 1)] * 3 == list(to_us(column, unit=None, zone=london(), name="t"))


def test_the_shops_clock_is_london_time() -> None:
    """The retail sample is naive: its moments are an hour earlier in summer, and none stands in a doubtful hour."""
    column = pq.read_table(SAMPLE, columns=["invoice_ts"])["invoice_ts"]
    found = to_us(column, unit=None, zone=london(), name="invoice_ts")
    plain = to_us(column, unit=None, zone=UTC, name="invoice_ts")
    ahead = plain - found
    assert {0, 3_600_000_000} == set(ahead.tolist())
    summer = (plain >= us(2011, 3, 27, 2)) & (plain < us(2011, 10, 30, 1))
    assert bool(np.all((ahead != 0) == summer))


TWICE, NEVER, PLAIN = naive("2011-10-30 01:30"), naive("2011-03-27 01:30"), naive("2011-06-01")


def test_the_hour_that_the_clock_shows_twice_is_decided_in_the_declaration() -> None:
    """On 30 October 2011 01:30 came at 00:30 and at 01:30 UTC."""
    assert [us(2011, 10, 30, 0, 30)] == read([TWICE], pa.timestamp("ms"), london("earliest"))
    assert [us(2011, 10, 30, 1, 30)] == read([TWICE], pa.timestamp("ns"), london("latest"))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_hour_that_the_clock_skips_is_decided_in_the_declaration(unit: str) -> None:
    """On 27 March 2011 the clock went from 01:00 to 02:00; the unit of the column does not count."""
    jump = us(2011, 3, 27, 1)
    assert [jump] == read([NEVER], pa.timestamp(unit), london(missing="latest"))
    assert [jump - 1] == read([NEVER], pa.timestamp(unit), london(missing="earliest"))


def test_a_doubtful_hour_is_refused_with_its_count_and_one_of_it() -> None:
    """Undecided, each kind is told for itself, with the key that decides it."""
    error = refused([PLAIN, TWICE, TWICE], pa.timestamp("us"), london(missing="latest"))
    assert "sequence.time_ambiguous" == error.code
    assert (
        "2 of 3 values of event_ts stand in an hour that the clock shows twice in Europe/London,"
        " e.g. 2011-10-30 01:30:00" == error.message
    )
    assert "ambiguous: earliest" in error.fix
    error = refused([NEVER, PLAIN, TWICE], pa.timestamp("ns"), london(ambiguous="latest"))
    assert "sequence.time_missing" == error.code
    assert (
        "1 of 3 values of event_ts stand in an hour that the clock skips in Europe/London,"
        " e.g. 2011-03-27 01:30:00" == error.message
    )
    assert "missing: latest" in error.fix
    # Both kinds undecided: the first that a person has to decide is told, the other at the next try.
    assert "sequence.time_missing" == refused([TWICE, NEVER], pa.timestamp("us"), london()).code


@pytest.mark.parametrize(
    ("kind", "unit", "zone", "code"),
    [
        (pa.timestamp("us"), None, None, "sequence.time_zone"),
        (pa.date32(), "ms", None, "sequence.time_zone"),
        (pa.int64(), None, london(), "sequence.time_unit"),
        (pa.dictionary(pa.int32(), pa.int64()), None, None, "sequence.time_unit"),
        (pa.string(), None, None, "sequence.not_a_time"),
        (pa.float64(), "s", london(), "sequence.not_a_time"),
        (pa.time64("us"), None, london(), "sequence.not_a_time"),
        (pa.bool_(), None, None, "sequence.not_a_time"),
    ],
)
def test_a_type_that_cannot_be_read_so_is_refused_without_data(
    kind: pa.DataType, unit: str | None, zone: Any, code: str
) -> None:
    """What is missing in the declaration is told from the type alone."""
    with pytest.raises(KernelError) as found:
        check_time(kind, unit=unit, zone=zone, name="event_ts")
    assert (code, "RequestError") == (found.value.code, found.value.kind)
    assert "event_ts" in found.value.message
    assert code == refused([], kind, zone, unit).code


def test_values_that_are_no_moment_are_refused() -> None:
    """Nulls are counted, and times beyond 64 bits of microseconds are shown."""
    error = refused([5, None, None], pa.int64(), unit="s")
    assert ("sequence.time_null", "2 of 3 values of event_ts are null") == (error.code, error.message)
    error = refused([0, 2**61], pa.int64(), unit="ms")
    assert "sequence.time_range" == error.code
    assert str(2**61) in error.message
    assert "sequence.time_range" == refused([2**63], pa.uint64(), unit="us").code
    assert "sequence.time_range" == refused([2**61], pa.timestamp("s", "UTC")).code


def test_an_unknown_zone_is_refused() -> None:
    """The machine that reads has no such zone."""
    error = refused([PLAIN], pa.timestamp("us"), {**london(), "name": "Europe/Londn"})
    assert ("sequence.zone_unknown", "SetupError") == (error.code, error.kind)
    assert "Europe/Londn" in error.message


def test_no_rows_are_no_moments() -> None:
    """An empty column of any kind gives an empty array."""
    for kind, unit in ((pa.timestamp("s"), None), (pa.date32(), None), (pa.int8(), "s")):
        assert [] == read([], kind, london(), unit)
    assert 0 == len(to_us(pa.chunked_array([], pa.timestamp("us", "UTC")), unit=None, zone=None, name="t"))


ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata"]


@given(
    st.lists(st.datetimes(naive("1980-01-01"), naive("2030-01-01")), max_size=8),
    st.sampled_from(ZONES),
    st.sampled_from(["earliest", "latest"]),
    st.sampled_from(["earliest", "latest"]),
)
def test_naive_times_stand_where_pythons_own_zones_put_them(
    times: list[dt.datetime], zone: str, ambiguous: str, missing: str
) -> None:
    """For any zone and any choice the moments are those of `zoneinfo`, which finds them in another way."""
    # The doubtful hours themselves are met as well: a quarter of an hour before and after each change.
    times = times + [change + dt.timedelta(minutes=half) for change in _changes(zone, 2011) for half in (15, -15)]
    found = read(times, pa.timestamp("us"), {"name": zone, "ambiguous": ambiguous, "missing": missing})
    assert [_by_zoneinfo(time, ZoneInfo(zone), ambiguous, missing) for time in times] == found


@functools.cache
def _changes(zone: str, year: int) -> list[dt.datetime]:
    """What the clock showed at the first half hour after each change."""
    hours = [dt.datetime(year, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=30 * n) for n in range(2 * 24 * 365)]
    local = [hour.astimezone(ZoneInfo(zone)) for hour in hours]
    return [
        after.replace(tzinfo=None)
        for before, after in itertools.pairwise(local)
        if before.utcoffset() != after.utcoffset()
    ]


def _by_zoneinfo(time: dt.datetime, zone: ZoneInfo, ambiguous: str, missing: str) -> int:
    first, second = (time.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC) for fold in (0, 1))
    if first == second:
        moment = first
    elif first < second:
        moment = first if ambiguous == "earliest" else second
    else:
        low, high = second, first
        before = low.astimezone(zone).utcoffset()
        while high - low > US:
            middle = low + (high - low) // 2
            low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
        moment = high if missing == "latest" else low
    return (moment - EPOCH) // US


_KINDS = [
    *(pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Europe/London")),
    *(pa.date32(), pa.date64(), pa.time64("us"), pa.duration("s"), pa.null(), pa.bool_(), pa.string(), pa.binary()),
    *(
        pa.int8(),
        pa.int64(),
        pa.uint64(),
        pa.float64(),
        pa.decimal128(9, 2),
        pa.list_(pa.int64()),
        pa.month_day_nano_interval(),
    ),
]


@pytest.mark.parametrize("kind", [*_KINDS, *(pa.dictionary(pa.int32(), kind) for kind in _KINDS)], ids=str)
@pytest.mark.parametrize("unit", [None, "ms"])
@pytest.mark.parametrize("zone", [None, Zone("UTC")])
def test_what_binds_as_a_time_is_read_as_one(kind: pa.DataType, unit: str | None, zone: Zone | None) -> None:
    """The check before any data and the one where times are read agree on every type."""
    named = None if zone is None else {"name": zone.name, "ambiguous": zone.ambiguous, "missing": zone.missing}
    try:
        check_time(kind, unit=unit, zone=named, name="event_ts")
    except KernelError:
        assert time_fault(kind, zone, unit) is not None
    else:
        assert time_fault(kind, zone, unit) is None
