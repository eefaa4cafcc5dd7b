"""The declared SQL subset of the local engine, held against Spark itself, expression by expression.

An expression is proved when both engines give the same type and the same value on every row of a
table of hard values, and fail on the same rows. A function may be allowed only with cases here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.adapters.duckdb.engine import DuckDBEngine
from nbplat.backfill.body import BASE, bind_body, parse_body
from nbplat.backfill.dialect import FUNCTIONS, to_duckdb
from nbplat.backfill.types import from_arrow
from nbplat.errors import NbplatError
from tests.fixtures.spark import JVM_MARKS, SparkLab
from tests.spark.sql_cases import AGGREGATES, COLUMNS, OPERATORS, QUERIES, SCALARS, WINDOWS, Case

pytestmark = JVM_MARKS

NAN, INF = math.nan, math.inf
MAX_INT, MAX_LONG = 2**31 - 1, 2**63 - 1


def ts(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


# rid, g (group), then pairs of one type each: i j int, b c bigint, d e double, s u string, p q boolean, dt dt2, at at2.
# fmt: off
ROWS: list[tuple[Any, ...]] = [
    (0, 0, 7, 2, 70, 20, 2.5, 1.25, "abc", "b", True, False,
     date(2011, 3, 31), date(2011, 3, 1), ts(2011, 3, 31, 23, 59, 59, 999999), ts(2011, 3, 1)),
    (1, 0, -7, 2, -70, 20, -2.5, 2.0, "ABC", "", True, True,
     date(2012, 2, 29), date(2011, 2, 28), ts(2012, 2, 29, 12, 30, 15, 500000), ts(2011, 2, 28, 12, 30, 15, 500001)),
    (2, 0, 7, -2, 70, -20, 3.5, -0.0, "", "abc", False, True,
     date(1969, 12, 31), date(1970, 1, 1), ts(1969, 12, 31, 23, 59, 59, 500000), ts(1970, 1, 1)),
    (3, 0, -7, -2, -70, -20, -3.5, 0.0, "żółć", "ó", False, False,
     date(1970, 1, 1), date(1969, 12, 31), ts(1970, 1, 1), ts(1969, 12, 31, 23, 59, 59)),
    (4, 2, 0, 3, 0, 3, 0.5, -1.5, "  x ", "x", None, True,
     date(2000, 2, 29), date(2000, 3, 1), ts(2000, 2, 29, 1, 2, 3), ts(2000, 3, 1, 1, 2, 3)),
    (5, 0, 5, 0, 5, 0, -0.5, 0.5, "12", "1", True, None,
     date(2024, 12, 31), date(2025, 1, 1), ts(2024, 12, 31, 23), ts(2025, 1, 1)),
    (6, 3, None, 1, None, 1, NAN, 1.0, None, "n", False, None, None, date(2020, 1, 1), None, ts(2020, 1, 1)),
    (7, 3, 1, None, 1, None, 1.0, NAN, "n", None, None, False, date(2020, 1, 1), None, ts(2020, 1, 1), None),
    (8, 1, None, None, None, None, None, None, None, None, None, None, None, None, None, None),
    (9, 4, 3, 3, 3, 3, INF, -INF, "😀é", "é", True, True,
     date(1582, 10, 15), date(1500, 1, 1), ts(1900, 1, 1, 1, 1, 1), ts(1900, 1, 1)),
    (10, 4, 2, 10, 2, 10, -INF, INF, "1.5", "5", False, False,
     date(9998, 12, 31), date(1600, 1, 1), ts(2100, 1, 1), ts(1800, 6, 1, 1, 2, 3, 4)),
    (11, 5, MAX_INT, 1, MAX_LONG, 1, 1e300, 1e10, "true", "t", True, False,
     date(2011, 10, 30), date(2011, 10, 29), ts(2011, 10, 30, 1, 30), ts(2011, 10, 29, 1, 30)),
    (12, 6, -MAX_INT - 1, 3, -MAX_LONG - 1, 3, -0.0, 0.25, "\tx\n", "\t", False, True,
     date(2011, 12, 9), date(2011, 12, 9), ts(2011, 12, 9, 12, 50), ts(2011, 12, 9, 12, 50)),
    (13, 3, 100, 7, 1000000007, 7, NAN, NAN, "2011-03-31", "-", True, True,
     date(2011, 3, 27), date(2011, 3, 26), ts(2011, 3, 27, 1), ts(2011, 3, 26, 1)),
    (14, 0, 25, 10, 25, 10, 1.005, 2.675, "2011-03-31 12:00:01", " ", True, True,
     date(2011, 1, 31), date(2010, 12, 31), ts(2011, 1, 31), ts(2010, 12, 31, 0, 0, 1)),
    (15, 0, -25, 10, -15, 10, 1e16, 0.1, "-3", "3", True, True,
     date(2011, 1, 2), date(2011, 1, 3), ts(2011, 1, 2), ts(2011, 1, 3)),
]
# fmt: on
NAMES = ["rid", "g", *"ijbcdesupq", "dt", "dt2", "at", "at2"]
TYPES = [pa.int32()] * 4 + [pa.int64()] * 2 + [pa.float64()] * 2 + [pa.string()] * 2 + [pa.bool_()] * 2
TYPES += [pa.date32()] * 2 + [pa.timestamp("us", "UTC")] * 2
TABLE = pa.table([pa.array(c, t) for c, t in zip(zip(*ROWS, strict=True), TYPES, strict=True)], names=NAMES)


@dataclass(frozen=True)
class Engines:
    """Both engines over the same rows."""

    spark: SparkLab
    local: DuckDBEngine

    def by_spark(self, sql: str) -> pa.Table:
        return self.spark.session.sql(sql).toArrow()

    def by_local(self, sql: str) -> pa.Table:
        bound = bind_body(parse_body(sql), {BASE: COLUMNS}, ())
        return self.local.run(to_duckdb(bound.sql, {BASE: COLUMNS}), {BASE: TABLE})


@pytest.fixture(scope="module")
def engines(spark: SparkLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    folder: Path = tmp_path_factory.mktemp("subset")
    pq.write_table(TABLE, folder / "base.parquet")
    spark.session.read.parquet(str(folder / "base.parquet")).coalesce(1).createOrReplaceTempView(BASE)
    # pyspark logs each failing statement with the whole Java stack; failures are the point of half the cases.
    logging.disable(logging.CRITICAL)
    yield Engines(spark, DuckDBEngine(threads=1, memory_bytes=256 << 20, spill_folder=str(folder)))
    logging.disable(logging.NOTSET)
    spark.session.catalog.dropTempView(BASE)


def same(expected: Any, found: Any, tolerance: float) -> bool:
    """Equal by value: NaN is NaN, -0.0 is 0.0, doubles within a relative tolerance."""
    if isinstance(expected, float) and isinstance(found, float):
        if math.isnan(expected) or math.isnan(found):
            return math.isnan(expected) and math.isnan(found)
        return expected == found or math.isclose(expected, found, rel_tol=tolerance, abs_tol=0.0)
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(
            same(one, other, tolerance) for one, other in zip(expected, found, strict=True)
        )
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(
            same(expected[name], found[name], tolerance) for name in expected
        )
    return bool(expected == found)


def check(engines: Engines, sql: str, tolerance: float) -> None:
    expected, found = engines.by_spark(sql), engines.by_local(sql)
    # By Iceberg's types: Arrow names the elements of lists and says of each level whether it may be null.
    assert [(f.name, from_arrow(f.type)) for f in expected.schema] == [
        (f.name, from_arrow(f.type)) for f in found.schema
    ], sql
    key = expected.column_names[0]
    expected, found = expected.sort_by(key), found.sort_by(key)
    wrong = [
        (row, other)
        for row, other in zip(expected.to_pylist(), found.to_pylist(), strict=True)
        if not all(same(row[name], other[name], tolerance) for name in row)
    ]
    assert [] == wrong, f"{sql}: (Spark, local)"


def check_scalar(engines: Engines, case: Case) -> None:
    from pyspark.errors import PySparkException

    fails = ", ".join(map(str, sorted(case.fails))) or "-1"
    check(engines, f"select rid, {case.sql} as r from base where rid not in ({fails})", case.tolerance)
    for rid in sorted(case.fails):
        row = f"select rid, {case.sql} as r from base where rid = {rid}"
        with pytest.raises(PySparkException):
            engines.by_spark(row)
        with pytest.raises(NbplatError):
            engines.by_local(row)


def prove(engines: Engines, name: str) -> None:
    for case in (*SCALARS.get(name, ()), *WINDOWS.get(name, ())):
        check_scalar(engines, case)
    for case in AGGREGATES.get(name, ()):
        check(engines, f"select g, {case.sql} as r from base group by g", case.tolerance)
        check(engines, f"select {case.sql} as r from base where rid < 0", case.tolerance)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_allowed_function_is_proved(engines: Engines, name: str) -> None:
    """Each function of the allow-list gives Spark's type, values and errors in all of its cases."""
    prove(engines, name)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_operator_is_proved(engines: Engines, name: str) -> None:
    """Arithmetic, comparison, logic, casts and intervals behave as in Spark, ANSI errors included."""
    for case in OPERATORS[name]:
        check_scalar(engines, case)


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_every_shape_of_query_is_proved(engines: Engines, name: str) -> None:
    """Joins, subqueries, grouping and common table expressions return the same rows."""
    check(engines, QUERIES[name], 1e-12)
