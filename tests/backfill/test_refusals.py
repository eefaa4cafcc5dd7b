"""Bad input: each with its code, and nothing done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from nbplat.backfill.states import Step
from nbplat.errors import Conflict, DataError, NbplatError, NotFound, RequestError, SetupError
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows

SQL = "select id, x * 2D as f from base"
JOIN = "from base b join shop.events e on e.customer = b.customer"

BAD = {
    "unknown table": ({"table": "shop.orderz"}, NotFound, "table.unknown"),
    "unknown namespace": ({"table": "shopp.orders"}, NotFound, "table.unknown"),
    "unknown source": (
        {"sql": "select b.id, e.a as f from base b join shop.event e on e.a = b.id"},
        NotFound,
        "table.unknown",
    ),
    "no table name": ({"table": "orders"}, RequestError, "table.name"),
    "bad run name": ({"name": "Spend 90d"}, RequestError, "run.name"),
    "unknown engine": ({"engine": "flink"}, RequestError, "backfill.engine"),
    "unknown key": ({"keys": ("idd",)}, RequestError, "key.unknown"),
    "two statements": ({"sql": f"{SQL}; {SQL}"}, RequestError, "body.not_select"),
    "no select": ({"sql": "delete from base"}, RequestError, "body.not_select"),
    "no sql": ({"sql": "make me a feature"}, RequestError, "body.syntax"),
    "no keys": ({"sql": "select x * 2D as f from base"}, RequestError, "body.keys"),
    "a key not returned": ({"sql": SQL, "keys": ("id", "tag")}, RequestError, "body.keys"),
    "no new column": ({"sql": "select id from base"}, RequestError, "body.columns"),
    "a name twice": ({"sql": "select id, x as f, x as f from base"}, RequestError, "body.columns"),
    "a column that exists": ({"sql": "select id, x * 2D as x from base"}, Conflict, "column.exists"),
    "it exists in other case": ({"sql": "select id, x * 2D as X from base"}, Conflict, "column.exists"),
    "a column that exists, keys named": ({"sql": "select id, x from base", "keys": ("id",)}, Conflict, "column.exists"),
    "a name of the staging table": ({"sql": "select id, x as NB_pos from base"}, RequestError, "column.name"),
    "a name with a dot": ({"sql": "select id, x as `a.b` from base"}, RequestError, "column.name"),
    "unknown column": ({"sql": "select id, y as f from base"}, RequestError, "body.column"),
    "doubled keys in the table": ({"sql": "select tag, 1 as f from base"}, DataError, "key.duplicate"),
    "fan-out": ({"sql": f"select b.id, e.amount as f {JOIN}"}, DataError, "body.duplicate_keys"),
    "dropped rows": (
        {"sql": f"select b.id, count(*) as f {JOIN} and e.amount < 0D group by b.id"},
        DataError,
        "body.missing_keys",
    ),
    "where on base": ({"sql": "select id, x as f from base where x > 3"}, DataError, "body.missing_keys"),
    "outside the window": ({"start": "2030-01-01"}, RequestError, "window.outside"),
    "a function outside the subset": ({"sql": "select id, soundex(tag) as f from base"}, RequestError, "sql.function"),
    "a made-up function": ({"sql": "select id, frobnicate(x) as f from base"}, RequestError, "sql.function"),
    "a type no column can have": (
        {"sql": "select id, x as f from base", "types": {"f": "map<string, int>"}},
        RequestError,
        "type.unsupported",
    ),
    "text that is no type": ({"types": {"f": "seq<int>"}}, RequestError, "type.unknown"),
    "a type for no column": ({"types": {"g": "int"}}, RequestError, "type.column"),
    "a type that no cast leads to": ({"types": {"f": "string"}}, RequestError, "type.cast"),
    "a column of nulls only": ({"sql": "select id, null as f from base"}, RequestError, "body.result_type"),
    "types that do not fit": ({"sql": "select id, ts + tag as f from base"}, RequestError, "sql.types"),
    "a value that cannot be": ({"sql": "select id, 1 / (id - id) as f from base"}, DataError, "body.values"),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """One for all refusals: that they change nothing is what they show."""
    lake = Lake(tmp_path_factory.mktemp("refusals") / "home")
    lake.make_shop()
    yield lake
    lake.close()


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_before_any_effect(shop: Lake, what: str) -> None:
    """Each has its class and code and a fix, and no file, table or run changes."""
    request, kind, code = BAD[what]
    request = {"name": "f", "sql": SQL, "table": ORDERS, **request}
    picture = shop.picture()
    for ask in (shop.submit, _plan(shop)):
        with pytest.raises(NbplatError) as caught:
            ask(**request)
        assert (code, kind) == (caught.value.code, type(caught.value)), caught.value
        assert caught.value.fix
    assert picture == shop.picture()


def _plan(lake: Lake) -> Any:
    from nbplat.backfill.spec import BackfillSpec

    return lambda name, table, sql, **options: lake.backfills.plan(BackfillSpec.build(name, table, sql, **options))


def test_near_names_are_told(shop: Lake) -> None:
    """A closed set is answered with its nearest names."""
    for request, near in (
        ({"table": "shop.orderz"}, "shop.orders"),
        ({"keys": ("custmer",)}, "customer"),
        ({"engine": "locl"}, "local"),
    ):
        with pytest.raises(RequestError) as caught:
            shop.submit(**{"name": "f", "sql": SQL, **request})
        assert near in caught.value.fix


def test_null_keys_are_refused(lake: Lake) -> None:
    """A key column with nulls identifies no row."""
    lake.make("shop.nulls", pa.table({"id": pa.array([1, None, 2], pa.int64()), "v": pa.array([1.0, 2.0, 3.0])}))
    picture = lake.picture()
    with pytest.raises(DataError) as caught:
        lake.submit("f", "select id, v * 2D as f from base", "shop.nulls")
    assert ("key.null", picture) == (caught.value.code, lake.picture())


def test_an_empty_table_is_refused(lake: Lake) -> None:
    """A table without a row has nothing to fill."""
    lake.make("shop.none", small_rows(0))
    picture = lake.picture()
    with pytest.raises(RequestError) as caught:
        lake.submit("f", SQL, "shop.none")
    assert ("table.empty", picture) == (caught.value.code, lake.picture())


def test_an_emptied_table_is_refused(lake: Lake) -> None:
    """A table whose rows were all deleted is empty too."""
    lake.make("shop.gone", small_rows(6)).delete("id >= 0")
    with pytest.raises(RequestError) as caught:
        lake.submit("f", SQL, "shop.gone")
    assert "table.empty" == caught.value.code


def test_a_v1_table_is_refused(lake: Lake) -> None:
    """Version 1 has no sequence numbers."""
    lake.make("shop.old", small_rows(6), format_version=1)
    picture = lake.picture()
    with pytest.raises(SetupError) as caught:
        lake.submit("f", SQL, "shop.old")
    assert ("table.format", picture) == (caught.value.code, lake.picture())


def test_a_second_promotion_of_a_column_is_refused(lake: Lake) -> None:
    """Two runs may stage one column; only one is promoted, and the other is refused before its job."""
    first = lake.stage("f", SQL)
    second = lake.stage("g", "select id, x * 3D as f from base")
    assert any(first in note for note in lake.submit("h", "select id, x * 4D as f from base").plan.conflicts)
    lake.work()
    lake.promote(first)
    picture = lake.picture()
    with pytest.raises(Conflict) as caught:
        lake.backfills.step(second, Step.PROMOTE, owner="me")
    assert ("column.exists", picture) == (caught.value.code, lake.picture())
    assert (lake.rows()["x"] * 2).equals(lake.rows()["f"].rename("x"))
    lake.roll_back(first)
    lake.promote(second)
    assert (lake.rows()["x"] * 3).equals(lake.rows()["f"].rename("x"))


def test_a_step_that_does_not_fit_the_state_is_refused(lake: Lake) -> None:
    """A planned run cannot be promoted, a rolled-back one neither; an unknown run is named."""
    run = lake.submit("f", SQL).run
    assert run is not None
    with pytest.raises(Conflict) as caught:
        lake.backfills.step(run.id, Step.PROMOTE, owner="me")
    assert "backfill.state" == caught.value.code
    lake.work()
    lake.roll_back(run.id)
    with pytest.raises(Conflict):
        lake.backfills.step(run.id, Step.PROMOTE, owner="me")
    for unknown in ("g", "f@9"):
        with pytest.raises(NotFound) as missing:
            lake.backfills.step(unknown, Step.PROMOTE, owner="me")
        assert ("run.unknown", True) == (missing.value.code, "f" in missing.value.fix)


def test_nothing_is_left_of_a_run_rolled_back_before_promotion(lake: Lake) -> None:
    """Its staging table and files are gone; the base table was never touched."""
    location = lake.table().metadata_location
    run_id = lake.stage("f", SQL)
    lake.roll_back(run_id)
    assert location == lake.table().metadata_location
    assert [] == lake.catalog.list_tables("shop__bf")
    assert [] == list((lake.home / "warehouse" / "staged").rglob("*.parquet"))


def test_a_stale_window_of_time_is_no_excuse(lake: Lake) -> None:
    """A naive datetime never gets in: the window is UTC-aware or an error."""
    from nbplat.terms import Window

    with pytest.raises(ValueError, match="naive"):
        Window(start=dt.datetime(2024, 1, 1))  # noqa: DTZ001
