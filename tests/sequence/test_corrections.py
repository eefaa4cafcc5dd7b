"""Corrections: the difference is exact and shown first, only what differs is written, old states stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.errors import Conflict, NotFound
from nbplat.sequence.amend_plan import AmendPlan, explain_amendment
from nbplat.sequence.amendments import Amendments
from nbplat.sequence.index_diff import IndexDiff, explain_diff, iso_moment
from nbplat.terms import local_path
from tests.fixtures.lakehouse import Lake
from tests.sequence.days import DAY_US, SCHEMA, SOURCE, Days, definition, events, us

BY_ID = {"id": "event_id"}


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    lake = Lake(tmp_path / "home")
    yield Days(lake)
    lake.close()


def fresh(days: Days, **keys: Any) -> list[str]:
    """Content of an index of the same definition that is built at once, under another name."""
    days.build(definition("fresh", **keys))
    return days.content(definition("fresh", **keys))


def rewrite(days: Days, rows: pa.Table) -> None:
    """Overwrite the source."""
    days.lake.table(SOURCE).overwrite(rows)


def test_the_difference_is_exact(days: Days) -> None:
    """Users, events added, removed and changed, and the changed fields with their values, are those that differ."""
    rows = [{"user": "abcd"[n // 3], "day": n % 3, "id": n} for n in range(12)]
    days.start(events(rows))
    of = definition(**BY_ID)
    days.build(of)
    changed = [{**row, "amount": 7.5} if row["id"] == 4 else row for row in rows if row["id"] != 9]
    changed = [{**row, "day": 2.5} if row["id"] == 5 else row for row in changed] + [{"user": "e", "day": 1, "id": 50}]
    rewrite(days, events(changed))
    diff = days.correct(of, publish=False)
    assert ("everything", 3, 1, 1, 2) == (diff.kind, diff.users, diff.added, diff.removed, diff.changed)
    assert {"amount": 1, "event_ts": 1} == dict(diff.fields)
    assert (12, 12) == (diff.rows, diff.rows_after)
    lines = list(explain_diff(diff))
    assert "3 users: 1 event added, 1 removed, 2 changed; 12 events before, 12 after" == lines[1]
    assert "  changed: user_id b, click at 2024-03-02T00:00:00+00:00; amount: 1.0 -> 7.5" in lines
    assert diff == IndexDiff.from_record(diff.record())


def test_nothing_is_published_before_it_is_asked_for(days: Days) -> None:
    """A correction without publish leaves the index at its snapshot; the next one publishes what was compared."""
    of = definition(**BY_ID)
    days.start(events([{"user": "a", "day": 0, "id": 1}]))
    days.build(of)
    before, content = days.pin(of), days.content(of)
    rewrite(days, events([{"user": "a", "day": 1, "id": 2}]))
    shown = days.correct(of, publish=False)
    assert (before, content) == (days.pin(of), days.content(of))
    assert shown == days.correct(of)
    assert [("a", "click", 1.0)] == days.events(of)
    assert fresh(days, **BY_ID) == days.content(of)


def test_old_states_stay_readable(days: Days) -> None:
    """After corrections an older snapshot has its events, is held by a tag, and names what it was made from."""
    of = definition(**BY_ID)
    days.start(events([{"user": "a", "day": 0, "id": 1}]))
    days.build(of)
    states = [(days.pin(of), days.content(of), days.index(of).source)]
    for number in (2, 3):
        rewrite(days, events([{"user": "a", "day": number, "id": number}]))
        days.correct(of)
        states.append((days.pin(of), days.content(of), days.index(of).source))
    assert 3 == len({tuple(content) for _, content, _ in states})
    for pin, content, source in states:
        assert content == days.content(of, pin.snapshot_id)
        assert source == days.index(of, pin.snapshot_id).source
    refs = days.lake.table(states[0][0].table).metadata.refs
    tagged = {ref.snapshot_id for name, ref in refs.items() if name.startswith("nbplat-")}
    assert {pin.snapshot_id for pin, _, _ in states} <= tagged


def test_a_window_is_corrected(days: Days) -> None:
    """A correction of a day compares that day alone, takes in what was appended besides, and reads few files."""
    of = definition(**BY_ID)
    days.start(events([{"user": "a", "day": 0, "id": 1}]))
    for day in range(1, 6):
        days.add(events([{"user": user, "day": day + 0.5, "id": 10 * day + n} for n, user in enumerate("abc")]))
    days.build(of)
    days.lake.table(SOURCE).delete("event_id == 31")
    diff = days.correct(of, window=(us(3), us(4)))
    assert ("window", 0, 1, 0) == (diff.kind, diff.added, diff.removed, diff.changed)
    days.add(events([{"user": "z", "day": 0.25, "id": 70}, {"user": "z", "day": 3.25, "id": 71}]))
    diff = days.correct(of, window=(us(3), us(4)))
    assert ("window", 2, 0, 0) == (diff.kind, diff.added, diff.removed, diff.changed)
    assert fresh(days, **BY_ID) == days.content(of)


def test_a_window_that_misses_changes_is_refused(days: Days) -> None:
    """A window that does not cover what changed in the source is refused with one that does."""
    of = definition()
    days.start(events([{"user": "a", "day": 1}]))
    days.add(events([{"user": "a", "day": 5}]))
    days.build(of)
    days.lake.table(SOURCE).delete("event_ts < '2024-03-03T00:00:00+00:00'")
    with pytest.raises(Conflict, match=r"outside of the window as well: from 2024-03-02T00:00:00\+00:00") as refused:
        days.correct(of, window=(us(4), None))
    assert "sequence.window_narrow" == refused.value.code
    assert "give --from 2024-03-02T00:00:00+00:00 --to 2024-03-02T00:00:00.000001+00:00" in refused.value.fix
    assert 1 == days.correct(of, window=(us(0), us(2))).removed


def test_a_lost_event_brings_its_copy_back(days: Days) -> None:
    """When the copy that counted is gone, the copy outside the window that was dropped for it counts again."""
    keys = {**BY_ID, "arrival": "ingest_ts", "dedupe": "first"}
    of = definition(**keys)
    days.start(events([{"user": "a", "day": 1, "id": 7, "seen": 8}, {"user": "b", "day": 1, "id": 9}]))
    days.add(events([{"user": "a", "day": 3, "id": 7, "seen": 4}, {"user": "b", "day": 3, "id": 11}]))
    days.build(of)
    assert ("a", "click", 3.0) in days.events(of)
    days.lake.table(SOURCE).delete("ingest_ts == '2024-03-05T00:00:00+00:00'")
    days.correct(of, window=(us(3), us(4)))
    assert ("a", "click", 1.0) in days.events(of)
    assert fresh(days, **keys) == days.content(of)


def test_what_was_never_built_cannot_be_corrected(days: Days) -> None:
    """Correcting a definition without an index is refused with the command that builds it."""
    days.start(events([{"user": "a", "day": 1}]))
    with pytest.raises(NotFound, match="%sequence build clicks") as refused:
        days.correct(definition())
    assert "sequence.not_built" == refused.value.code


def test_only_touched_users_are_written(days: Days) -> None:
    """One day of 1 % late events: only rows of their users are added, no file is rewritten, the difference is exact."""
    rng = np.random.default_rng(5)
    of = definition(**BY_ID)
    users, per_day = 2_000, 10_000

    def day(number: int, ids: np.ndarray[Any, Any]) -> pa.Table:
        who = rng.integers(0, users, len(ids))
        at = us(number) + rng.integers(0, DAY_US, len(ids))
        moments = pa.array(at, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        kinds = pa.array(["click", "buy"]).take(pa.array(ids % 2))
        names = pa.array([f"u{n:05d}" for n in who])
        return pa.table([names, moments, moments, pa.array(ids), kinds, pa.array(ids / 8)], schema=SCHEMA)

    whole = [day(number, np.arange(number * per_day, (number + 1) * per_day)) for number in range(5)]
    late = rng.permutation(per_day)[: per_day // 100]
    days.start(whole[0])
    for number, rows in enumerate(whole[1:], 1):
        days.add(rows.take(np.setdiff1d(np.arange(per_day), late)) if number == 2 else rows)
    days.build(of)
    before, index = days.pin(of), days.index(of)
    old = {file.path: file for file in index.tables.files(before)}
    came = whole[2].take(np.sort(late))
    # The day's file is written again, as a late pipeline does.
    days.lake.table(SOURCE).overwrite(whole[2], overwrite_filter=_day_filter(2))
    diff = days.correct(of, window=(us(2), us(3)))
    touched = set(came["user_id"].to_pylist())
    assert (len(touched), 100, 0, 0) == (diff.users, diff.added, diff.removed, diff.changed)
    now = {file.path: file for file in index.tables.files(days.pin(of))}
    new = [now[path] for path in now.keys() - old.keys()]
    assert set(old) < set(now)
    assert 0 == sum(file.deleted for file in now.values())
    assert 100 == sum(file.rows for file in new)
    written = pa.concat_tables([pq.read_table(local_path(file.path), columns=["event_id"]) for file in new])
    assert sorted(came["event_id"].to_pylist()) == sorted(written["event_id"].to_pylist())
    assert sum(file.file_bytes for file in new) < sum(file.file_bytes for file in old.values()) / 20
    assert fresh(days, **BY_ID) == days.content(of)


def _day_filter(number: int) -> str:
    start, end = (iso_moment(us(day)) for day in (number, number + 1))
    return f"event_ts >= '{start}' and event_ts < '{end}'"


def test_a_plan_tells_what_it_will_compare(days: Days) -> None:
    """Before anything is read, a plan says what it compares with what, why, and how much it reads."""
    of = definition(**BY_ID)
    days.start(events([{"user": "a", "day": 0, "id": 1}]))
    days.add(events([{"user": "a", "day": 5, "id": 2}]))
    days.build(of)
    sequences = days.lake.platform.sequences
    amendments, bound = Amendments(sequences), sequences.bind(of)
    assert amendments.plan_increment(bound) is None
    window = amendments.plan_correction(bound, (us(0), us(1)))
    assert window == AmendPlan.from_record(window.record())
    told = list(explain_amendment(window))
    assert any("from 2024-03-01T00:00:00+00:00 to before 2024-03-02T00:00:00+00:00 with web.events" in t for t in told)
    assert any(line.startswith("reads at most 1 rows, ") for line in told)
    assert any("a copy may lie outside" in line for line in told)
    assert "compares every event with web.events" in "\n".join(explain_amendment(amendments.plan_correction(bound)))
    days.add(events([{"user": "a", "day": 6, "id": 3}]))
    increment = amendments.plan_increment(bound)
    assert increment is not None
    assert "reads what was added to web.events" in "\n".join(explain_amendment(increment))
    days.lake.table(SOURCE).delete("event_id == 2")
    changed = amendments.plan_increment(bound)
    assert changed is not None
    assert ("window", (us(5), us(6) + 1)) == (changed.kind, changed.window)
    assert "was not only appended to" in "\n".join(explain_amendment(changed))
