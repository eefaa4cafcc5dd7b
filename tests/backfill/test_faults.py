"""What others do to a table while a run is on its way, and what a run finds late: a clear error, and nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.table.maintenance import MaintenanceTable
from pyiceberg.types import DoubleType, LongType, MapType, NestedField, StringType, UUIDType

from nbplat.adapters.iceberg.publisher import IcebergPublisher
from nbplat.backfill import run as runs
from nbplat.backfill.states import Step
from nbplat.errors import NbplatError
from nbplat.remote.kernel import stage
from nbplat.remote.task import Task
from nbplat.terms import local_path
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows

SQL = "select id, x * 2D as f from base"
OLD = ["id", "customer", "ts", "x", "tag"]


def after_the_first(lake: Lake, act: Callable[[], Any]) -> None:
    """Once the first file is staged, `act` happens; each file is a piece of its own."""
    left = [act]

    def work(task: Task) -> list[dict[str, Any]]:
        results = stage(task)
        if left:
            left.pop()()
        return results

    lake.stage_by(work)


@pytest.fixture
def slow(lake: Lake) -> Any:
    """The lake with so little memory that each file is a piece of its own."""
    lake.close()
    slow = Lake(lake.home, **{"limits.memory_bytes": 1})
    yield slow
    slow.close()


def compact(lake: Lake) -> None:
    lake.table().overwrite(lake.table().scan().to_arrow().sort_by([("id", "descending")]))


def expire_all_but_main(lake: Lake, *, with_files: bool) -> None:
    """What a maintenance job does to snapshots of before a compaction."""
    table = lake.table()
    scans = [table.scan(snapshot_id=each.snapshot_id) for each in table.metadata.snapshots]
    old = {task.file.file_path for scan in scans for task in scan.plan_files()}
    for snapshot in table.metadata.snapshots[:-1]:
        MaintenanceTable(lake.table()).expire_snapshots().by_id(snapshot.snapshot_id).commit()
    for path in old - {task.file.file_path for task in table.scan().plan_files()} if with_files else ():
        local_path(path).unlink()


def test_compacted_while_it_stages(slow: Lake) -> None:
    """Staging goes on with the pinned files, and the promotion finds their rows where they are now."""
    slow.submit("f", SQL)
    after_the_first(slow, lambda: compact(slow))
    slow.work()
    before = slow.rows()
    slow.promote("f@1")
    rows = slow.rows()
    assert before.equals(rows[OLD])
    assert (rows["x"] * 2).equals(rows["f"].rename("x"))


def test_expired_with_its_files_while_it_stages(slow: Lake) -> None:
    """The job says what is gone and what to do; what was staged stays, main is untouched, and a new run works."""
    slow.submit("f", SQL)

    def lose() -> None:
        compact(slow)
        expire_all_but_main(slow, with_files=True)

    after_the_first(slow, lose)
    error = slow.fail()
    before = slow.rows()
    assert ("file.gone", "planned") == (error["code"], slow.state("f@1"))
    assert ("5 of 6 files failed", True) == (error["message"].split(";")[0], "--new" in error["fix"])
    slow.platform.parts.clear()
    assert 1 == slow.backfills.progress(slow.backfills.find("f@1"))["done"]
    run = slow.submit("f", SQL, force_new=True).run
    assert run is not None
    slow.work()
    slow.promote(run.id)
    assert before.equals(slow.rows()[OLD])


def test_a_staged_file_lost_before_the_promotion(lake: Lake) -> None:
    """Main stays as it is, and the error names the file."""
    run_id, main = lake.stage("f", SQL), lake.table().metadata.current_snapshot_id
    lost = lake.backfills.staged_columns(run_id).files[2].path
    local_path(lost).unlink()
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    error = lake.fail()
    assert ("file.gone", True) == (error["code"], local_path(lost).name in str(error))
    assert ("awaiting_promotion", main) == (lake.state(run_id), lake.table().metadata.current_snapshot_id)
    assert {"main"} == set(lake.table().metadata.refs)


def test_a_branch_that_cannot_be_swept_hides_no_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed first is what the caller hears, and the branch is taken away by the next try."""
    run_id = lake.stage("f", SQL)
    path = next(iter(lake.table().scan().plan_files())).file.file_path
    aside = local_path(path).rename(local_path(path).with_suffix(".aside"))
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    with monkeypatch.context() as patch:
        patch.setattr(IcebergPublisher, "sweep", _broken)
        assert "file.gone" == lake.fail()["code"]
    assert 2 == len(lake.table().metadata.refs)
    aside.rename(local_path(path))
    lake.promote(run_id)
    assert {"main", "nb-pre-f-1"} == set(lake.table().metadata.refs)


def _broken(*_: Any, **__: Any) -> None:
    raise OSError("the catalog's disk is gone")


def test_a_live_file_lost_before_the_promotion(lake: Lake) -> None:
    """A table that is broken already is not made worse."""
    run_id, main = lake.stage("f", SQL), lake.table().metadata.current_snapshot_id
    path = next(iter(lake.table().scan().plan_files())).file.file_path
    aside = local_path(path).rename(local_path(path).with_suffix(".aside"))
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    error = lake.fail()
    assert ("file.gone", True) == (error["code"], local_path(path).name in str(error))
    assert ("awaiting_promotion", main) == (lake.state(run_id), lake.table().metadata.current_snapshot_id)
    aside.rename(local_path(path))
    lake.promote(run_id)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select b.id, e.amount as f from base b join shop.events e on e.customer = b.customer", "body.duplicate_keys"),
        ("select id, x as f from base where id <> 7", "body.missing_keys"),
        ("select case when id = 7 then 1000 else id end as id, x as f from base", "body.missing_keys"),
    ],
)
def test_keys_that_only_staging_sees(lake: Lake, monkeypatch: pytest.MonkeyPatch, sql: str, code: str) -> None:
    """On a table too large for a sample the files of doubled, missing or made-up keys fail; others are done."""
    monkeypatch.setattr(runs, "_PROBE_BYTES", 0)
    main = lake.table().metadata_location
    lake.submit("f", sql, keys=["id"])
    error = lake.fail()
    assert (code, "planned") == (error["code"], lake.state("f@1"))
    assert error["where"]
    assert main == lake.table().metadata_location
    assert ("shop__bf",) not in lake.catalog.list_namespaces()


def test_a_dropped_table(lake: Lake) -> None:
    """A run whose table is gone says so at each step; nothing of another table changes."""
    lake.submit("f", SQL)
    lake.stage("g", "select id, x + 1D as g from base")
    lake.catalog.drop_table(ORDERS)
    events = lake.table("shop.events").metadata_location
    assert "table.unknown" == code_of(lambda: lake.backfills.step("g@1", Step.PROMOTE, owner="me"))
    assert "table.unknown" == code_of(lambda: lake.submit("h", SQL))
    lake.roll_back("g@1")
    assert events == lake.table("shop.events").metadata_location


def test_a_promoted_column_that_another_writer_dropped(lake: Lake) -> None:
    """Coverage and extension say so, the roll back finds nothing to take out of the schema, and the cell works anew."""
    run_id, before = lake.stage("f", SQL), lake.rows()
    lake.promote(run_id)
    with lake.table().update_schema() as update:
        update.delete_column("f")
    assert "column.dropped" == code_of(lambda: lake.backfills.coverage(run_id))
    assert "column.dropped" == code_of(lambda: lake.backfills.extend(run_id, owner="me"))
    lake.roll_back(run_id)
    assert before.equals(lake.rows())
    again = lake.stage("f", SQL)
    lake.promote(again)
    assert (before["x"] * 2).equals(lake.rows()["f"].rename("x"))


def code_of(act: Callable[[], Any]) -> str:
    """The code of what it must be refused with; an error without a mend is a bug."""
    with pytest.raises(NbplatError) as caught:
        act()
    assert caught.value.fix
    return caught.value.code


def test_new_names_that_differ_in_case_only(lake: Lake) -> None:
    """Readers that know no case could not tell them apart."""
    before = lake.picture()
    assert "body.columns" == code_of(lambda: lake.submit("f", "select id, x as f, x + 1D as F from base"))
    assert before == lake.picture()


def test_a_table_whose_own_names_differ_in_case_only(lake: Lake) -> None:
    """A body cannot say which it means: refused while planning."""
    table = lake.make("shop.cases", pa.table({"id": pa.array([1, 2], pa.int64()), "x": [1.0, 2.0]}))
    with table.update_schema() as update:
        update.add_column("X", DoubleType())
    before = lake.picture()
    assert "body.case" == code_of(lambda: lake.submit("f", SQL, "shop.cases"))
    assert before == lake.picture()


def test_columns_of_types_that_no_body_may_make(lake: Lake) -> None:
    """A table may hold a map and a UUID: they stand beside the new column with every byte, but none is made of them."""
    schema = Schema(
        NestedField(1, "id", LongType(), required=False),
        NestedField(2, "m", MapType(3, StringType(), 4, LongType(), value_required=False), required=False),
        NestedField(5, "u", UUIDType(), required=False),
    )
    table = lake.catalog.create_table("shop.odd", schema, properties={"format-version": "2"})
    rows = {"id": [1, 2], "m": [[("a", 1)], None], "u": [b"0" * 16, None]}
    table.append(pa.table(rows, schema=table.schema().as_arrow()))
    before = lake.picture()
    assert "body.result_type" == code_of(lambda: lake.submit("f", "select id, m as f from base", "shop.odd"))
    assert before == lake.picture()
    run_id = lake.stage("f", "select id, id * 2 as f from base", "shop.odd")
    old = lake.rows("shop.odd")
    lake.promote(run_id)
    assert old.equals(lake.rows("shop.odd")[["id", "m", "u"]])
    assert [2, 4] == lake.rows("shop.odd")["f"].tolist()


def test_a_v3_table_is_refused_by_name(lake: Lake) -> None:
    """pyiceberg writes none: refused before any effect, naming the table and its version."""
    location = lake.make("shop.new", small_rows(6)).metadata_location
    metadata = json.loads(local_path(location).read_text())
    upgraded = local_path(location).with_name("00009-v3.metadata.json")
    upgraded.write_text(json.dumps({**metadata, "format-version": 3, "next-row-id": 0}))
    lake.catalog.drop_table("shop.new")
    lake.catalog.register_table("shop.new", upgraded.as_uri())
    before = lake.picture()
    with pytest.raises(NbplatError) as caught:
        lake.submit("f", SQL, "shop.new")
    assert ("table.format", True) == (caught.value.code, "shop.new is an Iceberg v3 table" in caught.value.message)
    assert before == lake.picture()


@pytest.mark.parametrize("fmt", ["ORC", "AVRO", "encrypted"])
def test_files_that_cannot_be_spliced(lake: Lake, fmt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on a table with a file of another format, or an encrypted one, is refused by name, and no run is opened."""
    from pyiceberg.manifest import DataFile, FileFormat

    before = lake.picture()
    if fmt == "encrypted":
        monkeypatch.setattr(DataFile, "key_metadata", property(lambda _file: b"key"))
    else:
        monkeypatch.setattr(DataFile, "file_format", property(lambda _file: FileFormat[fmt]))
    code = code_of(lambda: lake.submit("f", SQL))
    assert {"encrypted": "table.encrypted"}.get(fmt, "table.file_format") == code
    monkeypatch.undo()
    assert before == lake.picture()


def test_a_promotion_that_failed_many_times_can_still_succeed(lake: Lake) -> None:
    """Each promotion that a person asks for tries every file anew, however often the last ones failed."""
    run_id = lake.stage("f", SQL)
    path = next(iter(lake.table().scan().plan_files())).file.file_path
    aside = local_path(path).rename(local_path(path).with_suffix(".aside"))
    for _ in range(4):
        lake.backfills.step(run_id, Step.PROMOTE, owner="me")
        assert "file.gone" == lake.fail()["code"]
    aside.rename(local_path(path))
    lake.promote(run_id)
    rows = lake.rows()
    assert (rows["x"] * 2).equals(rows["f"].rename("x"))
