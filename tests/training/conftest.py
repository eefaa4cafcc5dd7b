"""One lake with a base table and staged tables of every kind; tests only read it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from pyiceberg.types import DateType, DoubleType, FloatType, IntegerType, ListType, LongType, StringType

from tests.fixtures.engines import ray_cluster
from tests.fixtures.lakehouse import Lake
from tests.training.join_tables import make_table

__all__ = ["joins", "ray_cluster"]

DAYS = [dt.date(2026, 11, day) for day in (1, 2, 3)]


@pytest.fixture(scope="package")
def joins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """`j.base` of 240 rows (3 days, 4 buckets of id) and what is staged for it; `twice@1` is a run on it."""
    lake = Lake(tmp_path_factory.mktemp("joins") / "home")
    key, day = ("id", LongType()), ("dt", DateType())
    rows = [{"id": n, "dt": DAYS[n % 3], "user": f"u{n % 9}", "x": n / 2, "emb": [float(n), 1.0]} for n in range(240)]
    emb = ("emb", ListType(10, FloatType(), element_required=False))
    base = [key, day, ("user", StringType()), ("x", DoubleType()), emb]
    make_table(lake.catalog, "j.base", base, [rows], bucket=("id", 4), by="dt")
    score = [{**row, "score": row["id"] * 1.5, "count": row["id"] % 5} for row in rows]
    values = [("score", DoubleType()), ("count", IntegerType())]
    for name, kept, buckets in (
        ("j.score", score, 8),
        ("j.gaps", [row for row in score if row["dt"] != DAYS[2] and row["id"] % 10], 4),
        ("j.thin", [row for row in score if row["id"] % 10], 2),
        ("j.odd", score, 3),
        ("j.doubled", [*score, {**score[5], "score": -1.0, "count": 100}], 4),
    ):
        make_table(lake.catalog, name, [key, day, *values], [kept], bucket=("id", buckets), by="dt")
    texts = [{**row, "id": str(row["id"])} for row in score]
    make_table(lake.catalog, "j.texts", [("id", StringType()), day, *values], [texts], bucket=("id", 4), by="dt")
    lake.stage("twice", "SELECT id, x * 2 AS twice FROM base", "j.base", keys=("id",))
    yield lake
    lake.close()
