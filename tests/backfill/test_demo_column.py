"""The whole story on real data, against two independent computations."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.adapters.parquet.compare import chunk_digests
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.spec import BackfillSpec
from nbplat.terms import local_path
from tests.fixtures.lakehouse import Lake

TRAIN, EVENTS = "retail.train", "retail.events"
SQL = """
select b.example_id, coalesce(sum(e.amount), 0) as spend_90d, count(e.event_id) as events_90d
from base b left join retail.events e
  on e.customer_id = b.customer_id and e.event_ts < b.label_ts
  and e.event_ts >= b.label_ts - interval 90 days and e.event_type = 'purchase'
group by b.example_id
"""


def by_pandas(train: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """One loop over customers, written without SQL."""
    bought = events[events["event_type"] == "purchase"].groupby("customer_id")
    out = []
    for row in train.itertuples():
        spend, count = 0.0, 0
        if row.customer_id in bought.groups:
            mine = bought.get_group(row.customer_id)
            age = row.label_ts - mine["event_ts"]
            seen = mine[(age > pd.Timedelta(0)) & (age <= pd.Timedelta(days=90))]
            spend, count = float(seen["amount"].sum()), len(seen)
        out.append((row.example_id, spend, count))
    return pd.DataFrame(out, columns=["example_id", "spend_90d", "events_90d"])


def by_duckdb(train: pa.Table, events: pa.Table) -> pd.DataFrame:
    """DuckDB's own SQL, another shape than the body's: a correlated subquery."""
    with duckdb.connect() as db:
        db.execute("set timezone = 'UTC'")
        db.register("train", train)
        db.register("events", events)
        where = """from events where customer_id = t.customer_id and event_type = 'purchase'
            and event_ts between t.label_ts - to_days(90) and t.label_ts - to_microseconds(1)"""
        return db.sql(f"""select example_id, ifnull((select sum(amount) {where}), 0.0) as spend_90d,
            (select count(*) {where}) as events_90d from train t order by 1""").df()


def digests_by_position(lake: Lake, names: list[str]) -> list[dict[str, str]]:
    paths = sorted(task.file.file_path for task in lake.table(TRAIN).scan().plan_files())
    return [{n: d for n, d in chunk_digests(local_path(path)).items() if n in names} for path in paths]


@pytest.fixture(scope="module")
def before(demo: Lake) -> tuple[pd.DataFrame, list[dict[str, str]], int]:
    """Rows, chunk bytes and snapshot of the table as it was."""
    names = demo.table(TRAIN).schema().column_names
    snapshot = demo.table(TRAIN).current_snapshot()
    assert snapshot is not None
    return demo.rows(TRAIN, key="example_id"), digests_by_position(demo, names), snapshot.snapshot_id


@pytest.fixture(scope="module")
def expected(demo: Lake, before: tuple[pd.DataFrame, object, int]) -> pd.DataFrame:
    """The column, computed twice without nbplat; both must agree."""
    events = demo.table(EVENTS).scan().to_arrow()
    plain = by_pandas(before[0], events.to_pandas())
    again = by_duckdb(demo.table(TRAIN).scan().to_arrow(), events)
    pd.testing.assert_frame_equal(plain, again, check_dtype=False)
    assert 700 < int((plain["events_90d"] > 0).sum()) < 1943
    return plain


def plan_of(demo: Lake) -> BackfillPlan:
    return demo.backfills.plan(BackfillSpec.build("spend_90d", TRAIN, SQL))


def test_the_plan_is_exact_and_has_no_effect(demo: Lake) -> None:
    """The bytes to read are the sum of the footers' column sizes, and planning changes nothing at all."""
    picture = demo.picture()
    plan = plan_of(demo)

    def stored(table: str, columns: tuple[str, ...]) -> int:
        total = 0
        for task in demo.table(table).scan().plan_files():
            meta = pq.read_metadata(local_path(task.file.file_path))
            for group in range(meta.num_row_groups):
                for column in range(meta.num_columns):
                    chunk = meta.row_group(group).column(column)
                    total += chunk.total_compressed_size if chunk.path_in_schema in columns else 0
        return total

    [source] = plan.sources
    assert ("customer_id", "event_id", "event_ts", "event_type") == tuple(c for c in source.columns if c != "amount")
    assert stored(TRAIN, plan.base_columns) == sum(unit.read_bytes for unit in plan.units)
    assert stored(EVENTS, source.columns) == source.read_bytes
    assert stored(TRAIN, plan.base_columns) + stored(EVENTS, source.columns) == plan.read_bytes
    assert sum(local_path(u.path).stat().st_size for u in plan.units) == plan.copy_bytes
    assert (1943, 48, True) == (plan.rows, len(plan.units), plan.row_wise)
    assert "unique over 1943 rows" == plan.key_check
    assert picture == demo.picture()


def test_a_plan_is_a_value(demo: Lake) -> None:
    """A plan survives its JSON form, and its hash depends on what will be done only."""
    import json

    plan, again = plan_of(demo), plan_of(demo)
    back = BackfillPlan.from_record(json.loads(json.dumps(plan.record())))
    assert plan == back
    assert plan.plan_hash == back.plan_hash == again.plan_hash


def test_staged_promoted_rolled_back(
    demo: Lake, before: tuple[pd.DataFrame, list[dict[str, str]], int], expected: pd.DataFrame
) -> None:
    """The column equals the independent ones staged and promoted; the rest keeps its bytes; roll back restores."""
    rows, digests, snapshot_id = before
    names = list(rows.columns)
    run_id = demo.stage("spend_90d", SQL, TRAIN)
    staged = demo.staged(run_id, "example_id")
    pd.testing.assert_frame_equal(expected, staged[list(expected.columns)], rtol=1e-9)
    assert names == demo.table(TRAIN).schema().column_names

    demo.promote(run_id)
    promoted = demo.rows(TRAIN, key="example_id")
    assert [*names, "spend_90d", "events_90d"] == list(promoted.columns)
    pd.testing.assert_frame_equal(expected, promoted[list(expected.columns)], rtol=1e-9)
    pd.testing.assert_frame_equal(rows, promoted[names], check_exact=True)
    assert digests == digests_by_position(demo, names)
    assert np.array_equal(staged["spend_90d"], promoted["spend_90d"])
    published = int(demo.backfills.find(run_id).outputs["publication"]["snapshot_id"])

    demo.roll_back(run_id)
    table = demo.table(TRAIN)
    pd.testing.assert_frame_equal(rows, demo.rows(TRAIN, key="example_id"), check_exact=True)
    assert names == table.schema().column_names
    assert {"main", "nb-pre-spend_90d-1"} == set(table.metadata.refs)
    assert snapshot_id == table.metadata.refs["nb-pre-spend_90d-1"].snapshot_id
    old = demo.rows(TRAIN, key="example_id", snapshot_id=snapshot_id)
    pd.testing.assert_frame_equal(rows, old, check_exact=True)
    travelled = demo.rows(TRAIN, key="example_id", snapshot_id=published)
    pd.testing.assert_frame_equal(promoted, travelled, check_exact=True)


def test_other_readers_see_the_promoted_column(demo: Lake, tmp_path: Path) -> None:
    """DuckDB reads the spliced files with the values that pyiceberg reads."""
    run_id = demo.stage("orders_90d", SQL.replace("spend_90d", "s2").replace("events_90d", "e2"), TRAIN)
    demo.promote(run_id)
    paths = [str(local_path(task.file.file_path)) for task in demo.table(TRAIN).scan().plan_files()]
    with duckdb.connect() as db:
        seen = db.sql("select example_id, s2, e2 from read_parquet($paths) order by 1", params={"paths": paths}).df()
    mine = demo.rows(TRAIN, key="example_id")
    pd.testing.assert_frame_equal(mine[["example_id", "s2", "e2"]], seen)
    demo.roll_back(run_id)
