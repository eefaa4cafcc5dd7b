"""What a promotion does with files that others have changed since the run was planned, read back by two readers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from nbplat.adapters.iceberg.live import live_files
from nbplat.backfill.states import Step
from nbplat.job import JobState
from nbplat.terms import TableName, local_path
from tests.fixtures.deletes import add_deletion_vector, add_equality_deletes, add_position_deletes
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows

F = "select id, x * 2D as f from base"
G = "select id, x + 1D as g from base"
OLD = ["id", "customer", "ts", "x", "tag"]


def live(lake: Lake) -> list[str]:
    table = lake.table()
    return [file.path for file in live_files(table, table.current_snapshot())]


def ours(lake: Lake) -> pd.DataFrame:
    """Every live row, by our reader, which knows every kind of delete."""
    tables = lake.backfills.tables
    pin = tables.describe(TableName.parse(ORDERS)).pin
    names = [field.name for field in lake.table().schema().fields]
    return tables.read(pin, names).to_pandas().sort_values("id").reset_index(drop=True)


def by_duckdb(lake: Lake) -> pd.DataFrame:
    """Every row of the live data files, for tables whose deletes are all applied; DuckDB reads by name."""
    paths = [str(local_path(path)) for path in live(lake)]
    names = ", ".join(f'"{field.name}"' for field in lake.table().schema().fields)
    query = f"select {names} from read_parquet({paths}, union_by_name=true) order by id"
    with duckdb.connect() as db:
        db.execute("set timezone='UTC'")
        return db.execute(query).df()


def same_in_both(lake: Lake) -> pd.DataFrame:
    """The table by pyiceberg or ours, which DuckDB must agree with."""
    rows, other = ours(lake), by_duckdb(lake)
    pd.testing.assert_frame_equal(rows.drop(columns="ts"), other.drop(columns="ts"), check_dtype=False)
    return rows


def actions(lake: Lake, run_id: str, key: str = "landing") -> dict[str, int]:
    found: dict[str, int] = {}
    for row in lake.backfills.find(run_id).outputs[key]["actions"]:
        found[row["action"]] = found.get(row["action"], 0) + row["files"]
    return found


def holds(rows: pd.DataFrame, column: str, values: pd.Series) -> None:
    pd.testing.assert_series_equal(values.rename(column), rows[column])


def compact(lake: Lake) -> None:
    """Every file of the table merged and sorted the other way round, as a compaction may."""
    table = lake.table()
    rows = table.scan().to_arrow()
    table.overwrite(rows.sort_by([("id", "descending")]))


# -- two runs side by side -----------------------------------------------------------------------
def test_two_runs_promoted_by_two_workers_at_once(lake: Lake) -> None:
    """Both columns are right, one promotion waits for the other, and a writer that appends meanwhile loses nothing."""
    runs = [lake.stage("f", F), lake.stage("g", G)]
    for run_id in runs:
        lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    failed: list[Any] = []

    def work(worker: str) -> None:
        platform = lake.beside()
        try:
            failed.extend(job.error for job in platform.work_here(worker) if job.state is not JobState.SUCCEEDED)
        finally:
            platform.close()

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    lake.table().append(small_rows(66).slice(60))
    for thread in threads:
        thread.join(60)
    assert [] == failed
    assert ["promoted", "promoted"] == [lake.state(run_id) for run_id in runs]
    rows = same_in_both(lake)
    assert list(range(66)) == rows["id"].tolist()
    before = small_rows(66).to_pandas()
    pd.testing.assert_series_equal(before["x"], rows["x"])
    holds(rows[:60], "f", before["x"][:60] * 2)
    holds(rows[:60], "g", before["x"][:60] + 1)
    assert rows[["f", "g"]][60:].isna().all().all()
    assert {"main", "nb-pre-f-1", "nb-pre-g-1"} == set(lake.table().metadata.refs)


def test_a_train_promotes_in_one_commit(lake: Lake) -> None:
    """Two runs of one table land in one pass and one snapshot, which says what each of them added."""
    before = lake.rows()
    first, second = lake.stage("f", F), lake.stage("g", G)
    lake.backfills.promote_train([first, second], owner="me")
    lake.work()
    assert ["promoted", "promoted"] == [lake.state(run) for run in (first, second)]
    rows = same_in_both(lake)
    holds(rows, "f", before["x"] * 2)
    holds(rows, "g", before["x"] + 1)
    publications = [lake.backfills.find(run).outputs["publication"] for run in (first, second)]
    assert 1 == len({each["snapshot_id"] for each in publications})
    assert [["f"], ["g"]] == [list(each["field_ids"]) for each in publications]
    assert 2 == len(lake.table().metadata.snapshots)
    assert {"splice": 6} == actions(lake, second)


@pytest.mark.parametrize("gone", ["f", "g"])
def test_one_of_a_train_is_rolled_back_alone(lake: Lake, gone: str) -> None:
    """The other run's column stays as it is, and can be rolled back afterwards."""
    before = lake.rows()
    runs = {"f": lake.stage("f", F), "g": lake.stage("g", G)}
    lake.backfills.promote_train(list(runs.values()), owner="me")
    lake.work()
    rows = lake.rows()
    lake.roll_back(runs[gone])
    [stays] = {"f", "g"} - {gone}
    pd.testing.assert_frame_equal(rows[[*OLD, stays]], same_in_both(lake))
    assert {"splice": 6} == actions(lake, runs[gone], "undoing")
    lake.roll_back(runs[stays])
    pd.testing.assert_frame_equal(before, lake.rows())


def test_the_first_of_two_promotions_is_rolled_back(lake: Lake) -> None:
    """Its chunks leave the files that the second run was spliced onto; the second column stays."""
    before = lake.rows()
    first, second = lake.stage("f", F), lake.stage("g", G)
    lake.promote(first)
    lake.promote(second)
    lake.roll_back(first)
    rows = same_in_both(lake)
    assert [*OLD, "g"] == list(rows.columns)
    holds(rows, "g", before["x"] + 1)
    again = lake.stage("f", "select id, x * 3D as f from base")
    lake.promote(again)
    rows = same_in_both(lake)
    holds(rows, "f", before["x"] * 3)
    holds(rows, "g", before["x"] + 1)


def test_a_run_staged_before_a_roll_back_is_promoted_after_it(lake: Lake) -> None:
    """Files that went back to what they were are found again."""
    before = lake.rows()
    first = lake.stage("f", F)
    lake.promote(first)
    second = lake.stage("g", G)
    lake.roll_back(first)
    lake.promote(second)
    rows = same_in_both(lake)
    assert [*OLD, "g"] == list(rows.columns)
    holds(rows, "g", before["x"] + 1)


def test_dropping_the_column_touches_no_file(lake: Lake) -> None:
    """The roll back that only drops the column leaves every data file live, and the column's name free."""
    before, run_id = lake.rows(), lake.stage("f", F)
    lake.promote(run_id)
    files = live(lake)
    lake.backfills.step(run_id, Step.ROLLBACK, owner="me", params={"drop_column": True})
    lake.work()
    assert ("rolled_back", files) == (lake.state(run_id), live(lake))
    pd.testing.assert_frame_equal(before, lake.rows())
    again = lake.stage("f", "select id, x * 3D as f from base")
    lake.promote(again)
    holds(same_in_both(lake), "f", before["x"] * 3)


# -- deletes -------------------------------------------------------------------------------------
def positions(lake: Lake) -> list[int]:
    path = live(lake)[0]
    gone = lake.backfills.tables.read(
        lake.backfills.tables.describe(TableName.parse(ORDERS)).pin, ["id"], paths=[path]
    )["id"].to_pylist()[1:3]
    add_position_deletes(lake.table(), path, [1, 2])
    return gone


def vector(lake: Lake) -> list[int]:
    path = live(lake)[-1]
    gone = lake.backfills.tables.read(
        lake.backfills.tables.describe(TableName.parse(ORDERS)).pin, ["id"], paths=[path]
    )["id"].to_pylist()[:1]
    add_deletion_vector(lake.table(), path, [0])
    return gone


def equality(lake: Lake) -> list[int]:
    add_equality_deletes(lake.table(), ["id"], [{"id": 7}, {"id": 8}])
    return [7, 8]


@pytest.mark.parametrize("delete", [positions, vector, equality], ids=lambda each: each.__name__)
def test_rows_deleted_between_stage_and_promotion_stay_deleted(lake: Lake, delete: Callable[[Lake], list[int]]) -> None:
    """Files that deletes apply to are rewritten with them applied; afterwards no reader needs the delete files."""
    run_id = lake.stage("f", F)
    gone = delete(lake)
    before = ours(lake)
    assert not set(gone) & set(before["id"])
    lake.promote(run_id)
    rows = same_in_both(lake)
    assert 60 - len(gone) == len(rows)
    pd.testing.assert_frame_equal(before[OLD], rows[OLD])
    holds(rows, "f", before["x"] * 2)
    assert actions(lake, run_id)["rewrite"] >= 1
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, ours(lake))


@pytest.mark.parametrize("delete", [positions, vector, equality], ids=lambda each: each.__name__)
def test_rows_deleted_after_the_promotion_stay_deleted_at_roll_back(
    lake: Lake, delete: Callable[[Lake], list[int]]
) -> None:
    """The old file is not put back where deletes apply to its successor."""
    run_id = lake.stage("f", F)
    lake.promote(run_id)
    gone = delete(lake)
    before = ours(lake)
    lake.roll_back(run_id)
    rows = ours(lake)
    assert not set(gone) & set(rows["id"])
    pd.testing.assert_frame_equal(before[OLD], rows)
    assert actions(lake, run_id, "undoing")["rewrite"] >= 1


def test_a_file_without_a_live_row_is_left_as_it_is(lake: Lake) -> None:
    """There is nothing to add to it; rolled back, the table has its other rows."""
    run_id = lake.stage("f", F)
    path = live(lake)[0]
    count = next(file.rows for file in lake.backfills.tables.live(TableName.parse(ORDERS)).files if file.path == path)
    add_position_deletes(lake.table(), path, list(range(count)))
    before = ours(lake)
    lake.promote(run_id)
    assert path in live(lake)
    holds(ours(lake), "f", before["x"] * 2)
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, ours(lake))


# -- compaction ----------------------------------------------------------------------------------
def test_rows_moved_by_a_compaction_get_their_values_by_key(lake: Lake) -> None:
    """After files were merged and sorted anew while the run was staged, each row has its own value."""
    run_id = lake.stage("f", F)
    compact(lake)
    before = lake.rows()
    lake.promote(run_id)
    rows = same_in_both(lake)
    pd.testing.assert_frame_equal(before, rows[OLD])
    holds(rows, "f", before["x"] * 2)
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, lake.rows())


def test_rows_appended_and_compacted_have_no_value(lake: Lake) -> None:
    """A compaction that took newer rows in leaves them null, and the staged ones right."""
    run_id = lake.stage("f", F)
    lake.table().append(small_rows(66).slice(60))
    compact(lake)
    lake.promote(run_id)
    rows = same_in_both(lake)
    holds(rows[:60], "f", rows["x"][:60] * 2)
    assert rows["f"][60:].isna().all()


def test_a_compaction_after_two_promotions_keeps_what_a_roll_back_leaves(lake: Lake) -> None:
    """Rolled back after its files were compacted, a column leaves the schema and no file is made anew."""
    first, second = lake.stage("f", F), lake.stage("g", G)
    lake.promote(first)
    lake.promote(second)
    compact(lake)
    rows, files = lake.rows(), live(lake)
    lake.roll_back(first)
    pd.testing.assert_frame_equal(rows[[*OLD, "g"]], lake.rows())
    assert files == live(lake)


def test_changed_inputs_are_refused(lake: Lake) -> None:
    """Rows whose inputs another writer changed are not given values that were computed from the old ones."""
    run_id = lake.stage("f", F)
    rows = lake.table().scan().to_arrow().sort_by("id")
    lake.table().overwrite(rows.set_column(3, "x", pa.array([9.0] * 60)))
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    error = lake.fail()
    assert ("promotion.base_changed", True) == (error["code"], "have another x" in error["message"])
    assert OLD == list(lake.rows().columns)
    assert {"main"} == set(lake.table().metadata.refs)


def test_a_dropped_input_column_does_not_stop_a_promotion(lake: Lake) -> None:
    """What the body read may be gone by now; the values were computed from the pinned snapshot."""
    run_id = lake.stage("f", F)
    before = lake.rows()
    with lake.table().update_schema() as update:
        update.delete_column("x")
    lake.promote(run_id)
    rows = same_in_both(lake)
    assert ["id", "customer", "ts", "tag", "f"] == list(rows.columns)
    holds(rows, "f", before["x"] * 2)


def test_an_expired_planned_snapshot_does_not_stop_a_promotion(lake: Lake) -> None:
    """Staged, compacted, and the planned snapshot expired: the values still find their rows."""
    from pyiceberg.table.maintenance import MaintenanceTable

    run_id = lake.stage("f", F)
    old = lake.table().metadata.current_snapshot_id
    compact(lake)
    before = lake.rows()
    for snapshot in [each.snapshot_id for each in lake.table().metadata.snapshots][:-1]:
        MaintenanceTable(lake.table()).expire_snapshots().by_id(snapshot).commit()
    assert lake.table().metadata.snapshot_by_id(old or 0) is None
    lake.promote(run_id)
    holds(same_in_both(lake), "f", before["x"] * 2)


def test_a_name_that_files_use_for_another_column_is_free_again(lake: Lake) -> None:
    """A column that was renamed keeps its old name in the files: they are rewritten, and no reader mixes them up."""
    before = lake.rows()
    with lake.table().update_schema() as update:
        update.rename_column("x", "y")
    run_id = lake.stage("x", "select id, y * 2D as x from base")
    lake.promote(run_id)
    rows = same_in_both(lake)
    holds(rows, "y", before["x"])
    holds(rows, "x", before["x"] * 2)
    assert {"rewrite": 6} == actions(lake, run_id)
    lake.roll_back(run_id)
    rows = lake.rows()
    assert ["id", "customer", "ts", "y", "tag"] == list(rows.columns)
    holds(rows, "y", before["x"])


def test_a_run_whose_rows_are_all_gone_is_refused(lake: Lake) -> None:
    """When no row that was staged is left, there is nothing to promote; main stays, and the run can be rolled back."""
    run_id = lake.stage("f", F)
    lake.table().overwrite(small_rows(90).slice(60))
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    assert "promotion.base_changed" == lake.fail()["code"]
    assert {"main"} == set(lake.table().metadata.refs)
    assert OLD == list(lake.rows().columns)
    lake.roll_back(run_id)


def test_show_says_what_was_done_per_file(lake: Lake) -> None:
    """Counts per action and reason, and bytes, stand in the run's outputs and in what a person sees."""
    from nbplat.ui.handlers.backfill_result import outcome

    run_id = lake.stage("f", F)
    positions(lake)
    lake.promote(run_id)
    run = lake.backfills.find(run_id)
    said = [text for label, text in outcome({"outputs": run.outputs, "error": None}) if label == "landed"]
    assert ["1 file by rewrite", "5 files by splice"] == sorted(text.split(":")[0] for text in said)
    assert {"copied_bytes", "added_bytes", "dead_bytes"} <= run.outputs["landing"].keys()
