"""Loading the demo tables into a catalog: once, whole, and again without effect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from nbplat.adapters.iceberg.catalog import load_table, open_catalog, pin_of
from nbplat.adapters.iceberg.scan import pinned_files
from nbplat.config import load_config
from nbplat.demo import EVENTS, TRAIN, DemoReport, load_demo
from nbplat.errors import Conflict, RequestError


def _catalog(home: Path) -> SqlCatalog:
    config = load_config({"home": str(home)}, environ={}, cwd=home, user_file=home / "none.toml")
    catalog = open_catalog(config)
    assert isinstance(catalog, SqlCatalog)
    return catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = _catalog(tmp_path)
    yield catalog
    catalog.engine.dispose()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqlCatalog, DemoReport]]:
    catalog = _catalog(tmp_path_factory.mktemp("demo"))
    yield catalog, load_demo(catalog)
    catalog.engine.dispose()


def test_the_sample_becomes_two_partitioned_tables(loaded: tuple[SqlCatalog, DemoReport]) -> None:
    """One file a month of events, one a month and bucket of examples, rows as cleaned."""
    _, report = loaded
    assert (True, 47_673, 13) == (report.events.created, report.events.rows, report.events.files)
    assert (True, 1_943, 48) == (report.train.created, report.train.rows, report.train.files)
    assert report.cleaning.rows_kept == report.events.rows


@pytest.mark.parametrize(("name", "keys"), [(EVENTS, ("event_ts", "event_id")), (TRAIN, ("label_ts", "example_id"))])
def test_files_are_sorted_and_compressed(
    loaded: tuple[SqlCatalog, DemoReport], name: str, keys: tuple[str, str]
) -> None:
    """Every file is zstd and ordered by time, then id."""
    table = load_table(loaded[0], name)
    assert 2 == table.metadata.format_version
    for task in pinned_files(table, pin_of(table)):
        path = task.file.file_path.removeprefix("file://")
        data = pq.read_table(path, columns=list(keys), partitioning=None)
        ordered = data.sort_by([(key, "ascending") for key in keys])
        assert ordered.equals(data)
        assert "ZSTD" == pq.read_metadata(path).row_group(0).column(0).compression


def test_a_second_call_does_nothing_and_says_so(loaded: tuple[SqlCatalog, DemoReport]) -> None:
    """The same content is found by its hash: same snapshots, same counts, one line that says so."""
    catalog, report = loaded
    said: list[str] = []
    again = load_demo(catalog, say=said.append)
    assert [False, False] == [again.events.created, again.train.created]
    assert [report.events.snapshot_id, report.train.snapshot_id] == [again.events.snapshot_id, again.train.snapshot_id]
    assert report.cleaning == again.cleaning
    assert ["nothing to do"] == [line.rsplit(": ", 1)[1] for line in said]


def test_other_content_needs_replace(catalog: SqlCatalog) -> None:
    """Another size or seed is refused with the mend, and loaded when replace is given, old files gone."""
    load_demo(catalog, rows=2_000, seed=1)
    with pytest.raises(Conflict, match="--replace"):
        load_demo(catalog, rows=2_000, seed=2)
    report = load_demo(catalog, rows=3_000, seed=2, replace=True)
    assert 3_000 == report.cleaning.rows_in
    files = [Path(f.file.file_path.removeprefix("file://")) for f in load_table(catalog, TRAIN).scan().plan_files()]
    assert sorted(files) == sorted(files[0].parents[2].rglob("*.parquet"))


def test_a_foreign_table_of_that_name_is_left_alone(catalog: SqlCatalog) -> None:
    """A table that someone made under the name is never overwritten unasked."""
    catalog.create_namespace("retail")
    catalog.create_table(TRAIN, pa.schema({"x": pa.int64()}))
    with pytest.raises(Conflict, match=r"retail\.train exists"):
        load_demo(catalog, rows=2_000)


def test_a_load_killed_between_the_tables_is_completed(catalog: SqlCatalog) -> None:
    """When only the events were written, the next call writes the examples and leaves the events."""
    report = load_demo(catalog, rows=2_000)
    catalog.purge_table(TRAIN)
    again = load_demo(catalog, rows=2_000)
    assert (False, True) == (again.events.created, again.train.created)
    assert report.events.snapshot_id == again.events.snapshot_id
    assert report.train.rows == again.train.rows


def test_a_load_that_fails_while_writing_leaves_no_table(catalog: SqlCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table appears complete or not at all."""

    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("nbplat.demo.load.invoices_of", full_disk)
        with pytest.raises(OSError, match="No space"):
            load_demo(catalog, rows=2_000)
    assert [] == catalog.list_tables("retail")
    assert load_demo(catalog, rows=2_000).train.created


def test_bad_rows_are_refused_before_anything_is_dropped(catalog: SqlCatalog) -> None:
    """`--rows 5 --replace` is refused and the tables are still there."""
    load_demo(catalog, rows=2_000)
    with pytest.raises(RequestError):
        load_demo(catalog, rows=5, replace=True)
    assert 2 == len(catalog.list_tables("retail"))


def test_loaded_rows_equal_the_cleaned_rows(loaded: tuple[SqlCatalog, DemoReport]) -> None:
    """What is read back is what cleaning gave, row by row."""
    from nbplat.demo import clean, read_sample

    table = load_table(loaded[0], EVENTS)
    by = [("event_ts", "ascending"), ("event_id", "ascending")]
    read = table.scan().to_arrow().sort_by(by)
    events, _ = clean(read_sample())
    assert events.column_names == read.column_names
    for name in events.column_names:
        assert np.array_equal(events[name].to_pandas(), read[name].to_pandas()) or (
            events[name].to_pylist() == read[name].to_pylist()
        )
