"""What an audit says of staged files."""

from __future__ import annotations

from typing import Any

import pytest

from nbplat.backfill.states import Step
from nbplat.remote.kernel import stage
from nbplat.remote.task import Task
from nbplat.terms import local_path
from tests.fixtures.lakehouse import Lake

SQL = "select id, x * 2D as f from base"


def findings(lake: Lake, run_id: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(f["rule"], f["column"]): f for f in lake.backfills.find(run_id).outputs["audit"]["findings"]}


def test_a_sound_run_passes_every_rule(lake: Lake) -> None:
    """Rows, keys, nulls, spread and determinism are each told with their numbers."""
    found = findings(lake, lake.stage("f", SQL))
    assert all(finding["passed"] for finding in found.values())
    assert "60 rows in 6 files, as the table has" == found["rows", ""]["message"]
    assert "12 of 60 rows are null (20.0%)" == found["nulls", "f"]["message"]
    assert "48 distinct values, from 1.0 to 59.0" == found["constant", "f"]["message"]
    assert found["determinism", "f"]["message"].endswith("computed again are equal")


@pytest.mark.parametrize(
    "sql",
    [
        "select id, x > 3D as f from base",
        "select id, tag as f from base",
        "select id, ts as f from base",
        "select id, cast(x as int) as f, cast(x as bigint) as g from base",
    ],
)
def test_every_type_can_be_audited_and_promoted(lake: Lake, sql: str) -> None:
    """Booleans, texts, times and integers go the whole way."""
    run_id = lake.stage("f", sql)
    staged = lake.staged(run_id)
    lake.promote(run_id)
    rows = lake.rows()
    columns = [c for c in ("f", "g") if c in rows]
    assert staged[columns].equals(rows[columns])


def test_a_column_of_nulls_is_rejected(lake: Lake) -> None:
    """A feature without one value is a mistake: rejected, kept from promotion, and free to be rolled back."""
    run = lake.submit("f", "select id, case when id < 0 then x end as f from base").run
    assert run is not None
    lake.work()
    assert "rejected" == lake.state(run.id)
    assert not findings(lake, run.id)["nulls", "f"]["passed"]
    lake.roll_back(run.id)


def test_nan_and_a_constant_are_warned_of(lake: Lake) -> None:
    """What may be meant is not blocked."""
    found = findings(lake, lake.stage("f", "select id, sqrt(0D - 1D) as f, 1 as g from base"))
    assert (False, False) == (found["range", "f"]["passed"], found["range", "f"]["blocks"])
    assert (False, False) == (found["constant", "g"]["passed"], found["constant", "g"]["blocks"])


def test_another_result_the_second_time_is_rejected(lake: Lake) -> None:
    """A body whose result changes from run to run is not promoted."""
    lake.submit("f", SQL)

    def drifting(task: Task) -> list[dict[str, Any]]:
        return stage({**task, "body": {**task["body"], "query": task["body"]["query"].replace("2", "3")}})

    lake.stage_by(drifting)
    lake.work()
    assert "rejected" == lake.state("f@1")
    assert not findings(lake, "f@1")["determinism", "f"]["passed"]


def test_staged_rows_that_were_swapped_are_rejected(lake: Lake) -> None:
    """A staged file whose keys are not the base file's, in order, is found by a second audit."""
    import pyarrow.parquet as pq

    run_id = lake.stage("f", SQL)
    path = local_path(lake.backfills.staged_columns(run_id).files[0].path)
    rows = pq.read_table(path)
    pq.write_table(rows.take(list(reversed(range(rows.num_rows)))), path)
    lake.step(run_id, Step.AUDIT)
    assert "rejected" == lake.state(run_id)
    assert not findings(lake, run_id)["alignment", ""]["passed"]


def test_names_of_any_case_and_with_spaces_go_the_whole_way(lake: Lake) -> None:
    """Upper-case tables are no special case, and a name that needs quotes keeps them."""
    import pyarrow as pa

    rows = {"Id": pa.array([1, 2, 3], pa.int64()), "order": pa.array([1.0, 2.0, None])}
    lake.make("shop.Upper", pa.table(rows))
    run_id = lake.stage("f", "select id, `order` * 2D as `My Feature`, Id + 1 as `Select` from base", "shop.Upper")
    lake.promote(run_id)
    got = lake.rows("shop.Upper", key="Id")
    assert ["Id", "order", "My Feature", "Select"] == list(got.columns)
    assert [2.0, 4.0] == got["My Feature"][:2].tolist()
    assert [2, 3, 4] == got["Select"].tolist()
