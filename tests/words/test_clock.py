"""Time at the borders."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.clock import Clock, SystemClock, from_ms, iso, to_ms
from nbplat.testing import FakeClock


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_survive_the_way_through_datetime(ms: int) -> None:
    """Every millisecond up to the year 9999 comes back."""
    assert ms == to_ms(from_ms(ms))
    assert dt.UTC is from_ms(ms).tzinfo


def test_iso_is_utc_to_the_second() -> None:
    """The shape people read and sort."""
    assert "2011-12-09T12:50:00Z" == iso(1_323_435_000_999)


def test_a_naive_datetime_is_refused() -> None:
    """A moment without a zone is no moment."""
    with pytest.raises(ValueError, match="naive"):
        to_ms(dt.datetime(2011, 1, 1))  # noqa: DTZ001


def test_zones_are_converted() -> None:
    """The same instant has one number."""
    east = dt.timezone(dt.timedelta(hours=2))
    assert to_ms(dt.datetime(2011, 1, 1, tzinfo=dt.UTC)) == to_ms(dt.datetime(2011, 1, 1, 2, tzinfo=east))


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()])
def test_clocks_go_forward(clock: Clock) -> None:
    """Sleeping moves both hands on."""
    before, steady = clock.now_ms(), clock.monotonic_s()
    clock.sleep(0.002)
    assert clock.now_ms() >= before + 1
    assert clock.monotonic_s() >= steady + 0.001
