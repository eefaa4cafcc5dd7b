"""Indexes as Iceberg tables: what a commit holds, who loses a race, what other readers see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile, DataFileContent

from nbplat.adapters.iceberg.live import live_files
from nbplat.adapters.iceberg.vocab_tables import IcebergVocabTables
from nbplat.errors import Conflict, InternalError
from nbplat.sequence.ports import IndexFile
from nbplat.terms import SnapshotPin, local_path
from tests.fixtures.index_files import NAME, REPORT, SCHEMA, SOURCE, HandIndex, Row
from tests.fixtures.lakehouse import Lake

A, B = [("a", 1), ("a", 4), ("b", 2)], [("c", 3), ("d", 5)]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[HandIndex]:
    lake = Lake(tmp_path / "home")
    yield HandIndex(lake.catalog)
    lake.close()


def scanned(index: HandIndex, pin: SnapshotPin | None = None) -> list[Row]:
    """By pyiceberg."""
    rows = index.catalog.load_table(NAME).scan(snapshot_id=pin.snapshot_id if pin else None).to_arrow()
    return sorted((row["user"], int(row["price"])) for row in rows.to_pylist())


def by_duckdb(index: HandIndex) -> list[Row]:
    """By DuckDB over the files alone: rows whose file and number no delete file names."""
    table = index.catalog.load_table(NAME)
    live = live_files(table, table.current_snapshot())
    data = [str(local_path(each.path)) for each in live]
    deletes = sorted({str(local_path(d.file.file_path)) for each in live for d in each.deletes})
    gone = (
        "SELECT replace(file_path, 'file://', '') f, pos FROM read_parquet($deletes)"
        if deletes
        else "SELECT '' f, 0 pos"
    )
    query = f"""SELECT "user", price::BIGINT FROM read_parquet($data, filename = true, file_row_number = true) d
        ANTI JOIN ({gone if deletes else "SELECT '' f, 0 pos"}) g ON g.f = d.filename AND g.pos = d.file_row_number
        ORDER BY ALL"""
    return duckdb.sql(query, params={"data": data, **({"deletes": deletes} if deletes else {})}).fetchall()


def delete_files(index: HandIndex, pin: SnapshotPin) -> list[DataFile]:
    table = index.catalog.load_table(NAME)
    live = live_files(table, table.snapshot_by_id(pin.snapshot_id or 0))
    return list({d.file.file_path: d.file for each in live for d in each.deletes}.values())


def test_every_reader_sees_the_same_rows(index: HandIndex) -> None:
    """Appended runs and removed rows are seen alike by our reader, by pyiceberg and by DuckDB over the files."""
    base, other = index.file(0, A), index.file(1, B)
    first = index.publish(None, base, other, job="j1", step="build")
    run = index.file(0, [("b", 9)])
    second = index.publish(first, run, job="j2", removed={base.path: [2, 0], other.path: [1]})
    expected = [("a", 4), ("b", 9), ("c", 3)]
    assert expected == index.rows(second, 0) + index.rows(second, 1)
    assert expected == scanned(index)
    assert expected == by_duckdb(index)


def test_delete_files_are_named_by_who_writes_them(index: HandIndex) -> None:
    """The end of the tag begins their names, so that a sweep finds those of a commit that did not come about."""
    base = index.file(0, A)
    first = index.publish(None, base, job="j1", step="build")
    second = index.publish(first, job="j2", removed={base.path: [0]}, tag="nbplat-home-1-0123456789ab")
    (file,) = delete_files(index, second)
    assert file.file_path.rpartition("/")[2].startswith("0123456789ab-")


def test_older_snapshots_read_as_they_were(index: HandIndex) -> None:
    """A snapshot gives its rows, its report and its source after later ones have removed and replaced them."""
    base = index.file(0, A)
    first = index.publish(None, base, job="j1", step="build", tag="nbplat-1")
    second = index.publish(first, job="j2", removed={base.path: [0]})
    index.publish(second, index.file(0, A[1:]), job="j3", step="compact", replaced=[base.path])
    assert A == index.rows(first, 0) == scanned(index, first)
    assert A[1:] == index.rows(second, 0) == scanned(index, second) == scanned(index)
    state = index.tables.state(NAME, first.snapshot_id)
    assert state is not None
    assert (first, SOURCE, REPORT) == (state.pin, state.source, state.report)
    assert first.snapshot_id == index.catalog.load_table(NAME).metadata.refs["nbplat-1"].snapshot_id


def test_delete_files_follow_the_spec(index: HandIndex) -> None:
    """A commit writes one delete file a bucket, sorted by path and position, with whole paths as bounds."""
    files = [index.file(0, A, "z"), index.file(0, A, "y"), index.file(1, B, "x")]
    first = index.publish(None, *files, job="j1", step="build")
    second = index.publish(first, job="j2", removed={each.path: [1, 0] for each in files})
    both, single = sorted(delete_files(index, second), key=lambda file: file.partition[0])
    rows = pq.read_table(local_path(both.file_path))
    named = list(zip(rows["file_path"].to_pylist(), rows["pos"].to_pylist(), strict=True))
    assert [(files[1].path, 0), (files[1].path, 1), (files[0].path, 0), (files[0].path, 1)] == named
    assert [files[1].path.encode(), files[0].path.encode()] == [
        both.lower_bounds[2147483546],
        both.upper_bounds[2147483546],
    ]
    assert files[2].path.encode() == single.lower_bounds[2147483546] == single.upper_bounds[2147483546]
    ids = [field.metadata[b"PARQUET:field_id"] for field in pq.read_schema(local_path(both.file_path))]
    assert [b"2147483546", b"2147483545"] == ids
    assert {DataFileContent.POSITION_DELETES} == {both.content, single.content}


def test_the_table_says_how_it_is_laid_out(index: HandIndex) -> None:
    """The table is partitioned by bucket, names its sort order, and its counters are those of what is live."""
    base, other = index.file(0, A), index.file(1, B)
    index.publish(index.publish(None, base, other, job="j1"), job="j2", removed={base.path: [0]})
    table = index.catalog.load_table(NAME)
    assert ["nb_bucket: identity(3)"] == [f"{f.name}: {f.transform}({f.source_id})" for f in table.spec().fields]
    assert [1, 4, 5] == [field.source_id for field in table.sort_order().fields]
    summary = table.current_snapshot().summary  # type: ignore[union-attr]
    assert ("5", "2", "1", "1") == tuple(
        summary[f"total-{what}"]
        for what in ("records", "data-files", "delete-files", "position-deletes")  # type: ignore[index]
    )
    assert {table.sort_order().order_id} == {
        live.file.sort_order_id for live in live_files(table, table.current_snapshot())
    }


def test_a_lost_race_names_the_winner(index: HandIndex) -> None:
    """A commit on a snapshot that is not the present one is refused, names who published, and changes nothing."""
    first = index.publish(None, index.file(0, A), job="j1")
    index.publish(first, index.file(1, B), job="j2")
    before = index.catalog.load_table(NAME).metadata_location
    with pytest.raises(Conflict, match=r"job j2 has published.*run the same command again") as refused:
        index.publish(first, index.file(0, [("z", 1)]), job="j3")
    assert "index.moved" == refused.value.code
    assert before == index.catalog.load_table(NAME).metadata_location


def test_a_race_at_the_catalog_is_lost_cleanly(index: HandIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two commits that have both read the same present state, the second is refused by the catalog."""
    first = index.publish(None, index.file(0, A), job="j1")
    late, early = index.file(0, [("late", 1)]), index.file(0, [("early", 1)])
    commit = index.catalog.commit_table

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(index.catalog, "commit_table", commit)
        index.publish(first, early, job="early")
        return commit(*args)

    monkeypatch.setattr(index.catalog, "commit_table", overtaken)
    with pytest.raises(Conflict, match="job early"):
        index.publish(first, late, job="late")
    assert [*A, ("early", 1)] == scanned(index)


def test_a_repeated_commit_finds_itself(index: HandIndex) -> None:
    """The same job publishing again, after its process died behind the commit, gets its snapshot and adds nothing."""
    file = index.file(0, A)
    first = index.publish(None, file, job="j1")
    second = index.publish(first, index.file(1, B), job="j2")
    assert first == index.publish(None, file, job="j1")
    assert [*A, *B] == scanned(index)
    assert second == index.tables.state(NAME).pin  # type: ignore[union-attr]


def test_a_commit_that_is_lost_on_the_way_back_counts(index: HandIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog that commits and then reports a conflict (a repeated request) is no lost race."""
    commit = index.catalog.commit_table

    def told_wrong(*args: Any) -> Any:
        commit(*args)
        raise CommitFailedException("main has changed")

    monkeypatch.setattr(index.catalog, "commit_table", told_wrong)
    pin = index.publish(None, index.file(0, A), job="j1")
    assert A == index.rows(pin, 0)


def test_a_kill_before_the_commit_leaves_the_table(index: HandIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and manifests written by a process that died are seen by nobody, and the same publish then succeeds."""
    base = index.file(0, A)
    first = index.publish(None, base, job="j1")
    run = index.file(0, [("b", 9)])
    with monkeypatch.context() as patch:
        patch.setattr(index.catalog, "commit_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            index.publish(first, run, job="j2", removed={base.path: [0]})
    assert A == scanned(index) == index.rows(first, 0)
    second = index.publish(first, run, job="j2", removed={base.path: [0]})
    assert [("a", 4), ("b", 2), ("b", 9)] == index.rows(second, 0) == scanned(index)


def test_compaction_takes_its_delete_files_along(index: HandIndex) -> None:
    """Delete files of a bucket whose data files all go are removed; those of other buckets stay in force."""
    base, other = index.file(0, A), index.file(1, B)
    first = index.publish(None, base, other, job="j1")
    second = index.publish(first, job="j2", removed={base.path: [0], other.path: [0]})
    third = index.publish(second, index.file(0, A[1:]), job="j3", step="compact", replaced=[base.path])
    assert [1] == [file.partition[0] for file in delete_files(index, third)]
    assert [("a", 4), ("b", 2), ("d", 5)] == scanned(index) == by_duckdb(index)
    snapshot = index.catalog.load_table(NAME).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert ("replace", "1", "1", "4") == (
        snapshot.summary.operation.value,
        snapshot.summary["total-delete-files"],
        snapshot.summary["total-position-deletes"],
        snapshot.summary["total-records"],
    )


def test_part_of_a_bucket_can_be_replaced(index: HandIndex) -> None:
    """Replacing one file of a bucket keeps the delete files that are about its other files."""
    base, run = index.file(0, A, "base"), index.file(0, [("a", 7), ("z", 8)], "run")
    first = index.publish(None, base, run, job="j1")
    second = index.publish(first, job="j2", removed={base.path: [0], run.path: [0]})
    third = index.publish(second, index.file(0, [("z", 8)]), job="j3", step="compact", replaced=[run.path])
    assert [("a", 4), ("b", 2), ("z", 8)] == sorted(index.rows(third, 0)) == scanned(index) == by_duckdb(index)


def test_files_are_listed_base_first(index: HandIndex) -> None:
    """Files of a bucket come in the order of their commits, with how many of their rows are gone."""
    base, run = index.file(0, A, "z-base"), index.file(0, [("b", 9)], "a-run")
    first = index.publish(None, base, job="j1")
    second = index.publish(first, run, index.file(1, B, "m"), job="j2", removed={base.path: [0, 1]})
    assert [("z-base", 2), ("a-run", 0)] == [(Path(f.path).stem, f.deleted) for f in index.tables.files(second, 0)]
    assert [("z-base", 0), ("a-run", 0), ("m", 1)] == [
        (Path(f.path).stem, f.bucket) for f in index.tables.files(second)
    ]
    assert () == index.tables.files(first, 1)


def test_an_index_without_events_is_published(index: HandIndex) -> None:
    """A source without rows gives an index without files, whose state is known."""
    pin = index.publish(None, job="j1", step="build")
    assert ((), (), []) == (index.tables.files(pin), index.tables.rows(pin, 0, ["user"]), scanned(index))
    state = index.tables.state(NAME)
    assert state is not None
    assert (pin, 2, {"source": "x"}) == (state.pin, state.buckets, state.record)
    assert "j1" == state.summary["nbplat.job"]


def test_a_table_without_a_commit_has_no_source(index: HandIndex) -> None:
    """An index that was made and never published has no snapshot, no source and no report; one never made is None."""
    state = index.tables.state(NAME)
    assert state is not None
    assert (None, None, None) == (state.pin.snapshot_id, state.source, state.report)
    assert SCHEMA.names == state.schema.names
    assert index.tables.state("nb_sequences.none__0123456789ab") is None


def test_maintenance_of_others_is_seen_through(index: HandIndex) -> None:
    """After another engine has committed, the index is what we published last, and publishing says what to do."""
    first = index.publish(None, index.file(0, A), job="j1")
    table = index.catalog.load_table(NAME)
    table.append(table.scan().to_arrow().slice(0, 1))
    assert first == index.tables.state(NAME).pin  # type: ignore[union-attr]
    with pytest.raises(Conflict, match=rf"something that is not nbplat.*roll the table back to {first.snapshot_id}"):
        index.publish(first, index.file(0, B), job="j2")


@pytest.mark.parametrize(
    ("positions", "error", "code"),
    [([3], InternalError, "index.position"), ([-1], InternalError, "index.position")],
)
def test_rows_that_do_not_exist_cannot_go(
    index: HandIndex, positions: list[int], error: type[Exception], code: str
) -> None:
    """A position outside of its file is refused before anything is committed."""
    base = index.file(0, A)
    first = index.publish(None, base, job="j1")
    with pytest.raises(error) as refused:
        index.publish(first, job="j2", removed={base.path: positions})
    assert code == refused.value.code  # type: ignore[attr-defined]
    assert A == scanned(index)


def test_files_that_are_gone_cannot_be_changed(index: HandIndex) -> None:
    """Removing rows of a file that is not live, or replacing it, is refused."""
    base = index.file(0, A)
    first = index.publish(None, base, job="j1")
    unknown: IndexFile = index.file(0, B)
    for change in ({"removed": {unknown.path: [0]}}, {"replaced": [unknown.path]}):
        with pytest.raises(Conflict) as refused:
            index.publish(first, job="j2", **change)
        assert "index.file_gone" == refused.value.code


def test_an_expired_snapshot_is_named(index: HandIndex) -> None:
    """Asking for a snapshot that the table does not have is a conflict."""
    index.publish(None, index.file(0, A), job="j1")
    with pytest.raises(Conflict) as refused:
        index.tables.state(NAME, 12345)
    assert "snapshot.expired" == refused.value.code


def test_dropping_takes_the_vocabulary_along(index: HandIndex) -> None:
    """A dropped index leaves neither its table nor its vocabulary's; dropping again does nothing."""
    index.publish(None, index.file(0, A), job="j1")
    vocab = IcebergVocabTables(index.catalog)
    vocab.store(NAME, "v1", {})
    index.tables.drop(NAME)
    index.tables.drop(NAME)
    assert [] == index.catalog.list_tables("nb_sequences")
    assert index.tables.state(NAME) is None


def test_files_that_any_snapshot_names_are_held(index: HandIndex) -> None:
    """Files of older snapshots count as held after they were replaced; files that were never published do not."""
    base, run, stray = index.file(0, A), index.file(0, [("b", 9)]), index.file(0, B)
    first = index.publish(None, base, job="j1")
    index.publish(first, run, job="j2", step="compact", replaced=[base.path])
    held = index.tables.held(NAME)
    assert {base.path, run.path} <= held
    assert stray.path not in held
    assert frozenset() == index.tables.held("nb_sequences.none__0123456789ab")
