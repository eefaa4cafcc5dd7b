"""Spark joining the same tables through Iceberg, in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
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
_SHUFFLED = {**_IN_PLACE, "spark.sql.sources.v2.bucketing.enabled": "false"}


def _plan(frame: Any) -> str:
    return str(frame._jdf.queryExecution().executedPlan().toString())  # noqa: SLF001 - nothing public gives it


def _joined(session: Any, tables: Mapping[str, str], settings: Mapping[str, str]) -> Any:
    for name, value in settings.items():
        session.conf.set(name, value)
    base, one, three = (session.read.format("iceberg").load(tables[name]) for name in ("base", "one", "three"))
    joined = base.join(one.drop("dt"), "request_id", "left")
    return joined.join(three.drop("dt"), "request_id", "left")


def _through(joined: Any) -> dict[str, Any]:
    """Write every column to nowhere: seconds, and what the very rows that were written hold."""
    from pyspark.sql import Observation, functions

    seen = Observation()
    sums = [functions.sum(name).alias(name) for name in (*VALUES, "f0")]
    watched = joined.observe(seen, functions.count(functions.lit(1)).alias("rows"), *sums)
    started = time.perf_counter()
    watched.write.format("noop").mode("overwrite").save()
    wall_s = time.perf_counter() - started
    found = {name: round(float(value or 0.0), 2) for name, value in seen.get.items()}
    return {"sums": found, "wall_s": wall_s, "exchanges": _plan(joined).count("Exchange")}


def main(home: str, asked: str) -> None:
    """Join twice, left, in place and with a shuffle, every column to nowhere; prints one line of JSON."""
    wanted = json.loads(Path(asked).read_text())
    platform = platform_of(Path(home))
    fetch_jars(platform.config)
    host = platform.engines.spark_host("bench", quick=False)
    session = host.session()
    folder = Path(home) / "bench-pinned"
    tables = {
        name: str(platform.engines.pinned(pin_of(load_table(platform.catalog, table)), folder))
        for name, table in wanted["tables"].items()
    }
    session.read.format("iceberg").load(tables["one"]).count()  # The JVM is warm.
    found = {
        name: _through(_joined(session, tables, settings))
        for name, settings in (("in_place", _IN_PLACE), ("shuffled", _SHUFFLED))
    }
    host.close()
    platform.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
