"""What a column costs in Spark with Iceberg: the same table overwritten by a join, and merged into."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.backfill import do_job
from benchmarks.measure import Cost, Figure
from benchmarks.start import state_folder
from benchmarks.wide_files import wide_rows

__all__ = ["measure"]

_BUCKETS, _ROWS, _COLUMNS = 8, 90_000, 100
"""About 125 MB: Spark takes a minute for each way."""
_SQL = "SELECT id, CAST(f000 AS double) * 2 AS twice FROM base"


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        return _promotions(Path(folder))


def _promotions(folder: Path) -> list[Figure]:
    from nbplat.adapters.spark.jars import fetch_jars, iceberg_jar
    from nbplat.adapters.spark.session import SparkSettings, spark_session
    from nbplat.backfill.spec import BackfillSpec
    from nbplat.backfill.states import Step
    from nbplat.compose import open_platform

    platform = open_platform(state_folder(str(folder)))
    try:
        fetch_jars(platform.config)
        rows = wide_rows(_BUCKETS * _ROWS, _COLUMNS)
        size = _bucketed(platform.catalog, rows)
        spec = BackfillSpec.build("twice", "wide.train", _SQL, keys=("id",))
        run = platform.backfills.submit(spec, owner="bench").run
        assert run is not None
        do_job(platform)
        do_job(platform)
        platform.backfills.step(run.id, Step.PROMOTE, owner="bench")
        _, promoted = do_job(platform)
        settings = SparkSettings(
            master="local[*]",
            scratch=folder / "scratch",
            memory_bytes=6 << 30,
            iceberg_jar=iceberg_jar(platform.config),
            conf=_catalog(folder / "peer"),
        )
        with spark_session(settings, say=lambda text: None) as session:
            costs = _peers(session, rows, folder)
    finally:
        platform.close()
    what = f"promotion of {size / 1e6:.0f} MB x {_COLUMNS} columns in {_BUCKETS} buckets"
    return [
        Figure(
            f"{what}: CPU saved, Spark {name}",
            cost.cpu_s / promoted.cpu_s,
            "x",
            None,
            "higher",
            f"Spark 4.1 with Iceberg on the same rows, warm, once ({cost})",
            promoted.cpu_s,
            promoted.wall_s,
        )
        for name, cost in costs.items()
    ]


def _bucketed(catalog: Any, rows: Any) -> int:
    from pyiceberg.io.pyarrow import pyarrow_to_schema
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import BucketTransform

    catalog.create_namespace_if_not_exists("wide")
    table = catalog.create_table(
        "wide.train",
        pyarrow_to_schema(rows.schema),
        partition_spec=PartitionSpec(PartitionField(1, 1000, BucketTransform(_BUCKETS), "id_bucket")),
        properties={"write.parquet.compression-codec": "zstd"},
    )
    table.append(rows)
    return sum(task.file.file_size_in_bytes for task in catalog.load_table("wide.train").scan().plan_files())


def _catalog(folder: Path) -> dict[str, str]:
    return {
        "spark.sql.catalog.peer": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.peer.type": "hadoop",
        "spark.sql.catalog.peer.warehouse": f"file://{folder}",
        "spark.sql.shuffle.partitions": str(_BUCKETS),
    }


def _peers(session: Any, rows: Any, folder: Path) -> dict[str, Cost]:
    """Each way on a table of its own; what it starts from is made before, and not counted."""
    import pyarrow.parquet as pq

    source = folder / "rows.parquet"
    pq.write_table(rows, source, compression="zstd")
    names = [name for name in rows.column_names if name != "id"]
    session.read.parquet(f"file://{source}").createOrReplaceTempView("wide_rows")
    for table in ("overwritten", "merged"):
        columns = ", ".join(["id bigint", *(f"{name} float" for name in names), "twice double"])
        session.sql(
            f"CREATE TABLE peer.db.{table} ({columns}) USING iceberg PARTITIONED BY (bucket({_BUCKETS}, id)) "
            "TBLPROPERTIES ('write.parquet.compression-codec'='zstd', 'write.distribution-mode'='none', "
            "'write.spark.fanout.enabled'='true', 'write.merge.distribution-mode'='none')"
        )
        session.sql(f"INSERT INTO peer.db.{table} SELECT *, CAST(NULL AS double) FROM wide_rows")
    session.sql(
        f"CREATE TABLE peer.db.staged (id bigint, twice double) USING iceberg PARTITIONED BY (bucket({_BUCKETS}, id)) "
        "TBLPROPERTIES ('write.distribution-mode'='none', 'write.spark.fanout.enabled'='true')"
    )
    session.sql("INSERT INTO peer.db.staged SELECT id, CAST(f000 AS double) * 2 FROM wide_rows")
    kept = ", ".join(f"b.{name}" for name in names)

    def overwrite() -> None:
        joined = session.sql(
            f"SELECT /*+ SHUFFLE_HASH(s) */ b.id, {kept}, s.twice FROM peer.db.overwritten b "
            "LEFT JOIN peer.db.staged s ON b.id = s.id"
        )
        joined.writeTo("peer.db.overwritten").overwritePartitions()

    def merge() -> None:
        session.sql(
            "MERGE INTO peer.db.merged b USING peer.db.staged s ON b.id = s.id "
            "WHEN MATCHED THEN UPDATE SET b.twice = s.twice"
        )

    return {
        "storage-partitioned overwrite": _with_children(overwrite),
        "MERGE, copy on write": _with_children(merge),
    }


def _with_children(work: Callable[[], None]) -> Cost:
    """Cost of this process and of its live children: the JVM is one of them and does not end."""
    cpu, wall = _tree_cpu_s(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - wall, _tree_cpu_s() - cpu)


def _tree_cpu_s() -> float:
    own = psutil.Process()
    total = 0.0
    for process in [own, *own.children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system
    return total
