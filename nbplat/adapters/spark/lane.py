"""The data frames of the SQL lane: what the body reads, and its result beside file and position of each row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nbplat.remote.spark_tasks import POSITION, UNIT
from nbplat.remote.task import Task, WindowBounds

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["Delivered", "PinnedTable", "SqlLane", "carried", "delivered", "shuffles"]

_DAY_US = 86_400_000_000

_PLACE = "nb__place"
_PATH = "nb__path"
_ROWS_A_WRITER = 1_000_000


@dataclass(frozen=True, slots=True)
class PinnedTable:
    """A table at its pin.

    Attributes:
        location: Of a metadata file whose present state is the pinned one.
        columns: Columns that the body reads.
    """

    location: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SqlLane:
    """What the lane must know beside its task.

    Attributes:
        base: The table; its columns are those of the task.
        sources: Name in the query -> table.
        row_wise: The plan's proof: then every row carries its file and position through the body.
        partitioning: The base's partition spec in words, for messages.
    """

    base: PinnedTable
    sources: Mapping[str, PinnedTable]
    row_wise: bool
    partitioning: str


def delivered(session: SparkSession, lane: SqlLane, task: Task, chosen: Sequence[int]) -> Delivered:
    """Run the body, lazily, and bring its rows beside their place in the base files.

    Args:
        chosen: Indices of the task's files whose rows are wanted; the body sees the whole window all the
            same, unless it is row-wise.
    """
    for name, table in lane.sources.items():
        _read(session, table.location).select(*table.columns).createOrReplaceTempView(name)
    base = _inside(_read(session, lane.base.location), task["window"])
    units = _units(session, task, chosen)
    query = carried(task["body"]["query"], task["base"], task["keys"], task["kept"]) if lane.row_wise else None
    if query is not None:
        frame = _carrying(session, query, base, units, task)
        told = "each row carries its file and position through the body: nothing is joined back"
    else:
        frame = _joined_back(session, base, units, task)
        told = f"the result is joined back to base by {', '.join(task['keys'])}"
    found = shuffles(frame)
    together = not found and _keeps_files_together(frame, lane.base.location)
    tasks = _writers(session, sum(task["files"][index]["rows"] for index in chosen))
    # Coalescing moves nothing and cuts no file; a writer's start costs as much as some hundred thousand rows.
    frame = frame.coalesce(tasks) if together else frame.repartition(min(len(chosen), tasks), UNIT)
    places = [name for name in frame.columns if name.startswith(_PLACE)]
    # The partition sources are sorted by, last, so that the scan keeps them and its grouping with them.
    ordered = frame.sortWithinPartitions(UNIT, POSITION, *places)
    return Delivered(ordered.drop(*places), f"{told}; {_why(found, together, lane, task)}")


def _carrying(session: SparkSession, query: str, base: DataFrame, units: DataFrame, task: Task) -> DataFrame:
    names = pa.ipc.read_schema(pa.py_buffer(task["columns"])).names
    rows = _located(base, names).join(units, on=_PATH).drop(_PATH)
    rows.createOrReplaceTempView(task["base"])
    result = session.sql(query)
    places = [name for name in result.columns if name.startswith(_PLACE)]
    return result.select(UNIT, POSITION, *places, *_new(task))


def _joined_back(session: SparkSession, base: DataFrame, units: DataFrame, task: Task) -> DataFrame:
    names = pa.ipc.read_schema(pa.py_buffer(task["columns"])).names
    base.select(*names).createOrReplaceTempView(task["base"])
    result = session.sql(task["body"]["query"])
    keys = {f"nb__key{number}": key for number, key in enumerate(task["keys"])}
    left = result.select(*(result[key].alias(name) for name, key in keys.items()), *_new(task))
    rows = _located(base, task["keys"]).withColumnsRenamed({key: name for name, key in keys.items()})

    def known(frame: DataFrame) -> DataFrame:
        # Without a position: a key that base does not have. With one and no unit: a file not asked for now.
        return frame.where(frame[UNIT].isNotNull() | frame[POSITION].isNull())

    if set(task["kept"]) <= set(task["keys"]):
        # Spark follows the storage's partitions through scans alone, so files become units after the join.
        frame = left.join(rows.hint("merge"), on=list(keys), how="left_outer")
        frame = known(frame.join(units, on=_PATH, how="left_outer").drop(_PATH))
        if not shuffles(frame):
            return frame
    # A number travels cheaper than a path. A merge spills where a hash table of one bucket would not fit.
    rows = rows.join(units, on=_PATH, how="left_outer").drop(_PATH)
    return known(left.join(rows.hint("merge"), on=list(keys), how="left_outer"))


@dataclass(frozen=True, slots=True)
class Delivered:
    """Rows on their way to the writers.

    Attributes:
        frame: ``nb__unit`` (int; null for a row whose key base does not have), ``nb__pos`` (long), the new
            columns, and the keys as ``nb__key0``, … where rows are joined back. Sorted by unit and
            position; the rows of a unit are in one partition.
        told: How it came about, for the log.
    """

    frame: DataFrame
    told: str


def _why(found: Sequence[str], together: bool, lane: SqlLane, task: Task) -> str:
    if together:
        return f"storage-partitioned ({lane.partitioning}): no shuffle"
    if found:
        moved = f"{len(found)} shuffles ({'; '.join(found)}), then one more that brings the rows of a file together"
    else:
        moved = "one shuffle, of positions and new columns, brings the rows of a file together"
    if not task["kept"]:
        return f"{moved}; not storage-partitioned: the table is not partitioned"
    return (
        f"{moved}; not storage-partitioned: the body or the join back groups rows otherwise than the partitions of the "
        f"table ({lane.partitioning}); a body over the whole window keeps them when their columns are among the keys"
    )


def shuffles(frame: DataFrame) -> list[str]:
    """The shuffles in a frame's plan: ``hashpartitioning(customer)``, …; empty when rows stay where they are read."""
    plan = str(_executed(frame).toString())
    found = re.findall(r"(?<!Broadcast)Exchange (\w+)(\([^\n]*?\))?, (?:ENSURE|REPARTITION)", plan)
    found += [("one partition", "")] * plan.count("Exchange SinglePartition")
    return [name + re.sub(r"#\d+L?", "", arguments) for name, arguments in found]


def carried(query: str, base: str, keys: Sequence[str], places: Sequence[str]) -> str | None:
    """A row-wise body that hands on unit and position of its base row; None when its keys are not base's own.

    Grouping by a key that is unique is grouping by the row, so what is handed on joins the groups.

    Args:
        places: Partition sources, handed on as ``nb__place0``, ….
    """
    import sqlglot
    from sqlglot import exp

    tree: Any = sqlglot.parse_one(query, read="spark")
    reference = next(table for table in tree.find_all(exp.Table) if table.name == base)
    alias = reference.alias_or_name
    outputs = {column.alias_or_name.lower(): column.unalias() for column in tree.selects}
    for key in keys:
        made = outputs[key.lower()]
        if not isinstance(made, exp.Column) or made.table != alias or made.name.lower() != key.lower():
            return None
    hidden = {UNIT: UNIT, POSITION: POSITION} | {f"{_PLACE}{number}": name for number, name in enumerate(places)}
    for name, source in hidden.items():
        column = exp.column(exp.to_identifier(source, quoted=True), table=alias)
        tree.append("expressions", exp.alias_(column, name))
        if tree.args.get("group"):
            tree.args["group"].append("expressions", column.copy())
    return str(tree.sql(dialect="spark"))


def _new(task: Task) -> list[str]:
    """The new columns, quoted; whoever writes them casts them as every engine's are."""
    return [f"`{name}`" for name in pa.ipc.read_schema(pa.py_buffer(task["new"])).names]


def _read(session: SparkSession, location: str) -> DataFrame:
    return session.read.format("iceberg").load(location)


def _units(session: SparkSession, task: Task, chosen: Sequence[int]) -> DataFrame:
    table = {
        _PATH: [task["files"][index]["path"] for index in chosen],
        UNIT: pa.array(list(chosen), pa.int32()),
    }
    return session.createDataFrame(pa.table(table)).hint("broadcast")


def _located(base: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Columns with the path of each row's file and its physical position."""
    from pyspark.sql import functions as f

    return base.select(*columns, f.col("_file").alias(_PATH), f.col("_pos").alias(POSITION))


def _inside(base: DataFrame, window: WindowBounds | None) -> DataFrame:
    if window is None:
        return base
    from pyspark.sql import functions as f

    column = base[window["column"]]
    kind = base.schema[window["column"]].dataType.simpleString()

    def moment(bound: int) -> Column:
        if kind == "date":
            # The first date whose midnight is not before the bound.
            return f.date_from_unix_date(f.lit(-(-bound // _DAY_US)))
        stamp = f.timestamp_micros(f.lit(bound))
        return stamp.cast("timestamp_ntz") if kind == "timestamp_ntz" else stamp

    if window["start"] is not None:
        base = base.where(column >= moment(window["start"]))
    if window["end"] is not None:
        base = base.where(column < moment(window["end"]))
    return base


def _keeps_files_together(frame: DataFrame, location: str) -> bool:
    """True when the scan of base is grouped by partition: then no file's rows are in two tasks."""
    plan = _executed(frame)
    if plan.getClass().getSimpleName() == "AdaptiveSparkPlanExec":
        plan = plan.executedPlan()
    leaves = plan.collectLeaves()
    scans = [leaves.apply(number) for number in range(leaves.size())]
    return all(
        scan.outputPartitioning().getClass().getSimpleName() == "KeyGroupedPartitioning"
        for scan in scans
        if location in scan.toString()
    )


def _writers(session: SparkSession, rows: int) -> int:
    """How many tasks write: enough for every core to be busy to the end, and for none to be long."""
    return max(2 * session.sparkContext.defaultParallelism, rows // _ROWS_A_WRITER)


def _executed(frame: DataFrame) -> Any:
    """Spark's physical plan, a Java object."""
    return frame._jdf.queryExecution().executedPlan()  # noqa: SLF001 - pyspark shows plans as printed text only
