"""An index follows its source over days: appends, late days, copies, changed files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.errors import Conflict
from nbplat.sequence import compact
from nbplat.sequence.amendments import Amendments
from nbplat.sequence.builds import Builds
from nbplat.terms import local_path
from tests.fixtures.lakehouse import Lake
from tests.sequence.days import DAY_US, SCHEMA, SOURCE, Days, definition, events, us

BY_ID = {"id": "event_id"}
WITH_ARRIVAL = {"id": "event_id", "arrival": "ingest_ts"}


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    lake = Lake(tmp_path / "home")
    yield Days(lake)
    lake.close()


def fresh(days: Days, **keys: Any) -> list[str]:
    """Content of an index of the same definition that is built at once, under another name."""
    days.build(definition("fresh", **keys))
    return days.content(definition("fresh", **keys))


def test_a_day_is_added(days: Days) -> None:
    """A second build adds the events of the files that came since, and rewrites nothing."""
    of = definition()
    days.start(events([{"user": "a", "day": 0}, {"user": "b", "day": 1}]))
    days.build(of)
    first = days.pin(of)
    before = {file.path for file in days.index(of).tables.files(first)}
    days.add(events([{"user": "a", "day": 2}, {"user": "c", "day": 0.5}]))
    assert days.build(of) is not None
    expected = [("a", "click", 0.0), ("a", "click", 2.0), ("b", "click", 1.0), ("c", "click", 0.5)]
    assert expected == sorted(days.events(of))
    files = {file.path: file.deleted for file in days.index(of).tables.files(days.pin(of))}
    assert before < set(files)
    assert {0} == set(files.values())
    assert days.build(of) is None
    assert fresh(days) == days.content(of)


def test_the_report_goes_on(days: Days) -> None:
    """After increments the report counts rows, users, types, copies and nulls as a build of everything does."""
    keys = BY_ID
    days.start(events([{"user": "a", "day": 0, "id": 1}, {"user": None, "day": 1, "id": 2}]))
    days.build(definition(**keys))
    days.add(events([{"user": "a", "day": 0, "id": 1}, {"user": "b", "day": 3, "id": 3, "type": "buy"}]))
    days.add(events([{"user": "b", "day": 1, "id": 4, "type": "swim"}]))
    days.build(definition(**keys))
    fresh(days, **keys)
    mine, whole = (days.index(definition(name, **keys)).report for name in ("clicks", "fresh"))
    assert whole.steps == mine.steps
    for name in ("rows", "entities", "first_us", "last_us", "by_type"):
        assert getattr(whole, name) == getattr(mine, name)


def test_a_late_day_falls_into_place(days: Days) -> None:
    """Events of a day that comes after later days stand where a build of everything puts them."""
    of = definition()
    days.start(events([{"user": "a", "day": 5}]))
    days.build(of)
    for day in (3, 4, 1):
        days.add(events([{"user": "a", "day": day}]))
        days.build(of)
    assert [1.0, 3.0, 4.0, 5.0] == [at for _, _, at in days.events(of)]
    assert fresh(days) == days.content(of)


def test_an_earlier_copy_takes_the_place(days: Days) -> None:
    """With dedupe first a copy that was known earlier but comes later removes the copy that is stored."""
    keys = {**WITH_ARRIVAL, "dedupe": "first"}
    of = definition(**keys)
    days.start(events([{"user": "a", "day": 1, "id": 7, "seen": 5, "amount": 1.0}, {"user": "a", "day": 2, "id": 8}]))
    days.build(of)
    days.add(events([{"user": "a", "day": 1, "id": 7, "seen": 3, "amount": 2.0}]))
    days.add(events([{"user": "a", "day": 1, "id": 8, "seen": 9}]))
    days.build(of)
    assert [(4, 1)] == [
        (sum(file.rows for file in files) + 1, sum(file.deleted for file in files))
        for files in [days.index(of).tables.files(days.pin(of))]
    ]
    assert fresh(days, **keys) == days.content(of)


def test_a_later_copy_ends_the_earlier(days: Days) -> None:
    """With dedupe last and an arrival the stored copy is known only until the new one was."""
    keys = {**WITH_ARRIVAL, "dedupe": "last"}
    of = definition(**keys)
    days.start(events([{"user": "a", "day": 1, "id": 7, "seen": 2}]))
    days.build(of)
    days.add(events([{"user": "a", "day": 1, "id": 7, "seen": 6, "amount": 3.0}]))
    job = days.build(of)
    assert job is not None
    assert job.result is not None
    assert {"(replaced at)": 1} == job.result["diff"]["fields"]
    index = days.index(of)
    [until] = [each.until_us for each in (index.events(b, []) for b in range(index.buckets)) if len(each.time_us)]
    assert us(6) == until[0]
    assert fresh(days, **keys) == days.content(of)


def test_exact_copies_are_dropped_over_days(days: Days) -> None:
    """With dedupe exact a row that comes again on another day is dropped."""
    keys = {"dedupe": "exact"}
    row = {"user": "a", "day": 1, "amount": 2.0}
    days.start(events([row]))
    days.build(definition(**keys))
    days.add(events([row, {**row, "amount": 3.0}]))
    days.build(definition(**keys))
    assert 2 == len(days.events(definition(**keys)))
    assert fresh(days, **keys) == days.content(definition(**keys))


def test_a_changed_day_is_compared(days: Days) -> None:
    """After files of some days were rewritten, a build compares the events of these days, says why, and is right."""
    of = definition(**BY_ID)
    days.start(events([{"user": "a", "day": 0, "id": 0}]))
    for day in range(1, 6):
        days.add(events([{"user": user, "day": day, "id": 10 * day + n} for n, user in enumerate("abc")]))
    days.build(of)
    days.lake.table(SOURCE).delete("event_id == 31")
    days.add(events([{"user": "d", "day": 9, "id": 99}]))
    job = days.build(of)
    assert job is not None
    assert job.result is not None
    diff = job.result["diff"]
    assert ("window", 1, 1, 0, 2) == tuple(
        diff[name] for name in ("kind", "added", "removed", "changed", "users")
    ) or diff
    assert "was not only appended to" in diff["reason"]
    assert [us(3), us(9) + 1] == diff["window"]
    assert fresh(days, **BY_ID) == days.content(of)


def test_many_runs_are_compacted(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket of too many runs is written as one file in a commit of its own; content and older snapshots stay."""
    monkeypatch.setattr(compact, "MOST_RUNS", 3)
    keys = {**WITH_ARRIVAL, "dedupe": "last"}
    of = definition(**keys)
    days.start(events([{"user": "a", "day": 9, "id": 0}]))
    days.build(of)
    pins, contents = [days.pin(of)], [days.content(of)]
    for day in range(4):
        days.add(events([{"user": user, "day": day, "id": n, "seen": 9 + day} for n, user in enumerate("ab")]))
        days.build(of)
        pins.append(days.pin(of))
        contents.append(days.content(of))
    table = days.lake.table(pins[0].table)
    operations = [snapshot.summary.operation.value for snapshot in table.snapshots()]  # type: ignore[union-attr]
    assert ["append", "overwrite", "overwrite", "overwrite", "replace", "overwrite"] == operations
    assert 2 == len(days.index(of).tables.files(days.pin(of)))
    assert contents == [days.content(of, pin.snapshot_id) for pin in pins]
    assert fresh(days, **keys) == contents[-1]


def test_a_heavy_day_is_taken_in_pieces(tmp_path: Path) -> None:
    """A day that is far bigger than the memory allows at once is compared in ranges of users, with equal content."""
    lake = Lake(tmp_path / "home", **{"limits.memory_bytes": 16 << 20})
    days = Days(lake)
    keys = {"id": "event_id", "dedupe": "last"}
    rng = np.random.default_rng(3)
    days.start(events([{"user": "u1", "day": 0, "id": 1}, {"user": "u7", "day": 9, "id": 2}]))
    days.build(definition(**keys))
    assert 1 == days.index(definition(**keys)).buckets
    for _ in range(2):
        count = 60_000
        at = us(1) + rng.integers(0, 5 * DAY_US, count)
        moments = pa.array(at, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        names = pa.array([f"u{n}" for n in range(100)]).take(pa.array(rng.integers(0, 100, count)))
        kinds = pa.array(["click"] * count)
        numbers = pa.array(rng.integers(0, 5_000, count))
        days.add(pa.table([names, moments, moments, numbers, kinds, pa.array(rng.random(count))], schema=SCHEMA))
        days.build(definition(**keys))
    files = days.index(definition(**keys)).tables.files(days.pin(definition(**keys)))
    assert 1 < pq.ParquetFile(local_path(files[1].path)).num_row_groups
    assert sum(file.deleted for file in files) > 1_000
    assert fresh_events(days, keys) == sorted(days.events(definition(**keys)))
    lake.close()


def fresh_events(days: Days, keys: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Of an index that is built at once, which may have more buckets."""
    days.build(definition("fresh", **keys))
    return sorted(days.events(definition("fresh", **keys)))


def test_a_folder_of_files_is_followed(days: Days, tmp_path: Path) -> None:
    """New Parquet files are added; when an old one was written again everything is compared, and the reason is said."""
    folder = tmp_path / "events"
    folder.mkdir()
    keys = {"source": f"'{folder}/*.parquet'", **BY_ID}
    pq.write_table(events([{"user": "a", "day": 0, "id": 1}]), folder / "0.parquet")
    days.build(definition(**keys))
    pq.write_table(events([{"user": "a", "day": 1, "id": 2}]), folder / "1.parquet")
    job = days.build(definition(**keys))
    assert "increment" == job.result["diff"]["kind"]  # type: ignore[union-attr,index]
    pq.write_table(events([{"user": "b", "day": 5, "id": 9}, {"user": "c", "day": 5, "id": 8}]), folder / "0.parquet")
    diff = days.build(definition(**keys)).result["diff"]  # type: ignore[union-attr,index]
    assert ("everything", 2, 1, 0) == tuple(diff[name] for name in ("kind", "added", "removed", "changed"))
    assert "was not only appended to" in diff["reason"]
    pq.write_table(events([{"user": "b", "day": 5, "id": 9}]), folder / "0.parquet")
    with pytest.raises(Conflict, match="its files do not say at which times"):
        days.correct(definition(**keys), window=(us(0), us(9)))
    days.correct(definition(**keys))
    assert fresh(days, **keys) == days.content(definition(**keys))


def test_enrichments_follow_too(days: Days) -> None:
    """New events get the values of today; stored events keep theirs until a correction shows and mends them."""
    keys = {"enrich": "{index: {grade: shop.grades.grade @ latest on user_id=user_id}}"}
    grades = pa.table({"user_id": ["a", "b"], "grade": ["low", "low"]})
    days.lake.make("shop.grades", grades, partitioned=False)
    days.start(events([{"user": "a", "day": 0}]))
    days.build(definition(**keys))
    days.lake.table("shop.grades").overwrite(pa.table({"user_id": ["a", "b"], "grade": ["high", "high"]}))
    days.add(events([{"user": "b", "day": 1}]))
    days.build(definition(**keys))
    assert {"a": "low", "b": "high"} == _grades(days, keys)
    diff = days.correct(definition(**keys))
    assert (0, 0, 1, {"grade": 1}) == (diff.added, diff.removed, diff.changed, dict(diff.fields))
    assert {"a": "high", "b": "high"} == _grades(days, keys)
    assert fresh(days, **keys) == days.content(definition(**keys))


def _grades(days: Days, keys: dict[str, Any]) -> dict[str, str]:
    index = days.index(definition(**keys))
    rows = [index.events(bucket, ["user_id", "grade"]).rows.to_pylist() for bucket in range(index.buckets)]
    return {row["user_id"]: row["grade"] for found in rows for row in found}


def test_two_definitions_follow_one_index(days: Days) -> None:
    """Two definitions that share an index may both ask for the new day: it is added once, and both are up to date."""
    one, two = definition(), definition("other", size="{length: 3}")
    days.start(events([{"user": "a", "day": 0}]))
    days.build(one)
    assert days.build(two) is None
    assert days.pin(one) == days.pin(two)
    days.add(events([{"user": "a", "day": 1}]))
    sequences = days.lake.platform.sequences
    jobs = [job for _, job in (Builds(sequences).queue(each, owner="me") for each in (one, two)) if job is not None]
    assert 2 == len(jobs)
    days.lake.work()
    assert days.pin(one) == days.pin(two)
    assert [("a", "click", 0.0), ("a", "click", 1.0)] == days.events(two)
    assert 2 == len(days.lake.table(days.pin(one).table).snapshots())


def test_a_correction_that_was_overtaken_is_refused(days: Days) -> None:
    """A correction whose index was published to by another job meanwhile fails, names it, and changes nothing."""
    one, two = definition(**BY_ID), definition("other", size="{length: 3}", **BY_ID)
    days.start(events([{"user": "a", "day": 0, "id": 1}]))
    days.build(one)
    days.build(two)
    days.lake.table(SOURCE).overwrite(events([{"user": "a", "day": 3, "id": 1}]))
    amendments = Amendments(days.lake.platform.sequences)
    for each in (one, two):
        amendments.correct(each, owner="me", publish=True)
    first, second = days.lake.platform.work_here("w")
    assert ("succeeded", "failed") == (first.state, second.state)
    assert "index.moved" == second.error["code"]  # type: ignore[index]
    assert first.id in second.error["message"]  # type: ignore[index]
    assert [("a", "click", 3.0)] == days.events(one)
