"""Spark on the embedded catalog through our REST service, and Python beside it on the same tables."""

from __future__ import annotations

import threading
import uuid
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from tests.fixtures.spark import JVM_MARKS, SparkLab

pytestmark = JVM_MARKS


@pytest.fixture
def ns(spark: SparkLab) -> str:
    """A namespace of the test's own."""
    name = f"ns_{uuid.uuid4().hex[:12]}"
    spark.session.sql(f"create namespace {name}")
    return name


def python_rows(spark: SparkLab, table: str, *columns: str) -> list[tuple[Any, ...]]:
    found = spark.served.embedded().load_table(table).scan(selected_fields=columns).to_arrow()
    return sorted(zip(*(found[column].to_pylist() for column in columns), strict=True))


def test_what_spark_writes_python_reads(spark: SparkLab, ns: str) -> None:
    """Create with bucket, days and months, insert, CTAS, MERGE, DELETE, ADD COLUMN: pyiceberg reads the same rows."""
    sql = spark.session.sql
    sql(
        f"create table {ns}.train (id bigint, day date, amount double) using iceberg "
        "partitioned by (bucket(4, id), months(day))"
    )
    sql(f"insert into {ns}.train values (1, date'2011-01-01', 1.5), (2, date'2011-02-01', 2.5), (3, null, null)")
    expected = [(1, date(2011, 1, 1), 1.5), (2, date(2011, 2, 1), 2.5), (3, None, None)]
    assert expected == python_rows(spark, f"{ns}.train", "id", "day", "amount")
    spec = spark.served.embedded().load_table(f"{ns}.train").spec()
    assert ["bucket[4]", "month"] == [str(field.transform) for field in spec.fields]

    sql(f"create table {ns}.copy using iceberg partitioned by (days(day)) as select * from {ns}.train where id < 3")
    sql(
        f"merge into {ns}.train t using (select 2 as id, 9.0D as amount union all select 4, 4.0D) s on t.id = s.id "
        "when matched then update set amount = s.amount "
        "when not matched then insert (id, amount) values (s.id, s.amount)"
    )
    sql(f"delete from {ns}.train where id = 1")
    assert [(2, 9.0), (3, None), (4, 4.0)] == sorted(python_rows(spark, f"{ns}.train", "id", "amount"))
    assert [(1,), (2,)] == python_rows(spark, f"{ns}.copy", "id")

    sql(f"alter table {ns}.train add column spend_90d double")
    sql(f"update {ns}.train set spend_90d = id * 10D where id > 2")
    assert [(2, None), (3, 30.0), (4, 40.0)] == python_rows(spark, f"{ns}.train", "id", "spend_90d")


def test_what_python_commits_spark_sees_at_once(spark: SparkLab, ns: str) -> None:
    """No cache stands between: rows, columns and properties of a pyiceberg commit are in Spark's next statement."""
    spark.session.sql(f"create table {ns}.t (id bigint) using iceberg partitioned by (bucket(2, id))")
    table = spark.served.embedded().load_table(f"{ns}.t")
    table.append(pa.table({"id": pa.array([1, 2, 3], pa.int64())}))
    assert [1, 2, 3] == [row.id for row in spark.rows(f"select id from {ns}.t order by id")]
    from pyiceberg.types import DoubleType

    with table.update_schema() as change:
        change.add_column("score", DoubleType())
    table.append(pa.table({"id": pa.array([4], pa.int64()), "score": pa.array([0.5])}))
    assert [(1, None), (4, 0.5)] == [
        tuple(r) for r in spark.rows(f"select * from {ns}.t where id in (1, 4) order by id")
    ]
    assert ["id", "score"] == spark.session.table(f"{ns}.t").columns


def test_branches_and_tags_are_the_same_on_both_sides(spark: SparkLab, ns: str) -> None:
    """A branch made and written by Spark is read by Python, and main moves to it by a Python compare-and-swap."""
    from pyiceberg.table.update import AssertRefSnapshotId, SetSnapshotRefUpdate

    sql = spark.session.sql
    sql(f"create table {ns}.t (id bigint) using iceberg")
    sql(f"insert into {ns}.t values (1)")
    sql(f"alter table {ns}.t create tag before")
    sql(f"alter table {ns}.t create branch trial")
    sql(f"insert into {ns}.t.branch_trial values (2)")
    catalog = spark.served.embedded()
    table = catalog.load_table(f"{ns}.t")
    trial, main = table.metadata.refs["trial"].snapshot_id, table.metadata.refs["main"].snapshot_id
    assert {"main", "trial", "before"} == set(table.metadata.refs)
    assert [1, 2] == sorted(table.scan(snapshot_id=trial).to_arrow()["id"].to_pylist())
    assert [1] == [row.id for row in spark.rows(f"select id from {ns}.t")]
    move = SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=trial)
    catalog.commit_table(table, (AssertRefSnapshotId(ref="main", snapshot_id=main),), (move,))
    assert [1, 2] == [row.id for row in spark.rows(f"select id from {ns}.t order by id")]
    assert [1] == [row.id for row in spark.rows(f"select id from {ns}.t version as of 'before'")]


def test_views_rename_and_drop(spark: SparkLab, ns: str) -> None:
    """Views are made and replaced; tables and views are renamed and dropped; Python lists tables only."""
    sql = spark.session.sql
    sql(f"create table {ns}.t (id bigint) using iceberg")
    sql(f"insert into {ns}.t values (1), (2)")
    sql(f"create view {ns}.v as select id from {ns}.t where id > 1")
    assert [2] == [row.id for row in spark.rows(f"select * from {ns}.v")]
    sql(f"create or replace view {ns}.v as select id + 10 as id from {ns}.t")
    assert [11, 12] == [row.id for row in spark.rows(f"select * from {ns}.v order by id")]
    sql(f"alter table {ns}.t rename to {ns}.renamed")
    assert [(ns, "renamed")] == spark.served.embedded().list_tables(ns)
    assert [(1,), (2,)] == python_rows(spark, f"{ns}.renamed", "id")
    sql(f"drop view {ns}.v")
    sql(f"drop table {ns}.renamed purge")
    assert [] == spark.rows(f"show tables in {ns}")
    sql(f"drop namespace {ns}")
    assert not spark.served.embedded().namespace_exists(ns)


def test_version_3_tables_keep_their_row_ids(spark: SparkLab, ns: str) -> None:
    """A v3 table is created, filled, deleted from by deletion vectors and read; each row keeps one id."""
    sql = spark.session.sql
    properties = "'format-version' = '3', 'write.delete.mode' = 'merge-on-read'"
    sql(f"create table {ns}.t (id bigint) using iceberg tblproperties ({properties})")
    sql(f"insert into {ns}.t select id from range(0, 10, 1, 1)")
    sql(f"insert into {ns}.t values (10), (11)")
    sql(f"delete from {ns}.t where id in (3, 4)")
    kept = spark.rows(f"select id, _row_id as row from {ns}.t order by id")
    assert [i for i in range(12) if i not in (3, 4)] == [row.id for row in kept]
    assert len(kept) == len({row.row for row in kept})
    assert 3 == spark.served.embedded().load_table(f"{ns}.t").format_version


def test_procedures_of_a_promotion(spark: SparkLab, ns: str) -> None:
    """Rollback, fast-forward and compaction are commits like others, and Python sees their snapshots."""
    sql = spark.session.sql
    sql(f"create table {ns}.t (id bigint) using iceberg")
    for i in range(3):
        sql(f"insert into {ns}.t values ({i})")
    first = spark.rows(f"select snapshot_id from {ns}.t.snapshots order by committed_at")[0].snapshot_id
    assert (
        3
        == spark.rows(f"call nbplat.system.rewrite_data_files('{ns}.t', options => map('min-input-files', '2'))")[0][0]
    )
    sql(f"alter table {ns}.t create branch trial")
    sql(f"insert into {ns}.t.branch_trial values (3)")
    sql(f"call nbplat.system.fast_forward('{ns}.t', 'main', 'trial')")
    assert [(0,), (1,), (2,), (3,)] == python_rows(spark, f"{ns}.t", "id")
    sql(f"call nbplat.system.rollback_to_snapshot('{ns}.t', {first})")
    assert [(0,)] == python_rows(spark, f"{ns}.t", "id")


def test_concurrent_appends_of_spark_and_python_lose_nothing(spark: SparkLab, ns: str) -> None:
    """Two Spark threads and a Python writer append to one table; each row is there once."""
    spark.session.sql(f"create table {ns}.t (id bigint) using iceberg")
    failures: list[BaseException] = []

    def guarded(work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as exc:  # noqa: BLE001 - a thread's failure must fail the test
            failures.append(exc)

    def by_spark(start: int) -> None:
        for i in range(4):
            spark.session.sql(f"insert into {ns}.t values ({start + i})")

    def by_python() -> None:
        table = spark.served.embedded().load_table(f"{ns}.t")
        for i in range(8):
            table.append(pa.table({"id": pa.array([200 + i], pa.int64())}))

    threads = [threading.Thread(target=guarded, args=(by_spark, start)) for start in (0, 100)]
    threads.append(threading.Thread(target=guarded, args=(by_python,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [] == failures
    expected = [(i,) for i in sorted([*range(4), *range(100, 104), *range(200, 208)])]
    assert expected == python_rows(spark, f"{ns}.t", "id")
    assert len(expected) == spark.rows(f"select count(*) as n from {ns}.t")[0].n


def test_the_token_is_redacted_in_sparks_own_view_of_its_conf(spark: SparkLab) -> None:
    """`SET -v` and the event log go through Spark's redaction, which hides the scoped token."""
    shown = {row.key: row.value for row in spark.rows("set")}
    assert "*********(redacted)" == shown["spark.sql.catalog.nbplat.token"]
