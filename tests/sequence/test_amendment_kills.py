"""A process that dies while an index is amended: the index is what it was, or what it will be, and the job goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.job import JobState
from tests.fixtures.lakehouse import Killed, Lake
from tests.sequence.days import SOURCE, Days, definition, events

pytestmark = pytest.mark.process

OF = definition(id="event_id", dedupe="first")


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    """An index whose source has one more, one fewer and one changed event by now."""
    lake = Lake(tmp_path / "home")
    days = Days(lake)
    rows: list[dict[str, Any]] = [{"user": f"u{n}", "day": n / 4, "id": n} for n in range(40)]
    days.start(events(rows))
    days.build(OF)
    changed = [{**row, "amount": 9.0} if row["id"] == 7 else row for row in rows[:-1]] + [
        {"user": "z", "day": 1, "id": 99}
    ]
    lake.table(SOURCE).overwrite(events(changed))
    yield days
    lake.close()


def files_of(days: Days) -> set[Path]:
    folder = days.lake.home / "warehouse" / "nb_sequences"
    return {path for path in folder.glob("*/data/**/*.parquet") if "deletes" not in path.name}


def go_on(days: Days) -> None:
    """Another process takes the job over and ends it."""
    days.lake.reopen()
    jobs = days.lake.work()
    assert [JobState.SUCCEEDED] == [job.state for job in jobs]


def right(days: Days) -> None:
    """The index is that of the source, in one snapshot more, and nothing is left over."""
    days.build(definition("fresh", id="event_id", dedupe="first"))
    assert days.content(definition("fresh", id="event_id", dedupe="first")) == days.content(OF)
    table = days.lake.table(days.pin(OF).table)
    assert 2 == len(table.snapshots())
    named = days.index(OF).tables.held(days.pin(OF).table)
    mine = {path for path in files_of(days) if "clicks__" in str(path)}
    assert {Path(path.removeprefix("file://")) for path in named if "deletes" not in path} == mine
    assert not [path for path in (days.lake.home / "spill" / "sequence").rglob("*") if path.is_file()]


def test_a_kill_before_the_commit(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between writing the files and the commit, the index is what it was, and the same job then publishes."""
    before, content = days.pin(OF), days.content(OF)
    platform = days.lake.platform
    monkeypatch.setattr(platform.catalog, "commit_table", lambda *_: platform.die())
    with pytest.raises(Killed):
        days.correct(OF)
    days.lake.reopen()
    assert (before, content) == (days.pin(OF), days.content(OF))
    go_on(days)
    right(days)


def test_a_kill_behind_the_commit(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed right after the commit, the job finds its snapshot when it goes on, and publishes nothing twice."""
    platform = days.lake.platform
    commit = platform.catalog.commit_table

    def commit_and_die(*args: Any) -> None:
        commit(*args)
        platform.die()

    monkeypatch.setattr(platform.catalog, "commit_table", commit_and_die)
    with pytest.raises(Killed):
        days.correct(OF)
    days.lake.reopen()
    after = days.content(OF)
    go_on(days)
    assert after == days.content(OF)
    right(days)


@pytest.mark.parametrize("unit", [1, 2])
def test_a_kill_between_units(days: Days, unit: int) -> None:
    """Killed while units are done, the job goes on with those that are left."""
    platform = days.lake.platform
    finish, done = platform.store.finish_unit, []

    def die_at(*args: Any) -> Any:
        done.append(args)
        return platform.die() if len(done) == unit else finish(*args)

    platform.store.finish_unit = die_at  # type: ignore[method-assign]
    with pytest.raises(Killed):
        days.correct(OF)
    go_on(days)
    right(days)


def test_a_cancelled_amendment_leaves_nothing(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled before the commit, the files that were written are removed, and the index is what it was."""
    before, content, files = days.pin(OF), days.content(OF), files_of(days)
    platform = days.lake.platform
    monkeypatch.setattr(platform.catalog, "commit_table", lambda *_: platform.die())
    with pytest.raises(Killed):
        days.correct(OF)
    assert files < files_of(days)
    days.lake.reopen()
    [job] = days.lake.platform.store.jobs(states={JobState.QUEUED})
    cancelled = days.lake.platform.store.request_cancel(job.id)
    days.lake.platform.settle(cancelled)
    assert (before, content, files) == (days.pin(OF), days.content(OF), files_of(days))
    days.correct(OF)
    right(days)
