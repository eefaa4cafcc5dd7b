"""What a plan for another engine says and refuses, before anything is started or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.spark import jars
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.table_facts import Column
from nbplat.errors import RequestError, SetupError
from tests.fixtures.engines import EngineLab
from tests.fixtures.lakehouse import ORDERS, Lake
from tests.fixtures.spark import JARS

_BODY = "SELECT id, x * 2 AS twice FROM base"
# Outside the local subset: Spark has these, the subset has not.
_OUTSIDE = (
    "SELECT id, sha2(tag, 256) AS digest, percent_rank() OVER (PARTITION BY customer ORDER BY id) AS share, "
    "array(x, x + 1) AS pair, CAST(x AS decimal(9, 2)) + 1 AS money FROM base"
)


def asked(engine: str, sql: str = _BODY, **options: Any) -> BackfillSpec:
    return BackfillSpec.build("f", ORDERS, sql, engine=engine, **options)


def lake_with(folder: Path, **options: Any) -> Lake:
    lake = Lake(folder / "home", **options)
    lake.make_shop()
    return lake


@pytest.mark.parametrize(
    ("engine", "key", "address"),
    [("ray", "ray.address", "head.far:6379"), ("spark", "spark.master", "spark://head.far:7077")],
)
def test_tables_of_this_machine_are_refused_to_workers_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, key: str, address: str
) -> None:
    """With the embedded catalog a cluster elsewhere is refused at plan, by name, with what to set; nothing is left."""
    monkeypatch.setenv("NBPLAT_JARS", str(JARS))
    monkeypatch.setattr(jars, "iceberg_jar", lambda config: JARS)
    lake = lake_with(tmp_path, **{key: address})
    before = lake.picture()
    with pytest.raises(SetupError, match=rf"engine\.reach.*embedded catalog.*{address}.*catalog\.name.*unset {key}"):
        lake.submit("f", _BODY, engine=engine)
    assert before == lake.picture()
    lake.close()


def test_ray_address_of_the_environment_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RAY_ADDRESS names the cluster where ray.address does not."""
    monkeypatch.setenv("RAY_ADDRESS", "head.far:6379")
    lake = lake_with(tmp_path)
    with pytest.raises(SetupError, match=r"engine\.reach.*head\.far"):
        lake.backfills.plan(asked("ray"))
    lake.close()


def test_a_missing_jar_is_told_by_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark SQL needs the Iceberg jar; a Python body on Spark does not."""
    monkeypatch.setenv("NBPLAT_JARS", str(tmp_path / "none"))
    lake = lake_with(tmp_path)
    with pytest.raises(SetupError, match=r"spark\.jar_missing.*nbplat jars fetch"):
        lake.backfills.plan(asked("spark"))
    python = {"source": "def feature(batch):\n    return {'twice': batch['x']}\n"}
    assert lake.backfills.plan(asked("spark", "", keys=("id",), python=python)).python is not None
    lake.close()


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    """The near name is told."""
    with pytest.raises(RequestError, match=r"backfill\.engine.*spark"):
        asked("sprak")


def test_engines_plan_the_same_columns_and_are_different_runs(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of the subset has one set of types; the engine is part of a run's identity."""
    monkeypatch.setattr(jars, "iceberg_jar", lambda config: JARS)
    plans = {engine: lake.backfills.plan(asked(engine)) for engine in ("local", "ray", "spark")}

    assert {(Column("twice", "double"),)} == {plan.columns for plan in plans.values()}
    assert ["local", "ray", "spark"] == [plan.engine for plan in plans.values()]
    assert 3 == len({plan.identity for plan in plans.values()})
    assert 3 == len({plan.plan_hash for plan in plans.values()})


@pytest.mark.jvm
@pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")
def test_a_body_outside_the_subset_runs_on_spark_with_sparks_types(lab: EngineLab) -> None:
    """Its types are those that Spark tells, and its values are staged beside the right rows."""
    lake = lab.lake
    lab.spark()
    lake.make_shop(30)
    run = lab.stage("outside", "spark", ORDERS, _OUTSIDE)
    kinds = {"digest": "string", "share": "double", "pair": "list<double>", "money": "decimal(10, 2)"}
    assert kinds == {column["name"]: column["type"] for column in lake.backfills.find(run).plan["columns"]}

    staged = [row for table in lab.tables(run).values() for row in table.to_pylist()]
    assert list(range(30)) == sorted(row["id"] for row in staged)
    import hashlib

    rows = {row["id"]: row for row in lake.table().scan().to_arrow().to_pylist()}
    for row in staged:
        old = rows[row["id"]]
        assert hashlib.sha256(old["tag"].encode()).hexdigest() == row["digest"]
        assert [old["x"], None if old["x"] is None else old["x"] + 1] == row["pair"]


@pytest.mark.jvm
def test_what_spark_does_not_know_is_refused_by_the_plan(lab: EngineLab) -> None:
    """A misspelt function is told in Spark's words, before any effect."""
    with pytest.raises(RequestError, match=r"(?is)body\.types.*no_such_function"):
        lab.lake.backfills.plan(
            BackfillSpec.build("f", "eng.hard", "SELECT id, no_such_function(f) AS y FROM base", engine="spark")
        )
