"""A condition holds for the same events in the local engine, which evaluates it everywhere, as in Spark."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import numpy as np
import pyarrow as pa
import pytest

from nbplat.adapters.duckdb.conditions import DuckDBConditions
from nbplat.remote.failure import KernelError
from nbplat.remote.sequence.conditions import passes
from tests.fixtures.spark import JVM_MARKS, SparkLab

pytestmark = JVM_MARKS


def moment(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[arg-type, misc]


_PRICES = ("0.20", "0.10", "-0.20", "3.00", "9999.99", None, None, "1.00")

ROWS = pa.table(
    {
        "rid": pa.array(range(8), pa.int32()),
        "f": pa.array([math.nan, -0.0, 0.0, None, math.inf, -math.inf, 1.5, 1e300]),
        "s": ["", "naïve", None, " x ", "x", "X", "10", "\u00dc"],
        "n": pa.array([0, -7, 7, None, 2**31 - 1, 3, 3, -1], pa.int32()),
        "at": pa.array(
            [
                moment(2011, 3, 27, 1),
                moment(2011, 10, 30, 0, 30),
                None,
                moment(1969, 12, 31, 23, 59, 59, 999999),
                moment(1970, 1, 1),
                moment(2012, 2, 29, 23),
                moment(2038, 1, 19),
                moment(2011, 3, 26, 23, 59, 59),
            ],
            pa.timestamp("us", "UTC"),
        ),
        "ok": [True, False, None, True, False, None, True, False],
        "amount": pa.array([0.2, 0.1, None, math.nan, 1.5, -0.2, 3, math.inf], pa.float32()),
        "price": pa.array([None if text is None else decimal.Decimal(text) for text in _PRICES], pa.decimal128(12, 2)),
    }
)

CONDITIONS = [
    "f > 0",
    "f >= 0D",
    "f = f",
    "f != 0",
    "not (f < 1)",
    "isnan(f) or f is null",
    "f <=> null",
    "f between -1 and 2",
    "f in (0D, 1.5D)",
    "s = 'x' or s like '%n%'",
    "s != 'x'",
    "length(trim(s)) = 1",
    "upper(s) = 'X'",
    "s < 'a'",
    "s in ('x', null)",
    "s not in ('x', 'X')",
    "n % 2 = 0",
    "n % 2 = -1",
    "abs(n) > 5 and f is not null",
    "n + 0.5D > 3",
    "coalesce(n, 0) = 0",
    "case when n = 0 then null when n > 0 then true else false end",
    "at > timestamp '1970-01-01 00:00:00'",
    "date(at) = date '2011-03-26'",
    "year(at) = 2011 and month(at) = 3",
    "hour(at) >= 23",
    "dayofweek(at) = 1",
    "ok or n > 0",
    "ok and n > 0",
    "not ok",
    "ok = (n > 0)",
    "n != 0 and 7 / n > 1",
    "true",
    "cast(null as boolean)",
]

FLOATS = [
    *(f"amount {sign} {side}" for sign in ("=", "!=", "<", ">=", "<=>") for side in ("0.2", "0.2D", "n", 3, "f")),
    "amount between -0.2 and 0.2",
    "amount not in (0.2, 1.5, 3)",
    "not amount > 0.1 or amount is null",
    "amount < price",
]

DECIMALS = [
    *(f"price {sign} {side}" for sign in ("=", "!=", "<", "<=", ">", ">=") for side in ("0.2", "0.1D", 3, "n", "f")),
    "price between 0.1 and 3",
    "price in (0.2, 3)",
]


@pytest.mark.parametrize("conditions", [CONDITIONS, FLOATS, DECIMALS], ids=["all kinds", "floats", "decimals"])
def test_the_same_rows_pass_in_spark(spark: SparkLab, conditions: list[str]) -> None:
    """Nulls, NaN, signs of zero, odd text and moments: every condition gives Spark's answer on every row."""
    prepared = [DuckDBConditions().prepare(where, ROWS.schema) for where in conditions]
    mask = passes(ROWS, prepared)
    ours = {where: np.flatnonzero(mask >> bit & 1).tolist() for bit, where in enumerate(conditions)}

    frame = spark.session.createDataFrame(ROWS)
    frame.createOrReplaceTempView("nb_condition_rows")
    asked = ", ".join(f"collect_list(rid) filter (where {where}) as c{bit}" for bit, where in enumerate(conditions))
    [row] = spark.rows(f"select {asked} from nb_condition_rows")
    theirs = {where: sorted(row[bit]) for bit, where in enumerate(conditions)}

    assert theirs == ours


@pytest.mark.parametrize("where", ["7 / n > 1", "cast(f as int) > 0", "n + n > 0"])
def test_what_fails_in_spark_fails_here(spark: SparkLab, where: str) -> None:
    """A division by zero and a number that does not fit end the build on either engine, instead of being null."""
    prepared = DuckDBConditions().prepare(where, ROWS.schema)
    with pytest.raises(KernelError, match=r"sequence\.where_values"):
        passes(ROWS, [prepared])
    spark.session.createDataFrame(ROWS).createOrReplaceTempView("nb_condition_rows")
    with pytest.raises(Exception, match=r"DIVIDE_BY_ZERO|CAST_OVERFLOW|ARITHMETIC_OVERFLOW"):
        spark.rows(f"select rid from nb_condition_rows where {where}")
