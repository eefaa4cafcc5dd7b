"""One way to make sequences, in a process of its own: ``python -m benchmarks.sequence_ways WAY FOLDER``.

Each way reads the Parquet files of `sequence_data` and ends with lists of Arrow (the ways of `LAST`), or has made
padded batches (the ways of `AS_OF`). Libraries are loaded and a small world is done before the clock starts: nobody
pays for imports, compilation or the start of Java. What was made is added up after the clock has stopped.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.sequence_data import LISTED, World, make_world

__all__ = ["AS_OF", "BATCH", "LAST", "LENGTH"]

THREADS = os.cpu_count() or 1
LENGTH, BATCH = 100, 8192
_ROOMY = 12 << 30
_MEMORY = "SEQUENCE_MEMORY_BYTES"

Check = Callable[[], dict[str, Any]]


def main(way: str, folder: str) -> None:
    """Do it, and print what it cost and what came out as JSON."""
    do = {**LAST, **AS_OF}[way]
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as small:
        do(make_world(Path(small), events=4_000, users=200, examples=400))()
    world = World(Path(folder) / "events.parquet", Path(folder) / "examples.parquet")
    cpu, wall = _cpu_s(), time.perf_counter()
    check = do(world)
    spent = {"cpu_s": _cpu_s() - cpu, "wall_s": time.perf_counter() - wall, "peak_bytes": _peak_bytes()}
    print(json.dumps({**spent, "found": check()}), flush=True)


def _cpu_s() -> float:
    """Of this process, of the children it waited for, and of Spark's Java, which goes on."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    java = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent) + sum(each.user + each.system for each in java)


def _peak_bytes() -> int:
    """The most that this process held, and what Java holds."""
    java = sum(each.memory_info().rss for each in psutil.Process().children(recursive=True))
    return (
        max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024 + java
    )


# -- what is checked -------------------------------------------------------------------------------


def _lists(parts: Iterable[pa.Table]) -> dict[str, Any]:
    """Sums over all lists; no two events share a moment, so that every way must find the same."""
    found: dict[str, Any] = {"users": 0, "tokens": 0, "newest": 0, "sums": dict.fromkeys(LISTED, 0.0)}
    for part in parts:
        found["users"] += part.num_rows
        for name in LISTED:
            for column in part[name].chunks:
                values = column.flatten()
                if name == "event_ts":
                    moments = values.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() % 1_000_003
                    found["tokens"] += len(moments)
                    found["sums"][name] += float(moments.sum())
                    # The first of each list: the order in the lists counts as well.
                    starts = np.asarray(column.offsets)[:-1] - column.offsets[0].as_py()
                    found["newest"] += int(moments[starts].sum())
                else:
                    numbers = values.to_numpy(zero_copy_only=False)
                    found["sums"][name] += float(np.sum(numbers, dtype=np.float64))
    return {**found, "sums": [float(f"{value:.8g}") for value in found["sums"].values()]}


class _Model:
    """Takes batches as a model would, and adds up what it got."""

    def __init__(self) -> None:
        self.found = dict.fromkeys(("examples", "tokens", "items", "oldest", "age"), 0)

    def take(self, item: Any, action: Any, age_s: Any, mask: Any) -> None:
        """Arrays ``[B, L]``, newest first; what stands at padding is the way's own matter."""
        found = self.found
        found["examples"] += len(mask)
        found["tokens"] += int(np.count_nonzero(mask))
        found["items"] += int(np.sum(item[:, 0], where=mask[:, 0], dtype=np.int64))
        found["oldest"] += int(np.sum(action[:, -1], where=mask[:, -1], dtype=np.int64))
        found["age"] += int(np.sum(np.trunc(age_s[:, 0]), where=mask[:, 0], dtype=np.int64))

    def said(self) -> dict[str, Any]:
        return dict(self.found)


# -- nbplat ----------------------------------------------------------------------------------------

_TEXT = """
source: {source}
entity: user_id
time: event_ts
type: kind
events: {{event: {{last: 100}}}}
layout: per_type
"""
_SHOWN = "show: [action, item_id, price, shop, score]\n"
_FEATURES = "features: {item_id: number(type=int32), action: number(type=int32), event_ts: age(unit=s)}\n"


def _platform(folder: str) -> Any:
    from nbplat.compose import open_platform
    from nbplat.config import load_config

    path = Path(folder)
    settings = {"home": str(path / "home"), "limits.memory_bytes": int(os.environ.get(_MEMORY, _ROOMY))}
    return open_platform(load_config(settings, environ={}, cwd=path, user_file=path / "none"))


def _nbplat_last(world: World, *, build: bool = False) -> Check:
    from nbplat.sequence.builds import Builds
    from nbplat.sequence.parse import parse_definition
    from nbplat.sequence.reading import open_reading

    definition = parse_definition(_TEXT.format(source=world.events) + _SHOWN, "bench")
    parts: list[Any] = []
    summed: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        platform = _platform(folder)
        sequences = platform.sequences
        if build:
            Builds(sequences).queue(definition, owner="bench")
            for job in platform.work_here("bench"):
                assert job.state == "succeeded", job.error
        bound = sequences.bind(definition)
        reading = open_reading(bound, sequences.open(bound), sequences.sources.open)
        for batch in reading.final_lists():
            part = pa.Table.from_batches([batch])
            part = part.rename_columns([name.removeprefix("event__") for name in part.column_names])
            # Built because memory is short: then the lists are not held either.
            summed.append(_lists([part])) if build else parts.append(part)
        platform.close()
    return lambda: _added(summed) if build else _lists(parts)


def _added(parts: list[dict[str, Any]]) -> dict[str, Any]:
    found = {name: sum(part[name] for part in parts) for name in ("users", "tokens", "newest")}
    sums = [sum(values) for values in zip(*(part["sums"] for part in parts), strict=True)]
    return {**found, "sums": [float(f"{value:.8g}") for value in sums]}


def _nbplat_built(world: World) -> Check:
    return _nbplat_last(world, build=True)


def _nbplat_as_of(world: World) -> Check:
    from nbplat.sequence.opened import open_definition
    from nbplat.sequence.parse import parse_definition

    definition = parse_definition(_TEXT.format(source=world.events) + _FEATURES, "bench")
    model = _Model()
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        platform = _platform(folder)
        opened, examples = open_definition(platform.sequences, definition, str(world.examples))
        with opened.reading.batches(examples, rows=BATCH, pad_to="length") as batches:
            for batch in batches:
                model.take(*(batch[f"event__{name}"] for name in ("item_id", "action", "event_ts", "mask")))
        platform.close()
    return model.said


# -- numpy, by hand --------------------------------------------------------------------------------


def _sorted_by_hand(table: pa.Table) -> tuple[Any, Any, int]:
    """Packed keys (user, time) in order, the order, and how many bits the time takes."""
    user, moment = table["user_id"].to_numpy(), table["event_ts"].cast(pa.int64()).to_numpy()
    first = int(moment.min())
    bits = int(moment.max() - first).bit_length()
    keys = (user.astype(np.uint64) << np.uint64(bits)) | (moment - first).astype(np.uint64)
    order = np.argsort(keys)
    return keys[order], order, bits


def _numpy_last(world: World) -> Check:
    table = pq.read_table(world.events, columns=["user_id", *LISTED])
    keys, order, bits = _sorted_by_hand(table)
    user = keys >> np.uint64(bits)
    begins = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
    ends = np.r_[begins[1:], len(user)]
    counts = np.minimum(ends - begins, LENGTH)
    offsets = np.r_[0, np.cumsum(counts)]
    at = order[np.repeat(ends - 1 + offsets[:-1], counts) - np.arange(offsets[-1])]
    lists = {
        name: pa.LargeListArray.from_arrays(pa.array(offsets), table[name].combine_chunks().take(pa.array(at)))
        for name in LISTED
    }
    out = pa.table({"user_id": user[begins].astype(np.int32), **lists})
    return lambda: _lists([out])


def _numpy_as_of(world: World) -> Check:
    table = pq.read_table(world.events, columns=["user_id", "event_ts", "action", "item_id"])
    asked = pq.read_table(world.examples)
    keys, order, bits = _sorted_by_hand(table)
    first = int(table["event_ts"].cast(pa.int64()).to_numpy().min())
    moment = table["event_ts"].cast(pa.int64()).to_numpy()[order]
    user, as_of = asked["user_id"].to_numpy().astype(np.uint64), asked["label_ts"].cast(pa.int64()).to_numpy()
    question = (user << np.uint64(bits)) | (as_of - first).astype(np.uint64)
    turn = np.argsort(question)
    end, begin = np.empty((2, len(question)), np.int64)
    end[turn] = np.searchsorted(keys, question[turn])
    begin[turn] = np.searchsorted(keys, (user << np.uint64(bits))[turn])
    begin = np.maximum(begin, end - LENGTH)
    item, action = table["item_id"].to_numpy()[order], table["action"].to_numpy()[order]
    return _fed(begin, end, as_of, item, action, moment)


def _fed(begin: Any, end: Any, as_of: Any, item: Any, action: Any, moment: Any) -> Check:
    """Padded batches of ranges over sorted columns, newest first."""
    model, place = _Model(), np.arange(LENGTH)
    for start in range(0, len(begin), BATCH):
        low, high = begin[start : start + BATCH, None], end[start : start + BATCH, None]
        at = high - 1 - place
        mask = at >= low
        at[~mask] = 0
        age = ((as_of[start : start + BATCH, None] - moment[at]) / 1e6).astype(np.float32)
        columns = [item[at], action[at].astype(np.int32), age]
        for column in columns:
            column[~mask] = 0
        model.take(*columns, mask)
    return model.said


# -- Polars ----------------------------------------------------------------------------------------


def _polars_best(world: World) -> Check:
    import polars as pl

    newest = pl.col(LISTED).sort_by("event_ts", descending=True).head(LENGTH)
    found = pl.scan_parquet(world.events).select("user_id", *LISTED).group_by("user_id").agg(newest).collect()
    out = found.to_arrow()
    return lambda: _lists([out])


def _polars_natural(world: World) -> Check:
    import polars as pl

    events = (
        pl.scan_parquet(world.events).select("user_id", *LISTED).sort("user_id", "event_ts", descending=[False, True])
    )
    found = events.group_by("user_id", maintain_order=True).agg(pl.col(LISTED).head(LENGTH)).collect()
    out = found.to_arrow()
    return lambda: _lists([out])


def _polars_as_of(world: World) -> Check:
    import polars as pl

    columns = ["user_id", "event_ts", "action", "item_id"]
    events = pl.scan_parquet(world.events).select(columns).sort("user_id", "event_ts").with_row_index("row").collect()
    first = events.group_by("user_id", maintain_order=True).agg(first=pl.col("row").first())
    asked = pl.read_parquet(world.examples).with_row_index("example").sort("label_ts")
    joined = (
        asked.join_asof(
            events.select("user_id", "event_ts", "row").sort("event_ts"),
            left_on="label_ts",
            right_on="event_ts",
            by="user_id",
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .join(first, on="user_id", how="left")
        .sort("example")
    )
    end = joined["row"].cast(pl.Int64).fill_null(-1).to_numpy() + 1
    begin = np.where(end > 0, np.maximum(joined["first"].cast(pl.Int64).fill_null(0).to_numpy(), end - LENGTH), 0)
    as_of, moment = joined["label_ts"].to_physical().to_numpy(), events["event_ts"].to_physical().to_numpy()
    return _fed(begin, end, as_of, events["item_id"].to_numpy(), events["action"].to_numpy(), moment)


# -- DuckDB ----------------------------------------------------------------------------------------


def _duckdb(folder: str) -> Any:
    import duckdb

    found = duckdb.connect()
    found.execute(f"SET threads = {THREADS}")
    found.execute("SET memory_limit = '12GB'")
    found.execute(f"SET temp_directory = '{folder}'")
    found.execute("SET preserve_insertion_order = false")
    found.execute("SET TimeZone = 'UTC'")
    return found


def _duckdb_last(world: World) -> Check:
    packed = ", ".join(f"{name} := {name}" for name in LISTED)
    unpacked = ", ".join(f"list_transform(found, lambda one: one.{name}) AS {name}" for name in LISTED)
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        query = (
            f"SELECT user_id, {unpacked} FROM (SELECT user_id, list(struct_pack({packed}) ORDER BY event_ts DESC)"
            f"[1:{LENGTH}] AS found FROM '{world.events}' GROUP BY user_id)"
        )
        out = _duckdb(folder).execute(query).to_arrow_table()
    return lambda: _lists([out])


def _duckdb_as_of(world: World) -> Check:
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        database = _duckdb(folder)
        database.execute(
            "CREATE TEMP TABLE histories AS SELECT user_id, list(struct_pack(t := epoch_us(event_ts), a := action,"
            f" i := item_id) ORDER BY event_ts) AS events FROM '{world.events}' GROUP BY user_id"
        )
        out = database.execute(
            f"SELECT epoch_us(label_ts) AS as_of, list_filter(events, lambda e: e.t < epoch_us(label_ts))[-{LENGTH}:]"
            f" AS found FROM '{world.examples}' LEFT JOIN histories USING (user_id) ORDER BY example_id"
        ).to_arrow_table()
    lists = out["found"].combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    flat = lists.flatten()
    counts = np.asarray(lists.value_lengths().fill_null(0))
    end = np.cumsum(counts)
    named = {name: flat.field(at).to_numpy() for at, name in enumerate("tai")}
    return _fed(end - counts, end, out["as_of"].to_numpy(), named["i"], named["a"], named["t"])


# -- pandas ----------------------------------------------------------------------------------------


def _pandas_last(world: World) -> Check:
    import pandas as pd

    frame = pd.read_parquet(world.events, columns=["user_id", *LISTED])
    frame = frame.sort_values(["user_id", "event_ts"], ascending=[True, False], kind="stable")
    frame = frame.groupby("user_id", sort=False).head(LENGTH)
    out = frame.groupby("user_id", sort=False).agg(dict.fromkeys(LISTED, list))

    def check() -> dict[str, Any]:
        sums = [float(out[name].map(sum).sum()) for name in LISTED if name != "event_ts"]
        moments = [np.array([each.value for each in row]) // 1000 % 1_000_003 for row in out["event_ts"]]
        total = float(sum(int(row.sum()) for row in moments))
        newest = sum(int(row[0]) for row in moments)
        tokens = sum(len(row) for row in moments)
        return {
            "users": len(out),
            "tokens": tokens,
            "newest": newest,
            "sums": [float(f"{value:.8g}") for value in (total, *sums)],
        }

    return check


def _pandas_as_of(world: World) -> Check:
    import pandas as pd

    frame = pd.read_parquet(world.events, columns=["user_id", "event_ts", "action", "item_id"])
    frame = frame.sort_values(["user_id", "event_ts"], kind="stable", ignore_index=True)
    frame["row"] = np.arange(len(frame))
    first = frame.groupby("user_id")["row"].min().rename("first")
    asked = pd.read_parquet(world.examples).sort_values("label_ts")
    joined = pd.merge_asof(
        asked,
        frame[["user_id", "event_ts", "row"]].sort_values("event_ts", kind="stable"),
        left_on="label_ts",
        right_on="event_ts",
        by="user_id",
        allow_exact_matches=False,
    )
    joined = joined.join(first, on="user_id").sort_values("example_id")
    end = joined["row"].fillna(-1).to_numpy().astype(np.int64) + 1
    begin = np.where(end > 0, np.maximum(joined["first"].fillna(0).to_numpy().astype(np.int64), end - LENGTH), 0)
    as_of, moment = (
        each.to_numpy().astype("datetime64[us]").astype(np.int64) for each in (joined["label_ts"], frame["event_ts"])
    )
    return _fed(begin, end, as_of, frame["item_id"].to_numpy(), frame["action"].to_numpy(), moment)


# -- Spark, local ----------------------------------------------------------------------------------


def _spark(folder: str) -> Any:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{THREADS}]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", str(4 * THREADS)).config("spark.driver.memory", "6g")
    builder = builder.config("spark.sql.session.timeZone", "UTC").config("spark.local.dir", folder)
    return builder.getOrCreate()


def _spark_last(world: World) -> Check:
    from pyspark.sql import Window
    from pyspark.sql import functions as sf

    folder = tempfile.mkdtemp(prefix="nbplat-bench-")
    spark = _spark(folder)
    newest = Window.partitionBy("user_id").orderBy(sf.desc("event_ts"))
    ranked = spark.read.parquet(str(world.events)).select("user_id", *LISTED, sf.row_number().over(newest).alias("nth"))
    packed = sf.sort_array(sf.collect_list(sf.struct(sf.col("nth"), *map(sf.col, LISTED))))
    found = ranked.where(f"nth <= {LENGTH}").groupBy("user_id").agg(packed.alias("found"))
    out = found.select("user_id", *(sf.col(f"found.{name}").alias(name) for name in LISTED))
    out.write.mode("overwrite").parquet(f"{folder}/out")

    def check() -> dict[str, Any]:
        return _lists([pq.read_table(f"{folder}/out")])

    return check


def _spark_as_of(world: World) -> Check:
    from pyspark.sql import Window
    from pyspark.sql import functions as sf

    folder = tempfile.mkdtemp(prefix="nbplat-bench-")
    spark = _spark(folder)
    events = spark.read.parquet(str(world.events))
    asked = spark.read.parquet(str(world.examples))
    # Questions sort before events of their moment; a frame of rows needs room for those that stand between the events.
    both = events.selectExpr(
        "user_id", "event_ts AS at", "1 AS kind", "NULL AS example_id", "struct(event_ts, action, item_id) AS e"
    )
    both = both.unionByName(asked.selectExpr("user_id", "label_ts AS at", "0 AS kind", "example_id", "NULL AS e"))
    before = Window.partitionBy("user_id").orderBy("at", "kind").rowsBetween(Window.unboundedPreceding, -1)
    found = both.withColumn("found", sf.collect_list("e").over(before)).where("kind = 0")
    found = found.selectExpr(
        "example_id", "at", f"slice(found, greatest(size(found) - {LENGTH - 1}, 1), {LENGTH}) AS found"
    )
    found.write.mode("overwrite").parquet(f"{folder}/out")
    out = pq.read_table(f"{folder}/out").sort_by("example_id")
    lists = out["found"].combine_chunks()
    flat = lists.flatten()
    counts = np.asarray(lists.value_lengths().fill_null(0))
    end = np.cumsum(counts)
    named = {name: flat.field(at) for at, name in enumerate(("t", "a", "i"))}
    moment = named["t"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    as_of = out["at"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    return _fed(end - counts, end, as_of, named["i"].to_numpy(), named["a"].to_numpy(), moment)


# -- the floor -------------------------------------------------------------------------------------


def _floor_last(world: World) -> Check:
    """What no way is spared: decode the columns, sort as many integers, gather what survives."""
    table = pq.read_table(world.events, columns=["user_id", *LISTED])
    user, moment = table["user_id"].to_numpy(), table["event_ts"].cast(pa.int64()).to_numpy()
    keys = (user.astype(np.uint64) << np.uint64(43)) | (moment - moment.min()).astype(np.uint64)
    keys.sort()
    kept = int(np.minimum(np.bincount(user), LENGTH).sum())
    at = np.arange(kept)
    for name in LISTED:
        table[name].combine_chunks().take(pa.array(at))
    return dict


LAST: dict[str, Callable[[World], Check]] = {
    "nbplat": _nbplat_last,
    "nbplat-built": _nbplat_built,
    "numpy": _numpy_last,
    "polars": _polars_best,
    "polars-sort": _polars_natural,
    "duckdb": _duckdb_last,
    "pandas": _pandas_last,
    "spark": _spark_last,
    "floor": _floor_last,
}
AS_OF: dict[str, Callable[[World], Check]] = {
    "nbplat-as-of": _nbplat_as_of,
    "numpy-as-of": _numpy_as_of,
    "polars-as-of": _polars_as_of,
    "duckdb-as-of": _duckdb_as_of,
    "pandas-as-of": _pandas_as_of,
    "spark-as-of": _spark_as_of,
}


if __name__ == "__main__":
    main(*sys.argv[1:])
