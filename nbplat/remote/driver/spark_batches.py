"""A Spark DataFrame as Arrow batches, a few partitions at a time: its rows are never in the driver together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["arrow_schema", "in_arrow_types", "spark_batches"]

_GROW = 4
_MOST_ROWS = (1 << 31) - 2


def arrow_schema(frame: Any) -> Any:
    """The Arrow schema of a DataFrame, instants in UTC; None where Arrow cannot be had."""
    try:
        from pyspark.sql.pandas.types import to_arrow_schema

        session = frame.sparkSession
    except (ImportError, AttributeError):
        return None
    jvm_conf = getattr(session, "_jconf", None)
    # What pyspark's own toArrow reads; Connect has no JVM, and its server sends the plain types.
    large = jvm_conf is not None and jvm_conf.arrowUseLargeVarTypes()
    return to_arrow_schema(frame.schema, prefers_large_types=large)


def in_arrow_types(frame: Any) -> Any:
    """A DataFrame whose columns of a type that Arrow lacks, such as intervals of months, are text."""
    texts = {place for place, field in enumerate(frame.schema.fields) if not _has_arrow(field.dataType)}
    if not texts:
        return frame
    # By place: two columns may have one name.
    numbered = frame.toDF(*(f"c{place}" for place in range(len(frame.columns))))
    columns = [
        numbered[name].cast("string") if n in texts else numbered[name] for n, name in enumerate(numbered.columns)
    ]
    return numbered.select(*columns).toDF(*frame.columns)


def _has_arrow(kind: Any) -> bool:
    try:
        from pyspark.errors import PySparkTypeError
        from pyspark.sql.pandas.types import to_arrow_type
    except ImportError:
        return True
    try:
        to_arrow_type(kind)
    except PySparkTypeError:
        return False
    return True


def spark_batches(frame: Any, rows: int, page_bytes: int) -> Iterator[bytes]:
    """Batches of a DataFrame in its order, each the bytes of one Arrow IPC message.

    Partitions are computed as they are asked for: the first alone, then as many together as are thought to fill a page
    by what those before them held. What is not asked for is not computed, but for what a shuffle must read.

    Args:
        rows: No partition gives more than so many and one; who takes them looks after the total.
        page_bytes: What one job brings to this process's JVM, as far as one partition is not larger.
    """
    if not hasattr(frame, "_jdf"):
        yield from _connect_batches(frame, rows)
        return
    from pyspark.serializers import NoOpSerializer
    from pyspark.util import _load_from_socket

    context = frame.sparkSession.sparkContext
    with _conf_for_tasks(frame.sparkSession):
        # As collect() and toArrow() make their batches, without their one job over everything.
        batches = _limited(frame, rows).toArrowBatchRdd().toJavaRDD()
        count = batches.getNumPartitions()
        run = context._jvm.PythonRDD.runJob  # noqa: SLF001
        begin, group, taken = 0, 1, 0
        while begin < count:
            end = min(begin + group, count)
            served = run(context._jsc.sc(), batches, list(range(begin, end)))  # noqa: SLF001
            for batch in _load_from_socket(served, NoOpSerializer()):
                taken += len(batch)
                yield batch
            fits = page_bytes * end // taken if taken else count
            group = max(1, min(group * _GROW, fits))
            begin = end


def _connect_batches(frame: Any, rows: int) -> Iterator[bytes]:
    """As Spark Connect streams them, one after the other."""
    schema = arrow_schema(frame)
    cut = frame if rows > _MOST_ROWS else frame.limit(rows + 1)
    client, plan = cut.sparkSession.client, cut._plan  # noqa: SLF001 - what its toPandas calls
    for part in client.to_table_as_iterator(plan.to_proto(client), plan.observations):
        if hasattr(part, "to_batches"):
            yield from (batch.serialize() for batch in part.cast(schema).to_batches())


def _limited(frame: Any, rows: int) -> Any:
    """The JVM's DataFrame with a limit on each partition.

    ``limit()`` would have every partition computed and all rows sent to one, before the first comes.
    """
    dataset = frame._jdf  # noqa: SLF001
    if rows > _MOST_ROWS:
        return dataset
    sql = frame.sparkSession.sparkContext._jvm.org.apache.spark.sql  # noqa: SLF001
    most = sql.catalyst.expressions.Literal(rows + 1, sql.types.DataTypes.IntegerType)
    plan = sql.catalyst.plans.logical.LocalLimit(most, dataset.logicalPlan())
    return sql.classic.Dataset.ofRows(dataset.sparkSession(), plan)


@contextmanager
def _conf_for_tasks(session: Any) -> Iterator[None]:
    """Let tasks see the session's SQL settings, which a job beside Spark's own actions does not take along."""
    context = session.sparkContext
    settings = {key: value for key, value in session.conf.getAll.items() if key.startswith("spark.sql.")}
    before = {key: context.getLocalProperty(key) for key in settings}
    for key, value in settings.items():
        context.setLocalProperty(key, value)
    try:
        yield
    finally:
        for key, old in before.items():
            context.setLocalProperty(key, old)
