"""The meaning of a body never depends on how files are grouped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from nbplat.backfill.compute import compute
from nbplat.backfill.run import Backfills
from nbplat.backfill.spec import BackfillSpec
from tests.fixtures.lakehouse import EVENTS, ORDERS, Lake

ROW_WISE = [
    "select id, x * 2D + customer as f from base",
    "select id, case when tag = 't1' then x end as f from base",
    "select b.id, coalesce(sum(e.amount), 0D) as f, count(e.at) as n from base b left join shop.events e"
    " on e.customer = b.customer and e.at < b.ts group by b.id",
    "select b.id, s.top as f from base b left join"
    " (select customer as c, max(amount) as top from shop.events group by customer) s on s.c = b.customer",
]
WHOLE = [
    "select distinct id, x as f from base",
    "select id, x - (select avg(x) from base) as f from base",
    "select a.id, count(b.id) as f from base a left join base b on b.customer = a.customer and b.ts < a.ts"
    " group by a.id",
    "select b.id, s.total as f from base b join (select customer as c, sum(x) as total from base group by customer) s"
    " on s.c = b.customer",
    "with t0 as (select customer as c, count(*) as n from base group by customer)"
    " select base.id, t0.n as f from base join t0 on t0.c = base.customer",
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    lake = Lake(tmp_path_factory.mktemp("groups") / "home")
    lake.make_shop()
    yield lake
    lake.close()


def computed(backfills: Backfills, sql: str) -> tuple[list[tuple[str, ...]], pd.DataFrame]:
    """The groups of the plan, and the column computed group by group."""
    plan = backfills.plan(BackfillSpec.build("f", ORDERS, sql, keys=("id",)))
    units = {unit.id: unit for unit in plan.units}
    parts = [
        part.to_pandas()
        for group in plan.groups
        for part in compute(plan, backfills.tables, [units[id_] for id_ in group], backfills.settings)
    ]
    names = ["id", *(column.name for column in plan.columns)]
    return list(plan.groups), pd.concat(parts).sort_values("id").reset_index(drop=True)[names]


def in_one_query(lake: Lake, sql: str) -> pd.DataFrame:
    """The body over the whole table, by DuckDB alone."""
    with duckdb.connect() as db:
        db.execute("set timezone = 'UTC'")
        db.register("base", lake.table(ORDERS).scan().to_arrow())
        db.register("events", lake.table(EVENTS).scan().to_arrow())
        plain = sql.replace("shop.events", "events").replace("2D", "2").replace("0D", "0")
        return db.sql(f"select * from ({plain}) order by id").df()


@pytest.mark.parametrize("sql", ROW_WISE)
def test_a_row_wise_body_gives_the_same_in_any_grouping(shop: Lake, sql: str, tmp_path: Path) -> None:
    """One file a query, all files in one query, and DuckDB over the whole table agree."""
    from dataclasses import replace

    whole_groups, whole = computed(shop.backfills, sql)
    cut_groups, cut = computed(replace(shop.backfills, memory_bytes=1), sql)
    assert (1, 6) == (len(whole_groups), len(cut_groups))
    pd.testing.assert_frame_equal(whole, cut)
    pd.testing.assert_frame_equal(in_one_query(shop, sql), whole, check_dtype=False)


@pytest.mark.parametrize("sql", WHOLE)
def test_another_body_runs_once_over_the_whole_window(shop: Lake, sql: str) -> None:
    """However small the memory, it is one query, and any single file has the values of the whole."""
    from dataclasses import replace

    small = replace(shop.backfills, memory_bytes=1)
    groups, got = computed(small, sql)
    assert (1, 6) == (len(groups), len(groups[0]))
    pd.testing.assert_frame_equal(in_one_query(shop, sql), got, check_dtype=False)
    plan = small.plan(BackfillSpec.build("f", ORDERS, sql, keys=("id",)))
    assert not plan.row_wise
    [alone] = compute(plan, small.tables, [plan.units[2]], small.settings)
    part = alone.to_pandas()[["id", "f"]]
    expected = got[got["id"].isin(part["id"])].sort_values("id")["f"].tolist()
    assert expected == pytest.approx(part.sort_values("id")["f"].tolist(), nan_ok=True)
