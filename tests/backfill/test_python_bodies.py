"""Python bodies from plan to promotion, in real child interpreters."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbplat.backfill.explain import explain_plan
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.spec import BackfillSpec
from nbplat.errors import NbplatError
from tests.fixtures.interpreters import make_venv
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows

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


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no keys": (DOUBLE, {"keys": ()}, "body.keys"),
    "an unknown key": (DOUBLE, {"keys": ("idd",)}, "key.unknown"),
    "a column the table has not": ("def feature(batch): return {'f': batch['y']}", {}, "body.column"),
    "a column to read that it has not": (DOUBLE, {"read": ["y"]}, "body.column"),
    "a group column that it has not": (DOUBLE, {"group_by": ["y"]}, "body.column"),
    "a column outside what is read": (DOUBLE, {"read": ["tag"]}, "body.raised"),
    "an exception": ("def feature(batch): return {'f': 1 / 0}", {}, "body.raised"),
    "the end of the process": ("import os\ndef feature(batch): os._exit(3)", {}, "body.crashed"),
    "a column that exists": ("def feature(batch): return {'tag': batch['x']}", {}, "column.exists"),
    "no new column": ("def feature(batch): return {}", {}, "body.columns"),
    "a name of the staging table": ("def feature(batch): return {'nb_pos': batch['x']}", {}, "column.name"),
    "only nulls": ("def feature(batch): return {'f': [None] * len(batch)}", {}, "body.result_type"),
    "a type no column has": (
        "import pyarrow as pa\ndef feature(batch): return {'f': pa.array([[('a', 1)]] * len(batch),"
        " pa.map_(pa.string(), pa.int64()))}",
        {},
        "type.unsupported",
    ),
    "a type for another column": (DOUBLE, {"types": {"g": "double"}}, "type.column"),
    "a type it does not become": (DOUBLE, {"types": {"f": "date"}}, "type.cast"),
    "an environment by name": (DOUBLE, {"env": "prod"}, "env.unknown"),
    "an environment that is not there": (DOUBLE, {"env": "/nowhere/venv"}, "python.interpreter"),
    "an interpreter that is not there": (DOUBLE, {"interpreter": "/nowhere/python"}, "python.interpreter"),
    "outside the window": (DOUBLE, {"start": "2030-01-01"}, "window.outside"),
    "rows that depend on their neighbours": (
        "import pyarrow.compute as pc\ndef feature(batch): return {'f': pc.subtract(batch['id'], pc.min(batch['id']))}",
        {},
        "body.not_row_wise",
    ),
    "rows that depend on their place": (
        "def feature(batch): return {'f': [i * 1.0 for i in range(len(batch))]}",
        {},
        "body.not_row_wise",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_when_it_is_planned(shop: Lake, what: str) -> None:
    """Each has its code and a mend, and no table or run changes."""
    source, options, code = REFUSED[what]
    _, *before = shop.picture()
    error = refused(shop, source, **options)
    assert code == error.code, error
    assert error.fix
    _, *after = shop.picture()
    assert before == after


def test_the_refusal_of_a_body_that_is_not_row_wise_names_values_and_the_mend(shop: Lake) -> None:
    """Column, key and both values are told, and --group-by."""
    source, options, _ = REFUSED["rows that depend on their neighbours"]
    error = refused(shop, source, **options)
    assert "feature gives f = 0 at {'id': " in error.message
    assert "--group-by" in error.fix


def test_a_body_that_is_random_is_left_to_the_audit(shop: Lake) -> None:
    """Other values at every run prove nothing of batches: the plan says so and the rule of determinism judges it."""
    made = plan(shop, "import random\ndef feature(batch): return {'f': [random.random() for _ in range(len(batch))]}")
    assert "declared row-wise, but it gives other values each time it runs" == made.why


def test_an_env_by_path_is_found(shop: Lake, tmp_path: Path) -> None:
    """A folder with bin/python and the interpreter itself mean the same, without nbplat installed there."""
    python = make_venv(tmp_path / "venv")
    for env in (tmp_path / "venv", python):
        made = plan(shop, DOUBLE, env=str(env))
        assert str(python) == made.body["interpreter"]


def rare_id(lake: Lake) -> int:
    """An id in the smallest file, which no plan samples."""
    files = [
        lake.backfills.tables.read(plan(lake, DOUBLE).base, ["id"], paths=[unit.path])["id"].to_pylist()
        for unit in plan(lake, DOUBLE).units
    ]
    return int(min(files, key=len)[0])


def test_a_poison_unit_ends_with_the_users_error(lake: Lake) -> None:
    """One file's rows make the function raise: the others are staged, its unit has the lines and keys."""
    source = """
def feature(batch):
    rows = batch['id'].to_pylist()
    if bad in rows:
        raise ValueError('bad row')
    return {'f': [r * 1.0 for r in rows]}
"""
    lake.submit("poison", "", python={"source": source, "params": {"bad": rare_id(lake)}}, keys=("id",))
    error = lake.fail()
    assert "body.raised" == error["code"]
    assert "1 of 6 files failed" in error["message"]
    assert "ValueError: bad row at body, line 5, in feature: raise ValueError('bad row')" in error["message"]
    assert "(id=" in error["message"]
    assert 5 == lake.backfills.progress(lake.backfills.find("poison@1"))["done"]


def test_a_unit_that_crashes_its_interpreter_leaves_the_job_alive(lake: Lake) -> None:
    """os._exit in one file's rows is that unit's error; the others are staged."""
    source = """
import os
def feature(batch):
    rows = batch['id'].to_pylist()
    if bad in rows:
        print('going down', flush=True)
        os._exit(9)
    return {'f': [r * 1.0 for r in rows]}
"""
    lake.submit("crash", "", python={"source": source, "params": {"bad": rare_id(lake)}}, keys=("id",))
    error = lake.fail()
    assert "body.crashed" == error["code"]
    assert "exit code 9" in error["message"]
    assert 5 == lake.backfills.progress(lake.backfills.find("crash@1"))["done"]


def test_a_type_that_drifts_between_units_names_both(lake: Lake) -> None:
    """A unit that gives text where the sample gave numbers fails with both types; a declared type mends it."""
    source = """
def feature(batch):
    rows = batch['id'].to_pylist()
    return {'f': [r if bad in rows else r * 1.0 for r in rows]}
"""
    lake.submit("drift", "", python={"source": source, "params": {"bad": rare_id(lake)}}, keys=("id",))
    error = lake.fail()
    assert "body.type_drift" == error["code"]
    assert "as int64 here, and gave double" in error["message"]
    run_id = stage(lake, "no_drift", source, types={"f": "double"}, params={"bad": rare_id(lake)})
    assert list(range(60)) == lake.staged(run_id)["f"].tolist()


RANK = """
import pyarrow.compute as pc
def feature(batch):
    return {"f": pc.rank(batch["id"], "descending"), "n": [len(batch)] * len(batch), "who": batch["customer"]}
"""


def test_groups_are_whole_however_files_lie(lake: Lake) -> None:
    """Ranks within a customer equal a window function's over the whole table."""
    made = plan(lake, RANK, group_by=["customer"])
    assert not made.row_wise
    assert "by groups of customer" in made.why
    run_id = stage(lake, "rank", RANK, group_by=["customer"])
    sql = lake.stage(
        "rank_sql",
        "select id, row_number() over (partition by customer order by id desc) as r, customer as c from base",
    )
    assert np.array_equal(lake.staged(sql)["r"], lake.staged(run_id)["f"])
    assert np.array_equal(lake.staged(sql)["c"], lake.staged(run_id)["who"])


def test_groups_within_partitions_are_run_partition_by_partition(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the partition is made of grouped columns, each piece has whole partitions, with the same values."""
    monkeypatch.setattr("nbplat.backfill.groups._PIECE_BYTES", 1)
    rows = small_rows(120).select(["customer", "id", "x"])
    lake.make("shop.by_customer", rows.slice(0, 70)).append(rows.slice(70))
    source = RANK.replace('"who": batch["customer"]', '"who": batch["x"]')
    asked: dict[str, Any] = {"group_by": ["customer"], "read": ["x"]}
    made = plan(lake, source, "shop.by_customer", **asked)
    assert (4, 2) == (len(made.units), len(made.groups))
    assert "over whole partitions" in dict(explain_plan(made))["engine"]
    run_id = stage(lake, "by_part", source, "shop.by_customer", **asked)
    expected = lake.rows("shop.by_customer").groupby("customer")["id"].rank(ascending=False)
    assert np.array_equal(expected, lake.staged(run_id)["f"])
    # Not a grouped column: one piece.
    assert 1 == len(plan(lake, source, "shop.by_customer", keys=("id",), group_by=["x"]).groups)


def test_groups_are_those_of_the_window(lake: Lake) -> None:
    """Rows outside the window are in no group and hold null."""
    run_id = stage(lake, "rank", RANK, group_by=["customer"], start="2024-02-01", end="2024-03-01")
    staged = lake.staged(run_id).merge(lake.rows(), on="id", suffixes=("", "_base"))
    inside = staged["ts_base" if "ts_base" in staged else "ts"].dt.month == 2
    expected = staged[inside].groupby("customer")["id"].rank(ascending=False)
    assert np.array_equal(expected, staged[inside]["f"])
    assert staged[~inside]["f"].isna().all()


def test_params_modules_and_shipped_sources_reach_every_unit(lake: Lake) -> None:
    """A run with all of them has their values."""
    text = b"def scale(values, by):\n    return [None if v is None else v * by for v in values]"
    data = base64.b64encode(text).decode()
    run_id = stage(
        lake,
        "scaled",
        "def feature(batch, params):\n    import scaling\n"
        "    return {'f': scaling.scale(batch['x'].to_pylist(), half(params['by']))}",
        modules=[{"name": "scaling.py", "data": data}],
        shipped={"half": "def half(x):\n    return x / 2"},
        params={"by": 8.0},
    )
    assert np.array_equal(lake.rows()["x"] * 4, lake.staged(run_id)["f"], equal_nan=True)


def test_a_window_leaves_nulls_outside(lake: Lake) -> None:
    """Rows outside hold null, and the function does not see them."""
    source = """
def feature(batch):
    assert all((ts.month, ts.day) >= (2, 10) for ts in batch['ts'].to_pylist())
    return {'f': [1] * len(batch)}
"""
    run_id = stage(lake, "windowed", source, start="2024-02-10", end="2024-03-01", read=["ts"])
    staged = lake.staged(run_id).set_index("id")
    times = lake.rows().set_index("id")["ts"].loc[staged.index]
    assert np.array_equal(times.dt.day >= 10, staged["f"].notna())
    assert 0 < staged["f"].count() < len(staged)


def test_equal_cells_attach_and_changed_ones_do_not(lake: Lake) -> None:
    """The same body and values attach to the run; another value opens a new one."""
    source = """
def feature(batch):
    return {'f': [K] * len(batch)}
"""

    def ask(value: int) -> str:
        run = lake.submit("same", "", python={"source": source, "params": {"K": value}}, keys=("id",)).run
        assert run is not None
        return run.id

    assert ("same@1", "same@1", "same@2") == (ask(1), ask(1), ask(2))


def test_python_equals_sql_on_the_retail_table(demo: Lake) -> None:
    """A feature of several columns, with nulls and times, has SQL's values on real rows."""
    sql = demo.stage(
        "r_sql",
        "select example_id, year(label_ts) * 100 + month(label_ts) as ym, customer_id * 3 as c3 from base",
        "retail.train",
    )
    source = """
import pyarrow.compute as pc
def feature(batch):
    ym = pc.add(pc.multiply(pc.year(batch["label_ts"]), 100), pc.month(batch["label_ts"]))
    return {"ym": ym, "c3": pc.multiply(batch["customer_id"], 3)}
"""
    python = stage(demo, "r_python", source, "retail.train", keys=("example_id",))
    one, other = demo.staged(sql, "example_id"), demo.staged(python, "example_id")
    assert 1943 == len(one)
    for column in ("ym", "c3"):
        assert np.array_equal(one[column], other[column])


def test_a_record_says_what_ran(lake: Lake) -> None:
    """The run keeps source, modules' hashes, values and the interpreter's versions."""
    run = lake.submit("kept", "", python={"source": DOUBLE, "params": {"k": 1}}, keys=("id",)).run
    assert run is not None
    assert (DOUBLE, {"k": 1}) == (run.spec["python"]["source"], run.spec["python"]["params"])
    assert "pyarrow" in run.plan["python"]["found"]
    lines = dict(explain_plan(BackfillPlan.from_record(run.plan)))
    assert "the batch holds id, x" in lines["python"]
