"""What goes wrong around a sequence's jobs: a clear error with its mend, nothing half-done, then it works."""

from __future__ import annotations

import collections
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.io.pyarrow import PyArrowFile

from nbplat.adapters.iceberg import export_tables as export_module
from nbplat.job import JobDraft, JobState
from nbplat.remote.sequence import amend as amend_module
from nbplat.remote.sequence import scatter as scatter_module
from nbplat.remote.sequence import shard as shard_module
from nbplat.sequence import plan as plan_module
from nbplat.sequence.amendments import Amendments
from nbplat.sequence.builds import Builds
from nbplat.sequence.exports import Exports
from nbplat.terms import local_path
from tests.backfill.test_disk_full import fill
from tests.fixtures.lakehouse import Killed, Lake
from tests.fixtures.sequences import CLICKS, START_US, clicks, definition, digests, sequence_lake

TABLE, EXAMPLES, LISTS = "shop.clicks", "shop.examples", "shop.lists"
OF = definition(TABLE)
ROWS = clicks(3_000)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A table of events in several files, examples, and so little memory that an index takes many units."""
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 1_000)
    lake = sequence_lake(tmp_path / "home")
    table = lake.make(TABLE, ROWS.slice(0, 0), partitioned=False)
    for start in range(0, ROWS.num_rows, 500):
        table.append(ROWS.slice(start, 500))
    at = pa.array([START_US + n * 1_000_000_000 for n in range(60)]).cast(pa.timestamp("us", tz="UTC"))
    lake.make(EXAMPLES, pa.table({"user_id": pa.array([n % 30 for n in range(60)]), "label_ts": at}), partitioned=False)
    yield lake
    lake.close()


def build(lake: Lake) -> str:
    run, _ = Builds(lake.platform.sequences).queue(OF, owner="me")
    return run.id


def content(lake: Lake) -> list[str] | None:
    """The index that anybody sees; None when there is none."""
    sequences = lake.platform.sequences
    stored = sequences.find_index(sequences.bind(OF), other_rows=True)
    return None if stored is None else digests(stored)


def calm(lake: Lake, tmp_path: Path, rows: pa.Table) -> list[str]:
    """What an undisturbed build makes of these rows."""
    other = sequence_lake(tmp_path / "calm")
    table = other.make(TABLE, rows.slice(0, 0), partitioned=False)
    for start in range(0, rows.num_rows, 500):
        table.append(rows.slice(start, 500))
    build(other)
    other.work()
    found = content(other)
    other.close()
    assert found is not None
    return found


def files_left(lake: Lake) -> list[Path]:
    """Spill files, and data files that no snapshot of their table names."""
    tables, catalog = lake.platform.sequences.tables, lake.catalog
    named: set[Path] = set()
    found = [path for path in (lake.home / "spill").rglob("*") if path.is_file()]
    for space in ("nb_sequences",) if catalog.namespace_exists("nb_sequences") else ():
        for identifier in catalog.list_tables(space):
            named |= {local_path(path) for path in tables.held(".".join(identifier))}
        found += [path for path in (lake.home / "warehouse" / space).rglob("data/**/*") if path.is_file()]
    return sorted(set(found) - named)


def once(module: Any, name: str, act: Callable[[], Any], patch: pytest.MonkeyPatch) -> None:
    """`act` happens right after the first call."""
    real, left = getattr(module, name), [act]

    def call(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        if left:
            left.pop()()
        return result

    patch.setattr(module, name, call)


# -- the source ------------------------------------------------------------------------------------


def test_a_source_dropped_between_plan_and_build(shop: Lake, tmp_path: Path) -> None:
    """The job says that the table is gone; made again, the same command builds."""
    run_id = build(shop)
    shop.catalog.drop_table(TABLE)
    error = shop.fail()
    assert ("table.unknown", True) == (error["code"], TABLE in error["message"])
    assert "kept" == shop.platform.sequences.find(run_id).state
    shop.make(TABLE, ROWS, partitioned=False)
    assert None is content(shop)
    build(shop)
    shop.work()
    assert calm(shop, tmp_path, ROWS) == content(shop)
    assert [] == files_left(shop)


def test_a_source_made_anew_between_plan_and_build(shop: Lake, tmp_path: Path) -> None:
    """A table of that name that is another table is not read as if it were the planned one."""
    build(shop)
    shop.catalog.drop_table(TABLE)
    shop.make(TABLE, ROWS.slice(0, 1_000), partitioned=False)
    error = shop.fail()
    assert ("Conflict", "table.replaced") == (error["kind"], error["code"])
    assert content(shop) is None
    build(shop)
    shop.work()
    assert calm(shop, tmp_path, ROWS.slice(0, 1_000)) == content(shop)


def test_a_source_overwritten_between_plan_and_build(shop: Lake, tmp_path: Path) -> None:
    """The build reads what was planned; the next one brings the index to the present rows."""
    build(shop)
    fewer = ROWS.filter(pc.not_equal(pc.fill_null(ROWS["user_id"], -1), 3))
    shop.table(TABLE).overwrite(fewer)
    shop.work()
    assert calm(shop, tmp_path, ROWS) == content(shop)
    build(shop)
    shop.work()
    sequences = shop.platform.sequences
    stored = sequences.find_index(sequences.bind(OF))
    assert stored is not None
    assert not sequences.moved(stored)
    assert 3 not in {
        user for b in range(stored.buckets) for user in stored.events(b, []).entities["user_id"].to_pylist()
    }


def test_a_source_file_lost_under_the_build(shop: Lake, tmp_path: Path) -> None:
    """The error names the file; with the file back, the same command goes on with what is left."""
    run_id = build(shop)
    path = local_path(next(iter(shop.table(TABLE).scan().plan_files())).file.file_path)
    aside = path.rename(path.with_suffix(".aside"))
    error = shop.fail()
    assert ("file.gone", True) == (error["code"], path.name in str(error))
    assert (None, "kept") == (content(shop), shop.platform.sequences.find(run_id).state)
    aside.rename(path)
    assert run_id == build(shop)
    shop.work()
    assert calm(shop, tmp_path, ROWS) == content(shop)
    assert [] == files_left(shop)


# -- the disk --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fsync", "write"])
@pytest.mark.parametrize("step", ["build", "increment", "correct"])
def test_a_full_disk(shop: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, how: str) -> None:
    """The job fails with disk.full, the index is what it was, and the same command goes on when there is room."""
    rows = ROWS
    if step != "build":
        build(shop)
        shop.work()
        more = clicks(200, seed=5)
        shop.table(TABLE).append(more)
        rows = pa.concat_tables([ROWS, more])

    def ask() -> None:
        if step == "correct":
            Amendments(shop.platform.sequences).correct(OF, owner="me", publish=True)
        else:
            build(shop)

    before = content(shop)
    ask()
    make_room = fill(monkeypatch, how, ".partial")
    error = shop.fail()
    make_room()
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 1_000)
    assert ("SetupError", "disk.full", True) == (error["kind"], error["code"], bool(error["fix"]))
    assert before == content(shop)
    assert [] == list(shop.home.rglob("*.partial*"))
    ask()
    shop.work()
    after = content(shop)
    assert after is not None
    assert sorted(_rows(shop)) == sorted(_built(tmp_path, rows))
    assert [] == files_left(shop)


def _rows(lake: Lake) -> list[str]:
    sequences = lake.platform.sequences
    stored = sequences.find_index(sequences.bind(OF))
    assert stored is not None
    read = [stored.events(bucket, stored.schema.names).rows for bucket in range(stored.buckets)]
    return [str(row) for rows in read for row in rows.to_pylist()]


def _built(tmp_path: Path, rows: pa.Table) -> list[str]:
    other = sequence_lake(tmp_path / "whole")
    other.make(TABLE, rows, partitioned=False)
    build(other)
    other.work()
    found = _rows(other)
    other.close()
    return found


def test_a_full_disk_under_an_export(shop: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no table and no file, and the same export works when there is room."""
    build(shop)
    shop.work()
    Exports(shop.platform.sequences).queue(OF, EXAMPLES, LISTS, owner="me")
    before = set((shop.home / "warehouse").rglob("*.parquet"))

    def full(file: PyArrowFile, overwrite: bool = False) -> Any:
        local_path(file.location).parent.mkdir(parents=True, exist_ok=True)
        local_path(file.location).write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(PyArrowFile, "create", full)
        error = shop.fail()
    assert ("disk.full", True) == (error["code"], bool(error["fix"])), error
    assert not shop.catalog.table_exists(LISTS)
    assert before == set((shop.home / "warehouse").rglob("*.parquet"))
    Exports(shop.platform.sequences).queue(OF, EXAMPLES, LISTS, owner="me")
    shop.work()
    assert 60 == shop.table(LISTS).scan().to_arrow().num_rows


def test_an_export_that_died(shop: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the commit, its files go with the next try; killed behind it, the rows are not written again."""
    build(shop)
    shop.work()
    Exports(shop.platform.sequences).queue(OF, EXAMPLES, LISTS, owner="me")

    for seen in (False, True):
        commit = shop.catalog.commit_table

        def die(*args: Any, commit: Any = commit if seen else lambda *_: None) -> Any:
            commit(*args)
            shop.platform.die()

        with monkeypatch.context() as patch:
            patch.setattr(shop.catalog, "commit_table", die)
            # A process that is killed tidies nothing up.
            patch.setattr(export_module, "_remove", lambda *_: None)
            patch.setattr(Exports, "sweep", lambda *_: None)
            with pytest.raises(Killed):
                shop.platform.work_here("w")
        shop.reopen()
        assert seen == shop.catalog.table_exists(LISTS)
    files = list((shop.home / "warehouse" / "shop" / "lists" / "data").iterdir())
    assert 2 == len(files)
    [job] = shop.work()
    assert job.result is not None
    assert (60, LISTS) == (job.result["rows"], job.result["pin"]["table"])
    assert 1 == len(shop.table(LISTS).snapshots())
    [named] = shop.table(LISTS).scan().plan_files()
    assert {local_path(named.file.file_path)} == set(files[0].parent.iterdir())


def test_a_cancelled_export_leaves_nothing(shop: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a try that died are removed when its job is cancelled."""
    build(shop)
    shop.work()
    Exports(shop.platform.sequences).queue(OF, EXAMPLES, LISTS, owner="me")
    with monkeypatch.context() as patch:
        patch.setattr(shop.catalog, "commit_table", lambda *_: shop.platform.die())
        patch.setattr(export_module, "_remove", lambda *_: None)
        patch.setattr(Exports, "sweep", lambda *_: None)
        with pytest.raises(Killed):
            shop.platform.work_here("w")
    shop.reopen()
    folder = shop.home / "warehouse" / "shop" / "lists" / "data"
    assert 1 == len(list(folder.iterdir()))
    [job] = shop.platform.store.jobs(states={JobState.QUEUED})
    shop.platform.settle(shop.platform.store.request_cancel(job.id))
    assert [] == list(folder.iterdir())
    assert not shop.catalog.table_exists(LISTS)


# -- the catalog -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "name"), [(scatter_module, "write_spill"), (shard_module, "write_index_file")])
def test_the_catalog_gone_in_the_middle(
    shop: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    """A clear error, finished units stay done, and with the catalog back the same command publishes."""
    build(shop)
    file = shop.home / "warehouse" / "catalog.db"
    aside = file.with_name("aside.db")
    with monkeypatch.context() as patch:
        once(module, name, lambda: file.rename(aside), patch)
        error = shop.fail()
    aside.rename(file)
    assert ("catalog.missing", True) == (error["code"], bool(error["fix"]))
    assert content(shop) is None
    build(shop)
    shop.work()
    events = shop.platform.store.events(limit=100_000)
    ends = collections.Counter((e.data["scope"], e.unit_id) for e in events if e.kind == "unit.done")
    assert {1} == set(ends.values())
    assert calm(shop, tmp_path, ROWS) == content(shop)
    assert [] == files_left(shop)


@pytest.mark.parametrize(
    ("step", "module", "name"),
    [("increment", amend_module, "write_changes"), ("export", export_module, "_files")],
)
def test_the_catalog_gone_under_what_follows(
    shop: Lake, monkeypatch: pytest.MonkeyPatch, step: str, module: Any, name: str
) -> None:
    """The index stays what it was, and with the catalog back the same command ends well."""
    build(shop)
    shop.work()
    before, file = content(shop), shop.home / "warehouse" / "catalog.db"
    shop.table(TABLE).append(clicks(200, seed=5))

    def ask() -> None:
        if step == "export":
            Exports(shop.platform.sequences).queue(OF, EXAMPLES, LISTS, owner="me")
        else:
            build(shop)

    ask()
    with monkeypatch.context() as patch:
        once(module, name, lambda: file.rename(file.with_name("aside.db")), patch)
        error = shop.fail()
    file.with_name("aside.db").rename(file)
    assert ("catalog.missing", True) == (error["code"], bool(error["fix"]))
    assert (before, False) == (content(shop), shop.catalog.table_exists(LISTS))
    ask()
    shop.work()
    assert (step == "export") == (before == content(shop))
    assert (step == "export") == shop.catalog.table_exists(LISTS)
    assert [] == files_left(shop)


# -- two at once -----------------------------------------------------------------------------------


def test_a_correction_while_a_second_build_is_on_its_way(
    shop: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them publishes; the other says that the index has moved, and works when it is run again."""
    build(shop)
    shop.work()
    more = clicks(200, seed=5)
    shop.table(TABLE).append(more)
    other = definition(TABLE, name="other")
    Amendments(shop.platform.sequences).correct(other, owner="me", publish=True)
    beside = shop.beside()

    def race() -> None:
        Builds(beside.sequences).queue(OF, owner="me")
        ended = beside.work_here("beside")
        assert JobState.SUCCEEDED is ended[-1].state, ended

    with monkeypatch.context() as patch:
        once(amend_module, "write_changes", race, patch)
        jobs = shop.platform.work_here("w")
    beside.close()
    lost = [job for job in jobs if job.error]
    assert ["index.moved"] == [str((job.error or {})["code"]) for job in lost]
    assert "run the same command again" in str((lost[0].error or {})["fix"])
    assert 2 == len(shop.table(_index(shop)).snapshots())
    Amendments(shop.platform.sequences).correct(other, owner="me", publish=True)
    shop.work()
    assert sorted(_rows(shop)) == sorted(_built(tmp_path, pa.concat_tables([ROWS, more])))
    assert [] == files_left(shop)


def test_two_definitions_of_one_index_built_at_once(
    shop: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are built, by the one that was first; the other's files are gone."""
    sequences = shop.platform.sequences
    longer = definition(TABLE, CLICKS.replace("last: 3", "last: 4"))
    runs = [build(shop), Builds(sequences).queue(longer, owner="me")[0].id]
    assert ["home@1", "home@2"] == runs
    beside = shop.beside()
    with monkeypatch.context() as patch:
        once(shard_module, "write_index_file", lambda: beside.work_here("beside"), patch)
        shop.work()
    beside.close()
    assert ["built", "built"] == [sequences.find(run).state for run in runs]
    assert calm(shop, tmp_path, ROWS) == content(shop)
    assert 1 == len(shop.table(_index(shop)).snapshots())
    assert [] == files_left(shop)


def test_a_cancelled_build_that_is_settled_again(shop: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that starts settles what ended long ago, and takes nothing from the build that came after."""
    build(shop)
    [job] = shop.platform.store.jobs(states={JobState.QUEUED})
    cancelled = shop.platform.store.request_cancel(job.id)
    shop.platform.settle(cancelled)
    build(shop)
    with monkeypatch.context() as patch:
        once(shard_module, "write_index_file", lambda: shop.platform.die(), patch)
        with pytest.raises(Killed):
            shop.platform.work_here("w")
    shop.reopen()
    before = files_left(shop)
    assert before
    shop.platform.settle(cancelled)
    assert before == files_left(shop)
    shop.work()
    assert calm(shop, tmp_path, ROWS) == content(shop)
    assert [] == files_left(shop)


def _index(lake: Lake) -> str:
    return str(lake.platform.sequences.find(OF.name).outputs["index"])


# -- what is not known -----------------------------------------------------------------------------


def test_a_job_of_a_newer_nbplat(shop: Lake) -> None:
    """A step that this version does not know fails with what to do, and moves nothing."""
    run_id = build(shop)
    shop.work()
    before = content(shop)
    shop.platform.store.submit(JobDraft("sequence.dance", run_id, {}), kind_of_run="sequence", owner="me")
    error = shop.fail()
    assert ("InternalError", "job.kind") == (error["kind"], error["code"])
    assert "upgrade" in error["fix"]
    assert ("built", before) == (shop.platform.sequences.find(run_id).state, content(shop))


def test_spill_files_that_somebody_removed(shop: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job says so; the same command makes them anew."""
    run_id = build(shop)

    def lose() -> None:
        for path in (shop.home / "spill").rglob("*.arrow"):
            path.unlink()

    with monkeypatch.context() as patch:
        once(shard_module, "write_index_file", lose, patch)
        error = shop.fail()
    assert ("spill.gone", True) == (error["code"], "build again" in error["fix"])
    assert run_id == build(shop)
    shop.work()
    assert calm(shop, tmp_path, ROWS) == content(shop)
    assert [] == files_left(shop)


@pytest.mark.postgres
def test_the_life_of_an_index_with_its_ledger_in_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """Built, brought up to date and exported, it is the same as with SQLite."""
    lake = sequence_lake(tmp_path / "home", **{"store.url": postgres_url})
    more = clicks(200, seed=5)
    try:
        table = lake.make(TABLE, ROWS, partitioned=False)
        assert None is content(lake)
        build(lake)
        lake.work()
        table.append(more)
        build(lake)
        lake.work()
        assert sorted(_built(tmp_path, pa.concat_tables([ROWS, more]))) == sorted(_rows(lake))
        assert [] == files_left(lake)
        assert not (tmp_path / "home" / "store.db").exists()
    finally:
        lake.close()
