"""Indexes of sequences, read by Spark with Iceberg."""

from __future__ import annotations

from tests.fixtures.index_files import NAME, HandIndex
from tests.fixtures.spark import JVM_MARKS, SparkLab

pytestmark = JVM_MARKS


def test_spark_reads_an_index_as_we_do(spark: SparkLab) -> None:
    """Spark sees the rows of an amended and compacted index, now and at older snapshots, and its layout."""
    index = HandIndex(spark.served.embedded())
    base, other = index.file(0, [("a", 1), ("a", 4), ("b", 2)]), index.file(1, [("c", 3), ("d", 5)])
    run = index.file(0, [("b", 9)])
    pins = [index.publish(None, base, other, job="j1", step="build")]
    pins.append(index.publish(pins[0], run, job="j2", removed={base.path: [2, 0], other.path: [1]}))
    whole = index.file(0, [("a", 4), ("b", 9)])
    pins.append(index.publish(pins[1], whole, job="j3", step="compact", replaced=[base.path, run.path]))
    for pin in pins:
        query = f"SELECT user, price FROM nbplat.{NAME} VERSION AS OF {pin.snapshot_id} ORDER BY user, price"
        expected = sorted(index.rows(pin, 0) + index.rows(pin, 1))
        assert expected == [(row.user, int(row.price)) for row in spark.rows(query)]
    deletes = spark.rows(f"SELECT file_path, pos, partition.nb_bucket AS bucket FROM nbplat.{NAME}.position_deletes")
    assert [(other.path, 1, 1)] == [(row.file_path, row.pos, row.bucket) for row in deletes]
    files = spark.rows(f"SELECT content, record_count, sort_order_id FROM nbplat.{NAME}.files ORDER BY content, 2")
    assert [(0, 2, 1), (0, 2, 1), (1, 1, None)] == [tuple(row) for row in files]
    pruned = spark.rows(f"SELECT user FROM nbplat.{NAME} WHERE nb_bucket = 1")
    assert ["c"] == [row.user for row in pruned]
    index.tables.drop(NAME)
