"""Whatever happens to a source over days, in whatever order: the index ends as a build of everything makes it."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nbplat.errors import Conflict
from nbplat.sequence import compact
from tests.fixtures.lakehouse import Lake
from tests.sequence.days import SOURCE, Days, definition, events, us

Keys = dict[str, Any]
ROW = st.fixed_dictionaries(
    {
        "user": st.sampled_from(["a", "b", "c", "d", None]),
        "day": st.sampled_from([0, 0.5, 1, 1.5, 2, 3]),
        "late": st.sampled_from([0, 0, 0.25, 1, 2]),
        "id": st.sampled_from([1, 2, 3, 4, 5, 6, None]),
        "type": st.sampled_from(["click", "click", "buy", "swim"]),
        "amount": st.sampled_from([1.0, 2.0, None]),
    }
)
DAY = st.lists(ROW, min_size=1, max_size=6)
WINDOW = st.tuples(st.sampled_from([None, 0, 1, 2]), st.sampled_from([None, 1.25, 2, 4]))
STEP = st.one_of(
    st.tuples(st.just("add"), DAY),
    st.tuples(st.just("build"), st.none()),
    st.tuples(st.just("correct"), WINDOW),
    st.tuples(st.just("delete"), st.integers(1, 6)),
    st.tuples(st.just("overwrite"), DAY),
)
DECLARED = st.sampled_from(
    [
        {},
        {"id": "event_id", "dedupe": "none"},
        {"dedupe": "exact"},
        {"id": "event_id"},
        {"id": "event_id", "arrival": "ingest_ts"},
        {"id": "event_id", "dedupe": "last"},
        {"id": "event_id", "arrival": "ingest_ts", "dedupe": "last"},
        {"arrival": "ingest_ts", "dedupe": "exact"},
        {"entity": "[user_id, event_id]", "dedupe": "exact"},
    ]
)


# A whole run takes a second: a failing one is shown as it was drawn.
@settings(
    max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(declared=DECLARED, first=DAY, steps=st.lists(STEP, min_size=2, max_size=6))
def test_any_days_end_alike(declared: Keys, first: list[Keys], steps: list[tuple[str, Any]]) -> None:
    """Any days in any order, with corrections, deletes, overwrites and compactions between, end like one build."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(compact, "MOST_RUNS", 2)
        lake = Lake(Path(folder) / "home")
        try:
            _play(Days(lake), declared, first, steps)
        finally:
            lake.close()


def _play(days: Days, declared: Keys, first: list[Keys], steps: list[tuple[str, Any]]) -> None:
    of, whole = definition(**declared), definition("fresh", **declared)
    days.start(_rows(first))
    days.build(of)
    for what, how in steps:
        if what == "add":
            days.add(_rows(how))
        elif what == "build":
            days.build(of)
        elif what == "delete":
            with warnings.catch_warnings(action="ignore"):
                # pyiceberg warns when there is nothing to delete.
                days.lake.table(SOURCE).delete(f"event_id == {how}")
        elif what == "overwrite":
            days.lake.table(SOURCE).overwrite(_rows(how))
        elif what == "correct":
            start, end = (None if day is None else us(day) for day in how)
            with suppress(Conflict):
                # The source may have changed outside of the window.
                days.correct(of, window=(start, end))
    days.build(of)
    days.build(whole)
    assert days.content(whole) == days.content(of)
    mine, theirs = days.index(of).report, days.index(whole).report
    assert (theirs.rows, theirs.entities, dict(theirs.by_type)) == (mine.rows, mine.entities, dict(mine.by_type))
    assert days.correct(of, publish=False).empty


def _rows(day: list[Keys]) -> Any:
    return events([{**row, "seen": row["day"] + row["late"]} for row in day])
