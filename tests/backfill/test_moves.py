"""Others write to the table while a run is on its way."""

from __future__ import annotations

import collections
import datetime as dt
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyiceberg.types import DoubleType

from nbplat.backfill.states import Step
from nbplat.errors import Conflict
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows

SQL = "select id, x * 2D as f from base"
OLD = ["id", "customer", "ts", "x", "tag"]


def new_rows(first: int, count: int = 5) -> pa.Table:
    rows = small_rows(first + count).slice(first)
    return rows.set_column(3, "x", pa.array([0.25] * count))


def during_check(lake: Lake, *acts: Callable[[], None]) -> None:
    """Do each of `acts` in turn between the commit on the branch and the move of main."""
    left = list(acts)

    class Checking:
        def __init__(self, publisher: Any) -> None:
            self._publisher = publisher

        def __getattr__(self, name: str) -> Any:
            return getattr(self._publisher, name)

        def publish(self, *args: Any) -> Any:
            if left:
                left.pop(0)()
            return self._publisher.publish(*args)

    lake.platform.parts["publisher"] = Checking


def counts(landing: dict[str, Any]) -> dict[str, int]:
    """Files by what was done with them."""
    found: collections.Counter[str] = collections.Counter()
    for row in landing["actions"]:
        found[row["action"]] += row["files"]
    return dict(found)


def refused(lake: Lake, run_id: str) -> str:
    """The code of a promotion that must fail, with main and its schema as they were."""
    before = lake.rows()
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    code = str(lake.fail()["code"])
    assert "awaiting_promotion" == lake.state(run_id)
    after = lake.rows()
    assert list(before.columns) == list(after.columns)
    return code


def test_rows_appended_before_the_promotion_read_null(lake: Lake) -> None:
    """A run promotes what it staged; newer rows keep their values and have no value of the feature."""
    run_id, before = lake.stage("f", SQL), lake.rows()
    lake.table().append(new_rows(100))
    lake.promote(run_id)
    rows = lake.rows()
    pd.testing.assert_frame_equal(before[OLD], rows[OLD][:60])
    assert (before["x"] * 2).equals(rows["f"][:60].rename("x"))
    assert [0.25] * 5 == rows["x"][60:].tolist()
    assert rows["f"][60:].isna().all()
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(rows[OLD], lake.rows())


def test_replaced_files_are_refused(lake: Lake) -> None:
    """A promotion onto files that were rewritten since is refused, and main does not move."""
    run_id = lake.stage("f", SQL)
    fixed = lake.table().scan().to_arrow().filter(pa.compute.field("id") < 3)
    lake.table().overwrite(fixed.set_column(3, "x", pa.array([9.0] * fixed.num_rows)), overwrite_filter="id < 3")
    main = lake.table().metadata.current_snapshot_id
    assert "promotion.base_changed" == refused(lake, run_id)
    assert main == lake.table().metadata.current_snapshot_id
    assert {"main"} == set(lake.table().metadata.refs)
    lake.roll_back(run_id)
    again = lake.stage("f", SQL)
    assert "f@2" == again
    lake.promote(again)
    assert [18.0] * 3 == lake.rows()["f"][:3].tolist()


def test_rows_deleted_during_the_promotion_stay_deleted(lake: Lake) -> None:
    """A file that another writer rewrote between branch and main is done again, by key; the others are not."""
    run_id = lake.stage("f", SQL)
    during_check(lake, lambda: lake.table().delete("id = 7"))
    lake.promote(run_id)
    rows = lake.rows()
    assert 59 == len(rows)
    assert 7 not in rows["id"].tolist()
    assert (rows["x"] * 2).equals(rows["f"].rename("x"))
    landing = lake.backfills.find(run_id).outputs["landing"]
    assert {"splice": 6} == counts(landing)
    assert 1 == sum(row["files"] for row in landing["actions"] if "by key" in row["reason"])
    lake.roll_back(run_id)
    assert {"main", "nb-pre-f-1"} == set(lake.table().metadata.refs)
    pd.testing.assert_frame_equal(rows[OLD], lake.rows())


def test_a_column_that_another_writer_adds_keeps_its_values(lake: Lake) -> None:
    """With the schema moved between stage and promotion both columns are right, and so after the roll back."""
    run_id = lake.stage("f", SQL)
    with lake.table().update_schema() as update:
        update.add_column("theirs", DoubleType())
    lake.table().append(new_rows(100).append_column("theirs", pa.array([7.5] * 5)))
    lake.promote(run_id)
    rows = lake.rows()
    assert [*OLD, "theirs", "f"] == list(rows.columns)
    assert [7.5] * 5 == rows["theirs"][60:].tolist()
    assert rows["theirs"][:60].isna().all()
    assert (rows["x"] * 2)[:60].equals(rows["f"][:60].rename("x"))
    assert rows["f"][60:].isna().all()
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(rows[[*OLD, "theirs"]], lake.rows())


def test_main_moved_during_the_promotion_is_replayed(lake: Lake) -> None:
    """An append between branch and main is kept: the swap is replayed on top of it."""
    run_id = lake.stage("f", SQL)
    during_check(lake, lambda: lake.table().append(new_rows(100)))
    lake.promote(run_id)
    assert 1 == lake.backfills.find(run_id).outputs["publication"]["replays"]
    rows = lake.rows()
    assert 65 == len(rows)
    assert (rows["x"] * 2)[:60].equals(rows["f"][:60].rename("x"))
    assert {"main", "nb-pre-f-1"} == set(lake.table().metadata.refs)
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(rows[OLD], lake.rows())


def test_a_schema_moved_during_the_promotion_is_replayed(lake: Lake) -> None:
    """A column that another writer adds between branch and main is kept."""
    run_id = lake.stage("f", SQL)

    def add() -> None:
        with lake.table().update_schema() as update:
            update.add_column("theirs", DoubleType())
        lake.table().append(new_rows(100).append_column("theirs", pa.array([7.5] * 5)))

    during_check(lake, add)
    lake.promote(run_id)
    rows = lake.rows()
    assert [*OLD, "theirs", "f"] == list(rows.columns)
    assert [7.5] * 5 == rows["theirs"][60:].tolist()
    assert (rows["x"] * 2)[:60].equals(rows["f"][:60].rename("x"))


def test_a_column_of_that_name_added_during_the_promotion_is_refused(lake: Lake) -> None:
    """Another writer's column of the same name is not overwritten, however late it comes."""
    run_id = lake.stage("f", SQL)

    def add() -> None:
        with lake.table().update_schema() as update:
            update.add_column("f", DoubleType())

    during_check(lake, add)
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    assert "column.exists" == lake.fail()["code"]
    assert lake.rows()["f"].isna().all()


def test_a_failed_check_leaves_main_as_it_is(lake: Lake) -> None:
    """A spliced file whose bytes are not the audited ones is never published."""
    run_id = lake.stage("f", SQL)

    class Rotten:
        def __init__(self, splicer: Any) -> None:
            self._splicer = splicer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._splicer, name)

        def splice(self, base_path: str, additions: Any, out_path: str, **how: Any) -> Any:
            report = self._splicer.splice(base_path, additions, out_path, **how)
            path = out_path.removeprefix("file://")
            with open(path, "r+b") as file:  # noqa: PTH123
                file.seek(40)
                byte = file.read(1)
                file.seek(40)
                file.write(bytes([byte[0] ^ 1]))
            return report

    lake.platform.parts["splicer"] = Rotten
    assert "promotion.bytes" == refused(lake, run_id)
    lake.roll_back(run_id)
    assert {"main"} == set(lake.table().metadata.refs)


def test_a_dropped_and_made_anew_table_is_another(lake: Lake) -> None:
    """A table that took the name of the planned one is not written to; the run can still be rolled back."""
    run_id = lake.stage("f", SQL)
    lake.catalog.drop_table(ORDERS)
    lake.make(ORDERS, small_rows(60))
    main = lake.table().metadata_location
    with pytest.raises(Conflict) as caught:
        lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    assert "table.replaced" == caught.value.code
    lake.roll_back(run_id)
    assert main == lake.table().metadata_location


def test_two_runs_one_on_the_other(lake: Lake) -> None:
    """Both columns are right; each can be rolled back alone, in any order, and leaves the other as it is."""
    before = lake.rows()
    first = lake.stage("f", SQL)
    lake.promote(first)
    second = lake.stage("g", "select id, f + 1D as g from base")
    lake.promote(second)
    rows = lake.rows()
    assert (before["x"] * 2).equals(rows["f"].rename("x"))
    assert (before["x"] * 2 + 1).equals(rows["g"].rename("x"))
    lake.roll_back(first)
    pd.testing.assert_frame_equal(rows[[*OLD, "g"]], lake.rows())
    lake.roll_back(second)
    pd.testing.assert_frame_equal(before, lake.rows())


def test_a_column_is_not_brought_back_by_another_of_its_name(lake: Lake) -> None:
    """Field ids are never used again: what was rolled back does not show in a later column of its name."""
    first = lake.stage("f", SQL)
    lake.promote(first)
    old_id = lake.table().schema().find_field("f").field_id
    lake.roll_back(first)
    second = lake.stage("f", "select id, 1D as f from base", start="2024-02-01", end="2024-03-01")
    lake.promote(second)
    assert old_id < lake.table().schema().find_field("f").field_id
    rows = lake.rows()
    assert {1.0} == set(rows["f"].dropna())
    assert {2} == set(rows["ts"][rows["f"].notna()].dt.month)


def test_rows_deleted_after_the_promotion_stay_deleted_when_it_is_rolled_back(lake: Lake) -> None:
    """A file that another writer rewrote stays as it is: only the column leaves the schema."""
    run_id = lake.stage("f", SQL)
    lake.promote(run_id)
    lake.table().delete("id = 7")
    rows = lake.rows()
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(rows[OLD], lake.rows())
    assert {"restore": 5, "keep": 1} == counts(lake.backfills.find(run_id).outputs["undoing"])


def test_an_expired_source_snapshot_is_told(lake: Lake) -> None:
    """A plan reads the snapshots it pinned or says that they are gone."""
    from pyiceberg.table.maintenance import MaintenanceTable

    run = lake.submit("f", SQL).run
    assert run is not None
    lake.table().append(new_rows(100))
    old = lake.table().metadata.snapshots[0].snapshot_id
    MaintenanceTable(lake.table()).expire_snapshots().by_id(old).commit()
    assert "snapshot.expired" == lake.fail()["code"]
    assert "planned" == lake.state(run.id)


def test_promotion_is_one_commit_for_readers(lake: Lake) -> None:
    """While files are spliced and the branch is committed, main shows neither column nor files."""
    run_id = lake.stage("f", SQL)
    seen: list[tuple[list[str], int]] = []

    def look() -> None:
        table = lake.table()
        seen.append((table.schema().column_names, len(table.scan().to_arrow())))

    during_check(lake, look)
    lake.promote(run_id)
    assert [(OLD, 60)] == seen
    now = dt.datetime.now(dt.UTC)
    snapshot = lake.table().current_snapshot()
    assert snapshot is not None
    assert abs(now.timestamp() * 1000 - snapshot.timestamp_ms) < 600_000


def test_the_snapshot_says_where_it_comes_from(lake: Lake) -> None:
    """Run, plan, identity, engine, versions and source snapshots stand in the snapshot's summary."""
    sql = "select b.id, count(e.at) as f from base b left join shop.events e on e.customer = b.id group by b.id"
    run_id = lake.stage("f", sql)
    lake.promote(run_id)
    run, snapshot = lake.backfills.find(run_id), lake.table().current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    said = snapshot.summary.additional_properties
    events = lake.table("shop.events").metadata.current_snapshot_id
    assert (run_id, "promote", run.identity, "local", str(events)) == tuple(
        said[f"nbplat.{key}"] for key in ("run", "step", "identity", "engine", "source.shop.events")
    )
    assert {"nbplat.version.duckdb", "nbplat.plan", "nbplat.base-snapshot-id"} <= set(said)


def test_a_cheap_look_before_the_job(lake: Lake) -> None:
    """A column of that name added since refuses the promotion when it is asked for."""
    run_id = lake.stage("f", SQL)
    with lake.table().update_schema() as update:
        update.add_column("F", DoubleType())
    with pytest.raises(Conflict) as caught:
        lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    assert "column.exists" == caught.value.code


def test_two_runs_staged_side_by_side_are_both_promoted(lake: Lake) -> None:
    """Any number of features stage in parallel on one table, and each can be promoted."""
    first = lake.stage("f", SQL)
    second = lake.stage("g", "select id, x + 1D as g from base")
    lake.promote(first)
    lake.promote(second)
    rows = lake.rows()
    assert (rows["x"] * 2).equals(rows["f"].rename("x"))
    assert (rows["x"] + 1).equals(rows["g"].rename("x"))


def test_a_schema_that_a_live_run_reads_with_is_not_pruned(lake: Lake) -> None:
    """Neither a promotion nor a roll back removes it, though no snapshot refers to it; one that nobody needs goes."""
    first = lake.stage("f", SQL)
    with lake.table().update_schema() as update:
        update.add_column("theirs", DoubleType())
    second = lake.stage("g", "select id, coalesce(theirs, x + 1D) as g from base")
    planned = lake.backfills.find(second).plan["base"]["schema_id"]
    with lake.table().update_schema() as update:
        update.delete_column("theirs")
    assert planned not in {each.schema_id for each in lake.table().metadata.snapshots}
    lake.promote(first)
    lake.roll_back(first)
    assert planned in lake.table().schemas()
    lake.promote(second)
    rows = lake.rows()
    assert (rows["x"] + 1).equals(rows["g"].rename("x"))
    lake.promote(lake.stage("h", "select id, x as h from base"))
    assert len(lake.table().schemas()) <= 5
