"""Spark joining the same tables through Iceberg, in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.training_ray import VALUES, platform_of
from nbplat.adapters.iceberg.catalog import load_table, pin_of
from nbplat.adapters.spark.jars import fetch_jars

__all__ = ["main"]

# What Iceberg's manual asks for before partitions are joined in their places, without an exchange.
_IN_PLACE = {
    "spark.sql.sources.v2.bucketing.enabled": "true",
    "spark.sql.sources.v2.bucketing.pushPartValues.enabled": "true",
    "spark.sql.sources.v2.bucketing.partiallyClusteredDistribution.enabled": "false",
    "spark.sql.requireAllClusterKeysForCoPartition": "false",
    "spark.sql.iceberg.planning.preserve-data-grouping": "true",
    "spark.sql.autoBroadcastJoinThreshold": "-1",
}


def _plan(frame: Any) -> str:
    return str(frame._jdf.queryExecution().executedPlan().toString())  # noqa: SLF001 - nothing public gives it


def main(home: str, asked: str) -> None:
    """Join twice, left: every column to nowhere, then sums; prints one line of JSON."""
    wanted = json.loads(Path(asked).read_text())
    platform = platform_of(Path(home))
    fetch_jars(platform.config)
    host = platform.engines.spark_host("bench", quick=False)
    session = host.session()
    for name, value in _IN_PLACE.items():
        session.conf.set(name, value)
    folder = Path(home) / "bench-pinned"
    tables = {
        name: session.read.format("iceberg").load(
            str(platform.engines.pinned(pin_of(load_table(platform.catalog, table)), folder))
        )
        for name, table in wanted["tables"].items()
    }
    joined = (
        tables["base"]
        .join(tables["one"].drop("dt"), "request_id", "left")
        .join(tables["three"].drop("dt"), "request_id", "left")
    )
    exchanges = _plan(joined).count("Exchange")
    tables["one"].count()  # The JVM is warm.
    started = time.perf_counter()
    joined.write.format("noop").mode("overwrite").save()
    wall_s = time.perf_counter() - started
    aggregates: dict[str, Any] = dict.fromkeys((*VALUES, "f0"), "sum") | {"*": "count"}
    row = joined.agg(aggregates).first().asDict()
    sums = {name: round(row[f"sum({name})"] or 0.0, 2) for name in (*VALUES, "f0")}
    found = {"sums": {"rows": float(row["count(1)"]), **sums}, "wall_s": wall_s, "exchanges": exchanges}
    host.close()
    platform.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
