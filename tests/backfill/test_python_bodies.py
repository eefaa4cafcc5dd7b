"""Python bodies from plan to promotion, in real child interpreters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.spec import BackfillSpec
from nbplat.errors import NbplatError
from tests.fixtures.lakehouse import ORDERS, Lake

DOUBLE = """
import pyarrow.compute as pc

def feature(batch: pyarrow.Table) -> dict:
    return {"f": pc.multiply(pc.fill_null(batch["x"], 0.0), 2.0)}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """One for every plan and refusal, which change nothing, and for runs under names of their own."""
    lake = Lake(tmp_path_factory.mktemp("python") / "home")
    lake.make_shop()
    yield lake
    lake.close()


def plan(lake: Lake, source: str, table: str = ORDERS, **options: Any) -> BackfillPlan:
    python = {key: options.pop(key) for key in list(options) if key in PYTHON_OPTIONS}
    options = {"keys": ("id",), **options}
    return lake.backfills.plan(BackfillSpec.build("f", table, python={"source": source, **python}, **options))


def stage(lake: Lake, name: str, source: str, table: str = ORDERS, **options: Any) -> str:
    python = {key: options.pop(key) for key in list(options) if key in PYTHON_OPTIONS}
    options = {"keys": ("id",), **options}
    return lake.stage(name, "", table, python={"source": source, **python}, **options)


PYTHON_OPTIONS = ("shipped", "modules", "params", "read", "group_by", "interpreter", "env")


def refused(lake: Lake, source: str, **options: Any) -> NbplatError:
    with pytest.raises(NbplatError) as caught:
        plan(lake, source, **options)
    return caught.value


def test_a_python_column_equals_the_sql_one_staged_and_promoted(lake: Lake) -> None:
    """The same feature in Python and in SQL has the same values, and both are promoted."""
    sql = lake.stage("by_sql", "select id, coalesce(x, 0D) * 2D as g from base")
    python = stage(lake, "by_python", DOUBLE)
    assert np.array_equal(lake.staged(sql)["g"], lake.staged(python)["f"])
    lake.promote(python)
    rows = lake.rows()
    assert np.array_equal(rows["x"].fillna(0.0) * 2, rows["f"])
    lake.roll_back(python)
    assert "f" not in lake.rows().columns


def test_the_plan_says_what_runs_where(shop: Lake) -> None:
    """A plan names the columns the batch holds, the interpreter's versions and how the rows may be cut."""
    made = plan(shop, DOUBLE)
    assert ["id", "x"] == made.body["reads"]
    assert ("f", "double") == (made.columns[0].name, made.columns[0].type)
    assert made.body["found"].startswith("Python 3.")
    assert made.row_wise
    assert "declared row-wise, and 14 rows gave equal values in two batchings" == made.why
    assert made == BackfillPlan.from_record(json.loads(json.dumps(made.record())))
